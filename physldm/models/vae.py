"""The physics-informed VAE: scans → code → tissue maps → scans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from physldm.config import VaeConfig
from physldm.physics import AcquisitionBatch, signal
from physldm.physics.tissue import PRIOR_T1, PRIOR_T2

from .blocks import full_precision
from .decoder import Decoder
from .encoder import TOLD, Encoder, scale_images
from .fusion import FUSIONS

LONGEST_LOG = 12.0  # exp(12): beyond any tissue, far from overflow


def tissue_maps(o: Float[Tensor, "B 3 H W"], bias: Float[Tensor, " 3"]) -> Float[Tensor, "B 3 H W"]:
    """exp(o + b) for PD, T1 and T2, in float32.

    Equation: eq-tissue-maps (Eq. 6–7 of the paper, which writes s where it means b, and its like for PD).
    """
    # PD, T1, T2 = exp(o + b)
    return torch.exp((o.float() + bias[:, None, None]).clamp(-LONGEST_LOG, LONGEST_LOG))


@dataclass
class VaeOutput:
    """What one pass gives: posterior mean and log variance ``[B, C, h, w]``, decoder output o and maps
    ``[B, 3, H, W]``, reconstruction ``[B, N, H, W]`` in scanner units, the images' scale ``[B, N]`` and the log of
    the gain that was found for each ``[B, N]``."""

    mean: Tensor
    log_var: Tensor
    o: Tensor
    maps: Tensor
    reconstruction: Tensor
    scale: Tensor
    log_gain: Tensor

    @property
    def scanner_maps(self) -> Float[Tensor, "B 3 H W"]:
        """The maps with PD in scanner units: times the gain, of single scans' gains their geometric mean."""
        pd = self.log_gain.mean(1).exp()[:, None, None] * self.maps[:, 0]
        return torch.cat([pd[:, None], self.maps[:, 1:]], 1)


class PhysicsVAE(nn.Module):
    """N scans of a brain, taken in any way, → its code; the code → PD, T1, T2; those → any scan."""

    bias: Tensor

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        log_medians = [math.log(config.pd_median), math.log(PRIOR_T1), math.log(PRIOR_T2)]
        self.register_buffer("bias", torch.tensor(log_medians), persistent=False)

    def encode(
        self,
        images: Float[Tensor, "B N H W"],
        acquisitions: AcquisitionBatch,
        mask: Bool[Tensor, "B N"] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The posterior of the code: mean and log variance, ``[B, C, h, w]``.

        Args:
            images: magnitudes in scanner units.
            acquisitions: ``[B, N]``.
            mask: True where present.
        """
        scaled, scale = scale_images(images)
        mean, log_var, _ = self.experts(scaled, scale, acquisitions)
        return self._fuse(mean, log_var, mask)

    def experts(
        self, scaled: Float[Tensor, "B N H W"], scale: Float[Tensor, "B N"], acquisitions: AcquisitionBatch
    ) -> tuple[Float[Tensor, "B N C h w"], Float[Tensor, "B N C h w"], Float[Tensor, "B N"]]:
        """What each scan says by itself: mean and log variance of the code, and its log gain.

        Args:
            scaled: see :func:`physldm.models.encoder.scale_images`.
            scale: see there.
            acquisitions: how each scan was taken.
        """
        features = TOLD[self.config.told][0](acquisitions, scale.log())
        said = self.encoder(scaled.flatten(0, 1)[:, None], features.flatten(0, 1))
        return tuple(x.unflatten(0, scaled.shape[:2]) for x in said)

    def _fuse(self, mean: Tensor, log_var: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        with full_precision(mean):
            return FUSIONS[self.config.fusion](mean, log_var, mask, self.config.prior_expert)

    def _gain(self, log_gain: Float[Tensor, "B N"], mask: Bool[Tensor, "B N"] | None) -> Float[Tensor, "B N"]:
        """The log gain of each scan from what the encoder said of those that are present: of a session their mean is that
        of all; of single scans each keeps its own, and one that was not encoded gets the mean."""
        here = torch.ones_like(log_gain, dtype=torch.bool) if mask is None else mask
        # ln G = Σ ln G_n / N, over the N present scans
        mean = (log_gain * here).sum(1, keepdim=True) / here.sum(1, keepdim=True).clamp_min(1)
        if self.config.gain == "session":
            return mean.expand_as(log_gain)
        return torch.where(here, log_gain, mean)

    def rebuild(
        self,
        mean: Float[Tensor, "B N C h w"],
        log_var: Float[Tensor, "B N C h w"],
        log_gain: Float[Tensor, "B N"],
        acquisitions: AcquisitionBatch,
        mask: Bool[Tensor, "B N"],
    ) -> Float[Tensor, "B N H W"]:
        """All scans, in scanner units, from what some of them say (see :meth:`experts`)."""
        maps = self.decode(self._fuse(mean, log_var, mask)[0])
        return self._gain(log_gain, mask).exp()[..., None, None] * signal(maps, acquisitions)

    def decode(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Tissue maps of a code: PD (scanner units), T1 (s), T2 (s)."""
        return tissue_maps(self.decoder(z), self.bias)

    def forward(
        self,
        images: Float[Tensor, "B N H W"],
        acquisitions: AcquisitionBatch,
        mask: Bool[Tensor, "M N"] | None = None,
        noise: Float[Tensor, "M C h w"] | None = None,
        rows: Sequence[int] | None = None,
        asked: AcquisitionBatch | None = None,
    ) -> VaeOutput:
        """Encode, draw z = μ + σ·noise (μ itself without noise), decode, scan again.

        Args:
            images: magnitudes in scanner units.
            acquisitions: ``[B, N]``.
            mask: True for scans to look at.
            noise: for the code.
            rows: M numbers of slices, each encoded once however often it is to be decoded, from whatever
                scans ``mask`` says; by default each slice once.
            asked: ``[M, N]``, how to scan; by default as the images were taken.
        """
        scaled, scale = scale_images(images)
        said = self.experts(scaled, scale, acquisitions)
        if rows is not None:
            said, scale, acquisitions = tuple(x[rows] for x in said), scale[rows], acquisitions[rows]
        each_mean, each_log_var, log_gain = said
        mean, log_var = self._fuse(each_mean, each_log_var, mask)
        z = mean if noise is None else mean + torch.exp(0.5 * log_var) * noise
        log_gain = self._gain(log_gain, mask)
        o, maps, reconstruction = self.explain(z, log_gain, acquisitions if asked is None else asked)
        return VaeOutput(mean, log_var, o, maps, reconstruction, scale, log_gain)

    def explain(
        self, z: Float[Tensor, "B C h w"], log_gain: Float[Tensor, "B N"], acquisitions: AcquisitionBatch
    ) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"], Float[Tensor, "B N H W"]]:
        """What a code says: the decoder's output o, the maps, and all scans of them in scanner units.

        Args:
            z: codes.
            log_gain: of each scan.
            acquisitions: how each scan is taken.
        """
        o = self.decoder(z)
        with full_precision(o):
            maps = tissue_maps(o, self.bias)
            # s = G · f(PD, T1, T2)   (Eq. 1; G = 1 unless it is regressed)
            return o, maps, log_gain.exp()[..., None, None] * signal(maps, acquisitions)
