r"""What weights begin as, so that a signal neither fades nor explodes on its way through layers.

A unit adds up z = Σᵢ wᵢ xᵢ over its n = `fan_in` inputs. With weights of mean 0, independent of
each other and of x, Var z = n · Var w · E[x²]: so Var w = 1/n keeps the size of what passes through
(LeCun). On the way back each input gathers x̄ᵢ = Σⱼ wᵢⱼ z̄ⱼ from its m = `fan_out` outputs, which
wants 1/m; 2/(n + m) lies between (Glorot). A ReLU halves E[x²], and 2/n makes up for it (He).

An initialiser is a function (rng, shape, n, m) → array. Layers take one as `init=`.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tinygen._types import Array, Rng, Shape

__all__ = ["constant", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform"]
__all__ += ["lecun_normal", "lecun_uniform", "normal", "pytorch_uniform", "zeros"]

Init: TypeAlias = Callable[[Rng, Shape, float, float], Array]
Variance: TypeAlias = Callable[[float, float], float]


def _normal(variance: Variance) -> Init:
    return lambda rng, shape, n, m: math.sqrt(variance(n, m)) * rng.standard_normal(shape)


def _uniform(variance: Variance) -> Init:
    def a(n: float, m: float) -> float:  # U(−a, a) has variance a²/3
        return math.sqrt(3 * variance(n, m))

    return lambda rng, shape, n, m: rng.uniform(-a(n, m), a(n, m), shape)


lecun_normal = _normal(lambda n, m: 1 / n)  # the default  (LeCun et al. 1998)
lecun_uniform = _uniform(lambda n, m: 1 / n)
glorot_normal = _normal(lambda n, m: 2 / (n + m))  # (Glorot & Bengio 2010)
glorot_uniform = _uniform(lambda n, m: 2 / (n + m))
he_normal = _normal(lambda n, m: 2 / n)  # for inputs that come out of a ReLU  (He et al. 2015)
he_uniform = _uniform(lambda n, m: 2 / n)
pytorch_uniform = _uniform(lambda n, m: 1 / (3 * n))  # U(±1/√n), what PyTorch's layers take


def normal(std: float = 0.02) -> Init:
    """N(0, std²) whatever the layer: 0.02 is what DCGAN begins with. (Radford et al. 2016)"""
    return lambda rng, shape, n, m: std * rng.standard_normal(shape)


def constant(value: float) -> Init:
    """Every entry `value`."""
    return lambda rng, shape, n, m: np.full(shape, value)


zeros = constant(0.0)  # for a last layer, so that a residual branch begins as the identity
