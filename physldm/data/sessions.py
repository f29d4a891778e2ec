"""What scans a BIDS folder holds, by visit, and which of several is taken."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from physldm.errors import InputError
from physldm.physics import CONTRASTS, Acquisition

from .bids import sidecar_of
from .files import open_image
from .sidecars import acquisition_of, inherited

FILE_NAME = re.compile(r"(?P<unires>[uy]_)?(?P<entities>.+)_(?P<suffix>T1w|T2w|FLAIR)\.nii(\.gz)?")
ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
# Any other (ce, part, echo, inv …) may mean that the picture obeys another equation.
ENTITIES = {"sub", "ses", "acq", "run", "rec", "space", "desc"}
SKIPPED_FOLDERS = ("derivatives", "sourcedata")


@dataclass(frozen=True)
class Scan:
    """One scan of a session: its file, its BIDS suffix, how it was taken, and what the sidecar left to be filled in."""

    file: Path
    suffix: str
    acquisition: Acquisition
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """The scans of one visit of one subject.

    Attributes:
        dataset: the folder of the subject's folder.
        subject: its label without ``sub-``; empty for files whose names give none.
        session: its label without ``ses-``, if there is one.
        scans: by suffix, in the order T1w, T2w, FLAIR; empty if none can be used.
        spare: by suffix, what stands in for a scan whose voxels prove unreadable, best first.
        left_out: one line for each file that was not taken, with the reason.
    """

    dataset: Path
    subject: str
    session: str | None
    scans: dict[str, Scan]
    spare: dict[str, tuple[Scan, ...]]
    left_out: tuple[str, ...]

    @property
    def name(self) -> str:
        if not self.subject:
            return "(no subject)"
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")


def find_sessions(root: Path, effective_te: float = 0.1) -> list[Session]:
    """Every session below ``root``: a BIDS dataset, OASIS-3 as downloaded, or one subject's folder; sorted by name.

    Of several scans with one suffix the one with the smallest voxels is taken, then the lowest run. What UniRes
    made (``u_`` or ``y_`` before the name) takes the place of what it was made from.

    Args:
        root: a folder.
        effective_te: seconds; the TE of a plain spin echo with the contrast of a long train of refocusing pulses.

    Raises:
        InputError: ``root`` is no folder, or holds no scan, or a session's scans lie in several datasets.
    """
    if not root.is_dir():
        raise InputError(f"{root}: missing or not a folder, expected a BIDS dataset")
    groups: dict[tuple[str, str], list[Path]] = {}
    for folder, below, names in os.walk(root):
        below[:] = [b for b in below if b not in SKIPPED_FOLDERS and not b.startswith(".")]
        for file in (Path(folder, name) for name in sorted(names)):
            if FILE_NAME.fullmatch(file.name):
                entities = _entities(file)
                groups.setdefault((entities.get("sub", ""), entities.get("ses", "")), []).append(file)
    if not groups:
        raise InputError(f"{root}: found no scan, expected files such as sub-01/anat/sub-01_T1w.nii.gz")
    return [_session(*key, files, effective_te) for key, files in sorted(groups.items())]


def _dataset_of(file: Path) -> Path:
    """The folder of a scan's ``sub-*`` folder, or of OASIS-3's ``OAS30001_MR_d0757/anat1``; else the scan's own."""
    folder = file.resolve().parent
    subjects = [f for f in (folder, *folder.parents) if f.name.startswith("sub-")]
    if subjects:
        return subjects[0].parent
    return folder.parents[1] if folder.name.startswith("anat") else folder


def _entities(file: Path) -> dict[str, str]:
    """``{"sub": "01", "run": "2"}`` of a file's name; empty if it is no BIDS name. OASIS-3 writes ``sess`` for ``ses``."""
    parts = FILE_NAME.fullmatch(file.name)["entities"].split("_")
    found = [ENTITY.fullmatch(part) for part in parts]
    if None in found:
        return {}
    return {{"sess": "ses"}.get(m[1], m[1]): m[2] for m in found}


def _session(subject: str, session: str, files: list[Path], effective_te: float) -> Session:
    datasets = sorted({_dataset_of(file) for file in files})
    if len(datasets) > 1:
        raise InputError(
            f"{datasets[0]} and {datasets[1]}: found sub-{subject} in both, expected one dataset at a time"
        )
    usable: dict[str, list[tuple[tuple, Scan]]] = {}
    left_out = []
    for file in files:
        try:
            scan, rank = _read_scan(file, datasets[0], effective_te), _rank(file)
        except InputError as error:
            left_out.append(str(error))
            continue
        usable.setdefault(scan.suffix, []).append((rank, scan))
    scans, spare = {}, {}
    for suffix in (c for c in CONTRASTS if c in usable):
        best, *others = (scan for _, scan in sorted(usable[suffix], key=lambda pair: pair[0]))
        scans[suffix], spare[suffix] = best, tuple(others)
        left_out += [f"{other.file}: left out: {best.file.name} was chosen" for other in others]
    return Session(datasets[0], subject, session or None, scans, spare, tuple(left_out))


def _read_scan(file: Path, dataset: Path, effective_te: float) -> Scan:
    entities, match = _entities(file), FILE_NAME.fullmatch(file.name)
    if "sub" not in entities:
        raise InputError(
            f"{file}: name: found no subject, expected one such as sub-01_ses-02_run-1_T1w.nii.gz"
        )
    if unknown := sorted(entities.keys() - ENTITIES):
        raise InputError(f"{file}: name: found {unknown[0]}-, expected only {', '.join(sorted(ENTITIES))}")
    for folder in file.resolve().parent.relative_to(dataset).parts:
        found = ENTITY.fullmatch(folder)
        if found and found[1] in ("sub", "ses") and entities.get(found[1]) != found[2]:
            raise InputError(f"{file}: name: found in {folder}, expected the same {found[1]}- in its name")
    # UniRes copies no sidecar: how the scan was taken stands beside the original
    named = file.with_name(file.name.removeprefix(match["unires"] or ""))
    content = inherited(named, match["suffix"], dataset)
    acquisition, notes = acquisition_of(sidecar_of(named), content, match["suffix"], effective_te)
    return Scan(file, match["suffix"], acquisition, notes)


def _rank(file: Path) -> tuple:
    """Sorts the scan to take first: made by UniRes, small voxels, early run, name."""
    voxel = abs(np.linalg.det(open_image(file).affine[:3, :3]))
    run = _entities(file).get("run", "0")
    prefix = ["u_", "y_", None].index(FILE_NAME.fullmatch(file.name)["unires"])
    return prefix, round(voxel, 3), int(run) if run.isdigit() else math.inf, str(file)
