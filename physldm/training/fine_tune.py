"""Going on with a trained VAE under another loss, to see what a term buys and what it costs (chapter 10)."""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physldm.config import LossConfig
from physldm.models import PhysicsVAE, latent_shape
from physldm.models.discriminator import PatchDiscriminator
from physldm.models.encoder import scale_images
from physldm.models.perceptual import Lpips
from physldm.progress import progress
from physldm.runs import Run

from .engine import CRITIC_BETAS, batch_order, keyed_draw, learning_rate
from .losses import ramp, real_or_made, shown, vae_loss
from .vae_stage import draw_step

FINE_TUNING, CRITIC = 3, 4  # after the numbers of the stages: draws of their own
Curves = dict[str, list[float]]


def fresh_critic(seed: int) -> PatchDiscriminator:
    """A discriminator that has learned nothing; its start depends on ``seed`` only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # layers draw their start from torch's own generator
        return PatchDiscriminator()


class _Learner:
    """A network with an Adam of its own; ``bf16`` where the run was trained so."""

    def __init__(self, run: Run, module: nn.Module, betas: tuple[float, float]):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = run.config.precision == "bf16-mixed"
        self.module = module.to(self.device)
        self.adam = torch.optim.Adam(module.parameters(), betas=betas)

    def __call__(self, *inputs):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.module(*inputs)

    def learn(self, value: Tensor, rate: float) -> None:
        if not torch.isfinite(value):
            raise FloatingPointError(f"fine-tuning: a loss is {value.item()}")
        self.adam.param_groups[0]["lr"] = rate
        self.adam.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.adam.step()

    def judge(self, real: Tensor, made: Tensor, rate: float) -> dict[str, Tensor]:
        """One step of a critic; its loss and mean verdicts."""
        on_real, on_made = self(real), self(made)
        value = real_or_made(on_real, on_made)
        self.learn(value, rate)
        return {"discriminator": value, "logit_real": on_real.mean(), "logit_made": on_made.mean()}

    def finished(self) -> nn.Module:
        return self.module.requires_grad_(True).cpu().eval()


def train_critic(
    run: Run, spoil: Callable[[Tensor], Tensor], steps: int, seed: int = 0, *, lr: float = 1e-4
) -> tuple[PatchDiscriminator, Curves]:
    """Teaches a fresh critic to tell a run's training scans from spoiled ones, one contrast of each slice at a time.

    Args:
        spoil: scans ``[B, 1, H, W]`` in scanner units → what passes for made.

    Returns:
        The critic, and of every step its loss and mean verdicts.
    """
    critic = _Learner(run, fresh_critic(seed), CRITIC_BETAS)
    store, stage, curves = run.store, run.config.vae_stage, defaultdict(list)
    slices = store.slices("train")
    for step in progress(range(steps), desc="training a critic", unit="step", mininterval=1.0):
        batch = store.batch(slices[batch_order(len(slices), stage, seed, CRITIC, step, 0, 1)])
        draw = keyed_draw(seed, CRITIC, 1, step)
        which = torch.multinomial(batch.mask.float(), 1, generator=draw)[:, 0]  # of the scans that are there
        scans = batch.images[torch.arange(len(which)), which][:, None]
        scale = scale_images(scans)[1]
        real, made = (shown(x, scale, None).to(critic.device) for x in (scans, spoil(scans)))
        for name, part in critic.judge(real, made, lr).items():
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

    The rate warms up over a tenth of the steps and then falls to zero. The same seed gives the same slices, mirrors and
    noise under every loss. Nothing is written, and the run stays as it is.

    Args:
        loss: its ramp counts steps of this tuning. lr: of Adam. critic: where ``loss.adversarial`` is above 0, the
            discriminator to begin with, which learns in place; by default a fresh one.

    Returns:
        The tuned VAE, and of every step the loss, its parts (unweighted) and the seconds it took.

    Raises:
        InputError: the run has no weights or no data, or LPIPS is asked for and its AlexNet has not been fetched.
        FloatingPointError: a loss is not finite.
    """
    vae = _Learner(run, copy.deepcopy(run.vae).train(), (0.9, 0.999))
    judge = _Learner(run, critic or fresh_critic(seed), CRITIC_BETAS) if loss.adversarial else None
    perceptual = Lpips().to(vae.device) if loss.perceptual else None
    stage = run.config.vae_stage.model_copy(update={"lr": lr, "warmup": steps // 10, "cosine": True})
    shape, curves = latent_shape(run.config), defaultdict(list)
    for step in progress(range(steps), desc="fine-tuning", unit="step", mininterval=1.0):
        start, rate = time.perf_counter(), learning_rate(step, steps, stage)
        drawn = draw_step(run.store, run.config, shape, seed, FINE_TUNING, step).to(vae.device)
        output, images, asked = drawn.through(vae)
        if judge:
            judge.module.requires_grad_(False)
        value, parts = vae_loss(output, images, asked, loss, step, perceptual=perceptual, discriminator=judge)
        vae.learn(value, rate)
        if judge and ramp(step + 1, loss) > 0:
            judge.module.requires_grad_(True)
            real, made = (shown(x.detach(), output.scale, asked) for x in (images, output.reconstruction))
            parts |= judge.judge(real, made, loss.discriminator_lr * rate / lr)
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
