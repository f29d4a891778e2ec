"""Chapter 15: the ablation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from physldm.physics import Acquisition, signal

from .verdict import (
    NO_ROUNDING,
    Verdict,
    checked,
    checked_function,
    near,
    not_yet,
    number,
    number_is,
    rounded,
    tidy,
)

__all__ = [
    "BEYOND_LUCK",
    "SWITCHES_OF_TABLE_1",
    "beyond_luck",
    "break_even",
    "same_scans",
    "switch_effect",
    "widened",
]


@checked_function("the effect")
def switch_effect(answer: Callable) -> Verdict:
    """Chapter 15: the mean of a score with a switch minus the mean without it.

    Args:
        answer: function of rows (switch → bool, score → number), the name of a switch and the name of a
            score; returns the effect, in the score's unit.
    """
    draw = torch.Generator().manual_seed(15)
    names = ("AdaGN", "prior", "dropout")
    rows = []
    for i in range(8):
        on = {name: bool(i >> bit & 1) for bit, name in enumerate(names)}
        luck = 3 * torch.randn((), generator=draw, dtype=torch.float64).item()
        rows.append(on | {"mse": 100 + 7 * on["AdaGN"] - 20 * on["prior"] + luck, "mae": luck})
    for switch, score in (("prior", "mse"), ("AdaGN", "mae"), ("dropout", "mse")):
        found = number(answer(rows, switch, score), "one number from your function")
        right = sum((1 if r[switch] else -1) * r[score] for r in rows) / 4
        if math.isclose(found, right, rel_tol=1e-6):
            continue
        if rounded(found, right):
            return not_yet(NO_ROUNDING)
        slips = {
            "The sign: with the switch, minus without it.": -right,
            "Half of it. Every row has its sign, and half of the rows have each: divide by n/2, not n.": right
            / 2,
            "That is a difference of sums. Of what are there as many as pairs?": 4 * right,
        }
        otherwise = (
            f"For {switch} and {score} it gives {found:.2f} on a made-up table; {right:.2f} would be right."
        )
        return not_yet(next((hint for hint, slip in slips.items() if math.isclose(found, slip)), otherwise))
    return Verdict(True, "Found on a made-up table of eight rows, luck included.")


# By the paper's MAE, beyond 2.5 times the luck of its Table 1.
BEYOND_LUCK = {"G regression", "modality dropout", "T1 & T2 prior"}
SWITCHES_OF_TABLE_1 = {"G regression", "modality dropout", "T1 & T2 prior", "AdaGN"}


@checked
def beyond_luck(answer: Iterable[str]) -> Verdict:
    """Chapter 15: the switches whose effect on the paper's MAE is more than 2.5 times the luck.

    Args:
        answer: a set of names out of ``SWITCHES``.
    """
    names = {tidy(name): name for name in SWITCHES_OF_TABLE_1}
    found = {tidy(name) for name in ({answer} if isinstance(answer, str) else answer)}
    if odd := found - set(names):
        return not_yet(
            f"Found {min(odd)!r}: give a set of names out of {', '.join(sorted(SWITCHES_OF_TABLE_1))}."
        )
    found = {names[name] for name in found}
    if found == BEYOND_LUCK:
        return Verdict(True, "And of AdaGN the sixteen rows cannot say it, by this score.")
    if not BEYOND_LUCK <= found:
        return not_yet("Not all of them. A switch that lowers MAE has an effect as well.")
    return not_yet('Too many. of_switches(paper, "mae") has the effects and the luck; mind the 2.5.')


@checked_function("the maps")
def same_scans(answer: Callable) -> Verdict:
    """Chapter 15: maps whose scans are those of other maps times a gain.

    Args:
        answer: function of maps ``[3, H, W]``, PD (a.u.), T1 (s), T2 (s), and of a gain; returns maps ``[3,
            H, W]``.
    """
    maps = torch.tensor([0.7, 0.8, 1.0, 0.85, 1.4, 4.0, 0.07, 0.085, 2.0]).reshape(3, 1, 3)
    for gain in (1.25, 0.6):
        found = answer(maps.clone(), gain)
        if not isinstance(found, Tensor) or found.shape != maps.shape:
            return not_yet("Expected maps of the same shape, [3, H, W].")
        usual = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
        off = max((signal(found, a) - gain * signal(maps, a)).abs().max().item() for a in usual)
        if off < 1e-4:
            continue
        if torch.allclose(found, maps / torch.tensor([gain, 1, 1])[:, None, None]):
            return not_yet("The other way round: with a gain above 1 the scans are brighter.")
        if torch.allclose(found, maps * gain):
            return not_yet("Then T1 and T2 change as well, and with them the contrast.")
        if torch.allclose(found, maps * torch.tensor([gain, 1, 1])[:, None, None], rtol=0.05):
            return not_yet(NO_ROUNDING)
        return not_yet("Scan your maps: they are not as bright as the others times the gain.")
    return Verdict(True, "Every signal is proportional to PD, so a common gain is a PD in other units.")


@checked
def break_even(answer: float) -> Verdict:
    """Chapter 15: the share of patients without T1w from which a run that practised is better on average.

    Args:
        answer: a share, 0 to 1.
    """
    found, right = number(answer), 2.0 / (2.0 + 11.2)
    slips = {
        "Nearly. Who lacks T1w does not pay the price for having it.": 2.0 / 11.2,
        "As a share of patients *without* T1w, between 0 and 1.": 1 - right,
    }
    if near(found, 100 * right):
        return not_yet("As a share, between 0 and 1.")
    return number_is(
        found,
        right,
        slips,
        praise=f"{right:.0%}: above it, what the few gain outweighs what all the others pay.",
        otherwise="p · 8.2 + (1 − p) · 29.4 for the one run. And for the other? Where are they equal?",
    )


@checked_function("the factor")
def widened(answer: Callable) -> Verdict:
    """Chapter 15: the factor that makes the standard deviations that a network said as wide as its errors.

    Args:
        answer: function of the true errors ``[n]`` and of the standard deviations that were said ``[n]``, in
            one unit; returns √mean((error/SD)²).
    """
    draw = torch.Generator().manual_seed(15)
    for factor in (2.0, 0.7):
        said = 0.01 + 0.05 * torch.rand(500, generator=draw, dtype=torch.float64)
        errors = factor * said.sqrt() * torch.randn(500, generator=draw, dtype=torch.float64)
        found = number(answer(errors, said), "one number from your function")
        z = errors / said
        right = float(z.square().mean().sqrt())
        if math.isclose(found, right, rel_tol=1e-4):
            continue
        if rounded(found, right):
            return not_yet(NO_ROUNDING)
        slips = {
            "That is the factor for the variances. The bars are standard deviations.": right**2,
            "The mean of the ratios' sizes. Square first, take the root last.": float(z.abs().mean()),
            "Divide in each place, then average.": float(
                (errors.square().mean() / said.square().mean()).sqrt()
            ),
            "Errors of both signs cancel. Square them first.": float(z.mean()),
            "That takes the mean of the ratios off first. The mean square has no such step.": float(z.std()),
            "That would narrow them: it stands on its head.": 1 / right,
        }
        otherwise = (
            f"On made-up errors it gives {found:.3g}; check the mean square of error over standard deviation."
        )
        named = (hint for hint, slip in slips.items() if math.isclose(found, slip, rel_tol=1e-4))
        return not_yet(next(named, otherwise))
    return Verdict(True, "After multiplying, error over standard deviation has a mean square of 1.")
