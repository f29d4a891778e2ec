"""Tables with heads, units and aligned numbers: in a notebook, on the page and in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

Head = str | tuple[str, str]


class Table:
    """What :func:`table` returns: a notebook or a page shows it through its HTML, a terminal as padded text."""

    def __init__(self, rows: Sequence[Sequence[object]], columns: Mapping[Head, str]):
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(f"row {number}: found {len(row)} values, expected {len(columns)}")
        self.heads = [head if isinstance(head, tuple) else ("", head) for head in columns]
        self.numeric = [bool(form) for form in columns.values()]
        self.cells = [
            [
                "–" if value is None else format(value, form)
                for value, form in zip(row, columns.values(), strict=True)
            ]
            for row in rows
        ]

    def _repr_html_(self) -> str:
        aligned = [' style="text-align: right"' if n else ' style="text-align: left"' for n in self.numeric]
        lines = []
        if any(group for group, _ in self.heads):
            spans = [(group, len(list(same))) for group, same in groupby(self.heads, lambda head: head[0])]
            lines.append("".join(
                f'<th scope="colgroup" colspan="{n}">{escape(group)}</th>' if group else f'<td colspan="{n}"></td>'
                for group, n in spans
            ))  # fmt: skip
        lines.append("".join(
            f'<th scope="col"{side}>{escape(head)}</th>' for (_, head), side in zip(self.heads, aligned, strict=True)
        ))  # fmt: skip
        body = []
        for first, *others in self.cells:
            cells = "".join(
                f"<td{side}>{escape(c)}</td>" for c, side in zip(others, aligned[1:], strict=True)
            )
            body.append(f'<tr><th scope="row"{aligned[0]}>{escape(first)}</th>{cells}</tr>')
        head = "".join(f"<tr>{line}</tr>" for line in lines)
        return f'<table class="physldm-table dataframe"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'

    def __repr__(self) -> str:
        rows = [[f"{group} {head}".strip() for group, head in self.heads], *self.cells]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        sides = [">" if n else "<" for n in self.numeric]
        return "\n".join(
            "  ".join(
                f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
            ).rstrip()
            for row in rows
        )


def table(rows: Sequence[Sequence[object]], columns: Mapping[Head, str]) -> Table:
    """A table; its first column names the rows.

    Args:
        rows: a row's values, one a column; None is shown as a dash.
        columns: ``{"T1 (%)": ".1f", "change": ""}``, a head with its unit and how its values are written, "" for
            words. A head ``("white matter", "T1 (%)")`` stands with its neighbours of the same group under one.

    Raises:
        ValueError: a row with more or fewer values than columns.
    """
    return Table(rows, columns)
