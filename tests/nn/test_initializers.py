"""Weight initialisation: the derived variances, and that they preserve signals."""

import math

import numpy as np
import pytest

import tinygen as tg
from tinygen import Tensor, nn

N, M = 300, 200  # fan_in, fan_out
VARIANCES = {
    "lecun_normal": 1 / N,
    "lecun_uniform": 1 / N,
    "glorot_normal": 2 / (N + M),
    "glorot_uniform": 2 / (N + M),
    "he_normal": 2 / N,
    "he_uniform": 2 / N,
    "pytorch_uniform": 1 / (3 * N),
    "normal": 0.02**2,
    "normal of 3": 9.0,
}
MADE = {"normal": nn.normal(), "normal of 3": nn.normal(3.0)}

each_initialiser = pytest.mark.parametrize(("name", "variance"), VARIANCES.items())


def initialised(name, rng):
    return MADE.get(name, getattr(nn, name, None))(rng, (N, M), N, M)


def test_every_initialiser_is_tested():
    assert set(nn.initializers.__all__) | MADE.keys() == VARIANCES.keys() | {"constant", "zeros"}


@each_initialiser
def test_mean_and_variance_are_those_derived(name, variance, rng):
    w = initialised(name, rng)
    count, uniform = w.size, "uniform" in name
    assert w.shape == (N, M)
    assert abs(w.mean()) < 5 * math.sqrt(variance / count)
    # the variance of a square is 2 σ⁴ if normal, 4/5 σ⁴ if uniform
    assert abs(w.var() - variance) < 5 * variance * math.sqrt((0.8 if uniform else 2) / count)


@each_initialiser
def test_the_distribution_is_normal_or_uniform_as_it_is_called(name, variance, rng):
    z = initialised(name, rng) / math.sqrt(variance)
    # P(|z| < 1) and the largest of 60,000
    if "uniform" in name:
        assert abs((abs(z) < 1).mean() - 1 / math.sqrt(3)) < 0.01
        assert math.sqrt(3) - 0.001 < abs(z).max() <= math.sqrt(3)
    else:
        assert abs((abs(z) < 1).mean() - math.erf(1 / math.sqrt(2))) < 0.01
        assert 3.5 < abs(z).max() < 6


def test_constants_are_constant():
    np.testing.assert_array_equal(nn.constant(0.3)(None, (2, 3), 2, 3), np.full((2, 3), 0.3))
    np.testing.assert_array_equal(nn.zeros(None, (2, 3), 2, 3), np.zeros((2, 3)))


MAKE = {
    "Dense": lambda rng, **how: nn.Dense(4, 3, rng=rng, **how),
    "Conv2d": lambda rng, **how: nn.Conv2d(2, 3, (3, 4), rng=rng, **how),
    "ConvTranspose2d": lambda rng, **how: nn.ConvTranspose2d(2, 3, 4, 2, rng=rng, **how),
    "Embedding": lambda rng, **how: nn.Embedding(5, 3, rng=rng, **how),
    "CrossAttention": lambda rng, **how: nn.CrossAttention(4, 3, rng=rng, **how),
    "SelfAttention": lambda rng, **how: nn.SelfAttention(4, rng=rng, **how),
}


@pytest.mark.parametrize("name", MAKE)
def test_weights_are_drawn_from_rng_and_from_nothing_else(name):
    states = [MAKE[name](np.random.default_rng(seed)).state_dict() for seed in (1, 1, 2)]
    for key in states[0]:
        np.testing.assert_array_equal(states[0][key], states[1][key])
        if key.endswith("weight"):
            assert (states[0][key] != states[2][key]).all()
        else:
            assert not states[0][key].any()  # biases start at zero


@pytest.mark.parametrize("name", MAKE)
def test_init_sets_the_initial_weights(name, rng):
    for key, each in MAKE[name](rng, init=nn.constant(0.5)).state_dict().items():
        assert (each == (0.5 if key.endswith("weight") else 0)).all()
        assert each.dtype == np.float32


