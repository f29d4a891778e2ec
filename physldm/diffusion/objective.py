"""What the network is asked: the noise ε, or the velocity v; and how to turn one into the other."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .schedule import NoiseSchedule


def velocity(x0: Tensor, eps: Tensor, a: Tensor) -> Tensor:
    """The v that a network learns in place of ε; ``a`` is ᾱ_t, shaped to multiply.

    Equation: eq-v (Salimans 2022).
    """
    # v = √ᾱ_t ε − √(1 − ᾱ_t) x0
    return a.sqrt() * eps - (1 - a).sqrt() * x0


def clean_and_noise(output: Tensor, x_t: Tensor, a: Tensor, prediction: str) -> tuple[Tensor, Tensor]:
    """The x0 and ε that a network's output stands for, at x_t with ᾱ_t = ``a``.

    Raises:
        ValueError: ``prediction`` is neither ``v`` nor ``epsilon``.
    """
    if prediction == "v":
        # a rotation by the angle whose cosine is √ᾱ_t
        return a.sqrt() * x_t - (1 - a).sqrt() * output, (1 - a).sqrt() * x_t + a.sqrt() * output
    if prediction == "epsilon":
        return (x_t - (1 - a).sqrt() * output) / a.sqrt(), output
    raise ValueError(f"prediction: found {prediction!r}, expected v or epsilon")


def diffusion_loss(
    output: Float[Tensor, "B *x"],
    x0: Float[Tensor, "B *x"],
    eps: Float[Tensor, "B *x"],
    t: Int[Tensor, "B"],
    schedule: NoiseSchedule,
    *,
    prediction: str,
    min_snr: float | None = None,
) -> Tensor:
    """Mean squared error of the network's output.

    Equation: eq-ldm (Eq. 8 of the paper, where the output is ε; with ``v`` the target is the velocity).

    Args:
        min_snr: γ of the min-SNR weighting (Hang 2023), by which easy, nearly clean steps do not outweigh
            the others; none by default, as in the paper.
    """
    a = schedule.at(t, x0)
    target = velocity(x0, eps, a) if prediction == "v" else eps
    error = ((output.float() - target) ** 2).flatten(1).mean(1)
    if min_snr is not None:
        snr = (a / (1 - a)).flatten()
        # min(SNR, γ) is the weight of the error of x0; that error is 1/SNR of ε's and 1/(SNR + 1) of v's
        error = error * torch.clamp(snr, max=min_snr) / (snr + 1 if prediction == "v" else snr)
    return error.mean()
