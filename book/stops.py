"""Where DPM-Solver++ should stop, by two judges that do not agree: the Fréchet distance, and a classifier.

Brains are drawn from the same noises at the same heights with each stop, in two sets, which tell luck from a difference.
For each judge a stop is so many times as bad as the one it likes best: in its distance, or in what its AUC has beyond that
of two sets of decoded training codes. The stop that is chosen is the one whose worse judge is the kindest. Five minutes on
one core:

    python book/stops.py runs/laptop --out book/results/stops.json --bf16

It says what to write as ``diffusion.sampler_last``, and writes it nowhere but into the file.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from physldm.data.files import whole
from physldm.diffusion import dpm_solver
from physldm.evaluation.generative import features
from physldm.progress import progress
from physldm.runs import Run
from torch import Tensor

from sampling import BATCH, Likeness, starts

STOPS = (0, 60, 120, 180, 240)
SETS = 2
COLUMNS = ("distance", "auc", "precision", "recall")


@torch.inference_mode()
def drawn(run: Run, stop: int, n: int, bf16: bool) -> Tensor:
    """Maps of ``n`` brains, ``[n, 3, H, W]``."""
    maps, settings = [], run.config.diffusion
    for number in progress(range(-(-n // BATCH)), desc=f"stop {stop}"):
        noise, heights = starts(run, number)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            codes = dpm_solver(
                run.model(heights),
                noise,
                run.schedule,
                steps=settings.sampler_steps,
                last=stop,
                prediction=settings.prediction,
            )
        maps.append(run.decode(codes))
    return torch.cat(maps)[:n]


def scored(judge: Likeness, maps: Tensor, sets: int) -> dict[str, list[float]]:
    """What the judges say of each set."""
    rows = []
    for part in maps.chunk(sets):
        seen = features(part)
        rows.append({"distance": judge.distance(seen)} | judge.apart(seen))
    return {key: [round(row[key], 4) for row in rows] for key in COLUMNS}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def chosen(rows: dict[int, dict[str, list[float]]], chance: float) -> int:
    """The stop whose worse judge is the kindest.

    Args:
        rows: of each stop the judges' words on each set.
        chance: AUC of two sets of one kind.
    """
    far = {stop: mean(row["distance"]) for stop, row in rows.items()}
    told = {
        stop: max(mean(row["auc"]) - chance, 1e-3) for stop, row in rows.items()
    }
    worse = {
        stop: max(far[stop] / min(far.values()), told[stop] / min(told.values()))
        for stop in rows
    }
    return min(worse, key=worse.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, help="only printed without it")
    parser.add_argument("--n", type=int, default=204, help="brains of a set")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    asked = parser.parse_args()
    begin, run = time.perf_counter(), Run(asked.run)
    judge = Likeness(run, asked.n)
    floor = scored(judge, judge.others, 1)
    print(f"{'':18s}", *(f"{key:>16s}" for key in COLUMNS))
    rows = {}
    for stop in STOPS:
        maps = drawn(run, stop, SETS * asked.n, asked.bf16)
        rows[stop] = scored(judge, maps, SETS)
        show(f"stop {stop}", rows[stop])
    show("training, decoded", floor)
    best = chosen(rows, floor["auc"][0])
    spent = time.perf_counter() - begin
    print(f"diffusion.sampler_last = {best} ({spent:.0f} s)")
    if asked.out:
        command = f"python book/stops.py runs/{asked.run.name} --n {asked.n}"
        command += " --bf16" if asked.bf16 else ""
        content = {
            "command": f"{command} --out book/results/stops.json",
            "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
            f"no GPU used, {'bfloat16' if asked.bf16 else 'float32'}",
            "training_steps": run.config.ldm_stage.steps,
            "sampler_steps": run.config.diffusion.sampler_steps,
            "seconds": round(spent),
            "n": asked.n,
            "training, decoded": floor,
            "stops": rows,
            "chosen": best,
        }
        with whole(asked.out) as part:
            part.write_text(
                json.dumps(content, indent=1) + "\n", encoding="utf-8"
            )


def show(name: str, row: dict[str, list[float]]) -> None:
    """A line of the table: the mean of the sets, and how far they are from it."""
    cells = []
    for key in COLUMNS:
        digits = 1 if key == "distance" else 3
        middle, most = mean(row[key]), max(row[key])
        spread = f" ±{most - middle:.{digits}f}" if len(row[key]) > 1 else ""
        cells.append(f"{middle:.{digits}f}{spread}")
    print(f"{name:18s}", *(f"{cell:>16s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
