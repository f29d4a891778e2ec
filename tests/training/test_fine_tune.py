"""Fine-tuning: it depends on its seed only, leaves the run alone, and its critic learns what it is shown."""

import pytest
import torch

from physldm.fetch.alexnet import backbone_file
from physldm.models.discriminator import PatchDiscriminator
from physldm.runs import Run
from physldm.training import fine_tune as module
from physldm.training.fine_tune import fine_tune, fresh_critic, train_critic


class Likeness(torch.nn.Module):
    """Stands in for LPIPS, whose AlexNet not every machine has."""

    def forward(self, a, b):
        return (a - b).abs().mean((1, 2, 3))


@pytest.fixture
def run(smoke_run, monkeypatch):
    monkeypatch.setattr(module, "Lpips", Likeness)
    return Run(smoke_run)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_vae_and_the_run_stays_as_it_is(run):
    before = weights(run.vae).clone()
    loss = run.config.loss.model_copy(update={"perceptual": 1.0, "adversarial": 0.5, "ramp": 2})
    first, curves = fine_tune(run, loss, 3, seed=1)
    again, _ = fine_tune(run, loss, 3, seed=1)
    other, _ = fine_tune(run, loss, 3, seed=2)
    assert torch.equal(weights(first), weights(again)) and not torch.equal(weights(first), weights(other))
    assert torch.equal(weights(run.vae), before) and not torch.equal(weights(first), before)
    assert not first.training and {len(values) for values in curves.values()} == {3}
    assert {"loss", "l2", "perceptual", "adversarial", "logit_real", "logit_made", "seconds"} <= set(curves)


def test_a_loss_without_the_two_terms_needs_neither_and_sees_the_same_slices(run, monkeypatch):
    def none():
        raise AssertionError("asked for without need")

    added, with_both = fine_tune(run, run.config.loss.model_copy(update={"perceptual": 1.0, "ramp": 1}), 2)
    monkeypatch.setattr(module, "Lpips", none)
    plain, curves = fine_tune(run, run.config.loss, 2)
    assert not set(curves) & {"perceptual", "adversarial", "discriminator"}
    assert curves["l2"][0] == with_both["l2"][0]  # before either has learned anything
    assert not torch.equal(weights(plain), weights(added))


def test_a_critic_that_is_given_learns_in_place_once_its_ramp_begins(run):
    critic = fresh_critic(5)
    start = weights(critic).clone()
    assert torch.equal(start, weights(fresh_critic(5))) and not torch.equal(start, weights(fresh_critic(6)))
    loss = run.config.loss.model_copy(update={"adversarial": 0.5, "ramp_from": 9})
    _, curves = fine_tune(run, loss, 2, critic=critic)
    assert torch.equal(weights(critic), start) and "discriminator" not in curves
    _, curves = fine_tune(run, loss.model_copy(update={"ramp_from": 0}), 2, critic=critic)
    assert not torch.equal(weights(critic), start) and len(curves["discriminator"]) == 2
    assert all(p.requires_grad for p in critic.parameters())


def test_making_a_critic_does_not_touch_the_global_generator():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fresh_critic(0)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_a_critic_learns_to_tell_scans_from_black(run):
    critic, curves = train_critic(run, torch.zeros_like, 12)
    assert isinstance(critic, PatchDiscriminator) and not critic.training
    late = {name: sum(values[-3:]) / 3 for name, values in curves.items()}
    assert (
        late["logit_real"] > late["logit_made"] + 0.3 and late["discriminator"] < curves["discriminator"][0]
    )


def test_a_loss_that_is_not_finite_stops_it(run, monkeypatch):
    monkeypatch.setattr(module, "vae_loss", lambda *a, **k: (torch.tensor(torch.nan, requires_grad=True), {}))
    with pytest.raises(FloatingPointError, match="nan"):
        fine_tune(run, run.config.loss, 1)


@pytest.mark.slow
@pytest.mark.skipif(not backbone_file().exists(), reason="physldm lpips has not been run here")
def test_lpips_falls_when_it_is_asked_to(smoke_run):
    run = Run(smoke_run)
    loss = run.config.loss.model_copy(update={"perceptual": 20.0, "ramp": 1})
    _, curves = fine_tune(run, loss, 12, lr=1e-3)
    assert sum(curves["perceptual"][-3:]) < 0.95 * sum(curves["perceptual"][:3])
