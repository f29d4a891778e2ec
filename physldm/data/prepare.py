"""From scans to slices: a store of every session that can be used, split by subject, with a report."""

from __future__ import annotations

import codecs
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from physldm import __version__
from physldm.box import box_affine, stack_shape
from physldm.config import Mixture
from physldm.errors import InputError, writing
from physldm.physics import CONTRASTS
from physldm.progress import progress, say

from .alignment import Reading, read_session
from .anatomy import CLASSES, load_anatomy
from .bids import MAPS, read_fractions, read_volume
from .json_files import read_sidecar, sidecar_of
from .report import PAGE, ROWS, write_report
from .sessions import Session, find_sessions
from .slices import SliceStore, add_session, close_store, has_session

LEAST_BRAIN = 0.05  # share of a slice that the template's brain has to fill
ORIGIN = "origin.json"  # which dataset a store is made of
RULES = 2  # of how scans become slices; counted up where they change, so that earlier sessions are made anew
OWN_FILES = {"index.json", "part-index.json", "sessions", PAGE, ROWS, ORIGIN}


@lru_cache(maxsize=2)
def brain_slices(spacing: int) -> np.ndarray:
    """Numbers of the box's slices that a store keeps: the template's brain fills at least 5 % of each."""
    brain = F.avg_pool3d(load_anatomy("icbm152").fractions.sum(0)[None], spacing)[0]
    return np.flatnonzero(brain.mean((0, 1)).numpy() >= LEAST_BRAIN)


# --- what is known of made-up subjects ---------------------------------------------------------------------------


def _truth_files(session: Session) -> list[Path]:
    """Where the truth of a made-up subject is: scans without noise, maps, fractions; empty if there is none."""
    folder = session.dataset / "derivatives" / "truth" / f"sub-{session.subject}" / "anat"
    parts = [f"desc-clean_{c}" for c in CONTRASTS] + [*MAPS, "probseg"]
    files = [folder / f"{session.name}_{part}.nii.gz" for part in parts]
    return files if any(file.exists() for file in files) else []


def _read_truth(files: list[Path], spacing: int) -> dict[str, Tensor]:
    """``clean [S, 3, H, W]``, ``maps [S, 3, H, W]`` and ``fractions [S, K, H, W]``.

    Raises:
        InputError: a file is missing or damaged, or lies on another grid.
    """
    *volumes, probseg = files
    stacks = [_same_grid(file, *read_volume(file), spacing) for file in volumes]
    fractions, affine = read_fractions(probseg)
    labels = read_sidecar(sidecar_of(probseg)).get("LabelMap")
    if labels != list(CLASSES[: fractions.shape[1]]):
        raise InputError(f"{sidecar_of(probseg)}: LabelMap: found {labels}, expected {', '.join(CLASSES)}")
    _same_grid(probseg, fractions[:, 0], affine, spacing)
    # subjects of the average brain and of whole heads may lie in one store
    fractions = F.pad(fractions, (0, 0, 0, 0, 0, len(CLASSES) - fractions.shape[1]))
    return {"clean": torch.stack(stacks[:3], 1), "maps": torch.stack(stacks[3:], 1), "fractions": fractions}


def _same_grid(file: Path, stack: Tensor, affine: np.ndarray, spacing: int) -> Tensor:
    if tuple(stack.shape) != stack_shape(spacing) or not np.allclose(affine, box_affine(spacing), atol=1e-3):
        raise InputError(f"{file}: grid: found another, expected the box with voxels of {spacing} mm")
    return stack


# --- a store of scans ----------------------------------------------------------------------------------------------


