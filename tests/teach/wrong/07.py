"""Chapter 07: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import torch

WRONG = {
    "product_of_two": [
        lambda m1, v1, m2, v2: ((m1 + m2) / 2, 1 / (1 / v1 + 1 / v2)),
        lambda m1, v1, m2, v2: (0.0, 1 / v1 + 1 / v2),
        lambda m1, v1, m2, v2: ((m1 * v1 + m2 * v2) / (v1 + v2), v1 * v2 / (v1 + v2)),
        lambda m1, v1, m2, v2: (2.0, v1 + v2),
        lambda m1, v1, m2, v2: m1,
    ],
    "product_of_present": [
        lambda m, lv, p: (m.mean(), lv.mean()),
        lambda m, lv, p: ((m / lv.exp()).sum() / (1 / lv.exp()).sum(), -(1 / lv.exp()).sum().log()),
        lambda m, lv, p: ((p * m / lv.exp()).sum() / (p / lv.exp()).sum(), -(p / lv.exp()).sum().log()),
        lambda m, lv, p: (
            (m[p] / lv[p].exp()).sum() / (1 / lv[p].exp()).sum(),
            -(1 / lv[p].exp()).sum().log(),
        ),
        lambda m, lv, p: ((m[p] / lv[p].exp()).sum() / (1 / lv[p].exp()).sum(), 1 / (1 / lv[p].exp()).sum()),
        lambda m, lv, p: (m[p].mean(), -torch.logsumexp(-lv[p], 0)),
        lambda m, lv, p: (
            (torch.softmax(-lv * p, 0) * m * p).sum(),
            -torch.logsumexp(-lv * p, 0),
        ),
        lambda m, lv, p: (
            (torch.softmax(-torch.where(p, lv, torch.inf), 0) * m).sum(),
            -torch.logsumexp(-torch.where(p, lv, torch.inf), 0),
        ),
        lambda m: m,
    ],
    "fused": [
        {"a": "product", "b": "mixture", "c": "generalised", "too sure": "a"},
        {"a": "mixture", "b": "generalised", "c": "product", "too sure": "c"},
        {"a": "generalised", "b": "mixture", "c": "product", "too sure": "b"},
        {"a": "product", "b": "mixture", "c": "product", "too sure": "c"},
        {"a": "mixture", "b": "mixture", "c": "product", "too sure": "c"},
        {"a": "generalised", "b": "mixture", "c": "PoE", "too sure": "c"},
        {"a": "generalised", "b": "mixture", "c": "product", "too sure": "product"},
        {"a": ..., "b": ..., "c": ..., "too sure": ...},
        {"a": "generalised"},
    ],
    "one_prior": [
        (11 / 8.5, 1 / 8.5),
        (11 / 9.5, 1 / 9.5),
        (11 / 5.5, 1 / 5.5),
        (11 / 7.5, 1 / 7.5),
        (11 / 6.5, 6.5),
        (1.69, 0.154, 1.0),
        1.69,
    ],
}
NAMED = {
    "product_of_two": [
        (lambda m1, v1, m2, v2: (0.0, 2 / (1 / v1 + 1 / v2)), "averages the precisions"),
        (lambda m1, v1, m2, v2: (0.0, 1 / (1 + 1 / v1 + 1 / v2)), "prior expert"),
        (lambda m1, v1, m2, v2: (0.0, (1 / v1 + 1 / v2) ** -0.5), "standard deviation"),
        (lambda m1, v1, m2, v2: 1 / (1 / v1 + 1 / v2), "two numbers"),
    ],
    "product_of_present": [
        (lambda m, lv, p: (m[p].mean(), torch.logsumexp(-lv[p], 0)), "precision"),
        (lambda m, lv, p: (m[p].mean(), -0.5 * torch.logsumexp(-lv[p], 0)), "ln σ"),
    ],
    "fused": [({"a": "product", "b": "mixture", "c": "generalised", "too sure": "c"}, "share their mean")],
    "one_prior": [
        ((1.29, 0.12), "Eq. 3"),
        ((1.2, 0.11), "fourth copy"),
        ((2.0, 0.18), "not counted"),
        ((1.5, 0.13), "One copy is taken out"),
        ((1.7, 0.39), "standard deviation"),
        ((1.7, 6.5), "precision"),
        (1.69, "two numbers"),
    ],
}
RIGHT = {
    "one_prior": [(1.69, 0.15), (1.7, 0.15), (1.69, 0.154)],
    "fused": [{"a": "Generalised", "b": "Mixture", "c": "Product", "too sure": "C"}],
}
