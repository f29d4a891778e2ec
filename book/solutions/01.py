"""Solutions of chapter 01, one function an exercise."""

import math

import torch
from physldm.physics import Acquisition


def spin_echo_by_hand(pd, t1, t2, te, tr):
    return pd * (1 - torch.exp(-tr / t1)) * torch.exp(-te / t2)


def proton_density_scan():
    return Acquisition("spin_echo", te=0.01, tr=9.0)


def null_time(t1, tr):
    return -t1 * math.log((1 + math.exp(-tr / t1)) / 2)


def mystery():
    return {"a": "flair", "b": "mprage", "c": "spin_echo"}
