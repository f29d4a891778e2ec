"""Chapter 14: metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from .verdict import (
    MORE_DIGITS,
    NO_ROUNDING,
    Verdict,
    checked,
    checked_function,
    each_named,
    not_yet,
    number,
    numbers,
    rounded,
)

__all__ = [
    "BEHIND",
    "OTHER_RANGES",
    "REPORTS",
    "misprint",
    "repeatable_psnr",
    "same_mse",
    "too_good",
]


@checked
def same_mse(answer: tuple[Sequence[float], Sequence[float]]) -> Verdict:
    """Chapter 14: two lists of errors with one MSE and very different MAE.

    Args:
        answer: two lists of 100 errors, both with an MSE of 4, one with at least eight times the other's MAE.
    """
    lists = list(answer)
    if len(lists) != 2:
        return not_yet(f"Found {len(lists)}, expected two lists of 100 errors.")
    one, other = (torch.as_tensor(errors, dtype=torch.float64).flatten() for errors in lists)
    for errors in (one, other):
        if len(errors) != 100:
            return not_yet(f"Found a list of {len(errors)} errors, expected 100.")
        square = float(errors.square().mean())
        if not math.isclose(square, 4, rel_tol=1e-3):
            return not_yet(f"The mean of the squares of one list is {square:.3g}, not 4.")
    small, large = sorted(float(errors.abs().mean()) for errors in (one, other))
    if large < 8 * small:
        return not_yet(
            f"The MAEs are {small:.3g} and {large:.3g}. How must 100 errors lie for their MAE to be the largest, "
            "and how for it to be the smallest?"
        )
    return Verdict(True, f"MAEs of {large:.3g} and {small:.3g}: MAE likes an error that sits in one place.")


# What MSE and PSNR of the other fifteen rows of Table 1 say of the data range: lowest and highest.
OTHER_RANGES = (1362, 1381)


@checked
def misprint(answer: tuple[int, float]) -> Verdict:
    """Chapter 14: the row of Table 1 whose PSNR contradicts its MSE, and the PSNR that it should have.

    Args:
        answer: (row, 1 to 16; PSNR in dB, to 0.1).
    """
    row, decibels = numbers(answer, "a pair, (row, dB)")
    if row != 16:
        return not_yet(f"The range of row {row:g} is like that of most others. Work out all sixteen.")
    low, high = (20 * math.log10(r / math.sqrt(1388)) for r in OTHER_RANGES)
    if low - 0.05 < decibels < high + 0.05:
        return Verdict(
            True,
            f"The others imply a range of {OTHER_RANGES[0]} to {OTHER_RANGES[1]}, row 16 one of 1305. "
            f"Its MSE asks for {low:.2f} to {high:.2f} dB, not 30.89.",
        )
    if math.isclose(decibels, 30.89, abs_tol=0.015):
        return not_yet("That is the row, and the PSNR that is printed. Which one does its MSE give?")
    if rounded(decibels, low):
        return not_yet(f"The row is right. {MORE_DIGITS}")
    return not_yet("The row is right. 10 log₁₀(R²/MSE), with its own MSE and the R of the others.")


REPORTS = {
    "a": "SSIM 0.97 on the images as stored, 256 × 256. Cropped to the head, 190 × 150, the same images have 0.93.",
    "b": "The new network has a quarter of the old one's MSE, and its PSNR is 6.0 dB higher. Same scans, same range.",
    "c": "MS-SSIM 0.998. Mean brightness in the brain: reconstructions 61, scans 97.",
    "d": "A patient with a metal clip joined the test set. In his batch MSE doubled, and PSNR rose from 29 to 36 dB.",
    "e": "People in the test set who were scanned once: 26.8 dB. People who were scanned more than once: 31.9 dB.",
}
BEHIND = {"a": "air", "b": "nothing wrong", "c": "gain hidden", "d": "bright voxel", "e": "leak"}


@checked
def too_good(answer: Mapping[str, str]) -> Verdict:
    """Chapter 14: what is behind each of ``REPORTS``.

    Args:
        answer: ``{"a": ..., ..., "e": ...}``, each ``gain hidden``, ``air``, ``leak``, ``bright voxel`` or
            ``nothing wrong``.
    """
    hints = {
        "a": "a: what was there more of before the crop?",
        "b": "b: by how many decibels does PSNR rise when MSE falls to a quarter?",
        "c": "c: the brain is a third too dark. What must have happened before the score was taken?",
        "d": "d: MSE and PSNR went up together. What else is in a PSNR?",
        "e": "e: is a person who is scanned twice easier to reconstruct? Where might the other scan be?",
    }
    return each_named(answer, BEHIND, hints, "And no report was false. Each said too little.")


@checked_function("the PSNR")
def repeatable_psnr(answer: Callable) -> Verdict:
    """Chapter 14: PSNR in the brain, with the 99.5th percentile of the noise-free scan there as its range.

    Args:
        answer: function of the found and the noise-free picture, ``[H, W]`` in scanner units, and of the
            brain, bool ``[H, W]``; returns decibels.
    """
    said = []
    for seed, gain in ((14, 0.9), (41, 1.05)):
        found, clean, brain = _pictures(seed, gain)
        value = number(answer(found, clean, brain), "one number from your function")
        right = _decibels(clean[brain].double().quantile(0.995), (found - clean)[brain])
        said.append(f"{right:.2f}")
        if math.isclose(value, right, abs_tol=1e-3):
            continue
        if rounded(value, right):
            return not_yet(NO_ROUNDING)
        named = (
            hint for hint, slip in _slips_of_psnr(found, clean, brain).items() if abs(value - slip) < 1e-3
        )
        return not_yet(
            next(named, f"On a made-up picture it gives {value:.2f} dB, and {right:.2f} would be right.")
        )
    return Verdict(
        True, f"{' and '.join(said)} dB on two made-up pictures, and anybody else will find the same."
    )


def _pictures(seed: int, gain: float) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    clean = 50 + 250 * torch.rand(60, 50, generator=draw)
    found = gain * clean + 10 * torch.randn(60, 50, generator=draw)
    brain = torch.zeros(60, 50, dtype=torch.bool)
    brain[8:50, 10:40] = True
    clean[~brain] *= 0.02
    found[~brain] = 0
    clean[20, 20], clean[2, 2] = 900, 2000  # a bright voxel in the brain, and one outside
    return found, clean, brain


def _decibels(data_range: Tensor, error: Tensor) -> float:
    return 10 * math.log10(float(data_range) ** 2 / float(error.double().square().mean()))


def _slips_of_psnr(found: Tensor, clean: Tensor, brain: Tensor) -> dict[str, float]:
    error, inside, whole = (found - clean)[brain], clean[brain].double(), clean.double()
    percentile = inside.quantile(0.995)
    right = _decibels(percentile, error)
    return {
        "The error is averaged over air as well.": _decibels(percentile, found - clean),
        "The largest value sets the range: one bright voxel is in there.": _decibels(inside.max(), error),
        "Largest minus smallest: one bright voxel is in there.": _decibels(
            inside.max() - inside.min(), error
        ),
        "The range is that of the whole picture, and one voxel sets it.": _decibels(
            whole.max() - whole.min(), error
        ),
        "The percentile is taken over the whole picture, air too.": _decibels(whole.quantile(0.995), error),
        "Nothing is masked: use the brain for error and range.": _decibels(
            whole.quantile(0.995), found - clean
        ),
        "The range belongs to the target, not to what was found.": _decibels(
            found[brain].double().quantile(0.995), error
        ),
        "That is the 99th percentile; ours is the 99.5th.": _decibels(inside.quantile(0.99), error),
        "PSNR has R squared over MSE, or 20 log₁₀ of R over its root.": right / 2,
        "That is the natural logarithm.": right * math.log(10),
        "The fraction stands on its head.": -right,
    }
