"""How far maps are from the truth, per tissue, and what a predictor that only segments would score."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.data.anatomy import CLASSES

PROPERTIES = ("pd", "t1", "t2")
MOST = 0.6  # a voxel counts for a tissue that fills at least this share of it
BRAIN = 0.5


def brain_mask(fractions: Float[Tensor, "S 4 H W"]) -> Bool[Tensor, "S H W"]:
    """Voxels that are mostly brain or CSF."""
    return fractions.sum(1) > BRAIN


def relative_errors(
    maps: Float[Tensor, "S 3 H W"], truth: Float[Tensor, "S 3 H W"], fractions: Float[Tensor, "S 4 H W"]
) -> dict[str, Tensor]:
    """Absolute relative errors in % of one subject's voxels, keyed ``t1`` (brain) and ``t1.wm`` (tissue).

    PD has an unknown scale: it is compared after one factor, the median ratio over the brain.
    """
    brain = brain_mask(fractions)
    ratio = (maps / truth.clamp_min(1e-6)).movedim(1, 0)
    ratio = torch.cat([ratio[:1] / ratio[0][brain].median(), ratio[1:]])
    places = {"": brain} | {f".{c}": fractions[:, i] >= MOST for i, c in enumerate(CLASSES)}
    return {
        f"{name}{suffix}": 100 * (ratio[i][where] - 1).abs()
        for i, name in enumerate(PROPERTIES)
        for suffix, where in places.items()
    }


def class_medians(
    maps: Float[Tensor, "S 3 H W"], fractions: Float[Tensor, "S 4 H W"]
) -> Float[Tensor, "4 3"]:
    """Median PD, T1 and T2 of each tissue over training slices."""
    return torch.stack(
        [torch.stack([maps[:, p][fractions[:, c] >= MOST].median() for p in range(3)]) for c in range(4)]
    )


def class_median_maps(fractions: Float[Tensor, "S 4 H W"], medians: Float[Tensor, "4 3"]) -> Tensor:
    """The class-median predictor: knows every voxel's tissue fractions, fills in the training medians.

    Maps that do not beat it have learned a segmentation and nothing more.
    """
    weight = fractions / fractions.sum(1, keepdim=True).clamp_min(1e-6)
    pd = torch.einsum("schw,c->shw", fractions, medians[:, 0])
    t1, t2 = (torch.einsum("schw,c->shw", weight, medians[:, i].log()).exp() for i in (1, 2))
    return torch.stack([pd, t1, t2], 1)
