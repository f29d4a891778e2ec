"""The fit of magnitudes against known truth and against SciPy's optimiser on SciPy's Rice distribution."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import differential_evolution
from scipy.stats import rice

from physldm.physics import Acquisition, signal
from physldm.physics.identifiability import Prior, map_fit, tissue_values
from physldm.physics.noise import complex_noise_magnitude

EARLY = [
    Acquisition("mprage", tr=2.4, ti=0.45),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
    Acquisition("spin_echo", te=0.1, tr=6.0),
]
USUAL = [Acquisition("mprage", tr=2.4, ti=1.0), *EARLY[1:]]
BRAIN = tissue_values("wm", "gm", "csf", "lesion")


def scans(values, protocol):
    return torch.stack([signal(values.T[..., None], a) for a in protocol])


def everywhere(x):
    return torch.ones(x.shape[1:], dtype=torch.bool)


def by_hand(theta, protocol):
    """Eq. 1 in NumPy."""
    pd, t1, t2 = np.exp(theta)
    found = []
    for a in protocol:
        inverted = {
            "mprage": lambda a: 1 - 2 * np.exp(-a.ti / t1) / (1 + np.exp(-a.tr / t1)),
            "flair": lambda a: (1 - 2 * np.exp(-a.ti / t1) + np.exp(-a.tr / t1)) * np.exp(-a.te / t2),
            "spin_echo": lambda a: (1 - np.exp(-a.tr / t1)) * np.exp(-a.te / t2),
        }[a.sequence](a)
        found.append(pd * inverted)
    return np.array(found)


def test_without_noise_the_truth_is_found_or_is_the_second_solution():
    """A lost sign makes second tissues: these give the same magnitudes, with another sign in one scan."""
    clean = scans(BRAIN, EARLY)
    assert (clean[0] < -0.05).all()
    found = map_fit(clean.abs(), EARLY, sigma=1e-6, where=everywhere(clean), magnitude=True)
    assert found.misfit.max() < 1e-3
    both = torch.stack([found.maps, found.second])[..., 0].double()  # [2, 3, 4]
    off = (both / BRAIN.T - 1).abs().amax(1).nan_to_num(1.0)
    assert off.amin(0).max() < 1e-3
    # white matter and fluid have a second tissue, grey matter and lesions do not
    assert (~found.second[0, :, 0].isnan()).tolist() == [True, False, True, False]
    for n in (0, 2):
        values = [np.log(both[k, :, n].numpy()) for k in (0, 1)]
        one, other = (by_hand(v, EARLY) for v in values)
        np.testing.assert_allclose(np.abs(one), np.abs(other), rtol=1e-3)
        assert (one * other).min() < 0
    believed = map_fit(clean.abs(), EARLY, sigma=1e-6, where=everywhere(clean))
    assert (believed.maps[:, 1, 0] / BRAIN[1] - 1).abs().max() > 0.2


def test_of_signed_scans_well_above_the_noise_it_is_the_signed_fit():
    x = scans(BRAIN[:1], USUAL)
    both = [map_fit(x, USUAL, sigma=1e-5, where=everywhere(x), magnitude=m).maps for m in (False, True)]
    torch.testing.assert_close(*both, rtol=1e-4, atol=0)


def test_a_sequence_that_keeps_its_sign_is_taken_as_signed():
    protocol = [Acquisition("psir", te=0.01, tr=6.0, ti=0.45), *EARLY[1:]]
    x = scans(BRAIN[1:2], protocol)
    x[1:] = x[1:].abs()
    assert x[0] < -0.1
    found = map_fit(x, protocol, sigma=1e-6, where=everywhere(x), magnitude=True).maps[:, 0, 0]
    torch.testing.assert_close(found.double(), BRAIN[1], rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="found a magnitude of -0"):
        map_fit(scans(BRAIN[1:2], EARLY), EARLY, sigma=0.01, where=everywhere(x), magnitude=True)


@pytest.mark.slow
@pytest.mark.parametrize("tissue", [0, 1, 2])
@pytest.mark.parametrize("protocol", [USUAL, EARLY], ids=["usual", "early"])
@pytest.mark.parametrize("prior", [None, Prior()], ids=["likelihood", "prior"])
def test_no_global_search_finds_a_likelier_tissue(tissue, protocol, prior):
    sigma, n = 0.01, 1
    draw = torch.Generator().manual_seed(tissue)
    x = complex_noise_magnitude(scans(BRAIN[[tissue] * n], protocol), sigma, draw)
    fit = map_fit(x, protocol, sigma=sigma, where=everywhere(x), prior=prior, magnitude=True)

    def cost(theta, seen):
        likely = rice.logpdf(seen, np.abs(by_hand(theta, protocol)) / sigma, scale=sigma).sum()
        away = 0.0
        if prior is not None:
            away = (((theta - np.log(prior.median)) / np.array(prior.sd)) ** 2).sum() / 2
        return away - likely if np.isfinite(likely) else 1e9

    limits = [(-3, 3), (math.log(0.02), math.log(20)), (math.log(0.002), math.log(20))]
    for voxel in range(n):
        seen = x[:, voxel, 0].numpy()
        best = differential_evolution(cost, limits, args=(seen,), seed=0, popsize=20, tol=1e-9, maxiter=300)
        found = cost(fit.maps[:, voxel, 0].double().log().numpy(), seen)
        assert found <= best.fun + 1e-3


def test_signs_that_are_believed_make_fluid_look_certain():
    """CSF's MPRAGE is below zero. Who believes a magnitude's sign finds the same PD everywhere, at the end of T2's
    range; who knows that it is lost finds PD as uncertain as the bound says, around the truth."""
    x = complex_noise_magnitude(scans(BRAIN[[2] * 1000], USUAL), 0.01, torch.Generator().manual_seed(0))
    believed, known = (
        map_fit(x, USUAL, sigma=0.01, where=everywhere(x), magnitude=m).maps[..., 0] for m in (False, True)
    )
    assert (believed[2] > 19.9).float().mean() > 0.98
    assert believed[0].quantile(0.95) < 1 < believed[0].quantile(0.95) + 0.1
    assert known[0].quantile(0.75) > 1.4 and 0.4 < (known[2] > 19.9).float().mean() < 0.8
    signed = map_fit(
        scans(BRAIN[[2] * 1000], USUAL)
        + 0.01 * torch.randn(3, 1000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        USUAL, sigma=0.01, where=everywhere(x),
    ).maps[..., 0]  # fmt: skip
    assert signed[0].quantile(0.75) > 1.4
