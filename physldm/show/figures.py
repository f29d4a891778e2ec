"""Figures in one style: grey for scans, one perceptual map per tissue property, tissues in fixed colours.

Every figure has a white ground of its own, so that it reads the same on a dark page. Every function returns
nothing but the figure; a notebook shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from physldm.physics import TISSUES

TISSUE_NAMES = {"wm": "white matter", "gm": "grey matter", "csf": "CSF", "lesion": "lesion"}
# Okabe & Ito's colours, told apart with any colour vision; line styles tell the same again.
TISSUE_COLOURS = {"wm": "#0072B2", "gm": "#D55E00", "csf": "#009E73", "lesion": "#CC79A7"}
TISSUE_STYLES = {"wm": "-", "gm": "--", "csf": "-.", "lesion": ":"}
# Name, unit, colour map and range of each map; a range of None is taken from the images shown.
MAPS = (("PD", "a.u.", "cividis", None), ("T1", "s", "viridis", (0.5, 2.5)), ("T2", "s", "magma", (0.0, 0.2)))


def _pixels(image) -> np.ndarray:
    return torch.as_tensor(image).detach().float().cpu().numpy()


def _finished(figure: Figure) -> Figure:
    """Closed, so that a notebook shows it once: as the cell's value."""
    plt.close(figure)
    return figure


def _panels(rows: int, columns: int, panel: tuple[float, float] = (1.9, 2.6)) -> tuple[Figure, np.ndarray]:
    size = (panel[0] * columns + 0.7, panel[1] * rows + 0.3)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    figure.set_facecolor("white")
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def show_images(
    images: Sequence[Float[Tensor, "H W"]] | Sequence[Sequence[Float[Tensor, "H W"]]],
    titles: Sequence[str] = (),
    *,
    rows: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    each: bool = False,
    framed: Collection[int] = (),
    unit: str = "signal (a.u.)",
) -> Figure:
    """Images side by side on one scale, or rows of them, each row on its own scale.

    Args:
        images: ``[H, W]`` each: a list, or a list of rows. titles: one a column, or one an image. rows: one a row.
        limits: darkest and brightest value; by default 0 (or the smallest) to the row's 99.5th percentile.
        each: divide every image by its own 99.5th percentile first, as a viewer's automatic window does.
        framed: numbers of the images that get a frame, in reading order from 0.
        unit: what the colour bar says.
    """
    grid = [list(row) for row in images] if rows else [list(images)]
    figure, axes = _panels(len(grid), len(grid[0]))
    for r, row in enumerate(grid):
        pixels = [_pixels(image) for image in row]
        if each:
            pixels, unit = [p / np.percentile(np.abs(p), 99.5) for p in pixels], "share of the brightest"
        low, high = limits or (min(0.0, *(p.min() for p in pixels)), np.percentile(pixels, 99.5))
        for axis, image in zip(axes[r], pixels, strict=True):
            shown = axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        figure.colorbar(shown, ax=axes[r], label=unit, shrink=0.85, aspect=18, pad=0.01)
        if rows:
            axes[r, 0].text(-0.06, 0.5, rows[r], transform=axes[r, 0].transAxes, rotation=90,
                            ha="right", va="center")  # fmt: skip
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, fontsize=10)
    for number in framed:
        axis = axes.flat[number]
        axis.add_patch(Rectangle((0, 0), 1, 1, transform=axis.transAxes, fill=False, clip_on=False,
                                 edgecolor="#E69F00", linewidth=3))  # fmt: skip
    return _finished(figure)


