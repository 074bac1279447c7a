"""Optimal transport: assignments of least cost, and pairs of noise and data."""

import itertools
import sys

import numpy as np
import pytest
from host_arrays import generator, host, normal
from hypothesis import given
from hypothesis import strategies as st
from known_flows import here

import tinygen as tg
from tinygen.flow import optimal_pairs
from tinygen.flow.optimal_transport import assignment


def total(cost, order):
    return sum(cost[i][j] for i, j in enumerate(order))


def both_ways(cost):
    """The assignments with SciPy, if it is installed, and without it"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "scipy.optimize", None)
        without = assignment(cost)
    return assignment(cost), without


@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans())
def test_an_assignment_is_the_best_of_all(n, seed, with_ties):
    rng = generator(seed)
    cost = rng.integers(-3, 3, (n, n)) if with_ties else rng.standard_normal((n, n))
    best = min(total(cost, order) for order in itertools.permutations(range(n)))
    for found in both_ways(cost):
        assert sorted(found) == list(range(n))
        assert total(cost, found) == pytest.approx(best, abs=1e-12)


@given(st.integers(7, 70), st.integers(0, 10**6), st.sampled_from(["points", "far", "ties"]))
def test_a_larger_assignment_is_what_scipy_finds(n, seed, kind):
    pytest.importorskip("scipy.optimize")
    rng = generator(seed)
    cost = {
        "points": lambda: -rng.standard_normal((n, 2)) @ rng.standard_normal((2, n)),
        "far": lambda: np.exp(2 * rng.standard_normal((n, n))),
        "ties": lambda: rng.integers(0, 3, (n, n)),
    }[kind]()
    scipys, ours = both_ways(cost)
    assert sorted(ours) == list(range(n))
    assert total(cost, ours) == pytest.approx(total(cost, scipys), abs=1e-9)
    if kind != "ties":
        np.testing.assert_array_equal(ours, scipys)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 512])
def test_on_a_line_the_best_pairs_are_in_the_same_order(n):
    x_0, x_1 = normal(n, 1), normal(n, 1, seed=1) + 3
    found = optimal_pairs(x_0, x_1)
    np.testing.assert_array_equal(found[np.argsort(x_1[:, 0])], np.sort(x_0, axis=0))


def test_pairing_permutes_only_the_noise():
    x_0, x_1 = normal(40, 2, 3, 1), here(normal(40, 2, 3, 1, seed=1))
    before = host(x_1).copy()
    found = optimal_pairs(x_0, x_1)
    assert sorted(found.reshape(40, -1).tolist()) == sorted(x_0.reshape(40, -1).tolist())
    np.testing.assert_array_equal(host(x_1), before)
    assert ((before - found) ** 2).sum() < 0.8 * ((before - x_0) ** 2).sum()


def test_nearby_rows_are_paired():
    x_1, order = normal(50, 3), generator().permutation(50)
    x_0 = x_1[order] + 0.01 * normal(50, 3, seed=2)
    np.testing.assert_array_equal(optimal_pairs(x_0, x_1), x_0[np.argsort(order)])


def test_pairing_within_classes_keeps_noise_independent_of_the_class():
    """Of a left and a right class, pairing without classes gives each only half of the noise"""
    rng, n = generator(), 400
    labels = np.arange(n) % 2
    x_1 = np.stack([6.0 * labels - 3, 0 * labels], axis=1) + rng.standard_normal((n, 2))
    x_0 = rng.standard_normal((n, 2))
    together = optimal_pairs(x_0, x_1)
    within = optimal_pairs(x_0, x_1, tg.Tensor(tg.xp.asarray(labels)))
    assert together[labels == 1, 0].mean() > 0.7 > -0.7 > together[labels == 0, 0].mean()
    for k in (0, 1):
        assert sorted(within[labels == k, 0]) == sorted(x_0[labels == k, 0])
        alone = optimal_pairs(x_0[labels == k], x_1[labels == k])
        np.testing.assert_array_equal(within[labels == k], alone)


def test_an_empty_cost_has_an_empty_assignment():
    assert [found.shape for found in both_ways(np.zeros((0, 0)))] == [(0,), (0,)]
