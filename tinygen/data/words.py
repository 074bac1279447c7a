"""A tokenizer: captions as rows of integers, one per word.

    words = Words(["a red star above a blue ring"], length=8)
    tokens = words.encode(["a red ring"])  # [[1 4 5 0 0 0 0 0]]

Token 0 is padding, so that all rows have the same length, and a row of zeros is the empty caption.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tinygen._types import Array

__all__ = ["UnknownWord", "Words"]


class UnknownWord(ValueError):
    """A caption has a word that is not in the vocabulary, or too many words."""


class Words:
    """The words of some captions in alphabetical order, for captions of at most `length` words"""

    def __init__(self, captions: Iterable[str], length: int) -> None:
        self.known = ["", *sorted({word for caption in captions for word in _split(caption)})]
        self.length = length
        self._number = {word: i for i, word in enumerate(self.known)}

    def __len__(self) -> int:
        return len(self.known)

    def encode(self, captions: Sequence[str]) -> Array:
        """Captions as int64 tokens (N, length), with padding at the end"""
        if isinstance(captions, str):
            raise TypeError(f"encode: expected a list of captions, got the string {captions!r}")
        tokens = np.zeros((len(captions), self.length), np.int64)
        for row, caption in zip(tokens, captions, strict=True):
            words = _split(caption)
            if unknown := [word for word in words if word not in self._number]:
                known = ", ".join(self.known[1:])
                raise UnknownWord(f"{caption!r}: unknown word {unknown[0]!r}; known are {known}")
            if len(words) > self.length:
                most = f"expected at most {self.length} words, got {len(words)}"
                raise UnknownWord(f"{caption.strip()!r}: {most}")
            row[: len(words)] = [self._number[word] for word in words]
        return tokens

    def decode(self, tokens: Array) -> list[str]:
        """The captions of tokens (N, length)"""
        return [" ".join(self.known[i] for i in row if i) for row in tokens]


def _split(caption: str) -> list[str]:
    return caption.lower().replace(",", " ").split()
