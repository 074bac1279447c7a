"""Attention against a loop over positions, and heads side by side."""

import math

import numpy as np
import pytest

import tinygen as tg
from tinygen import Tensor, gradcheck, nn


def array(x, dtype="float64"):
    """A plain array of the backend."""
    return tg.xp.asarray(np.asarray(x), dtype)


def naive_attention(q, k, v):
    """One position at a time, with weights from Python's exp."""
    z = np.zeros((len(q), v.shape[1]))
    for i, query in enumerate(q):
        scores = [float(query @ key) / math.sqrt(len(query)) for key in k]
        weights = [math.exp(s) for s in scores]
        for weight, value in zip(weights, v, strict=True):
            z[i] += weight / sum(weights) * value
    return z


def test_attention_is_a_mean_of_values_weighted_by_resemblance(rng):
    q, k, v = (rng.standard_normal((2, 3, n, d)) for n, d in ((4, 3), (5, 3), (5, 2)))
    z = nn.attend(Tensor(q), Tensor(k), Tensor(v)).numpy()
    for i in np.ndindex(2, 3):
        np.testing.assert_allclose(z[i], naive_attention(q[i], k[i], v[i]), rtol=1e-12)
    assert gradcheck(nn.attend, q[0, :1], k[0, :1], v[0, :1])


def test_attention_takes_arrays_and_broadcasts_its_batches(rng):
    q, k, v = (Tensor(rng.standard_normal(s).astype("f4")) for s in ((2, 1, 4, 3), (5, 3), (5, 2)))
    z = nn.attend(q, array(k.numpy()), v)
    assert (z.shape, z.dtype) == ((2, 1, 4, 2), np.float32)
    np.testing.assert_allclose(
        z.numpy()[1, 0],
        naive_attention(*(each.numpy().astype(float) for each in (q[1, 0], k, v))),
        rtol=1e-5,
    )


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_self_attention_is_attention_of_each_head_side_by_side(heads, rng):
    layer = nn.SelfAttention(6, heads, rng=rng).astype(float)
    for parameter in layer.parameters():
        parameter.data = array(rng.standard_normal(parameter.shape))
    x = rng.standard_normal((2, 2, 2, 6))
    tokens, d = x.reshape(2, 4, 6), 6 // heads

    def dense(f, x):
        return x @ f.weight.numpy() + f.bias.numpy()

    q, k, v = (dense(f, tokens) for f in (layer.query, layer.key, layer.value))
    gathered = np.concatenate(
        [
            np.stack(
                [
                    naive_attention(q[n, :, i : i + d], k[n, :, i : i + d], v[n, :, i : i + d])
                    for n in range(2)
                ]
            )
            for i in range(0, 6, d)
        ],
        axis=2,
    )
    expected = dense(layer.mix, gathered).reshape(x.shape)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-10)


def test_cross_attention_takes_keys_and_values_from_the_words(rng):
    layer = nn.CrossAttention(6, 5, 2, rng=rng).astype(float)
    for parameter in layer.parameters():
        parameter.data = array(rng.standard_normal(parameter.shape))
    x, words = rng.standard_normal((1, 2, 2, 6)), rng.standard_normal((1, 3, 5))

    def dense(f, x):
        return x @ f.weight.numpy() + f.bias.numpy()

    q = dense(layer.query, x[0].reshape(4, 6))
    k, v = dense(layer.key, words[0]), dense(layer.value, words[0])
    heads = [naive_attention(q[:, i : i + 3], k[:, i : i + 3], v[:, i : i + 3]) for i in (0, 3)]
    expected = dense(layer.mix, np.concatenate(heads, axis=1)).reshape(x.shape)
    np.testing.assert_allclose(layer(Tensor(x), Tensor(words)).numpy(), expected, rtol=1e-10)
    weights = layer.weights(Tensor(x), Tensor(words)).numpy()
    assert weights.shape == (1, 2, 4, 3)
    np.testing.assert_allclose(weights.sum(axis=3), 1)
    assert (
        nn.cost(layer, Tensor(x), Tensor(words))[1] == (4 + 4) * 36 + (3 + 3) * 30 + 2 * 4 * 3 * 6
    )


def test_scores_of_a_thousand_do_not_overflow():
    q = Tensor(np.full((2, 1), 1000.0, "f4"), requires_grad=True)
    v = Tensor(np.array([[1.0], [3.0]], "f4"))
    z = nn.attend(q, q, v)
    np.testing.assert_allclose(z.numpy(), [[2], [2]])
    assert np.isfinite(tg.grad(z.sum(), q).numpy()).all()
