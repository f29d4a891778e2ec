"""The signal equations and the one table of sequences. Times in seconds, angles in degrees, signal in units of PD.

Every equation takes tensors that broadcast against each other (numbers may stand for any of them), returns the
broadcast shape, is signed, and can be differentiated in each argument. T1 and T2 below 1 ns or above 30 years count
as these: there every equation has reached its limit.

To add a sequence, write its equation here below a ``@sequence(...)``; :func:`physldm.physics.signal`, the command
line, the widgets and the book's list of sequences then know it. A new setting is a line in ``FIELDS``.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

SHORTEST, LONGEST = 1e-9, 1e9


@dataclass(frozen=True)
class Field:
    """One setting of an acquisition.

    Attributes:
        label: its short name. meaning: what it is. unit: s, ° or nothing. bids: its name in a BIDS sidecar.
        span: how far a widget's slider runs. at_most: the largest value that can be meant.
    """

    label: str
    meaning: str
    unit: str
    bids: str
    span: tuple[float, float]
    at_most: float = math.inf


FIELDS: dict[str, Field] = {
    "te": Field("TE", "echo time", "s", "EchoTime", (0.001, 1.0), 5.0),
    "tr": Field(
        "TR",
        "repetition time; with an inversion, from one to the next",
        "s",
        "RepetitionTime",
        (0.004, 60.0),
        60.0,
    ),
    "ti": Field("TI", "inversion time", "s", "InversionTime", (0.02, 6.0), 60.0),
    "ti2": Field("TI2", "second inversion time", "s", "SecondInversionTime", (0.02, 6.0), 60.0),
    "flip_angle": Field("flip angle", "flip angle", "°", "FlipAngle", (1.0, 90.0), 180.0),
    "flip_angle2": Field(
        "flip angle 2", "flip angle of the second read-out", "°", "SecondFlipAngle", (1.0, 90.0), 180.0
    ),
    "echo_spacing": Field(
        "echo spacing", "from one echo of a train to the next", "s", "EchoSpacing", (0.002, 0.05), 1.0
    ),
    "train_length": Field("train length", "echoes in a train", "", "EchoTrainLength", (1, 400), 10_000),
    "centre_echo": Field(
        "centre echo",
        "echoes of the train before the one at the centre of k-space",
        "",
        "CentreEcho",
        (0, 400),
    ),
    "effective_te": Field(
        "effective TE",
        "contrast-equivalent echo time: that of the plain spin echo of the same contrast",
        "s",
        "ContrastEquivalentEchoTime",
        (0.001, 1.0),
        5.0,
    ),
    "t2_prime": Field(
        "T2′", "dephasing time of the uneven field, 1/T2* = 1/T2 + 1/T2′", "s", "T2Prime", (0.005, 10.0)
    ),
}
# A setting, how it must stand (< ≤ ≥), to what, in words and as a function of the acquisition.
Limit = tuple[str, str, str, Callable]


@dataclass(frozen=True)
class SequenceModel:
    """A row of the table.

    Attributes:
        title: its name for people. equation: the function, of T1 and T2 within range.
        takes: the settings the equation takes. start: a usual protocol, all of whose settings are needed.
        defaults: settings that may be left out, and what they are then: a value, or a function of the acquisition.
        limits: what must hold between the settings, such as ``("ti", "<", "tr", lambda a: a.tr)``.
        stands_for: the exact sequence that an equation of the paper stands for.
        suffix: BIDS suffix of the image. signed: its image keeps the sign, whatever is asked for. unitless: its value is a
            ratio of signals.
    """

    title: str
    equation: Callable[..., Tensor]
    takes: tuple[str, ...]
    start: Mapping[str, float]
    suffix: str
    defaults: Mapping[str, object] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    stands_for: str | None = None
    signed: bool = False
    unitless: bool = False

    @property
    def settings(self) -> tuple[str, ...]:
        """All settings an acquisition of this sequence has, in the order of ``FIELDS``."""
        return tuple(name for name in FIELDS if name in self.start or name in self.defaults)


SEQUENCES: dict[str, SequenceModel] = {}


def _tensor(value) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(float(value))


def sequence(title: str, suffix: str, start: Mapping[str, float], **more):
    """Enters the decorated equation into the table under its own name, and bounds its T1 and T2."""

    def enter(equation: Callable[..., Tensor]) -> Callable[..., Tensor]:
        known = {*start, *more.get("defaults", {})}
        keywords = [
            p.name for p in inspect.signature(equation).parameters.values() if p.kind is p.KEYWORD_ONLY
        ]
        takes = tuple(name for name in keywords if name in known and name not in more.get("carried", ()))
        row = {k: v for k, v in more.items() if k != "carried"}
        name = equation.__name__.rstrip("_")
        SEQUENCES[name] = SequenceModel(title, equation, takes, start, suffix, **row)

        @functools.wraps(equation)
        def bounded(pd, t1, t2, **settings) -> Tensor:
            t1, t2 = (_tensor(t).clamp(SHORTEST, LONGEST) for t in (t1, t2))
            return equation(_tensor(pd), t1, t2, **settings)

        return bounded

    return enter


# --- pieces ---------------------------------------------------------------------------------------------------


def _e(time, t: Tensor) -> Tensor:
    """E(time) = exp(−time/T)."""
    return (-time / t).exp_()


def _recovered(time, t1: Tensor) -> Tensor:
    """1 − E1(time) = 2 h / (1 + h), h = tanh(time / 2T1): all its digits where time ≪ T1, and faster than expm1."""
    h = torch.tanh(time / 2 / t1)
    return 2 * h / (1 + h)


def _relax(mz, time, t1: Tensor) -> Tensor:
    """Mz after ``time`` of recovery towards 1: 1 − (1 − Mz) E1(time)."""
    return mz + (1 - mz) * _recovered(time, t1)


def _sin_cos(flip_angle, like: Tensor) -> tuple[Tensor, Tensor]:
    """sin α and 1 − cos α = 2 sin²(α/2), of an angle in degrees."""
    alpha = torch.deg2rad(torch.as_tensor(flip_angle, dtype=like.dtype, device=like.device))
    return torch.sin(alpha), 2 * torch.sin(alpha / 2) ** 2


def t1_star(t1: Tensor, *, flip_angle, echo_spacing) -> Tensor:
    """The time constant T1* with which Mz settles under a train of pulses, always shorter than T1.

    Equation: eq-t1-star (Deichmann et al. 2000; Look and Locker 1970)

    Args:
        t1, echo_spacing: seconds. flip_angle: degrees, less than 90.
    """
    alpha = torch.deg2rad(torch.as_tensor(flip_angle, dtype=t1.dtype, device=t1.device))
    return 1 / (1 / t1 - torch.log(torch.cos(alpha)) / echo_spacing)


def _train(flip_angle, echo_spacing, t1: Tensor) -> Callable[..., Tensor]:
    """A train of pulses α, one every echo spacing: ``after(mz, n)`` is Mz just before pulse n, counted from 0.

    Each pulse leaves Mz cos α, which recovers for one spacing. So Mz runs towards M0* with the time constant
    T1*: q = E1(ES) cos α = exp(−ES/T1*), M0* = (1 − E1(ES)) / (1 − q).
    Source: Deichmann et al. 2000; Look and Locker 1970.
    """
    _, missing = _sin_cos(flip_angle, t1)
    u = _recovered(echo_spacing, t1)
    q = (1 - u) * (1 - missing)
    steady = u / (u + (1 - u) * missing)
    return lambda mz, n: steady + q**n * (mz - steady)


def _steady(period: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """The Mz that a period gives back: every period maps Mz to a + b Mz, so it is a / (1 − b)."""
    a = period(torch.zeros_like(like))
    b = period(torch.ones_like(like)) - a
    return a / (1 - b)


def _e2star(te, t2: Tensor, t2_prime) -> Tensor:
    """exp(−TE/T2*), 1/T2* = 1/T2 + 1/T2′."""
    return torch.exp(-te / t2 - te / t2_prime)


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
        pd: proton density, arbitrary units. t1, t2: seconds.
        tr, ti, te: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) / (1 + E1(TR)))
    s = torch.addcmul(pd, pd, _e(ti, t1) / (1 + _e(tr, t1)), value=-2)
    return s * _e(te, t2) if isinstance(te, Tensor) or te != 0 else s


@sequence("spin echo (Eq. 1)", "T2w", {"te": 0.1, "tr": 3.2}, limits=ECHO_FITS, stands_for="spin_echo_exact")
def spin_echo(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr) -> Tensor:
    """Spin echo: a 90° pulse every TR, its echo read TE later.

    Equation: eq-spin-echo (Eq. 1 of the paper, second line); exact for TE → 0.

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr: seconds.

    Returns:
        Signal in the units of ``pd``, never negative.
    """
    # PD · (1 − E1(TR)) · E2(TE)
    return pd * _recovered(tr, t1) * _e(te, t2)


@sequence(
    "FLAIR (Eq. 1)",
    "FLAIR",
    {"te": 0.09, "tr": 9.0, "ti": 2.5},
    limits=INVERSION_FITS,
    stands_for="flair_exact",
)
def flair(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """FLAIR: inversion, 90° pulse after TI, echo at TE, all repeated every TR.

    Equation: eq-flair (Eq. 1 of the paper, third line); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr, ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + E1(TR)) · E2(TE)
    return pd * (1 + torch.add(_e(tr, t1), _e(ti, t1), alpha=-2)) * _e(te, t2)


