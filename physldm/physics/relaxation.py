"""What magnetisation does between pulses and under a train of them: the pieces that the signal equations are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def e(time, t: Tensor) -> Tensor:
    """E(time) = exp(−time/T)."""
    return (-time / t).exp_()


def recovered(time, t1: Tensor) -> Tensor:
    """1 − E1(time) = 2 h / (1 + h), h = tanh(time / 2T1): all its digits where time ≪ T1, and faster than expm1."""
    h = torch.tanh(time / 2 / t1)
    return 2 * h / (1 + h)


def relax(mz, share: Tensor):
    """Mz after a time in which it recovers by ``share`` = 1 − E1(time) of what it lacks: 1 − (1 − Mz) E1(time)."""
    return mz + (1 - mz) * share


def e2_star(te, t2: Tensor, t2_prime) -> Tensor:
    """exp(−TE/T2*), 1/T2* = 1/T2 + 1/T2′."""
    return torch.exp(-te / t2 - te / t2_prime)


def sin_cos(flip_angle, like: Tensor) -> tuple[Tensor, Tensor]:
    """sin α and 1 − cos α = 2 sin²(α/2), of an angle in degrees."""
    alpha = torch.deg2rad(torch.as_tensor(flip_angle, dtype=like.dtype, device=like.device))
    return torch.sin(alpha), 2 * torch.sin(alpha / 2) ** 2


def t1_star(t1: Tensor, *, flip_angle, echo_spacing) -> Tensor:
    """The time constant T1* with which Mz settles under a train of pulses, always shorter than T1.

    Equation: eq-t1-star (Deichmann et al. 2000; Look and Locker 1970)

    Args:
        t1: seconds.
        flip_angle: degrees, less than 90.
        echo_spacing: seconds.
    """
    alpha = torch.deg2rad(torch.as_tensor(flip_angle, dtype=t1.dtype, device=t1.device))
    return 1 / (1 / t1 - torch.log(torch.cos(alpha)) / echo_spacing)


def pulse_train(flip_angle, echo_spacing, t1: Tensor) -> Callable[..., Tensor]:
    """A train of pulses α, one every echo spacing: ``after(mz, n)`` is Mz just before pulse n, counted from 0.

    Each pulse leaves Mz cos α, which recovers for one spacing. So Mz runs towards M0* with the time constant
    T1*: q = E1(ES) cos α = exp(−ES/T1*), M0* = (1 − E1(ES)) / (1 − q).
    Source: Deichmann et al. 2000; Look and Locker 1970.

    Args:
        flip_angle: degrees.
        echo_spacing: seconds.
        t1: seconds.
    """
    _, missing = sin_cos(flip_angle, t1)
    u = recovered(echo_spacing, t1)
    q = (1 - u) * (1 - missing)
    steady = u / (u + (1 - u) * missing)
    return lambda mz, n: steady + q**n * (mz - steady)


def steady_mz(period: Callable) -> Tensor:
    """The Mz that a period gives back: every period maps Mz to a + b Mz, so it is a / (1 − b)."""
    a = period(0.0)
    b = period(1.0) - a
    return a / (1 - b)
