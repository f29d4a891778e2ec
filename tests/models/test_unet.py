"""Pieces of the denoiser against the same pieces of other libraries."""

import torch
from monai.networks.nets.diffusion_model_unet import get_timestep_embedding

from physldm.models.unet import Attention, time_embedding


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
