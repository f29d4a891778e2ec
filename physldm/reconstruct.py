"""From a session's scans to tissue maps: in which units the scans are, and where there is tissue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from physldm.box import box_affine
from physldm.config import REFINE, Gain
from physldm.data.alignment import Reading, read_session
from physldm.data.bids import new_dataset, write_maps
from physldm.data.foreground import tissue_of
from physldm.data.json_files import write_json
from physldm.data.phantom import GAIN, average_brain
from physldm.data.protocols import Family
from physldm.data.sessions import Session, find_sessions
from physldm.errors import InputError
from physldm.physics import CONTRASTS, Acquisition, signal, tissue_signal
from physldm.physics.identifiability import cramer_rao, tissue_values
from physldm.progress import progress, say
from physldm.runs import Run, read_facts

MOST_MISFIT = 15.0  # %; scans that the maps reproduce worse than that tell that the maps are wrong
LEAST_VOXELS = 200  # of the template's brain that a scan must reach for its gain to be estimated
# Of histograms of the logarithm of a scan's values: the width of a bin, the standard deviation they are smoothed by, and
# how far to either side of each other they are tried.
BIN, SMOOTH, TRIED = 0.02, 0.1, 1.2
NOISE = 0.01  # of a scan's brightest tissue: what the bounds are told for
MOST_BOUND = 100.0  # %; scans that know a property no better than that do not know it
SHOWN = {"wm": "white matter", "gm": "grey matter"}  # tissues whose bounds are told
NEAR = 1.1  # a setting counts as one that a run has seen if it is within a tenth of one, or of a range's end


class Reconstruction(NamedTuple):
    """What a session's scans say of its tissue.

    Attributes:
        maps: ``[S, 3, H, W]``: PD (about 1 in CSF), T1 (s), T2 (s); 0 where no scan has tissue.
        gains: scanner units per unit of PD that each contrast's scan was taken to have, or was found to have by refining.
    """

    maps: Float[Tensor, "S 3 H W"]
    gains: dict[str, float]


def reconstruct_dataset(
    run: Run, bids: Path, out: Path, gain: Gain | None = None, effective_te: float = 0.1, refine: int = REFINE
) -> None:
    """Maps of every session below ``bids`` as a BIDS derivative, there whole or not at all; says what it takes for what,
    what its protocol can know, and how well the maps explain the scans. The same stands in ``*_reconstruction.json``
    beside the maps.

    Args:
        run: a trained run.
        bids: a subject's folder, or a dataset, aligned to MNI.
        out: a new or empty folder.
        gain: see :func:`reconstruct_session`.
        effective_te: seconds; see :func:`physldm.data.sessions.find_sessions`.
        refine: steps on the code of each slice, 0 for the encoder's guess; see :meth:`physldm.runs.Run.explain`.

    Raises:
        InputError: the run has no VAE, ``out`` has files in it, or no scan can be used.
    """
    run.check()
    sessions, done, seen = find_sessions(bids, effective_te), 0, run.protocols()
    settings = {"gain": gain or default_gain(run), "effective_te": effective_te, "refine": refine}
    with new_dataset(out, f"physldm reconstruct, run {run.folder.name}", derivative=True) as root:
        for session in progress(sessions, desc="reconstructing", unit="session"):
            reading = read_session(session, run.config.data.spacing)
            filled = [f"{scan.file}: {note}" for scan in reading.scans.values() for note in scan.notes]
            notes = [*session.left_out, *filled, *reading.notes]
            for line in notes:
                say(line)
            if not any(stack.any() for stack in reading.stacks.values()):
                continue
            found, record = _explained(run, session, reading, settings, seen)
            visit = f"ses-{session.session}" if session.session else ""
            folder = root / f"sub-{session.subject}" / visit / "anat"
            write_maps(folder, session.name, found.maps, box_affine(run.config.data.spacing))
            record["notes"] = [*notes, *record["notes"]]
            write_json(folder / f"{session.name}_reconstruction.json", record)
            done += 1
        if not done:
            raise InputError(f"{bids}: found no scan that can be used; the lines above say why")


def _explained(
    run: Run,
    session: Session,
    reading: Reading,
    settings: Mapping,
    seen: Mapping[str, Sequence[Family]],
) -> tuple[Reconstruction, dict]:
    """A session's maps and the record beside them; says before what the protocol can know, and after how well they fit."""
    bounds = knowable([scan.acquisition for scan in reading.scans.values()])
    blind = blind_spots(session.name, bounds)
    for line in (_told(session.name, bounds), *blind):
        say(line)
    found = reconstruct_session(run, reading, settings["gain"], settings["refine"])
    misfit = misfit_of(reading, found, run.config.data.spacing)
    doubted = doubts(run, reading, misfit, seen)
    for line in (*doubted, *_summary(session.name, found.gains, misfit)):
        say(line)
    record = _record(run, session, reading, found.gains, misfit)
    return found, record | {"bounds": _finite(bounds), "settings": settings, "notes": [*blind, *doubted]}


