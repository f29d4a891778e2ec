"""Subjects from an anatomy: deform it, fill it with tissue, scan it. Every draw is keyed by (seed, subject)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from physldm.box import SHAPE_MM, sample_at, stack_affine, to_slices
from physldm.config import Mixture
from physldm.draws import keyed_draw
from physldm.physics import TISSUES, Acquisition, Tissue, signal
from physldm.physics.noise import complex_noise_magnitude, smooth_field
from physldm.physics.tissue import PRIOR_T1, PRIOR_T2

from .anatomy import CLASSES, load_anatomy
from .protocols import draw_protocol

SQUARINGS = 6  # of a velocity, to the displacement that it makes
GAIN = 1000.0  # scanner units per unit of PD
# of the receive field: SD of its logarithm, and the distance over which it changes
BIAS, BIAS_MM = 0.03, 60.0


@dataclass(frozen=True)
class Subject:
    """One made-up brain with its scans. Volumes are stacks of S axial slices, anterior up, RAS+.

    Attributes:
        maps: ``[S, 3, H, W]``: PD (a.u., CSF about 1), T1 (s), T2 (s); PD is 0 outside the brain.
        fractions: ``[S, K, H, W]``: the first K of ``CLASSES``.
        clean: ``[S, 3, H, W]``: T1w, T2w, FLAIR in scanner units, with gain and bias field, without noise.
        scans: ``[S, 3, H, W]``: what the scanner stores: ``clean`` plus complex noise, magnitude.
        acquisitions: how each contrast was taken.
        gain: scanner units per unit of PD, of each contrast.
        affine: 4 × 4, voxel of an ``[X, Y, Z]`` volume to mm (see :func:`physldm.box.to_volume`).
    """

    maps: Float[Tensor, "S 3 H W"]
    fractions: Float[Tensor, "S K H W"]
    clean: Float[Tensor, "S 3 H W"]
    scans: Float[Tensor, "S 3 H W"]
    acquisitions: tuple[Acquisition, ...]
    gain: tuple[float, ...]
    affine: np.ndarray


def make_subject(
    seed: int,
    index: int,
    *,
    anatomy: str = "icbm152",
    spacing: int = 1,
    heights: tuple[int, ...] | None = None,
    partial_volume: str = "properties",
    noise: float = 0.01,
    gain_sd: float = 0.2,
    sequence_gain_sd: float = 0.0,
) -> Subject:
    """Subject number ``index`` of the population ``seed``; the same arguments give the same subject.

    Args:
        seed: of the population.
        index: which subject of it.
        anatomy: ``icbm152`` or the file of a label map.
        spacing: voxel size in mm (1 or 2): H, W = 224, 160 or 112, 80.
        heights: which axial slices, as millimetres above the bottom of the 160 mm box; all by default.
        partial_volume: ``properties`` mixes PD, log T1 and log T2 by fraction, so that one (PD, T1, T2) per
            voxel is the whole truth; ``signals`` mixes the signals of the tissues, as a real scan does.
        noise: standard deviation of each part of the complex noise, relative to the image's maximum.
        gain_sd: standard deviation of the logarithm of the gain between subjects.
        sequence_gain_sd: the same of a further gain of each scan, as where a scanner is tuned anew for every
            sequence.
    """
    if partial_volume not in get_args(Mixture):
        raise ValueError(f"partial_volume: found {partial_volume!r}, expected properties or signals")
    draw = keyed_draw(seed, index)
    grid = _grid(spacing, heights)
    fractions, ventricles = _warp(anatomy, spacing, grid, draw)
    fractions = _add_lesions(anatomy, fractions, ventricles, grid, draw)
    acquisitions = draw_protocol("usual", draw)
    gain = GAIN * torch.exp(gain_sd * torch.randn((), generator=draw))
    gain = gain * torch.exp(sequence_gain_sd * torch.randn(len(acquisitions), generator=draw))
    bias = torch.exp(BIAS * _smooth_field(grid, BIAS_MM, draw))
    mixed = acquisitions if partial_volume == "signals" else ()
    maps, exact = _mix(fractions, _tissue_maps(grid, CLASSES[: len(fractions)], draw), mixed)
    fractions, maps = to_slices(fractions), to_slices(maps)
    exact = to_slices(exact) if mixed else torch.stack([signal(maps, a) for a in acquisitions], 1)
    clean = gain[:, None, None] * to_slices(bias)[:, None] * exact
    scans = _scan(clean, noise, draw)
    affine = stack_affine(spacing, heights or (0,))
    return Subject(maps, fractions, clean, scans, acquisitions, tuple(gain.tolist()), affine)


def average_brain(
    spacing: int = 1, heights: tuple[int, ...] | None = None, tissues: Mapping[str, Tissue] = TISSUES
) -> tuple[Float[Tensor, "S 3 H W"], Float[Tensor, "S 4 H W"]]:
    """The average brain as it is, filled with a table's values; it has no lesion.

    Args:
        spacing: as in :func:`make_subject`.
        heights: as in :func:`make_subject`.
        tissues: values of the classes that are not to have those of ``TISSUES``.

    Returns:
        maps ``[S, 3, H, W]`` (PD, T1, T2) and fractions ``[S, 4, H, W]`` (WM, GM, CSF, lesion).
    """
    fractions = _fractions_at("icbm152", spacing, _grid(spacing, heights).points)[:-1]
    rows = ({**TISSUES, **tissues}[c] for c in CLASSES[: len(fractions)])
    table = [torch.tensor([t.pd, t.t1, t.t2])[:, None, None, None] for t in rows]
    return to_slices(_mix(fractions, table)[0]), to_slices(fractions)


def example_maps(
    spacing: int = 1, tissues: Mapping[str, Tissue] = TISSUES
) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "4 H W"]]:
    """One slice of :func:`average_brain`, through the lateral ventricles."""
    maps, fractions = average_brain(spacing, (92,), tissues)
    return maps[0], fractions[0]


# --- space ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Grid:
    """Where a subject's voxels lie: ``points`` ``[X, Y, Z, 3]`` in mm from the corner of the box."""

    points: Float[Tensor, "X Y Z 3"]

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z, _ = self.points.shape
        return x, y, z


