"""The signal equations, each a row of the one table. Times in seconds, angles in degrees, signal in units of PD.

Every equation takes tensors that broadcast against each other (numbers may stand for any of them), returns the
broadcast shape, is signed, and can be differentiated in each argument. T1 and T2 below 1 ns or above 30 years count
as these: there every equation has reached its limit.

To add a sequence, write its equation here below a ``@sequence(...)``; :func:`physldm.physics.signal`, the command
line, the widgets and the book's list of sequences then know it. A new setting is an entry of ``FIELDS``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .relaxation import e, e2_star, pulse_train, recovered, relax, sin_cos, steady_mz, t1_star
from .table import FIELDS, SEQUENCES, Field, SequenceModel, sequence

__all__ = [
    "FIELDS", "SEQUENCES", "Field", "SequenceModel", "bssfp", "dir_", "flair", "flair_exact", "gre", "mp2rage",
    "mprage", "mprage_readout", "psir", "sequence", "spgr", "spin_echo", "spin_echo_exact", "t1_star", "tse",
]  # fmt: skip

# --- Eq. 1 of the paper, as printed ------------------------------------------------------------------------------


ECHO_FITS = (("te", "<", "tr", lambda a: a.tr),)
INVERSION_FITS = (("ti", "<", "tr", lambda a: a.tr), ("te", "<", "tr − ti", lambda a: a.tr - a.ti))


@sequence(
    "MPRAGE (Eq. 1)", "T1w", {"tr": 2.4, "ti": 1.0},
    defaults={"te": 0.003}, carried=("te",), limits=INVERSION_FITS, stands_for="mprage_readout",
)  # fmt: skip
def mprage(pd: Tensor, t1: Tensor, t2: Tensor, *, tr, ti, te=0.0) -> Tensor:
    """T1-weighted MPRAGE: inversion every TR, read TI after it, at a vanishing flip angle.

    Equation: eq-mprage (Eq. 1 of the paper, first line). Eq. 1 has no decay by T2, so ``te`` only counts
    when it is given, and :func:`physldm.physics.signal` never gives it.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        tr: seconds.
        ti: seconds.
        te: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) / (1 + E1(TR)))
    s = torch.addcmul(pd, pd, e(ti, t1) / (1 + e(tr, t1)), value=-2)
    return s * e(te, t2) if isinstance(te, Tensor) or te != 0 else s


@sequence(
    "spin echo (Eq. 1)", "T2w", {"te": 0.1, "tr": 3.2},
    limits=ECHO_FITS, stands_for="spin_echo_exact", refocused=True,
)  # fmt: skip
def spin_echo(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr) -> Tensor:
    """Spin echo: a 90° pulse every TR, its echo read TE later.

    Equation: eq-spin-echo (Eq. 1 of the paper, second line); exact for TE → 0.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.

    Returns:
        Signal in the units of ``pd``, never negative.
    """
    # PD · (1 − E1(TR)) · E2(TE)
    return pd * recovered(tr, t1) * e(te, t2)


@sequence(
    "FLAIR (Eq. 1)", "FLAIR", {"te": 0.09, "tr": 9.0, "ti": 2.5},
    limits=INVERSION_FITS, stands_for="flair_exact", refocused=True,
)  # fmt: skip
def flair(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """FLAIR: inversion, 90° pulse after TI, echo at TE, all repeated every TR.

    Equation: eq-flair (Eq. 1 of the paper, third line); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + E1(TR)) · E2(TE)
    return pd * (1 + torch.add(e(tr, t1), e(ti, t1), alpha=-2)) * e(te, t2)


# --- the same three, exact -------------------------------------------------------------------------------------


@sequence("spin echo", "T2w", {"te": 0.1, "tr": 3.2}, limits=ECHO_FITS, refocused=True)
def spin_echo_exact(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr) -> Tensor:
    """Spin echo with its refocusing pulse: the 180° at TE/2 also turns over what has recovered till then.

    Equation: eq-spin-echo-exact

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.

    Returns:
        Signal in the units of ``pd``.
    """
    # PD · (1 − 2 E1(TR − TE/2) + E1(TR)) · E2(TE)
    return pd * (2 * recovered(tr - te / 2, t1) - recovered(tr, t1)) * e(te, t2)


@sequence(
    "FLAIR", "FLAIR", {"te": 0.09, "tr": 9.0, "ti": 2.5},
    limits=(*ECHO_FITS, ("ti", "<", "tr − te", lambda a: a.tr - a.te)), refocused=True,
)  # fmt: skip
def flair_exact(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """FLAIR with a spin-echo read-out; TI from the inversion to the 90° pulse.

    Equation: eq-flair-exact

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + 2 E1(TR − TE/2) − E1(TR)) · E2(TE);   E = 1 − (1 − E)
    mz = 2 * recovered(ti, t1) - 2 * recovered(tr - te / 2, t1) + recovered(tr, t1)
    return pd * mz * e(te, t2)


