"""Flow matching: the loss, against the optimal field in closed form; training; samples."""

import math
from functools import partial

import known_flows
import numpy as np
import pytest
from host_arrays import D, generator, host, normal
from known_flows import GAUSSIAN, TWO, here

import tinygen as tg
from tinygen import flow, gradcheck, models, nn, optim
from tinygen.data import Batches
from tinygen.diffusion.samplers import guided
from tinygen.flow import flow_loss, matching_loss, ode, optimal_pairs, reflow_loss
from tinygen.flow.optimal_transport import assignment


class Small(nn.Module):
    """v(x, t, classes) for points, with an embedding of the classes"""

    def __init__(self, width=16, classes=None, rng=None):
        rng = rng or generator()
        self.body = models.mlp([D + 1, width, width, D], tg.silu, rng=rng)
        self.table = None if classes is None else nn.Embedding(classes, D, rng=rng)

    def forward(self, x, t, classes=None):
        v = self.body(tg.concat([x, tg.reshape(t, (-1, 1))], axis=1))
        return v if self.table is None else v + self.table(classes)


class Seen:
    """A network that returns 0 and keeps its inputs"""

    def __call__(self, x, t, *classes):
        self.x, self.t, self.classes = host(x), host(t), [host(c) for c in classes]
        return x * 0.0


# --- the loss -------------------------------------------------------------------------------------


def test_the_loss_is_its_formula():
    x_0, x_1, t = normal(5, D), normal(5, D, seed=1), np.array([0.0, 0.25, 0.5, 0.75, 1.0])

    def network(x, t):
        return x * 2.0 + tg.reshape(t, (-1, 1))

    found, total = matching_loss(network, here(x_0), here(x_1), here(t)), 0.0
    for a, b, s in zip(x_0, x_1, t, strict=True):
        x_t = [(1 - s) * a[d] + s * b[d] for d in range(D)]
        total += sum((2 * x_t[d] + s - (b[d] - a[d])) ** 2 for d in range(D))
    assert float(found) == pytest.approx(total / (5 * D), rel=1e-12)


def test_noise_is_at_time_0_and_data_at_time_1():
    x_0, x_1, seen = normal(3, 4, 4, 1), normal(3, 4, 4, 1, seed=1), Seen()
    matching_loss(seen, here(x_0), here(x_1), here([0.0, 1.0, 0.25]))
    np.testing.assert_array_equal(seen.x[0], x_0[0])
    np.testing.assert_array_equal(seen.x[1], x_1[1])
    np.testing.assert_allclose(seen.x[2], 0.75 * x_0[2] + 0.25 * x_1[2])
    np.testing.assert_array_equal(seen.t, [0, 1, 0.25])


def test_the_velocity_towards_a_single_point_has_no_loss():
    c = np.array([3.0, -1.0])
    found = matching_loss(
        lambda x, t: (here(c) - x) / (1 - tg.reshape(t, (-1, 1))),
        here(normal(6, D)),
        here(np.tile(c, (6, 1))),
        here(np.arange(6) / 6),
    )
    assert float(found) == pytest.approx(0, abs=1e-24)


@pytest.mark.parametrize("known", [GAUSSIAN, TWO], ids=["a Gaussian", "a mixture"])
@pytest.mark.parametrize("t", [0.0, 0.3, 0.8])
def test_the_closed_form_field_has_the_minimum_loss(known, t):
    rng, n = generator(), 100_000
    x_1, _ = known.sample(n, rng)
    x_0, times = here(rng.standard_normal((n, D))), here(np.full(n, t))
    x_t = (1 - t) * host(x_0) + t * x_1
    error = host(known.velocity(here(x_t), times)) - (x_1 - host(x_0))
    # the error of a conditional mean is uncorrelated with any function of x_t
    for function in (1.0, x_t[:, :1], x_t[:, 1:], x_t[:, :1] * x_t[:, 1:], np.cos(2 * x_t[:, :1])):
        product = error * function
        np.testing.assert_allclose(product.mean(0), 0, atol=5 * product.std(0).max() / n**0.5)
    with tg.no_grad():
        best = float(matching_loss(known.velocity, x_0, here(x_1), times))
    assert best == pytest.approx((error**2).mean(), rel=1e-9)


