"""Transmit field and inversion efficiency: by hand, where they act, and told no louder than they matter."""

import json
import math

import pytest
import torch

from physldm.physics import SEQUENCES, Acquisition, AcquisitionBatch, signal
from physldm.physics.bloch import Delay, Pulse, Read, Refocus, Spoil, bloch_signal, steady_state, trace

from .cases import TRAINS, tissues

B1 = [name for name, model in SEQUENCES.items() if "b1" in model.settings]
INVERTED = [name for name, model in SEQUENCES.items() if "inversion_efficiency" in model.settings]
TEN = torch.float64
WHITE = torch.tensor([0.7, 0.85, 0.07], dtype=TEN)[:, None, None]


def of_white(acquisition):
    return signal(WHITE, acquisition).item()


def test_they_belong_to_the_sequences_in_which_they_act():
    assert set(B1) == set(SEQUENCES) - {"mprage", "spin_echo", "flair"}
    assert set(INVERTED) == {
        "mprage_readout", "mp2rage", "flair_exact", "ir_tse", "flair_tse", "dir", "psir",
    }  # fmt: skip


@pytest.mark.parametrize("name", B1)
def test_b1_acts(name):
    usual = Acquisition.usual(name)
    assert of_white(Acquisition.usual(name, b1=1.0)) == of_white(usual)
    assert abs(of_white(Acquisition.usual(name, b1=0.8)) / of_white(usual) - 1) > 2e-3


@pytest.mark.parametrize("name", INVERTED)
def test_inversion_efficiency_acts(name):
    usual = Acquisition.usual(name)
    assert of_white(Acquisition.usual(name, inversion_efficiency=1.0)) == of_white(usual)
    assert abs(of_white(Acquisition.usual(name, inversion_efficiency=0.9)) / of_white(usual) - 1) > 2e-3


@pytest.mark.parametrize("name", ["mprage_readout", "mp2rage", "spgr", "gre", "bssfp"])
def test_b1_is_a_factor_on_every_flip_angle(name):
    usual = Acquisition.usual(name)
    angles = {k: 0.8 * v for k, v in usual.settings.items() if k.startswith("flip_angle")}
    assert of_white(Acquisition.usual(name, b1=0.8)) == pytest.approx(
        of_white(Acquisition.usual(name, **angles)), rel=1e-12
    )


def test_no_inversion_is_a_wait():
    """f = 0 is a saturation: what is left is recovery since then, at a perfect 90° pulse."""
    pd, t1, t2 = tissues(20)
    maps = torch.stack([pd, t1, t2])[:, None]
    found = signal(maps, Acquisition("psir", te=0.01, tr=6.0, ti=0.8, inversion_efficiency=0.0))[0]
    torch.testing.assert_close(found, pd * (1 - torch.exp(-0.8 / t1)) * torch.exp(-0.01 / t2))


def test_an_inversion_of_efficiency_f_is_a_pulse_of_arccos_minus_f():
    _, m = trace([Pulse(math.degrees(math.acos(-0.85))), Spoil()], 1.0, 0.1)
    assert m[-1].tolist() == pytest.approx([0, 0, -0.85], abs=1e-12)


def test_the_spin_echo_by_hand():
    """A 90° pulse that turns by 72°, a 180° pulse that turns by 144°, each step a line."""
    t1, t2, te, tr, b1 = 0.9, 0.08, 0.1, 1.2, 0.8
    alpha, beta = math.radians(90 * b1), math.radians(180 * b1)
    mz = 1.0
    for _ in range(60):
        after = mz * math.cos(alpha)
        before_refocusing = 1 - (1 - after) * math.exp(-te / 2 / t1)
        turned = before_refocusing * math.cos(beta)
        seen = mz * math.sin(alpha) * math.sin(beta / 2) ** 2 * math.exp(-te / t2)
        mz = 1 - (1 - turned) * math.exp(-(tr - te / 2) / t1)
    found = Acquisition("spin_echo_exact", te=te, tr=tr, b1=b1)
    maps = torch.tensor([1.0, t1, t2], dtype=TEN)[:, None, None]
    assert signal(maps, found).item() == pytest.approx(seen, rel=1e-12)


