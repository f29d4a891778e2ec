"""Training a run, stage by stage; stopping and starting again changes no number."""

from .train import train

__all__ = ["train"]
