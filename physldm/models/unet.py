"""The network of the latent diffusion: looks at noisy latents x_t and their time t, says v or ε.

Residual blocks on a few scales, told the time (and, where asked, the slice's height) by a scale and shift after their
second norm, with attention where the map is small (Ho et al. 2020; Dhariwal & Nichol 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from .blocks import full_precision, group_norm, zeroed


def time_embedding(t: Shaped[Tensor, " B"], dim: int) -> Float[Tensor, "B dim"]:
    """Sines and cosines of ``t`` at frequencies from 1 down to 1/10000, ``[B, dim]`` float32; dim is even."""
    half = dim // 2
    frequency = torch.exp(-math.log(10_000) / half * torch.arange(half, device=t.device))
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def _halve(x: Tensor) -> Tensor:
    """Means of 2 × 2; an odd last row or column is kept: 7 × 5 -> 4 × 3, as a strided convolution does."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


def _enlarge(x: Tensor, size: tuple[int, int] | None) -> Tensor:
    return x if size is None else F.interpolate(x, size=size, mode="nearest")


class ResBlock(nn.Module):
    """norm, SiLU, conv, norm, (1 + scale)·h + shift, SiLU, conv; plus the input. ``down``: at half the size."""

    def __init__(self, inputs: int, outputs: int, time_dim: int, down: bool = False) -> None:
        super().__init__()
        self.down = down
        self.norm1, self.conv1 = group_norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time_dim, 2 * outputs)
        self.norm2, self.conv2 = group_norm(outputs), zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(
        self, x: Float[Tensor, "B i h w"], emb: Float[Tensor, "B d"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "B o h2 w2"]:
        """``size`` enlarges to this height and width."""
        h = F.silu(self.norm1(x))
        if self.down:
            h, x = _halve(h), _halve(x)
        h = self.conv1(_enlarge(h, size))
        scale, shift = self.time(F.silu(emb))[:, :, None, None].chunk(2, dim=1)
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        return _enlarge(self.skip(x), size) + self.conv2(h)


class Attention(nn.Module):
    """Self-attention over all positions of a map, plus the input."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B c h w"]:
        batch, channels, height, width = x.shape
        # [B, 3c, h, w] -> three of [B, heads, h·w, c/heads]
        qkv = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)
        q, k, v = qkv.view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # softmax(q kᵀ/√d) v: written out, for on maps this small torch's fused kernel is slower on a CPU
        y = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v
        y = y.permute(0, 1, 3, 2).reshape(batch, channels, height, width)
        return x + self.out(y)


class Down(nn.Module):
    """To half the size by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        if x.shape[-1] > 1:
            return self.conv(x)
        # oneDNN 3.12 (in torch 2.14.1) reads past a single column in the bfloat16 gradient of a strided convolution
        with full_precision(x):
            return self.conv(x.float())


class Up(nn.Module):
    """To a given size by nearest neighbours and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, emb: Tensor, size: tuple[int, int]) -> Tensor:
        return self.conv(_enlarge(x, size))


class Block(nn.Module):
    """A residual block and, where asked, attention after it."""

    def __init__(self, inputs: int, outputs: int, time_dim: int, heads: int | None) -> None:
        super().__init__()
        self.res = ResBlock(inputs, outputs, time_dim)
        self.attention = nn.Identity() if heads is None else Attention(outputs, heads)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.attention(self.res(x, emb))


class UNet(nn.Module):
    """v or ε of noisy latents ``x [B, channels, h, w]`` at times ``t [B]``; the shape of ``x`` comes back.

    Without ``places`` any h and w will do: 14×10 goes to 7×5 and 4×3, and up again to the size of the map it meets.

    Args:
        channels: of the latents.
        widths: channels of each level, from the full size down by halves.
        blocks: residual blocks of a level on the way down (one more on the way up).
        attention: one flag a level.
        heads: of each attention; divides the width of every level that has one, and of the last.
        resblock_updown: change size in residual blocks, as the paper does, not by single convolutions.
        places: h and w of the latents, to learn a map that is added after the first layer. Convolutions alone do not
            know where in the head they are.
        height: whether the network is told how high in the head a slice lies.

    Raises:
        ValueError: flags and widths differ in number, or heads do not divide a width.

    The paper's: ``UNet(6, (256, 512, 768), 2, (False, True, True), heads=1, resblock_updown=True)``.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int] = (128, 256),
        blocks: int = 2,
        attention: Sequence[bool] = (False, True),
        heads: int = 4,
        resblock_updown: bool = False,
        places: tuple[int, int] | None = None,
        height: bool = False,
    ) -> None:
        super().__init__()
        _check(widths, blocks, attention, heads)
        time_dim = 4 * widths[0]
        self.embedding_dim = widths[0]
        self.time = nn.Sequential(nn.Linear(widths[0], time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim))
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.place = None
        if places:
            self.place = nn.Parameter(torch.zeros(1, widths[0], *places))
        self.height: nn.Module | None = None
        if height:
            self.height = nn.Sequential(
                nn.Linear(widths[0], time_dim), nn.SiLU(), nn.Linear(time_dim, time_dim)
            )
            self.any_height = nn.Parameter(torch.zeros(time_dim))

        def resize(kind: type[Down] | type[Up], width: int) -> nn.Module:
            return ResBlock(width, width, time_dim, kind is Down) if resblock_updown else kind(width)

        def block(before: int, width: int, flag: bool) -> Block:
            return Block(before, width, time_dim, heads if flag else None)

        self._build(widths, blocks, attention, block, resize)
        self.last = nn.Sequential(
            group_norm(widths[0]), nn.SiLU(), zeroed(nn.Conv2d(widths[0], channels, 3, padding=1))
        )

    def _build(self, widths: Sequence[int], blocks: int, attention: Sequence[bool], block, resize) -> None:
        """The way down, the middle and the way up: every map made on the way down is met again, in reverse."""
        met = [widths[0]]
        self.down = nn.ModuleList()
        for level, (width, flag) in enumerate(zip(widths, attention, strict=True)):
            for _ in range(blocks):
                self.down.append(block(met[-1], width, flag))
                met.append(width)
            if level < len(widths) - 1:
                self.down.append(resize(Down, width))
                met.append(width)
        width = widths[-1]
        self.middle = nn.ModuleList([block(width, width, True), block(width, width, False)])
        self.up = nn.ModuleList()
        for level, flag in reversed(list(enumerate(attention))):
            for _ in range(blocks + 1):
                self.up.append(block(width + met.pop(), widths[level], flag))
                width = widths[level]
            if level > 0:
                self.up.append(resize(Up, width))

    def forward(
        self, x: Float[Tensor, "B c h w"], t: Shaped[Tensor, " B"], height: Float[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B c h w"]:
        """``height`` in mm; NaN, or none at all, where it is to be any."""
        emb = self.time(time_embedding(t, self.embedding_dim))
        if self.height is not None:
            emb = emb + self._told(
                torch.full_like(t, torch.nan, dtype=emb.dtype) if height is None else height
            )
        h = self.first(x)
        if self.place is not None:
            h = h + self.place
        met = [h]
        for layer in self.down:
            h = layer(h, emb)
            met.append(h)
        for layer in self.middle:
            h = layer(h, emb)
        for layer in self.up:
            if isinstance(layer, Block):
                h = layer(torch.cat([h, met.pop()], dim=1), emb)
            else:
                h = layer(h, emb, size=met[-1].shape[-2:])
        return self.last(h)

    def _told(self, height: Float[Tensor, " B"]) -> Float[Tensor, "B d"]:
        assert self.height is not None
        known = self.height(time_embedding(height.nan_to_num(), self.embedding_dim))
        return torch.where(height.isnan()[:, None], self.any_height.to(known.dtype), known)


def _check(widths: Sequence[int], blocks: int, attention: Sequence[bool], heads: int) -> None:
    if len(widths) == 0 or len(widths) != len(attention):
        raise ValueError(
            f"attention: found {len(attention)} flags, expected one for each of {len(widths)} widths"
        )
    if blocks < 1:
        raise ValueError(f"blocks: found {blocks}, expected at least 1")
    if widths[0] % 2:
        raise ValueError(f"widths: found {widths[0]} first, expected an even number (sines and cosines of t)")
    for width, flag in zip(widths, [*attention[:-1], True], strict=True):
        if flag and width % heads:
            raise ValueError(f"heads: found {heads}, expected a divisor of the width {width}")
