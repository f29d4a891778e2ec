"""Jacobian and bounds against finite differences, FACTS' values and repeated noise; the fit against known truth."""

import math

import pytest
import torch
from scipy.optimize import least_squares

from physldm.data import example_maps
from physldm.physics import Acquisition, signal
from physldm.physics.identifiability import (
    Prior,
    best_protocol,
    blind_direction,
    bounds_from,
    cramer_rao,
    jacobian,
    map_fit,
    tissue_values,
)

PROTOCOL = [
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
    Acquisition("spin_echo", te=0.1, tr=6.0),
]
TISSUES = tissue_values("wm", "gm", "csf")


def scans(maps, protocol=PROTOCOL):
    return torch.stack([signal(maps, a) for a in protocol])


def test_jacobian_is_the_slope_of_the_signal():
    found = jacobian(TISSUES, PROTOCOL)
    step = 1e-5
    for i in range(3):
        up, down = TISSUES.clone(), TISSUES.clone()
        up[:, i] *= 1 + step
        down[:, i] *= 1 - step
        maps = [x.T[:, None, :] for x in (up, down)]
        slope = (scans(maps[0]) - scans(maps[1]))[:, 0].T / (2 * step)
        torch.testing.assert_close(found[:, :, i], slope, atol=1e-8, rtol=1e-6)


def test_bounds_are_the_reference_values():
    """σ = 1 % of the signal of CSF's protons; reference values are rounded to two digits (CSF's to one or two)."""
    wm, gm, csf = cramer_rao(TISSUES, PROTOCOL).tolist()
    assert wm == pytest.approx([0.53, 0.37, 0.35], rel=0.02)
    assert gm == pytest.approx([0.25, 0.10, 0.19], rel=0.02)
    assert [round(csf[0], 1), round(csf[1], 2)] == [1.3, 0.03] and csf[2] == pytest.approx(25, rel=0.02)
    longer = [*PROTOCOL[:2], Acquisition("spin_echo", te=0.455, tr=3.2)]
    assert cramer_rao(TISSUES, longer)[0].tolist() == pytest.approx([3, 2, 2], rel=0.25)
    assert torch.linalg.cond(jacobian(TISSUES, longer))[0].item() == pytest.approx(250, rel=0.02)


def test_two_scans_leave_a_direction_unseen():
    assert torch.isinf(cramer_rao(TISSUES, PROTOCOL[:2])).all()
    blind = blind_direction(TISSUES, PROTOCOL[:2])
    change = (jacobian(TISSUES, PROTOCOL[:2]) @ blind[..., None]).abs().max()
    assert change < 1e-7
    # proton density alone cannot be mistaken for anything where T1 and T2 are not asked for
    assert bounds_from(torch.diag(torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64))[None]).tolist() == [
        [0.5, 1.0, float("inf")]
    ]


def test_voxels_and_prior_add_what_they_know():
    one, many = cramer_rao(TISSUES, PROTOCOL), cramer_rao(TISSUES, PROTOCOL, voxels=400)
    torch.testing.assert_close(many, one / 20)
    prior = Prior()
    with_prior = cramer_rao(TISSUES, PROTOCOL, prior=prior)
    assert (with_prior < one).all() and (with_prior <= torch.tensor(prior.sd) + 1e-9).all()


def test_along_a_blind_direction_a_million_voxels_know_no_more_than_the_prior():
    """What two scans see is then known, so θ moves along the blind direction b alone, with variance 1/(bᵀ P b)."""
    prior = Prior(sd=(0.3, 0.2, 0.6))
    found = cramer_rao(TISSUES[:2], PROTOCOL[:2], voxels=10**6, prior=prior)
    b = blind_direction(TISSUES[:2], PROTOCOL[:2])
    left = (b**2 / torch.tensor(prior.sd, dtype=torch.float64) ** 2).sum(-1) ** -0.5
    torch.testing.assert_close(found, b.abs() * left[:, None], rtol=1e-3, atol=1e-4)


