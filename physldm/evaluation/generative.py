"""Whether drawn brains are like real ones: as a set of pictures, and in the tissue they are made of."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from physldm.data.anatomy import CLASSES
from physldm.data.slices import SliceStore
from physldm.errors import InputError
from physldm.physics import Acquisition, signal
from physldm.progress import progress

from .perceptual import activations

# How every brain is scanned before it is looked at, drawn or real: one usual protocol.
PROTOCOL = (
    Acquisition("mprage", te=0.0032, tr=2.4, ti=1.0),
    Acquisition("spin_echo", te=0.1, tr=3.2),
    Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
)
LAYERS = (1, 4)  # of AlexNet's five: edges and textures, and what is made of them
AT_ONCE = 32  # images
SURE = 0.9  # a voxel that is this much of one tissue teaches the classifier
AIR = 0.1  # of an image's white; where T1w and T2w are darker there is no brain
NOISE = 0.03  # of white: no tissue is told by less than a scan's noise
TISSUES = ("wm", "gm", "csf")


def scans(maps: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """T1w, T2w and FLAIR of tissue maps by ``PROTOCOL``, magnitudes, each divided by its 99.5th percentile.

    Args:
        maps: PD (any unit), T1 (s), T2 (s).
    """
    images = torch.stack([signal(maps, acquisition, magnitude=True) for acquisition in PROTOCOL], 1)
    return images / images.flatten(2).quantile(0.995, dim=2).clamp_min(1e-9)[..., None, None]


def features(maps: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 448"]:
    """What AlexNet sees in the T1w image of each brain: the mean activation of every channel of two of its layers.

    The extractor of the usual FID is another network that was trained on photographs, Inception.

    Args:
        maps: PD (any unit), T1 (s), T2 (s).

    Raises:
        InputError: AlexNet has not been fetched.
    """
    rows = []
    for part in maps.split(AT_ONCE):
        seen = activations(2 * scans(part)[:, :1] - 1)
        rows.append(torch.cat([seen[layer].mean((2, 3)) for layer in LAYERS], 1))
    return torch.cat(rows).double()


def frechet_distance(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> float:
    """How far apart two sets of features are, each taken for a bell curve (Heusel et al. 2017: FID).

    Equation: eq-frechet. Few samples look farther away than they are, so compare sets of equal size.

    Args:
        a: one set, a row a sample.
        b: the other.

    Raises:
        ValueError: a set of fewer than two, or features of different length.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"a, b: found shapes {tuple(a.shape)}, {tuple(b.shape)}, expected [N, D], [M, D] with N, M of at least 2"
        )
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), torch.cov(x.T)) for x in (a.double(), b.double()))
    # ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a^½ Σ_b Σ_a^½)^½)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    both = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    return ((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * both).item()


