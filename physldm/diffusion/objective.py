"""What the network learns to say at (x_t, t): the noise ε, the data x₀, or the velocity v. All tell the same.

With a = √ᾱ_t and s = √(1−ᾱ_t), a² + s² = 1, the pairs (x₀, ε) and (x_t, v) are a rotation of each other:
x_t = a x₀ + s ε,  v = a ε − s x₀   ⇔   x₀ = a x_t − s v,  ε = s x_t + a v.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .schedule import NoiseSchedule, coefficients, signal_to_noise

Prediction = Literal["v", "epsilon", "x0"]


def check_prediction(prediction: str) -> None:
    """Raises ``ValueError`` unless ``prediction`` is ``v``, ``epsilon`` or ``x0``."""
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


def epsilon_from_x0(x0: Tensor, x_t: Tensor, t: Int[Tensor, " B"], schedule: NoiseSchedule) -> Tensor:
    """The noise in ``x_t [B, ...]`` if ``x0`` is its data; divides by √(1 − ᾱ_t), which is small early."""
    a, s = coefficients(schedule, t, x_t)
    return (x_t - a * x0) / s


def x0_and_epsilon(
    model_output: Tensor, x_t: Tensor, t: Int[Tensor, " B"], schedule: NoiseSchedule, prediction: Prediction
) -> tuple[Tensor, Tensor]:
    """(x₀, ε) as the network sees them at ``x_t [B, ...]``, whichever of v, ε and x₀ it was trained to say.

    Raises:
        ValueError: an unknown ``prediction``.
    """
    check_prediction(prediction)
    if prediction == "v":
        return x0_from_v(model_output, x_t, t, schedule), epsilon_from_v(model_output, x_t, t, schedule)
    if prediction == "x0":
        return model_output, epsilon_from_x0(model_output, x_t, t, schedule)
    return x0_from_epsilon(model_output, x_t, t, schedule), model_output


def min_snr_weight(
    t: Int[Tensor, " B"], schedule: NoiseSchedule, gamma: float, prediction: Prediction
) -> Float[Tensor, " B"]:
    """The weight ``[B]`` that makes the squared error of ε, x₀ or v one of x₀ times min(SNR, γ).

    Equation: eq-min-snr. At one (x_t, t) the errors are proportional, ‖Δε‖² = SNR ‖Δx₀‖² and
    ‖Δv‖² = (SNR + 1) ‖Δx₀‖², so the same objective asks for another weight in each parametrisation
    (Hang et al. 2023, arXiv 2303.09556).

    Raises:
        ValueError: an unknown ``prediction``, or γ is not positive.
    """
    check_prediction(prediction)
    if not gamma > 0:
        raise ValueError(f"min_snr: found {gamma}, expected more than 0")
    snr = signal_to_noise(schedule, t)
    # min(SNR, γ)/SNR for ε,   min(SNR, γ)/(SNR + 1) for v,   min(SNR, γ) for x₀
    costs = {"epsilon": snr, "v": snr + 1, "x0": torch.ones_like(snr)}[prediction]
    return snr.clamp(max=gamma) / costs


def diffusion_loss(
    model_output: Float[Tensor, " B *dims"],
    x0: Float[Tensor, " B *dims"],
    eps: Float[Tensor, " B *dims"],
    t: Int[Tensor, " B"],
    schedule: NoiseSchedule,
    prediction: Prediction = "v",
    min_snr: float | None = None,
) -> Float[Tensor, ""]:
    """How far the network's answer at ``add_noise(x0, eps, t)`` is from the right one.

    Equation: eq-ldm (Eq. 8 of the paper, with ``prediction="epsilon"`` and no weight). The squared norm is
    taken as a mean over elements, so that a learning rate does not depend on the latents' size.

    Args:
        model_output: what the network says at (x_t, t).
        x0: the latents.
        eps: the noise put in.
        t: the steps.
        schedule: of the noise.
        prediction: what the network is asked for, ``v``, ``epsilon`` or ``x0``.
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
    target = {"epsilon": eps, "x0": x0}.get(prediction)
    target = velocity(x0, eps, t, schedule) if target is None else target
    dtype = torch.promote_types(x0.dtype, torch.float32)
    # L_LDM = E ‖ε − ε_θ(z_t, t)‖²   (Eq. 8), or the same of v or x₀
    error = (target.to(dtype) - model_output.to(dtype)).square().flatten(1).mean(1)
    if min_snr is not None:
        error = error * min_snr_weight(t.to(error.device), schedule, min_snr, prediction)
    return error.mean()
