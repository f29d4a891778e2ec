"""Flat dictionaries of scores: from voxels to a session, from sessions to a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

PROPERTIES = ("pd", "t1", "t2")


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
