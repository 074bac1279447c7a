"""Patches of images, pooling, which reduces them, and upsampling, its opposite.

`patches` is linear: its adjoint adds every patch back to its place. Pooling is a reduction over
patches, so its gradients of any order are those of the reduction.
"""

from __future__ import annotations

from tinygen._types import ArrayLike
from tinygen.autograd import functions
from tinygen.autograd.backend import xp
from tinygen.autograd.conv import add_back, windows
from tinygen.autograd.geometry import Padding, Pads, Pair, Size, images_of, in_full, pair_of
from tinygen.autograd.shaping import broadcast_to, pad, reshape
from tinygen.autograd.tensor import Tensor, as_float, as_tensor, record

__all__ = ["avg_pool2d", "max_pool2d", "patches", "upsample2d"]


def patches(x: ArrayLike, size: Size, stride: Size = 1, padding: Padding = 0) -> Tensor:
    """z[n,i,j,k,l,c] = x[n, s i + k − p, s j + l − p, c]: the K × L patch under each output pixel

    A convolution is a dense layer on these: conv2d(x, w) = Σ over k, l, c of patches(x) ⊙ w.
    """
    x = images_of("patches", "x", x)
    (_, H, W, _), kernel = x.shape, pair_of("patches", "size", size)
    s, p, _ = in_full("patches", (H, W), kernel, stride, padding)
    data = windows(x.data, kernel, s, p).copy()
    return record(data, (x, lambda g, _: _add_back(g, s, p, (H, W))))


def _add_back(z: Tensor, s: Pair, p: Pads, size: Pair) -> Tensor:
    """x[n, s i + k − p, s j + l − p, c] = Σ z[n,i,j,k,l,c]: the adjoint of `patches`"""
    kernel = z.shape[3:5]
    return record(add_back(z.data, s, p, size), (z, lambda g, _: patches(g, kernel, s, p)))


def max_pool2d(
    x: ArrayLike, size: Size, stride: Size | None = None, padding: Padding = 0
) -> Tensor:
    """z = the maximum over each patch; equal largest entries share its gradient

    The stride is `size` unless given. Padding never wins.
    """
    x = images_of("max_pool2d", "x", as_float(x))
    size, s, p = _pool_geometry("max_pool2d", x, size, stride, padding)
    x = pad(x, ((0, 0), *p, (0, 0)), constant_values=-xp.inf)
    return functions.max(patches(x, size, s), axis=(3, 4))


def avg_pool2d(
    x: ArrayLike, size: Size, stride: Size | None = None, padding: Padding = 0
) -> Tensor:
    """z = the mean over those pixels of each patch that lie in the image"""
    x = images_of("avg_pool2d", "x", x)
    size, s, p = _pool_geometry("avg_pool2d", x, size, stride, padding)
    ones = as_tensor(xp.ones((1, *x.shape[1:3], 1), x.dtype))
    total, count = (functions.sum(patches(each, size, s, p), axis=(3, 4)) for each in (x, ones))
    return total / count


def upsample2d(x: ArrayLike, factor: Size = 2) -> Tensor:
    """z[n, i, j] = x[n, ⌊i/f⌋, ⌊j/f⌋]: every pixel repeated f × f times"""
    x = images_of("upsample2d", "x", x)
    (N, H, W, C), (f, g) = x.shape, pair_of("upsample2d", "factor", factor)
    z = broadcast_to(reshape(x, (N, H, 1, W, 1, C)), (N, H, f, W, g, C))
    return reshape(z, (N, H * f, W * g, C))


def _pool_geometry(
    name: str, x: Tensor, size: Size, stride: Size | None, padding: Padding
) -> tuple[Pair, Pair, Pads]:
    kernel = pair_of(name, "size", size)
    s, p, _ = in_full(name, x.shape[1:3], kernel, size if stride is None else stride, padding)
    if max(p[0]) >= kernel[0] or max(p[1]) >= kernel[1]:  # a patch would lie outside the image
        raise ValueError(f"{name}: expected `padding` below the size {kernel}, got {p}")
    return kernel, s, p
