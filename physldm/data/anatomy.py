"""Where tissue is: the fraction of every tissue in every voxel of a head."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from physldm.box import SHAPE_MM, box_affine
from physldm.errors import InputError

from .labels import (
    CSF_OUTSIDE,
    LATERAL_VENTRICLES,
    OTHER_SOFT_TISSUE,
    SKIN,
    SPINAL_CORD_AND_OPTIC_NERVE,
    SUFFIXES,
    TISSUE_OF_LABEL,
    read_label_map,
)

# In this order wherever fractions are stored. An anatomy has the first four alone, or all of them.
CLASSES = ("wm", "gm", "csf", "lesion", "deep_gm", "choroid", "fat", "muscle", "marrow")
IN_THE_SKULL = 6  # the classes that are brain and its fluid come first
SHELL_MM = 5.0  # how far from the ventricles the template's grey matter is in doubt
FLUID_MM = 8.0  # half the width of the clefts that fluid fills where it is not labelled
FAT_MM = 5.0  # how deep below the skin soft tissue is fat; deeper it is muscle


@dataclass(frozen=True)
class Anatomy:
    """Tissue fractions of one head on a 1 mm RAS+ grid of 160 × 224 × 160 mm.

    Attributes:
        name: which anatomy.
        fractions: ``[K, X, Y, Z]``, each in [0, 1]: the first K of ``CLASSES``, 4 or all; what is missing to 1 is
            bone or air, which give no signal.
        ventricles: ``[X, Y, Z]``: fraction of each voxel that is CSF inside the lateral ventricles.
        affine: 4 × 4, voxel to world in mm.
    """

    name: str
    fractions: Float[Tensor, "K X Y Z"]
    ventricles: Float[Tensor, "X Y Z"]
    affine: np.ndarray


def anatomies(name: str) -> list[str]:
    """The anatomies that ``name`` stands for: ``icbm152``, a label map, or every label map of a folder.

    Raises:
        InputError: nothing of that name.
    """
    path = Path(name)
    if name == "icbm152" or path.is_file():
        return [name]
    found = sorted(str(p) for p in path.iterdir() if p.name.endswith(SUFFIXES)) if path.is_dir() else []
    if not found:
        raise InputError(f"anatomy: found {name!r}, expected icbm152, a label map or a folder of label maps")
    return found


def anatomy_fingerprint(name: str) -> str:
    """Tells anatomies apart by what is in them, wherever they lie."""
    if name == "icbm152":
        return name
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def check_anatomies(names: Iterable[str]) -> None:
    """Reads the label maps among ``names``, so that a damaged one is found before work begins.

    Raises:
        InputError: the first that is missing, damaged, has unknown labels, or no brain with ventricles.
    """
    for name in sorted(set(names) - {"icbm152"}):
        read_label_map(Path(name))


@lru_cache(maxsize=2)
def load_anatomy(name: str = "icbm152") -> Anatomy:
    """The anatomy called ``name``.

    ``icbm152`` is the average of 152 heads that ships with nilearn (Fonov 2011), skull-stripped: an average
    brain, smoother than any single one. Any other name is the file of a label map: one head, with its skull and
    scalp where they are labelled.

    Raises:
        InputError: there is no anatomy of that name, or its file is damaged or has unknown labels.
    """
    return _average_brain() if name == "icbm152" else _labelled_head(name)


# --- the average brain ---------------------------------------------------------------------------------------------


def _average_brain() -> Anatomy:
    gm, affine = template("gm")
    wm, _ = template("wm")
    t1, _ = template("t1")
    brain = t1 > 0
    gm, wm = np.where(brain, gm, 0.0), np.where(brain, wm, 0.0)
    total = np.maximum(gm + wm, 1.0)
    gm, wm = gm / total, wm / total
    csf = np.where(brain, 1.0 - gm - wm, 0.0)
    ventricles = _ventricles(csf, brain, affine)
    gm, wm, csf = _without_false_ring(gm, wm, csf, t1, ventricles)
    start, affine = _centred(brain, affine)
    none = np.zeros_like(wm)  # an average has no lesion
    crop = [_crop(v, start) for v in (wm, gm, csf, none, np.where(ventricles, csf, 0.0))]
    fractions = torch.from_numpy(np.stack(crop[:4])).float()
    return Anatomy("icbm152", fractions, torch.from_numpy(crop[4]).float(), affine)


def template(part: str) -> tuple[np.ndarray, np.ndarray]:
    """``gm``, ``wm`` or ``t1`` of the average brain as nilearn ships it, RAS+, at most 1; and its affine."""
    data = resources.files("nilearn") / "datasets" / "data"  # importing nilearn.datasets takes seconds
    file = data / f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz"
    with resources.as_file(file) as path:
        image = nib.as_closest_canonical(nib.load(path))
        data = np.asarray(image.dataobj, dtype=np.float32)
        return data / data.max(), image.affine


def _ventricles(csf: np.ndarray, brain: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The lateral ventricles: CSF deep in the brain, above the cisterns of the base."""
    head, depth = _box_around(brain, 1), np.zeros(brain.shape)
    depth[head] = ndimage.distance_transform_edt(brain[head])  # mm: the template's voxels are 1 mm
    height = affine[2, 3] + np.arange(csf.shape[2])
    bodies, _ = ndimage.label((csf > 0.75) & (depth > 25) & (height > -2))
    sizes = np.bincount(bodies.ravel())[1:]
    left_and_right = 1 + np.argsort(sizes)[-2:]
    return ndimage.binary_dilation(np.isin(bodies, left_and_right), iterations=2)


