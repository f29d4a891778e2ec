import torch

from physldm.models.blocks import SelfAttention


def test_self_attention_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs = SelfAttention(32), torch.nn.MultiheadAttention(32, 1, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight[:, :, 0, 0],
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight[:, :, 0, 0],
            "out_proj.bias": ours.out.bias,
        }
    )
    h = torch.randn(2, 32, 6, 5)
    places = ours.norm(h).flatten(2).mT
    with torch.inference_mode():
        expected = h + theirs(places, places, places)[0].mT.reshape(h.shape)
        torch.testing.assert_close(ours(h), expected, rtol=1e-4, atol=1e-5)
