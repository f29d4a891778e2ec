"""The signal equations, each a row of the one table. Times in seconds, angles in degrees, signal in units of PD.

Every equation takes tensors that broadcast against each other (numbers may stand for any of them), returns the
broadcast shape, is signed, and can be differentiated in each argument. T1 and T2 below 1 ns or above 30 years count
as these: there every equation has reached its limit.

The first rows are Eq. 1 of the paper (:mod:`~physldm.physics.eq1`) and the exact echoes of 180° pulses
(:mod:`~physldm.physics.spin_echoes`). To add a sequence, write its equation here below a ``@sequence(...)``;
:func:`physldm.physics.signal`, the command line, the widgets and the book's list of sequences then know it. A new
setting is an entry of ``FIELDS``.

``b1`` turns by as much more or less every pulse but inversions: these have an ``inversion_efficiency`` f of their own,
1 where they are perfect, 0 where they only saturate. An inversion leaves −f Mz, as a pulse of arccos(−f) does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .eq1 import ECHO_FITS, INVERSION_FITS, flair, mprage, spin_echo
from .relaxation import e, e2_star, pulse_train, recovered, relax, sin_cos, steady_mz, t1_star
from .spin_echoes import B1, IMPERFECT, flair_exact, flair_tse, ir_tse, spin_echo_exact, tse
from .table import FIELDS, SEQUENCES, Field, SequenceModel, sequence

__all__ = [
    "FIELDS", "SEQUENCES", "Field", "SequenceModel", "bssfp", "dir_", "flair", "flair_exact", "flair_tse",
    "gre", "ir_tse", "mp2rage", "mprage", "mprage_readout", "psir", "sequence", "spgr", "spin_echo", "spin_echo_exact",
    "t1_star", "tse",
]  # fmt: skip

# --- trains of gradient echoes ------------------------------------------------------------------------------------
READOUT = {
    "flip_angle": 8.0,
    "echo_spacing": 0.0071,
    "train_length": 176,
    "centre_echo": lambda a: a.train_length // 2,
}
END = "tr − (train_length − centre_echo) · echo_spacing"
TRAIN_FITS = (
    ("te", "<", "echo_spacing", lambda a: a.echo_spacing),
    ("centre_echo", "<", "train_length", lambda a: a.train_length),
    # the read-out begins after the inversion, and ends before the next
    ("ti", "≥", "centre_echo · echo_spacing", lambda a: a.centre_echo * a.echo_spacing),
    ("ti", "≤", END, lambda a: a.tr - (a.train_length - a.centre_echo) * a.echo_spacing),
)


@sequence(
    "MPRAGE with its read-out", "T1w", {"tr": 2.4, "ti": 1.0},
    defaults={**READOUT, "te": 0.0, "t2_prime": math.inf, **IMPERFECT}, limits=TRAIN_FITS,
)  # fmt: skip
def mprage_readout(
    pd: Tensor, t1: Tensor, t2: Tensor, *, tr, ti, flip_angle, echo_spacing, train_length, centre_echo,
    te=0.0, t2_prime=math.inf, b1=1.0, inversion_efficiency=1.0,
) -> Tensor:  # fmt: skip
    """MPRAGE as it is played: inversion, a wait, a train of small pulses, a wait. TI ends at the pulse of k-space's centre.

    Equation: eq-mprage-readout (Deichmann et al. 2000). The signal includes sin α.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        tr: seconds.
        ti: seconds.
        te: seconds.
        echo_spacing: seconds.
        t2_prime: seconds; without it T2* = T2.
        flip_angle: degrees.
        train_length: pulses after an inversion.
        centre_echo: pulses before k-space's centre.
        b1: factor on every flip angle.
        inversion_efficiency: f; an inversion leaves −f Mz.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    wait_time = ti - centre_echo * echo_spacing
    wait, rest = recovered(wait_time, t1), recovered(tr - wait_time - train_length * echo_spacing, t1)
    after, f = pulse_train(flip_angle * b1, echo_spacing, t1), inversion_efficiency
    # −f Mz → recovery → train → recovery → Mz
    mz = steady_mz(lambda m: relax(after(relax(-f * m, wait), train_length), rest))
    sin, _ = sin_cos(flip_angle * b1, t1)
    return pd * sin * after(relax(-f * mz, wait), centre_echo) * e2_star(te, t2, t2_prime)


