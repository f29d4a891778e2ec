"""Every solution passes; every stub and every plausible wrong answer does not; no check ever raises."""

import csv
import inspect
import itertools
import math
import runpy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from physldm.data import example_maps
from physldm.physics import Acquisition, tissue_signal
from physldm.physics.bloch import Delay, Pulse, Read, Spoil
from physldm.teach import Verdict, check, notice

SOLUTIONS = Path(__file__).parents[2] / "book" / "solutions"


def _flair(tissue, te, tr, ti):
    pd, t1, t2 = tissue
    return pd * (1 - 2 * math.exp(-ti / t1) + math.exp(-tr / t1)) * math.exp(-te / t2)


def _psnr(data_range, error):
    return 10 * torch.log10(data_range**2 / error.square().mean())


def _group_statistics(h, groups):
    found = torch.std_mean(h.reshape(len(h), groups, -1), -1, correction=0)
    return tuple(x.repeat_interleave(h.shape[1] // groups, 1) for x in found)


def _field(layers):
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


def _growth(levels):
    before, here, after = (0.5 * math.log(a / (1 - a)) for a in levels)
    return (after - here) / (here - before)


def _difference(rows, switch, score):
    means = [sum(r[score] for r in rows if r[switch] == on) / (len(rows) / 2) for on in (True, False)]
    return means[0] - means[1]


def _dpm(x, guess, levels):
    _, a, a_next = levels
    r = ((1 - a_next) / (1 - a)) ** 0.5
    return r * x + (a_next**0.5 - r * a**0.5) * guess


# What a check asks for: the function itself, or what it returns.
TAKES_FUNCTION = {
    "draw_from_belief",
    "kl_by_hand",
    "spin_echo_by_hand",
    "null_time",
    "product_of_two",
    "product_of_present",
    "relative_error",
    "refocused_spin_echo",
    "inversion_events",
    "t2_slope",
    "mixed_flair",
    "repeatable_psnr",
    "undo_group_norm",
    "adversarial_losses",
    "receptive_field",
    "wrong_start",
    "velocity_from_noise",
    "dpm_step",
    "code_scale",
    "average_memory",
    "guided_velocity",
    "switch_effect",
    "same_scans",
    "widened",
}
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
        {"a": "FLAIR", "b": "mprage", "c": "spin_echo"},
        "flair",
    ],
    "synthetic_scan": [1.45, 0.59, 1.005, "half"],
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
    "relative_error": [
        lambda s, x, c: (s - x).abs() / (x + c),
        lambda s, x, c: ((s - x) / (x + c)).mean(),
        lambda s, x, c: ((s - x).abs() / x).mean(),
        lambda s, x, c: ((s - x).abs() / (s + c)).mean(),
        lambda s, x, c: (s - x).abs().sum() / (x + c).sum(),
        lambda s, x, c: ((s - x).abs() / (x + c)).sum(),
        lambda s, x, c: ((s - x) ** 2).mean(),
        lambda s, x, c: 0.0,
    ],
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
    "null_range": [(1.19, 0.4845), (0.4845, 0.4845), (0.699, 1.735), 0.5, (0.4845, 1.2, 1.3)],
    "how_far": [math.log(19), 3.6, 19],
    "common_t1": [1.15, 0.85, 0],
    "t2_slope": [
        lambda pd, t1, t2, te, tr: pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2) * te / t2**2,
        lambda pd, t1, t2, te, tr: -pd * (1 - math.exp(-tr / t1)) * math.exp(-te / t2) * te / t2,
        lambda pd, t1, t2, te, tr: pd * math.exp(-te / t2),
    ],
    "hidden_change": [(0.0, 0.0), (10.0, 10.0), (-6.0, 6.9), (0.069, -0.06), 5.0],
    "mixed_flair": [
        lambda f, gm, csf, te, tr, ti: 0.2,
        lambda f, gm, csf, te, tr, ti: f * _flair(gm, te, tr, ti) + (1 - f) * _flair(csf, te, tr, ti),
        lambda f, gm, csf, te, tr, ti: _flair(gm, te, tr, ti) + _flair(csf, te, tr, ti),
        lambda f, gm, csf, te, tr, ti: _flair(
            (
                (1 - f) * gm[0] + f * csf[0],
                *(a ** (1 - f) * b**f for a, b in zip(gm[1:], csf[1:], strict=True)),
            ),
            te,
            tr,
            ti,
        ),
    ],
    "repaired_sidecar": [
        check.BROKEN,
        {"EchoTime": 0.00298, "RepetitionTime": 2.3},
        {"EchoTime": 0.00298, "RepetitionTime": 2.3, "InversionTime": 1.0},
        {"EchoTime": 0.00298, "RepetitionTime": 2.4, "InversionTime": 0.9},
        {"EchoTime": 0.003, "RepetitionTime": 2.3, "InversionTime": 0.9},
        3,
    ],
    "triage": [
        {"a": "taken", "b": "refused", "c": "taken", "d": "filled in"},
        {"a": "filled in", "b": "filled in", "c": "taken", "d": "filled in"},
        {"a": "filled in", "b": "refused", "c": "filled in", "d": "filled in"},
        {"a": "filled in", "b": "refused", "c": "taken", "d": "taken"},
        {"a": "maybe", "b": "refused", "c": "taken", "d": "taken"},
        3,
    ],
    "gain_factor": [0.5, 600, 1.0],
    "what_to_believe": [{"a", "b", "d"}, {"b"}, {"b", "c", "d"}, set(), 3],
    "noise_of_air": [8.15, 4.26, 65.0, 0.01],
    "fair_split": [
        set(),
        {"sub-A_ses-1", "sub-B_ses-1", "sub-C_ses-1", "sub-D_ses-1"},
        set(check.SESSIONS),
        {"sub-Z_ses-1"},
        3,
    ],
    "what_it_proves": [{"a"}, {"d"}, {"a", "b", "d"}, {"a", "c", "d"}, set(), 3],
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
    "code_scale": [
        lambda mean, sigma: mean.std((0, 2, 3)),
        lambda mean, sigma: mean.var((0, 2, 3)) + sigma.square().mean((0, 2, 3)),
        lambda mean, sigma: mean.std((0, 2, 3)) + sigma.mean((0, 2, 3)),
        lambda mean, sigma: (mean.var((0, 2, 3)) + sigma.mean((0, 2, 3)) ** 2).sqrt(),
        lambda mean, sigma: (mean.var((0, 2, 3)) + sigma.var((0, 2, 3))).sqrt(),
        lambda mean, sigma: (mean.square() + sigma.square()).mean((0, 2, 3)).sqrt(),
        lambda mean, sigma: sigma.square().mean((0, 2, 3)).sqrt(),
        lambda mean, sigma: (mean.var() + sigma.square().mean()).sqrt(),
        lambda mean, sigma: (mean.var(0) + sigma.square().mean(0)).sqrt(),
        lambda mean, sigma: (mean.var((0, 2, 3)) + sigma.mean((0, 2, 3))).sqrt(),
    ],
    "average_memory": [
        lambda d, n: d**n,
        lambda d, n: n * (1 - d),
        lambda d, n: (1 - d) * d**n,
        lambda d, n: 1 - d ** (n - 1),
        lambda d, n: 1 - (1 - d) ** n,
        lambda d, n: (1 - d) * d ** (n - 1),
        0.5,
    ],
    "guided_velocity": [
        lambda told, anyone, w: anyone + w * (told - anyone),
        lambda told, anyone, w: told + w * (anyone - told),
        lambda told, anyone, w: w * (told - anyone),
        lambda told, anyone, w: told + w * told - anyone,
        lambda told, anyone, w: (1 + w) * told,
        lambda told, anyone, w: told,
    ],
    "choose_sampler": [
        {"cheapest": "e", "apart": "e", "first": "vae"},
        {"cheapest": "d", "apart": "e", "first": "vae"},
        {"cheapest": "a", "apart": "e", "first": "vae"},
        {"cheapest": "c", "apart": "a", "first": "vae"},
        {"cheapest": "c", "apart": "e", "first": "sampler"},
        {"cheapest": "c", "apart": "e", "first": "denoiser"},
        {"cheapest": "c", "apart": "e", "first": ...},
        {"cheapest": ["c"], "apart": ["e"], "first": {}},
        {"cheapest": "c"},
        "c",
    ],
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
    "which_equation": [
        {"a": "eq-adagn", "b": "eq-flair", "c": "eq-tissue-maps", "d": "eq-poe"},
        {"a": "eq-poe", "b": "eq-tissue-maps", "c": "eq-flair", "d": "eq-adagn"},
        dict.fromkeys("abcd", "eq-poe"),
        {"a": "eq-poe"},
    ],
    "colouring_in": [
        {"a": "tissue", "b": "lost", "c": "colouring"},
        {"a": "colouring", "b": "tissue", "c": "lost"},
        dict.fromkeys("abc", "colouring"),
        dict.fromkeys("abc", "fine"),
        {"a": "colouring"},
    ],
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
    "wrong_start": [
        lambda m, s, a: m,
        lambda m, s, a: 0.0,
        lambda m, s, a: a**0.5 * m,
        lambda m, s, a: m * (1 - a**0.5),
        lambda m, s, a: m * (1 - s * a**0.5),
        lambda m, s, a: m - a**0.5 * m / (a * s**2 + 1 - a) ** 0.5,
        lambda m, s, a: m - s**2 * a**0.5 * m / (a * s**2 + 1 - a),
        lambda m, s, a: m + s * a**0.5 * m / (a * s**2 + 1 - a) ** 0.5,
        lambda m: m,
    ],
    "velocity_from_noise": [
        lambda eps, x_t, a: (x_t - (1 - a) ** 0.5 * eps) / a**0.5,
        lambda eps, x_t, a: a**0.5 * eps - (1 - a) ** 0.5 * x_t,
        lambda eps, x_t, a: ((1 - a) ** 0.5 * x_t - eps) / a**0.5,
        lambda eps, x_t, a: eps - (1 - a) ** 0.5 * x_t,
        lambda eps, x_t, a: (eps - (1 - a) ** 0.5 * x_t) / a,
        lambda eps, x_t, a: a * eps - (1 - a) * (x_t - (1 - a) ** 0.5 * eps) / a**0.5,
        lambda eps, x_t, a: eps,
    ],
    "two_networks": [
        {"Eq. 8": "a", "x0": "b", "v": "a", "min-SNR": "a"},
        {"Eq. 8": "b", "x0": "a", "v": "b", "min-SNR": "a"},
        {"Eq. 8": "a", "x0": "b", "v": "b", "min-SNR": "b"},
        dict.fromkeys(("Eq. 8", "x0", "v", "min-SNR"), "a"),
        dict.fromkeys(("Eq. 8", "x0", "v", "min-SNR"), "c"),
        {"Eq. 8": "a"},
    ],
    "dpm_step": [
        lambda x, x0, b, *levels: x0,
        lambda x, x0, b, *levels: _dpm(x, x0, levels),
        lambda x, x0, b, *levels: _dpm(x, x0 + 0.5 * (x0 - b), levels),
        lambda x, x0, b, *levels: _dpm(x, x0 + _growth(levels) * (x0 - b), levels),
        lambda x, x0, b, *levels: _dpm(x, x0 + 0.5 / _growth(levels) * (x0 - b), levels),
        lambda x, x0, b, *levels: _dpm(x, x0 - 0.5 * _growth(levels) * (x0 - b), levels),
        lambda x: x,
    ],
    "read_labels": [
        {"a": "no fluid", "b": "no white matter", "c": "no grey matter", "d": "water"},
        {"a": "water", "b": "no grey matter", "c": "no white matter", "d": "no fluid"},
        {"a": "water", "b": "no white matter", "c": "no grey matter", "d": "no bone"},
        dict.fromkeys("abcd", "water"),
        dict.fromkeys("abcd", ...),
        {"a": "water"},
    ],
    "what_breaks": [
        dict(zip("abcde", ("nothing", "impossible", "sign", "nothing", "impossible"), strict=True)),
        dict(zip("abcde", ("background", "nothing", "sign", "nothing", "impossible"), strict=True)),
        dict(zip("abcde", ("background", "impossible", "nothing", "nothing", "impossible"), strict=True)),
        dict(zip("abcde", ("background", "impossible", "sign", "nothing", "nothing"), strict=True)),
        dict.fromkeys("abcde", "impossible"),
        dict.fromkeys("abcde", "noise"),
        {"a": "background"},
    ],
    "carried_error": [
        (..., ...),
        (-9.0, -9.0),
        (-17.0, -28.5),
        (-0.002, 0.013),
        (10.4, -0.6),
        (0.0, 0.0),
        10.4,
    ],
    "tissue_or_scanner": [
        {"a": "tissue", "b": "scanner", "c": "tissue", "d": "tissue"},
        {"a": "scanner", "b": "tissue", "c": "tissue", "d": "tissue"},
        {"a": "scanner", "b": "scanner", "c": "scanner", "d": "tissue"},
        {"a": "scanner", "b": "scanner", "c": "tissue", "d": "scanner"},
        dict.fromkeys("abcd", "gain"),
        {"a": "scanner"},
    ],
}
CHECKS = {
    name
    for name, thing in vars(check).items()
    if inspect.isfunction(thing) and thing.__module__ == check.__name__ and hasattr(thing, "__wrapped__")
}


