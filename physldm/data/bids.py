"""BIDS files: subjects, maps and scans to and from NIfTI with JSON sidecars."""

from __future__ import annotations

import reprlib
from collections.abc import Generator
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
from physldm.progress import say

from .anatomy import CLASSES
from .files import read_image, whole, without_nan
from .json_files import read_sidecar, sidecar_of, write_json

FOLDER = "a folder to write to (--out)"
MAPS = {"PDmap": "arbitrary", "T1map": "s", "T2map": "s"}
SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "milliseconds": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
}
SHARES = {"arbitrary": 1.0, "a.u.": 1.0, "au": 1.0, "fraction": 1.0, "%": 0.01, "percent": 0.01, "pu": 0.01}
# What sidecars call the units of each kind of map, and how many of the first one of them is.
UNITS = {"PDmap": SHARES, "T1map": SECONDS, "T2map": SECONDS}
LONGEST = 30.0  # seconds; no tissue's T1 or T2 is as long


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
def new_dataset(out: Path, name: str, *, derivative: bool = False) -> Generator[Path]:
    """A dataset that is there whole or not at all: give it its files in the folder that is handed out.

    Raises:
        InputError: ``out`` exists and is not empty, or cannot be written.
    """
    out = out.resolve()
    _refuse_used(out)
    with whole(out) as part:
        start_dataset(part, name, derivative=derivative)
        yield part


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


def read_volume(file: Path) -> tuple[Float[Tensor, "S H W"], np.ndarray]:
    """A NIfTI volume as axial slices (anterior up), and its RAS+ affine; NaN is taken as 0, and said.

    Raises:
        InputError: see :func:`physldm.data.files.read_image`.
    """
    data, image = read_image(file)
    data, note = without_nan(file, data)
    if note:
        say(note)
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
        volumes = [_read_map(file.with_name(f"{name}_{suffix}.nii.gz"), suffix) for suffix in MAPS]
        shapes = {tuple(v.shape) for v, _ in volumes}
        if len(shapes) > 1:
            raise InputError(f"{file}: shape: found {sorted(shapes)} among its maps, expected one")
        sets[name] = (torch.stack([v for v, _ in volumes], 1), volumes[0][1])
    return sets


def _read_map(file: Path, suffix: str) -> tuple[Float[Tensor, "S H W"], np.ndarray]:
    """A map in the units of ``MAPS``, whatever its sidecar says it is in."""
    volume, affine = read_volume(file)
    sidecar, known = sidecar_of(file), UNITS[suffix]
    unit = read_sidecar(sidecar).get("Units", MAPS[suffix]) if sidecar.exists() else MAPS[suffix]
    factor = known.get(unit.strip().lower()) if isinstance(unit, str) else None
    if factor is None:
        raise InputError(f"{sidecar}: Units: found {reprlib.repr(unit)}, expected one of {', '.join(known)}")
    if factor != 1:
        say(f"{file}: in {unit} by its sidecar: turned to {MAPS[suffix]}")
    volume = volume * factor
    if known is SECONDS and (volume > LONGEST).sum() > (volume > 0).sum() / 2:
        found = f"most of it above {LONGEST:g} {MAPS[suffix]}"
        raise InputError(f"{file}: values: found {found}, expected seconds (Units in its sidecar may say ms)")
    return volume, affine


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
