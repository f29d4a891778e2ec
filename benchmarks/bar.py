"""Timing, and the bars that times are held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.benchmark import Timer


@dataclass(frozen=True)
class Bar:
    """A number that was measured, and the most it may be."""

    what: str
    found: float
    at_most: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.found <= self.at_most

    def __str__(self) -> str:
        verdict = "met" if self.met else "MISSED"
        return f"{self.what}: {self.found:.3g}{self.unit}, bar {self.at_most:g}{self.unit}: {verdict}"


def seconds(work: dict[str, Callable[[], object]], rounds: int = 3, least: float = 0.5) -> dict[str, float]:
    """Median seconds of each call on all threads, the least of ``rounds``; the calls take turns, so that a busy
    minute falls on all of them."""
    timers = {
        name: Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
        for name, call in work.items()
    }
    best = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.blocked_autorange(min_run_time=least).median)
    return best
