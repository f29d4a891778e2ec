"""Solutions of chapter 08, one function an exercise."""

import math

import torch
from physldm.physics import Acquisition
from physldm.teach import check


def same_t2w():
    return 0.070 * 0.12 / 0.09


def undo_group_norm(h, groups):
    x = h.reshape(len(h), groups, -1)
    s, b = torch.std_mean(x, -1, correction=0)
    channels = h.shape[1] // groups  # in a group
    return s.repeat_interleave(channels, 1), b.repeat_interleave(channels, 1)


def read_features():
    te, tr, ti, inverts, refocuses, _ = check.unknown_features()
    assert inverts and refocuses  # of the three sequences of Eq. 1 only FLAIR
    return Acquisition(
        "flair", te=math.exp(te - 3), tr=math.exp(tr + 1), ti=math.exp(ti)
    )


def who_listens():
    return {"a": "deaf", "b": "listens", "c": "blind", "d": "guesses"}
