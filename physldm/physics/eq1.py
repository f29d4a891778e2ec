"""Eq. 1 of the paper as printed: the first three rows of the table of :mod:`physldm.physics.sequences`."""

from __future__ import annotations

import torch
from torch import Tensor

from .relaxation import e, recovered
from .table import sequence

ECHO_FITS = (("te", "<", "tr", lambda a: a.tr),)
INVERSION_FITS = (("ti", "<", "tr", lambda a: a.tr), ("te", "<", "tr − ti", lambda a: a.tr - a.ti))


@sequence(
    "MPRAGE (Eq. 1)", "T1w", {"tr": 2.4, "ti": 1.0},
    defaults={"te": 0.003}, carried=("te",), limits=INVERSION_FITS, stands_for="mprage_readout",
)  # fmt: skip
def mprage(pd: Tensor, t1: Tensor, t2: Tensor, *, tr, ti, te=0.0) -> Tensor:
    """T1-weighted MPRAGE: inversion every TR, read TI after it, at a vanishing flip angle.

    Equation: eq-mprage (Eq. 1 of the paper, first line). Eq. 1 has no decay by T2, so ``te`` only counts
    when it is given, and :func:`physldm.physics.signal` never gives it.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        tr: seconds.
        ti: seconds.
        te: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) / (1 + E1(TR)))
    s = torch.addcmul(pd, pd, e(ti, t1) / (1 + e(tr, t1)), value=-2)
    return s * e(te, t2) if isinstance(te, Tensor) or te != 0 else s


@sequence(
    "spin echo (Eq. 1)", "T2w", {"te": 0.1, "tr": 3.2},
    limits=ECHO_FITS, stands_for="spin_echo_exact", refocused=True,
)  # fmt: skip
def spin_echo(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr) -> Tensor:
    """Spin echo: a 90° pulse every TR, its echo read TE later.

    Equation: eq-spin-echo (Eq. 1 of the paper, second line); exact for TE → 0.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.

    Returns:
        Signal in the units of ``pd``, never negative.
    """
    # PD · (1 − E1(TR)) · E2(TE)
    return pd * recovered(tr, t1) * e(te, t2)


@sequence(
    "FLAIR (Eq. 1)", "FLAIR", {"te": 0.09, "tr": 9.0, "ti": 2.5},
    limits=INVERSION_FITS, stands_for="flair_exact", refocused=True,
)  # fmt: skip
def flair(pd: Tensor, t1: Tensor, t2: Tensor, *, te, tr, ti) -> Tensor:
    """FLAIR: inversion, 90° pulse after TI, echo at TE, all repeated every TR.

    Equation: eq-flair (Eq. 1 of the paper, third line); exact for a gradient read-out.

    Args:
        pd: proton density, arbitrary units.
        t1: seconds.
        t2: seconds.
        te: seconds.
        tr: seconds.
        ti: seconds.

    Returns:
        Signal in the units of ``pd``, negative where the magnetisation is still inverted.
    """
    # PD · (1 − 2 E1(TI) + E1(TR)) · E2(TE)
    return pd * (1 + torch.add(e(tr, t1), e(ti, t1), alpha=-2)) * e(te, t2)