def _without_false_ring(gm, wm, csf, t1, ventricles):
    """Removes the thin shell of 'grey matter' where white matter meets ventricle.

    A voxel half CSF and half WM looks like GM in T1w, so the template has GM there. What lies behind the shell tells
    caudate and thalamus, whose grey is real, from white matter. T1w brightness gives a mixture's two shares.
    """
    # white matter is not equally bright everywhere: what is as bright as its darkest tenth holds no fluid
    bright, dark = np.percentile(t1[wm > 0.95], 10), np.median(t1[ventricles & (csf > 0.95)])
    # farther out nothing changes: the shell, one voxel behind it, and as far as a Gaussian of 1 mm reaches
    box = _box_around(ventricles, int(SHELL_MM) + 1 + 4)
    whole = np.stack([gm, wm, csf])
    gm, wm, csf, t1, ventricles = (v[box] for v in (gm, wm, csf, t1, ventricles))
    near = ndimage.distance_transform_edt(~ventricles) < SHELL_MM
    behind = tuple(ndimage.distance_transform_edt(near, return_distances=False, return_indices=True))
    grey, white = (ndimage.gaussian_filter(v, 1.0)[behind] for v in (gm, wm))
    # 1 where four fifths of what lies behind are white, 0 where no more than half is
    doubt = np.clip((white / np.maximum(grey + white, 1e-6) - 0.5) / 0.3, 0, 1)
    doubt = near * ndimage.gaussian_filter(doubt * near, 1.0)
    fluid = np.clip((bright - t1) / (bright - dark), 0, 1)
    kept, mixed = 1 - doubt, doubt * (gm + wm + csf)
    whole[:, *box] = kept * gm, kept * wm + mixed * (1 - fluid), kept * csf + mixed * fluid
    return whole


def _box_around(where: np.ndarray, margin: int) -> tuple[slice, ...]:
    """The smallest box that holds ``where``, and ``margin`` voxels more on every side that has them."""
    (box,) = ndimage.find_objects(where.astype(np.int8))
    return tuple(slice(max(0, side.start - margin), side.stop + margin) for side in box)


