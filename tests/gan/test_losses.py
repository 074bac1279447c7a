"""Adversarial losses and penalties: their formulas, optima and known convergence."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_gans import EVERY, Point, Slope, generator, host, tensor

import tinygen as tg
from tinygen import gan, gradcheck, models, nn, optim
from tinygen.gan import (
    GAN,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
    gradient_penalty,
    r1,
)

every_loss = pytest.mark.parametrize("loss", EVERY, ids=lambda x: f"{type(x).__name__}")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# --- the losses -----------------------------------------------------------------------------------

R, F = np.array([2.0, -0.5, 1.0]), np.array([-1.0, 0.25, 3.0])
P_R, P_F = sigmoid(R), sigmoid(F)


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator_"),
    [
        (Minimax(), -np.log(P_R).mean() - np.log(1 - P_F).mean(), np.log(1 - P_F).mean()),
        (NonSaturating(), -np.log(P_R).mean() - np.log(1 - P_F).mean(), -np.log(P_F).mean()),
        (
            NonSaturating(0.9),
            -(0.9 * np.log(P_R) + 0.1 * np.log(1 - P_R)).mean() - np.log(1 - P_F).mean(),
            -np.log(P_F).mean(),
        ),
        (LeastSquares(), ((R - 1) ** 2).mean() / 2 + (F**2).mean() / 2, ((F - 1) ** 2).mean() / 2),
        (
            LeastSquares(0.9),
            ((R - 0.9) ** 2).mean() / 2 + (F**2).mean() / 2,
            ((F - 1) ** 2).mean() / 2,
        ),
        (Hinge(), (0 + 1.5 + 0 + 0 + 1.25 + 4) / 3, -2.25 / 3),
        (Wasserstein(), 2.25 / 3 - 2.5 / 3, -2.25 / 3),
    ],
)
def test_every_loss_is_its_formula(loss, discriminator, generator_):
    assert float(loss.discriminator(tensor(R), tensor(F))) == pytest.approx(discriminator)
    assert float(loss.generator(tensor(F))) == pytest.approx(generator_)


@every_loss
@given(
    r=st.sampled_from([-1000.0, -30.0, 0.0, 30.0, 1000.0]),
    f=st.sampled_from([-1000.0, -30.0, 0.0, 30.0, 1000.0]),
)
def test_losses_and_gradients_are_finite_at_any_logit(loss, r, f):
    real, fake = (tg.Tensor(tg.xp.asarray([x], "f4"), requires_grad=True) for x in (r, f))
    loss_d, loss_g = loss.discriminator(real, fake), loss.generator(fake)
    gradients = [*tg.grad(loss_d, [real, fake]), tg.grad(loss_g, fake)]
    assert all(np.isfinite(host(x)).all() for x in (loss_d, loss_g, *gradients))


@every_loss
def test_the_losses_pass_gradcheck(loss):
    r, f = tensor(R, requires_grad=True), tensor(F, requires_grad=True)
    gradcheck(lambda r, f: loss.discriminator(r, f), r, f, order=2)
    gradcheck(lambda f: loss.generator(f), f, order=2)


def test_only_the_minimax_generator_has_a_vanishing_gradient():
    f = tensor([-20.0], requires_grad=True)
    saturating, other = (float(tg.grad(loss.generator(f), f)[0]) for loss in EVERY[:2])
    assert saturating == pytest.approx(-math.exp(-20), rel=1e-3)
    assert other == pytest.approx(-1, rel=1e-3)


@every_loss
def test_at_equilibrium_holds_the_losses_for_equal_distributions(loss):
    discriminator, generator_ = loss.at_equilibrium
    scores = np.linspace(-4, 4, 16001)  # where p = q, D is the same for real and fake
    losses = [float(loss.discriminator(tensor([d]), tensor([d]))) for d in scores[::16]]
    best = scores[::16][int(np.argmin(losses))]
    assert min(losses) == pytest.approx(discriminator, abs=1e-4)
    if generator_ is None:  # adding a constant to D does not change the loss
        assert np.isclose(losses, discriminator).sum() > 100
    else:
        assert float(loss.generator(tensor([best]))) == pytest.approx(generator_, abs=5e-3)


@pytest.mark.parametrize("make", [Minimax, NonSaturating, LeastSquares])
@pytest.mark.parametrize("real", [0.0, 1.1, -1, math.nan])
def test_a_label_is_a_probability(make, real):
    with pytest.raises(ValueError, match=rf"^{make.__name__}: .*`real` in \(0, 1\], got {real}"):
        make(real)


# --- the optimal discriminator --------------------------------------------------------------------


class Table(nn.Module):
    """A discriminator of K items, given as one-hot rows, with a free score for each"""

    def __init__(self, k):
        self.score = tensor(np.zeros((k, 1)), requires_grad=True)

    def forward(self, x):
        return tg.as_tensor(x) @ self.score


def best_discriminator(loss, p, q, steps=600):
    """The best scores of items, real with probabilities p and fake with q, and their loss"""
    k = len(p)
    discriminator = Table(k)
    optimizer = optim.Adam(discriminator.parameters(), lambda t: 0.3 * 0.985**t, (0.5, 0.9))
    # 1000 items in these proportions
    real, fake = (np.repeat(np.eye(k), np.rint(1000 * w).astype(int), axis=0) for w in (p, q))
    real, fake = tensor(real), tensor(fake)
    for _ in range(steps):
        value = loss.discriminator(discriminator(real), discriminator(fake))
        optimizer.step(tg.grad(value, optimizer.params))
    return host(discriminator.score)[:, 0], float(value)


TWO = np.array([0.5, 0.2, 0.3]), np.array([0.1, 0.6, 0.3])


def test_the_optimal_discriminator_is_p_over_p_plus_q_and_gives_the_js_divergence():
    p, q = TWO
    score, value = best_discriminator(Minimax(), p, q)
    np.testing.assert_allclose(sigmoid(score), p / (p + q), atol=1e-3)
    m = (p + q) / 2
    js = (p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2
    assert -value == pytest.approx(-2 * math.log(2) + 2 * js, abs=1e-5)


def test_label_smoothing_scales_the_optimal_discriminator():
    p, q = TWO
    score, _ = best_discriminator(Minimax(0.9), p, q)
    np.testing.assert_allclose(sigmoid(score), 0.9 * p / (p + q), atol=1e-3)


def test_the_optimal_least_squares_discriminator_is_p_over_p_plus_q():
    p, q = TWO
    score, value = best_discriminator(LeastSquares(), p, q)
    np.testing.assert_allclose(score, p / (p + q), atol=1e-3)
    pearson = ((p - q) ** 2 / (p + q)).sum()  # which the generator minimises
    assert value == pytest.approx((1 - pearson / 2) / 4, abs=1e-4)


def test_a_penalised_discriminator_finds_the_distance_of_two_points():
    discriminator = models.mlp([2, 32, 1], tg.tanh, rng=generator()).astype(float)
    model = GAN(Point(3.0, 4.0), discriminator, 1)
    batches = (tensor(np.zeros((16, 2))) for _ in range(600))
    fading = optim.Adam(discriminator.parameters(), lambda t: 0.02 * 0.995**t, (0.5, 0.9))
    optimizers = optim.SGD(model.generator.parameters(), 1e-12), fading
    *_, last = gan.train(
        model,
        batches,
        *optimizers,
        rng=generator(),
        loss=Wasserstein(),
        penalty=partial(gradient_penalty, weight=100.0),
    )
    assert float(last["distance"]) == pytest.approx(5, rel=0.03)


# --- the Dirac-GAN: both networks have one parameter ----------------------------------------------


def dirac(loss, steps=1200, lr=0.1, **options):
    """All data at 0, a generator at θ, D of slope ψ: the path of (θ, ψ)  (Mescheder 2018)"""
    model = GAN(Point(1.0), Slope(0.0, loss.boundary or 0.0), 1)
    optimizers = [optim.SGD(m.parameters(), lr) for m in (model.generator, model.discriminator)]
    batches = (tensor(np.zeros((1, 1))) for _ in range(steps))
    path = []
    for _ in gan.train(model, batches, *optimizers, rng=generator(), loss=loss, **options):
        path.append((float(model.generator.at[0]), float(model.discriminator.psi[0])))
    return np.array(path)


def turns(path):
    return np.diff(np.unwrap(np.arctan2(path[:, 1], path[:, 0]))).sum() / (2 * math.pi)


@pytest.mark.parametrize("loss", [Minimax(), Hinge(), Wasserstein()])
def test_without_a_penalty_the_networks_circle_the_equilibrium(loss):
    path = dirac(loss)
    radius = np.hypot(*path.T)
    assert abs(turns(path)) > 5
    assert 0.8 < radius.min() <= radius.max() < 1.25


@pytest.mark.parametrize("loss", [NonSaturating(), LeastSquares()])
def test_two_losses_approach_the_equilibrium_ever_more_slowly(loss):
    # the radius r shrinks by O(r³) per turn, so it falls as 1/√t, not exponentially
    path = dirac(loss)
    radius = np.hypot(*path.T)
    assert abs(turns(path)) > 5
    assert 0.1 < radius[-1] < 0.5
    early, late = radius[300] / radius[150], radius[1199] / radius[1049]
    assert late > early + 0.1


@pytest.mark.parametrize("loss", EVERY[:5])
def test_with_r1_they_converge(loss):
    path = dirac(loss, 600, penalty=partial(r1, weight=1.0))
    assert np.hypot(*path[-1]) < 1e-3


def test_with_the_gradient_penalty_they_do_not_converge():
    path = dirac(Wasserstein(), penalty=partial(gradient_penalty, weight=0.1))
    assert np.hypot(*path[-500:].T).max() > 0.1


# --- the penalties --------------------------------------------------------------------------------


def dense_discriminator(seed=0):
    return models.mlp([6, 5, 4, 1], tg.tanh, rng=generator(seed)).astype(float), (3, 6)


def conv_discriminator(seed=0):
    rng = generator(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, 2, 1, rng=rng),
        nn.LeakyReLU(0.2),
        nn.Conv2d(3, 2, 2, rng=rng),
        nn.Tanh(),
        nn.Flatten(),
        nn.Dense(8, 1, rng=rng),
    ).astype(float), (3, 6, 6, 2)


def gradient_norms(discriminator, x):
    """‖∇D‖ of each row by finite differences."""
    derivatives = np.empty((len(x), x[0].size))
    for i, row in enumerate(x):
        for j in range(row.size):
            h = np.zeros(row.size)
            h[j] = 1e-5
            h = h.reshape(row.shape)
            ends = discriminator(tensor(np.stack([row + h, row - h])))
            derivatives[i, j] = float(ends[0, 0] - ends[1, 0]) / 2e-5
    return np.linalg.norm(derivatives, axis=1)


@pytest.mark.parametrize("make", [dense_discriminator, conv_discriminator])
def test_the_penalties_are_their_formulas(make):
    discriminator, shape = make()
    real, fake = generator(1).standard_normal((2, *shape))
    eps = generator(5).random(shape[0], np.float32).reshape(-1, *[1] * (len(shape) - 1))
    expected = 7 * ((gradient_norms(discriminator, eps * real + (1 - eps) * fake) - 1) ** 2).mean()
    options = {"rng": generator(5), "weight": 7.0}
    penalty = gradient_penalty(discriminator, tensor(real), tensor(fake), **options)
    assert float(penalty) == pytest.approx(expected, rel=1e-5)
    expected = 3 / 2 * (gradient_norms(discriminator, real) ** 2).mean()
    assert float(r1(discriminator, tensor(real), weight=3.0)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", [dense_discriminator, conv_discriminator])
@pytest.mark.parametrize("zero", [False, True])
def test_the_gradients_of_the_penalties_equal_finite_differences(make, zero):
    discriminator, shape = make()
    params = discriminator.parameters()
    if zero:  # a constant discriminator
        for p in params[-2:]:
            p.data = 0 * p.data
    real, fake = (tensor(x) for x in generator(1).standard_normal((2, *shape)))
    for penalty in (gradient_penalty, r1):

        def value(penalty=penalty):
            return penalty(discriminator, real, fake, rng=generator(5))

        # the penalties do not depend on the last bias
        gradients = tg.grad(value(), params, allow_unreachable=True)
        for p, g in zip(params, gradients, strict=True):
            start = host(p).copy()
            step = generator(7).standard_normal(start.shape)
            ends = []
            for h in (1e-5, -1e-5):
                p.data = tg.xp.asarray(start + h * step)
                ends.append(float(value()))
            p.data = tg.xp.asarray(start)
            expected = (ends[0] - ends[1]) / 2e-5
            assert (host(g) * step).sum() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_penalty_of_a_constant_discriminator_is_finite():
    discriminator = models.mlp([2, 4, 1], rng=generator())
    discriminator.parameters()[-2].data = 0 * discriminator.parameters()[-2].data
    x = tg.Tensor(tg.xp.ones((3, 2), "f4"))
    value = gradient_penalty(discriminator, x, x, rng=generator())
    assert float(value) == 10
    grads = tg.grad(value, discriminator.parameters(), allow_unreachable=True)
    assert all(np.isfinite(host(g)).all() for g in grads)


def test_each_row_is_scored_at_its_own_random_interpolation():
    seen = []

    def discriminator(x):
        seen.append(host(x))
        return x.sum(axis=1)

    real, fake = tensor(np.zeros((500, 3))), tensor(np.ones((500, 3)))
    gradient_penalty(discriminator, real, fake, rng=generator())
    (x,) = seen
    assert (x == x[:, :1]).all()  # one ε per row
    assert len(np.unique(x[:, 0])) == 500
    assert 0 <= x.min() < 0.01
    assert 0.99 < x.max() <= 1


def test_the_penalty_needs_equally_many_real_and_generated_images():
    with pytest.raises(ValueError, match=r"^gradient_penalty: .*\(4, 3\), got \(2, 3\)"):
        gradient_penalty(None, tensor(np.ones((4, 3))), tensor(np.ones((2, 3))), rng=generator())


@pytest.mark.parametrize("make", [gan.Minimax, gan.NonSaturating, gan.LeastSquares])
@pytest.mark.parametrize("real", [1.0, 0.9, 0.6])
def test_the_boundary_is_the_optimal_score_where_both_densities_are_equal(make, real):
    loss = make(real)
    scores = np.linspace(-4, 4, 8001)
    losses = [loss.discriminator(float(d), float(d)).item() for d in scores]
    assert loss.boundary == pytest.approx(scores[np.argmin(losses)], abs=2e-3)
