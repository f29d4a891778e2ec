"""What tests share. Every call into the package is held to its annotations, shapes included."""

import os
import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest
from filelock import FileLock
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

# nbformat's schema library would build a grammar of URLs on import, for seconds; no notebook's schema asks for it
sys.modules.setdefault("rfc3987_syntax", None)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that of several processes none is left with a long test at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def unchecked():
    """For what the package itself says to wrong types and shapes, and for stand-ins that only look like the real thing."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """A run of the smoke preset, trained by the command a reader would type, once for all processes of pytest-xdist.

    Tests only read it: one that writes takes a copy.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "trained" / "smoke"
    with FileLock(shared / "trained.lock"):
        if not (folder / "ldm.safetensors").exists():
            command = [sys.executable, "-m", "physldm.cli", "train", "--run", str(folder)]
            subprocess.run([*command, "--preset", "smoke", "--set", "precision=32-true"], check=True)
    before = _changes(folder)
    yield folder
    assert _changes(folder) == before, "a test wrote into the run that all of them share"


def _changes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def smoke_run(trained_run, monkeypatch) -> Path:
    """The trained run; for this test ``open_run()`` finds it, and chapters' code works with its preset."""
    monkeypatch.setenv("PHYSLDM_RUNS", str(trained_run.parent))
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
    return trained_run


@pytest.fixture
def untrained_run(tmp_path) -> Path:
    """A run of the smoke preset whose weights are chance, no layer's zero: for what does not depend on training."""
    import torch

    from physldm.config import load_preset, to_toml
    from physldm.models import PhysicsVAE, make_denoiser
    from physldm.weights import FORMAT, architecture, save_tensors

    config = load_preset("smoke", ["precision=32-true"])
    folder = tmp_path / "untrained"
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(config), encoding="utf-8")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for name, model in (("vae", PhysicsVAE(config.vae)), ("ldm", make_denoiser(config))):
            for weight in model.parameters():
                if weight.ndim > 1:
                    torch.nn.init.xavier_normal_(weight)
            metadata = {"format": FORMAT, "architecture": architecture(config, name)}
            save_tensors(folder / f"{name}.safetensors", model.state_dict(), metadata)
    return folder
