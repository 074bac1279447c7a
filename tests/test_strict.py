"""The mock for CuPy enforces CuPy's restrictions, and computes the same as NumPy."""

import copy

import numpy as np
import pytest
import strict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@pytest.fixture
def x():
    return strict.asarray(np.arange(6.0).reshape(2, 3))


@pytest.fixture
def host():
    return np.ones((2, 3))


def refusal(expected, call, *inputs, **keywords):
    with pytest.raises(expected) as caught:
        call(*inputs, **keywords)
    return str(caught.value)


UNSUPPORTED = "Unsupported type <class 'numpy.ndarray'>"
IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)


# --- to the CPU and back --------------------------------------------------------------------------


def test_get_gives_a_numpy_array():
    array = strict.asarray([1, 2]).get()
    assert type(array) is np.ndarray and array.tolist() == [1, 2]


def test_get_copies(x):
    x.get()[:] = 7
    assert float(x.sum()) == 15


def test_asarray_of_a_numpy_array_copies(host):
    x = strict.asarray(host)
    host[:] = 7
    assert float(x.sum()) == 6


def test_asarray_of_a_device_array_is_that_array(x):
    assert strict.asarray(x) is x
    assert strict.asarray(x, dtype="f4") is not x


def test_array_of_a_device_array_copies(x):
    y = strict.array(x)
    y += 1
    assert float(x.sum()) == 15


def test_asarray_joins_a_list_of_device_arrays(x):
    assert strict.asarray([x, x]).shape == (2, 2, 3)


def test_asarray_of_device_arrays_and_numbers_is_refused(x):
    assert refusal(TypeError, strict.asarray, [x.sum(), 1.0]) == IMPLICIT


@pytest.mark.parametrize("value", ["text", np.array(["a"]), [object()]], ids=["str", "str[]", "o"])
def test_asarray_takes_numbers_only(value):
    assert refusal(ValueError, strict.asarray, value).startswith("Unsupported dtype")


def test_numpy_can_not_convert_an_array(x):
    assert refusal(TypeError, np.asarray, x) == IMPLICIT
    assert refusal(TypeError, np.array, [x, x]) == IMPLICIT


def test_an_array_can_be_copied_as_any_object_can(x):
    for y in (copy.copy(x), copy.deepcopy(x), x.copy()):
        assert (y == x).all() and type(y) is strict.ndarray


# --- GPU and CPU arrays do not mix ----------------------------------------------------------------


def test_arithmetic_with_a_numpy_array_is_refused_on_either_side(x, host):
    assert refusal(TypeError, lambda: x + host) == UNSUPPORTED
    assert refusal(TypeError, lambda: host + x) == UNSUPPORTED
    assert refusal(TypeError, lambda: x @ host.T) == UNSUPPORTED
    assert refusal(TypeError, lambda: host.T @ x) == UNSUPPORTED


def test_a_comparison_with_a_numpy_array_is_refused(x, host):
    assert refusal(TypeError, lambda: x < host) == UNSUPPORTED
    assert refusal(TypeError, lambda: host == x) == UNSUPPORTED


def test_arithmetic_in_place_with_a_numpy_array_is_refused(x, host):
    assert refusal(TypeError, x.__iadd__, host) == UNSUPPORTED
    assert refusal(TypeError, host.__iadd__, x) == UNSUPPORTED


def test_functions_refuse_a_numpy_array(x, host):
    assert refusal(TypeError, strict.exp, host) == UNSUPPORTED
    assert refusal(TypeError, strict.maximum, x, host) == UNSUPPORTED
    assert refusal(TypeError, strict.sum, host) == UNSUPPORTED
    assert refusal(TypeError, strict.where, x > 1, host, 0.0) == UNSUPPORTED
    assert refusal(TypeError, strict.linalg.norm, host) == UNSUPPORTED
    assert refusal(TypeError, x.dot, host.T) == UNSUPPORTED


def test_functions_refuse_a_list_of_numbers():
    assert refusal(TypeError, strict.exp, [1.0]) == "Unsupported type <class 'list'>"
    assert refusal(TypeError, strict.sum, [1.0]) == "sum: Unsupported type <class 'list'>"


def test_joining_with_a_numpy_array_is_refused(x, host):
    message = "Only cupy arrays can be concatenated"
    assert refusal(TypeError, strict.concatenate, [x, host]) == message
    assert refusal(TypeError, np.stack, [x, host]) == message


def test_lists_do_not_take_part_in_arithmetic(x):
    numbers = [1, 2, 3]
    refusal(TypeError, lambda: x + numbers)
    refusal(TypeError, x.__iadd__, numbers)


