import math

import numpy as np
import pytest
import torch

from physldm.box import SHAPE_MM
from physldm.config import load_preset
from physldm.data import example_maps, make_subject, phantom
from physldm.data.anatomy import Anatomy
from physldm.data.phantom import GAIN, _integrate, _velocity
from physldm.data.population import phantom_store
from physldm.physics import TISSUES, Acquisition

HEIGHTS = (84, 92)


@pytest.fixture(scope="module")
def subject():
    return make_subject(3, 1, spacing=2, heights=HEIGHTS)


def test_same_seed_same_subject_and_other_numbers_other_subjects(subject):
    again = make_subject(3, 1, spacing=2, heights=HEIGHTS)
    for name in ("maps", "fractions", "clean", "scans"):
        assert torch.equal(getattr(subject, name), getattr(again, name))
    for seed, index in ((3, 2), (4, 1)):
        assert not torch.equal(subject.maps, make_subject(seed, index, spacing=2, heights=HEIGHTS).maps)


def test_shapes_and_ranges(subject):
    assert subject.maps.shape == (2, 3, 112, 80) and subject.scans.shape == (2, 3, 112, 80)
    total = subject.fractions.sum(1)
    assert (subject.fractions >= 0).all() and total.max() <= 1 + 1e-5
    assert (subject.scans >= 0).all() and (subject.maps[:, 1:] > 0).all()
    assert subject.maps[:, 0][total == 0].abs().max() == 0


def test_tissues_are_those_of_the_table():
    """Over subjects the median of pure voxels is the table's value, within the spread that subjects have."""
    found = {name: [] for name in ("wm", "gm")}
    for i in range(6):
        s = make_subject(0, i, spacing=2, heights=(92,))
        for c, name in enumerate(found):
            pure = s.fractions[:, c] > 0.95
            found[name].append([s.maps[:, p][pure].median().log().item() for p in range(3)])
    for name, values in found.items():
        t = TISSUES[name]
        table = [math.log(v) for v in (t.pd, t.t1, t.t2)]
        # standard errors of a mean of six, times three
        assert np.allclose(np.mean(values, 0), table, atol=3 * 0.09 / 6**0.5)
        assert 0.02 < np.std(values, 0)[1] < 0.2


def long_train(pd, t1, t2, a):
    """90° leaves no Mz; it recovers, is turned over by one 180° after the other, and then recovers until TR."""
    mz = 1 - torch.exp(-a.echo_spacing / 2 / t1)
    for _ in range(a.train_length - 1):
        mz = 1 - (1 + mz) * torch.exp(-a.echo_spacing / t1)
    mz = 1 - (1 + mz) * torch.exp(-(a.tr - (a.train_length - 0.5) * a.echo_spacing) / t1)
    return pd * mz * torch.exp(-a.effective_te / t2)


def test_scans_are_the_equations_times_gain_and_a_gentle_bias(subject):
    """In float64, with the equations written out again."""
    pd, t1, t2 = subject.maps.double().unbind(1)
    a1, a2, a3 = subject.acquisitions
    expected = torch.stack([
        pd * (1 - 2 * torch.exp(-a1.ti / t1) / (1 + torch.exp(-a1.tr / t1))),
        long_train(pd, t1, t2, a2),
        pd * (1 - 2 * torch.exp(-a3.ti / t1) + torch.exp(-a3.tr / t1)) * torch.exp(-a3.te / t2),
    ], 1)  # fmt: skip
    inside = expected.abs() > 0.02
    bias = (subject.clean.double() / (subject.gain[0] * expected))[inside]
    assert 0.8 < bias.min() and bias.max() < 1.25 and bias.std() > 0.005
    assert len(set(subject.gain)) == 1 and 0.4 * GAIN < subject.gain[0] < 2.5 * GAIN
    tuned = make_subject(3, 1, spacing=2, heights=(92,), sequence_gain_sd=0.2)
    assert len(set(tuned.gain)) == 3


