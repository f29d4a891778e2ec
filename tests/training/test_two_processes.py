"""The same command on several devices: two processes on this processor, which exchange gradients by gloo."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from physldm.config import load_preset
from physldm.data.slices import SliceStore
from physldm.draws import Step, Who
from physldm.models import PhysicsVAE
from physldm.models.losses import vae_loss
from physldm.runs import Run
from physldm.training.engine import learning_rate
from physldm.training.vae_stage import draw_step
from physldm.weights import architecture, load_tensors

pytestmark = pytest.mark.slow
STEPS = 4
CHANGES = ["precision=32-true", f"vae_stage.steps={STEPS}", f"ldm_stage.steps={STEPS}"]
SCRIPT = """
import lightning_fabric
from physldm.training import engine
engine.Fabric = lambda **kw: lightning_fabric.Fabric(**kw | {"accelerator": "cpu", "devices": 2, "strategy": "ddp"})
from physldm.cli import main
main()
"""


@pytest.fixture(scope="module")
def two_process_run(trained_run, tmp_path_factory):
    """A run of the smoke preset, four steps a stage, whose ``train`` was told of two devices."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "main.py").write_text(SCRIPT)
    shutil.copytree(trained_run / "slices", folder / "run" / "slices")
    command = [
        sys.executable,
        str(folder / "main.py"),
        "train",
        "--run",
        str(folder / "run"),
        "--preset",
        "smoke",
    ]
    command += [word for change in CHANGES for word in ("--set", change)]
    subprocess.run(command, check=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return folder / "run"


def test_two_processes_learn_from_the_mean_of_their_gradients(two_process_run):
    """Against one process that works out both ranks' gradients itself, and averages them."""
    config, store = load_preset("smoke", CHANGES), SliceStore(two_process_run / "slices")
    torch.manual_seed(config.seed)
    vae = PhysicsVAE(config.vae).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(vae.parameters())
    for step in range(STEPS):
        adam.zero_grad()
        for rank in (0, 1):
            drawn = draw_step(store, config, Step(config.seed, Who.VAE, step, rank, 2))
            output, targets, weight = drawn.through(vae)
            (vae_loss(output, targets, weight, config.loss, step)[0] / 2).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), config.vae_stage.clip)
        adam.param_groups[0]["lr"] = learning_rate(step, STEPS, config.vae_stage)
        adam.step()
    found = load_tensors(two_process_run / "vae.safetensors", architecture(config, "vae"))[0]
    torch.testing.assert_close(found, vae.state_dict(), rtol=0, atol=1e-5)


def test_one_of_two_processes_writes(two_process_run):
    rows = (two_process_run / "log.csv").read_text().split()
    assert len(rows) == len(set(rows)) and any(row.startswith("ldm,3,loss") for row in rows)
    assert Run(two_process_run).unet and not list(two_process_run.glob("*checkpoint*"))
