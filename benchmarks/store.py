"""A slice store at full size: what 2,000 sessions cost in memory against 20, and slices a second from disk."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from physldm.data.slices import FORMAT, SliceStore, add_session, close_store
from physldm.physics import Acquisition

from .bar import Bar

SLICES, BATCH = 140, 16
PROTOCOL = [Acquisition.usual(name) for name in ("mprage", "spin_echo", "flair")]


def _hollow_store(folder: Path, sessions: int) -> None:
    """A store whose arrays are holes: files of full length that take no room on disk."""
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, 3, 224, 160), np.float32))
    header["shape"] = (SLICES, 3, 224, 160)
    rows = []
    for i in range(sessions):
        name = f"sub-{i:04d}"
        (folder / "sessions" / name).mkdir(parents=True)
        with open(folder / "sessions" / name / "scans.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + SLICES * 3 * 224 * 160 * 4)
        rows.append({"name": name, "subject": name, "slices": SLICES, "heights": list(range(SLICES)),
                     "acquisitions": [asdict(a) for a in PROTOCOL], "truth": False, "split": "train"})  # fmt: skip
    index = {
        "format": FORMAT,
        "fingerprint": "",
        "spacing": 1,
        "partial_volume": "properties",
        "sessions": rows,
    }
    (folder / "index.json").write_text(json.dumps(index))


def _own_memory() -> float:
    """Megabytes that are this process's own, without the files that it has mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def _open_and_read(folder: Path, queue) -> None:
    before = _own_memory()
    store = SliceStore(folder)
    draw = np.random.default_rng(0)
    for _ in range(200):
        store.batch(draw.integers(len(store.session_of), size=4))
    queue.put(_own_memory() - before)


def _memory(folder: Path) -> float:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_open_and_read, args=(folder, queue))
    process.start()
    megabytes = queue.get()
    process.join()
    return megabytes


def _slices_per_second(folder: Path) -> float:
    """From a store of 20 sessions in random order, each file thrown out of the system's cache first."""
    for i in range(20):
        scans = np.random.default_rng(i).random((SLICES, 3, 224, 160), np.float32)
        add_session(folder, f"sub-{i}", subject=f"{i}", source="", acquisitions=PROTOCOL, arrays={"scans": scans},
                    heights=range(SLICES))  # fmt: skip
    store = close_store(folder, {f"sub-{i}": "train" for i in range(20)}, spacing=1, fingerprint="")
    for file in folder.rglob("*.npy"):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    order = np.random.default_rng(0).permutation(len(store.session_of))
    began = time.perf_counter()
    for start in range(0, len(order), BATCH):
        store.batch(order[start : start + BATCH])
    return len(order) / (time.perf_counter() - began)


def bars() -> list[Bar]:
    with tempfile.TemporaryDirectory() as folder:
        few, many, real = (Path(folder) / name for name in ("few", "many", "real"))
        _hollow_store(few, 20)
        _hollow_store(many, 2000)
        small, large = _memory(few), _memory(many)
        speed = _slices_per_second(real)
    print(
        f"store: own memory {small:.0f} MB with 20 sessions, {large:.0f} MB with 2,000; {speed:.0f} slices/s"
    )
    return [
        Bar("own memory of 2,000 sessions beyond that of 20", large - small, 32.0, " MB"),
        Bar("milliseconds a slice of 3 × 224 × 160 from disk", 1000 / speed, 1.0, " ms"),
    ]
