"""Echoes that a 180° pulse makes, exact: one of them or a train, with or without an inversion before.

Where the transmit field is b1, a 90° pulse turns by 90° · b1 and a refocusing pulse by 180° · b1. An inversion has an
efficiency of its own instead, for scanners invert by pulses that a weak field hardly harms.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .eq1 import ECHO_FITS
from .relaxation import e, recovered, relax, sin_cos, steady_mz
from .table import sequence

# what perfect pulses have, in a sequence without an inversion and in one with it
B1 = {"b1": 1.0}
IMPERFECT = {**B1, "inversion_efficiency": 1.0}


def _pulses(b1, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sin α, cos α and cos β of an excitation α = 90° · b1 and a refocusing pulse β = 180° · b1 = 2α."""
    sin, missing = sin_cos(90.0 * b1, like)
    return sin, 1 - missing, 1 - 2 * sin**2


@sequence("spin echo", "T2w", {"te": 0.1, "tr": 3.2}, defaults=B1, limits=ECHO_FITS, refocused=True)
def spin_echo_exact(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, b1=1.0) -> Tensor:
    """Spin echo with its refocusing pulse: the 180° at TE/2 also turns over what has recovered till then.

    Equation: eq-spin-echo-exact; at a b1 other than 1 eq-spin-echo-b1. Crushers stand on both sides of the refocusing
    pulse, so that of a β that is not 180° only the part sin²(β/2) that it refocuses is seen.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        b1: factor on both flip angles.

    Returns:
        Signal in the units of ``pd``.
    """
    sin, cos, turned = _pulses(b1, t1)
    half, rest = recovered(te / 2, t1), recovered(tr - te / 2, t1)
    # Mz cos α → recovery for TE/2 → times cos β → recovery for TR − TE/2 → Mz
    mz = (rest + turned * (1 - rest) * half) / (1 - cos * turned * (1 - rest) * (1 - half))
    # PD · Mz · sin α sin²(β/2) · E2(TE)
    return pd * mz * sin**3 * e(te, t2)


@sequence(
    "FLAIR", "FLAIR", {"te": 0.09, "tr": 9.0, "ti": 2.5},
    defaults=IMPERFECT,
    limits=(*ECHO_FITS, ("ti", "<", "tr − te", lambda a: a.tr - a.te)), refocused=True,
)  # fmt: skip
def flair_exact(
    pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti, b1=1.0, inversion_efficiency=1.0
) -> Tensor:
    """FLAIR with a spin-echo read-out; TI from the inversion to the 90° pulse.

    Equation: eq-flair-exact; with imperfect pulses eq-flair-b1. Crushers as in :func:`spin_echo_exact`.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        ti: seconds.
        b1: factor on the flip angles of excitation and refocusing.
        inversion_efficiency: f; an inversion leaves −f Mz.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    sin, cos, turned = _pulses(b1, t1)
    half, rest, wait = (recovered(time, t1) for time in (te / 2, tr - ti - te / 2, ti))

    def period(mz):
        echo = relax(turned * relax(cos * mz, half), rest)
        return relax(-inversion_efficiency * echo, wait)

    return pd * steady_mz(period) * sin**3 * e(te, t2)


def _train_fits(words: str, time) -> tuple:
    """A train has its echoes between the excitation and the end of ``time``, and k-space's centre among them."""
    return (
        ("train_length", "<", f"{words} / echo_spacing", lambda a: time(a) / a.echo_spacing),
        ("te", "≥", "echo_spacing", lambda a: a.echo_spacing),
        ("te", "≤", "train_length · echo_spacing", lambda a: a.train_length * a.echo_spacing),
    )


TRAIN = {
    "echo_spacing": 0.01,
    "train_length": lambda a: max(1, 2 * round(a.te / a.echo_spacing) - 1),
    "effective_te": lambda a: a.te,
    **B1,
}
INVERTED_TRAIN = {**TRAIN, **IMPERFECT}
INVERTED_TRAIN_FITS = (
    ("ti", "<", "tr", lambda a: a.tr),
    *_train_fits("(tr − ti)", lambda a: a.tr - a.ti),
)


def _train(echo_spacing, train_length, cos, turned, t1: Tensor) -> Callable[[float | Tensor], Tensor]:
    """What a train makes of the Mz before its excitation: Mz right after its last pulse, half an echo spacing before
    its last echo. ``cos`` is what the excitation leaves of Mz, ``turned`` what a refocusing pulse leaves of it."""
    # a recovery for ES and a pulse: Mz → turned (1 − (1 − Mz) E1(ES)), towards a limit
    half, u = recovered(echo_spacing / 2, t1), recovered(echo_spacing, t1)
    limit = turned * u / (1 - turned + turned * u)
    left = (turned * (1 - u)) ** (train_length - 1)
    return lambda mz: limit + left * (turned * relax(cos * mz, half) - limit)


