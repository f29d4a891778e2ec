"""Chapter 08: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import torch

from physldm.physics import Acquisition


def _group_statistics(h, groups):
    found = torch.std_mean(h.reshape(len(h), groups, -1), -1, correction=0)
    return tuple(x.repeat_interleave(h.shape[1] // groups, 1) for x in found)


WRONG = {
    "same_t2w": [0.0525, 0.1, 0.07, 93.3, 0.085, 0],
    "undo_group_norm": [
        lambda h, groups: tuple(reversed(_group_statistics(h, groups))),
        lambda h, groups: torch.std_mean(h, (2, 3), correction=0),
        lambda h, groups: torch.std_mean(h.reshape(len(h), groups, -1), -1, correction=0),
        lambda h, groups: (1 / _group_statistics(h, groups)[0], -_group_statistics(h, groups)[1]),
        lambda h, groups: (_group_statistics(h, groups)[0] ** 2, _group_statistics(h, groups)[1]),
        lambda h, groups: (_group_statistics(h, groups)[0], torch.zeros(h.shape[:2])),
        lambda h, groups: (torch.ones(h.shape[:2]), torch.zeros(h.shape[:2])),
        lambda h, groups: (..., ...),
        lambda h: h,
    ],
    "read_features": [
        Acquisition("mprage", te=0.12, tr=8.0, ti=2.2),
        Acquisition("spin_echo", te=0.12, tr=8.0),
        Acquisition("flair", te=0.88, tr=8.0, ti=2.2),
        Acquisition("flair", te=0.12, tr=2.943, ti=2.2),
        Acquisition("flair", te=0.12, tr=8.0, ti=0.788),
        (0.12, 8.0, 2.2),
    ],
    "who_listens": [
        {"a": "guesses", "b": "listens", "c": "blind", "d": "deaf"},
        {"a": "deaf", "b": "listens", "c": "deaf", "d": "guesses"},
        {"a": "deaf", "b": "guesses", "c": "blind", "d": "listens"},
        dict.fromkeys("abcd", "listens"),
        dict.fromkeys("abcd", "sleeps"),
        {"a": "deaf"},
    ],
}
NAMED = {
    "same_t2w": [
        (0.053, "other way round"),
        (0.1, "difference"),
        (93, "econds"),
        (0.07, "darker"),
        (0.0, "times as bright"),
    ],
    "read_features": [
        (Acquisition("flair", te=0.12, tr=2.9, ti=2.2), "TR of 2.9 s"),
        (Acquisition("flair", te=0.12, tr=2.943, ti=2.2), "mind what is added"),
        (Acquisition("mprage", te=0.12, tr=8.0, ti=2.2), "refocuses"),
    ],
    "undo_group_norm": [
        (lambda h, groups: torch.std_mean(h, (2, 3), correction=0), "each channel"),
        (lambda h, groups: h.reshape(len(h), groups, -1).std(-1), "one a channel"),
    ],
    "who_listens": [({"a": "guesses", "b": "listens", "c": "blind", "d": "deaf"}, "a:")],
}
RIGHT = {"same_t2w": [0.093, 0.0933], "read_features": [Acquisition("flair", te=0.12, tr=8.0, ti=2.2)]}
