"""The physics-informed VAE: scans → code → tissue maps → scans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from physldm.config import VaeConfig
from physldm.physics import AcquisitionBatch, signal
from physldm.physics.tissue import PRIOR_T1, PRIOR_T2

from .decoder import Decoder
from .encoder import Encoder, protocol_features, scale_images
from .fusion import product_of_experts

LONGEST_LOG = 12.0  # exp(12): beyond any tissue, far from overflow


def tissue_maps(o: Float[Tensor, "B 3 H W"], bias: Float[Tensor, 3]) -> Float[Tensor, "B 3 H W"]:
    """exp(o + b) for PD, T1 and T2, in float32.

    Equation: eq-tissue-maps (Eq. 6–7 of the paper, which writes s where it means b, and its like for PD).
    """
    # PD, T1, T2 = exp(o + b)
    return torch.exp((o.float() + bias[:, None, None]).clamp(-LONGEST_LOG, LONGEST_LOG))


@dataclass
class VaeOutput:
    """What one pass gives: posterior mean and log variance ``[B, C, h, w]``, decoder output o and maps
    ``[B, 3, H, W]``, reconstruction ``[B, N, H, W]`` in scanner units and the images' scale ``[B, N]``."""

    mean: Tensor
    log_var: Tensor
    o: Tensor
    maps: Tensor
    reconstruction: Tensor
    scale: Tensor


class PhysicsVAE(nn.Module):
    """N scans of a brain, taken in any way, → its code; the code → PD, T1, T2; those → any scan."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        log_medians = [math.log(config.pd_median), math.log(PRIOR_T1), math.log(PRIOR_T2)]
        self.register_buffer("bias", torch.tensor(log_medians), persistent=False)

    @property
    def downsampling(self) -> int:
        """How many pixels of an image one place of the code stands for, along one side."""
        return self.config.unshuffle * 2 ** (len(self.config.widths) - 1)

    def encode(
        self,
        images: Float[Tensor, "B N H W"],
        acquisitions: AcquisitionBatch,
        mask: Bool[Tensor, "B N"] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The posterior of the code: mean and log variance, ``[B, C, h, w]``.

        Args:
            images: magnitudes in scanner units. acquisitions: ``[B, N]``. mask: True where present.
        """
        scaled, scale = scale_images(images)
        return self._fuse(scaled, scale, acquisitions, mask)

    def _fuse(self, scaled: Tensor, scale: Tensor, acquisitions: AcquisitionBatch, mask: Tensor | None):
        batch, contrasts = scaled.shape[:2]
        features = protocol_features(acquisitions, scale.log())
        mean, log_var = self.encoder(scaled.flatten(0, 1)[:, None], features.flatten(0, 1))
        mean, log_var = (x.unflatten(0, (batch, contrasts)) for x in (mean, log_var))
        with torch.autocast(mean.device.type, enabled=False):
            return product_of_experts(mean, log_var, mask)

    def decode(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Tissue maps of a code: PD (scanner units), T1 (s), T2 (s)."""
        return tissue_maps(self.decoder(z), self.bias)

    def forward(
        self,
        images: Float[Tensor, "B N H W"],
        acquisitions: AcquisitionBatch,
        mask: Bool[Tensor, "B N"] | None = None,
        noise: Float[Tensor, "B C h w"] | None = None,
    ) -> VaeOutput:
        """Encode, draw z = μ + σ·noise (μ itself without noise), decode, scan again as the images were."""
        scaled, scale = scale_images(images)
        mean, log_var = self._fuse(scaled, scale, acquisitions, mask)
        z = mean if noise is None else mean + torch.exp(0.5 * log_var) * noise
        o = self.decoder(z)
        with torch.autocast(o.device.type, enabled=False):
            maps = tissue_maps(o, self.bias)
            reconstruction = signal(maps, acquisitions)
        return VaeOutput(mean, log_var, o, maps, reconstruction, scale)
