"""A slice store: the slices of many scan sessions as memory-mapped arrays, and who they belong to.

``index.json`` says which sessions there are and their split; ``sessions/NAME/`` holds one session's arrays and
``session.json``: how it was scanned, what it was made from, the checksum of each array. A session is there whole or not
at all, so making a store can be stopped and goes on.

A session to train on may be a brain: its true maps, and no scan. See :mod:`physldm.data.scanning`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.errors import InputError, writing
from physldm.physics import Acquisition, AcquisitionBatch

from .files import whole

FORMAT = "physldm-slices-4"
# What stands in for a scan that is not there; the mask keeps it out of everything.
ABSENT = Acquisition.usual("spin_echo")
OPEN_FILES = 256
Slices = Sequence[int] | np.ndarray  # numbers of slices


@dataclass(frozen=True)
class Batch:
    """Some slices: ``images [B, N, H, W]`` in scanner units, how they were taken, and ``mask [B, N]``, True where a
    contrast is present. Contrasts stand in the order T1w, T2w, FLAIR."""

    images: Float[Tensor, "B N H W"]
    acquisitions: AcquisitionBatch
    mask: Bool[Tensor, "B N"]

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """The slices of several batches, one batch's after another's."""
        taken = AcquisitionBatch.joined([part.acquisitions for part in parts])
        return cls(
            torch.cat([part.images for part in parts]), taken, torch.cat([part.mask for part in parts])
        )

    def __getitem__(self, rows: Slices) -> Batch:
        """Some of the slices, by their places."""
        places = [int(r) for r in rows]
        return Batch(self.images[places], self.acquisitions[places], self.mask[places])


class SliceStore:
    """A store on disk. Arrays are mapped, not read: it costs no memory for slices that nobody asks for.

    Raises:
        InputError: the folder is no store, or a file of it is missing, cut short or of another format.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.index = _read_json(self.folder / "index.json", "a slice store")
        if self.index.get("format") != FORMAT:
            raise InputError(
                f"{self.folder / 'index.json'}: format: found {self.index.get('format')!r}, expected {FORMAT!r}"
            )
        counts = [s["slices"] for s in self.index["sessions"]]
        self.session_of = np.repeat(np.arange(len(counts)), counts)
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self._open = lru_cache(maxsize=OPEN_FILES)(self._map)

    def _map(self, session: int, array: str) -> np.ndarray:
        file = self.folder / "sessions" / self.index["sessions"][session]["name"] / f"{array}.npy"
        try:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise InputError(f"{file}: missing, expected a store whose truth is known") from None
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{file}: {error}, expected an array of slices") from None

    @property
    def fingerprint(self) -> str:
        return self.index["fingerprint"]

    @property
    def spacing(self) -> int:
        """Voxel size in mm."""
        return self.index["spacing"]

    @property
    def partial_volume(self) -> str:
        """How the truth mixes tissues in a voxel: ``properties`` or ``signals``."""
        return self.index["partial_volume"]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a slice."""
        height, width = self._open(0, "maps" if self.is_brain(0) else "scans").shape[-2:]
        return height, width

    def is_brain(self, number: int) -> bool:
        """Whether of a slice's session the maps are kept, and no scan."""
        return self.index["sessions"][self.session_of[number]]["acquisitions"] is None

    def has_truth(self, session: int) -> bool:
        """Whether tissue maps, fractions and noise-free scans of a session are known."""
        return self.index["sessions"][session]["truth"]

    def sessions(self, split: str) -> list[int]:
        """Numbers of the sessions of ``train``, ``choose`` or ``heldout``."""
        return [i for i, s in enumerate(self.index["sessions"]) if s["split"] == split]

    def slices(self, split: str) -> np.ndarray:
        """Numbers of the slices of ``train``, ``choose`` or ``heldout``."""
        return np.flatnonzero(np.isin(self.session_of, self.sessions(split)))

    def of_session(self, session: int) -> np.ndarray:
        """Numbers of a session's slices, from the lowest up."""
        return np.arange(self._first[session], self._first[session + 1])

    def heights(self, slices: Slices) -> Float[Tensor, " S"]:
        """How high some slices lie, mm above the bottom of the box."""
        sessions = self.session_of[slices]
        places = np.asarray(slices) - self._first[sessions]
        rows = [self.index["sessions"][s]["heights"][i] for s, i in zip(sessions, places, strict=True)]
        return torch.tensor(rows, dtype=torch.float32)

    def protocol(self, session: int) -> tuple[Acquisition | None, ...]:
        """How T1w, T2w and FLAIR of a session were taken; None where there is no such scan.

        Raises:
            InputError: it is a brain that nobody has scanned.
        """
        rows = self.index["sessions"][session]["acquisitions"]
        if rows is None:
            name = self.folder / "sessions" / self.index["sessions"][session]["name"]
            raise InputError(
                f"{name}: found maps, expected scans (physldm.data.scanning.scan_slices makes them)"
            )
        return tuple(None if row is None else Acquisition(**row) for row in rows)

    def array(self, name: str, slices: Slices) -> Tensor:
        """``scans``, ``clean``, ``maps`` or ``fractions`` of some slices, float32."""
        rows = [
            self._open(int(self.session_of[i]), name)[i - self._first[self.session_of[i]]] for i in slices
        ]
        return torch.from_numpy(np.stack(rows).astype(np.float32, copy=False))

    def batch(self, slices: Slices) -> Batch:
        """Scans, acquisitions and mask of some slices; a slice that a scan does not reach is absent, too."""
        return as_batch(self.array("scans", slices), [self.protocol(self.session_of[i]) for i in slices])