def frechet_interval(
    drawn: Float[Tensor, "N D"], real: Float[Tensor, "M D"], draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """The middle 95 % of :func:`frechet_distance` when the drawn set is itself drawn anew, with repeats (bootstrap).

    Repeats add nothing new, so the whole interval lies too high: compare with it only what was bootstrapped, too. A
    distance above its upper end is surely larger; of one below nothing follows.

    Args:
        drawn: the set that is drawn anew.
        real: the set that stays.
        draws: how many times.
        seed: of the draws.
    """
    draw = torch.Generator().manual_seed(seed)
    found = [
        frechet_distance(drawn[torch.randint(len(drawn), (len(drawn),), generator=draw)], real)
        for _ in progress(range(draws), desc="bootstrap", unit="draw")
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def told_apart(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"], folds: int = 5) -> float:
    """How well a logistic regression tells two sets of features apart (Lopez-Paz and Oquab 2017: classifier two-sample test).

    Each part of both sets is judged by a classifier that has learned from the other parts. Parts are cut in the order of
    the rows: where these go person by person, hardly anybody is judged by what was learned from himself. Few samples of
    many features are told apart worse, so compare sets of equal size, and hold the AUC against that of two sets of one kind.

    Args:
        a: one set, a row a sample.
        b: the other.
        folds: in how many parts they are cut.

    Returns:
        The area under the ROC curve: the share of pairs, one of each set, that are put in the right order. 0.5 where nothing
        tells them apart, 1 where everything does.

    Raises:
        ValueError: features of different length, or a set with fewer samples than parts.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < folds:
        raise ValueError(
            f"a, b: found shapes {tuple(a.shape)}, {tuple(b.shape)}, expected [N, D], [M, D] with N, M of at least {folds}"
        )
    rows, which = torch.cat([a, b]).numpy(), np.repeat([0, 1], [len(a), len(b)])
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    said = cross_val_predict(judge, rows, which, cv=folds, method="decision_function")
    return float(roc_auc_score(which, said))


def precision_recall(
    drawn: Float[Tensor, "N D"], real: Float[Tensor, "M D"], neighbours: int = 3
) -> tuple[float, float]:
    """The shares of drawn samples among the real ones, and of real among the drawn (Kynkäänniemi et al. 2019).

    A sample is among others if it is no farther from one of them than that one's third neighbour of its own kind. Low
    precision: much is drawn that is not real. Low recall: much that is real is never drawn.

    Args:
        drawn: features, a row a sample.
        real: features of as many real ones, better.
        neighbours: which neighbour bounds.

    Returns:
        Precision and recall, 0 to 1.
    """

    def among(points: Tensor, others: Tensor) -> float:
        # the nearest of all is a sample itself
        reach = torch.cdist(others, others).kthvalue(neighbours + 1, dim=1).values
        return (torch.cdist(points, others) <= reach).any(1).double().mean().item()

    return among(drawn, real), among(real, drawn)


class TissueClassifier:
    """Names each voxel's tissue from its brightness in T1w, T2w and FLAIR: one bell curve in three dimensions for each
    of white matter, grey matter and CSF (quadratic discriminant analysis).

    Args:
        store: its training slices teach it whose truth is known.

    Raises:
        InputError: there are none.
    """

    def __init__(self, store: SliceStore):
        slices = _with_truth(store, "train")
        voxels, names = [], []
        for part in np.array_split(slices, max(1, len(slices) // AT_ONCE)):
            images, labels = _known(store, part)
            for number in range(len(TISSUES)):
                found = images.movedim(1, -1)[labels == number]
                voxels.append(found[:: max(1, len(found) // 2000)])
                names.append(torch.full((len(voxels[-1]),), number))
        self._rule = QuadraticDiscriminantAnalysis(reg_param=NOISE**2).fit(
            torch.cat(voxels).numpy(), torch.cat(names).numpy()
        )

    def __call__(self, maps: Float[Tensor, "B 3 H W"]) -> Int[Tensor, "B H W"]:
        """The tissue of each voxel of these brains, as its number in ``TISSUES``; −1 in air.

        Args:
            maps: PD (any unit), T1 (s), T2 (s).
        """
        images = scans(maps)
        head = (images[:, :2] > AIR).any(1)
        labels = torch.full(head.shape, -1)
        if head.any():
            labels[head] = torch.from_numpy(self._rule.predict(images.movedim(1, -1)[head].numpy()))
        return labels

    def dice(self, store: SliceStore) -> dict[str, float]:
        """How well it does on held-out subjects: 2 |A ∩ B| / (|A| + |B|) of each tissue, where one fills most of a voxel."""
        hits = dict.fromkeys(TISSUES, (0, 0))
        slices = _with_truth(store, "heldout")
        for part in np.array_split(slices, max(1, len(slices) // AT_ONCE)):
            truth = _majority(store.array("fractions", part), 0.5)
            found = self(store.array("maps", part)).masked_fill(truth < 0, -1)
            for number, tissue in enumerate(TISSUES):
                a, b = found == number, truth == number
                both, sizes = hits[tissue]
                hits[tissue] = both + int((a & b).sum()), sizes + int(a.sum() + b.sum())
        return {tissue: 2 * both / sizes for tissue, (both, sizes) in hits.items()}

    def medians(self, maps: Float[Tensor, "B 3 H W"]) -> dict[str, float]:
        """Median T1 and T2 (s) of white and grey matter as it finds them: ``t1.wm`` and so on.

        Args:
            maps: PD (any unit), T1 (s), T2 (s).
        """
        labels = self(maps)
        return {
            f"{name}.{tissue}": maps[:, i][labels == number].median().item()
            for number, tissue in enumerate(TISSUES[:2])
            for i, name in ((1, "t1"), (2, "t2"))
        }


def _majority(fractions: Float[Tensor, "B K H W"], share: float) -> Int[Tensor, "B H W"]:
    """The number in ``TISSUES`` of what fills at least ``share`` of a voxel; −1 where none does."""
    places = [CLASSES.index(tissue) for tissue in TISSUES]
    most, number = fractions[:, places].max(1)
    return number.masked_fill(most < share, -1)


def _with_truth(store: SliceStore, split: str) -> np.ndarray:
    """Numbers of the slices of a split whose maps are known."""
    known = [store.of_session(s) for s in store.sessions(split) if store.has_truth(s)]
    if not known:
        raise InputError(
            f"{store.folder}: truth: found none in {split}, expected at least one session with maps"
        )
    return np.concatenate(known)


def _known(store: SliceStore, slices: np.ndarray) -> tuple[Tensor, Tensor]:
    return scans(store.array("maps", slices)), _majority(store.array("fractions", slices), SURE)
