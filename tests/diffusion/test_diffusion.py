"""Against MONAI's schedulers and against Gaussian data, whose exact denoiser is known."""

import pytest
import torch
from monai.networks.schedulers import DDIMScheduler, DDPMScheduler

from physldm.diffusion import (
    add_noise,
    ddim,
    ddpm,
    diffusion_loss,
    make_schedule,
    trailing_timesteps,
    velocity,
    x0_and_epsilon,
)

OURS_TO_MONAI = {"v": "v_prediction", "epsilon": "epsilon"}


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


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_ddim_equals_monai_step_by_step(prediction):
    schedule, other = make_schedule(), monai(DDIMScheduler, prediction, set_alpha_to_one=True)
    other.set_timesteps(50)
    model = lambda x, t: torch.tanh(x + t[:, None] / 1000)  # noqa: E731
    x = noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    for t in trailing_timesteps(schedule, 50):
        x, _ = other.step(model(x, torch.full((4,), t)), t, x)
    ours = ddim(model, noise, schedule, steps=50, prediction=prediction)
    torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_gaussian_data_come_back(prediction):
    """For x0 ~ N(m, s²) the exact E[x0 | x_t] is linear; sampling with it must give m and s."""
    schedule, m, s = make_schedule(), 1.5, 0.6

    def exact(x, t):
        a = schedule.alpha_bar[t][:, None]
        x0 = m + a.sqrt() * s**2 / (a * s**2 + 1 - a) * (x - a.sqrt() * m)
        eps = (x - a.sqrt() * x0) / (1 - a).sqrt()
        return velocity(x0, eps, t, schedule) if prediction == "v" else eps

    g = torch.Generator().manual_seed(0)
    noise = torch.randn(20000, 1, generator=g)
    for x in (
        ddim(exact, noise, schedule, steps=200, prediction=prediction),
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
    for prediction, output in (("v", velocity(x0, eps, t, schedule)), ("epsilon", eps)):
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
    for prediction, output in (("epsilon", eps_hat), ("v", velocity(wrong, eps_hat, t, schedule))):
        value = diffusion_loss(output, x0, eps, t, schedule, prediction=prediction, min_snr=5.0).item()
        assert value == pytest.approx(expected, rel=1e-4)
