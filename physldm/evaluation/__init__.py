"""Scores: of images, of tissue maps, of a whole run."""

from .image import mae, ms_ssim, mse, psnr
from .report import evaluate

__all__ = ["evaluate", "mae", "ms_ssim", "mse", "psnr"]
