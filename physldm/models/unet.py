"""The denoiser: a UNet that is told how noisy its input is."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from .blocks import ResBlock, SelfAttention


def timestep_code(t: Int[Tensor, "B"], size: int) -> Float[Tensor, "B size"]:
    """Sines and cosines of t at geometrically spaced frequencies (Vaswani 2017, Section 3.5)."""
    frequency = torch.exp(-math.log(10000.0) * torch.arange(size // 2, device=t.device) / (size // 2))
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class UNet(nn.Module):
    """Residual blocks with AdaGN on the timestep, attention at chosen levels, skips between equal sizes.

    Args:
        channels: of the code. widths: channels of each level, finest first. blocks: residual blocks a level.
        attention: for each level, whether its blocks are followed by self-attention.
        resblock_updown: whether a residual block follows each change of size (as in the paper).
    """

    def __init__(
        self,
        channels: int,
        *,
        widths: tuple[int, ...],
        blocks: int,
        attention: tuple[bool, ...],
        resblock_updown: bool = False,
    ):
        super().__init__()
        if len(widths) != len(attention):
            raise ValueError(f"attention: found {len(attention)} entries, expected one per width ({len(widths)})")
        code = 2 * widths[0]
        self.code_size = widths[0]
        self.time = nn.Sequential(nn.Linear(widths[0], code), nn.SiLU(), nn.Linear(code, code), nn.SiLU())
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)

        def stage(width_in: int, width: int, attend: bool) -> nn.ModuleList:
            return nn.ModuleList(
                [ResBlock(width_in, width, code), SelfAttention(width) if attend else nn.Identity()]
            )

        def resize(width: int) -> nn.Module:
            return ResBlock(width, width, code) if resblock_updown else nn.Identity()

        self.down, self.shrink, self.up, self.grow = (nn.ModuleList() for _ in range(4))
        before, skips = widths[0], [widths[0]]
        for level, (width, attend) in enumerate(zip(widths, attention, strict=True)):
            level_blocks = nn.ModuleList()
            for _ in range(blocks):
                level_blocks.append(stage(before, width, attend))
                before = width
                skips.append(width)
            self.down.append(level_blocks)
            if level < len(widths) - 1:
                self.shrink.append(nn.ModuleList([nn.Conv2d(width, width, 3, 2, 1), resize(width)]))
                skips.append(width)
        self.middle = nn.ModuleList(
            [ResBlock(before, before, code), SelfAttention(before), ResBlock(before, before, code)]
        )
        for level in reversed(range(len(widths))):
            level_blocks = nn.ModuleList()
            for _ in range(blocks + 1):
                level_blocks.append(stage(before + skips.pop(), widths[level], attention[level]))
                before = widths[level]
            self.up.append(level_blocks)
            if level > 0:
                self.grow.append(nn.ModuleList([nn.Conv2d(before, before, 3, padding=1), resize(before)]))
        self.norm = nn.GroupNorm(16, before)
        self.out = nn.Conv2d(before, channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Float[Tensor, "B C h w"], t: Int[Tensor, "B"]) -> Float[Tensor, "B C h w"]:
        """The prediction (ε or v, as trained) for noisy codes ``x`` at timesteps ``t``; any h, w."""
        code = self.time(timestep_code(t, self.code_size))
        h = self.stem(x.contiguous(memory_format=torch.channels_last))
        skips = [h]
        for level, level_blocks in enumerate(self.down):
            for block, attend in level_blocks:
                h = attend(block(h, code))
                skips.append(h)
            if level < len(self.shrink):
                conv, after = self.shrink[level]
                h = _maybe(after, conv(h), code)
                skips.append(h)
        first, attend, second = self.middle
        h = second(attend(first(h, code)), code)
        for level, level_blocks in enumerate(self.up):
            for block, attend in level_blocks:
                h = attend(block(torch.cat([h, skips.pop()], dim=1), code))
            if level < len(self.grow):
                conv, after = self.grow[level]
                # odd sizes: grow to whatever size the skip has
                h = _maybe(after, conv(F.interpolate(h, size=skips[-1].shape[-2:], mode="nearest")), code)
        return self.out(F.silu(self.norm(h))).float()


def _maybe(block: nn.Module, h: Tensor, code: Tensor) -> Tensor:
    return block(h, code) if isinstance(block, ResBlock) else block(h)
