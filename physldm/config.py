"""What a run is asked to do: presets in TOML, checked by pydantic."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from physldm.errors import InputError

Mixture = Literal["properties", "signals"]  # what a voxel of several tissues mixes
# Of scans to reconstruct: one gain is estimated for each, one for all, or they are in the units of training.
Gain = Literal["each", "common", "none"]
Stage = Literal["all", "vae", "ldm"]
Protocols = Literal["usual", "any"]  # how training brains are scanned: as one study does, as scanners do
Regressed = Literal[False, "session", "scan"]  # whose gain an encoder finds
REFINE = 20  # steps on the code of a slice whose maps are asked for
Scored = Literal["heldout", "choose"]  # those who are only scored, or those that settings are chosen by


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Which made-up subjects, and which of their slices (``heights`` in mm: start, stop, step).

    ``choose_subjects`` are those that settings are chosen by, ``heldout_subjects`` are scored and looked at for nothing
    else. ``protocols`` says how training scans them: ``usual`` as one study does, ``any`` as scanners do. The held-out
    are scanned as usual."""

    anatomy: str
    spacing: Literal[1, 2]
    heights: tuple[int, int, int]
    train_subjects: int = Field(gt=0)
    choose_subjects: int = Field(0, ge=0)
    heldout_subjects: int = Field(gt=0)
    protocols: Protocols = "usual"
    partial_volume: Mixture = "properties"
    noise: float = Field(0.01, ge=0)
    gain_sd: float = Field(0.2, ge=0)
    sequence_gain_sd: float = Field(0.0, ge=0)


class VaeConfig(_Section):
    """Encoder and decoder. ``unshuffle`` folds that many pixels a side into channels before the first layer;
    ``told`` is what AdaGN is told of a protocol: its ``numbers``, or its ``effect`` on reference tissues;
    ``gain`` lets the encoder find a scanner gain (G regression): one for a ``session``, as the paper does, or one for every
    ``scan``, as receivers that are tuned anew have it."""

    widths: tuple[int, ...]
    blocks: int = Field(gt=0)
    unshuffle: Literal[1, 2] = 1
    latent_channels: int = Field(gt=0)
    middle_attention: bool = False
    adagn: bool = True
    fusion: Literal["product", "generalised", "mixture"] = "product"
    prior_expert: bool = False
    told: Literal["numbers", "effect"] = "numbers"
    gain: Regressed = False
    pd_median: float = Field(gt=0)

    @property
    def downsampling(self) -> int:
        """How many pixels of an image one place of the code stands for, along one side."""
        return self.unshuffle * 2 ** (len(self.widths) - 1)


class LossConfig(_Section):
    """Weights, for images in units of their 99.5th percentile.

    ``prior_pd`` is the prior's weight on PD, which the paper's text leaves free, and its code does not. ``variation``
    weighs the total variation of log T1 and T2, ``water`` that of log PD beyond what T1 says of a tissue's water.
    ``magnitude`` compares magnitudes, for protocols with an early TI. ``perceptual`` and ``adversarial`` begin at 0 and reach their weight by a ramp of
    ``ramp`` steps after step ``ramp_from``.
    """

    l2: float = Field(ge=0)
    relative_l1: float = Field(ge=0)
    relative_floor: float = Field(gt=0)
    kl: float = Field(ge=0)
    prior: float = Field(ge=0)
    prior_pd: float = Field(0.0, ge=0)
    variation: float = Field(0.0, ge=0)
    water: float = Field(0.0, ge=0)
    magnitude: bool = False
    perceptual: float = Field(0.0, ge=0)
    adversarial: float = Field(0.0, ge=0)
    discriminator_lr: float = Field(1e-4, gt=0)
    ramp_from: int = Field(0, ge=0)
    ramp: int = Field(500, gt=0)


class AugmentConfig(_Section):
    """``subsets``: the share of a step's slices that are decoded a second time, from some of their scans (the paper's
    modality dropout), and asked for the others. ``further``: the chance that, where one scan is left out, another is
    left out, too. ``at_mean``: the share that is decoded at the mean of its code, as every slice is once the network is
    used, and not at a draw. ``asked``: the share that is asked for scans that the encoder was not given, of the same
    brain, taken in another way; the others are asked for what was given, as the paper has it."""

    subsets: float = Field(0.0, ge=0, le=1)
    further: float = Field(0.5, ge=0, lt=1)
    at_mean: float = Field(0.0, ge=0, le=1)
    asked: float = Field(0.0, ge=0, le=1)


