"""Pictures for the chapters: images and maps on shared scales, curves of tissues, the scanner."""

from .figures import (
    TISSUE_COLOURS,
    show_bounds,
    show_curves,
    show_images,
    show_log,
    show_maps,
    show_ranges,
    show_surface,
    tissue_lines,
)
from .widgets import scanner

__all__ = [
    "TISSUE_COLOURS",
    "scanner",
    "show_bounds",
    "show_curves",
    "show_images",
    "show_log",
    "show_maps",
    "show_ranges",
    "show_surface",
    "tissue_lines",
]