def _grid(spacing: int, heights: tuple[int, ...] | None) -> _Grid:
    x, y, z = (torch.arange(n // spacing) * spacing + spacing / 2 for n in SHAPE_MM)
    if heights is not None:
        z = torch.tensor(heights, dtype=torch.float32) + spacing / 2
    return _Grid(torch.stack(torch.meshgrid(x, y, z, indexing="ij"), -1))


@lru_cache(maxsize=2)
def _pooled(name: str, spacing: int) -> Float[Tensor, "C X Y Z"]:
    """The fractions and, last, the ventricles, averaged over ``spacing`` mm at every step of 1 mm.

    Averaging before sampling is what keeps thin cortex from flickering on a coarser grid.
    """
    anatomy = load_anatomy(name)
    volume = torch.cat([anatomy.fractions, anatomy.ventricles[None]])
    padded = F.pad(volume[None], ((spacing - 1) // 2, spacing // 2) * 3, mode="replicate")
    return F.avg_pool3d(padded, spacing, stride=1)[0]


def _fractions_at(name: str, spacing: int, points_mm: Float[Tensor, "A B D 3"]) -> Float[Tensor, "C A B D"]:
    """Fractions and ventricles, averaged over ``spacing`` mm around points in mm from the corner; 0 outside the box."""
    # an average over an even number of voxels lies half a voxel above the first voxel's centre
    return sample_at(_pooled(name, spacing), points_mm - (1 - spacing % 2) / 2)


def _smooth_field(grid: _Grid, correlation: float, draw: torch.Generator, channels: int = 1) -> Tensor:
    """A smooth random field on the grid, ``[X, Y, Z]`` (or ``[C, X, Y, Z]``), mean 0 and SD 1 per channel."""
    field = smooth_field(grid.points, SHAPE_MM, correlation, draw, channels)
    return field if channels > 1 else field[0]


@lru_cache(maxsize=1)
def _coarse() -> _Grid:
    """A 4 mm grid of the box, on which deformations are computed."""
    x, y, z = (torch.arange(n // 4) * 4.0 + 2.0 for n in SHAPE_MM)
    return _Grid(torch.stack(torch.meshgrid(x, y, z, indexing="ij"), -1))


def _warp(anatomy: str, spacing: int, grid: _Grid, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """The anatomy in a new shape: fractions ``[K, X, Y, Z]`` and ventricles ``[X, Y, Z]`` on the grid."""
    velocity = _velocity(anatomy, draw)
    displacement = _integrate(velocity)
    scale = torch.exp(0.04 * torch.randn(3, generator=draw))
    centre = torch.tensor(SHAPE_MM) / 2
    points = centre + (grid.points - centre) / scale
    moved = sample_at(displacement, points, outside="border")
    warped = _fractions_at(anatomy, spacing, points + moved.movedim(0, -1)).clamp(0, 1)
    return warped[:-1], warped[-1]


def _velocity(anatomy: str, draw: torch.Generator) -> Float[Tensor, "3 X Y Z"]:
    """Stationary velocity in mm on the 4 mm grid: broad and fine changes of shape, and ventricle size."""
    coarse = _coarse()
    broad = 2.5 * _smooth_field(coarse, 40.0, draw, channels=3)
    fine = 0.8 * _smooth_field(coarse, 16.0, draw, channels=3)
    ventricles = F.avg_pool3d(load_anatomy(anatomy).ventricles[None, None], 4)
    for _ in range(3):  # three box filters are nearly a Gaussian of 10 mm
        ventricles = F.avg_pool3d(F.pad(ventricles, (2,) * 6), 5, stride=1)
    slope = torch.stack(torch.gradient(ventricles[0, 0], spacing=4.0))
    slope = slope / slope.norm(dim=0).max()
    # sampling points move towards the ventricles' inside, so the ventricles grow; mostly growth, some shrink
    growth = 2.0 + 3.0 * float(torch.randn((), generator=draw))
    return broad + fine + growth * slope


def _integrate(velocity: Float[Tensor, "3 X Y Z"]) -> Float[Tensor, "3 X Y Z"]:
    """exp(velocity) by scaling and squaring: the displacement, in mm, of a map that can be inverted.

    Source: Arsigny et al. 2006; u ← u + u∘(id + u), from u = v/2ⁿ (step-squaring).
    """
    points = _coarse().points
    u = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        u = u + sample_at(u, points + u.movedim(0, -1), outside="border")
    return u


# --- tissue -----------------------------------------------------------------------------------------------


def _add_lesions(
    anatomy: str, fractions: Tensor, ventricles: Tensor, grid: _Grid, draw: torch.Generator
) -> Tensor:
    """White-matter lesions beside those of the anatomy, most of them near the ventricles; ``[K, X, Y, Z]``.

    Centres are drawn in the whole box, so that a subject has the same lesions whichever slices of it are made.
    """
    count = int(torch.poisson(torch.tensor(6.0), generator=draw))
    centres = torch.rand(count, 3, generator=draw)
    radii = 2.0 + 3.0 * torch.rand(count, generator=draw)
    # a shell around the lateral ventricles, in mm from the corner of the box
    reach = torch.tensor([30.0, 45.0, 16.0])
    centres = _middle_of_ventricles(anatomy) + reach * (2 * centres - 1)
    lesion = torch.zeros(grid.shape)
    for centre, radius in zip(centres, radii, strict=True):
        distance = (grid.points - centre).norm(dim=-1)
        lesion = torch.maximum(lesion, torch.sigmoid((radius - distance) / 0.5))
    lesion = lesion * (fractions[0] > 0.5) * fractions[0] * (ventricles < 0.1)
    changed = fractions.clone()
    changed[0] -= lesion
    changed[3] += lesion
    return changed


@lru_cache(maxsize=4)
def _middle_of_ventricles(anatomy: str) -> Float[Tensor, "3"]:
    """Centre of mass of the lateral ventricles, mm from the corner of the box."""
    v = load_anatomy(anatomy).ventricles
    sides = (v.sum((1, 2)), v.sum((0, 2)), v.sum((0, 1)))
    return torch.stack([((torch.arange(len(side)) + 0.5) * side).sum() / side.sum() for side in sides])


def _tissue_maps(
    grid: _Grid, classes: tuple[str, ...], draw: torch.Generator
) -> Iterator[Float[Tensor, "3 X Y Z"]]:
    """PD, T1, T2 of one class after the other, everywhere: a subject's own values times smooth variation.

    Between subjects log T1 and log T2 have SD 0.08 and correlation 0.5, log PD has 0.04; within a tissue
    they vary smoothly by 0.05, 0.05 and 0.03.
    """
    for name in classes:
        tissue = TISSUES[name]
        a, b, c = torch.randn(3, generator=draw).tolist()
        between = torch.tensor([0.04 * c, 0.08 * a, 0.08 * (0.5 * a + math.sqrt(0.75) * b)])
        within = torch.tensor([0.03, 0.05, 0.05])[:, None, None, None] * _smooth_field(grid, 20.0, draw, 3)
        median = torch.log(torch.tensor([tissue.pd, tissue.t1, tissue.t2]))
        yield torch.exp((median + between)[:, None, None, None] + within)


def _mix(
    fractions: Float[Tensor, "K X Y Z"],
    tissues: Iterable[Float[Tensor, "3 #X #Y #Z"]],
    acquisitions: Sequence[Acquisition] = (),
) -> tuple[Float[Tensor, "3 X Y Z"], Float[Tensor, "N X Y Z"]]:
    """Maps that average PD, log T1 and log T2 by fraction; and the signals of the tissues, added up by fraction.

    Equation: eq-mixed-properties, eq-mixed-signals

    Where nothing gives signal PD is 0, and T1 and T2 are the prior's medians.
    """
    water = fractions.sum(0)
    inside = water > 0.02
    maps = torch.zeros(3, *water.shape)
    signals = torch.zeros(len(acquisitions), *water.shape)
    for f, t in zip(fractions, tissues, strict=True):  # one at a time: all of them would fill the memory
        maps[0] += f * t[0]
        maps[1:] += f / water.clamp_min(1e-6) * t[1:].log()
        for n, a in enumerate(acquisitions):
            signals[n] += f * signal(t.movedim(-1, 0), a).movedim(0, -1)
    maps[0] *= inside
    medians = torch.tensor([PRIOR_T1, PRIOR_T2])[:, None, None, None]
    maps[1:] = torch.where(inside, maps[1:].exp(), medians)
    return maps, signals


# --- scan -------------------------------------------------------------------------------------------------


def _scan(clean: Float[Tensor, "S N H W"], noise: float, draw: torch.Generator) -> Float[Tensor, "S N H W"]:
    """Magnitudes with complex noise, whose σ is a share of each contrast's maximum."""
    return complex_noise_magnitude(clean, noise * clean.abs().amax((0, 2, 3), keepdim=True), draw)
