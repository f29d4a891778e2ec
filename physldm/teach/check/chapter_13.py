"""Chapter 13: new contrasts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from physldm.physics import TISSUES, Acquisition

from .verdict import Verdict, checked, each_named, near, not_yet, numbers

__all__ = [
    "CHANGED",
    "FAULTS",
    "LABELS",
    "PLANS",
    "SHOWN",
    "VISITS",
    "carried_error",
    "read_labels",
    "tissue_or_scanner",
    "what_breaks",
]

# Protocols of Eq. 1 whose contrast can be read off.
LABELS = {
    "a": Acquisition("spin_echo", te=0.01, tr=12.0),
    "b": Acquisition("flair", te=0.015, tr=6.0, ti=0.59),
    "c": Acquisition("mprage", te=0.003, tr=2.4, ti=0.75),
    "d": Acquisition("flair", te=0.02, tr=9.0, ti=2.44),
}
SHOWN = {"a": "water", "b": "no white matter", "c": "no grey matter", "d": "no fluid"}


@checked
def read_labels(answer: Mapping[str, str]) -> Verdict:
    """Chapter 13: what each of ``LABELS`` shows.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ..., "d": ...}``, each ``water``, ``no white matter``, ``no grey
            matter`` or ``no fluid``.
    """
    hints = {
        "a": "a: nothing is inverted. TE is short and TR is long: which exponentials are left?",
        "b": "b: TR is long, so the null is near T1 ln 2. Whose T1 is that?",
        "c": "c: for MPRAGE the null is where 2 exp(−TI/T1) = 1 + exp(−TR/T1). Try tissue_signal.",
        "d": "d: who is so slow that 2.44 s are about right?",
    }
    return each_named(answer, SHOWN, hints, "First the null, then TE, then TR.")


# What somebody wants to do, as sequence, TE–TR–TI in ms, and the rest.
PLANS = {
    "a": "spin echo 10–6000, of maps whose air has some PD and a T2 of 30 ms; the whole picture is shown",
    "b": "MPRAGE 3–2400–2600, of a true brain; its magnitude is shown",
    "c": "MPRAGE 3–2400–600, of a true brain; the signed signal is compared with a scanner's picture",
    "d": "FLAIR 91–9000–2500, of a true brain; its magnitude is shown",
    "e": "FLAIR 91–3000–2950, of a true brain; its magnitude is shown",
}
FAULTS = {"a": "background", "b": "impossible", "c": "sign", "d": "nothing", "e": "impossible"}


@checked
def what_breaks(answer: Mapping[str, str]) -> Verdict:
    """Chapter 13: what is wrong with each of ``PLANS``.

    Args:
        answer: ``{"a": ..., ..., "e": ...}``, each ``background``, ``sign``, ``impossible`` or ``nothing``.
    """
    hints = {
        "a": "a: a short T2 keeps air dark at the TE of training. What does TE 10 ms leave of that?",
        "b": "b: when does the next inversion come?",
        "c": "c: a scanner keeps magnitudes. Who is below zero at TI 600 ms?",
        "d": "d: is this one of the trained contrasts?",
        "e": "e: the echo needs its time, too, before the next inversion.",
    }
    return each_named(answer, FAULTS, hints, "Can it be scanned? Is it signed? What is in the air?")


def _white(ti: float, pd: float = 1.0, t1: float = 1.0) -> float:
    """White matter's MPRAGE at TR 2.4 s, with PD and T1 times these factors."""
    tissue = TISSUES["wm"]
    e, f = (math.exp(-time / (t1 * tissue.t1)) for time in (ti, 2.4))
    return pd * tissue.pd * (1 - 2 * e / (1 + f))


