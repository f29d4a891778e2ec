"""From one belief per contrast to one belief per brain: the product of Gaussian experts."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def product_of_experts(
    mean: Float[Tensor, "B N *z"],
    log_var: Float[Tensor, "B N *z"],
    mask: Bool[Tensor, "B N"] | None = None,
    prior_expert: bool = False,
) -> tuple[Float[Tensor, B * z], Float[Tensor, B * z]]:
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
    if mean.shape != log_var.shape or mean.ndim < 2:
        raise ValueError(
            f"mean, log_var: found shapes {tuple(mean.shape)} and {tuple(log_var.shape)}, expected the same [B, N, ...]"
        )
    if mean.dtype != torch.float64:
        mean, log_var = mean.float(), log_var.float()
    if mask is not None:
        if mask.shape != mean.shape[:2]:
            raise ValueError(f"mask: found shape {tuple(mask.shape)}, expected {tuple(mean.shape[:2])}")
        if not prior_expert and not bool(mask.any(1).all()):
            raise ValueError(
                "mask: found a row with no contrast present, expected at least one (or prior_expert)"
            )
        present = mask.reshape(*mask.shape, *[1] * (mean.ndim - 2))
        mean = torch.where(present, mean, 0.0)
        log_var = torch.where(present, log_var, torch.inf)
    if prior_expert:
        mean = torch.cat([mean, torch.zeros_like(mean[:, :1])], 1)
        log_var = torch.cat([log_var, torch.zeros_like(mean[:, :1])], 1)
    # log σ² = −log Σ exp(−log σᵢ²)   (Eq. 5, left)
    joint = -torch.logsumexp(-log_var, dim=1)
    # μ = Σ μᵢ σ²/σᵢ²                 (Eq. 5, right)
    weights = torch.exp(joint[:, None] - log_var)
    return (weights * mean).sum(1), joint