def _centred(brain: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First voxel of the 160 × 224 × 160 box centred on the brain, and that box's affine."""
    box = np.array([[s.start, s.stop] for s in ndimage.find_objects(brain.astype(np.int8))[0]])
    start = np.round((box.sum(1) - np.array(SHAPE_MM)) / 2).astype(int)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ start
    return start, moved


def _crop(volume: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The box that begins at ``start``, filled with zeros where it leaves the volume."""
    out = np.zeros(SHAPE_MM, dtype=volume.dtype)
    lo = np.maximum(start, 0)
    hi = np.minimum(start + np.array(SHAPE_MM), volume.shape)
    to = tuple(slice(a - s, b - s) for a, b, s in zip(lo, hi, start, strict=True))
    out[to] = volume[tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))]
    return out


# --- a head from its label map ---------------------------------------------------------------------------------------


def _labelled_head(name: str) -> Anatomy:
    labels, zoom = read_label_map(Path(name))
    labels = np.where(_largest_piece(labels > 0), labels, 0)  # labelling leaves crumbs in the air
    classes = {tissue: np.isin(labels, TISSUE_OF_LABEL.get(tissue, ())) for tissue in CLASSES}
    soft = labels == OTHER_SOFT_TISSUE
    if soft.any():
        below_skin = ndimage.distance_transform_edt(labels != SKIN, sampling=zoom) < FAT_MM
        classes["fat"] |= soft & below_skin
        classes["muscle"] |= soft & ~below_skin
    brain = classes["wm"] | classes["gm"] | classes["deep_gm"] | classes["lesion"]
    brain &= ~np.isin(labels, SPINAL_CORD_AND_OPTIC_NERVE)
    if not brain.any():  # it is not joined to the largest piece
        raise InputError(f"{name}: labels: found the brain apart from the rest, expected one head")
    fluid = _fluid_around(brain | classes["csf"], zoom) & (labels == 0)
    if (labels == CSF_OUTSIDE).sum() < fluid.sum():  # aseg labels a drop of it at most
        classes["csf"] |= fluid
    box = (
        np.array([[s.start, s.stop] for s in ndimage.find_objects(brain.astype(np.int8))[0]]) * zoom[:, None]
    )
    corner = np.round((box.sum(1) - np.array(SHAPE_MM)) / 2)  # mm from the corner of the label map
    fractions = np.stack([_share(classes[tissue], corner, zoom) for tissue in CLASSES])
    ventricles = _share(np.isin(labels, LATERAL_VENTRICLES), corner, zoom)
    # the world is MNI's, by the centre of the brain: a label map says nothing of where its head lies in the world
    return Anatomy(name, torch.from_numpy(fractions), torch.from_numpy(ventricles), box_affine(1))


def _largest_piece(where: np.ndarray) -> np.ndarray:
    pieces, _ = ndimage.label(where)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax() if where.any() else where


def _fluid_around(brain: np.ndarray, zoom: np.ndarray) -> np.ndarray:
    """CSF outside the brain, which FreeSurfer's ``aseg`` leaves unlabelled: what a closing by ``FLUID_MM`` fills."""
    box = _box_around(brain, int(FLUID_MM / zoom.min()) + 2)  # farther out there is none
    fluid, brain = np.zeros_like(brain), brain[box]
    grown = ndimage.distance_transform_edt(~brain, sampling=zoom) <= FLUID_MM
    fluid[box] = (ndimage.distance_transform_edt(grown, sampling=zoom) > FLUID_MM) & ~brain
    return fluid


def _share(where: np.ndarray, corner: np.ndarray, zoom: np.ndarray) -> Float[np.ndarray, "X Y Z"]:
    """The share of each 1 mm voxel of the box that is ``where``: a Gaussian of 0.5 mm blurs the steps of the labels."""
    if not where.any():
        return np.zeros(SHAPE_MM, np.float32)
    first = np.floor(corner / zoom).astype(int) - 3
    last = np.ceil((corner + SHAPE_MM) / zoom).astype(int) + 3
    outside = [(max(0, -a), max(0, b - n)) for a, b, n in zip(first, last, where.shape, strict=True)]
    inside = tuple(slice(max(0, a), max(0, b)) for a, b in zip(first, last, strict=True))
    near = np.pad(where[inside], outside).astype(np.float32)
    smooth = ndimage.gaussian_filter(near, 0.5 / zoom)
    # centre of box voxel i: corner + i + 1/2 mm; of voxel j of ``near``: (first + j + 1/2) zoom
    offset = (corner + 0.5) / zoom - 0.5 - first
    return ndimage.affine_transform(smooth, 1 / zoom, offset, SHAPE_MM, order=1, prefilter=False)
