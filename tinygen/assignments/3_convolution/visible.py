"""Visible tests: small images, then layers of real size."""

import numpy as np

import tinygen as tg
from tinygen.assignments import check, gradient, require, value

# H, W, K, L, s, p; in the second, no window covers the last rows
GEOMETRIES = [(5, 7, 2, 3, 1, 0), (9, 7, 3, 2, 4, 0), (7, 6, 2, 3, 2, 1)]
LARGE = dict(H=56, W=52, K=4, L=5, s=2, p=1, N=8, C=16, O=64)
PASS_ON = "Are s, p and the size passed on, and is the order of the results right?"


def conv(x, w, s, p):
    return tg.conv2d(x, w, s, p).numpy()


def conv_t(y, w, s, p, size):
    return tg.conv_transpose2d(y, w, s, p, size=size).numpy()


def conv_w(x, y, s, p, size):
    return tg.conv2d_weight(x, y, s, p, size=size).numpy()


def draw(rng, H, W, K, L, s, p, N=2, C=3, O=4):
    """x, w, y of shapes that belong together"""
    x, w = rng.normal(size=(N, H, W, C)), rng.normal(size=(K, L, C, O))
    return x, w, rng.normal(size=conv(x, w, s, p).shape)


def padded(x, p):
    return np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))


def inner(found, direction, expected, name):
    """⟨found, direction⟩ is as expected, within rounding"""
    if np.shape(found) == direction.shape:
        value(np.sum(found * direction), expected, f"⟨{name}, a random array⟩", rtol=1e-6)
    else:
        require(False, f"{name} has shape {np.shape(found)}, expected {direction.shape}. {PASS_ON}")


@check(1, "the number of windows", points=1)
def sizes(student, reference, rng):
    for s, p, unseen in [(1, 0, 0), (1, 2, 0), (2, 0, 1), (2, 3, 0), (3, 5, 1)]:
        k, count = rng.integers(2, 6), rng.integers(4, 9)
        n = int(k - 2 * p + s * (count - 1) + unseen)
        mistakes = {
            "one too few: the first window begins at 0": count - 1,
            "one too many: the last window must end inside": count + 1,
            "p zeros are on each side, 2p in all": (n + p - k) // s + 1,
            "the padding is ignored": (n - k) // s + 1,
        }
        name = f"output_size(n={n}, k={k}, s={s}, p={p})"
        value(student.output_size(n, int(k), s, p), count, name, mistakes)


@check(1, "the layer on small images", points=2)
def small_layer(student, reference, rng):
    for *shape, s, p in GEOMETRIES:
        x, w, _ = draw(rng, *shape, s, p)
        z = np.moveaxis(tg.patches(x, w.shape[:2], s, p).numpy(), 5, 3)
        mistakes = {
            "the filter is reversed: w[0, 0] belongs to the window's first row and column": conv(
                x, w[::-1, ::-1], s, p
            ),
            "the patch and the filter are flattened in different orders of their axes": z.reshape(
                *z.shape[:3], -1
            )
            @ w.reshape(-1, w.shape[3]),
            "rows and columns are swapped": conv(x, w, s, p).swapaxes(1, 2),
            "the stride is ignored": conv(x, w, 1, p),
            "the padding is ignored": conv(x, w, s, 0),
            "all 2p zeros are at the end: p must be on each side": conv(x, w, s, ((0, 2 * p),) * 2),
            "all 2p zeros are at the start: p must be on each side": conv(
                x, w, s, ((2 * p, 0),) * 2
            ),
            "a mean over the window, not a sum": conv(x, w, s, p) / w[..., 0].size,
        }
        value(student.conv2d(x, w, s, p), conv(x, w, s, p), f"conv2d, s = {s}, p = {p}", mistakes)


@check(2, "the filter's gradient, on small images and at real size", points=2)
def filter_gradient(student, reference, rng):
    for *shape, s, p in GEOMETRIES:
        x, w, y = draw(rng, *shape, s, p)
        (K, L), (_, rows, columns, _) = w.shape[:2], y.shape
        expected = conv_w(x, y, s, p, (K, L))
        mistakes = {
            "a mean over the batch, not a sum": expected / len(x),
            "a mean over all positions, not a sum": expected / (rows * columns),
            "it is reversed: w[0, 0] belongs to the window's first row and column": expected[
                ::-1, ::-1
            ],
            "the stride is ignored: from i to i + 1 the window moves s rows": conv_w(
                padded(x, p)[:, : rows + K - 1, : columns + L - 1], y, 1, 0, (K, L)
            ),
            "all 2p zeros are at the end: p must be on each side": conv_w(
                x, y, s, ((0, 2 * p),) * 2, (K, L)
            ),
            "K and L are swapped": expected.swapaxes(0, 1),
            "C and O are swapped": expected.swapaxes(2, 3),
        }
        found = student.conv2d_weight(x, y, s, p, size=(K, L))
        value(found, expected, f"conv2d_weight, s = {s}, p = {p}", mistakes)
    x, w, y = draw(rng, **LARGE)
    found = student.conv2d_weight(x, y, 2, 1, size=w.shape[:2])
    inner(found, w, np.sum(conv(x, w, 2, 1) * y), "conv2d_weight at real size")


