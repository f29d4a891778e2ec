"""Figures in one style: grey for scans, one perceptual map per tissue property, tissues in fixed colours.

Every function returns nothing but the figure; a notebook shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator
from torch import Tensor

from physldm.physics import TISSUES

from .style import (
    LOOKS,
    TISSUE_COLOURS,
    TISSUE_LOOKS,
    TISSUE_NAMES,
    WIDEST,
    in_style,
    looks_of,
    plain_log_ticks,
    wrapped,
)

# Name, unit, colour map and range of each map; a range of None is taken from the images shown.
MAPS = (("PD", "a.u.", "cividis", None), ("T1", "s", "viridis", (0.5, 2.5)), ("T2", "s", "magma", (0.0, 0.2)))


def _pixels(image) -> np.ndarray:
    return torch.as_tensor(image).detach().float().cpu().numpy()


def _panels(
    rows: int, columns: int, titles: Sequence[str], panel: tuple[float, float]
) -> tuple[Figure, np.ndarray]:
    """Panels for images, ``panel`` inches each, or smaller where a row of them would be wider than the page."""
    share = min(1.0, (WIDEST - 0.7) / (panel[0] * columns))
    width, height = share * panel[0], share * panel[1]
    titles = [wrapped(title, width) for title in titles]
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    heads = rows if len(titles) > columns else 1
    size = (width * columns + 0.7, height * rows + 0.1 + 0.18 * lines * heads)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, title in zip(axes.flat[: len(titles)], titles, strict=True):
        axis.set_title(title)
    return figure, axes


def _graphs(
    columns: int, panel: tuple[float, float], beside: float, *, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, np.ndarray]:
    """A row of graphs, ``panel`` inches each and ``beside`` them for labels, no wider than the page."""
    size = (min(WIDEST, panel[0] * columns + beside), panel[1])
    figure, axes = plt.subplots(1, columns, figsize=size, squeeze=False, sharex=sharex, sharey=sharey)
    return figure, axes[0]


def _name_of_row(axis: Axes, name: str) -> None:
    axis.text(-0.06, 0.5, name, transform=axis.transAxes, rotation=90, ha="right", va="center")


@in_style
def show_images(
    images: Sequence[Float[Tensor, "H W"]] | Sequence[Sequence[Float[Tensor, "H W"]]],
    titles: Sequence[str] = (),
    *,
    rows: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    own_scale: bool = False,
    framed: Collection[int] = (),
    unit: str = "signal (a.u.)",
) -> Figure:
    """Images side by side on one scale, or rows of them, each row on its own scale.

    Args:
        images: ``[H, W]`` each: a list, or a list of rows.
        titles: one a column, or one an image.
        rows: one a row.
        limits: darkest and brightest value; by default 0 (or the smallest) to the row's 99.5th percentile.
        own_scale: divide every image by its own 99.5th percentile first, as a viewer's automatic window does.
        framed: numbers of the images that get a frame, in reading order from 0.
        unit: what the colour bar says.

    Raises:
        ValueError: titles that are neither one a column nor one an image, or rows of unequal length.
    """
    grid = [list(row) for row in images] if rows else [list(images)]
    columns = len(grid[0])
    if len(titles) not in {0, columns, columns * len(grid)}:
        raise ValueError(f"titles: found {len(titles)}, expected {columns} or {columns * len(grid)}")
    height, width = _pixels(grid[0][0]).shape
    figure, axes = _panels(len(grid), columns, titles, (1.9, 1.9 * height / width))
    for row, panels, name in zip(grid, axes, rows or [""], strict=True):
        pixels = [_pixels(image) for image in row]
        if own_scale:
            pixels, unit = [p / np.percentile(np.abs(p), 99.5) for p in pixels], "share of the brightest"
        low, high = limits or (min(0.0, *(p.min() for p in pixels)), np.percentile(pixels, 99.5))
        for axis, image in zip(panels, pixels, strict=True):
            shown = axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        figure.colorbar(shown, ax=panels, label=unit, shrink=0.85, aspect=18, pad=0.01)
        _name_of_row(panels[0], name)
    for number in framed:
        axis = axes.flat[number]
        axis.add_patch(Rectangle((0, 0), 1, 1, transform=axis.transAxes, fill=False, clip_on=False,
                                 edgecolor="#E69F00", linewidth=3))  # fmt: skip
    return figure


@in_style
def show_maps(maps: Mapping[str, Float[Tensor, "3 H W"]], *, scale_pd: bool = True) -> Figure:
    """PD, T1 and T2 of one or more brains, a brain a row, each property on one scale for all of them.

    Args:
        maps: ``{"name": [3, H, W]}``. T1 and T2 are black where there is no PD.
        scale_pd: divide PD by each brain's 99.5th percentile, for its unit is the scanner's; otherwise it is shown
            as it is, on a scale from 0 to 1.2.
    """
    figure, axes = _panels(len(maps), 3, [prop for prop, *_ in MAPS], (2.2, 2.35))
    for r, (name, brain) in enumerate(maps.items()):
        values = _pixels(brain)
        pd = values[0] / np.percentile(values[0], 99.5) if scale_pd else values[0]
        inside = pd > 0.15
        for c, (prop, unit, cmap, limits) in enumerate(MAPS):
            image = pd if prop == "PD" else np.where(inside, values[c], np.nan)
            low, high = limits or (0.0, 1.0 if scale_pd else 1.2)
            colours = colormaps[cmap].with_extremes(bad="black")
            shown = axes[r, c].imshow(image, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
            figure.colorbar(shown, ax=axes[r, c], label=unit, shrink=0.8, aspect=16, pad=0.02,
                            extend="neither" if prop == "PD" and scale_pd else "max")  # fmt: skip
        if len(maps) > 1:
            _name_of_row(axes[r, 0], name)
    return figure


def tissue_lines(
    x: Float[Tensor, " n"], curve: Callable[..., Tensor], tissues: Sequence[str] = ("wm", "gm", "csf")
) -> dict[str, Float[Tensor, " n"]]:
    """A curve of each tissue, from the table's PD, T1 and T2.

    Args:
        x: where the curve is wanted; only its shape and type count here.
        curve: ``curve(pd, t1, t2)``, each ``[n]`` (PD of CSF = 1, seconds, seconds), gives ``[n]``: it knows ``x`` itself.
        tissues: keys of :data:`physldm.physics.TISSUES`.

    Returns:
        ``{"wm": [n], ...}``, as :func:`show_curves` takes it.
    """
    values = {}
    for name in tissues:
        t = TISSUES[name]
        values[name] = curve(*(torch.tensor(v).expand_as(x) for v in (t.pd, t.t1, t.t2)))
    return values


@in_style
def show_curves(
    x: Float[Tensor, " n"],
    lines: Mapping[str, Float[Tensor, " n"]],
    *,
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float] | None = None,
    zero: bool = False,
) -> Figure:
    """One line a tissue, in that tissue's colour and style; a line of another name in the next free ones.

    Args:
        x: ``[n]``, one for all lines.
        lines: ``{"wm": [n], ...}``.
        xlabel: quantity and unit, such as ``"TE (s)"``.
        ylabel: the same of the lines.
        marks: ``{"TI = 1.0 s": 1.0}``, vertical lines with a name.
        zero: draw the line of no signal.

    Raises:
        ValueError: more lines than looks.
    """
    looks = looks_of(list(lines))
    figure, (axis,) = _graphs(1, (5.8, 3.4), 0.6)
    for name, y in lines.items():
        axis.plot(_pixels(x), _pixels(y), ls=looks[name].dashes, color=looks[name].colour, lw=2,
                  label=TISSUE_NAMES.get(name, name))  # fmt: skip
    if zero:
        axis.axhline(0, color="0.6", lw=0.8)
    _draw_marks(axis, marks or {})
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend()
    return figure


def _draw_marks(axis: Axes, marks: Mapping[str, float]) -> None:
    """Vertical lines; a name goes one line down where the one before it stands too near."""
    low, high = axis.get_xlim()
    end, line = -np.inf, 0
    for text, at in sorted(marks.items(), key=lambda mark: mark[1]):
        line = line + 1 if at < end else 0
        end = at + 0.013 * len(text) * (high - low)
        axis.axvline(at, color="0.35", lw=1, ls=(0, (2, 2)))
        axis.annotate(f" {text}", (at, 1), (0, -12 * line), xycoords=axis.get_xaxis_transform(),
                      textcoords="offset points", va="top", fontsize=9)  # fmt: skip


@in_style
def show_surface(
    x: Float[Tensor, " n"],
    y: Float[Tensor, " m"],
    values: Mapping[str, Float[Tensor, "m n"]],
    *,
    xlabel: str,
    ylabel: str,
    label: str,
    levels: Sequence[float],
) -> Figure:
    """How a number depends on two settings, a panel a tissue, on one scale.

    Args:
        x: ``[n]``, the setting that goes to the right.
        y: ``[m]``, the setting that goes up.
        values: ``{"wm": [m, n], ...}``.
        xlabel: quantity and unit of ``x``.
        ylabel: quantity and unit of ``y``.
        label: quantity and unit of the values.
        levels: where one colour ends and the next begins, ascending.
    """
    figure, axes = _graphs(len(values), (2.6, 2.9), 0.9, sharey=True)
    for axis, (name, z) in zip(axes, values.items(), strict=True):
        # one colour a step: steps may grow by factors, and stay apart on the bar
        shown = axis.contourf(
            _pixels(x), _pixels(y), _pixels(z), levels=levels, norm=BoundaryNorm(levels, 256, extend="max"),
            cmap="cividis", extend="max",
        )  # fmt: skip
        axis.set(xlabel=xlabel, title=TISSUE_NAMES.get(name, name))
    axes[0].set_ylabel(ylabel)
    figure.colorbar(shown, ax=axes, label=label, ticks=levels)
    return figure


@in_style
def show_ranges(rows: Sequence[tuple[str, str, float | None, float, float]], *, xlabel: str) -> Figure:
    """What different sources say of one number: a point and a bar a source, or a bar alone.

    Args:
        rows: (tissue, source, value or None, lowest, highest), top to bottom.
        xlabel: quantity and unit of the number.
    """
    figure, (axis,) = _graphs(1, (6.0, 0.34 * len(rows) + 0.9), 0.6)
    for place, (tissue, _, value, low, high) in enumerate(rows):
        colour = TISSUE_COLOURS[tissue]
        axis.plot([low, high], [place, place], color=colour, lw=2.5)
        if value is not None:
            axis.plot(value, place, "o", color=colour, ms=7)
    axis.set_yticks(range(len(rows)), [f"{source} · {TISSUE_NAMES[t]}" for t, source, *_ in rows], fontsize=9)
    axis.set(xlabel=xlabel, xlim=(0, None))
    axis.invert_yaxis()
    axis.grid(axis="x", color="0.9")
    return figure


@in_style
def show_bounds(bounds: Mapping[str, Float[Tensor, "n 3"]], tissues: Sequence[str]) -> Figure:
    """Cramér–Rao bounds of PD, T1 and T2 in percent, on a logarithmic scale, a panel a property.

    Args:
        bounds: ``{"protocol": [n, 3]}`` for n tissues, relative (0.1 is 10 %); infinite ones end at the edge.
        tissues: names of the n tissues: ``wm``, ``gm``, ``csf``, ``lesion``.
    """
    figure, axes = _graphs(3, (2.6, 0.55 * len(bounds) + 1.7), 0.6, sharex=True, sharey=True)
    for c, (axis, prop) in enumerate(zip(axes, ("PD", "T1", "T2"), strict=True)):
        for place, values in enumerate(bounds.values()):
            for n, name in enumerate(tissues):
                percent = min(100 * float(values[n, c]), 1e4)
                axis.plot(percent, place + 0.2 * (n - (len(tissues) - 1) / 2), TISSUE_LOOKS[name].marker,
                          ms=7, color=TISSUE_COLOURS[name], label=TISSUE_NAMES[name] if place == 0 else None)  # fmt: skip
        axis.set(xscale="log", xlim=(0.05, 2e4), title=prop, xlabel="bound (%)", xticks=[0.1, 10, 1e3])
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
        axis.axvline(100, color="0.6", lw=0.8, ls=(0, (2, 2)))
        axis.grid(axis="x", color="0.9")
    axes[0].set_yticks(range(len(bounds)), list(bounds))
    axes[0].set_ylim(len(bounds) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(tissues))
    return figure


@in_style
def show_errors(errors: Mapping[str, Float[Tensor, "n 3"]], tissues: Sequence[str]) -> Figure:
    """Errors of PD, T1 and T2 in percent, with their sign, a cause a row and a panel a property.

    Args:
        errors: ``{"cause": [n, 3]}`` for n tissues, relative (0.1 is 10 % too much).
        tissues: names of the n tissues.
    """
    figure, axes = _graphs(3, (1.9, 0.42 * len(errors) + 1.5), 1.7, sharex=True, sharey=True)
    height = 0.8 / len(tissues)
    for c, (axis, prop) in enumerate(zip(axes, ("PD", "T1", "T2"), strict=True)):
        for n, name in enumerate(tissues):
            percent = [100 * float(values[n, c]) for values in errors.values()]
            places = [place + height * (n - (len(tissues) - 1) / 2) for place in range(len(errors))]
            axis.barh(places, percent, height, color=TISSUE_COLOURS[name], label=TISSUE_NAMES[name],
                      hatch=("", "////", "..", "xx")[n], edgecolor="white", lw=0)  # fmt: skip
        axis.axvline(0, color="0.35", lw=0.8)
        axis.set(title=prop, xlabel="error (%)")
        axis.grid(axis="x", color="0.9")
        axis.set_axisbelow(True)
    axes[0].set_yticks(range(len(errors)), list(errors))
    axes[0].set_ylim(len(errors) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(tissues))
    return figure


@in_style
def show_log(
    curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], names: Sequence[str] | Mapping[str, str]
) -> Figure:
    """What a training wrote, on logarithmic scales, a panel a number.

    Args:
        curves: ``{"loss": (steps, values), ...}``, as :meth:`physldm.runs.Run.log` gives it.
        names: which of them, or ``{"l2": "squared error"}``: which, and what to call each.
    """
    titles = names if isinstance(names, Mapping) else {name: name for name in names}
    figure, axes = _graphs(len(titles), (3.1, 2.7), 0.0)
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        steps, values = curves[name]
        axis.plot(steps, values, color="0.75", lw=0.8)
        n = max(1, len(values) // 20)
        smooth = np.convolve(values, np.ones(n) / n, "valid")
        axis.plot(steps[len(steps) - len(smooth) :], smooth, color=LOOKS[0].colour, lw=2)
        axis.set(yscale="log", xlabel="step", ylabel=title)
        plain_log_ticks(axis.yaxis)
    return figure


@in_style
def show_effects(panels: Mapping[str, tuple[Mapping[str, float], float]]) -> Figure:
    """What each switch does to a score, a panel a score; grey is what two and a half times the luck could do.

    Args:
        panels: ``{"score (unit)": ({"switch": effect}, luck)}``.
    """
    figure, axes = _graphs(len(panels), (2.5, 2.2), 1.0, sharey=True)
    width = (figure.get_figwidth() - 1) / len(panels)
    for axis, (title, (effects, luck)) in zip(axes, panels.items(), strict=True):
        axis.axvspan(-2.5 * luck, 2.5 * luck, color="0.88", lw=0)
        axis.axvline(0, color="0.6", lw=0.8)
        axis.plot(list(effects.values()), range(len(effects)), "o", color=LOOKS[0].colour, ms=8)
        axis.set(xlabel=wrapped(f"change of {title}", width), ylim=(len(effects) - 0.5, -0.5))
        axis.locator_params(axis="x", nbins=4)
        axis.margins(x=0.15)
    axes[0].set_yticks(range(len(effects)), list(effects))
    return figure
