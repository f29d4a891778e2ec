"""How pictures look: LPIPS as a score, and how much of their fine detail is there, and is right."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.data.slices import SliceStore
from physldm.models import PhysicsVAE
from physldm.models.perceptual import Lpips

from .image import fixed_protocol
from .tissue import brain_mask, relative_errors


def perceptual_distance(
    pred: Float[Tensor, "B H W"],
    target: Float[Tensor, "B H W"],
    *,
    data_range: float | Float[Tensor, " B"],
) -> Float[Tensor, " B"]:
    """LPIPS of each pair of images (see :class:`physldm.models.perceptual.Lpips`); 0 for equal ones, less is better.

    Args:
        pred, target: magnitudes in scanner units, at least 64 voxels a side. data_range: the value that is shown as
            white, one number or one an image; 0 is black, and what lies beyond either is not cut off.

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


@lru_cache(maxsize=1)
def _network() -> Lpips:
    return Lpips()


FINE = 0.25  # cycles a voxel: half of the finest that a picture can hold


def fine_detail(
    pred: Float[Tensor, "B H W"], target: Float[Tensor, "B H W"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """How much fine detail an image has, and how much of it is wrong, both as shares of the target's.

    Fine is whatever varies faster than ``FINE`` along any direction. Of the best guess in least squares the two add up
    to 1: it leaves out what it does not know. A picture with all the detail in the wrong places has (1, 2).

    Returns:
        Power of ``pred`` at fine scales, and that of ``pred − target``, each over the power of ``target`` there.
    """
    fy, fx = (torch.fft.fftfreq(n, device=target.device) for n in target.shape[-2:])
    fine = torch.hypot(fy[:, None], fx[None, :]) > FINE

    def power(image: Tensor) -> Tensor:
        return (torch.fft.fft2(image.double()).abs().square() * fine).sum((1, 2))

    whole = power(target)
    return power(pred) / whole, power(pred - target) / whole


@torch.inference_mode()
def looks_and_truth(vae: PhysicsVAE, store: SliceStore, session: int) -> dict[str, float]:
    """How the reconstructions of one session look, beside how true its maps are; targets are the noise-free scans.

    Returns:
        ``fixed.psnr`` (dB), ``lpips``, ``detail`` and ``false_detail`` (see :func:`fine_detail`), means over contrasts
        (and slices); ``truth.t1_mdape.wm`` and so on, median absolute relative errors in %.

    Raises:
        InputError: the session's truth is not known.
    """
    slices = store.of_session(session)
    batch, clean, truth, fractions = (
        store.batch(slices),
        *(store.array(name, slices) for name in ("clean", "maps", "fractions")),
    )
    output = vae(batch.images, batch.acquisitions, batch.mask)
    inside, scores = brain_mask(fractions), []
    for n in range(clean.shape[1]):
        found, target = output.reconstruction[:, n], clean[:, n]
        peak = target[inside].quantile(0.995)
        amount, wrong = fine_detail(found, target)
        scores.append(
            {
                "fixed.psnr": fixed_protocol(found, target, inside)["psnr"],
                "lpips": perceptual_distance(found, target, data_range=peak).mean().item(),
                "detail": amount.mean().item(),
                "false_detail": wrong.mean().item(),
            }
        )
    errors = relative_errors(output.maps, truth, fractions, store.partial_volume)
    return {key: sum(row[key] for row in scores) / len(scores) for key in scores[0]} | {
        f"truth.{key.replace('.', '_mdape.')}": e.median().item()
        for key, e in errors.items()
        if "." in key and len(e)
    }
