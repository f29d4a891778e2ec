"""Where a run is looked for, and what one can do with it."""

import json
import shutil

import numpy as np
import pytest
import torch

from physldm.config import load_preset
from physldm.data.slices import add_session, close_store
from physldm.errors import InputError
from physldm.models.denoiser import latent_shape
from physldm.physics import Acquisition, AcquisitionBatch
from physldm.runs import Run, open_run
from physldm.training import train


@pytest.fixture
def folder(smoke_run, tmp_path, monkeypatch):
    """A working directory two below one that has ``runs/smoke``."""
    (tmp_path / "runs" / "smoke").mkdir(parents=True)
    shutil.copy(smoke_run / "config.toml", tmp_path / "runs" / "smoke")
    (tmp_path / "book" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book")
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
    monkeypatch.delenv("PHYSLDM_RUNS", raising=False)
    return tmp_path


def test_the_nearest_folder_of_runs_that_has_the_preset_is_taken(folder, monkeypatch):
    assert open_run().folder == folder / "runs" / "smoke"
    shutil.copytree(folder / "runs" / "smoke", folder / "elsewhere" / "smoke")
    monkeypatch.setenv("PHYSLDM_RUNS", str(folder / "elsewhere"))
    assert open_run().folder == folder / "elsewhere" / "smoke"
    assert open_run(str(folder / "runs" / "smoke")).folder == folder / "runs" / "smoke"


def test_where_there_is_none_the_working_directory_is_named(folder, monkeypatch):
    monkeypatch.setenv("PHYSLDM_PRESET", "laptop")
    with pytest.raises(InputError, match=r"book/runs/laptop/config\.toml: missing"):
        open_run()


def test_a_run_without_weights_says_so_when_it_is_checked(folder):
    run = Run(folder / "runs" / "smoke")
    with pytest.raises(InputError, match=r"vae\.safetensors: missing"):
        run.check()


def test_samples_depend_on_the_seed_only(smoke_run):
    run = Run(smoke_run)
    first = run.sample(2, seed=1)
    assert first.shape == (2, 3, 112, 80) and (first > 0).all()
    assert torch.equal(first, run.sample(2, seed=1)) and not torch.equal(first, run.sample(2, seed=2))


def test_a_brain_can_be_drawn_at_heights_and_guidance_is_a_weighted_sum(smoke_run):
    run = Run(smoke_run)
    start, stop, step = run.config.data.heights
    assert run.ldm.span.tolist() == [start, range(start, stop, step)[-1]]
    stack = run.sample(2, seed=1, steps=4, heights=[70.0, 90.0, 110.0])
    assert stack.shape == (6, 3, 112, 80)
    # both brains begin with their own noise; the same height is the same slice, whoever asks
    close = {"rtol": 1e-3, "atol": 1e-2}  # of other batches: the same sums in another order
    torch.testing.assert_close(stack[4:5], run.sample(2, seed=1, steps=4, heights=[90.0])[1:], **close)
    torch.testing.assert_close(
        stack[:3], run.sample(1, seed=1, steps=4, heights=[70.0, 90.0, 110.0]), **close
    )
    x, t, h = torch.randn(2, *latent_shape(run.config)), torch.tensor([300, 300]), torch.tensor([70.0, 110.0])
    with torch.inference_mode():
        told, untold = run.model(h)(x, t), run.model()(x, t)
        assert not torch.allclose(told, untold)
        torch.testing.assert_close(run.model(h, guidance=2.0)(x, t), 3 * told - 2 * untold)


def test_heights_of_a_run_that_knows_none_are_refused(smoke_run, tmp_path):
    config = load_preset("smoke", ["unet.height=false", "unet.places=false", "ldm_stage.steps=2"])
    shutil.copytree(
        smoke_run, tmp_path / "run", ignore=shutil.ignore_patterns("ldm*", "config.toml", "slices")
    )
    train(tmp_path / "run", config, "ldm", Run(smoke_run).store.folder)
    run = Run(tmp_path / "run")
    assert run.sample(1, seed=0, steps=2).shape == (1, 3, 112, 80)
    with pytest.raises(InputError, match=r"unet\.height: found false, expected true"):
        run.sample(1, seed=0, heights=[84.0])


def test_a_drawn_code_of_zero_is_the_mean_and_one_is_a_standard_deviation_more(untrained_run):
    run = Run(untrained_run)
    shift, scale = torch.tensor([2.0, -1.0, 0.5, 0.0]), torch.tensor([3.0, 0.2, 1.0, 2.0])
    run.ldm.shift.copy_(shift[:, None, None])
    run.ldm.scale.copy_(scale[:, None, None])
    codes = torch.stack([torch.full(latent_shape(run.config), v) for v in (0.0, 1.0)])
    with torch.inference_mode():
        expected = torch.stack([shift, shift + scale])[..., None, None].expand(codes.shape)
        expected = run.vae.decode(expected)
    torch.testing.assert_close(run.decode(codes), expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(expected[0], expected[1], rtol=0.05)


def test_what_lies_where_a_scan_is_absent_is_not_looked_at(untrained_run):
    run, draw = Run(untrained_run), torch.Generator().manual_seed(0)
    scans = 300 * torch.rand(18, 3, 112, 80, generator=draw)  # more slices than are decoded at once
    protocol = [Acquisition("mprage", tr=2.4, ti=1.0), None, Acquisition("flair", te=0.09, tr=9.0, ti=2.5)]
    rubbish = scans.clone()
    rubbish[:, 1] = 7000 * torch.rand(18, 112, 80, generator=draw) ** 4
    found = run.reconstruct(scans, protocol, refine=0)
    assert found.shape == (18, 3, 112, 80)
    torch.testing.assert_close(run.reconstruct(rubbish, protocol, refine=0), found)
    there = [protocol[0], Acquisition("spin_echo", te=0.1, tr=3.2), protocol[2]]
    assert not torch.allclose(run.reconstruct(rubbish, there, refine=0), found, rtol=1e-3)


def test_without_steps_maps_are_the_decoded_mean(untrained_run):
    run, draw = Run(untrained_run), torch.Generator().manual_seed(0)
    scans = 300 * torch.rand(2, 3, 112, 80, generator=draw)
    protocol = [Acquisition("mprage", tr=2.4, ti=1.0), Acquisition("spin_echo", te=0.1, tr=3.2), None]
    run.sample(1, seed=0, steps=2)  # reads the VAE in inference mode
    with torch.inference_mode():
        batch = AcquisitionBatch.repeat([*protocol[:2], protocol[0]], 2)
        mean, _ = run.vae.encode(scans, batch, torch.tensor([[True, True, False]] * 2))
        expected = run.vae.decode(mean)
        assert torch.equal(run.reconstruct(scans, protocol, refine=0), expected)
        stepped = run.reconstruct(scans, protocol, refine=3)
    assert torch.equal(stepped, run.reconstruct(scans, protocol, refine=3))
    by_default = run.reconstruct(scans, protocol)
    assert torch.equal(by_default, run.reconstruct(scans, protocol, refine=20))

    def misfit(maps):
        made = [maps[:, 0] * (1 - 2 * (-1.0 / maps[:, 1]).exp() / (1 + (-2.4 / maps[:, 1]).exp()))]
        made.append(maps[:, 0] * (1 - (-3.2 / maps[:, 1]).exp()) * (-0.1 / maps[:, 2]).exp())
        return sum((m - x).abs().mean() for m, x in zip(made, scans.unbind(1), strict=False))

    assert misfit(stepped) < 0.98 * misfit(expected)


def test_gains_move_as_far_as_training_showed_them_to(untrained_run):
    """``usual`` scans nobody at a gain of its own unless it is told to, ``any`` by TUNING."""
    run = Run(untrained_run)
    for settings, spread in (
        (["data.protocols=usual"], 0.0),
        (["data.protocols=usual", "data.sequence_gain_sd=0.3"], 0.3),
        (["data.protocols=any"], 0.1),
    ):
        run.config = load_preset("smoke", settings)
        assert run.gain_spread == spread
    scans = 300 * torch.rand(2, 3, 112, 80, generator=torch.Generator().manual_seed(0))
    protocol = [Acquisition("mprage", tr=2.4, ti=1.0), Acquisition("spin_echo", te=0.1, tr=3.2), None]
    present = torch.tensor([[True, True, False]] * 2)
    free, found = run.explain(scans, protocol, present, refine=3, spread=0.1)
    assert found[0] != 1 and found.prod().item() == pytest.approx(1, abs=1e-5) and found[2] == 1
    torch.testing.assert_close(run.reconstruct(scans, protocol, refine=3), free)
    run.config = load_preset("smoke", ["data.protocols=usual"])
    fixed, found = run.explain(scans, protocol, present, refine=3)
    torch.testing.assert_close(run.reconstruct(scans, protocol, refine=3), fixed)
    assert torch.equal(found, torch.ones(3)) and not torch.allclose(fixed, free, rtol=1e-3)


def test_brains_lie_anywhere_between_the_lowest_and_the_highest_slice(untrained_run, monkeypatch):
    run, seen = Run(untrained_run), []
    run.ldm.span.copy_(torch.tensor([70.0, 110.0]))
    monkeypatch.setattr(run, "model", lambda heights, _: seen.append(heights) or (lambda x, t: x))
    run.sample(64, seed=0, steps=2)
    heights = torch.cat(seen)
    assert len(heights) == 64 and 70 <= heights.min() < 75 and 105 < heights.max() <= 110
    # the mean of 64 even draws, three standard deviations
    assert heights.mean().item() == pytest.approx(90, abs=3 * 40 / 12**0.5 / 8)


def test_protocols_are_those_of_the_training_scans_and_what_brains_are_scanned_by(untrained_run, tmp_path):
    taken = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
    store = tmp_path / "store"
    for name in ("brain", "scans"):
        arrays = {
            kept: np.ones((1, 3, 8, 8), np.float32) for kept in (["maps"] if name == "brain" else ["scans"])
        }
        add_session(store, name, subject=name, source="", arrays=arrays, heights=[80],
                    acquisitions=None if name == "brain" else taken)  # fmt: skip
    facts = {"data_fingerprint": "", "data": str(store)}
    (untrained_run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    anywhere = Acquisition("mprage", tr=1.7, ti=0.6)
    for split, of_scans, of_brains in (
        ({"brain": "heldout", "scans": "train"}, True, False),
        ({"brain": "train", "scans": "heldout"}, False, True),
        ({"brain": "train", "scans": "train"}, True, True),
    ):
        close_store(store, split, spacing=2, fingerprint="")
        run = Run(untrained_run)
        run.config = load_preset("smoke", ["data.protocols=any"])
        known = run.protocols()
        assert any(f.source == str(store) and f.covers(taken[0]) for f in known["T1w"]) == of_scans
        assert any(f.covers(anywhere) for f in known["T1w"]) == of_brains
    shutil.rmtree(store)
    assert Run(untrained_run).protocols() == {}
