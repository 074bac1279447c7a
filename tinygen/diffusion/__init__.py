"""Diffusion models: the noise schedule, the loss, samplers, and editing with a trained model.

Reading order: schedule.py, model.py, samplers.py, editing.py.
"""

from tinygen._batch import drop_labels
from tinygen.diffusion import editing, samplers
from tinygen.diffusion.model import (
    Diffusion,
    Terms,
    denoising_loss,
    min_snr,
    noise_like,
    simple,
    snr,
    target,
    train,
    variational_bound,
    x_0_and_eps,
)
from tinygen.diffusion.schedule import NoiseSchedule, cosine, linear

__all__ = [
    "Diffusion",
    "NoiseSchedule",
    "Terms",
    "cosine",
    "denoising_loss",
    "drop_labels",
    "editing",
    "linear",
    "min_snr",
    "noise_like",
    "samplers",
    "simple",
    "snr",
    "target",
    "train",
    "variational_bound",
    "x_0_and_eps",
]
