"""One image and how it was taken → a Gaussian over the code of the brain it shows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from physldm.config import VaeConfig
from physldm.physics import SEQUENCES, AcquisitionBatch, signal

from .blocks import AdaGN, Level, ResBlock, SelfAttention, zeroed

CODE = 128
PROTOCOL_FEATURES = 6
# T1 and T2 (s) of tissues, from fat to fluid, on which the effect of a protocol is told
REFERENCE = (
    (0.37, 0.1), (0.6, 0.06), (0.85, 0.07), (0.85, 0.1), (1.1, 0.08), (1.2, 0.14), (1.45, 0.085), (1.45, 0.11),
    (1.8, 0.1), (2.5, 0.3), (3.3, 0.8), (4.2, 1.9),
)  # fmt: skip


def protocol_features(
    acquisitions: AcquisitionBatch, log_scale: Float[Tensor, "B N"]
) -> Float[Tensor, "B N 6"]:
    """What the encoder is told beside the image: log TE (of a train the effective one), log TR, log TI (0 without
    inversion); of the sequence whether it inverts and whether it refocuses; and the logarithm of the intensity that the
    image was divided by."""
    inverted = acquisitions.ti > 0
    refocused = torch.tensor([[SEQUENCES[name].refocused for name in row] for row in acquisitions.sequence])
    log_ti = torch.where(inverted, acquisitions.ti, 1.0).log()
    times = [acquisitions.contrast_te.clamp_min(1e-3).log() + 3, acquisitions.tr.log() - 1, log_ti]
    sequence = [inverted.float(), refocused.to(log_scale)]
    return torch.stack([*times, *sequence, log_scale - 5.5], -1)  # offsets only centre the usual values


def protocol_effect(
    acquisitions: AcquisitionBatch, log_scale: Float[Tensor, "B N"]
) -> Float[Tensor, "B N 14"]:
    """What the encoder is told beside the image, if not the protocol's numbers: what the protocol does. The signed signal
    of each reference tissue over the largest of them; the logarithm of that; and that of the intensity that the image was
    divided by, over it. A sequence that is new to the encoder is told as well as one that it knows.

    Equation: eq-effect-told
    """
    # f_k = s_k / s_max, ln s_max, ln(scale / s_max)
    t1, t2 = torch.tensor(REFERENCE, device=log_scale.device).T
    maps = torch.stack([torch.ones_like(t1), t1, t2])[None, :, None].expand(len(log_scale), -1, -1, -1)
    s = signal(maps, acquisitions)[:, :, 0]
    largest = s.abs().amax(-1, keepdim=True).clamp_min(1e-4)
    brightness = log_scale[..., None] - largest.log()
    return torch.cat(
        [s / largest, largest.log(), brightness - 6.5], -1
    )  # the offset only centres the usual values


TOLD = {"numbers": (protocol_features, PROTOCOL_FEATURES), "effect": (protocol_effect, len(REFERENCE) + 2)}


def scale_of(images: Float[Tensor, "B N H W"]) -> Float[Tensor, "B N"]:
    """The 99.5th percentile of each image."""
    return torch.quantile(images.flatten(2).float(), 0.995, dim=-1).clamp_min(1e-6)


def scale_images(images: Float[Tensor, "B N H W"]) -> tuple[Float[Tensor, "B N H W"], Float[Tensor, "B N"]]:
    """Each image divided by its 99.5th percentile, clipped and mapped to [−1, 1]; and that percentile."""
    scale = scale_of(images)
    return (images / scale[..., None, None]).clamp(0, 1) * 2 - 1, scale


class Encoder(nn.Module):
    """A convolutional encoder shared by all contrasts; with ``config.adagn`` every block is told the protocol by AdaGN."""

    def __init__(self, config: VaeConfig):
        super().__init__()
        widths, f = config.widths, config.unshuffle
        code = CODE if config.adagn else None
        self.unshuffle = f
        self.protocol = None
        if config.adagn:  # (s, b) = MLP(TE, TR, TI): a shared trunk here, a linear head in every AdaGN
            self.protocol = nn.Sequential(
                nn.Linear(TOLD[config.told][1], CODE), nn.SiLU(), nn.Linear(CODE, CODE), nn.SiLU()
            )
        self.stem = nn.Conv2d(f * f, widths[0], 3, padding=1)
        self.blocks, self.down = nn.ModuleList(), nn.ModuleList()
        before = widths[0]
        for level, width in enumerate(widths):
            level_blocks = []
            for _ in range(config.blocks):
                level_blocks.append(ResBlock(before, width, code))
                before = width
            self.blocks.append(Level(level_blocks))
            last = level == len(widths) - 1
            self.down.append(nn.Identity() if last else nn.Conv2d(width, width, 3, stride=2, padding=1))
        self.attention = SelfAttention(before) if config.middle_attention else nn.Identity()
        self.middle = ResBlock(before, before, code)
        self.norm = AdaGN(before, code)
        self.out = nn.Conv2d(before, 2 * config.latent_channels, 3, padding=1)
        self.gain = zeroed(nn.Linear(before, 1)) if config.gain else None

    def forward(
        self, images: Float[Tensor, "B 1 H W"], features: Float[Tensor, "B F"] | None
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B C h w"], Float[Tensor, " B"]]:
        """Scaled images and what is told of them → mean and log variance of the code, and the log of the
        scanner's gain (0 where it is not regressed)."""
        code = None if self.protocol is None else self.protocol(features)
        h = F.pixel_unshuffle(images, self.unshuffle)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        for blocks, down in zip(self.blocks, self.down, strict=True):
            h = down(blocks(h, code))
        h = self.middle(self.attention(h), code)
        h = F.silu(self.norm(h, code))
        mean, log_var = self.out(h).float().chunk(2, dim=1)
        log_gain = self.gain(h.mean((2, 3)))[:, 0].float() if self.gain else mean.new_zeros(len(mean))
        return mean, log_var.clamp(-14.0, 6.0), log_gain