def _spoiled(pd: Tensor, t1: Tensor, t2: Tensor, te, tr, flip_angle, t2_prime) -> Tensor:
    # PD · sin α (1 − E1) / (1 − E1 cos α) · exp(−TE/T2*)
    sin, missing = sin_cos(flip_angle, t1)
    u = recovered(tr, t1)
    return pd * sin * u / (u + (1 - u) * missing) * e2_star(te, t2, t2_prime)


# --- more sequences ------------------------------------------------------------------------------------------------


@sequence(
    "spoiled gradient echo", "T1w", {"te": 0.004, "tr": 0.02, "flip_angle": 20.0},
    defaults={"t2_prime": math.inf, **B1}, limits=ECHO_FITS,
)  # fmt: skip
def spgr(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, flip_angle, t2_prime=math.inf, b1=1.0) -> Tensor:
    """Spoiled gradient echo (FLASH): a pulse α every TR, its transverse rest destroyed before the next.

    Equation: eq-spgr (Ernst and Anderson 1966; Haase et al. 1986). Brightest at the Ernst angle, cos α = E1(TR).

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        flip_angle: degrees.
        t2_prime: seconds; without it T2* = T2.
        b1: factor on every flip angle.

    Returns:
        Signal in the units of ``pd``.
    """
    return _spoiled(pd, t1, t2, te, tr, flip_angle * b1, t2_prime)


@sequence(
    "gradient echo, T2*-weighted", "T2starw", {"te": 0.02, "tr": 0.6, "flip_angle": 20.0},
    defaults={"t2_prime": 0.1, **B1}, limits=ECHO_FITS,
)  # fmt: skip
def gre(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, flip_angle, t2_prime, b1=1.0) -> Tensor:
    """Gradient echo read late: the steady state of :func:`spgr`, where the uneven field counts.

    Equation: eq-gre. No pulse refocuses what the field dephases, so the signal decays with T2*.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        flip_angle: degrees.
        t2_prime: seconds, a property of shim and tissue.
        b1: factor on every flip angle.

    Returns:
        Signal in the units of ``pd``.
    """
    return _spoiled(pd, t1, t2, te, tr, flip_angle * b1, t2_prime)


@sequence(
    "balanced SSFP", "T2w", {"tr": 0.005, "flip_angle": 45.0},
    defaults={"te": lambda a: a.tr / 2, **B1}, limits=ECHO_FITS,
)  # fmt: skip
def bssfp(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, flip_angle, b1=1.0) -> Tensor:
    """Balanced steady-state free precession on resonance, pulses α and −α in turn, nothing spoiled.

    Equation: eq-bssfp (Freeman and Hill 1971); exact for TE = TR/2 and any other TE on resonance.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        flip_angle: degrees.
        b1: factor on every flip angle.

    Returns:
        Signal in the units of ``pd``.
    """
    sin, missing = sin_cos(flip_angle * b1, t1)
    u1, u2 = recovered(tr, t1), recovered(tr, t2)
    # 1 − (E1 − E2) cos α − E1 E2, without a difference of near-equal numbers: u = 1 − E
    below = u1 * (2 - missing) + u2 * missing - u1 * u2
    # PD · sin α (1 − E1) / (1 − (E1 − E2) cos α − E1 E2) · E2(TE)
    return pd * sin * u1 / below * e(te, t2)


@sequence(
    "double inversion recovery", "T1w", {"te": 0.02, "tr": 11.0, "ti": 3.18, "ti2": 0.57}, defaults=IMPERFECT,
    limits=(
        ("ti2", "<", "tr − ti", lambda a: a.tr - a.ti),
        ("te", "<", "tr − ti − ti2", lambda a: a.tr - a.ti - a.ti2),
    ),
)  # fmt: skip
def dir_(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti, ti2, b1=1.0, inversion_efficiency=1.0) -> Tensor:
    """Double inversion recovery: two inversions null two tissues. TI lies between the inversions, TI2 after the second.

    Equation: eq-dir (Redpath and Smith 1994); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        ti: first to second inversion, seconds.
        ti2: second inversion to excitation, seconds.
        b1: factor on the flip angle of the excitation.
        inversion_efficiency: f; each inversion leaves −f Mz.

    Returns:
        Signal in the units of ``pd``, of either sign.
    """
    sin, missing = sin_cos(90.0 * b1, t1)
    rest, between, wait = (recovered(time, t1) for time in (tr - ti - ti2, ti, ti2))

    def period(mz):
        before = relax((1 - missing) * mz, rest)
        return relax(-inversion_efficiency * relax(-inversion_efficiency * before, between), wait)

    # perfect pulses: PD · (1 − 2 E1(TI2) + 2 E1(TI + TI2) − E1(TR)) · E2(TE)
    return pd * steady_mz(period) * sin * e(te, t2)


