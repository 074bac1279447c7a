"""A transformer that encodes a caption: each word's vector depends on all words.

"a red star above a blue ring" and "a blue star above a red ring" have the same words. Positions and
self-attention tell which colour belongs to which shape (Vaswani et al. 2017, section 3).
"""

from tinygen._types import ArrayLike, Rng
from tinygen.autograd import Tensor, silu, xp
from tinygen.nn import Dense, Embedding, LayerNorm, Module, SelfAttention, Sequential

__all__ = ["TextEncoder"]


class TextBlock(Module):
    """x + attention(norm(x)), then x + f(norm(x)), where f has one hidden layer, 4 times as wide"""

    def __init__(self, features: int, heads: int, *, rng: Rng) -> None:
        self.norm1, self.norm2 = LayerNorm(features), LayerNorm(features)
        self.attention = SelfAttention(features, heads, rng=rng)
        wide = Dense(features, 4 * features, rng=rng)
        self.mlp = Sequential(wide, silu, Dense(4 * features, features, rng=rng))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TextEncoder(Module):
    """(N, S) tokens, ints below `vocabulary` → (N, S, features), a vector for each token

    A caption has at most `length` tokens. As in Stable Diffusion, padding is encoded like a word.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        features: int = 64,
        depth: int = 2,
        heads: int = 4,
        *,
        rng: Rng,
    ) -> None:
        self.length, self.features = int(length), int(features)
        self.word = Embedding(vocabulary, features, rng=rng)
        self.position = Embedding(length, features, rng=rng)
        self.blocks = [TextBlock(features, heads, rng=rng) for _ in range(depth)]
        self.norm = LayerNorm(features)

    def forward(self, tokens: ArrayLike) -> Tensor:
        shape = getattr(tokens, "shape", None)
        if shape is None or len(shape) != 2 or shape[1] > self.length:
            raise ValueError(f"TextEncoder: expected (N, S ≤ {self.length}) tokens, got {shape}")
        x = self.word(tokens) + self.position(xp.arange(shape[1]))  # (N, S, features)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
