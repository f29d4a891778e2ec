"""Distances of sets whose distance is known, and a tissue classifier on brains whose tissue is known."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import norm

from physldm.data import make_subject
from physldm.data.slices import add_session, close_store
from physldm.errors import InputError
from physldm.evaluation.generative import (
    TISSUES,
    TissueClassifier,
    features,
    frechet_distance,
    frechet_interval,
    precision_recall,
    scans,
    told_apart,
)
from physldm.runs import Run


def drawn(n, mean, root, seed):
    return mean + torch.randn(n, len(root), generator=torch.Generator().manual_seed(seed)).double() @ root


def test_frechet_distance_of_two_bell_curves_is_the_closed_form():
    g = torch.Generator().manual_seed(0)
    root_a, root_b = (torch.randn(5, 5, generator=g).double() for _ in range(2))
    mean_a, mean_b = torch.zeros(5).double(), torch.tensor([1.0, 0, 0, 2.0, 0]).double()
    a, b = drawn(200_000, mean_a, root_a, 1), drawn(200_000, mean_b, root_b, 2)
    cov_a, cov_b = (root_a.T @ root_a).numpy(), (root_b.T @ root_b).numpy()
    exact = 5 + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert frechet_distance(a, b) == pytest.approx(exact, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_frechet_distance_is_that_of_torchmetrics():
    """Its formula is the same, whatever the features; it insists on a network, so its own is the identity."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Identity(torch.nn.Module):
        num_features = 6

        def forward(self, x):
            return x.flatten(1)[:, :6].double()

    g = torch.Generator().manual_seed(3)
    a, b = (torch.randint(0, high, (300, 3, 4, 4), generator=g, dtype=torch.uint8) for high in (255, 200))
    theirs = FrechetInceptionDistance(feature=Identity(), normalize=False, input_img_size=(3, 4, 4))
    theirs.set_dtype(torch.float64)
    theirs.update(a, real=True)
    theirs.update(b, real=False)
    ours = frechet_distance(*(x.flatten(1)[:, :6].double() for x in (a, b)))
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-5)


def test_frechet_distance_works_with_fewer_samples_than_features_and_refuses_others(unchecked):
    g = torch.Generator().manual_seed(0)
    a = torch.randn(20, 50, generator=g).double()
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(a, a + 3) == pytest.approx(50 * 9, rel=1e-6)
    for bad in (a[:1], a[:, :4], a[0]):
        with pytest.raises(ValueError, match="a, b: found shapes"):
            frechet_distance(a, bad)


def test_a_bootstrap_interval_holds_the_distance_of_a_new_draw():
    root, zero = torch.eye(4).double(), torch.zeros(4).double()
    real = drawn(5000, zero, root, 0)
    low, high = frechet_interval(drawn(1000, zero + 0.2, root, 1), real)
    new = [frechet_distance(drawn(1000, zero + 0.2, root, seed), real) for seed in range(2, 42)]
    assert (
        np.mean([low < x < high for x in new]) > 0.7
    )  # 95 % but for the centre, which is the one draw's own
    # the spread of the distance itself: Monte Carlo
    assert high - low == pytest.approx(np.quantile(new, 0.975) - np.quantile(new, 0.025), rel=0.4)
    assert frechet_distance(drawn(1000, zero + 0.4, root, 3), real) > high


@pytest.mark.parametrize("away", [0.0, 0.7, 2.0])
def test_bell_curves_are_told_apart_as_well_as_they_can_be(away):
    """The best rule for two bell curves of one width is linear: its AUC is Φ(d/√2), d their distance in widths."""
    root, zero = torch.eye(3).double(), torch.zeros(3).double()
    mean = torch.tensor([away, 0, 0]).double()
    found = told_apart(drawn(3000, zero, root, 1), drawn(3000, mean, root, 2))
    # in units of a classifier's own no feature counts for more because it is larger
    scaled = told_apart(*(1000 * drawn(3000, m, root, s) for m, s in ((zero, 1), (mean, 2))))
    assert found == pytest.approx(norm.cdf(away / np.sqrt(2)), abs=0.02)
    assert scaled == pytest.approx(found, abs=1e-3)


