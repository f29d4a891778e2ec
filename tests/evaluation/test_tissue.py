"""Scores of tissue on a picture of six voxels, by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from physldm.data import CLASSES
from physldm.evaluation.tissue import (
    brain_mask,
    class_median_maps,
    class_medians,
    correlations,
    own_median_maps,
    relative_errors,
)

# Six voxels: white matter twice, grey matter, half of each, fat, air.
PARTS = [{"wm": 1.0}, {"wm": 0.7, "csf": 0.3}, {"gm": 1.0}, {"wm": 0.5, "gm": 0.5}, {"fat": 1.0}, {}]
TRUTH = [
    [0.7, 0.7, 0.8, 0.75, 1.0, 0.0],  # PD
    [0.8, 0.9, 1.4, 1.1, 0.4, 1.0],  # T1, s
    [0.07, 0.08, 0.09, 0.08, 0.1, 0.1],  # T2, s
]


def picture(rows):
    return torch.tensor(rows).reshape(1, -1, 1, 6)


@pytest.fixture
def fractions():
    return picture([[part.get(name, 0.0) for part in PARTS] for name in CLASSES])


def test_brain_is_what_lies_in_the_skull(fractions):
    assert brain_mask(fractions).flatten().tolist() == [True] * 4 + [False] * 2


def test_errors_are_shares_of_the_truth_per_tissue(fractions):
    truth, maps = picture(TRUTH), picture(TRUTH)
    maps[:, 1, 0, :4] *= torch.tensor([1.5, 0.5, 2.0, 1.0])
    found = relative_errors(maps, truth, fractions)
    assert found["t1"].tolist() == pytest.approx([50, 50, 100, 0], abs=1e-3)
    assert found["t1.wm"].tolist() == pytest.approx([50, 50], abs=1e-3)  # 60 % of a voxel is enough
    assert found["t1.gm"].tolist() == pytest.approx([100], abs=1e-3)
    assert found["t2"].max() < 1e-3 and not len(found["t1.csf"]) and "t1.fat" not in found
    strict = relative_errors(maps, truth, fractions, "signals")
    assert strict["t1.wm"].tolist() == pytest.approx([50], abs=1e-3)


def test_pd_is_compared_after_the_median_ratio_of_the_brain(fractions):
    truth, maps = picture(TRUTH), picture(TRUTH)
    # a gain of 500, and in two voxels of the brain something else; scalp and air have no say
    maps[:, 0, 0] *= 500 * torch.tensor([1.0, 1.0, 3.0, 0.9, 9.0, 1.0])
    assert relative_errors(maps, truth, fractions)["pd"].tolist() == pytest.approx([0, 0, 200, 10], abs=1e-3)


def test_class_medians_are_those_of_pure_voxels_and_fill_mixtures_as_voxels_mix(fractions):
    truth = picture(TRUTH).repeat(3, 1, 1, 1) * torch.tensor([0.9, 1.0, 1.3])[:, None, None, None]
    pure = fractions[..., [0, 2]].repeat(3, 1, 1, 1)
    medians = class_medians(truth[..., [0, 2]], pure)
    assert medians[0].tolist() == pytest.approx([0.7, 0.8, 0.07])  # the middle one of three
    assert medians[1].tolist() == pytest.approx([0.8, 1.4, 0.09])
    pd, t1, t2 = class_median_maps(fractions, medians)[0, :, 0, 3].tolist()
    # half and half: PD is the mean, T1 and T2 the geometric mean
    assert (pd, t1, t2) == pytest.approx((0.75, (0.8 * 1.4) ** 0.5, (0.07 * 0.09) ** 0.5))


def many(seed=0, voxels=400):
    """One slice of as many voxels, white matter left and grey matter right, the last eighth of each mixed by 5 %."""
    draw = torch.Generator().manual_seed(seed)
    fractions = torch.zeros(1, len(CLASSES), 2, voxels)
    for row, (mine, other) in enumerate((("wm", "gm"), ("gm", "wm"))):
        fractions[0, CLASSES.index(mine), row] = 1
        fractions[0, CLASSES.index(mine), row, -voxels // 8 :] = 0.95
        fractions[0, CLASSES.index(other), row, -voxels // 8 :] = 0.05
    truth = torch.exp(0.05 * torch.randn(1, 3, 2, voxels, generator=draw))
    truth = truth * torch.tensor([[0.7, 0.8, 0.07], [0.8, 1.4, 0.09]]).T[None, :, :, None]
    return truth, fractions, draw


def test_correlations_are_pearson_s_of_logarithms_in_pure_voxels():
    truth, fractions, draw = many()
    maps = 300 * truth**0.7 * torch.exp(0.04 * torch.randn(truth.shape, generator=draw))
    maps[..., -50:] = 1.0  # where something else is mixed in there is no say
    found = correlations(maps, truth, fractions)
    assert set(found) == {f"{p}_correlation.{t}" for p in ("pd", "t1", "t2") for t in ("wm", "gm")}
    for key, value in found.items():
        p, row = ("pd", "t1", "t2").index(key[:2]), ("wm", "gm").index(key[-2:])
        pure = [np.log(x[0, p, row, :-50].numpy()) for x in (maps, truth)]
        assert value == pytest.approx(pearsonr(*pure).statistic, abs=1e-4) and 0.4 < value < 0.9
    assert list(correlations(1 / truth, truth, fractions).values()) == pytest.approx([-1] * 6, abs=1e-4)


def test_who_colours_in_has_no_correlation_nor_has_a_tissue_of_few_voxels():
    truth, fractions, _ = many()
    assert correlations(own_median_maps(truth, fractions), truth, fractions) == {}
    few = torch.where(torch.arange(400) < 29, fractions, 0.0)
    assert correlations(truth, truth, few) == {}


def test_the_own_median_is_off_by_what_a_person_s_tissue_varies():
    truth, fractions, _ = many(voxels=4000)
    truth = truth * torch.tensor([1.0, 1.3, 0.8])[:, None, None]  # a person unlike the others
    found = relative_errors(own_median_maps(truth, fractions), truth, fractions)
    # of a log-normal of SD 0.05 the median distance from its median: 0.6745 SD
    for key in ("t1.wm", "t2.wm", "t1.gm", "t2.gm", "pd.wm"):
        assert found[key].median().item() == pytest.approx(100 * 0.6745 * 0.05, rel=0.08)
