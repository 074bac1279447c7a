r"""The losses of the two networks of a GAN, and two penalties on the discriminator's gradient.

The discriminator D scores real images, r = D(x), and generated ones, f = D(G(z)); high means real.
A loss is an object with

    discriminator(r, f)    the discriminator's loss
    generator(f)           the generator's loss
    at_equilibrium         both losses where p_G = p_data and D is optimal; None if undetermined
    boundary               the score above which D calls an image real, or None

All are means over the batch, in logits: log σ(r) = −softplus(−r) is exact where σ(r) would round to
0 or 1, so that losses and gradients are finite. Reading order: from top to bottom.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from tinygen._checks import expect, generator
from tinygen._types import ArrayLike, Rng
from tinygen.autograd import Tensor, as_tensor, grad, mean, relu, softplus, sqrt, where, xp

__all__ = [
    "LOSSES",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Wasserstein",
    "gradient_penalty",
    "r1",
]


class Minimax:
    """min_G max_D V, V = E[log σ(r)] + E[log(1 − σ(f))]  (Goodfellow et al. 2014, eq. 1)

    The optimal D has σ(D(x)) = p_data / (p_data + p_G), where V = −2 log 2 + 2 JS: the generator
    minimises the Jensen–Shannon divergence. With one-sided label smoothing, `real` s < 1, it is
    σ(D(x)) = s p_data / (p_data + p_G), so D is never certain (Salimans et al. 2016, 3.4).
    """

    def __init__(self, real: float = 1.0) -> None:
        expect(type(self).__name__, "in (0, 1]", real=real)
        self.real, self.boundary = real, math.log(real / (2 - real))  # σ(D) = s/2: p_data = p_G

    def discriminator(self, r: ArrayLike, f: ArrayLike) -> Tensor:
        """−V; with smoothing, −E[s log σ(r) + (1 − s) log(1 − σ(r))] − E[log(1 − σ(f))]"""
        r, f = as_tensor(r), as_tensor(f)
        loss = mean(softplus(-r)) + mean(softplus(f))
        # s softplus(−r) + (1 − s) softplus(r) = softplus(−r) + (1 − s) r
        return loss if self.real == 1 else loss + (1 - self.real) * mean(r)

    def generator(self, f: ArrayLike) -> Tensor:
        """E[log(1 − σ(f))]: the gradient vanishes for f ≪ 0, where G needs it most"""
        return -mean(softplus(f))

    @property
    def at_equilibrium(self) -> tuple[float, float]:
        best = self.boundary  # for every image
        return self.discriminator(best, best).item(), self.generator(best).item()


class NonSaturating(Minimax):
    """`Minimax`, except that the generator maximises E[log σ(f)]

    Same fixed point, but a large gradient for f ≪ 0. (Goodfellow et al. 2014, end of section 3)
    """

    def generator(self, f: ArrayLike) -> Tensor:
        """−E[log σ(f)]"""
        return mean(softplus(-as_tensor(f)))


class LeastSquares:
    """½ E[(r − s)²] + ½ E[f²], and ½ E[(f − 1)²]: regression to 1 and 0  (Mao et al. 2017, eq. 9)

    Label smoothing is s = `real` < 1.
    """

    def __init__(self, real: float = 1.0) -> None:
        expect("LeastSquares", "in (0, 1]", real=real)
        self.real, self.boundary = real, real / 2

    def discriminator(self, r: ArrayLike, f: ArrayLike) -> Tensor:
        r, f = as_tensor(r), as_tensor(f)
        return 0.5 * mean((r - self.real) ** 2) + 0.5 * mean(f**2)

    def generator(self, f: ArrayLike) -> Tensor:
        return 0.5 * mean((as_tensor(f) - 1) ** 2)

    @property
    def at_equilibrium(self) -> tuple[float, float]:
        return self.real**2 / 4, (1 - self.real / 2) ** 2 / 2


class Hinge:
    """E[max(0, 1 − r)] + E[max(0, 1 + f)], and −E[f]  (Lim & Ye 2017; Miyato et al. 2018, eq. 16)

    Images that D classifies correctly by a margin of 1 give D no gradient.
    """

    at_equilibrium, boundary = (2.0, None), 0.0

    def discriminator(self, r: ArrayLike, f: ArrayLike) -> Tensor:
        return mean(relu(1 - as_tensor(r))) + mean(relu(1 + as_tensor(f)))

    def generator(self, f: ArrayLike) -> Tensor:
        return -mean(f)


class Wasserstein:
    """E[f] − E[r], and −E[f]  (Arjovsky et al. 2017, algorithm 1)

    For the optimal 1-Lipschitz D, also called a critic, E[r] − E[f] is the Wasserstein distance of
    p_data and p_G. Clipping (`clip_at` of `train`), a penalty or spectral norm limits D's gradient.
    """

    at_equilibrium, boundary = (0.0, None), None

    def discriminator(self, r: ArrayLike, f: ArrayLike) -> Tensor:
        return mean(f) - mean(r)

    def generator(self, f: ArrayLike) -> Tensor:
        return -mean(f)


LOSSES = {
    "minimax": Minimax,
    "non-saturating": NonSaturating,
    "least-squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
}


# --- penalties on the discriminator's gradient ----------------------------------------------------

Discriminator: TypeAlias = Callable[[Tensor], Any]


def scores(discriminator: Discriminator, x: Tensor) -> Tensor:
    """D(x) as (N,), of a discriminator that returns (N, 1) or (N,)"""
    score, N = as_tensor(discriminator(x)), len(x)
    if score.shape not in ((N,), (N, 1)):
        raise ValueError(f"discriminator: expected one score per row, ({N}, 1), got {score.shape}")
    return score.reshape(N)


def gradient_penalty(
    discriminator: Discriminator,
    real: ArrayLike,
    fake: ArrayLike,
    *,
    rng: Rng,
    weight: float = 10.0,
) -> Tensor:
    """λ E[(‖∇D(x̂)‖ − 1)²] at x̂ = ε x + (1 − ε) G(z), ε ~ U(0, 1)  (Gulrajani et al. 2017, eq. 3)

    The optimal D has ‖∇D‖ = 1 between each generated image and its real counterpart. Each row has
    its own ε and norm. Use no batch norm in D: it makes ∇D of a row depend on the other rows.
    """
    x, G_z = as_tensor(real).data, as_tensor(fake).data
    if x.shape != G_z.shape:
        raise ValueError(f"gradient_penalty: expected `fake` {x.shape}, got {G_z.shape}")
    expect("gradient_penalty", "≥ 0", weight=weight)
    shape = (len(x), *[1] * (x.ndim - 1))
    eps = xp.asarray(generator("gradient_penalty", rng).random(shape, np.float32), x.dtype)
    square = _squared_gradient(discriminator, eps * x + (1 - eps) * G_z)
    # where ∇D = 0 the gradient of ‖∇D‖ would be 0/0; set it to 0
    flat = square.data == 0
    norm = where(flat, 0.0, sqrt(where(flat, 1.0, square)))
    return weight * mean((norm - 1) ** 2)


def r1(
    discriminator: Discriminator,
    real: ArrayLike,
    fake: Any = None,
    *,
    rng: Any = None,
    weight: float = 10.0,
) -> Tensor:
    """γ/2 E[‖∇D(x)‖²] at real images  (Mescheder et al. 2018, eq. 9)

    A D that is flat on the data does not push generated images off it. `fake`, `rng` are not used.
    """
    expect("r1", "≥ 0", weight=weight)
    return 0.5 * weight * mean(_squared_gradient(discriminator, real))


def _squared_gradient(discriminator: Discriminator, x: ArrayLike) -> Tensor:
    """‖∇D(x)‖² of each row, (N,), differentiable; no row may affect another row's score"""
    x = Tensor(x, requires_grad=True)
    g = grad(scores(discriminator, x).sum(), x, create_graph=True)
    return (g * g).sum(axis=tuple(range(1, g.ndim)))
