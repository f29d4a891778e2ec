"""Runs all benchmarks, or the one that is named: `python -m benchmarks [signal]`. Exit code 1 where a bar is missed."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks

MODULES = sorted(
    m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name not in ("__main__", "bar")
)


def main(names: list[str]) -> None:
    unknown = set(names) - set(MODULES)
    if unknown:
        print(f"benchmark: found {sorted(unknown)}, expected of {', '.join(MODULES)}", file=sys.stderr)
        sys.exit(2)
    missed = 0
    for name in names or MODULES:
        for bar in importlib.import_module(f"benchmarks.{name}").bars():
            print(bar, flush=True)
            missed += not bar.met
    sys.exit(missed > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