def prepare(
    bids: Path,
    out: Path,
    *,
    spacing: int = 1,
    heldout: float = 0.2,
    seed: int = 0,
    effective_te: float = 0.1,
) -> SliceStore:
    """Makes a slice store of the scans below ``bids``, and in it a report of what was taken and what was not.

    A run that was stopped goes on; sessions whose files and settings are the same are kept and their checksums compared.

    Args:
        bids: scans with sidecars, see :func:`find_sessions`.
        out: a new folder, or an earlier store of the same scans.
        spacing: voxel size in mm, 1 or 2.
        heldout: share of the subjects that is held out (at least one of two).
        seed: of the split.
        effective_te: seconds; see :func:`find_sessions`.

    Raises:
        InputError: no session can be used, or ``out`` has other files in it.
    """
    sessions = find_sessions(bids, effective_te)
    datasets = sorted({session.dataset for session in sessions})
    # what is wrong with the tables is said before hours of work
    partial_volume, anatomy = _partial_volume(datasets), _anatomy_of(datasets)
    new = _start(out, bids)
    sources, skipped = _take(sessions, out, spacing)
    if not sources:
        if new:
            shutil.rmtree(out)
        reasons = [line for s in sessions for line in (*s.left_out, *skipped[s.name])]
        raise InputError(f"{bids}: found no session that can be used, expected one; first: {reasons[0]}")
    taken = [s for s in sessions if s.name in sources]
    part_of = split_subjects(_groups(anatomy, {s.subject for s in taken}), heldout, seed)
    split = {s.name: part_of[s.subject] for s in taken}
    text = json.dumps([sources, split])
    store = close_store(
        out,
        split,
        spacing=spacing,
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
        partial_volume=partial_volume,
    )
    write_report(store, sessions, skipped)
    return store


