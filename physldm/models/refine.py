"""The last word is the scans': the encoder guesses a code once; steps on the code alone bring its maps nearer to the scans."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.config import LossConfig
from physldm.physics import AcquisitionBatch

from .losses import vae_loss
from .vae import PhysicsVAE

RATE = 0.1  # of Adam
PATIENCE, ENOUGH = 10, 1e-3  # it stops where so many steps lower the loss by less than this share of it


@torch.enable_grad()
def refined(
    vae: PhysicsVAE,
    images: Float[Tensor, "B N H W"],
    acquisitions: AcquisitionBatch,
    mask: Bool[Tensor, "B N"],
    loss: LossConfig,
    steps: int,
) -> Float[Tensor, "B C h w"]:
    """Codes that explain scans better than the encoder's: from its means on, Adam's steps by the training loss, with the
    decoder as it is.

    Of that loss LPIPS and the discriminator are left out. Of the KL, as a code is one point, ½ μ² is left to choose by. The
    gain that an encoder finds for each scan (``vae.gain``) stays as it found it: no scan tells gain from PD.

    Args:
        vae: whose decoder explains the scans.
        images: magnitudes in scanner units.
        acquisitions: how each was taken.
        mask: True for scans to look at and to explain.
        loss: the weights of its terms.
        steps: at most so many; fewer where the loss of all slices together hardly falls any more.

    Returns:
        Of the codes on the way those of least loss.
    """
    with torch.no_grad():
        start = vae(images, acquisitions, mask)
    best = start.mean
    z = start.mean.clone().requires_grad_()
    optimiser, values = torch.optim.Adam([z], RATE), []
    for _ in range(steps + 1):
        o, maps, made = vae.explain(z, start.log_gain, acquisitions)
        value, _ = vae_loss(replace(start, mean=z, o=o, maps=maps, reconstruction=made), images, mask, loss)
        values.append(value.item())
        if values[-1] == min(values):
            best = z.detach().clone()
        if len(values) > PATIENCE and min(values[-PATIENCE:]) >= (1 - ENOUGH) * min(values[:-PATIENCE]):
            break
        # the sum over slices: a slice's steps are the same whoever is with it
        (z.grad,) = torch.autograd.grad(len(z) * value, z)
        optimiser.step()
    return best
