"""Brains and scans: anatomies, made-up subjects, BIDS files, slice stores."""

from physldm.physics import CONTRASTS

from .anatomy import CLASSES, Anatomy, anatomies, check_anatomies, load_anatomy
from .phantom import Subject, average_brain, example_maps, make_subject

__all__ = [
    "CLASSES",
    "CONTRASTS",
    "Anatomy",
    "Subject",
    "anatomies",
    "average_brain",
    "check_anatomies",
    "example_maps",
    "load_anatomy",
    "make_subject",
]
