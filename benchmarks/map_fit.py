"""The voxelwise fit of one slice of 224 × 160, with noise and with the prior."""

from __future__ import annotations

import torch

from physldm.data import example_maps
from physldm.physics import Acquisition, signal
from physldm.physics.identifiability import Prior, map_fit
from physldm.physics.noise import complex_noise_magnitude

from .bar import Bar, seconds


def bars() -> list[Bar]:
    maps, _ = example_maps()
    protocol = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
    clean = torch.stack([signal(maps, a) for a in protocol])
    noisy = complex_noise_magnitude(clean, 0.01, torch.Generator().manual_seed(0))
    where = maps[0] > 0.1
    fit = lambda scans, prior: map_fit(scans, protocol, sigma=0.01, where=where, prior=prior)  # noqa: E731
    took = seconds(
        {"no noise, no prior": lambda: fit(clean, None), "noise and prior": lambda: fit(noisy, Prior())},
        rounds=2,
        least=0.1,
    )
    return [Bar(f"MAP fit of {int(where.sum())} voxels, {name}", t, 5.0, " s") for name, t in took.items()]
