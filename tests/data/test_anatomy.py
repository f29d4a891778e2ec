"""Anatomies: the average brain, and heads from label maps whose geometry is known."""

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from physldm.box import SHAPE_MM
from physldm.config import load_preset
from physldm.data import CLASSES, anatomies, load_anatomy, make_subject
from physldm.data.anatomy import IN_THE_SKULL, _share, _without_false_ring
from physldm.data.phantom import _fractions_at, _integrate, _velocity
from physldm.data.population import cast, phantom_fingerprint
from physldm.errors import InputError

# Centre and radii in mm, in RAS, of the shells of a head like an onion: skin, other soft tissue, bone, CSF, cortex,
# white matter; and of two ventricles.
CENTRE = np.array([100.0, 120.0, 110.0])
SHELLS = ((511, 74), (507, 72), (515, 66), (24, 62), (3, 58), (2, 54))


def onion(zoom=1.0, *, outside=True):
    """A head of nested balls, with ventricles right and left of the middle, as RAS+ labels."""
    n = round(240 / zoom)
    x = (np.indices((n, n, n)) + 0.5) * zoom
    labels = np.zeros((n, n, n), dtype=np.int16)
    distance = np.sqrt(((x - CENTRE[:, None, None, None]) ** 2).sum(0))
    for label, radius in SHELLS:
        if outside or label in (3, 2):
            labels[distance < radius] = label
    for label, side in ((4, -1), (43, 1)):
        labels[np.sqrt(((x - np.add(CENTRE, (12 * side, 0, 10))[:, None, None, None]) ** 2).sum(0)) < 8] = (
            label
        )
    labels[np.sqrt(((x - np.add(CENTRE, (20, 20, 0))[:, None, None, None]) ** 2).sum(0)) < 6] = 12
    return labels


def save(labels, file, zoom=1.0, axes="RAS"):
    image = nib.Nifti1Image(labels, np.diag([zoom, zoom, zoom, 1.0]))
    ornt = nib.orientations.axcodes2ornt(tuple(axes))
    nib.save(
        image.as_reoriented(nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), ornt)), file
    )
    return str(file)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """As public label maps are stored: left, inferior, anterior."""
    return save(onion(), tmp_path_factory.mktemp("heads") / "onion.nii.gz", axes="LIA")


def ball(radius):
    return 4 / 3 * np.pi * radius**3


@pytest.mark.slow
def test_a_head_lies_in_the_box_the_right_way_up_with_its_volumes(head):
    a = load_anatomy(head)
    f = dict(zip(CLASSES, a.fractions.double(), strict=True))
    assert a.fractions.shape == (len(CLASSES), *SHAPE_MM) and a.fractions.min() >= 0
    assert a.fractions.sum(0).max() <= 1 + 1e-5
    np.testing.assert_array_equal(a.affine, load_anatomy("icbm152").affine)
    expected = {
        "wm": ball(54) - 2 * ball(8) - ball(6),
        "gm": ball(58) - ball(54),
        "csf": ball(62) - ball(58) + 2 * ball(8),
        "deep_gm": ball(6),
        "fat": ball(72) - ball(67),  # within 5 mm of the skin
        "muscle": ball(74) - ball(72) + ball(67) - ball(66),
    }
    for name, volume in expected.items():
        # steps of 1 mm count along a shell's whole surface; the box cuts nothing off (74 mm against 80)
        assert f[name].sum().item() == pytest.approx(
            volume, rel=0.35 if name in ("fat", "muscle") else 0.02
        ), name
    # the brain's centre is the box's; the nucleus lies to the right and in front, the ventricles above
    where = torch.stack(torch.meshgrid(*(torch.arange(n) + 0.5 for n in SHAPE_MM), indexing="ij"))
    centre = lambda v: (where * v).sum((1, 2, 3)) / v.sum()  # noqa: E731
    middle = torch.tensor([80.0, 112.0, 80.0], dtype=torch.float64)
    torch.testing.assert_close(centre(f["gm"]), middle, atol=1.0, rtol=0)
    torch.testing.assert_close(
        centre(f["deep_gm"]) - middle, torch.tensor([20.0, 20.0, 0.0]).double(), atol=1.0, rtol=0
    )
    torch.testing.assert_close(
        centre(a.ventricles.double()) - middle, torch.tensor([0.0, 0.0, 10.0]).double(), atol=1.0, rtol=0
    )


