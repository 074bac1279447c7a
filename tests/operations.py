"""Every operation with an independent reference in plain NumPy and a strategy for its inputs.

The tests of operations run over this table: values, gradients to order 2, dtypes. A new operation
is one more row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygen as tg
from tinygen import strategies
from tinygen.autograd import normalise


class Operation(NamedTuple):
    name: str
    call: Callable[..., Any]  # on Tensors
    reference: Callable[..., Any]  # on arrays
    inputs: st.SearchStrategy  # of tuples of arrays


TABLE: list[Operation] = []


def add(name: str, call: Callable, reference: Callable, inputs: st.SearchStrategy) -> None:
    TABLE.append(Operation(name, call, reference, inputs))


# --- one entry at a time ---

anything = st.tuples(strategies.arrays())
positive = st.tuples(strategies.arrays(low=0.2))
nonzero = st.tuples(strategies.arrays(away_from=[0]))


def one_by_one(f: Callable[[float], float]) -> Callable:
    """A scalar function of Python's math module, applied to each entry."""
    return lambda x: np.array([f(float(v)) for v in x.reshape(-1)]).reshape(x.shape)


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


for name, reference, inputs in [
    ("exp", math.exp, anything),
    ("log", math.log, positive),
    ("log1p", math.log1p, st.tuples(strategies.arrays(low=-0.8))),
    ("expm1", math.expm1, anything),
    ("sqrt", math.sqrt, positive),
    ("sin", math.sin, anything),
    ("cos", math.cos, anything),
    ("tanh", math.tanh, anything),
    ("sigmoid", lambda x: 1 / (1 + math.exp(-x)), anything),
    ("softplus", lambda x: math.log(1 + math.exp(x)), anything),
    ("erf", math.erf, anything),
    ("gelu", lambda x: x * normal_cdf(x), anything),
    ("silu", lambda x: x / (1 + math.exp(-x)), anything),
    ("relu", lambda x: x if x > 0 else 0.0, nonzero),
    ("leaky_relu", lambda x: x if x > 0 else 0.01 * x, nonzero),
    ("elu", lambda x: x if x > 0 else math.exp(x) - 1, nonzero),
    ("abs", math.fabs, nonzero),
]:
    add(name, getattr(tg, name), one_by_one(reference), inputs)

between = st.tuples(strategies.arrays(away_from=[-0.5, 1.0]))
add("neg", lambda x: -x, lambda x: 0 - x, anything)
add(
    "leaky_relu steep",
    lambda x: tg.leaky_relu(x, 0.3),
    lambda x: np.where(x > 0, x, 0.3 * x),
    nonzero,
)
add(
    "elu high",
    lambda x: tg.elu(x, 1.7),
    lambda x: np.where(x > 0, x, 1.7 * (np.exp(x) - 1)),
    nonzero,
)
add("clip", lambda x: tg.clip(x, -0.5, 1.0), lambda x: np.clip(x, -0.5, 1.0), between)
add("clip below", lambda x: tg.clip(x, low=-0.5), lambda x: np.clip(x, -0.5, None), between)
add("power 3", lambda x: x**3, lambda x: x * x * x, anything)
add("power 2", lambda x: x**2, lambda x: x * x, anything)
add("power 1", lambda x: x**1, lambda x: x, anything)
add("power 0", lambda x: x**0, np.ones_like, anything)
add("power -1.5", lambda x: x**-1.5, lambda x: np.exp(-1.5 * np.log(x)), positive)
add("number + x", lambda x: 2.5 + x, lambda x: x + 2.5, anything)
add("number - x", lambda x: 2.5 - x, lambda x: -(x - 2.5), anything)
add("number * x", lambda x: 2.5 * x, lambda x: x + x + 0.5 * x, anything)
add("number / x", lambda x: 2.5 / x, lambda x: 2.5 * np.reciprocal(x), nonzero)
add("number ** x", lambda x: 2.5**x, lambda x: np.exp(x * math.log(2.5)), anything)

# --- two tensors that broadcast ---


@st.composite
def pairs(draw: Any, first: dict = {}, second: dict = {}) -> tuple[np.ndarray, np.ndarray]:  # noqa: B006
    a, b = draw(strategies.broadcastable())
    return draw(strategies.arrays(a, **first)), draw(strategies.arrays(b, **second))


