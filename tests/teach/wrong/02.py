"""Chapter 02: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math

from physldm.physics.bloch import Delay, Pulse, Read, Spoil

WRONG = {
    "refocused_spin_echo": [
        lambda pd, t1, t2, te, tr: pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2),
        lambda pd, t1, t2, te, tr: (
            pd * (1 - 2 * math.exp(-(tr - te) / t1) + math.exp(-tr / t1)) * math.exp(-te / t2)
        ),
        lambda pd, t1, t2, te, tr: pd * (1 - math.exp(-(tr - te / 2) / t1)) * math.exp(-te / t2),
        lambda pd, t1, t2, te, tr: pd * (1 - 2 * math.exp(-(tr - te / 2) / t1) + math.exp(-tr / t1)),
        lambda pd: pd,
    ],
    "inversion_events": [
        lambda ti, tr: [],
        lambda ti, tr: [Pulse(180), Spoil(), Delay(ti), Read(), Delay(tr - ti)],
        lambda ti, tr: [Pulse(180), Spoil(), Delay(ti), Pulse(90), Read(), Spoil(), Delay(tr)],
        lambda ti, tr: [Pulse(90), Read(), Spoil(), Delay(tr)],
        lambda ti, tr: [Pulse(180), Spoil(), Delay(tr - ti), Pulse(90), Read(), Spoil(), Delay(ti)],
    ],
    "planted_bugs": [
        {"a": "none", "b": "TI for T1", "c": "product of two scans", "d": "TE and TR swapped"},
        dict.fromkeys("abcd", "none"),
        dict.fromkeys("abcd", "bad"),
        {"a": "none"},
    ],
    "real_null": [1.031, 0.9, 0.5, "soon"],
    "error_budget": [
        (86.3, 8.0, 33.8),
        (0.863, 0.08, -0.338),
        (0, 0, 0),
        86.3,
        (86.3, 8.0),
        (86.3, -33.8, 8.0),
    ],
}
NAMED = {
    "error_budget": [
        ((22.3, 2.6, -14.2), "TR 2.4 s, TI 1.0 s"),
        ((-24.5, -10.1, 23.6), "white"),
        ((0.76, 0.1, -0.62), "cancel"),
        ((86.3, 8.0, 33.8), "signs"),
        ((0.863, 0.08, -0.338), "percent"),
        ((-46.3, -7.4, 51.0), "truth by what was found"),
    ],
    "refocused_spin_echo": [
        (lambda pd, t1, t2, te, tr: pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2), "Eq. 1"),
        (
            lambda pd, t1, t2, te, tr: (
                pd * (1 - 2 * math.exp(-(tr - te / 2) / t1) - math.exp(-tr / t1)) * math.exp(-te / t2)
            ),
            "sign",
        ),
    ],
    "inversion_events": [
        (
            lambda ti, tr: [Pulse(180), Delay(ti), Pulse(90), Read(), Spoil(), Delay(tr - ti)],
            "after the inversion",
        ),
        (lambda ti, tr: [Pulse(180), Spoil(), Delay(ti), Pulse(90), Read(), Delay(tr - ti)], "after Read()"),
        (lambda ti, tr: [Pulse(180), Delay(ti), Pulse(90), Read(), Delay(tr - ti)], "spoiler"),
        (
            lambda ti, tr: [
                Pulse(180),
                Spoil(),
                Delay(ti),
                Pulse(90),
                Delay(0.01),
                Read(),
                Spoil(),
                Delay(tr - ti),
            ],
            "at once",
        ),
        (lambda ti, tr: [Pulse(180), Spoil(), Delay(ti), Read(), Spoil(), Delay(tr - ti)], "90°"),
        (lambda ti, tr: [Delay(ti), Pulse(90), Read(), Spoil(), Delay(tr - ti)], "where is the inversion"),
        (lambda ti, tr: [Pulse(180), Spoil(), Delay(ti), Pulse(90), Read(), Spoil(), Delay(tr)], "TI + TR"),
        (
            lambda ti, tr: [Pulse(180), Spoil(), Delay(ti), Pulse(90), Spoil(), Delay(tr - ti)],
            "exactly one Read",
        ),
        (
            lambda ti, tr: [
                Pulse(180),
                Spoil(),
                Delay(ti),
                Pulse(90),
                Read(),
                Read(),
                Spoil(),
                Delay(tr - ti),
            ],
            "exactly one Read",
        ),
    ],
    "real_null": [
        (1.031, "Eq. 1"),
        (2.445, "FLAIR"),
        (0.7, "digits"),
        (0.75, "Mz of CSF"),
        (737, "must lie between"),
    ],
    "planted_bugs": [
        (
            {"a": "TE and TR swapped", "b": "TI for T1", "c": "none", "d": "product of two scans"},
            "again at c",
        ),
        ({"a": "broken", "b": "TI for T1", "c": "none", "d": "none"}, "say one of"),
    ],
}
RIGHT = {
    "inversion_events": [
        lambda ti, tr: [Delay(ti), Pulse(90), Read(), Spoil(), Delay(tr - ti), Pulse(180), Spoil()],
        lambda ti, tr: (Pulse(180, "x"), Delay(ti), Spoil(), Pulse(90), Read(), Delay(tr - ti), Spoil()),
    ],
    "real_null": [0.74, 0.73],
}
