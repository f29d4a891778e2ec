"""Chapter 15: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import torch

from physldm.teach import check


def _difference(rows, switch, score):
    means = [sum(r[score] for r in rows if r[switch] == on) / (len(rows) / 2) for on in (True, False)]
    return means[0] - means[1]


WRONG = {
    "switch_effect": [
        lambda rows, s, y: -_difference(rows, s, y),
        lambda rows, s, y: _difference(rows, s, y) / 2,
        lambda rows, s, y: 4 * _difference(rows, s, y),
        lambda rows, s, y: _difference(rows, "AdaGN", y),
        lambda rows, s, y: _difference(rows, s, "mae"),
        lambda rows, s, y: _difference(rows, s, "mse"),
        lambda rows, s, y: _difference(rows, "prior", y),
        lambda rows, s, y: rows[0][y] - rows[2][y],
        lambda rows: 1,
    ],
    "beyond_luck": [
        {"modality dropout", "G regression"},
        check.SWITCHES_OF_TABLE_1,
        {"AdaGN"},
        {"dropout"},
        set(),
        3,
    ],
    "same_scans": [
        lambda maps, gain: maps,
        lambda maps, gain: maps * gain,
        lambda maps, gain: torch.stack([maps[0] / gain, maps[1], maps[2]]),
        lambda maps, gain: torch.stack([maps[0], maps[1] / gain, maps[2]]),
        lambda maps, gain: gain * maps[0],
        lambda maps, gain: 1.25,
    ],
    "break_even": [2.0 / 11.2, 1 - 2 / 13.2, 15.15, 0.5, 11.2, "never"],
    "widened": [
        lambda e, s: (e / s).square().mean(),
        lambda e, s: (e / s).abs().mean(),
        lambda e, s: (e.square().mean() / s.square().mean()).sqrt(),
        lambda e, s: (e / s).mean(),
        lambda e, s: (e / s).square().mean() ** -0.5,
        lambda e, s: e.std(),
        lambda e, s: 2.0,
    ],
}
NAMED = {
    "switch_effect": [(lambda rows, s, y: -_difference(rows, s, y), "sign")],
    "beyond_luck": [
        ({"G regression", "modality dropout"}, "Not all"),
        (check.SWITCHES_OF_TABLE_1, "Too many"),
        ({"G", "dropout"}, "names out of"),
    ],
    "same_scans": [(lambda maps, gain: maps / torch.tensor([gain, 1, 1])[:, None, None], "other way round")],
    "break_even": [(0.18, "Nearly"), (0.85, "without"), (15, "between 0 and 1")],
    "widened": [
        (lambda e, s: (e / s).std(), "mean of the ratios off"),
        (lambda e, s: (e / s).square().mean(), "variances"),
    ],
}
RIGHT = {
    "break_even": [0.15, 0.152, 2 / 13.2],
    "beyond_luck": [["g regression", "Modality Dropout", "T1 & T2 prior"]],
}
