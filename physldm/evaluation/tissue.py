"""How far maps are from the truth, per tissue, and what a predictor that only segments would score."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.data.anatomy import CLASSES, IN_THE_SKULL
from physldm.physics import TISSUES

from .scores import PROPERTIES

# A voxel counts for a tissue that fills at least this share of it: more where a voxel's tissues add up as signals,
# for there one PD, T1 and T2 per voxel is not the truth.
MOST = {"properties": 0.6, "signals": 0.9}
PURE = 0.99  # of a voxel: with less, what else is in it makes maps go up and down
FEWEST = 30  # voxels that have a correlation
FLAT = 1e-6  # SD of a logarithm: rounding alone
BRAIN = 0.5


def brain_mask(fractions: Float[Tensor, "S K H W"]) -> Bool[Tensor, "S H W"]:
    """Voxels that are mostly brain or CSF."""
    return fractions[:, :IN_THE_SKULL].sum(1) > BRAIN


def relative_errors(
    maps: Float[Tensor, "S 3 H W"],
    truth: Float[Tensor, "S 3 H W"],
    fractions: Float[Tensor, "S K H W"],
    partial_volume: str = "properties",
) -> dict[str, Tensor]:
    """Absolute relative errors in % of one subject's voxels, keyed ``t1`` (brain) and ``t1.wm`` (tissue).

    PD has an unknown scale: it is compared after one factor, the median ratio over the brain.
    """
    brain = brain_mask(fractions)
    ratio = (maps / truth.clamp_min(1e-6)).movedim(1, 0)
    ratio = torch.cat([ratio[:1] / ratio[0][brain].median(), ratio[1:]])
    most = MOST[partial_volume]
    places = {"": brain} | {f".{c}": fractions[:, i] >= most for i, c in enumerate(_scored(fractions))}
    return {
        f"{name}{suffix}": 100 * (ratio[i][where] - 1).abs()
        for i, name in enumerate(PROPERTIES)
        for suffix, where in places.items()
    }


def _scored(fractions: Float[Tensor, "S K H W"]) -> tuple[str, ...]:
    """The tissues that are scored, in the order of their fractions."""
    return CLASSES[: min(IN_THE_SKULL, fractions.shape[1])]


def correlations(
    maps: Float[Tensor, "S 3 H W"], truth: Float[Tensor, "S 3 H W"], fractions: Float[Tensor, "S K H W"]
) -> dict[str, float]:
    """Whether maps go up and down with the truth inside one tissue: Pearson's r of log found and log true.

    Of voxels that hold nothing else (``PURE``): whoever fills in one value for each tissue has none. No scale counts.

    Returns:
        ``t1_correlation.wm`` and so on; none of a tissue with fewer than ``FEWEST`` such voxels, nor where either map is
        flat.
    """
    found = {}
    for c, tissue in enumerate(_scored(fractions)):
        pure = fractions[:, c] >= PURE
        for i, name in enumerate(PROPERTIES):
            both = torch.stack([maps[:, i][pure], truth[:, i][pure]]).double().clamp_min(1e-9).log()
            if both.shape[1] >= FEWEST and both.std(1).min() > FLAT:
                found[f"{name}_correlation.{tissue}"] = torch.corrcoef(both)[0, 1].item()
    return found


def class_medians(
    maps: Float[Tensor, "S 3 H W"], fractions: Float[Tensor, "S K H W"], partial_volume: str = "properties"
) -> Float[Tensor, "K 3"]:
    """Median PD, T1 and T2 of each tissue over training slices; the table's values where there is none of it."""
    rows = []
    for c, name in zip(range(fractions.shape[1]), CLASSES, strict=False):
        inside = fractions[:, c] >= MOST[partial_volume]
        t = TISSUES[name]
        rows.append([m[inside].median() for m in maps.unbind(1)] if inside.any() else [t.pd, t.t1, t.t2])
    return torch.tensor(rows)


def class_median_maps(fractions: Float[Tensor, "S K H W"], medians: Float[Tensor, "K 3"]) -> Tensor:
    """The class-median predictor: knows every voxel's tissue fractions, fills in the training medians.

    Maps that do not beat it have learned a segmentation and nothing more.
    """
    weight = fractions / fractions.sum(1, keepdim=True).clamp_min(1e-6)
    pd = torch.einsum("schw,c->shw", fractions, medians[:, 0])
    t1, t2 = (torch.einsum("schw,c->shw", weight, medians[:, i].log()).exp() for i in (1, 2))
    return torch.stack([pd, t1, t2], 1)


def own_median_maps(truth: Float[Tensor, "S 3 H W"], fractions: Float[Tensor, "S K H W"]) -> Tensor:
    """An oracle: :func:`class_median_maps` by the medians of the very person that it is scored on, one value a tissue.

    Its medians are of voxels of which the tissue fills 90 %: of those mixed more they would be nobody's tissue. Maps that
    do not beat it may know no more of a person than a number for each tissue.
    """
    return class_median_maps(fractions, class_medians(truth, fractions, "signals"))
