"""The networks: encoder, product of experts, decoder; UNet and denoiser."""

from .denoiser import Denoiser, latent_shape, make_denoiser
from .fusion import product_of_experts
from .unet import UNet
from .vae import PhysicsVAE

__all__ = ["Denoiser", "PhysicsVAE", "UNet", "latent_shape", "make_denoiser", "product_of_experts"]