def solutions():
    return {
        name: thing
        for file in sorted(SOLUTIONS.glob("[0-9][0-9].py"))
        for name, thing in runpy.run_path(str(file)).items()
        if inspect.isfunction(thing) and thing.__module__ == "<run_path>" and not name.startswith("_")
    }


def test_every_check_has_a_solution_and_wrong_answers():
    assert set(solutions()) == CHECKS == set(WRONG)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_solution_passes_and_nothing_else(name, smoke_run):
    ask, solution = getattr(check, name), solutions()[name]
    assert ask(solution if name in TAKES_FUNCTION else solution())
    stub = (lambda *args: ...) if name in TAKES_FUNCTION else ...
    for wrong in [None, ..., stub, *WRONG[name], object(), "text"]:
        verdict = ask(wrong)
        assert isinstance(verdict, Verdict) and not verdict and verdict.hint and "Not yet" in repr(verdict)


def test_known_slips_get_their_own_hint():
    hints = {check.spin_echo_by_hand(wrong).hint for wrong in WRONG["spin_echo_by_hand"]}
    assert len(hints) == len(WRONG["spin_echo_by_hand"])


def test_mystery_pictures_are_what_their_clues_say():
    maps, fractions = example_maps(2)
    white, grey, fluid = (fractions[i] > 0.95 for i in range(3))
    brightness = {
        name: [picture[place].median() for place in (white, grey, fluid)]
        for name, picture in zip("abc", check.mystery_scans(maps), strict=True)
    }
    w, g, c = brightness["a"]
    assert g > w > c
    w, g, c = brightness["b"]
    assert w > g > c
    w, g, c = brightness["c"]
    assert c > g > w