def test_noise_is_normal_and_times_are_uniform():
    seen, n = Seen(), 20_000
    x_1 = normal(n, D) * 0.0 + 5.0
    loss = flow_loss(seen, here(x_1), rng=generator(1))
    assert seen.t.shape == (n,) and seen.t.min() >= 0 and seen.t.max() <= 1
    np.testing.assert_allclose(np.histogram(seen.t, 10, (0, 1))[0] / n, 0.1, atol=0.01)
    x_0 = (seen.x - seen.t[:, None] * 5) / (1 - seen.t[:, None])
    some = seen.t < 0.9
    np.testing.assert_allclose(x_0[some].mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(x_0[some].T), np.eye(D), atol=0.04)
    assert abs(np.corrcoef(seen.t[some], x_0[some, 0])[0, 1]) < 0.03
    assert float(loss) == pytest.approx(26, abs=0.3)  # E(5 − x_0)² of an element


LOSSES = {
    "flow": (flow_loss, False),
    "minibatch_ot": (partial(flow_loss, minibatch_ot=True), False),
    "of classes": (partial(flow_loss, null=3, drop=0.5), True),
    "minibatch_ot, of classes": (partial(flow_loss, minibatch_ot=True, null=3, drop=0.5), True),
}


@pytest.mark.parametrize(("loss", "conditional"), LOSSES.values(), ids=LOSSES)
def test_with_fixed_noise_every_loss_has_correct_gradients(loss, conditional):
    model = Small(3, 4 if conditional else None).astype(float)
    labels = tg.Tensor(tg.xp.asarray([0, 1, 1, 2])) if conditional else None
    _check_gradients(model, lambda: loss(model, here(normal(4, D)), labels, rng=generator(3)))


def test_the_loss_of_pairs_has_correct_gradients():
    model, pairs = Small(3).astype(float), normal(4, 2, D)
    _check_gradients(model, lambda: reflow_loss(model, here(pairs), rng=generator(3)))
    gradcheck(
        lambda p: reflow_loss(model, p, rng=generator(3)),
        tg.Tensor(tg.xp.asarray(pairs), requires_grad=True),
    )


def test_the_loss_passes_gradcheck_for_noise_data_and_times():
    model = Small(3).astype(float)
    inputs = [normal(4, D), normal(4, D, seed=1), np.array([0.1, 0.4, 0.6, 0.95])]
    gradcheck(
        partial(matching_loss, model),
        *(tg.Tensor(tg.xp.asarray(x), requires_grad=True) for x in inputs),
        order=2,
    )


def _check_gradients(model, loss):
    """Compare the gradient of `loss()` to finite differences in each parameter's elements"""
    parameters = model.parameters()
    gradients = tg.grad(loss(), parameters, allow_unreachable=True)
    for p, g in zip(parameters, gradients, strict=True):
        start, found = host(p).copy(), np.zeros(p.shape)
        for index in np.ndindex(*p.shape):
            sides = []
            for h in (1e-5, -1e-5):
                moved = start.copy()
                moved[index] += h
                p.data = tg.xp.asarray(moved)
                sides.append(float(loss()))
            found[index] = (sides[0] - sides[1]) / 2e-5
        p.data = tg.xp.asarray(start)
        np.testing.assert_allclose(host(g), found, atol=1e-8, rtol=1e-5, err_msg=p.name)
    assert max(abs(host(g)).max() for g in gradients) > 0.01


def test_pairs_are_taken_as_noise_first_and_data_second():
    pairs, seen = normal(6, 2, D), Seen()
    loss = reflow_loss(seen, here(pairs), rng=generator())
    t = seen.t[:, None]
    np.testing.assert_allclose(seen.x, (1 - t) * pairs[:, 0] + t * pairs[:, 1])
    assert float(loss) == pytest.approx(((pairs[:, 1] - pairs[:, 0]) ** 2).mean())


# --- minibatch optimal transport ------------------------------------------------------------------


