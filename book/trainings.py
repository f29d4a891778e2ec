"""Scores of several trainings beside what each was made by: the stored comparisons of chapters 08 and 09.

Each run is scored on its held-out subjects, scanned as usual and by the 40 protocols of the package. These are scores that
`physldm evaluate` has among its own, half a minute a run:

    python book/trainings.py effect=runs/laptop numbers=runs/numbers nothing=runs/untold --out book/results/told.json

The commands that made the runs are read off their configurations.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import torch
from physldm.config import changes_of
from physldm.data.files import whole
from physldm.data.population import phantom_fingerprint
from physldm.evaluation.protocols import protocol_scores
from physldm.evaluation.scores import mdape, mean_of_rows
from physldm.evaluation.tissue import relative_errors
from physldm.runs import Run


def command(run: Run) -> str:
    """What made the run's VAE: every setting in which it differs from its preset."""
    config = run.config
    changes = [
        c for c in changes_of(config) if not c.startswith("precision=")
    ]  # the machine's
    words = [word for change in changes for word in ("--set", change)]
    if run.store.fingerprint != phantom_fingerprint(config.data, config.seed):
        words += ["--data", "runs/laptop/slices"]  # people of another seed
    folder = f"runs/{run.folder.name}"
    return shlex.join(
        ["physldm", "train", "--run", folder, "--stage", "vae", *words]
    )


@torch.inference_mode()
def usual_errors(run: Run, session: int) -> dict[str, float]:
    """Median errors (%) of somebody who is scanned as usual."""
    slices = run.store.of_session(session)
    batch = run.store.batch(slices)
    maps = run.vae(batch.images, batch.acquisitions, batch.mask).maps
    truth, fractions = (run.store.array(a, slices) for a in ("maps", "fractions"))
    return mdape(relative_errors(maps, truth, fractions))


@torch.inference_mode()
def row(run: Run) -> dict[str, object]:
    """How the run was made, and its scores."""
    sessions = run.store.sessions("heldout")
    usual = mean_of_rows([usual_errors(run, session) for session in sessions])
    scores = {f"truth.{key}": value for key, value in usual.items()}
    scores |= protocol_scores(
        lambda batch: run.vae(batch.images, batch.acquisitions, batch.mask).maps,
        run.store,
        sessions,
    )
    made = {
        "command": command(run),
        "seed": run.config.seed,
        "steps": run.config.vae_stage.steps,
        "subjects": len(sessions),
    }
    return made | {key: round(value, 4) for key, value in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--note", help="what no setting says of these runs")
    asked = parser.parse_args()
    named = dict(argument.split("=", 1) for argument in asked.runs)
    said = [f"{name}=runs/{Path(folder).name}" for name, folder in named.items()]
    rows = {name: row(Run(Path(folder))) for name, folder in named.items()}
    words = [*said, "--out", f"book/results/{asked.out.name}"]
    content = {"command": shlex.join(["python", "book/trainings.py", *words])}
    if asked.note:
        content["note"] = asked.note
    with whole(asked.out) as part:
        part.write_text(
            json.dumps(content | {"rows": rows}, indent=1) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
