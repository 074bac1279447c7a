"""Samplers with an exact denoiser: distributions, orders, the last step, guidance."""

import math
from itertools import pairwise

import numpy as np
import pytest
from known import Gaussian, Mixture

import tinygen as tg
from tinygen import nn
from tinygen.diffusion import Diffusion, NoiseSchedule, cosine, linear
from tinygen.diffusion.samplers import (
    Guided,
    ancestral,
    ddim,
    edm_sigmas,
    guided,
    heun,
    last,
    log_likelihood,
    multistep,
    sample,
)

T, HIGH = 1024, 50.0
KNOWN = Gaussian([1.0, -0.5], [[0.6, 0.3], [0.3, 0.4]])
SCHEDULES = {"linear": linear(T), "cosine": cosine(T)}
PREDICTIONS = ("eps", "x_0", "v")
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
each_prediction = pytest.mark.parametrize("predicts", PREDICTIONS)


def generator(seed=0):
    return np.random.default_rng(seed)


def fine(schedule, steps):
    """A grid whose ends are so far out that their error is negligible"""
    return edm_sigmas(schedule, steps, low=1e-3, high=HIGH)


# functions of a model, x, the number of steps and rng; those on a grid begin at σ = HIGH
FIRST_ORDER = {
    "ancestral": lambda m, x, n, rng: ancestral(m, x, steps=n, rng=rng),
    "ddim": lambda m, x, n, rng: ddim(m, x, steps=n),
    "half": lambda m, x, n, rng: ddim(m, x, steps=n, eta=0.5, rng=rng),
    "ddim of noise": lambda m, x, n, rng: ddim(m, x, steps=n, eta=1.0, rng=rng),
}
SECOND_ORDER = {
    "heun": lambda m, x, n, rng: heun(m, x, sigmas=fine(m.schedule, n)),
    "multistep": lambda m, x, n, rng: multistep(m, x, sigmas=fine(m.schedule, n)),
}
ALL = FIRST_ORDER | SECOND_ORDER
every_sampler = pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)


def start(name, schedule):
    return T if name in FIRST_ORDER else schedule.time(HIGH)


class Units(np.random.Generator):
    """Noise that is 1 in one element per column, in the next rows at each call, and 0 elsewhere

    With a linear denoiser the sampler is linear in the noise. Such a row gives the weight of one
    noise variable; all weights together give the exact distribution of the samples.
    """

    def __init__(self, row):
        super().__init__(np.random.PCG64(0))
        self.row = row

    def standard_normal(self, shape, dtype=float):
        z, D = np.zeros(shape, dtype), shape[1]
        z[self.row + np.arange(D), np.arange(D)] = 1
        self.row += D
        return z


def moments(sampler, model, known, t, steps):
    """The exact mean and covariance of samples that start from the exact distribution of x_t"""
    mean, root = known.marginal(model.schedule, t)
    D = len(mean)
    x = np.tile(mean, (1 + D * (1 + steps), 1))
    x[1 : 1 + D] += root
    centre, *ends = last(sampler(model, x, steps, Units(1 + D)))
    weights = np.array(ends) - centre
    return centre, weights.T @ weights


def error(sampler, model, t, steps):
    mean, covariance = moments(sampler, model, KNOWN, t, steps)
    return max(abs(mean - KNOWN.mean).max(), abs(covariance - KNOWN.covariance).max())


# --- the distribution of samples ------------------------------------------------------------------


@every_schedule
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_the_error_of_first_order_samplers_halves_with_twice_the_steps(name, schedule):
    model = KNOWN.model(schedule)
    errors = [error(ALL[name], model, T, steps) for steps in (64, 128, 256)]
    assert errors[-1] < 0.025
    for coarse, finer in pairwise(errors):
        assert 1.7 < coarse / finer < 2.2


@every_schedule
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_the_error_of_second_order_samplers_falls_to_a_quarter_with_twice_the_steps(name, schedule):
    model = KNOWN.model(schedule)
    errors = [error(ALL[name], model, start(name, schedule), steps) for steps in (32, 64, 128)]
    assert errors[-1] < 0.001
    for coarse, finer in pairwise(errors):
        assert 3.7 < coarse / finer < 4.7


@every_schedule
@pytest.mark.parametrize("name", ["ddim", "heun", "multistep"])
def test_deterministic_samplers_follow_the_differential_equation(name, schedule):
    model, t = KNOWN.model(schedule), start(name, schedule)
    x = generator().normal(size=(20, 2))
    expected = KNOWN.flow(x, schedule, t)
    ends = {steps: last(ALL[name](model, x, steps, None)) for steps in (64, 128)}
    errors = {steps: abs(found - expected).max() for steps, found in ends.items()}
    order = math.log2(errors[64] / errors[128])
    assert order == pytest.approx(1 if name == "ddim" else 2, abs=0.2)
    assert errors[128] < (0.06 if name == "ddim" else 0.005)


