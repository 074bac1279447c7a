"""Generative adversarial networks: the losses, and the training loop.

Reading order: losses.py, training.py.
"""

from tinygen.gan.losses import (
    LOSSES,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
    gradient_penalty,
    r1,
)
from tinygen.gan.training import GAN, clip, pack, train

__all__ = [
    "GAN",
    "LOSSES",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Wasserstein",
    "clip",
    "gradient_penalty",
    "pack",
    "r1",
    "train",
]
