"""What a model makes of scans it was not given, and of scans that nobody took."""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.data.slices import Batch
from physldm.models import PhysicsVAE
from physldm.models.encoder import scale_images
from physldm.physics import CONTRASTS, Acquisition, AcquisitionBatch, signal

from .image import fixed_psnr

# Contrasts that no preset trains on: another TI, (almost) no weighting, fat's null, a gradient echo.
# Fat's null: 1 − 2 exp(−TI/T1) + exp(−TR/T1) = 0 at TR 4 s for fat's T1 of TISSUES.
UNSEEN = {
    "T1w, TI 0.7 s": Acquisition("mprage", tr=2.4, ti=0.7),
    "PDw": Acquisition("spin_echo", te=0.015, tr=5.0),
    "STIR-like": Acquisition("flair", te=0.05, tr=4.0, ti=0.256),
    "SPGR": Acquisition("spgr", te=0.004, tr=0.02, flip_angle=20.0),
}

# Two usual protocols of each contrast: one brain, scanned in the one way or in the other.
EITHER_WAY = {
    "T1w": (
        Acquisition("mprage", te=0.0032, tr=2.4, ti=1.0),
        Acquisition("mprage", te=0.003, tr=2.3, ti=0.9),
    ),
    "T2w": (Acquisition("spin_echo", te=0.09, tr=3.2), Acquisition("spin_echo", te=0.12, tr=3.2)),
    "FLAIR": (
        Acquisition("flair", te=0.091, tr=9.0, ti=2.5),
        Acquisition("flair", te=0.076, tr=9.0, ti=2.5),
    ),
}


def subset_psnr(
    vae: PhysicsVAE, batch: Batch, target: Float[Tensor, "S N H W"], inside: Bool[Tensor, "S H W"]
) -> dict[str, float]:
    """``fixed.psnr`` of every contrast, rebuilt from every subset of those that are present in all slices.

    Args:
        vae: whose experts answer.
        batch: one session's slices.
        target: what should have come out, scanner units.
        inside: the voxels that count.

    Returns:
        ``subset.T1w+FLAIR.psnr.T2w`` and so on, dB: rebuilt T2w, from T1w and FLAIR.
    """
    there = [n for n in range(len(CONTRASTS)) if batch.mask[:, n].all()]
    scaled, scale = scale_images(batch.images)
    experts = vae.experts(scaled, scale, batch.acquisitions)
    scores = {}
    for size in range(1, len(there) + 1):
        for subset in combinations(there, size):
            mask = torch.zeros_like(batch.mask)
            mask[:, list(subset)] = True
            rebuilt = vae.rebuild(*experts, batch.acquisitions, mask)
            name = "+".join(CONTRASTS[n] for n in subset)
            for n in there:
                scores[f"subset.{name}.psnr.{CONTRASTS[n]}"] = fixed_psnr(rebuilt[:, n], target[:, n], inside)
    return scores


def unseen_psnr(
    maps: Float[Tensor, "S 3 H W"],
    truth: Float[Tensor, "S 3 H W"],
    field: Float[Tensor, "S H W"],
    inside: Bool[Tensor, "S H W"],
) -> dict[str, float]:
    """``fixed.psnr`` of magnitudes of contrasts that nobody trained on: of the maps that were found, and the true ones.

    Args:
        maps: found, PD in scanner units.
        truth: true ones.
        field: gain times bias field of the scans, by which the true PD is multiplied.
        inside: the voxels that count.

    Returns:
        ``unseen.psnr.PDw`` and so on, dB.
    """
    true = with_gain(truth, field)
    return {
        f"unseen.psnr.{name}": fixed_psnr(
            signal(maps, acquisition, magnitude=True), signal(true, acquisition, magnitude=True), inside
        )
        for name, acquisition in UNSEEN.items()
    }


def with_gain(truth: Float[Tensor, "S 3 H W"], field: Float[Tensor, "S H W"]) -> Float[Tensor, "S 3 H W"]:
    """True maps with PD in scanner units.

    Args:
        truth: PD, T1 (s), T2 (s).
        field: gain times bias field, scanner units.
    """
    return torch.cat([truth[:, :1] * field[:, None], truth[:, 1:]], 1)


def gain_field(
    clean: Float[Tensor, "S N H W"], truth: Float[Tensor, "S 3 H W"], acquisitions: AcquisitionBatch
) -> Float[Tensor, "S H W"]:
    """Gain times bias field of made-up scans: noise-free T2w over the signal of the true maps; 0 where both are 0.

    Args:
        clean: scans without noise, in the order of ``CONTRASTS``.
        truth: PD, T1 (s), T2 (s).
        acquisitions: how the scans were taken.
    """
    n = CONTRASTS.index("T2w")
    exact = signal(truth, acquisitions)[:, n]
    return torch.where(exact > 0, clean[:, n] / exact.clamp_min(1e-12), 0.0)


def code_shift(vae: PhysicsVAE, maps: Float[Tensor, "S 3 H W"], told: bool = True) -> dict[str, float]:
    """How far the code of a scan moves when the same brain is scanned by another usual protocol.

    Equation: eq-code-shift. The root mean square of μ(one protocol) − μ(other), over that of the code's variation
    between slices, each number of the code weighed by its precision: where an expert has no say in the product its
    mean may wander. 0: the code knows tissue, not protocols.

    Args:
        vae: whose encoder is asked.
        maps: true maps, PD in scanner units.
        told: whether the encoder is told of the other protocol, or takes the second scan for one of the first.

    Returns:
        ``shift.T1w`` and so on.
    """
    one, other = (AcquisitionBatch.repeat(way, len(maps)) for way in zip(*EITHER_WAY.values(), strict=True))
    said = []
    for taken, announced in ((one, one), (other, other if told else one)):
        scaled, scale = scale_images(signal(maps, taken, magnitude=True))
        said.append(vae.experts(scaled, scale, announced))
    (mean, log_var, _), (moved, _, _) = said
    precision = torch.exp(-log_var)
    # Δ² = Σ (μ − μ′)²/σ² / Σ (μ − μ̄)²/σ²
    away, spread = ((precision * d.square()).sum((0, 2, 3, 4)) for d in (mean - moved, mean - mean.mean(0)))
    shift = (away / spread).sqrt()
    return {f"shift.{c}": value for c, value in zip(EITHER_WAY, shift.tolist(), strict=True)}
