from typing import get_args, get_type_hints

import pytest

from physldm.config import (
    Config,
    DataConfig,
    DiffusionConfig,
    Mixture,
    StageConfig,
    VaeConfig,
    load_preset,
    presets,
    read_config,
    to_toml,
)
from physldm.diffusion import Prediction
from physldm.diffusion.schedule import KINDS
from physldm.errors import InputError
from physldm.models.fusion import FUSIONS
from physldm.weights import architecture


@pytest.mark.parametrize("name", presets())
def test_presets_load_and_survive_being_written(name, tmp_path):
    config = load_preset(name)
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    assert read_config(tmp_path / "config.toml") == config


def test_changes_reach_the_config():
    c = load_preset("smoke", ["vae_stage.lr=0.5", "seed=7", "diffusion.prediction=epsilon"])
    assert (c.vae_stage.lr, c.seed, c.diffusion.prediction) == (0.5, 7, "epsilon")
    assert isinstance(c, Config)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("vae_stage.learning_rate=1", "vae_stage.learning_rate: no such key"),
        ("nowhere.lr=1", "expected section.key=value"),
        ("vae_stage.lr", "expected section.key=value"),
        ("vae_stage.lr=fast", "vae_stage.lr: found 'fast'"),
        ("vae_stage.batch=0", "vae_stage.batch: found 0"),
        ("diffusion.prediction=x", "diffusion.prediction: found 'x'"),
        ("vae.gain=true", "vae.gain: found True"),  # what older configurations call a gain of each scan
    ],
)
def test_wrong_changes_are_named(change, words):
    with pytest.raises(InputError) as error:
        load_preset("smoke", [change])
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_configuration_from_before_gains_could_be_a_sessions_is_read_or_refused(tmp_path):
    config = load_preset("laptop")
    text = to_toml(config)
    assert "\ngain = false\n" in text and '"gain": false' in architecture(config, "vae")
    (tmp_path / "config.toml").write_text(text.replace("gain = false", "gain = true"), encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.toml: vae\.gain: found True, .*'session' or 'scan'"):
        read_config(tmp_path / "config.toml")
    kinds = [architecture(load_preset("laptop", [f"vae.gain={g}"]), "vae") for g in ("session", "scan")]
    assert len({*kinds, architecture(config, "vae")}) == 3


def test_an_epoch_is_shared_by_all_devices():
    # 100 slices by fours are 25 steps on one device; two take eight at a time: 12 whole steps
    stage = StageConfig(epochs=3, batch=4, lr=1.0)
    assert (stage.total_steps(100), stage.total_steps(100, world=2), stage.total_steps(3)) == (75, 36, 3)


def test_a_choice_of_the_configuration_is_what_the_code_knows():
    """config imports no torch, so it writes these out again."""
    choices = {
        (DataConfig, "partial_volume"): get_args(Mixture),
        (VaeConfig, "fusion"): tuple(FUSIONS),
        (DiffusionConfig, "schedule"): KINDS,
        (DiffusionConfig, "prediction"): get_args(Prediction),
    }
    for (section, name), known in choices.items():
        assert set(get_args(get_type_hints(section)[name])) == set(known)
