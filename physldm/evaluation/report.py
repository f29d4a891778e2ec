"""All scores of a run on its held-out subjects, as one flat dictionary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from physldm.config import Scored
from physldm.data.slices import Batch, SliceStore
from physldm.errors import InputError
from physldm.models.refine import refined
from physldm.models.vae import VaeOutput
from physldm.physics import CONTRASTS
from physldm.progress import progress
from physldm.runs import Run

from .contrasts import code_shift, gain_field, subset_psnr, unseen_psnr, with_gain
from .image import fixed_protocol, paper_protocol
from .protocols import protocol_scores
from .scores import mdape, mean_of_rows
from .tissue import (
    brain_mask,
    class_median_maps,
    class_medians,
    correlations,
    own_median_maps,
    relative_errors,
)
from .unkind import unkind_scores


@torch.no_grad()
def evaluate(
    run: Run,
    store: SliceStore | None = None,
    split: Scored = "heldout",
    unkind: bool = False,
    refine: int = 0,
) -> dict[str, float]:
    """Reconstruction and truth scores, each a mean over sessions (medians over their voxels).

    Args:
        run: to score.
        store: by default the run's own.
        split: whose sessions: ``heldout``, or ``choose``, those that settings are chosen by.
        unkind: whether they are scanned less kindly, too: :func:`physldm.evaluation.unkind.unkind_scores`.
        refine: at most so many steps on every code before it is decoded, see :func:`physldm.models.refine.refined`;
            ``subset.*``, ``shift.*`` and ``unkind.*`` stay with the encoder's guess.

    Returns:
        ``paper.*`` and ``fixed.*`` (also per contrast, ``fixed.psnr.T1w``; ``fixed`` is the mean of its contrasts,
        ``paper`` scores them together, in slices that have all scans of their session); where truth is known
        ``truth.t1_mdape`` (also per tissue, ``truth.t1_mdape.wm``), ``class_median.*`` alike, ``own_median.*`` of who knows
        the person's own medians, ``truth.t1_correlation.wm`` of found and true inside pure tissue, ``share.*`` the % of
        brain voxels scored as a tissue; ``subset.T1w+FLAIR.psnr.T2w``, from every subset of the scans; where the truth
        makes one tissue a voxel ``truth.pd_smooth_*``, of PD with the coil's field divided out, ``unseen.psnr``, of
        contrasts that were not taken, and ``shift``, how far a code moves with the protocol; and ``protocols.t1_mdape.wm.median`` and ``.worst`` of 25 protocols that are drawn as
        training may draw them, ``protocols_edge`` of 10 at the ends of that, ``protocols_new`` of 5 with a sequence that
        no training sees, see :func:`physldm.evaluation.protocols.protocol_scores`. In sessions where it is not,
        ``fixed`` compares with the measured scan, where there is signal.

    Raises:
        InputError: the split has no session, or the store's slices have another voxel size than the run's.
    """
    run.check()  # what is wrong with either is said before any bar is drawn
    store = store or run.store
    if not (sessions := store.sessions(split)):
        raise InputError(f"{store.folder}: split: found no session of {split}, expected at least one")
    if store.spacing != run.config.data.spacing:
        raise InputError(
            f"{store.folder}: spacing: found {store.spacing} mm, expected {run.config.data.spacing} mm as in {run.folder}"
        )
    scores = _as_scanned(run, store, sessions, refine)
    scores |= _other_scans(run, store, sessions, unkind, refine)
    scores["sessions"] = len(sessions)
    return dict(sorted(scores.items()))


def _as_scanned(run: Run, store: SliceStore, sessions: list[int], refine: int) -> dict[str, float]:
    """Scores of the scans as the store has them: means over sessions, and over contrasts."""
    medians = _training_medians(store, store.partial_volume)
    bar = progress(sessions, desc="evaluating", unit="session")
    rows = [_session(run, store, session, medians, refine) for session in bar]
    scores = mean_of_rows(rows)
    for metric in ("mse", "mae", "psnr", "ms_ssim"):
        found = [scores[f"fixed.{metric}.{c}"] for c in CONTRASTS if f"fixed.{metric}.{c}" in scores]
        scores[f"fixed.{metric}"] = _mean(found)
    if unseen := [v for k, v in scores.items() if k.startswith("unseen.psnr.")]:
        scores["unseen.psnr"] = _mean(unseen)
    return scores


def _other_scans(
    run: Run, store: SliceStore, sessions: list[int], unkind: bool, refine: int
) -> dict[str, float]:
    """The same people scanned in other ways than they were, where the truth makes one tissue a voxel."""
    if store.partial_volume != "properties":
        return {}
    true = [s for s in sessions if store.has_truth(s) and all(store.protocol(s))]
    scores = protocol_scores(lambda batch: _explained(run, batch, refine).scanner_maps, store, true)
    if unkind:
        medians = _training_medians(store, "signals")
        scores |= unkind_scores(lambda batch: _rebuilt(run, batch), store, run.config, true, medians)
    return scores


def _training_medians(store: SliceStore, partial_volume: str) -> torch.Tensor | None:
    """What the class-median predictor fills in, from the training subjects whose maps are known."""
    known = [s for s in store.sessions("train") if store.has_truth(s)]
    if not known:
        return None
    slices = np.concatenate([store.of_session(s) for s in known])
    return class_medians(*(store.array(a, slices) for a in ("maps", "fractions")), partial_volume)


def _explained(run: Run, batch: Batch, refine: int) -> VaeOutput:
    """What a run makes of scans: by its encoder's guess, or by the code that steps lead to from there."""
    guess = run.vae(batch.images, batch.acquisitions, batch.mask)
    if not refine:
        return guess
    given = batch.images, batch.acquisitions, batch.mask
    code, own = refined(run.vae, *given, run.config.loss, refine, run.gain_spread)
    log_gain = guess.log_gain + own
    o, maps, made = run.vae.explain(code, log_gain, batch.acquisitions)
    return replace(guess, mean=code, o=o, maps=maps, reconstruction=made, log_gain=log_gain)