@sequence(
    "turbo spin echo", "T2w", {"te": 0.1, "tr": 3.2}, defaults=TRAIN, carried=("te",), refocused=True,
    limits=_train_fits("tr", lambda a: a.tr),
)  # fmt: skip
def tse(
    pd: Tensor, t1: Tensor, t2: Tensor, *, effective_te=None, tr, echo_spacing, train_length, te=None, b1=1.0
) -> Tensor:
    """Turbo spin echo: a 90° pulse and a train of 180° pulses; contrast is that of the echo in the middle of k-space.

    Equation: eq-tse. The train turns Mz over once an echo and so keeps it near zero; only after it does Mz recover.
    SPACE and its like refocus by small, changing angles: they decay less than their TE says, which is what
    ``effective_te`` is for (Mugler 2014); they hold Mz near zero as well. A pulse that flips the last echo back to z
    (RESTORE, FRFSE, DRIVE) is not modelled.

    A ``b1`` counts in the excitation and in what the refocusing pulses do to Mz. What they lose of the echoes and bring
    back as stimulated echoes is neglected: at b1 0.8 to 1.2 white and grey matter at the second, ninth and tenth echo are
    within 4 % of an extended phase graph, and their ratio within 2 %; a first echo is 10 % weaker, a sixteenth as much
    stronger.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        effective_te: contrast-equivalent TE, seconds; by default ``te``, when the echo of k-space's centre comes.
        tr: seconds.
        echo_spacing: seconds.
        train_length: number of echoes.
        b1: factor on all flip angles.

    Returns:
        Signal in the units of ``pd``.
    """
    sin, cos, turned = _pulses(b1, t1)
    after = _train(echo_spacing, train_length, cos, turned, t1)
    rest = recovered(tr - (train_length - 0.5) * echo_spacing, t1)
    mz = steady_mz(lambda m: relax(after(m), rest))
    # PD · Mz(TR) · sin α · E2(TE_eff)
    return pd * mz * sin * e(te if effective_te is None else effective_te, t2)


def _inverted_train(
    pd, t1, t2, effective_te, tr, ti, echo_spacing, train_length, b1, inversion_efficiency
) -> Tensor:
    sin, cos, turned = _pulses(b1, t1)
    after, f = _train(echo_spacing, train_length, cos, turned, t1), inversion_efficiency
    rest, wait = recovered(tr - ti - (train_length - 0.5) * echo_spacing, t1), recovered(ti, t1)
    mz = steady_mz(lambda m: relax(-f * relax(after(m), rest), wait))
    # PD · Mz(TI) · sin α · E2(TE_eff)
    return pd * mz * sin * e(effective_te, t2)


@sequence(
    "inversion-recovery turbo spin echo", "T1w", {"te": 0.02, "tr": 2.0, "ti": 0.8},
    defaults=INVERTED_TRAIN, limits=INVERTED_TRAIN_FITS, refocused=True,
)  # fmt: skip
def ir_tse(
    pd: Tensor, t1: Tensor, t2: Tensor, *, effective_te, tr, ti, echo_spacing, train_length,
    b1=1.0, inversion_efficiency=1.0,
) -> Tensor:  # fmt: skip
    """T1-weighted turbo spin echo after an inversion: inversion, TI, a 90° pulse, a train of 180° pulses, a rest.

    Equation: eq-ir-tse. TR is from one inversion to the next. The train is that of :func:`tse`, with all that it
    neglects.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        effective_te: contrast-equivalent TE, seconds; of full 180° pulses the time of the echo at k-space's centre.
        tr: seconds.
        ti: inversion to the 90° pulse, seconds.
        echo_spacing: seconds.
        train_length: number of echoes.
        b1: factor on the flip angles of excitation and train.
        inversion_efficiency: f; an inversion leaves −f Mz.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    return _inverted_train(
        pd, t1, t2, effective_te, tr, ti, echo_spacing, train_length, b1, inversion_efficiency
    )


@sequence(
    "FLAIR with a train of echoes", "FLAIR", {"te": 0.09, "tr": 9.0, "ti": 2.5},
    defaults=INVERTED_TRAIN, limits=INVERTED_TRAIN_FITS, refocused=True,
)  # fmt: skip
def flair_tse(
    pd: Tensor, t1: Tensor, t2: Tensor, *, effective_te, tr, ti, echo_spacing, train_length,
    b1=1.0, inversion_efficiency=1.0,
) -> Tensor:  # fmt: skip
    """FLAIR as scanners play it, two-dimensional with a short train or three-dimensional with a long one.

    Equation: eq-ir-tse, at a TI that nulls fluid: the same pulses as :func:`ir_tse`.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        effective_te: contrast-equivalent TE, seconds; of full 180° pulses the time of the echo at k-space's centre.
        tr: inversion to inversion, seconds.
        ti: inversion to the 90° pulse, seconds.
        echo_spacing: seconds.
        train_length: number of echoes.
        b1: factor on the flip angles of excitation and train.
        inversion_efficiency: f; an inversion leaves −f Mz.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    return _inverted_train(
        pd, t1, t2, effective_te, tr, ti, echo_spacing, train_length, b1, inversion_efficiency
    )