@sequence(
    "turbo spin echo", "T2w", {"te": 0.1, "tr": 3.2},
    defaults={
        "echo_spacing": 0.01,
        "train_length": lambda a: max(1, 2 * round(a.te / a.echo_spacing) - 1),
        "effective_te": lambda a: a.te,
    },
    carried=("te",), refocused=True, limits=(
        ("train_length", "<", "tr / echo_spacing", lambda a: a.tr / a.echo_spacing),
        ("te", "≥", "echo_spacing", lambda a: a.echo_spacing),
        ("te", "≤", "train_length · echo_spacing", lambda a: a.train_length * a.echo_spacing),
    ),
)  # fmt: skip
def tse(
    pd: Tensor, t1: Tensor, t2: Tensor, *, effective_te=None, tr, echo_spacing, train_length, te=None
) -> Tensor:
    """Turbo spin echo: a 90° pulse and a train of 180° pulses; contrast is that of the echo in the middle of k-space.

    Equation: eq-tse. The train turns Mz over once an echo and so keeps it near zero; only after it does Mz recover.
    SPACE and its like refocus by small, changing angles: they decay less than their TE says, which is what
    ``effective_te`` is for (Mugler 2014); their Mz during the train is not modelled.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        effective_te: contrast-equivalent TE, seconds; by default ``te``, when the echo of k-space's centre comes.
        tr: seconds.
        echo_spacing: seconds.
        train_length: number of echoes.

    Returns:
        Signal in the units of ``pd``.
    """
    # after the k-th pulse Mz is −(1 − (1 − Mz) E1(ES)): it runs to −tanh(ES / 2T1) with the factor −E1(ES)
    limit = -torch.tanh(echo_spacing / (2 * t1))
    first = -recovered(echo_spacing / 2, t1)
    last = limit + (-e(echo_spacing, t1)) ** (train_length - 1) * (first - limit)
    # PD · Mz(TR) · E2(TE_eff)
    mz = relax(last, tr - (train_length - 0.5) * echo_spacing, t1)
    return pd * mz * e(te if effective_te is None else effective_te, t2)


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
    defaults={**READOUT, "te": 0.0, "t2_prime": math.inf}, limits=TRAIN_FITS,
)  # fmt: skip
def mprage_readout(
    pd: Tensor, t1: Tensor, t2: Tensor, *, tr, ti, flip_angle, echo_spacing, train_length, centre_echo,
    te=0.0, t2_prime=math.inf,
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

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    wait = ti - centre_echo * echo_spacing
    rest = tr - wait - train_length * echo_spacing
    after = pulse_train(flip_angle, echo_spacing, t1)
    # −Mz → recovery → train → recovery → Mz
    mz = steady_mz(lambda m: relax(after(relax(-m, wait, t1), train_length), rest, t1), t1)
    sin, _ = sin_cos(flip_angle, t1)
    return pd * sin * after(relax(-mz, wait, t1), centre_echo) * e2_star(te, t2, t2_prime)


def _spoiled(pd: Tensor, t1: Tensor, t2: Tensor, te, tr, flip_angle, t2_prime) -> Tensor:
    # PD · sin α (1 − E1) / (1 − E1 cos α) · exp(−TE/T2*)
    sin, missing = sin_cos(flip_angle, t1)
    u = recovered(tr, t1)
    return pd * sin * u / (u + (1 - u) * missing) * e2_star(te, t2, t2_prime)


# --- more sequences ------------------------------------------------------------------------------------------------


@sequence(
    "spoiled gradient echo", "T1w", {"te": 0.004, "tr": 0.02, "flip_angle": 20.0},
    defaults={"t2_prime": math.inf}, limits=ECHO_FITS,
)  # fmt: skip
def spgr(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, flip_angle, t2_prime=math.inf) -> Tensor:
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

    Returns:
        Signal in the units of ``pd``.
    """
    return _spoiled(pd, t1, t2, te, tr, flip_angle, t2_prime)


@sequence(
    "gradient echo, T2*-weighted", "T2starw", {"te": 0.02, "tr": 0.6, "flip_angle": 20.0},
    defaults={"t2_prime": 0.1}, limits=ECHO_FITS,
)  # fmt: skip
def gre(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, flip_angle, t2_prime) -> Tensor:
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

    Returns:
        Signal in the units of ``pd``.
    """
    return _spoiled(pd, t1, t2, te, tr, flip_angle, t2_prime)


@sequence(
    "balanced SSFP", "T2w", {"tr": 0.005, "flip_angle": 45.0},
    defaults={"te": lambda a: a.tr / 2}, limits=ECHO_FITS,
)  # fmt: skip
def bssfp(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, flip_angle) -> Tensor:
    """Balanced steady-state free precession on resonance, pulses α and −α in turn, nothing spoiled.

    Equation: eq-bssfp (Freeman and Hill 1971); exact for TE = TR/2 and any other TE on resonance.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        flip_angle: degrees.

    Returns:
        Signal in the units of ``pd``.
    """
    sin, missing = sin_cos(flip_angle, t1)
    u1, u2 = recovered(tr, t1), recovered(tr, t2)
    # 1 − (E1 − E2) cos α − E1 E2, without a difference of near-equal numbers: u = 1 − E
    below = u1 * (2 - missing) + u2 * missing - u1 * u2
    # PD · sin α (1 − E1) / (1 − (E1 − E2) cos α − E1 E2) · E2(TE)
    return pd * sin * u1 / below * e(te, t2)


@sequence(
    "double inversion recovery", "T1w", {"te": 0.02, "tr": 11.0, "ti": 3.18, "ti2": 0.57},
    limits=(
        ("ti2", "<", "tr − ti", lambda a: a.tr - a.ti),
        ("te", "<", "tr − ti − ti2", lambda a: a.tr - a.ti - a.ti2),
    ),
)  # fmt: skip
def dir_(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti, ti2) -> Tensor:
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

    Returns:
        Signal in the units of ``pd``, of either sign.
    """
    # PD · (1 − 2 E1(TI2) + 2 E1(TI + TI2) − E1(TR)) · E2(TE)
    mz = 2 * recovered(ti2, t1) - 2 * recovered(ti + ti2, t1) + recovered(tr, t1)
    return pd * mz * e(te, t2)


@sequence(
    "phase-sensitive inversion recovery", "T1w", {"te": 0.01, "tr": 6.0, "ti": 0.8},
    limits=INVERSION_FITS, signed=True,
)  # fmt: skip
def psir(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """Phase-sensitive inversion recovery: an inversion recovery whose sign is measured, and kept in the image.

    Equation: eq-psir (Bydder and Young 1985 for the sequence; Kellman et al. 2002 for the sign); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + E1(TR)) · E2(TE)
    return pd * (2 * recovered(ti, t1) - recovered(tr, t1)) * e(te, t2)


