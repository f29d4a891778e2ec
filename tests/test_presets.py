"""The preset ``paper`` against the code that the paper's authors released, github.com/sven-luepke/phy-ldm-mri.

Nothing is copied: the numbers below were read there, and the loss is written down anew.
"""

import pytest
import torch

from physldm.config import load_preset
from physldm.models import make_denoiser
from physldm.models.losses import vae_loss
from physldm.models.vae import VaeOutput
from physldm.weights import architecture

# train_vae.py at 8c6c04b (the last commit): defaults of its arguments, and the prior's factor in the loop
KL, PRIOR, PERCEPTUAL, ADVERSARIAL = 1e-6, 0.0005, 10.0, 100.0
# train_ldm.py at 8c6c04b: how many channels a head has, level by level; the first has no attention
WIDTHS, HEAD_CHANNELS = (256, 512, 768), (0, 512, 768)
SCALE = 700.0  # the 99.5th percentile that the preset takes the raw scans to have
H, W = 224, 160


def released_loss(output, images, perceptual, adversarial):
    """The sum that ``train_vae.py`` (8c6c04b) minimises, of scans in raw units, written down from its formulas."""
    batch = len(images)
    mse = ((output.reconstruction - images) ** 2).sum() / images.numel()
    pull = (output.o**2).sum() / batch  # over channels (PD, T1, T2), rows and columns
    variance = output.log_var.exp()
    kl = 0.5 * (output.mean**2 + variance - torch.log(variance) - 1).sum() / batch
    return mse + KL * kl + PRIOR * pull + PERCEPTUAL * perceptual + ADVERSARIAL * adversarial


def test_the_papers_loss_is_the_released_one_in_units_of_a_scans_scale():
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    images = SCALE * torch.rand(2, 3, H, W, generator=draw, dtype=torch.float64)
    output = VaeOutput(
        mean=3 * normal(2, 6, 28, 20),
        log_var=normal(2, 6, 28, 20),
        o=normal(2, 3, H, W),
        maps=normal(2, 3, H, W).exp(),
        reconstruction=images + 30 * normal(2, 3, H, W),
        scale=torch.full((2, 3), SCALE, dtype=torch.float64),
        log_gain=torch.zeros(2, 3, dtype=torch.float64),
    )
    config, late = load_preset("paper").loss, 10**9  # after the ramp
    lpips, verdict = 0.3, 0.2
    found, parts = vae_loss(
        output,
        images,
        None,
        config,
        late,
        perceptual=lambda made, real: torch.full((len(made),), lpips),
        discriminator=lambda made: torch.full((len(made), 1, 4, 4), verdict),
    )
    expected = released_loss(output, images, lpips, (verdict - 1) ** 2)
    # term by term: each weight as it is written, to two digits
    for name, weight in {
        "kl": KL / SCALE**2,
        "prior": PRIOR * H * W / SCALE**2,
        "prior_pd": PRIOR * H * W / SCALE**2,
        "perceptual": PERCEPTUAL / SCALE**2,
        "adversarial": ADVERSARIAL / SCALE**2,
    }.items():
        assert getattr(config, name) == pytest.approx(weight, rel=0.025), name
    assert {n for n in parts if getattr(config, n) == 0} == {"relative_l1", "variation", "water"}
    assert found.item() * SCALE**2 == pytest.approx(expected.item(), rel=0.02)
    # and no term of it hides behind the others
    mse = ((output.reconstruction - images) ** 2).mean().item()
    assert (found.item() - parts["l2"].item()) * SCALE**2 == pytest.approx(expected.item() - mse, rel=0.02)


def test_the_papers_denoiser_has_one_head_at_every_level():
    config = load_preset("paper")
    with torch.device("meta"):
        unet = make_denoiser(config).unet
    heads = {m.heads for m in unet.modules() if hasattr(m, "heads")}
    expected = {width // channels for width, channels in zip(WIDTHS, HEAD_CHANNELS, strict=True) if channels}
    assert heads == expected == {1}


def test_weights_stored_before_heads_could_be_set_still_fit():
    before = load_preset("laptop")
    assert before.unet.heads == 4 and "heads" not in architecture(before, "ldm")
    other = load_preset("laptop", ["unet.heads=2"])
    assert '"heads": 2' in architecture(other, "ldm") != architecture(before, "ldm")


def test_paper_preset_has_the_papers_settings():
    c = load_preset("paper")
    assert (c.vae.widths, c.vae.blocks, c.vae.latent_channels) == ((64, 128, 128, 128), 3, 6)
    assert (c.unet.widths, c.unet.attention) == ((256, 512, 768), (False, True, True))
    assert (c.vae_stage.epochs, c.vae_stage.batch, c.vae_stage.lr) == (50, 4, 5e-5)
    assert (c.ldm_stage.epochs, c.ldm_stage.batch, c.ldm_stage.lr) == (100, 16, 2.5e-5)
    assert c.vae_stage.total_steps(1000) == 50 * 250
