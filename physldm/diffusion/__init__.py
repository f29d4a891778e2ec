"""Diffusion: schedules, objectives, samplers. Knows nothing of MRI."""

from .objective import clean_and_noise, diffusion_loss, velocity
from .samplers import ddim, ddpm
from .schedule import NoiseSchedule, make_schedule, trailing_timesteps

__all__ = [
    "NoiseSchedule",
    "clean_and_noise",
    "ddim",
    "ddpm",
    "diffusion_loss",
    "make_schedule",
    "trailing_timesteps",
    "velocity",
]
