"""The 16 rows of the paper's Table 1: four switches of the VAE, each on and off."""

from __future__ import annotations

import json
import math
import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

from physldm.config import Config, changes_of
from physldm.data.population import phantom_store
from physldm.errors import writing
from physldm.evaluation import evaluate
from physldm.runs import Run
from physldm.training import train

SUBSETS = 0.5  # share of slices that modality dropout decodes a second time, from some of their scans
GAIN = "session"  # what G regression finds, as in the paper's code; or what the preset's ``vae.gain`` says
SWITCHES = ("G regression", "modality dropout", "T1 & T2 prior", "AdaGN")
# The table's columns: name, key of the scores, digits.
COLUMNS = (
    ("MSE", "paper.mse", 0),
    ("MAE", "paper.mae", 2),
    ("MS-SSIM", "paper.ms_ssim", 4),
    ("PSNR", "paper.psnr", 2),
    ("PSNR, fixed", "fixed.psnr", 2),
    ("T1 error %", "truth.t1_mdape", 1),
    ("T2 error %", "truth.t2_mdape", 1),
    ("PD error %", "truth.pd_mdape", 1),
    ("unseen PSNR", "unseen.psnr", 2),
)


@dataclass(frozen=True)
class Row:
    """One row: which switches are on (in the order of ``SWITCHES``), and the seed."""

    switches: tuple[bool, bool, bool, bool]
    seed: int

    @property
    def name(self) -> str:
        return "".join(letter if on else "-" for letter, on in zip("GDPA", self.switches, strict=True)) + (
            f"-seed{self.seed}"
        )

    def config(self, base: Config) -> Config:
        """``base`` with these switches and this seed."""
        gain, dropout, prior, adagn = self.switches
        return base.model_copy(
            update={
                "seed": self.seed,
                "vae": base.vae.model_copy(update={"gain": gain and (base.vae.gain or GAIN), "adagn": adagn}),
                "augment": base.augment.model_copy(update={"subsets": SUBSETS if dropout else 0.0}),
                "loss": base.loss.model_copy(update={"prior": base.loss.prior if prior else 0.0}),
                "vae_stage": base.vae_stage.model_copy(
                    update={"steps": base.ablation_steps} if base.ablation_steps else {}
                ),
            }
        )


def rows(seeds: Sequence[int]) -> list[Row]:
    """All rows, in the order of the paper's table."""
    every = [
        (g, d, p, a)
        for a, p, (d, g) in product((True, False), (True, False), product((True, False), repeat=2))
    ]
    return [Row(switches, seed) for seed in seeds for switches in every]


def command(base: Config, seed: int) -> str:
    """What to type to make all rows of a seed: the preset, and every setting in which ``base`` differs from it."""
    words = [word for change in changes_of(base) for word in ("--set", change)]
    return shlex.join(
        ["physldm", "ablate", "--out", "DIR", "--preset", base.preset, "--seed", str(seed), *words]
    )


