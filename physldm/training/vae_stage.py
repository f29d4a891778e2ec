"""First stage: the physics-informed VAE learns to explain scans by tissue."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning_fabric import Fabric

from physldm.config import Config
from physldm.data.slices import SliceStore
from physldm.models import PhysicsVAE
from physldm.runs import architecture, latent_shape

from .engine import STAGE_NUMBER, Training, batch_order, keyed_draw
from .losses import vae_loss


def train_vae(folder: Path, config: Config, store: SliceStore, fabric: Fabric) -> None:
    """Trains the VAE on the store's training slices and writes ``vae.safetensors``."""
    with fabric.init_module():
        torch.manual_seed(config.seed)  # layers draw their start from torch's own generator
        module = PhysicsVAE(config.vae)
    module = module.to(memory_format=torch.channels_last)
    slices, stage = store.slices("train"), config.vae_stage
    shape = latent_shape(config, module)
    training = Training("vae", folder, config, stage, fabric, module, architecture(config, "vae"))

    def loss(model, step):
        number, rank = STAGE_NUMBER["vae"], fabric.global_rank
        chosen = batch_order(len(slices), stage, config.seed, number, step, rank, fabric.world_size)
        draw = keyed_draw(config.seed, number, 1, step, rank)
        batch = store.batch(slices[chosen])
        images = batch.images
        if torch.rand((), generator=draw) < 0.5:  # a mirrored brain is a brain
            images = images.flip(-1)
        noise = torch.randn(len(chosen), *shape, generator=draw)
        images, noise, mask = (x.to(fabric.device) for x in (images, noise, batch.mask))
        output = model(images, batch.acquisitions.to(fabric.device), mask, noise)
        return vae_loss(output, images, mask, config.loss)

    training.run(stage.total_steps(len(slices)), loss)
