"""The scanner: turn the knobs of any sequence and see the picture follow, on a page without a kernel or a network."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physldm.physics import FIELDS, SEQUENCES, TISSUES, Acquisition

from .javascript import equation_in_javascript, limits_in_javascript
from .style import TISSUE_COLOURS, TISSUE_NAMES

# Lowest and highest value of PD, T1 (s) and T2 (s), and whether its 16 bits are logarithmic.
RANGES = ((0.0, 2.0, False), (0.05, 20.0, True), (0.005, 10.0, True))
COMMON = ("te", "tr", "ti", "ti2", "flip_angle", "flip_angle2", "effective_te")
# Settings that the scanner's two curves run over, where a sequence takes them: the first two of these.
AGAINST = ("ti", "te", "flip_angle", "tr")
# The tissues whose bars and curves it shows, and their dashes in SVG.
DASHES = {"wm": "none", "gm": "6 3", "csf": "8 3 2 3"}
PRESETS = (
    ("T1w", "mprage", {}),
    ("T2w", "spin_echo", {}),
    ("PDw", "spin_echo", {"te": 0.01, "tr": 9.0}),
    ("FLAIR", "flair", {}),
    ("STIR-like", "flair", {"te": 0.05, "tr": 4.0, "ti": 0.25}),
    ("impossible: water alone", "spin_echo", {"te": 0.001, "tr": 60.0}),
    ("impossible: no grey matter", "flair", {"te": 0.001, "tr": 60.0, "ti": 1.45 * math.log(2)}),
)
_count = itertools.count()


def packed(maps: Float[Tensor, "3 H W"]) -> dict:
    """Maps as the page wants them: PD, T1, T2 of the voxels with water, and which these are.

    ``data`` is base64 of little-endian 16-bit numbers over ``ranges``; a property is kept to 1 part in 10,000.
    ``runs`` are the lengths of the stretches without and with water, by turns, row after row.
    """
    words = []
    for values, (low, high, logarithmic) in zip(maps.double().numpy(), RANGES, strict=True):
        clipped = np.clip(values, low, high)
        share = np.log(clipped / low) / np.log(high / low) if logarithmic else (clipped - low) / (high - low)
        words.append(np.round(65535 * share).astype("<u2"))
    water = words[0].ravel() > 0
    turns = np.flatnonzero(np.diff(water, prepend=False, append=not water[-1]))
    return {
        "height": maps.shape[1],
        "width": maps.shape[2],
        "ranges": RANGES,
        "runs": np.diff(turns, prepend=0).tolist(),
        "data": base64.b64encode(np.stack(words)[:, water.reshape(maps.shape[1:])].tobytes()).decode(),
    }


def _most_is_one(maps: Float[Tensor, "3 H W"]) -> Float[Tensor, "3 H W"]:
    """The same brain with the 99.5th percentile of its PD at 1."""
    return torch.cat([maps[:1] / maps[:1].quantile(0.995).clamp_min(1e-9), maps[1:]])


@cache
def _sequences() -> str:
    """The table of sequences as a JavaScript object, equations and limits included."""
    rows = []
    for name, model in SEQUENCES.items():
        usual = {k: v for k, v in Acquisition.usual(name).settings.items() if math.isfinite(v)}
        endless = [
            f"{k}: Infinity" for k, v in Acquisition.usual(name).settings.items() if not math.isfinite(v)
        ]
        known = {
            "title": model.title,
            "takes": [k for k in FIELDS if k in model.takes and k in usual],
            "signed": model.signed,
            "unitless": model.unitless,
            "standsFor": model.stands_for,
        }
        rows.append(
            f"{json.dumps(name)}: {{...{json.dumps(known)}, usual: {{...{json.dumps(usual)}, {', '.join(endless)}}}, "
            f"equation: {equation_in_javascript(name)}, limits: {limits_in_javascript(name)}}}"
        )
    return "{" + ",\n".join(rows) + "}"


class Scanner:
    """What :func:`scanner` returns: a notebook or a page shows it through its HTML."""

    def __init__(self, brains: Mapping[str, Float[Tensor, "3 H W"]], sequence: str, gallery: bool = False):
        Acquisition.usual(sequence)  # refuses an unknown name
        if not brains:
            raise ValueError("maps: found no brain, expected at least one")
        for name, maps in brains.items():
            if maps.ndim != 3 or len(maps) != 3:
                raise ValueError(f"maps of {name!r}: found shape {tuple(maps.shape)}, expected [3, H, W]")
        self.start, self.gallery = sequence, gallery
        self.brains = {n: _most_is_one(maps) for n, maps in brains.items()} if gallery else brains

    def config(self) -> str:
        """All that the script needs, as a JavaScript object."""
        known = {
            "start": self.start,
            "gallery": self.gallery,
            "unit": "signal (most PD = 1)" if self.gallery else "signal (PD of CSF = 1)",
            "common": COMMON,
            "against": AGAINST,
            "fields": {n: {"label": f.label, "meaning": f.meaning, "unit": f.unit, "span": f.span, "whole": f.whole, "ideal": f.ideal} for n, f in FIELDS.items()},
            "presets": [{"name": n, "sequence": s, "settings": values} for n, s, values in PRESETS],
            "tissues": [
                {"name": TISSUE_NAMES[n], "pd": TISSUES[n].pd, "t1": TISSUES[n].t1, "t2": TISSUES[n].t2, "colour": TISSUE_COLOURS[n], "dashes": DASHES[n]}
                for n in DASHES
            ],
            "brains": [{"name": name, **packed(maps)} for name, maps in self.brains.items()],
        }  # fmt: skip
        return f"{{...{json.dumps(known)}, sequences: {_sequences()}}}".replace("</", "<\\/")

    def _repr_html_(self) -> str:
        here, config = files("physldm.show"), self.config()
        script = here.joinpath("scanner.js").read_text(encoding="utf-8")
        style = here.joinpath("scanner.css").read_text(encoding="utf-8")
        name = f"scanner-{hashlib.sha256(config.encode()).hexdigest()[:8]}-{next(_count)}"
        return (
            f'<style>{style}</style>\n<div class="physldm-scanner" id="{name}" role="group" aria-label="MR scanner">'
            "<noscript>The scanner needs JavaScript.</noscript></div>\n"
            f'<script>(() => {{\n{script}\nphysldmScanner(document.getElementById("{name}"), {config});\n}})();</script>'
        )


def scanner(
    maps: Float[Tensor, "3 H W"] | Mapping[str, Float[Tensor, "3 H W"]] | Sequence[Float[Tensor, "3 H W"]],
    sequence: str = "mprage",
) -> Scanner:
    """A scanner for one slice or several: every sequence of the table, with all its knobs.

    Args:
        maps: ``[3, H, W]``, or ``{"name": [3, H, W]}`` to choose from: PD (CSF about 1), T1 (s), T2 (s). Or a gallery,
            ``[n, 3, H, W]`` or a sequence, which a button steps through; there PD may be in any unit, and the 99.5th
            percentile of each brain becomes 1. Voxels whose PD is 0 stay black.
        sequence: what it starts with.

    Raises:
        InputError: there is no such sequence.
        ValueError: maps of another shape, or none.
    """
    if isinstance(maps, Mapping):
        return Scanner(dict(maps), sequence)
    if isinstance(maps, torch.Tensor) and maps.ndim == 3:
        return Scanner({"the brain": maps}, sequence)
    brains = {f"brain {i} of {len(maps)}": brain for i, brain in enumerate(maps, 1)}
    return Scanner(brains, sequence, gallery=True)
