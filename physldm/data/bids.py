"""BIDS files: subjects, maps and scans to and from NIfTI with JSON sidecars."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physldm import __version__
from physldm.errors import InputError
from physldm.physics import Acquisition

from .phantom import CONTRASTS, Subject, to_slices, to_volume

MAPS = {"PDmap": "arbitrary", "T1map": "s", "T2map": "s"}


def start_dataset(folder: Path, name: str, *, derivative: bool = False) -> None:
    """Makes ``folder`` a BIDS dataset (or a derivative of one).

    Raises:
        InputError: the folder exists and is not empty, or cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"--out: found {folder} with files in it, expected a new or empty folder")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {folder}: {error.strerror}, expected a folder to write to") from None
    content = {
        "Name": name,
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative" if derivative else "raw",
        "GeneratedBy": [{"Name": "physldm", "Version": __version__}],
    }
    write_json(folder / "dataset_description.json", content)


def write_json(file: Path, content: dict) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_volume(file: Path, stack: Float[Tensor, "S H W"], affine: np.ndarray, sidecar: dict) -> None:
    """A stack of axial slices as a RAS+ float32 NIfTI with its sidecar; whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.ascontiguousarray(to_volume(stack).float().cpu().numpy()), affine)
    image.header.set_xyzt_units("mm", "sec")
    part = file.with_name("part-" + file.name)
    nib.save(image, part)
    part.replace(file)
    write_json(sidecar_of(file), sidecar)


def sidecar_of(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def read_volume(file: Path) -> tuple[Float[Tensor, "S H W"], np.ndarray]:
    """A NIfTI volume as axial slices (anterior up), and its RAS+ affine.

    Raises:
        InputError: missing, damaged, not 3-D, or with values that are not finite.
    """
    try:
        image = nib.as_closest_canonical(nib.load(file))
        data = np.asarray(image.dataobj, dtype=np.float32)
    except FileNotFoundError:
        raise InputError(f"{file}: missing, expected a NIfTI volume") from None
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise InputError(f"{file}: damaged or cut short: {str(error).splitlines()[0]}") from None
    if data.ndim != 3:
        raise InputError(f"{file}: shape: found {data.shape}, expected three dimensions")
    if not np.isfinite(data).all():
        raise InputError(f"{file}: values: found NaN or infinity, expected finite numbers")
    return to_slices(torch.from_numpy(np.ascontiguousarray(data))).contiguous(), image.affine


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


def write_subject(root: Path, name: str, subject: Subject) -> None:
    """A phantom subject: scans under ``name/anat``, truth maps under ``derivatives/truth``."""
    for n, (contrast, acquisition) in enumerate(zip(CONTRASTS, subject.acquisitions, strict=True)):
        file = root / name / "anat" / f"{name}_{contrast}.nii.gz"
        sidecar = {"Modality": "MR", "MagneticFieldStrength": 3.0, **acquisition.to_bids()}
        write_volume(file, subject.scans[:, n], subject.affine, sidecar)
    write_maps(root / "derivatives" / "truth" / name / "anat", name, subject.maps, subject.affine)


def read_scan(file: Path) -> tuple[Float[Tensor, "S H W"], np.ndarray, Acquisition]:
    """A scan and, from its sidecar, how it was taken.

    Raises:
        InputError: of either file, naming it.
    """
    sidecar = sidecar_of(file)
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{sidecar}: missing, expected the scan's sidecar") from None
    except ValueError as error:
        raise InputError(f"{sidecar}: not JSON: {error}") from None
    suffix = file.name.removesuffix(".gz").removesuffix(".nii").rsplit("_", 1)[-1]
    try:
        acquisition = Acquisition.from_bids(content, suffix)
    except InputError as error:
        raise InputError(f"{sidecar}: {error}") from None
    stack, affine = read_volume(file)
    return stack, affine, acquisition
