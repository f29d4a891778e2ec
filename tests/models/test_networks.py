import pytest
import torch

from physldm.config import load_preset
from physldm.models import PhysicsVAE, UNet, make_denoiser
from physldm.models.blocks import AdaGN, group_norm
from physldm.models.discriminator import PatchDiscriminator
from physldm.models.encoder import scale_images
from physldm.models.fusion import FUSIONS
from physldm.physics import Acquisition, AcquisitionBatch, signal

PROTOCOL = [
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("spin_echo", te=0.1, tr=3.2),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
]


DOWNSAMPLING = {"smoke": 8, "laptop": 4, "paper": 8}  # laptop and paper: 8 mm a place


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


@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
def test_shapes_on_meta(preset):
    config = load_preset(preset)
    height, width = 224 // config.data.spacing, 160 // config.data.spacing
    code = config.vae.latent_channels, height // DOWNSAMPLING[preset], width // DOWNSAMPLING[preset]
    with torch.device("meta"):
        vae, denoiser = PhysicsVAE(config.vae), make_denoiser(config)
        o = vae.decoder(torch.empty(2, *code))
        mean, log_var, log_gain = vae.encoder(torch.empty(6, 1, height, width), torch.empty(6, 6))
        v = denoiser(torch.empty(2, *code), torch.zeros(2, dtype=torch.long))
    assert o.shape == (2, 3, height, width)
    assert mean.shape == log_var.shape == (6, *code)
    assert log_gain.shape == (6,)
    assert v.shape == (2, *code)


def test_paper_preset_has_the_papers_settings():
    c = load_preset("paper")
    assert (c.vae.widths, c.vae.blocks, c.vae.latent_channels) == ((64, 128, 128, 128), 3, 6)
    assert (c.unet.widths, c.unet.attention) == ((256, 512, 768), (False, True, True))
    assert (c.vae_stage.epochs, c.vae_stage.batch, c.vae_stage.lr) == (50, 4, 5e-5)
    assert (c.ldm_stage.epochs, c.ldm_stage.batch, c.ldm_stage.lr) == (100, 16, 2.5e-5)
    assert c.vae_stage.total_steps(1000) == 50 * 250


def test_protocol_reaches_the_code_and_missing_contrast_does_not():
    torch.manual_seed(0)
    vae = PhysicsVAE(load_preset("smoke").vae)
    for layer in vae.modules():
        if isinstance(layer, AdaGN) and layer.scale_shift is not None:
            torch.nn.init.normal_(layer.scale_shift.weight, std=0.1)
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.05)
    images = torch.rand(2, 3, 112, 80) * 100
    usual = AcquisitionBatch.repeat(PROTOCOL, 2)
    other = AcquisitionBatch.repeat([Acquisition("mprage", tr=2.4, ti=0.5), *PROTOCOL[1:]], 2)
    assert not torch.allclose(vae.encode(images, usual)[0], vae.encode(images, other)[0])
    mask = torch.tensor([[False, True, True]] * 2)
    changed = images.clone()
    changed[:, 0] = 7.0
    torch.testing.assert_close(vae.encode(images, usual, mask), vae.encode(changed, usual, mask))


def test_maps_are_positive_and_reconstruction_is_the_signal_of_the_maps():
    vae = PhysicsVAE(load_preset("smoke").vae)
    batch = AcquisitionBatch.repeat(PROTOCOL, 2)
    out = vae(torch.rand(2, 3, 112, 80) * 100, batch)
    assert (out.maps > 0).all() and out.reconstruction.shape == (2, 3, 112, 80)
    pd, t1, t2 = out.maps.double().unbind(1)
    spin = pd * (1 - torch.exp(-3.2 / t1)) * torch.exp(-0.1 / t2)
    torch.testing.assert_close(out.reconstruction[:, 1].double(), spin, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fusion", ["product", "generalised", "mixture"])
def test_the_code_is_the_fusion_of_what_each_scan_says(fusion):
    config = load_preset("smoke", [f"vae.fusion={fusion}"]).vae
    torch.manual_seed(0)
    vae, images = PhysicsVAE(config).eval(), torch.rand(1, 3, 112, 80) * 100
    mean, log_var, _ = vae.experts(*scale_images(images), AcquisitionBatch.repeat(PROTOCOL, 1))
    found = vae.encode(images, AcquisitionBatch.repeat(PROTOCOL, 1), torch.tensor([[True, False, True]]))
    torch.testing.assert_close(found, FUSIONS[fusion](mean[:, [0, 2]], log_var[:, [0, 2]]))


def test_a_regressed_gain_scales_each_scan_and_a_missing_ones_is_the_others_mean():
    vae = PhysicsVAE(load_preset("smoke", ["vae.gain=true"]).vae)
    torch.nn.init.normal_(vae.encoder.gain.weight, std=1.0)
    batch, images = AcquisitionBatch.repeat(PROTOCOL, 2), torch.rand(2, 3, 112, 80) * 100
    out = vae(images, batch, torch.tensor([[True, False, True], [True, True, True]]))
    assert out.log_gain.std() > 0
    expected = out.log_gain.exp()[..., None, None] * signal(out.maps, batch)
    torch.testing.assert_close(out.reconstruction, expected)
    assert out.log_gain[0, 1].item() == pytest.approx((out.log_gain[0, 0] + out.log_gain[0, 2]).item() / 2)
    plain = PhysicsVAE(load_preset("smoke").vae)(images, batch)
    torch.testing.assert_close(plain.reconstruction, signal(plain.maps, batch))


def test_discriminator_judges_patches_of_70_pixels():
    torch.manual_seed(0)
    network = PatchDiscriminator().eval()
    for layer in network.modules():  # GroupNorm looks at the whole image
        if isinstance(layer, torch.nn.GroupNorm):
            layer.forward = lambda x: x
    image = torch.randn(1, 1, 112, 112, requires_grad=True)
    verdict = network(image)
    assert verdict.shape == (1, 1, 12, 12)
    verdict[0, 0, 6, 6].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero()
    assert rows.max() - rows.min() + 1 == 70


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
