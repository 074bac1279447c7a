"""Layers and the modules they are: `from tinygen import nn`, then `nn.Dense(784, 20, rng=rng)`.

This page only gathers names. module.py says what a Module is, initializers.py how weights begin;
the layers are in layers.py, norms.py and attention.py.
"""

from tinygen.nn.attention import SelfAttention, attend
from tinygen.nn.initializers import (
    constant,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    pytorch_uniform,
    zeros,
)
from tinygen.nn.layers import (
    ELU,
    GELU,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    Reshape,
    Sigmoid,
    SiLU,
    SinusoidalEmbedding,
    Softmax,
    Softplus,
    Tanh,
    Upsample,
)
from tinygen.nn.module import Function, Module, Sequential, cost, evaluating, summary
from tinygen.nn.norms import BatchNorm, GroupNorm, LayerNorm, SpectralNorm

__all__ = [
    "ELU", "GELU", "AvgPool2d", "BatchNorm", "Conv2d", "ConvTranspose2d", "Dense", "Dropout",
    "Embedding", "Flatten", "Function", "GroupNorm", "LayerNorm", "LeakyReLU", "MaxPool2d",
    "Module", "ReLU", "Reshape", "SelfAttention", "Sequential", "SiLU", "Sigmoid",
    "SinusoidalEmbedding", "Softmax", "Softplus", "SpectralNorm", "Tanh", "Upsample", "attend",
    "constant", "cost", "evaluating", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "lecun_normal", "lecun_uniform", "normal", "pytorch_uniform", "summary", "zeros",
]  # fmt: skip
