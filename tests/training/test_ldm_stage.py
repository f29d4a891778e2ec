"""The second stage: the codes it learns from, their statistics, and what the denoiser is told of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from physldm.config import load_preset
from physldm.data import make_subject
from physldm.data.scanning import once_scanned
from physldm.data.slices import add_session, close_store
from physldm.draws import Step, Who
from physldm.runs import Run
from physldm.training import ldm_stage
from physldm.training.ldm_stage import cache_posteriors, train_ldm


def test_cached_posteriors_stand_in_the_order_of_slices_and_their_mirror_images(smoke_run):
    run = Run(smoke_run)
    mean, sigma = cache_posteriors(run.vae, run.store, run.config, torch.device("cpu"))
    for i, number in enumerate(run.store.slices("train")[:6]):
        batch = run.store.batch([number])
        for place, images in ((2 * i, batch.images), (2 * i + 1, batch.images.flip(-1))):
            with torch.inference_mode():
                own, log_var = run.vae.encode(images, batch.acquisitions, batch.mask)
            torch.testing.assert_close(mean[place], own[0], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(sigma[place], (0.5 * log_var[0]).exp(), rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module", params=["brains", "mixed"])
def store(request, tmp_path_factory):
    """Brains that nobody has scanned; or one of them and somebody's scans."""
    folder, heights = tmp_path_factory.mktemp(request.param), (84, 92)
    for number in range(2):
        subject = make_subject(0, number, spacing=2, heights=heights)
        scanned = request.param == "mixed" and number == 1
        arrays = {
            name: getattr(subject, name).numpy() for name in (["scans"] if scanned else ["maps", "fractions"])
        }
        add_session(folder, f"sub-{number}", subject=f"{number}", source="", arrays=arrays, heights=heights,
                    acquisitions=subject.acquisitions if scanned else None)  # fmt: skip
    return close_store(folder, {"sub-0": "train", "sub-1": "train"}, spacing=2, fingerprint="")


def test_a_brain_has_the_codes_of_the_scans_that_were_made_of_it_once(untrained_run, store):
    run, config = Run(untrained_run), load_preset("smoke", ["data.protocols=any"])
    mean, sigma = cache_posteriors(run.vae, store, config, torch.device("cpu"))
    assert len(mean) == 8
    for i in range(4):
        scans = once_scanned(store, [i], config.data, config.seed)
        for place, images in ((2 * i, scans.images), (2 * i + 1, scans.images.flip(-1))):
            with torch.inference_mode():
                own, log_var = run.vae.encode(images, scans.acquisitions, scans.mask)
            torch.testing.assert_close(mean[place], own[0], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(sigma[place], (0.5 * log_var[0]).exp(), rtol=1e-3, atol=1e-3)
    if not store.is_brain(2):
        assert torch.equal(scans.images, store.batch([3]).images)


def test_latent_statistics_are_those_of_the_codes(smoke_run):
    run = Run(smoke_run)
    mean, sigma = cache_posteriors(run.vae, run.store, run.config, torch.device("cpu"))
    shift, scale = run.latent_statistics
    torch.testing.assert_close(shift.flatten(), mean.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
    drawn = mean + sigma * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(scale.flatten(), drawn.std((0, 2, 3)), rtol=0.05, atol=0)


SLICES = 40


@pytest.fixture
def learnt(untrained_run, unchecked, monkeypatch):
    """What a denoiser is given in 200 steps: made-up posteriors, of which the last channel is the number of its slice.

    No network learns; noise is not added, so that one sees the codes themselves.
    """
    draw = torch.Generator().manual_seed(0)
    mean = (
        3
        + torch.randn(2 * SLICES, 4, 14, 10, generator=draw) * torch.tensor([1.0, 0.5, 2.0, 0])[:, None, None]
    )
    # no constant: the mean of σ² is not the square of the mean σ
    sigma = torch.rand(mean.shape, generator=draw) * torch.tensor([0.8, 2.0, 0.3, 1e-6])[:, None, None]
    mean[:, 3] = torch.arange(2.0 * SLICES)[:, None, None]
    heights = 60 + 1.5 * torch.arange(SLICES)
    found = SimpleNamespace(mean=mean, sigma=sigma, heights=heights, z=[], told=[])

    class Training:
        def __init__(self, name, folder, config, fabric, module):
            found.module = module

        def run(self, total, loss):
            def model(z, t, height):
                found.z.append(z)
                found.told.append(height)
                return torch.zeros_like(z)

            for number in range(200):
                loss(model, Step(0, Who.LDM, number))

    monkeypatch.setattr(ldm_stage, "Training", Training)
    monkeypatch.setattr(ldm_stage, "cache_posteriors", lambda *_: (mean, sigma))
    monkeypatch.setattr(ldm_stage, "add_noise", lambda z, *_: z)
    store = SimpleNamespace(slices=lambda split: np.arange(SLICES), heights=lambda slices: heights[slices])
    config = load_preset("smoke", ["ldm_stage.batch=16"])
    train_ldm(untrained_run, config, store, Fabric(accelerator="cpu", devices=1))
    found.z, found.told = torch.cat(found.z), torch.cat(found.told)
    return found


def test_the_scale_is_the_spread_of_drawn_codes(learnt):
    draw = torch.Generator().manual_seed(1)
    drawn = torch.cat(
        [learnt.mean + learnt.sigma * torch.randn(learnt.mean.shape, generator=draw) for _ in range(8)]
    )
    torch.testing.assert_close(learnt.module.scale.flatten(), drawn.std((0, 2, 3)), rtol=0.01, atol=0)
    torch.testing.assert_close(learnt.module.shift.flatten(), drawn.mean((0, 2, 3)), rtol=0.01, atol=0)


def test_codes_are_drawn_with_mean_zero_and_variance_one(learnt):
    # 200 batches of 16 are 40 epochs; each has its own draws
    torch.testing.assert_close(learnt.z.mean((0, 2, 3)), torch.zeros(4), atol=0.01, rtol=0)
    torch.testing.assert_close(learnt.z.std((0, 2, 3)), torch.ones(4), atol=0.01, rtol=0)


def test_the_height_told_is_that_of_the_slice_and_one_in_ten_is_not_told(learnt):
    number = (learnt.z * learnt.module.scale + learnt.module.shift)[:, 3].mean((1, 2)).round().long()
    assert len(number.unique()) == 2 * SLICES
    told = ~learnt.told.isnan()
    assert torch.equal(learnt.told[told], learnt.heights[number[told] // 2])  # a mirror image lies as high
    # four standard deviations of 3200 chances of a tenth
    assert (~told).float().mean().item() == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 3200) ** 0.5)
    assert learnt.module.span.tolist() == [60.0, 60 + 1.5 * (SLICES - 1)]
