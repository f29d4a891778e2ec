"""What tests share. Every call into the package is held to its annotations, shapes included."""

import os
import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest
from jaxtyping import install_import_hook

# before anything imports the package; pydantic holds physldm.config to its annotations by itself
ROOMS = (
    "physics",
    "diffusion",
    "box",
    "data",
    "models",
    "runs",
    "reconstruct",
    "training",
    "evaluation",
)
install_import_hook([f"physldm.{room}" for room in ROOMS], "held.to_annotations")


@pytest.fixture
def unchecked():
    """For what the package itself says to wrong types and shapes, and for stand-ins that only look like the real thing."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


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
