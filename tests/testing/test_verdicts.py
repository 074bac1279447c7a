"""Verdicts where double precision is short of digits: never "right" for what is wrong."""

import os

import numpy as np
import pytest

import tinygen as tg
from tinygen import GradientError, Tensor, gradcheck, record

COUNT = max(40, int(2000 * float(os.environ.get("TINYGEN_THOROUGH") or 0)))
UNARY = [
    tg.sin,
    tg.tanh,
    tg.sigmoid,
    tg.softplus,
    tg.silu,
    lambda y: y * y,
    lambda y: tg.sqrt(1 + y * y),
    lambda y: tg.log1p(y * y),
    lambda y: tg.exp(tg.tanh(y)),
    lambda y: 1 / (2 + tg.sin(y)),
]


def step_of(kind, columns, rng):
    if kind == "unary":
        return UNARY[rng.integers(len(UNARY))]
    a, c = tg.xp.asarray(rng.normal(size=(columns, columns))), 10.0 ** rng.uniform(-2, 2) * rng.choice([-1, 1])
    return {
        "product": lambda y: y @ a,
        "factor": lambda y: y * c,
        "addend": lambda y: y + 10 * c,
        "centred": lambda y: y - 0.7 * tg.mean(y, axis=1, keepdims=True),
    }[kind]


def composition(rng):
    """A function of five to ten operations, with inputs and outputs from 1e-8 to 1e8, and an input.

    Half of them have a constant added, up to 1e8 times as large. The function's second argument is
    applied to its input first.
    """
    rows, columns = rng.integers(1, 4, 2)
    reach, scale = 10.0 ** rng.uniform(-8, 8, 2)
    constant = scale * 10.0 ** rng.uniform(-8, 8) * rng.integers(2)
    last = rng.choice(["sum", "mean", "all"])
    kinds = ["unary"] * 4 + ["product", "factor", "addend", "centred"]
    steps = [step_of(rng.choice(kinds), columns, rng) for _ in range(rng.integers(5, 11))]

    def f(x, start=lambda x: x):
        y = start(x) / reach
        for step in steps:
            y = step(y)
        y = tg.sum(y, axis=0) if last == "sum" else tg.mean(y) if last == "mean" else y
        return y * scale + constant

    return f, rng.normal(size=(rows, columns)) * reach


def one_off(mask, order):
    """x ↦ x, whose gradient of that order is off by the mask's factors"""

    mask = tg.xp.asarray(mask)

    def twice(g):
        return record(g.data, (g, lambda h, _: h * mask))

    if order == 1:
        return lambda x: record(x.data, (x, lambda g, _: g * mask))
    return lambda x: record(x.data, (x, lambda g, _: twice(g)))


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_compositions_pass_and_one_element_off_by_1e_4_never_does(seed):
    rng = np.random.default_rng(seed)
    f, x = composition(rng)
    assert gradcheck(f, x, rng=rng)

    k, order = int(rng.integers(x.size)), int(rng.integers(1, 3))
    wrong = one_off(1 + 1e-4 * (np.arange(x.size) == k).reshape(x.shape), order)
    t = Tensor(x, requires_grad=True)
    if tg.grad(tg.sum(f(t)), t).numpy().reshape(-1)[k] == 0:
        return  # a ten-thousandth of nothing
    try:
        report = gradcheck(lambda x: f(x, wrong), x, rng=rng)
    except GradientError as error:
        assert error.finding.order == order
    else:  # reported as not measurable: of the second order it is the cotangent's, in all places
        place = f"x{list(map(int, np.unravel_index(k, x.shape)))} (order 1)"
        found = [p for p in report.unmeasured if "order 2" in p or order == 1]
        assert [p for p in found if p.startswith(place) or order == 2]


def weak(factor, size):
    """1 + s x, whose gradient is off by a factor: the sign, or a ten-thousandth"""
    return lambda x: record(1 + size * x.data, (x, lambda g, _: factor * size * g))


