r"""Operations on the K × L patches of images: convolution, its adjoints, and pooling.

Images x are (N, H, W, C): N images of H × W pixels and C channels. A weight w is (K, L, C, O), from
C channels to O. With stride s and zero padding p, y is (N, H', W', O), where
H' = ⌊(H + p_top + p_bottom − K) / s⌋ + 1.

Take the trilinear form  T(x, w, y) = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o] y[n,i,j,o].
Its derivatives are three operations. The two gradients of each are the other two:

    conv2d(x, w) = ∂T/∂y        conv_transpose2d(y, w) = ∂T/∂x        conv2d_weight(x, y) = ∂T/∂w

So the six vjps below are these three functions again, and gradients of any order come for free.
"""

from __future__ import annotations

import functools
import math

from tinygen._types import Array, ArrayLike
from tinygen.autograd import backend, fast_conv, functions, geometry
from tinygen.autograd.backend import xp
from tinygen.autograd.geometry import Bias, Padding, Pads, Pair, Size, Stride, output_size, pair_of
from tinygen.autograd.shaping import broadcast_to, pad, reshape
from tinygen.autograd.tensor import Tensor, as_float, as_tensor, record

__all__ = ["avg_pool2d", "conv2d", "conv2d_weight", "conv_transpose2d"]
__all__ += ["max_pool2d", "patches", "upsample2d"]

# --- the plain computation, on arrays -------------------------------------------------------------


