"""A small Bloch simulator: magnetisation of isochromats under pulses, delays and spoilers, in its steady state.

What an equation says of a sequence can be checked here against what the sequence does. Every event maps the
magnetisation M = (Mx, My, Mz) to A M + b, so a whole repetition does too, and its steady state is the M that it gives
back: M = (1 − A)⁻¹ b. Nothing is played until it settles. The frame turns with the water; PD is 1; float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .acquisition import Acquisition
from .sequences import SEQUENCES


@dataclass(frozen=True)
class Pulse:
    """An instant right-handed rotation by ``angle`` degrees: 90° about y turns z into x, about x it turns y into z."""

    angle: float
    about: str = "y"


@dataclass(frozen=True)
class Refocus:
    """A pulse by ``angle`` degrees about x between two equal crushers, averaged over all that they turn a voxel by.

    At 180° it is the pulse alone. At others what it does not refocus is gone, for good.
    """

    angle: float


@dataclass(frozen=True)
class Delay:
    """Free precession and relaxation for ``time`` seconds, at least 0."""

    time: float

    def __post_init__(self) -> None:
        if self.time < -1e-9:  # the last bits of a difference of times may be lost
            raise ValueError(f"delay: found {self.time:g} s, expected 0 or more: the events overlap")


@dataclass(frozen=True)
class Spoil:
    """A perfect spoiler: no transverse magnetisation is left."""


@dataclass(frozen=True)
class Read:
    """The moment at which the scanner listens."""


Event = Pulse | Refocus | Delay | Spoil | Read
Map = tuple[Tensor, Tensor]  # A [..., 3, 3] and b [..., 3]


def _turn(angle: float, about: str) -> Tensor:
    """A right-handed rotation, degrees."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = {
        "x": [[1, 0, 0], [0, cos, -sin], [0, sin, cos]],
        "y": [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]],
        "z": [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]],
    }[about]
    return torch.tensor(turn, dtype=torch.float64)


def _crushed(angle: float) -> Tensor:
    """The mean of rotations about z, x and z; no term of it turns faster than twice the crusher's phase."""
    crushers = [_turn(phase, "z") for phase in range(0, 360, 60)]
    return torch.stack([c @ _turn(angle, "x") @ c for c in crushers]).mean(0)


def _map(event: Event, t1: Tensor, t2: Tensor, offset: Tensor) -> Map:
    a = torch.zeros(*t1.shape, 3, 3, dtype=torch.float64)
    b = torch.zeros(*t1.shape, 3, dtype=torch.float64)
    if isinstance(event, Pulse):
        a[:] = _turn(event.angle, event.about)
    elif isinstance(event, Refocus):
        a[:] = _crushed(event.angle)
    elif isinstance(event, Spoil):
        a[..., 2, 2] = 1.0
    else:
        time = event.time if isinstance(event, Delay) else 0.0
        e1, e2, angle = torch.exp(-time / t1), torch.exp(-time / t2), 2 * math.pi * offset * time
        a[..., 0, 0] = a[..., 1, 1] = e2 * torch.cos(angle)
        a[..., 0, 1], a[..., 1, 0] = -e2 * torch.sin(angle), e2 * torch.sin(angle)
        a[..., 2, 2], b[..., 2] = e1, -torch.expm1(-time / t1)
    return a, b


def _after(first: Map, second: Map) -> Map:
    """Two events as one: M → A₂ (A₁ M + b₁) + b₂."""
    return second[0] @ first[0], (second[0] @ first[1][..., None])[..., 0] + second[1]


def _columns(t1, t2, offset) -> tuple[Tensor, Tensor, Tensor]:
    return torch.broadcast_tensors(*(torch.as_tensor(x, dtype=torch.float64) for x in (t1, t2, offset)))


def steady_state(events: Sequence[Event], t1, t2, offset=0.0) -> Float[Tensor, "R *shape 3"]:
    """M at every :class:`Read`, once the events have been repeated for ever.

    Args:
        events: one repetition, from beginning to end.
        t1: seconds; broadcasts with the others to ``shape``.
        t2: seconds.
        offset: off-resonance of each isochromat, Hz.

    Returns:
        ``[R, *shape, 3]`` for R reads, in units of the equilibrium magnetisation.
    """
    t1, t2, offset = _columns(t1, t2, offset)
    maps: dict[Event, Map] = {}
    whole, reads = _map(Read(), t1, t2, offset), []
    for event in events:
        if isinstance(event, Read):
            reads.append(whole)
            continue
        if event not in maps:
            maps[event] = _map(event, t1, t2, offset)
        whole = _after(whole, maps[event])
    m = torch.linalg.solve(torch.eye(3, dtype=torch.float64) - whole[0], whole[1])
    return torch.stack([(a @ m[..., None])[..., 0] + b for a, b in reads])