def test_ranges_of_the_papers_table_are_those_that_the_check_expects():
    with open(SOLUTIONS.parent / "results" / "paper-table1.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ranges = [math.sqrt(float(r["mse"])) * 10 ** (float(r["psnr"]) / 20) for r in rows]
    assert (round(min(ranges[:-1])), round(max(ranges[:-1]))) == check.OTHER_RANGES
    assert round(ranges[-1]) == 1305 and len(rows) == 16


def test_what_stands_out_of_the_papers_mae_is_what_the_check_expects():
    with open(SOLUTIONS.parent / "results" / "paper-table1.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = ("gain_regression", "modality_dropout", "prior", "adagn")
    signs = torch.tensor([[2.0 * int(r[c]) - 1 for c in columns] for r in rows], dtype=torch.float64)
    sets = [a for n in range(5) for a in itertools.combinations(range(4), n)]
    design = torch.stack([signs[:, a].prod(1) for a in sets], 1)
    scores = torch.tensor([float(r["mae"]) for r in rows], dtype=torch.float64)
    found = 2 * torch.linalg.solve(design, scores)  # a regression on all products of the switches
    luck = found[[len(a) > 2 for a in sets]].square().mean().sqrt()
    names = ("G regression", "modality dropout", "T1 & T2 prior", "AdaGN")
    assert {n for n, e in zip(names, found[1:5], strict=True) if e.abs() > 2.5 * luck} == check.BEYOND_LUCK


def test_the_visits_of_the_check_are_scans_of_what_it_says():
    for letter, ((protocol, *first), (other, *second)) in check.VISITS.items():
        known = [700 * tissue_signal(name, protocol) for name in ("wm", "gm")]
        assert first == pytest.approx(known, abs=0.06)
        expected = [700 * tissue_signal(name, other) for name in ("wm", "gm")]
        off = second[1] / second[0] / (expected[1] / expected[0])
        assert (abs(off - 1) < 0.01) == (check.CHANGED[letter] == "scanner")
        assert abs(off - 1) < 0.01 or abs(off - 1) > 0.2


def test_notice(capsys, monkeypatch):
    notice("Two is more than one.", 2 > 1)
    assert "✓ Two" in capsys.readouterr().out
    monkeypatch.setenv("PHYSLDM_PRESET", "laptop")
    with pytest.raises(AssertionError, match="no longer true"):
        notice("One is more than two.", 1 > 2, trained=True)
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
    notice("One is more than two.", 1 > 2, trained=True)
    assert "✗" in capsys.readouterr().out
    with pytest.raises(AssertionError):
        notice("One is more than two.", 1 > 2)
