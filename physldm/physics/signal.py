"""From tissue maps and protocols to images: the equations of :mod:`physldm.physics.sequences`, on whole batches."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .acquisition import Acquisition, AcquisitionBatch
from .sequences import SEQUENCES
from .table import LONGEST, SHORTEST
from .tissue import TISSUES


def signal(
    maps: Float[Tensor, "*batch 3 H W"],
    acquisition: Acquisition | AcquisitionBatch,
    *,
    magnitude: bool = False,
) -> Float[Tensor, "*batch H W"] | Float[Tensor, "B N H W"]:
    """What a scanner without noise would measure of maps of PD, T1, T2.

    Args:
        maps: ``[..., 3, H, W]``: PD (a.u.), T1 (s), T2 (s), in this order. With an
            :class:`AcquisitionBatch` of shape ``[B, N]`` it is ``[B, 3, H, W]``.
        acquisition: one protocol for all, or one per subject and contrast.
        magnitude: lose the sign, as most scanners do; ``psir`` and ``mp2rage`` keep theirs.

    Returns:
        ``[..., H, W]`` for one acquisition, ``[B, N, H, W]`` for a batch; in the units of PD.

    Raises:
        ValueError: the maps do not have the shape that the acquisition asks for.
    """
    if maps.ndim < 3 or maps.shape[-3] != 3:
        raise ValueError(f"maps: found shape {tuple(maps.shape)}, expected [..., 3, H, W] (PD, T1, T2)")
    pd, relaxation = maps.select(-3, 0), maps.narrow(-3, 1, 2).clamp(SHORTEST, LONGEST)
    if isinstance(acquisition, Acquisition):
        values = {name: acquisition.settings[name] for name in SEQUENCES[acquisition.sequence].takes}
        return _one_sequence(acquisition.sequence, pd, relaxation, values, magnitude)
    subjects, contrasts = acquisition.shape
    if maps.ndim != 4 or maps.shape[0] != subjects:
        raise ValueError(f"maps: found shape {tuple(maps.shape)}, expected [{subjects}, 3, H, W]")
    return torch.stack(
        [_contrast(pd, relaxation, acquisition, n, magnitude) for n in range(contrasts)], dim=1
    )


def tissue_signal(name: str, acquisition: Acquisition) -> float:
    """The signed signal of one tissue of the table (``wm``, ``gm``, ``csf``, ``lesion``), in units of PD.

    Raises:
        KeyError: there is no such tissue.
    """
    tissue = TISSUES[name]
    maps = torch.tensor([tissue.pd, tissue.t1, tissue.t2])[:, None, None]
    return signal(maps, acquisition).item()


def _contrast(pd: Tensor, relaxation: Tensor, batch: AcquisitionBatch, n: int, magnitude: bool) -> Tensor:
    """Contrast ``n`` of every subject, ``[B, H, W]``; subjects may differ in sequence."""
    names = [row[n] for row in batch.sequence]

    def taken(name: str, rows) -> dict[str, Tensor]:
        settings = ((k, batch.setting(k)[:, n][rows]) for k in SEQUENCES[name].takes)
        return {k: value.to(pd)[:, None, None] for k, value in settings}

    if len(set(names)) == 1:
        return _one_sequence(names[0], pd, relaxation, taken(names[0], slice(None)), magnitude)
    out = torch.zeros_like(pd)
    for name in sorted(set(names)):
        rows = torch.tensor([b for b, other in enumerate(names) if other == name], device=pd.device)
        part = _one_sequence(
            name, pd[rows], relaxation[rows], taken(name, rows.to(batch.te.device)), magnitude
        )
        out = out.index_copy(0, rows, part)
    return out


def _one_sequence(name: str, pd: Tensor, relaxation: Tensor, settings: dict, magnitude: bool) -> Tensor:
    t1, t2 = relaxation.unbind(-3)
    s = SEQUENCES[name].equation(pd, t1, t2, **settings)
    return s.abs() if magnitude and not SEQUENCES[name].signed else s
