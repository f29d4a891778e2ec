"""Solutions of chapter 02, one function an exercise."""

import math

import torch
from physldm.physics import Acquisition, flair, spin_echo
from physldm.physics.bloch import Delay, Pulse, Read, Spoil
from physldm.physics.identifiability import map_fit, tissue_values
from physldm.physics.sequences import mprage_readout


def refocused_spin_echo(pd, t1, t2, te, tr):
    mz = 1 - 2 * math.exp(-(tr - te / 2) / t1) + math.exp(-tr / t1)
    return pd * mz * math.exp(-te / t2)


def inversion_events(ti, tr):
    return [
        Pulse(180),
        Spoil(),
        Delay(ti),
        Pulse(90),
        Read(),
        Spoil(),
        Delay(tr - ti),
    ]


def planted_bugs():
    return {
        "a": "TE and TR swapped",
        "b": "TI for T1",
        "c": "product of two scans",
        "d": "none",
    }


def real_null():
    train = dict(flip_angle=8.0, echo_spacing=0.0071, train_length=176)
    low, high = 0.63, 1.77
    while high - low > 1e-4:
        ti = (low + high) / 2
        s = mprage_readout(1.0, 4.2, 1.9, tr=2.4, ti=ti, centre_echo=88, **train)
        low, high = (ti, high) if s < 0 else (low, ti)
    return ti


def error_budget():
    truth = tissue_values("gm")
    pd, t1, t2 = truth.T
    believed = [
        Acquisition("mprage", tr=2.3, ti=0.9),
        Acquisition("spin_echo", te=0.1, tr=3.2),
        Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
    ]
    train = dict(flip_angle=8.0, echo_spacing=0.0071, train_length=176)
    t1w = mprage_readout(pd, t1, t2, tr=2.3, ti=0.9, centre_echo=88, **train)
    scans = torch.stack(
        [
            t1w / math.sin(math.radians(8.0)),
            spin_echo(pd, t1, t2, te=0.1, tr=3.2),
            flair(pd, t1, t2, te=0.091, tr=9.0, ti=2.5),
        ]
    )
    here = torch.ones(1, 1, dtype=torch.bool)
    fit = map_fit(scans[:, None], believed, sigma=0.01, where=here)
    return (100 * (fit.maps[:, 0, 0] / truth[0] - 1)).tolist()
