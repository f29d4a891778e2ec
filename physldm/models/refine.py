"""The last word is the scans': the encoder guesses a code once; steps on the code, and on the gains of the scans, bring
its maps nearer to them."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.config import LossConfig
from physldm.physics import AcquisitionBatch
from physldm.progress import progress

from .losses import vae_loss
from .vae import PhysicsVAE

RATE, GAIN_RATE = 0.1, 0.01  # of Adam, on codes and on logarithms of gains
PULL = 1e-3  # a slice's, that draws its session's gains towards those that were told
PATIENCE, ENOUGH = 10, 1e-3  # it stops where so many steps lower the loss by less than this share of it
AT_ONCE = 4  # slices; gradients take memory, and more are no faster


@torch.enable_grad()
def refined(
    vae: PhysicsVAE,
    images: Float[Tensor, "S N H W"],
    acquisitions: AcquisitionBatch,
    mask: Bool[Tensor, "S N"],
    loss: LossConfig,
    steps: int,
    spread: float = 0.0,
) -> tuple[Float[Tensor, "S C h w"], Float[Tensor, " N"]]:
    """Codes that explain a session's scans better than the encoder's, and the gains of the scans: from the encoder's means
    and from gains of 1 on, Adam's steps by the training loss, with the decoder as it is.

    Of that loss LPIPS and the discriminator are left out. Of the KL, as a code is one point, ½ μ² is left to choose by.
    No scan tells gain from PD, but several tell their gains' ratios if all their slices are asked together: one gain for
    each scan, the geometric mean of all 1, so that PD keeps the brain's. What the encoder finds (``vae.gain``) is beside
    it and stays.

    Args:
        vae: whose decoder explains the scans.
        images: magnitudes in scanner units, all slices of a session.
        acquisitions: how each was taken.
        mask: True for scans to look at and to explain.
        loss: the weights of its terms.
        steps: at most so many; fewer where the loss of all slices together hardly falls any more.
        spread: standard deviation of the logarithm of a scan's own gain, 0 where scans have none.

    Returns:
        Of the codes on the way those of least loss; and the logarithms of the gains that go with them, 0 of scans that
        are not there.
    """
    session = _Session(vae, images, acquisitions, mask, loss, spread)
    z, own = session.guess().requires_grad_(), torch.zeros(mask.shape[1], requires_grad=True)
    ways = [{"params": [z], "lr": RATE}, {"params": [own], "lr": GAIN_RATE if spread else 0.0}]
    optimiser, values, best = torch.optim.Adam(ways), [], (z, own)
    for _ in progress(range(steps + 1), desc="refining", unit="step", leave=False):
        values.append(session.misfit(z, own))
        if values[-1] == min(values):
            best = z.detach().clone(), centred(own, session.there).detach()
        if len(values) > PATIENCE and min(values[-PATIENCE:]) >= (1 - ENOUGH) * min(values[:-PATIENCE]):
            break
        optimiser.step()
    return best


class _Session:
    """The scans that codes and gains have to explain, a few slices at a time; see :func:`refined`."""

    def __init__(
        self,
        vae: PhysicsVAE,
        images: Float[Tensor, "S N H W"],
        acquisitions: AcquisitionBatch,
        mask: Bool[Tensor, "S N"],
        loss: LossConfig,
        spread: float,
    ):
        self.vae, self.loss, self.spread = vae, loss, spread
        self.images, self.acquisitions, self.mask, self.there = images, acquisitions, mask, mask.any(0)
        self.parts = alike(mask)
        with torch.no_grad():
            self.starts = [vae(images[p], acquisitions[p], mask[p]) for p in self.parts]

    def guess(self) -> Float[Tensor, "S C h w"]:
        """The encoder's means."""
        order = torch.tensor([row for part in self.parts for row in part]).argsort()
        return torch.cat([start.mean for start in self.starts])[order]

    def misfit(self, z: Float[Tensor, "S C h w"], own: Float[Tensor, " N"]) -> float:
        """The loss, and its slopes as gradients of ``z`` and ``own``. It is the sum over slices, so that a slice's steps are
        the same whoever is with it."""
        total, slopes = 0.0, [torch.zeros_like(z), torch.zeros_like(own)]
        for part, start in zip(self.parts, self.starts, strict=True):
            gains = centred(own, self.there)
            o, maps, made = self.vae.explain(z[part], start.log_gain + gains, self.acquisitions[part])
            found = replace(start, mean=z[part], o=o, maps=maps, reconstruction=made)
            value = vae_loss(found, self.images[part], self.mask[part], self.loss)[0]
            if self.spread:
                # ½ Σ (g/σ)²
                value = value + PULL * (gains / self.spread).square().sum() / 2
            total += len(part) * value.item()
            more = torch.autograd.grad(len(part) * value, (z, own))
            slopes = [a + b for a, b in zip(slopes, more, strict=True)]
        z.grad, own.grad = slopes
        return total


def alike(mask: Bool[Tensor, "S N"]) -> list[list[int]]:
    """Numbers of slices that the same scans reach, a few at a time."""
    return [
        part.tolist()
        for pattern in mask.unique(dim=0)
        for part in (mask == pattern).all(1).nonzero()[:, 0].split(AT_ONCE)
    ]


def centred(log_gains: Float[Tensor, " N"], there: Bool[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The logarithms of gains over their geometric mean; of scans that are not there 0."""
    return torch.where(there, log_gains - log_gains[there].mean(), 0.0)
