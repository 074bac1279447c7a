"""The energy distance, against loops, closed forms and known properties."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.metrics import distances, energy_distance, mean_distance


def mean(pairs):
    distances = [math.dist(a, b) for a, b in pairs]
    return math.fsum(distances) / len(distances)


def by_loops(x, y):
    """The definition, pair by pair"""
    return (2 * mean(itertools.product(x, y)) - mean(itertools.permutations(x, 2))
            - mean(itertools.permutations(y, 2)))  # fmt: skip


@given(n=st.integers(2, 9), m=st.integers(2, 9), d=st.integers(1, 4), seed=st.integers(0, 99))
def test_it_is_the_definition_pair_by_pair(n, m, d, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), 1 + 2 * rng.normal(size=(m, d))
    assert energy_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-12, abs=1e-12)


def test_rows_taken_in_parts_give_the_same(rng, monkeypatch):
    x, y = rng.normal(size=(23, 2)), rng.normal(size=(11, 2))
    monkeypatch.setattr(distances, "ROWS", 5)
    assert energy_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-12)


def test_the_mean_distance_is_over_all_pairs(rng, monkeypatch):
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(4, 3))
    monkeypatch.setattr(distances, "ROWS", 3)
    assert mean_distance(x, y) == pytest.approx(mean(itertools.product(x, y)), rel=1e-12)


def test_for_equal_distributions_its_mean_is_0_and_it_falls_on_both_sides(rng):
    found = [energy_distance(*rng.normal(size=(2, 40, 2))) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    assert min(found) < 0 < max(found)


def test_for_gaussians_that_are_shifted_it_is_the_closed_form(rng):
    # E|Z + μ|, Z ~ N(0, 2), is 2/√π e^(−μ²/4) + μ erf(μ/2)
    mu, n = 0.8, 4000
    between = 2 / math.sqrt(math.pi) * math.exp(-(mu**2) / 4) + mu * math.erf(mu / 2)
    expected = 2 * between - 2 * 2 / math.sqrt(math.pi)
    found = energy_distance(rng.normal(size=(n, 1)), mu + rng.normal(size=(n, 1)))
    assert found == pytest.approx(expected, rel=0.1)


def test_it_sees_that_only_the_spread_differs(rng):
    x, y, wide = rng.normal(size=(3, 1000, 2)) * np.array([1, 1, 1.3])[:, None, None]
    assert energy_distance(x, wide) > 10 * abs(energy_distance(x, y))


@given(seed=st.integers(0, 99), factor=st.floats(0.01, 100))
def test_it_scales_as_the_points_do_and_knows_no_place_no_order_and_no_direction(seed, factor):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(7, 2)) + 1
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    moved = [factor * rng.permutation(each) @ turned + 3 for each in (x, y)]
    assert energy_distance(*moved) == pytest.approx(factor * energy_distance(x, y), rel=1e-9)
    assert energy_distance(y, x) == pytest.approx(energy_distance(x, y), rel=1e-12)


def test_points_that_are_far_from_0_keep_their_digits(rng):
    x, y = rng.normal(size=(2, 30, 2))
    assert energy_distance(x + 1e6, y + 1e6) == pytest.approx(energy_distance(x, y), abs=1e-8)


def test_float32_and_tensors_will_do(rng):
    x, y = rng.normal(size=(2, 30, 2)).astype(np.float32)
    found = energy_distance(tg.Tensor(tg.xp.asarray(x)), y)
    assert found == pytest.approx(by_loops(x.astype(float), y.astype(float)), rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((1, 2)), np.zeros((3, 2)),
         "energy_distance: expected `x` of shape (n, d) with n ≥ 2, got float64 of shape (1, 2)"),
        (np.zeros((3, 2)), np.zeros(3),
         "energy_distance: expected `y` of shape (n, d) with n ≥ 2, got float64 of shape (3,)"),
        (np.zeros((3, 2)), np.zeros((3, 4)),
         "energy_distance: expected rows of one length, got `x` (3, 2) and `y` (3, 4)"),
        (np.zeros((3, 2)), np.array([[0, 1], [math.nan, 0]]),
         "energy_distance: expected finite `y`, got 1 nan or inf in 4"),
    ],
)  # fmt: skip
def test_what_can_not_be_compared_is_refused(x, y, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        energy_distance(x, y)