@st.composite
def apart(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays without equal entries."""
    a, b = draw(strategies.broadcastable())
    x, y = draw(strategies.arrays(a)), draw(strategies.arrays(b))
    return np.asarray(np.round(x)), np.asarray(np.round(y) + 0.5)


add("x + y", lambda x, y: x + y, np.add, pairs())
add("x - y", lambda x, y: x - y, np.subtract, pairs())
add("x * y", lambda x, y: x * y, np.multiply, pairs())
add("x / y", lambda x, y: x / y, np.divide, pairs(second={"away_from": [0]}))
add("x ** y", lambda x, y: x**y, lambda x, y: np.exp(y * np.log(x)), pairs(first={"low": 0.2}))
add("maximum", tg.maximum, np.maximum, apart())
add("minimum", tg.minimum, np.minimum, apart())
add(
    "maximum with a number",
    lambda x: tg.maximum(x, 0.3),
    lambda x: np.maximum(x, 0.3),
    st.tuples(strategies.arrays(away_from=[0.3])),
)
add(
    "where",
    lambda x, y: tg.where(tg.xp.arange(4).reshape(4, 1) % 2 == 0, x, y),
    lambda x, y: np.stack([x, y, x, y]),
    st.tuples(strategies.arrays((3,)), strategies.arrays((3,))),
)
add(
    "where with a number",
    lambda x: tg.where(x > 0, x, 0.25),
    lambda x: np.where(x > 0, x, 0.25),
    nonzero,
)


@st.composite
def products(draw: Any, *shapes: tuple) -> tuple[np.ndarray, ...]:
    """Arrays of shapes written in letters, each letter one drawn length; "1" stays 1."""
    lengths = {c: draw(st.integers(1, 3)) for c in "abijkmn"} | {"1": 1}
    return tuple(draw(strategies.arrays(tuple(lengths[c] for c in s))) for s in shapes)


def naive_matmul(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a = x[None, :] if x.ndim == 1 else x
    b = y[:, None] if y.ndim == 1 else y
    z = (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
    z = z[..., 0, :] if x.ndim == 1 else z
    return z[..., 0] if y.ndim == 1 else z


for left, right in [
    ("ij", "jk"),
    ("j", "jk"),
    ("ij", "j"),
    ("j", "j"),
    ("nij", "jk"),
    ("nij", "njk"),
    ("aij", "njk"),
    ("1ij", "njk"),
    ("ij", "njk"),
    ("abij", "bjk"),
    ("nij", "j"),
    ("j", "njk"),
]:
    if (left, right) == ("aij", "njk"):
        continue  # needs a = n
    add(f"matmul {left},{right}", lambda x, y: x @ y, naive_matmul, products(left, right))

for left in ("ij", "j", "nij", "1ij", "abij"):
    add(
        f"affine {left}",
        tg.affine,
        lambda x, w, b: naive_matmul(x, w) + b,
        products(left, "jk", "k"),
    )
    add(f"affine {left} without b", tg.affine, naive_matmul, products(left, "jk"))

for subscripts in [
    "ij,jk->ik",
    "ij,jk",
    "ij->ji",
    "ij->",
    "ij->j",
    "i,j->ij",
    "ij,ij->i",
    "nij,njk->nik",
    "i,i",
    "ij,jk,km->im",
    "ij,j,i->",
    "aij,b->abj",
]:
    terms = subscripts.split("->")[0].split(",")
    add(
        f"einsum {subscripts}",
        lambda *xs, s=subscripts: tg.einsum(s, *xs),
        lambda *xs, s=subscripts: np.einsum(s, *xs),
        products(*terms),
    )
for subscripts, terms in [
    ("ii->i", ["ii"]),
    ("ii", ["ii"]),
    ("iji->j", ["iji"]),
    ("iii->i", ["iii"]),
    ("ii,ij->j", ["ii", "ij"]),
    ("...ij,...jk->...ik", ["nij", "njk"]),
    ("...ij,...jk->...ik", ["ij", "njk"]),
    ("...i->...", ["nmi"]),
    ("...ij,...jk->...ik", ["1ij", "njk"]),
    ("i...->...i", ["imn"]),
]:
    add(
        f"einsum {subscripts} of {','.join(terms)}",
        lambda *xs, s=subscripts: tg.einsum(s, *xs),
        lambda *xs, s=subscripts: np.einsum(s, *xs),
        products(*terms),
    )

# --- over axes ---


@st.composite
def over_axes(draw: Any, entries: Callable = strategies.arrays, min_dims: int = 0) -> tuple:
    x = draw(entries(strategies.shapes(min_dims=min_dims)))
    return x, draw(strategies.axes(x.ndim)), draw(st.booleans())


def over_axis(name: str, call: Callable, reference: Callable, inputs: st.SearchStrategy) -> None:
    add(
        name,
        lambda x, axis, keep: call(x, axis=axis, keepdims=keep),
        lambda x, axis, keep: reference(x, axis=axis, keepdims=keep),
        inputs,
    )


def naive_logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


over_axis("sum", tg.sum, np.sum, over_axes())
over_axis("mean", tg.mean, np.mean, over_axes())
over_axis("var", tg.var, np.var, over_axes())
over_axis("max", tg.max, np.max, over_axes(strategies.distinct))
over_axis("min", tg.min, np.min, over_axes(strategies.distinct))
over_axis("logsumexp", tg.logsumexp, naive_logsumexp, over_axes())
add(
    "var of a sample",
    lambda x: tg.var(x, axis=1, ddof=1),
    lambda x: np.var(x, axis=1, ddof=1),
    st.tuples(strategies.arrays(st.tuples(st.integers(1, 3), st.integers(2, 4)))),
)


def naive_softmax(x: np.ndarray, axis: Any, _: Any = None) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


add("softmax", lambda x, axis, _: tg.softmax(x, axis), naive_softmax, over_axes(min_dims=1))
add(
    "log_softmax",
    lambda x, axis, _: tg.log_softmax(x, axis),
    lambda x, axis, _: np.log(naive_softmax(x, axis)),
    over_axes(min_dims=1),
)

# --- moving entries ---

matrix = st.tuples(strategies.arrays((2, 3)))
cube = st.tuples(strategies.arrays((2, 3, 4)))
add("reshape", lambda x: x.reshape(3, -1), lambda x: x.reshape(3, 2), matrix)
add("transpose", lambda x: tg.transpose(x, (2, 0, 1)), lambda x: np.einsum("ijk->kij", x), cube)
add("T", lambda x: x.T, lambda x: np.einsum("ijk->kji", x), cube)
add("swapaxes", lambda x: tg.swapaxes(x, 0, -1), lambda x: np.einsum("ijk->kji", x), cube)
add("broadcast_to", lambda x: tg.broadcast_to(x, (4, 2, 3)), lambda x: np.stack([x] * 4), matrix)
add(
    "concat",
    lambda x, y: tg.concat([x, y, x], axis=-1),
    lambda x, y: np.hstack([x, y, x]),
    st.tuples(strategies.arrays((2, 3)), strategies.arrays((2, 1))),
)
add(
    "stack",
    lambda x, y: tg.stack([x, y], axis=1),
    lambda x, y: np.stack([x, y], 1),
    st.tuples(strategies.arrays((2, 3)), strategies.arrays((2, 3))),
)
add("split", lambda x: tg.split(x, [1, 3], axis=2)[1], lambda x: x[:, :, 1:3], cube)
add("split evenly", lambda x: tg.split(x, 2, axis=2)[0], lambda x: x[:, :, :2], cube)
add(
    "pad",
    lambda x: tg.pad(x, ((1, 0), (0, 2)), 0.5),
    lambda x: np.block([[np.full((1, 5), 0.5)], [x, np.full((2, 2), 0.5)]]),
    matrix,
)
add("flip", lambda x: tg.flip(x, (0, 2)), lambda x: x[::-1, :, ::-1], cube)
add(
    "cumsum",
    lambda x: tg.cumsum(x, axis=1),
    lambda x: np.stack([x[:, : i + 1].sum(1) for i in range(3)], 1),
    cube,
)
add(
    "take",
    lambda x: tg.take(x, [2, 0, 2, -1], axis=1),
    lambda x: np.stack([x[:, i] for i in (2, 0, 2, 2)], 1),
    cube,
)
add(
    "take flat",
    lambda x: tg.take(x, [[5, 0], [5, 1]]),
    lambda x: np.array([[x[1, 2], x[0, 0]], [x[1, 2], x[0, 1]]]),
    matrix,
)
add("slice", lambda x: x[:, 1:, ::-2], lambda x: np.take(np.take(x, [1, 2], 1), [3, 1], 2), cube)
add("integer", lambda x: x[-1], lambda x: np.take(x, 1, 0), cube)
add("new axis", lambda x: x[:, None, ..., 0], lambda x: np.take(x, 0, 2)[:, None], cube)
add(
    "mask",
    lambda x: x[np.array([[True, False, True], [False, False, True]])],
    lambda x: np.array([x[0, 0], x[0, 2], x[1, 2]]),
    matrix,
)
add(
    "integer arrays",
    lambda x: x[[0, 1, 0], [2, 2, 2]],
    lambda x: np.array([x[0, 2], x[1, 2], x[0, 2]]),
    matrix,
)
add(
    "mixed index",
    lambda x: x[1, [0, 2, 0], 1:3],
    lambda x: np.stack([x[1, i, 1:3] for i in (0, 2, 0)]),
    cube,
)

# --- images ---

image = st.tuples(strategies.arrays((1, 4, 3, 2)))


def naive_windows(x: np.ndarray, size: int, stride: int, padding: int, fill: float) -> np.ndarray:
    """Every patch, by loops: (N, H', W', size, size, C)."""
    p = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = np.pad(x, p, constant_values=fill)
    rows, columns = ((n - size) // stride + 1 for n in x.shape[1:3])
    return np.stack(
        [
            np.stack(
                [
                    x[:, i * stride : i * stride + size, j * stride : j * stride + size]
                    for j in range(columns)
                ],
                1,
            )
            for i in range(rows)
        ],
        1,
    )


add("patches", lambda x: tg.patches(x, 2, 2, 1), lambda x: naive_windows(x, 2, 2, 1, 0), image)
add(
    "max_pool2d",
    lambda x: tg.max_pool2d(x, 2, 1, 1),
    lambda x: naive_windows(x, 2, 1, 1, -np.inf).max((3, 4)),
    st.tuples(strategies.distinct((1, 4, 3, 2))),
)
add(
    "avg_pool2d",
    lambda x: tg.avg_pool2d(x, 2, 1, 1),
    lambda x: np.nanmean(naive_windows(x, 2, 1, 1, np.nan), axis=(3, 4)),
    image,
)
add(
    "upsample2d",
    lambda x: tg.upsample2d(x, (2, 3)),
    lambda x: np.kron(x, np.ones((1, 2, 3, 1))),
    image,
)


def naive_conv2d(x: np.ndarray, w: np.ndarray, b: Any, stride: int, padding: int) -> np.ndarray:
    patches = naive_windows(x, len(w), stride, padding, 0)
    return np.tensordot(patches, w, 3) + (0 if b is None else b)


def naive_conv_transpose2d(
    y: np.ndarray, w: np.ndarray, b: Any, stride: int, padding: int
) -> np.ndarray:
    """Every pixel of y scattered over a patch of x, by loops."""
    (N, H, W, _), (K, _, C, _) = y.shape, w.shape
    x = np.zeros((N, (H - 1) * stride + K, (W - 1) * stride + K, C))
    for i in range(H):
        for j in range(W):
            patch = np.einsum("no,klco->nklc", y[:, i, j], w)
            x[:, i * stride : i * stride + K, j * stride : j * stride + K] += patch
    x = x[:, padding : x.shape[1] - padding, padding : x.shape[2] - padding]
    return x + (0 if b is None else b)


kernel = strategies.arrays((2, 2, 1, 2))
for stride, padding in [(1, 0), (2, 1), (3, 0)]:
    # with stride 3, a kernel of 2 leaves pixels that nothing meets: there, the result is b
    add(
        f"conv2d, stride {stride}, padding {padding}",
        lambda x, w, b, s=stride, p=padding: tg.conv2d(x, w, s, p, bias=b),
        lambda x, w, b, s=stride, p=padding: naive_conv2d(x, w, b, s, p),
        st.tuples(strategies.arrays((1, 3, 2, 1)), kernel, strategies.arrays((2,))),
    )
    add(
        f"conv_transpose2d, stride {stride}, padding {padding}",
        lambda y, w, b, s=stride, p=padding: tg.conv_transpose2d(y, w, s, p, bias=b),
        lambda y, w, b, s=stride, p=padding: naive_conv_transpose2d(y, w, b, s, p),
        st.tuples(strategies.arrays((1, 2, 2, 2)), kernel, strategies.arrays((1,))),
    )
add(
    "conv2d without bias",
    tg.conv2d,
    lambda x, w: naive_conv2d(x, w, None, 1, 0),
    st.tuples(strategies.arrays((2, 2, 3, 1)), kernel),
)
add(
    "conv_transpose2d without bias",
    tg.conv_transpose2d,
    lambda y, w: naive_conv_transpose2d(y, w, None, 1, 0),
    st.tuples(strategies.arrays((2, 1, 2, 2)), kernel),
)


# --- normalisation ---


@st.composite
def normalisable(draw: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (A, B, G, D) of which no two entries are equal, and γ and β (G, D)."""
    shape = tuple(draw(st.integers(1, 3)) for _ in range(4))
    scales = strategies.arrays(shape[2:])
    return draw(strategies.distinct(shape)), draw(scales), draw(scales)


def naive_normalise(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> np.ndarray:
    """Group by group, by its definition."""
    y = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for group in range(x.shape[2]):
            part = x[i, :, group]
            centred = part - part.sum() / part.size
            scale = math.sqrt((centred**2).sum() / part.size + eps)
            y[i, :, group] = gamma[group] * centred / scale + beta[group]
    return y


add(
    "normalise",
    lambda x, gamma, beta: normalise(x, gamma, beta, 0.1)[0],
    lambda x, gamma, beta: naive_normalise(x, gamma, beta, 0.1),
    normalisable(),
)
