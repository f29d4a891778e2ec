"""Second stage: diffusion on the codes of the training slices, computed once."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from physldm.config import Config
from physldm.data.scanning import once_scanned
from physldm.data.slices import SliceStore
from physldm.diffusion import add_noise, diffusion_loss, make_schedule
from physldm.draws import seeded
from physldm.models import PhysicsVAE, make_denoiser
from physldm.progress import progress
from physldm.weights import architecture, load_weights

from .engine import Training

AT_ONCE = 16  # slices
UNTOLD = 0.1  # the share of slices whose height the network is not told (Ho and Salimans 2022)


@torch.inference_mode()
def cache_posteriors(
    vae: PhysicsVAE, store: SliceStore, config: Config, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the code of every training slice, then of its mirror image, slice by slice:
    ``[2S, C, h, w]``."""
    slices = store.slices("train")
    means, sigmas = [], []
    for start in progress(range(0, len(slices), AT_ONCE), desc="caching posteriors", unit="batch"):
        part = once_scanned(store, slices[start : start + AT_ONCE], config.data, config.seed)
        taken, mask = part.acquisitions.to(device), part.mask.to(device)
        both = [vae.encode(x.to(device), taken, mask) for x in (part.images, part.images.flip(-1))]
        mean, log_var = (torch.stack(x, 1).flatten(0, 1) for x in zip(*both, strict=True))
        means.append(mean.cpu())
        sigmas.append((0.5 * log_var).exp().cpu())
    return torch.cat(means), torch.cat(sigmas)


def train_ldm(folder: Path, config: Config, store: SliceStore, fabric: Fabric) -> None:
    """Trains the denoiser on codes drawn anew from the cached posteriors; writes ``ldm.safetensors``."""
    vae = PhysicsVAE(config.vae)
    load_weights(folder / "vae.safetensors", vae, architecture(config, "vae"))
    vae = vae.eval().to(fabric.device).to(memory_format=torch.channels_last)
    mean, sigma = cache_posteriors(vae, store, config, fabric.device)
    with seeded(config.seed):
        module = make_denoiser(config).to(memory_format=torch.channels_last)
    module.shift.copy_(mean.mean((0, 2, 3))[:, None, None])
    # the variance of z = μ + σε is that of μ plus the mean of σ²
    variance = mean.var((0, 2, 3)) + (sigma**2).mean((0, 2, 3))
    module.scale.copy_(variance.sqrt()[:, None, None])
    mean, sigma = (mean - module.shift) / module.scale, sigma / module.scale
    heights = store.heights(store.slices("train")).repeat_interleave(2)  # a mirror image lies as high
    module.span.copy_(torch.stack(heights.aminmax()))
    diffusion = config.diffusion
    schedule = make_schedule(diffusion.schedule, diffusion.timesteps)
    training = Training("ldm", folder, config, fabric, module)

    def loss(model, step):
        chosen, draw = step.batch(len(mean), config.ldm_stage.batch), step.draw()
        z = mean[chosen]
        z = z + sigma[chosen] * torch.randn(z.shape, generator=draw)
        eps = torch.randn(z.shape, generator=draw)
        t = torch.randint(diffusion.timesteps, (len(z),), generator=draw)
        untold = torch.rand(len(z), generator=draw) < UNTOLD
        height = heights[chosen].masked_fill(untold, torch.nan)
        z, eps, t, height = (x.to(fabric.device) for x in (z, eps, t, height))
        output = model(add_noise(z, eps, t, schedule), t, height)
        value = diffusion_loss(
            output, z, eps, t, schedule, prediction=diffusion.prediction, min_snr=diffusion.min_snr or None
        )
        return value, {}

    training.run(config.ldm_stage.total_steps(len(mean), fabric.world_size), loss)
