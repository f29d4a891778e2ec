"""The forward process: how much of the signal is left after t steps of adding noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class NoiseSchedule:
    """``alpha_bar [T]``: the share of the variance of x_t that still is signal, float32, falling with t."""

    alpha_bar: Float[Tensor, "T"]

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def at(self, t: Int[Tensor, "B"], like: Tensor) -> Tensor:
        """ᾱ_t of each sample, shaped to multiply ``like [B, ...]``."""
        return self.alpha_bar.to(like.device)[t].reshape(-1, *[1] * (like.ndim - 1))

    def add_noise(self, x0: Float[Tensor, "B *x"], eps: Float[Tensor, "B *x"], t: Int[Tensor, "B"]) -> Tensor:
        """x_t for a clean x0 and standard normal noise ε.

        Equation: eq-noising (Ho 2020, Eq. 4).
        """
        a = self.at(t, x0)
        # x_t = √ᾱ_t x0 + √(1 − ᾱ_t) ε
        return a.sqrt() * x0 + (1 - a).sqrt() * eps


def make_schedule(
    kind: str = "scaled_linear", steps: int = 1000, beta_start: float = 0.0015, beta_end: float = 0.0205
) -> NoiseSchedule:
    """A schedule of ``steps`` steps: ``linear`` (Ho 2020), ``scaled_linear`` (Rombach 2022; the paper's, with
    its β from 0.0015 to 0.0205) or ``cosine`` (Nichol 2021).

    Raises:
        ValueError: unknown kind.
    """
    if kind == "linear":
        beta = torch.linspace(beta_start, beta_end, steps, dtype=torch.float64)
    elif kind == "scaled_linear":
        beta = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
    elif kind == "cosine":
        t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        f = torch.cos((t + 0.008) / 1.008 * torch.pi / 2) ** 2
        beta = (1 - f[1:] / f[:-1]).clamp_max(0.999)
    else:
        raise ValueError(f"kind: found {kind!r}, expected linear, scaled_linear or cosine")
    return NoiseSchedule(torch.cumprod(1 - beta, 0).float())


def trailing_timesteps(schedule: NoiseSchedule, n: int) -> list[int]:
    """``n`` timesteps from T − 1 downwards, evenly spaced: sampling must begin where there is no signal."""
    if not 1 <= n <= len(schedule):
        raise ValueError(f"steps: found {n}, expected 1 to {len(schedule)}")
    return [round(len(schedule) * (n - i) / n) - 1 for i in range(n)]
