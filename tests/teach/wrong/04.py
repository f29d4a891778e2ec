"""Chapter 04: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math

from physldm.physics import Acquisition

WRONG = {
    "best_te": [70.0, 0.05, 0.7, "soon"],
    "t2_slope": [
        lambda pd, t1, t2, te, tr: pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2) * te / t2**2,
        lambda pd, t1, t2, te, tr: -pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2) * te / t2,
        lambda pd, t1, t2, te, tr: pd * math.exp(-te / t2),
    ],
    "hidden_change": [(0.0, 0.0), (10.0, 10.0), (-6.0, 6.9), (0.069, -0.06), 5.0],
    "voxels_needed": [11, 10.7, 100, 1000],
    "protocol_design": [
        [
            Acquisition("mprage", tr=2.4, ti=1.0),
            Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
            Acquisition("spin_echo", te=0.1, tr=6.0),
        ],
        [
            Acquisition("mprage", tr=2.4, ti=1.0),
            Acquisition("spin_echo", te=0.1, tr=6.0),
            Acquisition("spin_echo", te=0.002, tr=9.0),
        ],
        [
            Acquisition("mprage", tr=2.4, ti=1.0),
            Acquisition("spin_echo", te=0.1, tr=9.0),
            Acquisition("spin_echo", te=0.01, tr=9.0),
        ],
        [Acquisition.usual("spgr")] * 3,
        ["mprage"],
    ],
}
NAMED = {
    "t2_slope": [
        (lambda pd, t1, t2, te, tr: te / t2, "ln s"),
        (lambda pd, t1, t2, te, tr: -pd * tr / t1 * math.exp(-tr / t1 - te / t2), "ln T1"),
        (lambda pd, t1, t2, te, tr: pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2), "signal itself"),
    ],
    "best_te": [(70, "seconds"), (0.049, "Half"), (0.14, "turning point"), (0.1, "derivative")],
    "hidden_change": [
        ((0, 0), "still changes"),
        ((5, -5), "still changes"),
        ((0.069, -0.06), "Percent"),
        ((7.0, -6.45), "ln 1.1"),
        ((-6.0, 6.9), "changed places"),
        ((-6.9, 6.0), "higher, not lower"),
        ((50.8, -46.7), "length 1"),
        (5.0, "two numbers"),
    ],
    "voxels_needed": [
        (115, "How few"),
        (113, "digits"),
        (110, "digits"),
        (113.6, "whole number"),
        (112, "not 5 % yet"),
        (11, "root counts"),
        (0, "At least one"),
    ],
    "protocol_design": [
        ([Acquisition("mprage", tr=2.4, ti=1.0)] * 3, "different enough"),
        ([Acquisition("mprage", tr=2.4, ti=1.0)] * 2, "three"),
        ([Acquisition("spin_echo", te=0.005, tr=5.0)] * 3, "cannot listen"),
        ([Acquisition("spin_echo", te=0.02, tr=6.5)] * 3, "there are 18"),
    ],
}
RIGHT = {"hidden_change": [(6.9, -6.0), (6.92, -5.97)], "voxels_needed": [114.0], "best_te": [0.07]}
