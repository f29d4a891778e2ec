"""LPIPS: how different two images look to a network that was trained on photographs (Zhang et al. 2018).

The package ``lpips`` has the comparison and its weights, but not the AlexNet it compares by: see
:mod:`physldm.fetch.alexnet`.
"""

from __future__ import annotations

import warnings

from jaxtyping import Float
from torch import Tensor, nn

from physldm.fetch.alexnet import LAYERS, read_backbone

SMALLEST = 64  # pixels a side; below, AlexNet's last layers see next to nothing


class Lpips(nn.Module):
    """LPIPS with AlexNet, frozen.

    Raises:
        InputError: its backbone has not been fetched, or is not the published one.
    """

    def __init__(self) -> None:
        super().__init__()
        weights = read_backbone()
        with warnings.catch_warnings():  # of torchvision, about how lpips calls it
            warnings.simplefilter("ignore")
            import lpips

            # never a random backbone: its weights are replaced at once
            self.net = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        convolutions = [m for m in self.net.net.modules() if isinstance(m, nn.Conv2d)]
        for layer, number in zip(convolutions, LAYERS, strict=True):
            layer.load_state_dict({k: weights[f"features.{number}.{k}"] for k in ("weight", "bias")})
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Lpips:
        """Stays as it is: it has no training mode."""
        return super().train(False)

    def forward(self, a: Float[Tensor, "M 1 H W"], b: Float[Tensor, "M 1 H W"]) -> Float[Tensor, " M"]:
        """Distance of each pair of images in [−1, 1], at least 64 pixels a side.

        Equation: eq-lpips (Zhang et al. 2018).

        Raises:
            ValueError: smaller images.
        """
        if min(a.shape[2:]) < SMALLEST:
            raise ValueError(
                f"images: found {tuple(a.shape[2:])}, expected at least {SMALLEST} pixels a side"
            )
        return self.net(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1)).flatten()

    def activations(self, images: Float[Tensor, "B 1 H W"]) -> list[Float[Tensor, "B C h w"]]:
        """Of AlexNet's five layers, for images in [−1, 1]."""
        return list(self.net.net(self.net.scaling_layer(images.expand(-1, 3, -1, -1))))
