"""How much noise at which time: x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε, with ᾱ_t falling from almost 1 to almost 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

KINDS = ("linear", "scaled_linear", "cosine")


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """ᾱ_t, the share of the signal's variance that is left after step t = 0 … T−1.

    Args:
        alpha_bar: ``[T]`` float32, strictly falling, all in (0, 1). The data itself, ᾱ = 1, lies one step
            before t = 0 and is not in the table.

    Raises:
        ValueError: not such a table.
    """

    alpha_bar: Float[Tensor, " T"]

    def __post_init__(self) -> None:
        a = self.alpha_bar
        if a.ndim != 1 or len(a) == 0:
            raise ValueError(f"alpha_bar: found shape {tuple(a.shape)}, expected [T] with T ≥ 1")
        if not (bool((a > 0).all()) and bool((a < 1).all()) and bool((a.diff() < 0).all())):
            raise ValueError("alpha_bar: expected strictly falling values between 0 and 1")

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self.alpha_bar)

    def to(self, device: torch.device | str) -> NoiseSchedule:
        return NoiseSchedule(self.alpha_bar.to(device))


def make_schedule(
    kind: str = "scaled_linear", steps: int = 1000, beta_start: float = 0.0015, beta_end: float = 0.0205
) -> NoiseSchedule:
    """A noise schedule; the defaults are those of the paper's code.

    Args:
        kind: ``linear``: β grows linearly (Ho et al. 2020); ``scaled_linear``: √β does (Rombach et al.
            2022); ``cosine``: ᾱ is a squared cosine and the betas are not used (Nichol & Dhariwal 2021).
        steps: T.
        beta_start: the first β, above 0.
        beta_end: the last β, not below the first, below 1.

    Raises:
        ValueError: an unknown kind, no steps, or betas out of order.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: found {kind!r}, expected one of {', '.join(KINDS)}")
    if steps < 1:
        raise ValueError(f"steps: found {steps}, expected at least 1")
    if not 0 < beta_start <= beta_end < 1:
        raise ValueError(
            f"beta_start, beta_end: found {beta_start}, {beta_end}, expected 0 < start ≤ end < 1"
        )
    if kind == "linear":
        beta = torch.linspace(beta_start, beta_end, steps, dtype=torch.float64)
    elif kind == "scaled_linear":
        beta = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
    else:
        beta = _cosine_beta(steps)
    # ᾱ_t = ∏_{s ≤ t} (1 − β_s), in float64: a thousand factors close to 1
    alpha_bar = (1 - beta).cumprod(0)
    return NoiseSchedule(alpha_bar.float())


def _cosine_beta(steps: int) -> Float[Tensor, " T"]:
    offset = 0.008  # s
    # f(u) = cos²(π/2 · (u + s)/(1 + s)),   β_t = 1 − f((t + 1)/T) / f(t/T), at most 0.999
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    f = torch.cos(math.pi / 2 * (u + offset) / (1 + offset)) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999)


def coefficients(schedule: NoiseSchedule, t: Int[Tensor, " B"], like: Tensor) -> tuple[Tensor, Tensor]:
    """(√ᾱ_t, √(1−ᾱ_t)) in the dtype and on the device of ``like [B, ...]``, shaped to multiply it."""
    alpha_bar = schedule.alpha_bar.to(like.device)[t.to(like.device)].to(like.dtype)
    alpha_bar = alpha_bar.view(-1, *[1] * (like.ndim - 1))
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def signal_to_noise(schedule: NoiseSchedule, t: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """SNR(t) = ᾱ_t / (1 − ᾱ_t), ``[B]``, on the device of ``t``."""
    alpha_bar = schedule.alpha_bar.to(t.device)[t]
    return alpha_bar / (1 - alpha_bar)


def add_noise(
    x0: Float[Tensor, " B *dims"],
    eps: Float[Tensor, " B *dims"],
    t: Int[Tensor, " B"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " B *dims"]:
    """x_t: the data ``x0`` after step ``t`` of the forward process, with the noise ``eps`` ~ N(0, I).

    Equation: eq-forward (Ho et al. 2020, Eq. 4).
    """
    a, s = coefficients(schedule, t, x0)
    # x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε
    return a * x0 + s * eps


def trailing_timesteps(schedule: NoiseSchedule, n: int) -> list[int]:
    """``n`` evenly spread steps, latest first, that begin at T−1 where there is (almost) only noise.

    T = 1000, n = 50 gives 999, 979, …, 19 (Lin et al. 2024, arXiv 2305.08891: "trailing").

    Raises:
        ValueError: not 1 ≤ n ≤ T.
    """
    if not 1 <= n <= schedule.T:
        raise ValueError(f"steps: found {n}, expected 1 to {schedule.T}")
    return [schedule.T * k // n - 1 for k in range(n, 0, -1)]


def log_snr_timesteps(schedule: NoiseSchedule, n: int, last: int = 0) -> list[int]:
    """At most ``n`` steps from T−1 down to ``last``, evenly spread in λ = ½ ln SNR, not in t.

    Solvers of second order count their steps in λ (Lu et al. 2022). Where two would fall on one t there is one less.

    Raises:
        ValueError: not 2 ≤ n ≤ T, not 0 ≤ last < T − 1.
    """
    if not 2 <= n <= schedule.T:
        raise ValueError(f"steps: found {n}, expected 2 to {schedule.T}")
    if not 0 <= last < schedule.T - 1:
        raise ValueError(f"last: found {last}, expected 0 to {schedule.T - 2}")
    lam = 0.5 * signal_to_noise(schedule, torch.arange(schedule.T, device=schedule.alpha_bar.device)).log()
    wanted = torch.linspace(lam[-1].item(), lam[last].item(), n, device=lam.device)
    nearest = (lam[:, None] - wanted).abs().argmin(0)
    return sorted(set(nearest.tolist()), reverse=True)
