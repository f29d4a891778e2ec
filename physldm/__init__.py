"""Physics-informed latent diffusion for multimodal brain MRI: the package behind the book."""

__version__ = "0.1.0"
