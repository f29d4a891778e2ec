"""Chapter 02's check of the error budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from physldm.physics import TISSUES

from .check import Verdict, _not_yet, _verdict


def _centre_of_train(t1: float, tr: float, ti: float) -> float:
    """Mz of an MPRAGE with 176 pulses of 8°, 7.1 ms apart, before the pulse at k-space's centre: pulse by pulse."""
    mz, cos, spacing, before = 1.0, math.cos(math.radians(8.0)), 0.0071, 88
    seen = 0.0
    for _ in range(60):
        mz = 1 - (1 + mz) * math.exp(-(ti - before * spacing) / t1)
        for pulse in range(2 * before):
            seen = mz if pulse == before else seen
            mz = 1 - (1 - mz * cos) * math.exp(-spacing / t1)
        mz = 1 - (1 - mz) * math.exp(-(tr - ti - before * spacing) / t1)
    return seen


def _believing_eq_1(
    tissue: str,
    scanned: tuple[float, float] = (2.3, 0.9),
    believed: tuple[float, float] = (2.3, 0.9),
    gain: float = 1.0,
) -> np.ndarray:
    """Errors (%) of PD, T1, T2 that fit an MPRAGE with its read-out, a spin echo and a FLAIR, by Eq. 1.

    Args:
        tissue: of the table. scanned: TR and TI (s) of the MPRAGE. believed: those that the fit takes it to have.
        gain: what the MPRAGE is multiplied by.
    """
    t = TISSUES[tissue]
    truth = np.array([t.pd, t.t1, t.t2])

    def scans(pd, t1, t2):
        tr, ti = believed
        return np.array([
            pd * (1 - 2 * np.exp(-ti / t1) / (1 + np.exp(-tr / t1))),
            pd * (1 - np.exp(-3.2 / t1)) * np.exp(-0.1 / t2),
            pd * (1 - 2 * np.exp(-2.5 / t1) + np.exp(-9.0 / t1)) * np.exp(-0.091 / t2),
        ])  # fmt: skip

    measured = scans(*truth)
    measured[0] = gain * t.pd * _centre_of_train(t.t1, *scanned)
    fit = least_squares(
        lambda theta: scans(*np.exp(theta)) - measured, np.log(truth), xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    return 100 * (np.exp(fit.x) / truth - 1)


@_verdict
def error_budget(answer: Sequence[float]) -> Verdict:
    """Chapter 02: errors (%) of grey matter's PD, T1, T2 by Eq. 1, from an MPRAGE of TR 2.3 s, TI 0.9 s as it is read."""
    found = np.array([float(x) for x in answer])
    if found.shape != (3,):
        return _not_yet("Give three numbers: the errors of PD, T1 and T2, in percent.")
    right = _believing_eq_1("gm")

    def near(other: np.ndarray) -> bool:
        # to a whole percent, and small errors to two digits
        return bool((abs(found - other) <= min(1.0, 0.06 * abs(other).max())).all())

    if near(right):
        return Verdict(True, "A tenth of a second of TI makes grey matter's PD several times as wrong.")
    slips = (
        (abs(right), "With their signs: too much is plus, too little is minus."),
        (right / 100, "In percent, please: 5.0 for five percent."),
        (100 * (100 / (100 + right) - 1), "Divide what was found by the truth, not the truth by what was found."),
        (_believing_eq_1("wm"), "That is white matter."),
        (
            _believing_eq_1("gm", believed=(2.4, 1.0)),
            "The scan has TI 0.9 s, but the method still believes TR 2.4 s and TI 1.0 s. Two errors cancel.",
        ),
        (_believing_eq_1("gm", (2.4, 1.0), (2.4, 1.0)), "That is the protocol of the figure: TR 2.4 s, TI 1.0 s."),
        (np.zeros(3), "Then the scan had no read-out."),
        (
            _believing_eq_1("gm", gain=math.sin(math.radians(8.0))),
            "The scan is still multiplied by the sine of 8°: divide it out, it is the same for all tissues.",
        ),
    )  # fmt: skip
    for slip, hint in slips:
        if near(slip):
            return _not_yet(hint)
    return _not_yet(
        "Make the three scans first: the MPRAGE by mprage_readout, the others by Eq. 1. Then fit them with a protocol "
        "whose MPRAGE has TR 2.3 s and TI 0.9 s."
    )
