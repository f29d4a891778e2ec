"""How alike two images are: MSE, MAE, PSNR, SSIM, MS-SSIM, and the two protocols that use them.

Every measure is taken of each image of a batch first; ``reduction="mean"`` then averages over the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Reduction = Literal["mean", "none"]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first


def mse(
    pred: Float[Tensor, " B *dims"],
    target: Float[Tensor, " B *dims"],
    *,
    mask: Bool[Tensor, " B *dims"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*B"]:
    """Mean squared error of each image, ``[B]``, or its mean over images.

    Equation: eq-mse.

    Args:
        pred: ``[B, C, H, W]``, the image to judge.
        target: ``[B, C, H, W]``, what it should be, in the same units.
        mask: the voxels that count, shaped as the images; all if ``None``.
        reduction: ``mean`` over the images, or ``none``.

    Raises:
        ValueError: shapes that differ, an image of which no voxel counts, an unknown reduction.
    """
    pred, target = _pair(pred, target)
    # MSE = mean (x̂ − x)²
    return _reduce(_mean_of_image((pred - target).square(), mask), reduction)


def mae(
    pred: Float[Tensor, " B *dims"],
    target: Float[Tensor, " B *dims"],
    *,
    mask: Bool[Tensor, " B *dims"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*B"]:
    """Mean absolute error of each image, ``[B]``, or its mean over images; arguments as for :func:`mse`.

    Equation: eq-mae.
    """
    pred, target = _pair(pred, target)
    # MAE = mean |x̂ − x|
    return _reduce(_mean_of_image((pred - target).abs(), mask), reduction)


def psnr(
    pred: Float[Tensor, " B *dims"],
    target: Float[Tensor, " B *dims"],
    *,
    data_range: float | Float[Tensor, " B"],
    mask: Bool[Tensor, " B *dims"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*B"]:
    """Peak signal-to-noise ratio of each image in dB, ``[B]``, or the mean of these; equal images give ∞.

    Equation: eq-psnr.

    Args:
        pred: ``[B, C, H, W]``, the image to judge.
        target: ``[B, C, H, W]``, what it should be, in the same units.
        data_range: what counts as the peak, in the units of the images: one number or one an image. It has no
            default because it decides the result: twice the range is 6 dB more.
        mask: the voxels that count; all if ``None``.
        reduction: ``mean`` over the images, or ``none``.

    Raises:
        ValueError: as :func:`mse`, or a range that is not positive.
    """
    pred, target = _pair(pred, target)
    peak = _range(data_range, pred)
    # PSNR = 10 log₁₀ (range² / MSE)
    error = _mean_of_image((pred - target).square(), mask)
    return _reduce(10 * torch.log10(peak.square() / error), reduction)


def ssim(
    pred: Float[Tensor, "B C H W"],
    target: Float[Tensor, "B C H W"],
    *,
    data_range: float | Float[Tensor, " B"],
    kernel_size: int = 11,
    sigma: float = 1.5,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*B"]:
    """Structural similarity of each image (Wang et al. 2004), ``[B]``, or its mean over images.

    Equation: eq-ssim. Arguments and errors as for :func:`ms_ssim`; windows that leave the image are not used.
    """
    pred, target = _pair(pred, target)
    _check_size(pred, kernel_size, 1)
    value, _ = _ssim_and_contrast(pred, target, _range(data_range, pred), _gaussian(kernel_size, sigma, pred))
    return _reduce(value.mean(1), reduction)


def ms_ssim(
    pred: Float[Tensor, "B C H W"],
    target: Float[Tensor, "B C H W"],
    *,
    data_range: float | Float[Tensor, " B"],
    kernel_size: int = 11,
    sigma: float = 1.5,
    weights: Sequence[float] = WEIGHTS,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*B"]:
    """Multi-scale structural similarity (Wang et al. 2003) of each image, ``[B]``, or its mean over images.

    Equation: eq-ms-ssim. Each channel is an image of its own, and an image has the mean of its channels. From scale
    to scale 2 × 2 voxels are averaged and an odd last row or column is dropped. A negative term counts as 0.

    Args:
        pred: ``[B, C, H, W]``, the image to judge.
        target: ``[B, C, H, W]``, what it should be, in the same units.
        data_range: of the images, in their units: one number or one an image.
        kernel_size: side of the Gaussian window in voxels, odd or even.
        sigma: its standard deviation in voxels.
        weights: exponents, one a scale, finest first; they need not sum to 1.
        reduction: ``mean`` over the images, or ``none``.

    Raises:
        ValueError: shapes that differ, a range that is not positive, or an image that at the coarsest scale
            is smaller than the window (five scales and a window of 11 need 176 voxels a side).
    """
    terms = _scale_terms(*_pair(pred, target), data_range, kernel_size, sigma, len(weights))
    return _reduce(_product_of_powers(terms, weights).mean(1), reduction)


def paper_protocol(pred: Float[Tensor, "B N H W"], target: Float[Tensor, "B N H W"]) -> dict[str, float]:
    """The scores of a subject's slices as the paper's code takes them: for comparison, never a target.

    Whole images, in consecutive batches of 4 slices with all their contrasts. MSE and MAE on raw intensities, PSNR with
    one range, max − min of the target batch; each is averaged over batches (a last, smaller one counts as much).
    MS-SSIM: window 4, after prediction and target are each scaled to [0, 1] by their own min and max over the batch,
    which hides an error of gain or offset that all contrasts share; averaged over slices.

    Args:
        pred: ``[B, N, H, W]``, reconstructions of N contrasts.
        target: ``[B, N, H, W]``, the measured scans.

    Returns:
        ``mse``, ``mae``, ``psnr`` (dB), ``ms_ssim``.

    Raises:
        ValueError: shapes that differ, no image, an image below 64 voxels a side, or a batch of targets that
            is constant.
    """
    _stack(pred, target, "B, N, H, W")
    scores, similar = [], []
    for p, x in zip(pred.split(4), target.split(4), strict=True):
        whole = p[None], x[None]  # the batch as one image
        peak = float(x.max() - x.min())
        scores.append(torch.stack([mse(*whole), mae(*whole), psnr(*whole, data_range=peak)]))
        # its library averages a scale's term over the contrasts before it multiplies the scales
        terms = _scale_terms(_min_max(p), _min_max(x), 1.0, 4, 1.5, len(WEIGHTS))
        similar.append(_product_of_powers([term.mean(1) for term in terms], WEIGHTS))
    found = [*torch.stack(scores).double().mean(0).tolist(), torch.cat(similar).double().mean().item()]
    return dict(zip(("mse", "mae", "psnr", "ms_ssim"), found, strict=True))


def fixed_protocol(
    pred: Float[Tensor, "B H W"], noise_free: Float[Tensor, "B H W"], brain: Bool[Tensor, "B H W"]
) -> dict[str, float]:
    """The scores of one contrast of one subject as this package takes them.

    All voxels of the brain are pooled over the slices, and one range holds for all: the 99.5th percentile of
    the noise-free scan inside the brain. MS-SSIM has window 11 and three scales (their weights made to sum to
    1, so that 112 × 80 suffices); what lies outside the brain is set to zero in both images first, so it counts as
    equal and raises the score; slices without brain are left out; it is the mean over slices.

    Args:
        pred: ``[B, H, W]``, the slices of one subject.
        noise_free: what should have come out.
        brain: the voxels that count.

    Returns:
        ``mse``, ``mae``, ``psnr`` (dB), ``ms_ssim``.

    Raises:
        ValueError: shapes that differ, no voxel of brain, an image below 44 voxels a side, or a range that is
            not positive.
    """
    inside_pred, inside, peak = _in_brain(pred, noise_free, brain)
    weights = [w / sum(WEIGHTS[:3]) for w in WEIGHTS[:3]]
    slices = brain.flatten(1).any(1)
    p, x = ((image * brain)[slices, None] for image in (pred, noise_free))
    return {
        "mse": float(mse(inside_pred, inside)),
        "mae": float(mae(inside_pred, inside)),
        "psnr": float(psnr(inside_pred, inside, data_range=peak)),
        "ms_ssim": float(ms_ssim(p, x, data_range=peak, weights=weights)),
    }


def fixed_psnr(
    pred: Float[Tensor, "B H W"], noise_free: Float[Tensor, "B H W"], brain: Bool[Tensor, "B H W"]
) -> float:
    """The PSNR (dB) of :func:`fixed_protocol` alone, whose MS-SSIM takes far longer; arguments and errors are its."""
    inside_pred, inside, peak = _in_brain(pred, noise_free, brain)
    return float(psnr(inside_pred, inside, data_range=peak))


def _in_brain(pred: Tensor, noise_free: Tensor, brain: Tensor) -> tuple[Tensor, Tensor, float]:
    """Both images' voxels of brain, ``[1, n]``, and the range of the second's."""
    _stack(pred, noise_free, "B, H, W")
    if brain.shape != pred.shape or brain.dtype != torch.bool or not brain.any():
        raise ValueError(
            f"brain: found {brain.dtype} {tuple(brain.shape)} with {int(brain.sum())} voxels, "
            f"expected a boolean mask {tuple(pred.shape)} with some"
        )
    inside_pred, inside = pred[brain][None].double(), noise_free[brain][None].double()
    return inside_pred, inside, _percentile(inside[0], 0.995)


def _scale_terms(
    pred: Tensor, target: Tensor, data_range: float | Tensor, kernel_size: int, sigma: float, scales: int
) -> list[Float[Tensor, "B C"]]:
    """The factors of MS-SSIM before they are weighted, finest scale first: contrast and structure, at last SSIM."""
    _check_size(pred, kernel_size, scales)
    peak, window, terms = _range(data_range, pred), _gaussian(kernel_size, sigma, pred), []
    for _ in range(scales - 1):
        terms.append(_ssim_and_contrast(pred, target, peak, window)[1])
        pred, target = F.avg_pool2d(pred, 2), F.avg_pool2d(target, 2)
    return [*terms, _ssim_and_contrast(pred, target, peak, window)[0]]


def _product_of_powers(terms: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    # MS-SSIM = SSIM_M^{w_M} · ∏_{j < M} c_j^{w_j}, where c is SSIM without its luminance term
    return torch.stack([t.relu() ** w for t, w in zip(terms, weights, strict=True)]).prod(0)


def _ssim_and_contrast(
    x: Tensor, y: Tensor, peak: Float[Tensor, " B"], window: Float[Tensor, " k"]
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
    """SSIM and its contrast-structure term, each the mean over windows."""
    # c₁ = (0.01 range)²,   c₂ = (0.03 range)²
    c1, c2 = ((k * peak.view(-1, 1, 1, 1)) ** 2 for k in (0.01, 0.03))
    mu_x, mu_y = _blur(x, window), _blur(y, window)
    # σ_x² + σ_y² and σ_xy in each window
    sigma2 = _blur(x * x, window) - mu_x**2 + _blur(y * y, window) - mu_y**2
    sigma_xy = _blur(x * y, window) - mu_x * mu_y
    # contrast = (2 σ_xy + c₂)/(σ_x² + σ_y² + c₂),   luminance = (2 μ_x μ_y + c₁)/(μ_x² + μ_y² + c₁)
    contrast = (2 * sigma_xy + c2) / (sigma2 + c2)
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def _gaussian(size: int, sigma: float, like: Tensor) -> Float[Tensor, " k"]:
    """A Gaussian window centred between its ends, so that an even one is symmetric too; it sums to 1."""
    if not sigma > 0:
        raise ValueError(f"sigma: found {sigma}, expected more than 0")
    at = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    return (-0.5 * (at / sigma) ** 2).softmax(0)


def _blur(x: Float[Tensor, "B C H W"], window: Float[Tensor, " k"]) -> Float[Tensor, "B C h w"]:
    """Along height, then width; only where the window fits."""
    channels = x.shape[1]
    kernel = window.expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(x, kernel.mT, groups=channels), kernel, groups=channels)


def _pair(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider of their float types, float32 at least."""
    if pred.shape != target.shape or pred.ndim == 0 or pred.numel() == 0:
        raise ValueError(
            f"pred, target: found shapes {tuple(pred.shape)} and {tuple(target.shape)}, expected them equal, not empty"
        )
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)


