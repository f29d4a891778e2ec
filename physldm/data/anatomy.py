"""Where tissue is: fractions of white matter, grey matter and CSF in every voxel of a head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from physldm.errors import InputError

CLASSES = ("wm", "gm", "csf", "lesion")
SHAPE_MM = (160, 224, 160)  # left–right, posterior–anterior, inferior–superior


@dataclass(frozen=True)
class Anatomy:
    """Tissue fractions of one head on a 1 mm RAS+ grid of 160 × 224 × 160 mm.

    Attributes:
        name: which anatomy.
        fractions: ``[3, X, Y, Z]``: WM, GM, CSF, each in [0, 1]; what is missing to 1 is background.
        ventricles: ``[X, Y, Z]``: fraction of each voxel that is CSF inside the ventricles.
        affine: 4 × 4, voxel to world in mm.
    """

    name: str
    fractions: Float[Tensor, "3 X Y Z"]
    ventricles: Float[Tensor, "X Y Z"]
    affine: np.ndarray


@lru_cache(maxsize=2)
def load_anatomy(name: str = "icbm152") -> Anatomy:
    """The anatomy called ``name``.

    ``icbm152`` is the average of 152 heads that ships with nilearn (Fonov 2011), skull-stripped: an average
    brain, smoother than any single one.

    Raises:
        InputError: there is no anatomy of that name.
    """
    if name != "icbm152":
        raise InputError(f"anatomy: found {name!r}, expected icbm152")
    gm, affine = _template("gm")
    wm, _ = _template("wm")
    brain = _template("t1")[0] > 0
    gm, wm = np.where(brain, gm, 0.0), np.where(brain, wm, 0.0)
    total = np.maximum(gm + wm, 1.0)
    gm, wm = gm / total, wm / total
    csf = np.where(brain, 1.0 - gm - wm, 0.0)
    ventricles = _ventricles(csf, brain, affine)
    gm, wm, csf = _without_false_ring(gm, wm, csf, ventricles)
    start, affine = _centred(brain, affine)
    crop = [_crop(v, start) for v in (wm, gm, csf, np.where(ventricles, csf, 0.0))]
    fractions = torch.from_numpy(np.stack(crop[:3])).float()
    return Anatomy(name, fractions, torch.from_numpy(crop[3]).float(), affine)


def _template(part: str) -> tuple[np.ndarray, np.ndarray]:
    file = (
        resources.files("nilearn.datasets") / "data" / f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz"
    )
    with resources.as_file(file) as path:
        image = nib.as_closest_canonical(nib.load(path))
        data = np.asarray(image.dataobj, dtype=np.float32)
        return data / data.max(), image.affine


def _ventricles(csf: np.ndarray, brain: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The lateral ventricles: CSF deep in the brain, above the cisterns of the base."""
    depth = ndimage.distance_transform_edt(brain)  # mm: the template's voxels are 1 mm
    height = affine[2, 3] + np.arange(csf.shape[2])
    bodies, count = ndimage.label((csf > 0.75) & (depth > 25) & (height > -2))
    sizes = ndimage.sum_labels(bodies > 0, bodies, range(1, count + 1))
    left_and_right = 1 + np.argsort(sizes)[-2:]
    return ndimage.binary_dilation(np.isin(bodies, left_and_right), iterations=2)


def _without_false_ring(gm, wm, csf, ventricles):
    """Removes the thin shell of 'grey matter' where white matter meets ventricle.

    A voxel half CSF and half WM looks like GM in T1w, so the template has GM there. Thick grey matter at the
    ventricles (caudate, thalamus) survives an opening of 5 mm, the shell does not.
    """
    near = ndimage.distance_transform_edt(~ventricles) < 5
    thick = ndimage.grey_opening(gm, size=(5, 5, 5))
    false = np.where(near, np.clip(gm - thick, 0, None), 0.0)
    share = csf / np.maximum(csf + wm, 1e-6)
    return gm - false, wm + false * (1 - share), csf + false * share


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
