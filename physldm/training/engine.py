"""What both stages share: precision, keyed draws, the loop, checkpoints and the log."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from physldm.config import Config, StageConfig, load_preset
from physldm.models import PhysicsVAE, latent_shape, make_denoiser
from physldm.physics import Acquisition, AcquisitionBatch
from physldm.progress import progress
from physldm.weights import FORMAT, load_tensors, save_tensors

LOG_EVERY = 20
# With Adam's usual 0.9 a critic takes several times as many steps to tell anything.
CRITIC_BETAS = (0.5, 0.999)
STAGE_NUMBER = {"vae": 1, "ldm": 2}


def measure_precisions(device: torch.device, repeats: int = 4) -> dict[str, float]:
    """Seconds for one forward and backward pass of a small VAE in float32 and in bfloat16 autocast."""
    torch.manual_seed(0)
    model = PhysicsVAE(load_preset("laptop").vae).to(device, memory_format=torch.channels_last)
    images = torch.rand(2, 2, 112, 80, device=device) * 300
    protocol = [Acquisition("mprage", tr=2.4, ti=1.0), Acquisition("spin_echo", te=0.1, tr=3.2)]
    batch = AcquisitionBatch.repeat(protocol, 2).to(device)
    seconds = {}
    for precision, enabled in (("32-true", False), ("bf16-mixed", True)):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
                output = model(images, batch)
            output.reconstruction.mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        seconds[precision] = min(times[1:])
    return seconds


def measure_denoiser(device: torch.device, precision: str, config: Config) -> float:
    """Seconds for one training step of ``config``'s denoiser, the faster of two."""
    model = make_denoiser(config).to(device, memory_format=torch.channels_last)
    x = torch.randn(config.ldm_stage.batch, *latent_shape(config), device=device)
    t = torch.zeros(len(x), dtype=torch.long, device=device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16-mixed"):
            value = model(x, t).square().mean()
        value.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def keyed_draw(*key: int) -> torch.Generator:
    """A CPU generator that depends on nothing but ``key``: the same step draws the same numbers after a stop."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def batch_order(items: int, stage: StageConfig, seed: int, number: int, step: int, rank: int, world: int):
    """Which items make the batch of ``step`` on ``rank``: epochs are permutations keyed by seed and stage."""
    size = stage.batch * world
    per_epoch = max(1, items // size)
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(items, generator=keyed_draw(seed, number, 0, epoch))
    own = order[place * size : (place + 1) * size][rank::world]
    return own.tolist()


def learning_rate(step: int, total: int, stage: StageConfig) -> float:
    """Linear warm-up, then constant or a cosine to zero: decided by steps, never by minutes."""
    warm = min(1.0, (step + 1) / max(1, stage.warmup))
    decay = 0.5 * (1 + math.cos(math.pi * step / total)) if stage.cosine else 1.0
    return stage.lr * warm * decay


class RunLog:
    """``log.csv`` (stage, step, name, value) and TensorBoard events of one stage."""

    def __init__(self, folder: Path, stage: str, first_step: int):
        self.file, self.stage = folder / "log.csv", stage
        rows = []
        if self.file.exists():  # a stopped run wrote steps after its last checkpoint: they come again
            with open(self.file, newline="", encoding="utf-8") as file:
                rows = [r for r in csv.reader(file)][1:]
            rows = [r for r in rows if len(r) == 4 and (r[0] != stage or int(r[1]) < first_step)]
        with open(self.file, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["stage", "step", "name", "value"], *rows])
        self.events = SummaryWriter(str(folder / "events" / stage), purge_step=first_step)

    def write(self, step: int, values: dict[str, float]) -> None:
        with open(self.file, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self.stage, step, k, f"{v:.6g}"] for k, v in values.items())
        for name, value in values.items():
            self.events.add_scalar(f"{self.stage}/{name}", value, step)

    def close(self) -> None:
        self.events.close()


@dataclass
class Critic:
    """A second network that learns after the first in every step, by a loss and a rate of its own."""

    module: nn.Module
    loss: Callable[[nn.Module, int], tuple[Tensor, dict[str, Tensor]] | None]
    lr: float


@dataclass
class Training:
    """One stage of a run.

    ``loss(model, step)`` gives the loss of the module for that step and its parts for the log; so does a critic's, or
    None while it is not its turn yet.
    """

    name: str
    folder: Path
    config: Config
    stage: StageConfig
    fabric: Fabric
    module: nn.Module
    architecture: str
    critic: Critic | None = None

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}.checkpoint.safetensors"

    def run(self, total: int, loss: Callable[[nn.Module, int], tuple[Tensor, dict[str, Tensor]]]) -> None:
        """Trains to ``total`` steps, from the last checkpoint where there is one; saves the weights."""
        fabric, module = self.fabric, self.module
        module.to(fabric.device)  # before Adam and the average: their state lies where the weights lie
        learners = {"": (module, torch.optim.Adam(module.parameters(), lr=self.stage.lr, fused=True))}
        if self.critic:
            critic = self.critic.module.to(fabric.device)
            adam = torch.optim.Adam(critic.parameters(), lr=self.critic.lr, betas=CRITIC_BETAS, fused=True)
            learners["critic."] = (critic, adam)
        average = {k: v.detach().clone() for k, v in module.state_dict().items()} if self.stage.ema else {}
        first = self._resume(learners, average)
        ready = {who: fabric.setup(*learner) for who, learner in learners.items()}
        log = RunLog(self.folder, self.name, first) if fabric.is_global_zero else None
        bar = progress(
            range(first, total),
            initial=first,
            total=total,
            desc=f"training {self.name}",
            unit="step",
            disable=not fabric.is_global_zero,
            mininterval=1.0,
        )
        for step in bar:
            rate = learning_rate(step, total, self.stage)
            value, parts = loss(ready[""][0], step)
            self._learn(*ready[""], value, rate, step)
            if self.critic and (turn := self.critic.loss(ready["critic."][0], step)):
                self._learn(*ready["critic."], turn[0], self.critic.lr * rate / self.stage.lr, step)
                parts = parts | turn[1]
            self._update_average(average, step)
            if log and (step % LOG_EVERY == 0 or step == total - 1):
                values = {"loss": value.item(), **{k: v.item() for k, v in parts.items()}}
                log.write(step, values | {"lr": rate})
                bar.set_postfix(loss=f"{values['loss']:.3f}")
            if fabric.is_global_zero and (step + 1) % self.stage.checkpoint_steps == 0 and step + 1 < total:
                self._save_checkpoint(learners, average, step + 1)
        if fabric.is_global_zero:
            log.close()
            save_tensors(self.file, average or module.state_dict(), self._metadata())
            self.checkpoint.unlink(missing_ok=True)
        if average:
            module.load_state_dict(average)
        fabric.barrier()

    def _learn(self, model: nn.Module, optimizer, value: Tensor, rate: float, step: int) -> None:
        if not torch.isfinite(value):
            raise FloatingPointError(f"{self.name}: the loss of step {step} is {value.item()}")
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        self.fabric.backward(value)
        if self.stage.clip:
            self.fabric.clip_gradients(model, optimizer, max_norm=self.stage.clip)
        optimizer.step()

    def _metadata(self) -> dict[str, str]:
        return {"format": FORMAT, "architecture": self.architecture}

    def _update_average(self, average: dict[str, Tensor], step: int) -> None:
        if not average:
            return
        # early on a long memory would keep the random start: the usual (1+n)/(10+n) ramp
        keep = min(self.stage.ema, (1 + step) / (10 + step))
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value.detach().to(average[name].device), 1 - keep)

    def _save_checkpoint(self, learners: dict, average: dict[str, Tensor], step: int) -> None:
        tensors = {f"average.{k}": v for k, v in average.items()}
        for who, (module, optimizer) in learners.items():
            tensors |= {f"{who}model.{k}": v for k, v in module.state_dict().items()}
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{who}adam.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        save_tensors(self.checkpoint, tensors, self._metadata() | {"step": str(step)})

    def _resume(self, learners: dict, average: dict[str, Tensor]) -> int:
        if not self.checkpoint.exists():
            return 0
        tensors, metadata = load_tensors(self.checkpoint, self.architecture)
        part = lambda p: {k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)}  # noqa: E731
        for name, value in part("average.").items():
            average[name].copy_(value)
        for who, (module, optimizer) in learners.items():
            module.load_state_dict(part(f"{who}model."))
            state: dict[int, dict[str, Tensor]] = {}
            weights = list(module.parameters())
            for key, value in part(f"{who}adam.").items():
                number, name = key.split(".", 1)
                # a file knows no memory format, and fused Adam takes it that moments lie in memory as their weight does
                like = weights[int(number)]
                own = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
                state.setdefault(int(number), {})[name] = own
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        return int(metadata["step"])
