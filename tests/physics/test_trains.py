"""Trains of refocusing pulses against an extended phase graph: where the closed forms are exact, and how far they err."""

import numpy as np
import pytest
import torch

from physldm.physics import SEQUENCES, Acquisition
from physldm.physics.bloch import bloch_signal

from .cases import TRAINS, protocols, tissues
from .epg import echoes
from .test_bloch import closed, worst

TEN = torch.float64
# white, grey matter, fluid
PD = torch.ones(3, dtype=TEN)
T1 = torch.tensor([0.85, 1.45, 4.2], dtype=TEN)
T2 = torch.tensor([0.070, 0.085, 1.9], dtype=TEN)
LONG = {
    "tse": {"te": 0.1, "train_length": 60},
    "ir_tse": {"te": 0.02, "train_length": 11},
    "flair_tse": {"te": 0.09, "train_length": 60},
}


def graphed(a, t1, t2, angles=None, repeats=40):
    """The echo at the effective TE, in units of PD."""
    f = a.inversion_efficiency
    found = echoes(
        t1.numpy(), t2.numpy(), angles=angles or [180.0 * a.b1] * a.train_length, echo_spacing=a.echo_spacing,
        tr=a.tr, ti=a.ti, efficiency=1.0 if f is None else f, excitation=90.0 * a.b1,
        repeats=repeats,
    )  # fmt: skip
    assert np.abs(found.imag).max() < 1e-12
    return torch.from_numpy(found.real[round(a.effective_te / a.echo_spacing) - 1])


@pytest.mark.parametrize("name", TRAINS)
def test_the_closed_form_is_the_phase_graph_where_pulses_are_of_180_degrees(name):
    pd, t1, t2 = tissues(30)
    for a in protocols(name, 6):
        assert worst(closed(a, pd, t1, t2), pd * graphed(a, t1, t2), pd) < 1e-9, a


@pytest.mark.parametrize("b1", [0.7, 1.2])
@pytest.mark.parametrize("name", TRAINS)
def test_the_simulator_is_the_phase_graph_at_any_angle(name, b1):
    """Isochromats that a gradient fans out, against orders of dephasing: stimulated echoes and all."""
    a = Acquisition.usual(name, b1=b1, **({"inversion_efficiency": 0.9} if name != "tse" else {}))
    torch.testing.assert_close(bloch_signal(a, PD, T1, T2), graphed(a, T1, T2), atol=1e-8, rtol=0)


@pytest.mark.parametrize("b1", [0.8, 0.9, 1.1, 1.2])
@pytest.mark.parametrize("name", TRAINS)
def test_what_the_closed_form_neglects_of_b1_is_as_small_as_it_says(name, b1):
    for more in ({}, LONG[name]):
        a = Acquisition.usual(name, b1=b1, **more)
        share = closed(a, PD, T1, T2) / graphed(a, T1, T2)
        assert (share[:2] - 1).abs().max() < 0.04, share
        assert abs(share[0] / share[1] - 1) < 0.02, share
        # what is left of nulled fluid is off by a tenth of itself, and by little
        assert (closed(a, PD, T1, T2) - graphed(a, T1, T2))[2].abs() < 0.025


@pytest.mark.parametrize("name", ["tse", "flair_tse"])
def test_a_b1_that_is_told_is_nearer_than_one_that_is_not(name):
    for b1 in (0.7, 0.8, 1.2, 1.3):
        told, silent = Acquisition.usual(name, b1=b1), Acquisition.usual(name)
        true = graphed(told, T1, T2)
        off = [(closed(a, PD, T1, T2) / true - 1)[:2].abs().max() for a in (told, silent)]
        assert off[0] < off[1], (b1, off)


def flip_train(length, least):
    """A made-up SPACE-like train: from 140° down to ``least`` in a tenth of it, and up to 110° at the end."""
    down = np.linspace(140.0, least, length // 10)
    return [*down, *np.linspace(least, 110.0, length - len(down))]


@pytest.mark.parametrize("least", [35.0, 60.0])
def test_small_angles_hold_mz_down_as_large_ones_do(least):
    """OASIS-3's T2w as it may be played. How far its TR falls short of an endless one is what ``tse`` says of it, and
    it decays as a plain spin echo does whose TE is far shorter than the header's."""
    settings = {"te": 0.4578, "echo_spacing": 0.00327, "train_length": 280, "effective_te": 140 * 0.00327}
    angles = flip_train(280, least)
    short, long = (Acquisition("tse", tr=tr, **settings) for tr in (3.2, 40.0))
    white_and_grey = T1[:2], T2[:2]
    rested = graphed(long, *white_and_grey, angles, repeats=1)
    found = graphed(short, *white_and_grey, angles, repeats=3) / rested
    expected = closed(short, PD[:2], *white_and_grey) / closed(long, PD[:2], *white_and_grey)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0)
    assert (expected < 0.96).all()
    without_decay = graphed(long, T1[:2] * 1e6, T2[:2] * 1e6, angles, repeats=1)
    equivalent = -T2[:2] * torch.log(rested / without_decay)
    assert (equivalent < 0.6 * 0.4578).all() and (equivalent > 0.05).all(), equivalent


def test_an_inversion_counts_from_itself_to_the_90_degree_pulse():
    """With the TI at which an inversion recovery has no white matter, it is gone from the first echo."""
    tr, n, es = 6.0, 5, 0.01
    mz_left = torch.tensor(1.0, dtype=TEN)
    for _ in range(5):  # Mz before the inversion hardly depends on TI
        ti = float(T1[0] * torch.log(1 + mz_left))
        mz_left = 1 - torch.exp(-(tr - ti - (n - 0.5) * es) / T1[0])
    a = Acquisition("ir_tse", te=es, tr=tr, ti=ti, train_length=n, echo_spacing=es)
    assert abs(closed(a, PD, T1, T2)[0]) < 1e-4
    assert all(SEQUENCES[name].refocused for name in TRAINS)
