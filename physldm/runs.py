"""A run on disk: its configuration, weights, log and figures; and what one can do with it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from physldm.config import Config, read_config
from physldm.data.slices import ABSENT, SliceStore, phantom_fingerprint, phantom_store
from physldm.diffusion import ddim, make_schedule
from physldm.errors import InputError
from physldm.models import PhysicsVAE, UNet
from physldm.physics import Acquisition, AcquisitionBatch

FORMAT = "physldm-1"
RECONSTRUCT_AT_ONCE = 16  # slices


def preset_name() -> str:
    """The preset that this process works with: ``PHYSLDM_PRESET``, or ``laptop``."""
    return os.environ.get("PHYSLDM_PRESET", "laptop")


def open_run(folder: Path | str | None = None) -> Run:
    """A run directory; by default the one of the current preset below ``runs`` (or ``PHYSLDM_RUNS``)."""
    if folder is None:
        root = Path(os.environ.get("PHYSLDM_RUNS", Path(__file__).parents[1] / "runs"))
        folder = root / preset_name()
    return Run(Path(folder))


class Run:
    """A finished or unfinished training on disk; weights are read when first asked for.

    Raises:
        InputError: no such run, or one of another format or architecture.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.config: Config = read_config(folder / "config.toml")

    @cached_property
    def vae(self) -> PhysicsVAE:
        """The trained VAE, ready to use."""
        model = PhysicsVAE(self.config.vae)
        load_weights(self.folder / "vae.safetensors", model, architecture(self.config, "vae"))
        return model.eval().to(memory_format=torch.channels_last)

    @cached_property
    def _ldm(self) -> Denoiser:
        model = make_denoiser(self.config)
        load_weights(self.folder / "ldm.safetensors", model, architecture(self.config, "ldm"))
        return model.eval()

    @property
    def unet(self) -> UNet:
        """The trained denoiser (moving average of its weights)."""
        return self._ldm.unet

    @property
    def latent_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel of the code, ``[C, 1, 1]``, as used in training."""
        return self._ldm.shift, self._ldm.scale

    @cached_property
    def schedule(self):
        """The forward process that the denoiser was trained on."""
        return make_schedule(self.config.diffusion.schedule, self.config.diffusion.timesteps)

    @cached_property
    def store(self) -> SliceStore:
        """The slices the run was trained and is scored on; made again where they are gone.

        Raises:
            InputError: the data are not those that the run was trained on.
        """
        facts = read_facts(self.folder)
        known, origin, own = facts["data_fingerprint"], facts.get("data"), self.folder / "slices"
        if origin:
            store = SliceStore(Path(origin))
            found = store.fingerprint
        elif (own / "index.json").exists() and SliceStore(own).fingerprint == known:
            return SliceStore(own)
        else:
            found = phantom_fingerprint(self.config.data, self.config.seed)
        if found != known:
            raise InputError(
                f"{origin or self.config.data.anatomy}: data: found {found}, expected {known}, which the run was trained on"
            )
        return store if origin else phantom_store(self.config.data, self.config.seed, own)

    def log(self, stage: str) -> dict[str, tuple[list[int], list[float]]]:
        """What training wrote: ``{name: (steps, values)}`` of ``vae`` or ``ldm``."""
        curves: dict[str, tuple[list[int], list[float]]] = {}
        with open(self.folder / "log.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["stage"] == stage:
                    steps, values = curves.setdefault(row["name"], ([], []))
                    steps.append(int(row["step"]))
                    values.append(float(row["value"]))
        return curves

    @torch.inference_mode()
    def reconstruct(
        self, scans: Float[Tensor, "S N H W"], acquisitions: Sequence[Acquisition | None]
    ) -> Float[Tensor, "S 3 H W"]:
        """PD (scanner units), T1 (s) and T2 (s) of one brain's slices, from any of its scans.

        Args:
            scans: T1w, T2w, FLAIR in scanner units. acquisitions: how each was taken; None where it is absent.
        """
        present = torch.tensor([[a is not None for a in acquisitions]])
        row = [a or ABSENT for a in acquisitions]
        maps = []
        for part in scans.split(RECONSTRUCT_AT_ONCE):
            protocol = AcquisitionBatch.repeat(row, len(part))
            mean, _ = self.vae.encode(part, protocol, present.expand(len(part), -1))
            maps.append(self.vae.decode(mean))
        return torch.cat(maps)

    @torch.inference_mode()
    def sample(self, n: int, seed: int, steps: int | None = None, callback=None) -> Float[Tensor, "n 3 H W"]:
        """``n`` new brains: one axial slice each of PD (scanner units), T1 (s) and T2 (s).

        Args:
            steps: of DDIM; the configuration's by default. callback: see :func:`physldm.diffusion.ddim`.
        """
        draw = torch.Generator().manual_seed(seed)
        noise = torch.randn(n, *latent_shape(self.config, self.vae), generator=draw)
        diffusion = self.config.diffusion
        codes = ddim(
            self.unet,
            noise,
            self.schedule,
            steps=steps or diffusion.sampler_steps,
            prediction=diffusion.prediction,
            callback=callback,
        )
        shift, scale = self.latent_statistics
        return self.vae.decode(codes * scale + shift)


def read_facts(folder: Path) -> dict:
    """A run's ``run.json``: seed, data, versions, hardware.

    Raises:
        InputError: missing, or not what train writes.
    """
    file = folder / "run.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict) or "data_fingerprint" not in facts:
        raise InputError(
            f"{file}: missing or unreadable, expected what physldm train writes beside config.toml"
        )
    return facts


class Denoiser(nn.Module):
    """The UNet with the latent statistics that belong to it, so that neither is saved without the other."""

    def __init__(self, unet: UNet, channels: int):
        super().__init__()
        self.unet = unet
        self.register_buffer("shift", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.unet(x, t)


def make_denoiser(config: Config) -> Denoiser:
    """A fresh UNet for the codes of ``config``'s VAE."""
    u, channels = config.unet, config.vae.latent_channels
    unet = UNet(
        channels,
        widths=u.widths,
        blocks=u.blocks,
        attention=u.attention,
        resblock_updown=u.resblock_updown,
        patch=u.patch,
    )
    return Denoiser(unet, channels)