def test_minibatch_ot_keeps_data_and_classes_together():
    x_1, labels, seen = normal(60, D, seed=4), np.arange(60) % 7, Seen()
    for minibatch_ot in (False, True):
        flow_loss(seen, here(x_1), labels, rng=generator(5), minibatch_ot=minibatch_ot)
        t = seen.t[:, None].astype(float)
        np.testing.assert_array_equal(seen.classes[0], labels)
        x_0 = generator(5).standard_normal((60, D), np.float32)
        x_0 = optimal_pairs(x_0, x_1, labels) if minibatch_ot else x_0
        np.testing.assert_allclose(seen.x, (1 - t) * x_0 + t * x_1, atol=1e-6)


def test_minibatch_ot_shortens_the_lines():
    x_1, _ = TWO.sample(256, generator())
    random = flow_loss(Seen(), here(x_1), rng=generator(1))
    optimal = flow_loss(Seen(), here(x_1), rng=generator(1), minibatch_ot=True)
    assert float(optimal) < 0.6 * float(random)


# --- the loop -------------------------------------------------------------------------------------


def test_training_finds_the_data_and_its_density():
    """A mixture, to about 0.1 nats; a Gaussian with its moments would lose 0.6"""
    data = known_flows.Mixture([[1.5, 0.0], [-1.5, 0.5]], [0.2 * np.eye(2)] * 2)
    x, _ = data.sample(4000, generator())
    model = Small(48)
    optimizer, ema = optim.Adam(model.parameters(), 5e-3), optim.EMA(model.parameters(), 0.99)
    batches = Batches(x.astype(np.float32), 128, rng=generator(1), epochs=20)
    records = list(flow.train(model, batches, optimizer, rng=generator(2), ema=ema))
    assert len(records) == batches.steps == ema.steps and set(records[0]) == {"loss"}
    test, _ = data.sample(500, generator(3))
    truth = data.log_density(test).mean()
    with ema.applied():
        found = flow.log_likelihood(model, test.astype(np.float32)).mean()
        samples = flow.sample(model, (4000, D), rng=generator(4), steps=20)
    assert truth - 0.12 < found < truth + 0.03
    assert data.log_density(samples).mean() == pytest.approx(data.log_density(x).mean(), abs=0.25)
    np.testing.assert_allclose(samples.mean(0), x.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(x.T), atol=0.25)


def test_reflow_learns_a_straighter_flow():
    """From the curved paths of the closed form to paths that need fewer steps"""
    x_0 = normal(2000, D)
    pairs = flow.reflow_pairs(TWO.velocity, x_0).astype(np.float32)
    np.testing.assert_array_equal(pairs[:, 0], x_0.astype(np.float32))
    student = Small(48)
    batches = Batches(pairs, 128, rng=generator(), epochs=40)
    optimizer = optim.Adam(student.parameters(), optim.cosine(1e-2, 620))
    for _ in flow.train(student, batches, optimizer, rng=generator(), loss=reflow_loss):
        pass
    before = flow.straightness(TWO.velocity, x_0[:500], steps=40)
    after = flow.straightness(student, x_0[:500].astype(np.float32), steps=40)
    assert after < 0.2 * before
    fresh = normal(500, D, seed=9)
    ends = flow.transport(TWO.velocity, fresh)
    one = {
        "teacher": flow.transport(TWO.velocity, fresh, step=ode.euler),
        "student": flow.transport(student, fresh.astype(np.float32), step=ode.euler),
    }
    error = {name: ((x - ends) ** 2).mean() for name, x in one.items()}
    assert error["student"] < 0.2 * error["teacher"]


def test_training_passes_classes_and_drops_some():
    labels, seen = np.arange(4000) % 5, []

    class Watched(Small):
        def forward(self, x, t, classes=None):
            seen.append(host(classes))
            return super().forward(x, t, classes)

    model, x = Watched(4, classes=6), np.zeros((4000, D), np.float32)
    batches = Batches(x, 2000, rng=generator(), labels=labels, epochs=1)
    loss = partial(flow_loss, null=5, drop=0.2)
    optimizer = optim.SGD(model.parameters(), 0.1)
    assert len(list(flow.train(model, batches, optimizer, rng=generator(), loss=loss))) == 2
    classes = np.concatenate(seen)
    assert (classes == 5).mean() == pytest.approx(0.2, abs=0.02)
    np.testing.assert_allclose([(classes == k).mean() for k in range(5)], 0.16, atol=0.02)


