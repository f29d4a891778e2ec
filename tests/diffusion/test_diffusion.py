"""Against MONAI's schedulers and against Gaussian data, whose exact denoiser is known."""

import functools

import numpy as np
import pytest
import torch
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler

from physldm.diffusion import (
    add_noise,
    ddim,
    ddpm,
    diffusion_loss,
    dpm_solver,
    dpm_solver_step,
    log_snr_timesteps,
    make_schedule,
    trailing_timesteps,
    velocity,
    x0_and_epsilon,
)
from physldm.diffusion.toy import gaussian_denoiser, gaussian_flow, train_toy, two_moons

OURS_TO_MONAI = {"v": "v_prediction", "epsilon": "epsilon", "x0": "sample"}


def monai(cls, prediction, **kwargs):
    return cls(
        num_train_timesteps=1000, schedule="scaled_linear_beta", beta_start=0.0015, beta_end=0.0205,
        clip_sample=False, prediction_type=OURS_TO_MONAI[prediction], **kwargs,
    )  # fmt: skip


def test_schedule_and_noising_equal_monai():
    schedule, other = make_schedule(), monai(DDPMScheduler, "epsilon")
    torch.testing.assert_close(schedule.alpha_bar, other.alphas_cumprod.float(), rtol=1e-5, atol=1e-7)
    g = torch.Generator().manual_seed(0)
    x, eps, t = (
        torch.randn(3, 2, 4, 4, generator=g),
        torch.randn(3, 2, 4, 4, generator=g),
        torch.tensor([0, 500, 999]),
    )
    torch.testing.assert_close(
        add_noise(x, eps, t, schedule), other.add_noise(x, eps, t), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(
        velocity(x, eps, t, schedule), other.get_velocity(x, eps, t), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "cosine"])
def test_schedules_fall_from_signal_to_noise(kind):
    a = make_schedule(kind, beta_start=1e-4, beta_end=0.02).alpha_bar
    assert (a[1:] < a[:-1]).all() and a[0] > 0.99 and a[-1] < 0.01


def test_trailing_timesteps():
    schedule = make_schedule()
    assert trailing_timesteps(schedule, 50)[:2] == [999, 979] and trailing_timesteps(schedule, 50)[-1] == 19
    assert trailing_timesteps(schedule, 1000) == list(range(999, -1, -1))
    with pytest.raises(ValueError, match="steps"):
        trailing_timesteps(schedule, 1001)


@pytest.mark.parametrize("prediction", ["v", "epsilon", "x0"])
def test_ddim_equals_monai_step_by_step(prediction):
    schedule, other = make_schedule(), monai(DDIMScheduler, prediction, set_alpha_to_one=True)
    other.set_timesteps(50)
    model = lambda x, t: torch.tanh(x + t[:, None] / 1000)  # noqa: E731
    x = noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    for t in trailing_timesteps(schedule, 50):
        x, _ = other.step(model(x, torch.full((4,), t)), t, x)
    ours = ddim(model, noise, schedule, steps=50, prediction=prediction)
    torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["v", "epsilon", "x0"])
def test_gaussian_data_come_back(prediction):
    """For x0 ~ N(m, s²) the exact E[x0 | x_t] is linear; sampling with it must give m and s."""
    schedule, m, s = make_schedule(), 1.5, 0.6

    def exact(x, t):
        a = schedule.alpha_bar[t][:, None]
        x0 = m + a.sqrt() * s**2 / (a * s**2 + 1 - a) * (x - a.sqrt() * m)
        eps = (x - a.sqrt() * x0) / (1 - a).sqrt()
        return {"v": velocity(x0, eps, t, schedule), "epsilon": eps, "x0": x0}[prediction]

    g = torch.Generator().manual_seed(0)
    noise = torch.randn(20000, 1, generator=g)
    for x in (
        ddim(exact, noise, schedule, steps=200, prediction=prediction),
        dpm_solver(exact, noise, schedule, steps=200, prediction=prediction),
        ddpm(exact, noise, schedule, prediction=prediction, generator=g),
    ):
        assert x.mean().item() == pytest.approx(m, abs=0.03) and x.std().item() == pytest.approx(s, rel=0.03)


def test_conversions_invert_and_losses_vanish_at_the_truth():
    schedule = make_schedule()
    g = torch.Generator().manual_seed(0)
    x0, eps, t = (
        torch.randn(5, 3, generator=g),
        torch.randn(5, 3, generator=g),
        torch.tensor([0, 10, 300, 700, 999]),
    )
    x_t = add_noise(x0, eps, t, schedule)
    for prediction, output in (("v", velocity(x0, eps, t, schedule)), ("epsilon", eps), ("x0", x0)):
        found = x0_and_epsilon(output, x_t, t, schedule, prediction)
        torch.testing.assert_close(found, (x0, eps), rtol=1e-3, atol=2e-3)
        assert diffusion_loss(output, x0, eps, t, schedule, prediction=prediction).item() == 0
    plain = diffusion_loss(torch.zeros_like(eps), x0, eps, t, schedule, prediction="epsilon")
    assert plain.item() == pytest.approx((eps**2).mean().item(), rel=1e-6)


