"""A real patient through the trained run and the voxelwise fit: the numbers of chapter 18, and pictures for you alone.

The scans are public (Lesjak et al. 2017, CC-BY, patient 07 of the Ljubljana MS data in MNI space) and not part of this
project: put sub-07_T1w, _T2w, _FLAIR and _lesions.nii.gz into a folder and call

    python book/real_patient.py FOLDER runs/laptop --out book/results/real-patient.json --pictures FOLDER
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from physldm.box import SHAPE_MM, box_affine, to_slices
from physldm.data import average_brain
from physldm.data.alignment import Reading, read_session
from physldm.data.phantom import GAIN
from physldm.data.sessions import find_sessions
from physldm.physics import CONTRASTS
from physldm.physics.identifiability import Prior, map_fit
from physldm.reconstruct import (
    Reconstruction,
    at_usual_gain,
    doubts,
    knowable,
    misfit_of,
    reconstruct_session,
    session_gains,
)
from physldm.runs import Run
from physldm.show import show_images, show_maps

# As remembered, not read at the source. What they do not say, trains and an effective TE, is filled in as everywhere.
SIDECARS = {
    "T1w": {"ScanningSequence": "IR\\SE", "SequenceName": "tir", "RepetitionTime": 2.0, "EchoTime": 0.020, "InversionTime": 0.8},
    "T2w": {"SequenceName": "tse", "RepetitionTime": 6.0, "EchoTime": 0.120},
    "FLAIR": {"SequenceName": "spc", "RepetitionTime": 5.0, "EchoTime": 0.392, "InversionTime": 1.8},
}  # fmt: skip
# The T1-weighted scan said to be what it is not.
LIE = {"SequenceName": "tfl", "RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9}  # fmt: skip
STEPS = 20  # of refining, as physldm reconstruct takes them
SPACING = 2
MIDDLE = 46  # slice of the pictures


def read(folder: Path, sidecars: dict) -> tuple[Reading, list[str]]:
    """The scans on the grid, and one line for each thing that was filled in."""
    with tempfile.TemporaryDirectory() as room:
        anat = Path(room) / "sub-07" / "anat"
        anat.mkdir(parents=True)
        for contrast, sidecar in sidecars.items():
            shutil.copy(folder / f"sub-07_{contrast}.nii.gz", anat)
            (anat / f"sub-07_{contrast}.json").write_text(json.dumps(sidecar))
        (session,) = find_sessions(Path(room))
        reading = read_session(session, SPACING)
    filled = [
        f"{c}: {note}" for c, s in reading.scans.items() for note in s.notes
    ]
    return reading, [*session.left_out, *filled, *reading.notes]


def lesions_of(folder: Path) -> torch.Tensor:
    """Where her lesions are, ``[S, H, W]``."""
    import nibabel as nib
    from nilearn.image import resample_img

    image = nib.load(folder / "sub-07_lesions.nii.gz")
    shape = tuple(n // SPACING for n in SHAPE_MM)
    moved = resample_img(
        image, box_affine(SPACING), shape, "nearest", force_resample=True
    )
    return to_slices(torch.from_numpy(np.float32(moved.get_fdata()))) > 0.5


def voxelwise(reading: Reading, gains: dict[str, float]) -> Reconstruction:
    """The MAP fit of chapter 04 in every voxel of MNI's brain, with its prior."""
    scans = at_usual_gain(reading, gains) / GAIN  # in units of PD
    where = average_brain(SPACING)[1].sum(1) > 0.9
    fits = [
        map_fit(s, reading.acquisitions, sigma=0.01, where=w, prior=Prior()).maps
        if w.any()
        else torch.zeros(3, *w.shape)
        for s, w in zip(scans, where, strict=True)
    ]
    return Reconstruction(torch.stack(fits), gains)


def described(found: Reconstruction, reading: Reading, places: dict) -> dict:
    """Medians of PD, T1 and T2 per tissue, the gains, and how far the maps, scanned again, are from each scan (%)."""
    values = {
        tissue: [
            round(x, 4)
            for x in found.maps.movedim(1, 0)[:, place].median(1).values.tolist()
        ]
        for tissue, place in places.items()
    }
    misfit = misfit_of(reading, found, SPACING)
    return {
        "gains": {c: round(g, 1) for c, g in found.gains.items()},
        "misfit": {c: round(m, 1) for c, m in misfit.items()},
        "median": values,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    run = Run(asked.run)
    reading, notes = read(asked.folder, SIDECARS)
    lying, _ = read(asked.folder, SIDECARS | {"T1w": LIE})
    lesions, (_, fractions) = lesions_of(asked.folder), average_brain(SPACING)
    inside = torch.stack(list(reading.stacks.values())).gt(0).all(0)
    # the average brain says roughly where tissue is; the inner part of each
    places = {
        "wm": inside & (fractions[:, 0] > 0.95) & ~lesions,
        "gm": inside & (fractions[:, 1] > 0.8) & ~lesions,
        "lesion": inside & lesions,
    }
    found = {
        "guess": reconstruct_session(run, reading, refine=0),
        "refined": reconstruct_session(run, reading, refine=STEPS),
        "voxelwise fit": voxelwise(reading, session_gains(reading, SPACING)),
    }
    lies = {
        "guess": reconstruct_session(run, lying, refine=0),
        "refined": reconstruct_session(run, lying, refine=STEPS),
    }
    refined = misfit_of(reading, found["refined"], SPACING)
    content = {
        "command": f"python book/real_patient.py FOLDER runs/{run.folder.name} --out {asked.out}",
        "steps": STEPS,
        "acquisitions": [str(a) for a in reading.acquisitions],
        "notes": [*notes, *doubts(run, reading, refined, run.protocols())],
        "bounds": {
            tissue: {p: round(b, 1) for p, b in row.items()}
            for tissue, row in knowable(reading.acquisitions).items()
        },
        "voxels": {tissue: int(place.sum()) for tissue, place in places.items()},
        "methods": {n: described(f, reading, places) for n, f in found.items()},
        "told an MPRAGE": {
            n: described(f, lying, places) for n, f in lies.items()
        },
    }
    asked.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
        shown = [reading.stacks[c][MIDDLE] for c in CONTRASTS]
        show_images(shown, CONTRASTS, own_scale=True).savefig(
            asked.pictures / "scans.png"
        )
        maps = {
            name: f.maps[MIDDLE] * inside[MIDDLE] for name, f in found.items()
        }
        show_maps(maps).savefig(asked.pictures / "maps.png")


if __name__ == "__main__":
    main()
