"""From a session's scans to tissue maps: in which units the scans are, and where there is tissue."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.box import box_affine
from physldm.config import Gain
from physldm.data.alignment import Reading, read_session
from physldm.data.bids import new_dataset, write_maps
from physldm.data.phantom import GAIN, average_brain
from physldm.data.sessions import find_sessions
from physldm.errors import InputError
from physldm.physics import CONTRASTS, Acquisition, signal
from physldm.progress import progress, say
from physldm.runs import Run, read_facts


class Reconstruction(NamedTuple):
    """What a session's scans say of its tissue.

    Attributes:
        maps: ``[S, 3, H, W]``: PD (about 1 in CSF), T1 (s), T2 (s); 0 where no scan has anything.
        gains: scanner units per unit of PD that each contrast's scan was taken to have.
    """

    maps: Float[Tensor, "S 3 H W"]
    gains: dict[str, float]


def reconstruct_dataset(
    run: Run, bids: Path, out: Path, gain: Gain | None = None, effective_te: float = 0.1
) -> None:
    """Maps of every session below ``bids`` as a BIDS derivative, there whole or not at all; says what it takes for what.

    Args:
        run: a trained run.
        bids: a subject's folder, or a dataset, aligned to MNI.
        out: a new or empty folder.
        gain: see :func:`reconstruct_session`.
        effective_te: seconds; see :func:`physldm.data.sessions.find_sessions`.

    Raises:
        InputError: the run has no VAE, ``out`` has files in it, or no scan can be used.
    """
    run.check()
    sessions, done = find_sessions(bids, effective_te), 0
    with new_dataset(out, f"physldm reconstruct, run {run.folder.name}", derivative=True) as root:
        for session in progress(sessions, desc="reconstructing", unit="session"):
            reading = read_session(session, run.config.data.spacing)
            filled = [f"{scan.file}: {note}" for scan in reading.scans.values() for note in scan.notes]
            for line in (*session.left_out, *filled, *reading.notes):
                say(line)
            if not reading.stacks:
                continue
            maps, gains = reconstruct_session(run, reading, gain)
            visit = f"ses-{session.session}" if session.session else ""
            folder = root / f"sub-{session.subject}" / visit / "anat"
            write_maps(folder, session.name, maps, box_affine(run.config.data.spacing))
            say(f"{session.name}: gains " + ", ".join(f"{c} {g:.3g}" for c, g in gains.items()))
            done += 1
        if not done:
            raise InputError(f"{bids}: found no scan that can be used; the lines above say why")


def reconstruct_session(run: Run, reading: Reading, gain: Gain | None = None) -> Reconstruction:
    """The maps that a run finds for a session's scans.

    Args:
        run: a trained run.
        reading: the scans on the run's grid, at least one.
        gain: see :func:`session_gains`; by default ``none`` for a run that was trained on measured scans, else ``each``.

    Raises:
        InputError: the run has no VAE.
    """
    gain = gain or ("none" if read_facts(run.folder).get("measured") else "each")
    gains = session_gains(reading, run.config.data.spacing, gain)
    scans = at_usual_gain(reading, gains)
    maps = in_units_of_pd(run.reconstruct(scans, reading.acquisitions))
    # where no scan has anything there is no tissue
    return Reconstruction(maps * (scans > 0).any(1, keepdim=True), gains)


def session_gains(reading: Reading, spacing: int, gain: Gain = "each") -> dict[str, float]:
    """Scanner units per unit of PD of every scan of a session.

    Args:
        reading: the scans on the grid.
        spacing: its voxel size, mm.
        gain: ``each`` estimates one for each scan, ``common`` one for all (the geometric mean); ``none`` says that the
            scans are in the units of training.
    """
    if gain == "none":
        return dict.fromkeys(reading.stacks, GAIN)
    gains = {
        c: estimate_gain(stack, reading.scans[c].acquisition, spacing) for c, stack in reading.stacks.items()
    }
    if gain == "common":
        return dict.fromkeys(gains, torch.tensor(list(gains.values())).log().mean().exp().item())
    return gains


def estimate_gain(scan: Float[Tensor, "S H W"], acquisition: Acquisition, spacing: int) -> float:
    """Scanner units per unit of PD: the scan's median in MNI's brain over that of the average brain, scanned alike.

    A scan alone cannot tell gain from PD; this takes the subject's brain for an average one. It does so for every
    sequence by itself, as most scanners tune their receiver for each.

    Args:
        scan: on the grid of the box.
        acquisition: how it was taken.
        spacing: voxel size, mm.
    """
    maps, fractions = average_brain(spacing)
    brain = (fractions.sum(1) > 0.9) & (scan > 0).any((1, 2))[:, None, None]
    return (scan[brain].median() / signal(maps, acquisition).abs()[brain].median()).item()


def at_usual_gain(reading: Reading, gains: dict[str, float]) -> Float[Tensor, "S 3 H W"]:
    """The scans of a session in the units of made-up ones, T1w, T2w, FLAIR; 0 where one is absent.

    Args:
        reading: the scans on the grid, at least one.
        gains: of each scan, scanner units per unit of PD.
    """
    absent = torch.zeros_like(next(iter(reading.stacks.values())))
    scans = [reading.stacks[c] * (GAIN / gains[c]) if c in gains else absent for c in CONTRASTS]
    return torch.stack(scans, 1)


def in_units_of_pd(maps: Float[Tensor, "*batch 3 H W"]) -> Float[Tensor, "*batch 3 H W"]:
    """Maps with PD in units of PD, about 1 in CSF, of those with PD in scanner units, as networks give them."""
    return maps / torch.tensor([GAIN, 1.0, 1.0])[:, None, None]
