"""All scores of a run on its held-out subjects, as one flat dictionary."""

from __future__ import annotations

import torch
from tqdm.auto import tqdm

from physldm.data.phantom import CONTRASTS
from physldm.data.slices import SliceStore
from physldm.models import PhysicsVAE
from physldm.runs import Run

from .image import fixed_protocol, paper_protocol
from .tissue import brain_mask, class_median_maps, class_medians, relative_errors


@torch.inference_mode()
def evaluate(run: Run, store: SliceStore | None = None) -> dict[str, float]:
    """Reconstruction and truth scores, each a mean over held-out subjects (medians over their voxels).

    Returns:
        ``paper.*`` and ``fixed.*`` (also per contrast, ``fixed.psnr.T1w``), ``truth.t1_mdape`` (also per tissue,
        ``truth.t1_mdape.wm``), ``class_median.*`` alike, ``share.*`` the % of brain voxels scored as a tissue.
    """
    vae, store = run.vae, store or run.store  # what is wrong with either is said before any bar is drawn
    if not store.subjects("heldout"):
        raise ValueError(f"{store.folder}: found no held-out subject, expected at least one")
    medians = class_medians(*(store.array(a, store.slices("train")) for a in ("maps", "fractions")))
    rows = [
        _subject(vae, store, subject, medians)
        for subject in tqdm(store.subjects("heldout"), desc="evaluating", unit="subject")
    ]
    scores = {
        key: _mean([row[key] for row in rows if key in row]) for key in sorted({k for r in rows for k in r})
    }
    for protocol in ("paper", "fixed"):
        for metric in ("mse", "mae", "psnr", "ms_ssim"):
            scores[f"{protocol}.{metric}"] = _mean([scores[f"{protocol}.{metric}.{c}"] for c in CONTRASTS])
    scores["subjects"] = len(rows)
    return dict(sorted(scores.items()))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _subject(vae: PhysicsVAE, store: SliceStore, subject: int, medians: torch.Tensor) -> dict[str, float]:
    slices = store.of_subject(subject)
    batch = store.batch(slices)
    clean, truth, fractions = (store.array(a, slices) for a in ("clean", "maps", "fractions"))
    output = vae(batch.images, batch.acquisitions)
    brain = brain_mask(fractions)
    row = {}
    for n, contrast in enumerate(CONTRASTS):
        s = output.reconstruction[:, n]
        for protocol, found in (
            ("paper", paper_protocol(s, batch.images[:, n])),
            ("fixed", fixed_protocol(s, clean[:, n], brain)),
        ):
            row |= {f"{protocol}.{metric}.{contrast}": value for metric, value in found.items()}
    predictions = {"truth": output.maps, "class_median": class_median_maps(fractions, medians)}
    for name, maps in predictions.items():
        for key, errors in relative_errors(maps, truth, fractions).items():
            if len(errors):
                quantity, _, tissue = key.partition(".")
                row[f"{name}.{quantity}_mdape{'.' + tissue if tissue else ''}"] = errors.median().item()
                if tissue and name == "truth" and quantity == "t1":
                    row[f"share.{tissue}"] = 100 * len(errors) / int(brain.sum())
    return row