def test_nobody_is_judged_by_who_has_learned_from_him(unchecked):
    """As many features as samples: whoever judges what he has learned tells any two sets apart."""
    root, zero = torch.eye(200).double(), torch.zeros(200).double()
    one, other = drawn(100, zero, root, 1), drawn(100, zero, root, 2)
    assert told_apart(one, other) == pytest.approx(0.5, abs=0.12)  # three standard errors of an AUC
    for bad in (one[:4], one[:, :4], one[0]):
        with pytest.raises(ValueError, match="a, b: found shapes"):
            told_apart(one, bad)


def test_precision_is_of_what_is_drawn_and_recall_of_what_is_real():
    """Two towns far apart: who draws in one of them draws nothing wrong, and half of what there is."""
    root, far = torch.eye(2).double(), torch.tensor([100.0, 0]).double()
    here, there = drawn(200, 0 * far, root, 1), drawn(200, far, root, 2)
    both = torch.cat([here, there])
    again = drawn(200, 0 * far, root, 3)
    precision, recall = precision_recall(again, both)
    assert precision > 0.9 and recall == pytest.approx(0.5, abs=0.05)
    assert precision_recall(both, again) == (recall, precision)
    assert precision_recall(there, here) == (0, 0) and precision_recall(here, here) == (1, 1)


def test_who_lies_farther_than_the_third_neighbour_is_not_among_them():
    """On a line at 0, 1, 2, …, 9: of an end the third neighbour is 3 away, inside 2."""
    real = torch.arange(10.0).double()[:, None]
    for place, inside in ((-2.9, 1), (-3.1, 0), (12.1, 0), (4.5, 1)):
        point = torch.full((6, 1), place).double() + 1e-6 * torch.arange(6)[:, None]
        assert precision_recall(point, real)[0] == inside


def test_features_tell_brains_from_brains_with_shuffled_voxels(smoke_run):
    store = Run(smoke_run).store
    maps = store.array("maps", store.slices("train"))
    half = len(maps) // 2
    mixed = maps[half:].flatten(2)[..., torch.randperm(112 * 80, generator=torch.Generator().manual_seed(0))]
    real, other, made = (features(x) for x in (maps[:half], maps[half:], mixed.view_as(maps[half:])))
    assert real.shape == (half, 448) and real.dtype == torch.float64
    assert frechet_distance(made, real) > 5 * frechet_distance(other, real)


def test_the_classifier_finds_the_tissue_of_subjects_it_has_not_seen(smoke_run):
    store = Run(smoke_run).store
    classifier = TissueClassifier(store)
    dice = classifier.dice(store)
    assert set(dice) == set(TISSUES) and min(dice.values()) > 0.85
    slices = store.slices("heldout")
    maps, fractions = store.array("maps", slices), store.array("fractions", slices)
    found = classifier.medians(maps)
    for number, tissue in enumerate(TISSUES[:2]):
        true = maps[:, 1][fractions[:, number] > 0.5].median().item()
        assert found[f"t1.{tissue}"] == pytest.approx(true, rel=0.05)
    assert (classifier(torch.full((1, 3, 16, 16), 1e-12)) == -1).all()
    assert (classifier(maps)[fractions.sum(1) == 0] == -1).all()


def test_scans_are_in_units_of_their_own_white():
    maps = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0)) + 0.1
    maps[1, 0] = 1000 * maps[0, 0]
    maps[1, 1:] = maps[0, 1:]
    images = scans(maps)
    assert torch.allclose(images[0], images[1], rtol=1e-4)
    torch.testing.assert_close(images.flatten(2).quantile(0.995, dim=2), torch.ones(2, 3))


def test_the_classifier_learns_from_brains_and_not_from_subjects_without_maps(tmp_path):
    split = {}
    for number, name in enumerate(("sub-0", "sub-1", "measured", "sub-2")):
        subject = make_subject(0, number, spacing=2, heights=(84, 92))
        kept = ("scans",) if name == "measured" else ("maps", "fractions")
        arrays = {array: getattr(subject, array).numpy() for array in kept}
        add_session(tmp_path, name, subject=name, source="", arrays=arrays, heights=(84, 92),
                    acquisitions=subject.acquisitions if name == "measured" else None)  # fmt: skip
        split[name] = "heldout" if name == "sub-2" else "train"
    mixed = close_store(tmp_path, split, spacing=2, fingerprint="")
    assert min(TissueClassifier(mixed).dice(mixed).values()) > 0.8
    for entry in mixed.index["sessions"]:
        entry["split"] = "train" if entry["name"] == "measured" else "heldout"
    with pytest.raises(InputError, match="truth: found none in train"):
        TissueClassifier(mixed)
