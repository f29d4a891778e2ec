"""Chapter 01: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math

import torch

from physldm.physics import Acquisition


def _mz_exact(t1, t2, te, tr):
    """The exact spin echo of chapter 02, without PD."""
    return (1 - 2 * torch.exp(-(tr - te / 2) / t1) + torch.exp(-tr / t1)) * torch.exp(-te / t2)


WRONG = {
    "spin_echo_by_hand": [
        lambda pd, t1, t2, te, tr: pd * (1 - torch.exp(-te / t1)) * torch.exp(-tr / t2),
        lambda pd, t1, t2, te, tr: pd * (1 - torch.exp(-tr / t2)) * torch.exp(-te / t1),
        lambda pd, t1, t2, te, tr: (1 - torch.exp(-tr / t1)) * torch.exp(-te / t2),
        lambda pd, t1, t2, te, tr: pd * torch.exp(-tr / t1) * torch.exp(-te / t2),
        lambda pd, t1, t2, te, tr: pd * (1 - torch.exp(-tr / t1)),
        lambda pd: pd,
    ],
    "proton_density_scan": [
        Acquisition("spin_echo", te=0.1, tr=6.0),
        Acquisition("spin_echo", te=0.01, tr=3.0),
        Acquisition("spin_echo", te=0.03, tr=20.0),
        Acquisition("mprage", tr=2.4, ti=1.0),
        (0.005, 15),
    ],
    "null_time": [
        lambda t1, tr: t1 * math.log(2),
        lambda t1, tr: t1,
        lambda t1, tr: t1 * math.log((1 + math.exp(-tr / t1)) / 2),
        lambda t1, tr: 2.5,
    ],
    "mystery": [
        {"a": "flair", "b": "spin_echo", "c": "mprage"},
        {"a": "mprage", "b": "flair", "c": "spin_echo"},
        "flair",
    ],
}
NAMED = {
    "spin_echo_by_hand": [
        (lambda pd, t1, t2, te, tr: pd * (1 - torch.exp(-(tr - te) / t1)) * torch.exp(-te / t2), "TR − TE"),
        (lambda pd, *rest: pd * _mz_exact(*rest), "chapter 02"),
        (lambda pd, t1, t2, te, tr: torch.ones(2) * pd, "one number"),
    ],
    "proton_density_scan": [
        (Acquisition("spin_echo", te=0.01, tr=0.5), "time to recover"),
        (Acquisition("spin_echo", te=0.1, tr=15.0), "short"),
        (Acquisition("spin_echo_exact", te=0.01, tr=9.0), "Give an acquisition"),
    ],
    "null_time": [
        (lambda t1, tr: -t1 * math.log10((1 + math.exp(-tr / t1)) / 2), "base 10"),
        (lambda t1, tr: t1 * math.log((1 + math.exp(-tr / t1)) / 2), "sign"),
        (lambda t1, tr: t1 * math.log(2), "T1·ln 2"),
    ],
    "mystery": [({"a": "mprage", "b": "flair", "c": "T2w"}, "say one of")],
}
RIGHT = {
    "mystery": [
        {"a": "FLAIR", "b": "MPRAGE", "c": "spin echo"},
        {"c": "spin_echo", "b": "mprage", "a": "flair"},
    ],
    "proton_density_scan": [Acquisition("spin_echo", te=0.005, tr=15.0)],
    "spin_echo_by_hand": [
        lambda pd, t1, t2, te, tr: float(pd) * (1 - math.exp(-tr / float(t1))) * math.exp(-te / float(t2))
    ],
}
