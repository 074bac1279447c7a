r"""What the two players of a GAN minimise, and two penalties on the critic's gradient.

The critic D gives each image a number, real ones r = D(x) and generated ones f = D(G(z)), high if
it takes it for real. A loss is an object with

    critic(r, f)        what the critic minimises
    generator(f)        what the generator minimises
    at_rest             both losses where p_G = p_data and D is best for it: a game that has
                        settled stays there. None where any value would do
    boundary            above it D takes an image for real. None where D measures a distance

All are means over the batch, written in logits: log σ(r) = −softplus(−r) is exact where σ(r) would
round to 0 or 1, so every loss and its gradient are finite for any finite r and f.

Reading order: the games; `LOSSES`, all by name; `scores`; the penalties.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tinygen._checks import number
from tinygen._random import generator
from tinygen._types import Rng
from tinygen.autograd import Tensor, as_tensor, grad, mean, relu, reshape, softplus, sqrt, where, xp
from tinygen.autograd import sum as sum_over

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

AtRest = tuple[float | None, float | None]


# --- the games ------------------------------------------------------------------------------------


class Minimax:
    """min_G max_D V, V = E[log σ(r)] + E[log(1 − σ(f))]  (Goodfellow et al. 2014, eq. 1)

    The critic's best answer is σ(D(x)) = p_data / (p_data + p_G), where V = −2 log 2 + 2 JS: what
    the generator then lowers is the Jensen–Shannon divergence of the two.

    With one-sided label smoothing the critic is told that an image is real with probability
    `real`, 0.9 say, and so has no reason to be ever more certain (Salimans et al. 2016, 3.4). Its
    best answer is then real · p_data / (p_data + p_G).
    """

    boundary: ClassVar[float | None] = 0.0

    def __init__(self, real: float = 1.0) -> None:
        self.real = number(
            f"{type(self).__name__}: expected 0 < `real` ≤ 1", real, lambda x: 0 < x <= 1
        )

    def critic(self, r: Any, f: Any) -> Tensor:
        """−V; with smoothing, −E[s log σ(r) + (1 − s) log(1 − σ(r))] − E[log(1 − σ(f))]"""
        r, f = as_tensor(r), as_tensor(f)
        loss = mean(softplus(-r)) + mean(softplus(f))
        # s softplus(−r) + (1 − s) softplus(r) = softplus(−r) + (1 − s) r
        return loss if self.real == 1 else loss + (1 - self.real) * mean(r)

    def generator(self, f: Any) -> Tensor:
        """E[log(1 − σ(f))]: flat where f is far below 0, that is, where it is needed most"""
        return -mean(softplus(as_tensor(f)))

    @property
    def at_rest(self) -> AtRest:
        d, s = self.real / 2, self.real  # the best answer, and the target
        entropy = s * math.log(d) + (1 - s) * math.log(1 - d)
        return -entropy - math.log(1 - d), self._generator_at_rest(d)

    def _generator_at_rest(self, d: float) -> float:
        return math.log(1 - d)


class NonSaturating(Minimax):
    """The critic's loss as in `Minimax`; the generator raises E[log σ(f)] instead

    That has the same fixed point and a steep slope where the critic is sure: the game that is
    meant by "a GAN" ever since. (Goodfellow et al. 2014, end of section 3)
    """

    def generator(self, f: Any) -> Tensor:
        """−E[log σ(f)]"""
        return mean(softplus(-as_tensor(f)))

    def _generator_at_rest(self, d: float) -> float:
        return -math.log(d)


class LeastSquares:
    """½ E[(r − s)²] + ½ E[f²], and ½ E[(f − 1)²]: regression to 1 and 0  (Mao et al. 2017, eq. 9)

    s is 1 but for label smoothing, `real`. The best critic's own loss falls as the Pearson χ² of
    p_data + p_G and 2 p_G grows; what the generator descends, with D held, is not that.
    """

    boundary: ClassVar[float | None] = 0.5

    def __init__(self, real: float = 1.0) -> None:
        self.real = number("LeastSquares: expected 0 < `real` ≤ 1", real, lambda x: 0 < x <= 1)

    def critic(self, r: Any, f: Any) -> Tensor:
        r, f = as_tensor(r), as_tensor(f)
        return 0.5 * mean((r - self.real) ** 2) + 0.5 * mean(f**2)

    def generator(self, f: Any) -> Tensor:
        return 0.5 * mean((as_tensor(f) - 1) ** 2)

    @property
    def at_rest(self) -> AtRest:
        return self.real**2 / 4, (1 - self.real / 2) ** 2 / 2


class Hinge:
    """E[max(0, 1 − r)] + E[max(0, 1 + f)], and −E[f]  (Lim & Ye 2017; Miyato et al. 2018, eq. 16)

    Who is told apart by a margin of 1 is left alone.
    """

    at_rest: ClassVar[AtRest] = (2.0, None)
    boundary: ClassVar[float | None] = 0.0

    def critic(self, r: Any, f: Any) -> Tensor:
        return mean(relu(1 - as_tensor(r))) + mean(relu(1 + as_tensor(f)))

    def generator(self, f: Any) -> Tensor:
        return -mean(as_tensor(f))


class Wasserstein:
    """E[f] − E[r], and −E[f]  (Arjovsky et al. 2017, algorithm 1)

    If D has slope at most 1 everywhere, E[r] − E[f] is at most the Wasserstein distance of real
    and generated images, and is that distance for the best such D. What keeps the slope: weights
    that are clipped (`train`'s `clip_at`), the gradient penalty, or spectral normalisation.
    """

    at_rest: ClassVar[AtRest] = (0.0, None)
    boundary: ClassVar[float | None] = None

    def critic(self, r: Any, f: Any) -> Tensor:
        return mean(as_tensor(f)) - mean(as_tensor(r))

    def generator(self, f: Any) -> Tensor:
        return -mean(as_tensor(f))


LOSSES = {
    "minimax": Minimax,
    "non-saturating": NonSaturating,
    "least-squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
}


# --- penalties on the critic's slope --------------------------------------------------------------


def scores(owner: str, critic: Any, x: Any) -> Tensor:
    """D(x), (N,), of a critic that gives (N, 1) or (N,)"""
    score, N = as_tensor(critic(x)), len(x)
    if score.shape not in ((N,), (N, 1)):
        raise ValueError(
            f"{owner}: expected the critic to give ({N}, 1), a number for each of "
            f"what it judges, got {score.shape}"
        )
    flat: Tensor = reshape(score, (N,))
    return flat


def gradient_penalty(
    critic: Any, real: Any, fake: Any, *, rng: Rng, weight: float = 10.0
) -> Tensor:
    """λ E[(‖∇D(x̂)‖ − 1)²] at x̂ = ε x + (1 − ε) G(z), ε ~ U(0, 1)  (Gulrajani et al. 2017, eq. 3)

    The best critic has slope 1 on the way from each fake to its real counterpart; this one's is a
    little more, where that pays for the penalty. One ε and one norm for each row. `critic` is a
    function of images alone, in which rows do not meet: with batch norm in it, ∇D would not be each
    row's own.
    """
    real, fake = _pair("gradient_penalty", real, fake)
    weight = number("gradient_penalty: expected `weight` ≥ 0", weight, lambda w: w >= 0)
    N = real.shape[0]
    drawn = generator("gradient_penalty", rng).random(N, np.float32)
    eps = xp.asarray(drawn.reshape(N, *[1] * (real.ndim - 1)), real.dtype)
    x = Tensor(eps * real.data + (1 - eps) * fake.data, requires_grad=True)
    square = _squared_slope("gradient_penalty", critic, x)
    # ‖∇D‖ has a kink at 0, where √ would make the gradient 0/0; there it is taken to be 0
    flat = square.data == 0
    norm = where(flat, 0.0, sqrt(where(flat, 1.0, square)))
    return weight * mean((norm - 1) ** 2)


def r1(
    critic: Any, real: Any, fake: Any = None, *, rng: Any = None, weight: float = 10.0
) -> Tensor:
    """γ/2 E[‖∇D(x)‖²] at real images  (Mescheder et al. 2018, eq. 9)

    A critic that is flat on the data does not push a generator that is there away again: with it
    the game converges. Nothing is drawn, and `fake` is not looked at.
    """
    weight = number("r1: expected `weight` ≥ 0", weight, lambda w: w >= 0)
    x = Tensor(as_tensor(real).data, requires_grad=True)
    return 0.5 * weight * mean(_squared_slope("r1", critic, x))


def _squared_slope(owner: str, critic: Any, x: Tensor) -> Tensor:
    """‖∇D(x)‖² of each row, (N,), to be differentiated again

    No row has a part in another's D, so the gradient of the sum has each row's own in its place.
    """
    slope = grad(sum_over(scores(owner, critic, x)), x, create_graph=True)
    return sum_over(slope * slope, axis=tuple(range(1, slope.ndim)))


def _pair(owner: str, real: Any, fake: Any) -> tuple[Tensor, Tensor]:
    real, fake = as_tensor(real), as_tensor(fake)
    if real.shape != fake.shape:
        raise ValueError(
            f"{owner}: expected as many `fake` as `real` images, of one shape, got "
            f"{fake.shape} and {real.shape}"
        )
    return real, fake
