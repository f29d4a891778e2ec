"""What tissue is made of: proton density (relative to CSF), T1 and T2 in seconds; what was measured, and a prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Tissue:
    """A tissue's proton density (CSF = 1), T1 and T2 (s): one value from a wide literature range."""

    pd: float
    t1: float
    t2: float


WHITE_MATTER = Tissue(pd=0.70, t1=0.85, t2=0.070)
# At 3 T. T1 of grey matter lies between Marques 2010 (1.35 s) and Wright 2008 (1.61 s), that of white matter just above
# both; a lesion is white matter with longer T1 (×1.4) and T2 (×1.75).
TISSUES: dict[str, Tissue] = {
    "wm": WHITE_MATTER,
    "gm": Tissue(pd=0.82, t1=1.45, t2=0.085),
    "csf": Tissue(pd=1.00, t1=4.2, t2=1.9),
    "lesion": Tissue(pd=0.76, t1=1.4 * WHITE_MATTER.t1, t2=1.75 * WHITE_MATTER.t2),
    # T1 of putamen and caudate (Wright 2008); more iron than cortex, hence a shorter T2
    "deep_gm": Tissue(pd=0.80, t1=1.35, t2=0.075),
    # vessels in fluid: no measurement of it alone was found, so between grey matter and CSF
    "choroid": Tissue(pd=0.90, t1=2.2, t2=0.25),
    "fat": Tissue(pd=1.00, t1=0.37, t2=0.10),
    # skeletal muscle (Stanisz 2005)
    "muscle": Tissue(pd=0.90, t1=1.41, t2=0.050),
    "marrow": Tissue(pd=0.60, t1=0.37, t2=0.13),
}


@dataclass(frozen=True)
class Measured:
    """What one source reports of one tissue.

    Attributes:
        tissue: ``wm``, ``gm``, ``csf`` or a name. field: tesla. property: T1 or T2. value: seconds; None for a review
            that gives only a range. spread: standard deviation in seconds, or (lowest, highest) of a review.
        source: key in the book's references. checked: read at the source, or in a work that quotes it, for this book;
            otherwise from general knowledge, to be confirmed before it is cited.
    """

    tissue: str
    field: float
    property: str
    value: float | None
    spread: float | tuple[float, float]
    source: str
    checked: bool = True


MEASURED: tuple[Measured, ...] = (
    Measured("wm", 3.0, "T1", 0.838, 0.050, "wright2008"),
    Measured("gm", 3.0, "T1", 1.607, 0.112, "wright2008"),
    Measured("wm", 3.0, "T1", 0.81, 0.03, "marques2010"),
    Measured("gm", 3.0, "T1", 1.35, 0.05, "marques2010"),
    Measured("wm", 3.0, "T1", None, (0.699, 1.735), "bojorquez2017"),
    Measured("wm", 3.0, "T1", None, (0.6, 1.1), "asslander2025"),
    Measured("wm", 3.0, "T1", 1.084, 0.045, "stanisz2005", checked=False),
    Measured("gm", 3.0, "T1", 1.820, 0.114, "stanisz2005", checked=False),
    Measured("wm", 3.0, "T2", 0.069, 0.003, "stanisz2005", checked=False),
    Measured("gm", 3.0, "T2", 0.099, 0.007, "stanisz2005", checked=False),
    Measured("csf", 3.0, "T1", 4.16, 0.26, "lin2001"),
    Measured("muscle", 3.0, "T1", 1.412, 0.013, "stanisz2005", checked=False),
    Measured("muscle", 3.0, "T2", 0.050, 0.004, "stanisz2005", checked=False),
    Measured("wm", 1.5, "T1", 0.646, 0.032, "wright2008"),
    Measured("gm", 1.5, "T1", 1.197, 0.134, "wright2008"),
)

# Medians of the paper's log-normal prior (Eq. 6–7): T1 1 s, T2 0.1 s.
PRIOR_T1, PRIOR_T2 = 1.0, 0.1


# Water of the brain at 3 T (Volz et al. 2012): 1/W = A + B/T1, T1 in seconds.
WATER_A, WATER_B = 0.916, 0.436


def water_content(t1: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Share of water that a brain tissue's T1 (s) suggests, as PD with pure water at 1: 1/(A + B/T1).

    Equation: eq-water (Fatouros and Marmarou 1991; A and B at 3 T of Volz et al. 2012). Fat and bone do not follow it.
    """
    # 1/W = A + B/T1
    return 1 / (WATER_A + WATER_B / t1)


def from_output(o: Float[Tensor, "*shape"], median: float) -> Float[Tensor, "*shape"]:
    """A property from a decoder's output: exp(o + b), b = ln(median). o = 0 is the median, and nothing is negative.

    Equation: eq-from-output (Eq. 6–7 of the paper, which writes s for b where it gives the values).
    """
    return torch.exp(o + math.log(median))


def log_normal(t: Float[Tensor, "*shape"], median: float, sd: float) -> Float[Tensor, "*shape"]:
    """Density (1/s) of a property whose logarithm is Gaussian around ln(median) with standard deviation ``sd``.

    Equation: eq-log-normal. A light L2 pull on o is this prior: its negative logarithm is o²/(2 sd²) + ln t + const.
    """
    o = torch.log(t / median)
    return torch.exp(-(o**2) / (2 * sd**2)) / (t * sd * math.sqrt(2 * math.pi))
