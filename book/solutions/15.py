"""Solutions of chapter 15, one function an exercise."""

import csv
from itertools import combinations
from math import prod, sqrt
from pathlib import Path

import torch

TABLE = Path(__file__).parents[1] / "results" / "paper-table1.csv"
COLUMNS = {
    "G regression": "gain_regression",
    "modality dropout": "modality_dropout",
    "T1 & T2 prior": "prior",
    "AdaGN": "adagn",
}


def switch_effect(rows, switch, score):
    on = [row[score] for row in rows if row[switch]]
    off = [row[score] for row in rows if not row[switch]]
    return sum(on) / len(on) - sum(off) / len(off)


def beyond_luck():
    with open(TABLE, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def effect(switches):
        signs = (prod(2 * int(r[COLUMNS[s]]) - 1 for s in switches) for r in rows)
        return (
            sum(s * float(r["mae"]) for s, r in zip(signs, rows, strict=True)) / 8
        )

    several = [effect(a) for n in (3, 4) for a in combinations(COLUMNS, n)]
    luck = sqrt(sum(e**2 for e in several) / 5)
    return {s for s in COLUMNS if abs(effect([s])) > 2.5 * luck}


def same_scans(maps, gain):
    # G · f(PD, T1, T2) = f(G · PD, T1, T2): every signal is proportional to PD
    return torch.stack([gain * maps[0], maps[1], maps[2]])


def break_even():
    # p · 8.2 + (1 − p) · 29.4 = p · 19.4 + (1 − p) · 27.4
    costs, brings = 29.4 - 27.4, 19.4 - 8.2
    return costs / (costs + brings)


def widened(errors, said):
    return (errors / said).square().mean().sqrt()
