"""A zoo of wrong gradients, each a mistake that somebody makes, with the diagnosis it deserves.

Most are plain-NumPy pairs (f, backward), as students write them; those of order 2 are operations on
Tensors whose first-order gradient is right. `diagnosis` is what the checker must call the mistake;
None where no name fits and only rejection is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygen as tg
from tinygen import record


class Mutant(NamedTuple):
    name: str
    diagnosis: str | None
    inputs: Callable[[np.random.Generator], tuple]
    f: Callable[..., Any]
    vjp: Callable[..., Any] | None = None  # None: f takes Tensors


ZOO: list[Mutant] = []


def mutant(name: str, diagnosis: str | None, shapes: Any, f: Callable, vjp: Any = None) -> None:
    inputs = shapes if callable(shapes) else lambda rng: tuple(rng.normal(size=s) for s in shapes)
    ZOO.append(Mutant(name, diagnosis, inputs, f, vjp))


# --- forwards that several mutants share ---


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def batch_norm(x):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def dense(x, w, b):
    return x @ w + b


def mse(x, y):
    return ((x - y) ** 2).mean()


def log_softmax_loss(x):
    return -np.log(softmax(x)[:, 0]).mean()


def conv1d(x, w, pad=1):
    x = np.pad(x, (pad, pad))
    return np.array([(x[i : i + len(w)] * w).sum() for i in range(len(x) - len(w) + 1)])


def conv1d_gx(g, x, w, pad=1, shift=0, flipped=True):
    gx = np.zeros(len(x) + 2 * pad)
    kernel = w if flipped else w[::-1]
    for i, each in enumerate(g):
        gx[i : i + len(w)] += each * kernel
    return np.roll(gx, shift)[pad : pad + len(x)]


def conv1d_gw(g, x, w, pad=1):
    x = np.pad(x, (pad, pad))
    return sum(each * x[i : i + len(w)] for i, each in enumerate(g))


def layer_norm(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def patches(x, w, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape)
    return windows[::stride, ::stride]


def conv2d(x, w, stride=1):
    return (patches(x, w, stride) * w).sum((2, 3))


def conv2d_gx(g, x, w, stride=1):
    gx = np.zeros_like(x)
    for i, j in np.ndindex(g.shape):
        row, column = stride * i, stride * j
        gx[row : row + w.shape[0], column : column + w.shape[1]] += g[i, j] * w
    return gx


def conv2d_gw(g, x, w, stride=1):
    return np.einsum("ij,ijkl->kl", g, patches(x, w, stride))


# --- the sign ---

mutant("exp, sign flipped", "sign", [(3, 4)], np.exp, lambda g, x: -g * np.exp(x))
mutant("cos, sign forgotten", "sign", [(3, 4)], np.cos, lambda g, x: g * np.sin(x))
mutant(
    "subtraction, y's sign forgotten", "sign", [(3, 4), (3, 4)], np.subtract, lambda g, x, y: (g, g)
)
mutant(
    "reciprocal, sign forgotten",
    "sign",
    lambda rng: (rng.uniform(0.5, 2, (3, 4)),),
    lambda x: 1 / x,
    lambda g, x: g / x**2,
)
mutant(
    "abs, sign dropped where x < 0",
    "sign",
    lambda rng: (np.array([-1.0, 2, -3, 0.5]) + rng.uniform(0, 0.3, 4),),
    np.abs,
    lambda g, x: g,
)

# --- a constant factor ---

mutant(
    "mean square, mean lost in the gradient",
    "factor",
    [(8, 5), (8, 5)],
    mse,
    lambda g, x, y: (g * 2 * (x - y), -g * 2 * (x - y)),
)
mutant(
    "mean square, divided by the batch only",
    "factor",
    [(8, 5), (8, 5)],
    mse,
    lambda g, x, y: (g * 2 * (x - y) / 8, -g * 2 * (x - y) / 8),
)
mutant("square, the 2 forgotten", "factor", [(3, 4)], np.square, lambda g, x: g * x)
mutant(
    "sum, divided by the batch", "factor", [(8, 5)], np.sum, lambda g, x: g * np.ones_like(x) / 8
)
mutant(
    "mean over axis 0, not divided",
    "factor",
    [(6, 4)],
    lambda x: x.mean(0),
    lambda g, x: np.broadcast_to(g, x.shape),
)
mutant(
    "bias, mean in place of sum",
    "factor",
    [(8, 5), (5, 3), (3,)],
    dense,
    lambda g, x, w, b: (g @ w.T, x.T @ g, g.mean(0)),
)
mutant(
    "weights, divided by the batch again",
    "factor",
    [(8, 5), (5, 3), (3,)],
    dense,
    lambda g, x, w, b: (g @ w.T, x.T @ g / 8, g.sum(0)),
)
mutant(
    "tanh, off by 1e-4 everywhere",
    "factor",
    [(3, 4)],
    np.tanh,
    lambda g, x: g * (1 - np.tanh(x) ** 2) * (1 + 1e-4),
)
mutant(
    "cross-entropy, batch size lost",
    "factor",
    [(8, 5)],
    log_softmax_loss,
    lambda g, x: g * (softmax(x) - np.eye(5)[0]),
)
mutant(
    "variance, ddof mixed up",
    "factor",
    [(7, 3)],
    lambda x: x.var(0),
    lambda g, x: g * 2 * (x - x.mean(0)) / 6,
)

# --- zero where it should not be ---

mutant("softmax with zero backward", "zero", [(3, 4)], softmax, lambda g, x: np.zeros_like(x))
mutant("batch norm with zero backward", "zero", [(6, 3)], batch_norm, lambda g, x: np.zeros_like(x))
mutant(
    "one of two arguments forgotten",
    "zero",
    [(3, 4), (3, 4)],
    np.multiply,
    lambda g, x, y: (g * y, np.zeros_like(y)),
)
mutant(
    "max, no gradient for the last row",
    "zero",
    lambda rng: (rng.permuted(np.arange(12.0)).reshape(4, 3),),
    lambda x: x.max(1),
    lambda g, x: (x == x.max(1, keepdims=True)) * g[:, None] * (np.arange(4) < 3)[:, None],
)
mutant(
    "relu, strict about 1 in place of 0",
    "zero",
    lambda rng: (np.array([0.5, -1, 2, 0.7]) + rng.uniform(0, 0.2, 4),),
    lambda x: np.maximum(x, 0),
    lambda g, x: g * (x > 1),
)
mutant(
    "a Tensor detached on the way",
    "zero",
    [(3, 4), (3, 4)],
    lambda x, y: tg.exp(x) * y.detach() + 0 * y,
)

# --- axes and places ---

mutant(
    "square product, both factors' order kept",
    "transpose",
    [(3, 3), (3, 3)],
    lambda x, y: x @ y,
    lambda g, x, y: ((g @ y.T).T, x.T @ g),
)
mutant("transposition not undone", "transpose", [(4, 4)], lambda x: x.T * 2.0, lambda g, x: g * 2.0)
mutant(
    "transposition undone by reshape",
    "transpose",
    [(3, 4)],
    lambda x: x.T,
    lambda g, x: g.reshape(3, 4),
)
mutant(
    "gradient returned transposed", "transpose", [(3, 4)], np.sin, lambda g, x: (g * np.cos(x)).T
)
mutant(
    "channels first and last confused",
    "transpose",
    [(2, 3, 3)],
    np.sin,
    lambda g, x: np.swapaxes(g * np.cos(x), 1, 2),
)
mutant(
    "a flipped filter",
    "flip",
    [(6,), (3,)],
    conv1d,
    lambda g, x, w: (conv1d_gx(g, x, w), conv1d_gw(g, x, w)[::-1]),
)
mutant(
    "cumsum backwards not reversed", "flip", [(5,)], lambda x: np.flip(x) * 3, lambda g, x: g * 3
)
mutant(
    "input gradient with a filter not flipped",
    "filter",
    [(6,), (3,)],
    conv1d,
    lambda g, x, w: (conv1d_gx(g, x, w, flipped=False), conv1d_gw(g, x, w)),
)
mutant(
    "padding off by one",
    "shift",
    [(6,), (3,)],
    conv1d,
    lambda g, x, w: (conv1d_gx(g, x, w, shift=1), conv1d_gw(g, x, w)),
)
mutant(
    "padding off by one the other way",
    "shift",
    [(7,), (3,)],
    conv1d,
    lambda g, x, w: (conv1d_gx(g, x, w, shift=-1), conv1d_gw(g, x, w)),
)
mutant(
    "a slice put back one too far", "shift", [(8,)], np.sin, lambda g, x: np.roll(g * np.cos(x), 1)
)

# --- broadcasting ---

mutant(
    "bias not summed over the batch",
    "broadcast",
    [(6, 5), (5, 3), (3,)],
    dense,
    lambda g, x, w, b: (g @ w.T, x.T @ g, g),
)
mutant("scalar not summed", "broadcast", [(3, 4), ()], np.multiply, lambda g, x, s: (g * s, g * x))
mutant("column kept as a matrix", "broadcast", [(3, 4), (3, 1)], np.add, lambda g, x, y: (g, g))
mutant(
    "only the first row of the batch",
    "broadcast",
    [(6, 4), (4,)],
    np.add,
    lambda g, x, b: (g, g[0]),
)
mutant(
    "only the last row of the batch",
    "broadcast",
    [(6, 4), (4,)],
    np.multiply,
    lambda g, x, b: (g * b, (g * x)[-1]),
)

# --- single entries and lost terms ---


def one_wrong(g: np.ndarray, by: float = 1e-4) -> np.ndarray:
    """`g` with its largest entry wrong by a factor of 1 + `by`."""
    g = g.copy()
    g.reshape(-1)[np.abs(g).argmax()] *= 1 + by
    return g


mutant(
    "one entry of 12 wrong by 1e-4", None, [(3, 4)], np.sin, lambda g, x: one_wrong(g * np.cos(x))
)
mutant(
    "one entry of 10,000 wrong by 1e-4",
    None,
    [(100, 100)],
    np.sin,
    lambda g, x: one_wrong(g * np.cos(x)),
)
mutant(
    "one entry of 10,000 flipped",
    "sign",
    [(100, 100)],
    np.sin,
    lambda g, x: one_wrong(g * np.cos(x), -2),
)
mutant(
    "one entry of 12, tiny function",
    None,
    [(3, 4)],
    lambda x: 1e-6 * np.sin(x),
    lambda g, x: one_wrong(1e-6 * g * np.cos(x)),
)
mutant(
    "one entry of 12, huge function",
    None,
    [(3, 4)],
    lambda x: 1e6 * np.sin(x),
    lambda g, x: one_wrong(1e6 * g * np.cos(x)),
)
mutant("sigmoid, wrong formula", None, [(3, 4)], sigmoid, lambda g, x: g * sigmoid(x) * (1 - x))
mutant(
    "softmax, only the diagonal",
    None,
    [(3, 4)],
    softmax,
    lambda g, x: g * softmax(x) * (1 - softmax(x)),
)
mutant(
    "batch norm, variance held constant",
    "statistics",
    [(6, 3)],
    batch_norm,
    lambda g, x: (g - g.mean(0)) / np.sqrt(x.var(0) + 1e-5),
)
mutant(
    "batch norm, mean held constant",
    "statistics",
    [(6, 3)],
    batch_norm,
    lambda g, x: g / np.sqrt(x.var(0) + 1e-5),
)
mutant("x used twice, one use forgotten", None, [(3, 3)], lambda x: x @ x, lambda g, x: g @ x.T)
mutant(
    "leaky slope of another value",
    "factor",
    lambda rng: (-rng.uniform(0.5, 1, (3, 4)),),
    lambda x: np.where(x > 0, x, 0.2 * x),
    lambda g, x: g * np.where(x > 0, 1, 0.01),
)
mutant(
    "not a number",
    "not finite",
    [(3, 4)],
    np.sin,
    lambda g, x: g * np.where(x == x.min(), np.nan, np.cos(x)),
)

mutant(
    "layer norm, mean and variance held constant",
    "statistics",
    [(3, 5), (5,)],
    lambda x, gain: gain * layer_norm(x),
    lambda g, x, gain: (
        g * gain / np.sqrt(x.var(1, keepdims=True) + 1e-5),
        (g * layer_norm(x)).sum(0),
    ),
)
mutant(
    "convolution of images, filter not flipped",
    "filter",
    [(5, 4), (3, 2)],
    conv2d,
    lambda g, x, w: (conv2d_gx(g, x, w[::-1, ::-1]), conv2d_gw(g, x, w)),
)
mutant(
    "convolution of images, stride ignored",
    "place",
    [(7, 6), (3, 2)],
    lambda x, w: conv2d(x, w, 2),
    lambda g, x, w: (conv2d_gx(g, x, w), conv2d_gw(g, x, w, 2)),
)
mutant("a backward that returns nothing", "nothing", [(2,)], np.sin, lambda g, x: None)
mutant(
    "a backward that returns nothing for one argument",
    "nothing",
    [(2, 3), (3, 2)],
    np.matmul,
    lambda g, x, y: (g @ y.T, None),
)
mutant(
    "mean, divided by n − 1",
    "factor",
    [(7, 3)],
    lambda x: x.mean(0),
    lambda g, x: np.broadcast_to(g / 6, x.shape),
)

# --- functions that cannot be checked ---

mutant(
    "fresh noise at each call",
    "nondeterministic",
    [(3, 4)],
    lambda x: x * np.random.default_rng().uniform(size=x.shape),
    lambda g, x: g,
)
mutant(
    "dropout drawn inside",
    "nondeterministic",
    [(8, 8)],
    lambda x: x * (np.random.default_rng().uniform(size=x.shape) < 0.5),
    lambda g, x: g,
)
mutant(
    "computed in float32",
    "float32",
    [(3, 4)],
    lambda x: np.sin(x.astype(np.float32)),
    lambda g, x: g * np.cos(x),
)
mutant(
    "rounded to float32 inside",
    "coarse",
    [(3, 4)],
    lambda x: np.sin(x.astype(np.float32)).astype(np.float64),
    lambda g, x: g * np.cos(x),
)

# --- right to first order only: operations on Tensors whose vjps forget that they depend on x ---


def exp_by_array(x):
    return record(tg.xp.exp(x.data), (x, lambda g, z: g * z.data))


def square_by_array(x):
    return record(x.data**2, (x, lambda g, z: g * (2 * x.data)))


def product_by_array(x, y):
    return record(x.data * y.data, (x, lambda g, z: g * y.data), (y, lambda g, z: g * x))


def softmax_by_array(x):
    z = tg.softmax(x).data

    def vjp(g, _):
        return z * (g - tg.sum(g * z, -1, keepdims=True))

    return record(z, (x, vjp))


def batch_norm_sigma_constant(x):
    """Batch norm whose vjp takes 1/σ as a constant: the defect of a well-known library."""
    m, v = tg.mean(x, 0), tg.var(x, 0)
    s = tg.sqrt(v + 1e-5).data

    def vjp(g, z):
        return (g - tg.mean(g, 0) - z * tg.mean(g * z, 0)) / s

    return record((x.data - m.data) / s, (x, vjp))


def cube_without_cross_term(x):
    """x² · x with the gradient of one factor detached: 3x² at first order, but 4x for 6x."""
    return record(x.data**3, (x, lambda g, z: g * (x * x + 2 * x.data * x.data)))


def tanh_second_flipped(x):
    z = tg.tanh(x)
    slope = 1 - 2 * z.detach() ** 2 + z**2  # the value of 1 − z², the derivative of 1 + z²
    return record(z.data, (x, lambda g, _: g * slope))


def g_detached(x):
    return record(tg.xp.sin(x.data), (x, lambda g, z: g.detach() * tg.cos(x)))


for f, shapes in [
    (exp_by_array, [(3, 4)]),
    (square_by_array, [(3, 4)]),
    (product_by_array, [(3, 4), (3, 4)]),
    (softmax_by_array, [(3, 4)]),
    (batch_norm_sigma_constant, [(6, 3)]),
    (cube_without_cross_term, [(5,)]),
    (tanh_second_flipped, [(3, 4)]),
    (g_detached, [(3, 4)]),
]:
    mutant(f.__name__.replace("_", " "), "first order only", shapes, f)


def another_path_when_recorded(x):
    return record(
        tg.xp.sin(x.data),
        (x, lambda g, z: g * (tg.cos(x) if not tg.is_recording() else tg.cos(x) * 2.0)),
    )


mutant("another path when recorded", "recording", [(3, 4)], another_path_when_recorded)
