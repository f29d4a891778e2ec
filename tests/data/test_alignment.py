"""Scans on the grid, against numpy, nilearn and functions known everywhere."""

import nibabel as nib
import numpy as np
import pytest
import torch
from nilearn.image import resample_to_img

from physldm.box import box_affine
from physldm.data.alignment import _place, read_on_grid
from physldm.data.sessions import Scan
from physldm.errors import InputError
from physldm.physics import Acquisition


def save(file, volume, affine):
    nib.save(nib.Nifti1Image(np.asarray(volume, np.float32), affine), file)
    return file


def volume_of(stack):
    """RAS+ volume of axial slices, written out again: rows run from anterior to posterior."""
    return stack.numpy()[:, ::-1].transpose(2, 1, 0)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """Random numbers on a small 1 mm grid whose first voxel is number (40, 60, 50) of the box."""
    values = np.random.default_rng(0).uniform(1, 100, (12, 16, 10)).astype(np.float32)
    affine = box_affine(1)
    affine[:3, 3] += (40, 60, 50)
    return save(tmp_path_factory.mktemp("cube") / "cube.nii.gz", values, affine), values


def test_voxels_of_the_box_are_cropped_exactly(cube):
    file, values = cube
    expected = np.zeros((160, 224, 160), np.float32)
    expected[40:52, 60:76, 50:60] = values
    np.testing.assert_array_equal(volume_of(read_on_grid(file, 1).stack), expected)


def test_a_coarser_grid_gets_the_mean_of_the_voxels_in_it(cube):
    file, values = cube
    expected = np.zeros((80, 112, 80), np.float32)
    expected[20:26, 30:38, 25:30] = values.reshape(6, 2, 8, 2, 5, 2).mean((1, 3, 5))
    np.testing.assert_allclose(volume_of(read_on_grid(file, 2).stack), expected, rtol=1e-5)


@pytest.mark.parametrize("axes", ["LPS", "PSR", "ILA"])
def test_the_order_and_direction_of_stored_axes_do_not_matter(cube, tmp_path, axes):
    image = nib.load(cube[0])
    there = nib.orientations.axcodes2ornt(axes)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), there))
    assert nib.aff2axcodes(turned.affine) == tuple(axes)
    nib.save(turned, tmp_path / "turned.nii.gz")
    assert torch.equal(read_on_grid(tmp_path / "turned.nii.gz", 1).stack, read_on_grid(cube[0], 1).stack)


def blob(points):
    """A smooth function of the place in the world, mm."""
    return 100 * np.exp(-(((points - (3.0, -8.0, 12.0)) / (9.0, 12.0, 10.0)) ** 2).sum(-1) / 2)


def test_an_oblique_scan_is_put_in_its_place(tmp_path):
    turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.1)
    affine = nib.affines.from_matvec(turn @ np.diag([1.5, -1.2, 2.0]), (0, 0, 0))
    shape = (50, 70, 40)
    affine[:3, 3] = (3.0, -8.0, 12.0) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    places = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    file = save(tmp_path / "oblique.nii.gz", blob(places), affine)
    found = volume_of(read_on_grid(file, 2).stack)
    box = nib.affines.apply_affine(box_affine(2), np.moveaxis(np.indices(found.shape), 0, -1))
    expected = blob(box)
    near = expected > 5
    assert near.sum() > 1000
    np.testing.assert_allclose(found[near], expected[near], atol=1.0)


def test_interpolation_is_nilearns(tmp_path):
    values = np.random.default_rng(1).uniform(1, 100, (20, 20, 20))
    file = save(tmp_path / "between.nii.gz", values, np.diag([1.1, 1.1, 1.1, 1]))
    box = nib.Nifti1Image(np.zeros((160, 224, 160), np.float32), box_affine(1))
    expected = resample_to_img(nib.load(file), box, "continuous", clip=True).get_fdata()
    np.testing.assert_allclose(volume_of(read_on_grid(file, 1).stack), expected, atol=1e-3)


def test_a_scan_far_outside_the_box_leaves_it_empty(tmp_path):
    for place in (-500, 500):
        affine = np.eye(4)
        affine[:3, 3] = place
        file = save(tmp_path / "far.nii.gz", np.arange(27).reshape(3, 3, 3), affine)
        assert read_on_grid(file, 2).stack.abs().max() == 0


def test_what_lies_beside_the_brain_is_not_in_it(tmp_path):
    """A block 20 mm deep in front of MNI's brain, whose front pole lies at y = 73 mm: a tenth of the box."""
    volume = np.random.default_rng(0).normal(0, 3, (80, 112, 80))
    front = nib.affines.apply_affine(box_affine(2), [0, 102, 0])[1] - 1
    assert front > 74
    volume[:, 102:] += 300
    file = save(tmp_path / "block.nii.gz", np.abs(volume), box_affine(2))
    with pytest.raises(InputError, match="position: found nothing where MNI's brain is"):
        _place(Scan(file, "T1w", Acquisition("mprage", tr=2.4, ti=1.0), ()), 2)
