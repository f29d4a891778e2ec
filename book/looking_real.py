"""What LPIPS and a discriminator buy and cost: the stored numbers and pictures of chapter 10.

A trained run is tuned for as many steps under each of three losses, and scored on all its held-out subjects; and for a
few steps under a discriminator that comes in at once, or by a ramp:

    python book/looking_real.py runs/laptop --out book/results/looking-real.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from pathlib import Path

import torch
from physldm.data import CONTRASTS
from physldm.evaluation.perceptual import looks_and_truth
from physldm.runs import Run
from physldm.training.fine_tune import fine_tune

LOSSES = {
    "plain": {},
    "LPIPS": {"perceptual": 1.0},
    "LPIPS + discriminator": {"perceptual": 1.0, "adversarial": 0.5},
}
RAMP_SHARE = 4  # a fourth of the steps
ENTRY_STEPS = 60
# So heavy a discriminator that whoever lets it in at once sees what it does.
ENTRIES = {
    "plain": {},
    "at once": {"adversarial": 2.0, "ramp": 1},
    "by a ramp": {"adversarial": 2.0, "ramp": ENTRY_STEPS},
}
CROP = (
    slice(16, 64),
    slice(12, 60),
)  # of the middle slice of a held-out subject, T2w


def tuned(run: Run, changes: dict, steps: int):
    return fine_tune(run, run.config.loss.model_copy(update=changes), steps)


@torch.inference_mode()
def crop(vae, run: Run) -> list[list[int]]:
    """The rebuilt T2w scan in ``CROP``, in whole scanner units."""
    slices = run.store.of_session(run.store.sessions("heldout")[-1])
    batch = run.store.batch([slices[len(slices) // 2]])
    found = vae(batch.images, batch.acquisitions, batch.mask).reconstruction
    return found[0, CONTRASTS.index("T2w")][CROP].round().int().tolist()


def true_crop(run: Run) -> list[list[int]]:
    slices = run.store.of_session(run.store.sessions("heldout")[-1])
    clean = run.store.array("clean", [slices[len(slices) // 2]])
    return clean[0, CONTRASTS.index("T2w")][CROP].round().int().tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    asked = parser.parse_args()
    run = Run(asked.run)
    heldout = run.store.sessions("heldout")
    rows = {"before": looks_and_truth(run.vae, run.store, heldout)}
    pictures = {"true": true_crop(run), "before": crop(run.vae, run)}
    for name, changes in LOSSES.items():
        ramp = max(1, asked.steps // RAMP_SHARE)
        vae, curves = tuned(run, changes | {"ramp": ramp}, asked.steps)
        rows[name] = looks_and_truth(vae, run.store, heldout) | {
            "seconds": statistics.median(curves["seconds"])
        }
        for verdict in ("logit_real", "logit_made"):
            if verdict in curves:
                rows[name][verdict] = statistics.fmean(curves[verdict][-50:])
        pictures[name] = crop(vae, run)
    entries = {
        name: tuned(run, changes, ENTRY_STEPS)[1]["l2"]
        for name, changes in ENTRIES.items()
    }
    content = {
        "command": f"python book/looking_real.py runs/{asked.run.name} --steps {asked.steps} "
        "--out book/results/looking-real.json",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        + (
            torch.cuda.get_device_name()
            if torch.cuda.is_available()
            else "no GPU"
        ),
        "training_steps": run.config.vae_stage.steps,
        "steps": asked.steps,
        "subjects": len(heldout),
        "weights": LOSSES,
        "rows": {
            name: {k: round(v, 4) for k, v in row.items()}
            for name, row in rows.items()
        },
        "entries": {
            name: [round(v, 6) for v in values]
            for name, values in entries.items()
        },
        "pictures": pictures,
    }
    asked.out.write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
