"""What both stages share: the step by which a network learns, the loop, checkpoints and the log."""

from __future__ import annotations

import csv
import logging
import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from physldm.config import Config, StageConfig
from physldm.draws import Step, Who
from physldm.progress import progress
from physldm.weights import FORMAT, architecture, load_tensors, save_tensors

LOG_EVERY = 20
# With Adam's usual 0.9 a critic takes several times as many steps to tell anything.
CRITIC_BETAS = (0.5, 0.999)
M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")
Loss = Callable[["Learner", Step], tuple[Tensor, dict[str, Tensor]]]


def make_fabric(precision: str, devices: int | str = "auto") -> Fabric:
    """What a training runs on: the best devices here, all or some of them, in ``precision``."""
    # its remark on autocast would stand on a chapter's page as an error
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    # in a SLURM job that was started plainly, not by srun, there is one process, whatever the job may use
    plainly = "SLURM_NTASKS" in os.environ and "SLURM_STEP_ID" not in os.environ
    return Fabric(
        accelerator="auto",
        devices=devices,
        precision=cast(Any, precision),
        plugins=[LightningEnvironment()] if plainly else None,
    )


def learning_rate(step: int, total: int, stage: StageConfig) -> float:
    """Linear warm-up, then constant or a cosine to zero: decided by steps, never by minutes."""
    warm = min(1.0, (step + 1) / max(1, stage.warmup))
    decay = 0.5 * (1 + math.cos(math.pi * step / total)) if stage.cosine else 1.0
    return stage.lr * warm * decay