def test_noise_is_rician_with_the_share_asked_for():
    quiet = make_subject(0, 0, spacing=2, heights=(20,), noise=0.0)
    assert torch.equal(quiet.scans, quiet.clean.abs())
    s = make_subject(0, 0, spacing=2, heights=HEIGHTS, noise=0.02)
    background = s.scans[:, 1][s.clean[:, 1] == 0]
    # mean of a Rayleigh distribution is σ √(π/2)
    sigma = 0.02 * s.clean[:, 1].abs().max()
    assert background.mean().item() == pytest.approx(sigma.item() * math.sqrt(math.pi / 2), rel=0.03)


def test_deformations_can_be_inverted():
    """The Jacobian determinant of every map is positive: nothing folds over."""
    for i in range(3):
        u = _integrate(_velocity("icbm152", torch.Generator().manual_seed(i)))
        gradient = torch.stack([torch.stack(torch.gradient(u[c], spacing=4.0)) for c in range(3)])
        jacobian = gradient.permute(2, 3, 4, 0, 1) + torch.eye(3)
        assert torch.linalg.det(jacobian).min() > 0.05
        assert u.abs().max() > 1.0


@pytest.fixture
def no_fields(monkeypatch):
    """Nothing varies smoothly: what is left of chance is what tells subjects apart."""
    flat = lambda grid, mm, draw, channels=1: torch.zeros(channels, *grid.shape)  # noqa: E731
    monkeypatch.setattr(phantom, "_smooth_field", flat)


def test_people_differ_by_as_much_as_is_said(no_fields):
    grid, draw = phantom._Grid(torch.zeros(1, 1, 1, 3)), torch.Generator().manual_seed(0)
    people = torch.stack(
        [next(phantom._tissue_maps(grid, ("wm",), draw)).log().flatten() for _ in range(4000)]
    )
    # of 4000, a standard deviation is known to 1.1 %
    torch.testing.assert_close(people.std(0), torch.tensor([0.04, 0.08, 0.08]), rtol=0.05, atol=0)
    expected = torch.tensor([[1.0, 0, 0], [0, 1, 0.5], [0, 0.5, 1]])
    torch.testing.assert_close(torch.corrcoef(people.T), expected, atol=0.05, rtol=0)
    t = TISSUES["wm"]
    torch.testing.assert_close(people.median(0)[0].exp(), torch.tensor([t.pd, t.t1, t.t2]), rtol=0.01, atol=0)


def test_voxels_of_two_tissues_of_one_and_of_none_by_hand():
    wm, gm = ([t.pd, t.t1, t.t2] for t in (TISSUES["wm"], TISSUES["gm"]))
    fractions = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.0, 0.0]]).view(2, 3, 1, 1)
    tissues = [torch.tensor(values)[:, None, None, None].expand(3, 3, 1, 1) for values in (wm, gm)]
    scan = Acquisition("spin_echo", te=0.1, tr=3.2)
    maps, (echo,) = phantom._mix(fractions, tissues, [scan])
    both, half, none = maps[..., 0, 0].T.tolist()
    means = [(wm[0] + gm[0]) / 2, (wm[1] * gm[1]) ** 0.5, (wm[2] * gm[2]) ** 0.5]
    assert both == pytest.approx(means)
    assert half == pytest.approx([wm[0] / 2, *wm[1:]])  # half a voxel of water, and its own T1 and T2
    assert none == pytest.approx([0, 1.0, 0.1])
    s = [pd * (1 - math.exp(-3.2 / t1)) * math.exp(-0.1 / t2) for pd, t1, t2 in (wm, gm)]
    assert echo.flatten().tolist() == pytest.approx([(s[0] + s[1]) / 2, s[0] / 2, 0])


