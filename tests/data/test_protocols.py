"""How brains are scanned: what is drawn lies within what is said, and as often."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from physldm.data.protocols import (
    FAMILIES,
    FLUID_T1,
    LATEST,
    OF,
    USUAL,
    Family,
    as_played,
    draw_protocol,
    fluid_null,
    training_protocol,
)
from physldm.physics import CONTRASTS, Acquisition, flair

FLAIR = next(f for f in FAMILIES if f.sequence == "flair")
DRAWS = 2000


@pytest.fixture(scope="module")
def drawn():
    draw = torch.Generator().manual_seed(0)
    return [draw_protocol("any", draw) for _ in range(DRAWS)]


@pytest.mark.parametrize("tr", [4.8, 9.0, 11.0, 40.0])
def test_fluid_gives_nothing_at_its_null(tr):
    number = {"dtype": torch.float64}
    found = flair(
        *(torch.tensor(x, **number) for x in (1.0, FLUID_T1, 1.9)), te=0.09, tr=tr, ti=fluid_null(tr)
    )
    assert found.item() == pytest.approx(0, abs=1e-12)
    assert fluid_null(60.0) == pytest.approx(FLUID_T1 * math.log(2), rel=1e-5)


@pytest.mark.parametrize(
    "change, slack, covered",
    [
        ({}, 1.0, True),
        ({"te": 0.15}, 1.0, False),
        ({"te": 0.15}, 1.08, True),
        ({"te": 0.06}, 1.1, False),
        ({"tr": 4.5, "ti": 1.6}, 1.0, False),
        # fluid's null at TR 9 s is 2.44 s, and TI 0.85 to 1.15 of it
        ({"ti": 2.09}, 1.0, True),
        ({"ti": 2.06}, 1.0, False),
        ({"ti": 2.79}, 1.0, True),
        ({"ti": 2.82}, 1.0, False),
        ({"tr": 6.0, "ti": 2.5}, 1.0, False),  # at TR 6 s it is 2.01 s
    ],
)
def test_a_family_covers_what_lies_within_its_ranges(change, slack, covered):
    scan = Acquisition("flair", te=0.09, tr=9.0, ti=2.44)
    assert FLAIR.covers(Acquisition("flair", scan.settings, **change), slack) is covered
    assert not FLAIR.covers(Acquisition("flair_exact", scan.settings), 2.0)


def test_a_setting_that_an_equation_does_not_take_is_not_held_against_a_scan():
    family = Family.of("T1w", Acquisition("mprage", te=0.003, tr=2.4, ti=1.0), "")
    assert family.covers(Acquisition("mprage", te=0.004, tr=2.4, ti=1.0))
    assert not family.covers(Acquisition("mprage", te=0.003, tr=2.3, ti=1.0))


def test_usual_protocols_are_as_frequent_as_in_oasis():
    draw = torch.Generator().manual_seed(0)
    rows = [draw_protocol("usual", draw) for _ in range(DRAWS)]
    for row in rows:
        for contrast, scan in zip(CONTRASTS, row, strict=True):
            assert any(f.contrast == contrast and f.covers(scan) for f in USUAL)
    for place, name, value, share in ((0, "ti", 1.0, 1344 / 2210), (2, "te", 0.091, 845 / 1096)):
        found = sum(row[place].settings[name] == value for row in rows)
        assert stats.binomtest(found, DRAWS, share).pvalue > 1e-3
    assert stats.kstest([row[1].effective_te for row in rows], stats.uniform(0.09, 0.03).cdf).pvalue > 1e-3


def test_a_usual_t2w_is_a_train_with_the_headers_te_in_its_middle():
    scan = draw_protocol("usual", torch.Generator().manual_seed(0))[1]
    assert scan.sequence == "tse" and (scan.te, scan.tr) == (0.455, 3.2)
    assert scan.train_length * scan.echo_spacing == pytest.approx(2 * 0.455) and scan.train_length == 280


def is_usual(protocol):
    """Both settings are OASIS-3's, as no draw from a range is."""
    return protocol[0].settings["ti"] in (1.0, 0.9) and protocol[2].settings["ti"] == 2.5


