"""Chapter 04: three pictures, three maps?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.physics import TISSUES, Acquisition, signal

from .verdict import (
    MORE_DIGITS,
    Verdict,
    checked,
    checked_function,
    compare,
    not_yet,
    number,
    number_is,
    numbers,
    rounded,
)

__all__ = ["best_te", "hidden_change", "protocol_design", "t2_slope", "voxels_needed"]

_USUAL = (
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
    Acquisition("spin_echo", te=0.1, tr=6.0),
)
_WHITE = torch.tensor([TISSUES["wm"].pd, TISSUES["wm"].t1, TISSUES["wm"].t2], dtype=torch.float64)


def _scan(tissue: Float[Tensor, "3"], protocol: Sequence[Acquisition]) -> Float[Tensor, " N"]:
    return torch.stack([signal(tissue[:, None, None], a)[0, 0] for a in protocol])


def _jacobian(protocol: Sequence[Acquisition]) -> Float[Tensor, "N 3"]:
    """∂ signal / ∂ ln(PD, T1, T2) of white matter, by differences."""
    step = 1e-5
    moved = [
        torch.exp(sign * step * axis) * _WHITE
        for axis in torch.eye(3, dtype=torch.float64)
        for sign in (1.0, -1.0)
    ]
    up, down = (torch.stack([_scan(t, protocol) for t in moved[k::2]], 1) for k in (0, 1))
    return (up - down) / (2 * step)


def _bound(protocol: Sequence[Acquisition], sigma: float = 0.01) -> float:
    """Cramér–Rao bound of PD in one voxel of white matter, relative: the root of ((JᵀJ/σ²)⁻¹)₁₁."""
    j = _jacobian(protocol)
    if torch.linalg.matrix_rank(j, rtol=1e-6) < 3:
        return math.inf
    return float(torch.linalg.inv(j.T @ j / sigma**2)[0, 0].sqrt())


@checked_function("the slope")
def t2_slope(answer: Callable) -> Verdict:
    """Chapter 04: ∂s/∂ln T2 of the spin echo of Eq. 1.

    Args:
        answer: function of PD (a.u.), T1, T2, TE and TR (s), numbers; returns the slope (a.u.).
    """

    def s(pd, t1, t2, te, tr):
        return pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2)

    def right(pd, t1, t2, te, tr):
        return (s(pd, t1, t2 * (1 + 1e-6), te, tr) - s(pd, t1, t2 * (1 - 1e-6), te, tr)) / 2e-6

    def slips(*given):
        pd, t1, t2, te, tr = given
        slope = right(*given)
        return {
            "That is ∂s/∂T2. For ∂s/∂ln T2 multiply by T2.": slope / t2,
            "That is T2² ∂s/∂T2: one T2 too many.": slope * t2,
            "The sign: a longer T2 leaves more signal.": -slope,
            "That is ∂ ln s/∂ ln T2. Multiply by s.": te / t2,
            "That is the signal itself. What does it answer to a change of T2?": s(*given),
            "That is ∂s/∂ln T1.": -pd * tr / t1 * math.exp(-tr / t1 - te / t2),
        }

    points = [(0.8, 1.2, 0.09, 0.05, 1.5), (0.6, 0.7, 0.06, 0.1, 0.9)]
    praise = "s · TE/T2: a scan with TE = 0 knows nothing of T2."
    return compare(answer, "PD T1 T2 TE TR", points, right, slips, praise)


@checked
def best_te(answer: float) -> Verdict:
    """Chapter 04: the TE at which a spin echo answers most to ln T2 of white matter (0.070 s).

    Args:
        answer: TE in seconds.
    """
    slips = {
        "In seconds, please.": 70.0,
        "That is where the slope of s in TE·e^(−TE/T2) has its turning point, not its maximum.": 0.14,
        "Half of it is left there. Where is TE·e^(−TE/T2) largest?": 0.07 * math.log(2),
    }
    praise = "At TE = T2: listen when a third is left."
    otherwise = "The slope is proportional to TE·e^(−TE/T2). Where is its derivative in TE zero?"
    return number_is(number(answer, "one time in seconds"), 0.07, slips, praise=praise, otherwise=otherwise)


@checked
def hidden_change(answer: tuple[float, float]) -> Verdict:
    """Chapter 04: by how much T1 and T2 of white matter must change to hide a PD that is 10 % higher.

    Args:
        answer: (change of T1, change of T2), both in percent.
    """
    found = numbers(answer, "two numbers in percent: (change of T1, change of T2)")
    before = _scan(_WHITE, _USUAL)

    def off(t1: float, t2: float) -> float:
        """The largest change of a scan, where PD is 10 % higher and T1 and T2 change by these percentages."""
        change = torch.tensor([1.1, 1 + t1 / 100, 1 + t2 / 100], dtype=torch.float64)
        return float((_scan(_WHITE * change, _USUAL) - before).abs().max())

    if min(found) <= -100:
        return not_yet("A T1 or T2 that is shorter by 100 % is none.")
    if off(*found) < 0.0025:
        return Verdict(True, f"No scan changes by more than {off(*found):.4f}, and the noise is 0.01.")
    blind = torch.linalg.svd(_jacobian(_USUAL)).Vh[-1]
    _, t1, t2 = (blind / blind[0]).tolist()
    right = [100 * (1.1**x - 1) for x in (t1, t2)]
    slips = {
        "Percent, please: 5.0 for five percent.": [x / 100 for x in right],
        "The direction is one of logarithms: 10 % more is ln 1.1, and a change of ln T1 is a factor.": [10 * t1, 10 * t2],
        "The two have changed places: T1 first.": right[::-1],
        "PD is higher, not lower: the other way along the direction.": [-x for x in right],
        "That is the direction itself, of length 1. Go along it until PD is 10 % higher.": [
            100 * x for x in (blind * blind[0].sign()).tolist()[1:]
        ],
    }  # fmt: skip
    for hint, slip in slips.items():
        if all(math.isclose(a, b, rel_tol=0.05) for a, b in zip(found, slip, strict=True)):
            return not_yet(hint)
    return not_yet(f"A scan still changes by {off(*found):.4f}; get below 0.0025.")


@checked
def voxels_needed(answer: int) -> Verdict:
    """Chapter 04: how many voxels of white matter must share their PD, T1 and T2 for PD to be known to 5 %.

    Args:
        answer: the least number of voxels, whole.
    """
    found, one = number(answer), _bound(_USUAL)
    needed = math.ceil((one / 0.05) ** 2)
    if found == needed:
        return Verdict(True, f"{needed}: the bound falls with the root of their number.")
    if found != int(found):
        return not_yet("A whole number of voxels. (Half a voxel too few is too few.)")
    if rounded(found, needed) or found == math.ceil((float(f"{one:.2g}") / 0.05) ** 2):
        return not_yet(MORE_DIGITS)
    if abs(found - one / 0.05) <= 1:
        return not_yet(
            "Twice the voxels is not twice the knowledge of PD: information adds up, its root counts."
        )
    if found <= 0:
        return not_yet("At least one.")
    known = f"With {found:g} voxels PD is known to {100 * one / math.sqrt(found):.2f} %"
    return not_yet(f"{known}. {'How few are enough?' if found > needed else 'That is not 5 % yet.'}")


@checked
def protocol_design(answer: Sequence[Acquisition]) -> Verdict:
    """Chapter 04: three scans that tell PD of white matter to 5 %.

    Args:
        answer: three acquisitions of Eq. 1, times in seconds, TRs of 18 s together, TE at least 0.01 s.
    """
    scans = list(answer)
    if len(scans) != 3 or not all(isinstance(a, Acquisition) for a in scans):
        return not_yet("Give a list of three acquisitions.")
    for a in scans:
        if a.sequence not in ("mprage", "spin_echo", "flair"):
            return not_yet(f"{a.sequence}: expected mprage, spin_echo or flair.")
        if a.sequence != "mprage" and a.te < 0.01:
            return not_yet(f"TE {a.te:g} s: the scanner cannot listen before 0.01 s.")
    total = sum(a.tr for a in scans)
    if total > 18 + 1e-9:
        return not_yet(f"The three TRs take {total:.1f} s together; there are 18.")
    bound = 100 * _bound(scans)
    if math.isinf(bound):
        return not_yet("Some change of tissue goes unseen by all three. Are they different enough?")
    if bound > 5:
        return not_yet(
            f"PD of white matter is known to {bound:.1f} %. Which scan would show PD and little else?"
        )
    return Verdict(True, f"PD of white matter is known to {bound:.1f} %, in one voxel.")
