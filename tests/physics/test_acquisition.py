import dataclasses
import json
import math

import numpy as np
import pytest

from physldm.physics import SEQUENCES, Acquisition, AcquisitionBatch, AcquisitionError

from .cases import protocols


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("sequence", {"sequence": "t1w", "te": 0.1, "tr": 3.0}),
        ("tr", {"sequence": "spin_echo", "te": 0.1}),
        ("te", {"sequence": "spin_echo", "tr": 3.0}),
        ("te", {"sequence": "spin_echo", "te": 3.0, "tr": 3.0}),
        ("te", {"sequence": "spin_echo", "te": 0.0, "tr": 3.0}),
        ("te", {"sequence": "spin_echo", "te": math.nan, "tr": 3.0}),
        ("te", {"sequence": "spin_echo", "te": "0.1", "tr": 3.0}),
        ("tr", {"sequence": "spin_echo", "te": 0.1, "tr": math.inf}),
        ("tr", {"sequence": "spin_echo", "te": 0.1, "tr": 3200.0}),
        ("te", {"sequence": "spin_echo", "te": 90.0, "tr": 30.0}),
        ("ti", {"sequence": "spin_echo", "te": 0.1, "tr": 3.0, "ti": 1.0}),
        ("ti", {"sequence": "flair", "te": 0.1, "tr": 9.0}),
        ("ti", {"sequence": "flair", "te": 0.1, "tr": 9.0, "ti": 9.0}),
        ("ti", {"sequence": "mprage", "tr": 2.4, "ti": -1.0}),
        # the echo would come after the next inversion, or after the train
        ("te", {"sequence": "mprage", "te": 2.3, "tr": 2.4, "ti": 1.0}),
        ("te", {"sequence": "flair", "te": 0.5, "tr": 3.0, "ti": 2.9}),
        ("te", {"sequence": "psir", "te": 1.0, "tr": 6.0, "ti": 5.5}),
        ("te", {"sequence": "dir", "te": 0.5, "tr": 5.0, "ti": 3.0, "ti2": 1.9}),
        ("te", {"sequence": "tse", "te": 1.0, "tr": 3.0, "train_length": 5}),
        ("te", {"sequence": "tse", "te": 0.004, "tr": 3.0}),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_an_impossible_field_is_named(field, arguments, unchecked):
    with pytest.raises(AcquisitionError, match=f"^{field}: "):
        Acquisition(**arguments)


def test_a_train_may_fill_its_time_to_the_end():
    settings = {"tr": 3.0, "echo_spacing": 0.01}
    for te, length in ((0.01, 10), (0.1, 10), (0.3, 30)):  # the first echo, and the last
        a = Acquisition("tse", te=te, train_length=length, **settings)
        assert (a.te, a.train_length) == (te, length)


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_sequence_survives_its_sidecar(name):
    for acquisition in [Acquisition.usual(name), *protocols(name, 5)]:
        sidecar = json.loads(json.dumps(acquisition.to_bids()))
        assert Acquisition.from_bids(sidecar, SEQUENCES[name].suffix) == acquisition
        assert dataclasses.replace(acquisition) == Acquisition(name, **acquisition.settings) == acquisition


def test_a_sidecar_from_elsewhere():
    sidecar = {"EchoTime": 0.455, "ContrastEquivalentEchoTime": 0.1, "RepetitionTime": 3.2}
    assert Acquisition.from_bids(sidecar, "T2w") == Acquisition("spin_echo", te=0.1, tr=3.2)
    # an MPRAGE's TR is from one inversion to the next, whatever the header says of its pulses
    times = {
        "EchoTime": 0.003,
        "RepetitionTime": 0.0074,
        "RepetitionTimePreparation": 2.4,
        "InversionTime": 1.0,
    }
    assert Acquisition.from_bids(times, "T1w") == Acquisition("mprage", te=0.003, tr=2.4, ti=1.0)
    # a T2w scan after an inversion is STIR, not a plain spin echo
    stir = Acquisition.from_bids({"EchoTime": 0.05, "RepetitionTime": 4.0, "InversionTime": 0.22}, "T2w")
    assert stir == Acquisition("flair", te=0.05, tr=4.0, ti=0.22)
    with pytest.raises(AcquisitionError, match=r"^ti: "):
        Acquisition.from_bids({"EchoTime": 0.09, "RepetitionTime": 9.0}, "FLAIR")


def test_numbers_of_numpy_are_numbers_and_counts_are_whole():
    a = Acquisition("tse", te=np.float64(0.1), tr=np.float32(3.0), train_length=np.int64(21))
    assert a == Acquisition("tse", te=0.1, tr=3.0, train_length=21.0) and isinstance(a.train_length, int)


def test_batch_keeps_rows_and_columns():
    a, b = Acquisition("spin_echo", te=0.1, tr=3.0), Acquisition("flair", te=0.09, tr=9.0, ti=2.5)
    batch = AcquisitionBatch.of([[a, b], [b, a]])
    assert batch.shape == (2, 2)
    assert batch[[1]].sequence == (("flair", "spin_echo"),)
    assert batch[1:].ti.tolist() == [[2.5, 0.0]]
    with pytest.raises(AcquisitionError):
        AcquisitionBatch.of([[a], [a, b]])