def image_size(config: Config) -> tuple[int, int]:
    """H, W of a slice."""
    return 224 // config.data.spacing, 160 // config.data.spacing


def latent_shape(config: Config, vae: PhysicsVAE) -> tuple[int, int, int]:
    """C, h, w of a code."""
    height, width = image_size(config)
    return config.vae.latent_channels, height // vae.downsampling, width // vae.downsampling


def architecture(config: Config, part: str) -> str:
    """The settings that a part's weights belong to, as text."""
    sections = {"vae": [config.vae], "ldm": [config.vae, config.unet, config.diffusion]}[part]
    return json.dumps(
        [s.model_dump(mode="json", exclude={"sampler_steps"}) for s in sections], sort_keys=True
    )


def save_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file whole or not at all."""
    part = file.with_name(file.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    part.replace(file)


def load_tensors(file: Path, expected_architecture: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that belongs to this architecture.

    Raises:
        InputError: missing, damaged, of another format or of another architecture.
    """
    if not file.exists():
        raise InputError(
            f"{file}: missing, expected weights; train first with physldm train --run {file.parent}"
        )
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: damaged: {error}") from None
    if metadata.get("format") != FORMAT:
        raise InputError(f"{file}: format: found {metadata.get('format')!r}, expected {FORMAT!r}")
    if metadata.get("architecture") != expected_architecture:
        raise InputError(
            f"{file}: architecture: found {metadata.get('architecture')}, expected {expected_architecture}"
        )
    return tensors, metadata


def load_weights(file: Path, model: nn.Module, expected_architecture: str) -> None:
    tensors, _ = load_tensors(file, expected_architecture)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{file}: weights: {str(error).splitlines()[-1].strip()}") from None
