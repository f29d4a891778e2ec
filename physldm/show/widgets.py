"""The scanner: turn TE, TR and TI and see the picture follow. Live in JupyterLab, a still on a built page."""

from __future__ import annotations

import os

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from physldm.errors import InputError
from physldm.physics import Acquisition, signal, tissue_signal

from .figures import TISSUE_COLOURS, TISSUE_NAMES, _finished, _pixels

# Where the knobs stand first, and how far they turn, in seconds.
START = {
    "mprage": {"te": 0.003, "tr": 2.4, "ti": 1.0},
    "spin_echo": {"te": 0.1, "tr": 3.2},
    "flair": {"te": 0.09, "tr": 9.0, "ti": 2.5},
}
RANGE = {"te": (0.002, 0.5, 0.002), "tr": (0.1, 12.0, 0.1), "ti": (0.05, 5.0, 0.05)}


def scanner_screen(maps: Float[Tensor, "3 H W"], acquisition: Acquisition) -> Figure:
    """The image and, beside it, the signal of white matter, grey matter and CSF under one protocol.

    Args:
        maps: ``[3, H, W]``: PD (CSF about 1), T1 (s), T2 (s).
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(7.2, 3.6), layout="constrained", width_ratios=[1, 1.25]
    )
    figure.set_facecolor("white")
    image = _pixels(signal(maps, acquisition).abs())
    shown = left.imshow(image, cmap="gray", vmin=0, vmax=max(image.max(), 1e-6))
    figure.colorbar(shown, ax=left, label="signal (PD of CSF = 1)", shrink=0.85)
    left.set_axis_off()
    left.set_title(str(acquisition), fontsize=9)
    for place, name in enumerate(("wm", "gm", "csf")):
        s = tissue_signal(name, acquisition)
        right.barh(place, s, color=TISSUE_COLOURS[name])
        right.text(max(s, 0.0), place, f" {s:+.3f}", va="center", fontsize=9)
    right.axvline(0, color="0.4", lw=0.8)
    right.set_yticks(range(3), [TISSUE_NAMES[n] for n in ("wm", "gm", "csf")])
    right.set(xlabel="signed signal (PD of CSF = 1)", xlim=(-1.05, 1.05))
    right.invert_yaxis()
    right.spines[["top", "right"]].set_visible(False)
    return _finished(figure)


def scanner(maps: Float[Tensor, "3 H W"], sequence: str = "mprage"):
    """A scanner for one slice: choose a sequence, turn its knobs.

    On a page that nobody can talk back to (``PHYSLDM_STATIC`` is set while the book is built) it is a still.

    Args:
        maps: ``[3, H, W]``: PD (CSF about 1), T1 (s), T2 (s). sequence: what it starts with.
    """
    if os.environ.get("PHYSLDM_STATIC"):
        return scanner_screen(maps, Acquisition(sequence, **START[sequence]))
    import ipywidgets as widgets
    from IPython.display import display

    chosen = widgets.Dropdown(options=list(START), value=sequence, description="sequence")
    knobs = {
        name: widgets.FloatSlider(
            value=START[sequence].get(name, START["flair"][name]),
            min=low, max=high, step=step, readout_format=".3f",
            description=f"{name.upper()} (s)", continuous_update=False,
        )
        for name, (low, high, step) in RANGE.items()
    }  # fmt: skip
    screen = widgets.Output()

    def scan(_change=None) -> None:
        used = START[chosen.value]
        for name, knob in knobs.items():
            knob.disabled = name not in used
        with screen:
            screen.clear_output(wait=True)
            try:
                acquisition = Acquisition(chosen.value, **{name: knobs[name].value for name in used})
            except InputError as error:
                print(f"This cannot be scanned: {error}")
            else:
                display(scanner_screen(maps, acquisition))

    def settle(change) -> None:
        for name, value in START[change["new"]].items():
            knobs[name].value = value
        scan()

    chosen.observe(settle, "value")
    for knob in knobs.values():
        knob.observe(scan, "value")
    scan()
    return widgets.VBox([chosen, *knobs.values(), screen])
