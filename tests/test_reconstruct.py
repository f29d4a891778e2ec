"""Units of scans and maps, against scans whose gain was put in by hand."""

import math
from pathlib import Path

import pytest
import torch

from physldm.data import average_brain
from physldm.data.alignment import Reading
from physldm.data.phantom import GAIN
from physldm.data.sessions import Scan
from physldm.physics import CONTRASTS, Acquisition
from physldm.reconstruct import (
    at_usual_gain,
    estimate_gain,
    in_units_of_pd,
    reconstruct_session,
    session_gains,
)
from physldm.runs import Run

T1W = Acquisition("mprage", tr=2.4, ti=1.0)
T2W = Acquisition("spin_echo", te=0.1, tr=3.2)
PUT_IN = {"T1w": 250.0, "T2w": 4000.0}


@pytest.fixture(scope="module")
def reading():
    """The average brain scanned twice, by Eq. 1 written out again in float64, each at a gain of its own."""
    pd, t1, t2 = average_brain(2)[0].double().unbind(1)
    stacks = {
        "T1w": PUT_IN["T1w"] * pd * (1 - 2 * torch.exp(-T1W.ti / t1) / (1 + torch.exp(-T1W.tr / t1))).abs(),
        "T2w": PUT_IN["T2w"] * pd * (1 - torch.exp(-T2W.tr / t1)) * torch.exp(-T2W.te / t2),
    }
    scans = {c: Scan(Path(f"{c}.nii.gz"), c, a, ()) for c, a in (("T1w", T1W), ("T2w", T2W))}
    return Reading(scans, {c: stack.float() for c, stack in stacks.items()}, [])


def test_the_gain_of_an_average_brain_is_found(reading):
    for c, gain in PUT_IN.items():
        found = estimate_gain(reading.stacks[c], reading.scans[c].acquisition, 2)
        assert found == pytest.approx(gain, rel=1e-4)
    # scans that reach some slices only are compared with these slices
    part = reading.stacks["T1w"].clone()
    part[:50] = 0
    assert estimate_gain(part, T1W, 2) == pytest.approx(250.0, rel=1e-4)


def test_gains_of_a_session(reading):
    assert session_gains(reading, 2) == pytest.approx(PUT_IN, rel=1e-4)
    common = session_gains(reading, 2, "common")
    assert common == pytest.approx(dict.fromkeys(PUT_IN, math.sqrt(250 * 4000)), rel=1e-4)
    assert session_gains(reading, 2, "none") == dict.fromkeys(PUT_IN, GAIN)


def test_scans_come_in_the_order_of_contrasts_with_zeros_for_the_absent(reading):
    scans = at_usual_gain(reading, PUT_IN)
    assert scans.shape[1] == len(CONTRASTS) and not scans[:, CONTRASTS.index("FLAIR")].any()
    torch.testing.assert_close(scans[:, 0] / GAIN, reading.stacks["T1w"] / 250)
    assert reading.acquisitions == [T1W, T2W, None]


def test_units_of_pd_are_those_of_the_table():
    maps = torch.tensor([GAIN, 1.2, 0.08])[:, None, None].expand(2, 3, 4, 5)
    assert in_units_of_pd(maps)[0, :, 0, 0].tolist() == pytest.approx([1.0, 1.2, 0.08])


def test_a_sessions_maps_do_not_depend_on_its_scanners_gain_and_air_has_none(reading, smoke_run):
    run = Run(smoke_run)
    found = reconstruct_session(run, reading)
    assert found.gains == pytest.approx(PUT_IN, rel=1e-4)

    nothing = (reading.stacks["T1w"] == 0) & (reading.stacks["T2w"] == 0)
    assert (
        found.maps.shape == (80, 3, 112, 80)
        and nothing.any()
        and not found.maps.movedim(1, 0)[:, nothing].any()
    )
    louder = Reading(reading.scans, {c: 7 * s for c, s in reading.stacks.items()}, [])
    torch.testing.assert_close(reconstruct_session(run, louder).maps, found.maps, rtol=1e-3, atol=1e-4)