def windows(x: Array, size: Pair, s: Pair, p: Pads) -> Array:
    """z[n,i,j,k,l,c] = x[n, s i + k − p, s j + l − p, c]: a view of the patches of padded images"""
    x, (K, L) = xp.pad(x, ((0, 0), *p, (0, 0))), size
    (N, H, W, C), (image, row, pixel, channel) = x.shape, x.strides
    shape = (N, (H - K) // s[0] + 1, (W - L) // s[1] + 1, K, L, C)
    strides = (image, s[0] * row, s[1] * pixel, row, pixel, channel)  # i moves s rows, k one
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


def add_back(z: Array, s: Pair, p: Pads, size: Pair) -> Array:
    """x[n, s i + k − p, s j + l − p, c] = Σ z[n,i,j,k,l,c]: every patch added back to its place

    The adjoint of `windows`. The pixels at one place (k, l) of all patches lie s apart.
    """
    (N, rows, columns, K, L, C), (H, W), ((top, bottom), (left, right)) = z.shape, size, p
    x = xp.zeros((N, top + H + bottom, left + W + right, C), z.dtype)
    for k in range(K):
        for l in range(L):
            x[:, k : k + s[0] * rows : s[0], l : l + s[1] * columns : s[1]] += z[:, :, :, k, l]
    return x[:, top : top + H, left : left + W]


def plain_conv(x: Array, w: Array, s: Pair, p: Pads) -> Array:
    return xp.tensordot(windows(x, w.shape[:2], s, p), w, 3)  # Σ over k, l, c → (N, H', W', O)


def plain_conv_transpose(y: Array, w: Array, s: Pair, p: Pads, size: Pair) -> Array:
    return add_back(xp.tensordot(y, w, (3, 3)), s, p, size)  # Σ over o → (N, H', W', K, L, C)


def plain_conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    rows = windows(x, size, s, p)
    return xp.tensordot(rows, y, ((0, 1, 2), (0, 1, 2)))  # Σ over n, i, j → (K, L, C, O)


# --- the three operations -------------------------------------------------------------------------


def conv2d(
    x: ArrayLike, w: ArrayLike, stride: Size = 1, padding: Padding = 0, *, bias: Bias = None
) -> Tensor:
    """y[n,i,j,o] = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o];  the adjoints give x̄ and w̄

    `stride` is an int or a pair; `padding` an int, (height, width), ((top, bottom), (left, right)),
    or "same" for ⌈H/s⌉ × ⌈W/s⌉ output pixels; `bias` one or more Tensors that broadcast to y.
    """
    x, w, biases = geometry.operands("conv2d", bias, x=x, w=w)
    (N, H, W, C), (K, L, inputs, O) = x.shape, w.shape
    if inputs != C:
        shapes = f"(x {x.shape}, w {w.shape})"
        raise ValueError(f"conv2d: `x` has {C} channels but `w` expects {inputs} {shapes}")
    s, p, pixels = geometry.resolve("conv2d", (H, W), (K, L), stride, padding)
    added = geometry.broadcast("conv2d", biases, (N, *pixels, O))
    return record(
        _conv(x.data, w.data, added, s, p),
        (x, lambda g, _: conv_transpose2d(g, w, s, p, size=(H, W))),
        (w, lambda g, _: conv2d_weight(x, g, s, p, size=(K, L))),
        *((b, lambda g, _: g) for b in biases),  # broadcasting is undone by summing, as always
    )


def conv_transpose2d(
    y: ArrayLike,
    w: ArrayLike,
    stride: Size = 1,
    padding: Padding = 0,
    size: Size | None = None,
    *,
    bias: Bias = None,
) -> Tensor:
    """x[n, s i + k − p, s j + l − p, c] = Σ y[n,i,j,o] w[k,l,c,o]: conv2d's adjoint, from O to C

    w is the weight of the `conv2d` that maps x to y. Several image sizes give the same y; `size` =
    (H, W) chooses one, by default the smallest, or s times y's for "same" padding.
    """
    name = "conv_transpose2d"
    y, w, biases = geometry.operands(name, bias, y=y, w=w)
    (N, _, _, O), (K, L, C, outputs) = y.shape, w.shape
    if outputs != O:
        shapes = f"(y {y.shape}, w {w.shape})"
        raise ValueError(f"{name}: `y` has {O} channels but `w` gives {outputs} {shapes}")
    s = pair_of(name, "stride", stride)
    size = geometry.smallest(name, y.shape[1:3], (K, L), s, padding) if size is None else size
    H, W = pair_of(name, "size", size)
    s, p, expected = geometry.resolve(name, (H, W), (K, L), s, padding)
    if y.shape[1:3] != expected:
        shapes = f"(w {w.shape}, stride {s}, padding {p})"
        raise ValueError(f"{name}: size {H, W} gives {expected}, but `y` is {y.shape} {shapes}")
    added = geometry.broadcast(name, biases, (N, H, W, C))
    return record(
        _conv_transpose(y.data, w.data, added, s, p, (H, W)),
        (y, lambda g, _: conv2d(g, w, s, p)),
        (w, lambda g, _: conv2d_weight(g, y, s, p, size=(K, L))),
        *((b, lambda g, _: g) for b in biases),
    )


def conv2d_weight(
    x: ArrayLike, y: ArrayLike, stride: Size = 1, padding: Padding = 0, *, size: Size
) -> Tensor:
    """w[k,l,c,o] = Σ x[n, s i + k − p, s j + l − p, c] y[n,i,j,o], for a weight of `size` (K, L)"""
    x, y, _ = geometry.operands("conv2d_weight", None, x=x, y=y)
    (N, H, W, _), (K, L) = x.shape, pair_of("conv2d_weight", "size", size)
    s, p, pixels = geometry.resolve("conv2d_weight", (H, W), (K, L), stride, padding)
    if y.shape[:3] != (N, *pixels):
        shapes = f"(x {x.shape}, size {K, L})"
        raise ValueError(f"conv2d_weight: expected `y` {(N, *pixels)}, got {y.shape} {shapes}")
    return record(
        _conv_weight(x.data, y.data, s, p, (K, L)),
        (x, lambda g, _: conv_transpose2d(y, g, s, p, size=(H, W))),
        (y, lambda g, _: conv2d(x, g, s, p)),
    )


# --- a GPU computes large parts of a batch at once, a CPU blocks that fit its cache ---------------

PATCH_BYTES = 256 << 20  # limit for patches in memory: they take K L times the image


def _conv(x: Array, w: Array, biases: list[Array], s: Pair, p: Pads) -> Array:
    if not backend.plain:
        return fast_conv.conv(x, w, biases, s, p)
    parts = _parts(x, *output_size(x.shape[1:3], w.shape[:2], s, p), *w.shape[:3])
    return sum(biases, start=_join([plain_conv(x[part], w, s, p) for part in parts]))


def _conv_transpose(y: Array, w: Array, biases: list[Array], s: Pair, p: Pads, size: Pair) -> Array:
    if not backend.plain:
        return fast_conv.conv_transpose(y, w, biases, s, p, size)
    parts = _parts(y, *y.shape[1:3], *w.shape[:3])
    return sum(biases, start=_join([plain_conv_transpose(y[i], w, s, p, size) for i in parts]))


def _conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    if not backend.plain:
        return fast_conv.conv_weight(x, y, s, p, size)
    parts = _parts(x, *y.shape[1:3], *size, x.shape[3])
    return functools.reduce(xp.add, [plain_conv_weight(x[i], y[i], s, p, size) for i in parts])


def _parts(images: Array, *patches: int) -> list[slice]:
    """Split the batch into parts whose patches, of this shape per image, take ≤ PATCH_BYTES."""
    step = max(1, PATCH_BYTES // (math.prod(patches) * images.itemsize))
    return [slice(i, i + step) for i in range(0, max(1, len(images)), step)]


def _join(parts: list[Array]) -> Array:
    return xp.concatenate(parts) if len(parts) > 1 else parts[0]


# --- patches and pooling --------------------------------------------------------------------------


def patches(x: ArrayLike, size: Size, stride: Size = 1, padding: Padding = 0) -> Tensor:
    """z[n,i,j,k,l,c] = x[n, s i + k − p, s j + l − p, c]: the K × L patch under each output pixel

    conv2d(x, w) is a dense layer on the patches: Σ over k, l, c of patches(x) ⊙ w.
    """
    x = geometry.images_of("patches", "x", x)
    (_, H, W, _), kernel = x.shape, pair_of("patches", "size", size)
    s, p, _ = geometry.resolve("patches", (H, W), kernel, stride, padding)
    return record(windows(x.data, kernel, s, p).copy(), (x, lambda g, _: _fold(g, s, p, (H, W))))


def _fold(z: Tensor, s: Pair, p: Pads, size: Pair) -> Tensor:
    """x[n, s i + k − p, s j + l − p, c] = Σ z[n,i,j,k,l,c]: the adjoint of `patches`"""
    kernel = z.shape[3:5]
    return record(add_back(z.data, s, p, size), (z, lambda g, _: patches(g, kernel, s, p)))


def max_pool2d(x: ArrayLike, size: Size, stride: Stride = None, padding: Padding = 0) -> Tensor:
    """z = the maximum over each patch, by default with stride `size`; ties share the gradient"""
    x = geometry.images_of("max_pool2d", "x", as_float(x))
    size, s, p = _pool_geometry("max_pool2d", x, size, stride, padding)
    x = pad(x, ((0, 0), *p, (0, 0)), constant_values=-xp.inf)
    return functions.max(patches(x, size, s), axis=(3, 4))


def avg_pool2d(x: ArrayLike, size: Size, stride: Stride = None, padding: Padding = 0) -> Tensor:
    """z = the mean over the pixels of each patch, not counting padding"""
    x = geometry.images_of("avg_pool2d", "x", x)
    size, s, p = _pool_geometry("avg_pool2d", x, size, stride, padding)
    ones = as_tensor(xp.ones((1, *x.shape[1:3], 1), x.dtype))
    total, count = (functions.sum(patches(t, size, s, p), axis=(3, 4)) for t in (x, ones))
    return total / count


def _pool_geometry(
    name: str, x: Tensor, size: Size, stride: Stride, padding: Padding
) -> tuple[Pair, Pair, Pads]:
    kernel, stride = pair_of(name, "size", size), size if stride is None else stride
    s, p, _ = geometry.resolve(name, x.shape[1:3], kernel, stride, padding)
    if max(p[0]) >= kernel[0] or max(p[1]) >= kernel[1]:  # a patch would lie outside the image
        raise ValueError(f"{name}: expected `padding` below the size {kernel}, got {p}")
    return kernel, s, p


def upsample2d(x: ArrayLike, factor: Size = 2) -> Tensor:
    """z[n, i, j] = x[n, ⌊i/f⌋, ⌊j/f⌋]: every pixel repeated f × f times"""
    x = geometry.images_of("upsample2d", "x", x)
    (N, H, W, C), (f, g) = x.shape, pair_of("upsample2d", "factor", factor)
    z = broadcast_to(reshape(x, (N, H, 1, W, 1, C)), (N, H, f, W, g, C))
    return reshape(z, (N, H * f, W * g, C))
