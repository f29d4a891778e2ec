"""From one belief per contrast to one belief per brain: products and mixtures of Gaussian experts."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def product_of_experts(
    mean: Float[Tensor, "B N *z"],
    log_var: Float[Tensor, "B N *z"],
    mask: Bool[Tensor, "B N"] | None = None,
    prior_expert: bool = False,
) -> tuple[Float[Tensor, " B *z"], Float[Tensor, " B *z"]]:
    """The normalised product of N Gaussians.

    Equation: eq-poe (Eq. 3–5 of the paper). σ⁻² = Σ σᵢ⁻² and μ = σ² Σ μᵢ/σᵢ², computed in float32 (or
    float64 where given) as log σ² = −logsumexp(−log σᵢ²), so that no precision overflows. A contrast whose
    mask is False takes no part and gets no gradient, even where its values are NaN.

    Args:
        mean, log_var: μᵢ and log σᵢ², ``[B, N, ...]``.
        mask: True where a contrast is present; all by default.
        prior_expert: whether N(0, I) joins the product.

    Returns:
        μ and log σ², ``[B, ...]``.

    Raises:
        ValueError: shapes differ, or some row has nothing present and there is no prior expert.
    """
    mean, log_var, _ = _experts(mean, log_var, mask, prior_expert)
    return _product(mean, log_var)


def generalised_product(
    mean: Float[Tensor, "B N *z"],
    log_var: Float[Tensor, "B N *z"],
    mask: Bool[Tensor, "B N"] | None = None,
    prior_expert: bool = False,
) -> tuple[Float[Tensor, " B *z"], Float[Tensor, " B *z"]]:
    """The product of N Gaussians, each to the power 1/N: the same mean, but no surer than its experts are on average.

    Equation: eq-gpoe (Cao & Fleet 2014). σ⁻² = (1/N) Σ σᵢ⁻², where N counts who is present. Arguments, results and
    errors as for :func:`product_of_experts`.
    """
    mean, log_var, present = _experts(mean, log_var, mask, prior_expert)
    joint_mean, joint = _product(mean, log_var)
    return joint_mean, joint + present.sum(1).log()


def mixture_of_experts(
    mean: Float[Tensor, "B N *z"],
    log_var: Float[Tensor, "B N *z"],
    mask: Bool[Tensor, "B N"] | None = None,
    prior_expert: bool = False,
) -> tuple[Float[Tensor, " B *z"], Float[Tensor, " B *z"]]:
    """Mean and variance of the equal mixture of N Gaussians: somebody is right, nobody knows who.

    Equation: eq-moe (Shi et al. 2019). μ = (1/N) Σ μᵢ and σ² = (1/N) Σ (σᵢ² + (μᵢ − μ)²): experts who disagree make
    it wide. Arguments, results and errors as for :func:`product_of_experts`.
    """
    mean, log_var, present = _experts(mean, log_var, mask, prior_expert)
    share = present / present.sum(1, keepdim=True)
    joint_mean = (share * mean).sum(1)
    # absent experts have an infinite variance, which their share of 0 must not meet
    variance = torch.where(present > 0, log_var, 0.0).exp() + (mean - joint_mean[:, None]) ** 2
    return joint_mean, (share * variance).sum(1).log()


FUSIONS = {
    "product": product_of_experts,
    "generalised": generalised_product,
    "mixture": mixture_of_experts,
}


def _product(
    mean: Float[Tensor, "B N *z"], log_var: Float[Tensor, "B N *z"]
) -> tuple[Float[Tensor, " B *z"], Float[Tensor, " B *z"]]:
    # log σ² = −log Σ exp(−log σᵢ²)   (Eq. 5, left)
    joint = -torch.logsumexp(-log_var, dim=1)
    # μ = Σ μᵢ σ²/σᵢ²                 (Eq. 5, right)
    weights = torch.exp(joint[:, None] - log_var)
    return (weights * mean).sum(1), joint


def _experts(
    mean: Tensor, log_var: Tensor, mask: Tensor | None, prior_expert: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Checked, in float32 at least: means (0 where absent), log variances (∞ where absent), 1 or 0 for who is present.

    The prior expert, where it is asked for, is the last.
    """
    if mean.shape != log_var.shape or mean.ndim < 2:
        raise ValueError(
            f"mean, log_var: found shapes {tuple(mean.shape)} and {tuple(log_var.shape)}, expected the same [B, N, ...]"
        )
    if mean.dtype != torch.float64:
        mean, log_var = mean.float(), log_var.float()
    present = torch.ones(mean.shape[:2], dtype=torch.bool, device=mean.device)
    if mask is not None:
        if mask.shape != mean.shape[:2]:
            raise ValueError(f"mask: found shape {tuple(mask.shape)}, expected {tuple(mean.shape[:2])}")
        if not prior_expert and not bool(mask.any(1).all()):
            raise ValueError(
                "mask: found a row with no contrast present, expected at least one (or prior_expert)"
            )
        present = mask
    if prior_expert:
        mean, log_var = (torch.cat([x, torch.zeros_like(x[:, :1])], 1) for x in (mean, log_var))
        present = torch.cat([present, torch.ones_like(present[:, :1])], 1)
    present = present.reshape(*present.shape, *[1] * (mean.ndim - 2))
    mean, log_var = torch.where(present, mean, 0.0), torch.where(present, log_var, torch.inf)
    return mean, log_var, present.to(mean.dtype)
