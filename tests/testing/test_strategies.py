"""The strategies draw what they promise."""

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tinygen import strategies


@given(st.data(), st.lists(st.sampled_from([-1.5, -0.3, 0.0, 0.9]), max_size=3, unique=True))
def test_arrays_keep_away_from_kinks_and_within_bounds(data, kinks):
    x = data.draw(strategies.arrays(low=-2, high=1.5, away_from=kinks, gap=0.2))
    assert ((x >= -2) & (x <= 1.5)).all()
    for kink in kinks:
        assert (np.abs(x - kink) >= 0.2 - 1e-12).all()


@given(st.data(), st.sampled_from([np.float32, np.float64]))
def test_arrays_have_the_shape_and_dtype_asked_for(data, dtype):
    shape = data.draw(strategies.shapes(max_dims=3))
    x = data.draw(strategies.arrays(shape, dtype=dtype))
    assert (x.shape, x.dtype) == (shape, dtype)


def test_a_range_with_nothing_left_is_refused():
    with pytest.raises(ValueError, match="nothing between 0 and 1"):
        find(strategies.arrays(low=0, high=1, away_from=[0.5], gap=0.7), bool)


@given(strategies.distinct(strategies.shapes(max_dims=2, max_side=5)))
def test_distinct_entries_lie_apart(x):
    assert (np.diff(np.sort(x, axis=None)) >= 0.2 - 1e-9).all()


@given(strategies.shapes(1, 2, min_side=3, max_side=5))
def test_shapes_have_as_many_axes_as_asked_for_and_as_long_ones(shape):
    assert 1 <= len(shape) <= 2 and all(3 <= side <= 5 for side in shape)


@given(strategies.broadcastable(3))
def test_broadcastable_shapes_broadcast(shapes):
    np.broadcast_shapes(*shapes)


@given(st.data(), st.integers(0, 4))
def test_axes_are_accepted_by_numpy(data, ndim):
    np.zeros((2,) * ndim).sum(axis=data.draw(strategies.axes(ndim)))


@given(strategies.conv_geometries())
def test_conv_geometries_have_an_output(g):
    for n, k, (before, after) in zip(g.x[1:3], g.w[:2], g.padding, strict=True):
        assert n + before + after >= k  # the first patch lies in the padded image
    assert min(*g.x, *g.w, *g.stride) >= 1 and g.x[3] == g.w[2]


def test_unusual_geometries_are_drawn():
    seen = set()

    @settings(max_examples=300)  # of 25 one kind may be missing
    @given(strategies.conv_geometries())
    def look(g):
        (_, H, W, _), (K, L, *_), (top, bottom) = g.x, g.w, g.padding[0]
        seen.update(
            name
            for name, holds in {
                "stride > kernel": g.stride[0] > K,
                "kernel > image": K > H,
                "non-square": H != W or K != L,
                "uneven padding": top != bottom,
            }.items()
            if holds
        )

    look()
    assert len(seen) == 4


@given(strategies.arrays((3,), low=0, high=1, away_from=[-5, 5]))
def test_a_kink_outside_the_range_does_not_widen_it(x):
    assert ((x >= 0) & (x <= 1)).all()
