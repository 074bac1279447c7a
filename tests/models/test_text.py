"""The text encoder: what a word's vector depends on, its gradient, and its errors."""

import numpy as np
import pytest
from small_networks import assert_close, count, dense, shaken

import tinygen as tg
from tinygen.autograd import xp
from tinygen.models import TextEncoder


def encoder(rng, **options):
    return TextEncoder(**({"vocabulary": 9, "length": 5, "features": 8} | options), rng=rng)


def test_its_parameters_are_those_of_its_layers(rng):
    norm, attention, mlp = 2 * 8, 4 * dense(8, 8), dense(8, 32) + dense(32, 8)
    assert count(encoder(rng)) == 9 * 8 + 5 * 8 + 2 * (2 * norm + attention + mlp) + norm


def test_a_words_vector_depends_on_every_word_and_on_their_order(rng):
    text = shaken(encoder(rng), rng)
    tokens = np.array([[1, 2, 3, 4, 0]])
    before = text(xp.asarray(tokens)).numpy()
    for i in range(5):
        changed = tokens.copy()
        changed[0, i] = 7
        assert np.abs(text(xp.asarray(changed)).numpy() - before).max(axis=2).min() > 1e-4
    swapped = text(xp.asarray(tokens[:, [2, 1, 0, 3, 4]])).numpy()
    assert np.abs(swapped - before).max(axis=2).min() > 1e-4


def test_captions_of_a_batch_are_independent_and_may_be_shorter(rng):
    text, tokens = shaken(encoder(rng), rng), rng.integers(0, 9, (3, 4))
    together = text(xp.asarray(tokens))
    assert together.shape == (3, 4, 8)
    assert_close(text(xp.asarray(tokens[1:2])), together.numpy()[1:2])


def test_its_gradient_is_right(rng):
    text = shaken(encoder(rng, vocabulary=3, features=4, depth=1, heads=2), rng).astype(float)

    def f(word):
        text.word.weight = word
        return text(xp.asarray([[0, 2, 1]]))

    assert tg.gradcheck(f, text.word.weight.numpy(), order=1)


@pytest.mark.parametrize("shape", [(5,), (2, 6), (2, 3, 4)])
def test_tokens_are_rows_of_at_most_length(shape, rng):
    with pytest.raises(ValueError, match=r"TextEncoder: expected \(N, S ≤ 5\) tokens, got \("):
        encoder(rng)(xp.zeros(shape, int))
