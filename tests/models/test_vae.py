"""The physics VAE on weights of chance: what it draws, where it begins, and in which precision it thinks of tissue."""

import pytest
import torch

from physldm.config import load_preset
from physldm.models import PhysicsVAE
from physldm.physics import Acquisition, AcquisitionBatch
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