MODES = Mixture([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]], 0.15)


@every_sampler
def test_every_sampler_reproduces_the_moments_of_a_mixture(sampler):
    rng, model = generator(), MODES.model(cosine(T))
    found = last(sampler(model, rng.standard_normal((5000, 2)), 100, rng))
    mean, covariance = MODES.moments()
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.04)
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.04)
    nearest = np.linalg.norm(found[:, None] - MODES.means, axis=2).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest) / len(found), 1 / 3, atol=0.03)
    inside = found - MODES.means[nearest]
    assert math.sqrt((inside**2).mean()) == pytest.approx(0.15, rel=0.1)


@pytest.mark.parametrize("name", ["heun", "multistep"])
def test_on_a_mixture_heun_and_multistep_are_of_second_order(name):
    schedule, x = cosine(T), generator().standard_normal((50, 2))
    model = MODES.model(schedule)
    exact = last(SECOND_ORDER["heun"](model, x, 1600, None))
    errors = [np.linalg.norm(last(ALL[name](model, x, n, None)) - exact) for n in (100, 200, 400)]
    for coarse, finer in pairwise(errors):
        assert 3.2 < coarse / finer < 5


def test_multistep_is_the_papers_algorithm_in_the_papers_scale():
    """x ← (σ_t/σ_s) x − α_t (e⁻ʰ − 1) D,  D = (1 + 1/2r) x̂_0 − 1/2r x̂_0,before,  r = h_before/h"""
    schedule, sigmas = cosine(T), [20.0, 3.0, 2.0, 0.1, 0.0]
    x = generator().normal(size=(5, 2))
    path = [tg.to_numpy(step.x) for step in multistep(MODES.model(schedule), x, sigmas=sigmas)]
    scales = [schedule.scales(schedule.time(sigma)) for sigma in sigmas]
    lambdas, x_0s = [math.log(20.0 / sigma) for sigma in sigmas[:-1]], []
    for i in range(3):
        (a_s, b_s), (a_t, b_t) = scales[i], scales[i + 1]
        x_0s.append(MODES.denoise(x, np.array([[a_s]]), np.array([[b_s]])))
        h, D = lambdas[i + 1] - lambdas[i], x_0s[i]
        if i > 0:
            r = (lambdas[i] - lambdas[i - 1]) / h
            D = (1 + 1 / (2 * r)) * x_0s[i] - x_0s[i - 1] / (2 * r)
        x = b_t / b_s * x - a_t * (math.exp(-h) - 1) * D
        np.testing.assert_allclose(path[i], x, rtol=1e-7)
    end = MODES.denoise(x, *(np.array([[scale]]) for scale in scales[3]))
    np.testing.assert_allclose(path[3], end, rtol=1e-7)


@every_sampler
def test_all_predictions_give_the_same_sample(sampler):
    x = generator().normal(size=(6, 2))
    first, *others = (
        last(sampler(MODES.model(linear(T), each), x, 20, generator(1))) for each in PREDICTIONS
    )
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("steps", [1, 7, T])
def test_ddim_with_eta_1_is_ancestral(steps):
    x, model = generator().normal(size=(4, 2)), MODES.model(cosine(T))
    pairs = zip(
        ancestral(model, x, steps=steps, rng=generator(1)),
        ddim(model, x, steps=steps, eta=1.0, rng=generator(1)),
        strict=True,
    )
    for ours, theirs in pairs:
        assert ours.t == theirs.t
        np.testing.assert_allclose(tg.to_numpy(ours.x), tg.to_numpy(theirs.x), atol=1e-9)


def test_ancestral_takes_all_steps_by_default():
    x, model = generator().normal(size=(4, 2)), MODES.model(linear(30))
    path = list(ancestral(model, x, rng=generator(1)))
    assert [step.t for step in path] == list(range(29, -1, -1))
    np.testing.assert_array_equal(
        last(ancestral(model, x, rng=generator(1), steps=30)), tg.to_numpy(path[-1].x)
    )


