"""Going on with a trained VAE under another loss, to see what a term buys and what it costs (chapter 10)."""

from __future__ import annotations

import copy
import time
from collections import defaultdict

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from physldm.config import LossConfig
from physldm.models import PhysicsVAE
from physldm.models.discriminator import PatchDiscriminator
from physldm.models.perceptual import Lpips
from physldm.runs import Run, latent_shape

from .engine import batch_order, keyed_draw, learning_rate
from .losses import ramp, real_or_made, shown, vae_loss
from .vae_stage import subsets

FINE_TUNING = 3  # after the stages' numbers: draws of its own


def fresh_critic(seed: int) -> PatchDiscriminator:
    """A discriminator that has learned nothing; its start depends on ``seed`` only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # layers draw their start from torch's own generator
        return PatchDiscriminator()


def fine_tune(
    run: Run,
    loss: LossConfig,
    steps: int,
    seed: int = 0,
    *,
    lr: float = 3e-4,
    critic: PatchDiscriminator | None = None,
) -> tuple[PhysicsVAE, dict[str, list[float]]]:
    """Trains a copy of a run's VAE for some more steps, on the run's training slices but with ``loss``.

    The rate warms up over a tenth of the steps and then falls to zero. The same seed gives the same slices, mirrors and
    noise under every loss. Nothing is written; the run itself stays as it is.

    Args:
        loss: its ramp counts steps of this tuning. lr: of Adam. critic: learns in place where ``loss.adversarial``
            is above 0; by default a fresh one.

    Returns:
        The tuned VAE, and of every step the loss, its parts (unweighted) and the seconds it took.

    Raises:
        InputError: the run has no weights or no data, or LPIPS is asked for and its AlexNet has not been fetched.
        FloatingPointError: the loss is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vae = copy.deepcopy(run.vae).to(device).train()
    perceptual = Lpips().to(device) if loss.perceptual else None
    learners: list[nn.Module] = [vae]
    if loss.adversarial:
        critic = (critic or fresh_critic(seed)).to(device)
        learners.append(critic)
    else:
        critic = None
    optimizers = [torch.optim.Adam(learner.parameters()) for learner in learners]
    stage = run.config.vae_stage.model_copy(update={"lr": lr, "warmup": steps // 10, "cosine": True})
    store, shape = run.store, latent_shape(run.config, vae)
    slices = store.slices("train")
    curves: dict[str, list[float]] = defaultdict(list)

    def cast() -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=run.config.precision == "bf16-mixed")

    def judge(pictures: Tensor) -> Tensor:
        with cast():
            return critic(pictures)

    def learn(which: int, value: Tensor, rate: float) -> None:
        if not torch.isfinite(value):
            raise FloatingPointError(f"fine-tuning: a loss of step {step} is {value.item()}")
        optimizers[which].param_groups[0]["lr"] = rate
        optimizers[which].zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(learners[which].parameters(), 1.0)
        optimizers[which].step()

    for step in tqdm(range(steps), desc="fine-tuning", unit="step", mininterval=1.0):
        start, rate = time.perf_counter(), learning_rate(step, steps, stage)
        chosen = slices[batch_order(len(slices), stage, seed, FINE_TUNING, step, 0, 1)]
        draw = keyed_draw(seed, FINE_TUNING, 1, step)
        batch = store.batch(chosen)
        images, mask = batch.images.to(device), batch.mask.to(device)
        if torch.rand((), generator=draw) < 0.5:  # a mirrored brain is a brain
            images = images.flip(-1)
        noise = torch.randn(len(chosen), *shape, generator=draw).to(device)
        given = subsets(batch.mask, run.config.augment.subsets, draw).to(device)
        with cast():
            output = vae(images, batch.acquisitions.to(device), given, noise)
        if critic:
            critic.requires_grad_(False)
        value, parts = vae_loss(
            output, images, mask, loss, step, perceptual=perceptual, discriminator=judge if critic else None
        )
        learn(0, value, rate)
        parts = {"loss": value} | parts
        if critic and ramp(step + 1, loss) > 0:
            critic.requires_grad_(True)
            real, made = (
                judge(shown(x.detach(), output.scale, mask)) for x in (images, output.reconstruction)
            )
            parts |= {"discriminator": real_or_made(real, made)}
            parts |= {"logit_real": real.mean(), "logit_made": made.mean()}
            learn(1, parts["discriminator"], loss.discriminator_lr * rate / lr)
        for name, part in parts.items():
            curves[name].append(part.item())
        curves["seconds"].append(time.perf_counter() - start)
    for learner in learners:
        learner.cpu().eval()
    return vae, dict(curves)