@sequence(
    "phase-sensitive inversion recovery", "T1w", {"te": 0.01, "tr": 6.0, "ti": 0.8},
    defaults=IMPERFECT, limits=INVERSION_FITS, signed=True,
)  # fmt: skip
def psir(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti, b1=1.0, inversion_efficiency=1.0) -> Tensor:
    """Phase-sensitive inversion recovery: an inversion recovery whose sign is measured, and kept in the image.

    Equation: eq-psir (Bydder and Young 1985 for the sequence; Kellman et al. 2002 for the sign); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        ti: seconds.
        b1: factor on the flip angle of the excitation.
        inversion_efficiency: f; an inversion leaves −f Mz.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    sin, missing = sin_cos(90.0 * b1, t1)
    rest, wait = recovered(tr - ti, t1), recovered(ti, t1)

    def period(mz):
        return relax(-inversion_efficiency * relax((1 - missing) * mz, rest), wait)

    # perfect pulses: PD · (1 − 2 E1(TI) + E1(TR)) · E2(TE)
    return pd * steady_mz(period) * sin * e(te, t2)


@sequence(
    "MP2RAGE", "UNIT1", {"tr": 5.0, "ti": 0.7, "ti2": 2.5},
    defaults={**READOUT, "flip_angle": 4.0, "flip_angle2": 5.0, "te": 0.0, **IMPERFECT}, carried=("te",),
    limits=(
        *TRAIN_FITS,
        ("ti2", "≥", "ti + train_length · echo_spacing", lambda a: a.ti + a.train_length * a.echo_spacing),
        ("ti2", "≤", END, lambda a: a.tr - (a.train_length - a.centre_echo) * a.echo_spacing),
    ),
    signed=True, unitless=True,
)  # fmt: skip
def mp2rage(
    pd: Tensor, t1: Tensor, t2: Tensor, *, tr, ti, ti2, flip_angle, flip_angle2, echo_spacing, train_length,
    centre_echo, te=0.0, b1=1.0, inversion_efficiency=1.0,
) -> Tensor:  # fmt: skip
    """MP2RAGE: two read-outs after one inversion, combined so that PD, T2* and the receive coil cancel.

    Equation: eq-mp2rage (Marques et al. 2010). Without a unit, between −1/2 and 1/2; 0 where PD is 0. The echo time
    of both read-outs is the same, so ``te`` cancels too.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        tr: inversion to inversion, seconds.
        ti: inversion to the centre of the first read-out, seconds.
        ti2: inversion to the centre of the second read-out, seconds.
        flip_angle: degrees.
        flip_angle2: degrees.
        echo_spacing: seconds.
        train_length: of both read-outs.
        centre_echo: of both read-outs.
        b1: factor on every flip angle.
        inversion_efficiency: f; an inversion leaves −f Mz.

    Returns:
        S1 S2 / (S1² + S2²).
    """
    # near a null of one read-out the ratio magnifies rounding, hence double precision
    t1 = t1.double()
    train = train_length * echo_spacing
    wait, between, rest = (
        recovered(time, t1)
        for time in (
            ti - centre_echo * echo_spacing,
            ti2 - ti - train,
            tr - ti2 - (train_length - centre_echo) * echo_spacing,
        )
    )
    first, second = (pulse_train(angle * b1, echo_spacing, t1) for angle in (flip_angle, flip_angle2))
    f = inversion_efficiency

    def before_second(m):
        return relax(first(relax(-f * m, wait), train_length), between)

    mz = steady_mz(lambda m: relax(second(before_second(m), train_length), rest))
    s1 = sin_cos(flip_angle * b1, t1)[0] * first(relax(-f * mz, wait), centre_echo)
    s2 = sin_cos(flip_angle2 * b1, t1)[0] * second(before_second(mz), centre_echo)
    return torch.where(pd > 0, s1 * s2 / (s1**2 + s2**2), 0.0).to(pd.dtype)
