"""A step's scans: of brains they are made when asked for, of measured subjects they are what was measured."""

import numpy as np
import pytest
import torch
from scipy import stats

from physldm.config import load_preset
from physldm.data.phantom import GAIN
from physldm.data.scanning import TUNING, Receiver, once_scanned, scan_slices
from physldm.data.slices import add_session, close_store
from physldm.draws import keyed_draw
from physldm.physics import Acquisition, signal

PROTOCOL = tuple(Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair"))
SHAPE = 48, 40
SLICES = 3
WM = 0.7, 0.85, 0.07


@pytest.fixture
def mixed(tmp_path):
    """Two brains that nobody has scanned, flat, of different T1, and between them a measured subject."""
    maps = torch.tensor(WM)[:, None, None].expand(SLICES, 3, *SHAPE)
    split = {}
    for number, name in enumerate(("brain-0", "measured", "brain-1")):
        longer = maps * torch.tensor([1.0, 1 + 0.2 * number, 1.0])[:, None, None]
        if name == "measured":
            arrays = {"scans": 300 * np.random.default_rng(0).random((SLICES, 3, *SHAPE), np.float32)}
        else:
            arrays = {"maps": longer.numpy(), "fractions": np.ones((SLICES, 1, *SHAPE), np.float32)}
        add_session(tmp_path, name, subject=name, source="", arrays=arrays, heights=range(SLICES),
                    acquisitions=PROTOCOL if name == "measured" else None)  # fmt: skip
        split[name] = "train"
    return close_store(tmp_path, split, spacing=2, fingerprint="")


def data(protocols, **changes):
    return load_preset("smoke").data.model_copy(update={"protocols": protocols, **changes})


def draw(number=0):
    return keyed_draw(7, number)


def fields(images, acquisitions, maps):
    """Images over the signal of the maps: gain times the coil's field, ``[B, N, H, W]``, in float64."""
    return images.double() / signal(maps, acquisitions).abs().double()


def test_a_store_of_brains_is_no_store_of_scans(mixed):
    assert [mixed.is_brain(s) for s in range(9)] == [True] * 3 + [False] * 3 + [True] * 3
    assert mixed.shape == SHAPE and [mixed.has_truth(s) for s in range(3)] == [True, False, True]
    with pytest.raises(ValueError, match="brain-0: found maps, expected scans"):
        mixed.protocol(0)


@pytest.mark.parametrize("protocols", ["usual", "any"])
def test_the_same_key_gives_the_same_scans(mixed, protocols):
    one, same, other = (scan_slices(mixed, range(9), data(protocols), draw(n), again=9) for n in (0, 0, 1))
    for a, b in ((one.given, same.given), (one.other, same.other)):
        assert torch.equal(a.images, b.images) and a.acquisitions.sequence == b.acquisitions.sequence
    apart = (one.given.images != other.given.images).flatten(1).any(1)
    assert apart.tolist() == [True] * 3 + [False] * 3 + [True] * 3


def test_a_slice_that_is_scanned_once_is_the_same_in_any_company(mixed):
    whole = once_scanned(mixed, range(9), data("any"), seed=4)
    some = once_scanned(mixed, [7, 4, 0], data("any"), seed=4)
    assert torch.equal(some.images, whole[[7, 4, 0]].images)
    assert torch.equal(some.acquisitions.tr, whole.acquisitions.tr[[7, 4, 0]])
    assert torch.equal(whole.images[3:6], mixed.batch(range(3, 6)).images)
    assert len({float(x) for x in whole.acquisitions.tr[:, 0]}) > 5  # every slice in its own way
    other = once_scanned(mixed, [7], data("any"), seed=5)
    assert not torch.equal(other.images, some.images[:1])


def test_brains_and_measured_subjects_come_in_the_order_that_they_were_asked_for(mixed):
    order = [5, 8, 0, 3, 1, 6]
    scanned = scan_slices(mixed, order, data("any", noise=0.0), draw(), again=4)
    given, other, measured = scanned.given, scanned.other, [0, 3]
    assert torch.equal(given.images[measured], mixed.batch([5, 3]).images)
    assert torch.equal(scanned.gain[measured], torch.ones(2, 3)) and given.mask.all()
    assert torch.equal(other.images[1], given.images[3])  # measured, and there is no other way
    assert other.acquisitions.sequence[1] == given.acquisitions.sequence[3]
    brains = [1, 2, 4, 5]
    maps = mixed.array("maps", [order[place] for place in brains])
    taken = given[brains]
    field = fields(taken.images, taken.acquisitions, maps) / scanned.gain[brains][..., None, None]
    # had a brain another's maps, contrasts would not agree on its field
    torch.testing.assert_close(field, field[:, :1].expand_as(field), rtol=1e-4, atol=0)


def test_brains_to_train_on_are_scanned_as_training_is_told_to(mixed, monkeypatch):
    odd = tuple(Acquisition.usual(name) for name in ("psir", "bssfp", "dir"))
    monkeypatch.setattr("physldm.data.scanning.training_protocol", lambda kind, draw: odd)
    scanned = scan_slices(mixed, [0, 7], data("any"), draw(), again=2)
    for batch in (scanned.given, scanned.other):
        assert set(batch.acquisitions.sequence) == {("psir", "bssfp", "dir")}


def test_other_scans_are_of_the_same_brain_in_another_way_and_at_its_own_gain(mixed):
    scanned = scan_slices(mixed, [0, 1, 6, 7], data("any", noise=0.0), draw(), again=3)
    maps = mixed.array("maps", [1, 6, 7])
    given, other = scanned.given[[1, 2, 3]], scanned.other
    assert other.images.shape == (3, 3, *SHAPE)
    own = fields(given.images, given.acquisitions, maps) / scanned.gain[1:][..., None, None]
    torch.testing.assert_close(fields(other.images, other.acquisitions, maps), own, rtol=1e-4, atol=0)
    # two T2w scans have the same TE by no chance
    assert (other.acquisitions.contrast_te != given.acquisitions.contrast_te)[:, 1].all()
    assert scan_slices(mixed, [0], data("any"), draw()).other is None


@pytest.mark.parametrize("protocols, spread", [("any", TUNING), ("usual", 0.05), ("usual", 0.0)])
def test_a_scan_has_a_gain_of_its_own_where_its_receiver_is_tuned(mixed, protocols, spread):
    asked = data(protocols, sequence_gain_sd=0.05 if protocols == "any" else spread, noise=0.0)
    gains, brains = [], []
    for number in range(60):
        scanned = scan_slices(mixed, [0, 7], asked, draw(number))
        maps = mixed.array("maps", [0, 7])
        found = fields(scanned.given.images, scanned.given.acquisitions, maps).log().mean((2, 3))
        gains.append(scanned.gain.log())
        # what is said is what was done: the scans of a brain differ by it
        torch.testing.assert_close(
            found - found[:, :1], (gains[-1] - gains[-1][:, :1]).double(), rtol=0, atol=1e-4
        )
        brains.append((found - gains[-1])[:, 0])
    gains, brains = torch.cat(gains), torch.stack(brains).flatten()
    if protocols == "any":  # half the receivers are not tuned between scans
        tuned = gains.any(1)
        assert stats.binomtest(int(tuned.sum()), len(tuned), 0.5).pvalue > 1e-3
        gains = gains[tuned]
    assert gains.std().item() == pytest.approx(spread, rel=3.5 / (2 * gains.numel()) ** 0.5)
    # the brain's own: log-normal about GAIN
    sd = asked.gain_sd
    assert brains.mean().exp().item() == pytest.approx(GAIN, rel=4 * sd / len(brains) ** 0.5)
    assert brains.std().item() == pytest.approx(sd, rel=0.2)


@pytest.mark.parametrize("coils", [1, 4])
def test_magnitudes_are_those_of_rice(coils):
    maps = torch.tensor(WM)[None, :, None, None].repeat(2, 1, 200, 150)
    maps[1, 0] = 0.0  # air, but for one bright voxel that sets the noise
    maps[1, 0, 0, 0] = 0.7
    noise = torch.tensor([0.3, 0.1])[:, None, None, None]
    receiver = Receiver(torch.full((2, 1, 200, 150), 500.0), noise, coils)
    images = receiver.scan(maps, [PROTOCOL] * 2, draw()).images[..., 1:, 1:].double()
    pd, t1, t2 = WM
    strong = 500 * pd * (1 - np.exp(-3.2 / t1)) * np.exp(-0.1 / t2)  # the T2w scan
    for row, s in ((0, strong), (1, 0.0)):
        sigma = float(noise[row]) * strong
        found = images[row, 1].numpy()
        # |signal|² + 2n parts of noise: a non-central χ² of 2n degrees of freedom
        square = stats.ncx2(2 * coils, (s / sigma) ** 2) if s else stats.chi2(2 * coils)
        error = 5 * sigma**2 * square.std() / found.size**0.5
        assert (found**2).mean() == pytest.approx(sigma**2 * square.mean(), abs=error)
        if coils == 1:
            rice = stats.rice(s / sigma, scale=sigma)
            assert found.mean() == pytest.approx(rice.mean(), abs=5 * rice.std() / found.size**0.5)
            assert found.std() == pytest.approx(rice.std(), rel=0.02)


def test_noise_and_field_are_drawn_where_scanners_may_be_any():
    usual, many = (
        [Receiver.draw(1, SHAPE, 2, data(kind), draw(n)) for n in range(150)] for kind in ("usual", "any")
    )
    assert [float(r.noise) for r in usual] == pytest.approx([0.01] * 150) and {r.coils for r in usual} == {1}
    noise = torch.cat([r.noise.flatten() for r in many])
    assert 0.005 <= noise.min() < 0.0055 and 0.018 < noise.max() <= 0.02
    assert {r.coils for r in many} == {1, 2, 4}
    strength = [[float(r.field.log().std()) for r in kind] for kind in (usual, many)]
    assert strength[0] == pytest.approx([0.03] * 150, rel=1e-3)
    assert min(strength[1]) < 0.01 and 0.09 < max(strength[1]) < 0.1001


def test_a_field_is_smooth():
    field = Receiver.draw(60, (112, 80), 2, data("usual"), draw()).field.log()
    field = field - field.mean((2, 3), keepdim=True)

    def alike(millimetres):
        pixels = millimetres // 2
        return (field[:, :, pixels:] * field[:, :, :-pixels]).mean() / field.square().mean()

    assert alike(6) > 0.95 and alike(60) < 0.3
