"""Plants every fault of ``faults.toml``, one at a time, in a copy of the package, and says which tests catch it.

python tests/plant.py [WORD ...]    only faults whose name, kind or file has one of these words
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("physldm", "tests", "pyproject.toml")
LONGEST = 300  # seconds for the tests of one fault
FAILED = 1  # pytest's exit code where tests ran and some failed; any other is no verdict


@dataclass(frozen=True)
class Fault:
    """One fault: in ``file`` the text ``find``, which stands there once, becomes ``replace``; ``tests`` must fail."""

    name: str
    kind: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]

    def found(self) -> int:
        """How often ``find`` stands in the file."""
        return (ROOT / self.file).read_text(encoding="utf-8").count(self.find)

    def plant(self, root: Path) -> None:
        text = (root / self.file).read_text(encoding="utf-8")
        (root / self.file).write_text(text.replace(self.find, self.replace), encoding="utf-8")


def read_faults() -> list[Fault]:
    content = tomllib.loads((ROOT / "tests" / "faults.toml").read_text(encoding="utf-8"))
    return [
        Fault(**row | {"file": content["files"][row["file"]], "tests": tuple(row["tests"])})
        for row in content["fault"]
    ]


def run_tests(tests: Sequence[str], fault: Fault | None = None) -> tuple[int, list[str]]:
    """Pytest's exit code and the first test that failed, in a copy of the tree with ``fault`` planted in it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        if fault:
            fault.plant(root)
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--tb=no", "-rfE", *tests]
        own = {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=root, env=os.environ | own, capture_output=True, text=True, timeout=LONGEST
            )
        except subprocess.TimeoutExpired:
            return FAILED, [f"more than {LONGEST} s"]
    return done.returncode, re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)


def main(words: Sequence[str]) -> int:
    faults = [f for f in read_faults() if not words or any(w in f"{f.name} {f.kind} {f.file}" for w in words)]
    lost = [f"{f.file}: found {f.found()} times, expected once: {f.find}" for f in faults if f.found() != 1]
    if lost or not faults:
        print("\n".join(lost) or f"no fault has one of {words}")
        return 1
    code, failed = run_tests(sorted({test for fault in faults for test in fault.tests}))
    if code:
        print(f"without any fault the tests must pass; pytest ended with {code}: {', '.join(failed)}")
        return 1
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for fault, (code, failed) in zip(
            faults, pool.map(lambda f: run_tests(f.tests, f), faults), strict=True
        ):
            caught = code == FAILED and bool(failed)
            survivors += not caught
            by = failed[0] if caught else f"SURVIVES (pytest ended with {code})"
            print(f"{fault.name} | {fault.kind} | {by}", flush=True)
    print(f"{len(faults) - survivors} of {len(faults)} faults caught")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
