"""The code of a brain → logarithms of PD, T1 and T2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from physldm.config import VaeConfig

from .blocks import AdaGN, Level, ResBlock, SelfAttention, full_precision, zeroed


class Decoder(nn.Module):
    """The encoder backwards, without a protocol: tissue does not know how it will be scanned.

    Its output is o, three channels (or ``channels``); log maps are o + b (see :func:`physldm.models.vae.tissue_maps`).
    """

    def __init__(self, config: VaeConfig, channels: int = 3):
        super().__init__()
        widths, f = config.widths[::-1], config.unshuffle
        self.shuffle = f
        self.stem = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.attention = SelfAttention(widths[0]) if config.middle_attention else nn.Identity()
        self.middle = ResBlock(widths[0], widths[0])
        self.blocks, self.up = nn.ModuleList(), nn.ModuleList()
        before = widths[0]
        for level, width in enumerate(widths):
            level_blocks = []
            for _ in range(config.blocks):
                level_blocks.append(ResBlock(before, width))
                before = width
            self.blocks.append(Level(level_blocks))
            last = level == len(widths) - 1
            self.up.append(nn.Identity() if last else nn.Conv2d(width, width, 3, padding=1))
        self.norm = AdaGN(before, None)
        self.out = nn.Conv2d(before, channels * f * f, 3, padding=1)
        nn.init.normal_(zeroed(self.out).weight, std=1e-3)

    def forward(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B channels H W"]:
        h = self.stem(z.contiguous(memory_format=torch.channels_last))
        h = self.middle(self.attention(h))
        for level, (blocks, up) in enumerate(zip(self.blocks, self.up, strict=True)):
            h = blocks(h)
            if level < len(self.blocks) - 1:
                h = up(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        h = F.silu(self.norm(h))
        with full_precision(h):
            return F.pixel_shuffle(self.out(h.float()), self.shuffle)
