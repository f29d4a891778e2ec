"""A real patient through the networks and the voxelwise fit: the numbers of chapter 18, and pictures for you alone.

The scans are public (Lesjak et al. 2017, CC-BY, patient 07 of the Ljubljana MS data in MNI space) and not part of this
project: put sub-07_T1w, _T2w, _FLAIR and _lesions.nii.gz into a folder and call

    python book/real_patient.py FOLDER runs/laptop runs/heads --out book/results/real-patient.json --pictures FOLDER
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
from physldm.data.alignment import read_session
from physldm.data.phantom import GAIN
from physldm.data.sessions import find_sessions
from physldm.physics import CONTRASTS, signal
from physldm.physics.identifiability import Prior, map_fit
from physldm.reconstruct import at_usual_gain, reconstruct_session, session_gains
from physldm.runs import Run
from physldm.show import show_images, show_maps

# As remembered, not read at the source; the header of the 3-D FLAIR's train is not its contrast (effective TE 0.1 s).
SIDECARS = {
    "T1w": {"ScanningSequence": "IR\\SE", "SequenceName": "tir", "RepetitionTime": 2.0, "EchoTime": 0.020, "InversionTime": 0.8},
    "T2w": {"SequenceName": "tse", "RepetitionTime": 6.0, "EchoTime": 0.120},
    "FLAIR": {"SequenceName": "spc", "RepetitionTime": 5.0, "EchoTime": 0.392, "InversionTime": 1.8},
}  # fmt: skip
SPACING = 2
MIDDLE = 46  # slice of the pictures


def patient(folder: Path):
    """The scans on the grid, and where the lesions are ``[S, H, W]``."""
    import nibabel as nib
    from nilearn.image import resample_img

    with tempfile.TemporaryDirectory() as room:
        anat = Path(room) / "sub-07" / "anat"
        anat.mkdir(parents=True)
        for contrast, sidecar in SIDECARS.items():
            shutil.copy(folder / f"sub-07_{contrast}.nii.gz", anat)
            (anat / f"sub-07_{contrast}.json").write_text(json.dumps(sidecar))
        (session,) = find_sessions(Path(room))
        reading = read_session(session, SPACING)
    print(*session.left_out, *reading.notes, sep="\n")
    image = nib.load(folder / "sub-07_lesions.nii.gz")
    shape = tuple(n // SPACING for n in SHAPE_MM)
    moved = resample_img(
        image, box_affine(SPACING), shape, "nearest", force_resample=True
    )
    lesions = to_slices(torch.from_numpy(np.float32(moved.get_fdata()))) > 0.5
    return reading, lesions


def voxelwise(scans, acquisitions, where) -> torch.Tensor:
    """The MAP fit of every slice, ``[S, 3, H, W]``."""
    fits = [
        map_fit(s, acquisitions, sigma=0.01, where=w, prior=Prior()).maps
        if w.any()
        else torch.zeros(3, *w.shape)
        for s, w in zip(scans, where, strict=True)
    ]
    return torch.stack(fits)


def described(maps, scans, acquisitions, places) -> dict:
    """Medians of PD, T1 and T2 per tissue, and how well the scans are reproduced, in % of each one's median."""
    values = {
        tissue: [
            round(x, 4)
            for x in maps.movedim(1, 0)[:, place].median(1).values.tolist()
        ]
        for tissue, place in places.items()
    }
    brain = places["brain"]
    misfit = {}
    for n, (contrast, a) in enumerate(zip(CONTRASTS, acquisitions, strict=True)):
        found, true = signal(maps, a).abs()[brain], scans[:, n][brain]
        misfit[contrast] = round(
            100 * ((found - true).abs().median() / true.median()).item(), 1
        )
    return {"median": values, "misfit": misfit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    reading, lesions = patient(asked.folder)
    gains, acquisitions = session_gains(reading, SPACING), reading.acquisitions
    scans = at_usual_gain(reading, gains) / GAIN  # in units of PD
    _, fractions = average_brain(SPACING)
    inside = (scans > 0).all(1)
    # the average brain says roughly where tissue is; the inner part of each
    places = {
        "wm": inside & (fractions[:, 0] > 0.95) & ~lesions,
        "gm": inside & (fractions[:, 1] > 0.8) & ~lesions,
        "lesion": inside & lesions,
        "brain": inside & (fractions.sum(1) > 0.9),
    }
    found = {
        run.name: reconstruct_session(Run(run), reading, "each").maps
        for run in asked.runs
    }
    found["voxelwise fit"] = voxelwise(scans, acquisitions, places["brain"])
    content = {
        "acquisitions": [str(a) for a in acquisitions],
        "gains": {c: round(g, 1) for c, g in gains.items()},
        "voxels": {tissue: int(place.sum()) for tissue, place in places.items()},
        "methods": {
            name: described(maps, scans, acquisitions, places)
            for name, maps in found.items()
        },
    }
    asked.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
        show_images(list(scans[MIDDLE]), CONTRASTS, own_scale=True).savefig(
            asked.pictures / "scans.png"
        )
        maps = {name: m[MIDDLE] * inside[MIDDLE] for name, m in found.items()}
        show_maps(maps).savefig(asked.pictures / "maps.png")


if __name__ == "__main__":
    main()
