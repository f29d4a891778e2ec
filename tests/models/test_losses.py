"""Each term of the losses by hand, or by what it must not depend on."""

import math

import pytest
import torch

from physldm.config import load_preset
from physldm.models.losses import (
    apparent_gain,
    kl_to_standard_normal,
    ramp,
    real_or_made,
    reconstruction_loss,
    tissue_prior,
    total_variation,
    vae_loss,
)
from physldm.models.vae import VaeOutput


def decoded(o):
    """What a VAE gives whose decoder said ``o``; everything else is nothing in particular."""
    code, two = torch.zeros(len(o), 4, 1, 1), torch.ones(len(o), 2)
    made = torch.zeros(len(o), 2, *o.shape[2:])
    return VaeOutput(code, code, o, o.exp(), made, two, torch.zeros_like(two))


def variation(o):
    config = load_preset("smoke").loss
    output = decoded(o)
    return vae_loss(output, output.reconstruction, None, config)[1]["variation"]


def test_kl_is_that_of_torch():
    mean, log_var = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    ours = kl_to_standard_normal(mean, log_var)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_var).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    assert ours.item() == pytest.approx(theirs.sum((1, 2, 3)).mean().item(), rel=1e-6)


def test_prior_leaves_pd_alone():
    o = torch.zeros(1, 3, 2, 2)
    o[:, 0] = 9.0
    assert tissue_prior(o) == (0, 81)
    o[:, 1] = 2.0
    assert tissue_prior(o) == (4, 81)


def test_total_variation_of_a_box_is_its_height_times_its_edge():
    box, edge, line = torch.zeros(3, 2, 10, 8, dtype=torch.float64)
    box[1, 2:7, 3:5] = 0.5  # 5 rows and 2 columns, in one picture of two
    edge[:, :, 4:] = 2.0  # through the whole picture
    line[:, 4] = -3.0  # up and down again
    down, across = 9 * 8, 10 * 7  # neighbours along either axis
    assert total_variation(box).item() == pytest.approx(0.5 * (2 * 2 / down + 2 * 5 / across) / 2)
    assert total_variation(edge).item() == pytest.approx(2 * 10 / across)
    assert total_variation(line).item() == pytest.approx(3 * 2 * 8 / down)


def test_apparent_gain_is_the_gain_where_water_follows_t1():
    t1 = torch.tensor([0.85, 1.45, 4.2], dtype=torch.float64)  # white matter, grey matter, CSF
    gain = torch.tensor([700.0, 1000.0, 1300.0], dtype=torch.float64)
    pd = gain / (0.916 + 0.436 / t1)
    o = torch.stack([pd.log(), t1.log(), torch.zeros(3)])[None, :, None]
    assert torch.allclose(apparent_gain(o)[0, 0], gain.log())
    # twice the PD at the same T1 is twice the gain
    o[:, 0] += math.log(2)
    assert torch.allclose(apparent_gain(o)[0, 0], (2 * gain).log())


def test_apparent_gain_asks_nothing_of_air():
    o = torch.zeros(1, 3, 1, 3)
    o[0, 0, 0] = torch.tensor([0.3, -0.6, -7.0])
    o.requires_grad_()
    g = apparent_gain(o)[0, 0]
    assert g[1] == g[2] and g[0] > g[1]  # PD may fall as low as it likes
    total_variation(apparent_gain(o)).backward()
    assert o.grad[0, :, 0, 0].abs().sum() > 0 and o.grad[0, :, 0, 1:].abs().sum() == 0


def test_water_moves_pd_and_t1_together_but_never_t2():
    o = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    total_variation(apparent_gain(o)).backward()
    assert o.grad[:, 0].abs().sum() > 0 and o.grad[:, 1].abs().sum() > 0
    assert o.grad[:, 2].abs().sum() == 0


