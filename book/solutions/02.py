"""Solutions of chapter 02, one function an exercise."""

import math

from physldm.physics.bloch import Delay, Pulse, Read, Spoil
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
