"""The wheel, as pip would install it, used far from the tree it was made from."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with nothing but the unpacked wheel."""
    tree, out, site = (tmp_path_factory.mktemp(name) for name in ("tree", "wheel", "site"))
    shutil.copytree(ROOT / "physldm", tree / "physldm", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(out),
    ]
    subprocess.run([*command, str(tree)], check=True)
    (wheel,) = out.glob("physldm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run_there(site, *words, check=True):
    # -P: the working directory is not searched; the wheel comes before whatever is installed
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=site,
        env={k: v for k, v in os.environ.items() if k != "PHYSLDM_RUNS"} | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=check,
    )


def test_it_holds_what_the_package_reads(elsewhere):
    for name in ("py.typed", "presets/laptop.toml", "presets/paper.toml", "presets/smoke.toml",
                 "evaluation/protocols.json"):  # fmt: skip
        assert (elsewhere / "physldm" / name).exists()
    for file in (ROOT / "physldm" / "show").glob("*.[jc]s*"):
        assert (elsewhere / "physldm" / "show" / file.name).read_bytes() == file.read_bytes()


def test_it_works_outside_the_tree(elsewhere):
    code = """
import physldm, physldm.config, physldm.show.scanner as scanner, torch
from physldm.physics import Acquisition, signal
print(physldm.__file__)
from physldm.evaluation.protocols import read_table
assert len(read_table()["protocols"]) == 25
assert physldm.config.presets() == ["laptop", "paper", "smoke"]
assert signal(torch.ones(3, 2, 2), Acquisition("spin_echo", te=0.1, tr=3.0)).shape == (2, 2)
"""
    found = run_there(elsewhere, "-c", code).stdout.strip()
    assert found == str(elsewhere / "physldm" / "__init__.py")
    assert "physldm" in run_there(elsewhere, "-m", "physldm.cli", "--help").stdout
    assert "spin echo" in run_there(elsewhere, "-m", "physldm.cli", "sequences").stdout


def test_a_run_is_looked_for_where_one_works(elsewhere):
    code = "from physldm.runs import open_run\ntry: open_run()\nexcept ValueError as error: print(error)"
    found = run_there(elsewhere, "-c", code).stdout
    assert found.startswith(f"{elsewhere / 'runs' / 'laptop' / 'config.toml'}: missing")
