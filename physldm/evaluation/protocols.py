"""How true maps are where scanners differ: errors of PD, T1 and T2 over protocols drawn once and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physldm.data.protocols import LEFT_OUT, Protocol, draw_protocol
from physldm.data.scanning import TUNING, Receiver
from physldm.data.slices import Batch, Slices, SliceStore
from physldm.draws import Who, keyed_draw
from physldm.errors import writing
from physldm.physics import CONTRASTS, Acquisition
from physldm.progress import progress

from .contrasts import gain_field, with_gain
from .scores import PROPERTIES, mdape, mean_of_rows
from .tissue import relative_errors

TABLE = Path(__file__).with_name("protocols.json")
SEED = 3  # of the table, and of gains and noise; the first for which all families are at the edge, too
INSIDE, EDGE = 25, 10  # how many are drawn from all that scanners do, and from the ends of it
NOISE = 0.01  # of an image's maximum
TISSUES = ("wm", "gm")  # CSF's T2 is no target
# Slices to scan: not all, for there are 40 protocols. A fourth of a subject's, of all subjects together so many.
SHARE, MOST = 4, 24


@dataclass(frozen=True)
class Scanner:
    """One way to scan that runs are scored on.

    Attributes:
        protocol: T1w, T2w, FLAIR.
        tuned: whether its receiver is tuned anew for every scan, which then has a gain of its own.
    """

    protocol: Protocol
    tuned: bool


Table = Mapping[str, Sequence[Scanner]]


def draw_table(seed: int = SEED) -> dict[str, list[Scanner]]:
    """The scanners of each kind: ``protocols`` inside what training draws from, ``protocols_edge`` at its ends, and
    ``protocols_new``, usual but for one scan by a sequence that training never sees. Every second tunes its receiver."""
    draw = torch.Generator().manual_seed(seed)
    new = []
    for contrast, scan in LEFT_OUT:
        usual = draw_protocol("usual", draw)
        new.append(tuple(scan if c == contrast else a for c, a in zip(CONTRASTS, usual, strict=True)))
    drawn = {
        "protocols": [draw_protocol("any", draw) for _ in range(INSIDE)],
        "protocols_edge": [draw_protocol("any", draw, "edge") for _ in range(EDGE)],
        "protocols_new": new,
    }
    return {
        kind: [Scanner(protocol, bool(i % 2)) for i, protocol in enumerate(rows)]
        for kind, rows in drawn.items()
    }


def write_table(file: Path) -> None:
    """Draws the table anew and writes it, settings as sidecars have them. ``make protocols`` does so for the package's.

    Raises:
        InputError: the file cannot be written.
    """
    content = {
        kind: [
            {"tuned": s.tuned} | {c: a.to_bids() for c, a in zip(CONTRASTS, s.protocol, strict=True)}
            for s in scanners
        ]
        for kind, scanners in draw_table().items()
    }
    with writing(file, "a file to write to"):
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_table() -> dict[str, list[Scanner]]:
    """The table that came with the package."""
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    return {
        kind: [
            Scanner(tuple(Acquisition.from_bids(row[c], c) for c in CONTRASTS), row["tuned"]) for row in rows
        ]
        for kind, rows in content.items()
    }


def protocol_scores(
    find: Callable[[Batch], Tensor], store: SliceStore, sessions: Sequence[int], table: Table | None = None
) -> dict[str, float]:
    """How far the maps are from the truth, whatever scanner the scans come from.

    Every subject is scanned by every scanner, with its own gain and coil's field, 1 % of complex noise, magnitudes; where
    a receiver is tuned anew, with a gain for each scan besides, of SD 0.1 (``scanning.TUNING``). Draws follow from subject
    and scanner, so every run is shown the same scans. PD is scored after one factor per subject, against the true PD
    under the coil's field, for so the scans have it.

    Args:
        find: scans → maps ``[B, 3, H, W]``; it is told the truth of how they were taken.
        store: whose truth makes one tissue a voxel (``partial_volume`` ``properties``).
        sessions: numbers of those with truth.
        table: by default the package's.

    Returns:
        ``protocols.t1_mdape.wm.median`` and so on: of each scanner the mean over subjects of the tissue's median absolute
        relative error (%), and of these the median and the worst over the scanners of a kind. Nothing without sessions.
    """
    table = table or read_table()
    if not sessions:
        return {}
    scanners = [(kind, scanner) for kind, row in table.items() for scanner in row]
    errors: list[list[dict[str, float]]] = [[] for _ in scanners]
    with progress(total=len(sessions) * len(scanners), desc="other scanners", unit="scanner") as bar:
        for session in sessions:
            person = Person.of(store, _some(store.of_session(session), MOST // len(sessions)))
            for number, (_, scanner) in enumerate(scanners):
                batch = person.scanned(scanner, keyed_draw(SEED, Who.SCANNER, session, number))
                errors[number].append(mdape(person.errors(find(batch))))
                bar.update()
    rows = [(kind, mean_of_rows(row)) for (kind, _), row in zip(scanners, errors, strict=True)]
    return _summary(rows)


def _some(slices: np.ndarray, most: int) -> np.ndarray:
    """A fourth of somebody's slices, at most so many but one at least, evenly spread."""
    count = max(1, min(len(slices) // SHARE, most))
    return slices[((np.arange(count) + 0.5) * len(slices) / count).astype(int)]


@dataclass(frozen=True)
class Person:
    """Some slices of somebody whose truth is known.

    Attributes:
        truth: PD (1 in fluid), T1 (s), T2 (s).
        fractions: of each tissue.
        field: gain times the coil's field, scanner units per unit of PD.
    """

    truth: Float[Tensor, "S 3 H W"]
    fractions: Float[Tensor, "S K H W"]
    field: Float[Tensor, "S H W"]

    @classmethod
    def of(cls, store: SliceStore, slices: Slices) -> Person:
        """From a store."""
        clean, truth, fractions = (store.array(name, slices) for name in ("clean", "maps", "fractions"))
        taken = store.batch(slices).acquisitions
        return cls(truth, fractions, gain_field(clean, truth, taken))

    def scanned(self, scanner: Scanner, draw: torch.Generator) -> Batch:
        """What a scanner gives of it."""
        spread = TUNING if scanner.tuned else 0.0
        gain = torch.exp(spread * torch.randn(1, len(CONTRASTS), generator=draw)).expand(len(self.truth), -1)
        receiver = Receiver(self.field[:, None], torch.full((len(self.truth), 1, 1, 1), NOISE), coils=1)
        return receiver.scan(self.truth, [scanner.protocol] * len(self.truth), draw, gain)

    def errors(self, maps: Float[Tensor, "S 3 H W"]) -> dict[str, Tensor]:
        """Absolute relative errors (%) of what was found, of the tissues that are scored."""
        found = relative_errors(maps, with_gain(self.truth, self.field), self.fractions)
        return {key: found[key] for p in PROPERTIES for t in TISSUES if (key := f"{p}.{t}") in found}


def _summary(rows: Sequence[tuple[str, Mapping[str, float]]]) -> dict[str, float]:
    """Median and worst of each score over the scanners of a kind; rows are kind and scores of a scanner."""
    gathered: dict[str, list[float]] = {}
    for kind, scores in rows:
        for key, value in scores.items():
            gathered.setdefault(f"{kind}.{key}", []).append(value)
    return {
        f"{key}.{name}": of(values)
        for key, values in gathered.items()
        for name, of in (("median", median), ("worst", max))
    }
