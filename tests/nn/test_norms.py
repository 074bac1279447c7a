"""The norm layers against loops; their statistics, accuracy, and a zoo of wrong gradients."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import GradientError, Tensor, gradcheck, nn, record
from tinygen.autograd import normalise


def array(x, dtype="float64"):
    return tg.xp.asarray(np.asarray(x), dtype)


def normalised(values, eps):
    """A list of numbers, normalised to mean 0 and variance 1 (up to ε)."""
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(variance + eps) for v in values]


def naive_norm(x, groups, gamma, beta, eps):
    """`groups` maps each index of x to the group that shares its mean and variance."""
    y, members = np.zeros(x.shape), {}
    for index in np.ndindex(x.shape):
        members.setdefault(groups(*index), []).append(index)
    for indices in members.values():
        for index, z in zip(indices, normalised([x[i] for i in indices], eps), strict=True):
            y[index] = gamma[index[-1]] * z + beta[index[-1]]
    return y


@st.composite
def images(draw, most_axes=2, least_batch=1):
    """x (N, …, C), γ, β and a number of groups that divides C."""
    groups, size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    between = draw(st.lists(st.integers(1, 4), max_size=most_axes))
    shape = (draw(st.integers(least_batch, 4)), *between, groups * size)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.standard_normal(shape) * 2 + 1, *rng.standard_normal((2, shape[-1])), groups


def with_parameters(layer, gamma, beta):
    layer.astype(float)
    layer.gamma.data, layer.beta.data = array(gamma), array(beta)
    return layer


# --- against loops --------------------------------------------------------------------------------


@given(images(least_batch=2))
def test_batch_norm_in_training_normalises_each_channel_over_the_batch(drawn):
    x, gamma, beta, _ = drawn
    layer = with_parameters(nn.BatchNorm(len(gamma), eps=0.01), gamma, beta)
    expected = naive_norm(x, lambda *i: i[-1], gamma, beta, 0.01)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-10)


@given(images())
def test_group_norm_normalises_each_group_of_channels_of_each_image(drawn):
    x, gamma, beta, groups = drawn
    size = len(gamma) // groups
    layer = with_parameters(nn.GroupNorm(groups, len(gamma), eps=0.01), gamma, beta)
    expected = naive_norm(x, lambda *i: (i[0], i[-1] // size), gamma, beta, 0.01)
    for each in (layer, layer.eval()):
        np.testing.assert_allclose(each(Tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-10)


@given(images())
def test_layer_norm_normalises_the_channels_of_each_position(drawn):
    x, gamma, beta, _ = drawn
    layer = with_parameters(nn.LayerNorm(len(gamma), eps=0.01), gamma, beta)
    expected = naive_norm(x, lambda *i: i[:-1], gamma, beta, 0.01)
    for each in (layer, layer.eval()):
        np.testing.assert_allclose(each(Tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-10)
        row = each(Tensor(x[0, ..., :].reshape(-1, x.shape[-1])[0])).numpy()
        np.testing.assert_allclose(row, expected[0].reshape(-1, x.shape[-1])[0], atol=1e-10)


def test_epsilon_is_a_hundred_thousandth_by_default():
    # two elements ± a with a² = ε are normalised to ± 1/√2
    x = math.sqrt(1e-5) * np.array([[1.0, -1.0], [-1.0, 1.0]])
    for layer in (nn.BatchNorm(2), nn.GroupNorm(1, 2), nn.LayerNorm(2)):
        expected = np.sign(x) / math.sqrt(2)
        np.testing.assert_allclose(layer.astype(float)(Tensor(x)).numpy(), expected, rtol=1e-9)


# --- the statistics of batch norm -----------------------------------------------------------------


def test_running_statistics_are_averages_of_means_and_unbiased_variances(rng):
    layer = nn.BatchNorm(3, momentum=0.3).astype(float)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(4):
        x = rng.normal([1, 2, 3], 1, (5, 2, 3))
        layer(Tensor(x))
        flat = x.reshape(10, 3)
        mean = 0.7 * mean + 0.3 * flat.mean(0)
        variance = 0.7 * variance + 0.3 * flat.var(0, ddof=1)
    np.testing.assert_allclose(tg.to_numpy(layer.mean), mean, rtol=1e-12)
    np.testing.assert_allclose(tg.to_numpy(layer.variance), variance, rtol=1e-12)
    assert [name for name, _ in layer.named_state()] == ["gamma", "beta", "mean", "variance"]


def test_batch_norm_in_evaluation_uses_its_running_statistics(rng):
    layer = with_parameters(nn.BatchNorm(2, eps=0.5), [2.0, 3.0], [-1.0, 1.0]).eval()
    layer.mean, layer.variance = array([1.0, 2.0]), array([0.5, 3.5])
    x = rng.standard_normal((4, 3, 2))
    expected = [2, 3] * (x - [1, 2]) / [1.0, 2.0] + [-1, 1]
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(layer(Tensor(x[:1, 0])).numpy(), expected[:1, 0], rtol=1e-12)


def test_after_much_training_evaluation_agrees_with_training(rng):
    layer, x = nn.BatchNorm(2).astype(float), Tensor(rng.standard_normal((1000, 2)) * [1, 5] + 3)
    for _ in range(400):
        trained = layer(x).numpy()
    np.testing.assert_allclose(layer.eval()(x).numpy(), trained, rtol=1e-3, atol=2e-3)


def test_the_gradient_of_an_evaluation_survives_training_before_it_is_taken(rng):
    layer = nn.BatchNorm(2).astype(float)
    layer(Tensor(rng.standard_normal((5, 2))))
    x = Tensor(rng.standard_normal((5, 2)))
    loss = (layer.eval()(x) ** 2).sum()
    expected = [g.numpy() for g in tg.grad(loss, layer.parameters())]
    layer.train()(Tensor(rng.standard_normal((5, 2)) + 7))
    for g, e in zip(tg.grad(loss, layer.parameters()), expected, strict=True):
        np.testing.assert_array_equal(g.numpy(), e)


def test_a_single_element_per_channel_is_refused_in_training_only():
    layer = nn.BatchNorm(2)
    with pytest.raises(ValueError, match=r"^BatchNorm: training .* got \(1, 2\)"):
        layer(array(np.ones((1, 2))))
    assert layer.eval()(array(np.ones((1, 2)))).shape == (1, 2)


# --- accuracy -------------------------------------------------------------------------------------

FAR = {
    "BatchNorm": (lambda C: nn.BatchNorm(C), (32, 9, 9, 24), (0, 1, 2)),
    "BatchNorm of rows": (lambda C: nn.BatchNorm(C), (3000, 8), 0),
    "GroupNorm": (lambda C: nn.GroupNorm(1, C), (8, 14, 14, 16), (1, 2, 3)),
    "GroupNorm of one large image": (lambda C: nn.GroupNorm(1, C), (1, 200, 190, 1), (1, 2, 3)),
    "LayerNorm": (lambda C: nn.LayerNorm(C), (50, 4096), 1),
}


@pytest.mark.parametrize("name", FAR)
def test_a_mean_of_10_000_standard_deviations_is_normalised_away_in_float32(name, rng):
    # E[x²] − E[x]² would be 1e8 − 1e8, with 7 digits
    make, shape, axes = FAR[name]
    x = (1e4 + rng.standard_normal(shape)).astype("f4")
    g = rng.standard_normal(shape)
    exact = x.astype(float)
    r = 1 / np.sqrt(exact.var(axes, keepdims=True) + 1e-5)
    z = (exact - exact.mean(axes, keepdims=True)) * r
    h = g - g.mean(axes, keepdims=True) - z * (g * z).mean(axes, keepdims=True)
    t = Tensor(x, requires_grad=True)
    y = make(shape[-1])(t)
    np.testing.assert_allclose(y.numpy(), z, atol=0.002)
    assert y.numpy().var() == pytest.approx(1, rel=1e-3)
    gx = tg.grad(y, t, cotangent=Tensor(g.astype("f4"))).numpy()
    np.testing.assert_allclose(gx, r * h, atol=0.005)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_equal_elements_give_beta_and_finite_gradients(value):
    for layer in (nn.BatchNorm(4), nn.GroupNorm(2, 4), nn.LayerNorm(4)):
        layer.beta.data = array([1.0, 2.0, 3.0, 4.0], "f4")
        x = Tensor(np.full((3, 5, 4), value, "f4"), requires_grad=True)
        y = layer(x)
        np.testing.assert_allclose(y.numpy(), np.broadcast_to([1, 2, 3, 4], y.shape), atol=1e-3)
        assert np.isfinite(tg.grad((y * y).sum(), [x, *layer.parameters()])[0].numpy()).all()


@pytest.mark.parametrize("layer", [nn.BatchNorm(6), nn.GroupNorm(2, 6), nn.LayerNorm(6)])
def test_one_graph_gives_gradients_for_several_cotangents(layer, rng):
    layer.astype(float)
    x = Tensor(rng.standard_normal((3, 4, 6)), requires_grad=True)
    y, live = layer(x), [x, *layer.parameters()]
    a, b = (Tensor(rng.standard_normal(y.shape)) for _ in range(2))
    sums = [tg.grad(y, live, cotangent=g) for g in (a, b, a + b)]
    for ga, gb, both in zip(*sums, strict=True):
        np.testing.assert_allclose(ga.numpy() + gb.numpy(), both.numpy(), atol=1e-10)
    layer.astype("f4")


@pytest.mark.parametrize("layer", [nn.BatchNorm(3), nn.GroupNorm(3, 3), nn.LayerNorm(3)])
def test_a_norm_does_not_depend_on_the_layout_of_its_input(layer, rng):
    x = rng.standard_normal((2, 3, 5, 4))
    moved = tg.transpose(Tensor(x), (0, 2, 3, 1))
    plain = layer.astype(float)(Tensor(moved.numpy())).numpy()
    np.testing.assert_allclose(layer(moved).numpy(), plain, rtol=1e-12)
    layer.astype("f4")


# --- a zoo of wrong gradients ---------------------------------------------------------------------


def with_gradient(gradient):
    """Normalisation over the first axis, with its gradient by the formula `gradient`(h, z, r)."""

    def norm(x, gamma):
        def z_and_r():
            d = x - tg.mean(x, 0)
            r = (tg.mean(d * d, 0) + 1e-5) ** -0.5
            return d * r, r

        return record(
            (z_and_r()[0] * gamma).data,
            (x, lambda g, _: gradient(g * gamma, *z_and_r())),
            (gamma, lambda g, _: g * z_and_r()[0]),
        )

    return norm


def mean(x):
    return tg.mean(x, 0)


def right(h, z, r):
    return r * (h - mean(h) - z * mean(h * z))


GRADIENTS = {
    "right": right,
    "1/σ held constant": lambda h, z, r: r * (h - mean(h)),
    "μ held constant": lambda h, z, r: r * (h - z * mean(h * z)),
    "both held constant": lambda h, z, r: r * h,
    "the mean over n − 1": lambda h, z, r: r * (h - mean(h) - z * mean(h * z) * 6 / 5),
    "1/σ held constant the second time": lambda h, z, r: r.data * (h - mean(h) - z * mean(h * z)),
    "z held constant the second time": lambda h, z, r: (
        r * (h - mean(h) - z.data * mean(h * z.data))
    ),
    "the cotangent cut off": lambda h, z, r: r * (h - mean(h) - z * mean(h.detach() * z)),
    "a term lost where nothing is recorded": lambda h, z, r: (
        right(h, z, r) if tg.is_recording() else r * (h - mean(h))
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_checker_rejects_a_norm_whose_gradient_lacks_a_term(name, rng):
    norm = with_gradient(GRADIENTS[name])
    x, gamma = rng.standard_normal((6, 3)), rng.uniform(0.5, 2, 3)
    if name == "right":
        assert gradcheck(norm, x, gamma)
        return
    with pytest.raises(GradientError) as caught:
        gradcheck(norm, x, gamma)
    later = "second time" in name or "cut off" in name
    assert (caught.value.diagnosis == "first order only") == later


# --- spectral norm --------------------------------------------------------------------------------

NORMED = {
    "Dense": (lambda rng: nn.Dense(4, 6, rng=rng), (3, 4), (0, 1)),
    "Conv2d": (lambda rng: nn.Conv2d(2, 5, 3, rng=rng), (2, 4, 4, 2), (0, 1, 2, 3)),
    "ConvTranspose2d": (
        lambda rng: nn.ConvTranspose2d(5, 2, 3, rng=rng),
        (2, 4, 4, 5),
        (0, 1, 3, 2),
    ),
}


@pytest.mark.parametrize("name", NORMED)
def test_spectral_norm_divides_by_the_largest_singular_value(name, rng):
    make, shape, order = NORMED[name]
    inner = make(rng).astype(float)
    layer = nn.SpectralNorm(inner, 500, rng=rng).astype(float)
    x, weight = Tensor(rng.standard_normal(shape)), inner.weight
    plain = inner(x).numpy()
    matrix = weight.numpy().transpose(order).reshape(-1, weight.numpy().transpose(order).shape[-1])
    assert matrix.shape[1] == plain.shape[-1]  # one column per output
    sigma = np.linalg.svd(matrix)[1][0]
    np.testing.assert_allclose(layer(x).numpy(), plain / sigma, rtol=1e-6)
    np.testing.assert_allclose(layer.eval()(x).numpy(), plain / sigma, rtol=1e-6)
    assert inner.weight is weight


def test_power_iteration_continues_from_call_to_call_in_training_only(rng):
    layer = nn.SpectralNorm(nn.Dense(5, 5, rng=rng), 3, rng=rng).astype(float)
    start, x, w = tg.to_numpy(layer.v).copy(), Tensor(np.eye(5)), layer.layer.weight.numpy()
    layer.eval()(x)
    np.testing.assert_array_equal(tg.to_numpy(layer.v), start)
    layer.train()(x)
    layer(x)
    v = start
    for _ in range(6):
        v = w.T @ w @ v
        v /= np.linalg.norm(v)
    np.testing.assert_allclose(tg.to_numpy(layer.v), v, rtol=1e-9)


def test_in_evaluation_v_is_taken_as_it_is(rng):
    layer = nn.SpectralNorm(nn.Dense(5, 5, rng=rng, bias=False), 3, rng=rng).astype(float).eval()
    w, v = layer.layer.weight.numpy(), tg.to_numpy(layer.v)
    z = layer(Tensor(np.eye(5))).numpy()
    np.testing.assert_allclose(z, w / np.linalg.norm(w @ v), rtol=1e-9)


def test_a_spectrally_normed_layer_is_1_lipschitz(rng):
    layer = nn.SpectralNorm(nn.Dense(8, 8, rng=rng), 300, rng=rng)
    a, b = rng.standard_normal((2, 500, 8)).astype("f4")
    apart = layer(Tensor(a)).numpy() - layer(Tensor(b)).numpy()
    stretch = np.linalg.norm(apart, axis=1) / np.linalg.norm(a - b, axis=1)
    assert stretch.max() <= 1 + 1e-4


def test_the_gradient_reaches_the_learnt_weight(rng):
    layer = nn.SpectralNorm(nn.Dense(3, 2, rng=rng), rng=rng)
    assert [name for name, _ in layer.named_parameters()] == ["layer.weight", "layer.bias"]
    loss = (layer(Tensor(rng.standard_normal((4, 3)).astype("f4"))) ** 2).sum()
    g = tg.grad(loss, layer.layer.weight).numpy()
    assert np.abs(g).max() > 0.01


def test_after_an_error_the_weight_is_restored(rng):
    inner = nn.Dense(3, 2, rng=rng)
    weight, layer = inner.weight, nn.SpectralNorm(inner, rng=rng)
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        layer(array(np.ones((4, 5))))
    assert inner.weight is weight


# --- errors ---------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "pattern"),
    [
        (lambda: nn.BatchNorm(0), ValueError, "^BatchNorm: .*`channels` to be an int ≥ 1, got 0"),
        (lambda: nn.LayerNorm((3, 4)), ValueError, r"^LayerNorm: .*`channels`.*got \(3, 4\)"),
        (lambda: nn.LayerNorm(3, eps=0), ValueError, "^LayerNorm: expected `eps` > 0, got 0"),
        (lambda: nn.BatchNorm(3, momentum=2), ValueError, "^BatchNorm: .*`momentum`.*got 2"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "^GroupNorm: 3 `groups` do not divide 4 channels"),
        (lambda: nn.GroupNorm(0, 4), ValueError, "^GroupNorm: .*`groups`.*got 0"),
        (lambda: nn.BatchNorm(3)(ones(2, 4)), ValueError, r"^BatchNorm: .*\(…, 3\), got \(2, 4\)"),
        (lambda: nn.GroupNorm(1, 3)(ones(3)), ValueError, "unpack"),
        (lambda: nn.LayerNorm(3)(ones(4)), ValueError, r"^LayerNorm: .*\(…, 3\), got \(4,\)"),
        (lambda: nn.LayerNorm(3)(np_ones(3)), TypeError, "^norm: .*float32 and float64"),
        (
            lambda: nn.SpectralNorm(nn.Dense(2, 2, rng=RNG), 0, rng=RNG),
            ValueError,
            "^SpectralNorm: .*`iterations`.*got 0",
        ),
        (
            lambda: nn.SpectralNorm(nn.Dense(2, 2, rng=RNG), rng=1),
            TypeError,
            "^SpectralNorm: .*`rng`.*got int",
        ),
        (
            lambda: normalise(np_ones(2, 3), np_ones(3), np_ones(3)),
            ValueError,
            r"^normalise: .*\(2, 3\), \(3,\) and \(3,\)",
        ),
    ],
)
def test_errors_name_the_wrong_argument_and_its_value(call, error, pattern):
    with pytest.raises(error, match=pattern):
        call()


def ones(*shape):
    return array(np.ones(shape), "f4")


def np_ones(*shape):
    return Tensor(np.ones(shape))


@pytest.mark.parametrize("layer", [nn.LayerNorm(3), nn.GroupNorm(1, 3)], ids=repr)
def test_an_empty_batch_gives_an_empty_batch(layer):
    x = tg.Tensor(np.ones((0, 4, 4, 3), "f4"), requires_grad=True)
    y = layer(x)
    assert y.shape == x.shape
    gradients = tg.grad(tg.sum(y), [x, *layer.parameters()])
    assert [g.shape for g in gradients] == [x.shape, (3,), (3,)]


def test_a_cotangent_that_has_changed_gives_another_gradient(rng):
    x, gamma, beta = (
        Tensor(rng.normal(size=s), requires_grad=True) for s in [(1, 5, 2, 1), (2, 1), (2, 1)]
    )
    y = tg.normalise(x, gamma, beta)[0]
    g = Tensor(rng.normal(size=y.shape))
    before = tg.grad(y, [x, gamma, beta], cotangent=g)
    g.data = 3 * g.data
    for a, b in zip(before, tg.grad(y, [x, gamma, beta], cotangent=g), strict=True):
        np.testing.assert_allclose(b.numpy(), 3 * a.numpy())
