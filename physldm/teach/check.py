"""Answers to the exercises: each check says right or not yet, and why; it never raises.

A check computes what it expects on its own, in float64 and from the equations, not with the function that the
chapter hands out.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from physldm.physics import TISSUES, Acquisition, signal


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and what to say about it."""

    right: bool
    hint: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'✓ Right.' if self.right else '… Not yet.'} {self.hint}"


def _not_yet(hint: str) -> Verdict:
    return Verdict(False, hint)


def _verdict(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Turns whatever an answer does wrong into a hint, and an unanswered stub into an invitation."""

    @functools.wraps(check)
    def checked(answer=None) -> Verdict:
        if answer is None or answer is ...:
            return _not_yet("Replace the dots by your answer and run the cell again.")
        try:
            return check(answer)
        except Exception as error:  # an answer is a reader's code: anything may happen in it
            return _not_yet(f"Your answer stopped with {type(error).__name__}: {error}")

    return checked


@_verdict
def spin_echo_by_hand(answer: Callable) -> Verdict:
    """Chapter 01: ``answer(pd, t1, t2, te, tr)`` is the spin echo of Eq. 1."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.spin_echo_by_hand(my_spin_echo).")
    pd, t1, t2, te, tr = 0.8, 1.2, 0.09, 0.05, 1.5

    def value(te, tr, t1=t1, t2=t2, pd=pd):
        return pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2)

    found = answer(torch.tensor(pd), torch.tensor(t1), torch.tensor(t2), te, tr)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by Eq. 1 for the spin echo.")
    found = float(found)
    slips = {
        value(tr, te): "TE and TR have changed places: recovery takes TR, decay takes TE.",
        value(te, tr, t2, t1): "T1 and T2 have changed places: recovery runs on T1, decay on T2.",
        value(te, tr, pd=1.0): "The proton density is missing: it multiplies everything.",
        pd * math.exp(-tr / t1) * math.exp(-te / t2): "exp(−TR/T1) is what has not yet recovered. "
        "How much has?",
        pd * (1 - math.exp(-tr / t1)): "The decay during the echo time is missing.",
    }
    for slip, hint in slips.items():
        if math.isclose(found, slip, rel_tol=1e-4):
            return _not_yet(hint)
    if not math.isclose(found, value(te, tr), rel_tol=1e-4):
        return _not_yet(f"For PD {pd}, T1 {t1} s, T2 {t2} s, TE {te} s, TR {tr} s it gives {found:.4g}.")
    return Verdict(True, "Recovery over TR, decay over TE, all of it times PD.")


@_verdict
def proton_density_scan(answer: Acquisition) -> Verdict:
    """Chapter 01: a spin echo whose signal is PD times almost the same number in every tissue."""
    if not isinstance(answer, Acquisition) or answer.sequence != "spin_echo":
        return _not_yet('Give an acquisition: Acquisition("spin_echo", te=..., tr=...), times in seconds.')
    share = {
        name: (1 - math.exp(-answer.tr / TISSUES[name].t1)) * math.exp(-answer.te / TISSUES[name].t2)
        for name in ("wm", "gm", "csf")
    }
    lowest, highest = min(share, key=share.get), max(share, key=share.get)
    spread = 1 - share[lowest] / share[highest]
    if spread <= 0.10:
        return Verdict(
            True, f"Signal/PD differs by {100 * spread:.0f} % between tissues: what is left is PD."
        )
    reason = (
        "CSF has had no time to recover: its T1 is the longest."
        if lowest == "csf"
        else f"{lowest.upper()} has already decayed: its T2 is short."
    )
    return _not_yet(
        f"Signal/PD still differs by {100 * spread:.0f} % between {lowest.upper()} and {highest.upper()} "
        f"(at most 10 % will do). {reason}"
    )


