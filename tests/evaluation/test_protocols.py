"""Scores over other scanners: of stand-ins whose maps are off by what is known, on brains of two flat tissues."""

import statistics

import numpy as np
import pytest
import torch

from physldm.data.protocols import FAMILIES, LATEST, LEFT_OUT, OF, USUAL
from physldm.evaluation.protocols import draw_table, protocol_scores, read_table, write_table
from physldm.physics import CONTRASTS, SEQUENCES, signal

from .cases import GM, WM, two_people

KINDS = {"protocols": 25, "protocols_edge": 10, "protocols_new": 5}
FIELD = 800.0, 1200.0  # of the two people


@pytest.fixture
def store(tmp_path):
    return two_people(tmp_path, 12, FIELD)


class StandIn:
    """Finds the true maps, PD in a unit of its own, T1 of white matter off by a share that ``wrong`` says of a person and
    the names of the sequences; keeps the scans it was shown."""

    def __init__(self, store, wrong=lambda person, names: 0.0):
        self.store, self.wrong, self.shown = store, wrong, []

    def __call__(self, batch):
        person = len(self.shown) // sum(KINDS.values())
        self.shown.append(batch)
        maps = self.store.array("maps", self.store.of_session(person)[: len(batch.images)]).clone()
        maps[:, 0] *= 370
        maps[:, 1, :, :20] *= 1 + self.wrong(person, batch.acquisitions.sequence[0])
        return maps


def test_who_finds_the_truth_has_no_error(store):
    found = protocol_scores(StandIn(store), store, [0, 1])
    assert set(found) == {
        f"{kind}.{p}_mdape.{t}.{of}" for kind in KINDS for p in ("pd", "t1", "t2") for t in ("wm", "gm")
        for of in ("median", "worst")
    }  # fmt: skip
    assert max(found.values()) < 1e-3
    assert protocol_scores(StandIn(store), store, []) == {}


def test_median_and_worst_are_those_of_the_scanners_that_are_wrong(store):
    off = {
        "mprage": 0.04,
        "ir_tse": 0.06,
        "mprage_readout": 0.08,
        "spgr": 0.3,
        "psir": 0.1,
        "spin_echo_exact": 0.2,
    }
    found = protocol_scores(StandIn(store, lambda _, names: off[names[0]]), store, [0, 1])
    # of those left out two have a usual T1w: 4 %, twice, 10, 20, 30 %
    new = {of: found[f"protocols_new.t1_mdape.wm.{of}"] for of in ("median", "worst")}
    assert new == pytest.approx({"median": 10, "worst": 30}, rel=1e-4)
    for kind in ("protocols", "protocols_edge"):
        each = [100 * off[scanner.protocol[0].sequence] for scanner in read_table()[kind]]
        assert found[f"{kind}.t1_mdape.wm.median"] == pytest.approx(statistics.median(each), rel=1e-4)
        assert found[f"{kind}.t1_mdape.wm.worst"] == pytest.approx(8, rel=1e-4)
    assert max(value for key, value in found.items() if "t1_mdape.wm" not in key) < 1e-3


def test_a_scanner_has_the_mean_of_its_people(store):
    wrong = {0: 0.3, 1: 0.1}
    found = protocol_scores(StandIn(store, lambda person, _: wrong[person]), store, [0, 1])
    for of in ("median", "worst"):
        assert found[f"protocols.t1_mdape.wm.{of}"] == pytest.approx(20, rel=1e-4)


def test_scans_are_noisy_magnitudes_with_a_gain_of_their_own_where_a_receiver_is_tuned(store):
    stand_in = StandIn(store)
    protocol_scores(stand_in, store, [0, 1])
    scanners = [scanner for kind in KINDS for scanner in read_table()[kind]]
    gains, noise = {True: [], False: []}, []
    for number, batch in enumerate(stand_in.shown):
        person, scanner = number // len(scanners), scanners[number % len(scanners)]
        assert batch.images.min() >= 0
        for n, taken in enumerate(scanner.protocol):
            assert batch.acquisitions.sequence[0][n] == taken.sequence
            tissue = torch.tensor([WM, GM]) * torch.tensor([1.0, 1 + 0.1 * person, 1.0])
            true = FIELD[person] * signal(tissue.T[:, None], taken).abs()[0]
            strong = int(true.argmax())
            found = batch.images[:, n, :, 20 * strong : 20 * strong + 20]
            gains[scanner.tuned].append((found.mean() / true[strong]).log().item())
            noise.append((found.std() / found.mean()).item())
    assert np.abs(gains[False]).max() < 2e-3
    n = len(gains[True])  # the SD of n draws is known to a share of 1/√2n
    assert n == 114 and np.std(gains[True]) == pytest.approx(0.1, rel=3.5 / np.sqrt(2 * n))
    assert noise == pytest.approx([0.01] * len(noise), rel=0.1)


