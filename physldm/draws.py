"""Chance that depends on nothing but its key: a training that was stopped goes on to the same numbers."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch


class Who(IntEnum):
    """Who draws: each training has numbers of its own."""

    VAE = 1
    LDM = 2
    FINE_TUNING = 3
    CRITIC = 4
    PLAIN = 5
    SCANNER = 6


class What(IntEnum):
    """What is drawn: the order of an epoch, or what one step needs."""

    ORDER = 0
    STEP = 1


def keyed_draw(*key: int) -> torch.Generator:
    """A CPU generator that depends on nothing but ``key``: the same step draws the same numbers after a stop."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Layers draw their start from torch's own generator: inside, it begins at ``seed``; after it, it is as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Step:
    """One step of a training, on one of its devices; all that it draws follows from this.

    Attributes:
        seed: of the run.
        who: which training.
        number: of the step, from 0.
        rank: which device.
        world: how many devices.
    """

    seed: int
    who: Who
    number: int
    rank: int = 0
    world: int = 1

    def draw(self) -> torch.Generator:
        """What this step draws from, on this device."""
        return keyed_draw(self.seed, self.who, What.STEP, self.number, self.rank)

    def batch(self, items: int, size: int) -> list[int]:
        """Which ``size`` of the ``items`` this device takes: an epoch is a permutation, shared by all devices."""
        every = size * self.world
        epoch, place = divmod(self.number, max(1, items // every))
        order = torch.randperm(items, generator=keyed_draw(self.seed, self.who, What.ORDER, epoch))
        return order[place * every : (place + 1) * every][self.rank :: self.world].tolist()