def test_the_average_is_updated_after_each_step():
    model = Small(4)
    ema = optim.EMA(model.parameters(), 0.5, warm_up=False)
    average = host(model.body[0].weight).astype(float)
    batches = Batches(normal(64, D).astype(np.float32), 16, rng=generator(), epochs=1)
    optimizer = optim.SGD(model.parameters(), 0.5)
    for _ in flow.train(model, batches, optimizer, rng=generator(), ema=ema):
        average = 0.5 * average + 0.5 * host(model.body[0].weight)
    np.testing.assert_allclose(host(ema.state["average"][0]), average, rtol=1e-5)


# --- samples and densities ------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "order"), [(ode.euler, 1), (ode.midpoint, 2), (ode.heun, 2)])
def test_mean_and_covariance_are_reproduced_to_the_order_of_the_step(step, order):
    """The flow is affine in x: the images of 0 and of the axes determine that of N(0, I)"""
    x, errors = np.array([[0.0, 0], [1, 0], [0, 1]]), []
    for n in (50, 100):
        ends = flow.transport(GAUSSIAN.velocity, x, times=np.linspace(0, 1, n + 1), step=step)
        mean, axes = ends[0], ends[1:] - ends[0]
        deviations = mean - GAUSSIAN.means[0], axes.T @ axes - GAUSSIAN.covariances[0]
        errors.append([np.abs(deviation).max() for deviation in deviations])
    (m0, c0), (m1, c1) = errors
    assert c1 < 0.05 and math.log2(c0 / c1) > order - 0.15
    assert m1 < 1e-9 or math.log2(m0 / m1) > order - 0.15


def test_samples_are_distributed_as_the_data():
    def network(x, t):
        return TWO.velocity(x.astype(float), t).astype(np.float32)

    samples = flow.sample(network, (4000, D), rng=generator(), steps=40)
    assert samples.shape == (4000, D) and samples.dtype == np.float32
    expected, _ = TWO.sample(200_000, generator(1))
    np.testing.assert_allclose(samples.mean(0), expected.mean(0), atol=0.08)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(expected.T), atol=0.12)
    right = (samples[:, 0] > 0.6).mean()
    assert right == pytest.approx(0.5, abs=0.03)


def test_the_flow_is_invertible():
    x_0 = normal(20, D)
    x_1 = flow.transport(TWO.velocity, x_0, step=ode.Adaptive(0.0, 1e-9))
    back = flow.transport(TWO.velocity, x_1, times=(1, 0), step=ode.Adaptive(0.0, 1e-9))
    np.testing.assert_allclose(back, x_0, atol=1e-6)
    assert isinstance(x_1, np.ndarray) and isinstance(back, np.ndarray)


def test_pairs_are_noise_and_where_the_flow_takes_it():
    x_0 = normal(5, D)

    def network(x, t):
        return x * 0.0 + 2.0 * tg.reshape(t, (-1, 1)) + 3.0

    found = flow.reflow_pairs(network, x_0, size=2)
    np.testing.assert_array_equal(found[:, 0], x_0)
    np.testing.assert_allclose(found[:, 1], x_0 + 4, rtol=1e-6)  # ∫ (2t + 3) dt


def test_every_row_keeps_its_class_for_any_batch_size():
    model, x = Small(classes=3), normal(11, D).astype(np.float32)
    labels = np.arange(11) % 3
    options = {"times": np.linspace(0, 1, 5), "step": ode.heun}
    whole = flow.transport(model, x, labels, **options)
    parts = flow.transport(model, x, labels, **options, size=4)
    np.testing.assert_allclose(parts, whole, rtol=1e-5)
    other = flow.transport(model, x, (labels + 1) % 3, **options)
    assert np.abs(other - whole).min(axis=1).max() > 0.01
    options, y = {"times": np.linspace(1, 0, 5), "step": ode.heun}, tg.Tensor(tg.xp.asarray(labels))
    log_p = [flow.log_likelihood(model, x, y, **options, size=size) for size in (4, 11)]
    np.testing.assert_allclose(*log_p, rtol=1e-5)


