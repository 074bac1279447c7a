r"""What weights begin as, so that a signal neither fades nor explodes on its way through layers.

A unit adds up z = Σᵢ wᵢ xᵢ over its n = `fan_in` inputs. With weights of mean 0, independent of
each other and of x,

    Var z = n · Var w · E[x²],

so Var w = 1/n keeps the size of what passes through (LeCun). On the way back each input gathers
x̄ᵢ = Σⱼ wᵢⱼ z̄ⱼ from its m = `fan_out` outputs, which wants Var w = 1/m; 2/(n + m) lies between
(Glorot). A ReLU sets half of its inputs to zero and so halves E[x²]; Var w = 2/n makes up for it
(He).

An initialiser is a function (rng, shape, fan_in, fan_out) → array. The uniform ones draw from
[−a, a], whose variance is a²/3. Layers take one as `init=`; the default is `lecun_normal`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tinygen._types import Array, Rng, Shape

__all__ = ["constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform"]
__all__ += ["lecun_normal", "lecun_uniform", "normal", "pytorch_uniform", "zeros"]

Initialiser: TypeAlias = Callable[[Rng, Shape, float, float], Array]


def _normal(rng: Rng, shape: Shape, variance: float) -> Array:
    return math.sqrt(variance) * rng.standard_normal(shape)


def _uniform(rng: Rng, shape: Shape, variance: float) -> Array:
    a = math.sqrt(3 * variance)
    return rng.uniform(-a, a, shape)


def lecun_normal(rng: Rng, shape: Shape, fan_in: float, fan_out: float) -> Array:
    """N(0, 1/n): keeps the variance of a linear layer's output. (LeCun et al. 1998)"""
    return _normal(rng, shape, 1 / fan_in)


def lecun_uniform(rng: Rng, shape: Shape, fan_in: float, fan_out: float) -> Array:
    """U(±√(3/n)), of variance 1/n"""
    return _uniform(rng, shape, 1 / fan_in)


def glorot_normal(rng: Rng, shape: Shape, fan_in: float, fan_out: float) -> Array:
    """N(0, 2/(n + m)): between what the two directions want. (Glorot & Bengio 2010)"""
    return _normal(rng, shape, 2 / (fan_in + fan_out))


def glorot_uniform(rng: Rng, shape: Shape, fan_in: float, fan_out: float) -> Array:
    """U(±√(6/(n + m))), of variance 2/(n + m)"""
    return _uniform(rng, shape, 2 / (fan_in + fan_out))


def he_normal(rng: Rng, shape: Shape, fan_in: float, fan_out: float) -> Array:
    """N(0, 2/n): for inputs that come out of a ReLU. (He et al. 2015)"""
    return _normal(rng, shape, 2 / fan_in)


def he_uniform(rng: Rng, shape: Shape, fan_in: float, fan_out: float) -> Array:
    """U(±√(6/n)), of variance 2/n"""
    return _uniform(rng, shape, 2 / fan_in)


def pytorch_uniform(rng: Rng, shape: Shape, fan_in: float, fan_out: float) -> Array:
    """U(±1/√n), of variance 1/(3n): smaller than derived above, and what PyTorch's layers take"""
    return _uniform(rng, shape, 1 / (3 * fan_in))


def normal(std: float = 0.02) -> Initialiser:
    """N(0, std²) whatever the layer: 0.02 is what DCGAN begins with. (Radford et al. 2016)"""
    return lambda rng, shape, fan_in, fan_out: std * rng.standard_normal(shape)


def constant(value: float) -> Initialiser:
    """Every entry `value`."""
    return lambda rng, shape, fan_in, fan_out: np.full(shape, value)


zeros = constant(0.0)  # for a last layer, so that a residual branch begins as the identity
