"""Figures of the plane: clouds of points, the paths they take, and errors on logarithmic scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .figures import _finished

# Okabe & Ito's colours, told apart with any colour vision; line styles and markers tell the same again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
STYLES = ("-o", "--s", "-.^", ":D")


def _plane(names: Sequence[str], extent: float) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(
        1, len(names), figsize=(2.3 * len(names) + 0.4, 2.6), layout="constrained",
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    figure.set_facecolor("white")
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name, fontsize=10)
        axis.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel="first number")
    axes[0, 0].set_ylabel("second number")
    return figure, list(axes[0])


def show_clouds(
    clouds: Mapping[str, Float[Tensor, "n 2"]],
    truth: Float[Tensor, "m 2"] | None = None,
    *,
    extent: float = 3.2,
) -> Figure:
    """Clouds side by side on the same axes, ``truth`` in grey behind each; axes from −extent to extent."""
    figure, axes = _plane(list(clouds), extent)
    for axis, points in zip(axes, clouds.values(), strict=True):
        if truth is not None:
            axis.plot(*truth.T, ".", color="0.75", ms=2)
        axis.plot(*points.detach().T, ".", color=COLOURS[0], ms=2)
    return _finished(figure)


def show_paths(
    paths: Mapping[str, Float[Tensor, "steps n 2"]],
    truth: Float[Tensor, "m 2"],
    ends: Float[Tensor, "n 2"] | None = None,
    *,
    extent: float = 3.2,
) -> Figure:
    """The ways of a few points, from an open ring to a dot, over the cloud ``truth``; crosses at ``ends``."""
    figure, axes = _plane(list(paths), extent)
    for axis, path in zip(axes, paths.values(), strict=True):
        axis.plot(*truth.T, ".", color="0.8", ms=2)
        for way in path.detach().unbind(1):
            axis.plot(*way.T, color=COLOURS[0], lw=0.8, zorder=1)
        axis.plot(*path[0].T, "o", mfc="white", mec=COLOURS[0], ms=4)
        axis.plot(*path[-1].T, "o", color=COLOURS[1], ms=4)
        if ends is not None:
            axis.plot(*ends.T, "x", color="black", ms=7)
    return _finished(figure)


def show_lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    xlabel: str,
    ylabel: str,
    xlog: bool = False,
    points: bool = False,
) -> Figure:
    """Lines on a logarithmic axis, ``{"panel": {"line": (x, y)}}``, all panels on one scale.

    Args:
        xlog: the first axis is logarithmic, too. points: mark the points of a line.
    """
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(3.6 * len(panels) + 0.6, 3.2),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    figure.set_facecolor("white")
    for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for (name, (x, y)), colour, style in zip(lines.items(), COLOURS, STYLES, strict=False):
            axis.plot(x, y, style if points else style[:-1], color=colour, lw=2, ms=5, label=name)
        axis.set(xscale="log" if xlog else "linear", yscale="log", xlabel=xlabel, title=title)
        axis.grid(color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel(ylabel)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2 * len(panels), frameon=False)
    return _finished(figure)