def ablate(out: Path, base: Config, seeds: Sequence[int]) -> Iterator[dict]:
    """Trains and scores row after row, each in a run of its own below ``out``; what is done stays done.

    All rows see the same data, those of ``base``. After each row ``ablation.json`` is written anew.

    Yields:
        A row's switches, what was asked for (command, seed, steps, protocols, kind of gain) and scores.

    Raises:
        InputError: ``out`` holds rows of another configuration, or cannot be written.
    """
    with writing(out, "a folder to write to (--out)"):
        out.mkdir(parents=True, exist_ok=True)
    store = phantom_store(base.data, base.seed, out / "slices")
    found = []
    for row in rows(seeds):
        folder, config = out / row.name, row.config(base)
        train(folder, config, "vae", store.folder)
        scored = folder / "metrics.json"
        if not scored.exists():
            scores = evaluate(Run(folder))
            with writing(scored, "room to write scores"):
                scored.write_text(json.dumps(scores, indent=1), encoding="utf-8")
        switches = dict(zip(SWITCHES, row.switches, strict=True))
        asked = {
            "command": command(base, row.seed),
            "seed": row.seed,
            "steps": config.vae_stage.steps,  # 0: as many as its epochs have
            "data.protocols": config.data.protocols,
            "vae.gain": config.vae.gain,
        }
        found.append({**switches, **asked, **json.loads(scored.read_text(encoding="utf-8"))})
        with writing(out / "ablation.json", "room to write a table"):
            (out / "ablation.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        yield found[-1]


def effects(found: Sequence[Mapping], score: str) -> dict[tuple[str, ...], float]:
    """What each switch, and each set of switches together, does to a score: all 15 effects of the 16 rows.

    Equation: eq-effect (Box, Hunter and Hunter 2005). A single switch: mean of the rows where it is on, minus mean of
    those where it is off. A pair: half of how much the one's effect changes when the other is turned on; and so forth.

    Raises:
        ValueError: some combination of the switches is missing, or there more often than another.
    """
    counts = [sum(all(row[s] == on for s, on in zip(SWITCHES, way, strict=True)) for row in found)
              for way in product((True, False), repeat=len(SWITCHES))]  # fmt: skip
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(f"rows: found {counts} of the 16 combinations of switches, expected as many of each")
    sets = (s for size in range(1, len(SWITCHES) + 1) for s in combinations(SWITCHES, size))
    return {
        # E_A = (2/n) Σ y Π ±1, over the n rows and the switches in A
        chosen: 2 / len(found) * sum(row[score] * math.prod(1 if row[s] else -1 for s in chosen) for row in found)
        for chosen in sets
    }  # fmt: skip


def luck(found: Mapping[tuple[str, ...], float]) -> float:
    """Standard deviation of an effect that is nothing but luck, from the effects of three and four switches.

    If three switches together do nothing that two of them do not, the effects of three and four switches are luck, and
    their root mean square is its size. One of them that is real makes the luck look larger: see :func:`lenth`.
    It is luck on these brains: other brains may shift all rows.

    Equation: eq-luck (Box, Hunter and Hunter 2005).

    Args:
        found: what :func:`effects` returns.
    """
    several = [value for chosen, value in found.items() if len(chosen) > 2]
    return math.sqrt(sum(value**2 for value in several) / len(several))


def lenth(found: Mapping[tuple[str, ...], float]) -> float:
    """Standard deviation of an effect that is nothing but luck, from the smaller ones among all effects.

    If most effects do nothing, whatever the number of their switches, the median of their sizes is that of luck, and a
    few real ones hardly move it. Where many are real it makes the luck look larger: see :func:`luck`.

    Equation: eq-lenth (Lenth 1989, pseudo standard error).

    Args:
        found: what :func:`effects` returns.
    """
    sizes = [abs(value) for value in found.values()]
    # half of all draws from a bell curve are within 0.674 of its standard deviation, about 1/1.5
    first = 1.5 * statistics.median(sizes)
    return 1.5 * statistics.median([size for size in sizes if size < 2.5 * first] or [0.0])


def table(found: Sequence[dict]) -> str:
    """The rows as Markdown, best score of a column in bold; with several seeds the mean of each row over them."""
    groups: dict[tuple, list[dict]] = {}
    for row in found:
        groups.setdefault(tuple(row[s] for s in SWITCHES), []).append(row)
    means = {
        key: [sum(r[k] for r in same) / len(same) for _, k, _ in COLUMNS] for key, same in groups.items()
    }
    best = [
        (max if "PSNR" in name or "SSIM" in name else min)(row[i] for row in means.values())
        for i, (name, _, _) in enumerate(COLUMNS)
    ]
    lines = [
        "| " + " | ".join([*SWITCHES, *(name for name, _, _ in COLUMNS)]) + " |",
        "|" + " :-: |" * len(SWITCHES) + " --: |" * len(COLUMNS),
    ]
    for key, values in means.items():
        cells = [f"{v:.{d}f}" for v, (_, _, d) in zip(values, COLUMNS, strict=True)]
        cells = [f"**{c}**" if v == b else c for c, v, b in zip(cells, values, best, strict=True)]
        lines.append("| " + " | ".join(["✓" if on else "" for on in key] + cells) + " |")
    return "\n".join(lines)
