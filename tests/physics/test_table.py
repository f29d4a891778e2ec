"""One entry adds a setting, one row a sequence, and everything that scans knows them at once."""

import copy
import dataclasses
import inspect
import json
import math
import pickle

import pytest
import torch
from torch import Tensor

from physldm import cli
from physldm.models.encoder import protocol_features
from physldm.physics import FIELDS, SEQUENCES, Acquisition, AcquisitionBatch, AcquisitionError, signal
from physldm.physics.sequences import Field, sequence


@pytest.fixture
def added():
    """A setting (the efficiency of a preparation pulse), a count, and a sequence that has both."""
    FIELDS["efficiency"] = Field("efficiency", "share that is inverted", "", "ShareInverted", (0.5, 1.0), 1.0)
    FIELDS["repeats"] = Field("repeats", "how often", "", "Repeats", (0, 9), whole=True, may_be_zero=True)

    @sequence(
        "imperfect inversion", "T1w", {"ti": 0.5, "efficiency": 0.9},
        defaults={"repeats": 1}, limits=(("ti", "≤", "efficiency", lambda a: a.efficiency),), refocused=True,
    )  # fmt: skip
    def imperfect(pd, t1, t2, *, ti, efficiency):
        return pd * (1 - (1 + efficiency) * torch.exp(-ti / t1))

    yield "imperfect"
    del SEQUENCES["imperfect"], FIELDS["efficiency"], FIELDS["repeats"]


def expected(pd, t1, efficiency, ti=0.5):
    return pd * (1 - (1 + efficiency) * math.exp(-ti / t1))


def test_a_new_setting_and_a_new_sequence_are_known_to_an_acquisition(added):
    a = Acquisition(added, ti=0.5, efficiency=0.8)
    assert (a.efficiency, a.repeats, a.te) == (0.8, 1, None)
    assert Acquisition.usual(added, repeats=0).repeats == 0
    assert a == Acquisition(added, {"ti": 0.5, "efficiency": 0.8}) != Acquisition.usual(added)
    assert "efficiency 0.8" in str(a)
    assert isinstance(Acquisition.usual(added, repeats=3.0).repeats, int)
    for bad in (
        {"efficiency": 1.2},
        {"efficiency": 0.0},
        {"efficiency": math.nan},
        {"repeats": 0.5},
        {"repeats": -1},
    ):
        with pytest.raises(AcquisitionError, match=f"^{next(iter(bad))}: found"):
            Acquisition.usual(added, **bad)
    with pytest.raises(AcquisitionError, match=r"^efficiency: missing, expected the share that is inverted"):
        Acquisition(added, ti=0.5)
    with pytest.raises(AcquisitionError, match=r"^efficiency: found 0.9, expected none"):
        Acquisition("spin_echo", te=0.1, tr=3.0, efficiency=0.9)
    with pytest.raises(AcquisitionError, match=r"^ti: found 0.95, expected at most efficiency = 0.9"):
        Acquisition.usual(added, ti=0.95)


def test_they_survive_a_sidecar(added):
    a = Acquisition.usual(added, efficiency=0.7, repeats=2)
    sidecar = json.loads(json.dumps(a.to_bids()))
    assert sidecar["ShareInverted"] == 0.7 and sidecar["Repeats"] == 2
    assert Acquisition.from_bids(sidecar, "T1w") == a


def test_they_are_scanned_alone_and_in_a_batch(added):
    maps = torch.tensor([0.8, 1.1, 0.09])[:, None, None]
    low, high = (Acquisition.usual(added, efficiency=e) for e in (0.7, 0.9))
    assert signal(maps, low).item() == pytest.approx(expected(0.8, 1.1, 0.7))
    echo = Acquisition("spin_echo", te=0.1, tr=3.0)
    batch = AcquisitionBatch.of([[low, echo], [echo, high]])
    found = signal(maps.expand(2, 3, 1, 1), batch[[1, 0]])[:, :, 0, 0]
    assert found[1, 0].item() == pytest.approx(expected(0.8, 1.1, 0.7))
    assert found[0, 1].item() == pytest.approx(expected(0.8, 1.1, 0.9))
    of_echo = [found[0, 0].item(), found[1, 1].item()]
    assert of_echo == pytest.approx(2 * [signal(maps, echo).item()], rel=1e-6)
    assert batch.setting("efficiency").tolist() == [[pytest.approx(0.7), 0.0], [0.0, pytest.approx(0.9)]]
    told = protocol_features(batch, torch.zeros(2, 2))
    assert told[..., 4].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_the_settings_are_those_of_the_command_line():
    options = set(inspect.signature(cli.scan).parameters) - {
        "context",
        "maps_dir",
        "sequence",
        "out",
        "magnitude",
    }
    assert options == set(FIELDS)
    assert {name for model in SEQUENCES.values() for name in model.settings} == set(FIELDS)


def test_settings_begin_with_those_of_another_and_can_be_copied():
    a = Acquisition.usual("mprage_readout", te=0.003)
    assert dataclasses.replace(a, ti=1.1) == Acquisition("mprage_readout", a.settings, ti=1.1)
    assert dataclasses.replace(a, ti=1.1).ti == 1.1 and a.ti == 1.0
    for same in (
        copy.deepcopy(a),
        pickle.loads(pickle.dumps(a)),
        Acquisition(**dataclasses.asdict(a)),
        eval(repr(a), {"Acquisition": Acquisition, "inf": math.inf}),
    ):
        assert same == a and hash(same) == hash(a)
    assert all(isinstance(value, (int, float)) for value in a.settings.values())
    # as stores of slices had it: every setting, None where the sequence has none
    row = {"sequence": "spin_echo", **dict.fromkeys(FIELDS), "te": 0.1, "tr": 3.0}
    assert Acquisition(**row) == Acquisition("spin_echo", te=0.1, tr=3.0)
    with pytest.raises(AcquisitionError, match=r"^tE: found 0\.1, expected none"):
        Acquisition("spin_echo", tE=0.1, tr=3.0)
    with pytest.raises(AttributeError, match="has no attribute 'echo'"):
        _ = a.echo


def test_refocused_are_those_that_play_a_180_degree_pulse_about_x():
    """The Bloch simulator inverts about y and refocuses about x."""
    from physldm.physics.bloch import PULSES, Pulse, Refocus, exact

    for name, model in SEQUENCES.items():
        usual = exact(Acquisition.usual(name))
        played = PULSES[usual.sequence](usual)
        assert model.refocused == (Pulse(180.0, "x") in played or Refocus(180.0) in played), name


def test_an_equation_is_a_function_of_tensors_or_numbers():
    for name, model in SEQUENCES.items():
        a = Acquisition.usual(name)
        s = model.equation(
            *(torch.tensor(x) for x in (0.8, 1.0, 0.1)), **{k: a.settings[k] for k in model.takes}
        )
        assert isinstance(s, Tensor) and s.shape == (), name
