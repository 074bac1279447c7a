"""ODE solvers: the order of every step, and densities against their closed forms."""

import itertools
import math
from functools import partial

import known_flows
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_flows import GAUSSIAN, TWO, here

import tinygen as tg
from tinygen.flow import ode
from tinygen.flow.ode import Adaptive, euler, heun, midpoint, path, solve
from tinygen.metrics import bits_per_dimension

STEPS = {
    "euler": (euler, 1),
    "midpoint": (midpoint, 2),
    "heun": (heun, 2),
    "Dormand and Prince": (Adaptive(rtol=0.0, atol=1e9), 5),
}
each_step = pytest.mark.parametrize(("step", "order"), STEPS.values(), ids=STEPS)


def generator(seed=0):
    return np.random.default_rng(seed)


def array(x):
    return tg.xp.asarray(np.asarray(x, float))


def swing(x, t):
    """dx/dt = x cos t, with the solution x exp(sin t − sin t₀)"""
    return x * math.cos(t)


def spiral(x, t):
    """dx/dt = 2t R x + (1, 0) t, an accelerating rotation with drift"""
    return 2 * t * x @ array([[0.0, 1.0], [-1.0, 0.0]]) + t * array([1.0, 0.0])


def orders(f, x, times, truth, step, counts):
    """The observed order of convergence between successive numbers of steps"""
    errors = []
    for n in counts:
        found = tg.to_numpy(solve(f, array(x), np.linspace(*times, n + 1), step))
        errors.append(np.abs(found - truth).max())
    return [
        math.log(a / b) / math.log(m / n)
        for (a, n), (b, m) in itertools.pairwise(zip(errors, counts, strict=True))
    ]


# --- the steps ------------------------------------------------------------------------------------


@each_step
@pytest.mark.parametrize("times", [(0.0, 1.0), (1.0, 0.0)], ids=["forward", "back"])
def test_the_error_falls_with_the_order_of_the_step(step, order, times):
    truth = 1.7 * math.exp(math.sin(times[1]) - math.sin(times[0]))
    counts = (20, 40, 80) if order == 5 else (100, 200, 400)
    for found in orders(swing, [1.7], times, truth, step, counts):
        assert found == pytest.approx(order, abs=0.15)


@each_step
def test_the_error_falls_with_this_order_on_a_gaussian_flow(step, order):
    x_0 = generator().standard_normal((50, 2))
    truth = known_flows.gaussian_end(x_0)
    counts = (20, 40) if order == 5 else (100, 200)
    (found,) = orders(GAUSSIAN.field, x_0, (0, 1), truth, step, counts)
    # midpoint has order 3 on this particular field
    assert order - 0.1 < found < order + (1.1 if step is midpoint else 0.3)


@each_step
def test_the_error_falls_with_this_order_on_the_flow_of_a_mixture(step, order):
    x_0 = generator().standard_normal((30, 2))
    truth = tg.to_numpy(solve(TWO.field, array(x_0), (0, 1), Adaptive(0.0, 1e-12)))
    counts = (20, 40) if order == 5 else (80, 160)
    (found,) = orders(TWO.field, x_0, (0, 1), truth, step, counts)
    assert order - 0.15 < found < order + 0.8


def test_each_step_is_its_formula():
    def f(x, t):
        return x * x + t

    x, t, h = 2.0, 3.0, 0.5
    k1 = 4 + 3
    assert euler(f, x, t, h) == 2 + 0.5 * k1
    assert midpoint(f, x, t, h) == 2 + 0.5 * ((2 + 0.25 * k1) ** 2 + 3.25)
    assert heun(f, x, t, h) == 2 + 0.25 * (k1 + (2 + 0.5 * k1) ** 2 + 3.5)


def test_dormand_and_princes_table_satisfies_the_conditions_of_its_order():
    c, b, e = np.array([0, *ode.C]), np.array([*ode.A[-1], 0.0]), np.array(ode.E)
    a = np.array([[*row, *[0.0] * (7 - len(row))] for row in ((), *ode.A)])
    np.testing.assert_allclose(a.sum(1), c, atol=1e-14)
    for k in range(5):
        assert b @ c**k == pytest.approx(1 / (k + 1), abs=1e-14)
        assert (b - e) @ c**k == pytest.approx(
            1 / (k + 1) if k < 4 else 1 / 5, abs=1e-14 if k < 4 else 1e-2
        )
    assert b @ a @ c == pytest.approx(1 / 6)
    assert b @ a @ a @ c == pytest.approx(1 / 24)
    assert b @ a @ a @ a @ c == pytest.approx(1 / 120)
    assert b @ (c * (a @ c)) == pytest.approx(1 / 8)
    assert (b - e) @ a @ c == pytest.approx(1 / 6)
    assert (b - e) @ a @ a @ c == pytest.approx(1 / 24)
    assert abs((b - e) @ c**4 - 1 / 5) > 1e-4  # order 4 and not 5


