r"""Convolution on a CPU: the same as in conv.py, in blocks that fit a core's cache.

The patch matrix of a whole batch is K L times the images. `_patches` makes it for a few images, or
for some rows of one, so that product and biases are computed in the cache. A transposed convolution
of stride s splits into s × s stride-1 convolutions, which multiply no zeros. For few channels it is
cheaper to add patches up (`_scatter`). `TINYGEN_PLAIN=1` switches these functions off.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from tinygen._types import Array
from tinygen.autograd import backend
from tinygen.autograd.geometry import Pads, Pair, output_size
from tinygen.autograd.parallel import block_bytes, blocks, run_jobs, spread, workspace

FEW = 4  # input channels per output channel from which `_scatter` is cheaper
Patches = Callable[[int, int], Iterator[tuple[tuple[slice, slice], Array]]]


def conv(x: Array, w: Array, biases: list[Array], s: Pair, p: Pads) -> Array:
    """y[n,i,j,o] = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o] + biases"""
    (K, L, C, O), size = w.shape, output_size(x.shape[1:3], w.shape[:2], s, p)
    if s == (1, 1) and FEW * O <= C:
        return _scatter(x, _flipped(w), biases, s, _adjoint_pads(p, K, L), size)
    y = np.empty((len(x), *size, O), x.dtype)
    _conv_into(y, x, w, biases, s, p)
    return y


def _conv_into(y: Array, x: Array, w: Array, biases: list[Array], s: Pair, p: Pads) -> None:
    matrix = w.reshape(-1, w.shape[3])  # (K L C, O)
    count, item_bytes, patches = _patches(x, w.shape[:2], y.shape[1:3], s, p)

    def work(start: int, stop: int) -> None:
        for at, rows in patches(start, stop):
            part = y[at]
            z = part if y.flags.c_contiguous else workspace("product", part.shape, y.dtype)
            np.matmul(rows, matrix, out=z.reshape(-1, z.shape[3]))
            for b in biases:
                z += b[at]
            if z is not part:
                part[...] = z

    spread(work, count, item_bytes)


def conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    """w[k,l,c,o] = Σ x[n, s i + k − p, s j + l − p, c] y[n,i,j,o]"""
    (_, _, _, O), C, (K, L) = y.shape, x.shape[3], size
    if s == (1, 1) and O < C:  # patches of y work as well, and are smaller
        return _flipped(conv_weight(y, x, s, _adjoint_pads(p, K, L), size))
    count, item_bytes, patches = _patches(x, size, y.shape[1:3], s, p)
    workers = max(1, min(backend.threads, count))
    slab = max(1, (1 << 20) // (O * x.itemsize))  # rows of w at a time: 1 MB
    totals = np.zeros((workers, K * L * C, O), x.dtype)

    def add_part(i: int) -> None:
        """Sum over one thread's part of the batch, always in the same order."""
        for start, stop in blocks(count * i // workers, count * (i + 1) // workers, item_bytes):
            for at, rows in patches(start, stop):
                g = y[at].reshape(-1, O)
                for k in range(0, K * L * C, slab):
                    part = rows[:, k : k + slab].T
                    product = workspace("product", (len(part), O), x.dtype)
                    totals[i, k : k + slab] += np.matmul(part, g, out=product)

    run_jobs(add_part, workers)
    return functools.reduce(np.add, totals).reshape(K, L, C, O)


def conv_transpose(y: Array, w: Array, biases: list[Array], s: Pair, p: Pads, size: Pair) -> Array:
    """x[n, s i + k − p, s j + l − p, c] = Σ y[n,i,j,o] w[k,l,c,o] + biases

    On each of s × s interleaved pixel grids, a stride-1 convolution of y with part of w, flipped.
    """
    K, L, C, O = w.shape
    if FEW * C <= O:
        return _scatter(y, w, biases, s, p, size)
    x = np.empty((len(y), *size, C), y.dtype)
    if s[0] > K or s[1] > L:  # no weight reaches some pixels
        x[...] = sum(biases)
    for a, b in np.ndindex(min(s[0], K), min(s[1], L)):
        weight = _flipped(w[a :: s[0], b :: s[1]])
        i, top = _phase(a, len(weight), s[0], p[0][0])
        j, left = _phase(b, weight.shape[1], s[1], p[1][0])
        grid = np.s_[:, i :: s[0], j :: s[1]]
        if x[grid].size:
            added = [bias[grid] for bias in biases]
            _conv_into(x[grid], y, weight, added, (1, 1), ((top, 0), (left, 0)))
    return x


def _phase(a: int, taps: int, s: int, p: int) -> Pair:
    """The first pixel i that the weights a, a + s, a + 2s, … reach, and the padding before y."""
    i = (a - p) % s
    return i, taps - 1 - (i + p - a) // s


def _scatter(y: Array, w: Array, biases: list[Array], s: Pair, p: Pads, size: Pair) -> Array:
    """`conv_transpose` for few channels C: make a patch per pixel of y, and add the patches up."""
    (N, rows, columns, O), (K, L, C, _), (H, W), ((top, _), (left, _)) = y.shape, w.shape, size, p
    x = np.zeros((N, H, W, C), y.dtype)
    matrix = w.reshape(-1, O)  # (K L C, O)
    height, width = (rows - 1) * s[0] + K, (columns - 1) * s[1] + L
    bottom, right = min(top + H, height), min(left + W, width)

    def work(i: int, j: int) -> None:
        pixels = y[i:j].reshape(-1, O)
        patches = workspace("columns", (K * L * C, len(pixels)), y.dtype)
        np.matmul(matrix, pixels.T, out=patches)
        patches = patches.reshape(K, L, C, j - i, rows, columns)
        canvas = workspace("canvas", (C, j - i, height, width), y.dtype)
        canvas[...] = 0
        for k in range(K):
            for l in range(L):
                down, across = slice(k, k + s[0] * rows, s[0]), slice(l, l + s[1] * columns, s[1])
                canvas[..., down, across] += patches[k, l]
        part = canvas[..., max(top, 0) : bottom, max(left, 0) : right].transpose(1, 2, 3, 0)
        x[i:j, max(-top, 0) :, max(-left, 0) :][:, : part.shape[1], : part.shape[2]] = part
        for b in biases:
            x[i:j] += b[i:j]

    spread(work, N, (rows * columns * K * L + height * width) * C * y.itemsize)
    return x


def _patches(x: Array, kernel: Pair, size: Pair, s: Pair, p: Pads) -> tuple[int, int, Patches]:
    """The patch matrix in bands of an image's rows: the number of bands, the bytes of each, and a
    function that yields ((images, rows), the patches there, one per row) for a range of bands."""
    (K, L), (rows, columns), ((top, _), (left, _)) = kernel, size, p
    row_bytes = columns * K * L * x.shape[3] * x.itemsize
    band = max(1, min(rows, block_bytes() // row_bytes))
    bands = -(-rows // band)  # per image

    def patches(start: int, stop: int) -> Iterator[tuple[tuple[slice, slice], Array]]:
        step = stop - start if bands == 1 else 1  # whole images, or bands of one image
        for item in range(start, stop, step):
            image, i = divmod(item, bands)
            i, i_end = i * band, min((i + 1) * band, rows)
            images = slice(image, image + step)
            down = (i * s[0] - top, (i_end - 1) * s[0] + K - top)
            across = (-left, (columns - 1) * s[1] + L - left)
            yield (images, slice(i, i_end)), _columns(_crop(x[images], down, across), K, L, s)

    return len(x) * bands, band * row_bytes, patches


def _columns(x: Array, K: int, L: int, s: Pair) -> Array:
    """The K × L patch under each output pixel as a row of a matrix: (n H' W', K L C)."""
    (n, H, W, C), (a, b, c, d) = x.shape, x.strides
    shape = (n, (H - K) // s[0] + 1, (W - L) // s[1] + 1, K, L, C)
    view = np.lib.stride_tricks.as_strided(x, shape, (a, b * s[0], c * s[1], b, c, d))
    if K == L == 1 and view.flags.c_contiguous:
        return view.reshape(-1, C)
    z = workspace("columns", shape, x.dtype)
    z[...] = view
    return z.reshape(-1, K * L * C)


def _crop(x: Array, rows: Pair, columns: Pair) -> Array:
    """x[:, rows, columns], with zeros outside the image."""
    (n, H, W, C), (i, i_end), (j, j_end) = x.shape, rows, columns
    if i >= 0 and j >= 0 and i_end <= H and j_end <= W:
        return x[:, i:i_end, j:j_end]
    z = workspace("crop", (n, i_end - i, j_end - j, C), x.dtype)
    part = x[:, max(i, 0) : max(i_end, 0), max(j, 0) : max(j_end, 0)]
    z[...] = 0
    z[:, max(-i, 0) :, max(-j, 0) :][:, : part.shape[1], : part.shape[2]] = part
    return z


def _flipped(w: Array) -> Array:
    """The weight rotated by 180°, with its channels swapped: (K, L, C, O) → (K, L, O, C)"""
    return np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))


def _adjoint_pads(p: Pads, K: int, L: int) -> Pads:
    """The padding of a stride-1 convolution that is the adjoint of one with padding p."""
    (top, bottom), (left, right) = p
    return ((K - 1 - top, K - 1 - bottom), (L - 1 - left, L - 1 - right))
