"""What makes a page keep its word: exercises that answer back, sentences that are checked, equations that are code."""

from .check import Verdict
from .notice import notice

__all__ = ["Verdict", "notice"]
