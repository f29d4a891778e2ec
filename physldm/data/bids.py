"""BIDS files: subjects, maps and scans to and from NIfTI with JSON sidecars."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physldm import __version__
from physldm.box import to_slices, to_volume
from physldm.errors import InputError, writing
from physldm.physics import CONTRASTS

from .anatomy import CLASSES
from .files import DAMAGED
from .phantom import Subject

FOLDER = "a folder to write to (--out)"
HEADER_TE = 0.455  # what most T2w headers of OASIS-3 say
MAPS = {"PDmap": "arbitrary", "T1map": "s", "T2map": "s"}


def start_dataset(folder: Path, name: str, *, derivative: bool = False, **more: str) -> None:
    """Makes ``folder`` a BIDS dataset (or a derivative of one); ``more`` are further fields of its description.

    Raises:
        InputError: the folder exists and is not empty, or cannot be written.
    """
    _refuse_used(folder)
    with writing(folder, FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
    content = {
        "Name": name,
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative" if derivative else "raw",
        "GeneratedBy": [{"Name": "physldm", "Version": __version__}],
        **more,
    }
    write_json(folder / "dataset_description.json", content)


def _refuse_used(folder: Path) -> None:
    with writing(folder, FOLDER):
        used = folder.exists() and any(folder.iterdir())
    if used:
        raise InputError(f"--out: found {folder} with files in it, expected a new or empty folder")


@contextmanager
def new_dataset(out: Path, name: str, *, derivative: bool = False) -> Iterator[Path]:
    """A dataset that is there whole or not at all: give it its files in the folder that is handed out.

    Raises:
        InputError: ``out`` exists and is not empty, or cannot be written.
    """
    out = out.resolve()
    part = out.with_name(out.name + ".part")
    _refuse_used(out)
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    start_dataset(part, name, derivative=derivative)
    try:
        yield part
        if out.exists():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_participants(folder: Path, anatomy_of: dict[str, str]) -> None:
    """``participants.tsv``: the subjects and the anatomy each was made from, by which splits are made."""
    rows = [f"{subject}\t{Path(anatomy).name}" for subject, anatomy in anatomy_of.items()]
    text = "\n".join(["participant_id\tanatomy", *rows]) + "\n"
    (folder / "participants.tsv").write_text(text, encoding="utf-8")
    meaning = {"anatomy": {"Description": "The anatomy that the subject was made from"}}
    write_json(folder / "participants.json", meaning)


def write_json(file: Path, content: dict) -> None:
    with writing(file, "room to write a sidecar"):
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_volume(file: Path, stack: Float[Tensor, "S H W"], affine: np.ndarray, sidecar: dict) -> None:
    """A stack of axial slices as a RAS+ float32 NIfTI with its sidecar; whole or not at all."""
    image = nib.Nifti1Image(np.ascontiguousarray(to_volume(stack).float().cpu().numpy()), affine)
    image.header.set_xyzt_units("mm", "sec")
    _save(image, file)
    write_json(sidecar_of(file), sidecar)


def _save(image: nib.Nifti1Image, file: Path) -> None:
    part = file.with_name("part-" + file.name)
    with writing(file, "room to write a volume"):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            nib.save(image, part)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)


def sidecar_of(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def read_volume(file: Path) -> tuple[Float[Tensor, "S H W"], np.ndarray]:
    """A NIfTI volume as axial slices (anterior up), and its RAS+ affine.

    Raises:
        InputError: missing, damaged, not 3-D, or with values that are not finite.
    """
    data, affine = _read(file, dimensions=3)
    return to_slices(torch.from_numpy(data)).contiguous(), affine


def _read(file: Path, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """A RAS+ array, float32, and its affine."""
    try:
        image = nib.as_closest_canonical(nib.load(file))
        data = np.ascontiguousarray(image.dataobj, dtype=np.float32)
    except FileNotFoundError:
        raise InputError(f"{file}: missing, expected a NIfTI volume") from None
    except DAMAGED as error:
        raise InputError(f"{file}: damaged or cut short: {' '.join(str(error).split())}") from None
    if set(data.shape[dimensions:]) == {1}:
        data = data.reshape(data.shape[:dimensions])
    if data.ndim != dimensions:
        raise InputError(f"{file}: shape: found {data.shape}, expected {dimensions} dimensions")
    if not np.isfinite(data).all():
        raise InputError(f"{file}: values: found NaN or infinity, expected finite numbers")
    return data, image.affine


def write_maps(folder: Path, name: str, maps: Float[Tensor, "S 3 H W"], affine: np.ndarray) -> None:
    """PD, T1 and T2 of one subject as ``{name}_PDmap.nii.gz`` and so on."""
    for i, (suffix, unit) in enumerate(MAPS.items()):
        write_volume(folder / f"{name}_{suffix}.nii.gz", maps[:, i], affine, {"Units": unit})


def read_maps(folder: Path) -> dict[str, tuple[Float[Tensor, "S 3 H W"], np.ndarray]]:
    """Every set of PD, T1 and T2 maps below ``folder``, keyed by its name (``sub-01``).

    Raises:
        InputError: none there, a partner missing, or maps of different shapes.
    """
    found = sorted(folder.rglob("*_PDmap.nii.gz"))
    if not found:
        raise InputError(f"{folder}: found no *_PDmap.nii.gz, expected PD, T1 and T2 maps")
    sets = {}
    for file in found:
        name = file.name.removesuffix("_PDmap.nii.gz")
        volumes = [read_volume(file.with_name(f"{name}_{suffix}.nii.gz")) for suffix in MAPS]
        shapes = {tuple(v.shape) for v, _ in volumes}
        if len(shapes) > 1:
            raise InputError(f"{file}: shape: found {sorted(shapes)} among its maps, expected one")
        sets[name] = (torch.stack([v for v, _ in volumes], 1), volumes[0][1])
    return sets


def write_subject(root: Path, name: str, subject: Subject, *, header_te: bool = False) -> None:
    """A phantom subject: scans under ``name/anat``; under ``derivatives/truth`` maps, tissue fractions
    (``_probseg``, 4-D, in the order of its sidecar's ``LabelMap``) and scans without noise (``_desc-clean``).

    Args:
        header_te: the sidecar of the T2w scan says what OASIS-3's headers say of such a long echo train, its name
            and TE 0.455 s, and not the effective TE that the scan was made with.
    """
    truth = root / "derivatives" / "truth" / name / "anat"
    for n, (contrast, acquisition) in enumerate(zip(CONTRASTS, subject.acquisitions, strict=True)):
        sidecar = {"Modality": "MR", "MagneticFieldStrength": 3.0, **acquisition.to_bids()}
        if header_te and contrast == "T2w":
            del sidecar["PulseSequenceType"]
            sidecar |= {"SequenceName": "*spc_314ns", "EchoTime": HEADER_TE}
        write_volume(
            root / name / "anat" / f"{name}_{contrast}.nii.gz", subject.scans[:, n], subject.affine, sidecar
        )
        file = truth / f"{name}_desc-clean_{contrast}.nii.gz"
        write_volume(file, subject.clean[:, n], subject.affine, acquisition.to_bids())
    write_maps(truth, name, subject.maps, subject.affine)
    write_fractions(truth / f"{name}_probseg.nii.gz", subject.fractions, subject.affine)


def write_fractions(file: Path, fractions: Float[Tensor, "S K H W"], affine: np.ndarray) -> None:
    """Tissue fractions as one 4-D NIfTI in steps of 1/255."""
    steps = to_volume(fractions.movedim(1, 0).mul(255).round().to(torch.uint8))
    image = nib.Nifti1Image(np.ascontiguousarray(steps.movedim(0, -1).numpy()), affine)
    image.header.set_slope_inter(1 / 255, 0.0)
    image.header.set_xyzt_units("mm", "sec")
    _save(image, file)
    write_json(sidecar_of(file), {"LabelMap": list(CLASSES[: fractions.shape[1]])})


def read_fractions(file: Path) -> Float[Tensor, "S K H W"]:
    """Tissue fractions as :func:`write_fractions` writes them.

    Raises:
        InputError: missing, damaged, not 4-D.
    """
    data, _ = _read(file, dimensions=4)
    return to_slices(torch.from_numpy(data).movedim(-1, 0)).contiguous()