# --- the adaptive step ----------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7, 1e-9])
def test_an_adaptive_step_meets_its_tolerance(tolerance):
    x = generator().standard_normal((20, 2))
    found = tg.to_numpy(solve(GAUSSIAN.field, array(x), (0, 1), Adaptive(0.0, tolerance)))
    error = np.abs(found - known_flows.gaussian_end(x)).max()
    assert error < 5 * tolerance  # the tolerance limits the error of each step
    assert error > tolerance / 1e4  # without needless accuracy


def test_rtol_scales_with_x_and_atol_does_not():
    def steps(x, rtol, atol):
        step = Adaptive(rtol, atol)
        solve(swing, array([x]), (0, 5), step)
        return len(step.ends)

    assert steps(1e6, 1e-6, 1e-12) == steps(1.0, 1e-6, 1e-12)
    assert steps(1e6, 0.0, 1e-6) > 3 * steps(1.0, 0.0, 1e-6)
    assert steps(1e-9, 0.0, 1e-6) < steps(1.0, 0.0, 1e-6)


def test_the_smaller_the_tolerance_the_more_steps():
    taken = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        step = Adaptive(0.0, tolerance)
        solve(TWO.field, array(generator().standard_normal((20, 2))), (0, 1), step)
        taken.append(len(step.ends))
    assert taken[0] < taken[1] < taken[2]
    # order 5: 4 times as many steps for a thousandth of the error
    assert 2.5 < taken[2] / taken[1] < 5


def bump(x, t):
    """A short pulse at t = 0.7, which increases x by 1"""
    return 0 * x + math.exp(-(((t - 0.7) / 0.01) ** 2)) / (0.01 * math.sqrt(math.pi))


def test_steps_are_short_only_where_the_field_needs_it():
    step = Adaptive(0.0, 1e-8)
    found = solve(bump, array([0.0]), np.linspace(0, 1, 11), step)
    assert float(found[0]) == pytest.approx(1, abs=1e-6)
    ends = np.array(step.ends)
    assert step.rejected > 0 and (np.diff(ends) > 0).all() and ends[-1] == pytest.approx(1)
    near = ((ends > 0.65) & (ends < 0.75)).sum()
    assert near > 0.6 * len(ends)


def test_accepted_and_rejected_steps_and_evaluations_are_counted():
    times = []

    def f(x, t):
        times.append(t)
        return bump(x, t)

    step = Adaptive(0.0, 1e-8)
    solve(f, array([0.0]), (0.5, 0.9), step)
    assert step.evaluations == len(times) == 1 + 6 * (len(step.ends) + step.rejected)
    assert step.ends[-1] == 0.9
    assert min(times) >= 0.5 and max(times) <= 0.9


def test_a_constant_velocity_takes_one_step():
    step = Adaptive()
    found = solve(lambda x, t: 0 * x + 3.0, array([1.0, 2.0]), (0, 1), step)
    np.testing.assert_allclose(tg.to_numpy(found), [4, 5], rtol=1e-14)
    assert (step.ends, step.rejected) == ([1], 0)


def test_a_row_is_as_accurate_in_a_batch_as_alone():
    def f(x, t):  # the first row rotates fast, the others are constant
        return x @ array([[0.0, 1.0], [-1.0, 0.0]]) * array([[40.0]] + [[0.0]] * 999)

    x = np.ones((1000, 2))
    found = tg.to_numpy(solve(f, array(x), (0, 1), Adaptive(0.0, 1e-6)))
    expected = [math.cos(40) - math.sin(40), math.sin(40) + math.cos(40)]
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    np.testing.assert_array_equal(found[1:], 1)


def test_float32_stays_float32_and_its_tolerance_can_be_met():
    x = tg.xp.asarray(generator().standard_normal((10, 2)), np.float32)
    for step in (euler, midpoint, heun, Adaptive()):
        found = solve(swing, x, (0, 1), step)
        assert found.dtype == np.float32
    np.testing.assert_allclose(
        tg.to_numpy(found), tg.to_numpy(x) * math.exp(math.sin(1)), rtol=1e-4
    )


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_field_that_is_not_finite_is_an_error(wrong):
    def f(x, t):
        return x * (wrong if t > 0.625 else 1.0)

    with pytest.raises(ValueError, match=r"Adaptive: .*t = 0\.625"):
        solve(f, array([1.0]), (0, 1), Adaptive())


