"""A run from nothing to its weights: what it is, whether it can be, and its two stages."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

import torch
from lightning_fabric import Fabric

from physldm.box import slice_shape
from physldm.config import Config, read_config, to_toml
from physldm.data import check_anatomies
from physldm.data.population import cast, phantom_fingerprint, phantom_store
from physldm.data.slices import SliceStore
from physldm.diffusion import make_schedule
from physldm.errors import InputError, writing
from physldm.models import PhysicsVAE, make_denoiser
from physldm.runs import read_facts
from physldm.weights import architecture

from .engine import make_fabric
from .ldm_stage import train_ldm
from .speed import measure_precisions
from .vae_stage import train_vae

PACKAGES = ("torch", "lightning-fabric", "numpy", "nibabel", "nilearn")


def train(folder: Path, config: Config, stage: str = "all", data: Path | None = None) -> None:
    """Trains what is not trained yet in ``folder``.

    Args:
        folder: of the run, new or not.
        config: of the run.
        stage: ``vae``, ``ldm`` or ``all``.
        data: a slice store; the phantom of ``config`` by default.

    Raises:
        InputError: the folder holds a run of another configuration.
        FloatingPointError: a loss or a gradient is not finite.
    """
    config = _claim(folder, config, data)
    stages = ("vae", "ldm") if stage == "all" else (stage,)
    if all((folder / f"{s}.safetensors").exists() for s in stages):
        print(f"{folder}: {' and '.join(stages)} already trained")
        return
    fabric = launched(config)
    with fabric.rank_zero_first():  # one process makes the slices, the others read them
        store = SliceStore(data) if data else phantom_store(config.data, config.seed, folder / "slices")
    for name in stages:
        if not (folder / f"{name}.safetensors").exists():
            {"vae": train_vae, "ldm": train_ldm}[name](folder, config, store, fabric)


def launched(config: Config) -> Fabric:
    """All devices that are there, one process each.

    Raises:
        InputError: what a cluster's job asks for and how it was started do not agree.
    """
    try:
        fabric = make_fabric(config.precision)
        fabric.launch()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"devices: {' '.join(str(error).split())}") from None
    return fabric


def _try_out(config: Config) -> None:
    """Builds what the configuration describes without its memory, before anything is written."""
    (height, width), factor = slice_shape(config.data.spacing), config.vae.downsampling
    if height % factor or width % factor:
        raise InputError(
            f"vae.widths: found {len(config.vae.widths)} levels, which make one place of {factor} × {factor} pixels, expected "
            f"a divisor of {height} × {width}"
        )
    try:
        with torch.device("meta"):
            PhysicsVAE(config.vae)
            make_denoiser(config)
        make_schedule(config.diffusion.schedule, config.diffusion.timesteps)
    except ValueError as error:
        raise InputError(f"settings: {error}") from None


def _data_facts(config: Config, data: Path | None) -> dict:
    """What tells the training data apart; says what is wrong with them before anything is written."""
    if data is None:
        check_anatomies(anatomy for anatomy, _ in cast(config.data))
        fingerprint = phantom_fingerprint(config.data, config.seed)
        return {"data": None, "data_fingerprint": fingerprint, "measured": False}
    store = SliceStore(data)
    if store.spacing != config.data.spacing:
        raise InputError(
            f"{data}: spacing: found {store.spacing} mm, expected {config.data.spacing} mm for preset {config.preset} "
            f"(physldm prepare --spacing {config.data.spacing})"
        )
    if not store.sessions("train"):
        raise InputError(f"{data}: split: found no session to train on, expected at least one")
    measured = not any(store.has_truth(s) for s in store.sessions("train"))
    return {"data": str(data.resolve()), "data_fingerprint": store.fingerprint, "measured": measured}


def _claim(folder: Path, config: Config, data: Path | None) -> Config:
    """Writes what the run is, or checks that the run there is this one; settles the precision."""
    file = folder / "config.toml"
    origin = _data_facts(config, data)
    if file.exists():
        found = read_config(file)
        if config.precision == "auto":
            config = config.model_copy(update={"precision": found.precision})
        for part in ("vae", "ldm"):
            if architecture(found, part) != architecture(config, part):
                raise InputError(
                    f"{file}: architecture of {part}: found {architecture(found, part)}, "
                    f"expected {architecture(config, part)}; choose another --run"
                )
        if found != config:
            raise InputError(f"{file}: found other settings than those asked for; choose another --run")
        known, now = read_facts(folder)["data_fingerprint"], origin["data_fingerprint"]
        if known != now:
            raise InputError(
                f"{folder / 'run.json'}: data: found {known}, expected {now} as now; choose another --run"
            )
        return found
    if config.precision == "auto":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        seconds = measure_precisions(device)
        config = config.model_copy(update={"precision": min(seconds, key=seconds.__getitem__)})
    _try_out(config)
    with writing(folder, "a folder to write to (--run)"):
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"seed": config.seed, **origin, "versions": versions(), "hardware": hardware()}
        (folder / "run.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        file.write_text(to_toml(config), encoding="utf-8")
    return config


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a run's numbers."""
    return {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}


def hardware() -> str:
    """What a number was computed on, in a line."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {torch.get_num_threads()} threads, {gpu}"
