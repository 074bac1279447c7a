"""The shapes of a convolution: checks of what comes in, strides and padding in full, output sizes.

Each check names the operation and the argument that it was called for, so that `conv2d` and
`max_pool2d` raise errors in their own name.

Reading order: `geometry` and `output_size`; then the arguments one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygen._types import Array, Shape
from tinygen.autograd.tensor import Tensor, as_alike, as_tensor

Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[Pair, Pair]  # ((top, bottom), (left, right))
Size: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[Any]
Int = (int, np.integer)


def geometry(
    name: str, size: Shape, kernel: Shape, stride: Size, padding: Padding
) -> tuple[Pair, Pads]:
    """Stride and padding in full, after a check that at least one patch fits into the image."""
    s = pair_of(name, "stride", stride, least=1)
    if isinstance(padding, str) and padding == "same":
        total = [
            max((-(-n // t) - 1) * t + k - n, 0) for n, k, t in zip(size, kernel, s, strict=True)
        ]
        p = ((total[0] // 2, -(-total[0] // 2)), (total[1] // 2, -(-total[1] // 2)))
    else:
        p = pads_of(name, padding)
    if min(kernel) < 1 or any(n < 1 for n in output_size(size, kernel, s, p)):
        raise ValueError(
            f"{name}: a {kernel[0]} × {kernel[1]} kernel does not fit into {size[0]} "
            f"× {size[1]} pixels with padding {p}"
        )
    return s, p


def output_size(size: Shape, kernel: Shape, s: Pair, p: Pads) -> Pair:
    """⌊(n + p_before + p_after − k) / s⌋ + 1 along each axis."""
    a, b = ((n + sum(q) - k) // t + 1 for n, k, t, q in zip(size, kernel, s, p, strict=True))
    return a, b


# --- the arguments --------------------------------------------------------------------------------


def images_of(name: str, argument: str, x: Any) -> Tensor:
    """Images, or a convolution's weight, as a Tensor of four axes without an empty one."""
    images = as_tensor(x)
    if images.ndim != 4:
        wanted = "(K, L, C, O)" if argument == "w" else "(N, H, W, C)"
        raise ValueError(f"{name}: expected `{argument}` of shape {wanted}, got {images.shape}")
    if 0 in images.shape[1:]:
        raise ValueError(f"{name}: `{argument}` of shape {images.shape} has an empty axis")
    return images


def operands(name: str, bias: Any, **images: Any) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The two operands and the list of biases, as Tensors of one dtype."""
    for argument, value in images.items():
        images_of(name, argument, value)
    several = isinstance(bias, (list, tuple)) and all(
        b is None or hasattr(b, "shape") for b in bias
    )
    biases = [b for b in (bias if several else [bias]) if b is not None]
    x, y, *biases = as_alike(name, *images.values(), *biases)
    return x, y, biases


def four_axes(name: str, biases: list[Tensor], shape: Shape) -> list[Array]:
    """Biases that broadcast to `shape`, as arrays of four axes: (O,) becomes (1, 1, 1, O)."""
    for b in biases:
        aligned = (1,) * (4 - b.ndim) + b.shape
        if len(aligned) > 4 or any(n not in (1, m) for n, m in zip(aligned, shape, strict=True)):
            raise ValueError(
                f"{name}: expected a `bias` that broadcasts to {shape}, got shape {b.shape}"
            )
    return [b.data.reshape((1,) * (4 - b.ndim) + b.shape) for b in biases]


def pair_of(name: str, argument: str, value: Any, least: int) -> Pair:
    """(value, value) for an int, a pair as it is."""
    pair = (value, value) if isinstance(value, Int) else value
    ok = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not ok or any(not isinstance(n, Int) or n < least for n in pair):
        raise ValueError(
            f"{name}: expected `{argument}` to be an int ≥ {least} or a pair of them, got {value!r}"
        )
    return (int(pair[0]), int(pair[1]))


def pads_of(name: str, padding: Padding) -> Pads:
    """((top, bottom), (left, right)) of an int, a pair (height, width) or two pairs."""
    pair = (padding, padding) if isinstance(padding, Int) else padding
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        pairs = [(q, q) if isinstance(q, Int) else q for q in pair]
        if all(isinstance(q, (tuple, list)) and len(q) == 2 for q in pairs):
            if all(isinstance(n, Int) and n >= 0 for q in pairs for n in q):
                (t, b), (left, right) = pairs
                return ((int(t), int(b)), (int(left), int(right)))
    raise ValueError(
        f"{name}: expected `padding` to be an int ≥ 0, a pair, two pairs ((top, "
        f'bottom), (left, right)) or "same", got {padding!r}'
    )