def show_maps(maps: Mapping[str, Float[Tensor, "3 H W"]], *, scale_pd: bool = True) -> Figure:
    """PD, T1 and T2 of one or more brains, a brain a row, each property on one scale for all of them.

    Args:
        maps: ``{"name": [3, H, W]}``. T1 and T2 are shown only where there is PD.
        scale_pd: divide PD by each brain's 99.5th percentile, for its unit is the scanner's; otherwise it is shown
            as it is, on a scale from 0 to 1.2.
    """
    figure, axes = _panels(len(maps), 3, (2.2, 2.35))
    for r, (name, brain) in enumerate(maps.items()):
        values = _pixels(brain)
        pd = values[0] / np.percentile(values[0], 99.5) if scale_pd else values[0]
        inside = pd > 0.15
        for c, (prop, unit, cmap, limits) in enumerate(MAPS):
            image = pd if prop == "PD" else np.where(inside, values[c], np.nan)
            low, high = limits or (0.0, 1.0 if scale_pd else 1.2)
            shown = axes[r, c].imshow(image, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
            axes[r, c].set_facecolor("black")
            if r == 0:
                axes[r, c].set_title(prop)
            figure.colorbar(shown, ax=axes[r, c], label=unit, shrink=0.8, aspect=16, pad=0.02,
                            extend="neither" if prop == "PD" and scale_pd else "max")  # fmt: skip
        if len(maps) > 1:
            axes[r, 0].text(-0.06, 0.5, name, transform=axes[r, 0].transAxes, rotation=90,
                            ha="right", va="center")  # fmt: skip
    return _finished(figure)


def tissue_lines(
    x: Float[Tensor, " n"], curve: Callable[..., Tensor], tissues: Sequence[str] = ("wm", "gm", "csf")
) -> dict[str, Float[Tensor, " n"]]:
    """``curve(pd, t1, t2)`` of each tissue of the table, broadcast against ``x``."""
    values = {}
    for name in tissues:
        t = TISSUES[name]
        values[name] = curve(*(torch.tensor(v).expand_as(x) for v in (t.pd, t.t1, t.t2)))
    return values


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
        lines: ``{"wm": [n], ...}``. marks: ``{"TI = 1.0 s": 1.0}``, vertical lines with a name.
        zero: draw the line of no signal.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    figure.set_facecolor("white")
    looks = list(TISSUE_NAMES)
    for name, y in lines.items():
        look = name if name in TISSUE_NAMES else looks[list(lines).index(name)]
        axis.plot(_pixels(x), _pixels(y), TISSUE_STYLES[look], color=TISSUE_COLOURS[look], lw=2,
                  label=TISSUE_NAMES.get(name, name))  # fmt: skip
    if zero:
        axis.axhline(0, color="0.6", lw=0.8)
    for text, at in (marks or {}).items():
        axis.axvline(at, color="0.35", lw=1, ls=(0, (2, 2)))
        axis.text(at, axis.get_ylim()[1], f" {text}", va="top", fontsize=9)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return _finished(figure)


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
    """How a number depends on two settings, a panel a tissue, on one scale with steps at ``levels``."""
    figure, axes = plt.subplots(
        1,
        len(values),
        figsize=(2.6 * len(values) + 0.9, 2.9),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    figure.set_facecolor("white")
    for axis, (name, z) in zip(axes[0], values.items(), strict=True):
        # one colour a step: steps may grow by factors, and stay apart on the bar
        shown = axis.contourf(
            _pixels(x), _pixels(y), _pixels(z), levels=levels, norm=BoundaryNorm(levels, 256, extend="max"),
            cmap="cividis", extend="max",
        )  # fmt: skip
        axis.set(xlabel=xlabel, title=TISSUE_NAMES.get(name, name))
    axes[0, 0].set_ylabel(ylabel)
    figure.colorbar(shown, ax=axes[0], label=label, ticks=levels)
    return _finished(figure)


def show_ranges(rows: Sequence[tuple[str, str, float | None, float, float]], *, xlabel: str) -> Figure:
    """What different sources say of one number: a point and a bar a source, or a bar alone.

    Args:
        rows: (tissue, source, value or None, lowest, highest), top to bottom.
    """
    figure, axis = plt.subplots(figsize=(6.6, 0.34 * len(rows) + 0.9), layout="constrained")
    figure.set_facecolor("white")
    for place, (tissue, _, value, low, high) in enumerate(rows):
        colour = TISSUE_COLOURS[tissue]
        axis.plot([low, high], [place, place], color=colour, lw=2.5)
        if value is not None:
            axis.plot(value, place, "o", color=colour, ms=7)
    axis.set_yticks(range(len(rows)), [f"{source} · {TISSUE_NAMES[t]}" for t, source, *_ in rows], fontsize=9)
    axis.set(xlabel=xlabel, xlim=(0, None))
    axis.invert_yaxis()
    axis.grid(axis="x", color="0.9")
    axis.spines[["top", "right"]].set_visible(False)
    return _finished(figure)


def show_bounds(bounds: Mapping[str, Float[Tensor, "n 3"]], tissues: Sequence[str]) -> Figure:
    """Cramér–Rao bounds of PD, T1 and T2 in percent, on a logarithmic scale, a panel a property.

    Args:
        bounds: ``{"protocol": [n, 3]}`` for n tissues, relative (0.1 is 10 %); infinite ones end at the edge.
    """
    figure, axes = plt.subplots(
        1, 3, figsize=(8.2, 0.55 * len(bounds) + 1.7), layout="constrained", sharex=True, sharey=True
    )
    figure.set_facecolor("white")
    for c, (axis, prop) in enumerate(zip(axes, ("PD", "T1", "T2"), strict=True)):
        for place, values in enumerate(bounds.values()):
            for n, name in enumerate(tissues):
                percent = min(100 * float(values[n, c]), 1e4)
                axis.plot(percent, place + 0.2 * (n - (len(tissues) - 1) / 2), "os^D"[n], ms=7,
                          color=TISSUE_COLOURS[name], label=TISSUE_NAMES[name] if place == 0 else None)  # fmt: skip
        axis.set(
            xscale="log", xlim=(0.05, 2e4), title=prop, xlabel="bound (%)", xticks=[0.1, 1, 10, 100, 1e3, 1e4]
        )
        axis.tick_params(axis="x", labelsize=8)
        axis.axvline(100, color="0.6", lw=0.8, ls=(0, (2, 2)))
        axis.grid(axis="x", color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(bounds)), list(bounds))
    axes[0].set_ylim(len(bounds) - 0.5, -0.5)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(tissues), frameon=False
    )
    return _finished(figure)


