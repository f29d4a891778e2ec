"""What the VAE is asked to do: reconstruct, stay compact, keep T1 and T2 plausible.

The perceptual and the adversarial term of the paper act on the same reconstruction and would be further
entries of :func:`vae_loss`'s dictionary.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.config import LossConfig
from physldm.models.vae import VaeOutput


def kl_to_standard_normal(mean: Float[Tensor, "B C h w"], log_var: Float[Tensor, "B C h w"]) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, I)), summed over a sample's code, averaged over samples.

    Equation: eq-kl (the VAE's regularisation in Section 2.2 of the paper).
    """
    # ½ Σ (μ² + σ² − 1 − log σ²)
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum((1, 2, 3)).mean()


def reconstruction_loss(
    reconstruction: Float[Tensor, "B N H W"],
    images: Float[Tensor, "B N H W"],
    scale: Float[Tensor, "B N"],
    mask: Bool[Tensor, "B N"] | None,
    config: LossConfig,
) -> tuple[Tensor, Tensor]:
    """L2 and relative L1 of images in units of their 99.5th percentile; absent contrasts do not count.

    Equation: eq-recon. Dividing by the scale makes the weights mean the same at any gain; the relative term
    weighs a dark voxel's error as a share of its own brightness.

    Returns:
        Mean of (s − x)² and mean of |s − x|/(x + floor), both of images divided by their scale.
    """
    x, s = (y / scale[..., None, None] for y in (images, reconstruction))
    squared = ((s - x) ** 2).mean((2, 3))
    relative = ((s - x).abs() / (x + config.relative_floor)).mean((2, 3))
    present = torch.ones_like(squared) if mask is None else mask.to(squared)
    return tuple((y * present).sum() / present.sum() for y in (squared, relative))


def tissue_prior(o: Float[Tensor, "B 3 H W"]) -> Tensor:
    """Mean of o_T1² + o_T2²: a log-normal prior with medians of 1 s and 0.1 s (Section 2.2 of the paper)."""
    return (o[:, 1:] ** 2).sum(1).mean()


def vae_loss(
    output: VaeOutput, images: Tensor, mask: Tensor | None, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """The whole objective and its parts, unweighted, for the log."""
    squared, relative = reconstruction_loss(output.reconstruction, images, output.scale, mask, config)
    parts = {
        "l2": squared,
        "relative_l1": relative,
        "kl": kl_to_standard_normal(output.mean, output.log_var),
        "prior": tissue_prior(output.o),
    }
    weights = {"l2": config.l2, "relative_l1": config.relative_l1, "kl": config.kl, "prior": config.prior}
    return sum(weights[name] * part for name, part in parts.items()), parts