def test_with_all_steps_ancestral_is_the_papers_algorithm():
    """x_{t−1} = (x_t − β_t/√(1−ᾱ_t) ε̂)/√α_t + √β̃_t z (Ho et al. 2020, eq. 11)"""
    beta = np.array([0.1, 0.3, 0.5, 0.8])
    a_bar = np.cumprod(1 - beta)
    model = MODES.model(NoiseSchedule([1.0, *a_bar]))
    x = generator().normal(size=(5, 2))
    found = last(ancestral(model, x, rng=generator(1)))
    rng = generator(1)
    for t in (3, 2, 1, 0):  # β_{t+1} at t
        x_0 = MODES.denoise(x, *np.sqrt([[[a_bar[t]]], [[1 - a_bar[t]]]]))
        eps = (x - math.sqrt(a_bar[t]) * x_0) / math.sqrt(1 - a_bar[t])
        x = (x - beta[t] / math.sqrt(1 - a_bar[t]) * eps) / math.sqrt(1 - beta[t])
        if t > 0:
            variance = beta[t] * (1 - a_bar[t - 1]) / (1 - a_bar[t])
            x = x + math.sqrt(variance) * rng.standard_normal(x.shape, np.float32)
    np.testing.assert_allclose(found, x, rtol=1e-6)


# --- the steps ------------------------------------------------------------------------------------


def test_a_step_is_a_time_x_and_the_prediction_that_led_there():
    schedule, x, t = linear(50), generator().normal(size=(3, 2)), 50
    path = list(ddim(KNOWN.model(schedule), x, steps=4))
    assert path[-1].t == 0
    for step in path:
        (a_s, b_s), (a_t, b_t) = schedule.scales(t), schedule.scales(step.t)
        x_0 = KNOWN.denoise(x, a_s, b_s)
        eps = (x - a_s * x_0) / b_s
        np.testing.assert_allclose(tg.to_numpy(step.x_0), x_0, rtol=1e-9)
        np.testing.assert_allclose(tg.to_numpy(step.x), a_t * x_0 + b_t * eps, rtol=1e-9)
        x, t = tg.to_numpy(step.x), step.t
    end = last(iter(path))
    assert isinstance(end, np.ndarray)
    np.testing.assert_array_equal(end, x)


@every_sampler
@pytest.mark.parametrize("clip", [None, 0.9])
def test_the_last_step_adds_no_noise_and_returns_the_prediction(sampler, clip):
    model = MODES.model(linear(T), clip=clip)
    *_, end = sampler(model, generator().normal(size=(4, 2)), 9, generator(1))
    assert end.t == 0
    np.testing.assert_array_equal(tg.to_numpy(end.x), tg.to_numpy(end.x_0))
    assert clip is None or abs(tg.to_numpy(end.x)).max() <= clip


@pytest.mark.parametrize(("name", "draws"), [("ancestral", 8), ("ddim of noise", 8), ("ddim", 0)])
def test_noise_is_added_in_all_steps_except_the_last(name, draws):
    rng, model = Units(0), MODES.model(linear(T))
    last(ALL[name](model, np.zeros((20, 2)), 9, rng))
    assert rng.row == 2 * draws


@every_sampler
def test_a_path_has_the_moments_of_each_time(sampler):
    schedule, x = cosine(T), generator().standard_normal((4000, 2))
    path = list(sampler(KNOWN.model(schedule), x, 40, generator(1)))
    assert len(path) == 40 and all(a.t > b.t for a, b in pairwise(path))
    for step in path[::6]:
        mean, root = KNOWN.marginal(schedule, step.t)
        found = tg.to_numpy(step.x)
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.08)
        np.testing.assert_allclose(np.cov(found.T), root.T @ root, atol=0.12)


class Counted(nn.Module):
    """x / 2, which counts its calls and keeps the last classes"""

    def __init__(self):
        self.calls, self.classes = 0, None
        self.drop = nn.Dropout(0.9, rng=generator())

    def forward(self, x, t, classes=None):
        self.calls, self.classes = self.calls + 1, classes
        return self.drop(x * 0.5)


