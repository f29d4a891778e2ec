import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory) -> Path:
    """A folder that holds one run of the smoke preset, trained once by the command a reader would type."""
    folder = tmp_path_factory.mktemp("runs")
    command = [
        sys.executable,
        "-m",
        "physldm.cli",
        "train",
        "--run",
        str(folder / "smoke"),
        "--preset",
        "smoke",
    ]
    subprocess.run([*command, "--set", "precision=32-true"], check=True)
    os.environ["PHYSLDM_RUNS"], os.environ["PHYSLDM_PRESET"] = str(folder), "smoke"
    return folder


@pytest.fixture(scope="session")
def smoke_run(runs_folder) -> Path:
    return runs_folder / "smoke"
