"""autograd/normalisation.py: the CPU's version equals the plain one, in blocks of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import Tensor
from tinygen.autograd import backend, normalise, parallel

pytestmark = pytest.mark.skipif(not backend.on_cpu, reason="these take NumPy's arrays")


@st.composite
def norms(draw):
    """x (A, B, G, D), γ, β and a cotangent, for all norms, and for empty batches."""
    A, B = draw(st.integers(0, 4)), draw(st.integers(1, 30))
    G, D = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    dtype = draw(st.sampled_from(["f4", "f8"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, g = rng.normal(size=(2, A, B, G, D)).astype(dtype)
    gamma, beta = rng.normal(size=(2, G, D)).astype(dtype)
    return 3 * x + 1, gamma, beta, g


@given(norms(), st.sampled_from([1, 300, 3 << 20]), st.integers(1, 3), st.sampled_from([0.5, 1e-5]))
def test_values_moments_and_gradients_equal_the_plain_ones(case, block_bytes, threads, eps):
    *arrays, g = case
    tolerance = 2e-3 if g.dtype == "f4" else 1e-9
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "BLOCK_BYTES", block_bytes)
        patch.setattr(parallel, "FUSE_FROM", 0)
        patch.setattr(backend, "threads", threads)
        for plain in (False, True):
            patch.setattr(backend, "plain", plain)
            inputs = [Tensor(each, requires_grad=True) for each in arrays]
            y, mu, variance = normalise(*inputs, eps)
            gradients = tg.grad(y, inputs, cotangent=Tensor(g))
            results.append([mu, variance, *(each.numpy() for each in (y, *gradients))])
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_a_gradient_that_is_recorded_equals_one_that_is_not(rng):
    x, gamma, beta = (
        Tensor(rng.normal(size=s), requires_grad=True) for s in [(3, 7, 2, 4), (2, 4), (2, 4)]
    )
    y, g = normalise(x, gamma, beta)[0], Tensor(rng.normal(size=(3, 7, 2, 4)))
    recorded = tg.grad(y, [x, gamma, beta], cotangent=g, create_graph=True)
    for a, b in zip(recorded, tg.grad(y, [x, gamma, beta], cotangent=g), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_each_cotangent_gives_its_own_gradients_also_once_it_is_changed(rng):
    inputs = [
        Tensor(rng.normal(size=s), requires_grad=True) for s in [(3, 7, 2, 4), (2, 4), (2, 4)]
    ]
    y, g, h = normalise(*inputs)[0], *(Tensor(rng.normal(size=(3, 7, 2, 4))) for _ in range(2))
    of_g, of_h = ([x.numpy() for x in tg.grad(y, inputs, cotangent=c)] for c in (g, h))
    for a, b in zip(of_g, of_h, strict=True):
        assert not np.allclose(a, b)
    g[...] = h
    for a, b in zip(tg.grad(y, inputs, cotangent=g), of_h, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
