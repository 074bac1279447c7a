"""Patches of images, pooling, which reduces them, and upsampling, its opposite.

`patches` is linear: its adjoint adds every patch back to its place. Pooling is a reduction over
patches, so its gradients of any order are those of the reduction.
"""

from __future__ import annotations

from typing import Any

from tinygen.autograd.backend import xp
from tinygen.autograd.conv import add_back, windows
from tinygen.autograd.functions import max as max_over
from tinygen.autograd.functions import sum as sum_over
from tinygen.autograd.geometry import Padding, Pads, Pair, Size, geometry, images_of, pair_of
from tinygen.autograd.shaping import broadcast_to, pad, reshape
from tinygen.autograd.tensor import Tensor, as_float, as_tensor, record

__all__ = ["avg_pool2d", "max_pool2d", "patches", "upsample2d"]


def patches(x: Any, size: Size, stride: Size = 1, padding: Padding = 0) -> Tensor:
    """z[n,i,j,k,l,c] = x[n, s i + k − p, s j + l − p, c]: the K × L patch under each output pixel

    A convolution is a dense layer on these: conv2d(x, w) = Σ over k, l, c of patches(x) ⊙ w.
    """
    x = images_of("patches", "x", x)
    K, L = pair_of("patches", "size", size, least=1)
    s, p = geometry("patches", x.shape[1:3], (K, L), stride, padding)
    data = windows(x.data, (K, L), s, p).copy()
    return record(data, (x, lambda g, _: _add_back(g, s, p, x.shape[1:3])))


def _add_back(z: Tensor, s: Pair, p: Pads, size: Pair) -> Tensor:
    """x[n, s i + k − p, s j + l − p, c] = Σ z[n,i,j,k,l,c]: the adjoint of `patches`"""
    K, L = z.shape[3:5]
    return record(add_back(z.data, s, p, size), (z, lambda g, _: patches(g, (K, L), s, p)))


def max_pool2d(x: Any, size: Size, stride: Size | None = None, padding: Padding = 0) -> Tensor:
    """z = the maximum over each patch; equal largest entries share its gradient

    The stride is `size` unless given. Padding never wins.
    """
    x = images_of("max_pool2d", "x", as_float(x))
    size, s, p = _pool_geometry("max_pool2d", x, size, stride, padding)
    x = pad(x, ((0, 0), *p, (0, 0)), constant_values=-xp.inf)
    return max_over(patches(x, size, s), axis=(3, 4))


def avg_pool2d(x: Any, size: Size, stride: Size | None = None, padding: Padding = 0) -> Tensor:
    """z = the mean over those pixels of each patch that lie in the image"""
    x = images_of("avg_pool2d", "x", x)
    size, s, p = _pool_geometry("avg_pool2d", x, size, stride, padding)
    ones = as_tensor(xp.ones((1, *x.shape[1:3], 1), x.dtype))
    count = sum_over(patches(ones, size, s, p), axis=(3, 4))
    return sum_over(patches(x, size, s, p), axis=(3, 4)) / count


def upsample2d(x: Any, factor: Size = 2) -> Tensor:
    """z[n, i, j] = x[n, ⌊i/f⌋, ⌊j/f⌋]: every pixel repeated f × f times"""
    x = images_of("upsample2d", "x", x)
    f, g = pair_of("upsample2d", "factor", factor, least=1)
    N, H, W, C = x.shape
    z = broadcast_to(reshape(x, (N, H, 1, W, 1, C)), (N, H, f, W, g, C))
    return reshape(z, (N, H * f, W * g, C))


def _pool_geometry(
    name: str, x: Tensor, size: Size, stride: Size | None, padding: Padding
) -> tuple[Pair, Pair, Pads]:
    kernel = pair_of(name, "size", size, least=1)
    s, p = geometry(name, x.shape[1:3], kernel, kernel if stride is None else stride, padding)
    if any(max(q) >= k for q, k in zip(p, kernel, strict=True)):
        raise ValueError(
            f"{name}: padding {p} must be less than the size {kernel}, or a patch "
            f"could lie wholly outside the image"
        )
    return kernel, s, p
