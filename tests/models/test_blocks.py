import pytest
import torch

from physldm.models.blocks import AdaGN, SelfAttention, group_norm


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


def test_adagn_is_its_equation():
    layer = AdaGN(32, 8).double()
    torch.nn.init.normal_(layer.scale_shift.weight)
    h, code = torch.randn(2, 32, 5, 4).double(), torch.randn(2, 8).double()
    s, b = layer.scale_shift(code).chunk(2, 1)
    torch.testing.assert_close(layer.scale_and_shift(code), (1 + s, b))
    groups = h.reshape(2, 2, -1)  # 16 channels each
    norm = (groups - groups.mean(-1, keepdim=True)) / (
        groups.var(-1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    expected = (1 + s)[..., None, None] * norm.reshape(h.shape) + b[..., None, None]
    torch.testing.assert_close(layer(h, code), expected)


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (16, 1), (64, 4), (56, 2), (160, 10)])
def test_a_group_has_sixteen_channels_or_the_next_number_that_comes_out_even(channels, groups):
    assert group_norm(channels).num_groups == groups
