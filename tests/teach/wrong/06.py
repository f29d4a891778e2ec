"""Chapter 06: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import torch

WRONG = {
    "code_length": [9, 4, 12, 0, 13, 5.5, "many"],
    "draw_from_belief": [
        lambda mean, log_var, noise: mean,
        lambda mean, log_var, noise: mean + noise,
        lambda mean, log_var, noise: mean + log_var * noise,
        lambda mean, log_var, noise: mean + log_var.exp() * noise,
        lambda mean, log_var, noise: mean + torch.exp(-0.5 * log_var) * noise,
        lambda mean, log_var, noise: torch.normal(mean, torch.exp(0.5 * log_var)),
        lambda mean, log_var, noise: (mean + torch.exp(0.5 * log_var) * noise).detach(),
        lambda mean, log_var, noise: mean + torch.exp(0.5 * log_var).detach() * noise,
        lambda mean, log_var, noise: 1.3,
    ],
    "kl_by_hand": [
        lambda mean, log_var: 0.5 * (mean**2 + log_var.exp() - 1 - log_var),
        lambda mean, log_var: 0.5 * (mean**2 + log_var.exp() - 1 - log_var).mean(),
        lambda mean, log_var: (mean**2 + log_var.exp() - 1 - log_var).sum(),
        lambda mean, log_var: 0.5 * (mean**2 + log_var.exp() - log_var).sum(),
        lambda mean, log_var: -0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(),
        lambda mean, log_var: 0.5 * ((1 + mean**2) / log_var.exp() - 1 + log_var).sum(),
        lambda mean, log_var: 0.5 * (mean**2 + log_var - 1 - log_var.exp()).sum(),
        lambda mean, log_var: 0.5 * (mean**2 + torch.exp(0.5 * log_var) - 1 - 0.5 * log_var).sum(),
        lambda mean, log_var: 0.0,
    ],
    "silent_channels": [
        {"heaviest": "b", "silent": {0, 4}},
        {"heaviest": "a", "silent": {0, 4}},
        {"heaviest": "c", "silent": {0, 2, 4}},
        {"heaviest": "c", "silent": {0, 2, 4, 5}},
        {"heaviest": "c", "silent": {0}},
        {"heaviest": "c", "silent": set()},
        {"heaviest": "c", "silent": {0, 4, 6}},
        {"heaviest": ..., "silent": ...},
        {"heaviest": "c"},
        "c",
    ],
}
NAMED = {
    "code_length": [
        (9, "singular values"),
        (4, "counts from 0"),
        (6, "97.3%"),
        (5.5, "whole number"),
        (13, "There are 12"),
    ],
    "draw_from_belief": [(lambda m, lv, noise: (m + torch.exp(lv / 2) * noise).round(decimals=1), "round")],
    "kl_by_hand": [(lambda m, lv: 0.5 * (m**2 + lv.exp() - 1 - lv), "one number")],
    "silent_channels": [
        ({"heaviest": "c", "silent": {1, 5}}, "from 0"),
        ({"heaviest": "b", "silent": {0, 4}}, "heaviest"),
    ],
}
RIGHT = {"silent_channels": [{"heaviest": "C", "silent": [4, 0]}], "code_length": [5.0]}