def _stack(pred: Tensor, target: Tensor, axes: str) -> None:
    if pred.shape != target.shape or pred.ndim != len(axes.split(",")):
        raise ValueError(
            f"pred, target: found shapes {tuple(pred.shape)} and {tuple(target.shape)}, expected two of [{axes}]"
        )


def _range(data_range: float | Tensor, like: Tensor) -> Float[Tensor, " B"]:
    """One range an image, ``[B]``."""
    peak = torch.as_tensor(data_range, dtype=like.dtype, device=like.device)
    if peak.ndim > 1 or (peak.ndim == 1 and len(peak) != len(like)):
        raise ValueError(f"data_range: found shape {tuple(peak.shape)}, expected a number or [{len(like)}]")
    if not bool((peak > 0).all() and peak.isfinite().all()):
        raise ValueError(f"data_range: found {peak.tolist()}, expected finite and more than 0")
    return peak.expand(len(like))


def _check_size(image: Tensor, kernel_size: int, scales: int) -> None:
    if image.ndim != 4:
        raise ValueError(f"pred, target: found shape {tuple(image.shape)}, expected [B, C, H, W]")
    if scales < 1 or kernel_size < 1:
        raise ValueError(f"weights, kernel_size: found {scales}, {kernel_size}, expected at least 1 of each")
    needed = kernel_size * 2 ** (scales - 1)
    for name, side in zip(("height", "width"), image.shape[2:], strict=True):
        if side < needed:
            raise ValueError(
                f"{name}: found {side}, expected at least {needed} "
                f"(kernel_size {kernel_size} at {scales} scales: {kernel_size} × 2^{scales - 1})"
            )


