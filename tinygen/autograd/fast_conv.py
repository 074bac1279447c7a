r"""Convolution on a CPU: what conv.py computes plainly, in blocks that stay in a core's cache.

The patch matrix of a whole batch is K L times the images: it would be written to memory and read
back before a product. Here `_columns` makes it for a few images, or a band of one, at a time, and
the product finds it in the cache; the blocks are spread over the cores. Three more ideas save work:

- A transposed convolution of stride s falls into s × s phases, each a stride-1 convolution, so
  that no zero is multiplied and nothing is added to memory twice.
- For few output channels it is cheaper to add patches up (`_scatter`) than to copy them.
- A bias is added to each block while it is in the cache.

Notation as in conv.py. These functions are tested equal to the plain ones; `TINYGEN_PLAIN=1`
switches them off.

Reading order: `conv`, `conv_weight`, `conv_transpose`, `_scatter`, each followed by its own parts;
then the parts that they share.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinygen._types import Array
from tinygen.autograd import backend
from tinygen.autograd.geometry import Pads, Pair, output_size
from tinygen.autograd.parallel import block_bytes, blocks, spread, workspace

# --- the triple -----------------------------------------------------------------------------------


def conv(x: Array, w: Array, biases: list[Array], s: Pair, p: Pads) -> Array:
    """y[n,i,j,o] = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o] + biases"""
    (N, H, W, C), (K, L, _, O) = x.shape, w.shape
    rows, columns = output_size((H, W), (K, L), s, p)
    if s == (1, 1) and FEW * O <= C:
        return _scatter(x, _turned(w), biases, s, _opposite(p, K, L), (rows, columns))
    y = np.empty((N, rows, columns, O), x.dtype)
    matrix = w.reshape(-1, O)  # (K L C, O)
    row_bytes = columns * K * L * C * x.itemsize
    band = _band(rows, row_bytes)

    def work(start: int, stop: int) -> None:
        for images, i, i_end in _bands(start, stop, rows, band):
            patch_rows = _columns(_under(x[images], i, i_end, columns, K, L, s, p), K, L, s)
            np.matmul(patch_rows, matrix, out=y[images, i:i_end].reshape(-1, O))
            _add(y, biases, images, slice(i, i_end))

    spread(work, N * -(-rows // band), band * row_bytes)
    return y


def conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    """w[k,l,c,o] = Σ x[n, s i + k − p, s j + l − p, c] y[n,i,j,o]"""
    (N, rows, columns, O), C, (K, L) = y.shape, x.shape[3], size
    if s == (1, 1) and O < C:  # the patches may as well be those of y, which are smaller
        return _turned(conv_weight(y, x, s, _opposite(p, K, L), size))
    row_bytes = columns * K * L * C * x.itemsize
    band = _band(rows, row_bytes)
    count = N * -(-rows // band)
    shares = max(1, min(backend.threads, count))
    slab = max(1, min(K * L * C, (1 << 20) // (O * x.itemsize)))  # rows of w at a time: 1 MB

    def share(first: int, last: int) -> Array:
        # the sum over one thread's part of the batch, always in the same order
        total = np.zeros((K * L * C, O), x.dtype)
        for start, stop in blocks(
            count * first // shares, count * last // shares, band * row_bytes
        ):
            for images, i, i_end in _bands(start, stop, rows, band):
                patch_rows = _columns(_under(x[images], i, i_end, columns, K, L, s, p), K, L, s)
                g = y[images, i:i_end].reshape(-1, O)
                for k in range(0, K * L * C, slab):
                    part = patch_rows[:, k : k + slab].T
                    product = workspace("product", (len(part), O), x.dtype)
                    total[k : k + slab] += np.matmul(part, g, out=product)
        return total

    totals = spread(share, shares, block_bytes())  # one share to a thread
    for other in totals[1:]:
        totals[0] += other
    return totals[0].reshape(K, L, C, O)


def conv_transpose(y: Array, w: Array, biases: list[Array], s: Pair, p: Pads, size: Pair) -> Array:
    """x[n, s i + k − p, s j + l − p, c] = Σ y[n,i,j,o] w[k,l,c,o] + biases

    Stride s puts y's patches onto s × s interleaved grids. On each grid the operation is a stride-1
    correlation of y with the weights that reach that grid, in reverse order.
    """
    (N, _, _, O), (K, L, C, _), (H, W) = y.shape, w.shape, size
    if FEW * C <= O:
        return _scatter(y, w, biases, s, p, size)
    x = (np.zeros if s[0] > K or s[1] > L else np.empty)((N, H, W, C), y.dtype)
    down, across = _phases(H, K, s[0], p[0][0]), _phases(W, L, s[1], p[1][0])
    left = min((first for *_, first, _ in across), default=0)
    right = max((first + n + taps - 1 for *_, taps, n, first, _ in across), default=0)
    kernels = {
        (a, b): np.ascontiguousarray(
            w[a :: s[0], b :: s[1]][::-1, ::-1].transpose(0, 1, 3, 2)
        ).reshape(-1, C)
        for a, *_ in down
        for b, *_ in across
    }
    rows = -(-H // s[0])
    taps_down, taps_across = -(-K // s[0]), -(-L // s[1])
    row_bytes = -(-W // s[1]) * taps_down * taps_across * O * y.itemsize
    band = _band(rows, row_bytes)

    def work(start: int, stop: int) -> None:
        for images, m, m_end in _bands(start, stop, rows, band):
            for a, k, n, first, i in down:
                m_last = min(m_end, n)
                if m >= m_last:
                    continue
                window = _crop(y[images], (first + m, first + m_last + k - 1), (left, right))
                for b, l, n_across, first_across, j in across:
                    offset = first_across - left
                    part = window[:, :, offset : offset + n_across + l - 1]
                    matrix = _columns(part, k, l, (1, 1))
                    if s == (1, 1):
                        np.matmul(matrix, kernels[a, b], x[images, m:m_last].reshape(-1, C))
                        continue
                    z = workspace("product", (matrix.shape[0], C), y.dtype)
                    np.matmul(matrix, kernels[a, b], out=z)
                    grid = x[images, i + m * s[0] : i + (m_last - 1) * s[0] + 1 : s[0], j :: s[1]]
                    grid[...] = z.reshape(grid.shape)
            _add(x, biases, images, slice(m * s[0], m_end * s[0]))

    if N and rows:
        spread(work, N * -(-rows // band), band * row_bytes)
    return x


def _phases(length: int, K: int, s: int, p: int) -> list[tuple[int, int, int, int, int]]:
    """The phases of stride s along one axis: (a, taps, n, first, i) for each.

    The weights a, a+s, a+2s, … (`taps` of them) reach the pixels i, i+s, i+2s, … (`n` of them),
    the m-th from the `taps` elements of y that begin at first + m.
    """
    phases = []
    for a in range(min(s, K)):
        taps, i = -(-(K - a) // s), (a - p) % s
        n = -(-(length - i) // s)
        if n > 0:
            phases.append((a, taps, n, (i + p - a) // s - (taps - 1), i))
    return phases


FEW = 4  # channels in per channel out, from which adding patches up is cheaper than copying them


def _scatter(y: Array, w: Array, biases: list[Array], s: Pair, p: Pads, size: Pair) -> Array:
    """The same for few channels C: y w is a patch for each pixel of y; add the patches up."""
    (N, rows, columns, O), (K, L, C, _), (H, W) = y.shape, w.shape, size
    (top, _), (left, _) = p
    x = np.zeros((N, H, W, C), y.dtype)
    matrix = w.reshape(-1, O)  # (K L C, O)
    canvas_size = ((rows - 1) * s[0] + K, (columns - 1) * s[1] + L)
    bottom, right = min(top + H, canvas_size[0]), min(left + W, canvas_size[1])

    def work(i: int, j: int) -> None:
        pixels = y[i:j].reshape(-1, O)
        patches = workspace("columns", (K * L * C, len(pixels)), y.dtype)
        np.matmul(matrix, pixels.T, out=patches)
        patches = patches.reshape(K, L, C, j - i, rows, columns)
        canvas = workspace("canvas", (C, j - i, *canvas_size), y.dtype)
        canvas[...] = 0
        for k in range(K):
            for l in range(L):
                down, across = slice(k, k + s[0] * rows, s[0]), slice(l, l + s[1] * columns, s[1])
                canvas[..., down, across] += patches[k, l]
        part = canvas[..., max(top, 0) : bottom, max(left, 0) : right].transpose(1, 2, 3, 0)
        at = max(-top, 0), max(-left, 0)
        x[i:j, at[0] : at[0] + part.shape[1], at[1] : at[1] + part.shape[2]] = part
        _add(x, biases, slice(i, j), slice(0, H))

    spread(work, N, (rows * columns * K * L + canvas_size[0] * canvas_size[1]) * C * y.itemsize)
    return x


# --- patches, bands of rows, and the opposite view of a convolution -------------------------------


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


def _under(x: Array, i: int, i_end: int, columns: int, K: int, L: int, s: Pair, p: Pads) -> Array:
    """The part of the padded images that lies under the output rows i … i_end."""
    (top, _), (left, _) = p
    rows = (i * s[0] - top, (i_end - 1) * s[0] + K - top)
    return _crop(x, rows, (-left, (columns - 1) * s[1] + L - left))


def _crop(x: Array, rows: Pair, columns: Pair) -> Array:
    """x[:, rows, columns] with zeros wherever that reaches beyond the image."""
    n, H, W, C = x.shape
    (i, i_end), (j, j_end) = rows, columns
    if i >= 0 and j >= 0 and i_end <= H and j_end <= W:
        return x[:, i:i_end, j:j_end]
    z = workspace("crop", (n, i_end - i, j_end - j, C), x.dtype)
    part = x[:, max(i, 0) : max(i_end, 0), max(j, 0) : max(j_end, 0)]
    top, left = max(-i, 0), max(-j, 0)
    bottom, right = top + part.shape[1], left + part.shape[2]
    for border in (z[:, :top], z[:, bottom:], z[:, top:bottom, :left], z[:, top:bottom, right:]):
        border[...] = 0
    z[:, top:bottom, left:right] = part
    return z


def _band(rows: int, bytes_per_row: int) -> int:
    """How many rows of an image to take at once: all of them if they fit into a block."""
    return max(1, min(rows, block_bytes() // max(1, bytes_per_row)))


def _bands(start: int, stop: int, rows: int, band: int) -> Iterator[tuple[slice, int, int]]:
    """Items start … stop as (images, first row, last row): whole images, or bands of one image."""
    if band >= rows:
        yield slice(start, stop), 0, rows
        return
    per_image = -(-rows // band)
    for item in range(start, stop):
        image, i = divmod(item, per_image)
        yield slice(image, image + 1), i * band, min((i + 1) * band, rows)


def _add(y: Array, biases: list[Array], images: slice, rows: slice) -> None:
    """Add the biases to these rows of these images, while they are in the cache."""
    for b in biases:
        part = b if b.shape[0] == 1 else b[images]
        y[images, rows] += part if b.shape[1] == 1 else part[:, rows]


def _turned(w: Array) -> Array:
    """The weight turned by 180°, its channels swapped: (K, L, C, O) → (K, L, O, C)"""
    return np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))


def _opposite(p: Pads, K: int, L: int) -> Pads:
    """The padding with which a stride-1 convolution and its adjoint change places."""
    (top, bottom), (left, right) = p
    return ((K - 1 - top, K - 1 - bottom), (L - 1 - left, L - 1 - right))
