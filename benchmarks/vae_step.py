"""A training step of the laptop VAE against MONAI's AutoencoderKL of as many weights and levels.

Both encode 4 slices of 3 contrasts one by one, fuse, decode 4 and go backwards, without LPIPS and discriminator. MONAI's
averages its codes and rebuilds the three scans as channels; ours also scans its maps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.networks.nets import AutoencoderKL

from physldm.config import load_preset
from physldm.models import PhysicsVAE
from physldm.models.losses import vae_loss
from physldm.physics import Acquisition, AcquisitionBatch

from .bar import Bar, seconds

WIDTHS = (64, 128, 128)  # three levels, as our pixel unshuffle and two levels are


def bars() -> list[Bar]:
    torch.manual_seed(0)
    config = load_preset("laptop")
    ours = PhysicsVAE(config.vae).to(memory_format=torch.channels_last)
    images = 300 * torch.rand(4, 3, 112, 80)
    protocol = AcquisitionBatch.repeat([Acquisition.usual(n) for n in ("mprage", "spin_echo", "flair")], 4)
    noise = torch.randn(
        4, config.vae.latent_channels, 112 // config.vae.downsampling, 80 // config.vae.downsampling
    )

    def our_loss() -> torch.Tensor:
        output = ours(images, protocol, None, noise)
        with torch.autocast("cpu", enabled=False):
            return vae_loss(output, images, None, config.loss)[0]

    theirs, tuned = _monai(config.vae.latent_channels), _monai(config.vae.latent_channels)
    tuned = tuned.to(memory_format=torch.channels_last)
    count = [sum(p.numel() for p in m.parameters()) for m in (ours, theirs)]
    took = seconds(
        {
            "ours": _step(ours, our_loss, bf16=True),
            "MONAI float32": _step(theirs, lambda: _their_loss(theirs, images, noise), bf16=False),
            "MONAI tuned": _step(tuned, lambda: _their_loss(tuned, images, noise), bf16=True),
        },
        least=2.0,
    )
    print(
        f"VAE step, {count[0]} weights against {count[1]}: "
        + ", ".join(f"{k} {v:.3f} s" for k, v in took.items())
    )
    return [
        Bar("VAE step, ours (bf16, channels_last) / MONAI float32 eager", took["ours"] / took["MONAI float32"], 1 / 2.5),
        Bar("VAE step, ours / MONAI in bf16 and channels_last", took["ours"] / took["MONAI tuned"], 1 / 1.2),
    ]  # fmt: skip


def _monai(latent_channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        spatial_dims=2,
        in_channels=1,
        out_channels=3,
        channels=WIDTHS,
        num_res_blocks=1,
        latent_channels=latent_channels,
        attention_levels=(False,) * len(WIDTHS),
        with_encoder_nonlocal_attn=False,
        with_decoder_nonlocal_attn=False,
        norm_num_groups=4,  # as wide as ours, and as fast
    )


def _their_loss(model: AutoencoderKL, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    mean, sigma = model.encode(images.flatten(0, 1)[:, None] / 150 - 1)
    mean, sigma = (x.unflatten(0, images.shape[:2]).mean(1) for x in (mean, sigma))
    rebuilt = model.decode(mean + sigma * noise).float()
    return (rebuilt - images / 150 + 1).square().mean() + 1e-6 * (mean**2 + sigma**2).float().sum()


def _step(model: torch.nn.Module, loss: Callable[[], torch.Tensor], *, bf16: bool) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        optimizer.step()

    return step
