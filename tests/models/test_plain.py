import pytest
import torch

from physldm.models.plain import PlainOutput, PlainVAE
from physldm.training.plain_stage import SMALL, SMOKE, plain_loss, t1w_slices, train_plain


def test_the_code_is_that_of_the_papers_shape_and_adagn_is_refused():
    with torch.device("meta"):
        vae = PlainVAE(SMALL)
        mean, log_var = vae.encode(torch.empty(2, 1, 112, 80))
        assert mean.shape == log_var.shape == (2, 6, 14, 10)
        assert vae.decode(mean).shape == (2, 1, 112, 80)
    with pytest.raises(ValueError, match=r"config\.adagn: found True, expected False"):
        PlainVAE(SMALL.model_copy(update={"adagn": True}))


def test_a_draw_is_the_mean_plus_sigma_times_the_noise_and_lets_gradients_through():
    torch.manual_seed(0)
    vae, images = PlainVAE(SMALL), torch.rand(2, 1, 32, 32) * 2 - 1
    noise = torch.randn(2, 6, 4, 4)
    mean, log_var = vae.encode(images)
    torch.testing.assert_close(vae(images).reconstruction, vae.decode(mean))
    drawn = vae(images, noise)
    torch.testing.assert_close(drawn.reconstruction, vae.decode(mean + log_var.exp().sqrt() * noise))
    drawn.reconstruction.square().mean().backward()
    # the last convolution gives mean and log variance, six channels each
    assert (vae.encoder.out.weight.grad.flatten(1).abs().amax(1) > 0).all()


def test_the_loss_is_minus_the_elbo_up_to_a_factor_and_a_constant():
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(3, 1, 16, 16, dtype=torch.float64, generator=draw)
    pixels, tau = images[0].numel(), 0.3

    def both():
        code = (torch.randn(3, 6, 2, 2, dtype=torch.float64, generator=draw) for _ in range(2))
        output = PlainOutput(*code, torch.randn(images.shape, dtype=torch.float64, generator=draw))
        loss, parts = plain_loss(output, images, 2 * tau**2 / pixels)
        likelihood = torch.distributions.Normal(output.reconstruction, tau).log_prob(images).sum((1, 2, 3))
        belief = torch.distributions.Normal(output.mean, torch.exp(0.5 * output.log_var))
        kl = torch.distributions.kl_divergence(belief, torch.distributions.Normal(0.0, 1.0)).sum((1, 2, 3))
        assert parts["kl"].item() == pytest.approx(kl.mean().item())
        return loss, (likelihood - kl).mean()

    (loss1, elbo1), (loss2, elbo2) = both(), both()
    # a constant drops out of the difference
    assert ((loss1 - loss2) * pixels / (2 * tau**2)).item() == pytest.approx((elbo2 - elbo1).item())


@pytest.mark.slow
def test_training_learns_is_repeatable_and_leaves_torchs_own_generator_alone(smoke_preset):
    y, x = torch.meshgrid(*[torch.arange(16.0) - 7.5] * 2, indexing="ij")
    discs = [torch.where(x.hypot(y) < radius, 1.0, -1.0) for radius in torch.linspace(2, 8, 8)]
    images = torch.stack(discs)[:, None]
    state = torch.get_rng_state()
    first, curves = train_plain(images, 1e-6, steps=60)
    again, same = train_plain(images, 1e-6, steps=60)
    assert torch.equal(state, torch.get_rng_state())
    assert curves == same and curves["kl"][0] == list(range(60))
    torch.testing.assert_close(first.state_dict(), again.state_dict())
    assert not first.training
    # two steps are an epoch: whole epochs see the same images
    assert sum(curves["reconstruction"][1][-4:]) < 0.5 * sum(curves["reconstruction"][1][:4])
    heavy = train_plain(images, 1.0, steps=60)[1]
    assert heavy["kl"][1][0] == curves["kl"][1][0] and heavy["kl"][1][-1] < 0.1 * curves["kl"][1][-1]
    assert len(train_plain(images, 1e-6)[1]["kl"][0]) == SMOKE[2]
    with pytest.raises(FloatingPointError, match="step 0"):
        train_plain(images * float("nan"), 1e-6, steps=1)


@pytest.mark.slow
def test_slices_are_scaled_and_of_different_people(smoke_preset):
    train, heldout = t1w_slices()
    assert train.shape == (SMOKE[0], 1, 112, 80) and heldout.shape == (SMOKE[1], 1, 112, 80)
    both = torch.cat([train, heldout])
    assert both.amin((1, 2, 3)).max() < -0.95 and (both.amax((1, 2, 3)) == 1).all()
    away = torch.cdist(both.flatten(1), both.flatten(1)).fill_diagonal_(torch.inf)
    assert away.min() > 1


@pytest.fixture
def smoke_preset(monkeypatch):
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
