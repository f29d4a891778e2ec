"""One step of a sampler against probability itself, and noisy samplers on data whose denoiser is known."""

import pytest
import torch

from physldm.diffusion import ddim, ddpm_step, make_schedule
from physldm.diffusion.samplers import ddim_step
from physldm.diffusion.toy import gaussian_denoiser

ONE, NOTHING = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
STEPS = [(999, 500), (999, 998), (500, 20), (20, 0)]


def levels(step):
    return make_schedule().alpha_bar.double()[list(step)].tolist()


def posterior(x_t, x0, a, a_prev):
    """Mean and variance of x_prev given x_t and x₀, by conditioning the Gaussian that both are parts of.

    x_prev = √ᾱ_prev x₀ + √(1 − ᾱ_prev) ε,  x_t = √α x_prev + √(1 − α) ε′,  α = ᾱ_t/ᾱ_prev.
    """
    alpha, prev = a / a_prev, 1 - a_prev
    together, later = alpha**0.5 * prev, alpha * prev + 1 - alpha
    mean = a_prev**0.5 * x0 + together / later * (x_t - alpha**0.5 * a_prev**0.5 * x0)
    return mean, prev - together**2 / later


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_ddpm_is_a_draw_from_the_posterior(step):
    a, a_prev = levels(step)
    x_t, x0 = 0.7 * ONE, -1.3 * ONE
    mean, variance = posterior(x_t, x0, a, a_prev)
    torch.testing.assert_close(ddpm_step(x_t, x0, a, a_prev), mean)
    torch.testing.assert_close(ddpm_step(x_t, x0, a, a_prev, noise=ONE) - mean, variance**0.5 * ONE)


@pytest.mark.parametrize("step", STEPS)
def test_at_eta_one_ddim_is_ddpm(step):
    a, a_prev = levels(step)
    x0, eps = 0.4 * ONE, -0.9 * ONE
    x_t = a**0.5 * x0 + (1 - a) ** 0.5 * eps
    for noise in (None, ONE, -2 * ONE):
        torch.testing.assert_close(
            ddim_step(x0, eps, a, a_prev, 1.0, noise), ddpm_step(x_t, x0, a, a_prev, noise)
        )


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("step", STEPS)
def test_old_noise_and_fresh_noise_make_up_the_noise_of_the_next_level(step, eta):
    a, a_prev = levels(step)
    old = ddim_step(NOTHING, ONE, a, a_prev, eta)
    fresh = ddim_step(NOTHING, NOTHING, a, a_prev, eta, ONE)
    assert (old**2 + fresh**2).item() == pytest.approx(1 - a_prev, rel=1e-9)
    assert fresh.item() > 0 or eta == 0


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_gaussian_data_come_back_from_noisy_steps(eta):
    schedule, draw = make_schedule(), torch.Generator().manual_seed(0)
    mean, sd = torch.tensor([1.5]).double(), torch.tensor([0.6]).double()
    noise = torch.randn(4000, 1, generator=draw, dtype=torch.float64)
    x = ddim(
        gaussian_denoiser(mean, sd, schedule), noise, schedule,
        steps=1000, eta=eta, prediction="x0", generator=draw,
    )  # fmt: skip
    assert x.mean().item() == pytest.approx(1.5, abs=0.04) and x.std().item() == pytest.approx(0.6, rel=0.04)
    # fresh noise is fresh: at eta 1 nothing is left of where a sample began
    kept = torch.corrcoef(torch.cat([x, noise], 1).T)[0, 1].item()
    assert abs(kept) < 0.06 if eta == 1 else kept > 0.1
