"""Image metrics, written out. The data range and the reduction are always the caller's to say."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang 2003


def _per_image(error: Tensor, mask: Tensor | None) -> Float[Tensor, "B"]:
    if mask is None:
        return error.flatten(1).mean(1)
    if mask.shape != error.shape:
        raise ValueError(f"mask: found shape {tuple(mask.shape)}, expected {tuple(error.shape)}")
    inside = mask.to(error).flatten(1)
    return (error.flatten(1) * inside).sum(1) / inside.sum(1)


def _reduce(values: Float[Tensor, "B"], reduction: str) -> Tensor:
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction: found {reduction!r}, expected mean or none")
    return values.mean() if reduction == "mean" else values


def _check(pred: Tensor, target: Tensor) -> None:
    if pred.shape != target.shape or pred.ndim != 4:
        raise ValueError(
            f"pred, target: found shapes {tuple(pred.shape)} and {tuple(target.shape)}, expected the same [B, C, H, W]"
        )


def _range(data_range: float | Tensor, like: Tensor) -> Float[Tensor, "B"]:
    value = torch.as_tensor(data_range, dtype=like.dtype, device=like.device).expand(len(like))
    if not bool((value > 0).all()):
        raise ValueError(f"data_range: found {value.min().item():g}, expected more than 0")
    return value


def mse(
    pred: Tensor, target: Tensor, *, mask: Bool[Tensor, "B C H W"] | None = None, reduction: str = "mean"
):
    """Mean squared error per image ``[B, C, H, W]``, inside ``mask``; a number, or ``[B]`` with ``none``."""
    _check(pred, target)
    return _reduce(_per_image((pred - target) ** 2, mask), reduction)


def mae(
    pred: Tensor, target: Tensor, *, mask: Bool[Tensor, "B C H W"] | None = None, reduction: str = "mean"
):
    """Mean absolute error per image, as :func:`mse`."""
    _check(pred, target)
    return _reduce(_per_image((pred - target).abs(), mask), reduction)


def psnr(
    pred: Tensor,
    target: Tensor,
    *,
    data_range: float | Tensor,
    mask: Bool[Tensor, "B C H W"] | None = None,
    reduction: str = "mean",
):
    """Peak signal-to-noise ratio in dB: 10 log10(range² / MSE), of each image, then reduced.

    Args:
        data_range: what counts as the peak: a number, or one per image ``[B]``.
    """
    error = mse(pred, target, mask=mask, reduction="none")
    return _reduce(10 * torch.log10(_range(data_range, pred) ** 2 / error), reduction)


def _gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    x = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    g = torch.exp(-(x**2) / (2 * sigma**2))
    return g / g.sum()


def _blur(x: Tensor, g: Tensor) -> Tensor:
    channels, n = x.shape[1], len(g)
    x = F.conv2d(x, g.view(1, 1, n, 1).expand(channels, 1, n, 1), groups=channels)
    return F.conv2d(x, g.view(1, 1, 1, n).expand(channels, 1, 1, n), groups=channels)


def _ssim_and_contrast(x: Tensor, y: Tensor, data_range: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM and mean contrast-structure term of each image and channel, ``[B, C]`` (Wang 2004)."""
    c1, c2 = ((k * data_range[:, None, None, None]) ** 2 for k in (0.01, 0.03))
    mx, my = _blur(x, g), _blur(y, g)
    vx, vy, vxy = _blur(x * x, g) - mx**2, _blur(y * y, g) - my**2, _blur(x * y, g) - mx * my
    contrast = (2 * vxy + c2) / (vx + vy + c2)
    luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def ms_ssim(
    pred: Tensor,
    target: Tensor,
    *,
    data_range: float | Tensor,
    kernel_size: int = 11,
    sigma: float = 1.5,
    weights: tuple[float, ...] = MS_SSIM_WEIGHTS,
    reduction: str = "mean",
):
    """Multi-scale structural similarity (Wang 2003) of images ``[B, C, H, W]``; 1 is equal.

    Between scales images are averaged over 2 × 2 (a last odd row or column is dropped); negative terms
    count as 0.

    Raises:
        ValueError: an image is too small for this kernel and number of scales.
    """
    _check(pred, target)
    scales = len(weights)
    needed = kernel_size * 2 ** (scales - 1)
    if min(pred.shape[-2:]) < needed:
        raise ValueError(
            f"images: found {pred.shape[-2]} × {pred.shape[-1]}, expected at least {needed} a side "
            f"for kernel {kernel_size} and {scales} scales"
        )
    data_range, g = _range(data_range, pred), _gaussian(kernel_size, sigma, pred)
    product = torch.ones(pred.shape[:2], dtype=pred.dtype, device=pred.device)
    for scale, weight in enumerate(weights):
        whole, contrast = _ssim_and_contrast(pred, target, data_range, g)
        product = product * (whole if scale == scales - 1 else contrast).clamp_min(0) ** weight
        pred, target = F.avg_pool2d(pred, 2), F.avg_pool2d(target, 2)
    return _reduce(product.mean(1), reduction)


def paper_protocol(pred: Float[Tensor, "S H W"], target: Float[Tensor, "S H W"]) -> dict[str, float]:
    """The scores as the paper's code takes them, for one contrast: for comparison, never a target.

    Whole images against measured scans, batches of 4; PSNR's range is max − min of the target batch; MS-SSIM
    with kernel 4 after prediction and target are scaled to [0, 1] each by its own minimum and maximum over
    the batch, which hides any error of gain.
    """
    rows = []
    for p, t in zip(pred[:, None].split(4), target[:, None].split(4), strict=True):
        unit = [(x - x.min()) / (x.max() - x.min()).clamp_min(1e-12) for x in (p, t)]
        rows.append(
            torch.stack([
                mse(p, t), mae(p, t), psnr(p, t, data_range=t.max() - t.min()),
                ms_ssim(*unit, data_range=1.0, kernel_size=4),
            ])
        )  # fmt: skip
    return dict(zip(("mse", "mae", "psnr", "ms_ssim"), torch.stack(rows).mean(0).tolist(), strict=True))


def fixed_protocol(
    pred: Float[Tensor, "S H W"], clean: Float[Tensor, "S H W"], brain: Bool[Tensor, "S H W"]
) -> dict[str, float]:
    """Our scores of one subject and contrast: inside the brain, against the noise-free scan.

    The range is the 99.5th percentile of that scan inside the brain; MSE, MAE and PSNR pool the brain's voxels of
    all slices. MS-SSIM uses 3 scales (weights renormalised) with kernel 11, on images set to 0 outside.
    """
    inside = clean[brain]
    peak = torch.quantile(inside, 0.995)
    p, t = (x.reshape(1, 1, 1, -1) for x in (pred[brain], inside))
    weights = tuple(w / sum(MS_SSIM_WEIGHTS[:3]) for w in MS_SSIM_WEIGHTS[:3])
    images = [(x * brain)[:, None] for x in (pred, clean)]
    return {
        "mse": mse(p, t).item(),
        "mae": mae(p, t).item(),
        "psnr": psnr(p, t, data_range=peak).item(),
        "ms_ssim": ms_ssim(*images, data_range=peak, weights=weights).item(),
    }
