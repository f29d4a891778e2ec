"""Flat dictionaries of scores: from voxels to a session, from sessions to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from torch import Tensor

PROPERTIES = ("pd", "t1", "t2")
# What the kinds of protocols are called that a run is scored on.
KINDS = {
    "protocols": "inside the draw",
    "protocols_edge": "at its ends",
    "protocols_new": "one sequence left out of training",
}


def mean_of_rows(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each score over the rows that have it, keys in order."""
    found = {key: [row[key] for row in rows if key in row] for key in sorted({k for r in rows for k in r})}
    return {key: sum(values) / len(values) for key, values in found.items()}


def mdape(errors: Mapping[str, Tensor]) -> dict[str, float]:
    """Medians of absolute relative errors in %, ``t1_mdape.wm`` of ``t1.wm``; none of a tissue that no voxel counts for.

    Args:
        errors: see :func:`physldm.evaluation.tissue.relative_errors`.
    """
    medians = {}
    for key, values in errors.items():
        if len(values):
            quantity, dot, tissue = key.partition(".")
            medians[f"{quantity}_mdape{dot}{tissue}"] = values.median().item()
    return medians


def as_text(scores: Mapping[str, float]) -> str:
    """Scores for people: a line each, in paragraphs by their first word; those of other protocols as a table."""
    plain = {key: value for key, value in scores.items() if key.split(".")[0] not in KINDS}
    lines = []
    for _, group in groupby(sorted(plain.items()), key=lambda item: item[0].split(".")[0]):
        lines += [*(f"{key:32s} {value:10.4g}" for key, value in group), ""]
    table = [_line(scores, kind, tissue) for kind in KINDS for tissue in ("wm", "gm")]
    if any(table):
        heads = "".join(f"{name.upper():>16s}" for name in PROPERTIES)
        lines += [f"{'other protocols: median (worst) error, %':42s}{heads}", *filter(None, table), ""]
    return "\n".join(lines[:-1])


def _line(scores: Mapping[str, float], kind: str, tissue: str) -> str:
    """One tissue's errors over one kind of protocols; nothing where it was not scored."""
    keys = [f"{kind}.{name}_mdape.{tissue}" for name in PROPERTIES]
    if f"{keys[0]}.median" not in scores:
        return ""
    cells = (f"{scores[f'{key}.median']:.1f} ({scores[f'{key}.worst']:.1f})" for key in keys)
    return f"{KINDS[kind]:38s}{tissue:4s}" + "".join(f"{cell:>16s}" for cell in cells)
