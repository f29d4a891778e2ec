"""The UNet: its pieces against the same pieces of other libraries, and what it can know of time, place and height."""

import torch
from monai.networks.nets.diffusion_model_unet import get_timestep_embedding

from physldm.models.blocks import AdaGN
from physldm.models.unet import Attention, Down, UNet, time_embedding


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


def test_unet_knows_the_timestep_and_takes_odd_sizes():
    torch.manual_seed(0)
    unet = UNet(4, widths=(32, 64, 64), blocks=1, attention=(False, True, False))
    torch.nn.init.normal_(unet.last[-1].weight, std=0.1)
    for m in unet.modules():
        if isinstance(m, AdaGN):
            torch.nn.init.normal_(m.scale_shift.weight, std=0.1)
        if hasattr(m, "conv2"):
            torch.nn.init.normal_(m.conv2.weight, std=0.05)
    x = torch.randn(2, 4, 14, 10)
    a, b = unet(x, torch.tensor([1, 1])), unet(x, torch.tensor([900, 900]))
    assert a.shape == x.shape and not torch.allclose(a, b)


def test_a_unet_with_a_map_of_places_knows_where_it_is_and_one_without_does_not():
    torch.manual_seed(0)
    x = torch.zeros(1, 3, 12, 8)
    x[..., 5, 3] = 1.0
    moved, t = x.roll(2, -1), torch.tensor([500])
    for places in (None, (12, 8)):
        unet = UNet(3, widths=(32,), blocks=1, attention=(False,), places=places)
        torch.nn.init.normal_(unet.last[-1].weight, std=0.1)
        # attention sees all places alike, convolutions only their own: away from the edge a shift is a shift
        for block in (*unet.down, *unet.middle, *unet.up):
            block.attention = torch.nn.Identity()
        if places:
            torch.nn.init.normal_(unet.place)
        a, b = unet(x, t).roll(2, -1)[..., 4:7, 5], unet(moved, t)[..., 4:7, 5]
        assert torch.allclose(a, b, rtol=0.05, atol=0.02) == (places is None)


def test_a_unet_is_told_the_height_or_that_it_is_any():
    torch.manual_seed(0)
    unet = UNet(3, widths=(32,), blocks=1, attention=(False,), height=True)
    for m in unet.modules():
        if hasattr(m, "conv2"):
            torch.nn.init.normal_(m.conv2.weight, std=0.05)
    torch.nn.init.normal_(unet.last[-1].weight, std=0.1)
    torch.nn.init.normal_(unet.any_height)
    x, t = torch.randn(1, 3, 12, 8).expand(3, -1, -1, -1), torch.tensor([500, 500, 500])
    low, high, unknown = unet(x, t, torch.tensor([60.0, 120.0, torch.nan]))
    assert not torch.allclose(low, high) and not torch.allclose(low, unknown)
    torch.testing.assert_close(unet(x, t)[0], unknown)