def test_a_first_step_that_overshoots_is_tried_again_without_a_warning():
    found = solve(lambda x, t: -(x**9), array([30.0]), (0, 1e-9), Adaptive())
    assert float(found[0]) == pytest.approx((8e-9 + 30.0**-8) ** (-1 / 8), rel=1e-3)


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [heun, Adaptive()])
def test_a_path_is_the_states_at_the_times_starting_with_x(step):
    x, times = array([[1.0, 0.0], [0.5, -2.0]]), [0.0, 0.1, 0.15, 0.4]
    states = list(path(spiral, x, times, step))
    assert len(states) == 4 and states[0] is x
    for (a, t), (b, u) in itertools.pairwise(zip(states, times, strict=True)):
        np.testing.assert_allclose(
            tg.to_numpy(b), tg.to_numpy(solve(spiral, a, (t, u), step)), rtol=1e-12
        )
    np.testing.assert_array_equal(
        tg.to_numpy(states[-1]), tg.to_numpy(solve(spiral, x, times, step))
    )


@given(st.floats(-2, 2), st.floats(-2, 2).filter(lambda t: abs(t) > 0.01))
def test_integrating_back_returns_to_the_start(start, duration):
    x = array([[1.0, 0.0], [0.5, -2.0]])
    there = solve(spiral, x, (start, start + duration), Adaptive(0.0, 1e-9))
    back = solve(spiral, there, (start + duration, start), Adaptive(0.0, 1e-9))
    np.testing.assert_allclose(tg.to_numpy(back), tg.to_numpy(x), atol=1e-7)


@pytest.mark.parametrize(
    "times",
    [[], [1.0], [0.0, 0.0], [0.0, 1.0, 0.5], [1.0, 0.5, 0.5], [0.0, math.nan], [0.0, math.inf]],
)
def test_times_that_are_not_monotonic_are_refused(times):
    for use in (
        lambda: solve(swing, array([1.0]), times),
        lambda: list(path(swing, array([1.0]), times)),
    ):
        with pytest.raises(ValueError, match=r"path: .*`times`"):
            use()


# --- densities ------------------------------------------------------------------------------------

TWIST = np.array(
    [[0.3, -1.0, 0.2, 0.0], [0.5, 0.1, 0.0, 1.0], [0.0, 2.0, -0.7, 0.3], [0.4, 0.0, 0.6, 0.9]]
)


def twisted(x, t):
    """v = t tanh(x W), with Jacobian t W diag(1 − tanh²(x W))"""
    x = tg.as_tensor(x)
    return tg.reshape(tg.tanh(tg.reshape(x, (len(x), -1)) @ here(TWIST)), x.shape) * t


def its_trace(x, t):
    y = np.tanh(x.reshape(len(x), -1) @ TWIST)
    return t * ((1 - y * y) * np.diag(TWIST)).sum(1)


@pytest.mark.parametrize("shape", [(4,), (2, 2, 1), (1, 1, 4)])
def test_the_divergence_is_the_trace_of_each_rows_jacobian(shape):
    x = generator().standard_normal((5, *shape))
    v, trace = ode.divergence(twisted, array(x), 0.7)
    np.testing.assert_allclose(tg.to_numpy(trace), its_trace(x, 0.7), rtol=1e-12)
    np.testing.assert_array_equal(tg.to_numpy(v), tg.to_numpy(twisted(here(x), 0.7).data))


def test_hutchinsons_estimate_is_the_trace_in_expectation_over_all_signs():
    x = generator().standard_normal((3, 4))
    signs = [np.tile(s, (3, 1)) for s in itertools.product([-1.0, 1.0], repeat=4)]
    estimates = [tg.to_numpy(ode.divergence(twisted, array(x), 0.7, [array(s)])[1]) for s in signs]
    np.testing.assert_allclose(np.mean(estimates, axis=0), its_trace(x, 0.7), rtol=1e-12)
    assert np.std(estimates, axis=0).min() > 0.1  # single estimates vary
    together = ode.divergence(twisted, array(x), 0.7, [array(s) for s in signs])[1]
    np.testing.assert_allclose(tg.to_numpy(together), its_trace(x, 0.7), rtol=1e-12)


def test_divergence_works_under_no_grad():
    with tg.no_grad():
        _, trace = ode.divergence(twisted, array(np.ones((2, 4))), 1.0)
        assert not tg.is_recording()
    np.testing.assert_allclose(tg.to_numpy(trace), its_trace(np.ones((2, 4)), 1.0))


def test_a_field_whose_gradient_is_lost_is_refused():
    x = array(np.ones((2, 4)))
    for field, pattern in [
        (lambda x, t: twisted(x, t).data, "`y` is a constant"),
        (lambda x, t: twisted(x, t).detach(), "`y` is a constant"),
        (lambda x, t: twisted(x, t)[:, :1], r"\(2, 1\).* \(2, 4\)"),
    ]:
        with pytest.raises(ValueError, match=pattern):
            ode.divergence(field, x, 1.0)