def test_min_snr_is_the_same_weight_on_the_clean_image_either_way():
    """With γ, a given error of x0 costs min(SNR, γ) times its square whichever output is learned."""
    schedule, t = make_schedule(), torch.tensor([50, 400, 900])
    g = torch.Generator().manual_seed(0)
    x0, eps, wrong = (torch.randn(3, 4, generator=g, dtype=torch.float64) for _ in range(3))
    a = schedule.alpha_bar.double()[t][:, None]
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    eps_hat = (x_t - a.sqrt() * wrong) / (1 - a).sqrt()
    snr = (a / (1 - a)).flatten()
    expected = (snr.clamp(max=5) * ((wrong - x0) ** 2).mean(1)).mean().item()
    v_hat = velocity(wrong, eps_hat, t, schedule)
    for prediction, output in (("epsilon", eps_hat), ("v", v_hat), ("x0", wrong)):
        value = diffusion_loss(output, x0, eps, t, schedule, prediction=prediction, min_snr=5.0).item()
        assert value == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_prediction_is_refused(unchecked):
    schedule, x = make_schedule(), torch.zeros(2, 3)
    with pytest.raises(ValueError, match="prediction: found 'score', expected one of v, epsilon, x0"):
        dpm_solver(lambda x, t: x, x, schedule, prediction="score")


MEAN, SD = torch.tensor([1.5, -0.5], dtype=torch.float64), torch.tensor([0.6, 0.2], dtype=torch.float64)


even_in_t = functools.partial(dpm_solver, even_in="t")


def on_the_way(sampler, schedule, steps, stop):
    """Root mean square distance at t = ``stop`` from the exact flow of Gaussian data, begun at ᾱ_T."""
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    alpha_bar, seen = schedule.alpha_bar.double(), {}
    sampler(
        gaussian_denoiser(MEAN, SD, schedule), noise, schedule, steps=steps, prediction="x0",
        callback=lambda i, t, x, x0: seen.update({t: x}),
    )  # fmt: skip
    exact = gaussian_flow(noise, MEAN, SD, alpha_bar[-1].item(), alpha_bar[stop].item())
    return (seen[stop] - exact).square().mean().sqrt().item()


@pytest.mark.parametrize("kind", ["scaled_linear", "cosine"])
@pytest.mark.parametrize("stop", [99, 199, 499])
def test_dpm_solver_is_of_second_order_and_beats_ddim(kind, stop):
    schedule = make_schedule(kind)
    error = {n: on_the_way(even_in_t, schedule, n, stop) for n in (20, 40, 100, 200)}
    assert error[20] < on_the_way(ddim, schedule, 20, stop) / 2
    assert error[100] / error[200] > 3.3
    once = on_the_way(ddim, schedule, 100, stop) / on_the_way(ddim, schedule, 200, stop)
    assert 1.8 < once < 2.2


@pytest.mark.usefixtures("unchecked")
def test_dpm_solver_at_its_ends(unchecked):
    """First and last step are DDIM's, so up to two steps are; the last gives x0 itself."""
    schedule = make_schedule()
    model = lambda x, t: torch.tanh(x + t[:, None] / 1000)  # noqa: E731
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for n in (1, 2):
        kwargs = {"steps": n, "prediction": "v"}
        torch.testing.assert_close(
            even_in_t(model, noise, schedule, **kwargs), ddim(model, noise, schedule, **kwargs)
        )
    x0 = torch.full_like(noise, 0.3)
    assert torch.equal(dpm_solver_step(noise, x0, noise, 0.9, 1.0, 0.5), x0)
    path = []
    for even_in, times in (("t", trailing_timesteps), ("lambda", log_snr_timesteps)):
        path.clear()
        last = dpm_solver(
            model, noise, schedule, steps=7, even_in=even_in, prediction="v",
            callback=lambda i, t, x, x0: path.append((i, t, x0)),
        )  # fmt: skip
        assert [(i, t) for i, t, _ in path] == list(enumerate(times(schedule, 7)))
        assert torch.equal(last, path[-1][2])
    with pytest.raises(ValueError, match="even_in: found 'sigma', expected one of t, lambda"):
        dpm_solver(model, noise, schedule, even_in="sigma", prediction="v")


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "cosine"])
def test_steps_even_in_log_snr(kind):
    schedule = make_schedule(kind)
    times = log_snr_timesteps(schedule, 12)
    assert times[0] == 999 and times[-1] == 0 and len(times) == 12 - (kind == "cosine")  # it ends in a leap
    a = schedule.alpha_bar.double().numpy()
    lam = 0.5 * np.log(a / (1 - a))
    wanted = np.linspace(lam[999], lam[0], 12)
    assert set(times) == {int(np.abs(lam - w).argmin()) for w in wanted}
    assert log_snr_timesteps(schedule, 1000)[0] == 999 and len(set(log_snr_timesteps(schedule, 1000))) > 100
    with pytest.raises(ValueError, match="steps: found 1, expected 2 to 1000"):
        log_snr_timesteps(schedule, 1)
    early = log_snr_timesteps(schedule, 12, last=180)
    assert early[0] == 999 and early[-1] == 180
    with pytest.raises(ValueError, match="last: found 999, expected 0 to 998"):
        log_snr_timesteps(schedule, 12, last=999)


