"""Quality against steps and against seconds, for every sampler: the stored table of chapter 12.

Each sampler makes brains from the same noises at the same heights, and is scored against the true maps of the training
slices, and told apart from decoded codes of these. Half an hour on one core with 272 brains, five minutes without DDPM
and DDIM's 250 steps. What is drawn is kept beside the table until that is written, so that a stopped run goes on:

    python book/sampling.py runs/laptop --n 272 --bf16 --without "DDIM 250" "DDPM 1000" --out book/results/sampling.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import time
from functools import partial
from pathlib import Path

import torch
from physldm.data.files import whole
from physldm.data.scanning import once_scanned
from physldm.diffusion import ddim, ddpm, dpm_solver
from physldm.evaluation.generative import (
    TissueClassifier,
    features,
    frechet_distance,
    frechet_interval,
    precision_recall,
    told_apart,
)
from physldm.models import latent_shape
from physldm.progress import progress
from physldm.runs import Run
from safetensors.torch import load_file, save_file
from torch import Tensor

SAMPLERS = {
    "to t=0, DPM-Solver++ 20": partial(dpm_solver, steps=20),
    "DPM-Solver++ 10": partial(dpm_solver, steps=10),
    "DPM-Solver++ 20": partial(dpm_solver, steps=20),
    "DDIM 20": partial(ddim, steps=20),
    "DDIM 50": partial(ddim, steps=50),
    "DDIM 250": partial(ddim, steps=250),
    "DDPM 1000": ddpm,
}
# Whose distance gets an interval: the default, and the same steps without its stop.
BOOTSTRAPPED = ("to t=0, DPM-Solver++ 20", "DPM-Solver++ 20")
BATCH = 32
SEED = 12
BRAINS = 16  # what the seconds are given for


def starts(run: Run, number: int) -> tuple[Tensor, Tensor | None]:
    """The noises of a batch ``[BATCH, C, h, w]``, and how high its slices lie (mm) where the network is told: as high as
    slices of training do."""
    draw = torch.Generator().manual_seed(1000 * SEED + number)
    noise = torch.randn(BATCH, *latent_shape(run.config), generator=draw)
    if not run.config.unet.height:
        return noise, None
    known = run.store.heights(run.store.slices("train"))
    return noise, known[torch.randint(len(known), (BATCH,), generator=draw)]


@torch.inference_mode()
def draw_batch(
    run: Run, name: str, number: int, bf16: bool, n: int = BATCH
) -> dict[str, Tensor]:
    """Maps of a batch's first ``n``, ``[n, 3, H, W]``, from one sampler; calls of the network."""
    noise, heights = starts(run, number)
    noise, heights = noise[:n], None if heights is None else heights[:n]
    model, calls = run.model(heights), 0

    def counted(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return model(x, t)

    more = {}
    if name.startswith("DDPM"):
        more["generator"] = torch.Generator().manual_seed(number)
    if name.startswith("DPM"):  # as run.sample draws
        more["last"] = run.config.diffusion.sampler_last
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        codes = SAMPLERS[name](
            counted,
            noise,
            run.schedule,
            prediction=run.config.diffusion.prediction,
            **more,
        )
    return {"maps": run.decode(codes), "calls": torch.tensor(calls)}


def seconds(run: Run, name: str, bf16: bool) -> float:
    """Processor time of ``BRAINS`` brains, once: on one thread what they take where nothing else runs."""
    begin = time.process_time()
    draw_batch(run, name, 0, bf16, BRAINS)
    return time.process_time() - begin


def draw_all(
    run: Run, name: str, n: int, bf16: bool, parts: Path
) -> tuple[Tensor, int]:
    """``n`` brains, and the calls of the network that a brain takes."""
    drawn = []
    bar = progress(range(-(-n // BATCH)), desc=name, unit="batch")
    for number in bar:
        file = parts / f"{name.replace(' ', '-')}-{number:03d}.safetensors"
        if not file.exists():
            batch = draw_batch(run, name, number, bf16)
            with whole(file) as part:
                save_file({k: x.contiguous() for k, x in batch.items()}, part)
        drawn.append(load_file(file))
    maps = torch.cat([part["maps"] for part in drawn])[:n]
    return maps, int(drawn[0]["calls"])


def rebuilt(run: Run) -> Tensor:
    """The maps that the VAE finds for the held-out subjects, from their scans ``[S, 3, H, W]``."""
    store = run.store
    return torch.cat(
        [
            run.reconstruct(
                store.array("scans", store.of_session(session)),
                store.protocol(session),
                refine=0,
            )
            for session in store.sessions("heldout")
        ]
    )


@torch.inference_mode()
def decoded(run: Run, n: int) -> Tensor:
    """Maps of ``n`` codes drawn from the encoder's beliefs about training slices, as a perfect denoiser would."""
    store, draw = run.store, torch.Generator().manual_seed(SEED)
    slices = store.slices("train")
    chosen = slices[torch.linspace(0, len(slices) - 1, n).round().long().numpy()]
    maps = []
    for part in torch.from_numpy(chosen).split(BATCH):
        scans = once_scanned(
            store, part.numpy(), run.config.data, run.config.seed
        )
        mean, log_var = run.vae.encode(
            scans.images, scans.acquisitions, scans.mask
        )
        noise = torch.randn(mean.shape, generator=draw)
        maps.append(run.vae.decode(mean + (log_var / 2).exp() * noise))
    return torch.cat(maps)


class Likeness:
    """Compares features of brains with those of the training slices' true maps, and of decoded codes of these slices.

    Codes that are decoded are blurred by the VAE as drawn ones are, so what tells the two apart is the sampler's. Half of
    them are the reference; the other half, ``others``, says what two sets of one kind give.
    """

    def __init__(self, run: Run, n: int):
        store = run.store
        slices = store.slices("train")
        self.real = features(store.array("maps", slices))
        both = decoded(run, min(2 * n, len(slices)))
        self.codes, self.others = features(both[::2]), both[1::2]

    def distance(self, seen: Tensor) -> float:
        return frechet_distance(seen, self.real)

    def apart(self, seen: Tensor) -> dict[str, float]:
        """How well they are told from as many decoded codes."""
        n = min(len(seen), len(self.codes))
        seen, codes = (_spread(x, n) for x in (seen, self.codes))
        precision, recall = precision_recall(seen, codes)
        return {
            "auc": told_apart(seen, codes),
            "precision": precision,
            "recall": recall,
        }


class Judge(Likeness):
    """Scores sets of brains.

    ``size`` is how many slices the held-out subjects have. Fewer samples look farther away, so a larger set is scored
    whole and, as ``fid_small``, in sets of that size (their mean).
    """

    def __init__(self, run: Run, n: int):
        super().__init__(run, n)
        store = run.store
        self.size = len(store.slices("heldout"))
        self.classifier = TissueClassifier(store)
        self.dice = self.classifier.dice(store)
        self.medians = self.classifier.medians(
            store.array("maps", store.slices("train"))
        )

    def score(self, maps: Tensor) -> dict[str, float]:
        seen = features(maps)
        small = seen.split(self.size)
        if len(small[-1]) < self.size and len(small) > 1:
            small = small[:-1]
        distances = [self.distance(s) for s in small]
        row = {
            "n": len(maps),
            "fid": self.distance(seen),
            "fid_small": sum(distances) / len(distances),
        }
        tissue = {
            key: 100 * (value / self.medians[key] - 1)
            for key, value in self.classifier.medians(maps).items()
        }
        return row | self.apart(seen) | tissue


def _spread(x: Tensor, n: int) -> Tensor:
    """``n`` rows, evenly spread."""
    return x[torch.linspace(0, len(x) - 1, n).round().long()]


def fingerprint(run: Run, bf16: bool) -> str:
    """Of weights and precision: what was drawn with others is not used again."""
    digest = hashlib.sha256(str(bf16).encode())
    for name in ("vae", "ldm"):
        digest.update((run.folder / f"{name}.safetensors").read_bytes())
    return digest.hexdigest()[:12]


def rounded(row: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--n", type=int, default=500, help="brains of each sampler"
    )
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="bfloat16 autocast; physldm doctor says whether it is faster here",
    )
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        choices=SAMPLERS,
        help="samplers to leave out, for a quick look",
    )
    asked = parser.parse_args()
    run = Run(asked.run)
    judge = Judge(run, asked.n)
    store = run.store
    parts = asked.out.with_name(
        f"{asked.out.name}.{fingerprint(run, asked.bf16)}"
    )
    parts.mkdir(parents=True, exist_ok=True)
    draw_batch(run, "DPM-Solver++ 10", 0, asked.bf16)  # the first is slow
    floor = {
        "held out": store.array("maps", store.slices("heldout")),
        "held out, rebuilt": rebuilt(run),
        "training, decoded": judge.others,
    }
    rows, intervals = {}, {}
    for name in SAMPLERS:
        if name in asked.without:
            continue
        maps, calls = draw_all(run, name, asked.n, asked.bf16, parts)
        spent = {"calls": calls, "seconds": seconds(run, name, asked.bf16)}
        if name.startswith(
            "DPM"
        ):  # the others go to t = 0, or as near as their steps are even
            spent["last"] = run.config.diffusion.sampler_last
        rows[name] = spent | judge.score(maps)
        print(name, rounded(rows[name]), flush=True)
        if name in BOOTSTRAPPED:
            intervals[name] = frechet_interval(features(maps), judge.real)
    command = f"python book/sampling.py runs/{asked.run.name} --n {asked.n}"
    command += " --bf16" if asked.bf16 else ""
    if asked.without:
        command += " --without " + " ".join(f'"{s}"' for s in asked.without)
    content = {
        "command": f"{command} --out book/results/sampling.json",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"no GPU used, {'bfloat16' if asked.bf16 else 'float32'}",
        "training_steps": run.config.ldm_stage.steps,
        "brains_timed": BRAINS,
        "training_slices": len(store.slices("train")),
        "heldout_subjects": len(store.sessions("heldout")),
        "heldout_slices": judge.size,
        "dice": rounded(judge.dice),
        "training_medians": rounded(judge.medians),
        "floor": {k: rounded(judge.score(maps)) for k, maps in floor.items()},
        "rows": {name: rounded(row) for name, row in rows.items()},
        "intervals": {
            name: [round(x, 4) for x in ends] for name, ends in intervals.items()
        },
    }
    with whole(asked.out) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(parts)


if __name__ == "__main__":
    main()
