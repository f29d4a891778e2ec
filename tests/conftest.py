"""What tests share. Every call into the package is held to its annotations, shapes included."""

import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest
import torch
from jaxtyping import install_import_hook
from torch import nn

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

from physldm.config import load_preset, to_toml  # noqa: E402
from physldm.models import PhysicsVAE, make_denoiser  # noqa: E402
from physldm.weights import FORMAT, architecture, save_tensors  # noqa: E402


@pytest.fixture
def unchecked():
    """For what the package itself says to wrong types and shapes, and for stand-ins that only look like the real thing."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory) -> Path:
    """A run of the smoke preset, trained once by the command a reader would type; its folder is its own."""
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    command = [sys.executable, "-m", "physldm.cli", "train", "--run", str(folder), "--preset", "smoke"]
    subprocess.run([*command, "--set", "precision=32-true"], check=True)
    return folder


@pytest.fixture
def smoke_run(trained_run, monkeypatch) -> Path:
    """The trained run; for this test ``open_run()`` finds it, and chapters' code works with its preset."""
    monkeypatch.setenv("PHYSLDM_RUNS", str(trained_run.parent))
    monkeypatch.setenv("PHYSLDM_PRESET", "smoke")
    return trained_run


@pytest.fixture
def untrained_run(tmp_path) -> Path:
    """A run of the smoke preset whose weights are chance, no layer's zero: for what does not depend on training."""
    config = load_preset("smoke", ["precision=32-true"])
    folder = tmp_path / "untrained"
    folder.mkdir()
    (folder / "config.toml").write_text(to_toml(config), encoding="utf-8")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for name, model in (("vae", PhysicsVAE(config.vae)), ("ldm", make_denoiser(config))):
            for weight in model.parameters():
                if weight.ndim > 1:
                    nn.init.xavier_normal_(weight)
            metadata = {"format": FORMAT, "architecture": architecture(config, name)}
            save_tensors(folder / f"{name}.safetensors", model.state_dict(), metadata)
    return folder
