"""The networks: encoder, product of experts, decoder, UNet."""

from .fusion import product_of_experts
from .unet import UNet
from .vae import PhysicsVAE

__all__ = ["PhysicsVAE", "UNet", "product_of_experts"]