def as_batch(images: Float[Tensor, "B N H W"], rows: Sequence[Sequence[Acquisition | None]]) -> Batch:
    """Images and how each was taken; None where there is no such scan. One that is nowhere above 0 is absent, too."""
    taken = torch.tensor([[a is not None for a in row] for row in rows])
    reached = taken & (images.amax((2, 3)) > 0)
    mask = torch.where(reached.any(1, keepdim=True), reached, taken)
    return Batch(images, AcquisitionBatch.of([[a or ABSENT for a in row] for row in rows]), mask)


def _read_json(file: Path, expected: str) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{file}: missing or unreadable, expected {expected}")
    return content


def _digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# --- making a store ----------------------------------------------------------------------------------------------


def has_session(folder: Path, name: str, source: str) -> bool:
    """Whether the session is there, whole and unchanged, and was made from ``source``."""
    session = folder / "sessions" / name
    try:
        return _read_json(session / "session.json", "a session")["source"] == source and not _changed(session)
    except (InputError, KeyError):
        return False


def _changed(session: Path) -> Path | None:
    """The first array of a session that is missing or has another checksum than ``session.json`` says."""
    for name, digest in _read_json(session / "session.json", "a session of the store")["files"].items():
        file = session / f"{name}.npy"
        if not file.is_file() or _digest(file) != digest:
            return file
    return None


def add_session(
    folder: Path,
    name: str,
    *,
    subject: str,
    source: str,
    acquisitions: Sequence[Acquisition | None] | None,
    arrays: Mapping[str, np.ndarray],
    heights: Sequence[float],
    scans: Mapping[str, Mapping] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Writes one session below ``folder``, whole or not at all.

    Args:
        folder: of the store.
        name: of the session.
        subject: whose it is.
        source: what it was made from, compared by :func:`has_session`.
        acquisitions: of T1w, T2w, FLAIR; None where absent. None for all of a brain that is not scanned.
        arrays: ``scans [S, 3, H, W]`` and, where truth is known, ``clean [S, 3, H, W]``, ``maps [S, 3, H, W]``,
            ``fractions [S, K, H, W]``; of a brain the last two.
        heights: of each slice, mm above the bottom of the box.
        scans: of each contrast the ``file`` it was read from and what was ``filled_in``.
        notes: what a reader should know of the session.
    """
    session = folder / "sessions" / name
    with writing(session, "room to write a session"):
        # an index must not stand over arrays that it was not written for
        (folder / "index.json").unlink(missing_ok=True)
        shutil.rmtree(session, ignore_errors=True)
        with whole(session) as part:
            part.mkdir(parents=True)
            for array, values in arrays.items():
                np.save(part / f"{array}.npy", np.ascontiguousarray(values, dtype=np.float32))
            content = {
                "name": name,
                "subject": subject,
                "source": source,
                "slices": len(next(iter(arrays.values()))),
                "heights": [float(h) for h in heights],
                "scans": dict(scans or {}),
                "notes": list(notes),
                "acquisitions": acquisitions and [None if a is None else asdict(a) for a in acquisitions],
                "truth": {"maps", "fractions"} <= set(arrays),
                "files": {array: _digest(part / f"{array}.npy") for array in arrays},
            }
            (part / "session.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def close_store(
    folder: Path,
    split: Mapping[str, str],
    *,
    spacing: int,
    fingerprint: str,
    partial_volume: str = "properties",
) -> SliceStore:
    """Writes the index of the sessions in ``split`` (``{name: "train", "choose" or "heldout"}``), in that order; removes others."""
    for left_over in (folder / "sessions").iterdir():
        if left_over.is_dir() and left_over.name not in split:
            shutil.rmtree(left_over, ignore_errors=True)
    sessions = []
    for name, side in split.items():
        known = _read_json(folder / "sessions" / name / "session.json", "a session of the store")
        kept = ("name", "subject", "slices", "heights", "scans", "notes", "acquisitions", "truth")
        sessions.append({k: known[k] for k in kept} | {"split": side})
    index = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "spacing": spacing,
        "partial_volume": partial_volume,
        "sessions": sessions,
    }
    file = folder / "index.json"
    with writing(file, "room to write the index of a store"), whole(file) as part:
        part.write_text(json.dumps(index), encoding="utf-8")
    return SliceStore(folder)