def _mean_of_image(error: Tensor, mask: Tensor | None) -> Float[Tensor, " B"]:
    error = error.reshape(len(error), -1)
    if mask is None:
        return error.mean(1)
    if mask.dtype != torch.bool or mask.shape[:1] != error.shape[:1] or mask[0].numel() != error.shape[1]:
        raise ValueError(
            f"mask: found {mask.dtype} {tuple(mask.shape)}, expected booleans shaped as the images"
        )
    mask = mask.reshape(len(mask), -1)
    count = mask.sum(1)
    if not bool(count.all()):
        raise ValueError(
            f"mask: image {int((count == 0).nonzero()[0])} of the batch has no voxel that counts"
        )
    return error.where(mask, 0).sum(1) / count


def _reduce(values: Float[Tensor, " B"], reduction: Reduction) -> Tensor:
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction: found {reduction!r}, expected mean or none")
    return values.mean() if reduction == "mean" else values


def _min_max(x: Tensor) -> Tensor:
    """To [0, 1] over the whole batch; a constant batch to 0."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high > low else torch.zeros_like(x)


def _percentile(values: Float[Tensor, " n"], q: float) -> float:
    """As ``numpy.percentile``, interpolated; ``torch.quantile`` refuses more than 16 million values."""
    at = q * (len(values) - 1)
    ordered = values.sort().values
    low, high = ordered[int(at)], ordered[min(int(at) + 1, len(values) - 1)]
    return float(torch.lerp(low, high, at - int(at)))
