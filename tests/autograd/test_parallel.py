"""autograd/parallel.py: fused formulas, blocks and threads, products and sums."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from tinygen.autograd import backend, fused, parallel, to_numpy, xp
from tinygen.autograd.parallel import spread, workspace

# --- formulas in one pass -------------------------------------------------------------------------


def mixed(*arrays):
    """A formula whose result is the same to the last bit, however the arrays are cut."""
    total = arrays[0] * 2 + 1
    for i, array in enumerate(arrays[1:]):
        total = xp.maximum(total * array, i) - array
    return total


dtypes = st.sampled_from([np.float32, np.float64])


@st.composite
def operands(draw):
    """Up to three host arrays that broadcast: contiguous, transposed, strided or reversed."""
    count = draw(st.integers(1, 3))
    shapes = draw(
        mutually_broadcastable_shapes(num_shapes=count, max_dims=3, min_side=0, max_side=6)
    )
    rng, dtype = np.random.default_rng(draw(st.integers(0, 9))), draw(dtypes)
    arrays = []
    for shape in shapes.input_shapes:
        layout = draw(st.sampled_from(["C", "F", "strided", "reversed"])) if shape else "C"
        array = rng.normal(size=shape).astype(dtype)
        if layout == "F":
            array = np.asfortranarray(array)
        elif layout == "strided":
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        elif layout == "reversed":
            array = array[::-1].copy()[::-1]
        arrays.append(array)
    return arrays


@given(operands(), st.integers(1, 3), st.sampled_from([1, 100, 10_000]))
def test_a_fused_formula_equals_the_plain_one(arrays, threads, block_bytes):
    arrays = [xp.asarray(a) for a in arrays]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "FUSE_FROM", 0)
        patch.setattr(parallel, "BLOCK_BYTES", block_bytes)
        patch.setattr(backend, "threads", threads)
        result = fused(mixed)(*arrays)
    expected = mixed(*arrays)
    assert result.dtype == expected.dtype
    assert np.array_equal(to_numpy(result), to_numpy(expected))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "shapes",
    [
        [(70_000,)],
        [(300, 200)],
        [(300, 200), (200,)],
        [(2, 3, 9000), (3, 1)],
        [(1, 50_000), (4, 1)],
        [(50_000, 2), ()],
        [(1, 3, 40_000), (1, 40_000)],
        [(200, 1, 200), (1, 1, 200), (200, 1, 1)],
        [(40_000, 1), (1, 0)],
        [(1, 40_000), (0, 1)],
    ],
    ids=str,
)
def test_a_large_fused_formula_equals_the_plain_one(shapes, threads, rng, monkeypatch):
    monkeypatch.setattr(backend, "threads", threads)
    arrays = [xp.asarray(rng.normal(size=s).astype(np.float32)) for s in shapes]
    result, expected = fused(mixed)(*arrays), mixed(*arrays)
    assert result.dtype == np.float32
    assert np.array_equal(to_numpy(result), to_numpy(expected))


def test_a_fused_formula_is_called_on_pieces_that_stay_in_cache(monkeypatch):
    if backend.plain:
        pytest.skip("the plain path takes the arrays whole")
    monkeypatch.setattr(backend, "threads", 1)
    sizes = []
    fused(lambda x: sizes.append(x.size) or x)(np.zeros(1_000_000, np.float32))
    assert len(sizes) > 2 and max(sizes) * 4 <= parallel.BLOCK_BYTES


def test_a_fused_formula_is_called_once_on_small_arrays():
    sizes = []
    fused(lambda x: sizes.append(x.size) or x)(xp.zeros(parallel.FUSE_FROM - 1))
    assert sizes == [parallel.FUSE_FROM - 1]


@pytest.mark.parametrize("size", [5, 200_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_leave_a_fused_formulas_dtype_as_it_is(size, dtype):
    x = xp.ones(size, dtype)
    assert fused(lambda a, rate: a * rate + 1)(x, 0.1).dtype == dtype


def test_a_fused_formula_of_numbers_alone_is_the_formula():
    assert fused(lambda a, b: a + b)(1.5, 2) == 3.5


def test_a_fused_formula_keeps_its_name_and_docstring():
    assert fused(mixed).__name__ == "mixed" and fused(mixed).__doc__ == mixed.__doc__


def test_a_fused_formula_may_call_another(python):
    code = """