@pytest.mark.parametrize(
    ("sampler", "calls"),
    [
        (lambda m, x: ancestral(m, x, [1, 2], steps=6, rng=generator()), 6),
        (lambda m, x: ddim(m, x, [1, 2], steps=6), 6),
        (lambda m, x: heun(m, x, [1, 2], steps=6), 11),
        (lambda m, x: multistep(m, x, [1, 2], steps=6), 6),
    ],
    ids=["ancestral", "ddim", "heun", "multistep"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_have_the_dtype_of_the_noise_and_use_evaluation_mode(sampler, calls, dtype):
    network = Counted()
    noise = generator().normal(size=(2, 4, 4, 1)).astype(dtype)
    before = noise.copy()
    found = last(sampler(Diffusion(network, linear(100), "x_0"), noise))
    assert isinstance(found, np.ndarray) and found.dtype == dtype and found.shape == noise.shape
    np.testing.assert_array_equal(noise, before)
    assert network.calls == calls and tg.to_numpy(network.classes.data).tolist() == [1, 2]
    assert network.training and tg.is_recording()


def test_between_steps_the_network_is_back_in_training_mode():
    network = Counted()
    path = heun(Diffusion(network, linear(100), "x_0"), np.ones((1, 2)))
    next(path)
    assert network.drop.training and tg.is_recording()


@pytest.mark.parametrize("sampler", [ancestral, ddim])
def test_a_sampler_can_start_from_partial_noise(sampler):
    schedule, rng = cosine(T), generator()
    mean, root = KNOWN.marginal(schedule, 300)
    x = mean + rng.standard_normal((20_000, 2)) @ root
    options = {"rng": rng} if sampler is ancestral else {}
    path = list(sampler(KNOWN.model(schedule), x, steps=100, start=300, **options))
    assert path[0].t == 297 and len(path) == 100
    found = tg.to_numpy(path[-1].x)
    np.testing.assert_allclose(found.mean(axis=0), KNOWN.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(found.T), KNOWN.covariance, atol=0.03)


@pytest.mark.parametrize("sampler", [ddim, heun, multistep])
def test_samples_do_not_depend_on_the_batch_size(sampler):
    seen = []

    def network(x, t, labels):
        seen.append(tg.to_numpy(labels.data).tolist())
        return x * tg.reshape(labels, (-1, 1)) / 10

    conditional = Diffusion(network, cosine(T), "x_0")
    for model, labels in [(KNOWN.model(cosine(T)), None), (conditional, np.arange(7))]:
        noise = generator().standard_normal((7, 2))
        whole = last(sampler(model, noise, labels, steps=6))
        found = sample(model, noise, labels, sampler=sampler, size=3, steps=6)
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, whole, rtol=1e-10, atol=1e-12)
    assert [0, 1, 2] in seen and [6] in seen


def test_the_default_sampler_is_multistep():
    model, noise = KNOWN.model(cosine(T)), generator().standard_normal((5, 2))
    np.testing.assert_array_equal(sample(model, noise), last(multistep(model, noise)))
    found = sample(model, noise, sampler=ancestral, steps=9, rng=generator(1))
    expected = last(ancestral(model, noise, steps=9, rng=generator(1)))
    np.testing.assert_array_equal(found, expected)


# --- the grid -------------------------------------------------------------------------------------


def test_the_grid_is_its_formula_and_ends_at_0():
    grid = edm_sigmas(linear(), 5, low=0.1, high=10.0)
    ends = 10 ** (1 / 7), 0.1 ** (1 / 7)
    expected = [(ends[0] + i / 4 * (ends[1] - ends[0])) ** 7 for i in range(5)]
    assert grid == pytest.approx([*expected, 0.0])


def test_the_grid_lies_within_the_schedule():
    coarse = NoiseSchedule([1.0, 0.8, 0.5])
    assert edm_sigmas(coarse, 4)[::3] == pytest.approx([1.0, 0.5])
    assert edm_sigmas(linear(), 18)[0] == pytest.approx(80)
    assert edm_sigmas(linear(), 18)[-2:] == pytest.approx([float(linear().sigma(1)), 0.0])
    assert edm_sigmas(linear(10**6), 18)[-2] == pytest.approx(0.002)
    for sampler, steps in ((heun, 18), (multistep, 20)):
        assert len(list(sampler(KNOWN.model(coarse), np.ones((2, 2))))) == steps


# --- guidance -------------------------------------------------------------------------------------


class Table(nn.Module):
    """c x + c² for the class c, where 9 is "any"; counts its calls"""

    def __init__(self):
        self.calls = 0

    def forward(self, x, t, classes):
        self.calls += 1
        c = tg.reshape(tg.as_tensor(classes).astype(float), (-1, 1))
        return x * c + c * c


def test_guidance_0_ignores_the_class_and_1_is_the_network_itself():
    x, t, c = (
        tg.Tensor(tg.xp.asarray(each))
        for each in (generator().normal(size=(3, 2)), np.ones(3), np.array([0, 1, 2]))
    )
    network, nine = Table(), tg.Tensor(tg.xp.asarray([9, 9, 9]))
    for weight, classes in ((0.0, nine), (1.0, c), (0, nine), (1, c)):
        before = network.calls
        found = guided(network, weight, 9)(x, t, c)
        assert network.calls == before + 1
        np.testing.assert_array_equal(found.numpy(), network(x, t, classes).numpy())


@pytest.mark.parametrize("weight", [-1.0, 0.5, 3.0])
def test_guidance_extrapolates_from_any_class_to_the_given_one(weight):
    x, t, c = generator().normal(size=(3, 2)), np.ones(3), np.array([0, 1, 2])
    found = Guided(Table(), weight, 9)(*(tg.Tensor(tg.xp.asarray(each)) for each in (x, t, c)))
    one, other = c[:, None] * x + c[:, None] ** 2, 9 * x + 81
    np.testing.assert_allclose(found.numpy(), weight * one + (1 - weight) * other)


@every_sampler
def test_a_guided_model_gives_the_same_sample_whatever_it_predicts(sampler):
    x, classes = generator().normal(size=(6, 2)), np.array([0, 1, 2, 0, 1, 2])

    def sample(model):
        return last(sampler(Conditional(model, classes), x, 20, generator(1)))

    first, *others = (sample(guided(MODES.model(linear(T), each), 1.5, 3)) for each in PREDICTIONS)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-6, atol=1e-8)
    plain = MODES.model(linear(T))
    np.testing.assert_array_equal(sample(guided(plain, 1, 3)), sample(plain))
    any_class = last(sampler(Conditional(plain, classes * 0 + 3), x, 20, generator(1)))
    np.testing.assert_array_equal(sample(guided(plain, 0, 3)), any_class)
    assert not np.allclose(first, sample(plain), atol=0.01)