@sequence(
    "MP2RAGE", "UNIT1", {"tr": 5.0, "ti": 0.7, "ti2": 2.5},
    defaults={**READOUT, "flip_angle": 4.0, "flip_angle2": 5.0, "te": 0.0}, carried=("te",),
    limits=(
        *TRAIN_FITS,
        ("ti2", "≥", "ti + train_length · echo_spacing", lambda a: a.ti + a.train_length * a.echo_spacing),
        ("ti2", "≤", END, lambda a: a.tr - (a.train_length - a.centre_echo) * a.echo_spacing),
    ),
    signed=True, unitless=True,
)  # fmt: skip
def mp2rage(
    pd: Tensor, t1: Tensor, t2: Tensor, *, tr, ti, ti2, flip_angle, flip_angle2, echo_spacing, train_length,
    centre_echo, te=0.0,
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

    Returns:
        S1 S2 / (S1² + S2²).
    """
    # near a null of one read-out the ratio magnifies rounding, hence double precision
    t1 = t1.double()
    train = train_length * echo_spacing
    wait = ti - centre_echo * echo_spacing
    rest = tr - ti2 - (train_length - centre_echo) * echo_spacing
    first, second = pulse_train(flip_angle, echo_spacing, t1), pulse_train(flip_angle2, echo_spacing, t1)

    def before_second(m):
        return relax(first(relax(-m, wait, t1), train_length), ti2 - ti - train, t1)

    mz = steady_mz(lambda m: relax(second(before_second(m), train_length), rest, t1), t1)
    s1 = sin_cos(flip_angle, t1)[0] * first(relax(-mz, wait, t1), centre_echo)
    s2 = sin_cos(flip_angle2, t1)[0] * second(before_second(mz), centre_echo)
    return torch.where(pd > 0, s1 * s2 / (s1**2 + s2**2), 0.0).to(pd.dtype)
