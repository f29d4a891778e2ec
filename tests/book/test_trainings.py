"""The command that a stored comparison prints makes the training it speaks of."""

import importlib.util
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from physldm.config import load_preset
from physldm.data.population import phantom_fingerprint

SCRIPT = Path(__file__).parents[2] / "book" / "trainings.py"


@pytest.fixture(scope="module")
def trainings():
    spec = importlib.util.spec_from_file_location("trainings", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_of(config, people_of):
    store = SimpleNamespace(fingerprint=phantom_fingerprint(people_of.data, people_of.seed))
    return SimpleNamespace(config=config, folder=Path("somewhere/mine"), store=store)


@pytest.mark.parametrize(
    "changes", [[], ["vae.told=numbers", "augment.asked=0.25"], ["loss.magnitude=false", "vae_stage.steps=3"]]
)
def test_its_settings_read_back_are_those_of_the_run(trainings, changes):
    config = load_preset("laptop", [*changes, "precision=bf16-mixed"])
    words = shlex.split(trainings.command(run_of(config, config)))
    assert words[:6] == ["physldm", "train", "--run", "runs/mine", "--stage", "vae"]
    asked = [after for word, after in zip(words, words[1:], strict=False) if word == "--set"]
    assert len(words) == 6 + 2 * len(asked)
    again = load_preset("laptop", asked)
    assert again.model_dump(exclude={"precision"}) == config.model_dump(exclude={"precision"})


def test_it_names_the_brains_where_they_are_not_those_of_the_seed(trainings):
    config, usual = load_preset("laptop", ["seed=1"]), load_preset("laptop")
    assert "--data runs/laptop/slices" in trainings.command(run_of(config, usual))
    assert "--data" not in trainings.command(run_of(config, config))
