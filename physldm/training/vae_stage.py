"""First stage: the physics-informed VAE learns to explain scans by tissue."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool
from lightning_fabric import Fabric
from torch import Tensor

from physldm.config import Config
from physldm.data.slices import SliceStore
from physldm.models import PhysicsVAE
from physldm.models.discriminator import PatchDiscriminator
from physldm.models.perceptual import Lpips
from physldm.models.vae import VaeOutput
from physldm.physics import AcquisitionBatch
from physldm.runs import architecture, latent_shape

from .engine import STAGE_NUMBER, Critic, Training, batch_order, keyed_draw
from .losses import ramp, real_or_made, shown, vae_loss


def subsets(mask: Bool[Tensor, "B N"], draw: torch.Generator) -> Bool[Tensor, "B N"]:
    """A random subset of each row, all of them as likely: never none of what is there, nor all of it but where only
    one is there (the paper's modality dropout)."""
    alone = mask.sum(1) < 2
    left = mask.clone()
    # drawing anew until a subset is proper makes every proper one equally likely
    while (wrong := ~alone & ((left == mask).all(1) | ~left.any(1))).any():
        left[wrong] = (mask & (torch.rand(mask.shape, generator=draw) < 0.5))[wrong]
    return left


@dataclass(frozen=True)
class Drawn:
    """A step's slices: ``images [B, N, H, W]``, how they were taken, ``mask [B, N]`` of what is there; and what is
    decoded: ``rows``, M numbers of slices, from which of their scans (``given [M, N]``), with which ``noise [M, ...]``
    on the code."""

    images: Tensor
    acquisitions: AcquisitionBatch
    mask: Tensor
    rows: list[int]
    given: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> Drawn:
        moved = (x.to(device) for x in (self.images, self.acquisitions, self.mask))
        return Drawn(*moved, self.rows, self.given.to(device), self.noise.to(device))

    def through(self, model: Callable[..., VaeOutput]) -> tuple[VaeOutput, Tensor, Tensor]:
        """What the VAE makes of it, and the images ``[M, N, H, W]`` and mask that it is to be compared with."""
        output = model(self.images, self.acquisitions, self.given, self.noise, self.rows)
        return output, self.images[self.rows], self.mask[self.rows]


def draw_step(
    store: SliceStore,
    config: Config,
    shape: tuple[int, int, int],
    seed: int,
    number: int,
    step: int,
    rank: int = 0,
    world: int = 1,
) -> Drawn:
    """What ``step`` of a training learns from, decided by seed, number, step and rank alone.

    Each slice is encoded once and decoded once from all of its scans; ``augment.subsets`` of the slices are decoded a
    second time, from some of them (Wu and Goodman 2018 train their product of experts so). ``augment.at_mean`` of the
    slices get no noise on their code: a decoder that has only ever seen noisy codes makes a clean one too bright, for
    its norms divide by a smaller spread.

    Args:
        shape: of a slice's code. number: of the stage, so that each draws for itself.
    """
    slices = store.slices("train")
    chosen = batch_order(len(slices), config.vae_stage, seed, number, step, rank, world)
    draw = keyed_draw(seed, number, 1, step, rank)
    batch = store.batch(slices[chosen])
    images = batch.images
    if torch.rand((), generator=draw) < 0.5:  # a mirrored brain is a brain
        images = images.flip(-1)
    again = math.ceil(config.augment.subsets * len(chosen))
    rows = [*range(len(chosen)), *range(again)]
    given = torch.cat([batch.mask, subsets(batch.mask[:again], draw)])
    noise = torch.randn(len(rows), *shape, generator=draw)
    noise[torch.tensor(rows) < round(config.augment.at_mean * len(chosen))] = 0
    return Drawn(images, batch.acquisitions, batch.mask, rows, given, noise)


def train_vae(folder: Path, config: Config, store: SliceStore, fabric: Fabric) -> None:
    """Trains the VAE on the store's training slices and writes ``vae.safetensors``."""
    with fabric.init_module():
        torch.manual_seed(config.seed)  # layers draw their start from torch's own generator
        module = PhysicsVAE(config.vae)
        discriminator = PatchDiscriminator() if config.loss.adversarial else None
    module = module.to(memory_format=torch.channels_last)
    perceptual = Lpips().to(fabric.device) if config.loss.perceptual else None
    stage, shape = config.vae_stage, latent_shape(config)
    seen: dict[str, Tensor] = {}  # the last step's images, for the critic

    def loss(model, step):
        key = (config.seed, STAGE_NUMBER["vae"], step, fabric.global_rank)
        drawn = draw_step(store, config, shape, *key, fabric.world_size).to(fabric.device)
        output, images, mask = drawn.through(model)
        if discriminator:
            made = output.reconstruction.detach()
            seen.update(made=shown(made, output.scale, mask), real=shown(images, output.scale, mask))
            discriminator.requires_grad_(False)
        return vae_loss(
            output, images, mask, config.loss, step, perceptual=perceptual, discriminator=discriminator
        )

    def critic_loss(model, step):
        if ramp(step + 1, config.loss) == 0:
            return None
        discriminator.requires_grad_(True)
        real, made = model(seen["real"]), model(seen["made"])
        value = real_or_made(real, made)
        return value, {"discriminator": value, "logit_real": real.mean(), "logit_made": made.mean()}

    critic = Critic(discriminator, critic_loss, config.loss.discriminator_lr) if discriminator else None
    training = Training("vae", folder, config, stage, fabric, module, architecture(config, "vae"), critic)
    training.run(stage.total_steps(len(store.slices("train"))), loss)
