"""Scores of tissue on a picture of six voxels, by hand."""

import pytest
import torch

from physldm.data import CLASSES
from physldm.evaluation.tissue import brain_mask, class_median_maps, class_medians, relative_errors

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
