"""The pieces that networks share: group normalisation, told the protocol or not, and the residual block around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)
GROUP = 16  # channels; with fewer, torch's kernel for channels_last on a CPU is up to 25 times slower


def full_precision(x: Tensor) -> AbstractContextManager:
    """No autocast in here: logarithms and exponentials need more than bfloat16, which rounds to half a percent."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def group_norm(channels: int, affine: bool = True) -> nn.GroupNorm:
    """Group normalisation with 16 channels to a group (Wu and He 2018 find that as good as any), or a few more where
    that does not come out even."""
    groups = next(n for n in range(max(1, channels // GROUP), 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, affine=affine)


def zeroed(layer: Layer) -> Layer:
    """A layer that begins as the zero function, so that a residual branch starts as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class AdaGN(nn.Module):
    """AdaGN(h, s, b) = s · GroupNorm(h) + b, with one s and one b per channel of this layer.

    Equation: eq-adagn (Eq. 2 of the paper). s and b are a linear map of the protocol's code; they start at
    s = 1, b = 0. With ``code_size=None`` it is plain GroupNorm with a learned scale and shift.
    """

    def __init__(self, channels: int, code_size: int | None):
        super().__init__()
        self.norm = group_norm(channels, affine=code_size is None)
        self.scale_shift = None
        if code_size is not None:
            self.scale_shift = zeroed(nn.Linear(code_size, 2 * channels))

    def scale_and_shift(
        self, code: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
        """s and b of every channel, as this code of a protocol asks for them."""
        if self.scale_shift is None:
            raise ValueError("code: found a norm that is told nothing, expected one with a code_size")
        s, b = self.scale_shift(code).chunk(2, dim=-1)
        return 1 + s, b  # the layer learns s − 1

    def forward(
        self, h: Float[Tensor, "B C H W"], code: Float[Tensor, "B D"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        if self.scale_shift is None:
            return self.norm(h)
        if code is None:
            raise ValueError("code: found none, expected that of each image's protocol")
        s, b = (x[:, :, None, None].to(h.dtype) for x in self.scale_and_shift(code))
        # s · GroupNorm(h) + b
        return torch.addcmul(b, self.norm(h), s)


class ResBlock(nn.Module):
    """h + conv(act(norm(conv(act(norm(h)))))), the norm told how the image was taken."""

    def __init__(self, channels_in: int, channels_out: int, code_size: int | None = None):
        super().__init__()
        self.norm1 = AdaGN(channels_in, code_size)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = AdaGN(channels_out, code_size)
        self.conv2 = zeroed(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, h: Tensor, code: Tensor | None = None) -> Tensor:
        y = self.conv1(F.silu(self.norm1(h, code)))
        y = self.conv2(F.silu(self.norm2(y, code)))
        return self.skip(h) + y


class Level(nn.ModuleList):
    """The residual blocks of one resolution, one after the other."""

    def forward(self, h: Tensor, code: Tensor | None = None) -> Tensor:
        for block in self:
            h = block(h, code)
        return h


class SelfAttention(nn.Module):
    """Single-head self-attention over the places of a feature map, added to it."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, h: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        q, k, v = (x.flatten(2).transpose(1, 2) for x in self.qkv(self.norm(h)).chunk(3, dim=1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(h.shape)
        return h + self.out(y)
