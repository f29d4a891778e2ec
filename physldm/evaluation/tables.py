"""Scores for people to read: a line each, and tables where several belong together."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from .scores import PROPERTIES
from .unkind import WAYS

Scores = Mapping[str, float]

# What the kinds of protocols are called that a run is scored on.
KINDS = {
    "protocols": "inside the draw",
    "protocols_edge": "at its ends",
    "protocols_new": "one sequence left out of training",
}
# Whose maps are scored against the truth; PD with the coil's field divided out is a row of its own.
JUDGED = {"truth": "found", "class_median": "class median", "own_median": "own median"}
ROWS = {"pd": "PD", "pd_smooth": "PD, coil's field divided out", "t1": "T1", "t2": "T2"}
TISSUES = ("", ".wm", ".gm", ".csf", ".lesion")
CELL = 14


def as_text(scores: Scores) -> str:
    """Scores for people: a line each, in paragraphs by their first word; the truth, less kind scans and other protocols as
    tables."""
    tables = [_truth(scores), _unkind(scores), _protocols(scores)]
    shown = {*JUDGED, *KINDS, "unkind"}
    plain = {key: value for key, value in scores.items() if key.split(".")[0] not in shown}
    parts = [
        "\n".join(f"{key:32s} {value:10.4g}" for key, value in group)
        for _, group in groupby(sorted(plain.items()), key=lambda item: item[0].split(".")[0])
    ]
    return "\n\n".join([*parts, *filter(None, tables)])


def _cells(values: list[float | None], digits: int = 1) -> str:
    return "".join(f"{'–' if v is None else f'{v:.{digits}f}':>{CELL}s}" for v in values)


def _heads(first: str, names: list[str]) -> str:
    return f"{first:44s}" + "".join(f"{name:>{CELL}s}" for name in names)


def _truth(scores: Scores) -> str:
    """Errors of the run's maps beside those of who knows the tissue; and whether the maps go with the truth inside it."""
    lines = []
    for tissue in TISSUES:
        for key, name in ROWS.items():
            errors = [scores.get(f"{who}.{key}_mdape{tissue}") for who in JUDGED]
            if errors[0] is not None:
                where = tissue[1:] or "brain"
                inside = [scores.get(f"truth.{key}_correlation{tissue}")]
                lines.append(f"{where:8s}{name:36s}{_cells(errors)}{_cells(inside, 2)}")
    heads = _heads("median error, %", [*JUDGED.values(), "correlation"])
    return "\n".join([heads, *lines]) if lines else ""


def _unkind(scores: Scores) -> str:
    """Errors of the same people scanned in other ways."""
    columns = [f"{p}_mdape.{t}" for p in PROPERTIES for t in ("wm", "gm")]
    lines = []
    for name, said in {
        **{name: way.said for name, way in WAYS.items()},
        "class_median": "class median",
    }.items():
        row = [scores.get(f"unkind.{name}.{key}") for key in ("psnr", *columns)]
        if any(value is not None for value in row):
            lines.append(f"{said:44s}{_cells(row)}")
    names = [f"{p.upper()} {t.upper()}" for p in PROPERTIES for t in ("wm", "gm")]
    heads = _heads("scanned less kindly: median error, %", ["PSNR (dB)", *names])
    return "\n".join([heads, *lines]) if lines else ""


def _protocols(scores: Scores) -> str:
    table = [_line(scores, kind, tissue) for kind in KINDS for tissue in ("wm", "gm")]
    heads = "".join(f"{name.upper():>16s}" for name in PROPERTIES)
    lines = [f"{'other protocols: median (worst) error, %':42s}{heads}", *filter(None, table)]
    return "\n".join(lines) if any(table) else ""


def _line(scores: Scores, kind: str, tissue: str) -> str:
    """One tissue's errors over one kind of protocols; nothing where it was not scored."""
    keys = [f"{kind}.{name}_mdape.{tissue}" for name in PROPERTIES]
    if f"{keys[0]}.median" not in scores:
        return ""
    cells = (f"{scores[f'{key}.median']:.1f} ({scores[f'{key}.worst']:.1f})" for key in keys)
    return f"{KINDS[kind]:38s}{tissue:4s}" + "".join(f"{cell:>16s}" for cell in cells)