def test_terms_that_look_real_come_in_by_a_ramp_and_see_only_what_is_there():
    config = load_preset("smoke", ["loss.adversarial=2.0", "loss.ramp_from=10", "loss.ramp=20"]).loss
    assert [ramp(step, config) for step in (0, 10, 20, 30, 99)] == [0, 0, 0.5, 1, 1]
    draw = torch.Generator().manual_seed(0)
    images, made = torch.rand(2, 3, 8, 8, generator=draw), torch.rand(2, 3, 8, 8, generator=draw)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    images[~mask] = torch.nan
    code = torch.zeros(2, 4, 1, 1)
    output = VaeOutput(
        code, code, torch.zeros(2, 3, 8, 8), made.exp(), made, torch.ones(2, 3), torch.zeros(2, 3)
    )
    judge = lambda x: x.mean((1, 2, 3), keepdim=True)  # noqa: E731
    plain, _ = vae_loss(output, images.nan_to_num(), mask, config, 20)
    value, parts = vae_loss(output, images.nan_to_num(), mask, config, 20, discriminator=judge)
    # least squares, by hand: (D(s) − 1)² over the four images that are there, at half its weight of 2
    expected = ((2 * made[mask] - 1).mean((1, 2)) - 1).square().mean()
    assert parts["adversarial"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert (value - plain).item() == pytest.approx(expected.item(), rel=1e-4)
    real, fake = torch.tensor([[1.0, 0.0], [0.0, 2.0]])[..., None, None, None]
    assert real_or_made(real, fake).item() == 0.25 + 1.0


def test_magnitudes_are_compared_where_that_is_asked_for():
    signed, scan = torch.full((1, 1, 2, 2), -0.5), torch.full((1, 1, 2, 2), 0.5)
    for switch, expected in (("false", 1.0), ("true", 0.0)):
        config = load_preset("smoke", [f"loss.magnitude={switch}"]).loss
        squared, _ = reconstruction_loss(signed, scan, torch.ones(1, 1), None, config)
        assert squared.item() == pytest.approx(expected, abs=1e-6)


def test_errors_of_one_voxel_by_hand():
    config = load_preset("smoke", ["loss.relative_floor=0.12"]).loss
    for scan, made in ((0.3, 0.9), (0.9, 0.3), (0.3, -0.1)):
        images, reconstruction = (torch.full((1, 1, 2, 2), v) for v in (scan, made))
        squared, relative = reconstruction_loss(reconstruction, images, torch.ones(1, 1), None, config)
        assert squared.item() == pytest.approx((made - scan) ** 2, rel=1e-5)
        assert relative.item() == pytest.approx(abs(made - scan) / (scan + 0.12), rel=1e-5)


def test_errors_do_not_depend_on_the_scanners_gain():
    draw, config = torch.Generator().manual_seed(0), load_preset("smoke").loss
    images, made = torch.rand(2, 2, 3, 8, 8, generator=draw)
    scale = torch.rand(2, 3, generator=draw) + 0.5
    expected = reconstruction_loss(made, images, scale, None, config)
    for gain in (2.0, 700.0):
        found = reconstruction_loss(gain * made, gain * images, gain * scale, None, config)
        torch.testing.assert_close(found, expected)


def test_errors_are_weighted_means_over_the_images_that_are_asked_for():
    config = load_preset("smoke", ["loss.relative_floor=0.5"]).loss
    images, made = torch.zeros(2, 2, 4, 4), torch.zeros(2, 2, 4, 4)
    made[0, 0], made[0, 1], made[1, 0], made[1, 1] = 1.0, 2.0, 3.0, 100.0
    asked = torch.tensor([[1.0, 0.5], [0.5, 0.0]])
    squared, relative = reconstruction_loss(made, images, torch.ones(2, 2), asked, config)
    assert squared.item() == pytest.approx((1 + 0.5 * 4 + 0.5 * 9) / 2)
    assert relative.item() == pytest.approx((1 + 0.5 * 2 + 0.5 * 3) / 0.5 / 2)


def test_the_prior_pulls_t1_and_t2_alike():
    o = torch.zeros(1, 3, 2, 2)
    o[:, 1], o[:, 2] = 2.0, -3.0
    assert [x.item() for x in tissue_prior(o)] == [4 + 9, 0]


def test_variation_is_that_of_t1_and_of_tissues_t2():
    """In seconds: an edge between two T1 costs what their logarithms differ by; of T2 only among tissues."""
    one, edge = torch.zeros(1, 3, 1, 2, dtype=torch.float64), 1.0  # one pair of neighbours
    for channel, (left, right), median, cost in (
        (0, (300.0, 900.0), 500.0, 0.0),  # PD is left to the water term
        (1, (0.8, 1.4), 1.0, math.log(1.4 / 0.8)),
        (2, (0.07, 0.09), 0.1, math.log(0.09 / 0.07)),
        (2, (0.4, 2.0), 0.1, 0.0),  # both fluid
    ):
        o = one.clone()
        o[0, channel, 0] = torch.tensor([left, right]).div(median).log()
        assert variation(o.expand(-1, -1, 2, -1)).item() == pytest.approx(edge * cost, rel=1e-6, abs=1e-12)


def test_variation_lets_fluid_and_pd_be():
    o = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    o[:, 2, :, 3:] = 2.0 + o[:, 2, :, 3:].abs()  # T2 beyond 0.7 s
    o.requires_grad_()
    variation(o).backward()
    assert not o.grad[:, 0].any() and not o.grad[:, 2, :, 3:].any()
    assert o.grad[:, 1].abs().sum() > 0 and o.grad[:, 2, :, :3].abs().sum() > 0
