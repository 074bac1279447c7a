"""Clipping: the norm, the direction, and gradients that are not finite."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaves import assert_same, constants, leaf, values

import tinygen as tg
from tinygen import optim

ELEMENTS = st.floats(-1e6, 1e6, width=32)
GRADIENTS = st.lists(st.lists(ELEMENTS, max_size=6), max_size=4)
LIMITS = st.floats(1e-3, 1e6)


@given(GRADIENTS, LIMITS, st.sampled_from([np.float32, np.float64]))
def test_clipping_by_norm_bounds_the_norm_and_keeps_the_direction(lists, limit, dtype):
    arrays = [np.array(each, dtype) for each in lists]
    grads = constants(*arrays)
    clipped, norm = optim.clip_by_global_norm(grads, limit)
    assert norm == pytest.approx(math.sqrt(math.fsum(x * x for a in arrays for x in a.tolist())))
    factor = min(1, limit / norm) if norm else 1
    for before, given_, after in zip(arrays, grads, clipped, strict=True):
        np.testing.assert_array_equal(given_.numpy(), before)
        assert after.dtype == dtype
        # a smaller float32 may become subnormal
        np.testing.assert_allclose(after.numpy(), before * factor, rtol=1e-6, atol=1e-38)
    if norm <= limit:
        assert_same(values(clipped), arrays)


def test_gradients_no_longer_than_the_norm_are_left_and_longer_ones_shortened_to_it():
    grads = constants([3.0, 0.0], [[4.0]])  # of norm 5
    for limit, expected in {9.0: [3, 0, 4], 5.0: [3, 0, 4], 2.5: [1.5, 0, 2]}.items():
        clipped, norm = optim.clip_by_global_norm(grads, limit)
        assert norm == 5
        assert [*clipped[0].numpy(), *clipped[1].numpy()[0]] == expected


def test_the_norm_of_large_float32_gradients_does_not_overflow():
    g = np.full((300, 300), 1e30, np.float32)
    (clipped,), norm = optim.clip_by_global_norm(constants(g), 3.0)
    assert norm == pytest.approx(300e30)
    np.testing.assert_allclose(clipped.numpy(), 0.01, rtol=1e-6)


def test_the_norm_of_many_small_float32_gradients_is_exact():
    g = np.full(1_000_003, 0.1, np.float32)  # summed one by one in float32, wrong at 1e-3
    _, norm = optim.clip_by_global_norm(constants(g), 1.0)
    assert norm == pytest.approx(float(g[0]) * math.sqrt(g.size), rel=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_clipping_does_not_hide_nan_or_inf(value):
    arrays = [np.array([1.0, value, 7.0]), np.array([5.0])]
    clipped, norm = optim.clip_by_global_norm(constants(*arrays), 1.0)
    assert not math.isfinite(norm)
    assert_same(values(clipped), arrays)


def test_clipped_gradients_of_a_loss_can_be_stepped_with():
    p = leaf([3.0, 4.0])
    grads, norm = optim.clip_by_global_norm(tg.grad((p * p).sum() / 2, [p]), 1.0)
    optim.SGD([p], lr=5.0).step(grads)
    assert norm == 5.0
    np.testing.assert_allclose(p.numpy(), [0, 0], atol=1e-15)
