"""Progress bars for people: in a terminal and in a notebook, not in a page that is being built."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tqdm.auto import tqdm


def progress(items: Iterable | None = None, *, disable: bool = False, **options) -> tqdm:
    """``tqdm(items, **options)``; no bar where ``TQDM_DISABLE`` is set, to which tqdm's notebook bar pays no heed."""
    return tqdm(items, disable=disable or "TQDM_DISABLE" in os.environ, **options)


def say(line: str) -> None:
    """Prints a line above whatever bar is running."""
    tqdm.write(line)
