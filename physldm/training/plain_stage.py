"""A small plain VAE, trained while the reader waits (chapter 06)."""

from __future__ import annotations

from collections import defaultdict

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from physldm.config import StageConfig, VaeConfig, preset_name
from physldm.data import make_subject
from physldm.draws import Step, Who, seeded
from physldm.models.encoder import scale_images
from physldm.models.losses import kl_to_standard_normal
from physldm.models.plain import PlainOutput, PlainVAE
from physldm.progress import progress

from .engine import Learner, learning_rate

# 8× downsampling and six channels, as the paper's VAE, but thin
SMALL = VaeConfig(widths=(16, 32, 64), blocks=1, unshuffle=2, latent_channels=6, adagn=False, pd_median=1.0)
HEIGHT = 88  # mm above the bottom of the box: through the lateral ventricles
TRAIN, HELDOUT, STEPS = 64, 8, 400
SMOKE = (14, 5, 6)  # the same three for tests: nothing to look at


def _sizes() -> tuple[int, int, int]:
    return SMOKE if preset_name() == "smoke" else (TRAIN, HELDOUT, STEPS)


def t1w_slices(seed: int = 6) -> tuple[Float[Tensor, "n 1 112 80"], Float[Tensor, "m 1 112 80"]]:
    """T1-weighted slices of made-up subjects, all at one height, 2 mm, in [−1, 1]: to train on, and held out.

    No subject is in both. The ``smoke`` preset makes few.
    """
    train, heldout, _ = _sizes()
    subjects = progress(range(train + heldout), desc="making subjects", unit="subject", mininterval=1.0)
    scans = torch.cat([make_subject(seed, i, spacing=2, heights=(HEIGHT,)).scans[:, :1] for i in subjects])
    images, _ = scale_images(scans)
    return images[:train], images[train:]


def plain_loss(
    output: PlainOutput, images: Float[Tensor, "B 1 H W"], kl_weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean squared error plus ``kl_weight`` times the KL of the code: minus the ELBO, up to a factor and a constant.

    Equation: eq-plain-vae.

    Returns:
        The loss, and its parts unweighted: ``reconstruction`` and ``kl`` (summed over a code, averaged over images).
    """
    parts = {
        "reconstruction": ((output.reconstruction - images) ** 2).mean(),
        "kl": kl_to_standard_normal(output.mean, output.log_var),
    }
    return parts["reconstruction"] + kl_weight * parts["kl"], parts


def train_plain(
    images: Float[Tensor, "n 1 H W"],
    kl_weight: float,
    *,
    steps: int | None = None,
    seed: int = 0,
    config: VaeConfig = SMALL,
) -> tuple[PlainVAE, dict[str, tuple[list[int], list[float]]]]:
    """Trains a fresh plain VAE with Adam: four images a step, mirrored or not, a warm-up, then a cosine to zero.

    The same seed gives the same start, images and noise under every weight. Nothing is written.

    Args:
        images: in [−1, 1]; H and W multiples of the code's downsampling.
        kl_weight: see :func:`plain_loss`.
        steps: by default 400, and a few in the ``smoke`` preset.
        seed: of the start, the order and the noise.
        config: of the networks.

    Returns:
        The VAE, ready to use, and the curves of ``reconstruction`` and ``kl``, ``{name: (steps, values)}``.

    Raises:
        FloatingPointError: the loss or its gradient is not finite.
    """
    steps = steps or _sizes()[2]
    stage = StageConfig(steps=steps, batch=4, lr=4e-3, warmup=steps // 20)
    with seeded(seed):
        vae = Learner(Fabric(accelerator="cpu", devices=1), PlainVAE(config), clip=0)
    with torch.no_grad():
        shape = vae.module.encode(images[:1])[0].shape[1:]
    curves: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for number in progress(range(steps), desc=f"KL weight {kl_weight:g}", unit="step", mininterval=1.0):
        step = Step(seed, Who.PLAIN, number)
        draw, batch = step.draw(), images[step.batch(len(images), stage.batch)]
        if torch.rand((), generator=draw) < 0.5:  # left and right are alike
            batch = batch.flip(-1)
        output = vae(batch, torch.randn(len(batch), *shape, generator=draw))
        loss, parts = plain_loss(output, batch, kl_weight)
        vae.learn(loss, learning_rate(number, steps, stage), number)
        for name, part in parts.items():
            curves[name][0].append(number)
            curves[name][1].append(part.item())
    return vae.finished(), dict(curves)