@check(3, "the image's gradient, on small images and at real size", points=2)
def image_gradient(student, reference, rng):
    for *shape, s, p in GEOMETRIES:
        x, w, y = draw(rng, *shape, s, p)
        H, W = x.shape[1:3]
        expected = conv_t(y, w, s, p, (H, W))
        canvas = conv_t(y, w, s, 0, (H + 2 * p, W + 2 * p))
        dense = conv_t(y, w, 1, 0, None)
        close = np.zeros_like(canvas)
        close[:, : dense.shape[1], : dense.shape[2]] = dense
        mistakes = {
            "the filter is reversed: w[0, 0] is the stamp's first row and column": conv_t(
                y, w[::-1, ::-1], s, p, (H, W)
            ),
            "the stride is ignored: stamps of neighbours lie s pixels apart": close[
                :, p : p + H, p : p + W
            ],
            "the padding is not cut off": canvas,
            "the padding is cut off at the end only": canvas[:, :H, :W],
            "the padding is cut off at the start only": canvas[:, 2 * p :, 2 * p :],
            "the pixels that no window covers are missing: they are zero": conv_t(y, w, s, p, None),
            "stamps overwrite each other where they overlap: add them": overwritten(
                y, w, s, p, (H, W)
            ),
        }
        found = student.conv_transpose2d(y, w, s, p, size=(H, W))
        value(found, expected, f"conv_transpose2d, s = {s}, p = {p}", mistakes)
    x, w, y = draw(rng, **LARGE)
    found = student.conv_transpose2d(y, w, 2, 1, size=x.shape[1:3])
    inner(found, x, np.sum(conv(x, w, 2, 1) * y), "conv_transpose2d at real size")


def overwritten(y, w, s, p, size):
    x = np.zeros((len(y), size[0] + 2 * p, size[1] + 2 * p, w.shape[2]))
    for i, j in np.ndindex(*y.shape[1:3]):
        x[:, s * i : s * i + len(w), s * j : s * j + w.shape[1]] = np.einsum(
            "no,klco->nklc", y[:, i, j], w
        )
    return x[:, p : p + size[0], p : p + size[1]]


@check(4, "the gradients of conv2d, on small images and at real size", points=1)
def conv_gradients(student, reference, rng):
    x, w, _ = draw(rng, 4, 5, 3, 2, 2, 1, C=2, O=3)
    gradient(student.conv2d_backward, conv, x, w, 2, 1)
    x, w, g = draw(rng, **LARGE)
    dx, dw, _ = draw(rng, **LARGE)
    gx, gw = student.conv2d_backward(g, x, w, 2, 1)
    inner(gx, dx, np.sum(conv(dx, w, 2, 1) * g), "x̄ at real size")
    inner(gw, dw, np.sum(conv(x, dw, 2, 1) * g), "w̄ at real size")


@check(4, "the gradients of conv_transpose2d, on small images and at real size", points=1)
def transpose_gradients(student, reference, rng):
    _, w, y = draw(rng, 4, 5, 3, 2, 2, 1, C=2, O=3)
    gradient(
        student.conv_transpose2d_backward, lambda y, w, s, p: conv_t(y, w, s, p, (4, 5)), y, w, 2, 1
    )
    g, w, y = draw(rng, **LARGE)
    _, dw, dy = draw(rng, **LARGE)
    gy, gw = student.conv_transpose2d_backward(g, y, w, 2, 1)
    inner(gy, dy, np.sum(conv(g, w, 2, 1) * dy), "ȳ at real size")
    inner(gw, dw, np.sum(conv(g, dw, 2, 1) * y), "w̄ at real size")


@check(4, "the gradients of conv2d_weight, on small images and at real size", points=1)
def weight_gradients(student, reference, rng):
    x, _, y = draw(rng, 4, 5, 3, 2, 2, 1, C=2, O=3)
    gradient(
        student.conv2d_weight_backward, lambda x, y, s, p: conv_w(x, y, s, p, (3, 2)), x, y, 2, 1
    )
    x, g, y = draw(rng, **LARGE)
    dx, _, dy = draw(rng, **LARGE)
    gx, gy = student.conv2d_weight_backward(g, x, y, 2, 1)
    inner(gx, dx, np.sum(conv(dx, g, 2, 1) * y), "x̄ at real size")
    inner(gy, dy, np.sum(conv(x, g, 2, 1) * dy), "ȳ at real size")


@check(5, "one step of gradient descent", points=1)
def one_step(student, reference, rng):
    x, w, y = draw(rng, 8, 7, 3, 2, 2, 1)
    error = conv(x, w, 2, 1) - y
    x_bar = conv_t(error, w, 2, 1, x.shape[1:3])
    loss, new = student.descent_step(x, w, y, 2, 1, 0.1)
    half = np.sum(error**2) / 2
    mistakes = {"the ½ is missing": 2 * half, "a mean, not a sum": np.mean(error**2) / 2}
    value(loss, half, "the loss", mistakes | {"a mean, not a sum, without ½": np.mean(error**2)})
    mistakes = {
        "the step goes uphill": x + 0.1 * x_bar,
        "the step is twice as long: the ½ cancels the 2 of the square": x - 0.2 * x_bar,
        "the gradient is of a mean, not of a sum": x - 0.1 * x_bar / error.size,
        "the gradient needs the error conv2d(x, w) − y": x
        - 0.1 * conv_t(conv(x, w, 2, 1), w, 2, 1, x.shape[1:3]),
        "the error has the wrong sign": x - 0.1 * conv_t(-error, w, 2, 1, x.shape[1:3]),
        "x did not change": x,
    }
    value(new, x - 0.1 * x_bar, "x after the step", mistakes)


@check(5, "the image is recovered", points=1)
def recovered(student, reference, rng):
    x, w = reference.scene(rng), reference.lenses(rng)
    found = student.restore(conv(x, w, 2, 1), w, 200)
    error = np.sqrt(np.mean((found - x) ** 2))
    require(
        error < 0.05, f"after 200 steps the RMS error of a pixel is {error:.2g}, not below 0.05"
    )
