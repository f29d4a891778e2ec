"""What scans a BIDS folder holds, by visit, and which of several is taken."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from nibabel.spatialimages import SpatialImage

from physldm.box import FIRST_MM, SHAPE_MM
from physldm.errors import InputError
from physldm.physics import CONTRASTS, Acquisition

from .files import open_image
from .json_files import sidecar_of
from .sidecars import acquisition_of, inherited

FILE_NAME = re.compile(
    r"(?P<unires>[uy]_(?!label_))?(?P<entities>[^.].*)_(?P<suffix>T1w|T2w|FLAIR)\.nii(\.gz)?"
)
NO_SCAN = re.compile(r"\..*|[uy]_label_.*")  # macOS' twins of files, the labels that UniRes writes
ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
# Any other (ce, echo, inv, flip …) may mean that the picture obeys another equation; so does any part but the magnitude.
ENTITIES = {"sub", "ses", "acq", "run", "rec", "space", "res", "desc", "part"}
SKIPPED_FOLDERS = ("derivatives", "sourcedata")
# Folders of scans where there is no subject's folder, as OASIS-3 hands them out: the dataset is what is before them.
LAYOUTS = (
    re.compile(r"(?P<dataset>.*)/[^/]+/scans/[^/]+/resources/[^/]+/files"),  # as XNAT packs it
    re.compile(r"(?P<dataset>.*)/[^/]+/anat\d*(/NIFTI)?"),  # as its scripts sort it
)
SUBJECT_FOLDER = re.compile(
    r"(?P<dataset>.*)/sub-[^/]+(/ses-[^/]+)?/anat"
)  # that of another subject, perhaps
COVERED = 0.9  # share of the brain from which on it does not matter which scan covers more


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

    Of several scans with one suffix one whose field of view holds the brain is taken before one that cuts it, then the one
    with the smallest voxels, then the lowest run. What UniRes made (``u_`` or ``y_`` before the name) takes the place of
    what it was made from. Links are taken for what they point to, by the names that the links have.

    Args:
        root: a folder.
        effective_te: seconds; the contrast-equivalent TE of a long train of refocusing pulses whose header has none.

    Raises:
        InputError: ``root`` is no folder, or holds no scan, or a session's scans lie in several datasets.
    """
    if not root.is_dir():
        raise InputError(f"{root}: missing or not a folder, expected a BIDS dataset")
    groups: dict[tuple[str, str, Path], list[Path]] = {}
    for file in _scan_files(root):
        entities = _entities(file)
        subject = entities.get("sub", "")
        groups.setdefault((subject, entities.get("ses", ""), _dataset_of(file, subject)), []).append(file)
    if not groups:
        raise InputError(f"{root}: found no scan, expected files such as sub-01/anat/sub-01_T1w.nii.gz")
    sessions = [_session(*key, files, effective_te) for key, files in sorted(groups.items())]
    return _without_doubles(sessions)