def fans(make):
    """The (fan_in, fan_out) that a layer passes to its initialiser."""
    seen = []
    make(lambda rng, shape, n, m: seen.append((n, m)) or np.zeros(shape))
    return seen[0]


def test_layers_know_their_fans(rng):
    assert fans(lambda init: nn.Dense(4, 3, rng=rng, init=init)) == (4, 3)
    assert fans(lambda init: nn.Conv2d(4, 3, (5, 2), rng=rng, init=init)) == (40, 30)
    assert fans(lambda init: nn.Conv2d(4, 3, 6, (2, 3), rng=rng, init=init)) == (144, 18)
    assert fans(lambda init: nn.ConvTranspose2d(4, 3, 6, (2, 3), rng=rng, init=init)) == (24, 108)


# --- the variance of signals is preserved ---------------------------------------------------------


def backwards(rng, shape, fan_in, fan_out):
    """Var w = 1/m, which preserves the variance in the backward pass."""
    return nn.lecun_normal(rng, shape, fan_out, fan_in)


ALL = slice(None)
# a layer, its input shape, and the rows and columns of outputs and inputs away from the border, in
# whole periods of the stride
LINEAR = {
    "Dense": (lambda **how: nn.Dense(400, 300, **how), (300, 400), ALL, ALL),
    "Conv2d": (lambda **how: nn.Conv2d(20, 30, 3, **how), (8, 22, 22, 20), ALL, slice(2, -2)),
    "Conv2d, stride 2": (
        lambda **how: nn.Conv2d(20, 30, 4, 2, **how),
        (8, 26, 26, 20),
        ALL,
        slice(4, -4),
    ),
    "Conv2d, stride above its size": (
        lambda **how: nn.Conv2d(40, 40, 2, 3, **how),
        (8, 30, 30, 40),
        ALL,
        ALL,
    ),
    "ConvTranspose2d": (
        lambda **how: nn.ConvTranspose2d(20, 30, 3, **how),
        (8, 20, 20, 20),
        slice(2, -2),
        ALL,
    ),
    "ConvTranspose2d, stride 2": (
        lambda **how: nn.ConvTranspose2d(20, 30, 4, 2, **how),
        (8, 14, 14, 20),
        slice(4, -4),
        ALL,
    ),
    "ConvTranspose2d, an uneven stride": (
        lambda **how: nn.ConvTranspose2d(40, 30, 4, 3, **how),
        (8, 14, 14, 40),
        slice(3, 39),
        ALL,
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_lecun_preserves_the_variance_of_the_forward_pass(name, rng):
    make, shape, inside, _ = LINEAR[name]
    x = Tensor(rng.standard_normal(shape).astype("f4"))
    z = make(rng=rng, init=nn.lecun_normal)(x).numpy()
    assert z[:, inside, inside if z.ndim > 2 else ...].var() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("name", LINEAR)
def test_the_fan_out_preserves_the_variance_of_the_backward_pass(name, rng):
    make, shape, _, inside = LINEAR[name]
    x = Tensor(rng.standard_normal(shape).astype("f4"), requires_grad=True)
    z = make(rng=rng, init=backwards)(x)
    g = Tensor(rng.standard_normal(z.shape).astype("f4"))
    gx = tg.grad(z, x, cotangent=g).numpy()
    assert gx[:, inside, inside if z.ndim > 2 else ...].var() == pytest.approx(1, rel=0.05)


def test_he_keeps_the_mean_square_through_ten_layers_of_relu(rng):
    x = Tensor(rng.standard_normal((500, 400)).astype("f4"))
    model = nn.Sequential(
        *(f for _ in range(10) for f in (nn.Dense(400, 400, rng=rng, init=nn.he_normal), tg.relu))
    )
    z = nn.Sequential(*model.layers[:-1])(x).numpy()
    assert 0.7 < (z**2).mean() / 2 < 1.4  # ReLU then halves it