class UNetConfig(_Section):
    """The denoiser of the latent diffusion model. ``heads`` is how many each attention has. ``places`` learns a map
    that tells the network where it is, ``height`` tells it how high a slice lies."""

    widths: tuple[int, ...]
    blocks: int = Field(gt=0)
    attention: tuple[bool, ...]
    heads: int = Field(4, gt=0)
    resblock_updown: bool = False
    places: bool = False
    height: bool = False


class DiffusionConfig(_Section):
    """Forward process and objective; how many steps a sampler takes, and at which t its last one begins."""

    schedule: Literal["linear", "scaled_linear", "cosine"]
    timesteps: int = Field(gt=1)
    prediction: Literal["v", "epsilon", "x0"]
    min_snr: float = Field(0.0, ge=0)
    sampler_steps: int = Field(gt=1)
    sampler_last: int = Field(0, ge=0)

    @field_validator("sampler_steps", "sampler_last")
    @classmethod
    def _within(cls, value: int, info: ValidationInfo) -> int:
        if value > (most := info.data.get("timesteps", value + 2) - 2 * (info.field_name == "sampler_last")):
            raise ValueError(f"expected at most {most}, as diffusion.timesteps asks")
        return value


class StageConfig(_Section):
    """How long and how fast a stage learns: ``steps``, or ``epochs`` where steps is 0."""

    steps: int = Field(0, ge=0)
    epochs: int = Field(0, ge=0)
    batch: int = Field(gt=0)
    lr: float = Field(gt=0)
    warmup: int = Field(0, ge=0)
    cosine: bool = True
    clip: float = Field(1.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    checkpoint_steps: int = Field(100, gt=0)

    def total_steps(self, items: int, world: int = 1) -> int:
        """Optimiser steps for a training set of ``items``, on ``world`` devices that take ``batch`` each."""
        return self.steps or self.epochs * max(1, items // (self.batch * world))


class Config(_Section):
    """Everything that decides a run's numbers, but for the code and the machine.

    ``ablation_steps``: VAE steps of each row of ``physldm ablate``; as many as ``vae_stage`` has where it is 0.
    """

    preset: str
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    ablation_steps: int = Field(0, ge=0)
    data: DataConfig
    vae: VaeConfig
    loss: LossConfig
    augment: AugmentConfig = AugmentConfig()
    unet: UNetConfig
    diffusion: DiffusionConfig
    vae_stage: StageConfig
    ldm_stage: StageConfig


def preset_name() -> str:
    """The preset that this process works with: ``PHYSLDM_PRESET``, or ``laptop``."""
    return os.environ.get("PHYSLDM_PRESET", "laptop")


def presets() -> list[str]:
    """Names of the presets that ship with the package."""
    folder = resources.files("physldm") / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def load_preset(name: str, changes: list[str] | None = None) -> Config:
    """The preset called ``name`` with ``changes`` such as ``vae_stage.lr=1e-3``.

    Raises:
        InputError: unknown preset, unknown key, or a value of the wrong kind.
    """
    if name not in presets():
        raise InputError(f"--preset: found {name!r}, expected one of {', '.join(presets())}")
    text = (resources.files("physldm") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    for change in changes or []:
        _apply(values, change)
    return _validated(values, f"preset {name}")


def read_config(file: Path) -> Config:
    """A run's ``config.toml``."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: missing, expected a run directory made by physldm train") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not TOML: {error}") from None
    return _validated(values, str(file))


def changes_of(config: Config) -> list[str]:
    """What ``config`` changes in its preset, as :func:`load_preset` takes it."""
    asked, preset = (_flat(c.model_dump(mode="json")) for c in (config, load_preset(config.preset)))
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in asked.items()
        if value != preset[key]
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def _apply(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    *sections, last = key.split(".")
    where = values
    for section in sections:
        where = where.get(section) if isinstance(where, dict) else None
    if not equals or not isinstance(where, dict) or isinstance(where.get(last), dict):
        raise InputError(f"--set: found {change!r}, expected section.key=value with a key of the preset")
    try:
        where[last] = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        where[last] = text


def _validated(values: dict[str, Any], where: str) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        found = f"found {first['input']!r}, " if first["type"] not in ("missing", "extra_forbidden") else ""
        what = "no such key" if first["type"] == "extra_forbidden" else first["msg"]
        raise InputError(f"{where}: {key}: {found}{what}") from None


def to_toml(config: Config) -> str:
    """The configuration as TOML, every default written out."""
    values = config.model_dump(mode="json")
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, dict)]
    for section, content in values.items():
        if isinstance(content, dict):
            lines += ["", f"[{section}]", *(f"{k} = {json.dumps(v)}" for k, v in content.items())]
    return "\n".join(lines) + "\n"