@pytest.mark.parametrize("shape", [(6, 2), (6, 1, 2, 1)])
def test_log_likelihoods_equal_the_closed_form_for_any_shape(shape):
    x, _ = TWO.sample(6, generator())
    found = flow.log_likelihood(TWO.velocity, x.reshape(shape), step=ode.Adaptive(1e-7, 1e-7))
    np.testing.assert_allclose(found, TWO.log_density(x), atol=1e-5)
    many = np.repeat(x[:1], 1000, axis=0).reshape(1000, *shape[1:])
    estimates = flow.log_likelihood(
        TWO.velocity, many, probes=2, rng=generator(), times=np.linspace(1, 0, 31), step=ode.heun
    )
    assert abs(estimates.mean() - found[0]) < 4 * estimates.std() / 1000**0.5 + 0.02


def test_the_path_ends_where_transport_does():
    model, x_0 = Small(), tg.xp.asarray(normal(5, D), np.float32)
    states = list(ode.path(flow.velocity(model), x_0, np.linspace(0, 1, 11)))
    assert len(states) == 11 and all(state.shape == (5, D) for state in states)
    ends = flow.transport(model, x_0, times=np.linspace(0, 1, 11), step=ode.heun)
    np.testing.assert_allclose(host(states[-1]), ends, rtol=1e-6)


class Lively(nn.Module):
    def __init__(self):
        self.drop, self.norm = nn.Dropout(0.5, rng=generator()), nn.BatchNorm(D)
        self.body = Small()

    def forward(self, x, t):
        return self.body(self.norm(self.drop(x)), t)


