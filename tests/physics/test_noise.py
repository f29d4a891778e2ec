"""Noise and field against their known statistics, and SciPy's Rice distribution."""

import math

import pytest
import torch
from scipy.stats import rice

from physldm.physics.noise import (
    bias_field,
    complex_noise_magnitude,
    rician_mean,
    sigma_for_snr,
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


def test_snr_is_what_was_asked_for():
    clean = torch.stack([torch.full((50, 50), 0.2), torch.full((50, 50), -3.0)])
    where = torch.zeros(50, 50, dtype=torch.bool)
    where[10:40, 10:40] = True
    sigma = sigma_for_snr(clean, 25.0, where)
    noisy = complex_noise_magnitude(clean, sigma, draw())
    for image, s in zip(noisy, (0.2, 3.0), strict=True):
        assert (s / image[where].std()).item() == pytest.approx(25, rel=0.1)
    for snr, place in ((0.0, where), (10.0, ~torch.ones_like(where))):
        with pytest.raises(ValueError):
            sigma_for_snr(clean, snr, place)


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