@pytest.mark.parametrize("spread", [1.0, 0.1])
def test_what_is_finer_than_the_noise_of_the_last_step_is_averaged_over(spread):
    schedule = make_schedule()
    model = gaussian_denoiser(torch.zeros(1).double(), torch.tensor([spread]).double(), schedule)
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for last in (0, 180):
        x = dpm_solver(model, noise, schedule, steps=30, last=last, prediction="x0")
        a = schedule.alpha_bar[last].item()
        # the spread of E[x0 | x_t] of a bell curve: s √(ᾱ s²/(ᾱ s² + 1 − ᾱ))
        kept = (a * spread**2 / (a * spread**2 + 1 - a)) ** 0.5
        assert x.std().item() == pytest.approx(spread * kept, rel=0.03)


def test_even_in_log_snr_twenty_steps_end_nearer_the_exact_sample_than_fifty_of_ddim():
    schedule = make_schedule()
    noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    model = gaussian_denoiser(MEAN, SD, schedule)
    exact = gaussian_flow(noise, MEAN, SD, schedule.alpha_bar[-1].item(), 1.0)

    def off(sampler, steps):
        return (sampler(model, noise, schedule, steps=steps, prediction="x0") - exact).square().mean().sqrt()

    assert off(dpm_solver, 20) < 0.5 * off(even_in_t, 20) and off(dpm_solver, 20) < 0.5 * off(ddim, 50)


def test_dpm_solver_follows_a_straight_guess_exactly_where_ddim_does_not():
    """If x0 is linear in λ, a step of order 2 is the exponential integral of it up to O(h³)."""
    start, stop = 0.3, 0.35
    lam = lambda a: 0.5 * torch.logit(torch.tensor(a, dtype=torch.float64))  # noqa: E731
    levels = torch.sigmoid(2 * torch.linspace(lam(start), lam(stop), 20001, dtype=torch.float64)).tolist()
    x, one = torch.tensor(0.4, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    fine = x
    for a, b in zip(levels, levels[1:], strict=False):
        fine = dpm_solver_step(fine, lam(a) * one, None, a, b)
    second = dpm_solver_step(x, lam(start) * one, lam(0.25) * one, start, stop, 0.25)
    first = dpm_solver_step(x, lam(start) * one, None, start, stop)
    assert abs(second - fine) < abs(first - fine) / 30


def test_gaussian_flow_is_the_limit_of_ddim():
    schedule = make_schedule()
    assert on_the_way(ddim, schedule, 1000, 99) < 1e-3
    noise = torch.randn(50_000, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    data = gaussian_flow(noise, MEAN, SD, 1e-9, 1.0)
    torch.testing.assert_close(data.mean(0), MEAN, atol=0.01, rtol=0)
    torch.testing.assert_close(data.std(0), SD, atol=0, rtol=0.02)


def test_gaussian_denoiser_is_the_mean_of_what_was_there():
    schedule, g = make_schedule(), torch.Generator().manual_seed(0)
    x0 = MEAN + SD * torch.randn(200_000, 2, generator=g, dtype=torch.float64)
    eps = torch.randn(x0.shape, generator=g, dtype=torch.float64)
    for t in (50, 300, 900):
        ts = torch.full((len(x0),), t)
        x_t = add_noise(x0, eps, ts, schedule)
        off = x0 - gaussian_denoiser(MEAN, SD, schedule)(x_t, ts)
        a = schedule.alpha_bar[t].double()
        left = (1 - a) * SD**2 / (a * SD**2 + 1 - a)
        torch.testing.assert_close(off.square().mean(0), left, rtol=0.02, atol=0)
        assert (off.mean(0).abs() < 0.01).all() and ((off * x_t).mean(0).abs() < 0.01).all()


def test_two_moons_have_mean_zero_and_variance_one():
    moons = two_moons(100_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(moons.mean(0), torch.zeros(2), atol=0.02, rtol=0)
    torch.testing.assert_close(moons.std(0), torch.ones(2), atol=0.01, rtol=0)


@pytest.mark.parametrize("prediction", ["v", "epsilon", "x0"])
def test_a_toy_network_learns_the_moons(prediction):
    schedule, g = make_schedule(), torch.Generator().manual_seed(0)
    moons, noise = two_moons(1000, g), torch.randn(500, 2, generator=g)
    before = torch.random.get_rng_state()
    model = train_toy(moons, schedule, prediction=prediction, steps=300)
    assert torch.equal(before, torch.random.get_rng_state())
    off = torch.cdist(dpm_solver(model, noise, schedule, steps=25, prediction=prediction), moons).min(1)[0]
    assert (
        (off > 0.3).float().mean() < 0.06 < 0.12 < (torch.cdist(noise, moons).min(1)[0] > 0.3).float().mean()
    )