def _take(
    sessions: Sequence[Session], out: Path, spacing: int
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Puts every session that can be used into the store; what each was made from, and why the others were not."""
    sources: dict[str, str] = {}
    skipped: dict[str, list[str]] = {}
    for session in progress(sessions, desc="preparing", unit="session"):
        truth = _truth_files(session)
        source = _source(session, truth, spacing)
        if not has_session(out, session.name, source):
            reading = read_session(session, spacing)
            kept = _kept(reading, spacing)
            if not kept.size:
                skipped[session.name] = reading.notes
                continue
            _add(out, session, reading, kept, truth, source, spacing)
        sources[session.name] = source
    return sources, skipped


def _start(out: Path, bids: Path) -> bool:
    """Whether ``out`` is a new folder; makes it if so.

    Raises:
        InputError: it holds anything but an earlier store of the same dataset, or cannot be made.
    """
    with writing(out, "a folder to write to (--out)"):
        new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        foreign = sorted({file.name for file in out.iterdir()} - OWN_FILES)
        if foreign:
            raise InputError(f"--out: found {out / foreign[0]}, expected a new folder or an earlier store")
        origin, here = out / ORIGIN, {"dataset": str(bids.resolve())}
        known = read_sidecar(origin) if origin.exists() else here
        if known != here:
            raise InputError(
                f"{origin}: dataset: found {known.get('dataset')}, expected {here['dataset']}; choose another --out"
            )
        origin.write_text(json.dumps(here), encoding="utf-8")
    return new


def _source(session: Session, truth: list[Path], spacing: int) -> str:
    """Tells apart what a session was made from: the content of its files, how it was scanned, the settings."""
    scans = [*session.scans.values(), *(scan for spare in session.spare.values() for scan in spare)]
    digest = hashlib.sha256(
        repr([__version__, RULES, spacing, [(scan.suffix, scan.acquisition) for scan in scans]]).encode()
    )
    for file in (*(scan.file for scan in scans), *(t for t in truth if t.exists())):
        with open(file, "rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _kept(reading: Reading, spacing: int) -> np.ndarray:
    """Numbers of the box's slices that hold brain by the template and tissue by a scan; says how many only the former."""
    brain = brain_slices(spacing)
    there = [stack[brain].any(2).any(1).numpy() for stack in reading.stacks.values()]
    kept = brain[np.any(there, axis=0)] if there else brain[:0]
    if there and len(kept) < len(brain):
        reading.notes.append(
            f"{len(brain) - len(kept)} of {len(brain)} slices left out: no scan has tissue in them"
        )
    return kept


def _add(
    out: Path,
    session: Session,
    reading: Reading,
    kept: np.ndarray,
    truth: list[Path],
    source: str,
    spacing: int,
) -> None:
    scans, stacks, notes = reading.scans, reading.stacks, reading.notes
    absent = torch.zeros_like(next(iter(stacks.values())))
    arrays = {"scans": torch.stack([stacks.get(c, absent) for c in CONTRASTS], 1)}
    if truth:
        try:
            arrays |= _read_truth(truth, spacing)
        except InputError as error:
            notes = [*notes, f"truth left out: {error}"]
    add_session(
        out,
        session.name,
        subject=session.subject,
        source=source,
        acquisitions=reading.acquisitions,
        arrays={name: stack.numpy()[kept] for name, stack in arrays.items()},
        heights=(kept * spacing).tolist(),
        scans={c: {"file": scan.file.name, "filled_in": list(scan.notes)} for c, scan in scans.items()},
        notes=notes,
    )


def _partial_volume(datasets: Sequence[Path]) -> str:
    """How the truth of made-up subjects mixes tissues; ``properties`` where nothing is said.

    Raises:
        InputError: something else is said, or not the same by all.
    """
    files = [d / "derivatives" / "truth" / "dataset_description.json" for d in datasets]
    said = {file: read_sidecar(file).get("PartialVolume", "properties") for file in files if file.exists()}
    for file, value in said.items():
        if value not in get_args(Mixture):
            raise InputError(
                f"{file}: PartialVolume: found {value!r}, expected {' or '.join(get_args(Mixture))}"
            )
        if value != next(iter(said.values())):
            raise InputError(f"{file}: PartialVolume: found {value}, expected the same of all datasets")
    return next(iter(said.values()), "properties")


def _groups(anatomy: Mapping[str, str], subjects: set[str]) -> dict[str, str]:
    """What of each subject must not be in both splits: its anatomy where there are several, or else itself."""
    known = {s: anatomy[s] for s in subjects if anatomy.get(s, "n/a") != "n/a"}
    if len(known) == len(subjects) and len(set(known.values())) == 1:
        known = {}
    return {s: known.get(s, s) for s in subjects}


def _anatomy_of(datasets: Sequence[Path]) -> dict[str, str]:
    """The anatomy that ``participants.tsv`` names for each subject without ``sub-``.

    Raises:
        InputError: a table in none of the encodings that spreadsheets write.
    """
    anatomy: dict[str, str] = {}
    for file in (dataset / "participants.tsv" for dataset in datasets):
        header, *rows = [line.split("\t") for line in _lines(file)] or [[]]
        if {"participant_id", "anatomy"} <= set(header):
            found = (dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header))
            anatomy |= {row["participant_id"].removeprefix("sub-"): row["anatomy"] for row in found}
    return anatomy


def _lines(file: Path) -> list[str]:
    """Lines of a table in UTF-8, or UTF-16 with its mark; Latin-1 where it is neither. None where there is no file."""
    try:
        content = file.read_bytes() if file.exists() else b""
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{file}: unreadable, expected a table in UTF-8") from None
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        say(f"{file}: found bytes that are not UTF-8: read as Latin-1")
        return content.decode("latin-1").splitlines()


def split_subjects(groups: Mapping[str, str], heldout: float, seed: int) -> dict[str, str]:
    """``train`` or ``heldout`` for every subject; those of one group stay together.

    Groups are shuffled by a key of their own, so that the order does not depend on the others. At least one is held
    out if there are two, and never all.
    """
    names = sorted(set(groups.values()), key=lambda n: hashlib.sha256(f"{seed} {n}".encode()).digest())
    count = min(max(round(heldout * len(names)), 1), len(names) - 1)
    return {s: "heldout" if group in names[:count] else "train" for s, group in groups.items()}
