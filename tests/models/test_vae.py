"""The physics VAE on weights of chance: what it draws, where it begins, and in which precision it thinks of tissue."""

import pytest
import torch

from physldm.config import load_preset
from physldm.models import PhysicsVAE
from physldm.models.blocks import AdaGN
from physldm.models.encoder import scale_images
from physldm.models.fusion import FUSIONS
from physldm.physics import Acquisition, AcquisitionBatch, signal
from physldm.runs import Run

PROTOCOL = [
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("spin_echo", te=0.1, tr=3.2),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
]
BATCH = AcquisitionBatch.repeat(PROTOCOL, 2)


@pytest.fixture
def images():
    return 300 * torch.rand(2, 3, 112, 80, generator=torch.Generator().manual_seed(0))


def test_a_draw_is_the_mean_plus_sigma_times_the_noise(untrained_run, images):
    vae, noise = Run(untrained_run).vae, torch.randn(2, 4, 14, 10, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mean, log_var = vae.encode(images, BATCH)
        sigma = log_var.exp().sqrt()
        assert ((sigma - sigma**2).abs() > 0.1).float().mean() > 0.2
        drawn, still = vae(images, BATCH, noise=noise).maps, vae(images, BATCH).maps
        torch.testing.assert_close(drawn, vae.decode(mean + sigma * noise), rtol=1e-4, atol=0)
        torch.testing.assert_close(still, vae.decode(mean), rtol=1e-4, atol=0)


def test_a_fresh_network_begins_at_the_medians_of_the_prior():
    vae = PhysicsVAE(load_preset("smoke", ["vae.pd_median=640.0"]).vae)
    maps = vae.decode(torch.randn(2, 4, 14, 10))
    for map_, median in zip(maps.unbind(1), (640.0, 1.0, 0.1), strict=True):
        assert (map_ / median - 1).abs().max() < 0.1


def test_tissue_and_signals_keep_their_digits_under_bfloat16(untrained_run, images):
    vae = Run(untrained_run).vae
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        out = vae(images, BATCH)
    for found in (out.mean, out.log_var, out.o, out.maps, out.reconstruction):
        assert found.dtype == torch.float32
    # numbers that were rounded to bfloat16 on the way are the same rounded once more
    assert (out.o.bfloat16().float() != out.o).float().mean() > 0.9
    pd, t1, t2 = out.maps.double().unbind(1)
    spin_echo = pd * (1 - torch.exp(-3.2 / t1)) * torch.exp(-0.1 / t2)
    torch.testing.assert_close(out.reconstruction[:, 1].double(), spin_echo, rtol=1e-4, atol=1e-4)


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


def test_a_sessions_gain_is_the_mean_of_what_its_scans_say_and_a_pd_in_other_units():
    torch.manual_seed(0)
    vae = PhysicsVAE(load_preset("smoke", ["vae.gain=session"]).vae)
    torch.nn.init.normal_(vae.encoder.gain.weight, std=1.0)
    batch, images = AcquisitionBatch.repeat(PROTOCOL, 2), torch.rand(2, 3, 112, 80) * 100
    mask = torch.tensor([[True, False, True], [True, True, True]])
    said, out = vae.experts(*scale_images(images), batch)[2].tolist(), vae(images, batch, mask)
    assert abs(said[0][0] - said[0][2]) > 1e-3
    for n in range(3):
        assert out.log_gain[0, n].item() == pytest.approx((said[0][0] + said[0][2]) / 2, abs=1e-6)
        assert out.log_gain[1, n].item() == pytest.approx(sum(said[1]) / 3, abs=1e-6)
    # one gain for all scans of a brain: its maps with PD times the gain explain them
    torch.testing.assert_close(out.reconstruction, signal(out.scanner_maps, batch), rtol=1e-5, atol=1e-4)
    rebuilt = vae.rebuild(*vae.experts(*scale_images(images), batch), batch, mask)
    torch.testing.assert_close(rebuilt, out.reconstruction)


def test_a_regressed_gain_scales_each_scan_and_a_missing_ones_is_the_others_mean():
    vae = PhysicsVAE(load_preset("smoke", ["vae.gain=scan"]).vae)
    torch.nn.init.normal_(vae.encoder.gain.weight, std=1.0)
    batch, images = AcquisitionBatch.repeat(PROTOCOL, 2), torch.rand(2, 3, 112, 80) * 100
    out = vae(images, batch, torch.tensor([[True, False, True], [True, True, True]]))
    assert out.log_gain.std() > 0
    expected = out.log_gain.exp()[..., None, None] * signal(out.maps, batch)
    torch.testing.assert_close(out.reconstruction, expected)
    assert out.log_gain[0, 1].item() == pytest.approx((out.log_gain[0, 0] + out.log_gain[0, 2]).item() / 2)
    scaled = out.scanner_maps / out.maps
    by = torch.ones(2, 3, 1, 1)
    by[:, 0, 0, 0] = out.log_gain.exp().prod(1) ** (1 / 3)  # of three gains the geometric mean
    torch.testing.assert_close(scaled, by.expand_as(scaled))
    plain = PhysicsVAE(load_preset("smoke").vae)(images, batch)
    torch.testing.assert_close(plain.reconstruction, signal(plain.maps, batch))
