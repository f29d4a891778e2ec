import math

import pytest

from physldm.physics import Acquisition, AcquisitionBatch, AcquisitionError


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
    ],
)
def test_an_impossible_field_is_named(field, arguments):
    with pytest.raises(AcquisitionError, match=f"^{field}: "):
        Acquisition(**arguments)


def test_bids_round_trip_and_effective_te():
    flair = Acquisition("flair", te=0.091, tr=9.0, ti=2.5)
    assert Acquisition.from_bids(flair.to_bids(), "FLAIR") == flair
    sidecar = {"EchoTime": 0.455, "EffectiveEchoTime": 0.1, "RepetitionTime": 3.2}
    assert Acquisition.from_bids(sidecar, "T2w").te == 0.1
    with pytest.raises(AcquisitionError, match=r"^ti: "):
        Acquisition.from_bids({"EchoTime": 0.09, "RepetitionTime": 9.0}, "FLAIR")


def test_batch_keeps_rows_and_columns():
    a, b = Acquisition("spin_echo", te=0.1, tr=3.0), Acquisition("flair", te=0.09, tr=9.0, ti=2.5)
    batch = AcquisitionBatch.of([[a, b], [b, a]])
    assert batch.shape == (2, 2)
    assert batch[[1]].sequence == (("flair", "spin_echo"),)
    assert batch[1:].ti.tolist() == [[2.5, 0.0]]
    with pytest.raises(AcquisitionError):
        AcquisitionBatch.of([[a], [a, b]])