@_verdict
def null_time(answer: Callable) -> Verdict:
    """Chapter 01: ``answer(t1, tr)`` is the inversion time at which tissue with that T1 gives no signal."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.null_time(my_null_time).")
    for t1, tr in ((4.2, 9.0), (0.3, 5.0), (0.85, 2.4)):
        found = answer(t1, tr)
        if found is None or found is ...:
            return _not_yet("Replace the dots in the function by the inversion time.")
        found = float(found)
        # 1 − 2 E(TI) + E(TR) = 0
        left = 1 - 2 * math.exp(-found / t1) + math.exp(-tr / t1)
        if abs(left) < 1e-3:
            continue
        if math.isclose(found, t1 * math.log(2), rel_tol=1e-4):
            return _not_yet("T1·ln 2 is the answer for TR → ∞. Here the repetition is not that long.")
        if not 0 < found < tr:
            return _not_yet(f"For T1 {t1} s and TR {tr} s it gives {found:.4g} s: not between 0 and TR.")
        return _not_yet(
            f"For T1 {t1} s and TR {tr} s it gives {found:.4g} s, and there {100 * left:.1f} % of PD is "
            "still seen."
        )
    return Verdict(True, "exp(−TI/T1) must be the mean of 1 and exp(−TR/T1).")


# Which protocols made the three unnamed pictures of chapter 01, and what gives each away.
MYSTERY = {
    "a": (Acquisition("flair", te=0.09, tr=9.0, ti=2.5), "dark CSF beside grey matter brighter than white"),
    "b": (Acquisition("mprage", tr=2.4, ti=1.0), "white matter brightest, CSF dark"),
    "c": (Acquisition("spin_echo", te=0.1, tr=3.2), "CSF brightest of all"),
}


def mystery_scans(maps: Tensor) -> list[Tensor]:
    """The three pictures, magnitudes ``[H, W]`` of maps ``[3, H, W]``, in the order a, b, c."""
    return [signal(maps, acquisition).abs() for acquisition, _ in MYSTERY.values()]


@_verdict
def mystery(answer: Mapping[str, str]) -> Verdict:
    """Chapter 01: ``answer`` names the sequence of each unnamed picture, ``{"a": ..., "b": ..., "c": ...}``."""
    if not isinstance(answer, Mapping) or set(answer) != set(MYSTERY):
        return _not_yet('Name all three: {"a": ..., "b": ..., "c": ...}.')
    names = {a.sequence for a, _ in MYSTERY.values()}
    for picture, name in answer.items():
        if name is ...:
            return _not_yet("Replace the dots by the names of the sequences.")
        if name not in names:
            return _not_yet(f"{picture}: found {name!r}, expected one of {', '.join(sorted(names))}.")
    wrong = [picture for picture, name in answer.items() if name != MYSTERY[picture][0].sequence]
    if wrong:
        return _not_yet(f"Look again at {', '.join(wrong)}: which tissue is the brightest, and is CSF dark?")
    return Verdict(True, "; ".join(f"{k}: {why}" for k, (_, why) in MYSTERY.items()) + ".")


@_verdict
def synthetic_scan(answer: numbers.Real) -> Verdict:
    """Chapter 00: the inversion time (s) at TR 3 s at which grey matter (T1 1.45 s) is dark in FLAIR."""
    t1, tr = 1.45, 3.0
    expected = -t1 * math.log((1 + math.exp(-tr / t1)) / 2)
    if math.isclose(float(answer), expected, abs_tol=0.02):
        return Verdict(True, "There grey matter's magnetisation is just crossing zero.")
    if math.isclose(float(answer), t1 * math.log(2), abs_tol=0.01):
        return _not_yet(
            "T1·ln 2 is the answer for a very long TR. In 3 s grey matter does not recover fully."
        )
    side = "still upside down" if float(answer) < expected else "already above zero"
    return _not_yet(f"At {float(answer):.3g} s grey matter is {side}.")


@_verdict
def product_of_two(answer: Callable) -> Verdict:
    """Chapter 09: ``answer(mean1, var1, mean2, var2)`` is (mean, variance) of the product of two Gaussians."""
    if not callable(answer):
        return _not_yet("Pass the function itself: check.product_of_two(my_product).")
    m1, v1, m2, v2 = 1.0, 0.5, 4.0, 3.0
    found = answer(m1, v1, m2, v2)
    if found is None or found is ...:
        return _not_yet("Replace the dots in the function by mean and variance.")
    mean, var = (float(x) for x in found)
    # on a fine grid, from the densities themselves
    x = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    density = torch.exp(-((x - m1) ** 2) / (2 * v1) - (x - m2) ** 2 / (2 * v2))
    density = density / density.sum()
    true_mean = float((x * density).sum())
    true_var = float(((x - true_mean) ** 2 * density).sum())
    if math.isclose(var, 1 / v1 + 1 / v2, rel_tol=1e-4):
        return _not_yet("That is the precision, σ⁻². The variance is its inverse.")
    if math.isclose(var, v1 + v2, rel_tol=1e-4):
        return _not_yet("Variances do not add here; precisions do.")
    if not math.isclose(var, true_var, rel_tol=1e-3):
        return _not_yet(f"For variances {v1} and {v2} the product has another variance than {var:.3g}.")
    if math.isclose(mean, (m1 + m2) / 2, rel_tol=1e-4):
        return _not_yet("A plain average: but the surer expert counts for more.")
    if not math.isclose(mean, true_mean, rel_tol=1e-3):
        return _not_yet(f"The variance is right. The mean is not {mean:.3g}: weigh each mean by σ²/σᵢ².")
    return Verdict(True, "Precisions add; means are weighed by them.")


@_verdict
def equal_parts(answer: int) -> Verdict:
    """Chapter 12: the first step at which there is at least as much noise as signal in x_t."""
    root = torch.linspace(0.0015**0.5, 0.0205**0.5, 1000, dtype=torch.float64)
    signal_left = (1 - root**2).cumprod(0)  # ᾱ_t of the paper's schedule
    first = int((signal_left <= 0.5).nonzero()[0])
    if int(answer) == first:
        return Verdict(True, "There ᾱ_t passes one half: signal and noise have equal variance.")
    if int(answer) == int((signal_left <= 0.25).nonzero()[0]):
        return _not_yet("√ᾱ_t is one half there. Compare the variances, ᾱ_t and 1 − ᾱ_t.")
    if int(answer) == 500:
        return _not_yet("Half of the steps is not half of the signal: ᾱ_t is no straight line.")
    if not 0 <= int(answer) < 1000:
        return _not_yet("t runs from 0 to 999.")
    return _not_yet(f"At t = {int(answer)} the share of signal is {signal_left[int(answer)]:.3f}.")