def show_errors(errors: Mapping[str, Float[Tensor, "n 3"]], tissues: Sequence[str]) -> Figure:
    """Errors of PD, T1 and T2 in percent, with their sign, a cause a row and a panel a property.

    Args:
        errors: ``{"cause": [n, 3]}`` for n tissues, relative (0.1 is 10 % too much).
        tissues: names of the n tissues.
    """
    figure, axes = plt.subplots(
        1, 3, figsize=(8.2, 0.42 * len(errors) + 1.5), layout="constrained", sharex=True, sharey=True
    )
    figure.set_facecolor("white")
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
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(errors)), list(errors), fontsize=9)
    axes[0].set_ylim(len(errors) - 0.5, -0.5)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(tissues), frameon=False
    )
    return _finished(figure)


def show_log(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]], names: Sequence[str]) -> Figure:
    """What a training wrote, on logarithmic scales: see :meth:`physldm.runs.Run.log`."""
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.1 * len(names), 2.7), layout="constrained", squeeze=False
    )
    figure.set_facecolor("white")
    for axis, name in zip(axes[0], names, strict=True):
        steps, values = curves[name]
        axis.plot(steps, values, color="0.75", lw=0.8)
        n = max(1, len(values) // 20)
        smooth = np.convolve(values, np.ones(n) / n, "valid")
        axis.plot(steps[len(steps) - len(smooth) :], smooth, color="#0072B2", lw=2)
        axis.set(yscale="log", xlabel="step", ylabel=name)
        axis.spines[["top", "right"]].set_visible(False)
    return _finished(figure)


def show_effects(panels: Mapping[str, tuple[Mapping[str, float], float]]) -> Figure:
    """What each switch does to a score, a panel a score; grey is what two and a half times the luck could do.

    Args:
        panels: ``{"score (unit)": ({"switch": effect}, luck)}``.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(2.5 * len(panels) + 1, 2.1), layout="constrained",
                                squeeze=False, sharey=True)  # fmt: skip
    figure.set_facecolor("white")
    for axis, (title, (found, luck)) in zip(axes[0], panels.items(), strict=True):
        axis.axvspan(-2.5 * luck, 2.5 * luck, color="0.88", lw=0)
        axis.axvline(0, color="0.6", lw=0.8)
        axis.plot(list(found.values()), range(len(found)), "o", color=TISSUE_COLOURS["wm"], ms=8)
        axis.set(xlabel=f"change of {title}", ylim=(len(found) - 0.5, -0.5))
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_yticks(range(len(found)), list(found))
    return _finished(figure)