class Conditional:
    """A model that always uses these classes"""

    def __init__(self, model, classes):
        self.schedule = model.schedule
        self.denoise = lambda x, t, _: model.denoise(x, t, classes)


def test_classes_select_their_modes_and_guidance_moves_samples():
    x, labels = generator().normal(size=(300, 2)), np.arange(300) % 3
    model = MODES.model(cosine(T))
    far = []
    for weight in (0, 1, 1.5):
        found = last(heun(guided(model, weight, 3), x, labels, steps=30))
        far.append(np.linalg.norm(found - MODES.means[labels], axis=1).mean())
    assert far[0] > 0.8 and far[1] == pytest.approx(0.15 * math.sqrt(math.pi / 2), rel=0.1)
    assert not np.allclose(far[1], far[2], rtol=0.01)


def test_guiding_copies_a_model_and_keeps_its_settings():
    network = Table()
    model = Diffusion(network, linear(10), "v", clip=1.0)
    other = guided(model, 2.0, 9)
    assert model.network is network and other.network.network is network
    assert (other.schedule, other.predicts, other.clip) == (model.schedule, "v", 1.0)
    dropping = Diffusion(nn.Dropout(0.5, rng=generator()), linear(10))
    assert "network.network" in dict(guided(dropping, 2.0, 9).named_modules())  # so it can `eval`


# --- invalid arguments ----------------------------------------------------------------------------

MODEL, X = KNOWN.model(linear(10)), np.zeros((1, 2))


@pytest.mark.parametrize(
    ("use", "error", "pattern"),
    [
        (lambda: last(ddim(MODEL, X)), ValueError, "`steps` ≤ `start` ≤ 10, got 50, 10"),
        (lambda: last(ddim(MODEL, X, steps=5, eta=1.5)), ValueError, r"ddim: .*`eta`.* got 1\.5"),
        (lambda: last(ddim(MODEL, X, steps=5, eta=0.5)), TypeError, "ddim: .*`rng`.* NoneType"),
        (lambda: last(ancestral(MODEL, X, rng=3)), TypeError, "`rng`.* int"),
        (lambda: edm_sigmas(linear(), 1), ValueError, "edm_sigmas: .*`steps`.* ≥ 2, got 1"),
        (lambda: edm_sigmas(linear(), 5, low=0), ValueError, "edm_sigmas: .*`low` > 0, got 0"),
        (lambda: last(heun(MODEL, X, sigmas=[200.0, 0.0])), ValueError, "`sigma`.*157.*got 200"),
        (lambda: last(heun(MODEL, X, sigmas=[0.0, 1.0])), ValueError, r"`sigmas`.* \[0\.0, 1\.0\]"),
        (lambda: last(multistep(MODEL, X, sigmas=[1.0])), ValueError, r"`sigmas`.* \[1\.0\]"),
        (lambda: log_likelihood(MODEL, X, probes=1), TypeError, "log_likelihood: .*`rng`.* None"),
        (lambda: guided(Table(), math.inf, 9), ValueError, "guided: .*`weight`.* inf"),
        (lambda: Guided(Table(), 2.0, 9)(tg.Tensor(X), None), ValueError, "Guided: .*`classes`"),
    ],
)
def test_invalid_arguments_are_refused(use, error, pattern):
    with pytest.raises(error, match=pattern):
        use()
