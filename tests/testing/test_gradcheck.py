"""The checker: it rejects every wrong gradient, accepts every right one, and says what is wrong."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import ZOO, Mutant
from operations import TABLE

import tinygen as tg
from tinygen import GradientError, Tensor, gradcheck, record, strategies

THOROUGH = float(os.environ.get("TINYGEN_THOROUGH") or 0)  # 1 is all, 0.2 a fifth of it
SEEDS = max(10, int(200 * THOROUGH))


# --- wrong gradients ---


def test_the_zoo_is_large_and_its_diagnoses_recur():
    names = [m.diagnosis for m in ZOO]
    assert len(ZOO) >= 40
    assert len({m.name for m in ZOO}) == len(ZOO)
    for diagnosis in (
        "sign",
        "factor",
        "zero",
        "transpose",
        "broadcast",
        "first order only",
        "nondeterministic",
        "flip",
        "shift",
    ):
        assert names.count(diagnosis) >= 2, diagnosis


@pytest.mark.parametrize("mutant", ZOO, ids=[m.name for m in ZOO])
def test_every_wrong_gradient_is_rejected_with_its_diagnosis(mutant: Mutant):
    large = any(np.size(x) > 1000 for x in mutant.inputs(np.random.default_rng(0)))
    for seed in range(3 if large else SEEDS):
        inputs = mutant.inputs(np.random.default_rng(seed))
        with pytest.raises(GradientError) as caught:
            gradcheck(mutant.f, *inputs, vjp=mutant.vjp, rng=np.random.default_rng(seed + 1))
        if mutant.diagnosis:
            assert caught.value.diagnosis == mutant.diagnosis, f"seed {seed}: {caught.value}"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("reach", [1e-6, 1.0, 1e6])
def test_any_entry_wrong_by_1e_4_is_found_at_any_scale(scale, reach, rng):
    def f(x):
        return scale * np.sin(x / reach) * (x / reach)

    def slope(x):
        x = x / reach
        return scale / reach * (np.cos(x) * x + np.sin(x))

    x = rng.normal(size=(3, 4)) * reach
    assert gradcheck(f, x, vjp=lambda g, x: g * slope(x))
    for entry in range(12):
        off = 1 + 1e-4 * (np.arange(12) == entry).reshape(3, 4)
        with pytest.raises(GradientError) as caught:
            gradcheck(f, x, vjp=lambda g, x, off=off: g * slope(x) * off, rng=rng)
        assert caught.value.finding.element == (entry // 4, entry % 4)
        assert caught.value.finding.wrong == 1


@settings(max_examples=max(10, int(200 * THOROUGH)))
@given(st.integers(0, 9999), st.integers(0, 2**32))
def test_one_wrong_entry_in_10_000_is_found_and_named(entry, seed):
    x = np.random.default_rng(1).uniform(-1, 1, (100, 100))
    off = 1 + 1e-4 * (np.arange(10_000) == entry).reshape(100, 100)
    with pytest.raises(GradientError) as caught:
        gradcheck(np.sin, x, vjp=lambda g, x: g * np.cos(x) * off, rng=np.random.default_rng(seed))
    assert caught.value.finding.element == (entry // 100, entry % 100)


# --- right gradients ---


@settings(max_examples=max(100, int(10_000 * THOROUGH)))
@given(data=st.data())
def test_no_correct_operation_raises_a_false_alarm(data):
    operation = data.draw(st.sampled_from(TABLE))
    inputs = data.draw(operation.inputs)
    arrays = [x for x in inputs if isinstance(x, np.ndarray)]
    others = inputs[len(arrays) :]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    assert gradcheck(lambda *xs: operation.call(*xs, *others), *arrays, rng=rng)


RIGHT = {
    "constant": (lambda x: 0 * x, lambda g, x: 0 * g),
    "a sum of softmaxes, whose gradient is rounding error": (
        lambda x: (np.exp(x) / np.exp(x).sum()).sum(),
        lambda g, x: g * (np.exp(x) / np.exp(x).sum()) * (1 - (np.exp(x) / np.exp(x).sum()).sum()),
    ),
    "a large offset": (lambda x: 1e6 + x * x, lambda g, x: 2 * x * g),
    "a fast oscillation": (lambda x: np.sin(300 * x), lambda g, x: 300 * np.cos(300 * x) * g),
    "a steep sigmoid": (
        lambda x: np.tanh(50 * x),
        lambda g, x: 50 * (1 - np.tanh(50 * x) ** 2) * g,
    ),
    "defined on one side only": (np.sqrt, lambda g, x: g / (2 * np.sqrt(x))),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_awkward_right_gradients_pass(name, scale, rng):
    f, vjp = RIGHT[name]
    for _ in range(20):
        x = rng.uniform(0.01, 2, 6)
        assert gradcheck(lambda x: scale * f(x), x, vjp=lambda g, x: scale * vjp(g, x), rng=rng)


def test_entries_of_very_different_sizes_pass():
    x = np.array([1e-8, 1e-3, 1.0, 1e3])
    assert gradcheck(tg.log, x)
    assert gradcheck(lambda x: x * x * x, x)
    assert gradcheck(lambda x: 1 / x, x)
    assert gradcheck(tg.sin, x)


def test_a_gradient_that_is_zero_but_for_rounding_passes():
    # the mean of these is rounded, so x − mean(x) is not quite 0
    assert gradcheck(lambda x: tg.var(x, axis=1, ddof=1), np.array([[0.003, 0.003, 0.003]]))


def test_all_zero_inputs_pass():
    assert gradcheck(tg.exp, np.zeros(3))
    assert gradcheck(lambda x: x * x, np.zeros(3))


def test_order_3_is_checked():
    assert gradcheck(lambda x: tg.sin(x) * x, np.array([0.3, 1.2]), order=3).order == 3

    def wrong_at_third_order(x):
        # cos to second order, but its slope forgets to depend on x
        def cos(x):
            return record(tg.xp.cos(x.data), (x, lambda g, z: -(g * tg.xp.sin(x.data))))

        return record(tg.xp.sin(x.data), (x, lambda g, z: g * cos(x)))

    x = np.array([0.3, 1.2])
    assert gradcheck(wrong_at_third_order, x, order=2)
    with pytest.raises(GradientError) as caught:
        gradcheck(wrong_at_third_order, x, order=3)
    assert caught.value.diagnosis == "first order only"
    assert caught.value.finding.order == 3


# --- kinks ---


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (tg.relu, [0.0, 1.0, -1.0]),
        (tg.leaky_relu, [1.0, 0.0]),
        (tg.elu, [0.0, -0.5]),
        (abs, [0.0, 2.0]),
        (lambda x: tg.clip(x, -1, 1), [1.0, -1.0, 0.3]),
        (lambda x: tg.max(x), [2.0, 2.0, 1.0]),
        (lambda x: tg.maximum(x, x[::-1]), [2.0, 1.0, 2.0]),
    ],
)
def test_a_kink_is_accepted_and_reported(f, x):
    report = gradcheck(f, np.array(x))
    assert report.kinks
    assert "kink" in str(report)


def test_at_a_kink_only_values_between_the_slopes_are_accepted():
    x = np.array([0.0, 1.0])
    for slope in (0.0, 0.3, 1.0):
        report = gradcheck(
            lambda x: np.maximum(x, 0), x, vjp=lambda g, x, s=slope: g * np.where(x == 0, s, x > 0)
        )
        assert len(report.kinks) == 1 or slope == 0.5
    for slope in (-0.1, 1.1):
        with pytest.raises(GradientError):
            gradcheck(
                lambda x: np.maximum(x, 0),
                x,
                vjp=lambda g, x, s=slope: g * np.where(x == 0, s, x > 0),
            )


@given(strategies.arrays((4,), away_from=[0], gap=0.001))
def test_near_a_kink_but_not_at_it_no_kink_is_reported(x):
    assert not gradcheck(tg.relu, x).kinks


def test_a_kink_in_a_large_array_is_named_by_its_entry():
    x = np.linspace(-1, 1, 2001)  # 0 is the entry 1000
    x[1000] = 0
    report = gradcheck(lambda x: np.maximum(x, 0), x, vjp=lambda g, x: g * (x > 0))
    assert report.kinks == ["x[1000] (order 1)"]


@pytest.mark.parametrize("slope", [0.0, 1.0, 17.0])
def test_a_function_that_jumps_has_no_gradient_there(slope):
    x = np.array([0.0, 1.0])
    with pytest.raises(GradientError):
        gradcheck(np.sign, x, vjp=lambda g, x: g * np.where(x == 0, slope, 0))


def test_a_small_distance_from_a_kink_is_enough_and_a_tiny_one_is_reported():
    assert not gradcheck(tg.relu, np.array([1e-7, -1e-6, 1.0])).kinks
    near = 1 - 1e-10
    assert gradcheck(tg.max, np.array([1.0, near])).kinks
    assert gradcheck(lambda x: tg.clip(x, -1, 1), np.array([near, 0.3])).kinks


# --- what it takes ---


def test_parameters_are_checked_and_left_as_they_were():
    w = Tensor(np.ones((3, 2), "f4"), requires_grad=True)
    b = Tensor(np.zeros(2, "f4"), name="bias")
    report = gradcheck(lambda x: tg.tanh(x @ w + b), np.ones((4, 3)), params={"w": w, "b": b})
    assert report.checks > 0
    assert w.dtype == b.dtype == np.float32
    assert (w.requires_grad, b.requires_grad) == (True, False)
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda x: x @ w.detach() + 0 * w.sum(), np.ones((4, 3)), params=[w])
    assert caught.value.diagnosis == "zero"
    assert caught.value.finding.argument == "params[0]"
    assert w.dtype == np.float32


def test_inputs_are_left_as_they_were():
    x, t = np.array([1.0, 2.0]), Tensor(np.ones(2, "f4"))
    gradcheck(lambda x, t: x * t, x, t)
    np.testing.assert_array_equal(x, [1, 2])
    assert t.dtype == np.float32
    assert t.grad is None


def test_integer_inputs_are_passed_on_as_they_are():
    labels = np.array([0, 2, 1])
    report = gradcheck(lambda x, k: tg.take(x, k, axis=1), np.ones((2, 3)), labels)
    assert report.checks


def test_several_outputs_are_checked_together():
    def f(x):
        return tg.sin(x), x * x

    assert gradcheck(f, np.array([0.2, 0.4]))

    def wrong(x):
        return tg.sin(x), record(x.data**2, (x, lambda g, z: g * x))

    with pytest.raises(GradientError):
        gradcheck(wrong, np.array([0.2, 0.4]))


def test_a_plain_pair_with_several_outputs():
    def f(x):
        return np.sin(x), x * 2

    assert gradcheck(f, np.array([0.2, 0.4]), vjp=lambda g, x: g[0] * np.cos(x) + 2 * g[1])


def test_a_plain_pair_may_leave_integer_inputs_out_or_give_none_for_them():
    def f(x, k):
        return x[k]

    def put(g, x, k):
        gx = np.zeros_like(x)
        np.add.at(gx, k, g)
        return gx

    k = np.array([0, 0, 2])
    assert gradcheck(f, np.ones(3), k, vjp=put)
    assert gradcheck(f, np.ones(3), k, vjp=lambda g, x, k: (put(g, x, k), None))


def test_a_plain_backward_may_write_into_what_it_is_given():
    def vjp(g, x):
        g *= np.cos(x)
        x[...] = 0
        return g

    assert gradcheck(np.sin, np.array([0.3, 0.5]), vjp=vjp)


def test_a_gradient_inside_the_function_is_checked_through():
    def f(x):
        x = x * 1.0
        return tg.grad((x**4).sum(), x, create_graph=True)

    assert gradcheck(f, np.array([0.5, 1.5]))


# --- what it says ---


def test_the_message_names_function_argument_entry_values_and_mistake():
    def loss(prediction, target):
        return ((prediction - target) ** 2).mean()

    x, y = np.arange(8.0).reshape(4, 2), np.ones((4, 2))
    with pytest.raises(GradientError) as caught:
        gradcheck(loss, x, y, vjp=lambda g, x, y: (g * 2 * (x - y) / 4, -g * 2 * (x - y) / 8))
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "loss: the gradient with respect to `prediction` is wrong at [0, 0] (7 of 8 elements)"
    )
    computed, measured = float(lines[1].split()[1]), float(lines[2].split()[1])
    assert computed == pytest.approx(2 * measured)
    assert "±" in lines[2]
    assert "constant factor" in lines[3]
    assert re.search(
        "2 times .* by a factor of 2, .* axis 1 of `prediction`. Sum instead of mean?", lines[4]
    )


def test_a_wrong_shape_says_what_to_sum():
    with pytest.raises(GradientError) as caught:
        gradcheck(np.add, np.ones((3, 4)), np.ones(4), vjp=lambda g, x, b: (g, g))
    assert str(caught.value).endswith(
        "It has shape (3, 4), its input (4,): sum it over axis 0, and it is right"
    )


def test_a_right_gradient_gives_a_report_that_is_true_and_readable():
    report = gradcheck(tg.exp, np.ones(3))
    assert report
    assert str(report) == "exp: right to order 2, 9 derivatives compared"


def test_inputs_drawn_with_a_common_seed_do_not_equal_the_cotangent():
    # were g = x, xᵀ g and gᵀ x would be one
    for seed in range(100):
        x = np.random.default_rng(seed).normal(size=(3, 3))
        with pytest.raises(GradientError):
            gradcheck(lambda w, x=x: x @ w, np.eye(3), vjp=lambda g, w, x=x: g.T @ x)


def test_an_all_ones_cotangent_would_have_passed_what_is_rejected_here(rng):
    # the sum of a softmax is constant, so zero is its right gradient
    x = rng.normal(size=5)
    assert gradcheck(lambda x: tg.softmax(x).sum(), x)
    with pytest.raises(GradientError):
        gradcheck(lambda x: record(tg.softmax(x).data, (x, lambda g, z: g * 0)), x)


def unchanged(g, *_):
    return g


@pytest.mark.parametrize(
    ("call", "error", "pattern"),
    [
        (lambda: gradcheck(tg.exp, 1.0, order=0), ValueError, "≥ 1, got 0 and 512"),
        (lambda: gradcheck(np.sin, np.array([1, 2]), vjp=unchanged), ValueError, "no input of sin"),
        (lambda: gradcheck(tg.exp, np.array([1, 2])), ValueError, "no input of exp .*`params`"),
        (lambda: gradcheck(lambda x: 1.0, np.ones(2)), TypeError, "<lambda> gave float.*`vjp`"),
        (lambda: gradcheck(np.add, 1.0, 1.0, vjp=unchanged), TypeError, "1 arrays for 2 inputs"),
        (
            lambda: gradcheck(np.sin, 1.0, vjp=unchanged, params=[]),
            TypeError,
            "`params` are Tensors, but with `vjp`",
        ),
    ],
)
def test_wrong_use_is_named(call, error, pattern):
    with pytest.raises(error, match="^gradcheck: .*" + pattern):
        call()


def test_importing_tinygen_does_not_need_hypothesis():
    code = "import sys; sys.modules['hypothesis'] = None; import tinygen; tinygen.gradcheck"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_function_that_raises_outside_its_domain_is_checked_inside_it():
    def f(x):
        if x.max() > 1:
            raise ValueError("outside")
        return np.arcsin(x)

    assert gradcheck(f, np.array([0.2, 0.9999]), vjp=lambda g, x: g / np.sqrt(1 - x * x))


@pytest.mark.parametrize("x", [[-1.0, 1.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_where_f_has_no_value_that_is_said(x):
    with np.errstate(all="ignore"), pytest.raises(GradientError) as caught:
        gradcheck(np.log, np.array(x), vjp=lambda g, x: g / x)
    assert caught.value.diagnosis == "undefined"


def test_lists_and_a_single_parameter_are_taken_as_they_come():
    w = Tensor([2.0], requires_grad=True)
    assert gradcheck(np.sin, [0.1, 0.2], vjp=lambda g, x: g * np.cos(x))
    assert gradcheck(lambda x: x * w, [0.1, 0.2], params=w)