from tinygen.autograd import xp
from tinygen.autograd import fused
inner = fused(lambda x: x * 2 + 1)
outer = fused(lambda x: inner(x) * 3)
print(float(outer(xp.ones(1_000_000)).mean()))
"""
    # threads that wait for each other would deadlock
    assert python(code, timeout=30, TINYGEN_THREADS="2") == "9.0"


def test_an_error_in_a_fused_formula_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(backend, "threads", 2)
    with pytest.raises(ZeroDivisionError):
        fused(lambda x: x + 1 / 0)(xp.ones(1_000_000))


# --- blocks over threads --------------------------------------------------------------------------


@given(st.integers(0, 300), st.integers(0, 5 << 20), st.integers(1, 5))
def test_spread_covers_each_index_once_and_in_order(count, bytes_each, threads):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "threads", threads)
        parts = spread(lambda start, stop: list(range(start, stop)), count, bytes_each)
    assert [i for part in parts for i in part] == list(range(count))
    assert all(parts)  # no call without work


@given(st.integers(1, 300), st.integers(1, 5 << 20), st.integers(1, 5))
def test_spread_gives_no_call_more_than_fits_into_a_block(count, bytes_each, threads):
    room = min(parallel.BLOCK_BYTES, parallel.WORKSPACE_BYTES // threads)
    if backend.name != "numpy":
        room = 256 << 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "threads", threads)
        sizes = spread(lambda start, stop: stop - start, count, bytes_each)
    assert all(size == 1 or size * bytes_each <= room for size in sizes)


def test_spread_uses_as_many_threads_as_it_may(monkeypatch):
    monkeypatch.setattr(backend, "threads", 3)
    together = threading.Barrier(3, timeout=20)  # breaks unless three calls wait here at once
    spread(lambda start, stop: together.wait(), 3, 1)


def test_spread_within_spread_ends(python):
    code = """
from tinygen.autograd.parallel import spread
print(spread(lambda i, j: sum(spread(lambda i, j: j - i, 10, 1)), 2, 1))
"""
    assert python(code, timeout=30, TINYGEN_THREADS="2") == "[10, 10]"


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_one_block_reaches_the_caller(threads, monkeypatch):
    monkeypatch.setattr(backend, "threads", threads)

    def work(start, stop):
        if start <= 5 < stop:
            raise ZeroDivisionError("block of 5")

    with pytest.raises(ZeroDivisionError, match="block of 5"):
        spread(work, 9, 5 << 20)


# --- the threads of BLAS --------------------------------------------------------------------------

COUNTS = """
import threading
import numpy as np
import tinygen as tg
from threadpoolctl import threadpool_info
from tinygen import nn, optim
from tinygen.autograd import parallel
def counts():
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
before = counts()
"""

OPERATIONS = {
    "a product": "tg.matmul(np.ones((300, 300)), np.ones((300, 300)))",
    "a contraction": 'tg.einsum("ij,jk->ik", np.ones((200, 200)), np.ones((200, 200)))',
    "a sum": "tg.sum(np.ones((400, 40, 400)), (0, 1))",
    "a convolution": "tg.conv2d(np.ones((8, 28, 28, 16)), np.ones((3, 3, 16, 16)), 1, 1)",
    "a step": """
layer = nn.Dense(500, 500, rng=np.random.default_rng(0))
parameters = layer.parameters()
loss = tg.mean(layer(np.ones((64, 500), "f4")) ** 2)
optim.Adam(parameters, 1e-3).step(tg.grad(loss, parameters))
""",
    "an error": """
try:
    parallel.spread(lambda start, stop: 1 / 0, 10, 1)
except ZeroDivisionError:
    pass
""",
}


def on_two_blas_threads(python, code):
    out = python(COUNTS + code, OPENBLAS_NUM_THREADS="2", OMP_NUM_THREADS="2", TINYGEN_THREADS="2")
    return out.split()


@pytest.mark.parametrize("code", OPERATIONS.values(), ids=OPERATIONS)
def test_blas_has_as_many_threads_after_an_operation_as_before(code, python):
    assert on_two_blas_threads(python, code + "\nprint(counts() == before)") == ["True"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_blas_keeps_to_one_thread_while_jobs_run(count, python):
    code = f"""
during = []
parallel.run_jobs(lambda _: during.extend(counts()), {count})
print(set(during) <= {{1}}, counts() == before)
"""
    assert on_two_blas_threads(python, code) == ["True", "True"]


def test_the_last_of_several_threads_restores_the_threads_of_blas(python):
    code = """
entered, done = threading.Event(), threading.Event()
def other():
    with parallel.one_blas_thread:
        entered.set()
        done.wait(20)
thread = threading.Thread(target=other)
thread.start()
entered.wait(20)
with parallel.one_blas_thread:
    done.set()
    thread.join()
    print(set(counts()) <= {1}, end=" ")
print(counts() == before)
"""
    assert on_two_blas_threads(python, code) == ["True", "True"]


def test_a_number_of_blas_threads_that_the_user_sets_is_the_one_restored(python):
    code = """
