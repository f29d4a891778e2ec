"""Chapter 14: wrong answers; those whose slip the hint must name, with a word of it; other right ones."""

import torch


def _psnr(data_range, error):
    return 10 * torch.log10(data_range**2 / error.square().mean())


WRONG = {
    "same_mse": [
        ([2.0] * 100, [2.0] * 100),
        ([2.0] * 10, [20.0]),
        ([2.0] * 100, [4.0] * 25 + [0.0] * 75),
        ([1.0] * 100, [100.0] + [0.0] * 99),
        ([0.0] * 100, [0.0] * 100),
        2.0,
    ],
    "misprint": [(1, 31.3), (16, 30.89), (14, 31.37), (16, 62.6), (16, 31.8), 16],
    "too_good": [
        {"a": "air", "b": "nothing wrong", "c": "gain hidden", "d": "leak", "e": "bright voxel"},
        {"a": "gain hidden", "b": "nothing wrong", "c": "air", "d": "bright voxel", "e": "leak"},
        {"a": "air", "b": "bright voxel", "c": "gain hidden", "d": "bright voxel", "e": "leak"},
        {"a": "air", "b": "nothing wrong", "c": "gain hidden", "d": "bright voxel", "e": "nothing wrong"},
        dict.fromkeys("abcde", "cheating"),
        {"a": "air"},
    ],
    "repeatable_psnr": [
        lambda found, clean, brain: _psnr(clean[brain].quantile(0.995), found - clean),
        lambda found, clean, brain: _psnr(clean[brain].max(), (found - clean)[brain]),
        lambda found, clean, brain: _psnr(clean.max() - clean.min(), (found - clean)[brain]),
        lambda found, clean, brain: _psnr(clean.quantile(0.995), (found - clean)[brain]),
        lambda found, clean, brain: _psnr(clean.quantile(0.995), found - clean),
        lambda found, clean, brain: _psnr(found[brain].quantile(0.995), (found - clean)[brain]),
        lambda found, clean, brain: _psnr(clean[brain].quantile(0.995), (found - clean)[brain]) / 2,
        lambda found, clean, brain: 25.0,
        lambda found: 0.0,
    ],
}
NAMED = {
    "same_mse": [(([2.0] * 100,), "two lists"), (([2.0] * 100, [4.0] * 25 + [0.0] * 75), "largest")],
    "misprint": [
        ((16, 31), "digits"),
        ((16, 30.89), "printed"),
        ((1, 31.3), "Work out"),
        ((16, 31.8), "R of the others"),
    ],
    "repeatable_psnr": [
        (lambda found, clean, brain: _psnr(clean[brain].quantile(0.99), (found - clean)[brain]), "99th"),
        (lambda found, clean, brain: _psnr(clean[brain].max(), (found - clean)[brain]), "largest value"),
    ],
    "too_good": [
        ({"a": "air", "b": "leak", "c": "gain hidden", "d": "bright voxel", "e": "leak"}, "b:"),
        ({"a": "cheating", "b": "leak", "c": "leak", "d": "leak", "e": "leak"}, "say one of"),
    ],
}
RIGHT = {"misprint": [(16, 31.3), [16, 31.32]]}