def test_every_run_is_shown_the_same_scans(store):
    one, other, second = StandIn(store), StandIn(store), StandIn(store)
    for stand_in, people in ((one, [0, 1]), (other, [0, 1]), (second, [1])):
        protocol_scores(stand_in, store, people)
    assert all(torch.equal(a.images, b.images) for a, b in zip(one.shown, other.shown, strict=True))
    assert all(torch.equal(a.images, b.images) for a, b in zip(one.shown[40:], second.shown, strict=True))


@pytest.mark.parametrize(
    "people, slices, scanned", [(1, 3, 1), (2, 8, 2), (8, 17, 3), (16, 17, 1), (40, 17, 1)]
)
def test_a_few_slices_of_everybody_are_scanned(store, monkeypatch, people, slices, scanned):
    numbers = np.arange(slices)
    monkeypatch.setattr(type(store), "of_session", lambda self, session: numbers)
    monkeypatch.setattr("physldm.evaluation.protocols.Person.of", lambda store, some: taken.append(some))
    monkeypatch.setattr("physldm.evaluation.protocols.read_table", dict)
    taken = []
    protocol_scores(StandIn(store), store, list(range(people)))
    assert [len(some) for some in taken] == [scanned] * people
    assert abs(np.mean(taken[0]) - (slices - 1) / 2) <= 0.5  # about the middle


def test_the_stored_scanners_are_those_that_are_drawn(tmp_path):
    assert read_table() == draw_table() and {k: len(v) for k, v in read_table().items()} == KINDS
    write_table(tmp_path / "again.json")
    from physldm.evaluation.protocols import TABLE

    assert (tmp_path / "again.json").read_bytes() == TABLE.read_bytes()


@pytest.mark.parametrize("kind", ["protocols", "protocols_edge"])
def test_all_ways_to_scan_are_among_them(kind):
    assert {scan.sequence for scanner in read_table()[kind] for scan in scanner.protocol} == {
        family.sequence for family in FAMILIES
    }


def test_25_lie_inside_what_training_draws():
    for scanner in read_table()["protocols"]:
        for contrast, scan in zip(CONTRASTS, scanner.protocol, strict=True):
            assert any(family.covers(scan, 1.001) for family in OF[contrast]), scan


def test_10_lie_at_its_ends():
    at_ends = dict.fromkeys(CONTRASTS, 0)
    for scanner in read_table()["protocols_edge"]:
        for contrast, scan in zip(CONTRASTS, scanner.protocol, strict=True):
            for family in OF[contrast]:
                if family.sequence != scan.sequence:
                    continue
                for name, ends in family.ranges.items():
                    value = scan.settings[name]
                    end = min(abs(value / e - 1) for e in ends) < 2e-3
                    # a train is cut to the time that there is, and TI to a share of TR
                    cut = name == "train_length" or (
                        name == "ti" and value == pytest.approx(LATEST * scan.tr, rel=1e-3)
                    )
                    assert end or (cut and value < ends[1]), (name, value, ends)
                    at_ends[contrast] += end
    assert min(at_ends.values()) > 15


def test_5_have_one_scan_that_no_training_sees_beside_two_usual_ones():
    usual = {contrast: [f for f in USUAL if f.contrast == contrast] for contrast in CONTRASTS}
    for scanner, (where, scan) in zip(read_table()["protocols_new"], LEFT_OUT, strict=True):
        assert scan.sequence not in {f.sequence for f in OF[where]}
        assert not any(f.covers(scan, slack=1.5) for f in FAMILIES)
        for contrast, taken in zip(CONTRASTS, scanner.protocol, strict=True):
            assert taken == scan if contrast == where else any(f.covers(taken) for f in usual[contrast])
    left = {scan.sequence for _, scan in LEFT_OUT}
    assert len(left) == 5 and not any(SEQUENCES[name].unitless for name in left)