def trace(
    events: Sequence[Event], t1, t2, *, repeats: int = 1, step: float = 0.01, offset=0.0
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *shape 3"]]:
    """M over time, from equilibrium on: what happens before there is a steady state.

    Args:
        events: one repetition.
        t1: seconds; broadcasts with the others to ``shape``.
        t2: seconds.
        repeats: how often the events are played.
        step: seconds between the points of a delay.
        offset: off-resonance of each isochromat, Hz.

    Returns:
        Times in seconds ``[n]`` and M ``[n, *shape, 3]``; before and after a pulse at one time.
    """
    t1, t2, offset = _columns(t1, t2, offset)
    m = torch.zeros(*t1.shape, 3, dtype=torch.float64)
    m[..., 2] = 1.0
    times, seen = [0.0], [m]
    for event in [*events] * repeats:
        parts = max(1, math.ceil(event.time / step)) if isinstance(event, Delay) else 1
        piece = Delay(event.time / parts) if isinstance(event, Delay) else event
        a, b = _map(piece, t1, t2, offset)
        for _ in range(parts):
            m = (a @ m[..., None])[..., 0] + b
            times.append(times[-1] + (piece.time if isinstance(piece, Delay) else 0.0))
            seen.append(m)
    return torch.tensor(times, dtype=torch.float64), torch.stack(seen)


# --- what each sequence plays -----------------------------------------------------------------------------------


def _invert(a: Acquisition) -> list[Event]:
    return [Pulse(math.degrees(math.acos(-a.inversion_efficiency))), Spoil()]


def _gradient_echo(angle: float, te: float, period: float, read: bool = True) -> list[Event]:
    return [Pulse(angle), Delay(te), *([Read()] if read else []), Delay(period - te), Spoil()]


def _spin_echo(a: Acquisition, period: float) -> list[Event]:
    half = Delay(a.te / 2)
    return [Pulse(90.0 * a.b1), half, Refocus(180.0 * a.b1), half, Read(), Delay(period - a.te), Spoil()]


def _turbo(a: Acquisition, period: float) -> list[Event]:
    half, middle = Delay(a.echo_spacing / 2), round(a.effective_te / a.echo_spacing)
    if abs(middle * a.echo_spacing - a.effective_te) > 1e-9 or not 1 <= middle <= a.train_length:
        raise ValueError(
            f"effective_te: found {a.effective_te:g} s, expected the time of an echo of the train to play it"
        )
    events: list[Event] = [Pulse(90.0 * a.b1)]
    for echo in range(1, a.train_length + 1):
        events += [half, Pulse(180.0 * a.b1, "x"), half, *([Read()] if echo == middle else [])]
    return [*events, Delay(period - a.train_length * a.echo_spacing), Spoil()]


def _inverted_turbo(a: Acquisition) -> list[Event]:
    return [*_invert(a), Delay(a.ti), *_turbo(a, a.tr - a.ti)]


def _readout(a: Acquisition, angle: float) -> list[Event]:
    echoes = range(a.train_length)
    return [e for n in echoes for e in _gradient_echo(angle * a.b1, a.te, a.echo_spacing, n == a.centre_echo)]


def _mprage(a: Acquisition) -> list[Event]:
    wait = a.ti - a.centre_echo * a.echo_spacing
    rest = a.tr - wait - a.train_length * a.echo_spacing
    return [*_invert(a), Delay(wait), *_readout(a, a.flip_angle), Delay(rest)]


def _mp2rage(a: Acquisition) -> list[Event]:
    wait, train = a.ti - a.centre_echo * a.echo_spacing, a.train_length * a.echo_spacing
    between = a.ti2 - a.ti - train
    rest = a.tr - a.ti2 - train + a.centre_echo * a.echo_spacing
    first, second = _readout(a, a.flip_angle), _readout(a, a.flip_angle2)
    return [*_invert(a), Delay(wait), *first, Delay(between), *second, Delay(rest)]


def _balanced(a: Acquisition) -> list[Event]:
    rest, angle = Delay(a.tr - a.te), a.flip_angle * a.b1
    return [Pulse(angle), Delay(a.te), Read(), rest, Pulse(-angle), Delay(a.te), rest]


PULSES: dict[str, Callable[[Acquisition], list[Event]]] = {
    "spin_echo_exact": lambda a: _spin_echo(a, a.tr),
    "flair_exact": lambda a: [*_invert(a), Delay(a.ti), *_spin_echo(a, a.tr - a.ti)],
    "tse": lambda a: _turbo(a, a.tr),
    "ir_tse": _inverted_turbo,
    "flair_tse": _inverted_turbo,
    "mprage_readout": _mprage,
    "spgr": lambda a: _gradient_echo(a.flip_angle * a.b1, a.te, a.tr),
    "gre": lambda a: _gradient_echo(a.flip_angle * a.b1, a.te, a.tr),
    "bssfp": _balanced,
    "dir": lambda a: [
        *_invert(a), Delay(a.ti), *_invert(a), Delay(a.ti2),
        *_gradient_echo(90.0 * a.b1, a.te, a.tr - a.ti - a.ti2),
    ],
    "psir": lambda a: [*_invert(a), Delay(a.ti), *_gradient_echo(90.0 * a.b1, a.te, a.tr - a.ti)],
    "mp2rage": _mp2rage,
}  # fmt: skip


def exact(acquisition: Acquisition) -> Acquisition:
    """The exact sequence that an acquisition of Eq. 1 stands for, with the same times; any other as it is.

    MPRAGE is read at TE 0, for Eq. 1 does not decay.
    """
    name = SEQUENCES[acquisition.sequence].stands_for
    if name is None:
        return acquisition
    return Acquisition(name, {k: v for k, v in acquisition.settings.items() if k in SEQUENCES[name].start})


# A Lorentzian spread of field, in units of its half width: dephases as exp(−t/T2′), to 1e-3 of the signal at t = 0.
SPREAD = torch.linspace(-1000.0, 1000.0, 4001, dtype=torch.float64)
SHARES = 0.5 / (math.pi * (1 + SPREAD**2))
SHARES = SHARES / SHARES.sum()


def _isochromats(a: Acquisition) -> tuple[Tensor, Tensor]:
    """Off-resonance in Hz of what a voxel is played as, and the share of each: ``[n]``, ``[n]``."""
    if not math.isinf(a.settings.get("t2_prime", math.inf)):
        return SPREAD / (2 * math.pi * a.t2_prime), SHARES
    if "train_length" in a.settings and SEQUENCES[a.sequence].refocused and a.b1 != 1:
        # each half echo spacing turns them by another whole part of 360°, as a train's crushers do
        n = 6 * a.train_length + 5
        turns = torch.arange(n, dtype=torch.float64)
        return 2 * turns / (n * a.echo_spacing), torch.full_like(turns, 1 / n)
    return torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)


def bloch_signal(acquisition: Acquisition, pd, t1, t2) -> Float[Tensor, "*shape"]:
    """The signal of a sequence played pulse by pulse to its steady state: slow, and nobody's closed form.

    Eq. 1's sequences are played as the exact ones that they stand for, a T2′ as a Lorentzian spread of field; a train of
    refocusing pulses that are not of 180° with its stimulated echoes, which the closed forms neglect.

    Args:
        acquisition: what is played.
        pd: a.u.; broadcasts with the others to ``shape``.
        t1: seconds.
        t2: seconds.

    Returns:
        Signed signal in float64, in the units of ``pd``; of MP2RAGE S1 S2 / (S1² + S2²).
    """
    a = exact(acquisition)
    pd, t1, t2 = _columns(pd, t1, t2)
    offset, shares = _isochromats(a)
    m = steady_state(PULSES[a.sequence](a), t1[..., None], t2[..., None], offset)
    # pulses about y: the echo lies along x
    s = (shares * m[..., 0]).sum(-1)
    if a.sequence == "mp2rage":
        return s[0] * s[1] / (s[0] ** 2 + s[1] ** 2)
    return pd * s[0]
