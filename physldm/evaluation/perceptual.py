"""How pictures look: LPIPS as a score, how much of the true fine detail is there, and how much is made up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.data.slices import SliceStore
from physldm.models import PhysicsVAE
from physldm.models.perceptual import Lpips
from physldm.physics import CONTRASTS

from .image import fixed_psnr
from .scores import mdape, mean_of_rows
from .tissue import brain_mask, relative_errors

FINE = 0.25  # cycles a voxel: half of the finest that a picture can hold
PURE = 0.95  # share of a voxel that is white matter


def perceptual_distance(
    pred: Float[Tensor, "B H W"],
    target: Float[Tensor, "B H W"],
    *,
    data_range: float | Float[Tensor, " B"],
) -> Float[Tensor, " B"]:
    """LPIPS of each pair of images (see :class:`physldm.models.perceptual.Lpips`); 0 for equal ones, less is better.

    Args:
        pred: in scanner units, at least 64 voxels a side.
        target: what it should be, likewise.
        data_range: what is shown as white, one number or one an image; 0 is shown as black, and what lies
            beyond either is not cut off.

    Raises:
        ValueError: shapes that differ, smaller images, a range that is not positive.
        InputError: AlexNet has not been fetched.
    """
    if pred.shape != target.shape or pred.ndim != 3:
        raise ValueError(
            f"pred, target: found shapes {tuple(pred.shape)} and {tuple(target.shape)}, expected two of [B, H, W]"
        )
    white = torch.as_tensor(data_range, dtype=torch.float32)
    if not bool((white > 0).all() and white.isfinite().all()):
        raise ValueError(f"data_range: found {white.tolist()}, expected finite and more than 0")
    a, b = (2 * x.float() / white.reshape(-1, 1, 1) - 1 for x in (pred, target))
    with torch.inference_mode():
        return _network()(a[:, None], b[:, None])


def activations(images: Float[Tensor, "B 1 H W"]) -> list[Float[Tensor, "B C h w"]]:
    """What each of the five layers of LPIPS' AlexNet answers to images in [−1, 1].

    Raises:
        InputError: AlexNet has not been fetched.
    """
    with torch.inference_mode():
        return _network().activations(images)


@lru_cache(maxsize=1)
def _network() -> Lpips:
    return Lpips()


def fine_detail(
    pred: Float[Tensor, "B H W"], target: Float[Tensor, "B H W"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """How much of the target's fine detail an image has, and how much it has besides.

    Equation: eq-fine-detail. Fine is what varies faster than ``FINE``.

    Returns:
        kept: 1 where all of it is there at full strength. invented: the power of what is left when the kept part is
        taken away, as a share of the target's power. kept² + invented is the image's power over the target's. The best
        guess in least squares has kept − kept² of its detail in the wrong places.
    """
    fy, fx = (torch.fft.fftfreq(n, device=target.device) for n in target.shape[-2:])
    fine = torch.hypot(fy[:, None], fx[None, :]) > FINE
    p, x = (torch.fft.fft2(image.double()) * fine for image in (pred, target))
    power = x.abs().square().sum((1, 2))
    # k = ⟨x̂, x⟩ / ⟨x, x⟩,   v = ‖x̂ − k x‖² / ‖x‖²   over the fine waves
    kept = (p * x.conj()).real.sum((1, 2)) / power
    invented = (p - kept[:, None, None] * x).abs().square().sum((1, 2)) / power
    return kept, invented


def grain(images: Float[Tensor, "B H W"], where: Bool[Tensor, "B H W"]) -> float:
    """The standard deviation of a voxel from the mean of its four neighbours, in % of the images' mean.

    Args:
        images: in any unit.
        where: what should be smooth, such as white matter; only voxels count whose neighbours lie in it, too.

    Raises:
        ValueError: there is no such voxel.
    """

    def neighbours(x: Tensor) -> Tensor:
        return torch.stack([x.roll(step, axis) for step in (1, -1) for axis in (1, 2)])

    inner = where & neighbours(where).all(0)
    if not inner.any():
        raise ValueError("where: found no voxel with four neighbours, expected some")
    apart = (images - neighbours(images).mean(0))[inner]
    return 100 * (apart.std() / images[inner].mean()).item()


@torch.inference_mode()
def looks_and_truth(vae: PhysicsVAE, store: SliceStore, sessions: Sequence[int]) -> dict[str, float]:
    """How a VAE's reconstructions look, beside how true its maps are; means over sessions.

    Reconstructions are compared with the noise-free scans, contrast by contrast; white is the 99.5th percentile of these
    in the brain.

    Returns:
        ``fixed.psnr`` (dB), ``lpips``, ``kept`` and ``invented`` (see :func:`fine_detail`), ``sharpness`` (kept² +
        invented); ``grain`` of T1w in white matter, %; ``truth.t1_mdape.wm`` and so on, median absolute relative errors in %.

    Raises:
        InputError: the truth of a session is not known.
    """
    return mean_of_rows([_session(vae, store, session) for session in sessions])


def _session(vae: PhysicsVAE, store: SliceStore, session: int) -> dict[str, float]:
    slices = store.of_session(session)
    clean, truth, fractions = (store.array(name, slices) for name in ("clean", "maps", "fractions"))
    batch, inside = store.batch(slices), brain_mask(fractions)
    output = vae(batch.images, batch.acquisitions, batch.mask)
    scores = []
    for found, target in zip(output.reconstruction.unbind(1), clean.unbind(1), strict=True):
        kept, invented = fine_detail(found, target)
        white = target[inside].quantile(0.995).item()
        scores.append(
            {
                "fixed.psnr": fixed_psnr(found, target, inside),
                "lpips": perceptual_distance(found, target, data_range=white).mean().item(),
                "sharpness": (kept**2 + invented).mean().item(),
                "kept": kept.mean().item(),
                "invented": invented.mean().item(),
            }
        )
    row = mean_of_rows(scores)
    row["grain"] = grain(output.reconstruction[:, CONTRASTS.index("T1w")], fractions[:, 0] > PURE)
    errors = relative_errors(output.maps, truth, fractions, store.partial_volume)
    return row | {f"truth.{key}": value for key, value in mdape(errors).items() if "." in key}