def test_numbers_and_numpy_scalars_mix_freely(x):
    assert float((x + 1).sum()) == 21
    assert float((2 * x).sum()) == float((np.float64(2) * x).sum()) == 30
    assert float((x / np.float32(2)).sum()) == 7.5
    assert (7 - x)[0].tolist() == [7, 6, 5] and (1 / (x + 1))[0, 1].item() == 0.5
    assert type(np.float32(2) * x) is strict.ndarray


def test_numpys_own_functions_run_on_the_device(x, host):
    assert type(np.exp(x)) is type(np.sum(x)) is type(np.linalg.norm(x)) is strict.ndarray
    assert refusal(TypeError, np.add, x, host) == UNSUPPORTED
    assert refusal(TypeError, np.add, x, 1, out=host) == UNSUPPORTED


def test_numpys_functions_without_a_match_are_refused(x):
    refusal(TypeError, np.block, [x])
    refusal(TypeError, np.add.outer, x, x)


def test_another_librarys_array_has_the_last_word(x):
    class Other:
        __array_ufunc__ = None

        def __radd__(self, other):
            return "other"

    assert x + Other() == "other"


# --- elements -------------------------------------------------------------------------------------


def test_all_indices_leave_an_array_without_axes(x):
    entry = x[1, 2]
    assert type(entry) is strict.ndarray and entry.shape == () and float(entry) == 5


def test_an_entry_is_a_view(x):
    entry = x[1, 2]
    entry += 1
    assert float(x[1, 2]) == 6


@pytest.mark.parametrize("index", [[0], np.array([0]), (slice(None), [0])], ids=str)
def test_an_index_from_the_host_is_refused(index, x):
    with pytest.raises(TypeError, match="in an index; move it with asarray"):
        x[index]


def test_an_integer_out_of_range_is_an_error(x):
    with pytest.raises(IndexError):
        x[2]


@pytest.mark.parametrize(("given", "taken"), [(2, 0), (5, 1), (-3, 1)])
def test_an_integer_in_an_array_wraps_around_silently(given, taken, x):
    index = strict.asarray([given])
    assert (x[index] == x[taken]).all()
    assert (strict.take(x, index, axis=0) == x[taken]).all()


def test_each_integer_array_wraps_around_its_own_axis(x):
    beyond = strict.asarray([4])
    assert float(x[..., beyond][1, 0]) == float(x[1, 1])
    assert float(x[None, :, beyond][0, 1, 0]) == float(x[1, 1])
    assert float(x[beyond, beyond].item()) == float(x[0, 1])


def test_after_a_mask_of_two_axes_an_integer_array_belongs_to_the_third():
    y, mask = strict.arange(24).reshape(2, 3, 4), strict.ones((2, 3)) > 0
    assert (y[mask, strict.asarray([5])] == y[mask, strict.asarray([1])]).all()


def test_a_mask_selects(x):
    assert x[x > 2].tolist() == [3, 4, 5]
    assert x[strict.asarray([True, False])].tolist() == [[0, 1, 2]]


def test_a_numpy_array_can_not_be_assigned(x, host):
    message = "non-scalar numpy.ndarray cannot be used for fill"
    assert refusal(ValueError, x.__setitem__, ..., host) == message
    assert refusal(ValueError, x.__setitem__, strict.asarray([0]), host[0]) == message
    assert refusal(ValueError, x.__setitem__, 0, [1, 2, 3]) == message


def test_numbers_and_device_arrays_can_be_assigned(x):
    x[0] = 7
    x[1] = x[0] + np.float64(1)
    x[:, strict.asarray([2, 0])] = strict.zeros((2, 2))
    assert x.tolist() == [[0, 7, 0], [0, 8, 0]]


def test_storing_different_values_into_one_cell_is_refused(x):
    twice = strict.asarray([0, 2])  # 2 wraps around to 0
    with pytest.raises(ValueError, match="one cell is stored into twice"):
        x[twice] = strict.ones((2, 3))
    x[twice] = 5  # the same value either way
    assert x[0].tolist() == [5, 5, 5]


def test_add_at_adds_as_often_as_an_index_appears():
    z = strict.zeros(3)
    strict.add.at(z, strict.asarray([0, 2, 0]), strict.asarray([1.0, 2.0, 4.0]))
    assert z.tolist() == [5, 0, 2]


def test_add_at_takes_only_dtypes_with_atomic_addition():
    z = strict.zeros(3, "i1")
    assert refusal(TypeError, strict.add.at, z, 0, 1) == "add.at does not support int8"


