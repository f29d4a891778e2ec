"""Noise and field against their known statistics, and SciPy's Rice and χ distributions."""

import math

import pytest
import torch
from scipy.stats import chi, ks_1samp, ncx2, rice

from physldm.physics.noise import (
    air_mean,
    bias_field,
    complex_noise_magnitude,
    rician_cost,
    rician_mean,
    smooth_field,
)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def test_air_is_rayleigh():
    sigma = 0.3
    air = complex_noise_magnitude(torch.zeros(400_000), sigma, draw())
    assert air.mean().item() == pytest.approx(1.2533 * sigma, rel=5e-3)
    assert air.std().item() == pytest.approx(math.sqrt(2 - math.pi / 2) * sigma, rel=5e-3)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 3.0, 10.0])
def test_mean_is_that_of_the_rice_distribution(ratio):
    expected = rice.mean(ratio, scale=0.2)
    assert rician_mean(torch.tensor(0.2 * ratio), 0.2).item() == pytest.approx(expected, rel=1e-5)
    noisy = complex_noise_magnitude(torch.full((300_000,), -0.2 * ratio), 0.2, draw())
    assert noisy.mean().item() == pytest.approx(expected, rel=5e-3)


def test_strong_signal_is_nearly_gaussian():
    assert rician_mean(torch.tensor(20.0), 1.0).item() == pytest.approx(math.sqrt(401), abs=2e-3)
    assert torch.isfinite(rician_mean(torch.tensor(1e6), 1e-3))


def test_one_coil_is_two_parts_drawn_together():
    clean = torch.randn(50, 40, generator=draw(2))
    real, imaginary = torch.randn(2, 50, 40, generator=draw(7))
    by_hand = torch.hypot(clean + 0.2 * real, 0.2 * imaginary)
    assert torch.equal(complex_noise_magnitude(clean, 0.2, draw(7)), by_hand)


def test_same_seed_same_noise_and_other_seed_other():
    clean = torch.rand(8, 8)
    one, same, other = (complex_noise_magnitude(clean, 0.1, draw(s)) for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_field_is_smooth_centred_and_the_same_at_the_same_point():
    logs = torch.stack([bias_field(160, 128, draw(s), strength=0.1).log() for s in range(30)])
    assert logs.mean().abs() < 0.03 and 0.05 < logs.std() < 0.15
    assert logs.diff(dim=-1).abs().max() < 0.04
    x = torch.rand(1, 1, 5, 3) * 60
    all_points = smooth_field(x, (64, 64, 64), 20.0, draw())
    torch.testing.assert_close(
        smooth_field(x[:, :, 2:3], (64, 64, 64), 20.0, draw())[0, 0, 0], all_points[0, 0, 0, 2:3]
    )


@pytest.mark.parametrize("coils", [1, 2, 4, 8, 12, 32])
def test_mean_of_the_air_is_that_of_chi_and_of_coils_played_one_by_one(coils):
    assert air_mean(coils) == pytest.approx(chi.mean(2 * coils), rel=1e-12)
    parts = torch.randn(coils, 2, 100_000, generator=draw(), dtype=torch.float64)
    lengths = torch.stack([torch.hypot(*coil) for coil in parts])  # each coil's own magnitude
    assert lengths.square().sum(0).sqrt().mean().item() == pytest.approx(air_mean(coils), rel=5e-3)
    ours = complex_noise_magnitude(torch.zeros(100_000), 0.3, draw(1), coils)
    assert ours.mean().item() == pytest.approx(0.3 * air_mean(coils), rel=5e-3)


@pytest.mark.parametrize("coils", [1, 3, 8])
@pytest.mark.parametrize("ratio", [0.0, 2.0, 9.0])
def test_several_coils_are_non_central_chi_however_they_share_the_signal(coils, ratio):
    """Coils of unequal, complex sensitivity, simulated one by one, and ours, against SciPy's non-central χ²."""
    sigma, n, signal = 0.2, 20_000, -0.2 * ratio
    generator = draw(3)
    shares = torch.randn(coils, dtype=torch.complex128, generator=generator)
    shares = shares / shares.abs().square().sum().sqrt()
    noise = torch.randn(coils, n, 2, generator=generator, dtype=torch.float64)
    seen = signal * shares[:, None] + sigma * torch.view_as_complex(noise)
    one_by_one = seen.abs().square().sum(0).sqrt()
    ours = complex_noise_magnitude(torch.full((n,), signal, dtype=torch.float64), sigma, draw(4), coils)
    for x in (one_by_one, ours):
        squares = (x / sigma).square().numpy()
        known = ncx2(2 * coils, ratio**2) if ratio else ncx2(2 * coils, 1e-12)
        assert ks_1samp(squares, known.cdf).pvalue > 1e-3


def test_cost_is_the_logarithm_of_the_rice_density_and_its_slopes_are_its_own():
    sigma = 0.3
    s = torch.tensor(
        [-2.0, -0.5, -1e-3, 0.0, 1e-9, 0.1, 0.4, 3.0, 200.0], dtype=torch.float64
    ).requires_grad_()
    for x in (0.0, 0.02, 0.3, 0.9, 3.1, 200.5):
        cost, slope, curvature = rician_cost(s, torch.full_like(s, x), sigma)
        assert all(torch.isfinite(v).all() for v in (cost, slope, curvature))
        (by_hand,) = torch.autograd.grad(cost.sum(), s, create_graph=True)
        moving = s.detach() != 0  # |s| has no slope at 0, the cost has: none
        torch.testing.assert_close(slope[moving], by_hand[moving], atol=1e-9, rtol=1e-7)
        assert slope[~moving].abs().max() == 0
        up, down = (rician_cost(s.detach() + h, torch.full_like(s, x), sigma)[1] for h in (1e-6, -1e-6))
        torch.testing.assert_close(curvature, (up - down) / 2e-6, atol=1e-4, rtol=1e-5)
        if 0 < x < 10:  # the density up to a factor that no signal changes
            known = -torch.from_numpy(rice.logpdf(x, s.detach().abs().numpy() / sigma, scale=sigma))
            near = torch.isfinite(known)
            off = (cost - known)[near].detach()
            torch.testing.assert_close(off, off[:1].expand_as(off), atol=1e-8, rtol=1e-9)
            assert near.sum() >= 8
