"""What scans a BIDS folder holds and how each was taken. What a sidecar does not say is never filled in silently."""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from physldm.errors import InputError
from physldm.physics import CONTRASTS, SEQUENCES, Acquisition
from physldm.physics.acquisition import SEQUENCE_OF_SUFFIX

from .bids import sidecar_of
from .files import DAMAGED

FILE_NAME = re.compile(r"(?P<unires>[uy]_)?(?P<entities>.+)_(?P<suffix>T1w|T2w|FLAIR)\.nii(\.gz)?")
ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
# Any other (ce, part, echo, inv …) may mean that the picture obeys another equation.
ENTITIES = {"sub", "ses", "acq", "run", "rec", "space", "desc"}
SKIPPED_FOLDERS = ("derivatives", "sourcedata")
# Seconds. A number above this one is milliseconds.
LONGEST = {
    "EchoTime": 5,
    "ContrastEquivalentEchoTime": 5,
    "RepetitionTime": 60,
    "RepetitionTimePreparation": 60,
    "InversionTime": 20,
}
LONG_TE = 0.2  # seconds; a plain spin echo as late as this would be nearly empty
# OASIS-3's inversion times by repetition time, seconds.
USUAL_TI = {("T1w", "mprage"): {2.4: 1.0, 2.3: 0.9}, ("FLAIR", "flair"): {9.0: 2.5, 5.0: 1.8}}
MOST_VOXELS = 2**28  # a whole head with voxels of 0.4 mm


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
        subject, session: labels without ``sub-`` and ``ses-``; no subject: files whose names give none.
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


def _rank(file: Path) -> tuple:
    """Sorts the scan to take first: made by UniRes, small voxels, early run, name."""
    voxel = abs(np.linalg.det(open_image(file).affine[:3, :3]))
    run = _entities(file).get("run", "0")
    prefix = ["u_", "y_", None].index(FILE_NAME.fullmatch(file.name)["unires"])
    return prefix, round(voxel, 3), int(run) if run.isdigit() else math.inf, str(file)


def open_image(file: Path) -> nib.spatialimages.SpatialImage:
    """A scan whose header is sound; its voxels are not read yet.

    Raises:
        InputError: missing, damaged, not 3-D, not of real numbers, or voxels without a size.
    """
    try:
        image = nib.load(file)
    except FileNotFoundError:
        raise InputError(f"{file}: missing, expected a NIfTI volume") from None
    except DAMAGED as error:
        raise InputError(f"{file}: damaged or cut short: {' '.join(str(error).split())}") from None
    shape, dtype = image.shape, image.get_data_dtype()
    if len(shape) < 3 or min(shape) < 1 or set(shape[3:]) - {1}:
        raise InputError(f"{file}: shape: found {shape}, expected three dimensions")
    if math.prod(shape) > MOST_VOXELS:
        raise InputError(f"{file}: shape: found {shape}, expected at most {MOST_VOXELS} voxels")
    if dtype.kind not in "iuf":
        raise InputError(f"{file}: values: found {dtype}, expected real numbers")
    sizes, volume = nib.affines.voxel_sizes(image.affine), abs(np.linalg.det(image.affine[:3, :3]))
    # a voxel far flatter than its edges are long: two of its directions are nearly the same
    if not (np.isfinite(image.affine).all() and volume > 0.1 * np.prod(sizes) > 0):
        raise InputError(
            f"{file}: voxel size: found {sizes.tolist()} mm, expected more than 0 along three directions"
        )
    return image


# --- sidecars ----------------------------------------------------------------------------------------------------


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
    content = _inherited(named, match["suffix"], dataset)
    acquisition, notes = _acquisition(sidecar_of(named), content, match["suffix"], effective_te)
    return Scan(file, match["suffix"], acquisition, notes)


def _inherited(file: Path, suffix: str, dataset: Path) -> dict:
    """What a scan's sidecar says and, where it is silent, those further up (BIDS: the inheritance principle)."""
    own = file.resolve().parent
    content: dict = {}
    for folder in reversed([f for f in (own, *own.parents) if f.is_relative_to(dataset)]):
        named = [(sidecar.stem.split("_"), sidecar) for sidecar in folder.glob(f"*{suffix}.json")]
        for (*entities, last), sidecar in sorted(named, key=lambda pair: len(pair[0])):
            if last == suffix and set(entities) <= set(file.name.split("_")):
                content |= read_sidecar(sidecar)
    return content or read_sidecar(sidecar_of(file))


