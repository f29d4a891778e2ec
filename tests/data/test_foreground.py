"""Where a scan has tissue, against brains whose voxels are known and what was laid around them."""

import pytest
import torch
from scipy import ndimage

from physldm.data import average_brain
from physldm.data.foreground import slices_with_tissue, tissue_of
from physldm.physics import Acquisition, signal

PROTOCOLS = (
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("spin_echo", te=0.1, tr=3.2),
    Acquisition("flair", te=0.09, tr=9.0, ti=2.5),
)


@pytest.fixture(scope="module", params=range(3), ids=["T1w", "T2w", "FLAIR"])
def scanned(request):
    """A brain without its skull, scanned, and how much of each voxel it fills."""
    maps, fractions = average_brain(2)
    return 800 * signal(maps, PROTOCOLS[request.param]).abs(), fractions.sum(1)


def moved(scan):
    """Half a millimetre further, by cubic splines, as resampling does: with ripples in the air."""
    return torch.from_numpy(ndimage.shift(scan.numpy(), (0, 0.25, 0.25), order=3)).clamp_min(0)


def noisy(share):
    def with_noise(scan):
        a, b = share * scan.max() * torch.randn(2, *scan.shape, generator=torch.Generator().manual_seed(0))
        return ((scan + a) ** 2 + b**2).sqrt()

    return with_noise


@pytest.mark.parametrize(
    "change", [lambda s: s, moved, noisy(0.01), noisy(0.03)], ids=["as is", "moved", "1 %", "3 %"]
)
def test_tissue_is_found_whatever_is_in_the_air(scanned, change):
    scan, filled = scanned
    found, brain = tissue_of(change(scan)), filled > 0.5
    overlap = 2 * (found & brain).sum() / (found.sum() + brain.sum())
    assert overlap > 0.96 and (found & (filled < 0.02)).sum() < 0.03 * brain.sum()
    assert (slices_with_tissue(found) != slices_with_tissue(brain)).sum() <= 2


def test_dark_fluid_inside_counts_and_a_scan_of_nothing_has_none():
    maps, fractions = average_brain(2)
    flair = signal(maps, Acquisition("flair", te=0.09, tr=9.0, ti=2.9)).abs() * 1000
    fluid = (fractions[:, 2] > 0.99) & torch.from_numpy(
        ndimage.binary_erosion(fractions.sum(1).numpy() > 0.99, iterations=12)
    )
    assert fluid.sum() > 300 and tissue_of(flair)[fluid].float().mean() > 0.99
    assert not tissue_of(torch.zeros(4, 5, 6)).any() and tissue_of(torch.ones(16, 16, 16)).all()
