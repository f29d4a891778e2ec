"""Chapter 06: latent codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .verdict import MORE_DIGITS, Hint, Verdict, checked, checked_function, compare, not_yet, number, tidy

__all__ = [
    "SINGULAR_VALUES",
    "THREE_VAES",
    "code_length",
    "draw_from_belief",
    "kl_by_hand",
    "silent_channels",
]

SINGULAR_VALUES = (40.0, 30.0, 20.0, 15.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)


@checked
def code_length(answer: int) -> Verdict:
    """Chapter 06: how many numbers of a linear code hold 95 % of the variance, given ``SINGULAR_VALUES``.

    Args:
        answer: a whole number.
    """
    found = number(answer, "a whole number")
    if found != int(found):
        return not_yet("Give a whole number.")

    def needed(parts):
        return next(k for k in range(1, len(parts) + 1) if sum(parts[:k]) >= 0.95 * sum(parts))

    squares = [d**2 for d in SINGULAR_VALUES]
    found, right = int(found), needed(squares)
    if found == right:
        return Verdict(True, f"{right} of {len(squares)}: the variance goes with the squares.")
    if found == needed(SINGULAR_VALUES):
        return not_yet("That adds up the singular values. Variance goes with their squares.")
    if found == right - 1:
        return not_yet("One short. If you took an index from Python, it counts from 0.")
    if not 1 <= found <= len(squares):
        return not_yet(f"There are {len(squares)} singular values.")
    return not_yet(f"{found} numbers hold {sum(squares[:found]) / sum(squares):.1%} of the variance.")


@checked_function("the draw")
def draw_from_belief(answer: Callable) -> Verdict:
    """Chapter 06: a draw from N(μ, σ²) that lets gradients through.

    Args:
        answer: function of μ ``[n]``, ln σ² ``[n]`` and standard normal noise ``[n]``; returns the draw
            ``[n]``.
    """
    for numbers in (
        ([1.0, -2.0], [-1.0, 0.6], [0.5, -1.5]),
        ([0.3, 0.8, -0.4], [-2.0, 0.9, 0.2], [1.1, -0.7, 0.6]),
    ):
        mean, log_var, noise = (torch.tensor(x, dtype=torch.float64) for x in numbers)
        mean, log_var = mean.requires_grad_(), log_var.requires_grad_()
        found = answer(mean, log_var, noise)
        if not isinstance(found, Tensor) or found.shape != mean.shape:
            return not_yet("Return a tensor of the shape of the mean.")
        scaled = (torch.exp(0.5 * log_var) * noise).detach()
        if not torch.allclose(found.double(), mean + scaled, atol=1e-6):
            return not_yet(_slip_of_draw(found.double(), mean, log_var, noise))
        if not found.requires_grad:
            return not_yet("The number is right, but no gradient comes through: is something detached?")
        grads = torch.autograd.grad(found.sum(), [mean, log_var], allow_unused=True)
        slopes = (torch.ones_like(mean), 0.5 * scaled)  # of z in μ and in log σ²
        if any(g is None or not torch.allclose(g, s, atol=1e-6) for g, s in zip(grads, slopes, strict=True)):
            return not_yet("The number is right, but the gradient in μ or in log σ² is not.")
    return Verdict(True, "The noise comes from outside, so μ and σ are on the gradient's way.")


def _slip_of_draw(found: Tensor, mean: Tensor, log_var: Tensor, noise: Tensor) -> str:
    slips = {
        "That scales the noise by the variance. σ is its root: exp(½ log σ²).": log_var.exp() * noise,
        "That scales the noise by log σ². What is σ?": log_var * noise,
        "That is the mean: nothing is drawn.": 0 * noise,
        "That adds noise of standard deviation 1. Scale it by σ.": noise,
        "That divides the noise by σ.": noise * torch.exp(-0.5 * log_var),
    }
    for hint, slip in slips.items():
        if torch.allclose(found, mean + slip, atol=1e-6):
            return hint
    if torch.allclose(found, mean + torch.exp(0.5 * log_var) * noise, rtol=0.05):
        return f"{MORE_DIGITS} A function should not round at all, and a rounded number has no gradient."
    return "The draw must be decided by the noise that is passed in, as in z = μ + σ ε."


@checked_function("the KL")
def kl_by_hand(answer: Callable) -> Verdict:
    """Chapter 06: KL(N(μ, σ²) ‖ N(0, I)), summed over the numbers of a code.

    Args:
        answer: function of μ ``[n]`` and ln σ² ``[n]``; returns one number, in nats.
    """

    def integral(mean, log_var, backwards=False):
        # ∫ q ln(q/p) on a fine grid, from the densities themselves
        mean, log_var = torch.tensor([mean, log_var], dtype=torch.float64)
        z = torch.linspace(-12, 12, 240_001, dtype=torch.float64)[:, None]
        log_q = -0.5 * ((z - mean) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi))
        log_p = -0.5 * (z**2 + math.log(2 * math.pi)).expand_as(log_q)
        one, other = (log_p, log_q) if backwards else (log_q, log_p)
        return float((one.exp() * (one - other)).sum() * 1e-4)

    def slips(mean, log_var):
        right, n = integral(mean, log_var), len(mean)
        m, lv = torch.tensor([mean, log_var], dtype=torch.float64)
        swapped = "σ stands where σ² should: log_var is the logarithm of the variance."
        return {
            "That is the mean over the numbers of the code. Sum them.": right / n,
            "The half in front is missing.": 2 * right,
            "The −1 is missing: a belief that is N(0, 1) must cost nothing.": right + n / 2,
            "The sign: a KL is never negative.": -right,
            "That is the KL from the prior to the belief. It is the other way round.": integral(
                mean, log_var, True
            ),
            "σ² and ln σ² have changed places.": float(0.5 * (m**2 + lv - 1 - lv.exp()).sum()),
            swapped: float(0.5 * (m**2 + (0.5 * lv).exp() - 1 - 0.5 * lv).sum()),
        }

    def ask(mean, log_var):
        found = torch.as_tensor(answer(*torch.tensor([mean, log_var], dtype=torch.float64)))
        if found.numel() != 1:
            raise Hint("Return one number: the sum over the numbers of the code.")
        return found

    points = [
        ([0.8, -0.3, 0.0], [-1.0, 0.4, -2.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.2, 0.5, -0.7, 0.4], [0.5, -0.6, 0.3, -1.5]),
    ]
    praise = "An integral over the densities gives the same, and a belief that is N(0, 1) costs nothing."
    return compare(ask, "μ ln(σ²)", points, integral, slips, praise, rel_tol=1e-4)


# Three trainings that differ in the weight of the KL only: error of held-out pictures, KL of a code of 6 × 140
# numbers, and of each channel the root mean squares of σ and μ.
THREE_VAES: dict[str, dict[str, Any]] = {
    "a": {
        "mse": 0.052,
        "kl": 194.0,
        "sigma": (0.998, 0.42, 0.995, 0.71, 0.999, 0.93),
        "mu": (0.05, 0.91, 0.45, 0.70, 0.03, 0.36),
    },
    "b": {
        "mse": 0.030,
        "kl": 3340.0,
        "sigma": (0.03, 0.02, 0.03, 0.03, 0.02, 0.03),
        "mu": (1.4, 1.2, 1.2, 1.1, 1.5, 1.3),
    },
    "c": {
        "mse": 0.143,
        "kl": 0.2,
        "sigma": (0.999, 0.999, 0.998, 0.999, 0.999, 0.999),
        "mu": (0.02, 0.02, 0.03, 0.02, 0.02, 0.03),
    },
}


@checked
def silent_channels(answer: Mapping) -> Verdict:
    """Chapter 06: which of ``THREE_VAES`` had the heaviest KL, and which channels of ``a`` say nothing.

    Args:
        answer: ``{"heaviest": letter, "silent": set of channels}``; channels count from 0.
    """
    if not isinstance(answer, Mapping) or set(answer) != {"heaviest", "silent"}:
        return not_yet('Give both: {"heaviest": "...", "silent": {...}}.')
    heaviest = min(THREE_VAES, key=lambda name: THREE_VAES[name]["kl"])
    if tidy(answer["heaviest"]) != heaviest:
        return not_yet("The heaviest weight presses the KL down the most, whatever becomes of the picture.")
    cost = [
        0.5 * (m**2 + s**2 - 1 - math.log(s**2))
        for s, m in zip(THREE_VAES["a"]["sigma"], THREE_VAES["a"]["mu"], strict=True)
    ]
    silent = {k for k, value in enumerate(cost) if value < 0.01}
    found = {int(k) for k in answer["silent"]}
    if strangers := found - set(range(len(cost))):
        return not_yet(f"There is no channel {min(strangers)}: they are numbered from 0 to {len(cost) - 1}.")
    if found == {k + 1 for k in silent}:
        return not_yet("Channels count from 0.")
    if loud := found - silent:
        k = min(loud)
        return not_yet(f"Channel {k} costs {cost[k]:.3f} a number. Look at its μ as well as its σ.")
    if missed := silent - found:
        return not_yet(f"Channel {min(missed)} costs {cost[min(missed)]:.4f} a number: less than 0.01.")
    return Verdict(True, "Silent is σ = 1 and μ = 0. A channel with σ near 1 whose μ is not 0 still costs.")