def test_lesions_lie_in_white_matter_beside_the_ventricles(monkeypatch):
    """A Poisson number of 6 balls of 2 to 5 mm, half of them where there is no ventricle.

    An edge that rises as 1/(1 + exp(−x/s)) makes a ball's volume 4/3 π (r³ + π² s² r); here s = 0.5 mm.
    """
    monkeypatch.setattr(phantom, "_middle_of_ventricles", lambda _: torch.tensor([80.0, 112.0, 80.0]))
    grid, seeds = phantom._grid(4, tuple(range(56, 104, 4))), range(80)
    fractions = torch.zeros(4, *grid.shape)
    fractions[0] = 1.0
    ventricles = (grid.points[..., 0] < 80).float()
    total = 0.0
    for seed in seeds:
        draw = torch.Generator().manual_seed(seed)
        found = phantom._add_lesions("", fractions, ventricles, grid, draw)
        assert (found.sum(0) - 1).abs().max() < 1e-5 and not found[3][ventricles > 0].any()
        total += found[3].sum().item() * 4**3
    r3, r = (5**4 - 2**4) / 4 / 3, 3.5  # means of an even draw from 2 to 5
    expected = 6 / 2 * 4 / 3 * math.pi * (r3 + math.pi**2 * 0.5**2 * r)
    # 80 subjects know it to 8 %; balls that overlap count once
    assert total / len(seeds) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("seed", [1, 4])
def test_ventricles_grow_where_they_should(no_fields, monkeypatch, seed):
    """A ball for ventricles, and nothing but their growth: by 4.0 mm, and by −2.8 mm where they shrink."""
    x = torch.stack(torch.meshgrid(*(torch.arange(n) + 0.5 for n in SHAPE_MM), indexing="ij"))
    ball = ((x - torch.tensor([80.0, 112.0, 80.0])[:, None, None, None]).norm(dim=0) < 18).float()
    head = Anatomy("ball", torch.zeros(4, *SHAPE_MM), ball, np.eye(4))
    monkeypatch.setattr(phantom, "load_anatomy", lambda _: head)
    again = torch.Generator().manual_seed(seed)
    growth, scale = (
        2 + 3 * torch.randn((), generator=again),
        torch.exp(0.04 * torch.randn(3, generator=again)),
    )
    _, ventricles = phantom._warp("ball", 4, phantom._grid(4, None), torch.Generator().manual_seed(seed))
    phantom._pooled.cache_clear()
    larger = ventricles.sum().item() * 4**3 / (ball.sum() * scale.prod()).item()
    assert abs(growth) > 0.5 and (larger - 1) * growth > 0.02 * growth**2


def test_mixed_signals_differ_from_the_signal_of_mixed_properties():
    one = make_subject(0, 0, spacing=2, heights=(92,), noise=0.0)
    other = make_subject(0, 0, spacing=2, heights=(92,), noise=0.0, partial_volume="signals")
    pure = (one.fractions.amax(1) > 0.999)[:, None].expand_as(one.clean)
    mixed = (one.fractions.amax(1) < 0.7)[:, None].expand_as(one.clean) & (one.clean > 50)
    torch.testing.assert_close(one.clean[pure], other.clean[pure], rtol=2e-2, atol=2.0)
    assert ((one.clean - other.clean).abs() / one.clean)[mixed].median() > 0.02


def test_example_slice_holds_the_table():
    maps, fractions = example_maps()
    white = fractions[0] > 0.95
    expected = torch.tensor([TISSUES["wm"].pd, TISSUES["wm"].t1, TISSUES["wm"].t2])
    assert white.sum() > 500
    torch.testing.assert_close(maps[:, white].median(1).values, expected, rtol=0.02, atol=0.0)


@pytest.mark.slow
def test_splits_are_by_subject_and_the_store_gives_back_what_was_made(tmp_path):
    config = load_preset("smoke").data
    store = phantom_store(config, 5, tmp_path / "slices")
    train, heldout = store.slices("train"), store.slices("heldout")
    subjects = [
        {store.index["sessions"][i]["subject"] for i in store.sessions(s)} for s in ("train", "heldout")
    ]
    assert not subjects[0] & subjects[1] and len(train) + len(heldout) == len(store.session_of)
    assert len(store.sessions("train")) == config.train_subjects
    direct = make_subject(5, 1, spacing=2, heights=tuple(range(*config.heights)))
    torch.testing.assert_close(store.array("scans", store.of_session(1)), direct.scans)
    assert store.protocol(1) == direct.acquisitions
    # another seed is not taken for this one
    other = phantom_store(config, 6, tmp_path / "slices")
    assert other.fingerprint != store.fingerprint