@pytest.mark.slow
def test_edges_are_fractions_and_bone_is_silent(head):
    a = load_anatomy(head)
    line = a.fractions[:, 80:, 112, 80]  # outwards from the middle
    white = line[0].numpy()
    assert white[45] > 0.999 and white[56] < 1e-3
    assert ((white > 0.05) & (white < 0.95)).sum() >= 2
    assert line[:, 64].sum() < 0.01  # bone, at 62 to 66 mm


@pytest.mark.slow
def test_other_resolutions_give_the_same_head(head, tmp_path):
    fine, coarse = load_anatomy(head), load_anatomy(save(onion(1.5), tmp_path / "coarse.nii.gz", 1.5))
    for c, name in enumerate(CLASSES):
        if name not in ("fat", "muscle"):
            assert coarse.fractions[c].sum().item() == pytest.approx(
                fine.fractions[c].sum().item(), rel=0.06
            ), name
    assert (fine.fractions[0] - coarse.fractions[0]).abs().mean() < 0.01


@pytest.mark.slow
def test_a_map_without_fluid_around_the_brain_gets_some(tmp_path):
    a = load_anatomy(save(onion(outside=False), tmp_path / "aseg.mgz"))
    dent = onion(outside=False)
    dent[:, 118:122, 160:] = 0  # a sulcus 4 mm wide, from the top down into white matter
    with_sulcus = load_anatomy(save(dent, tmp_path / "sulcus.nii.gz"))
    assert a.fractions[6:].abs().max() == 0
    segment = 58**2 * np.arccos(50 / 58) - 50 * np.sqrt(58**2 - 50**2)
    more = (with_sulcus.fractions[2].sum() - a.fractions[2].sum()).item()
    assert more == pytest.approx(4 * segment, rel=0.15)


@pytest.mark.parametrize("zoom", [1.0, 1.5, 0.8])
def test_a_ball_of_labels_lies_where_it_was(zoom):
    """Its centre, in mm from the corner of the box: that of its voxels, less the corner."""
    shape, corner = np.array([150, 140, 130]), np.array([10.0, -30.0, 5.0])
    places = (np.moveaxis(np.indices(shape), 0, -1) + 0.5) * zoom
    where = np.linalg.norm(places - np.array([60.0, 50.0, 55.0]) * zoom**0.5, axis=-1) < 20
    share = _share(where, corner, np.full(3, zoom))
    assert share.sum() == pytest.approx(where.sum() * zoom**3, rel=2e-3)
    at = [
        (np.arange(n) + 0.5) @ share.sum(tuple({0, 1, 2} - {axis})) / share.sum()
        for axis, n in enumerate(SHAPE_MM)
    ]
    np.testing.assert_allclose(at, places[where].mean(0) - corner, atol=0.02)


@pytest.mark.slow
def test_crumbs_in_the_air_are_no_head(head, tmp_path):
    crumbs = onion()
    crumbs[5:8, 5:8, 5:8] = 24
    again = load_anatomy(save(crumbs, tmp_path / "crumbs.nii.gz", axes="LIA"))
    torch.testing.assert_close(again.fractions, load_anatomy(head).fractions)


