"""From noise to data: the reverse of the forward process, with a network that sees through the noise.

A model is any function ``model(x_t [B, ...], t [B] int64) -> [B, ...]`` that says v, ε or x₀. Nothing is clipped:
latents have no natural range. The last step always goes to ᾱ = 1, that is to x₀ itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from .objective import Prediction, check_prediction, x0_and_epsilon
from .schedule import NoiseSchedule, log_snr_timesteps, trailing_timesteps

Spacing = Literal["t", "lambda"]

Model = Callable[[Tensor, Tensor], Tensor]
# step index (0 is the first), t, x_t before the step, x₀ as the network sees it there
Callback = Callable[[int, int, Tensor, Tensor], None]


def ddpm_step(
    x_t: Tensor, x0: Tensor, alpha_bar: float, alpha_bar_prev: float, noise: Tensor | None = None
) -> Tensor:
    """One ancestral step: a draw from q(x_prev | x_t, x₀) (Ho et al. 2020, Eq. 6–7).

    Equation: eq-ddpm. ``alpha_bar`` is ᾱ at ``x_t``, ``alpha_bar_prev`` the larger one to go to; without
    ``noise`` it is the mean.
    """
    alpha = alpha_bar / alpha_bar_prev
    beta = 1 - alpha
    # μ = (√ᾱ_prev β x₀ + √α (1 − ᾱ_prev) x_t) / (1 − ᾱ_t),   σ² = β (1 − ᾱ_prev)/(1 − ᾱ_t)
    mean = (alpha_bar_prev**0.5 * beta * x0 + alpha**0.5 * (1 - alpha_bar_prev) * x_t) / (1 - alpha_bar)
    sigma2 = beta * (1 - alpha_bar_prev) / (1 - alpha_bar)
    return mean if noise is None else mean + sigma2**0.5 * noise


def ddim_step(
    x0: Tensor,
    eps: Tensor,
    alpha_bar: float,
    alpha_bar_prev: float,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """One DDIM step: keep ``x0`` and ``eps``, mix them again at ᾱ_prev (Song et al. 2021, Eq. 12, 16).

    Equation: eq-ddim. ``eta`` replaces that much of ``eps`` by fresh ``noise``: 0 none, 1 as much as DDPM.
    """
    # σ² = η² (1 − ᾱ_prev)/(1 − ᾱ_t) (1 − ᾱ_t/ᾱ_prev)
    sigma2 = eta**2 * (1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)
    # x_prev = √ᾱ_prev x₀ + √(1 − ᾱ_prev − σ²) ε + σ z
    x = alpha_bar_prev**0.5 * x0 + max(1 - alpha_bar_prev - sigma2, 0.0) ** 0.5 * eps
    return x if noise is None else x + sigma2**0.5 * noise


def dpm_solver_step(
    x_t: Tensor,
    x0: Tensor,
    x0_before: Tensor | None,
    alpha_bar: float,
    alpha_bar_prev: float,
    alpha_bar_before: float | None = None,
) -> Tensor:
    """One step of DPM-Solver++(2M): ``x0`` does not stay where it is but goes on as it went (Lu et al. 2022, Alg. 2).

    Equation: eq-dpm-solver. It is a DDIM step, in λ = ½ ln(ᾱ/(1 − ᾱ)), to an extrapolated x₀. The first step has
    no step before it, and the last one goes to ᾱ = 1, where λ is infinite: both are DDIM steps.

    Args:
        x_t: where we are.
        x0: as the network sees it there.
        x0_before: as it saw it one step earlier, or ``None``.
        alpha_bar: ᾱ at ``x_t``.
        alpha_bar_prev: the larger one to go to.
        alpha_bar_before: the smaller one of ``x0_before``.
    """
    ratio = (1 - alpha_bar_prev) ** 0.5 / (1 - alpha_bar) ** 0.5
    if x0_before is not None and alpha_bar_before is not None and alpha_bar_prev < 1:
        here = _half_log_snr(alpha_bar)
        h, h_before = _half_log_snr(alpha_bar_prev) - here, here - _half_log_snr(alpha_bar_before)
        # D = x₀ + h/(2 h_before) (x₀ − x₀ before)
        x0 = x0 + h / (2 * h_before) * (x0 - x0_before)
    # x_prev = σ_prev/σ_t x_t + (√ᾱ_prev − σ_prev/σ_t √ᾱ_t) D,   σ = √(1 − ᾱ)
    return ratio * x_t + (alpha_bar_prev**0.5 - ratio * alpha_bar**0.5) * x0


@torch.no_grad()
def ddpm(
    model: Model,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    prediction: Prediction,
    generator: torch.Generator,
    callback: Callback | None = None,
) -> Tensor:
    """Ancestral sampling through all T steps.

    Args:
        model: says v, ε or x₀ at (x_t, t).
        noise: x_T ~ N(0, I), ``[B, ...]``; its dtype and device are those of the run.
        schedule: of the noise.
        prediction: what ``model`` says, ``v``, ``epsilon`` or ``x0``.
        generator: draws the noise of each step, on its own device: one seed, the same sample everywhere.
        callback: is shown (step index, t, x_t, x₀ as seen from there) at every step.

    Returns:
        x₀, shaped as ``noise``.

    Raises:
        ValueError: an unknown ``prediction``.
    """
    check_prediction(prediction)
    x = noise
    for i, (t, a, a_prev) in enumerate(_levels(schedule, trailing_timesteps(schedule, schedule.T))):
        x0, _ = _look(model, x, t, schedule, prediction)
        if callback is not None:
            callback(i, t, x, x0)
        x = ddpm_step(x, x0, a, a_prev, _draw(x, generator) if t > 0 else None)
    return x


@torch.no_grad()
def ddim(
    model: Model,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    steps: int = 50,
    eta: float = 0.0,
    prediction: Prediction,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """DDIM sampling: few steps and, with ``eta`` 0, one sample for each noise.

    Args:
        model: says v, ε or x₀ at (x_t, t).
        noise: x_T ~ N(0, I), ``[B, ...]``; its dtype and device are those of the run.
        schedule: of the noise.
        steps: how many of the T steps to visit, evenly spread from T−1 down.
        eta: 0 deterministic; 1 as noisy as DDPM (and equal to it at ``steps`` = T).
        prediction: what ``model`` says, ``v``, ``epsilon`` or ``x0``.
        generator: draws the noise of each step on its own device; needed where ``eta`` > 0.
        callback: is shown (step index, t, x_t, x₀ as seen from there) at every step.

    Returns:
        x₀, shaped as ``noise``.

    Raises:
        ValueError: an unknown ``prediction``, not 1 ≤ steps ≤ T, not 0 ≤ eta ≤ 1, no generator for eta > 0.
    """
    check_prediction(prediction)
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: found {eta}, expected 0 to 1")
    if eta > 0 and generator is None:
        raise ValueError(f"generator: found none, expected one: eta = {eta} draws noise at every step")
    x = noise
    for i, (t, a, a_prev) in enumerate(_levels(schedule, trailing_timesteps(schedule, steps))):
        x0, eps = _look(model, x, t, schedule, prediction)
        if callback is not None:
            callback(i, t, x, x0)
        fresh = _draw(x, generator) if eta > 0 and a_prev < 1 else None
        x = ddim_step(x0, eps, a, a_prev, eta, fresh)
    return x


@torch.no_grad()
def dpm_solver(
    model: Model,
    noise: Tensor,
    schedule: NoiseSchedule,
    *,
    steps: int = 20,
    even_in: Spacing = "lambda",
    last: int = 0,
    prediction: Prediction,
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++(2M) sampling: one sample for each noise, as DDIM, with an error of second order in the steps.

    Args:
        model: says v, ε or x₀ at (x_t, t).
        noise: x_T ~ N(0, I), ``[B, ...]``; its dtype and device are those of the run.
        schedule: of the noise.
        steps: how many of the T steps to visit; one call of ``model`` each.
        even_in: what they are evenly spread in: ``lambda``, from T−1 down to ``last`` (:func:`log_snr_timesteps`), or
            ``t``, as DDIM's are. Even in t the last step is a long way in λ, and is made at first order.
        last: the t at which the last step begins, with ``lambda``. What is finer than the noise there is not drawn but
            averaged over.
        prediction: what ``model`` says, ``v``, ``epsilon`` or ``x0``.
        callback: is shown (step index, t, x_t, x₀ as seen from there) at every step.

    Returns:
        x₀, shaped as ``noise``.

    Raises:
        ValueError: an unknown ``prediction`` or ``even_in``, not 1 ≤ steps ≤ T (2 ≤ steps in λ), ``last`` out of range.
    """
    check_prediction(prediction)
    if even_in not in get_args(Spacing):
        raise ValueError(f"even_in: found {even_in!r}, expected one of {', '.join(get_args(Spacing))}")
    x, x0_before, a_before = noise, None, None
    times = trailing_timesteps(schedule, steps)
    if even_in == "lambda":
        times = log_snr_timesteps(schedule, steps, last)
    for i, (t, a, a_prev) in enumerate(_levels(schedule, times)):
        x0, _ = _look(model, x, t, schedule, prediction)
        if callback is not None:
            callback(i, t, x, x0)
        x = dpm_solver_step(x, x0, x0_before, a, a_prev, a_before)
        x0_before, a_before = x0, a
    return x


def _half_log_snr(alpha_bar: float) -> float:
    return 0.5 * math.log(alpha_bar / (1 - alpha_bar))


def _levels(schedule: NoiseSchedule, timesteps: list[int]) -> list[tuple[int, float, float]]:
    """(t, ᾱ_t, ᾱ of the step after it), ending at ᾱ = 1."""
    alpha_bar = schedule.alpha_bar.double().cpu()[timesteps].tolist()
    return list(zip(timesteps, alpha_bar, [*alpha_bar[1:], 1.0], strict=True))


def _look(
    model: Model, x: Tensor, t: int, schedule: NoiseSchedule, prediction: Prediction
) -> tuple[Tensor, Tensor]:
    times = torch.full((len(x),), t, dtype=torch.long, device=x.device)
    return x0_and_epsilon(model(x, times).to(x.dtype), x, times, schedule, prediction)


def _draw(x: Tensor, generator: torch.Generator | None) -> Tensor:
    device = x.device if generator is None else generator.device
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=device).to(x.device)
