"""A slice store: the slices of many subjects as memory-mapped arrays, and who they belong to."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from physldm.config import DataConfig
from physldm.errors import InputError
from physldm.physics import Acquisition, AcquisitionBatch

from .phantom import Subject, make_subject

ARRAYS = ("scans", "clean", "maps", "fractions")


@dataclass(frozen=True)
class Batch:
    """Some slices: ``images [B, N, H, W]`` in scanner units and how they were taken."""

    images: Tensor
    acquisitions: AcquisitionBatch


class SliceStore:
    """A folder of ``scans.npy`` (and, where truth is known, ``clean``, ``maps``, ``fractions``) + ``index.json``.

    The arrays are mapped, not read: a store costs no memory for slices that nobody asks for.

    Raises:
        InputError: the folder is no store, or a file of it is missing or cut short.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        try:
            self.index = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(
                f"{self.folder / 'index.json'}: missing or unreadable, expected a slice store"
            ) from None
        self._arrays = {name: self._open(name) for name in self.index["arrays"]}
        self.acquisitions = [
            tuple(Acquisition(**a) for a in subject["acquisitions"]) for subject in self.index["subjects"]
        ]
        self.subject_of = np.concatenate(
            [np.full(s["slices"], i) for i, s in enumerate(self.index["subjects"])]
        )

    def _open(self, name: str) -> np.ndarray:
        file = self.folder / f"{name}.npy"
        try:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: {error}, expected an array of slices") from None

    @property
    def fingerprint(self) -> str:
        return self.index["fingerprint"]

    def subjects(self, split: str) -> list[int]:
        """Numbers of the subjects of ``train`` or ``heldout``."""
        return [i for i, s in enumerate(self.index["subjects"]) if s["split"] == split]

    def slices(self, split: str) -> np.ndarray:
        """Numbers of the slices of ``train`` or ``heldout``."""
        return np.flatnonzero(np.isin(self.subject_of, self.subjects(split)))

    def array(self, name: str, slices: Sequence[int]) -> Tensor:
        """``scans``, ``clean``, ``maps`` or ``fractions`` of some slices, float32."""
        if name not in self._arrays:
            raise InputError(f"{self.folder}: {name}.npy: missing, expected a store whose truth is known")
        return torch.from_numpy(np.asarray(self._arrays[name][np.asarray(slices)], dtype=np.float32))

    def batch(self, slices: Sequence[int]) -> Batch:
        """Scans and acquisitions of some slices."""
        rows = [self.acquisitions[self.subject_of[i]] for i in slices]
        return Batch(self.array("scans", slices), AcquisitionBatch.of(rows))

    def of_subject(self, subject: int) -> np.ndarray:
        return np.flatnonzero(self.subject_of == subject)


def phantom_fingerprint(config: DataConfig, seed: int) -> str:
    """What a phantom store's content depends on."""
    text = json.dumps([seed, config.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def phantom_store(config: DataConfig, seed: int, folder: Path) -> SliceStore:
    """The store of made-up subjects that ``config`` describes; made if it is not there yet.

    The last ``heldout_subjects`` are held out: splits are by subject.
    """
    fingerprint = phantom_fingerprint(config, seed)
    if (folder / "index.json").exists():
        store = SliceStore(folder)
        if store.fingerprint == fingerprint:
            return store
    count = config.train_subjects + config.heldout_subjects
    numbers = tqdm(range(count), desc="making subjects", unit="subject")
    subjects = (
        make_subject(
            seed,
            i,
            anatomy=config.anatomy,
            spacing=config.spacing,
            heights=tuple(range(*config.heights)),
            partial_volume=config.partial_volume,
            noise=config.noise,
            gain_sd=config.gain_sd,
        )
        for i in numbers
    )
    names = [(f"sub-{i + 1:03d}", "train" if i < config.train_subjects else "heldout") for i in range(count)]
    return write_store(folder, subjects, names, fingerprint)


def write_store(
    folder: Path, subjects: Iterable[Subject], names: Sequence[tuple[str, str]], fingerprint: str
) -> SliceStore:
    """Writes subjects (with their name and split) as a store; nothing half-written is left under its name."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    index = {"fingerprint": fingerprint, "arrays": list(ARRAYS), "subjects": []}
    arrays: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    for (name, split), subject in zip(names, subjects, strict=True):
        for array in ARRAYS:
            arrays[array].append(getattr(subject, array).numpy())
        index["subjects"].append(
            {
                "name": name,
                "split": split,
                "slices": len(subject.scans),
                "acquisitions": [asdict(a) for a in subject.acquisitions],
            }
        )
    for name, parts in arrays.items():
        np.save(part / f"{name}.npy", np.concatenate(parts))
    (part / "index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return SliceStore(folder)
