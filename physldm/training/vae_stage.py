"""First stage: the physics-informed VAE learns to explain scans by tissue."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool
from lightning_fabric import Fabric
from torch import Tensor

from physldm.config import Config
from physldm.data.scanning import scan_slices
from physldm.data.slices import Batch, SliceStore
from physldm.draws import Step, seeded
from physldm.models import PhysicsVAE, latent_shape
from physldm.models.discriminator import PatchDiscriminator
from physldm.models.encoder import scale_of
from physldm.models.losses import judged, ramp, shown, vae_loss
from physldm.models.perceptual import Lpips
from physldm.models.vae import VaeOutput
from physldm.physics import AcquisitionBatch

from .engine import Ahead, Critic, Training


def subsets(mask: Bool[Tensor, "B N"], further: float, draw: torch.Generator) -> Bool[Tensor, "B N"]:
    """Some of each row's scans (modality dropout): one at random is left out, with a chance of ``further`` another, and
    so on, but never the last. Of three scans, ``further`` = ½ makes every proper subset as likely."""
    left_out = 1 + (torch.rand(mask.shape, generator=draw) < further).cumprod(1).sum(1, keepdim=True)
    # a random order of who goes first, in which the absent come last
    place = torch.rand(mask.shape, generator=draw).masked_fill(~mask, 2.0).argsort(1).argsort(1)
    return mask & (place >= left_out.minimum(mask.sum(1, keepdim=True) - 1))


@dataclass(frozen=True)
class Drawn:
    """What a step learns from.

    Attributes:
        images: scans of B slices, ``[B, N, H, W]``.
        acquisitions: how they were taken.
        rows: M numbers of slices, each to be decoded.
        given: from which of their scans, ``[M, N]``.
        noise: on the codes, ``[M, C, h, w]``.
        asked: how the maps are to be scanned, ``[M, N]``.
        targets: the scans that should come out, ``[M, N, H, W]``.
        weight: how much each of them counts, ``[M, N]``; 0 where it is not asked for.
    """

    images: Tensor
    acquisitions: AcquisitionBatch
    rows: list[int]
    given: Tensor
    noise: Tensor
    asked: AcquisitionBatch
    targets: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Drawn:
        parts = {k: v if k == "rows" else v.to(device) for k, v in vars(self).items()}
        return Drawn(**parts)

    def through(self, model: Callable[..., VaeOutput]) -> tuple[VaeOutput, Tensor, Tensor]:
        """What the VAE makes of it, in units of the targets; the targets; how much each counts."""
        output = model(self.images, self.acquisitions, self.given, self.noise, self.rows, self.asked)
        return replace(output, scale=scale_of(self.targets)), self.targets, self.weight


def draw_step(store: SliceStore, config: Config, step: Step) -> Drawn:
    """Chooses slices and scans them, and says what is to be made of the scans.

    Each slice is encoded once and decoded once from all of its scans. It is asked for these scans, as if all had been
    taken at the brain's own gain. ``augment.asked`` of the slices are asked for scans of the same brain that were taken in
    other ways: what three scans leave open others may tell.

    ``augment.subsets`` of the slices are decoded a second time, from some of their scans (Wu and Goodman 2018 train their
    product of experts so). That second decoding is asked only for the scans that were left out, which together count as
    much as all of a slice's scans do.

    ``augment.at_mean`` of the decodings, of the first and of the second kind, get no noise on their code: a decoder
    that has only ever seen noisy codes makes a clean one too bright, for its norms divide by a smaller spread.

    Args:
        store: its training slices.
        config: of the run.
        step: decides all that is drawn.
    """
    slices = store.slices("train")
    chosen = step.batch(len(slices), config.vae_stage.batch)
    draw = step.draw()
    once, again = len(chosen), math.ceil(config.augment.subsets * len(chosen))
    otherwise = round(config.augment.asked * once)  # the last, as the first are at the mean of their code
    scanned = scan_slices(store, slices[chosen], config.data, draw, otherwise)
    given = own = scanned.given
    if config.vae.gain != "scan":  # nothing else can tell of a scan's own gain
        own = replace(given, images=given.images / scanned.gain[..., None, None])
    asked = [own[range(once - otherwise)], *([scanned.other] if scanned.other else []), own[range(again)]]
    asked = Batch.joined([part for part in asked if len(part.images)])
    images, targets = given.images, asked.images
    if torch.rand((), generator=draw) < 0.5:  # left and right are alike
        images, targets = images.flip(-1), targets.flip(-1)
    rows = [*range(once), *range(again)]
    some = subsets(given.mask[:again], config.augment.further, draw)
    noise = torch.randn(len(rows), *latent_shape(config), generator=draw)
    for kind in (noise[:once], noise[once:]):
        kind[: math.floor(config.augment.at_mean * len(kind))] = 0
    weight = asked.mask.float()
    hidden = weight[once:] * ~some
    # Σ weight of the second kind = that of as many slices of the first, whose scans are all asked for
    weight[once:] = hidden * (weight[once:].sum() / hidden.sum().clamp_min(1))
    looked_at = torch.cat([given.mask, some])
    return Drawn(images, given.acquisitions, rows, looked_at, noise, asked.acquisitions, targets, weight)


def train_vae(folder: Path, config: Config, store: SliceStore, fabric: Fabric) -> None:
    """Trains the VAE on the store's training slices and writes ``vae.safetensors``."""
    with fabric.init_module(), seeded(config.seed):
        module = PhysicsVAE(config.vae)
        discriminator = PatchDiscriminator() if config.loss.adversarial else None
    module = module.to(memory_format=torch.channels_last)
    perceptual = Lpips().to(fabric.device) if config.loss.perceptual else None
    seen: dict[str, Tensor] = {}  # the last step's images, for the critic

    def loss(model, step):
        drawn = drawn_for(step).to(fabric.device)
        output, targets, weight = drawn.through(model)
        if discriminator:
            made = output.reconstruction.detach()
            seen.update(made=shown(made, output.scale, weight), real=shown(targets, output.scale, weight))
            discriminator.requires_grad_(False)
        return vae_loss(
            output,
            targets,
            weight,
            config.loss,
            step.number,
            perceptual=perceptual,
            discriminator=discriminator,
        )

    def critic_loss(model, step):
        if ramp(step.number + 1, config.loss) == 0:
            return None
        model.module.requires_grad_(True)
        return judged(model, seen["real"], seen["made"])

    critic = Critic(discriminator, critic_loss, config.loss.discriminator_lr) if discriminator else None
    training = Training("vae", folder, config, fabric, module, critic)
    with Ahead(lambda step: draw_step(store, config, step)) as drawn_for:
        training.run(config.vae_stage.total_steps(len(store.slices("train")), fabric.world_size), loss)