def _scan_files(root: Path) -> Iterator[Path]:
    """Every file that is named as a scan is; a folder that is met twice, by a link, is gone through once."""
    seen = set()
    for folder, below, names in os.walk(os.path.abspath(root), followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(b for b in below if b not in SKIPPED_FOLDERS and not b.startswith("."))
        for name in sorted(names):
            if FILE_NAME.fullmatch(name) and not NO_SCAN.fullmatch(name):
                yield Path(folder, name)


def _without_doubles(sessions: list[Session]) -> list[Session]:
    """The sessions, of which those that two datasets have are without scans: nothing says which to believe.

    Raises:
        InputError: no other is left.
    """
    datasets: dict[str, list[Path]] = {}
    for session in sessions:
        if session.subject:
            datasets.setdefault(session.subject, []).append(session.dataset)
    doubles = {subject: sorted(set(found)) for subject, found in datasets.items() if len(set(found)) > 1}
    lines = {
        subject: f"{first} and {second}: found sub-{subject} in both, expected one dataset at a time"
        for subject, (first, second, *_) in doubles.items()
    }
    if lines and {s.subject for s in sessions if s.subject} == set(lines):
        raise InputError(next(iter(lines.values())))
    kept = [s for s in sessions if s.subject not in lines]
    named = {s.name: s for s in sessions if s.subject in lines}  # once, whichever dataset it is of
    without = [replace(s, scans={}, spare={}, left_out=(lines[s.subject],)) for s in named.values()]
    return sorted([*kept, *without], key=lambda s: (s.subject, s.session or ""))


def _dataset_of(file: Path, subject: str) -> Path:
    """The folder of the subject's folder, or of OASIS-3's ``OAS30001_MR_d0757/anat1``; else the scan's own."""
    folder = file.parent
    for above in (folder, *folder.parents):
        if subject and above.name == f"sub-{subject}":
            return above.parent
    for layout in (SUBJECT_FOLDER, *LAYOUTS):
        if found := layout.fullmatch(folder.as_posix()):
            return Path(found["dataset"] or "/")
    return folder


def _entities(file: Path) -> dict[str, str]:
    """``{"sub": "01", "run": "2"}`` of a file's name; empty if it is no BIDS name. OASIS-3 writes ``sess`` for ``ses``."""
    parts = _named(file)["entities"].split("_")
    found = [match for part in parts if (match := ENTITY.fullmatch(part))]
    if len(found) < len(parts):
        return {}
    return {{"sess": "ses"}.get(m[1], m[1]): m[2] for m in found}


def _named(file: Path) -> re.Match[str]:
    """The parts of a scan's name.

    Raises:
        InputError: it is no scan's.
    """
    match = FILE_NAME.fullmatch(file.name)
    if match is None:
        raise InputError(f"{file}: name: expected one such as sub-01_T1w.nii.gz")
    return match


def _session(subject: str, session: str, dataset: Path, files: list[Path], effective_te: float) -> Session:
    usable: dict[str, list[tuple[tuple, Scan]]] = {}
    left_out = []
    for file in files:
        try:
            scan, rank = _read_scan(file, dataset, effective_te), _rank(file)
        except InputError as error:
            left_out.append(str(error))
            continue
        usable.setdefault(scan.suffix, []).append((rank, scan))
    scans, spare = {}, {}
    for suffix in (c for c in CONTRASTS if c in usable):
        best, *others = (scan for _, scan in sorted(usable[suffix], key=lambda pair: pair[0]))
        scans[suffix], spare[suffix] = best, tuple(others)
        left_out += [f"{other.file}: left out: {best.file.name} was chosen" for other in others]
    return Session(dataset, subject, session or None, scans, spare, tuple(left_out))


def _read_scan(file: Path, dataset: Path, effective_te: float) -> Scan:
    entities, match = _entities(file), _named(file)
    if "sub" not in entities:
        raise InputError(
            f"{file}: name: found no subject, expected one such as sub-01_ses-02_run-1_T1w.nii.gz"
        )
    if unknown := sorted(entities.keys() - ENTITIES):
        raise InputError(f"{file}: name: found {unknown[0]}-, expected only {', '.join(sorted(ENTITIES))}")
    if entities.get("part", "mag") != "mag":
        raise InputError(f"{file}: name: found part-{entities['part']}, expected the magnitude, part-mag")
    for folder in file.parent.relative_to(dataset).parts:
        found = ENTITY.fullmatch(folder)
        if found and found[1] in ("sub", "ses") and entities.get(found[1]) != found[2]:
            raise InputError(f"{file}: name: found in {folder}, expected the same {found[1]}- in its name")
    # UniRes copies no sidecar: how the scan was taken stands beside the original
    named = file.with_name(file.name.removeprefix(match["unires"] or ""))
    content = inherited(named, match["suffix"], dataset)
    acquisition, notes = acquisition_of(sidecar_of(named), content, match["suffix"], effective_te)
    return Scan(file, match["suffix"], acquisition, notes)


def _rank(file: Path) -> tuple:
    """Sorts the scan to take first: made by UniRes, the brain in view, small voxels, early run, name."""
    image = open_image(file)
    voxel = abs(np.linalg.det(image.affine[:3, :3]))
    run = _entities(file).get("run", "0")
    prefix = ["u_", "y_", None].index(_named(file)["unires"])
    cut = COVERED - min(_in_view(image), COVERED)
    return prefix, round(cut, 1), round(voxel, 3), int(run) if run.isdigit() else math.inf, str(file)


def _in_view(image: SpatialImage) -> float:
    """The share of the largest ellipsoid in the box, which is about the brain, that the image's field of view holds."""
    steps = np.stack(np.meshgrid(*[np.linspace(-1, 1, 17)] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = np.array(FIRST_MM) + (1 + steps[(steps**2).sum(1) <= 1]) * (np.array(SHAPE_MM) - 1) / 2
    voxels = apply_affine(np.linalg.inv(image.affine), points)
    return float(((voxels >= -0.5) & (voxels <= np.array(image.shape[:3]) - 0.5)).all(1).mean())
