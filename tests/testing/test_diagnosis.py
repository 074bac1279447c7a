"""What a grader needs of an error: names, words, every argument, pickles; and values compared."""

import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from mutants import ZOO

from tinygen import GradientError, gradcheck
from tinygen.testing import Mismatch, compare


def layer(x, w, b, scale=1.0):
    return scale * (x @ w + b)


def layer_vjp(g, x, w, b, scale=1.0):
    return scale * g @ w.T, scale * x.T @ g, scale * g.sum(0)


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(6, 5)), rng.normal(size=(5, 3)), rng.normal(size=3)


def test_every_continues_and_has_a_finding_for_each_wrong_argument(inputs):
    def vjp(g, x, w, b):
        return -(g @ w.T), x.T @ g, g.mean(0)

    with pytest.raises(GradientError):
        gradcheck(layer, *inputs, vjp=vjp)
    report = gradcheck(layer, *inputs, vjp=vjp, every=True)
    assert not report
    assert [(f.argument, f.diagnosis) for f in report.findings] == [("x", "sign"), ("b", "factor")]
    assert "`x`" in repr(report) and "`b`" in repr(report)
    assert gradcheck(layer, *inputs, vjp=layer_vjp, every=True)


@pytest.mark.parametrize("mutant", [m for m in ZOO if m.diagnosis], ids=lambda m: m.name)
def test_every_reports_what_would_be_raised(mutant, rng):
    inputs = mutant.inputs(rng)
    report = gradcheck(mutant.f, *inputs, vjp=mutant.vjp, every=True)
    assert mutant.diagnosis in [f.diagnosis for f in report.findings]


def test_options_reach_function_and_backward_and_a_name_replaces_the_functions(inputs):
    for scale in (1.0, 3.0):
        assert gradcheck(layer, *inputs, vjp=layer_vjp, options={"scale": scale})
    with pytest.raises(GradientError) as caught:
        gradcheck(
            lambda x, factor: factor * x,
            np.ones(2),
            vjp=lambda g, x, factor: g,
            options={"factor": 2.0},
            name="question 3",
        )
    assert str(caught.value).startswith("question 3: the gradient with respect to `x`")


def fail(seed):
    x = np.random.default_rng(seed).normal(size=3)
    gradcheck(np.sin, x, vjp=lambda g, x: -g * np.cos(x))


def test_an_error_comes_whole_out_of_a_pickle_and_a_process_pool():
    with pytest.raises(GradientError) as here:
        fail(0)
    back = pickle.loads(pickle.dumps(here.value))
    assert (type(back), back.finding, str(back)) == (
        GradientError,
        here.value.finding,
        str(here.value),
    )
    with ProcessPoolExecutor(1) as pool, pytest.raises(GradientError) as there:
        pool.submit(fail, 0).result(timeout=60)
    assert there.value.finding == here.value.finding and there.value.diagnosis == "sign"


# --- what the marks say ---


def words(name):
    mutant = next(m for m in ZOO if m.name == name)
    report = gradcheck(
        mutant.f, *mutant.inputs(np.random.default_rng(1)), vjp=mutant.vjp, every=True
    )
    return report.findings[0].detail


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("batch norm, variance held constant", "the variance of `x` over axis 0"),
        ("batch norm, mean held constant", "the mean and the variance of `x` over axis 0"),
        ("layer norm, mean and variance held constant", "the mean and the variance .* axis 1"),
        ("convolution of images, filter not flipped", "`w` reversed along axes 0, 1"),
        ("input gradient with a filter not flipped", "`w` reversed along axis 0"),
        ("convolution of images, stride ignored", "Along axes 0, 1"),
        ("variance, ddof mixed up", "divided by 6 in place of 7, .* axis 0"),
        ("mean, divided by n − 1", "divided by 6 in place of 7, .* axis 0"),
    ],
)
def test_a_mark_names_argument_and_axes(name, detail):
    import re

    assert re.search(detail, words(name)), words(name)


# --- values ---


def test_a_value_that_is_as_expected_says_nothing(rng):
    x = rng.normal(size=(3, 4))
    compare(x, x)
    compare(x * (1 + 1e-9), x)
    compare(np.array([np.inf, 1.0]), np.array([np.inf, 1.0]))
    compare(0.1, 0.2, atol=0.11)


@pytest.mark.parametrize(
    ("change", "diagnosis"),
    [
        (lambda x: -x, "sign"),
        (lambda x: 2 * x, "factor"),
        (lambda x: 0 * x, "zero"),
        (lambda x: x.T, "transpose"),
        (lambda x: x[::-1], "flip"),
        (lambda x: np.roll(x, 1, axis=1), "shift"),
        (lambda x: x + np.nan, "not finite"),
        (lambda x: x[0], "shape"),
        (lambda x: x + 1e-3 * (x == x.max()), None),
    ],
)
def test_a_wrong_value_is_diagnosed_as_a_gradient_is(change, diagnosis, rng):
    x = rng.normal(size=(4, 4))
    with pytest.raises(Mismatch) as caught:
        compare(change(x), x, name="loss")
    assert caught.value.diagnosis == diagnosis
    assert str(caught.value).startswith("loss: the value is wrong")


def test_a_factor_in_a_loss_is_named_by_the_length_it_comes_from(rng):
    x = rng.normal(size=(8, 5))
    with pytest.raises(Mismatch) as caught:
        compare((x**2).sum(), (x**2).mean(0).sum(), name="loss", x=x)
    assert "too large by a factor of 8, the length of axis 0 of `x`" in str(caught.value)
    assert caught.value.finding.computed == pytest.approx(8 * caught.value.finding.expected)
