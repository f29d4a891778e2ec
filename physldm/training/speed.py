"""How fast this machine trains, measured before a training is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from physldm.config import Config, load_preset
from physldm.models import PhysicsVAE, latent_shape, make_denoiser
from physldm.physics import Acquisition, AcquisitionBatch

# The timed step has 2 slices of 2 contrasts, a training step of the presets 4 of 3.
SHARE_OF_A_STEP = 1 / 3


@dataclass(frozen=True)
class Forecast:
    """What a training would take on this machine.

    Attributes:
        precision: the faster one.
        seconds: of a small step in each precision.
        vae_minutes: of the VAE stage.
        ldm_minutes: of the LDM stage.
    """

    precision: str
    seconds: dict[str, float]
    vae_minutes: float
    ldm_minutes: float


def forecast(device: torch.device, config: Config) -> Forecast:
    """How long both stages of ``config`` will take here, from a few steps of each."""
    seconds = measure_precisions(device)
    best = min(seconds, key=seconds.__getitem__)
    vae = seconds[best] / SHARE_OF_A_STEP * config.vae_stage.steps / 60
    ldm = measure_denoiser(device, best, config) * config.ldm_stage.steps / 60
    return Forecast(best, seconds, vae, ldm)


def measure_precisions(device: torch.device) -> dict[str, float]:
    """Seconds for one forward and backward pass of a small VAE in float32 and in bfloat16 autocast."""
    model = PhysicsVAE(load_preset("laptop").vae).to(device).to(memory_format=torch.channels_last)
    images = torch.rand(2, 2, 112, 80, device=device) * 300
    protocol = [Acquisition("mprage", tr=2.4, ti=1.0), Acquisition("spin_echo", te=0.1, tr=3.2)]
    batch = AcquisitionBatch.repeat(protocol, 2).to(device)
    return {
        precision: _seconds(lambda: model(images, batch).reconstruction.mean(), device, precision, 4)
        for precision in ("32-true", "bf16-mixed")
    }


def measure_denoiser(device: torch.device, precision: str, config: Config) -> float:
    """Seconds for one training step of ``config``'s denoiser, the faster of two."""
    model = make_denoiser(config).to(device).to(memory_format=torch.channels_last)
    x = torch.randn(config.ldm_stage.batch, *latent_shape(config), device=device)
    t = torch.zeros(len(x), dtype=torch.long, device=device)
    return _seconds(lambda: model(x, t).square().mean(), device, precision, 3)


def _seconds(loss: Callable[[], Tensor], device: torch.device, precision: str, repeats: int) -> float:
    """Forward and backward, the fastest but for the first, which also warms up."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16-mixed"):
            value = loss()
        value.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
