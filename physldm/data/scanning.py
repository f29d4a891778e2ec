"""A training step's scans: brains are scanned when they are asked for, measured scans are taken as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from physldm.config import DataConfig
from physldm.draws import Who, keyed_draw
from physldm.physics import CONTRASTS, AcquisitionBatch, signal
from physldm.physics.noise import complex_noise_magnitude

from .phantom import BIAS, BIAS_MM, GAIN
from .protocols import Protocol, training_protocol
from .slices import Batch, Slices, SliceStore, as_batch

# What is drawn where protocols are ``any``; see :class:`Receiver`.
TUNING = 0.1  # SD of the logarithm of a scan's own gain, where a receiver is tuned anew for every scan
UNEVEN = 0.1  # strongest field, SD of its logarithm
NOISE_SPREAD = 2.0  # by how much the noise may be more or less than ``data.noise``
COILS = (1, 1, 2, 4)  # as likely as they stand here


@dataclass(frozen=True)
class Scanned:
    """Slices as scanners give them, and what else is known of the same brains.

    Attributes:
        given: the scans that were taken.
        gain: how much brighter each scan is than its brain's others, ``[B, N]``, as a scanner tunes its receiver anew
            for every sequence; 1 of measured scans, where it is not known.
        other: scans of the last brains that were taken in other ways, all at the brain's own gain; of a measured brain
            the same that were given. None if none was asked for.
    """

    given: Batch
    gain: Float[Tensor, "B N"]
    other: Batch | None


def scan_slices(
    store: SliceStore, slices: Slices, data: DataConfig, draw: torch.Generator, again: int = 0
) -> Scanned:
    """Scans of some slices: made, as ``data`` says, of those whose maps the store keeps; read of the others.

    Args:
        store: of the slices.
        slices: numbers of B of them.
        data: how brains are scanned.
        draw: the random generator.
        again: how many of the last are scanned once more, in another way.
    """
    numbers, parts, order = [int(s) for s in slices], [], []
    for way, brain in ((_made, True), (_taken, False)):
        places = [place for place, s in enumerate(numbers) if store.is_brain(s) is brain]
        if places:
            late = sum(place >= len(numbers) - again for place in places)
            parts.append(way(store, [numbers[place] for place in places], data, draw, late))
            order += places
    others = [part.other for part in parts if part.other]
    late = [place for place in order if place >= len(numbers) - again]
    return Scanned(
        Batch.joined([part.given for part in parts])[np.argsort(order)],
        torch.cat([part.gain for part in parts])[np.argsort(order)],
        Batch.joined(others)[np.argsort(late)] if others else None,
    )


def once_scanned(store: SliceStore, slices: Slices, data: DataConfig, seed: int) -> Batch:
    """Scans of some slices, of each the same whenever it is asked for: those that training caches codes of.

    Args:
        store: of the slices.
        slices: numbers of B of them.
        data: how brains are scanned.
        seed: of the run.
    """
    return Batch.joined(
        [scan_slices(store, [s], data, keyed_draw(seed, Who.SCANNER, int(s))).given for s in slices]
    )


def _taken(
    store: SliceStore, slices: list[int], data: DataConfig, draw: torch.Generator, again: int
) -> Scanned:
    batch = store.batch(slices)
    last = batch[range(len(slices) - again, len(slices))] if again else None
    return Scanned(batch, torch.ones_like(batch.acquisitions.te), last)


def _made(
    store: SliceStore, slices: list[int], data: DataConfig, draw: torch.Generator, again: int
) -> Scanned:
    maps = store.array("maps", slices)
    receiver = Receiver.draw(len(maps), store.shape, store.spacing, data, draw)
    gain = torch.exp(_tuning(len(maps), data, draw) * torch.randn(len(maps), len(CONTRASTS), generator=draw))
    given = receiver.scan(maps, [training_protocol(data.protocols, draw) for _ in slices], draw, gain)
    if not again:
        return Scanned(given, gain, None)
    ways = [training_protocol(data.protocols, draw) for _ in range(again)]
    return Scanned(given, gain, receiver[-again:].scan(maps[-again:], ways, draw))


def _tuning(brains: int, data: DataConfig, draw: torch.Generator) -> Float[Tensor, "B 1"]:
    """SD of the logarithm of the gains of a brain's scans. Where protocols are ``any`` half the receivers are tuned anew
    for every scan; the others are not."""
    if data.protocols == "usual":
        return torch.full((brains, 1), data.sequence_gain_sd)
    return TUNING * (torch.rand(brains, 1, generator=draw) < 0.5)


@dataclass(frozen=True)
class Receiver:
    """What stands between the signal of B brains and their images.

    Attributes:
        field: gain times the coil's field, scanner units per unit of PD, ``[B, 1, H, W]``.
        noise: standard deviation of each part of the complex noise, as a share of an image's maximum, ``[B, 1, 1, 1]``.
        coils: how many listen.
    """

    field: Float[Tensor, "B 1 H W"]
    noise: Float[Tensor, "B 1 1 1"]
    coils: int

    @classmethod
    def draw(
        cls, brains: int, shape: tuple[int, int], spacing: int, data: DataConfig, draw: torch.Generator
    ) -> Receiver:
        """One of each brain. Where protocols are ``any`` the field's strength, the noise and the coils are drawn, too."""
        strength, spread, coils = torch.full((brains, 1, 1, 1), BIAS), torch.zeros(brains, 1, 1, 1), 1
        if data.protocols == "any":
            strength = UNEVEN * torch.rand(brains, 1, 1, 1, generator=draw)
            spread = 2 * torch.rand(brains, 1, 1, 1, generator=draw) - 1
            coils = COILS[int(torch.randint(len(COILS), (), generator=draw))]
        gain = GAIN * torch.exp(data.gain_sd * torch.randn(brains, 1, 1, 1, generator=draw))
        field = gain * torch.exp(strength * _smooth(brains, shape, spacing, draw))
        return cls(field, data.noise * NOISE_SPREAD**spread, coils)

    def __getitem__(self, rows: slice) -> Receiver:
        return Receiver(self.field[rows], self.noise[rows], self.coils)

    def scan(
        self,
        maps: Float[Tensor, "B 3 H W"],
        protocols: Sequence[Protocol],
        draw: torch.Generator,
        gain: Float[Tensor, "B N"] | None = None,
    ) -> Batch:
        """Magnitudes with complex noise.

        Args:
            maps: PD (1 in fluid), T1 (s), T2 (s).
            protocols: of each brain.
            draw: the random generator.
            gain: by how much each scan is brighter than it would be.
        """
        clean = self.field * signal(maps, AcquisitionBatch.of(protocols))
        if gain is not None:
            clean = gain[..., None, None] * clean
        sigma = self.noise * clean.abs().amax((2, 3), keepdim=True)
        return as_batch(complex_noise_magnitude(clean, sigma, draw, self.coils), protocols)


def _smooth(
    brains: int, shape: tuple[int, int], spacing: int, draw: torch.Generator
) -> Float[Tensor, "B 1 H W"]:
    """A smooth random field of each slice, mean 0 and SD 1: :func:`physldm.physics.noise.smooth_field` of a plane, which
    takes a tenth of its time."""
    knots = [max(4, round(n * spacing / BIAS_MM) + 3) for n in shape]
    coarse = torch.randn(brains, 1, *knots, generator=draw)
    field = F.interpolate(coarse, size=shape, mode="bicubic", align_corners=True)
    return (field - field.mean((2, 3), keepdim=True)) / field.std((2, 3), keepdim=True)
