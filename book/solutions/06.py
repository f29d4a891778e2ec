"""Solutions of chapter 06, one function an exercise."""

import torch
from physldm.teach import check


def code_length():
    variance = [d**2 for d in check.SINGULAR_VALUES]
    kept = 0.0
    for k, part in enumerate(variance, start=1):
        kept += part
        if kept >= 0.95 * sum(variance):
            return k


def draw_from_belief(mean, log_var, noise):
    sigma = torch.exp(0.5 * log_var)
    return mean + sigma * noise


def kl_by_hand(mean, log_var):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()


def silent_channels():
    a = check.THREE_VAES["a"]
    silent = set()
    for channel, (sigma, mu) in enumerate(zip(a["sigma"], a["mu"], strict=True)):
        var = torch.tensor(sigma**2)
        if 0.5 * (mu**2 + var - 1 - var.log()) < 0.01:
            silent.add(channel)
    # the heaviest weight leaves the least KL and the worst picture
    heaviest = max(
        check.THREE_VAES, key=lambda name: check.THREE_VAES[name]["mse"]
    )
    return {"heaviest": heaviest, "silent": silent}
