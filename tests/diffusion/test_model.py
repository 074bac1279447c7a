"""Diffusion: the kinds of prediction, the losses, the training loop, and the bound."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import Gaussian

import tinygen as tg
from tinygen import diffusion, gradcheck, nn, optim
from tinygen.data import Batches, points_2d
from tinygen.diffusion import Diffusion, NoiseSchedule, cosine, denoising_loss, linear, min_snr
from tinygen.diffusion.samplers import ddim, last

numbers = st.floats(-3, 3)
PREDICTIONS = ("eps", "x_0", "v")
each_prediction = pytest.mark.parametrize("predicts", PREDICTIONS)
SCHEDULE = NoiseSchedule([1.0, 0.9, 0.4, 0.05])


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x, **more):
    return tg.Tensor(tg.xp.asarray(np.asarray(x, float)), **more)


def host(x):
    return tg.to_numpy(x.data if isinstance(x, tg.Tensor) else x)


class Points(nn.Module):
    """A network for points, optionally conditioned on a class"""

    def __init__(self, width=64, classes=None, seed=0):
        rng = generator(seed)
        self.time = nn.Sequential(nn.SinusoidalEmbedding(32), nn.Dense(32, width, rng=rng))
        self.point = nn.Dense(2, width, rng=rng)
        self.table = None if classes is None else nn.Embedding(classes + 1, width, rng=rng)
        self.body = nn.Sequential(
            tg.silu,
            nn.Dense(width, width, rng=rng),
            tg.silu,
            nn.Dense(width, width, rng=rng),
            tg.silu,
            nn.Dense(width, 2, rng=rng),
        )

    def forward(self, x, t, classes=None):
        h = self.point(x) + self.time(t)
        return self.body(h if self.table is None else h + self.table(classes))


class Linear(nn.Module):
    """w₀ x + w₁ t/1000 + w₂, which keeps its inputs"""

    def __init__(self):
        self.weight = tensor([0.5, -0.7, 0.2], requires_grad=True)
        self.seen = []

    def forward(self, x, t, *classes):
        self.seen.append((x, t, *classes))
        w = self.weight
        return x * w[0] + tg.reshape(t, (-1, *[1] * (x.ndim - 1))) * (w[1] / 1000) + w[2]


# --- predictions ----------------------------------------------------------------------------------


@each_prediction
@given(x_0=numbers, eps=numbers, alpha_bar=st.floats(1e-4, 0.9999))
def test_a_perfect_prediction_of_any_kind_gives_back_the_image_and_the_noise(
    predicts, x_0, eps, alpha_bar
):
    a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    target = diffusion.target(predicts, x_0, eps, a, b)
    expected = {"eps": eps, "x_0": x_0, "v": a * eps - b * x_0}[predicts]
    assert target == expected
    found = diffusion.x_0_and_eps(predicts, target, a * x_0 + b * eps, a, b)
    assert found == pytest.approx((x_0, eps), rel=1e-9, abs=1e-9)


@each_prediction
@given(output=numbers, x_t=numbers, alpha_bar=st.floats(1e-4, 0.9999))
def test_any_prediction_splits_x_t_into_image_and_noise(predicts, output, x_t, alpha_bar):
    a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    x_0, eps = diffusion.x_0_and_eps(predicts, output, x_t, a, b)
    assert a * x_0 + b * eps == pytest.approx(x_t, rel=1e-9, abs=1e-9)


def test_the_three_kinds_of_prediction_are_equivalent():
    known, x = Gaussian([0.5, -1.0], [[1.0, 0.4], [0.4, 0.5]]), generator().normal(size=(5, 2))
    found = [known.model(linear(50), each).denoise(tg.xp.asarray(x), 20) for each in PREDICTIONS]
    a, b = linear(50).scales(20)
    for x_0, eps in found:
        np.testing.assert_allclose(host(x_0), known.denoise(x, a, b), rtol=1e-9)
        np.testing.assert_allclose(host(eps), host(found[0][1]), rtol=1e-9)


@pytest.mark.parametrize("T", [3, 1000, 4000])
def test_the_network_gets_times_scaled_to_1000(T):
    network = Linear()
    model = Diffusion(network, linear(T))
    model.denoise(tg.xp.ones((2, 3, 3, 1)), T)
    model(tensor(np.ones((2, 3))), np.array([1, T]))
    model.denoise(tg.xp.ones((2, 3)), 0.25 * T)
    times = [host(t) for _, t in network.seen]
    np.testing.assert_allclose(times, [[1000, 1000], [1000 / T, 1000], [250, 250]])
    assert all(t.dtype == x.dtype for x, t in network.seen)


@each_prediction
def test_a_clipped_prediction_stays_in_bounds_and_the_noise_fits_it(predicts):
    wide = Gaussian([0.0, 0.0], 4 * np.eye(2))
    x = tg.xp.asarray(generator().normal(size=(50, 2)))
    x_0, eps = wide.model(linear(50), predicts, clip=1.0).denoise(x, 10)
    free, _ = wide.model(linear(50), predicts).denoise(x, 10)
    assert (np.abs(host(free)) > 1).any()
    np.testing.assert_allclose(host(x_0), np.clip(host(free), -1, 1))
    a, b = linear(50).scales(10)
    np.testing.assert_allclose(a * host(x_0) + b * host(eps), host(x), rtol=1e-9)


def test_denoising_uses_evaluation_mode_and_changes_nothing():
    rng = generator()
    network = nn.Sequential(
        nn.Dense(2, 8, rng=rng), nn.BatchNorm(8), nn.Dropout(0.5, rng=rng), nn.Dense(8, 2, rng=rng)
    )
    model = Diffusion(lambda x, t: network(x), linear(10))
    kept = Diffusion(Bare(network), linear(10))
    x = tg.xp.asarray(rng.standard_normal((6, 2), np.float32))
    first, second = (model.denoise(x, 5)[0] for _ in range(2))
    assert not np.array_equal(host(first), host(second))  # not a Module, so it stays in training
    before = kept.state_dict()
    first, second = (kept.denoise(x, 5)[0] for _ in range(2))
    np.testing.assert_array_equal(host(first), host(second))
    assert first.dtype == np.float32 and all(part.training for _, part in kept.named_modules())
    for name, array in kept.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


class Bare(nn.Module):
    """A network that ignores the time"""

    def __init__(self, network):
        self.network = network

    def forward(self, x, t):
        return self.network(x)


# --- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_normal_with_the_shape_and_dtype_of_x(dtype):
    noise = diffusion.noise_like(tg.xp.zeros((200, 10, 10, 1), dtype), rng=generator())
    assert isinstance(noise, tg.xp.ndarray) and noise.dtype == dtype
    eps = host(noise)
    assert eps.shape == (200, 10, 10, 1)
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (4, 3, 96)]:
        assert abs((eps**power).mean() - moment) < 5 * math.sqrt(variance / eps.size)


def by_hand(model, x_0, seed, weight):
    """The means of weight(ᾱ) ‖…‖² with the times and the noise that the loss samples"""
    rng = generator(seed)
    t = rng.integers(1, SCHEDULE.T + 1, len(x_0))
    eps = rng.standard_normal(x_0.shape, np.float32).astype(float)
    a_bar = SCHEDULE.alpha_bar[t][:, None]
    a, b = np.sqrt(a_bar), np.sqrt(1 - a_bar)
    x_t = a * x_0 + b * eps
    w = model.network.weight.numpy()
    output = w[0] * x_t + w[1] * t[:, None] / SCHEDULE.T + w[2]
    image, noise = {
        "eps": ((x_t - b * output) / a, output),
        "x_0": (output, (x_t - a * output) / b),
        "v": (a * x_t - b * output, b * x_t + a * output),
    }[model.predicts]
    errors = {
        "x_0": x_0 - image,
        "eps": eps - noise,
        "v": (a * eps - b * x_0) - (a * noise - b * image),
    }
    return {name: (weight(a_bar) * error**2).mean() for name, error in errors.items()}


X = generator(3).normal(size=(7, 2))


@each_prediction
def test_the_simple_loss_is_the_squared_error_of_the_prediction(predicts):
    model = Diffusion(Linear(), SCHEDULE, predicts)
    terms = denoising_loss(model, X, rng=generator(5))
    expected = by_hand(model, X, 5, lambda a_bar: 1.0)[predicts]
    assert float(terms.loss) == pytest.approx(expected, rel=1e-6)
    assert float(terms.mse) == pytest.approx(expected, rel=1e-6)


@each_prediction
def test_weighted_by_the_snr_every_loss_is_the_squared_error_of_the_noise(predicts):
    model = Diffusion(Linear(), SCHEDULE, predicts)
    terms = denoising_loss(model, X, rng=generator(5), weight=diffusion.snr)
    expected = by_hand(model, X, 5, lambda a_bar: 1.0)
    assert float(terms.loss) == pytest.approx(expected["eps"], rel=1e-6)
    assert float(terms.mse) == pytest.approx(expected[predicts], rel=1e-6)


@each_prediction
@pytest.mark.parametrize("gamma", [5.0, 0.5])
def test_min_snr_weights_the_squared_error_of_x_0_by_at_most_gamma(predicts, gamma):
    model = Diffusion(Linear(), SCHEDULE, predicts)
    terms = denoising_loss(model, X, rng=generator(5), weight=partial(min_snr, gamma=gamma))
    expected = by_hand(model, X, 5, lambda a_bar: np.minimum(a_bar / (1 - a_bar), gamma))["x_0"]
    assert float(terms.loss) == pytest.approx(expected, rel=1e-6)
    by_five = denoising_loss(model, X, rng=generator(5), weight=min_snr)
    assert (float(by_five.loss) == float(terms.loss)) == (gamma == 5)


def test_times_are_uniform_from_1_to_T():
    network = Linear()
    denoising_loss(Diffusion(network, linear(4)), np.zeros((20_000, 1)), rng=generator())
    times, counts = np.unique(host(network.seen[0][1]), return_counts=True)
    np.testing.assert_allclose(times, [250, 500, 750, 1000])
    assert abs(counts / 5000 - 1).max() < 0.05


def test_the_optimal_denoiser_has_the_minimum_loss():
    variance, schedule = 0.5, linear(20)
    known = Gaussian([0.3, 0.3], variance * np.eye(2))
    x = 0.3 + math.sqrt(variance) * generator(1).normal(size=(40_000, 2))
    a_bar = schedule.alpha_bar[1:]
    left = variance * (1 - a_bar) / (a_bar * variance + 1 - a_bar)  # variance of x_0 given x_t
    best = {
        "x_0": left.mean(),
        "eps": (left * a_bar / (1 - a_bar)).mean(),
        "v": (left / (1 - a_bar)).mean(),
    }
    for predicts, expected in best.items():
        model = known.model(schedule, predicts)
        found = float(denoising_loss(model, x, rng=generator()).loss)
        assert found == pytest.approx(expected, rel=0.02)
        formula, nudged = model.network, lambda x, t, f: f(x, t) + 0.2
        model.network = partial(nudged, f=formula)
        assert float(denoising_loss(model, x, rng=generator()).loss) > found + 0.02


def test_the_loss_has_the_dtype_of_the_images():
    for dtype in (np.float32, np.float64):
        model = Diffusion(Bare(nn.Dense(1, 1, rng=generator())).astype(dtype), linear(10))
        x = np.ones((3, 4, 4, 1), dtype)
        terms = denoising_loss(model, x, rng=generator(), weight=min_snr)
        assert terms.loss.dtype == terms.mse.dtype == dtype and terms.loss.shape == ()


@each_prediction
@pytest.mark.parametrize("weight", [diffusion.simple, diffusion.snr, min_snr])
def test_with_fixed_noise_every_loss_passes_gradcheck(predicts, weight):
    network = Linear()

    def loss(x, w):
        network.weight = w
        model = Diffusion(network, SCHEDULE, predicts)
        return denoising_loss(model, x, rng=generator(7), weight=weight).loss

    x, w = tensor(X[:3], requires_grad=True), tensor([0.5, -0.7, 0.2], requires_grad=True)
    gradcheck(loss, x, w, order=2)


# --- dropped labels -------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [np.arange(10_000) % 3, tg.Tensor(np.arange(10_000) % 3)])
def test_labels_are_dropped_with_the_given_probability(labels):
    before = np.arange(10_000) % 3
    if not isinstance(labels, np.ndarray):
        labels = tg.Tensor(tg.xp.asarray(before))
    found = host(diffusion.drop_labels(labels, 3, 0.2, rng=generator()))
    assert found.dtype == before.dtype
    assert (found == 3).mean() == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(found[found != 3], before[found != 3])
    assert [(found[before == c] == 3).mean() > 0.15 for c in range(3)] == [True] * 3
    np.testing.assert_array_equal(
        host(diffusion.drop_labels(labels, 3, 0.0, rng=generator())), before
    )
    assert (host(diffusion.drop_labels(labels, 3, 1, rng=generator())) == 3).all()
    captions = tg.xp.asarray(np.arange(1, 3001).reshape(1000, 3))
    dropped = host(diffusion.drop_labels(captions, 0, 0.2, rng=generator()))
    assert (dropped == 0).any(axis=1).sum() == (dropped == 0).all(axis=1).sum()  # whole captions
    assert 150 < (dropped == 0).all(axis=1).sum() < 250


def test_the_loss_drops_labels_if_there_is_a_null_label():
    for options, dropped in (({}, 0.0), ({"null": 9}, 0.1), ({"null": 9, "drop": 0.5}, 0.5)):
        model, x, labels = Diffusion(Linear(), linear(4)), np.zeros((4000, 1)), np.arange(4000) % 9
        denoising_loss(model, x, labels, rng=generator(), **options)
        seen = host(model.network.seen[0][2])
        assert (seen == 9).mean() == pytest.approx(dropped, abs=0.02)
        np.testing.assert_array_equal(seen[seen < 9], labels[seen < 9])


# --- the loop -------------------------------------------------------------------------------------


def test_the_loop_steps_averages_and_yields_the_terms():
    network = Points(8, classes=2)
    model = Diffusion(network, linear(10))
    start = [p.numpy().copy() for p in model.parameters()]
    optimizer, ema = optim.SGD(model.parameters(), 0.1), optim.EMA(model.parameters(), 0.5)
    batches = Batches(X.astype(np.float32), 3, rng=generator(), labels=np.arange(7) % 2, epochs=2)
    loss = partial(denoising_loss, weight=min_snr, null=2)
    records = list(diffusion.train(model, batches, optimizer, rng=generator(), ema=ema, loss=loss))
    assert len(records) == 6 == ema.steps == optimizer.steps
    assert records[0].keys() == {"loss", "mse"}
    moved = [p.numpy() for p in model.parameters()]
    assert any(not np.array_equal(p, q) for p, q in zip(start, moved, strict=True))
    with ema.applied():
        averages = [p.numpy().copy() for p in model.parameters()]
    assert not np.array_equal(averages[0], moved[0])


def test_the_loop_needs_no_classes_and_no_average():
    network = Linear()
    model = Diffusion(network, linear(10))
    start = network.weight.numpy().copy()
    batches = Batches(X[:1], 1, rng=generator(), epochs=1)
    optimizer = optim.SGD(model.parameters(), 0.1)
    (terms,) = diffusion.train(model, batches, optimizer, rng=generator(4))
    assert len(network.seen[0]) == 2
    again = denoising_loss(Diffusion(Linear(), linear(10)), X[:1], rng=generator(4))
    assert float(terms["loss"]) == float(again.loss)
    assert not np.array_equal(network.weight.numpy(), start)


def energy_distance(x, y):
    """2 E|X−Y| − E|X−X'| − E|Y−Y'|: near 0 for two samples of one distribution"""

    def mean_distance(a, b):
        return np.sqrt(((a[:, None] - b) ** 2).sum(axis=2)).mean()

    return 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)


@pytest.mark.parametrize(("predicts", "schedule"), [("eps", linear(200)), ("v", cosine(200))])
def test_a_small_network_learns_a_ring_of_four_modes(predicts, schedule):
    rng = generator()
    x, _ = points_2d.ring(8000, rng=rng, modes=4, std=0.1)
    model = Diffusion(Points(), schedule, predicts)
    ema = optim.EMA(model.parameters(), 0.99)
    optimizer = optim.Adam(model.parameters(), optim.cosine(4e-3, steps=875))
    batches = Batches(x, 64, rng=rng, epochs=7)
    for _ in diffusion.train(model, batches, optimizer, rng=rng, ema=ema):
        pass
    noise = rng.standard_normal((1000, 2), np.float32)
    with ema.applied():
        found = last(ddim(model, noise, steps=50))
    truth, _ = points_2d.ring(1000, rng=rng, modes=4, std=0.1)
    other, _ = points_2d.ring(1000, rng=rng, modes=4, std=0.1)
    assert energy_distance(found, truth) < 0.012
    assert energy_distance(noise, truth) > 0.07 and energy_distance(other, truth) < 0.002
    near = [
        (np.linalg.norm(x[:, None] - points_2d.ring_means(4), axis=2).min(axis=1) < 0.3).mean()
        for x in (noise, found, truth)
    ]
    assert near[0] < 0.1 and near[1] > 0.7 and near[2] > 0.98  # uniform on the ring: 0.4


# --- the bound ------------------------------------------------------------------------------------


def test_the_variational_bound_converges_from_above_as_T_grows():
    known = Gaussian([0.5, -0.5], [[0.8, 0.3], [0.3, 0.4]])
    x = generator().multivariate_normal(known.mean, known.covariance, 8000)
    d = x - known.mean
    truth = 0.5 * (
        2 * math.log(2 * math.pi)
        + np.linalg.slogdet(known.covariance)[1]
        + (d * np.linalg.solve(known.covariance, d.T).T).sum(1)
    )
    gaps = []
    for T in (32, 128, 512):  # σ grows by the same factor each time
        schedule = NoiseSchedule([1.0, *(1 / (1 + np.geomspace(0.02, 100, T) ** 2))])
        bound = diffusion.variational_bound(known.model(schedule, "v"), x, rng=generator())
        gaps.append((bound - truth).mean())
    assert gaps[0] > gaps[1] > gaps[2] > 0 and gaps[2] < 0.15
    assert gaps[1] / gaps[2] == pytest.approx(4, rel=0.3)


def test_the_variational_bound_is_the_sum_of_its_divergences():
    known, schedule = Gaussian([0.5, -0.5], [[0.8, 0.3], [0.3, 0.4]]), SCHEDULE
    a_bar, x, rng = schedule.alpha_bar, X[:3], generator(2)

    def kl(difference, variance, other):
        ratio = variance / other
        return 0.5 * (difference**2 / other + ratio - 1 - np.log(ratio)).sum(axis=1)

    expected = kl(np.sqrt(a_bar[3]) * x, 1 - a_bar[3], 1.0)
    for t in (3, 2, 1):
        noise = rng.standard_normal(x.shape, np.float32)
        x_t = np.sqrt(a_bar[t]) * x + np.sqrt(1 - a_bar[t]) * noise
        x_0 = known.denoise(x_t, *np.sqrt([[[a_bar[t]]], [[1 - a_bar[t]]]]))
        if t > 1:
            mean, variance = schedule.posterior(x, x_t, t, t - 1)
            predicted, _ = schedule.posterior(x_0, x_t, t, t - 1)
            expected = expected + kl(mean - predicted, variance, variance)
    variance = (1 - a_bar[1]) / a_bar[1]
    expected += 0.5 * ((x - x_0) ** 2 / variance + np.log(2 * np.pi * variance)).sum(axis=1)
    found = diffusion.variational_bound(known.model(schedule), x, rng=generator(2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# --- invalid arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "error", "pattern"),
    [
        (lambda: Diffusion(Linear(), SCHEDULE, "x0"), ValueError, "`predicts` .*'x_0'.* 'x0'$"),
        (lambda: Diffusion(Linear(), SCHEDULE, clip=0.0), ValueError, r"`clip` > 0, got 0\.0"),
        (lambda: Diffusion(lambda x, t: x[:, :1], SCHEDULE)(tensor(X), 1), ValueError, r"\(7, 1\)"),
        (lambda: diffusion.drop_labels(X, 3, 2, rng=generator()), ValueError, "`probability`.* 2"),
        (lambda: denoising_loss(Diffusion(Linear(), SCHEDULE), X, rng=0), TypeError, "`rng`.* int"),
    ],
)
def test_invalid_arguments_are_refused(use, error, pattern):
    with pytest.raises(error, match=pattern):
        use()


def test_a_model_has_the_parameters_of_its_network_and_no_other_state():
    model = Diffusion(Points(8), cosine(100), "v", clip=1.0)
    names = [name for name, _ in model.named_state()]
    assert names == [f"network.{name}" for name, _ in model.network.named_state()]