KNOWN = {"a Gaussian": GAUSSIAN, "a mixture": TWO}


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_log_likelihoods_equal_the_closed_form(known):
    x, _ = known.sample(20, generator())
    found = ode.log_likelihood(known.velocity, array(x), step=Adaptive(1e-8, 1e-8))
    np.testing.assert_allclose(found, known.log_density(x), atol=1e-6)
    np.testing.assert_allclose(
        ode.log_likelihood(known.velocity, array(x)), known.log_density(x), atol=1e-3
    )


def test_the_density_at_an_intermediate_time_equals_the_closed_form():
    x, _ = TWO.sample(10, generator())
    found = ode.log_likelihood(TWO.velocity, array(x), (0.6, 0.0), step=Adaptive(1e-8, 1e-8))
    np.testing.assert_allclose(found, TWO.log_density(x, 0.6), atol=1e-6)


def test_the_error_of_a_log_likelihood_falls_with_the_order_of_the_step():
    x, _ = GAUSSIAN.sample(10, generator())
    truth, errors = GAUSSIAN.log_density(x), []
    for n in (50, 100):
        found = ode.log_likelihood(GAUSSIAN.velocity, array(x), np.linspace(1, 0, n + 1), step=heun)
        errors.append(np.abs(found - truth).max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


def test_probes_estimate_a_log_likelihood_without_bias():
    x, _ = GAUSSIAN.sample(2, generator())
    many = array(np.repeat(x, 2000, axis=0))
    log_p = partial(ode.log_likelihood, GAUSSIAN.velocity, times=np.linspace(1, 0, 41), step=heun)
    found = log_p(many, probes=1, rng=generator(1)).reshape(2, 2000)
    deviation = found.std(axis=1)
    assert deviation.min() > 0.1
    tolerance = 4 * deviation.max() / 2000**0.5
    np.testing.assert_allclose(found.mean(axis=1), log_p(array(x)), atol=tolerance)
    four = log_p(many, probes=4, rng=generator(1)).reshape(2, 2000)
    np.testing.assert_allclose(four.std(axis=1), deviation / 2, rtol=0.1)


def test_one_probe_of_signs_is_exact_for_a_diagonal_jacobian():
    known = known_flows.Mixture([[1.0, -2.0]], [np.diag([0.5, 0.2])])
    x, _ = known.sample(5, generator())
    found = ode.log_likelihood(
        known.velocity, array(x), probes=1, rng=generator(), step=Adaptive(1e-8, 1e-8)
    )
    np.testing.assert_allclose(found, known.log_density(x), atol=1e-6)


def test_the_times_need_not_be_0_and_1():
    """The probability-flow equation of noise σ added to N(0, s²): dx/dσ = σ x / (s² + σ²)"""
    s, low, high = 0.5, 0.01, math.sqrt(1 - 0.5**2)  # to N(0, 1)

    def log_normal(x, variance):
        return -0.5 * (x * x / variance + math.log(2 * math.pi * variance)).sum(1)

    x = s * generator().standard_normal((6, 3))
    found = ode.log_likelihood(
        lambda x, t: x * (t / (s * s + t * t)), array(x), (low, high), step=Adaptive(1e-8, 1e-8)
    )
    np.testing.assert_allclose(found, log_normal(x, s * s + low * low), atol=1e-6)


def test_a_zero_field_gives_the_entropy_of_a_standard_normal():
    x = generator().standard_normal((2000, 2, 2, 1)).astype(np.float32)
    found = ode.log_likelihood(lambda x, t: x * 0.0, tg.xp.asarray(x))
    assert found.shape == (2000,) and found.dtype == np.float32
    bits = bits_per_dimension(-found.mean(), 4)
    assert bits == pytest.approx(0.5 * math.log2(2 * math.pi * math.e), abs=0.03)


def probed(**options):
    return ode.log_likelihood(twisted, array(np.ones((1, 4))), **options)


@pytest.mark.parametrize(
    ("use", "error", "pattern"),
    [
        (lambda: Adaptive(-1.0), ValueError, r"Adaptive: .*`rtol` ≥ 0, got -1\.0"),
        (lambda: Adaptive(atol=0.0), ValueError, r"Adaptive: .*`atol` > 0, got 0\.0"),
        (lambda: Adaptive(math.nan), ValueError, "`rtol`.* nan"),
        (lambda: probed(probes=0, rng=generator()), ValueError, "`probes`.* ≥ 1, got 0"),
        (lambda: probed(probes=1), TypeError, "log_likelihood: .*`rng`.* NoneType"),
        (lambda: solve(swing, array([1.0]), [0.5]), ValueError, r"`times`.* \[0\.5\]"),
    ],
)
def test_invalid_arguments_are_refused(use, error, pattern):
    with pytest.raises(error, match=pattern):
        use()
