r"""Weight initialisation that keeps a signal from fading or exploding as it passes through layers.

A unit computes z = Σᵢ wᵢ xᵢ over its n = `fan_in` inputs. If the weights have mean 0 and are
independent of each other and of x, Var z = n · Var w · E[x²], so Var w = 1/n keeps the mean square
(LeCun). In the backward pass x̄ᵢ = Σⱼ wᵢⱼ z̄ⱼ is a sum over m = `fan_out` outputs, which requires
1/m; 2/(n + m) is a compromise (Glorot). A ReLU halves E[x²], and 2/n compensates (He).

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


def _init(equation: str, variance: Variance, uniform: bool = False) -> Init:
    def init(rng: Rng, shape: Shape, n: float, m: float) -> Array:
        if uniform:
            a = math.sqrt(3 * variance(n, m))  # U(−a, a) has variance a²/3
            return rng.uniform(-a, a, shape)
        return math.sqrt(variance(n, m)) * rng.standard_normal(shape)

    init.__doc__ = equation
    return init


lecun_normal = _init("N(0, 1/n), the default  (LeCun et al. 1998)", lambda n, m: 1 / n)
lecun_uniform = _init("U(±√(3/n)), of variance 1/n", lambda n, m: 1 / n, uniform=True)
glorot_normal = _init("N(0, 2/(n + m))  (Glorot & Bengio 2010)", lambda n, m: 2 / (n + m))
glorot_uniform = _init("U(±√(6/(n + m)))", lambda n, m: 2 / (n + m), uniform=True)
he_normal = _init("N(0, 2/n), for layers after a ReLU  (He et al. 2015)", lambda n, m: 2 / n)
he_uniform = _init("U(±√(6/n)), of variance 2/n", lambda n, m: 2 / n, uniform=True)
pytorch_uniform = _init("U(±1/√n), PyTorch's default", lambda n, m: 1 / (3 * n), uniform=True)


def normal(std: float = 0.02) -> Init:
    """N(0, std²) for every layer; DCGAN uses 0.02. (Radford et al. 2016)"""
    return lambda rng, shape, n, m: std * rng.standard_normal(shape)


def constant(value: float) -> Init:
    """Every element is `value`."""
    return lambda rng, shape, n, m: np.full(shape, value)


zeros = constant(0.0)  # for a last layer, so that a residual block starts as the identity
