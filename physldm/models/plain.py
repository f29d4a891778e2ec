"""A plain VAE, without physics: one image → a Gaussian over its code → the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physldm.config import VaeConfig

from .decoder import Decoder
from .encoder import Encoder


@dataclass
class PlainOutput:
    """What one pass gives: mean and log variance of the code ``[B, C, h, w]``, reconstruction ``[B, 1, H, W]``."""

    mean: Tensor
    log_var: Tensor
    reconstruction: Tensor


class PlainVAE(nn.Module):
    """Images of one contrast, in [−1, 1]: no protocol, no product of experts, no signal equations.

    Raises:
        ValueError: ``config`` asks for AdaGN, and there is no protocol to tell the encoder.
    """

    def __init__(self, config: VaeConfig):
        super().__init__()
        if config.adagn:
            raise ValueError("config.adagn: found True, expected False: a plain VAE is told no protocol")
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, channels=1)

    def encode(
        self, images: Float[Tensor, "B 1 H W"]
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B C h w"]]:
        """The belief over the code: mean and log variance."""
        mean, log_var, _ = self.encoder(images, None)
        return mean, log_var

    def decode(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 1 H W"]:
        """The image of a code; about [−1, 1], and not clipped."""
        return self.decoder(z)

    def forward(
        self, images: Float[Tensor, "B 1 H W"], noise: Float[Tensor, "B C h w"] | None = None
    ) -> PlainOutput:
        """Encode, draw z = μ + σ·noise (μ itself without noise), decode."""
        mean, log_var = self.encode(images)
        z = mean if noise is None else mean + torch.exp(0.5 * log_var) * noise
        return PlainOutput(mean, log_var, self.decode(z))
