"""The tokenizer: encoding and decoding, and its errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.data import UnknownWord, Words

KNOWN = ["a", "blue", "moon", "red", "star"]
WORDS = Words(["a red star", "a blue moon"], length=6)


@given(st.lists(st.lists(st.sampled_from(KNOWN), max_size=6), max_size=4))
def test_decode_undoes_encode(rows):
    captions = [" ".join(row) for row in rows]
    tokens = WORDS.encode(captions)
    assert tokens.shape == (len(rows), 6)
    assert WORDS.decode(tokens) == captions
    for row, words in zip(tokens, rows, strict=True):
        assert (row[len(words) :] == 0).all()
        assert (row[: len(words)] > 0).all()


def test_a_token_is_the_place_of_its_word_in_alphabetical_order():
    assert len(WORDS) == 6
    assert WORDS.encode(KNOWN)[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert WORDS.encode(["A red,  STAR"]).tolist() == [[1, 4, 5, 0, 0, 0]]
    assert Words(reversed(KNOWN), 6).known == WORDS.known
    assert Words(["A red,  STAR", "a Blue MOON"], 6).known == WORDS.known


def test_an_unknown_word_names_the_known_ones():
    with pytest.raises(
        UnknownWord,
        match=r"^'a green moon': unknown word 'green'; known are a, blue, moon, red, star$",
    ):
        WORDS.encode(["a star", "a green moon"])


def test_a_caption_may_not_be_longer_than_the_row():
    with pytest.raises(UnknownWord, match=r"^'a a a a a a a': expected at most 6 words, got 7$"):
        WORDS.encode(["a " * 7])


def test_captions_are_a_list():
    with pytest.raises(TypeError, match="expected a list of captions, got the string 'a red star'"):
        WORDS.encode("a red star")


def test_the_empty_caption_is_padding():
    np.testing.assert_array_equal(WORDS.encode(["", " "]), np.zeros((2, 6)))
