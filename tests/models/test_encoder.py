"""What the encoder is told of a scan, written out by hand."""

import math

import torch

from physldm.models.encoder import protocol_features
from physldm.physics import Acquisition, AcquisitionBatch

LN = math.log


def test_an_encoder_is_told_each_time_the_kind_of_echo_and_the_brightness():
    row = [
        Acquisition("mprage", te=0.003, tr=2.4, ti=0.9),
        Acquisition("spin_echo", te=0.1, tr=3.2),
        Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
        Acquisition("spgr", te=0.004, tr=0.02, flip_angle=20.0),
        Acquisition("tse", te=0.4578, effective_te=0.1, tr=3.2, echo_spacing=0.00327, train_length=280),
    ]
    brightness = torch.tensor([[300.0, 150.0, 80.0, 20.0, 150.0]])
    found = protocol_features(AcquisitionBatch.of([row]), brightness.log())[0]
    # ln TE + 3, ln TR − 1, ln TI; inverted; refocused; ln of the percentile − 5.5
    expected = [
        [LN(0.003) + 3, LN(2.4) - 1, LN(0.9), 1, 0, LN(300) - 5.5],
        [LN(0.1) + 3, LN(3.2) - 1, 0, 0, 1, LN(150) - 5.5],
        [LN(0.091) + 3, LN(9.0) - 1, LN(2.5), 1, 1, LN(80) - 5.5],
        [LN(0.004) + 3, LN(0.02) - 1, 0, 0, 0, LN(20) - 5.5],
        [LN(0.1) + 3, LN(3.2) - 1, 0, 0, 1, LN(150) - 5.5],  # the TE of its contrast
    ]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)
