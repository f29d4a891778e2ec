"""Chapter 10: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import math

import torch.nn.functional as F

from physldm.teach import check


def _field(layers):
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


WRONG = {
    "layers_to_keep": [3, 0, -1, 70, "two"],
    "best_edge": [
        {"squares": [0, 0.4, 0.75, 1], "absolute": [0, 0.4, 0.75, 1]},
        {"squares": [0, 0, 1, 1], "absolute": [0, 0.4, 0.75, 1]},
        {"squares": [1, 0.6, 0.25, 0], "absolute": [1, 1, 0, 0]},
        {"squares": [0, 0.4, 0.35, 0.25], "absolute": [0, 0, 1, 1]},
        {"squares": [0, 0.4, 0.75, 1], "absolute": [0, 1, 1, 1]},
        {"squares": [0, 0.4, 0.75], "absolute": [0, 0, 1]},
        {"squares": [..., ..., ..., ...], "absolute": [..., ..., ..., ...]},
        [0, 0.4, 0.75, 1],
    ],
    "opposite_order": [
        (check.sharp_slice().roll(1, -1), F.avg_pool2d(check.sharp_slice()[None], 3, 1, 1)[0]),
        (check.sharp_slice(), check.sharp_slice()),
        (1.03 * check.sharp_slice(), check.sharp_slice().roll(1, -1)),
        (check.sharp_slice()[:64], check.sharp_slice()[:64]),
        check.sharp_slice(),
        3,
    ],
    "adversarial_losses": [
        lambda real, made: (
            ((made - 1) ** 2).mean(),
            0.5 * ((real - 1) ** 2).mean() + 0.5 * (made**2).mean(),
        ),
        lambda real, made: (((real - 1) ** 2).mean() + (made**2).mean(), ((made - 1) ** 2).mean()),
        lambda real, made: (0.5 * (real**2).mean() + 0.5 * ((made - 1) ** 2).mean(), (made**2).mean()),
        lambda real, made: (0.5 * ((real - 1) ** 2).mean() + 0.5 * (made**2).mean(), (made**2).mean()),
        lambda real, made: (0.5 * ((real - 1) ** 2).sum() + 0.5 * (made**2).sum(), ((made - 1) ** 2).sum()),
        lambda real, made: ((real - 1).abs().mean(), (made - 1).abs().mean()),
        lambda real: real,
    ],
    "receptive_field": [
        lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers),
        lambda layers: math.prod(kernel for kernel, _ in layers),
        lambda layers: _field(layers[::-1]),
        lambda layers: 1 + sum((kernel - 1) * stride for kernel, stride in layers),
        lambda layers: 70,
    ],
}
NAMED = {
    "best_edge": [
        ({"squares": [0, 0.4, 0.75], "absolute": [0, 0, 1, 1]}, "four numbers"),
        ({"squares": [1, 0.6, 0.25, 0], "absolute": [1, 1, 0, 0]}, "dark"),
    ],
    "opposite_order": [((check.sharp_slice().roll(1, -1), 0.5 * check.sharp_slice()), "MSE")],
    "adversarial_losses": [(lambda real, made: ((real - 1).square().mean(), 0.0), "critic's loss is")],
    "receptive_field": [
        (lambda layers: 1 + sum((kernel - 1) * stride for kernel, stride in layers), "not on its own"),
        (lambda layers: 70, "go back"),
    ],
    "layers_to_keep": [(3, "70 voxels"), (1, "One more"), (2.5, "whole"), (40, "whole")],
}
RIGHT = {"layers_to_keep": [2.0], "best_edge": [{"absolute": (0, 0, 1, 1), "squares": (0.0, 0.4, 0.75, 1.0)}]}
