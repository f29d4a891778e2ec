"""Chapter 01: contrast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.physics import TISSUES, Acquisition, signal

from .verdict import Verdict, checked, checked_function, compare, each_named, not_yet

__all__ = ["MYSTERY", "mystery", "mystery_scans", "null_time", "proton_density_scan", "spin_echo_by_hand"]


@checked_function("Eq. 1 for the spin echo")
def spin_echo_by_hand(answer: Callable) -> Verdict:
    """Chapter 01: the spin echo of Eq. 1, by hand.

    Args:
        answer: function of PD (a.u.), T1 (s), T2 (s), scalar tensors, and TE (s), TR (s), numbers; returns
            the signal (a.u.).
    """

    def right(pd, t1, t2, te, tr):
        return pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2)

    def slips(pd, t1, t2, te, tr):
        exact = pd * (1 - 2 * math.exp(-(tr - te / 2) / t1) + math.exp(-tr / t1)) * math.exp(-te / t2)
        return {
            "TE and TR have changed places: recovery takes TR, decay takes TE.": right(pd, t1, t2, tr, te),
            "T1 and T2 have changed places: recovery runs on T1, decay on T2.": right(pd, t2, t1, te, tr),
            "The proton density is missing: it multiplies everything.": right(1, t1, t2, te, tr),
            "exp(−TR/T1) is what has not yet recovered. How much has?": pd * math.exp(-tr / t1 - te / t2),
            "The decay during the echo time is missing.": right(pd, t1, t2, 0, tr),
            "In Eq. 1 recovery takes all of TR, not TR − TE.": right(pd, t1, t2, 0, tr - te)
            * math.exp(-te / t2),
            "That is the exact spin echo of chapter 02; Eq. 1 leaves the refocusing pulse out.": exact,
        }

    def ask(pd, t1, t2, te, tr):
        return answer(torch.tensor(pd), torch.tensor(t1), torch.tensor(t2), te, tr)

    points = [(0.8, 1.2, 0.09, 0.05, 1.5), (0.6, 0.7, 0.06, 0.03, 0.9)]
    praise = "Recovery over TR, decay over TE, all of it times PD."
    return compare(ask, "PD T1 T2 TE TR", points, right, slips, praise)


@checked
def proton_density_scan(answer: Acquisition) -> Verdict:
    """Chapter 01: a spin echo whose signal is PD times almost the same number in every tissue.

    Args:
        answer: a ``spin_echo``, times in seconds; signal over PD may differ by 10 % between WM, GM and CSF.
    """
    if not isinstance(answer, Acquisition) or answer.sequence != "spin_echo":
        return not_yet('Give an acquisition: Acquisition("spin_echo", te=..., tr=...), times in seconds.')
    share = {
        name: (1 - math.exp(-answer.tr / TISSUES[name].t1)) * math.exp(-answer.te / TISSUES[name].t2)
        for name in ("wm", "gm", "csf")
    }
    lowest, highest = min(share, key=share.__getitem__), max(share, key=share.__getitem__)
    spread = 100 * (1 - share[lowest] / share[highest])
    if spread <= 10:
        minutes = 256 * answer.tr / 60
        return Verdict(
            True,
            f"Signal/PD differs by {spread:.0f} % between tissues: what is left is PD. "
            f"The patient pays in time: 256 lines take {minutes:.0f} minutes.",
        )
    reason = (
        "CSF has had no time to recover: its T1 is the longest."
        if lowest == "csf"
        else f"{lowest.upper()} has already decayed: its T2 is short."
    )
    return not_yet(
        f"Signal/PD still differs by {spread:.0f} % between {lowest.upper()} and {highest.upper()} "
        f"(at most 10 % will do). {reason}"
    )


@checked_function("the inversion time")
def null_time(answer: Callable) -> Verdict:
    """Chapter 01: the inversion time at which a tissue gives no signal.

    Args:
        answer: function of T1 (s) and TR (s), numbers; returns TI (s).
    """

    def right(t1, tr):
        # 1 − 2 E(TI) + E(TR) = 0
        return -t1 * math.log((1 + math.exp(-tr / t1)) / 2)

    def slips(t1, tr):
        return {
            "T1·ln 2 is the answer for TR → ∞. Here the repetition is not that long.": t1 * math.log(2),
            "The sign: the logarithm of less than 1 is negative, and a time is not.": -right(t1, tr),
            "math.log is the natural logarithm; this is the one to base 10.": right(t1, tr) / math.log(10),
        }

    points = [(4.2, 9.0), (0.3, 5.0), (0.85, 2.4)]
    praise = f"exp(−TI/T1) must be the mean of 1 and exp(−TR/T1). For CSF at TR 9 s: {right(4.2, 9.0):.2f} s."
    return compare(answer, "T1 TR", points, right, slips, praise, rel_tol=1e-3)


# Which protocols made the three unnamed pictures, and what gives each away. Not those that the chapter has shown.
MYSTERY = {
    "a": (Acquisition("flair", te=0.13, tr=7.0, ti=2.2), "dark CSF beside grey matter brighter than white"),
    "b": (Acquisition("mprage", tr=2.0, ti=0.8), "white matter brightest, CSF dark"),
    "c": (Acquisition("spin_echo", te=0.06, tr=4.0), "CSF brightest of all"),
}


def mystery_scans(maps: Float[Tensor, "3 H W"]) -> list[Float[Tensor, "H W"]]:
    """The three pictures of :func:`mystery`, in the order a, b, c.

    Args:
        maps: PD (a.u.), T1 (s), T2 (s), ``[3, H, W]``.

    Returns:
        Magnitudes ``[H, W]``.
    """
    return [signal(maps, acquisition).abs() for acquisition, _ in MYSTERY.values()]


@checked
def mystery(answer: Mapping[str, str]) -> Verdict:
    """Chapter 01: the sequence of each unnamed picture.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ...}``, each ``mprage``, ``spin_echo`` or ``flair``.
    """
    right = {letter: acquisition.sequence for letter, (acquisition, _) in MYSTERY.items()}
    hints = {
        letter: f"Look again at {letter}: which tissue is the brightest, and is CSF dark?"
        for letter in MYSTERY
    }
    return each_named(answer, right, hints, "; ".join(f"{k}: {why}" for k, (_, why) in MYSTERY.items()) + ".")
