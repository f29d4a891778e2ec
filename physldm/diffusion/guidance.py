"""Classifier-free guidance: a condition is made to count for more than the network gives it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .samplers import Model


def guided(network: Callable[[Tensor, Tensor, Tensor], Tensor], told: Tensor, guidance: float) -> Model:
    """What a sampler asks of a network that is told something: its answer, moved away from that of one told nothing.

    Equation: eq-guidance (Ho and Salimans 2022). Every call asks the network twice as much.

    Args:
        network: answers at ``(x_t [n, ...], t [n], told [n])``; NaN tells it nothing.
        told: ``[n]``.
        guidance: by how much more than it should the condition counts, w.
    """

    def model(x: Tensor, t: Tensor) -> Tensor:
        both = torch.cat([told, torch.full_like(told, torch.nan)])
        known, unknown = network(torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)
        # v = v(h) + w (v(h) − v(any))
        return known + guidance * (known - unknown)

    return model
