"""The paper's Figure 2, drawn from the model itself: its parts, their shapes and their sizes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from physldm.models import PhysicsVAE
from physldm.physics import Acquisition, AcquisitionBatch

from .style import WIDEST, in_style

SCAN, NETWORK, CODE, TISSUE, PHYSICS = "#E8E8E8", "#BFD9EE", "#F7D9C4", "#C9E8D8", "#F6E7A8"
FUSION_NAMES = {
    "product": "product of\nexperts",
    "generalised": "generalised\nproduct",
    "mixture": "mixture of\nexperts",
}


@in_style
def show_overview(vae: PhysicsVAE, size: tuple[int, int] = (112, 80)) -> Figure:
    """How three scans become a code, tissue and scans again; shapes are those of one pass through ``vae``.

    Args:
        vae: its configuration says which parts there are.
        size: H, W of a slice.
    """
    names = ("T1w", "T2w", "FLAIR")
    rows = [Acquisition.usual(n) for n in ("mprage", "spin_echo", "flair")]
    with torch.inference_mode():
        out = vae(torch.rand(1, 3, *size), AcquisitionBatch.repeat(rows, 1))
    shape = lambda x: " × ".join(str(n) for n in x.shape[1:])  # noqa: E731
    weights = lambda m: f"{sum(p.numel() for p in m.parameters()) / 1e6:.2f} million\nweights"  # noqa: E731
    figure, axis = plt.subplots(figsize=(WIDEST, 3.5), layout="none")
    axis.set(xlim=(-0.5, 109), ylim=(0, 39))
    axis.axis("off")
    fusion = FUSION_NAMES[vae.config.fusion]
    heights = (29, 18.5, 8)
    for name, y in zip(names, heights, strict=True):
        _box(axis, 0, y, 9, 6, f"{name}\n{size[0]} × {size[1]}", SCAN)
        _arrow(axis, 9, y + 3, 12.5, y + 3)
        _box(axis, 27.5, y, 12, 6, "$\\mu_i, \\sigma_i$\n" + shape(out.mean), CODE)
        _arrow(axis, 24.5, y + 3, 27.5, y + 3)
        _arrow(axis, 39.5, y + 3, 43, 21.5)
        _arrow(axis, 95.5, 21.5, 99, y + 3)
        _box(axis, 99, y, 9, 6, f"{name}\nrebuilt", SCAN)
    _box(axis, 12.5, 6, 12, 31, f"encoder,\none for all\n\n{weights(vae.encoder)}", NETWORK)
    _box(axis, 43, 16.5, 12, 10, f"{fusion}\n\n{shape(out.mean)}", CODE)
    _arrow(axis, 55, 21.5, 57, 21.5)
    _box(axis, 57, 13, 11.5, 17, f"decoder\n\n{weights(vae.decoder)}", NETWORK)
    _arrow(axis, 68.5, 21.5, 70.5, 21.5)
    _box(axis, 70.5, 14.5, 13, 14, f"$e^{{o + b}}$\nPD, $T_1$, $T_2$\n{shape(out.maps)}", TISSUE)
    _arrow(axis, 83.5, 21.5, 85.5, 21.5)
    _box(axis, 85.5, 13, 10, 17, "signal\nequations", PHYSICS)
    told = {"numbers": "TE, TR, TI", "effect": "what its protocol does"}[vae.config.told]
    axis.text(18.5, 2.2, f"how each was taken:\n{told}", ha="center", va="center", fontsize=8)
    if vae.config.adagn:
        _arrow(axis, 18.5, 3.9, 18.5, 6)
    axis.text(90.5, 5.6, "how to scan:\nany protocol", ha="center", va="center", fontsize=8)
    _arrow(axis, 90.5, 7.6, 90.5, 13)
    figure.subplots_adjust(0, 0, 1, 1)
    return figure


def _box(axis: Axes, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    axis.add_patch(
        FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=1", fc=colour, ec="#333333", lw=0.8)
    )
    axis.text(
        x + width / 2,
        y + height / 2,
        text,
        ha="center",
        va="center",
        fontsize=8,
        color="black",
    )


def _arrow(axis: Axes, x0: float, y0: float, x1: float, y1: float) -> None:
    axis.annotate(
        "",
        (x1, y1),
        (x0, y0),
        arrowprops={"arrowstyle": "-|>", "lw": 1, "color": "#333333", "shrinkA": 0, "shrinkB": 0},
    )
