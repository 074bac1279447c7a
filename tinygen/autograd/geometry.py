"""The shapes of a convolution: strides, padding, output sizes, and checks of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from tinygen._types import Array, ArrayLike, Shape
from tinygen.autograd.backend import xp
from tinygen.autograd.tensor import Tensor, as_alike, as_tensor

Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[Pair, Pair]  # ((top, bottom), (left, right))
Size: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
Stride: TypeAlias = Size | None  # None: the operation's default
Bias: TypeAlias = ArrayLike | Sequence[Tensor | None] | None


def resolve(
    name: str, size: Shape, kernel: Shape, stride: Size, padding: Padding
) -> tuple[Pair, Pads, Pair]:
    """Stride and padding as pairs, and the output's size, or an error if no patch fits."""
    s = pair_of(name, "stride", stride)
    if padding == "same":
        total = [max(k - (n % t or t), 0) for n, k, t in zip(size, kernel, s, strict=True)]
        p = ((total[0] // 2, -(-total[0] // 2)), (total[1] // 2, -(-total[1] // 2)))
    else:
        p = pads_of(name, padding)
    output = output_size(size, kernel, s, p)
    if min(*kernel, *output) < 1:
        raise ValueError(f"{name}: filter {kernel} does not fit into image {size} with padding {p}")
    return s, p, output


def output_size(size: Shape, kernel: Shape, s: Pair, p: Pads) -> Pair:
    """⌊(n + p_before + p_after − k) / s⌋ + 1 along each axis."""
    a, b = ((n + sum(q) - k) // t + 1 for n, k, t, q in zip(size, kernel, s, p, strict=True))
    return a, b


def smallest(name: str, pixels: Shape, kernel: Shape, s: Pair, padding: Padding) -> Sequence[int]:
    """The smallest image size that gives an output of `pixels`, or s times `pixels` for "same"."""
    if padding == "same":
        return [n * t for n, t in zip(pixels, s, strict=True)]
    pads = pads_of(name, padding)
    return [(n - 1) * t + k - sum(q) for n, t, k, q in zip(pixels, s, kernel, pads, strict=True)]


def images_of(name: str, argument: str, x: ArrayLike) -> Tensor:
    """Images, or a convolution's weight, as a Tensor of four axes; only the first may be empty."""
    images = as_tensor(x)
    if images.ndim != 4 or 0 in images.shape[1:]:
        axes = "(K, L, C, O)" if argument == "w" else "(N, H, W, C)"
        raise ValueError(f"{name}: expected `{argument}` of shape {axes}, got {images.shape}")
    return images


def operands(name: str, bias: Bias, **images: ArrayLike) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The two operands and the list of biases, as Tensors of one dtype."""
    for argument, value in images.items():
        images_of(name, argument, value)
    several = [b for b in (bias if isinstance(bias, (list, tuple)) else [bias]) if b is not None]
    if not all(hasattr(b, "shape") for b in several):
        several = [bias]  # a list of numbers is one bias
    x, y, *biases = as_alike(name, *images.values(), *several)
    return x, y, biases


def broadcast(name: str, biases: list[Tensor], shape: Shape) -> list[Array]:
    """The biases as arrays of the output's shape, without copying."""
    try:
        return [xp.broadcast_to(b.data, shape) for b in biases]
    except ValueError:
        got = ", ".join(str(b.shape) for b in biases)
        raise ValueError(f"{name}: `bias` must broadcast to {shape}, got {got}") from None


def pair_of(name: str, argument: str, value: object, least: int = 1) -> Pair:
    """(value, value) for an int; a pair unchanged."""
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n >= least for n in pair):
        raise ValueError(f"{name}: `{argument}` must be one or two ints ≥ {least}, got {value!r}")
    return int(pair[0]), int(pair[1])


def pads_of(name: str, padding: Padding) -> Pads:
    """((top, bottom), (left, right)) of an int, a pair (height, width) or two pairs."""
    height = width = padding
    if isinstance(padding, (tuple, list)) and len(padding) == 2:
        height, width = padding
    return pair_of(name, "padding", height, 0), pair_of(name, "padding", width, 0)