class Learner(Generic[M]):
    """A network, its Adam, and the one step by which everything in this package learns.

    Args:
        fabric: decides device, precision and how many processes share a step.
        module: the network; it learns in place.
        clip: the longest gradient that is believed; 0 for any.
        betas: of Adam.
    """

    def __init__(
        self,
        fabric: Fabric,
        module: M,
        *,
        clip: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
    ):
        self.fabric, self.clip = fabric, clip
        self.module = module.to(fabric.device)  # before Adam: its state lies where the weights lie
        self.adam = torch.optim.Adam(module.parameters(), betas=betas, fused=True)
        self._model, self._optimizer = fabric.setup(module, self.adam)

    def __call__(self, *inputs):
        return self._model(*inputs)

    def learn(self, value: Tensor, rate: float, number: int) -> None:
        """Step ``number`` of Adam, at ``rate``, down the gradient of ``value``.

        Raises:
            FloatingPointError: the value or its gradient is not finite; the network stays as it was.
        """
        if not torch.isfinite(value):
            raise FloatingPointError(f"step {number}: the loss is {value.item()}")
        self.adam.param_groups[0]["lr"] = rate
        self._optimizer.zero_grad()
        self.fabric.backward(value)
        norm = self.fabric.clip_gradients(
            self._model, self._optimizer, max_norm=self.clip or math.inf, error_if_nonfinite=False
        )
        if not math.isfinite(norm := float(cast(Tensor, norm))):
            raise FloatingPointError(f"step {number}: the norm of the gradient is {norm}")
        self._optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Weights and Adam's moments, by name."""
        tensors = {f"model.{k}": v for k, v in self.module.state_dict().items()}
        for i, state in self.adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Goes on from what :meth:`state` gave."""
        self.module.load_state_dict(_below("model.", tensors))
        weights, state = list(self.module.parameters()), {}
        for key, value in _below("adam.", tensors).items():
            number, name = key.split(".", 1)
            # a file knows no memory format, and fused Adam takes it that moments lie in memory as their weight does
            like = weights[int(number)]
            own = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(number), {})[name] = own
        self.adam.load_state_dict({"state": state, "param_groups": self.adam.state_dict()["param_groups"]})

    def finished(self) -> M:
        """The network, ready to use on the processor."""
        return self.module.requires_grad_(True).cpu().eval()


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


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


class Ahead(Generic[T]):
    """Draws what the next step needs while the network still learns from this one's, on a thread of its own. What is drawn
    follows from the step alone, so the numbers are those of drawing it when it is asked for; an error is raised then, too.

    Args:
        draw: what is drawn for a step.
    """

    def __init__(self, draw: Callable[[Step], T]):
        self._draw, self._pool = draw, ThreadPoolExecutor(1, "ahead")
        self._drawn: dict[Step, Future[T]] = {}

    def __call__(self, step: Step) -> T:
        """What ``step`` needs; begins to draw for the one after it."""
        drawn, after = self._drawn.get(step), replace(step, number=step.number + 1)
        found = drawn.result() if drawn else self._draw(step)
        self._drawn = {after: self._pool.submit(self._draw, after)}
        return found

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Critic:
    """A second network that learns after the first in every step.

    Attributes:
        module: the network.
        loss: its loss and the parts for the log; None while it is not its turn yet.
        lr: its rate.
    """

    module: nn.Module
    loss: Callable[[Learner, Step], tuple[Tensor, dict[str, Tensor]] | None]
    lr: float


class Training:
    """One stage of a run.

    Args:
        name: ``vae`` or ``ldm``.
        folder: of the run.
        config: of the run.
        fabric: device, precision, processes.
        module: what learns.
        critic: what learns after it in every step.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        config: Config,
        fabric: Fabric,
        module: nn.Module,
        critic: Critic | None = None,
    ):
        self.name, self.folder, self.config, self.fabric = name, folder, config, fabric
        self.stage: StageConfig = {"vae": config.vae_stage, "ldm": config.ldm_stage}[name]
        self.critic = critic
        self.learners = {"": Learner(fabric, module, clip=self.stage.clip)}
        if critic:
            self.learners["critic."] = Learner(
                fabric, critic.module, clip=self.stage.clip, betas=CRITIC_BETAS
            )
        # on the device by now, as the weights are
        self.average = (
            {k: v.detach().clone() for k, v in module.state_dict().items()} if self.stage.ema else {}
        )

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}.checkpoint.safetensors"

    def run(self, total: int, loss: Loss) -> None:
        """Trains to ``total`` steps, from the last checkpoint where there is one; saves the weights.

        Args:
            total: steps.
            loss: of the network in a step, and its parts for the log.

        Raises:
            FloatingPointError: a loss or a gradient is not finite.
        """
        main, first = self.fabric.is_global_zero, self._resume()
        log = RunLog(self.folder, self.name, first) if main else None
        bar = progress(
            range(first, total),
            initial=first,
            total=total,
            desc=f"training {self.name}",
            unit="step",
            disable=not main,
            mininterval=1.0,
        )
        for number in bar:
            rate = learning_rate(number, total, self.stage)
            values = self._step(number, rate, loss)
            if log and (number % LOG_EVERY == 0 or number == total - 1):
                values = {name: value.item() for name, value in values.items()}
                log.write(number, values | {"lr": rate})
                bar.set_postfix(loss=f"{values['loss']:.3f}")
            if main and (number + 1) % self.stage.checkpoint_steps == 0 and number + 1 < total:
                self._save_checkpoint(number + 1)
        module = self.learners[""].module
        if log:
            log.close()
            save_tensors(self.file, self.average or module.state_dict(), self._metadata())
            self.checkpoint.unlink(missing_ok=True)
        if self.average:
            module.load_state_dict(self.average)
        self.fabric.barrier()

    def _step(self, number: int, rate: float, loss: Loss) -> dict[str, Tensor]:
        """One step of the network, and of its critic; the loss and its parts."""
        step = Step(
            self.config.seed,
            Who[self.name.upper()],
            number,
            self.fabric.global_rank,
            self.fabric.world_size,
        )
        learner = self.learners[""]
        value, parts = loss(learner, step)
        try:
            learner.learn(value, rate, number)
            if self.critic and (turn := self.critic.loss(self.learners["critic."], step)):
                critic_rate = self.critic.lr * rate / self.stage.lr
                self.learners["critic."].learn(turn[0], critic_rate, number)
                parts = parts | turn[1]
        except FloatingPointError as error:
            raise FloatingPointError(f"{self.name}: {error}") from None
        self._update_average(number)
        return {"loss": value, **parts}

    def _metadata(self) -> dict[str, str]:
        return {"format": FORMAT, "architecture": architecture(self.config, self.name)}

    def _update_average(self, step: int) -> None:
        if not self.average:
            return
        # ā ← d ā + (1 − d) a; early on a long memory would keep the random start: the usual (1+n)/(10+n) ramp
        keep = min(self.stage.ema, (1 + step) / (10 + step))
        for name, value in self.learners[""].module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value.detach(), 1 - keep)

    def _save_checkpoint(self, step: int) -> None:
        tensors = {f"average.{k}": v for k, v in self.average.items()}
        for who, learner in self.learners.items():
            tensors |= {f"{who}{k}": v for k, v in learner.state().items()}
        save_tensors(self.checkpoint, tensors, self._metadata() | {"step": str(step)})

    def _resume(self) -> int:
        if not self.checkpoint.exists():
            return 0
        tensors, metadata = load_tensors(self.checkpoint, architecture(self.config, self.name))
        for name, value in _below("average.", tensors).items():
            self.average[name].copy_(value)
        for who, learner in self.learners.items():
            learner.load(_below(who, tensors))
        return int(metadata["step"])
