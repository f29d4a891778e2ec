import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from physldm.config import StageConfig, read_config
from physldm.runs import Run, architecture, load_tensors
from physldm.training.engine import batch_order, keyed_draw, learning_rate
from physldm.training.losses import kl_to_standard_normal, tissue_prior


def losses(run, stage):
    with open(run / "log.csv", newline="") as file:
        return {
            int(r["step"]): float(r["value"])
            for r in csv.DictReader(file)
            if r["stage"] == stage and r["name"] == "loss"
        }


def test_losses_fall(smoke_run):
    for stage in ("vae", "ldm"):
        found = losses(smoke_run, stage)
        assert found[max(found)] < 0.9 * found[0]


def test_run_directory_is_whole(smoke_run):
    names = {"config.toml", "vae.safetensors", "ldm.safetensors", "log.csv", "run.json", "events"}
    assert names <= {p.name for p in smoke_run.iterdir()}
    assert not list(smoke_run.glob("*checkpoint*")) and not list(smoke_run.glob("*.part"))
    assert read_config(smoke_run / "config.toml").preset == "smoke"
    facts = json.loads((smoke_run / "run.json").read_text())
    assert facts["data_fingerprint"] == Run(smoke_run).store.fingerprint and facts["versions"]["torch"]
    assert list((smoke_run / "events").rglob("events.out.*"))


def test_a_killed_run_goes_on_to_the_same_numbers(smoke_run, tmp_path):
    """Killed without warning in either stage, after a checkpoint, and started again by the same command."""
    run = tmp_path / "killed"
    shutil.copytree(smoke_run / "slices", run / "slices")
    command = [sys.executable, "-m", "physldm.cli", "train", "--run", str(run), "--preset", "smoke",
               "--set", "precision=32-true"]  # fmt: skip
    for stage in ("vae", "ldm"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (run / f"{stage}.checkpoint.safetensors").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (run / f"{stage}.safetensors").exists()
    subprocess.run(command, check=True)
    for stage in ("vae", "ldm"):
        assert losses(run, stage) == losses(smoke_run, stage)
        ours, theirs = (
            load_tensors(
                folder / f"{stage}.safetensors", architecture(read_config(folder / "config.toml"), stage)
            )[0]
            for folder in (run, smoke_run)
        )
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_draws_depend_on_their_key_only():
    first = torch.randn(5, generator=keyed_draw(0, 1, 2))
    assert torch.equal(first, torch.randn(5, generator=keyed_draw(0, 1, 2)))
    others = [torch.randn(5, generator=keyed_draw(*key)) for key in ((1, 1, 2), (0, 2, 2), (0, 1, 3))]
    assert not any(torch.equal(first, other) for other in others)


def test_an_epoch_shows_every_item_once_and_ranks_share_it():
    stage = StageConfig(steps=1, batch=4, lr=1)
    seen = [i for step in range(5) for rank in (0, 1) for i in batch_order(40, stage, 0, 1, step, rank, 2)]
    assert sorted(seen) == list(range(40))
    assert batch_order(40, stage, 0, 1, 0, 0, 1) != batch_order(40, stage, 0, 1, 10, 0, 1)


def test_learning_rate_warms_up_and_cools_down():
    stage = StageConfig(steps=1, batch=1, lr=0.5, warmup=10)
    rates = [learning_rate(step, 100, stage) for step in range(100)]
    assert rates[0] < 0.06 and max(rates) <= 0.5 and rates[-1] < 1e-3
    flat = StageConfig(steps=1, batch=1, lr=0.5, cosine=False)
    assert learning_rate(90, 100, flat) == 0.5


def test_kl_is_that_of_torch():
    mean, log_var = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    ours = kl_to_standard_normal(mean, log_var)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_var).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert ours.item() == pytest.approx(theirs.sum((1, 2, 3)).mean().item(), rel=1e-6)


def test_prior_leaves_pd_alone():
    o = torch.zeros(1, 3, 2, 2)
    o[:, 0] = 9.0
    assert tissue_prior(o) == 0
    o[:, 1] = 2.0
    assert tissue_prior(o) == 4.0


def test_samples_depend_on_the_seed_only(smoke_run):
    run = Run(smoke_run)
    first = run.sample(2, seed=1)
    assert first.shape == (2, 3, 112, 80) and (first > 0).all()
    assert torch.equal(first, run.sample(2, seed=1)) and not torch.equal(first, run.sample(2, seed=2))


def test_latent_statistics_are_those_of_the_codes(smoke_run):
    from physldm.training.ldm_stage import cache_posteriors

    run = Run(smoke_run)
    mean, _ = cache_posteriors(run.vae, run.store, "train", torch.device("cpu"))
    shift, scale = run.latent_statistics
    torch.testing.assert_close(shift.flatten(), mean.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)
    assert (scale.flatten() >= 0.99 * mean.std((0, 2, 3))).all()


def test_an_absent_contrast_teaches_nothing(tmp_path):
    """What stands where a scan is absent has no influence on the weights, bit for bit."""
    from safetensors.torch import load_file

    from physldm.config import load_preset
    from physldm.data import make_subject
    from physldm.data.slices import add_session, close_store
    from physldm.training import train

    heights = (84, 88, 92, 96)
    subject = make_subject(0, 0, spacing=2, heights=heights)
    config = load_preset("smoke", ["vae_stage.steps=3", "precision=32-true"])
    weights = []
    for name, rubbish in (("zeros", 0.0), ("rubbish", 700.0)):
        scans = subject.scans.clone()
        scans[:, 1] = rubbish * torch.rand(scans[:, 1].shape, generator=torch.Generator().manual_seed(1))
        acquisitions = [subject.acquisitions[0], None, subject.acquisitions[2]]
        store = tmp_path / name
        add_session(store, "sub-1", subject="1", source="", acquisitions=acquisitions,
                    arrays={"scans": scans.numpy()}, heights=heights)  # fmt: skip
        close_store(store, {"sub-1": "train"}, spacing=2, fingerprint="")
        train(tmp_path / f"run-{name}", config, "vae", store)
        weights.append(load_file(tmp_path / f"run-{name}" / "vae.safetensors"))
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_slices_that_a_scan_does_not_reach_are_absent(tmp_path):
    import numpy as np

    from physldm.data.slices import add_session, close_store
    from physldm.physics import Acquisition

    scans = np.ones((3, 3, 8, 8), np.float32)
    scans[1:, 2] = 0
    protocol = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
    session = {"source": "", "acquisitions": protocol, "arrays": {"scans": scans}, "heights": range(3)}
    add_session(tmp_path, "sub-1", subject="1", **session)
    store = close_store(tmp_path, {"sub-1": "train"}, spacing=1, fingerprint="")
    assert store.batch([0, 1]).mask.tolist() == [[True, True, True], [True, True, False]]
    # a store that is being changed is no store until it is closed again
    add_session(tmp_path, "sub-2", subject="2", **session)
    assert not (tmp_path / "index.json").exists()