# --- the same three, exact -------------------------------------------------------------------------------------


@sequence("spin echo", "T2w", {"te": 0.1, "tr": 3.2}, limits=ECHO_FITS)
def spin_echo_exact(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr) -> Tensor:
    """Spin echo with its refocusing pulse: the 180° at TE/2 also turns over what has recovered till then.

    Equation: eq-spin-echo-exact

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr: seconds.

    Returns:
        Signal in the units of ``pd``.
    """
    # PD · (1 − 2 E1(TR − TE/2) + E1(TR)) · E2(TE)
    return pd * (2 * _recovered(tr - te / 2, t1) - _recovered(tr, t1)) * _e(te, t2)


@sequence(
    "FLAIR", "FLAIR", {"te": 0.09, "tr": 9.0, "ti": 2.5},
    limits=(*ECHO_FITS, ("ti", "<", "tr − te", lambda a: a.tr - a.te)),
)  # fmt: skip
def flair_exact(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """FLAIR with a spin-echo read-out; TI from the inversion to the 90° pulse.

    Equation: eq-flair-exact

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr, ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + 2 E1(TR − TE/2) − E1(TR)) · E2(TE);   E = 1 − (1 − E)
    mz = 2 * _recovered(ti, t1) - 2 * _recovered(tr - te / 2, t1) + _recovered(tr, t1)
    return pd * mz * _e(te, t2)


@sequence(
    "turbo spin echo", "T2w", {"te": 0.1, "tr": 3.2},
    defaults={
        "echo_spacing": 0.01,
        "train_length": lambda a: max(1, 2 * round(a.te / a.echo_spacing) - 1),
        "effective_te": lambda a: a.te,
    },
    carried=("te",), limits=(
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
        pd: proton density, arbitrary units. t1, t2: seconds.
        effective_te: contrast-equivalent TE, seconds; by default ``te``, when the echo of k-space's centre comes.
        tr, echo_spacing: seconds. train_length: number of echoes.

    Returns:
        Signal in the units of ``pd``.
    """
    # after the k-th pulse Mz is −(1 − (1 − Mz) E1(ES)): it runs to −tanh(ES / 2T1) with the factor −E1(ES)
    limit = -torch.tanh(echo_spacing / (2 * t1))
    first = -_recovered(echo_spacing / 2, t1)
    last = limit + (-_e(echo_spacing, t1)) ** (train_length - 1) * (first - limit)
    # PD · Mz(TR) · E2(TE_eff)
    mz = _relax(last, tr - (train_length - 0.5) * echo_spacing, t1)
    return pd * mz * _e(te if effective_te is None else effective_te, t2)


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
        pd: proton density, arbitrary units. t1, t2: seconds.
        tr, ti, te, echo_spacing: seconds. t2_prime: seconds; without it T2* = T2.
        flip_angle: degrees. train_length: pulses after an inversion. centre_echo: pulses before k-space's centre.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    wait = ti - centre_echo * echo_spacing
    rest = tr - wait - train_length * echo_spacing
    after = _train(flip_angle, echo_spacing, t1)
    # −Mz → recovery → train → recovery → Mz
    mz = _steady(lambda m: _relax(after(_relax(-m, wait, t1), train_length), rest, t1), t1)
    sin, _ = _sin_cos(flip_angle, t1)
    return pd * sin * after(_relax(-mz, wait, t1), centre_echo) * _e2star(te, t2, t2_prime)


def _spoiled(pd: Tensor, t1: Tensor, t2: Tensor, te, tr, flip_angle, t2_prime) -> Tensor:
    # PD · sin α (1 − E1) / (1 − E1 cos α) · exp(−TE/T2*)
    sin, missing = _sin_cos(flip_angle, t1)
    u = _recovered(tr, t1)
    return pd * sin * u / (u + (1 - u) * missing) * _e2star(te, t2, t2_prime)


# --- more sequences ------------------------------------------------------------------------------------------------


@sequence(
    "spoiled gradient echo", "T1w", {"te": 0.004, "tr": 0.02, "flip_angle": 20.0},
    defaults={"t2_prime": math.inf}, limits=ECHO_FITS,
)  # fmt: skip
def spgr(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, flip_angle, t2_prime=math.inf) -> Tensor:
    """Spoiled gradient echo (FLASH): a pulse α every TR, its transverse rest destroyed before the next.

    Equation: eq-spgr (Ernst and Anderson 1966; Haase et al. 1986). Brightest at the Ernst angle, cos α = E1(TR).

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr: seconds. flip_angle: degrees. t2_prime: seconds; without it T2* = T2.

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
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr: seconds. flip_angle: degrees. t2_prime: seconds, a property of shim and tissue.

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
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr: seconds. flip_angle: degrees.

    Returns:
        Signal in the units of ``pd``.
    """
    sin, missing = _sin_cos(flip_angle, t1)
    u1, u2 = _recovered(tr, t1), _recovered(tr, t2)
    # 1 − (E1 − E2) cos α − E1 E2, without a difference of near-equal numbers: u = 1 − E
    below = u1 * (2 - missing) + u2 * missing - u1 * u2
    # PD · sin α (1 − E1) / (1 − (E1 − E2) cos α − E1 E2) · E2(TE)
    return pd * sin * u1 / below * _e(te, t2)


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
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr: seconds. ti: first to second inversion, seconds. ti2: second inversion to excitation, seconds.

    Returns:
        Signal in the units of ``pd``, of either sign.
    """
    # PD · (1 − 2 E1(TI2) + 2 E1(TI + TI2) − E1(TR)) · E2(TE)
    mz = 2 * _recovered(ti2, t1) - 2 * _recovered(ti + ti2, t1) + _recovered(tr, t1)
    return pd * mz * _e(te, t2)


@sequence(
    "phase-sensitive inversion recovery", "T1w", {"te": 0.01, "tr": 6.0, "ti": 0.8},
    limits=INVERSION_FITS, signed=True,
)  # fmt: skip
def psir(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """Phase-sensitive inversion recovery: an inversion recovery whose sign is measured, and kept in the image.

    Equation: eq-psir (Bydder and Young 1985 for the sequence; Kellman et al. 2002 for the sign); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr, ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + E1(TR)) · E2(TE)
    return pd * (2 * _recovered(ti, t1) - _recovered(tr, t1)) * _e(te, t2)


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
        pd: proton density, arbitrary units. t1, t2: seconds.
        tr: inversion to inversion, seconds. ti, ti2: inversion to the centre of each read-out, seconds.
        flip_angle, flip_angle2: degrees. echo_spacing: seconds. train_length, centre_echo: of both read-outs.

    Returns:
        S1 S2 / (S1² + S2²).
    """
    # near a null of one read-out the ratio magnifies rounding, hence double precision
    t1 = t1.double()
    train = train_length * echo_spacing
    wait = ti - centre_echo * echo_spacing
    rest = tr - ti2 - (train_length - centre_echo) * echo_spacing
    first, second = _train(flip_angle, echo_spacing, t1), _train(flip_angle2, echo_spacing, t1)

    def before_second(m):
        return _relax(first(_relax(-m, wait, t1), train_length), ti2 - ti - train, t1)

    mz = _steady(lambda m: _relax(second(before_second(m), train_length), rest, t1), t1)
    s1 = _sin_cos(flip_angle, t1)[0] * first(_relax(-mz, wait, t1), centre_echo)
    s2 = _sin_cos(flip_angle2, t1)[0] * second(before_second(mz), centre_echo)
    return torch.where(pd > 0, s1 * s2 / (s1**2 + s2**2), 0.0).to(pd.dtype)
