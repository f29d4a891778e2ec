"""What a scanner adds to the signal: noise, the loss of the sign, and an uneven brightness over the image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from physldm.box import sample_at


def complex_noise_magnitude(
    clean: Float[Tensor, "*shape"], sigma: Tensor | float, draw: torch.Generator
) -> Float[Tensor, "*shape"]:
    """A magnitude image: noise in both parts of a complex signal, then its length, √((s + n₁)² + n₂²).

    Equation: eq-rician. The result is Rice-distributed: Rayleigh in air, nearly Gaussian where the signal is strong.

    Args:
        clean: signed signal. sigma: standard deviation of each part, in its units. draw: the random generator.
    """
    real, imaginary = torch.randn(2, *clean.shape, generator=draw, dtype=clean.dtype)
    return torch.hypot(clean + sigma * real, sigma * imaginary)


def sigma_for_snr(
    clean: Float[Tensor, "*batch H W"], snr: float, where: Tensor
) -> Float[Tensor, "*batch 1 1"]:
    """The σ at which each image has this signal-to-noise ratio: its mean magnitude in ``where``, over the SNR.

    Args:
        clean: signed signal. snr: more than 0. where: ``[H, W]``, True in the region the ratio is quoted for.

    Raises:
        ValueError: the region is empty, or the ratio is not positive.
    """
    if not snr > 0:
        raise ValueError(f"snr: found {snr}, expected more than 0")
    if not where.any():
        raise ValueError("where: found an empty region, expected some voxels")
    return clean.abs()[..., where].mean(-1)[..., None, None] / snr


def rician_mean(signal: Float[Tensor, "*shape"], sigma: float) -> Float[Tensor, "*shape"]:
    """The mean of a magnitude whose true signal is known: σ √(π/2) L(−s²/2σ²), L the Laguerre function of order ½.

    Equation: eq-rician-mean (Rice 1945; Gudbjartsson and Patz 1995). 1.253 σ where there is no signal.
    """
    x = signal.double() ** 2 / (2 * sigma**2)
    # e^(−x/2) [(1 + x) I₀(x/2) + x I₁(x/2)], with the exponential inside the Bessel functions
    laguerre = (1 + x) * torch.special.i0e(x / 2) + x * torch.special.i1e(x / 2)
    return (sigma * math.sqrt(math.pi / 2) * laguerre).to(signal.dtype)


def smooth_field(
    points: Float[Tensor, "X Y Z 3"],
    box: tuple[int, int, int],
    correlation: float,
    draw: torch.Generator,
    channels: int = 1,
) -> Float[Tensor, "C X Y Z"]:
    """A smooth random field, mean 0 and standard deviation 1 over the box, at any points of it.

    Args:
        points: millimetres from the corner of the box. box: its size in millimetres.
        correlation: millimetres over which the field changes.

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
        spacing: millimetres a pixel. strength: standard deviation of its logarithm.
    """
    box = (max(64, round(width * spacing)), max(64, round(height * spacing)), 64)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    points = torch.stack(
        [(x + 0.5) * spacing, (y + 0.5) * spacing, torch.full_like(x, 32.0, dtype=torch.float32)], -1
    )
    return torch.exp(strength * smooth_field(points[None], box, 60.0, draw)[0, 0])
