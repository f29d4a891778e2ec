"""Where a scan has tissue: what air, noise and the ripples of interpolation are not."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

BRIGHT = 99.5  # the percentile that stands for a scan's bright tissue
LEAST_SHARE = 0.04  # of bright tissue; what cubic splines leave outside a head, and nearly all tissue, lies on its side of it
MOST_SHARE = 0.3  # the same of what is brighter than any noise
NOISE_TIMES = 4.0  # as many times the median of what a scan has in the box's corners is no noise
LEAST_PIECE = 0.1  # share of the largest piece; noise and ripples have far smaller ones
CLOSED = 2  # voxels; half the width of the clefts of dark fluid that are closed
LEAST_OF_SLICE = 0.02  # share of a slice's voxels that a scan must have tissue in to be there


def tissue_of(stack: Float[Tensor, "S H W"]) -> Bool[Tensor, "S H W"]:
    """Where a scan has tissue: above a share of its bright tissue and above its noise, in large pieces.

    What is dark, be it fluid or bone, counts where brighter tissue encloses it in its slice.

    Args:
        stack: on the grid of the box, 0 where nothing was scanned.
    """
    volume = stack.numpy()
    lit = volume[volume > 0]
    if not lit.size:
        return torch.zeros_like(stack, dtype=torch.bool)
    top = np.percentile(lit, BRIGHT)
    bright = volume > max(LEAST_SHARE * top, min(NOISE_TIMES * _noise(volume), MOST_SHARE * top))
    pieces, _ = ndimage.label(bright)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    large = sizes >= max(LEAST_PIECE * sizes.max(), 1)
    # clefts and ventricles are open in one direction or another: they are closed in the plane
    closed = ndimage.binary_closing(np.pad(large[pieces], CLOSED), iterations=CLOSED)[
        (slice(CLOSED, -CLOSED),) * 3
    ]
    return torch.from_numpy(np.stack([ndimage.binary_fill_holes(plane) for plane in closed | large[pieces]]))


def _noise(volume: np.ndarray) -> float:
    """The median of a magnitude's noise, by what is in the corners of the box, where no head reaches; 0 without any."""
    eighth = [max(n // 8, 1) for n in volume.shape]
    ends = [(slice(None, n), slice(-n, None)) for n in eighth]
    corners = [np.median(volume[a, b, c]) for a in ends[0] for b in ends[1] for c in ends[2]]
    return float(np.median(corners))


def slices_with_tissue(tissue: Bool[Tensor, "S H W"]) -> Bool[Tensor, " S"]:
    """In which slices a scan has enough tissue to be there."""
    return tissue.float().mean((1, 2)) >= LEAST_OF_SLICE
