"""What a scanner adds to the signal: noise, the loss of the sign, and an uneven brightness over the image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from physldm.box import sample_at


def complex_noise_magnitude(
    clean: Float[Tensor, "*shape"], sigma: Tensor | float, draw: torch.Generator, coils: int = 1
) -> Float[Tensor, "*shape"]:
    """A magnitude image: noise in both parts of a complex signal, then its length, √((s + n₁)² + n₂²).

    Several coils are combined by the root of the sum of their squares. However they share the signal, only its whole
    length counts, and every further coil adds two parts that hold nothing but noise.

    Equation: eq-rician, of several coils eq-coils (Roemer et al. 1990). The result is Rice-distributed, of several
    coils non-central χ: Rayleigh or χ in air, nearly Gaussian where the signal is strong.

    Args:
        clean: signed signal; of several coils the root of the sum of their squares.
        sigma: standard deviation of each part of each coil, in the units of ``clean``.
        draw: the random generator.
        coils: how many listen.
    """
    parts = torch.randn(2 * coils, *clean.shape, generator=draw, dtype=clean.dtype)
    across = parts[1:].square().sum(0).sqrt()
    return torch.hypot(clean + sigma * parts[0], sigma * across)


def air_mean(coils: int) -> float:
    """The mean of a magnitude where there is no signal, in units of σ: √2 Γ(n + ½) / Γ(n) of n coils.

    Equation: eq-air-mean, the mean of a χ distribution of 2n parts; √(π/2) = 1.253 of one coil.
    """
    return math.sqrt(2) * math.exp(math.lgamma(coils + 0.5) - math.lgamma(coils))


def rician_mean(signal: Float[Tensor, "*shape"], sigma: float) -> Float[Tensor, "*shape"]:
    """The mean of a magnitude whose true signal is known: σ √(π/2) L(−s²/2σ²), L the Laguerre function of order ½.

    Equation: eq-rician-mean (Rice 1945; Gudbjartsson and Patz 1995). 1.253 σ where there is no signal.

    Args:
        signal: without noise.
        sigma: standard deviation of each part of the complex signal, in its units.
    """
    x = signal.double() ** 2 / (2 * sigma**2)
    # e^(−x/2) [(1 + x) I₀(x/2) + x I₁(x/2)], with the exponential inside the Bessel functions
    laguerre = (1 + x) * torch.special.i0e(x / 2) + x * torch.special.i1e(x / 2)
    return (sigma * math.sqrt(math.pi / 2) * laguerre).to(signal.dtype)


def rician_cost(
    signal: Float[Tensor, "*shape"], magnitude: Float[Tensor, "*shape"], sigma: float
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """How badly a signal explains a measured magnitude: −ln of Rice's density, but for what no signal changes.

    Equation: eq-rician-cost (Sijbers et al. 1998)

    Args:
        signal: signed; its sign makes no difference.
        magnitude: what was measured, 0 or more.
        sigma: standard deviation of each part of the complex signal, in the units of both.

    Returns:
        The cost, and its first and second derivative by the signal.
    """
    # (|s| − x)²/2σ² − ln[e^(−z) I₀(z)],  z = |s| x/σ²
    z = signal.abs() * magnitude / sigma**2
    i0, i1 = torch.special.i0e(z), torch.special.i1e(z)
    cost = (signal.abs() - magnitude).square() / (2 * sigma**2) - i0.log()
    # (s − x I₁/I₀)/σ²
    ratio = i1 / i0
    slope = (signal - magnitude * ratio * signal.sign()) / sigma**2
    # 1/σ² − (x/σ²)² (1 − I₁/(z I₀) − (I₁/I₀)²);   I₁/(z I₀) → ½ for z → 0
    over_z = torch.where(z > 1e-6, ratio / z.clamp_min(1e-6), 0.5)
    curvature = 1 / sigma**2 - (magnitude / sigma**2).square() * (1 - over_z - ratio.square())
    return cost, slope, curvature


def smooth_field(
    points: Float[Tensor, "X Y Z 3"],
    box: tuple[int, int, int],
    correlation: float,
    draw: torch.Generator,
    channels: int = 1,
) -> Float[Tensor, "C X Y Z"]:
    """A smooth random field, mean 0 and standard deviation 1 over the box, at any points of it.

    Args:
        points: millimetres from the corner of the box.
        box: its size in millimetres.
        correlation: millimetres over which the field changes.
        draw: the random generator.
        channels: how many fields.

    Returns:
        ``[C, X, Y, Z]``; the same draw gives the same field whichever points are asked for.
    """
    shape = [max(4, round(n / correlation) + 3) for n in box]
    noise = torch.randn(1, channels, *shape, generator=draw)
    lattice = F.interpolate(noise, size=tuple(n // 4 for n in box), mode="trilinear", align_corners=True)
    lattice = F.avg_pool3d(F.pad(lattice, (2,) * 6, mode="replicate"), 5, stride=1)[0]
    lattice = (lattice - lattice.mean((1, 2, 3), keepdim=True)) / lattice.std((1, 2, 3), keepdim=True)
    return sample_at(lattice, points, box, outside="border")


def bias_field(
    height: int, width: int, draw: torch.Generator, *, spacing: float = 1.0, strength: float = 0.1
) -> Float[Tensor, "H W"]:
    """How unevenly a coil sees a slice: exp(strength × a field that changes over 60 mm); multiplies the signal.

    Args:
        height: pixels.
        width: pixels.
        draw: the random generator.
        spacing: millimetres a pixel.
        strength: standard deviation of its logarithm.
    """
    box = (max(64, round(width * spacing)), max(64, round(height * spacing)), 64)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    points = torch.stack(
        [(x + 0.5) * spacing, (y + 0.5) * spacing, torch.full_like(x, 32.0, dtype=torch.float32)], -1
    )
    return torch.exp(strength * smooth_field(points[None], box, 60.0, draw)[0, 0])
