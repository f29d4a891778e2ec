"""What the VAE is asked to do: reconstruct, stay compact, keep T1 and T2 plausible, look real."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from physldm.config import LossConfig
from physldm.physics.tissue import PRIOR_T1, from_output, water_content

from .vae import VaeOutput

SMOOTH = 0.01  # of the scale: below it √(s² + ε²) no longer tells the sign
FLUID = 1.1  # of log T2 over its median, 0.3 s: longer is no tissue's, and may be as long as it likes
AIR = -0.5  # of log PD over its median: less is no tissue's


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
    asked: Shaped[Tensor, "B N"] | None,
    config: LossConfig,
) -> tuple[Tensor, Tensor]:
    """L2 and relative L1 of images in units of their 99.5th percentile; absent contrasts do not count.

    Equation: eq-recon. Dividing by the scale makes the weights mean the same at any gain; the relative term
    weighs a dark voxel's error as a share of its own brightness.

    Args:
        asked: how much each image counts, 0 where it is absent; all alike by default.

    Returns:
        Mean of (s − x)² and mean of |s − x|/(x + floor), both of images divided by their scale.
    """
    x, s = (y / scale[..., None, None] for y in (images, reconstruction))
    if config.magnitude:  # a scanner stores magnitudes: compare √(s² + ε²)
        s = torch.sqrt(s**2 + SMOOTH**2)
    squared = ((s - x) ** 2).mean((2, 3))
    relative = ((s - x).abs() / (x + config.relative_floor)).mean((2, 3))
    weight = torch.ones_like(squared) if asked is None else asked.to(squared)
    return (squared * weight).sum() / weight.sum(), (relative * weight).sum() / weight.sum()


def tissue_prior(o: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor]:
    """Mean of o_T1² + o_T2², a log-normal prior with medians of 1 s and 0.1 s (Section 2.2 of the paper); and that of
    o_PD², which the paper leaves out."""
    squares = (o**2).mean((0, 2, 3))
    return squares[1] + squares[2], squares[0]


def total_variation(x: Float[Tensor, "B H W"]) -> Tensor:
    """Mean |Δx| between neighbours, down plus across (Rudin, Osher and Fatemi 1992).

    Equation: eq-tv.
    """
    # mean |x(i+1, j) − x(i, j)| + mean |x(i, j+1) − x(i, j)|
    return x.diff(dim=1).abs().mean() + x.diff(dim=2).abs().mean()


def apparent_gain(o: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W"]:
    """log PD − log W(T1), up to a constant: by how much PD is brighter than the water that T1 suggests.

    Equation: eq-apparent-gain (Volz et al. 2012, who take a scanner's receive field from it). Were the relation exact it
    would be the gain and the coil's field alone, and smooth. Where PD is less than any tissue's there is air, of which
    it says nothing: a constant, so that no edge has to be paid for PD's fall to 0.
    """
    # ln PD − ln W(T1), T1 = exp(o + ln 1 s); beyond any tissue's T1 it says no more
    t1 = from_output(o[:, 1], PRIOR_T1).clamp(0.05, 20.0)
    gain = o[:, 0] - water_content(t1).log()
    air = AIR - water_content(torch.tensor(PRIOR_T1)).log().item()
    return torch.where(o[:, 0] > AIR, gain, air)


def shown(
    images: Float[Tensor, "B N H W"], scale: Float[Tensor, "B N"], asked: Shaped[Tensor, "B N"] | None
) -> Float[Tensor, "M 1 H W"]:
    """The images that are asked for, one by one, as LPIPS and the discriminator see them: scaled as the encoder's input
    is, but not cut off at the top, where a gradient would vanish."""
    scaled = (images / scale[..., None, None]) * 2 - 1
    return (scaled.flatten(0, 1) if asked is None else scaled[asked > 0])[:, None]


def real_or_made(real: Float[Tensor, "M 1 h w"], made: Float[Tensor, "M 1 h w"]) -> Tensor:
    """What the discriminator learns by: ½ (D(x) − 1)² + ½ D(s)² (Mao et al. 2017, least squares).

    Equation: eq-discriminator.
    """
    return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (made**2).mean()


def judged(
    critic: Callable[[Tensor], Tensor], real: Float[Tensor, "M 1 H W"], made: Float[Tensor, "M 1 H W"]
) -> tuple[Tensor, dict[str, Tensor]]:
    """A critic's loss on images, and its parts for the log: the loss and its mean verdicts."""
    on_real, on_made = critic(real), critic(made)
    value = real_or_made(on_real, on_made)
    return value, {"discriminator": value, "logit_real": on_real.mean(), "logit_made": on_made.mean()}


def looks_real(made: Float[Tensor, "M 1 h w"]) -> Tensor:
    """What the VAE is asked by the discriminator: (D(s) − 1)².

    Equation: eq-adversarial.
    """
    return ((made - 1) ** 2).mean()


def ramp(step: int, config: LossConfig) -> float:
    """The share of their weight that LPIPS and the discriminator have at ``step``: abruptly, they harm."""
    return min(1.0, max(0.0, (step - config.ramp_from) / config.ramp))


def vae_loss(
    output: VaeOutput,
    images: Tensor,
    asked: Tensor | None,
    config: LossConfig,
    step: int = 0,
    *,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    discriminator: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The whole objective and its parts, unweighted, for the log.

    Args:
        asked: how much each image counts in the L2 and L1, 0 where it is absent; LPIPS and the discriminator see those
            above 0. perceptual: LPIPS of two sets of images, ``[M, 1, H, W]`` → ``[M]``. discriminator: see
            :class:`physldm.models.discriminator.PatchDiscriminator`.
    """
    squared, relative = reconstruction_loss(output.reconstruction, images, output.scale, asked, config)
    prior, prior_pd = tissue_prior(output.o)
    parts = {
        "l2": squared,
        "relative_l1": relative,
        "kl": kl_to_standard_normal(output.mean, output.log_var),
        "prior": prior,
        "prior_pd": prior_pd,
        "variation": total_variation(output.o[:, 1]) + total_variation(output.o[:, 2].clamp(max=FLUID)),
        "water": total_variation(apparent_gain(output.o)),
    }
    weights = {name: getattr(config, name) for name in parts}
    if perceptual or discriminator:
        made, real = (shown(x, output.scale, asked) for x in (output.reconstruction, images))
        share = ramp(step, config)
        if perceptual:
            parts["perceptual"], weights["perceptual"] = (
                perceptual(made, real).mean(),
                share * config.perceptual,
            )
        if discriminator:
            parts["adversarial"], weights["adversarial"] = (
                looks_real(discriminator(made)),
                share * config.adversarial,
            )
    return sum(weights[name] * part for name, part in parts.items()), parts
