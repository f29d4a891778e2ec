"""How a scan was taken: sequence, TE, TR, TI. All times in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.errors import InputError

# Which times each sequence has beside TR; the signal equations themselves are in signal.py.
TIMES: dict[str, tuple[str, ...]] = {
    "mprage": ("te", "ti"),
    "spin_echo": ("te",),
    "flair": ("te", "ti"),
}
SEQUENCE_OF_SUFFIX = {"T1w": "mprage", "T2w": "spin_echo", "FLAIR": "flair"}
# Above these a time can only have been written in milliseconds.
LONGEST_TE, LONGEST_TR = 5.0, 60.0


class AcquisitionError(InputError):
    """A field of an acquisition is impossible; the message names it."""


@dataclass(frozen=True)
class Acquisition:
    """One scan's protocol.

    Args:
        sequence: ``mprage``, ``spin_echo`` or ``flair`` (Eq. 1 of the paper).
        te: echo time in seconds, 0 < TE < TR (``mprage`` may leave it out: Eq. 1 does not use it).
        tr: repetition time in seconds; for ``mprage`` the time from one inversion to the next.
        ti: inversion time in seconds, 0 < TI < TR; ``None`` where nothing is inverted.

    Raises:
        AcquisitionError: naming the field, what was found and what was expected.
    """

    sequence: str
    te: float | None = None
    tr: float | None = None
    ti: float | None = None

    def __post_init__(self) -> None:
        if self.sequence not in TIMES:
            raise AcquisitionError(f"sequence: found {self.sequence!r}, expected one of {', '.join(TIMES)}")
        needed = TIMES[self.sequence]
        if self.sequence == "mprage" and self.te is None:
            object.__setattr__(self, "te", 0.003)
        for name in ("tr", "te", "ti"):
            value = getattr(self, name)
            if value is None and (name == "tr" or name in needed):
                raise AcquisitionError(
                    f"{name}: missing, expected a time in seconds for sequence {self.sequence}"
                )
            if value is None:
                continue
            if name == "ti" and name not in needed:
                raise AcquisitionError(f"ti: found {value}, expected none: {self.sequence} inverts nothing")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise AcquisitionError(f"{name}: found {value!r}, expected a finite number of seconds")
            if value <= 0:
                raise AcquisitionError(f"{name}: found {value}, expected more than 0 s")
        if self.tr > LONGEST_TR:
            raise AcquisitionError(f"tr: found {self.tr}, expected at most {LONGEST_TR:g} s (milliseconds?)")
        if self.te > LONGEST_TE:
            raise AcquisitionError(f"te: found {self.te}, expected at most {LONGEST_TE:g} s (milliseconds?)")
        if self.te >= self.tr:
            raise AcquisitionError(f"te: found {self.te}, expected less than tr = {self.tr} s")
        if self.ti is not None and self.ti >= self.tr:
            raise AcquisitionError(f"ti: found {self.ti}, expected less than tr = {self.tr} s")

    @classmethod
    def from_bids(cls, sidecar: Mapping, suffix: str) -> Acquisition:
        """Reads a BIDS sidecar (``EchoTime``, ``RepetitionTime``, ``InversionTime``, in seconds).

        Where present, ``EffectiveEchoTime`` takes the place of ``EchoTime``: a long train of refocusing
        pulses has the contrast of a shorter plain spin echo.
        """
        if suffix not in SEQUENCE_OF_SUFFIX:
            raise AcquisitionError(
                f"suffix: found {suffix!r}, expected one of {', '.join(SEQUENCE_OF_SUFFIX)}"
            )
        sequence = SEQUENCE_OF_SUFFIX[suffix]
        te = sidecar.get("EffectiveEchoTime", sidecar.get("EchoTime"))
        tr = sidecar.get("RepetitionTimePreparation", sidecar.get("RepetitionTime"))
        ti = sidecar.get("InversionTime") if "ti" in TIMES[sequence] else None
        return cls(sequence, te=te, tr=tr, ti=ti)

    def to_bids(self) -> dict[str, float]:
        """The sidecar fields of this acquisition, in seconds."""
        names = {"te": "EchoTime", "tr": "RepetitionTime", "ti": "InversionTime"}
        return {names[f]: getattr(self, f) for f in names if getattr(self, f) is not None}

    def __str__(self) -> str:
        times = [
            f"{f.name.upper()} {getattr(self, f.name):g} s"
            for f in fields(self)[1:]
            if getattr(self, f.name) is not None
        ]
        return f"{self.sequence} ({', '.join(times)})"


@dataclass  # not frozen: lightning-fabric rebuilds what passes through a module
class AcquisitionBatch:
    """The protocols of a batch of scans ``[B, N]``: B subjects or slices, N contrasts.

    ``te``, ``tr``, ``ti`` are ``[B, N]`` in seconds (``ti`` is 0 where nothing is inverted); ``sequence`` is
    a tuple of B tuples of N names, kept in Python so that choosing an equation never waits for a device.
    """

    sequence: tuple[tuple[str, ...], ...]
    te: Float[Tensor, "B N"]
    tr: Float[Tensor, "B N"]
    ti: Float[Tensor, "B N"]

    @classmethod
    def of(cls, rows: Sequence[Sequence[Acquisition]]) -> AcquisitionBatch:
        """From B rows of N acquisitions each."""
        if not rows or len({len(r) for r in rows}) != 1 or not rows[0]:
            raise AcquisitionError("acquisitions: expected B rows of N acquisitions each, N ≥ 1")
        times = torch.tensor([[[a.te, a.tr, a.ti or 0.0] for a in row] for row in rows])
        return cls(tuple(tuple(a.sequence for a in row) for row in rows), *times.unbind(-1))

    @classmethod
    def repeat(cls, row: Sequence[Acquisition], batch: int) -> AcquisitionBatch:
        """The same N acquisitions for each of ``batch`` subjects."""
        return cls.of([row] * batch)

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self.te.shape)

    def __getitem__(self, rows: Sequence[int] | slice) -> AcquisitionBatch:
        """Some of the subjects: a slice, or a sequence of their numbers."""
        rows = range(len(self.sequence))[rows] if isinstance(rows, slice) else [int(r) for r in rows]
        pick = torch.as_tensor(list(rows), dtype=torch.long)
        return AcquisitionBatch(
            tuple(self.sequence[r] for r in rows), self.te[pick], self.tr[pick], self.ti[pick]
        )

    def to(self, device: torch.device | str) -> AcquisitionBatch:
        return AcquisitionBatch(self.sequence, self.te.to(device), self.tr.to(device), self.ti.to(device))
