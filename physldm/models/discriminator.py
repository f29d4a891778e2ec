"""The critic of the adversarial loss: looks at patches of an image and says which are real."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)


class PatchDiscriminator(nn.Module):
    """Five convolutions, three of them strided, and a verdict for every patch of 70 pixels (Isola et al. 2017), one image
    at a time.

    It sees no protocol: an image of any contrast has to look real. Equation: eq-discriminator (the value D(x) in it).
    """

    def __init__(self):
        super().__init__()
        blocks: list[nn.Module] = [nn.Conv2d(1, WIDTHS[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, after, stride in zip(WIDTHS[:-1], WIDTHS[1:], (2, 2, 1), strict=True):
            blocks += [
                nn.Conv2d(before, after, 4, stride=stride, padding=1, bias=False),
                nn.GroupNorm(16, after),  # a batch is 4 slices: too few for the usual batch norm
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*blocks, nn.Conv2d(WIDTHS[-1], 1, 4, padding=1))

    def forward(self, images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 h w"]:
        """Scaled images → one number a patch: 1 where it looks real, 0 where made."""
        return self.body(images).float()