from threadpoolctl import threadpool_limits
with threadpool_limits(2, "blas"):
    with threadpool_limits(1, "blas"):
        tg.matmul(np.ones((300, 300)), np.ones((300, 300)))
        print(set(counts()) <= {1}, end=" ")
    print(set(counts()) <= {2})
"""
    assert on_two_blas_threads(python, code) == ["True", "True"]


def test_a_workspace_is_kept_for_the_next_block_of_its_thread():
    first = workspace("test", (4, 5), np.float32)
    first[...] = 3
    again = workspace("test", (2, 3), np.float32)
    assert again.shape == (2, 3) and float(again.sum()) == 18


def test_a_workspace_grows_and_changes_its_dtype_when_asked_to():
    assert workspace("test", (2,), np.float32).dtype == np.float32
    assert workspace("test", (2,), np.float64).dtype == np.float64
    assert workspace("test", (30, 40), np.float64).shape == (30, 40)
    assert workspace("test", (0, 4), np.float64).shape == (0, 4)


def test_a_workspace_belongs_to_one_thread():
    ours = workspace("test", (3,), np.float64)
    ours.fill(1)
    other = threading.Thread(target=lambda: workspace("test", (3,), np.float64).fill(2))
    other.start()
    other.join()
    assert float(ours.sum()) == 3


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "shapes",
    [
        ((300, 70), (70, 200)),
        ((70, 300), (300, 400)),
        ((5, 80, 90), (5, 90, 100)),
        ((5, 80, 90), (1, 90, 100)),
        ((2, 3, 80, 90), (2, 3, 90, 100)),
        ((0, 4), (4, 5)),
        ((1, 1), (1, 1)),
        ((300, 1), (1, 200)),
        ((5, 80, 1), (1, 1, 100)),
    ],
    ids=str,
)
def test_a_product_on_several_threads_is_the_product(shapes, threads, rng, monkeypatch):
    monkeypatch.setattr(backend, "threads", threads)
    monkeypatch.setattr(parallel, "PRODUCT_FROM", 1000)
    a, b = (rng.normal(size=shape) for shape in shapes)
    ours = to_numpy(parallel.product(xp.asarray(a), xp.asarray(b)))
    np.testing.assert_allclose(ours, a @ b, rtol=1e-10, atol=1e-10)
    bT, aT = (xp.asarray(each).swapaxes(-1, -2) for each in (b, a))
    theirs = (a @ b).swapaxes(-1, -2)
    np.testing.assert_allclose(to_numpy(parallel.product(bT, aT)), theirs, atol=1e-10)


AXES = [None, 0, -1, (0,), (0, 1), (1, 0), (0, 2), (0, 1, 2), (-3, 1)]


def test_a_product_of_different_integers_takes_the_wider_dtype(monkeypatch):
    monkeypatch.setattr(parallel, "PRODUCT_FROM", 1)
    a, b = xp.ones((40, 50), "i4"), xp.ones((50, 60), "i8")
    z = parallel.product(a, b)
    assert z.dtype == "i8" and (to_numpy(z) == 50).all()


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape", [(40, 50, 30), (1, 40000, 1), (3, 4, 5)], ids=str)
def test_add_up_is_sum(shape, axis, keepdims, rng):
    x = rng.normal(size=shape)
    ours = to_numpy(parallel.add_up(xp.asarray(x), axis, keepdims))
    expected = x.sum(axis, keepdims=keepdims)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_add_up_over_axes_that_are_not_adjacent_is_sum(rng):
    x = rng.normal(size=(20, 30, 4, 9))
    ours = to_numpy(parallel.add_up(xp.asarray(x), (0, 2), False))
    np.testing.assert_allclose(ours, x.sum((0, 2)), atol=1e-9)


@parallel.in_place
def approach(x, y, rate: float):
    x *= 1 - rate
    x += rate * y


@pytest.mark.parametrize("shape", [(10,), (3, 0), (1000, 300)], ids=str)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["rows first", "columns first"])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_in_place_formula_changes_its_argument(shape, order, threads, monkeypatch):
    if backend.name == "numpy":
        monkeypatch.setattr(backend, "threads", threads)
    shape = (*shape, 2) if len(shape) == 1 else shape
    x = xp.arange(np.prod(shape), dtype="f4").reshape(shape).transpose(order)
    y, same = xp.ones(x.shape, "f4"), x
    expected = 0.75 * to_numpy(x) + 0.25
    assert approach(x, y, 0.25) is None
    np.testing.assert_array_equal(to_numpy(same), expected)
    assert (to_numpy(y) == 1).all()
