"""How pictures look: LPIPS in scanner units, and what is kept and made up of fine detail."""

import pytest
import torch

from physldm.evaluation.perceptual import fine_detail, grain, looks_and_truth, perceptual_distance
from physldm.fetch.alexnet import backbone_file
from physldm.models.perceptual import Lpips
from physldm.runs import Run

fetched = pytest.mark.skipif(not backbone_file().exists(), reason="physldm lpips has not been run here")


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_detail_is_kept_invented_or_both():
    target, other = noise(0, 2, 64, 48), noise(1, 2, 64, 48)
    ones, zeros = torch.ones(2).double(), torch.zeros(2).double()
    for image, kept, invented in (
        (target, ones, zeros),
        (3 + 0.5 * target, 0.5 * ones, zeros),  # brightness is nothing fine
        (torch.full_like(target, 7), zeros, zeros),
    ):
        for found, expected in zip(fine_detail(image, target), (kept, invented), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)
    kept, invented = fine_detail(0.5 * target + other, target)
    assert (kept - 0.5).abs().max() < 0.1 and (invented - 1).abs().max() < 0.15


def test_the_mean_of_what_is_possible_invents_just_what_it_keeps_too_little():
    # a line that lies, with equal chance, in one of several places: their mean is the best guess in least squares
    places = torch.stack([(torch.arange(64) == 20 + i).float() for i in range(12)])[:, None, :].expand(
        -1, 64, -1
    )
    kept, invented = fine_detail(places.mean(0).expand_as(places), places)
    assert kept.mean().item() == pytest.approx((kept**2 + invented).mean().item(), rel=1e-6)


def test_grain_is_that_of_what_should_be_smooth():
    where = torch.zeros(2, 64, 48, dtype=torch.bool)
    where[:, 10:60, 10:40] = True
    image = torch.full((2, 64, 48), 200.0)
    image[~where] = 5000 * noise(0, 2, 64, 48)[~where]  # whatever lies around
    assert grain(image, where) == 0
    # σ of a voxel minus the mean of four others: √(1 + 1/4) σ
    assert grain(image + 4 * noise(1, 2, 64, 48), where) == pytest.approx(2 * 1.25**0.5, rel=0.05)
    with pytest.raises(ValueError, match="no voxel"):
        grain(image, torch.zeros_like(where))


@fetched
def test_distance_is_lpips_of_pictures_from_black_to_white():
    a, b = (300 * torch.rand(2, 112, 80, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    expected = Lpips()(2 * a[:, None] / 250 - 1, 2 * b[:, None] / 250 - 1)
    torch.testing.assert_close(perceptual_distance(a, b, data_range=250.0), expected)
    each = perceptual_distance(a, b, data_range=torch.tensor([250.0, 400.0]))
    assert each[0] == pytest.approx(expected[0].item(), rel=1e-5) and each[1] != pytest.approx(
        expected[1].item(), rel=1e-3
    )
    assert perceptual_distance(a, a, data_range=250.0).abs().max() < 1e-6


@pytest.mark.parametrize("white", [0.0, -1.0, float("nan")])
def test_a_range_must_be_positive_and_shapes_equal(white, unchecked):
    image = torch.ones(1, 64, 64)
    with pytest.raises(ValueError, match="data_range"):
        perceptual_distance(image, image, data_range=white)
    with pytest.raises(ValueError, match="B, H, W"):
        perceptual_distance(image, image[0], data_range=1.0)


@pytest.mark.slow
@fetched
def test_scores_of_a_run_are_those_of_the_report(smoke_run):
    from physldm.evaluation import evaluate

    run = Run(smoke_run)
    found = looks_and_truth(run.vae, run.store, run.store.sessions("heldout"))
    report = evaluate(run)
    for key in ("fixed.psnr", "truth.t1_mdape.wm", "truth.pd_mdape.gm"):
        assert found[key] == pytest.approx(report[key], rel=1e-5)
    assert 0 < found["lpips"] < 1.5 and found["kept"] < 1 and found["invented"] > 0
