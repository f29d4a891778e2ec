"""A scan on the box's grid, and whether it lies where MNI's brain is."""

from __future__ import annotations

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

from physldm.box import SHAPE_MM, box_affine, stack_shape, to_slices
from physldm.errors import InputError
from physldm.physics import CONTRASTS, Acquisition

from .anatomy import template
from .files import read_image
from .sessions import Scan, Session

LEAST_REACHED = 0.05  # share of MNI's brain that a scan must reach
TEMPLATE = "MNI's template"
ALIGNED = "aligned to MNI (UniRes does that)"
BINS = 32
# How much more a shifted scan may have to do with the template before it counts as out of place. Tilted heads of
# another shape than the template's reach 1.2; a head that lies 15 mm off has at least 1.4.
TOLERANCE = 1.3


# --- the grid ----------------------------------------------------------------------------------------------------


class OnGrid(NamedTuple):
    """A scan as axial slices of the box, anterior up, and the share of its voxels that is negative."""

    stack: Float[Tensor, "S H W"]
    negative: float


def read_on_grid(file: Path, spacing: int) -> OnGrid:
    """A scan on the box's grid; 0 outside the scan and where it is negative.

    Where the scan's voxels are those of the box it is cropped and padded, exactly; otherwise it is interpolated by
    cubic splines. Voxels much finer than the box's are averaged, never picked from.

    Args:
        file: NIfTI.
        spacing: voxel size of the grid, mm.

    Raises:
        InputError: damaged, not 3-D, not finite, the same everywhere, or without a place in the world.
    """
    data, image = read_image(file)
    if data.min() == data.max():
        raise InputError(f"{file}: values: found {data.min():g} everywhere, expected a picture")
    return OnGrid(_on_grid(nib.Nifti1Image(data, image.affine), spacing), float((data < 0).mean()))


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

    @property
    def acquisitions(self) -> list[Acquisition | None]:
        """How T1w, T2w and FLAIR were taken; None where there is no such scan."""
        return [self.scans[c].acquisition if c in self.scans else None for c in CONTRASTS]


def read_session(session: Session, spacing: int) -> Reading:
    """The scans of a session on the grid; where one cannot be used, the best of its repeats that can."""
    reading, first = Reading({}, {}, []), None
    for suffix, chosen in session.scans.items():
        for scan in (chosen, *session.spare[suffix]):
            try:
                stack, negative = read_on_grid(scan.file, spacing)
                coarse = F.avg_pool3d(stack[None], 2 // spacing)[0].numpy()
                reached = (coarse[_reference()[1]] > 0).mean()
                if reached < LEAST_REACHED:
                    found = (
                        f"{reached:.0%} of MNI's brain in it" if reached else "nothing where MNI's brain is"
                    )
                    raise InputError(f"{scan.file}: position: found {found}, expected {ALIGNED}")
                mm, place = _off(coarse, first)
                first = first or _First(scan.file.name, coarse, mm)
                if mm:
                    raise InputError(
                        f"{scan.file}: position: found about {mm} mm from {place}, expected {ALIGNED}"
                    )
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
