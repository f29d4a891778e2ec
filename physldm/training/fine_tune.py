"""Going on with a trained VAE under another loss, to see what a term buys and what it costs (chapter 10)."""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.config import LossConfig
from physldm.data.scanning import scan_slices
from physldm.draws import Step, Who, seeded
from physldm.models import PhysicsVAE
from physldm.models.discriminator import PatchDiscriminator
from physldm.models.encoder import scale_of
from physldm.models.losses import judged, ramp, shown, vae_loss
from physldm.models.perceptual import Lpips
from physldm.progress import progress
from physldm.runs import Run

from .engine import CRITIC_BETAS, Learner, learning_rate, make_fabric
from .vae_stage import draw_step

Curves = dict[str, list[float]]


def fresh_critic(seed: int) -> PatchDiscriminator:
    """A discriminator that has learned nothing; its start depends on ``seed`` only."""
    with seeded(seed):
        return PatchDiscriminator()


def _teach(critic: Learner, real: Tensor, made: Tensor, rate: float, number: int) -> dict[str, Tensor]:
    """One step of a critic; its loss and mean verdicts."""
    critic.module.requires_grad_(True)
    value, parts = judged(critic, real, made)
    critic.learn(value, rate, number)
    return parts


def train_critic(
    run: Run, spoil: Callable[[Tensor], Tensor], steps: int, seed: int = 0, *, lr: float = 1e-4
) -> tuple[PatchDiscriminator, Curves]:
    """Teaches a fresh critic to tell a run's training scans from spoiled ones, one contrast of each slice at a time.

    Args:
        run: whose scans.
        spoil: scans ``[B, 1, H, W]`` in scanner units → what passes for made.
        steps: of Adam.
        seed: of all draws.
        lr: of Adam.

    Returns:
        The critic, and of every step its loss and mean verdicts.
    """
    fabric = make_fabric(run.config.precision, devices=1)
    critic = Learner(fabric, fresh_critic(seed), betas=CRITIC_BETAS)
    store, curves = run.store, defaultdict(list)
    slices = store.slices("train")
    for number in progress(range(steps), desc="training a critic", unit="step", mininterval=1.0):
        step = Step(seed, Who.CRITIC, number)
        chosen, draw = slices[step.batch(len(slices), run.config.vae_stage.batch)], step.draw()
        batch = scan_slices(store, chosen, run.config.data, draw).given
        # of the scans that are there
        which = torch.multinomial(batch.mask.float(), 1, generator=draw)[:, 0]
        scans = batch.images[torch.arange(len(which)), which][:, None]
        scale = scale_of(scans)
        real, made = (shown(x, scale, None).to(fabric.device) for x in (scans, spoil(scans)))
        for name, part in _teach(critic, real, made, lr, number).items():
            curves[name].append(part.item())
    return critic.finished(), dict(curves)


def fine_tune(
    run: Run,
    loss: LossConfig,
    steps: int,
    seed: int = 0,
    *,
    lr: float = 2e-4,
    critic: PatchDiscriminator | None = None,
) -> tuple[PhysicsVAE, Curves]:
    """Trains a copy of a run's VAE for some more steps, on the run's training slices but with ``loss``.

    The rate warms up over a tenth of the steps, then falls to zero. Slices, mirrors and noise follow from the seed alone.

    Args:
        run: whose VAE is copied; it stays as it is.
        loss: its ramp counts steps of this tuning.
        steps: of Adam.
        seed: of all draws.
        lr: the highest rate.
        critic: the discriminator to begin with, which learns in place; by default a fresh one.

    Returns:
        The tuned VAE, and of every step the loss, its parts (unweighted) and the seconds it took.

    Raises:
        InputError: the run has no weights or no data, or LPIPS is asked for and its AlexNet has not been fetched.
        FloatingPointError: a loss or a gradient is not finite.
    """
    fabric, curves = make_fabric(run.config.precision, devices=1), defaultdict(list)
    vae = Learner(fabric, copy.deepcopy(run.vae).train())
    judge = Learner(fabric, critic or fresh_critic(seed), betas=CRITIC_BETAS) if loss.adversarial else None
    lpips = Lpips().to(fabric.device) if loss.perceptual else None
    stage = run.config.vae_stage.model_copy(update={"lr": lr, "warmup": steps // 10, "cosine": True})
    for number in progress(range(steps), desc="fine-tuning", unit="step", mininterval=1.0):
        start, rate = time.perf_counter(), learning_rate(number, steps, stage)
        drawn = draw_step(run.store, run.config, Step(seed, Who.FINE_TUNING, number))
        output, targets, weight = drawn.to(fabric.device).through(vae)
        if judge:
            judge.module.requires_grad_(False)
        value, parts = vae_loss(output, targets, weight, loss, number, perceptual=lpips, discriminator=judge)
        vae.learn(value, rate, number)
        if judge and ramp(number + 1, loss) > 0:
            pictures = (shown(x.detach(), output.scale, weight) for x in (targets, output.reconstruction))
            parts |= _teach(judge, *pictures, loss.discriminator_lr * rate / lr, number)
        for name, part in {"loss": value, **parts}.items():
            curves[name].append(part.item())
        curves["seconds"].append(time.perf_counter() - start)
    if judge:
        judge.finished()
    return vae.finished(), dict(curves)


def pulls(
    terms: Mapping[str, Callable[[Tensor], Tensor]], pictures: Float[Tensor, "B N H W"]
) -> dict[str, Float[Tensor, "B N H W"]]:
    """The gradient of each term of a loss with respect to the pictures that it judges."""
    s = pictures.clone().requires_grad_()
    return {name: torch.autograd.grad(term(s), s)[0] for name, term in terms.items()}