def _rebuilt(run: Run, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    output = _explained(run, batch, refine=0)
    return output.scanner_maps, output.reconstruction


def _paper(pred: torch.Tensor, scans: torch.Tensor, of: str = "") -> dict[str, float]:
    return {f"paper.{metric}{of}": value for metric, value in paper_protocol(pred, scans).items()}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _session(
    run: Run, store: SliceStore, session: int, medians: torch.Tensor | None, refine: int
) -> dict[str, float]:
    slices, vae = store.of_session(session), run.vae
    batch = store.batch(slices)
    output = _explained(run, batch, refine)
    maps = output.scanner_maps
    has_truth = store.has_truth(session)
    if not has_truth:
        target, inside = batch.images, batch.images.amax(1) > 0.1 * output.scale.amax(1)[:, None, None]
    else:
        target, truth, fractions = (store.array(a, slices) for a in ("clean", "maps", "fractions"))
        inside = brain_mask(fractions)
    row = {}
    for n, contrast in enumerate(CONTRASTS):
        here = batch.mask[:, n]
        if not here.any():
            continue
        found = fixed_protocol(output.reconstruction[here, n], target[here, n], inside[here])
        row |= {f"fixed.{metric}.{contrast}": value for metric, value in found.items()}
        row |= _paper(output.reconstruction[here, n : n + 1], batch.images[here, n : n + 1], f".{contrast}")
    there = batch.mask.any(0)
    whole = batch.mask[:, there].all(1)
    if whole.any():
        row |= _paper(output.reconstruction[whole][:, there], batch.images[whole][:, there])
    row |= subset_psnr(vae, batch, target, inside)
    if not has_truth:
        return row
    if store.partial_volume == "properties":
        field = gain_field(target, truth, batch.acquisitions)
        scanned = with_gain(truth, field)
        row |= unseen_psnr(maps, truth, field, inside) | code_shift(vae, scanned)
        row |= _without_field(maps, scanned, fractions)
    return row | _truth(maps, truth, fractions, medians, store.partial_volume)


def _truth(
    maps: torch.Tensor,
    truth: torch.Tensor,
    fractions: torch.Tensor,
    medians: torch.Tensor | None,
    partial_volume: str,
) -> dict[str, float]:
    """How far the maps are from the truth, and those who only know the tissue, of all people or of this one."""
    predictions = {"truth": maps, "own_median": own_median_maps(truth, fractions)}
    if medians is not None:
        predictions["class_median"] = class_median_maps(fractions, medians)
    row = {f"truth.{key}": value for key, value in correlations(maps, truth, fractions).items()}
    for name, found in predictions.items():
        errors = relative_errors(found, truth, fractions, partial_volume)
        row |= {f"{name}.{key}": value for key, value in mdape(errors).items()}
    voxels = int(brain_mask(fractions).sum())
    scored = {key.removeprefix("t1."): len(e) for key, e in errors.items() if key.startswith("t1.")}
    return row | {f"share.{tissue}": 100 * n / voxels for tissue, n in scored.items() if n}


def _without_field(maps: torch.Tensor, scanned: torch.Tensor, fractions: torch.Tensor) -> dict[str, float]:
    """PD against the true one under the coil's field, which is what the scans have: as if it were divided out of both."""
    found = mdape(relative_errors(maps, scanned, fractions)) | correlations(maps, scanned, fractions)
    return {
        f"truth.{key.replace('pd_', 'pd_smooth_')}": v for key, v in found.items() if key.startswith("pd_")
    }