def test_half_the_brains_are_trained_on_as_usual_and_half_of_these_as_played():
    draw = torch.Generator().manual_seed(0)
    rows = [training_protocol("any", draw) for _ in range(DRAWS)]
    usual = [row for row in rows if is_usual(row)]
    assert stats.binomtest(len(usual), DRAWS, 0.5).pvalue > 1e-3
    names = Counter(tuple(scan.sequence for scan in row) for row in usual)
    assert set(names) == {("mprage", "tse", "flair"), ("mprage_readout", "tse", "flair_exact")}
    assert stats.binomtest(names["mprage", "tse", "flair"], len(usual), 0.5).pvalue > 1e-3
    others = [row for row in rows if not is_usual(row)]
    for place, contrast in enumerate(CONTRASTS):
        assert {row[place].sequence for row in others} == {f.sequence for f in OF[contrast]}


def test_one_study_is_trained_on_as_it_is_drawn():
    one, other = (torch.Generator().manual_seed(5) for _ in range(2))
    rows = [(training_protocol("usual", one), draw_protocol("usual", other)) for _ in range(20)]
    assert all(a == b for a, b in rows) and len({a for a, _ in rows}) > 10


def test_as_played_adds_what_eq_1_leaves_out_and_changes_nothing_else():
    t1w, t2w, dark = draw_protocol("usual", torch.Generator().manual_seed(0))
    played = as_played(t1w)
    # 176 small pulses of 8°, one every 7.1 ms, around TI
    assert played.sequence == "mprage_readout" and t1w.settings.items() <= played.settings.items()
    assert (played.flip_angle, played.echo_spacing, played.train_length, played.centre_echo) == (
        8.0,
        0.0071,
        176,
        88,
    )
    assert as_played(t2w) == t2w
    assert as_played(dark) == Acquisition("flair_exact", te=dark.te, tr=dark.tr, ti=dark.ti)


def test_families_are_drawn_by_their_shares(drawn):
    for place, contrast in enumerate(CONTRASTS):
        found = Counter(row[place].sequence for row in drawn)
        whole = sum(f.share for f in OF[contrast])
        for family in OF[contrast]:
            assert stats.binomtest(found[family.sequence], DRAWS, family.share / whole).pvalue > 1e-3


def test_settings_fill_their_ranges_evenly_in_their_logarithm(drawn):
    for place, contrast in enumerate(CONTRASTS):
        for family in OF[contrast]:
            rows = [row[place] for row in drawn if row[place].sequence == family.sequence]
            for name, (low, high) in family.ranges.items():
                if name == "train_length":  # cut to the time that there is
                    continue
                share = np.log([row.settings[name] / low for row in rows]) / math.log(high / low)
                assert stats.kstest(share, "uniform").pvalue > 1e-3, (family.sequence, name)
            if family.fluid_null:
                low, high = family.fluid_null
                share = np.log([r.ti / fluid_null(r.tr) / low for r in rows]) / math.log(high / low)
                assert stats.kstest(share, "uniform").pvalue > 1e-3


def test_at_the_edge_every_setting_is_at_an_end():
    draw = torch.Generator().manual_seed(0)
    ends = Counter()
    for _ in range(200):
        for contrast, scan in zip(CONTRASTS, draw_protocol("any", draw, "edge"), strict=True):
            (family,) = (f for f in OF[contrast] if f.sequence == scan.sequence)
            for name, (low, high) in family.ranges.items():
                if name != "train_length":
                    latest = min(high, LATEST * scan.tr) if name == "ti" else high
                    at = [scan.settings[name] == pytest.approx(end, rel=1e-3) for end in (low, latest)]
                    assert any(at), (scan, name)
                    ends[name, at[1]] += 1
    assert min(ends.values()) > 20  # both ends of each


def test_a_read_out_fits_between_its_inversions(drawn):
    trains = [row[0] for row in drawn if row[0].sequence == "mprage_readout"]
    (family,) = (f for f in OF["T1w"] if f.sequence == "mprage_readout")
    low, high = family.ranges["train_length"]
    for scan in trains:
        after = (scan.train_length - scan.centre_echo) * scan.echo_spacing
        assert scan.centre_echo * scan.echo_spacing < scan.ti < scan.tr - after
    assert max(scan.train_length for scan in trains) <= high
    assert sum(scan.train_length >= low for scan in trains) > 0.8 * len(trains)
