"""Chapter 02: the signal equations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.optimize import least_squares

from physldm.physics import TISSUES
from physldm.physics.bloch import Delay, Event, Pulse, Read, Spoil, steady_state

from .verdict import (
    Hint,
    Verdict,
    checked,
    checked_function,
    compare,
    each_named,
    not_yet,
    number,
    number_is,
    numbers,
)

__all__ = [
    "BUGS",
    "SUSPECTS",
    "error_budget",
    "inversion_events",
    "planted_bugs",
    "real_null",
    "refocused_spin_echo",
]


@checked_function("the equation")
def refocused_spin_echo(answer: Callable) -> Verdict:
    """Chapter 02: the spin echo with its refocusing pulse.

    Args:
        answer: function of PD (a.u.), T1, T2, TE and TR (s), numbers; returns the signal (a.u.).
    """

    def decay(pd, t2, te):
        return pd * math.exp(-te / t2)

    def mz(t1, te, tr):
        # played, not quoted: 90°, half an echo time, turned over, the rest
        turned = -(1 - math.exp(-te / 2 / t1))
        return 1 - (1 - turned) * math.exp(-(tr - te / 2) / t1)

    def right(pd, t1, t2, te, tr):
        return decay(pd, t2, te) * mz(t1, te, tr)

    def slips(pd, t1, t2, te, tr):
        seen = decay(pd, t2, te)
        at_te = 1 - 2 * math.exp(-(tr - te) / t1) + math.exp(-tr / t1)
        return {
            "That is Eq. 1: nothing happens to Mz at TE/2.": seen * (1 - math.exp(-tr / t1)),
            "The refocusing pulse comes at TE/2, not at TE.": seen * at_te,
            "The pulse at TE/2 turns Mz over. It does not set it to zero.": seen
            * (1 - math.exp(-(tr - te / 2) / t1)),
            "The decay during the echo time is missing.": pd * mz(t1, te, tr),
            "The proton density is missing: it multiplies everything.": seen / pd * mz(t1, te, tr),
            "The sign of exp(−TR/T1): both pulses turn what came before, so it comes back with a plus.": seen
            * (mz(t1, te, tr) - 2 * math.exp(-tr / t1)),
        }

    points = [(0.8, 1.2, 0.09, 0.2, 1.5), (0.6, 0.7, 0.06, 0.05, 0.4)]
    praise = "Recover for TE/2, turn over, recover for TR − TE/2."
    return compare(answer, "PD T1 T2 TE TR", points, right, slips, praise)


@checked_function("a list of events: Pulse(...), Delay(...), Spoil(), Read()")
def inversion_events(answer: Callable) -> Verdict:
    """Chapter 02: one repetition of an inversion recovery with a gradient read-out.

    Args:
        answer: function of TI and TR (s); returns a list of events, with everything that the exercise asks
            for. Where in the repetition the list begins does not matter.
    """
    for ti, tr, t1 in ((0.7, 3.0, 1.1), (0.4, 2.0, 0.6)):
        events = list(answer(ti, tr))
        if sum(isinstance(e, Read) for e in events) != 1:
            return not_yet("There must be exactly one Read().")
        # T2 of 20 ms: what a delay does not spoil is gone all the same
        m = steady_state(events, t1, 0.02)[0]
        seen = math.hypot(float(m[0]), float(m[1]))
        right = abs(1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1))
        if seen < 1e-6:
            return not_yet(
                "Nothing is seen: along z the water is silent. It takes a 90° pulse before Read()."
            )
        slips = {
            "One repetition now lasts TI + TR. What is left of TR after the wait?": abs(
                1 - 2 * math.exp(-ti / t1) + math.exp(-(tr + ti) / t1)
            ),
            "That is a saturation recovery: where is the inversion?": 1 - math.exp(-tr / t1),
            "The wait of TI comes before the 90° pulse, the rest of TR after it.": abs(
                1 - 2 * math.exp(-(tr - ti) / t1) + math.exp(-tr / t1)
            ),
        }
        for hint, slip in slips.items():
            if math.isclose(seen, slip, rel_tol=1e-3):
                return not_yet(hint)
        _as_asked(events)
        if not math.isclose(seen, right, rel_tol=1e-3):
            return not_yet(
                f"At TI {ti} s, TR {tr} s, T1 {t1} s it reads {seen:.4f}, the equation {right:.4f}."
            )
    return Verdict(True, "The simulator finds 1 − 2 exp(−TI/T1) + exp(−TR/T1), and nobody told it.")


def _as_asked(events: Sequence[Event]) -> None:
    """Raises a hint where a list lacks what the exercise asks for, though perfect pulses may not need it."""
    inversions = [i for i, e in enumerate(events) if isinstance(e, Pulse) and abs(e.angle) == 180]
    if len(inversions) != 1:
        raise Hint("Invert once, with Pulse(180).")
    played = [*events[inversions[0] :], *events[: inversions[0]]]  # a repetition may be cut anywhere
    played = [e for e in played if e != Delay(0.0)]
    read = next(i for i, e in enumerate(played) if isinstance(e, Read))
    if not isinstance(played[read - 1], Pulse):
        raise Hint("Read at once, directly after the 90° pulse: what is across decays from then on.")
    if not any(isinstance(e, Spoil) for e in played[:read]):
        raise Hint("A spoiler is missing after the inversion: no real 180° pulse leaves nothing across.")
    if not any(isinstance(e, Spoil) for e in played[read:]):
        raise Hint(
            "A spoiler is missing after Read(): what is still across would come back with the next pulses."
        )


# Four equations as four simulators might have them. Three are wrong.
SUSPECTS = {
    "a": lambda pd, t1, t2, te, tr, ti: pd * (1 - math.exp(-te / t1)) * math.exp(-tr / t2),
    "b": lambda pd, t1, t2, te, tr, ti: pd * (1 - 2 * math.exp(-ti / t1) / (1 + math.exp(-tr / ti))),
    "c": lambda pd, t1, t2, te, tr, ti: pd
    * (1 - math.exp(-tr / t1)) * (1 - 2 * math.exp(-ti / t1)) * math.exp(-te / t2),
    "d": lambda pd, t1, t2, te, tr, ti: pd * (1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2),
}  # fmt: skip
BUGS = {"a": "TE and TR swapped", "b": "TI for T1", "c": "product of two scans", "d": "none"}


@checked
def planted_bugs(answer: Mapping[str, str]) -> Verdict:
    """Chapter 02: what is wrong with each of ``SUSPECTS``.

    Args:
        answer: ``{"a": ..., "b": ..., "c": ..., "d": ...}``, each one of the four phrases of the exercise.
    """
    limits = "Try limits: TE to 0, TR to ∞, TI to 0, and TR = TI. Where is its null?"
    hints = {letter: f"Look again at {letter}. {limits}" for letter in BUGS}
    praise = "Limits find such bugs; a picture that merely looks plausible does not."
    return each_named(answer, BUGS, hints, praise)


@checked
def real_null(answer: float) -> Verdict:
    """Chapter 02: the TI at which CSF (T1 4.2 s) vanishes from the usual MPRAGE with its read-out, TR 2.4 s.

    Args:
        answer: TI in seconds, to 10 ms.
    """
    found = number(answer, "one time in seconds")
    earlier = {"That is where Eq. 1 has its null. The read-out's pulses eat up what is upside down, too.": 2.4,
               "That is FLAIR's null, at a TR of 9 s and without a train.": 9.0}  # fmt: skip
    for hint, tr in earlier.items():
        if math.isclose(found, -4.2 * math.log((1 + math.exp(-tr / 4.2)) / 2), abs_tol=0.01):
            return not_yet(hint)
    if not 0.6248 <= found <= 1.7752:
        return not_yet("The read-out does not fit: TI must lie between 0.625 and 1.775 s.")
    low, high = 0.63, 1.77
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if _fluid(middle) < 0 else (low, middle)
    return number_is(
        found,
        low,
        {},
        praise=f"There Mz of CSF is {_fluid(found):+.4f}: 0.3 s earlier than Eq. 1 says.",
        otherwise=f"At TI {found:.3g} s the Mz of CSF is {_fluid(found):+.3f}.",
        within=0.0105,
    )


def _fluid(ti: float) -> float:
    """Mz of CSF at the centre of k-space, at TR 2.4 s."""
    return _centre_of_train(4.2, 2.4, ti)


def _centre_of_train(t1: float, tr: float, ti: float) -> float:
    """Mz of an MPRAGE at the centre of k-space, pulse by pulse, until it settles: 176 pulses of 8°, 7.1 ms apart."""
    mz, cos, es, before, seen = 1.0, math.cos(math.radians(8.0)), 0.0071, 88, 0.0
    for _ in range(60):
        mz = 1 - (1 + mz) * math.exp(-(ti - before * es) / t1)
        for pulse in range(2 * before):
            seen = mz if pulse == before else seen
            mz = 1 - (1 - mz * cos) * math.exp(-es / t1)
        mz = 1 - (1 - mz) * math.exp(-(tr - ti - before * es) / t1)
    return seen


@checked
def error_budget(answer: Sequence[float]) -> Verdict:
    """Chapter 02: errors of grey matter by Eq. 1, from an MPRAGE of TR 2.3 s, TI 0.9 s as it is read.

    Args:
        answer: errors of PD, T1 and T2 in percent, with their signs.
    """
    found = np.array(numbers(answer, "three numbers, the errors of PD, T1 and T2 in percent", 3))
    right = _believing_eq_1("gm")

    def near(other: np.ndarray) -> bool:
        # to a whole percent, and small errors to two digits
        return bool((abs(found - other) <= min(1.0, 0.06 * abs(other).max())).all())

    if near(right):
        return Verdict(True, "A tenth of a second of TI makes grey matter's PD several times as wrong.")
    slips = {
        "With their signs: too much is plus, too little is minus.": abs(right),
        "In percent, please: 5.0 for five percent.": right / 100,
        "Divide what was found by the truth, not the truth by what was found.": 100
        * (100 / (100 + right) - 1),
        "That is white matter.": _believing_eq_1("wm"),
        "The scan has TI 0.9 s, but the method still believes TR 2.4 s and TI 1.0 s. Two errors cancel.": (
            _believing_eq_1("gm", believed=(2.4, 1.0))
        ),
        "That is the protocol of the figure: TR 2.4 s, TI 1.0 s.": _believing_eq_1(
            "gm", (2.4, 1.0), (2.4, 1.0)
        ),
        "Then the scan had no read-out.": np.zeros(3),
        "The scan is still multiplied by the sine of 8°: divide it out, it is the same for all tissues.": (
            _believing_eq_1("gm", gain=math.sin(math.radians(8.0)))
        ),
    }
    for hint, slip in slips.items():
        if near(slip):
            return not_yet(hint)
    return not_yet(
        "Make the three scans first: the MPRAGE by mprage_readout, the others by Eq. 1. Then fit them with a protocol "
        "whose MPRAGE has TR 2.3 s and TI 0.9 s."
    )


def _believing_eq_1(
    tissue: str,
    scanned: tuple[float, float] = (2.3, 0.9),
    believed: tuple[float, float] = (2.3, 0.9),
    gain: float = 1.0,
) -> np.ndarray:
    """Errors (%) of PD, T1, T2 that fit an MPRAGE with its read-out, a spin echo and a FLAIR, by Eq. 1.

    Args:
        tissue: of the table.
        scanned: TR and TI (s) of the MPRAGE.
        believed: those that the fit takes it to have.
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
