"""The denoiser of the latent diffusion model: the UNet with the statistics of the codes it was trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from physldm.box import slice_shape
from physldm.config import Config

from .unet import UNet


class Denoiser(nn.Module):
    """The UNet with the statistics that belong to it, so that neither is saved without the other: mean and standard
    deviation of each channel of the codes, the lowest and the highest slice (mm)."""

    shift: Tensor
    scale: Tensor
    span: Tensor

    def __init__(self, unet: UNet, channels: int):
        super().__init__()
        self.unet = unet
        self.register_buffer("shift", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.register_buffer("span", torch.zeros(2))

    def forward(self, x: Tensor, t: Tensor, height: Tensor | None = None) -> Tensor:
        return self.unet(x, t, height)


def make_denoiser(config: Config) -> Denoiser:
    """A fresh UNet for the codes of ``config``'s VAE."""
    u, channels = config.unet, config.vae.latent_channels
    unet = UNet(
        channels,
        widths=u.widths,
        blocks=u.blocks,
        attention=u.attention,
        heads=u.heads,
        resblock_updown=u.resblock_updown,
        places=latent_shape(config)[1:] if u.places else None,
        height=u.height,
    )
    return Denoiser(unet, channels)


def latent_shape(config: Config) -> tuple[int, int, int]:
    """C, h, w of a code."""
    (height, width), factor = slice_shape(config.data.spacing), config.vae.downsampling
    return config.vae.latent_channels, height // factor, width // factor
