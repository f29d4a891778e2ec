"""Diffusion in the plane: a cloud whose denoiser is known exactly, and one that a small network has to learn."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .objective import Prediction, diffusion_loss
from .samplers import Model
from .schedule import NoiseSchedule, add_noise

MOON_NOISE = 0.07  # of a moon of radius 1
WIDTH, WAVES = 64, 4  # of the toy network: hidden units, and wavelengths that it is shown


def two_moons(n: int, generator: torch.Generator) -> Float[Tensor, "n 2"]:
    """``n`` points of two half-moons that reach into each other, scaled to mean 0 and variance 1 on both axes."""
    angle = math.pi * torch.rand(n, generator=generator)
    moon = torch.stack([angle.cos(), angle.sin() - 0.25], -1)
    moon[:, 0] -= 0.5  # the middle of the two is the origin
    lower = torch.rand(n, generator=generator) < 0.5
    moon[lower] = -moon[lower]
    moon = moon + MOON_NOISE * torch.randn(n, 2, generator=generator)
    # the variances of the two arcs, about the middle
    x, y = 0.75, 0.5 - 1 / math.pi + 1 / 16
    return moon / torch.tensor([x, y]).add(MOON_NOISE**2).sqrt()


def gaussian_denoiser(mean: Float[Tensor, " D"], sd: Float[Tensor, " D"], schedule: NoiseSchedule) -> Model:
    """The exact E[x₀ | x_t] of data x₀ ~ N(mean, diag sd²), as a model with ``prediction="x0"``.

    Equation: eq-gaussian-denoiser.
    """

    def model(x_t: Float[Tensor, "B D"], t: Tensor) -> Float[Tensor, "B D"]:
        a = schedule.alpha_bar.to(x_t.dtype)[t][:, None]
        # x̂₀ = m + √ᾱ s²/(ᾱ s² + 1 − ᾱ) (x_t − √ᾱ m)
        return mean + a.sqrt() * sd**2 / (a * sd**2 + 1 - a) * (x_t - a.sqrt() * mean)

    return model


def gaussian_flow(
    x: Float[Tensor, "B D"], mean: Float[Tensor, " D"], sd: Float[Tensor, " D"], start: float, stop: float
) -> Float[Tensor, "B D"]:
    """Where steps without noise take ``x`` from ᾱ = ``start`` to ᾱ = ``stop``, in the limit of many of them.

    Equation: eq-gaussian-flow. The exact solution of the probability-flow ODE for data N(mean, diag sd²)
    (Song et al. 2021, arXiv 2011.13456): every point keeps its place, counted in standard deviations.
    """
    before, after = ((a * sd**2 + 1 - a).sqrt() for a in (start, stop))
    # x' = √ᾱ' m + √((ᾱ' s² + 1 − ᾱ')/(ᾱ s² + 1 − ᾱ)) (x − √ᾱ m)
    return stop**0.5 * mean + after / before * (x - start**0.5 * mean)


class ToyDenoiser(nn.Module):
    """Three hidden layers from (x_t, t) in the plane to v, ε or x₀, whichever it is trained to say.

    It is also shown sines and cosines of both, of several wavelengths: with them it can draw sharp edges.
    """

    frequencies: Tensor

    def __init__(self, T: int):
        super().__init__()
        self.T = T
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(WAVES))
        widths = [2 + 6 * WAVES, WIDTH, WIDTH, WIDTH]
        layers = [
            layer for a, b in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(a, b), nn.SiLU())
        ]
        self.layers = nn.Sequential(*layers, nn.Linear(WIDTH, 2))

    def forward(self, x_t: Float[Tensor, "B 2"], t: Tensor) -> Float[Tensor, "B 2"]:
        seen = torch.cat([x_t / 4, t[:, None] / self.T], -1)
        phase = (seen[..., None] * self.frequencies).flatten(1)
        return self.layers(torch.cat([x_t, phase.sin(), phase.cos()], -1))


def train_toy(
    points: Float[Tensor, "n 2"],
    schedule: NoiseSchedule,
    *,
    prediction: Prediction = "v",
    min_snr: float | None = 5.0,
    steps: int = 1800,
    seed: int = 0,
) -> ToyDenoiser:
    """Trains a fresh :class:`ToyDenoiser` with Adam on 512 points a step, each with a noise and a t of its own.

    Args:
        points: the data.
        schedule: of the noise.
        prediction: as in :func:`diffusion_loss`.
        min_snr: as in :func:`diffusion_loss`.
        steps: 1800 take a few seconds.
        seed: of weights and draws.

    Returns:
        The network, ready to use.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)  # layers draw their start from torch's own generator
        model = ToyDenoiser(schedule.T)
    draw = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x0 = points[torch.randint(len(points), (512,), generator=draw)]
        eps = torch.randn(x0.shape, generator=draw)
        t = torch.randint(schedule.T, (512,), generator=draw)
        output = model(add_noise(x0, eps, t, schedule), t)
        loss = diffusion_loss(output, x0, eps, t, schedule, prediction=prediction, min_snr=min_snr)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        slower.step()
    return model.eval()
