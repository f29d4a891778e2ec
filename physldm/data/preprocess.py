"""From scans to slices: every scan on the same grid in MNI space, checked, split by subject."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from nilearn.image import resample_img
from nilearn.image.resampling import BoundingBoxError
from scipy import ndimage
from torch import Tensor

from physldm import __version__
from physldm.box import SHAPE_MM, box_affine, stack_shape, to_slices, to_volume
from physldm.errors import InputError, writing
from physldm.physics import CONTRASTS, Acquisition, signal
from physldm.progress import progress

from .anatomy import CLASSES, load_anatomy, template
from .bids import MAPS, read_fractions, read_volume, sidecar_of
from .phantom import MIXTURES, average_brain
from .report import HTML, JSON, write_report
from .sessions import Scan, Session, find_sessions, open_image, read_sidecar
from .slices import SliceStore, add_session, close_store, has_session

LEAST_BRAIN = 0.05  # share of a slice that the template's brain has to fill
ORIGIN = "origin.json"  # which dataset a store is made of
OWN_FILES = {"index.json", "index.json.part", "sessions", "parts", HTML, JSON, ORIGIN}
LEAST_REACHED = 0.05  # share of MNI's brain that a scan must reach
TEMPLATE = "MNI's template"
EXPECTED = ", expected aligned to MNI (UniRes does that)"
BINS = 32
# How much more a shifted scan may have to do with the template before it counts as out of place. Tilted heads of
# another shape than the template's reach 1.2; a head that lies 15 mm off has at least 1.4.
TOLERANCE = 1.3


# --- the grid ----------------------------------------------------------------------------------------------------


def read_on_grid(file: Path, spacing: int) -> Float[Tensor, "S H W"]:
    """A scan as axial slices of the box, anterior up; 0 outside the scan and where it is negative.

    Where the scan's voxels are those of the box it is cropped and padded, exactly; otherwise it is interpolated by
    cubic splines. Voxels much finer than the box's are averaged, never picked from.

    Raises:
        InputError: damaged, not 3-D, not finite, the same everywhere, or without a place in the world.
    """
    return _read_on_grid(file, spacing)[0]


def _read_on_grid(file: Path, spacing: int) -> tuple[Float[Tensor, "S H W"], float]:
    """The scan on the grid, and the share of its voxels that is negative."""
    open_image(file)
    stack, affine = read_volume(file)
    if stack.min() == stack.max():
        raise InputError(f"{file}: values: found {stack.min():g} everywhere, expected a picture")
    image = nib.Nifti1Image(to_volume(stack).numpy(), affine)
    return _on_grid(image, spacing), (stack < 0).float().mean().item()


def _on_grid(image: nib.Nifti1Image, spacing: int) -> Float[Tensor, "S H W"]:
    # how many voxels of the scan one of the box's is long; more than four are skipped over
    finer = np.clip(np.round(spacing / nib.affines.voxel_sizes(image.affine)), 1, 4).astype(int)
    shape = np.array(SHAPE_MM) // spacing * finer
    affine = box_affine(spacing) @ np.diag([*(1 / finer), 1.0])
    affine[:3, 3] -= spacing * (1 - 1 / finer) / 2
    step = np.linalg.inv(image.affine) @ affine
    whole_voxels = np.allclose(step[:3, :3], np.eye(3), atol=1e-4) and np.allclose(
        step[:3, 3], np.round(step[:3, 3]), rtol=0, atol=1e-3
    )
    interpolation = "nearest" if whole_voxels else "continuous"
    try:
        moved = resample_img(image, affine, tuple(shape.tolist()), interpolation)
    except BoundingBoxError:  # no voxel of the scan is in the box
        return torch.zeros(stack_shape(spacing))
    volume = torch.from_numpy(moved.get_fdata(dtype=np.float32)).clamp_min(0)
    return to_slices(F.avg_pool3d(volume[None], tuple(finer.tolist()))[0]).contiguous()


@lru_cache(maxsize=2)
def brain_slices(spacing: int) -> np.ndarray:
    """Numbers of the box's slices that a store keeps: the template's brain fills at least 5 % of each."""
    brain = F.avg_pool3d(load_anatomy("icbm152").fractions.sum(0)[None], spacing)[0]
    return np.flatnonzero(brain.mean((0, 1)).numpy() >= LEAST_BRAIN)


# --- is it where it should be ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _reference() -> tuple[np.ndarray, np.ndarray]:
    """The T1w template at 2 mm and where its brain is, ``[S, H, W]`` each."""
    head = _on_grid(nib.Nifti1Image(*template("t1")), 2).numpy()
    return head, head > 0


def _better_place(moving: np.ndarray, fixed: np.ndarray, tolerance: float, shifts_mm: tuple[int, ...]) -> int:
    """How many mm off ``moving`` lies: the shift along an axis that tells most of ``fixed``; 0 where it lies well.

    What one picture tells of another is their mutual information, Σ p(a, b) log(p(a, b) / p(a) p(b)), here over the
    template's brain at 2 mm: it asks for no likeness in contrast.
    """
    brain = _reference()[1]
    moving, fixed = _grey_steps(moving, brain), _grey_steps(fixed, brain)[brain]
    informed = {0: _mutual_information(moving[brain], fixed) * tolerance}
    for mm in shifts_mm:
        places = [ndimage.shift(moving, s * mm / 2 * axis, order=0) for axis in np.eye(3) for s in (-1, 1)]
        informed[mm] = max(_mutual_information(place[brain], fixed) for place in places)
    return max(informed, key=informed.get)


def _grey_steps(volume: np.ndarray, where: np.ndarray) -> np.ndarray:
    top = np.percentile(volume[where], 99.5)
    return np.minimum(volume / top * BINS, BINS - 1).astype(np.int64)


def _mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    joint = np.bincount(a * BINS + b, minlength=BINS**2).reshape(BINS, BINS) / a.size
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())


class Reading(NamedTuple):
    """What of a session could be read and lies well: its scans, their stacks ``[S, H, W]``, and what is to be said."""

    scans: dict[str, Scan]
    stacks: dict[str, Tensor]
    notes: list[str]


def read_session(session: Session, spacing: int) -> Reading:
    """The scans of a session on the grid; where one cannot be used, the best of its repeats that can."""
    reading, first = Reading({}, {}, []), None
    for suffix, chosen in session.scans.items():
        for scan in (chosen, *session.spare[suffix]):
            try:
                stack, negative = _read_on_grid(scan.file, spacing)
                coarse = F.avg_pool3d(stack[None], 2 // spacing)[0].numpy()
                reached = (coarse[_reference()[1]] > 0).mean()
                if reached < LEAST_REACHED:
                    found = (
                        f"{reached:.0%} of MNI's brain in it" if reached else "nothing where MNI's brain is"
                    )
                    raise InputError(f"{scan.file}: position: found {found}{EXPECTED}")
                mm, place = _off(coarse, first)
                first = first or _First(scan.file.name, coarse, mm)
                if mm:
                    raise InputError(f"{scan.file}: position: found about {mm} mm from {place}{EXPECTED}")
            except InputError as error:
                reading.notes.append(str(error))
                continue
            reading.scans[suffix], reading.stacks[suffix] = scan, stack
            if scan is not chosen:
                reading.notes.append(f"{scan.file}: taken in its place")
            if negative > 0.01:
                reading.notes.append(f"{scan.file}: {negative:.0%} of its voxels are negative: taken as 0")
            break
    return reading


class _First(NamedTuple):
    """The first scan of a session that could be read, and how many mm it lies off the template."""

    name: str
    coarse: np.ndarray
    off: int


def _off(coarse: np.ndarray, first: _First | None) -> tuple[int, str]:
    """How many mm a scan lies off, and from what.

    One that lies as the session's first scan does shares its place: pictures of one brain tell far more of each other
    than of a template.
    """
    if first:
        apart = _better_place(coarse, first.coarse, 1.0, (6, 12, 24))
        if apart == 0:
            return first.off, TEMPLATE
        if first.off == 0:
            return apart, first.name
    return _better_place(coarse, _reference()[0], TOLERANCE, (12, 24)), TEMPLATE


def estimate_gain(scan: Float[Tensor, "S H W"], acquisition: Acquisition, spacing: int) -> float:
    """Scanner units per unit of PD: the scan's median in MNI's brain over that of the average brain, scanned alike.

    A scan alone cannot tell gain from PD; this takes the subject's brain for an average one. It does so for every
    sequence by itself, as most scanners tune their receiver for each.
    """
    maps, fractions = average_brain(spacing)
    brain = (fractions.sum(1) > 0.9) & (scan > 0).any((1, 2))[:, None, None]
    return (scan[brain].median() / signal(maps, acquisition).abs()[brain].median()).item()


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
    fractions = read_fractions(probseg)
    labels = read_sidecar(sidecar_of(probseg)).get("LabelMap")
    if labels != list(CLASSES[: fractions.shape[1]]):
        raise InputError(f"{sidecar_of(probseg)}: LabelMap: found {labels}, expected {', '.join(CLASSES)}")
    _same_grid(probseg, fractions[:, 0], nib.as_closest_canonical(nib.load(probseg)).affine, spacing)
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
        spacing: voxel size in mm, 1 or 2. heldout: share of the subjects that is held out (at least one of two).
        effective_te: seconds; see :func:`find_sessions`.

    Raises:
        InputError: no session can be used, or ``out`` has other files in it.
    """
    sessions = find_sessions(bids, effective_te)
    datasets = sorted({session.dataset for session in sessions})
    partial_volume = _partial_volume(datasets)
    new = _start(out, bids)
    sources: dict[str, str] = {}
    skipped: dict[str, list[str]] = {}
    for session in progress(sessions, desc="preparing", unit="session"):
        truth = _truth_files(session)
        source = _source(session, truth, spacing)
        if not has_session(out, session.name, source):
            reading = read_session(session, spacing)
            if not reading.stacks:
                skipped[session.name] = reading.notes
                continue
            _add(out, session, reading, truth, source, spacing)
        sources[session.name] = source
    if not sources:
        if new:
            shutil.rmtree(out)
        reasons = [line for s in sessions for line in (*s.left_out, *skipped[s.name])]
        raise InputError(f"{bids}: found no session that can be used, expected one; first: {reasons[0]}")
    taken = [s for s in sessions if s.name in sources]
    part_of = split_subjects(_groups(datasets, {s.subject for s in taken}), heldout, seed)
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
        repr([__version__, spacing, [(scan.suffix, scan.acquisition) for scan in scans]]).encode()
    )
    for file in (*(scan.file for scan in scans), *(t for t in truth if t.exists())):
        with open(file, "rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _add(out: Path, session: Session, reading: Reading, truth: list[Path], source: str, spacing: int) -> None:
    scans, stacks, notes = reading
    absent = torch.zeros_like(next(iter(stacks.values())))
    arrays = {"scans": torch.stack([stacks.get(c, absent) for c in CONTRASTS], 1)}
    if truth:
        try:
            arrays |= _read_truth(truth, spacing)
        except InputError as error:
            notes = [*notes, f"truth left out: {error}"]
    kept = brain_slices(spacing)
    add_session(
        out,
        session.name,
        subject=session.subject,
        source=source,
        acquisitions=[scans[c].acquisition if c in scans else None for c in CONTRASTS],
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
        if value not in MIXTURES:
            raise InputError(f"{file}: PartialVolume: found {value!r}, expected {' or '.join(MIXTURES)}")
        if value != next(iter(said.values())):
            raise InputError(f"{file}: PartialVolume: found {value}, expected the same of all datasets")
    return next(iter(said.values()), "properties")


def _groups(datasets: Sequence[Path], subjects: set[str]) -> dict[str, str]:
    """What of each subject must not be in both splits: its anatomy where there are several, or else itself.

    Raises:
        InputError: a ``participants.tsv`` is not UTF-8 text.
    """
    anatomy: dict[str, str] = {}
    for file in (dataset / "participants.tsv" for dataset in datasets):
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines() if file.exists() else []
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{file}: unreadable, expected a table in UTF-8") from None
        header, *rows = [line.split("\t") for line in lines] or [[]]
        if {"participant_id", "anatomy"} <= set(header):
            found = (dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header))
            anatomy |= {row["participant_id"].removeprefix("sub-"): row["anatomy"] for row in found}
    known = {s: anatomy[s] for s in subjects if anatomy.get(s, "n/a") != "n/a"}
    if len(known) == len(subjects) and len(set(known.values())) == 1:
        known = {}
    return {s: known.get(s, s) for s in subjects}


def split_subjects(groups: Mapping[str, str], heldout: float, seed: int) -> dict[str, str]:
    """``train`` or ``heldout`` for every subject; those of one group stay together.

    Groups are shuffled by a key of their own, so that the order does not depend on the others. At least one is held
    out if there are two, and never all.
    """
    names = sorted(set(groups.values()), key=lambda n: hashlib.sha256(f"{seed} {n}".encode()).digest())
    count = min(max(round(heldout * len(names)), 1), len(names) - 1)
    return {s: "heldout" if group in names[:count] else "train" for s, group in groups.items()}
