"""From noise to samples: DDPM and DDIM as pure functions. Latents are not bounded: nothing is clipped.

``model(x_t [B, ...], t [B]) -> output [B, ...]``; ``callback(i, t, x_t, x0)`` sees every step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .objective import clean_and_noise
from .schedule import NoiseSchedule, trailing_timesteps

Model = Callable[[Tensor, Tensor], Tensor]
Callback = Callable[[int, int, Tensor, Tensor], None]


def ddim(
    model: Model,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    steps: int = 50,
    prediction: str,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """DDIM (Song 2021, Eq. 12): deterministic for η = 0, DDPM's ancestral sampling for η = 1.

    Equation: eq-ddim.

    Args:
        noise: x_T, standard normal, ``[B, ...]``. steps: how many of the T timesteps are visited.
        generator: of the noise that η > 0 adds.

    Returns:
        x_0, the shape of ``noise``.
    """
    x = noise
    timesteps = trailing_timesteps(schedule, steps)
    for i, t in enumerate(timesteps):
        a = schedule.alpha_bar[t].to(x)
        # the last step lands on the clean image: ᾱ = 1
        a_next = schedule.alpha_bar[timesteps[i + 1]].to(x) if i + 1 < steps else torch.ones_like(a)
        output = model(x, torch.full((len(x),), t, device=x.device)).float()
        x0, eps = clean_and_noise(output, x, a, prediction)
        # σ = η √((1−ᾱ')/(1−ᾱ)) √(1−ᾱ/ᾱ')
        sigma = eta * ((1 - a_next) / (1 - a)).sqrt() * (1 - a / a_next).sqrt()
        if callback:
            callback(i, t, x, x0)
        # x' = √ᾱ' x0 + √(1−ᾱ'−σ²) ε + σ n
        x = a_next.sqrt() * x0 + (1 - a_next - sigma**2).clamp_min(0).sqrt() * eps
        if eta > 0:
            x = x + sigma * torch.randn(x.shape, generator=generator).to(x)
    return x


def ddpm(
    model: Model,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    prediction: str,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """DDPM (Ho 2020, Algorithm 2) with the posterior variance: every one of the T steps, noise at each."""
    return ddim(
        model, noise, schedule, steps=len(schedule), prediction=prediction, eta=1.0,
        generator=generator, callback=callback,
    )  # fmt: skip
