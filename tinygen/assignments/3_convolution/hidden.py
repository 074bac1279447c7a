"""Hidden tests: other shapes, real sizes, and identities that any layer satisfies."""

import numpy as np

import tinygen as tg
from tinygen.assignments import check, gradient, value

# H, W, K, L, s, p
GEOMETRIES = [(7, 9, 3, 2, 1, 1), (10, 6, 2, 3, 2, 0), (6, 11, 4, 3, 3, 2), (12, 8, 2, 1, 5, 0)]
LARGE = (26, 28, 5, 3, 1, 2)


def conv(x, w, s, p):
    return tg.conv2d(x, w, s, p).numpy()


def conv_t(y, w, s, p, size):
    return tg.conv_transpose2d(y, w, s, p, size=size).numpy()


def conv_w(x, y, s, p, size):
    return tg.conv2d_weight(x, y, s, p, size=size).numpy()


def draw(rng, H, W, K, L, s, p, N=3, C=None, O=None):
    """x, w, y of shapes that belong together"""
    C, O = C or int(rng.integers(2, 4)), O or int(rng.integers(4, 6))
    x, w = rng.normal(size=(N, H, W, C)), rng.normal(size=(K, L, C, O))
    return x, w, rng.normal(size=conv(x, w, s, p).shape)


@check(1, "the number of windows, counted", points=1)
def sizes(student, reference, rng):
    for s, p, unseen in [(1, 1, 0), (2, 2, 1), (3, 0, 2), (3, 1, 0), (4, 3, 2), (5, 2, 4)]:
        k = int(rng.integers(2, 6))
        n = k - 2 * p + s * int(rng.integers(4, 9)) + unseen
        windows = [a for a in range(0, n + 2 * p, s) if a + k <= n + 2 * p]
        name = f"output_size(n={n}, k={k}, s={s}, p={p})"
        value(student.output_size(n, k, s, p), len(windows), name)


@check(1, "the layer for other shapes", points=2)
def layers(student, reference, rng):
    for *shape, s, p in GEOMETRIES:
        x, w, _ = draw(rng, *shape, s, p)
        value(student.conv2d(x, w, s, p), conv(x, w, s, p), f"conv2d, s = {s}, p = {p}")


@check(1, "the layer at real size", points=1)
def large_layer(student, reference, rng):
    *shape, s, p = LARGE
    x, w, _ = draw(rng, *shape, s, p, N=8, C=16, O=32)
    value(student.conv2d(x, w, s, p), conv(x, w, s, p), "conv2d", rtol=1e-6, atol=1e-9)


@check(2, "the filter's gradient for other shapes", points=2)
def weights(student, reference, rng):
    for *shape, s, p in GEOMETRIES:
        x, w, y = draw(rng, *shape, s, p)
        found = student.conv2d_weight(x, y, s, p, size=w.shape[:2])
        value(found, conv_w(x, y, s, p, w.shape[:2]), f"conv2d_weight, s = {s}, p = {p}")


@check(2, "every element of the filter's gradient at real size", points=1)
def large_weight(student, reference, rng):
    *shape, s, p = LARGE
    x, w, y = draw(rng, *shape, s, p, N=8, C=16, O=32)
    found = student.conv2d_weight(x, y, s, p, size=w.shape[:2])
    value(found, conv_w(x, y, s, p, w.shape[:2]), "conv2d_weight", rtol=1e-6, atol=1e-9)


@check(3, "the image's gradient for other shapes", points=2)
def transposes(student, reference, rng):
    for *shape, s, p in GEOMETRIES:
        x, w, y = draw(rng, *shape, s, p)
        found = student.conv_transpose2d(y, w, s, p, size=x.shape[1:3])
        name = f"conv_transpose2d, s = {s}, p = {p}"
        value(found, conv_t(y, w, s, p, x.shape[1:3]), name)


@check(3, "one stamp, and zeros around it", points=1)
def stamp(student, reference, rng):
    w = rng.normal(size=(2, 3, 2, 4))
    y = np.zeros((1, 3, 2, 4))
    y[0, 1, 1, 2] = 1
    expected = np.zeros((1, 11, 9, 2))
    expected[0, 4:6, 4:7] = w[:, :, :, 2]
    found = student.conv_transpose2d(y, w, 4, 0, size=(11, 9))
    value(found, expected, "one element of y, stride 4")


@check(3, "every element of the image's gradient at real size", points=1)
def large_transpose(student, reference, rng):
    *shape, s, p = LARGE
    x, w, y = draw(rng, *shape, s, p, N=8, C=16, O=32)
    found = student.conv_transpose2d(y, w, s, p, size=x.shape[1:3])
    value(found, conv_t(y, w, s, p, x.shape[1:3]), "conv_transpose2d", rtol=1e-6, atol=1e-9)


@check(4, "the gradients of conv2d for other shapes", points=1)
def conv_gradients(student, reference, rng):
    for sizes in [(4, 5, 2, 3, 1, 1), (6, 4, 3, 2, 2, 0)]:
        x, w, _ = draw(rng, *sizes, N=2, C=2, O=3)
        gradient(student.conv2d_backward, conv, x, w, *sizes[4:])


@check(4, "the gradients of conv_transpose2d for other shapes", points=2)
def transpose_gradients(student, reference, rng):
    for sizes in [(4, 5, 2, 3, 1, 1), (6, 4, 3, 2, 2, 0)]:
        _, w, y = draw(rng, *sizes, N=2, C=2, O=3)

        def forward(y, w, s, p, size=sizes[:2]):
            return conv_t(y, w, s, p, size)

        gradient(student.conv_transpose2d_backward, forward, y, w, *sizes[4:])


@check(4, "the gradients of conv2d_weight for other shapes", points=2)
def weight_gradients(student, reference, rng):
    for sizes in [(4, 5, 2, 3, 1, 1), (6, 4, 3, 2, 2, 0)]:
        x, _, y = draw(rng, *sizes, N=2, C=2, O=3)

        def forward(x, y, s, p, size=sizes[2:4]):
            return conv_w(x, y, s, p, size)

        gradient(student.conv2d_weight_backward, forward, x, y, *sizes[4:])


@check(5, "one step for other shapes", points=2)
def steps(student, reference, rng):
    for *shape, s, p in GEOMETRIES:
        x, w, y = draw(rng, *shape, s, p)
        loss, new = student.descent_step(x, w, y, s, p, 0.3)
        error = conv(x, w, s, p) - y
        value(loss, np.sum(error**2) / 2, "the loss")
        value(new, x - 0.3 * conv_t(error, w, s, p, x.shape[1:3]), "x after the step")
