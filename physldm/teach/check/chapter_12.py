"""Chapter 12: latent diffusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .verdict import NO_ROUNDING, Verdict, checked, checked_function, compare, not_yet, tidy

__all__ = ["SAMPLERS", "average_memory", "choose_sampler", "code_scale", "guided_velocity"]


@checked_function("the scale")
def code_scale(answer: Callable) -> Verdict:
    """Chapter 12: the standard deviation of codes that will be drawn, a channel.

    Args:
        answer: function of the means and the standard deviations of S slices' codes, ``[S, C, h, w]`` each;
            returns ``[C]``.
    """
    draw = torch.Generator().manual_seed(0)
    for size in ([0.3, 1.0, 2.5], [2.0, 0.5, 1.5]):
        size = torch.tensor(size, dtype=torch.float64)[:, None, None]
        mean = 4 + size * torch.randn(6, 3, 5, 4, generator=draw, dtype=torch.float64)
        sigma = 2 * torch.rand(6, 3, 5, 4, generator=draw, dtype=torch.float64)
        found = torch.as_tensor(answer(mean, sigma), dtype=torch.float64)
        if found.numel() == 1:
            return not_yet("That is one number for the whole code. Each channel has a scale of its own.")
        if found.numel() != 3:
            return not_yet(
                f"Found shape {tuple(found.shape)}, expected (3,): over slices and places, not channels."
            )
        found, every = found.flatten(), (0, 2, 3)
        chance = sigma.square().mean(every)
        right = [(mean.var(every, correction=k) + chance).sqrt() for k in (0, 1)]  # with n or with n − 1
        if not any(torch.allclose(found, scale, rtol=1e-4) for scale in right):
            return not_yet(_slip_of_scale(found, mean, sigma, right[1]))
    return Verdict(True, "The variance of the means and the mean of the variances.")


def _slip_of_scale(found: Tensor, mean: Tensor, sigma: Tensor, right: Tensor) -> str:
    every = (0, 2, 3)
    variance, chance = mean.var(every), sigma.square().mean(every)
    slips = {
        "That is the variance. The scale is its square root.": variance + chance,
        "That is the spread of μ. The codes are draws, and σ spreads them more.": mean.std(every),
        "That is what the draws add. The means differ, too.": chance.sqrt(),
        "Variances add, standard deviations do not.": mean.std(every) + sigma.mean(every),
        "Square σ first, then take the mean.": (variance + sigma.mean(every).square()).sqrt(),
        "How far σ varies does not matter; how large its square is does.": (
            variance + sigma.var(every)
        ).sqrt(),
        "Take the mean off first: a spread is counted from it.": (mean.square().mean(every) + chance).sqrt(),
        "A scale is what codes are divided by, not its inverse.": 1 / right,
    }
    for hint, slip in slips.items():
        if torch.allclose(found, slip, rtol=0.006):
            return hint
    if torch.allclose(found, right, rtol=0.05):
        return NO_ROUNDING
    return f"For a channel of spread {mean.std(every)[0]:.3f} it gives {found[0]:.3f}."


@checked_function("the share")
def average_memory(answer: Callable) -> Verdict:
    """Chapter 12: the share of a moving average that comes from the last n weights.

    Args:
        answer: function of the decay d (0 to 1) and of n, a whole number; returns a share, 0 to 1.
    """

    def right(d, n):
        return sum((1 - d) * d**k for k in range(n))

    def slips(d, n):
        return {
            "That is what is older than n steps.": d**n,
            "That is the share of one single weight.": (1 - d) * d**n,
            "That is the share of one single weight, the oldest of the n.": (1 - d) * d ** (n - 1),
            "The n weights do not all count as much as the newest.": n * (1 - d),
            "The newest weight counts already: n of them, not n − 1.": 1 - d ** (n - 1),
            "Each step keeps the share d of what was there, not 1 − d.": 1 - (1 - d) ** n,
            "As a share, between 0 and 1.": 100 * right(d, n),
        }

    half = {d: math.log(0.5) / math.log(d) for d in (0.995, 0.9999)}
    praise = "Half: " + "; ".join(f"{n:,.0f} steps for d = {d}" for d, n in half.items()) + "."
    return compare(answer, "d n", [(0.9, 5), (0.995, 138), (0.5, 2)], right, slips, praise)


@checked_function("the guided answer")
def guided_velocity(answer: Callable) -> Verdict:
    """Chapter 12: classifier-free guidance, counted so that w = 0 is none.

    Args:
        answer: function of v told the height, v for any height, and the strength w, numbers; returns the
            guided v.
    """

    def right(told, anyone, w):
        return (1 + w) * told - w * anyone

    def slips(told, anyone, w):
        return {
            "With that w = 1 would be no guidance. Start from the answer of who is told.": anyone
            + w * (told - anyone),
            "The sign: away from the answer for any height.": told + w * (anyone - told),
            "That is only what is added.": w * (told - anyone),
            "w multiplies the difference, both of its parts.": told + w * told - anyone,
            "What is taken away is the answer for any height.": (1 + w) * told,
            "The two answers have changed places.": right(anyone, told, w),
        }

    points = [(0.7, -0.2, 2.0), (1.1, 0.4, 0.5), (0.3, 0.8, -1.0)]
    praise = "w = 0 is the network as trained, w = −1 draws for any height; one call more for anything else."
    return compare(answer, "v(h) v(any) w", points, right, slips, praise, rel_tol=1e-5)


# Five samplers of one model as somebody's table has them, and real slices; distances of "brains" drawn ones.
SAMPLERS: dict[str, dict[str, Any]] = {
    "a": {"calls": 1000, "seconds": 420, "brains": 500, "distance": 9.8, "interval": (9.9, 10.9)},
    "b": {"calls": 50, "seconds": 21, "brains": 500, "distance": 11.9},
    "c": {"calls": 20, "seconds": 8.4, "brains": 500, "distance": 10.1},
    "d": {"calls": 10, "seconds": 4.2, "brains": 500, "distance": 12.6},
    "e": {"calls": 10, "seconds": 4.2, "brains": 5000, "distance": 9.1},
    "held out": {"brains": 500, "distance": 4.1},
    "held out, rebuilt": {"brains": 500, "distance": 9.5},
}


@checked
def choose_sampler(answer: Mapping[str, str]) -> Verdict:
    """Chapter 12: what the table ``SAMPLERS`` says.

    Args:
        answer: ``{"cheapest": letter, "apart": letter, "first": ...}``: the cheapest that is as good as
            ``a``, the row that cannot be compared, and what to improve first, ``sampler``, ``denoiser`` or
            ``vae``.
    """
    if not isinstance(answer, Mapping) or set(answer) != {"cheapest", "apart", "first"}:
        return not_yet('Give all three: {"cheapest": ..., "apart": ..., "first": ...}.')
    cheapest, odd, first = (tidy(answer[question]) for question in ("cheapest", "apart", "first"))
    size = SAMPLERS["a"]["brains"]
    fair = {k: row for k, row in SAMPLERS.items() if "calls" in row and row["brains"] == size}
    (apart,) = (k for k, row in SAMPLERS.items() if row["brains"] != size)
    good = {k: row for k, row in fair.items() if row["distance"] <= SAMPLERS["a"]["interval"][1]}
    if odd != apart:
        return not_yet("apart: a distance depends on how many brains it was taken from.")
    if cheapest == apart:
        return not_yet(f"cheapest: {apart} looks good because of its many brains.")
    if cheapest != min(good, key=lambda k: good[k]["seconds"]):
        return not_yet(
            "cheapest: of those below the upper end of a's interval the one with the fewest seconds."
        )
    if first not in ("sampler", "denoiser", "vae"):
        return not_yet(f"first: found {answer['first']!r}; say one of sampler, denoiser, vae.")
    if first != "vae":
        return not_yet("first: how far are real slices once the VAE has rebuilt them? And how far is a?")
    return Verdict(True, "What the VAE blurs no sampler brings back, and no denoiser either.")
