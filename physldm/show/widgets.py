"""Instruments in which Python answers: live in JupyterLab, a still on a built page."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from matplotlib.figure import Figure

from physldm.errors import InputError
from physldm.physics import FIELDS, SEQUENCES, Acquisition
from physldm.physics.identifiability import cramer_rao, tissue_values

from .figures import show_bounds

TISSUES_SHOWN = ("wm", "gm", "csf")


def _knobs(a: Acquisition) -> dict:
    """A logarithmic slider for each time of a scan, by the setting's name."""
    import ipywidgets as widgets

    sliders = {}
    for name in (n for n in SEQUENCES[a.sequence].takes if n in ("te", "tr", "ti")):
        low, high = FIELDS[name].span
        sliders[name] = widgets.FloatLogSlider(
            value=getattr(a, name), base=10, min=math.log10(low), max=math.log10(high), step=0.01, readout_format=".3f",
            description=f"{FIELDS[name].label} (s)", continuous_update=False,
        )  # fmt: skip
    return sliders


def bounds_explorer(protocol: Sequence[Acquisition], sigma: float = 0.01):
    """Turn the times of some scans and see how well PD, T1 and T2 can be known, beside where they stood first.

    On a page that nobody can talk back to (``PHYSLDM_STATIC`` is set while the book is built) it is a still.

    Args:
        protocol: the acquisitions to begin with.
        sigma: noise, in the units of PD.
    """
    values = tissue_values(*TISSUES_SHOWN)
    first = cramer_rao(values, protocol, sigma)

    def screen(scans: Sequence[Acquisition]) -> Figure:
        return show_bounds({"at first": first, "now": cramer_rao(values, scans, sigma)}, TISSUES_SHOWN)

    if os.environ.get("PHYSLDM_STATIC"):
        return screen(protocol)
    import ipywidgets as widgets
    from IPython.display import display

    knobs = [_knobs(a) for a in protocol]
    out = widgets.Output()

    def draw(_change=None) -> None:
        with out:
            out.clear_output(wait=True)
            try:
                scans = [
                    Acquisition(a.sequence, **{n: k.value for n, k in of_one.items()})
                    for a, of_one in zip(protocol, knobs, strict=True)
                ]
            except InputError as error:
                print(f"This cannot be scanned: {error}")
            else:
                display(screen(scans))

    for of_one in knobs:
        for knob in of_one.values():
            knob.observe(draw, "value")
    draw()
    columns = [
        widgets.VBox([widgets.Label(SEQUENCES[a.sequence].title), *of_one.values()])
        for a, of_one in zip(protocol, knobs, strict=True)
    ]
    return widgets.VBox([widgets.HBox(columns), out])
