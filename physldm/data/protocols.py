"""How brains are scanned: protocols as one study's, or drawn from all that scanners do."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from physldm.config import Protocols
from physldm.physics import CONTRASTS, SEQUENCES, TISSUES, Acquisition
from physldm.physics.table import FIELDS

from .sidecars import LONG_TRAIN

Protocol = tuple[Acquisition, ...]  # T1w, T2w, FLAIR
Where = Literal["inside", "edge"]

FLUID_T1 = TISSUES["csf"].t1


def fluid_null(tr: float) -> float:
    """The TI (s) at which fluid gives no signal, 1 − 2 E1(TI) + E1(TR) = 0: T1 · ln(2 / (1 + E1(TR)))."""
    return FLUID_T1 * math.log(2 / (1 + math.exp(-tr / FLUID_T1)))


@dataclass(frozen=True)
class Family:
    """One way to take a contrast: a sequence, and how far its settings go.

    Attributes:
        contrast: ``T1w``, ``T2w`` or ``FLAIR``.
        sequence: of the table.
        share: of the scans of its contrast, relative to its other families'.
        ranges: of each setting that is drawn; log-uniform, a count's is rounded.
        source: who scans so.
        fluid_null: TI is drawn as this range times the TI at which fluid gives no signal at the TR that was drawn.
    """

    contrast: str
    sequence: str
    share: float
    ranges: Mapping[str, tuple[float, float]]
    source: str
    fluid_null: tuple[float, float] | None = None

    @classmethod
    def of(cls, contrast: str, acquisition: Acquisition, source: str, share: float = 1.0) -> Family:
        """A single protocol."""
        settings = acquisition.settings.items()
        return cls(contrast, acquisition.sequence, share, {name: (v, v) for name, v in settings}, source)

    def __str__(self) -> str:
        ranges = dict(self.ranges)
        if self.fluid_null:
            shortest, longest = (fluid_null(tr) for tr in ranges["tr"])
            ranges["ti"] = shortest, longest
        shown = []
        for name in SEQUENCES[self.sequence].takes:
            if name in ranges:
                (low, high), unit = ranges[name], f" {FIELDS[name].unit}".rstrip()
                shown.append(f"{FIELDS[name].label} {low:.3g}{f' to {high:.3g}' if high > low else ''}{unit}")
        return f"{self.sequence} ({', '.join(shown)})"

    def covers(self, acquisition: Acquisition, slack: float = 1.0) -> bool:
        """Whether a scan is of this sequence, and each setting that its equation takes within range, or within a factor
        ``slack`` of one end."""
        if acquisition.sequence != self.sequence:
            return False
        ranges = dict(self.ranges)
        if self.fluid_null:
            null = fluid_null(acquisition.settings["tr"])
            ranges["ti"] = (self.fluid_null[0] * null, self.fluid_null[1] * null)
        taken = (name for name in SEQUENCES[self.sequence].takes if name in ranges)
        return all(ranges[n][0] / slack <= acquisition.settings[n] <= ranges[n][1] * slack for n in taken)


# --- one study ---------------------------------------------------------------------------------------------------

# OASIS-3's most frequent settings and how many scans have them.
MPRAGE_SETTINGS = (((0.0032, 2.4, 1.0), 1344), ((0.0030, 2.3, 0.9), 866))
FLAIR_SETTINGS = (((0.091, 9.0, 2.5), 845), ((0.076, 9.0, 2.5), 251))
# Its T2w scans are long trains of small refocusing pulses (SPACE). Headers have the TE of the middle of the train; the
# contrast is that of a spin echo with a TE in the range below. How many echoes, headers do not say.
HEADER_TE = 0.455
T2W_TE = (0.09, 0.12)
T2W = {"te": HEADER_TE, "tr": 3.2, "echo_spacing": 2 * HEADER_TE / LONG_TRAIN, "train_length": LONG_TRAIN}
# What Eq. 1 leaves out of the two others: an MPRAGE's read-out, a FLAIR's refocusing pulse.
READOUT = {"flip_angle": 8.0, "echo_spacing": 0.0071, "train_length": 176}
AS_PLAYED = {"mprage": ("mprage_readout", READOUT), "flair": ("flair_exact", {})}
USUAL = (
    *(
        Family.of("T1w", Acquisition("mprage", te=te, tr=tr, ti=ti), "OASIS-3", n)
        for (te, tr, ti), n in MPRAGE_SETTINGS
    ),
    Family(
        "T2w", "tse", 1.0, {name: (v, v) for name, v in T2W.items()} | {"effective_te": T2W_TE}, "OASIS-3"
    ),
    *(
        Family.of("FLAIR", Acquisition("flair", te=te, tr=tr, ti=ti), "OASIS-3", n)
        for (te, tr, ti), n in FLAIR_SETTINGS
    ),
)


def _choose(settings, draw: torch.Generator):
    weights = torch.tensor([float(count) for _, count in settings])
    return settings[int(torch.multinomial(weights, 1, generator=draw))][0]


def _usual(draw: torch.Generator) -> Protocol:
    """T1w, T2w and FLAIR with settings as frequent as in OASIS-3."""
    te1, tr1, ti1 = _choose(MPRAGE_SETTINGS, draw)
    te2 = T2W_TE[0] + (T2W_TE[1] - T2W_TE[0]) * float(torch.rand((), generator=draw))
    te3, tr3, ti3 = _choose(FLAIR_SETTINGS, draw)
    return (
        Acquisition("mprage", te=te1, tr=tr1, ti=ti1),
        Acquisition("tse", {**T2W, "effective_te": round(te2, 4)}),
        Acquisition("flair", te=te3, tr=tr3, ti=ti3),
    )


# --- all that scanners do ----------------------------------------------------------------------------------------


MPRAGE = {"tr": (1.6, 3.0), "ti": (0.55, 1.3)}
MPRAGE_STUDIES = (
    "TR/TI in s: UK Biobank 2.0/0.88, ADNI 2.3/0.9, OASIS-3 2.4/1.0 and 2.3/0.9, HCP 2.4/1.0, ABCD 2.5/1.06"
)
ECHO = {"tr": (2.5, 10.0), "te": (0.07, 0.14)}
ECHO_STUDIES = (
    "TR/TE in s: OASIS-3 3.2/0.455 (SPACE, effective near 0.1) and 9.9/0.102, HCP and ABCD 3.2/0.565 (SPACE), ADNI 3.0/0.1, "
    "clinical TSE 4 to 7/0.08 to 0.12"
)
DARK_FLUID = {"tr": (4.8, 11.0), "te": (0.07, 0.14)}
NULL = (0.85, 1.15)
FLAIR_STUDIES = (
    "TR/TI/TE in s: UK Biobank 5.0/1.8/0.395 (SPACE), ADNI 4.8/1.65/0.119 and 9.0/2.5/0.09, OASIS-3 9.0/2.5/0.091, "
    "clinical 11/2.8/0.125"
)
# from a 2-D TSE with few echoes, 12 ms apart, to a SPACE with 300, 3 ms apart
TRAIN = {"echo_spacing": (0.003, 0.012), "train_length": (7, 300)}
FAMILIES = (
    Family("T1w", "mprage", 0.3, MPRAGE, MPRAGE_STUDIES),
    Family(
        "T1w", "mprage_readout", 0.45,
        MPRAGE | {"flip_angle": (7.0, 12.0), "echo_spacing": (0.0055, 0.0105), "train_length": (96, 208)},
        MPRAGE_STUDIES + "; flip angle 8 to 9°, one pulse every 6 to 10 ms",
    ),
    Family(
        "T1w", "ir_tse", 0.25,
        {
            "tr": (1.7, 3.5), "ti": (0.35, 0.95), "effective_te": (0.008, 0.03), "echo_spacing": (0.008, 0.012),
            "train_length": (3, 11),
        },
        "TR/TI/TE in s: Lesjak et al. 2017 2.0/0.8/0.02, clinical 2 to 3/0.4 to 0.9/0.01 to 0.03",
    ),
    Family("T2w", "spin_echo", 0.25, ECHO, ECHO_STUDIES),
    Family("T2w", "spin_echo_exact", 0.15, ECHO, ECHO_STUDIES),
    Family("T2w", "tse", 0.6, {"tr": ECHO["tr"], "effective_te": ECHO["te"]} | TRAIN, ECHO_STUDIES),
    Family("FLAIR", "flair", 0.3, DARK_FLUID, FLAIR_STUDIES, NULL),
    Family("FLAIR", "flair_exact", 0.2, DARK_FLUID, FLAIR_STUDIES, NULL),
    Family(
        "FLAIR", "flair_tse", 0.5,
        {"tr": DARK_FLUID["tr"], "effective_te": DARK_FLUID["te"]} | TRAIN, FLAIR_STUDIES, NULL,
    ),
)  # fmt: skip
DRAWN = {"usual": USUAL, "any": FAMILIES}
OF = {contrast: [f for f in FAMILIES if f.contrast == contrast] for contrast in CONTRASTS}
LATEST = 0.65  # TI of a T1w scan as a share of TR: the next inversion needs time to build up
SPARE = 0.02  # s, of a train before the next inversion


def _within(low: float, high: float, draw: random.Random, where: Where) -> float:
    """A number between two, log-uniform; or one of the two."""
    u = draw.random()
    return low * (high / low) ** (round(u) if where == "edge" else u)


def _drawn(family: Family, draw: random.Random, where: Where) -> Acquisition:
    settings = {name: _within(*ends, draw, where) for name, ends in family.ranges.items()}
    settings |= {name: round(value) for name, value in settings.items() if FIELDS[name].whole}
    if family.fluid_null:
        settings["ti"] = fluid_null(settings["tr"]) * _within(*family.fluid_null, draw, where)
    elif "ti" in settings:
        settings["ti"] = min(settings["ti"], LATEST * settings["tr"])
    if "echo_spacing" in settings:  # a train is cut to what the times leave
        readout = family.sequence == "mprage_readout"  # TI ends in its middle, else the train begins after TI
        ti = settings.get("ti", 0.0)
        room = 2 * min(ti, settings["tr"] - ti) - SPARE if readout else (settings["tr"] - ti) / 2
        settings["train_length"] = min(settings["train_length"], int(room / settings["echo_spacing"]))
        if not readout:  # the effective TE tells its contrast; k-space's middle is the train's
            settings["te"] = settings["echo_spacing"] * math.ceil(settings["train_length"] / 2)
    rounded = {k: v if FIELDS[k].whole else float(f"{v:.4g}") for k, v in settings.items()}
    return Acquisition(family.sequence, rounded)


def draw_protocol(kind: Protocols, draw: torch.Generator, where: Where = "inside") -> Protocol:
    """How one brain is scanned: T1w, T2w and FLAIR.

    Args:
        kind: ``usual`` as OASIS-3, ``any`` from ``FAMILIES``.
        draw: the random generator.
        where: of ``any``: every setting from within its range, or each from one end of it.
    """
    if kind == "usual":
        return _usual(draw)
    quick = random.Random(int(torch.randint(2**62, (), generator=draw)))  # twelve numbers a brain and step
    families = (quick.choices(OF[contrast], [f.share for f in OF[contrast]])[0] for contrast in CONTRASTS)
    return tuple(_drawn(family, quick, where) for family in families)


AS_USUAL = 0.5  # of the brains of ``any`` that are trained on


def training_protocol(kind: Protocols, draw: torch.Generator) -> Protocol:
    """How training scans a brain. Of ``any`` some have the usual settings, which the whole range would seldom bring
    together; half of these with what Eq. 1 leaves out.

    Args:
        kind: ``usual`` or ``any``.
        draw: the random generator.
    """
    if kind == "usual" or torch.rand((), generator=draw) >= AS_USUAL:
        return draw_protocol(kind, draw)
    usual = _usual(draw)
    return tuple(map(as_played, usual)) if torch.rand((), generator=draw) < 0.5 else usual


def as_played(scan: Acquisition) -> Acquisition:
    """An MPRAGE or FLAIR of Eq. 1 with the usual read-out; any other scan as it is."""
    sequence, more = AS_PLAYED.get(scan.sequence, (scan.sequence, {}))
    return Acquisition(sequence, {**scan.settings, **more})


# --- what training never sees ------------------------------------------------------------------------------------

# Runs are scored on these, too: a contrast by a sequence that none of its families has. ``mp2rage`` is not among them,
# for its image is a ratio that has no gain; nor ``gre``, whose T2′ no map has. Scanners show the sign of ``psir``, and
# here its magnitude counts, so TI is one at which all tissue is still inverted.
LEFT_OUT: tuple[tuple[str, Acquisition], ...] = (
    ("T1w", Acquisition("spgr", te=0.01, tr=0.018, flip_angle=30.0)),  # ICBM, as BrainWeb has it
    ("T1w", Acquisition("psir", te=0.013, tr=7.33, ti=0.4)),  # Sethi et al. 2012
    ("T1w", Acquisition("spin_echo_exact", te=0.012, tr=0.5)),  # clinical
    ("T2w", Acquisition.usual("bssfp")),
    ("FLAIR", Acquisition.usual("dir")),  # Redpath and Smith 1994: white matter and fluid are dark
)