def _acquisition(
    sidecar: Path, content: dict, suffix: str, effective_te: float
) -> tuple[Acquisition, tuple[str, ...]]:
    """How a scan was taken, and one line for each thing that its sidecar does not say."""
    notes = []
    name = _text(sidecar, content, "SequenceName")
    inverted = {"ir", "se"} <= set(re.split("[^a-z]+", _text(sidecar, content, "ScanningSequence")))
    # an inversion followed by a spin echo has FLAIR's equation, whatever its TI makes of the contrast
    inverted_echo = suffix != "FLAIR" and (inverted or "tir" in name)
    # so has a T2-weighted scan after an inversion (STIR)
    inverted_echo |= suffix == "T2w" and content.get("InversionTime") is not None
    sequence = "flair" if inverted_echo else SEQUENCE_OF_SUFFIX[suffix]
    _text(sidecar, content, "PulseSequenceType")
    declared = content.get("PulseSequenceType")
    if declared in SEQUENCES:  # as this package writes it
        expected = sorted({SEQUENCE_OF_SUFFIX[suffix], "flair"})
        if declared not in expected:
            raise InputError(
                f"{sidecar}: PulseSequenceType: found {declared}, expected {' or '.join(expected)}"
            )
        sequence = declared
    elif not name:
        notes.append(f"SequenceName is missing: taken as {sequence}")
    te = _seconds(sidecar, content, "ContrastEquivalentEchoTime", "EchoTime")
    tr = _seconds(sidecar, content, "RepetitionTimePreparation", "RepetitionTime")
    if tr is None or (te is None and sequence != "mprage"):
        raise InputError(f"{sidecar}: {'EchoTime' if tr else 'RepetitionTime'}: missing, expected seconds")
    ti = None
    if sequence != "spin_echo":
        ti = _seconds(sidecar, content, "InversionTime")
        if ti is None:
            ti = _usual_ti(sidecar, suffix, sequence, tr)
            notes.append(f"InversionTime is missing: {ti:g} s, as in OASIS-3 at a TR of {tr:g} s")
    # a turbo spin echo's header has the effective TE; a SPACE train's has that of the middle of a far longer train
    header_te = "ContrastEquivalentEchoTime" in content or "tse" in name
    if sequence != "mprage" and te > LONG_TE and not (header_te or declared in SEQUENCES):
        notes.append(f"EchoTime {te:g} s is that of a long echo train: effective TE {effective_te:g} s")
        te = effective_te
    if sequence == "mprage" and tr <= ti:
        raise InputError(
            f"{sidecar}: RepetitionTime: found {tr:g}, expected more than InversionTime = {ti:g} s (this looks like the "
            "excitation TR; RepetitionTimePreparation is the time from one inversion to the next)"
        )
    try:
        return Acquisition(sequence, te=te, tr=tr, ti=ti), tuple(notes)
    except InputError as error:
        raise InputError(f"{sidecar}: {error}") from None


def read_sidecar(sidecar: Path) -> dict:
    """A sidecar's content.

    Raises:
        InputError: missing, not UTF-8, not JSON, not an object, or with a key twice.
    """
    try:
        content = json.loads(sidecar.read_bytes().decode("utf-8-sig"), object_pairs_hook=_no_duplicates)
    except FileNotFoundError:
        raise InputError(f"{sidecar}: missing, expected the scan's sidecar") from None
    except OSError as error:
        raise InputError(f"{sidecar}: {error.strerror}, expected the scan's sidecar") from None
    except UnicodeDecodeError:
        raise InputError(f"{sidecar}: found bytes that are not UTF-8, expected JSON in UTF-8") from None
    except _DuplicateKey as error:
        raise InputError(f"{sidecar}: {error}: found twice, expected once") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{sidecar}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(
            f"{sidecar}: found {reprlib.repr(content)}, expected an object with EchoTime and so on"
        )
    return content


class _DuplicateKey(Exception):
    pass


def _no_duplicates(pairs: list[tuple]) -> dict:
    content = {}
    for key, value in pairs:
        if key in content:
            raise _DuplicateKey(reprlib.repr(key))
        content[key] = value
    return content


def _seconds(sidecar: Path, content: dict, *fields: str) -> float | None:
    """The first of ``fields`` that is there; None if none is."""
    for field in (f for f in fields if f in content):
        value, found = content[field], f"{sidecar}: {field}: found {reprlib.repr(content[field])}"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise InputError(f"{found}, expected a number of seconds above 0")
        if value > LONGEST[field]:
            raise InputError(f"{found}, expected seconds (this looks like milliseconds)")
        return float(value)
    return None


def _text(sidecar: Path, content: dict, field: str) -> str:
    """A text, or a list of texts joined by spaces, in lower case; empty if the field is missing."""
    value = content.get(field, "")
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str) for part in parts):
        raise InputError(f"{sidecar}: {field}: found {reprlib.repr(value)}, expected text")
    return " ".join(parts).lower()


def _usual_ti(sidecar: Path, suffix: str, sequence: str, tr: float) -> float:
    for usual_tr, ti in USUAL_TI.get((suffix, sequence), {}).items():
        if abs(tr - usual_tr) <= 0.05:
            return ti
    raise InputError(
        f"{sidecar}: InversionTime: missing, expected seconds (no usual value is known for {suffix} at a TR of {tr:g} s)"
    )
