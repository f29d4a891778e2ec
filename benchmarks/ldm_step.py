"""A training step of the laptop denoiser on cached posteriors against one that encodes its slices anew; and 16 brains."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from physldm.config import load_preset
from physldm.diffusion import add_noise, diffusion_loss, dpm_solver, make_schedule
from physldm.models import PhysicsVAE, latent_shape, make_denoiser
from physldm.physics import Acquisition, AcquisitionBatch

from .bar import Bar, seconds


def bars() -> list[Bar]:
    torch.manual_seed(0)
    config = load_preset("laptop")
    vae = PhysicsVAE(config.vae).eval().to(memory_format=torch.channels_last)
    denoiser = make_denoiser(config).to(memory_format=torch.channels_last)
    n = config.ldm_stage.batch
    images = 300 * torch.rand(n, 3, 112, 80)
    protocol = AcquisitionBatch.repeat([Acquisition.usual(s) for s in ("mprage", "spin_echo", "flair")], n)
    mean, sigma = torch.randn(n, *latent_shape(config)), 0.1 * torch.ones(n, *latent_shape(config))
    took = seconds(
        {
            "cached": _step(config, denoiser, lambda: (mean, sigma)),
            "anew": _step(config, denoiser, lambda: _encoded(vae, images, protocol)),
        },
        least=2.0,
    )
    brains = _sixteen_brains(config, vae, denoiser)
    print(f"LDM step of {n}: cached {took['cached']:.3f} s, encoding anew {took['anew']:.3f} s")
    return [
        Bar("LDM step, cached posteriors / encoding anew", took["cached"] / took["anew"], 1 / 3),
        Bar("16 brains by the default sampler, s", brains, 20.0),
    ]


@torch.no_grad()
def _encoded(vae: PhysicsVAE, images: torch.Tensor, protocol: AcquisitionBatch):
    mean, log_var = vae.encode(images, protocol)
    return mean, (0.5 * log_var).exp()


def _step(config, denoiser: torch.nn.Module, posterior: Callable) -> Callable[[], None]:
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=1e-4, fused=True)
    schedule, prediction = make_schedule(), config.diffusion.prediction
    t = torch.randint(schedule.T, (config.ldm_stage.batch,))
    height = torch.linspace(60.0, 124.0, len(t))

    def step() -> None:
        optimizer.zero_grad()
        mean, sigma = posterior()  # in float32, as the stage computes them
        z, eps = mean + sigma * torch.randn_like(mean), torch.randn_like(mean)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = denoiser(add_noise(z, eps, t, schedule), t, height)
        diffusion_loss(said, z, eps, t, schedule, prediction=prediction, min_snr=5.0).backward()
        optimizer.step()

    return step


@torch.inference_mode()
def _sixteen_brains(config, vae: PhysicsVAE, denoiser: torch.nn.Module) -> float:
    start = time.perf_counter()
    noise = torch.randn(16, *latent_shape(config))
    setting = {"steps": config.diffusion.sampler_steps, "prediction": config.diffusion.prediction}
    vae.decode(dpm_solver(denoiser, noise, make_schedule(), **setting))
    return time.perf_counter() - start
