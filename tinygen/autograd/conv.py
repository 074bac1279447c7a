r"""Convolution: a matrix product over patches, and its two adjoints.

Notation: images x are (N, H, W, C), N of them, H × W pixels, C channels. A kernel w is
(K, L, C, O): K × L pixels, from C channels to O. Stride s, zero padding p; y is (N, H', W', O) with
H' = ⌊(H + p_top + p_bottom − K) / s⌋ + 1.

Take the trilinear form  T(x, w, y) = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o] y[n,i,j,o].
Its derivatives are three operations, and each one's two gradients are the other two:

    conv2d(x, w) = ∂T/∂y        conv_transpose2d(y, w) = ∂T/∂x        conv2d_weight(x, y) = ∂T/∂w

so the six vjps below are these three functions again, and gradients of any order come for nothing.

How they are computed: `_columns` copies the patch under each output pixel into a row of a matrix,
and a matrix product does the rest. That matrix is K L times the image, so it is made a few MB at a
time, while it stays in cache, the blocks spread over the cores.

Reading order: the three operations; how each is computed; the checks of what comes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygen.autograd import backend
from tinygen.autograd.backend import Array, Shape, xp
from tinygen.autograd.parallel import block_bytes, blocks, spread, workspace
from tinygen.autograd.tensor import Tensor, as_alike, as_tensor, record

__all__ = ["conv2d", "conv2d_weight", "conv_transpose2d"]

Pair: TypeAlias = tuple[int, int]
Pads: TypeAlias = tuple[Pair, Pair]  # ((top, bottom), (left, right))
Size: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[Any]
Int = (int, np.integer)


# --- the triple -----------------------------------------------------------------------------------


def conv2d(
    x: Any, w: Any, stride: Size = 1, padding: Padding = 0, *, bias: Any = None
) -> Tensor:
    """y[n,i,j,o] = Σ x[n, s i + k − p, s j + l − p, c] w[k,l,c,o];  the adjoints give x̄ and w̄

    `stride` is an int or a pair; `padding` an int, a pair for (height, width), two pairs
    ((top, bottom), (left, right)), or "same": an output of ⌈H/s⌉ × ⌈W/s⌉ pixels. `bias`, a
    Tensor or several that broadcast to y, is added to it in the same pass over memory.
    """
    x, w, added = _operands("conv2d", bias, x=x, w=w)
    if x.shape[3] != w.shape[2]:
        raise ValueError(f"conv2d: `x` has {x.shape[3]} channels but `w` expects {w.shape[2]} "
                         f"(x {x.shape}, w {w.shape})")  # fmt: skip
    s, p = geometry("conv2d", x.shape[1:3], w.shape[:2], stride, padding)
    shape = (x.shape[0], *_output_size(x.shape[1:3], w.shape[:2], s, p), w.shape[3])
    return record(
        _conv(x.data, w.data, _spread_out("conv2d", added, shape), s, p),
        (x, lambda g, _: conv_transpose2d(g, w, s, p, size=x.shape[1:3])),
        (w, lambda g, _: conv2d_weight(x, g, s, p, size=w.shape[:2])),
        *((b, lambda g, _: g) for b in added),  # broadcasting is undone by summing, as always
    )


def conv_transpose2d(
    y: Any,
    w: Any,
    stride: Size = 1,
    padding: Padding = 0,
    size: Size | None = None,
    *,
    bias: Any = None,
) -> Tensor:
    """x[n, s i + k − p, s j + l − p, c] = Σ y[n,i,j,o] w[k,l,c,o]: conv2d's adjoint, from O to C

    The kernel is the one of the `conv2d` that it undoes the shape of. Several image sizes lead to
    the same y; `size` = (H, W) names one. Without it: the smallest, or s times y's for "same".
    """
    y, w, added = _operands("conv_transpose2d", bias, y=y, w=w)
    if y.shape[3] != w.shape[3]:
        raise ValueError(f"conv_transpose2d: `y` has {y.shape[3]} channels but `w` gives "
                         f"{w.shape[3]} (y {y.shape}, w {w.shape})")  # fmt: skip
    s = pair_of("conv_transpose2d", "stride", stride, least=1)
    if size is not None:
        size = pair_of("conv_transpose2d", "size", size, least=1)
    elif isinstance(padding, str) and padding == "same":
        size = (y.shape[1] * s[0], y.shape[2] * s[1])
    else:
        (top, bottom), (left, right) = _pads("conv_transpose2d", padding)
        size = ((y.shape[1] - 1) * s[0] + w.shape[0] - top - bottom,
                (y.shape[2] - 1) * s[1] + w.shape[1] - left - right)  # fmt: skip
        if min(size) < 1:
            raise ValueError(f"conv_transpose2d: padding {padding} leaves no pixel of `y` "
                             f"{y.shape}, `w` {w.shape}, stride {s}")  # fmt: skip
    s, p = geometry("conv_transpose2d", size, w.shape[:2], s, padding)
    expected = _output_size(size, w.shape[:2], s, p)
    if y.shape[1:3] != expected:
        raise ValueError(f"conv_transpose2d: an image of size {size} leads to {expected} pixels, "
                         f"but `y` has {y.shape[1:3]} (w {w.shape}, stride {s}, padding "
                         f"{p})")  # fmt: skip
    addends = _spread_out("conv_transpose2d", added, (y.shape[0], *size, w.shape[2]))
    return record(
        _conv_transpose(y.data, w.data, addends, s, p, size),
        (y, lambda g, _: conv2d(g, w, s, p)),
        (w, lambda g, _: conv2d_weight(g, y, s, p, size=w.shape[:2])),
        *((b, lambda g, _: g) for b in added),
    )


def conv2d_weight(
    x: Any, y: Any, stride: Size = 1, padding: Padding = 0, *, size: Size
) -> Tensor:
    """w[k,l,c,o] = Σ x[n, s i + k − p, s j + l − p, c] y[n,i,j,o], for a kernel of `size` (K, L)"""
    x, y, _ = _operands("conv2d_weight", None, x=x, y=y)
    K, L = pair_of("conv2d_weight", "size", size, least=1)
    s, p = geometry("conv2d_weight", x.shape[1:3], (K, L), stride, padding)
    expected = (x.shape[0], *_output_size(x.shape[1:3], (K, L), s, p))
    if y.shape[:3] != expected:
        raise ValueError(f"conv2d_weight: `x` {x.shape} under a {K} × {L} kernel leads to (N, H, "
                         f"W) = {expected}, but `y` has {y.shape[:3]}")  # fmt: skip
    return record(
        _conv_weight(x.data, y.data, s, p, (K, L)),
        (x, lambda g, _: conv_transpose2d(y, g, s, p, size=x.shape[1:3])),
        (y, lambda g, _: conv2d(x, g, s, p)),
    )


# --- how each is computed, on plain arrays --------------------------------------------------------


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


def windows(x: Array, K: int, L: int, s: Pair) -> Array:
    """The K × L patch under each output pixel, as a view: (n, H', W', K, L, C)."""
    n, H, W, C = x.shape
    a, b, c, d = x.strides
    shape = (n, (H - K) // s[0] + 1, (W - L) // s[1] + 1, K, L, C)
    return xp.lib.stride_tricks.as_strided(x, shape, (a, b * s[0], c * s[1], b, c, d))


def _columns(x: Array, K: int, L: int, s: Pair) -> Array:
    """The same as a matrix with a row for each output pixel: (n H' W', K L C)."""
    view = windows(x, K, L, s)
    if K == L == 1 and view.flags.c_contiguous:
        return view.reshape(-1, view.shape[5])
    z = workspace("columns", view.shape, x.dtype)
    z[...] = view
    return z.reshape(-1, K * L * view.shape[5])


def _bands(start: int, stop: int, rows: int, band: int) -> Iterator[tuple[slice, int, int]]:
    """Items start … stop as (images, first row, last row): whole images, or bands of one image."""
    if band >= rows:
        yield slice(start, stop), 0, rows
        return
    per_image = -(-rows // band)
    for item in range(start, stop):
        image, i = divmod(item, per_image)
        yield slice(image, image + 1), i * band, min((i + 1) * band, rows)


def _band(rows: int, bytes_per_row: int) -> int:
    """How many of an image's rows to take at once: all of them if they fit into a block."""
    return max(1, min(rows, block_bytes() // max(1, bytes_per_row)))


def _conv(x: Array, w: Array, added: list[Array], s: Pair, p: Pads) -> Array:
    (N, H, W, C), (K, L, _, O) = x.shape, w.shape
    rows, columns = _output_size((H, W), (K, L), s, p)
    if s == (1, 1) and FEW * O <= C:
        return _scatter(x, _turned(w), added, s, _opposite(p, K, L), (rows, columns))
    y = xp.empty((N, rows, columns, O), x.dtype)
    matrix = w.reshape(-1, O)  # (K L C, O)
    row_bytes = columns * K * L * C * x.itemsize
    band = _band(rows, row_bytes)

    def work(start: int, stop: int) -> None:
        for images, i, i_end in _bands(start, stop, rows, band):
            patch_rows = _columns(_under(x[images], i, i_end, columns, K, L, s, p), K, L, s)
            xp.matmul(patch_rows, matrix, out=y[images, i:i_end].reshape(-1, O))
            _add(y, added, images, slice(i, i_end))

    spread(work, N * -(-rows // band), band * row_bytes)
    return y


def _under(x: Array, i: int, i_end: int, columns: int, K: int, L: int, s: Pair, p: Pads) -> Array:
    """The part of the padded images that lies under the output rows i … i_end."""
    (top, _), (left, _) = p
    rows = (i * s[0] - top, (i_end - 1) * s[0] + K - top)
    return _crop(x, rows, (-left, (columns - 1) * s[1] + L - left))


def _add(y: Array, added: list[Array], images: slice, rows: slice) -> None:
    """To these rows of these images, while they are in cache."""
    for each in added:
        part = each if each.shape[0] == 1 else each[images]
        y[images, rows] += part if each.shape[1] == 1 else part[:, rows]


def _conv_weight(x: Array, y: Array, s: Pair, p: Pads, size: Pair) -> Array:
    (N, rows, columns, O), C, (K, L) = y.shape, x.shape[3], size
    if s == (1, 1) and O < C:  # the patches may as well be those of y, which are smaller
        return _turned(_conv_weight(y, x, s, _opposite(p, K, L), size))
    row_bytes = columns * K * L * C * x.itemsize
    band = _band(rows, row_bytes)
    count = N * -(-rows // band)
    shares = max(1, min(backend.threads, count))
    slab = max(1, min(K * L * C, (1 << 20) // (O * x.itemsize)))  # rows of w at a time: 1 MB

    def share(first: int, last: int) -> Array:
        # the sum over one thread's part of the batch, always in the same order
        total = xp.zeros((K * L * C, O), x.dtype)
        for start, stop in blocks(
            count * first // shares, count * last // shares, band * row_bytes
        ):
            for images, i, i_end in _bands(start, stop, rows, band):
                patch_rows = _columns(_under(x[images], i, i_end, columns, K, L, s, p), K, L, s)
                g = y[images, i:i_end].reshape(-1, O)
                for k in range(0, K * L * C, slab):
                    part = patch_rows[:, k : k + slab].T
                    product = workspace("product", (len(part), O), x.dtype)
                    total[k : k + slab] += xp.matmul(part, g, out=product)
        return total

    totals = spread(share, shares, block_bytes())  # one share to a thread
    for other in totals[1:]:
        totals[0] += other
    return totals[0].reshape(K, L, C, O)


def _conv_transpose(
    y: Array, w: Array, added: list[Array], s: Pair, p: Pads, size: Pair
) -> Array:
    """Stride s scatters y's patches onto s × s interleaved grids. On each of them the operation is
    a stride-1 correlation of y with the kernel entries that reach that grid, in reverse order: no
    zero is multiplied, and nothing is added to memory twice.
    """
    (N, _, _, O), (K, L, C, _), (H, W) = y.shape, w.shape, size
    if FEW * C <= O:
        return _scatter(y, w, added, s, p, size)
    x = (xp.zeros if s[0] > K or s[1] > L else xp.empty)((N, H, W, C), y.dtype)
    down, across = _phases(H, K, s[0], p[0][0]), _phases(W, L, s[1], p[1][0])
    left = min((first for *_, first, _ in across), default=0)
    right = max((first + n + taps - 1 for *_, taps, n, first, _ in across), default=0)
    kernels = {
        (a, b): xp.ascontiguousarray(
            w[a :: s[0], b :: s[1]][::-1, ::-1].transpose(0, 1, 3, 2)
        ).reshape(-1, C)
        for a, *_ in down for b, *_ in across
    }  # fmt: skip
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
                        xp.matmul(matrix, kernels[a, b], x[images, m:m_last].reshape(-1, C))
                        continue
                    z = workspace("product", (matrix.shape[0], C), y.dtype)
                    xp.matmul(matrix, kernels[a, b], out=z)
                    grid = x[images, i + m * s[0] : i + (m_last - 1) * s[0] + 1 : s[0], j :: s[1]]
                    grid[...] = z.reshape(grid.shape)
            _add(x, added, images, slice(m * s[0], m_end * s[0]))

    if N and rows:
        spread(work, N * -(-rows // band), band * row_bytes)
    return x


FEW = 4  # so many times fewer channels out than in: adding patches up is cheaper than copying them


def _scatter(
    y: Array, w: Array, added: list[Array], s: Pair, p: Pads, size: Pair
) -> Array:
    """The same for few channels C: y w, a patch for each pixel of y, added up where patches lie."""
    (N, rows, columns, O), (K, L, C, _), (H, W) = y.shape, w.shape, size
    (top, _), (left, _) = p
    x = xp.zeros((N, H, W, C), y.dtype)
    matrix = w.reshape(-1, O)  # (K L C, O)
    canvas_size = ((rows - 1) * s[0] + K, (columns - 1) * s[1] + L)
    bottom, right = min(top + H, canvas_size[0]), min(left + W, canvas_size[1])

    def work(i: int, j: int) -> None:
        pixels = y[i:j].reshape(-1, O)
        patches = workspace("columns", (K * L * C, len(pixels)), y.dtype)
        xp.matmul(matrix, pixels.T, out=patches)
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
        _add(x, added, slice(i, j), slice(0, H))

    spread(work, N, (rows * columns * K * L + canvas_size[0] * canvas_size[1]) * C * y.itemsize)
    return x


def _turned(w: Array) -> Array:
    """The kernel turned by 180° and seen from the other side: (K, L, C, O) → (K, L, O, C)"""
    return xp.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))


def _opposite(p: Pads, K: int, L: int) -> Pads:
    """The padding with which a stride-1 convolution and its adjoint change places."""
    (top, bottom), (left, right) = p
    return ((K - 1 - top, K - 1 - bottom), (L - 1 - left, L - 1 - right))


def _phases(length: int, K: int, s: int, p: int) -> list[tuple[int, int, int, int, int]]:
    """How stride s falls apart into phases along one axis: (a, taps, n, first, i) for each.

    The kernel entries a, a+s, a+2s, … (`taps` of them) reach the pixels i, i+s, i+2s, … (`n` of
    them), the m-th from the `taps` entries of y that begin at first + m.
    """
    phases = []
    for a in range(min(s, K)):
        taps, i = -(-(K - a) // s), (a - p) % s
        n = -(-(length - i) // s)
        if n > 0:
            phases.append((a, taps, n, (i + p - a) // s - (taps - 1), i))
    return phases


# --- the door -------------------------------------------------------------------------------------


def images_of(name: str, argument: str, x: Any) -> Tensor:
    images = as_tensor(x)
    if images.ndim != 4:
        wanted = "(K, L, C, O)" if argument == "w" else "(N, H, W, C)"
        raise ValueError(f"{name}: expected `{argument}` of shape {wanted}, got {images.shape}")
    if 0 in images.shape[1:]:
        raise ValueError(f"{name}: `{argument}` of shape {images.shape} has an empty axis")
    return images


def _operands(name: str, bias: Any, **images: Any) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Both images or kernels, and what is added, as Tensors of one dtype."""
    x, y = (images_of(name, argument, each) for argument, each in images.items())
    added = [each for each in (bias if isinstance(bias, (list, tuple)) else [bias])
             if each is not None]  # fmt: skip
    if not all(hasattr(each, "shape") for each in added):  # not several, but one as plain numbers
        added = [bias]
    x, y, *added = as_alike(name, *images.values(), *added)
    return x, y, added


def _spread_out(name: str, added: list[Tensor], shape: Shape) -> list[Array]:
    """What is added, as arrays of four axes; those of length 1 are left so."""
    for each in added:
        aligned = (1,) * (4 - each.ndim) + each.shape
        if len(aligned) > 4 or any(n not in (1, m) for n, m in zip(aligned, shape, strict=True)):
            raise ValueError(f"{name}: expected a `bias` that broadcasts to {shape}, got shape "
                             f"{each.shape}")  # fmt: skip
    return [each.data.reshape((1,) * (4 - each.ndim) + each.shape) for each in added]


def pair_of(name: str, argument: str, value: Any, least: int) -> Pair:
    pair = (value, value) if isinstance(value, Int) else value
    ok = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not ok or any(not isinstance(n, Int) or n < least for n in pair):
        raise ValueError(f"{name}: expected `{argument}` to be an int ≥ {least} or a pair of them, "
                         f"got {value!r}")  # fmt: skip
    return (int(pair[0]), int(pair[1]))


def _pads(name: str, padding: Padding) -> Pads:
    pair = (padding, padding) if isinstance(padding, Int) else padding
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        pairs = [(q, q) if isinstance(q, Int) else q for q in pair]
        if all(isinstance(q, (tuple, list)) and len(q) == 2 for q in pairs):
            if all(isinstance(n, Int) and n >= 0 for q in pairs for n in q):
                (t, b), (left, right) = pairs
                return ((int(t), int(b)), (int(left), int(right)))
    raise ValueError(f'{name}: expected `padding` to be an int ≥ 0, a pair, two pairs ((top, '
                     f'bottom), (left, right)) or "same", got {padding!r}')  # fmt: skip


def geometry(
    name: str, size: Shape, kernel: Shape, stride: Size, padding: Padding
) -> tuple[Pair, Pads]:
    """Stride and padding in full, after a check that at least one patch fits into the image."""
    s = pair_of(name, "stride", stride, least=1)
    if isinstance(padding, str) and padding == "same":
        total = [max((-(-n // t) - 1) * t + k - n, 0)
                 for n, k, t in zip(size, kernel, s, strict=True)]  # fmt: skip
        p = ((total[0] // 2, -(-total[0] // 2)), (total[1] // 2, -(-total[1] // 2)))
    else:
        p = _pads(name, padding)
    if min(kernel) < 1 or any(n < 1 for n in _output_size(size, kernel, s, p)):
        raise ValueError(f"{name}: a {kernel[0]} × {kernel[1]} kernel does not fit into {size[0]} "
                         f"× {size[1]} pixels with padding {p}")  # fmt: skip
    return s, p


def _output_size(size: Shape, kernel: Shape, s: Pair, p: Pads) -> Pair:
    """⌊(n + p_before + p_after − k) / s⌋ + 1 along each axis."""
    a, b = ((n + sum(q) - k) // t + 1 for n, k, t, q in zip(size, kernel, s, p, strict=True))
    return a, b
