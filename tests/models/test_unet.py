"""Pieces of the denoiser against the same pieces of other libraries."""

import torch
from monai.networks.nets.diffusion_model_unet import get_timestep_embedding

from physldm.models.unet import Attention, Down, time_embedding


def test_time_is_told_as_monai_tells_it():
    t = torch.tensor([0, 1, 37, 500, 999])
    torch.testing.assert_close(time_embedding(t, 64), get_timestep_embedding(t, 64), rtol=1e-4, atol=1e-5)


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    ours = Attention(64, heads=4)
    torch.nn.init.normal_(ours.qkv.weight, std=0.3)
    torch.nn.init.normal_(ours.out.weight)
    theirs = torch.nn.MultiheadAttention(64, 4, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight[:, :, 0, 0],
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight[:, :, 0, 0],
            "out_proj.bias": ours.out.bias,
        }
    )
    x = torch.randn(2, 64, 7, 5)
    places = ours.norm(x).flatten(2).mT
    with torch.inference_mode():
        expected = x + theirs(places, places, places)[0].mT.reshape(x.shape)
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4)


def test_a_map_of_one_column_is_halved_with_its_true_gradient_in_bfloat16():
    """Six levels on 14 × 10 places end at 1 × 1, where torch's own gradient is read from past the map's end."""
    worst = 0.0
    for seed in range(30):
        torch.manual_seed(seed)
        layer, x = Down(64).to(memory_format=torch.channels_last), torch.randn(4, 64, 2, 1)
        true = torch.nn.Conv2d(64, 64, 3, stride=2, padding=1).double()
        true.load_state_dict(layer.conv.state_dict())
        with torch.autocast("cpu", torch.bfloat16):
            layer(x, x).float().square().sum().backward()
        true(x.double()).square().sum().backward()
        off = (layer.conv.weight.grad - true.weight.grad).norm() / true.weight.grad.norm()
        worst = max(worst, off.nan_to_num(torch.inf).item())
    assert worst < 0.02
