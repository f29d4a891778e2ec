import math

import pytest
import torch

from physldm.models.fusion import FUSIONS, generalised_product, mixture_of_experts, product_of_experts


def draw(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64), torch.randn(
        *shape, generator=g, dtype=torch.float64
    )


def test_closed_form_in_float64():
    mean, log_var = draw(4, 3, 2, 5)
    mu, lv = product_of_experts(mean, log_var)
    precision = (1 / log_var.exp()).sum(1)
    torch.testing.assert_close(lv.exp(), 1 / precision, rtol=1e-12, atol=0)
    torch.testing.assert_close(mu, (mean / log_var.exp()).sum(1) / precision, rtol=1e-12, atol=1e-14)


def test_product_is_the_normalised_product_of_densities():
    mean, log_var = draw(1, 3, 1)
    x = torch.linspace(-12, 12, 200001, dtype=torch.float64)
    density = torch.exp(
        sum(-((x - m) ** 2) / (2 * v.exp()) for m, v in zip(mean[0, :, 0], log_var[0, :, 0], strict=True))
    )
    density = density / density.sum()
    mu, lv = product_of_experts(mean, log_var)
    expected = (density * x).sum()
    assert mu.item() == pytest.approx(expected.item(), abs=1e-9)
    assert lv.exp().item() == pytest.approx((density * (x - expected) ** 2).sum().item(), rel=1e-7)


def moments(density, x):
    density = density / density.sum()
    mean = (density * x).sum()
    return mean.item(), (density * (x - mean) ** 2).sum().item()


@pytest.mark.parametrize(
    "fuse, density",
    [
        (generalised_product, lambda densities: densities.log().mean(0).exp()),
        (mixture_of_experts, lambda densities: densities.mean(0)),
    ],
)
def test_the_others_have_the_moments_of_their_densities(fuse, density):
    mean, log_var = draw(1, 3, 1)
    x = torch.linspace(-20, 20, 400001, dtype=torch.float64)
    normals = [
        torch.distributions.Normal(m, v.sqrt())
        for m, v in zip(mean[0, :, 0], log_var[0, :, 0].exp(), strict=True)
    ]
    expected = moments(density(torch.stack([n.log_prob(x).exp() for n in normals]) + 1e-300), x)
    mu, lv = fuse(mean, log_var)
    assert (mu.item(), lv.exp().item()) == (
        pytest.approx(expected[0], abs=1e-7),
        pytest.approx(expected[1], rel=1e-6),
    )


@pytest.mark.parametrize(
    ("name", "join"),
    [
        ("product", lambda densities: densities.log().sum(0).exp()),
        ("generalised", lambda densities: densities.log().mean(0).exp()),
        ("mixture", lambda densities: densities.mean(0)),
    ],
)
@pytest.mark.parametrize("there", [[True, True, True], [True, False, True], [False, True, False]])
def test_the_prior_expert_is_one_more_of_those_present(name, join, there):
    """On a grid: the moments of the joint density of N(0, 1) and of the experts that are there."""
    mean, log_var = draw(1, 3, 1)
    x = torch.linspace(-20, 20, 400001, dtype=torch.float64)
    experts = [
        (m, v.exp().sqrt()) for m, v, t in zip(mean[0, :, 0], log_var[0, :, 0], there, strict=True) if t
    ]
    normals = [torch.distributions.Normal(*p).log_prob(x).exp() for p in [*experts, (0.0, 1.0)]]
    expected = moments(join(torch.stack(normals) + 1e-300), x)
    mu, lv = FUSIONS[name](mean, log_var, torch.tensor([there]), prior_expert=True)
    assert mu.item() == pytest.approx(expected[0], abs=1e-7)
    assert lv.exp().item() == pytest.approx(expected[1], rel=1e-6)


@pytest.mark.parametrize("fuse", FUSIONS.values(), ids=FUSIONS)
def test_order_one_expert_and_prior(fuse):
    mean, log_var = draw(2, 3, 4)
    a = fuse(mean, log_var)
    b = fuse(mean.flip(1), log_var.flip(1))
    torch.testing.assert_close(a, b)
    one = fuse(mean[:, :1], log_var[:, :1])
    torch.testing.assert_close(one, (mean[:, 0], log_var[:, 0]))
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    mu, lv = fuse(mean, log_var, nothing, prior_expert=True)
    assert torch.equal(mu, torch.zeros_like(mu)) and torch.equal(lv, torch.zeros_like(lv))


def test_only_the_product_is_surer_when_experts_agree():
    mean, log_var = (x.expand(1, 4, 3) for x in draw(1, 1, 3))
    sure = {name: fuse(mean, log_var)[1] - log_var[:, 0] for name, fuse in FUSIONS.items()}
    torch.testing.assert_close(sure["product"], torch.full((1, 3), -math.log(4), dtype=torch.float64))
    for other in ("generalised", "mixture"):
        torch.testing.assert_close(sure[other], torch.zeros(1, 3, dtype=torch.float64))
    apart = mixture_of_experts(torch.tensor([[[-3.0], [3.0]]]), torch.zeros(1, 2, 1))
    assert apart[1].exp().item() == pytest.approx(10.0)  # 1 + 3²


def test_every_expert_adds_precision():
    mean, log_var = draw(2, 4, 3)
    widths = [product_of_experts(mean[:, :n], log_var[:, :n])[1] for n in range(1, 5)]
    assert all((b < a).all() for a, b in zip(widths, widths[1:], strict=False))


@pytest.mark.parametrize("fuse", FUSIONS.values(), ids=FUSIONS)
def test_missing_contrast_has_no_gradient_and_leaks_no_nan(fuse):
    mean, log_var = (x.clone() for x in draw(2, 3, 4))
    mask = torch.tensor([[True, False, True], [True, True, False]])
    mean[~mask], log_var[~mask] = torch.nan, torch.nan
    mean.requires_grad_(), log_var.requires_grad_()
    mu, lv = fuse(mean, log_var, mask)
    (mu.sum() + lv.sum()).backward()
    for x in (mean.grad, log_var.grad):
        assert torch.isfinite(x).all() and (x[~mask] == 0).all() and (x[mask] != 0).any()
    only = fuse(mean[:1, [0, 2]], log_var[:1, [0, 2]])
    torch.testing.assert_close((mu[:1], lv[:1]), only)


def test_extreme_variances_do_not_overflow():
    mu, lv = product_of_experts(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[-200.0], [-200.0]]]))
    assert mu.item() == pytest.approx(2.0, rel=1e-4) and lv.item() == pytest.approx(-200 - 0.6931, abs=1e-3)


@pytest.mark.usefixtures("unchecked")
def test_errors(unchecked):
    mean, log_var = draw(2, 3, 4)
    with pytest.raises(ValueError, match="no contrast present"):
        product_of_experts(mean, log_var, torch.tensor([[True] * 3, [False] * 3]))
    with pytest.raises(ValueError, match="mask"):
        product_of_experts(mean, log_var, torch.ones(2, 2, dtype=torch.bool))
