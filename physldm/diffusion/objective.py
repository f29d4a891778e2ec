"""What the network learns to say at (x_t, t): the noise ε, or the velocity v. Both tell the same.

With a = √ᾱ_t and s = √(1−ᾱ_t), a² + s² = 1, the pairs (x₀, ε) and (x_t, v) are a rotation of each other:
x_t = a x₀ + s ε,  v = a ε − s x₀   ⇔   x₀ = a x_t − s v,  ε = s x_t + a v.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .schedule import NoiseSchedule, coefficients, signal_to_noise

Prediction = Literal["v", "epsilon"]


def check_prediction(prediction: str) -> None:
    """Raises ``ValueError`` unless ``prediction`` is ``v`` or ``epsilon``."""
    if prediction not in get_args(Prediction):
        raise ValueError(
            f"prediction: found {prediction!r}, expected one of {', '.join(get_args(Prediction))}"
        )


def velocity(x0: Tensor, eps: Tensor, t: Int[Tensor, " B"], schedule: NoiseSchedule) -> Tensor:
    """v of data ``x0 [B, ...]`` and noise ``eps`` (Salimans & Ho 2022).

    Equation: eq-velocity.
    """
    a, s = coefficients(schedule, t, x0)
    # v = √ᾱ_t ε − √(1 − ᾱ_t) x₀
    return a * eps - s * x0


def x0_from_epsilon(eps: Tensor, x_t: Tensor, t: Int[Tensor, " B"], schedule: NoiseSchedule) -> Tensor:
    """The data that ``x_t [B, ...]`` holds if ``eps`` is its noise; divides by √ᾱ_t, which is small late."""
    a, s = coefficients(schedule, t, x_t)
    return (x_t - s * eps) / a


def x0_from_v(v: Tensor, x_t: Tensor, t: Int[Tensor, " B"], schedule: NoiseSchedule) -> Tensor:
    """The data that ``x_t [B, ...]`` holds if ``v`` is its velocity; divides by nothing."""
    a, s = coefficients(schedule, t, x_t)
    return a * x_t - s * v


def epsilon_from_v(v: Tensor, x_t: Tensor, t: Int[Tensor, " B"], schedule: NoiseSchedule) -> Tensor:
    """The noise in ``x_t [B, ...]`` if ``v`` is its velocity; divides by nothing."""
    a, s = coefficients(schedule, t, x_t)
    return s * x_t + a * v


def x0_and_epsilon(
    model_output: Tensor, x_t: Tensor, t: Int[Tensor, " B"], schedule: NoiseSchedule, prediction: Prediction
) -> tuple[Tensor, Tensor]:
    """(x₀, ε) as the network sees them at ``x_t [B, ...]``, whichever of v and ε it was trained to say.

    Raises:
        ValueError: ``prediction`` is neither ``v`` nor ``epsilon``.
    """
    check_prediction(prediction)
    if prediction == "v":
        return x0_from_v(model_output, x_t, t, schedule), epsilon_from_v(model_output, x_t, t, schedule)
    return x0_from_epsilon(model_output, x_t, t, schedule), model_output


def min_snr_weight(
    t: Int[Tensor, " B"], schedule: NoiseSchedule, gamma: float, prediction: Prediction
) -> Float[Tensor, " B"]:
    """The weight ``[B]`` that makes the squared error of ε or v one of x₀ times min(SNR, γ).

    At one (x_t, t) the errors are proportional, ‖Δε‖² = SNR ‖Δx₀‖² and ‖Δv‖² = (SNR + 1) ‖Δx₀‖², so the same
    objective asks for another weight in each parametrisation (Hang et al. 2023, arXiv 2303.09556).

    Raises:
        ValueError: an unknown ``prediction``, or γ is not positive.
    """
    check_prediction(prediction)
    if not gamma > 0:
        raise ValueError(f"min_snr: found {gamma}, expected more than 0")
    snr = signal_to_noise(schedule, t)
    # min(SNR, γ)/SNR for ε,   min(SNR, γ)/(SNR + 1) for v
    return snr.clamp(max=gamma) / (snr if prediction == "epsilon" else snr + 1)


def diffusion_loss(
    model_output: Float[Tensor, "B *dims"],
    x0: Float[Tensor, "B *dims"],
    eps: Float[Tensor, "B *dims"],
    t: Int[Tensor, " B"],
    schedule: NoiseSchedule,
    prediction: Prediction = "v",
    min_snr: float | None = None,
) -> Float[Tensor, ""]:
    """How far the network's answer at ``add_noise(x0, eps, t)`` is from the right one.

    Equation: eq-ldm (Eq. 8 of the paper, with ``prediction="epsilon"`` and no weight). The squared norm is
    taken as a mean over elements, so that a learning rate does not depend on the latents' size.

    Args:
        model_output: what the network says at (x_t, t). x0: the latents. eps: the noise put in. t: the steps.
        prediction: what the network is asked for, ``v`` or ``epsilon``.
        min_snr: γ of the min-SNR weighting (5 in its paper); ``None`` weighs all steps alike.

    Returns:
        A scalar, float32 at least, also where the network answers in bfloat16.

    Raises:
        ValueError: shapes that differ, an unknown ``prediction``, γ ≤ 0.
    """
    check_prediction(prediction)
    if not model_output.shape == x0.shape == eps.shape:
        shapes = ", ".join(str(tuple(x.shape)) for x in (model_output, x0, eps))
        raise ValueError(f"model_output, x0, eps: found shapes {shapes}, expected them equal")
    target = eps if prediction == "epsilon" else velocity(x0, eps, t, schedule)
    dtype = torch.promote_types(x0.dtype, torch.float32)
    # L_LDM = E ‖ε − ε_θ(z_t, t)‖²   (Eq. 8), or the same of v
    error = (target.to(dtype) - model_output.to(dtype)).square().flatten(1).mean(1)
    if min_snr is not None:
        error = error * min_snr_weight(t.to(error.device), schedule, min_snr, prediction)
    return error.mean()