def test_crushers_leave_what_a_pulse_refocuses():
    """Many isochromats, each turned by its own phase before and after the pulse, instead of the mean matrix."""
    angle, wait = 130.0, 0.01
    _, m = trace([Pulse(70.0), Delay(0.02), Refocus(angle)], 0.9, 0.08, step=1.0, offset=13.0)
    # a crusher of whole turns in `wait`, without relaxation worth the name
    offsets = 13.0 + torch.arange(240, dtype=TEN) / 240 / wait
    events = [Pulse(70.0), Delay(0.02)]
    _, before = trace(events, 0.9, 0.08, step=1.0, offset=13.0)
    phase = torch.polar(torch.ones(240, dtype=TEN), 2 * math.pi * (offsets - 13.0) * wait)
    across = torch.complex(before[-1, ..., 0], before[-1, ..., 1]) * phase
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned = torch.complex(across.real, across.imag * cos - before[-1, ..., 2] * sin) * phase
    mz = across.imag * sin + before[-1, ..., 2] * cos
    expected = [turned.real.mean().item(), turned.imag.mean().item(), mz.mean().item()]
    assert m[-1].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", B1)
def test_derivatives_are_those_of_finite_differences(name):
    """In the maps, at imperfect pulses, and in b1 and f themselves."""
    acquisition = Acquisition.usual(name, b1=0.85)
    batch = AcquisitionBatch.of([[acquisition]])
    names = [n for n in ("b1", "inversion_efficiency") if n in SEQUENCES[name].settings]
    values = [torch.tensor([[0.85]], dtype=TEN, requires_grad=True) for _ in names]
    maps = torch.tensor([0.8, 1.1, 0.09], dtype=TEN)[None, :, None, None].requires_grad_()

    def scanned(maps, *values):
        batch.more.update(zip(names, values, strict=True))
        return signal(maps, batch)

    assert torch.autograd.gradcheck(scanned, (maps, *values), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", B1)
def test_a_batch_may_have_a_b1_of_its_own_for_each_subject(name):
    rows = [[Acquisition.usual(name, b1=b1)] for b1 in (0.8, 1.0, 1.2)]
    found = signal(WHITE.float().expand(3, 3, 1, 1), AcquisitionBatch.of(rows))
    for b, (a,) in enumerate(rows):
        assert found[b].item() == pytest.approx(of_white(a), rel=1e-5)


@pytest.mark.parametrize("name", B1)
def test_a_perfect_pulse_is_not_worth_a_word(name):
    perfect, weak = Acquisition.usual(name), Acquisition.usual(name, b1=0.8)
    assert "B1" not in str(perfect) and "efficiency" not in str(perfect)
    assert "TransmitField" not in perfect.to_bids() and "InversionEfficiency" not in perfect.to_bids()
    assert str(weak).endswith("B1+ 0.8)")
    sidecar = json.loads(json.dumps(weak.to_bids()))
    assert sidecar["TransmitField"] == 0.8
    assert Acquisition.from_bids(sidecar, SEQUENCES[name].suffix) == weak != perfect
    assert Acquisition.from_bids(sidecar | {"TransmitField": 1.0}, SEQUENCES[name].suffix) == perfect


def test_the_simulator_plays_them():
    """What an imperfect pulse is in it: another angle, by the list of events alone."""
    a = Acquisition("psir", te=0.01, tr=6.0, ti=0.8, b1=0.8, inversion_efficiency=0.9)
    events = [
        Pulse(math.degrees(math.acos(-0.9))), Spoil(), Delay(0.8),
        Pulse(72.0), Delay(0.01), Read(), Delay(6.0 - 0.81), Spoil(),
    ]  # fmt: skip
    by_hand = 0.7 * steady_state(events, 0.85, 0.07)[0, 0].item()
    assert bloch_signal(a, 0.7, 0.85, 0.07).item() == pytest.approx(by_hand, rel=1e-12)
    assert of_white(a) == pytest.approx(by_hand, rel=1e-12)
    assert set(TRAINS) < set(B1)