@checked
def carried_error(answer: tuple[float, float]) -> Verdict:
    """Chapter 13: the error of white matter in MPRAGE where PD is 9 % too low, T1 6 % too short, T2 6 % too long.

    Args:
        answer: error in % of the signal at TI 1.0 s and at TI 0.7 s, TR 2.4 s, with its sign: by the Jacobian, or by
            scanning both tissues.
    """
    at_trained, at_new = numbers(answer, "two numbers, in percent")
    step = 1e-5
    slopes = [(_white(ti, t1=1 + step) / _white(ti) - 1) / step for ti in (1.0, 0.7)]
    by_slope = [-9 - 6 * slope for slope in slopes]
    by_scan = [100 * (_white(ti, 0.91, 0.94) / _white(ti) - 1) for ti in (1.0, 0.7)]

    def are(first: float, second: float) -> bool:
        return near(at_trained, first, 0.3) and near(at_new, second, 0.4)

    if are(*by_slope) or are(*by_scan):
        return Verdict(
            True,
            f"{by_slope[0]:+.1f} and {by_slope[1]:+.1f} % by the slopes, {by_scan[0]:+.1f} and {by_scan[1]:+.1f} % by scanning "
            "both: what nearly cancels at 1.0 s does not at 0.7 s.",
        )
    slips = {
        "Mind the signs: is the picture too bright, or too dark?": [(-a, b) for a, b in (by_slope, by_scan)]
        + [(abs(a), -b) for a, b in (by_slope, by_scan)]
        + [(a, -b) for a, b in (by_slope, by_scan)],
        "That is PD alone. A shorter T1 makes white matter brighter: by how much?": [(-9, -9)],
        "That is T1 alone. PD is 9 % too low as well.": [(a + 9, b + 9) for a, b in (by_slope, by_scan)],
        "Mind the sign of the change of T1: it is 6 % too short.": [(-9 + 6 * slopes[0], -9 + 6 * slopes[1])],
        "T2 plays no part in Eq. 1's MPRAGE.": [(by_slope[0] + 6, by_slope[1] + 6)],
        "The two have changed places: TI 1.0 s first.": [by_slope[::-1], by_scan[::-1]],
    }
    for hint, pairs in slips.items():
        if any(are(*pair) for pair in pairs):
            return not_yet(hint)
    if abs(at_trained) < 0.3 and abs(at_new) < 0.3:
        return not_yet("In percent of the signal: divide by white matter's signal, and take it times 100.")
    return not_yet(
        "Each row of the Jacobian, times the three relative errors, over the signal. T2 plays no part."
    )


# White and grey matter's brightness at two visits of one person. At the first they are those of the table, with PD 1
# at 700.
_T1W, _OTHER_T1W = Acquisition("mprage", tr=2.4, ti=1.0), Acquisition("mprage", tr=2.3, ti=0.9)
VISITS = {
    "a": ((_T1W, 204.7, 90.4), (Acquisition("spin_echo", te=0.012, tr=0.5), 183.6, 145.4)),
    "b": ((_T1W, 204.7, 90.4), (_T1W, 245.7, 108.5)),
    "c": ((_T1W, 204.7, 90.4), (_OTHER_T1W, 171.4, 43.2)),
    "d": ((_T1W, 204.7, 90.4), (_OTHER_T1W, 204.7, 90.4)),
}
CHANGED = {"a": "scanner", "b": "scanner", "c": "tissue", "d": "tissue"}


@checked
def tissue_or_scanner(answer: Mapping[str, str]) -> Verdict:
    """Chapter 13: which of ``VISITS`` differ by scanner and gain only, and in which the tissue has changed.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ..., "d": ...}``, each ``scanner`` or ``tissue``.
    """
    hints = {
        "a": "a: scan the first visit's tissue with the second protocol before you compare.",
        "b": "b: both grew by the same factor. Who can do that at once?",
        "c": "c: what should grey over white matter be at the second protocol?",
        "d": "d: nothing has changed in the picture. Should it have?",
    }
    return each_named(answer, CHANGED, hints, "Scan what you know as they did, and compare ratios.")
