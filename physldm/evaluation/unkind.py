"""How kind the phantom is: the same held-out people, scanned less kindly than in training, by a model that stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physldm.config import Config, Mixture
from physldm.data.phantom import make_subject
from physldm.data.population import cast, phantom_fingerprint
from physldm.data.slices import Batch, SliceStore, as_batch
from physldm.draws import Who, keyed_draw
from physldm.physics import CONTRASTS, Acquisition, AcquisitionBatch
from physldm.physics.noise import complex_noise_magnitude
from physldm.progress import progress

from .contrasts import gain_field, with_gain
from .image import fixed_psnr
from .scores import PROPERTIES, mdape, mean_of_rows
from .tissue import brain_mask, class_median_maps, relative_errors

SEED = 2  # of gains and noise
EVERY = 2  # slices
TISSUES = ("wm", "gm")


@dataclass(frozen=True)
class Way:
    """How somebody is scanned.

    Attributes:
        said: of this way, to people.
        mixture: what a voxel of several tissues mixes.
        gain_sd: SD of the logarithm of each scan's own gain.
        noise: SD of each part of the complex noise, as a share of a contrast's maximum.
    """

    said: str
    mixture: Mixture = "properties"
    gain_sd: float = 0.0
    noise: float = 0.01


WAYS = {
    "usual": Way("as the phantom is made"),
    "signals": Way("tissues mixed as signals", "signals"),
    "gains_5": Way("a gain a scan, SD 5 %", gain_sd=0.05),
    "gains_10": Way("a gain a scan, SD 10 %", gain_sd=0.1),
    "noise_3": Way("noise 3 %", noise=0.03),
    "signals_gains_10": Way("signals, gains of SD 10 %", "signals", 0.1),
    "all": Way("signals, gains of SD 10 %, noise 3 %", "signals", 0.1, 0.03),
}


@dataclass(frozen=True)
class Anybody:
    """Some slices of somebody, not yet scanned.

    Attributes:
        clean: scans without noise, scanner units, of each mixture that is known.
        acquisitions: how they are taken.
        truth: PD (1 in fluid), T1 (s), T2 (s).
        fractions: of each tissue.
    """

    clean: Mapping[Mixture, Float[Tensor, "S N H W"]]
    acquisitions: Sequence[Acquisition]
    truth: Float[Tensor, "S 3 H W"]
    fractions: Float[Tensor, "S K H W"]

    def scanned(self, way: Way, draw: torch.Generator) -> tuple[Tensor, Batch]:
        """What should come out, and magnitudes with noise, which is of another strength in every contrast."""
        tuned = torch.exp(way.gain_sd * torch.randn(len(CONTRASTS), generator=draw))
        clean = tuned[:, None, None] * self.clean[way.mixture]
        sigma = way.noise * clean.abs().amax((0, 2, 3), keepdim=True)
        noisy = complex_noise_magnitude(clean, sigma, draw)
        return clean, as_batch(noisy, [self.acquisitions] * len(noisy))


def unkind_scores(
    rebuild: Callable[[Batch], tuple[Tensor, Tensor]],
    store: SliceStore,
    config: Config,
    sessions: Sequence[int],
    medians: Float[Tensor, "K 3"] | None = None,
) -> dict[str, float]:
    """The scores of people who are scanned in each of ``WAYS``: one tissue, one draw of gains and noise in all of them.

    Tissue is scored where it fills 90 % of a voxel in every way, for where signals are mixed no voxel of two tissues has
    one true PD, T1 and T2. PD is compared after one factor with the true PD under the coil's field.

    Args:
        rebuild: scans → maps ``[B, 3, H, W]`` and the scans that they give.
        store: whose truth makes one tissue a voxel. Signals can be mixed only if its people were made as ``config`` says.
        config: of the run.
        sessions: numbers of those with truth.
        medians: what the class-median predictor fills in.

    Returns:
        ``unkind.signals.t1_mdape.wm`` and so on (%, mean over people), ``unkind.signals.psnr`` (dB, ``fixed.psnr``, mean
        over contrasts), and ``unkind.class_median.t1_mdape.wm``, which no scan changes.
    """
    made_here = store.fingerprint == phantom_fingerprint(config.data, config.seed)
    ways = {name: way for name, way in WAYS.items() if made_here or way.mixture == "properties"}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*ways, "class_median")}
    for session in progress(sessions, desc="less kindly", unit="session"):
        person = _person(store, session, config if made_here else None)
        for name, way in ways.items():
            target, batch = person.scanned(way, keyed_draw(SEED, Who.SCANNER, session))
            maps, scans = rebuild(batch)
            rows[name].append(_psnr(scans, target, person) | _errors(maps, person, coil=True))
        if medians is not None:
            rows["class_median"].append(_errors(class_median_maps(person.fractions, medians), person))
    return {
        f"unkind.{name}.{key}": value
        for name, row in rows.items()
        for key, value in mean_of_rows(row).items()
    }


def _person(store: SliceStore, session: int, config: Config | None) -> Anybody:
    """Every second slice of somebody; made once more, with tissues mixed as signals, if it is known how."""
    slices = store.of_session(session)[::EVERY]
    taken, arrays = store.protocol(session), ("clean", "maps", "fractions")
    clean, truth, fractions = (store.array(name, slices) for name in arrays)
    known: dict[Mixture, Tensor] = {"properties": clean}
    if config:
        data = config.data
        known["signals"] = make_subject(
            config.seed,
            session,
            anatomy=cast(data)[session][0],
            spacing=data.spacing,
            heights=tuple(range(*data.heights))[::EVERY],
            partial_volume="signals",
            gain_sd=data.gain_sd,
            sequence_gain_sd=data.sequence_gain_sd,
        ).clean
    return Anybody(known, [a for a in taken if a], truth, fractions)


def _psnr(
    scans: Float[Tensor, "S N H W"], target: Float[Tensor, "S N H W"], person: Anybody
) -> dict[str, float]:
    inside = brain_mask(person.fractions)
    each = [fixed_psnr(a, b, inside) for a, b in zip(scans.unbind(1), target.unbind(1), strict=True)]
    return {"psnr": sum(each) / len(each)}


def _errors(maps: Float[Tensor, "S 3 H W"], person: Anybody, coil: bool = False) -> dict[str, float]:
    """Errors (%) in voxels of nearly one tissue, PD against the true one, under the coil's field if asked for."""
    truth = person.truth
    if coil:
        taken = AcquisitionBatch.repeat(person.acquisitions, len(truth))
        truth = with_gain(truth, gain_field(person.clean["properties"], truth, taken))
    found = mdape(relative_errors(maps, truth, person.fractions, "signals"))
    wanted = (f"{p}_mdape.{t}" for p in PROPERTIES for t in TISSUES)
    return {key: found[key] for key in wanted if key in found}
