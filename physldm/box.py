"""The one box of 160 × 224 × 160 mm that every brain lies in: its grids, its slices, its place in MNI's world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

SHAPE_MM = (160, 224, 160)  # left–right, posterior–anterior, inferior–superior
# MNI world (mm, RAS+) of the centre of the first 1 mm voxel. The box is centred on the brain of the ICBM152 template.
FIRST_MM = (-80.0, -128.0, -74.0)


def slice_shape(spacing: int) -> tuple[int, int]:
    """H, W of an axial slice with voxels of ``spacing`` mm."""
    width, height, _ = SHAPE_MM
    return height // spacing, width // spacing


def stack_shape(spacing: int) -> tuple[int, int, int]:
    """S, H, W of all axial slices with voxels of ``spacing`` mm."""
    return SHAPE_MM[2] // spacing, *slice_shape(spacing)


def to_volume(stack: Shaped[Tensor, "*c S H W"]) -> Shaped[Tensor, "*c X Y Z"]:
    """A stack of axial slices (anterior up, left on the left) as a RAS+ volume."""
    return stack.flip(-2).transpose(-1, -3)


def to_slices(volume: Shaped[Tensor, "*c X Y Z"]) -> Shaped[Tensor, "Z *c H W"]:
    """A RAS+ volume as a stack of axial slices, anterior up, left on the left."""
    return volume.movedim(-1, 0).transpose(-1, -2).flip(-2)


def box_affine(spacing: int) -> np.ndarray:
    """Voxel to MNI world in mm of the box with voxels of ``spacing`` mm, ``[4, 4]``, RAS+."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    # a coarse voxel's centre is that of the fine voxels in it
    affine[:3, 3] = np.array(FIRST_MM) + (spacing - 1) / 2
    return affine


def stack_affine(spacing: int, heights: Sequence[int]) -> np.ndarray:
    """The same of a stack of slices, ``[4, 4]``.

    Args:
        spacing: voxel size along the slices, mm.
        heights: evenly spaced, mm above the bottom of the box, from the lowest up.
    """
    affine = box_affine(spacing)
    affine[2, 3] += heights[0]
    if len(heights) > 1:
        affine[2, 2] = heights[1] - heights[0]
    return affine


def sample_at(
    volume: Float[Tensor, "C X Y Z"],
    points: Float[Tensor, "A B D 3"],
    box: tuple[int, int, int] = SHAPE_MM,
    outside: str = "zeros",
) -> Float[Tensor, "C A B D"]:
    """A volume that fills a box, at any places of it, by linear interpolation.

    Args:
        volume: its voxels divide the box evenly, however many there are.
        points: x, y, z in mm from the corner of the box.
        box: its size along x, y, z in mm.
        outside: ``zeros`` beyond the box, or ``border``: there as at the nearest place in it.
    """
    # grid_sample wants z, y, x, each −1 at one face of the box and 1 at the other
    where = (2 * points / torch.tensor(box, dtype=torch.float32) - 1).flip(-1)[None]
    return F.grid_sample(volume[None], where, padding_mode=outside, align_corners=False)[0]
