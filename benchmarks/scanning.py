"""What it costs a training step of the VAE to scan its brains anew, against scans that are read from disk."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import torch
from lightning_fabric import Fabric

from physldm.config import load_preset
from physldm.data.population import phantom_store
from physldm.draws import Step, Who
from physldm.models import PhysicsVAE
from physldm.models.losses import vae_loss
from physldm.training.engine import Ahead, Learner
from physldm.training.vae_stage import draw_step

from .bar import Bar, seconds

FEW = ["data.train_subjects=4", "data.heldout_subjects=1"]


def bars() -> list[Bar]:
    took = {}
    with tempfile.TemporaryDirectory() as folder:
        steps = {}
        for protocols in ("usual", "any"):
            config = load_preset("laptop", [*FEW, f"data.protocols={protocols}"])
            store = phantom_store(config.data, 0, Path(folder) / protocols)
            vae = PhysicsVAE(config.vae).to(memory_format=torch.channels_last)
            learner = Learner(Fabric(accelerator="cpu", devices=1, precision="bf16-mixed"), vae)
            steps[protocols] = _step(learner, config, store)
        took = seconds(steps, least=3.0)
    print("VAE step: " + ", ".join(f"{k} protocols {v:.3f} s" for k, v in took.items()))
    return [Bar("VAE step that scans its brains / that reads their scans", took["any"] / took["usual"], 1.05)]


def _step(learner: Learner, config, store):
    number, drawn_for = count(), Ahead(lambda step: draw_step(store, config, step))

    def step() -> None:
        n = next(number)
        output, targets, weight = drawn_for(Step(0, Who.VAE, n)).through(learner)
        learner.learn(vae_loss(output, targets, weight, config.loss)[0], 1e-4, n)

    return step
