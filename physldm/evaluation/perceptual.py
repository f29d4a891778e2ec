"""How pictures look: LPIPS as a score, and how much of their fine detail is there, and is right."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.models.perceptual import Lpips


def perceptual_distance(
    pred: Float[Tensor, "B H W"],
    target: Float[Tensor, "B H W"],
    *,
    data_range: float | Float[Tensor, " B"],
) -> Float[Tensor, " B"]:
    """LPIPS of each pair of images (see :class:`physldm.models.perceptual.Lpips`); 0 for equal ones, less is better.

    Args:
        pred, target: magnitudes in scanner units, at least 64 voxels a side. data_range: the value that is shown as
            white, one number or one an image; 0 is black, and what lies beyond either is not cut off.

    Raises:
        ValueError: shapes that differ, smaller images, a range that is not positive.
        InputError: AlexNet has not been fetched.
    """
    if pred.shape != target.shape or pred.ndim != 3:
        raise ValueError(
            f"pred, target: found shapes {tuple(pred.shape)} and {tuple(target.shape)}, expected two of [B, H, W]"
        )
    white = torch.as_tensor(data_range, dtype=torch.float32)
    if not bool((white > 0).all() and white.isfinite().all()):
        raise ValueError(f"data_range: found {white.tolist()}, expected finite and more than 0")
    a, b = (2 * x.float() / white.reshape(-1, 1, 1) - 1 for x in (pred, target))
    with torch.inference_mode():
        return _network()(a[:, None], b[:, None])


@lru_cache(maxsize=1)
def _network() -> Lpips:
    return Lpips()