USES = {
    "sample": lambda model, x: flow.sample(model, x.shape, rng=generator(), steps=3),
    "transport": lambda model, x: flow.transport(model, x, times=(0, 0.5), step=ode.euler),
    "log_likelihood": lambda model, x: flow.log_likelihood(model, x, step=ode.heun),
    "straightness": lambda model, x: flow.straightness(model, x, steps=3),
    "reflow_pairs": lambda model, x: flow.reflow_pairs(model, x, step=ode.euler),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_using_a_network_leaves_it_unchanged_and_uses_no_dropout(use):
    model, x = Lively(), normal(6, D).astype(np.float32)
    model(tg.Tensor(tg.xp.asarray(x)), tg.Tensor(tg.xp.zeros(6, np.float32)))
    model.body.eval()  # some layers in each mode
    before, modes = model.state_dict(), [module.training for _, module in model.named_modules()]
    np.testing.assert_array_equal(use(model, x), use(model, x))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert [module.training for _, module in model.named_modules()] == modes
    assert tg.is_recording()


def test_guidance_extrapolates_from_any_class_to_the_given_one():
    model, x, t = Small(classes=4), normal(5, D).astype(np.float32), 0.3
    labels, null = np.arange(5) % 3, np.full(5, 3)
    x = tg.xp.asarray(x)
    one, other = (host(flow.velocity(model, c)(x, t)) for c in (labels, null))
    found = host(flow.velocity(guided(model, 2.5, null=3), labels)(x, t))
    np.testing.assert_allclose(found, other + 2.5 * (one - other), rtol=1e-4, atol=1e-6)


def test_unit_time_scales_the_times_of_a_network():
    seen = Seen()
    network = flow.UnitTime(seen)
    flow.velocity(network)(tg.xp.asarray(normal(3, D)), 0.25)
    np.testing.assert_array_equal(seen.t, [250] * 3)
    flow.velocity(flow.UnitTime(seen, 10), [1, 0, 1])(tg.xp.asarray(normal(3, D)), 0.25)
    np.testing.assert_array_equal(seen.t, [2.5] * 3)
    np.testing.assert_array_equal(seen.classes, [[1, 0, 1]])


def test_a_u_net_learns_and_samples_images():
    net = models.UNet((8, 8, 1), 8, (1, 2), attention_at=(4,), classes=2, rng=generator())
    model = flow.UnitTime(net)
    x = np.tile(np.array([-0.5, 0.5], np.float32)[:, None, None, None], (20, 8, 8, 1))
    batches = Batches(x, 20, rng=generator(), labels=np.arange(40) % 2, epochs=20)
    optimizer = optim.Adam(model.parameters(), 5e-3)
    loss = partial(flow_loss, minibatch_ot=True, null=2)
    records = flow.train(model, batches, optimizer, rng=generator(), loss=loss)
    losses = [float(record["loss"]) for record in records]
    assert np.mean(losses[-3:]) < 0.4 * losses[0]
    samples = flow.sample(model, (6, 8, 8, 1), [0, 0, 0, 1, 1, 1], rng=generator(), steps=5)
    assert samples.shape == (6, 8, 8, 1) and samples.dtype == np.float32
    assert samples[3:].mean() > samples[:3].mean() + 0.4
    options = {"probes": 1, "rng": generator(), "step": ode.heun}
    assert flow.log_likelihood(model, samples[:2], [0, 1], **options).shape == (2,)


# --- straightness ---------------------------------------------------------------------------------


def test_straightness_is_the_integral_along_the_paths():
    """From N(0, 1) to N(0, s²) a point moves along z √((1 − t)² + t² s²)"""
    s, t = 0.3, np.linspace(0, 1, 20_001)
    known = known_flows.Mixture([[0.0]], [[[s * s]]])
    velocity = np.gradient(np.sqrt((1 - t) ** 2 + (s * t) ** 2), t)
    x_0 = normal(1000, 1)
    expected = np.trapezoid((s - 1 - velocity) ** 2, t) * (x_0**2).mean()
    assert flow.straightness(known.velocity, x_0, steps=100) == pytest.approx(expected, rel=1e-3)
    straight = flow.straightness(lambda x, t: x * 0.0 + 3.0, x_0, steps=10)
    assert straight == pytest.approx(0, abs=1e-20)


# --- invalid arguments ----------------------------------------------------------------------------

X = np.zeros((3, D))


@pytest.mark.parametrize(
    ("use", "pattern"),
    [
        (lambda: matching_loss(Seen(), X, X[:2], np.zeros(3)), r"\(3, 2\), \(2, 2\) and \(3,\)"),
        (lambda: matching_loss(Seen(), X, X, X[:, :1]), r"\(3, 2\), \(3, 2\) and \(3, 1\)"),
        (lambda: flow_loss(lambda x, t: x[:, :1], X, rng=generator()), r"\(3, 2\), got \(3, 1\)"),
        (lambda: reflow_loss(Seen(), X, rng=generator()), r"`pairs` \(N, 2, …\), got \(3, 2\)"),
        (lambda: flow.transport(Seen(), X[:0]), r"transport: .*\(0, 2\)"),
        (lambda: flow.transport(Seen(), X, size=0), "transport: .*`size`.* ≥ 1, got 0"),
        (lambda: flow.log_likelihood(Seen(), X, [0, 1]), r"log_likelihood: .*\(3,\), got \(2,\)"),
        (lambda: flow.sample(Seen(), (3, 2), rng=generator(), steps=0), "sample: .*`steps`.* 0"),
        (lambda: flow.straightness(Seen(), X, steps=0), "straightness: .*`steps`.* 0"),
        (lambda: optimal_pairs(X, X[:2]), r"optimal_pairs: .*\(2, 2\), got \(3, 2\)"),
        (lambda: optimal_pairs(X, X, [0, 1]), r"optimal_pairs: .*`classes` \(3,\), got \(2,\)"),
        (lambda: assignment(np.zeros((2, 3))), r"assignment: .*\(n, n\).* \(2, 3\)"),
        (lambda: assignment([[math.nan]]), "assignment: .*finite"),
        (lambda: flow.UnitTime(Seen(), 0.0), r"UnitTime: .*`scale` > 0, got 0\.0"),
    ],
)
def test_invalid_arguments_are_refused(use, pattern):
    with pytest.raises(ValueError, match=pattern):
        use()
