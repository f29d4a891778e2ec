"""A subject of 160 × 224 × 160 mm at 1 mm with three contrasts, made and written as BIDS: seconds and memory."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

from physldm.data import make_subject
from physldm.data.bids import start_dataset
from physldm.data.population import write_subject

from .bar import Bar


def _make(subjects: int, queue) -> None:
    make_subject(0, 0)  # the anatomy is read once
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "bids"
        start_dataset(root, "benchmark")
        began = time.perf_counter()
        for i in range(subjects):
            write_subject(root, f"sub-{i}", make_subject(0, i))
        seconds = (time.perf_counter() - began) / subjects
    queue.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def bars() -> list[Bar]:
    context = multiprocessing.get_context("spawn")  # a process of its own: its memory is its own
    queue = context.Queue()
    process = context.Process(target=_make, args=(2, queue))
    process.start()
    seconds, gigabytes = queue.get()
    process.join()
    return [
        Bar("a made-up subject at 1 mm, made and written", seconds, 30.0, " s"),
        Bar("most memory while doing it", gigabytes, 4.0, " GB"),
    ]
