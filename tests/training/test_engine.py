"""The loop by which everything learns: against Adam driven by hand, and against itself after a stop."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from physldm.config import StageConfig, load_preset, read_config
from physldm.draws import Step, Who
from physldm.errors import InputError
from physldm.runs import Run
from physldm.training.engine import CRITIC_BETAS, Ahead, Critic, Learner, Training, learning_rate
from physldm.weights import architecture, load_tensors


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
    assert not list(smoke_run.glob("*checkpoint*")) and not list(smoke_run.glob("part-*"))
    assert read_config(smoke_run / "config.toml").preset == "smoke"
    facts = json.loads((smoke_run / "run.json").read_text())
    assert facts["data_fingerprint"] == Run(smoke_run).store.fingerprint and facts["versions"]["torch"]
    assert list((smoke_run / "events").rglob("events.out.*"))


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(smoke_run, tmp_path):
    """Killed without warning in either stage, after a checkpoint, and started again by the same command."""
    run = tmp_path / "killed"
    shutil.copytree(smoke_run / "slices", run / "slices")
    command = [sys.executable, "-m", "physldm.cli", "train", "--run", str(run), "--preset", "smoke",
               "--set", "precision=32-true"]  # fmt: skip
    for stage in ("vae", "ldm"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 300  # seconds; a busy machine is no fault
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


def test_learning_rate_warms_up_and_cools_down():
    stage = StageConfig(steps=1, batch=1, lr=0.5, warmup=10)
    rates = [learning_rate(step, 100, stage) for step in range(100)]
    assert rates[0] < 0.06 and max(rates) <= 0.5 and rates[-1] < 1e-3
    flat = StageConfig(steps=1, batch=1, lr=0.5, cosine=False)
    assert learning_rate(90, 100, flat) == 0.5


PULLS = (100.0, 0.3, -5.0, 2.0)  # by how much the loss of each step pulls; more than 1 is too much
RATES = (0.05, 0.1, 0.1, 0.1)  # 0.1 after a warm-up of two steps


class Weight(torch.nn.Module):
    def __init__(self, *start):
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(start))

    def forward(self, pull):
        return pull * self.value.sum()


def by_hand(start, pulls, rates, betas=(0.9, 0.999)):
    """The weights after each step of torch's own Adam, with gradients shortened to length 1."""
    value, path = torch.tensor(start), []
    adam = torch.optim.Adam([value], betas=betas)
    for pull, rate in zip(pulls, rates, strict=True):
        gradient = torch.full_like(value, pull)
        value.grad = gradient / max(1.0, gradient.norm().item())
        adam.param_groups[0]["lr"] = rate
        adam.step()
        path.append(value.clone())
    return path


def small(stage, *changes):
    settings = ("lr=0.1", "warmup=2", "cosine=false", "clip=1.0", *changes)
    return load_preset("smoke", [f"{stage}.{setting}" for setting in settings])


def test_each_step_is_one_of_adam_and_the_average_of_weights_is_saved(tmp_path):
    module, seen = Weight(0.5, -1.0), []
    training = Training(
        "ldm", tmp_path, small("ldm_stage", "ema=0.15"), Fabric(accelerator="cpu", devices=1), module
    )

    def loss(model, step):
        seen.append(module.value.detach().clone())
        return model(PULLS[step.number]), {}

    training.run(len(PULLS), loss)
    path = by_hand((0.5, -1.0), PULLS, RATES)
    torch.testing.assert_close(torch.stack(seen[1:]), torch.stack(path[:-1]))
    average = seen[0]
    for step, weights in enumerate(path):
        keep = min(0.15, (1 + step) / (10 + step))
        average = keep * average + (1 - keep) * weights
    saved = load_file(training.file)["value"]
    torch.testing.assert_close(saved, average)
    assert not torch.allclose(saved, path[-1], rtol=1e-3)


def test_a_critic_has_a_rate_of_its_own_that_warms_up_with_the_other(tmp_path):
    module, judge = Weight(0.0), Weight(1.0, 2.0)
    critic = Critic(judge, lambda model, step: (model(-PULLS[step.number]), {}), 0.004)
    config, fabric = small("vae_stage"), Fabric(accelerator="cpu", devices=1)
    Training("vae", tmp_path, config, fabric, module, critic).run(
        len(PULLS), lambda model, step: (model(PULLS[step.number]), {})
    )
    rates = [0.004 * rate / 0.1 for rate in RATES]
    expected = by_hand((1.0, 2.0), [-p for p in PULLS], rates, CRITIC_BETAS)[-1]
    torch.testing.assert_close(judge.value.detach(), expected)
    torch.testing.assert_close(module.value.detach(), by_hand((0.0,), PULLS, RATES)[-1])


def test_without_a_limit_gradients_are_believed_as_they_are(tmp_path):
    module = Weight(0.0)
    fabric, pulls = Fabric(accelerator="cpu", devices=1), (100.0, 1.0)
    training = Training("ldm", tmp_path, small("ldm_stage", "clip=0.0", "ema=0.0"), fabric, module)
    training.run(2, lambda model, step: (model(pulls[step.number]), {}))
    # Adam's second step, by hand: m = .9 (.1 · 100) + .1 · 1, v = .999 (.001 · 100²) + .001 · 1, both unbiased
    second = (9.1 / (1 - 0.9**2)) / ((9.99 + 0.001) / (1 - 0.999**2)) ** 0.5
    assert module.value.item() == pytest.approx(-0.05 - 0.1 * second, rel=1e-4)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_is_told_and_changes_nothing(clip):
    module = Weight(0.0, 1.0)
    learner = Learner(Fabric(accelerator="cpu", devices=1), module, clip=clip)
    value = module.value.sqrt().sum()  # 1, with a slope of 1 / (2 √0) at the first
    with pytest.raises(FloatingPointError, match=r"^step 3: the norm of the gradient is inf$"):
        learner.learn(value, 0.1, 3)
    assert module.value.tolist() == [0.0, 1.0]


def test_drawing_ahead_gives_what_each_step_would_have_drawn():
    """One step after another, one twice and one out of order; on the second thread from the second step on."""
    threads = []

    def draw(step):
        threads.append(threading.current_thread() is threading.main_thread())
        return torch.randn(3, generator=step.draw())

    steps = [Step(5, Who.VAE, number, rank=1, world=2) for number in (0, 1, 2, 2, 7, 8)]
    with Ahead(draw) as ahead:
        found = [ahead(step) for step in steps]
    assert all(torch.equal(x, torch.randn(3, generator=s.draw())) for x, s in zip(found, steps, strict=True))
    assert threads[0] and sum(threads) == 3  # the first, the one that came twice, the one out of order


def test_an_error_of_drawing_ahead_is_raised_by_its_own_step():
    def draw(step):
        if step.number == 2:
            raise InputError("maps.npy: missing")
        return step.number

    with Ahead(draw) as ahead:
        assert [ahead(Step(0, Who.VAE, number)) for number in (0, 1)] == [0, 1]
        with pytest.raises(InputError, match=r"maps\.npy: missing"):
            ahead(Step(0, Who.VAE, 2))
    with Ahead(draw) as ahead:  # the last step of a training: nobody asks for the one after it
        assert ahead(Step(0, Who.VAE, 1)) == 1