def knowable(acquisitions: Sequence[Acquisition]) -> dict[str, dict[str, float]]:
    """What scans can know of one voxel of white and of grey matter at best: the Cramér–Rao bounds of PD, T1 and T2, %.

    Without any prior, for gains that are known and noise of 1 % of each scan's brightest tissue.

    Args:
        acquisitions: how the scans were taken, at least one.

    Returns:
        ``{"wm": {"pd": …, "t1": …, "t2": …}, "gm": …}``; infinite where they do not see a property at all.
    """
    brightest = [max(abs(tissue_signal(t, a)) for t in ("wm", "gm", "csf")) for a in acquisitions]
    sigma = NOISE * torch.tensor(brightest, dtype=torch.float64)
    found = 100 * cramer_rao(tissue_values(*SHOWN), acquisitions, sigma)
    return {
        tissue: dict(zip(("pd", "t1", "t2"), row, strict=True))
        for tissue, row in zip(SHOWN, found.tolist(), strict=True)
    }


def blind_spots(name: str, bounds: Mapping[str, Mapping[str, float]]) -> list[str]:
    """One line for each tissue of which the scans of a session do not know a property (see :func:`knowable`)."""
    lines = []
    for tissue, of in bounds.items():
        lost = [p.upper() for p, bound in of.items() if not bound <= MOST_BOUND]
        if lost:
            lines.append(
                f"{name}: these scans cannot tell {', '.join(lost)} of {SHOWN[tissue]} (bound above {MOST_BOUND:g} %): its "
                "maps say what the run was trained on"
            )
    return lines


def _told(name: str, bounds: Mapping[str, Mapping[str, float]]) -> str:
    parts = [
        f"{SHOWN[tissue]}'s " + ", ".join(f"{p.upper()} {b:.0f} %" for p, b in of.items())
        for tissue, of in bounds.items()
    ]
    return f"{name}: a voxel's Cramér–Rao bounds at {100 * NOISE:g} % noise: {'; '.join(parts)}"