@pytest.mark.parametrize(
    ("factor", "size"),
    [(-1, 1e-8), (-1, 1e-11), (2, 3e-8), (0, 1e-7), (0, 1e-10), (1.01, 3e-6), (1.0001, 1e-4)],
)
def test_a_weak_dependence_with_a_wrong_gradient_is_refused(factor, size):
    x = np.array([1.0])
    with pytest.raises(GradientError):
        gradcheck(weak(factor, size), x, order=1)
    assert not gradcheck(weak(1, size), x, order=1).kinks


@pytest.mark.parametrize(
    ("factor", "size"), [(1.0001, 1e-9), (1.01, 1e-11), (-1, 1e-14), (0, 1e-14)]
)
def test_what_rounding_hides_is_reported_by_element_and_in_words(factor, size):
    report = gradcheck(lambda x: weak(factor, size)(x).sum(), np.array([1.0, 2.0]), order=1)
    assert report and [p.partition(" =")[0] for p in report.unmeasured] == [
        "x[0] (order 1)",
        "x[1] (order 1)",
    ]
    assert "2 too small to measure to four digits" in str(report) and "±" in str(report)


def test_a_right_gradient_that_is_large_enough_is_not_called_unmeasured():
    for size in (1.0, 1e-3, 1e-6, 1e-7):
        assert not gradcheck(weak(1, size), np.array([1.0]), order=1).unmeasured
    assert not gradcheck(tg.relu, np.array([-1.0, 2.0, 1e-5])).unmeasured


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: tg.relu(x) ** 2, [0.0, 1.0, -1.0]),
        (lambda x: x * abs(x), [0.0, -1.0, 2.0]),
        (lambda x: tg.relu(1 - x) ** 2, [1.0, -0.2, 3.0]),
        (lambda x: tg.where(x.data > 0, x**3, x**4), [0.0, 0.5, -0.5]),
    ],
    ids=["relu²", "x|x|", "squared hinge", "x³ and x⁴"],
)
def test_a_smooth_join_is_no_kink_of_the_function(f, x):
    report = gradcheck(f, np.array(x))
    assert not [place for place in report.kinks if "order 1" in place]
    off = one_off(np.array([1.0, 1.0001, 1.0]), 1)
    with pytest.raises(GradientError):
        gradcheck(lambda x: f(off(x)), np.array(x), order=1)


def test_a_kink_too_close_to_tell_is_called_a_kink():
    near = np.array([1.0, 1 - 1e-10, 0.3])
    for f in (tg.max, lambda x: tg.clip(x, -1, 1)):
        report = gradcheck(f, near, order=1)
        assert "x[1] (order 1)" in report.kinks or "argument 0[1] (order 1)" in report.kinks
        with pytest.raises(GradientError):
            gradcheck(lambda x, f=f: f(one_off(np.full(3, -1.0), 1)(x)), near, order=1)


def test_a_large_output_beside_a_small_one_hides_neither():
    def f(x):
        return tg.concat([1e10 * x, x / 1e6])

    x = np.array([0.3, 0.5])
    assert not gradcheck(f, x, order=1).unmeasured
    for part in (slice(0, 1), slice(1, 2)):
        off = np.ones(2)
        off[part] = 1.0001
        with pytest.raises(GradientError):
            gradcheck(lambda x, off=off: f(one_off(off, 1)(x)), x, order=1)


@pytest.mark.parametrize("factor", [1.0, 1.0001, 0.0])
def test_values_rounded_to_float32_are_refused_whatever_the_gradient(factor):
    def rounded(x):
        return np.sin(x).astype(np.float32).astype(np.float64)

    with pytest.raises(GradientError) as caught:
        gradcheck(rounded, np.array([0.3, 1.1]), vjp=lambda g, x: factor * g * np.cos(x))
    assert caught.value.diagnosis == ("zero" if factor == 0 else "coarse")