# --- unsupported uses of an array -----------------------------------------------------------------


def test_an_array_can_not_be_iterated_over(x):
    assert refusal(TypeError, list, x) == "'ndarray' object is not iterable"


def test_an_array_can_not_be_searched_with_in(x):
    refusal(TypeError, lambda: 3 in x)


def test_an_array_is_no_index_and_no_size(x):
    count = x.sum()
    refusal(TypeError, range, count)
    refusal(TypeError, lambda: [1, 2][count])
    refusal(TypeError, lambda: x[:count])
    refusal(TypeError, strict.zeros, count)
    refusal(TypeError, strict.arange, count)
    refusal(TypeError, x.reshape, count)


def test_an_array_can_not_be_hashed(x):
    refusal(TypeError, hash, x)


def test_a_product_in_place_makes_a_new_array(x):
    y = before = strict.eye(3)
    y @= y
    assert y is not before and not hasattr(x, "__imatmul__")


def test_arithmetic_in_place_keeps_the_array(x):
    y = x
    y += 1
    y *= x
    assert y is x and x[0].tolist() == [1, 4, 9]


@pytest.mark.parametrize(
    "name",
    [
        "__array_interface__",
        "__array_struct__",
        "ctypes",
        "setflags",
        "resize",
        "shared",
        "__index__",
    ],
)
def test_an_array_lacks_what_only_memory_on_the_host_has(name, x):
    assert not hasattr(x, name)


def test_of_its_flags_an_array_knows_the_layout_only(x):
    assert x.flags.c_contiguous and x.T.flags.f_contiguous and not x.T.flags.c_contiguous
    assert not hasattr(x.flags, "writeable")


# --- names and keywords that CuPy lacks -----------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "block",
        "insert",
        "geomspace",
        "unstack",
        "vecdot",
        "errstate",
        "ndenumerate",
        "nditer",
        "matrix",
        "float128",
    ],
)
def test_a_name_that_cupy_lacks_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=name):
        getattr(strict, name)


def test_there_is_no_vector_norm():
    assert hasattr(strict.linalg, "norm") and not hasattr(strict.linalg, "vector_norm")


@pytest.mark.parametrize(
    ("name", "keyword", "value"),
    [
        ("exp", "where", True),
        ("exp", "order", "C"),
        ("add", "subok", False),
        ("sum", "initial", 0),
        ("sum", "where", True),
        ("max", "initial", 0),
        ("mean", "where", True),
        ("var", "mean", 0),
        ("std", "correction", 1),
        ("clip", "min", 0),
        ("clip", "max", 1),
        ("sort", "stable", True),
        ("argsort", "stable", True),
        ("take", "mode", "clip"),
        ("zeros_like", "device", "cpu"),
        ("count_nonzero", "keepdims", True),
        ("broadcast_to", "subok", True),
    ],
)
def test_a_keyword_that_cupy_lacks_is_refused(name, keyword, value, x):
    message = f"{name}() got an unexpected keyword argument {keyword!r}"
    assert refusal(TypeError, getattr(strict, name), x, **{keyword: value}) == message


def test_makers_take_no_device():
    refusal(TypeError, strict.zeros, 3, device="cpu")
    refusal(TypeError, strict.asarray, [3], device="cpu")


def test_einsum_and_tensordot_take_no_out(x):
    out = strict.empty((2, 2))
    refusal(TypeError, strict.einsum, "ij,kj->ik", x, x, out=out)
    refusal(TypeError, strict.tensordot, x, x, out=out)


def test_methods_refuse_the_same_keywords(x):
    refusal(TypeError, x.sum, where=x > 1)
    refusal(TypeError, x.max, initial=0)


def test_the_method_clip_takes_its_bounds_by_name(x):
    assert x.clip(min=1, max=2).tolist() == [[1, 1, 2], [2, 2, 2]]


def test_an_answer_about_all_entries_is_an_array_too(x):
    for answer in (strict.allclose(x, x), strict.array_equal(x, x), strict.count_nonzero(x)):
        assert type(answer) is strict.ndarray and answer.shape == ()


def test_out_is_taken_and_returned(x):
    out = strict.empty((2, 3))
    assert strict.exp(x, out=out) is out
    assert strict.matmul(x, strict.eye(3), out=out) is out
    total = strict.empty(3)
    assert x.sum(axis=0, out=total) is total
    assert out.tolist() == x.tolist() and total.tolist() == [3, 5, 7]


