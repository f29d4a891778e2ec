"""First stage: the physics-informed VAE learns to explain scans by tissue."""

from __future__ import annotations

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
from physldm.runs import architecture, latent_shape

from .engine import STAGE_NUMBER, Critic, Training, batch_order, keyed_draw
from .losses import ramp, real_or_made, shown, vae_loss


def subsets(mask: Bool[Tensor, "B N"], share: float, draw: torch.Generator) -> Bool[Tensor, "B N"]:
    """What is left to encode: of ``share`` of the rows a random subset of what is present, all of them as likely, never
    none (the paper's modality dropout).
    """
    left = mask & (torch.rand(mask.shape, generator=draw) < 0.5)
    # drawing anew until something is left makes every subset that is not empty equally likely
    while not (some := left.any(1)).all():
        left[~some] = (mask & (torch.rand(mask.shape, generator=draw) < 0.5))[~some]
    chosen = torch.rand(len(mask), 1, generator=draw) < share
    return torch.where(chosen, left, mask)


def train_vae(folder: Path, config: Config, store: SliceStore, fabric: Fabric) -> None:
    """Trains the VAE on the store's training slices and writes ``vae.safetensors``."""
    with fabric.init_module():
        torch.manual_seed(config.seed)  # layers draw their start from torch's own generator
        module = PhysicsVAE(config.vae)
        discriminator = PatchDiscriminator() if config.loss.adversarial else None
    module = module.to(memory_format=torch.channels_last)
    perceptual = Lpips().to(fabric.device) if config.loss.perceptual else None
    slices, stage = store.slices("train"), config.vae_stage
    shape = latent_shape(config, module)
    seen: dict[str, Tensor] = {}  # the last step's images, for the critic

    def loss(model, step):
        number, rank = STAGE_NUMBER["vae"], fabric.global_rank
        chosen = batch_order(len(slices), stage, config.seed, number, step, rank, fabric.world_size)
        draw = keyed_draw(config.seed, number, 1, step, rank)
        batch = store.batch(slices[chosen])
        images = batch.images
        if torch.rand((), generator=draw) < 0.5:  # a mirrored brain is a brain
            images = images.flip(-1)
        noise = torch.randn(len(chosen), *shape, generator=draw)
        given = subsets(batch.mask, config.augment.subsets, draw)
        images, noise, mask, given = (x.to(fabric.device) for x in (images, noise, batch.mask, given))
        output = model(images, batch.acquisitions.to(fabric.device), given, noise)
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
    training.run(stage.total_steps(len(slices)), loss)
