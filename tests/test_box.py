import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from physldm.box import (
    SHAPE_MM,
    box_affine,
    sample_at,
    slice_shape,
    stack_affine,
    stack_shape,
    to_slices,
    to_volume,
)
from physldm.data import load_anatomy
from physldm.data.anatomy import template


def test_the_box_lies_where_the_templates_brain_is():
    """The constant, against the template itself: its brain has the same room on both sides, to half a voxel."""
    np.testing.assert_array_equal(box_affine(1), load_anatomy("icbm152").affine)
    t1, affine = template("t1")
    world = nib.affines.apply_affine(affine, np.argwhere(t1 > 0))
    lower, upper = world.min(0) - 0.5, world.max(0) + 0.5
    corner = box_affine(1)[:3, 3] - 0.5
    room_below, room_above = lower - corner, corner + SHAPE_MM - upper
    assert (np.abs(room_below - room_above) <= 1).all() and (room_below[:2] > 0).all()


def test_a_coarse_voxels_centre_is_that_of_the_eight_in_it():
    fine, coarse = box_affine(1), box_affine(2)
    for index in ((0, 0, 0), (3, 7, 5)):
        eight = [np.array(index) * 2 + corner for corner in np.ndindex(2, 2, 2)]
        centre = nib.affines.apply_affine(fine, eight).mean(0)
        np.testing.assert_allclose(nib.affines.apply_affine(coarse, index), centre)


def test_a_stack_is_some_slices_of_the_box():
    box = box_affine(2)
    for heights in (range(70, 110, 10), (42,)):
        affine = stack_affine(2, heights)
        for i, height in enumerate(heights):
            np.testing.assert_allclose(affine @ [3, 5, i, 1], box @ [3, 5, height / 2, 1])
    np.testing.assert_array_equal(stack_affine(2, range(0, 160, 2)), box)


@pytest.mark.parametrize("spacing", [1, 2])
def test_shapes_are_those_of_slices(spacing):
    volume = torch.zeros(tuple(n // spacing for n in SHAPE_MM))
    assert to_slices(volume).shape == stack_shape(spacing) == (160 // spacing, *slice_shape(spacing))
    assert slice_shape(1) == (224, 160)


def test_slices_and_volumes_are_inverse_and_anterior_is_up():
    volume = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(to_volume(to_slices(volume)), volume)
    assert to_slices(volume)[0, 0, 0] == volume[0, -1, 0]


@pytest.mark.parametrize("outside, mode", [("zeros", "grid-constant"), ("border", "nearest")])
def test_a_place_in_mm_is_what_scipy_finds_there(outside, mode):
    draw = np.random.default_rng(0)
    box, volume = (12, 20, 16), draw.normal(size=(2, 6, 5, 8))
    points = draw.uniform(-2, 22, (3, 4, 5, 3))
    # the centre of voxel i lies at (i + 1/2) · box / voxels
    places = points / box * volume.shape[1:] - 0.5
    expected = [ndimage.map_coordinates(v, places.reshape(-1, 3).T, order=1, mode=mode) for v in volume]
    found = sample_at(
        torch.tensor(volume, dtype=torch.float32), torch.tensor(points, dtype=torch.float32), box, outside
    )
    np.testing.assert_allclose(found.reshape(2, -1), expected, atol=1e-5)
