"""What a scan can be asked for: the settings there are, and the row of a sequence in the one table.

A new setting is one entry of ``FIELDS``: :class:`~physldm.physics.Acquisition`, sidecars, batches and widgets then have
it. A new sequence is an equation below a ``@sequence(...)``, see :mod:`physldm.physics.sequences`.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType

import torch
from torch import Tensor

SHORTEST, LONGEST = 1e-9, 1e9  # T1 and T2 in seconds; beyond these every equation has reached its limit


@dataclass(frozen=True)
class Field:
    """One setting of an acquisition.

    Attributes:
        label: its short name.
        meaning: what it is.
        unit: ``s``, ``°`` or nothing.
        bids: its key in a sidecar: BIDS' own where BIDS has one, else this package's.
        span: how far a widget's slider runs.
        at_most: the largest value that can be meant.
        whole: it is a count.
        may_be_zero: 0 can be meant, whatever the sequence. (Otherwise only where 0 is the sequence's default.)
        ideal: the value at which it changes nothing, and is not worth a word; None if there is none.
    """

    label: str
    meaning: str
    unit: str
    bids: str
    span: tuple[float, float]
    at_most: float = math.inf
    whole: bool = False
    may_be_zero: bool = False
    ideal: float | None = None


FIELDS: dict[str, Field] = {
    "te": Field("TE", "echo time", "s", "EchoTime", (0.001, 1.0), 5.0),
    "tr": Field("TR", "repetition time; with an inversion, from one to the next", "s", "RepetitionTime", (0.004, 60.0), 60.0),
    "ti": Field("TI", "inversion time", "s", "InversionTime", (0.02, 6.0), 60.0),
    "ti2": Field("TI2", "second inversion time", "s", "SecondInversionTime", (0.02, 6.0), 60.0),
    "flip_angle": Field("flip angle", "flip angle", "°", "FlipAngle", (1.0, 90.0), 180.0),
    "flip_angle2": Field("flip angle 2", "flip angle of the second read-out", "°", "SecondFlipAngle", (1.0, 90.0), 180.0),
    "echo_spacing": Field("echo spacing", "from one echo of a train to the next", "s", "EchoSpacing", (0.002, 0.05), 1.0),
    "train_length": Field("train length", "echoes in a train", "", "EchoTrainLength", (1, 400), 10_000, whole=True),
    "centre_echo": Field(
        "centre echo", "echoes of the train before the one at the centre of k-space", "", "CentreEcho", (0, 400),
        whole=True, may_be_zero=True,
    ),
    "effective_te": Field(
        "effective TE", "contrast-equivalent echo time: that of the plain spin echo of the same contrast", "s",
        "ContrastEquivalentEchoTime", (0.001, 1.0), 5.0,
    ),
    "t2_prime": Field("T2′", "dephasing time of the uneven field, 1/T2* = 1/T2 + 1/T2′", "s", "T2Prime", (0.005, 10.0), ideal=math.inf),
    "b1": Field("B1+", "transmit field: what pulses turn by, over what they should (inversions aside)", "", "TransmitField", (0.5, 1.5), 2.0, ideal=1.0),
    "inversion_efficiency": Field(
        "inversion efficiency", "f: an inversion leaves −f Mz", "", "InversionEfficiency", (0.5, 1.0), 1.0,
        may_be_zero=True, ideal=1.0,
    ),
}  # fmt: skip
# A setting, how it must stand (< ≤ ≥), to what, in words and as a function of the acquisition.
Limit = tuple[str, str, str, Callable]


@dataclass(frozen=True)
class SequenceModel:
    """A row of the table.

    Attributes:
        title: its name for people.
        equation: the function, of T1 and T2 within range.
        takes: the settings the equation takes.
        start: a usual protocol, all of whose settings are needed.
        suffix: BIDS suffix of the image.
        defaults: settings that may be left out, and what they are then: a value, or a function of the acquisition.
        limits: what must hold between the settings, such as ``("ti", "<", "tr", lambda a: a.tr)``.
        stands_for: the exact sequence that an equation of the paper stands for.
        refocused: a 180° pulse makes its echo, so that the uneven field does not count.
        signed: its image keeps the sign, whatever is asked for.
        unitless: its value is a ratio of signals.
    """

    title: str
    equation: Callable[..., Tensor]
    takes: tuple[str, ...]
    start: Mapping[str, float]
    suffix: str
    defaults: Mapping[str, object] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    stands_for: str | None = None
    refocused: bool = False
    signed: bool = False
    unitless: bool = False

    @property
    def settings(self) -> tuple[str, ...]:
        """All settings an acquisition of this sequence has, in the order of ``FIELDS``."""
        return tuple(name for name in FIELDS if name in self.start or name in self.defaults)


SEQUENCES: dict[str, SequenceModel] = {}


def _tensor(value) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(float(value))


def sequence(
    title: str, suffix: str, start: Mapping[str, float], *, carried: tuple[str, ...] = (), **more
) -> Callable[[FunctionType], Callable[..., Tensor]]:
    """Enters the decorated equation into the table under its own name, and bounds its T1 and T2.

    Args:
        title: its name for people.
        suffix: BIDS suffix of the image.
        start: a usual protocol, all of whose settings are needed.
        carried: settings that an acquisition has and the equation, though it could take them, is not given.
        more: the other attributes of :class:`SequenceModel`.
    """

    def enter(equation: FunctionType) -> Callable[..., Tensor]:
        known = {*start, *more.get("defaults", {})} - {*carried}
        parameters = inspect.signature(equation).parameters.values()
        takes = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name in known)
        name = equation.__name__.rstrip("_")
        SEQUENCES[name] = SequenceModel(title, equation, takes, start, suffix, **more)

        @functools.wraps(equation)
        def bounded(pd, t1, t2, **settings) -> Tensor:
            t1, t2 = (_tensor(t).clamp(SHORTEST, LONGEST) for t in (t1, t2))
            return equation(_tensor(pd), t1, t2, **settings)

        return bounded

    return enter
