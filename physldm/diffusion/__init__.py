"""Diffusion: how noise is added, what the network learns, and how a sample is drawn."""

from .guidance import guided
from .objective import (
    Prediction,
    diffusion_loss,
    epsilon_from_v,
    epsilon_from_x0,
    min_snr_weight,
    velocity,
    x0_and_epsilon,
    x0_from_epsilon,
    x0_from_v,
)
from .samplers import ddim, ddim_step, ddpm, ddpm_step, dpm_solver, dpm_solver_step
from .schedule import (
    NoiseSchedule,
    add_noise,
    log_snr_timesteps,
    make_schedule,
    signal_to_noise,
    trailing_timesteps,
)

__all__ = [
    "NoiseSchedule",
    "Prediction",
    "add_noise",
    "ddim",
    "ddim_step",
    "ddpm",
    "ddpm_step",
    "diffusion_loss",
    "dpm_solver",
    "dpm_solver_step",
    "epsilon_from_v",
    "epsilon_from_x0",
    "guided",
    "log_snr_timesteps",
    "make_schedule",
    "min_snr_weight",
    "signal_to_noise",
    "trailing_timesteps",
    "velocity",
    "x0_and_epsilon",
    "x0_from_epsilon",
    "x0_from_v",
]
