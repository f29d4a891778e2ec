"""How a scan was taken: the sequence and its settings. All times in seconds, angles in degrees."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physldm.errors import InputError

from .sequences import FIELDS, SEQUENCES

SEQUENCE_OF_SUFFIX = {"T1w": "mprage", "T2w": "spin_echo", "FLAIR": "flair"}
CONTRASTS = tuple(SEQUENCE_OF_SUFFIX)  # in this order wherever scans of several contrasts are kept
# How two settings may have to stand to each other. A train may fill its time to the last bit of a float.
RELATIONS = {
    "<": ("less than", lambda a, b: a < b),
    "≤": ("at most", lambda a, b: a <= b + 1e-9),
    "≥": ("at least", lambda a, b: a >= b - 1e-9),
}


class AcquisitionError(InputError):
    """A field of an acquisition is impossible; the message names it."""


def _unit(name: str) -> str:
    return {"s": " s", "°": "°"}.get(FIELDS[name].unit, "")


def _checked(name: str, value, default) -> float:
    """A setting as a number: an int of a count, a float of anything else."""
    of, unit = FIELDS[name], _unit(name)
    if isinstance(value, numbers.Real) and value == math.inf == default:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise AcquisitionError(f"{name}: found {value!r}, expected a finite number{unit and f' in{unit}'}")
    if of.whole and value != int(value):
        raise AcquisitionError(f"{name}: found {value}, expected a whole number")
    if value < 0 or (value == 0 and not (of.may_be_zero or default == 0.0)):
        raise AcquisitionError(f"{name}: found {value}, expected more than 0{unit}")
    if value > of.at_most:
        hint = " (milliseconds?)" if of.unit == "s" else ""
        raise AcquisitionError(f"{name}: found {value}, expected at most {of.at_most:g}{unit}{hint}")
    return int(value) if of.whole else float(value)


@dataclass(frozen=True, init=False, repr=False)
class Acquisition:
    """One scan's protocol. Which settings a sequence has is in :data:`physldm.physics.SEQUENCES`.

    Each of them is an attribute too (``a.te``); a setting that the sequence does not have is ``None`` there.

    Args:
        sequence: ``mprage``, ``spin_echo``, ``flair`` (Eq. 1 of the paper as printed), ``spin_echo_exact``,
            ``flair_exact``, ``tse``, ``mprage_readout`` (the same, exact), ``ir_tse``, ``flair_tse`` (a train after an
            inversion), or ``spgr``, ``gre``, ``bssfp``, ``dir``, ``psir``, ``mp2rage``.
        settings: those of another acquisition, to begin with.
        te: echo time in seconds, 0 < TE < TR (``mprage`` may leave it out: Eq. 1 does not use it).
        tr: repetition time in seconds; with an inversion, the time from one to the next.
        ti: inversion time in seconds, 0 < TI < TR: from the inversion to the excitation, in a train to the pulse of
            k-space's centre, in ``dir`` to the second inversion; none where nothing is inverted.
        ti2: second inversion time in seconds (``dir``: second inversion to excitation; ``mp2rage``: inversion to the
            centre of the second read-out).
        flip_angle: degrees.
        flip_angle2: degrees, of the second read-out.
        echo_spacing: seconds from one echo of a train to the next.
        train_length: echoes in a train.
        centre_echo: echoes of the train before the one at the centre of k-space.
        effective_te: seconds; contrast-equivalent, that is the TE of the plain spin echo that has the contrast of
            a train. (Others call the time of the echo in the middle of k-space effective; that is ``te`` here.)
        t2_prime: seconds; T2′ of the uneven field.
        b1: what pulses turn by, over what they should; 1 by default. Inversions have an efficiency instead.
        inversion_efficiency: f, 0 ≤ f ≤ 1; an inversion leaves −f Mz; 1 by default.

    Raises:
        AcquisitionError: naming the field, what was found and what was expected.
    """

    sequence: str
    settings: Mapping[str, float]

    def __init__(
        self, sequence: str, settings: Mapping[str, float] | None = None, **changes: float | None
    ) -> None:
        if sequence not in SEQUENCES:
            raise AcquisitionError(f"sequence: found {sequence!r}, expected one of {', '.join(SEQUENCES)}")
        model, known = SEQUENCES[sequence], {}
        given = {k: v for k, v in {**(settings or {}), **changes}.items() if v is not None}
        for name in given.keys() - model.settings:
            raise AcquisitionError(
                f"{name}: found {given[name]}, expected none: {sequence} has only {', '.join(model.settings)}"
            )
        for name in model.settings:
            if name in given:
                known[name] = _checked(name, given[name], model.defaults.get(name))
            elif name in model.start:
                raise AcquisitionError(
                    f"{name}: missing, expected the {FIELDS[name].meaning} for sequence {sequence}"
                )
        object.__setattr__(self, "sequence", sequence)
        object.__setattr__(self, "settings", known)
        for name, default in model.defaults.items():
            if name not in known:  # a default may be a function of those before it
                known[name] = default(self) if callable(default) else default
        object.__setattr__(self, "settings", {name: known[name] for name in model.settings})
        for name, relation, of, bound in model.limits:
            words, holds = RELATIONS[relation]
            if not holds(known[name], bound(self)):
                raise AcquisitionError(
                    f"{name}: found {known[name]}, expected {words} {of} = {bound(self):g}{_unit(name)}"
                )

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS:
            return self.settings.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __hash__(self) -> int:
        return hash((self.sequence, *self.settings.items()))

    def __repr__(self) -> str:
        return f"Acquisition({', '.join([repr(self.sequence), *(f'{k}={v!r}' for k, v in self.settings.items())])})"

    @classmethod
    def usual(cls, sequence: str, **changes) -> Acquisition:
        """The usual protocol of a sequence, with some settings changed.

        Raises:
            AcquisitionError: there is no such sequence, or a setting is impossible.
        """
        return cls(sequence, SEQUENCES[sequence].start if sequence in SEQUENCES else None, **changes)

    @classmethod
    def from_bids(cls, sidecar: Mapping, suffix: str) -> Acquisition:
        """Reads a BIDS sidecar (``EchoTime``, ``RepetitionTime``, ``InversionTime``, in seconds).

        A ``PulseSequenceType`` of the table, as :meth:`to_bids` writes it, decides the sequence and which fields are
        read. Otherwise the suffix does: T1w is MPRAGE, FLAIR is FLAIR, T2w is a spin echo or, with an
        ``InversionTime``, the same after an inversion, whose equation is FLAIR's.
        ``ContrastEquivalentEchoTime`` (this package's own field) takes the place of ``EchoTime``: a long train of
        refocusing pulses has the contrast of a shorter plain spin echo.

        Raises:
            AcquisitionError: an unknown suffix, or a setting that is missing or impossible.
        """
        named = sidecar.get("PulseSequenceType")
        if named in SEQUENCES:
            fields = {name: FIELDS[name].bids for name in SEQUENCES[named].settings}
            return cls(named, {name: sidecar[key] for name, key in fields.items() if key in sidecar})
        if suffix not in SEQUENCE_OF_SUFFIX:
            raise AcquisitionError(
                f"suffix: found {suffix!r}, expected one of {', '.join(SEQUENCE_OF_SUFFIX)}"
            )
        sequence = SEQUENCE_OF_SUFFIX[suffix]
        if suffix == "T2w" and sidecar.get("InversionTime") is not None:
            sequence = "flair"
        te = sidecar.get(FIELDS["effective_te"].bids, sidecar.get("EchoTime"))
        tr = sidecar.get("RepetitionTimePreparation", sidecar.get("RepetitionTime"))
        ti = sidecar.get("InversionTime") if "ti" in SEQUENCES[sequence].settings else None
        return cls(sequence, te=te, tr=tr, ti=ti)

    def to_bids(self) -> dict[str, float | str]:
        """The sidecar fields of this acquisition: seconds, degrees, counts; what is ideal is left out."""
        known = {FIELDS[name].bids: value for name, value in self._told()}
        return {"PulseSequenceType": self.sequence, **known}

    def __str__(self) -> str:
        shown = [f"{FIELDS[name].label} {value:g}{_unit(name)}" for name, value in self._told()]
        return f"{self.sequence} ({', '.join(shown)})"

    def _told(self) -> list[tuple[str, float]]:
        """The settings that change something."""
        return [(name, value) for name, value in self.settings.items() if value != FIELDS[name].ideal]


@dataclass  # not frozen: lightning-fabric rebuilds what passes through a module
class AcquisitionBatch:
    """The protocols of a batch of scans ``[B, N]``: B subjects or slices, N contrasts.

    ``te``, ``tr``, ``ti`` are ``[B, N]`` in seconds (``ti`` is 0 where nothing is inverted); ``more`` has the other
    settings that some sequence of the batch takes, ``[B, N]`` each, 0 where it has none. ``sequence`` is
    a tuple of B tuples of N names, kept in Python so that choosing an equation never waits for a device.
    """

    sequence: tuple[tuple[str, ...], ...]
    te: Float[Tensor, "B N"]
    tr: Float[Tensor, "B N"]
    ti: Float[Tensor, "B N"]
    more: dict[str, Float[Tensor, "B N"]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Sequence[Acquisition]]) -> AcquisitionBatch:
        """From B rows of N acquisitions each."""
        if not rows or len({len(r) for r in rows}) != 1 or not rows[0]:
            raise AcquisitionError("acquisitions: expected B rows of N acquisitions each, N ≥ 1")
        taken = {"te", "tr", "ti"}.union(*(SEQUENCES[a.sequence].takes for row in rows for a in row))
        names = [name for name in FIELDS if name in taken]
        # through numpy: a training step does this, and torch is twice as slow at it
        table = np.array(
            [[[a.settings.get(name, 0.0) for a in row] for row in rows] for name in names], "float32"
        )
        values = dict(zip(names, torch.from_numpy(table), strict=True))
        te, tr, ti = (values.pop(name) for name in ("te", "tr", "ti"))
        return cls(tuple(tuple(a.sequence for a in row) for row in rows), te, tr, ti, values)

    @classmethod
    def repeat(cls, row: Sequence[Acquisition], batch: int) -> AcquisitionBatch:
        """The same N acquisitions for each of ``batch`` subjects."""
        return cls.of([row] * batch)

    @classmethod
    def joined(cls, parts: Sequence[AcquisitionBatch]) -> AcquisitionBatch:
        """The subjects of several batches, one batch's after another's."""
        names = [name for name in FIELDS if any(name in part.more for part in parts)]
        nothing = [torch.zeros_like(part.te) for part in parts]
        more = {
            name: torch.cat([part.more.get(name, zero) for part, zero in zip(parts, nothing, strict=True)])
            for name in names
        }
        sequence = tuple(row for part in parts for row in part.sequence)
        return cls(sequence, *(torch.cat([getattr(p, t) for p in parts]) for t in ("te", "tr", "ti")), more)

    @property
    def shape(self) -> tuple[int, int]:
        subjects, contrasts = self.te.shape
        return subjects, contrasts

    @property
    def contrast_te(self) -> Float[Tensor, "B N"]:
        """The TE that the contrast is of: of a train its effective one."""
        effective = self.more.get("effective_te", torch.zeros_like(self.te))
        return torch.where(effective > 0, effective, self.te)

    def setting(self, name: str) -> Float[Tensor, "B N"]:
        """One setting, by the name that :class:`Acquisition` gives it."""
        return getattr(self, name) if name in ("te", "tr", "ti") else self.more[name]

    def _each(self, names: tuple[tuple[str, ...], ...], change) -> AcquisitionBatch:
        times = (change(self.te), change(self.tr), change(self.ti))
        return AcquisitionBatch(names, *times, {name: change(value) for name, value in self.more.items()})

    def __getitem__(self, rows: Sequence[int] | slice) -> AcquisitionBatch:
        """Some of the subjects: a slice, or a sequence of their numbers."""
        rows = range(len(self.sequence))[rows] if isinstance(rows, slice) else [int(r) for r in rows]
        pick = torch.as_tensor(list(rows), dtype=torch.long)
        return self._each(tuple(self.sequence[r] for r in rows), lambda x: x[pick])

    def to(self, device: torch.device | str) -> AcquisitionBatch:
        return self._each(self.sequence, lambda x: x.to(device))
