"""Chapter 05: brains and scans."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.data import example_maps
from physldm.physics import Acquisition, signal
from physldm.physics.noise import complex_noise_magnitude

from .verdict import Verdict, checked, checked_function, compare, letters, not_yet, number, number_is

__all__ = [
    "SESSIONS",
    "UNKNOWN_SIGMA",
    "fair_split",
    "mixed_flair",
    "noise_of_air",
    "unknown_scan",
    "what_it_proves",
]


@checked_function("the signal")
def mixed_flair(answer: Callable) -> Verdict:
    """Chapter 05: the FLAIR signal of a voxel with a share of CSF and the rest grey matter.

    Args:
        answer: function of the share f (0 to 1), grey matter and CSF, each (PD in a.u., T1 in s, T2 in s),
            and TE, TR and TI (s); returns the signal (a.u.).
    """

    def flair(tissue, te, tr, ti):
        pd, t1, t2 = tissue
        return pd * (1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2)

    def right(f, gm, csf, *times):
        return (1 - f) * flair(gm, *times) + f * flair(csf, *times)

    def slips(f, gm, csf, *times):
        pd = (1 - f) * gm[0] + f * csf[0]
        logs = [a ** (1 - f) * b**f for a, b in zip(gm[1:], csf[1:], strict=True)]
        plain = [(1 - f) * a + f * b for a, b in zip(gm, csf, strict=True)]
        averaged = "That averages the properties. Add the signals instead."
        return {
            averaged: flair((pd, *logs), *times),
            averaged.replace("the properties", "PD, T1 and T2"): flair(plain, *times),
            "f is the share of CSF, not of grey matter.": right(1 - f, gm, csf, *times),
            "Weigh each signal by its share of the voxel.": flair(gm, *times) + flair(csf, *times),
            "Signals add with their signs; the magnitude is taken of their sum.": (1 - f)
            * abs(flair(gm, *times))
            + f * abs(flair(csf, *times)),
        }

    gm, csf = (0.82, 1.45, 0.085), (1.0, 4.2, 1.9)
    points = [(0.3, gm, csf, 0.091, 9.0, 2.5), (0.6, gm, csf, 0.05, 6.0, 1.8)]
    praise = "Each tissue answers for itself, and the scanner adds."
    return compare(answer, "f GM CSF TE TR TI", points, right, slips, praise)


UNKNOWN_SIGMA = 6.5


def unknown_scan() -> Float[Tensor, "224 160"]:
    """A T1-weighted slice with noise, for :func:`noise_of_air`; its first 16 rows are air.

    Returns:
        Magnitudes ``[224, 160]`` in scanner units.
    """
    clean = 600 * signal(example_maps()[0], Acquisition("mprage", tr=2.4, ti=1.0))
    return complex_noise_magnitude(clean, UNKNOWN_SIGMA, torch.Generator().manual_seed(5))


@checked
def noise_of_air(answer: float) -> Verdict:
    """Chapter 05: the noise of :func:`unknown_scan`.

    Args:
        answer: σ of one of the two channels, in scanner units, to 3 %.
    """
    slips = {
        "That is the mean of the air. How many σ is it?": UNKNOWN_SIGMA * math.sqrt(math.pi / 2),
        "That is the standard deviation of a magnitude, which is smaller than σ.": UNKNOWN_SIGMA
        * math.sqrt(2 - math.pi / 2),
        "That is the root of the mean square. Two channels give it, so it is √2 σ.": UNKNOWN_SIGMA
        * math.sqrt(2),
    }
    return number_is(
        number(answer),
        UNKNOWN_SIGMA,
        slips,
        praise=f"It was {UNKNOWN_SIGMA}.",
        otherwise="Take the mean of the first 16 rows and divide by 1.253. Are only those rows in it?",
        within=0.03 * UNKNOWN_SIGMA,
    )


SESSIONS = tuple(
    f"sub-{subject}_ses-{visit}"
    for subject, visits in zip("ABCDEFGHIJ", (2, 1, 3, 1, 2, 2, 1, 1, 2, 3), strict=True)
    for visit in range(1, visits + 1)
)


@checked
def fair_split(answer: Iterable[str]) -> Verdict:
    """Chapter 05: which of ``SESSIONS`` to hold out, so that nobody is in both parts.

    Args:
        answer: names out of ``SESSIONS``, between 20 % and 40 % of them.
    """
    heldout = {answer} if isinstance(answer, str) else set(answer)
    if strangers := heldout - set(SESSIONS):
        return not_yet(f"{min(map(str, strangers))} is no session of check.SESSIONS.")
    share = len(heldout) / len(SESSIONS)
    if not 0.2 <= share <= 0.4:
        return not_yet(f"You hold out {share:.0%} of the sessions.")

    def people(sessions: Iterable[str]) -> set[str]:
        return {session.split("_")[0] for session in sessions}

    if both := people(heldout) & people(set(SESSIONS) - heldout):
        return not_yet(f"{min(both)} is in both parts.")
    return Verdict(True, "Whole people are held out, with all their visits.")


@checked
def what_it_proves(answer: Iterable[str]) -> Verdict:
    """Chapter 05: what a good score on held-out subjects of the average brain lets one conclude.

    Args:
        answer: a set of letters from a to d.
    """
    found = letters(answer, "abcd")
    if found == {"a", "d"}:
        return Verdict(
            True, "A phantom can refute a method, and point at what to doubt; it cannot vouch for it."
        )
    if "b" in found:
        return not_yet("b: chapter 02 fitted a played MPRAGE with Eq. 1. How far off was T1?")
    if "c" in found:
        return not_yet("c: look at the folds of the five subjects again.")
    return not_yet(
        "One that you may conclude is missing. Ask of each: what was assumed, and did it hold here?"
    )