def test_no_fit_beats_the_bound_and_ours_reaches_it():
    """Many noisy voxels of grey matter: the spread of the fit is the bound, in the limit of little noise."""
    sigma, n = 5e-4, 4000
    maps = TISSUES[1][:, None, None].expand(3, n, 1)
    noise = torch.randn(3, n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fit = map_fit(
        scans(maps) + sigma * noise, PROTOCOL, sigma=sigma, where=torch.ones(n, 1, dtype=torch.bool)
    )
    spread = (fit.maps[..., 0].double() / TISSUES[1][:, None]).log().std(1)
    torch.testing.assert_close(spread, cramer_rao(TISSUES[1:2], PROTOCOL, sigma)[0], rtol=0.05, atol=0)


def test_fit_finds_the_truth_where_it_can_and_says_where_it_cannot():
    maps, fractions = example_maps(spacing=2)
    where = maps[0] > 0.1
    fit = map_fit(scans(maps), PROTOCOL, sigma=0.01, where=where)
    off = (fit.maps / maps - 1).abs()
    for tissue in (0, 1):
        inside = where & (fractions[tissue] > 0.6)
        assert off[:, inside].max() < 1e-3 and fit.identified[:, inside].all()
    fluid = where & (fractions[2] > 0.9)
    assert not fit.identified[2, fluid].any() and fit.identified[1, fluid].all()
    assert (fit.maps[:, ~where] == 0).all() and not fit.identified[:, ~where].any()


def test_at_one_percent_noise_no_grid_finds_a_better_fit():
    """White matter, where noise is large against the curvature: against brute force over T1 and T2 with the best PD."""
    truth, sigma, n = TISSUES[0], 0.01, 100
    noise = torch.randn(3, n, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = scans(truth[:, None, None].expand(3, n, 1)) + sigma * noise
    fit = map_fit(x, PROTOCOL, sigma=sigma, where=torch.ones(n, 1, dtype=torch.bool))
    t1, t2 = (
        torch.logspace(-2, 1.3, 600, dtype=torch.float64),
        torch.logspace(-3, 1.3, 600, dtype=torch.float64),
    )
    grid = torch.cartesian_prod(torch.ones(1, dtype=torch.float64), t1, t2).T[:, :, None]
    shape = scans(grid)[..., 0]
    pd = (x[..., 0].T @ shape / shape.square().sum(0)).clamp_min(1e-6)
    best = torch.stack(
        [(p * shape - v[:, None]).square().sum(0).min() for p, v in zip(pd, x[..., 0].T, strict=True)]
    )
    found = 3 * (sigma * fit.misfit[:, 0].double()).square()
    assert (found <= best + 1e-9).all()


def test_a_second_solution_is_reported():
    """OASIS-3's second MPRAGE (TR 2.3, TI 0.9): two tissues give the same three scans."""
    protocol = [Acquisition("mprage", tr=2.3, ti=0.9), PROTOCOL[1], Acquisition("spin_echo", te=0.1, tr=3.2)]
    maps = TISSUES[0][:, None, None]
    fit = map_fit(scans(maps, protocol), protocol, sigma=0.01, where=torch.ones(1, 1, dtype=torch.bool))
    both = torch.stack([fit.maps, fit.second])[..., 0, 0]
    near, far = both[(both / TISSUES[0] - 1).abs().sum(1).argsort()]
    torch.testing.assert_close(near.double(), TISSUES[0], rtol=1e-4, atol=0)
    assert far[1] < 0.3
    torch.testing.assert_close(
        scans(far.double()[:, None, None], protocol), scans(maps, protocol), atol=1e-4, rtol=0
    )
    unique = map_fit(
        scans(TISSUES[1][:, None, None]), PROTOCOL, sigma=0.01, where=torch.ones(1, 1, dtype=torch.bool)
    )
    assert torch.isnan(unique.second).all()


@pytest.mark.parametrize(("chi2", "told_apart"), [(0.8, False), (1.5, True)])
def test_a_second_solution_counts_if_its_chi_squared_is_higher_by_less_than_one(chi2, told_apart):
    """A fourth scan sees a little difference between the two; how little is asked of SciPy."""
    protocol = [Acquisition("mprage", tr=tr, ti=0.9) for tr in (2.3, 2.4)]
    protocol += [PROTOCOL[1], Acquisition("spin_echo", te=0.1, tr=3.2)]
    maps = TISSUES[0][:, None, None]
    x = scans(maps, protocol)
    predict = lambda theta: scans(torch.tensor(theta).exp()[:, None, None], protocol)  # noqa: E731
    other = least_squares(
        lambda theta: (predict(theta) - x).flatten().numpy(),
        [-1.4, -1.4, -1.5],
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    assert math.exp(other.x[1]) < 0.3
    sigma = (2 * other.cost / chi2) ** 0.5  # its cost is half a sum of squares
    fit = map_fit(x, protocol, sigma=sigma, where=torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(fit.maps.double(), maps, rtol=1e-4, atol=0)
    assert (
        fit.second.isnan().all()
        if told_apart
        else fit.second[1].item() == pytest.approx(math.exp(other.x[1]), rel=0.01)
    )


def test_prior_pulls_and_no_data_gives_its_median():
    prior = Prior(median=(0.8, 1.0, 0.1))
    where = torch.ones(2, 2, dtype=torch.bool)
    nothing = map_fit(torch.zeros(3, 2, 2), PROTOCOL, sigma=1e6, where=where, prior=prior)
    torch.testing.assert_close(nothing.maps[:, 0, 0], torch.tensor(prior.median), rtol=1e-3, atol=0)
    maps = TISSUES[2][:, None, None].expand(3, 2, 2)
    t2 = map_fit(scans(maps), PROTOCOL, sigma=0.01, where=where, prior=prior).maps[2, 0, 0]
    assert 0.1 < t2 < 1.0


def test_fit_refuses_scans_without_a_protocol():
    with pytest.raises(ValueError, match="scans"):
        map_fit(torch.zeros(2, 4, 4), PROTOCOL, sigma=0.01, where=torch.ones(4, 4, dtype=torch.bool))


@pytest.mark.slow
def test_a_protocol_is_found_that_knows_more():
    found = best_protocol(PROTOCOL, longest_tr=(3.0, 10.0, 6.0))
    assert [a.sequence for a in found] == [a.sequence for a in PROTOCOL]
    assert all(a.tr <= limit for a, limit in zip(found, (3.0, 10.0, 6.0), strict=True))
    before, after = cramer_rao(TISSUES[:2], PROTOCOL), cramer_rao(TISSUES[:2], found)
    assert (after < before / 3).all()