# --- waiting for the device -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        float,
        int,
        bool,
        complex,
        str,
        repr,
        "{:.1f}".format,
        lambda x: x.item(),
        lambda x: x.get(),
        lambda x: x.tolist(),
        lambda x: x.tobytes(),
        lambda x: 1 if x else 0,
    ],
)
def test_what_needs_the_value_waits_for_the_device_once(wait, x):
    total = x.sum()
    with strict.count_synchronisations() as count:
        wait(total)
    assert count() == 1


def test_what_needs_the_number_of_true_entries_waits(x):
    for wait in (lambda: x[x > 1], lambda: strict.nonzero(x), lambda: strict.unique(x)):
        with strict.count_synchronisations() as count:
            wait()
        assert count() == 1


def test_arithmetic_does_not_wait(x):
    with strict.count_synchronisations() as count:
        y = strict.exp(x @ x.T - x.max()).sum(axis=1)
        y[0] = 3
        y[y > 1] = 0
        assert y.shape == (2,) and y.dtype == float and len(y) == 2
    assert count() == 0


def test_the_count_ends_with_its_block(x):
    with strict.count_synchronisations() as outer:
        x.get()
        with strict.count_synchronisations() as inner:
            x.get()
        assert (outer(), inner()) == (2, 1)


# --- one kernel -----------------------------------------------------------------------------------


def test_a_fused_formula_needs_a_name_that_a_kernel_can_have():
    with pytest.raises(ValueError, match="Invalid kernel name: '<lambda>'"):
        strict.fuse()(lambda a: a)


def test_a_fused_formula_runs_on_device_arrays(x):
    kernel = strict.fuse(kernel_name="fused")(lambda a, rate: a * rate)
    assert kernel(x, 2.0).tolist() == (x * 2).tolist()


def test_a_fused_formula_refuses_numpy_arrays_beside_device_arrays(x, host):
    kernel = strict.fuse(kernel_name="fused")(lambda a, b: a)
    message = "Invalid argument type for '<lambda>': <class 'numpy.ndarray'>"
    assert refusal(TypeError, kernel, x, host) == message


def test_a_fused_formula_without_device_arrays_is_plain_python(host):
    kernel = strict.fuse(kernel_name="fused")(lambda a: a * 2)
    assert kernel(3) == 6
    assert type(kernel(host)) is np.ndarray


# --- the same numbers as NumPy --------------------------------------------------------------------

floats = arrays(np.float32, (3, 4), elements=st.floats(-8, 8, width=32))


@pytest.mark.parametrize(
    "formula",
    [
        lambda xp, a, b: a + b * 2 - a / 4,
        lambda xp, a, b: (a @ b.T).sum(axis=0, keepdims=True),
        lambda xp, a, b: xp.where(a > b, xp.exp(a), -b),
        lambda xp, a, b: xp.concatenate([a, b], axis=1).reshape(4, 6).swapaxes(0, 1),
        lambda xp, a, b: xp.einsum("ij,kj->ik", a, b, optimize=True),
        lambda xp, a, b: xp.maximum(a, b).max(axis=(0, 1)) - abs(a).min(),
        lambda xp, a, b: xp.pad(a, ((1, 0), (0, 2)), constant_values=1.5)[..., None, ::2],
        lambda xp, a, b: xp.lib.stride_tricks.sliding_window_view(a, 2, axis=1).mean(axis=-1),
        lambda xp, a, b: xp.linalg.svd(a @ b.T)[1],
        lambda xp, a, b: (a < b) & ~(a == 0) | (b >= 1),
        lambda xp, a, b: a.argmax(axis=1) + xp.argsort(b, axis=1)[:, 0],
        lambda xp, a, b: xp.stack(xp.split(a, 2, axis=1)) // xp.broadcast_to(9 + b[0, :2], (3, 2)),
        lambda xp, a, b: xp.allclose(a, b) + xp.count_nonzero(a),
    ],
)
@given(a=floats, b=floats)
def test_formulas_agree_with_numpy(formula, a, b):
    expected = np.asarray(formula(np, a, b))
    result = formula(strict, strict.asarray(a), strict.asarray(b))
    assert type(result) is strict.ndarray
    assert result.dtype == expected.dtype
    assert np.array_equal(result.get(), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1", "?"])
def test_dtypes_are_promoted_as_in_numpy(dtype):
    host, device = np.ones(3, dtype), strict.ones(3, dtype)
    for other in (2, 2.5, np.float32(2), np.float64(2), np.int64(2)):
        assert (device * other).dtype == (host * other).dtype
        assert (other * device).dtype == (other * host).dtype
