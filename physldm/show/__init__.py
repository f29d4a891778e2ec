"""Pictures for the chapters: images and maps on shared scales, curves of tissues, tables, the scanner."""

from .figures import (
    show_bounds,
    show_curves,
    show_effects,
    show_errors,
    show_images,
    show_log,
    show_maps,
    show_ranges,
    show_surface,
    tissue_lines,
)
from .overview import show_overview
from .plane import show_clouds, show_lines, show_paths
from .scanner import scanner
from .style import TISSUE_COLOURS
from .tables import table
from .widgets import bounds_explorer

__all__ = [
    "TISSUE_COLOURS",
    "bounds_explorer",
    "scanner",
    "show_bounds",
    "show_clouds",
    "show_curves",
    "show_effects",
    "show_errors",
    "show_images",
    "show_lines",
    "show_log",
    "show_maps",
    "show_overview",
    "show_paths",
    "show_ranges",
    "show_surface",
    "table",
    "tissue_lines",
]
