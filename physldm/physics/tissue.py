"""What tissue is made of, at 3 T: proton density (relative to CSF), T1 and T2 in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tissue:
    """A tissue's proton density (CSF = 1), T1 and T2 (s) at 3 T: one value from a wide literature range."""

    pd: float
    t1: float
    t2: float


WHITE_MATTER = Tissue(pd=0.70, t1=0.85, t2=0.070)
# T1 of grey matter lies between Marques 2010 (1.35 s) and Wright 2008 (1.61 s), that of white matter just above both; a lesion is white matter with longer T1 (×1.4) and T2 (×1.75).
TISSUES: dict[str, Tissue] = {
    "wm": WHITE_MATTER,
    "gm": Tissue(pd=0.82, t1=1.45, t2=0.085),
    "csf": Tissue(pd=1.00, t1=4.2, t2=1.9),
    "lesion": Tissue(pd=0.76, t1=1.4 * WHITE_MATTER.t1, t2=1.75 * WHITE_MATTER.t2),
}
# Medians of the paper's log-normal prior (Eq. 6–7): T1 1 s, T2 0.1 s.
PRIOR_T1, PRIOR_T2 = 1.0, 0.1
