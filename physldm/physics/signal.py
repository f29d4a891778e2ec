"""The signal equations of the paper (Eq. 1), G = 1, signed. Times in seconds, signal in units of PD.

Every function here takes tensors that broadcast against each other (or plain numbers beside one tensor),
returns the broadcast shape and can be differentiated in each argument.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .acquisition import Acquisition, AcquisitionBatch
from .tissue import TISSUES


def _e(time, t: Tensor) -> Tensor:
    """E(time) = exp(−time/T); 0 at T = 0 for any time > 0, and 1 at time = 0."""
    time = torch.as_tensor(time, dtype=t.dtype, device=t.device)
    return torch.exp(-time / t.clamp_min(torch.finfo(t.dtype).tiny))


def mprage(pd: Tensor, t1: Tensor, t2: Tensor, *, tr, ti, te=0.0) -> Tensor:
    """T1-weighted MPRAGE: inversion every TR, read TI after it, at a vanishing flip angle.

    Equation: eq-mprage (Eq. 1 of the paper, first line). Eq. 1 has no decay by T2, so ``te`` only counts
    when it is given.

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        tr, ti, te: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) / (1 + E1(TR)))
    s = pd * (1 - 2 * _e(ti, t1) / (1 + _e(tr, t1)))
    if isinstance(te, Tensor) or te != 0:
        s = s * _e(te, t2)
    return s


def spin_echo(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr) -> Tensor:
    """Spin echo: a 90° pulse every TR, its echo read TE later.

    Equation: eq-spin-echo (Eq. 1 of the paper, second line); exact for TE → 0.

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr: seconds.

    Returns:
        Signal in the units of ``pd``, never negative.
    """
    # PD · (1 − E1(TR)) · E2(TE);   expm1 keeps the first factor exact where TR ≪ T1
    tr = torch.as_tensor(tr, dtype=t1.dtype, device=t1.device)
    recovery = -torch.expm1(-tr / t1.clamp_min(torch.finfo(t1.dtype).tiny))
    return pd * recovery * _e(te, t2)


def flair(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """FLAIR: inversion, 90° pulse after TI, echo at TE, all repeated every TR.

    Equation: eq-flair (Eq. 1 of the paper, third line); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units. t1, t2: seconds.
        te, tr, ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + E1(TR)) · E2(TE)
    return pd * (1 - 2 * _e(ti, t1) + _e(tr, t1)) * _e(te, t2)


# A sequence is added here and in acquisition.TIMES, and nowhere else.
SEQUENCES: dict[str, Callable[..., Tensor]] = {
    "mprage": lambda pd, t1, t2, te, tr, ti: mprage(pd, t1, t2, tr=tr, ti=ti),
    "spin_echo": lambda pd, t1, t2, te, tr, ti: spin_echo(pd, t1, t2, te=te, tr=tr),
    "flair": lambda pd, t1, t2, te, tr, ti: flair(pd, t1, t2, te=te, tr=tr, ti=ti),
}


def signal(
    maps: Float[Tensor, "*batch 3 H W"], acquisition: Acquisition | AcquisitionBatch
) -> Float[Tensor, "*batch H W"] | Float[Tensor, "B N H W"]:
    """What a scanner without noise would measure: Eq. 1 on maps of PD, T1, T2.

    Args:
        maps: ``[..., 3, H, W]``: PD (a.u.), T1 (s), T2 (s), in this order. With an
            :class:`AcquisitionBatch` of shape ``[B, N]`` it is ``[B, 3, H, W]``.
        acquisition: one protocol for all, or one per subject and contrast.

    Returns:
        ``[..., H, W]`` for one acquisition, ``[B, N, H, W]`` for a batch; signed, in the units of PD.

    Raises:
        ValueError: the maps do not have the shape that the acquisition asks for.
    """
    if maps.ndim < 3 or maps.shape[-3] != 3:
        raise ValueError(f"maps: found shape {tuple(maps.shape)}, expected [..., 3, H, W] (PD, T1, T2)")
    if isinstance(acquisition, Acquisition):
        pd, t1, t2 = maps.unbind(-3)
        a = acquisition
        return SEQUENCES[a.sequence](pd, t1, t2, a.te, a.tr, a.ti)
    subjects, contrasts = acquisition.shape
    if maps.ndim != 4 or maps.shape[0] != subjects:
        raise ValueError(f"maps: found shape {tuple(maps.shape)}, expected [{subjects}, 3, H, W]")
    return torch.stack([_contrast(maps, acquisition, n) for n in range(contrasts)], dim=1)


def tissue_signal(name: str, acquisition: Acquisition) -> float:
    """The signed signal of one tissue of the table (``wm``, ``gm``, ``csf``, ``lesion``), in units of PD.

    Raises:
        KeyError: there is no such tissue.
    """
    tissue = TISSUES[name]
    maps = torch.tensor([tissue.pd, tissue.t1, tissue.t2])[:, None, None]
    return signal(maps, acquisition).item()


def _contrast(maps: Tensor, batch: AcquisitionBatch, n: int) -> Tensor:
    """Contrast ``n`` of every subject, ``[B, H, W]``; subjects may differ in sequence."""
    names = [row[n] for row in batch.sequence]
    if len(set(names)) == 1:
        return _one_sequence(names[0], maps, batch.te[:, n], batch.tr[:, n], batch.ti[:, n])
    out = maps.new_zeros(maps.shape[0], *maps.shape[-2:])
    for name in sorted(set(names)):
        rows = torch.tensor([b for b, other in enumerate(names) if other == name], device=maps.device)
        part = _one_sequence(name, maps[rows], batch.te[rows, n], batch.tr[rows, n], batch.ti[rows, n])
        out = out.index_copy(0, rows, part)
    return out


def _one_sequence(name: str, maps: Tensor, te: Tensor, tr: Tensor, ti: Tensor) -> Tensor:
    pd, t1, t2 = maps.unbind(1)
    te, tr, ti = (x.to(maps)[:, None, None] for x in (te, tr, ti))
    return SEQUENCES[name](pd, t1, t2, te, tr, ti)
