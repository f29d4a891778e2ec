"""A run on disk: its configuration, weights, log and data; and what one can do with it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physldm.config import REFINE, Config, preset_name, read_config
from physldm.data.population import phantom_fingerprint, phantom_store, scanned_anew
from physldm.data.protocols import DRAWN, Family
from physldm.data.scanning import TUNING
from physldm.data.slices import ABSENT, SliceStore
from physldm.diffusion import dpm_solver, guided, log_snr_timesteps, make_schedule
from physldm.diffusion.samplers import Callback, Model
from physldm.errors import InputError
from physldm.models import Denoiser, PhysicsVAE, UNet, latent_shape, make_denoiser
from physldm.models.refine import refined
from physldm.physics import CONTRASTS, Acquisition, AcquisitionBatch
from physldm.progress import progress, say
from physldm.weights import architecture, load_weights

AT_ONCE = 16  # slices


def open_run(folder: Path | str | None = None) -> Run:
    """A run directory; by default the one of the current preset below ``PHYSLDM_RUNS``, or else below the folder
    ``runs`` that the working directory has, or one of those it lies in.

    Raises:
        InputError: there is no such run.
    """
    if folder is None:
        here = Path.cwd()
        near = [
            above / "runs" for above in (here, *here.parents) if (above / "runs" / preset_name()).is_dir()
        ]
        folder = Path(os.environ.get("PHYSLDM_RUNS", near[0] if near else here / "runs")) / preset_name()
    return Run(folder)


class Run:
    """A finished or unfinished training on disk; weights are read when first asked for.

    Raises:
        InputError: no such run. Its weights are judged when they are read: see :func:`physldm.weights.load_tensors`.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.config: Config = read_config(self.folder / "config.toml")

    def check(self) -> None:
        """Reads the VAE, so that what is wrong with the run is said before anything else is done.

        Raises:
            InputError: there are no weights, or damaged ones, or those of another architecture.
        """
        _ = self.vae

    @cached_property
    @torch.inference_mode(False)  # whoever asks first: weights made in that mode let no gradient through
    def vae(self) -> PhysicsVAE:
        """The trained VAE, ready to use."""
        model = PhysicsVAE(self.config.vae)
        load_weights(self.folder / "vae.safetensors", model, architecture(self.config, "vae"))
        return model.eval().to(memory_format=torch.channels_last)

    @cached_property
    def ldm(self) -> Denoiser:
        """The trained denoiser with its statistics, ready to use."""
        model = make_denoiser(self.config)
        load_weights(self.folder / "ldm.safetensors", model, architecture(self.config, "ldm"))
        return model.eval().to(memory_format=torch.channels_last)

    @property
    def unet(self) -> UNet:
        """The denoiser's network (moving average of its weights)."""
        return self.ldm.unet

    @property
    def latent_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel of the code, ``[C, 1, 1]``, as used in training."""
        return self.ldm.shift, self.ldm.scale

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

    def protocols(self) -> dict[str, list[Family]]:
        """How T1w, T2w and FLAIR of the training subjects were taken; empty where the store that it was
        trained on is gone."""
        origin = read_facts(self.folder).get("data")
        found = list(DRAWN["any" if scanned_anew(self.config.data) else "usual"])
        if origin:
            if not (Path(origin) / "index.json").exists():
                return {}
            store = SliceStore(Path(origin))
            sessions = store.sessions("train")
            measured = [s for s in sessions if not store.is_brain(int(store.of_session(s)[0]))]
            rows = [store.protocol(s) for s in measured]
            scans = dict.fromkeys((c, a) for row in rows for c, a in zip(CONTRASTS, row, strict=True) if a)
            found = found if len(measured) < len(sessions) else []
            found += [Family.of(contrast, scan, origin) for contrast, scan in scans]
        return {c: [family for family in found if family.contrast == c] for c in CONTRASTS}

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

    def reconstruct(
        self,
        scans: Float[Tensor, "S N H W"],
        acquisitions: Sequence[Acquisition | None],
        *,
        refine: int = REFINE,
    ) -> Float[Tensor, "S 3 H W"]:
        """PD (scanner units), T1 (s) and T2 (s) of one brain's slices, from any of its scans.

        Args:
            scans: T1w, T2w, FLAIR in scanner units.
            acquisitions: how each was taken; None where it is absent.
            refine: see :meth:`explain`; 0 for the encoder's guess.
        """
        present = torch.tensor([[a is not None for a in acquisitions]]).expand(len(scans), -1)
        return self.explain(scans, acquisitions, present, refine=refine, spread=self.gain_spread)[0]

    @property
    def gain_spread(self) -> float:
        """SD of the logarithm of a scan's own gain in training; 0 where no scan had one."""
        data = self.config.data
        return TUNING if scanned_anew(data) else data.sequence_gain_sd

    @torch.inference_mode(False)
    @torch.no_grad()
    def explain(
        self,
        scans: Float[Tensor, "S N H W"],
        acquisitions: Sequence[Acquisition | None],
        present: Bool[Tensor, "S N"],
        *,
        refine: int = 0,
        spread: float = 0.0,
    ) -> tuple[Float[Tensor, "S 3 H W"], Float[Tensor, " N"]]:
        """The maps of a session's slices, as :meth:`reconstruct` gives them, and by which factor each scan was found to be
        brighter than it was said to be, 1 without refining.

        Args:
            scans: T1w, T2w, FLAIR in scanner units.
            acquisitions: how each was taken; any where it is absent.
            present: which scans reach which slices, at least one each.
            refine: at most so many steps that bring each slice's code nearer to its scans, and with it the gains of all
                slices' scans, with a bar; see :func:`physldm.models.refine.refined`.
            spread: see there; 0 leaves the gains.
        """
        told = AcquisitionBatch.repeat([a or ABSENT for a in acquisitions], len(scans))
        log_gains = torch.zeros(len(acquisitions))
        parts = [range(len(scans))[first : first + AT_ONCE] for first in range(0, len(scans), AT_ONCE)]
        if refine:
            codes, log_gains = refined(self.vae, scans, told, present, self.config.loss, refine, spread)
        else:
            codes = torch.cat([self.vae.encode(scans[p], told[p], present[p])[0] for p in parts])
        return torch.cat([self.vae.decode(codes[p]) for p in parts]), log_gains.exp()

    def model(self, heights: Float[Tensor, " n"] | None = None, guidance: float = 0.0) -> Model:
        """What a sampler asks: the network's answer at ``(x_t [n, C, h, w], t [n])``, for slices at these heights.

        Args:
            heights: mm; any, if none are given.
            guidance: see :func:`physldm.diffusion.guided`; needs a run that knows heights.
        """
        if heights is None or guidance == 0:
            return lambda x, t: self.unet(x, t, heights)
        return guided(self.unet, heights, guidance)

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
            n: how many.
            seed: of the noise; the first of many brains are the first of few.
            steps: of DPM-Solver++; the configuration's by default.
            heights: mm above the bottom of the box; every brain is drawn at each of them, from the same noise, one
                brain's slices after another's. Without them a brain lies anywhere between the lowest and the highest
                slice of training.
            guidance: see :meth:`model`.
            callback: see :func:`physldm.diffusion.dpm_solver`; it is shown the codes by sixteens.

        Raises:
            InputError: heights or guidance are asked of a run whose network is not told of heights.
        """
        noise, told = self._start(n, seed)
        if not self.config.unet.height and (heights is not None or guidance):
            raise InputError(
                f"{self.folder / 'config.toml'}: unet.height: found false, expected true to draw at a height"
            )
        if heights is not None:
            low, high = self.ldm.span.tolist()
            if min(heights) < low or max(heights) > high:
                found = f"found {min(heights):g} to {max(heights):g} mm"
                say(f"heights: {found}, trained on {low:g} to {high:g} mm: slices beyond are guesses")
            told = torch.tensor(heights, dtype=torch.float32).repeat(n)
            noise = noise.repeat_interleave(len(heights), 0)
        return self.decode(self._draw(noise, told, steps, guidance, callback))

    def _draw(
        self,
        noise: Float[Tensor, "n C h w"],
        told: Float[Tensor, " n"] | None,
        steps: int | None,
        guidance: float,
        callback: Callback | None,
    ) -> Float[Tensor, "n C h w"]:
        """The codes that DPM-Solver++ makes of noise, sixteen at a time, with a bar."""
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
                        self.model(None if told is None else told[part], guidance),
                        noise[part],
                        self.schedule,
                        steps=steps,
                        last=diffusion.sampler_last,
                        prediction=diffusion.prediction,
                        callback=each,
                    )
                )
        return torch.cat(codes)

    @torch.inference_mode()
    def decode(self, codes: Float[Tensor, "n C h w"]) -> Float[Tensor, "n 3 H W"]:
        """Tissue maps of codes as the samplers make them, each channel of mean 0 and variance 1."""
        shift, scale = self.latent_statistics
        return torch.cat([self.vae.decode(z) for z in (codes * scale + shift).split(AT_ONCE)])

    def _start(self, n: int, seed: int) -> tuple[Float[Tensor, "n C h w"], Float[Tensor, " n"] | None]:
        """The noise that each brain begins with, and how high it lies: the first of many are the first of few."""
        draw, (low, high) = torch.Generator().manual_seed(seed), self.ldm.span
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
