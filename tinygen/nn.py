"""Layers and the modules they are: `from tinygen import nn`, then `nn.Dense(784, 20, rng=rng)`.

This page only gathers names. What a Module is stands in module.py, what weights begin as in
initial.py, the layers in layers.py, norms.py and attention.py.
"""

from tinygen.attention import SelfAttention, attend
from tinygen.initial import (
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
from tinygen.layers import (
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
from tinygen.module import Function, Module, Sequential, cost, evaluating, summary
from tinygen.norms import BatchNorm, GroupNorm, LayerNorm, SpectralNorm

__all__ = [
    "ELU", "GELU", "AvgPool2d", "BatchNorm", "Conv2d", "ConvTranspose2d", "Dense", "Dropout",
    "Embedding", "Flatten", "Function", "GroupNorm", "LayerNorm", "LeakyReLU", "MaxPool2d",
    "Module", "ReLU", "Reshape", "SelfAttention", "Sequential", "SiLU", "Sigmoid",
    "SinusoidalEmbedding", "Softmax", "Softplus", "SpectralNorm", "Tanh", "Upsample", "attend",
    "constant", "cost", "evaluating", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
    "lecun_normal", "lecun_uniform", "normal", "pytorch_uniform", "summary", "zeros",
]  # fmt: skip
