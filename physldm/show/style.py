"""The one style of all figures: a white ground, legible type, and looks that are told apart with any colour vision."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from typing import NamedTuple, ParamSpec

import matplotlib.pyplot as plt
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

P = ParamSpec("P")

# Inches. At 100 pixels an inch it fills the column of the built page; a wider figure would be shrunk, type and all.
WIDEST = 7.4


class Look(NamedTuple):
    """How one line of several is drawn: colour, dashes and marker tell the same thrice."""

    colour: str
    dashes: str | tuple
    marker: str


# The colours are Okabe & Ito's.
LOOKS = (
    Look("#0072B2", "-", "o"),
    Look("#D55E00", "--", "s"),
    Look("#009E73", "-.", "^"),
    Look("#CC79A7", ":", "D"),
    Look("#000000", (0, (6, 1.5)), "v"),
    Look("#56B4E9", (0, (3, 1, 1, 1, 1, 1)), "P"),
    Look("#E69F00", (0, (1, 2.5)), "X"),
)
STYLE = {
    "figure.facecolor": "white",  # a ground of its own reads the same on a dark page
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "axes.prop_cycle": f"cycler('color', {[look.colour for look in LOOKS]})",
}
TISSUE_NAMES = {"wm": "white matter", "gm": "grey matter", "csf": "CSF", "lesion": "lesion"}
TISSUE_LOOKS = dict(zip(TISSUE_NAMES, LOOKS[:4], strict=True))
TISSUE_COLOURS = {tissue: look.colour for tissue, look in TISSUE_LOOKS.items()}


def in_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A function that draws a figure, in the style; closed, so that a notebook shows it once: as the cell's value."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with plt.style.context(["default", STYLE]):
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return drawn


def looks_of(names: Sequence[str]) -> dict[str, Look]:
    """A look for every line: a tissue's own, and for lines of another name those that no tissue here has, in order.

    Raises:
        ValueError: more lines than looks; none is left out in silence.
    """
    tissues = {name: TISSUE_LOOKS[name] for name in names if name in TISSUE_LOOKS}
    free = [look for look in LOOKS if look not in tissues.values()]
    others = [name for name in dict.fromkeys(names) if name not in tissues]
    if len(others) > len(free):
        raise ValueError(f"lines: found {len(tissues) + len(others)}, expected at most {len(LOOKS)}")
    return tissues | dict(zip(others, free[: len(others)], strict=True))


def wrapped(text: str, inches: float) -> str:
    """A label of 10 points, broken into lines that are no wider than its panel."""
    return "\n".join(textwrap.wrap(text, max(8, int(inches * 72 / 6)), break_long_words=False))


def plain_log_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis as a reader would write them: 20, 50, 100, and powers of ten only over many."""
    low, high = axis.get_view_interval()
    decades = high / low
    if decades >= 1e4:
        return
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades >= 10 else (1, 1.5, 2, 3, 4, 5, 6, 8)))
    if decades < 2.5:
        axis.set_major_locator(MaxNLocator(4))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