def _finite(bounds: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Bounds for a file, which has no infinity."""
    return {
        tissue: {p: round(b, 1) if math.isfinite(b) else None for p, b in of.items()}
        for tissue, of in bounds.items()
    }


def _summary(name: str, gains: Mapping[str, float], misfit: Mapping[str, float]) -> list[str]:
    return [
        f"{name}: gains " + ", ".join(f"{c} {g:.3g}" for c, g in gains.items()),
        f"{name}: misfit of the scans " + ", ".join(f"{c} {m:.0f} %" for c, m in misfit.items()),
    ]


def _record(
    run: Run, session: Session, reading: Reading, gains: Mapping[str, float], misfit: Mapping[str, float]
) -> dict:
    """What a session's maps were made from, and how well they explain it."""
    scans = {
        c: {
            "file": scan.file.name,
            "acquisition": str(scan.acquisition),
            "gain": round(gains[c], 4),
            "misfit": round(misfit[c], 1),
        }
        for c, scan in reading.scans.items()
    }
    fingerprint = read_facts(run.folder)["data_fingerprint"]
    return {
        "session": session.name,
        "run": {"folder": str(run.folder.resolve()), "preset": run.config.preset, "data": fingerprint},
        "units": {
            "gain": "scanner units per unit of PD",
            "misfit": "%, median of |s - x| / x in the brain",
            "bounds": f"%, Cramer-Rao bound of a voxel, noise {100 * NOISE:g} % of each scan's brightest tissue, "
            "gains known; null: not seen at all",
        },
        "scans": scans,
    }


def doubts(
    run: Run, reading: Reading, misfit: Mapping[str, float], seen: Mapping[str, Sequence[Family]]
) -> list[str]:
    """One line for each reason not to believe a session's maps.

    Args:
        run: that made them.
        reading: the scans they were made from.
        misfit: see :func:`misfit_of`.
        seen: of each contrast the protocols of the run's training, see :meth:`physldm.runs.Run.protocols`.
    """
    lines = []
    for c, scan in reading.scans.items():
        if seen.get(c) and not any(family.covers(scan.acquisition, NEAR) for family in seen[c]):
            trained = "; ".join(map(str, seen[c]))
            lines.append(f"{scan.file}: {scan.acquisition}: the run never saw its like, but {trained}")
    absent = [c for c in CONTRASTS if c not in reading.scans]
    if absent and run.config.augment.subsets == 0:
        lines.append(
            f"{', '.join(absent)} missing: the run never practised to do without (augment.subsets = 0), its maps may be "
            "far off"
        )
    lines += [
        f"{reading.scans[c].file}: misfit {m:.0f} %, above {MOST_MISFIT:g} %: the maps do not explain this scan"
        for c, m in misfit.items()
        if not m <= MOST_MISFIT
    ]
    return lines


def default_gain(run: Run) -> Gain:
    """``none`` for a run that was trained on measured scans, else ``each``."""
    return "none" if read_facts(run.folder).get("measured") else "each"


def reconstruct_session(
    run: Run, reading: Reading, gain: Gain | None = None, refine: int = REFINE
) -> Reconstruction:
    """The maps that a run finds for a session's scans.

    Args:
        run: a trained run.
        reading: the scans on the run's grid, at least one.
        gain: see :func:`session_gains`; by default see :func:`default_gain`. With ``each`` refining moves the gains, too.
        refine: see :meth:`physldm.runs.Run.explain`.

    Raises:
        InputError: the run has no VAE, or a gain cannot be estimated.
    """
    gain = gain or default_gain(run)
    gains = session_gains(reading, run.config.data.spacing, gain)
    scans = at_usual_gain(reading, gains)
    tissue = torch.stack([tissue_of(stack) for stack in reading.stacks.values()]).any(0)
    there = tissue & (scans > 0).any(1)
    reach = scans.flatten(2).any(2)
    some, maps = reach.any(1), torch.zeros(len(scans), 3, *scans.shape[2:])
    maps[some], factors = run.explain(
        scans[some],
        reading.acquisitions,
        reach[some],
        refine=refine,
        spread=run.gain_spread if gain == "each" else 0.0,
    )
    gains = {c: gains[c] * factors[CONTRASTS.index(c)].item() for c in gains}
    return Reconstruction(in_units_of_pd(maps) * there[:, None], gains)


def misfit_of(reading: Reading, found: Reconstruction, spacing: int) -> dict[str, float]:
    """How far the maps, scanned again, are from each scan: the median of |s − x| / x in the brain, %.

    Args:
        reading: the scans on the grid.
        found: their maps and gains.
        spacing: voxel size of the grid, mm.
    """
    brain, misfit = _brain(spacing), {}
    for c, stack in reading.stacks.items():
        where = brain & tissue_of(stack) & (stack > 0)
        again = signal(found.maps.movedim(1, 0)[:, where][:, None], reading.scans[c].acquisition).abs()[0]
        misfit[c] = 100 * ((found.gains[c] * again - stack[where]).abs() / stack[where]).median().item()
    return misfit


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
    """Scanner units per unit of PD: the factor by which the histogram of the average brain, scanned alike, comes to lie
    best over the scan's.

    A scan alone cannot tell gain from PD; this takes the subject's tissues for average ones. How much there is of each, and
    whether the fluid around the brain was cut away, moves a median; the place of the histogram's peaks it does not. Both
    histograms are of the voxels of MNI's brain where the scan has tissue, over the logarithm of their values, each weighted
    by its value so that dark fluid counts for little; the overlap is Σ √(p q) (Bhattacharyya 1943). Every sequence has its
    own gain, as most scanners tune their receiver for each.

    Args:
        scan: on the grid of the box.
        acquisition: how it was taken.
        spacing: voxel size, mm.

    Raises:
        InputError: the scan has hardly any tissue where MNI's brain is.
    """
    where = _brain(spacing) & tissue_of(scan) & (scan > 0)
    if where.sum() < LEAST_VOXELS:
        raise InputError(
            f"gain: found {int(where.sum())} voxels of the scan with tissue in MNI's brain, expected {LEAST_VOXELS} or "
            "more; --gain none takes the scans as they are"
        )
    maps, _ = average_brain(spacing)
    found, expected = scan[where].double().numpy(), signal(maps, acquisition).abs()[where].double().numpy()
    # each about its own median, so that scans of one brain differ by nothing
    histograms = [_log_histogram(values / np.median(values)) for values in (found, expected)]
    steps = range(-round(TRIED / BIN), round(TRIED / BIN) + 1)
    overlap = [np.sqrt(histograms[0] * np.roll(histograms[1], step)).sum() for step in steps]
    further = BIN * steps[int(np.argmax(overlap))]
    return float(np.median(found) / np.median(expected) * np.exp(further))


def _brain(spacing: int) -> Bool[Tensor, "S H W"]:
    """Where MNI's average brain is."""
    return average_brain(spacing)[1].sum(1) > 0.9


def _log_histogram(values: np.ndarray) -> np.ndarray:
    """Of the logarithm, each value counted by its size, smoothed, of sum 1; six powers of e to either side of 1."""
    edges = np.arange(-6, 6 + BIN / 2, BIN)
    counts, _ = np.histogram(np.log(np.maximum(values, 1e-9)), edges, weights=values)
    smooth = gaussian_filter1d(counts, SMOOTH / BIN)
    return smooth / smooth.sum()


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
