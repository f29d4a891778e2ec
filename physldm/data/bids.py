"""BIDS files: subjects, maps and scans to and from NIfTI with JSON sidecars."""

from __future__ import annotations

import json
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

from .anatomy import CLASSES
from .files import read_image, whole

FOLDER = "a folder to write to (--out)"
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
    _refuse_used(out)
    with whole(out) as part:
        start_dataset(part, name, derivative=derivative)
        yield part


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
    with writing(file, "room to write a volume"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as part:
            nib.save(image, part)


def sidecar_of(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def read_volume(file: Path) -> tuple[Float[Tensor, "S H W"], np.ndarray]:
    """A NIfTI volume as axial slices (anterior up), and its RAS+ affine.

    Raises:
        InputError: see :func:`physldm.data.files.read_image`.
    """
    data, image = read_image(file)
    return to_slices(torch.from_numpy(data)).contiguous(), image.affine


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


def write_fractions(file: Path, fractions: Float[Tensor, "S K H W"], affine: np.ndarray) -> None:
    """Tissue fractions as one 4-D NIfTI in steps of 1/255."""
    steps = to_volume(fractions.movedim(1, 0).mul(255).round().to(torch.uint8))
    image = nib.Nifti1Image(np.ascontiguousarray(steps.movedim(0, -1).numpy()), affine)
    image.header.set_slope_inter(1 / 255, 0.0)
    image.header.set_xyzt_units("mm", "sec")
    _save(image, file)
    write_json(sidecar_of(file), {"LabelMap": list(CLASSES[: fractions.shape[1]])})


def read_fractions(file: Path) -> tuple[Float[Tensor, "S K H W"], np.ndarray]:
    """Tissue fractions as :func:`write_fractions` writes them, and their RAS+ affine.

    Raises:
        InputError: see :func:`physldm.data.files.read_image`.
    """
    data, image = read_image(file, dimensions=4)
    return to_slices(torch.from_numpy(data).movedim(-1, 0)).contiguous(), image.affine
