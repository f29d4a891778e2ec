"""Brains of two flat tissues, whose every score is known."""

from collections.abc import Sequence
from pathlib import Path

import torch

from physldm.data import CLASSES
from physldm.data.slices import SliceStore, add_session, close_store
from physldm.physics import Acquisition, AcquisitionBatch, signal

PROTOCOL = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]
WM, GM = (0.7, 0.85, 0.07), (0.8, 1.4, 0.09)


def two_people(folder: Path, slices: int, fields: Sequence) -> SliceStore:
    """White matter left, grey matter right, the second person of longer T1; ``fields`` is gain times coil of each."""
    fractions = torch.zeros(slices, 4, 24, 40)
    fractions[:, CLASSES.index("wm"), :, :20] = fractions[:, CLASSES.index("gm"), :, 20:] = 1.0
    for number, field in enumerate(fields):
        wm, gm = (torch.tensor(v)[:, None, None] for v in (WM, GM))
        maps = torch.where(fractions[:, :1] > 0, wm, gm)
        maps[:, 1] *= 1 + 0.1 * number
        clean = field * signal(maps, AcquisitionBatch.repeat(PROTOCOL, slices))
        arrays = {"scans": clean.abs(), "clean": clean, "maps": maps, "fractions": fractions}
        add_session(folder, f"sub-{number}", subject=f"{number}", source="", acquisitions=PROTOCOL,
                    heights=range(slices), arrays={k: v.numpy() for k, v in arrays.items()})  # fmt: skip
    return close_store(folder, {"sub-0": "heldout", "sub-1": "heldout"}, spacing=2, fingerprint="")
