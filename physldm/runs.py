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
from physldm.diffusion import dpm_solver, log_snr_timesteps, make_schedule
from physldm.diffusion.samplers import Callback, Model
from physldm.errors import InputError
from physldm.models import PhysicsVAE, UNet
from physldm.physics import Acquisition, AcquisitionBatch
from physldm.progress import progress

FORMAT = "physldm-2"
ADDED_LATER = (("heads", 4),)  # a setting, and what it was while it could not be set
AT_ONCE = 16  # slices


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
        return model.eval().to(memory_format=torch.channels_last)

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
        for part in scans.split(AT_ONCE):
            protocol = AcquisitionBatch.repeat(row, len(part))
            mean, _ = self.vae.encode(part, protocol, present.expand(len(part), -1))
            maps.append(self.vae.decode(mean))
        return torch.cat(maps)

    def denoiser(self, heights: Float[Tensor, " n"] | None = None, guidance: float = 0.0) -> Model:
        """What a sampler asks: the network's answer at ``(x_t [n, C, h, w], t [n])``, for slices at these heights.

        Equation: eq-guidance. One call of the network, two with ``guidance``, which needs a run that knows heights.

        Args:
            heights: mm; any, if none are given. guidance: by how much more than they should the heights count.
        """
        if heights is None or guidance == 0:
            return lambda x, t: self.unet(x, t, heights)

        def guided(x: Tensor, t: Tensor) -> Tensor:
            told = torch.cat([heights, torch.full_like(heights, torch.nan)])
            known, unknown = self.unet(torch.cat([x, x]), torch.cat([t, t]), told).chunk(2)
            # v = v(h) + w (v(h) − v(any))
            return known + guidance * (known - unknown)

        return guided

    @torch.inference_mode()
    def sample(
        self,
        n: int,
        seed: int,
        steps: int | None = None,
        heights: Sequence[float] | None = None,
        guidance: float = 0.0,
        callback: Callback | None = None,
    ) -> Float[Tensor, "n 3 H W"]:
        """``n`` new brains: one axial slice each of PD (scanner units), T1 (s) and T2 (s).

        Args:
            steps: of DPM-Solver++; the configuration's by default. heights: mm above the bottom of the box; every
                brain is drawn at each of them, from the same noise, one brain's slices after another's. Without them a
                brain lies anywhere between the lowest and the highest slice of training. guidance: see
                :meth:`denoiser`. callback: see :func:`physldm.diffusion.dpm_solver`; it is shown the codes by sixteens.

        Raises:
            InputError: heights or guidance are asked of a run whose network is not told of heights.
        """
        noise, told = self._start(n, seed)
        if not self.config.unet.height and (heights is not None or guidance):
            raise InputError(
                f"{self.folder / 'config.toml'}: unet.height: found false, expected true to draw at a height"
            )
        if heights is not None:
            told = torch.tensor(heights, dtype=torch.float32).repeat(n)
            noise = noise.repeat_interleave(len(heights), 0)
        diffusion, codes = self.config.diffusion, []
        steps = steps or diffusion.sampler_steps
        starts = range(0, len(noise), AT_ONCE)
        calls = len(starts) * len(log_snr_timesteps(self.schedule, steps, diffusion.sampler_last))
        with progress(total=calls, desc="drawing brains", unit="step", leave=False) as bar:

            def each(*step):
                bar.update()
                if callback:
                    callback(*step)

            for start in starts:
                part = slice(start, start + AT_ONCE)
                codes.append(
                    dpm_solver(
                        self.denoiser(None if told is None else told[part], guidance),
                        noise[part],
                        self.schedule,
                        steps=steps,
                        last=diffusion.sampler_last,
                        prediction=diffusion.prediction,
                        callback=each,
                    )
                )
        return self.decode(torch.cat(codes))

    @torch.inference_mode()
    def decode(self, codes: Float[Tensor, "n C h w"]) -> Float[Tensor, "n 3 H W"]:
        """Tissue maps of codes as the samplers make them, each channel of mean 0 and variance 1."""
        shift, scale = self.latent_statistics
        return torch.cat([self.vae.decode(z) for z in (codes * scale + shift).split(AT_ONCE)])

    def _start(self, n: int, seed: int) -> tuple[Float[Tensor, "n C h w"], Float[Tensor, " n"] | None]:
        """The noise that each brain begins with, and how high it lies: the first of many are the first of few."""
        draw, (low, high) = torch.Generator().manual_seed(seed), self._ldm.span
        rows = [
            (torch.randn(latent_shape(self.config), generator=draw), torch.rand((), generator=draw))
            for _ in range(n)
        ]
        noise, share = (torch.stack(x) for x in zip(*rows, strict=True))
        return noise, low + share * (high - low) if self.config.unet.height else None


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
    """The UNet with the statistics that belong to it, so that neither is saved without the other: mean and standard
    deviation of each channel of the codes, the lowest and the highest slice (mm)."""

    def __init__(self, unet: UNet, channels: int):
        super().__init__()
        self.unet = unet
        self.register_buffer("shift", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))
        self.register_buffer("span", torch.zeros(2))

    def forward(self, x: Tensor, t: Tensor, height: Tensor | None = None) -> Tensor:
        return self.unet(x, t, height)


def make_denoiser(config: Config) -> Denoiser:
    """A fresh UNet for the codes of ``config``'s VAE."""
    u, channels = config.unet, config.vae.latent_channels
    unet = UNet(
        channels,
        widths=u.widths,
        blocks=u.blocks,
        attention=u.attention,
        heads=u.heads,
        resblock_updown=u.resblock_updown,
        places=latent_shape(config)[1:] if u.places else None,
        height=u.height,
    )
    return Denoiser(unet, channels)


def image_size(config: Config) -> tuple[int, int]:
    """H, W of a slice."""
    return 224 // config.data.spacing, 160 // config.data.spacing


def latent_shape(config: Config) -> tuple[int, int, int]:
    """C, h, w of a code."""
    (height, width), factor = image_size(config), config.vae.downsampling
    return config.vae.latent_channels, height // factor, width // factor


def architecture(config: Config, part: str) -> str:
    """The settings that a part's weights belong to, as text.

    One that was added later is left out where it is what it was before, so that older weights still fit.
    """
    sections = {"vae": [config.vae], "ldm": [config.vae, config.unet, config.diffusion]}[part]
    settings = (s.model_dump(mode="json", exclude={"sampler_steps", "sampler_last"}) for s in sections)
    named = [{k: v for k, v in values.items() if (k, v) not in ADDED_LATER} for values in settings]
    return json.dumps(named, sort_keys=True)


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