@pytest.mark.slow
def test_what_is_no_label_map_is_refused(head, tmp_path):
    strange = onion()
    strange[0, 0, 0] = 999
    half = np.zeros((4, 4, 4), dtype=np.float32) + 0.5
    (tmp_path / "short.nii.gz").write_bytes(open(head, "rb").read()[:5000])
    cases = {
        save(strange, tmp_path / "strange.nii.gz"): r"labels: found \[999\]",
        save(half, tmp_path / "half.nii.gz"): "whole numbers",
        save(np.full((4, 4, 4), 24, np.int16), tmp_path / "fluid.nii.gz"): "no white matter",
        save(np.zeros((4, 4, 4, 2), np.int16)[..., 0], tmp_path / "empty.nii.gz"): "no white matter",
        save(
            np.where(np.isin(onion(), (4, 43)), 24, onion()), tmp_path / "dry.nii.gz"
        ): "no lateral ventricle",
        str(tmp_path / "short.nii.gz"): "damaged",
        str(tmp_path / "none.nii.gz"): "missing",
    }
    for file, message in cases.items():
        with pytest.raises(InputError, match=message) as error:
            load_anatomy(file)
        assert file in str(error.value)
    with pytest.raises(InputError, match="anatomy: found"):
        anatomies(str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_subjects_of_a_head_have_skulls_and_keep_their_shape_in_one_piece(head):
    for i in range(2):
        u = _integrate(_velocity(head, torch.Generator().manual_seed(i)))
        gradient = torch.stack([torch.stack(torch.gradient(u[c], spacing=4.0)) for c in range(3)])
        assert torch.linalg.det(gradient.permute(2, 3, 4, 0, 1) + torch.eye(3)).min() > 0.05
    s = make_subject(0, 0, anatomy=head, spacing=2, heights=(80,))
    assert s.fractions.shape == (1, len(CLASSES), 112, 80)
    fat = s.fractions[0, 6] > 0.9
    assert s.scans[0, 0][fat].median() > 2 * s.scans[0, 0][s.fractions[0, 0] > 0.9].median()
    assert (s.fractions[0, :IN_THE_SKULL].sum(0) > 0.5).sum() * 4 == pytest.approx(np.pi * 62**2, rel=0.15)


@pytest.mark.parametrize("spacing", [1, 2])
def test_coarser_voxels_average_the_fine_ones(spacing):
    """At points whose voxels are whole: 2 mm voxels are the means of eight, in their place."""
    a = load_anatomy("icbm152")
    points = torch.tensor([[60.0, 100.0, 80.0], [90.0, 120.0, 90.0]]) + spacing / 2
    found = _fractions_at("icbm152", spacing, points[None, None])[:, 0, 0]
    for n, corner in enumerate((points - spacing / 2).int().tolist()):
        block = a.fractions[(slice(None), *(slice(c, c + spacing) for c in corner))]
        torch.testing.assert_close(found[:-1, n], block.mean((1, 2, 3)), atol=1e-4, rtol=0)


def test_of_several_anatomies_none_is_in_both_splits(head, tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.nii.gz").write_bytes(open(head, "rb").read() + name.encode())
    data = load_preset(
        "smoke", [f"data.anatomy={tmp_path}", "data.train_subjects=9", "data.heldout_subjects=3"]
    ).data
    parts = cast(data)
    train, heldout = ({a for a, s in parts if s == split} for split in ("train", "heldout"))
    assert len(train) == 4 and len(heldout) == 1 and not train & heldout
    assert [s for _, s in parts] == ["train"] * 9 + ["heldout"] * 3
    before = phantom_fingerprint(data, 0)
    (tmp_path / "a.nii.gz").write_bytes(b"other")
    assert phantom_fingerprint(data, 0) != before


def test_false_grey_at_a_ventricle_goes_and_a_nucleus_beside_it_stays():
    # a ventricle in white matter, a nucleus at its right side; a T1w picture of them, and tissue read from its
    # brightness alone, which takes a mixture of CSF and white matter for grey
    x = np.indices((60, 60, 60)) - 30.0
    fluid = np.sqrt((x**2).sum(0)) < 8
    nucleus = (np.sqrt(((x - np.array([13.0, 0, 0])[:, None, None, None]) ** 2).sum(0)) < 8) & ~fluid
    gm, csf = (ndimage.gaussian_filter(v.astype(float), 0.8) for v in (nucleus, fluid))
    t1 = 1.0 - 0.3 * gm - 0.7 * csf
    seen_gm = np.interp(t1, [0.3, 0.7, 1.0], [0, 1, 0])
    seen_wm, seen_csf = np.interp(t1, [0.7, 1], [0, 1]), np.interp(t1, [0.3, 0.7], [1, 0])
    found_gm, found_wm, found_csf = _without_false_ring(seen_gm, seen_wm, seen_csf, t1, fluid)
    np.testing.assert_allclose(found_gm + found_wm + found_csf, 1.0, atol=1e-9)
    left, right = x[0] < -4, x[0] > 6
    assert np.abs(seen_gm - gm)[left].max() > 0.8  # the ring
    assert np.abs(found_gm - gm)[left].max() < 0.05 and np.abs(found_csf - csf)[left].max() < 0.05
    assert found_gm[nucleus & right].sum() > 0.95 * seen_gm[nucleus & right].sum()


def test_the_average_brain_has_its_nuclei_and_no_ring():
    # MNI coordinates of heads of the caudate, thalami, and white matter beside frontal and occipital horns
    a = load_anatomy("icbm152")
    at = lambda mm: tuple(np.round(np.linalg.inv(a.affine) @ (*mm, 1))[:3].astype(int))  # noqa: E731
    for side in (-1, 1):
        for grey in ((13 * side, 12, 10), (10 * side, -18, 8)):
            assert a.fractions[1][at(grey)] > 0.7, grey
        lateral = [a.fractions[1][at((side * x, -44, 12))].item() for x in range(18, 40)]
        assert max(lateral) < 0.25, lateral
