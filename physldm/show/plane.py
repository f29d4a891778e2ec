"""Figures of the plane: clouds of points, the paths they take, and errors on logarithmic scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .style import LOOKS, WIDEST, in_style, looks_of, plain_log_ticks


def _plane(names: Sequence[str], extent: float) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(
        1,
        len(names),
        figsize=(min(WIDEST, 2.3 * len(names) + 0.4), 2.6),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name)
        axis.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel="first number")
    axes[0, 0].set_ylabel("second number")
    return figure, list(axes[0])


@in_style
def show_clouds(
    clouds: Mapping[str, Float[Tensor, "n 2"]],
    truth: Float[Tensor, "m 2"] | None = None,
    *,
    extent: float = 3.2,
) -> Figure:
    """Clouds side by side on the same axes.

    Args:
        clouds: ``{"title": [n, 2]}``, a panel each.
        truth: ``[m, 2]``, in grey behind each.
        extent: the axes go from −extent to extent.
    """
    figure, axes = _plane(list(clouds), extent)
    for axis, points in zip(axes, clouds.values(), strict=True):
        if truth is not None:
            axis.plot(*truth.T, ".", color="0.75", ms=2)
        axis.plot(*points.detach().T, ".", color=LOOKS[0].colour, ms=2)
    return figure


@in_style
def show_paths(
    paths: Mapping[str, Float[Tensor, "steps n 2"]],
    truth: Float[Tensor, "m 2"],
    ends: Float[Tensor, "n 2"] | None = None,
    *,
    extent: float = 3.2,
) -> Figure:
    """The ways of a few points, from an open ring to a dot.

    Args:
        paths: ``{"title": [steps, n, 2]}``, a panel each.
        truth: ``[m, 2]``, in grey behind each.
        ends: ``[n, 2]``, crosses.
        extent: the axes go from −extent to extent.
    """
    figure, axes = _plane(list(paths), extent)
    for axis, path in zip(axes, paths.values(), strict=True):
        axis.plot(*truth.T, ".", color="0.8", ms=2)
        for way in path.detach().unbind(1):
            axis.plot(*way.T, color=LOOKS[0].colour, lw=0.8, zorder=1)
        axis.plot(*path[0].T, "o", mfc="white", mec=LOOKS[0].colour, ms=4)
        axis.plot(*path[-1].T, "o", color=LOOKS[1].colour, ms=4)
        if ends is not None:
            axis.plot(*ends.T, "x", color="black", ms=7)
    return figure


@in_style
def show_lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    *,
    xlabel: str,
    ylabel: str,
    level: Mapping[str, float] | None = None,
    xlog: bool = False,
    points: bool = False,
) -> Figure:
    """Lines on a logarithmic axis, all panels on one scale; a line of one name looks the same in every panel.

    Args:
        panels: ``{"title": {"line": (x, y)}}``.
        xlabel: quantity and unit of x.
        ylabel: quantity and unit of y.
        level: ``{"name": y}``, a level dotted line in every panel.
        xlog: the first axis is logarithmic, too.
        points: mark the points of a line.

    Raises:
        ValueError: more lines than looks.
    """
    looks = looks_of([name for lines in panels.values() for name in lines])
    figure, axes = plt.subplots(
        1, len(panels), figsize=(min(WIDEST, 3.4 * len(panels) + 2), 3.2), sharey=True, squeeze=False
    )
    legend, floors = {}, {}
    for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for name, (x, y) in lines.items():
            colour, dashes, marker = looks[name]
            (legend[name],) = axis.plot(
                x, y, color=colour, ls=dashes, marker=marker if points else "", lw=2, ms=5
            )
        for name, y in (level or {}).items():
            floors[name] = axis.axhline(y, color="0.25", ls=(0, (1, 2)), lw=1.5)
        axis.set(xscale="log" if xlog else "linear", yscale="log", xlabel=xlabel, title=title)
        if xlog:
            plain_log_ticks(axis.xaxis)
        axis.grid(color="0.9")
    plain_log_ticks(axes[0, 0].yaxis)
    axes[0, 0].set_ylabel(ylabel)
    legend |= floors
    figure.legend(legend.values(), legend, loc="outside upper center", ncols=2 * len(panels))
    return figure
