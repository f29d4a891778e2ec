"""Solutions of chapter 04, one function an exercise."""

import math

from physldm.physics import Acquisition
from physldm.physics.identifiability import (
    blind_direction,
    cramer_rao,
    tissue_values,
)

USUAL = [
    Acquisition("mprage", tr=2.4, ti=1.0),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
    Acquisition("spin_echo", te=0.1, tr=6.0),
]


def t2_slope(pd, t1, t2, te, tr):
    s = pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2)
    return s * te / t2


def best_te():
    return 0.070  # TE = T2


def hidden_change():
    pd, t1, t2 = blind_direction(tissue_values("wm"), USUAL)[0].tolist()
    steps = math.log(1.1) / pd
    return tuple(100 * (math.exp(steps * x) - 1) for x in (t1, t2))


def voxels_needed():
    one = float(cramer_rao(tissue_values("wm"), USUAL, sigma=0.01)[0, 0])
    return math.ceil((one / 0.05) ** 2)


def protocol_design():
    return [
        Acquisition("mprage", tr=2.4, ti=1.0),
        Acquisition("spin_echo", te=0.1, tr=6.0),
        Acquisition("spin_echo", te=0.01, tr=9.0),
    ]
