"""Every operation of the table: its values, gradients to order 2, and dtypes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import TABLE, Operation

import tinygen as tg
from tinygen import Tensor, gradcheck
from tinygen.autograd import normalise

every_operation = pytest.mark.parametrize("operation", TABLE, ids=[op.name for op in TABLE])


def as_tensors(inputs, dtype):
    """Arrays become Tensors; other arguments (axes, flags) are unchanged."""
    return [Tensor(x.astype(dtype)) if isinstance(x, np.ndarray) else x for x in inputs]


@every_operation
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@given(data=st.data())
def test_values_are_those_of_an_independent_reference(operation: Operation, dtype, data):
    inputs = data.draw(operation.inputs)
    rounded = [x.astype(dtype) if isinstance(x, np.ndarray) else x for x in inputs]
    doubles = [x.astype(float) if isinstance(x, np.ndarray) else x for x in rounded]
    expected = operation.reference(*doubles)
    z = operation.call(*as_tensors(rounded, dtype))
    assert z.shape == expected.shape
    size = abs(expected).max(initial=1.0)
    rtol, atol = (1e-12, 1e-13) if dtype == "float64" else (1e-4, 1e-5 * size)
    np.testing.assert_allclose(z.numpy(), expected, rtol=rtol, atol=atol)


@every_operation
@settings(max_examples=5)
@given(data=st.data())
def test_gradients_in_float32_are_those_in_float64(operation: Operation, data):
    inputs = [
        x.astype("f4") if isinstance(x, np.ndarray) else x for x in data.draw(operation.inputs)
    ]
    found = []
    for dtype in ("float32", "float64"):
        xs = as_tensors(inputs, dtype)
        live = [x for x in xs if isinstance(x, Tensor)]
        for x in live:
            x.requires_grad = True
        z = operation.call(*xs)
        weights = tg.xp.asarray(np.linspace(1, 2, z.size).reshape(z.shape), dtype)
        found.append([g.numpy() for g in tg.grad((z * weights).sum(), live)])
    for single, double in zip(*found, strict=True):
        size = abs(double).max(initial=1.0)
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4 * size)


@every_operation
@settings(max_examples=5)  # test_gradcheck.py tests thousands more
@given(data=st.data())
def test_gradients_are_right_to_order_2(operation: Operation, data):
    inputs = data.draw(operation.inputs)
    arrays = [x for x in inputs if isinstance(x, np.ndarray)]
    others = inputs[len(arrays) :]
    assert not gradcheck(lambda *xs: operation.call(*xs, *others), *arrays).kinks


@every_operation
@settings(max_examples=5)
@given(data=st.data())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_dtypes_are_kept_by_value_and_gradients(operation: Operation, dtype, data):
    xs = as_tensors(data.draw(operation.inputs), dtype)
    live = [x for x in xs if isinstance(x, Tensor)]
    for x in live:
        x.requires_grad = True
    z = operation.call(*xs)
    assert z.dtype == dtype
    gradients = tg.grad((z * z).sum(), live, create_graph=True)
    assert all(g.dtype == dtype for g in gradients)
    total = sum((g * g).sum() for g in gradients)
    assert all(h.dtype == dtype for h in tg.grad(total, live, allow_unreachable=True))


NUMBERS = [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.bool_(True)]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__} {n}")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "**"])
def test_numbers_take_the_dtype_of_the_tensor(operator, dtype, number):
    if isinstance(number, np.ndarray):
        number = tg.xp.asarray(number)
    x = Tensor(np.array([1.5, 0.5], dtype))
    assert eval(f"x {operator} number").dtype == dtype
    assert eval(f"number {operator} x").dtype == dtype
    assert tg.maximum(x, number).dtype == dtype
    assert tg.where(x > 1, x, number).dtype == dtype
    assert tg.where(x > 1, number, x).dtype == dtype


TINY, HUGE = math.exp(-50), math.exp(50)
SAFE = {
    # at −1000, −50, 50, 1000: value and derivative
    "sigmoid": ([0, TINY, 1, 1], [0, TINY, TINY, 0]),
    "softplus": ([0, TINY, 50, 1000], [0, TINY, 1, 1]),
    "silu": ([0, -9.643749239819589e-21, 50, 1000], [0, -9.450874255023197e-21, 1, 1]),
    "tanh": ([-1, -1, 1, 1], [0, 0, 0, 0]),
    "erf": ([-1, -1, 1, 1], [0, 0, 0, 0]),
    "gelu": ([0, 0, 50, 1000], [0, 0, 1, 1]),
    "elu": ([-1, -1, 50, 1000], [0, TINY, 1, 1]),
    "expm1": ([-1, -1, HUGE, None], [0, TINY, HUGE, None]),
}


@pytest.mark.parametrize("name", SAFE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturating_functions_are_exact_from_minus_1000_to_1000(name, dtype):
    values, grads = SAFE[name]
    kept = [i for i, v in enumerate(values) if v is not None]
    x = Tensor(np.array([-1000, -50, 50, 1000], dtype)[kept], requires_grad=True)
    z = getattr(tg, name)(x)
    rtol = 1e-5 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(z.numpy(), [values[i] for i in kept], rtol=rtol, atol=1e-30)
    derivative = tg.grad(z.sum(), x, create_graph=True)
    for each in (derivative, tg.grad(z.sum(), x)):  # the second may use a fused formula
        np.testing.assert_allclose(each.numpy(), [grads[i] for i in kept], rtol=rtol, atol=1e-30)
    assert np.isfinite(tg.grad(derivative.sum(), x).numpy()).all()


def test_the_sigmoid_family_has_all_its_digits_as_far_as_the_dtype_reaches():
    x = np.array([-700.0, -300, -100, -88, -20, 20, 100, 700])
    np.testing.assert_allclose(
        tg.log(tg.sigmoid(Tensor(x[1:5]))).numpy(), -np.logaddexp(0, -x[1:5]), 1e-14
    )
    for f in (tg.sigmoid, tg.softplus, tg.silu, tg.tanh, tg.elu):
        for value in x:
            assert gradcheck(f, np.array([value]))
    single = tg.sigmoid(Tensor(x.astype("f4"))).numpy()
    np.testing.assert_allclose(single, 1 / (1 + np.exp(-x)), rtol=1e-6, atol=1e-38)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_and_softmax_do_not_overflow(dtype):
    x = Tensor(np.array([[1000, 0, -1000], [-1000, -1000, -1000]], dtype), requires_grad=True)
    z = tg.logsumexp(x, axis=1)
    np.testing.assert_allclose(z.numpy(), [1000, -1000 + np.log(3)], rtol=1e-6)
    third = 1 / 3
    np.testing.assert_allclose(tg.grad(z.sum(), x).numpy(), [[1, 0, 0], [third] * 3], rtol=1e-6)
    np.testing.assert_allclose(tg.softmax(x).numpy(), [[1, 0, 0], [third] * 3], rtol=1e-6)
    y = tg.log_softmax(x)
    np.testing.assert_allclose(y.numpy(), [[0, -1000, -2000], [-np.log(3)] * 3], rtol=1e-6)
    g = tg.grad(y[:, 1].sum(), x, create_graph=True)
    np.testing.assert_allclose(g.numpy(), [[-1, 1, 0], [-third, 2 * third, -third]], rtol=1e-6)
    assert np.isfinite(tg.grad((g * g).sum(), x).numpy()).all()


@given(x=st.floats(-7, 7))
def test_erf_is_right_to_14_digits(x):
    assert tg.erf(Tensor([x])).numpy()[0] == pytest.approx(math.erf(x), rel=1e-14, abs=1e-300)


def test_near_0_expm1_and_log1p_keep_all_their_digits():
    x = Tensor([1e-5, 1e-10, -1e-15, 1e-300])
    series = [1e-5 + 5e-11 + 1e-15 / 6, 1e-10 + 5e-21, -1e-15 + 5e-31, 1e-300]
    np.testing.assert_allclose(tg.expm1(x).numpy(), series, rtol=1e-15)
    series = [1e-5 - 5e-11 + 1e-15 / 3, 1e-10 - 5e-21, -1e-15 - 5e-31, 1e-300]
    np.testing.assert_allclose(tg.log1p(x).numpy(), series, rtol=1e-15)


def test_equal_extremes_share_the_gradient():
    for extreme, entries in [(tg.max, [3.0, 1.0, 3.0]), (tg.min, [-3.0, 1.0, -3.0])]:
        x = Tensor(entries, requires_grad=True)
        z = extreme(x)
        assert abs(z.item()) == 3
        np.testing.assert_array_equal(tg.grad(z, x).numpy(), [0.5, 0, 0.5])
    rows = np.array([[2.0, 7, 1, 1], [7, 7, 0, 1]])
    x = Tensor(rows[None, :, :, None], requires_grad=True)
    z = tg.max_pool2d(x, 2)
    np.testing.assert_array_equal(z.numpy().ravel(), [7, 1])
    third = 1 / 3
    np.testing.assert_allclose(
        tg.grad(z.sum(), x).numpy()[0, :, :, 0],
        [[0, third, third, third], [third, third, 0, third]],
    )


def test_of_two_equal_numbers_the_first_is_the_maximum_and_the_minimum():
    x, y = (Tensor(each, requires_grad=True) for each in ([4.0, 5.0, 5.0], [4.0, 6.0, 3.0]))
    for of_two, z, gx, gy in [
        (tg.maximum, [4, 6, 5], [1, 0, 1], [0, 1, 0]),
        (tg.minimum, [4, 5, 3], [1, 1, 0], [0, 0, 1]),
    ]:
        found = of_two(x, y)
        np.testing.assert_array_equal(found.numpy(), z)
        for g, expected in zip(tg.grad(found.sum(), [x, y]), (gx, gy), strict=True):
            np.testing.assert_array_equal(g.numpy(), expected)


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (lambda x: tg.concat([x, x.T]), "size 3 and .* size 2"),
        (lambda x: tg.concat([x, x], axis=2), "axis 2 is out of bounds"),
        (lambda x: tg.stack([x, x.T]), "must match"),
        (lambda x: tg.split(x, 2, axis=1), r"axis 1 of shape \(2, 3\) has no 2 equal parts"),
        (lambda x: tg.split(x, 0), "no 0 equal parts"),
        (lambda x: tg.pad(x, [(1, 1)]), "expected 2 pairs"),
        (lambda x: tg.pad(x, [(1, -1), (0, 0)]), "negative"),
        (lambda x: tg.var(x, axis=0, ddof=2), r"> 2 elements along axis 0, got \(2, 3\)"),
        (lambda x: tg.max(x[:0]), "zero-size"),
        (lambda x: tg.softmax(x, axis=2), "axis 2 is out of bounds"),
        (lambda x: x.sum(axis=-3), "axis -3 is out of bounds"),
        (lambda x: tg.sum(x, (0, -2)), "repeated axis"),
        (lambda x: tg.take(x, 0, 2), "axis 2 is out of bounds"),
        (lambda x: x.reshape(4), "size 6 into shape"),
        (lambda x: tg.transpose(x, (0, 0)), "repeated axis"),
        (lambda x: tg.affine(x, x), r"`x` \(…, n\).*got \(2, 3\), \(2, 3\)"),
        (lambda x: tg.affine(tg.sum(x), x), r"`x` \(…, n\).*got \(\), \(2, 3\)"),
        (lambda x: tg.affine(x, tg.stack([x, x])), r"`w` \(n, m\).*got \(2, 3\), \(2, 2, 3\)"),
        (lambda x: tg.affine(x.T, x, x), r"got \(3, 2\), \(2, 3\), \(2, 3\)"),
        (lambda x: tg.einsum("ij,jk", x), "equal to the number of operands"),
        (lambda x: tg.einsum("ijk->i", x), "number of indices for operand 0"),
        (lambda x: tg.einsum("ij->k", x), "'?k'? .*input"),
        (lambda x: tg.einsum("ij,ji->", x, x), "'j'"),
        (lambda x: tg.leaky_relu(x, 2), r"`slope` ≤ 1, got 2\.0"),
    ],
)
def test_bad_arguments_are_refused(call, pattern):
    with pytest.raises(ValueError, match=pattern):
        call(Tensor(np.ones((2, 3))))


def test_where_wants_booleans():
    with pytest.raises(TypeError, match=r"boolean.*got dtype int64"):
        tg.where(tg.xp.asarray([1, 0]), 1.0, Tensor([1.0, 2.0]))


def test_clip_bounds_one_side_both_or_none():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    for bounds, z, gradient in [
        ((None, 2), [1, 2, 2], [1, 0, 0]),
        ((2, None), [2, 2, 3], [0, 0, 1]),
        ((np.float64(1.5), 2.5), [1.5, 2, 2.5], [0, 1, 0]),
    ]:
        clipped = tg.clip(x, *bounds)
        np.testing.assert_array_equal(clipped.numpy(), z)
        np.testing.assert_array_equal(tg.grad(clipped.sum(), x).numpy(), gradient)


# --- several operands ---


# each with the shapes of its operands
IMAGE, FILTER = (1, 3, 3, 2), (2, 2, 2, 2)
SEVERAL = {
    "concat": (lambda x, y: tg.concat([x, y]), (3,), (2,)),
    "stack": (lambda x, y: tg.stack([x, y]), (3,), (3,)),
    "einsum": (lambda x, y: tg.einsum("ij,jk", x, y), (2, 3), (3, 4)),
    "affine": (tg.affine, (2, 3), (3, 4)),
    "affine with b": (tg.affine, (2, 3), (3, 4), (4,)),
    "conv2d": (tg.conv2d, IMAGE, FILTER),
    "conv2d with bias": (lambda x, w, b: tg.conv2d(x, w, bias=b), IMAGE, FILTER, (2,)),
    "conv_transpose2d": (tg.conv_transpose2d, IMAGE, FILTER),
    "conv_transpose2d with bias": (
        lambda y, w, b: tg.conv_transpose2d(y, w, bias=b),
        IMAGE,
        FILTER,
        (2,),
    ),
    "conv2d_weight": (lambda x, y: tg.conv2d_weight(x, y, size=2), IMAGE, (1, 2, 2, 3)),
    "normalise": (lambda *xs: normalise(*xs)[0], (2, 3, 2, 2), (2, 2), (2, 2)),
}
several = pytest.mark.parametrize("name", SEVERAL)


@several
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
def test_plain_arrays_and_integers_take_the_dtype_of_the_float_tensor(name, dtype, rng):
    call, *shapes = SEVERAL[name]
    drawn = [rng.integers(0, 2, shape).astype(dtype) for shape in shapes]
    alike = call(*(Tensor(x.astype("f4")) for x in drawn)).numpy()
    for one in range(len(shapes)):
        x = Tensor(drawn[one].astype("f4"), requires_grad=True)
        plain = [tg.xp.asarray(each) for each in drawn]
        for others in [plain] if plain[0].dtype.kind == "f" else [plain, list(map(Tensor, plain))]:
            z = call(*others[:one], x, *others[one + 1 :])
            assert z.dtype == np.float32
            assert tg.grad(z.sum(), x).dtype == np.float32
            np.testing.assert_array_equal(z.numpy(), alike)


@several
def test_operands_of_two_float_dtypes_are_refused_unless_one_is_a_plain_array(name, rng):
    call, *shapes = SEVERAL[name]
    single, *double = [tg.xp.asarray(rng.standard_normal(shape)) for shape in shapes]
    single = single.astype("f4")
    assert call(single, *map(Tensor, double)).dtype == np.float64
    for operands in [(Tensor(single), *map(Tensor, double)), (single, *double)]:
        with pytest.raises(TypeError, match=f"^{name.split()[0]}: .*float32 and float64"):
            call(*operands)


# --- integers, empty axes, either side ---


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int8", "bool"])
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus", "erf", "silu", "gelu", "elu"])
def test_functions_of_integers_are_those_of_the_same_floats(name, dtype):
    x = np.array([0, 1, 1]).astype(dtype)
    z = getattr(tg, name)(Tensor(x))
    assert z.dtype == np.float64
    np.testing.assert_array_equal(z.numpy(), getattr(tg, name)(Tensor(x.astype(float))).numpy())


def test_reductions_of_integers_do_not_wrap():
    x = Tensor(np.array([-100, 100], "i1"))
    assert tg.logsumexp(x).item() == pytest.approx(100)
    two = tg.softmax(Tensor(np.array([1, 2], "u1"))).numpy()
    np.testing.assert_allclose(two, [0.2689414, 0.7310586], rtol=1e-6)
    assert tg.min(Tensor(np.array([0, 2], "u1"))).item() == 0
    assert tg.clip(Tensor([1, 5]), 0, 3).dtype == np.int64
    np.testing.assert_array_equal((2.5 ** Tensor([1, 2])).numpy(), [2.5, 6.25])


def test_an_unsigned_exponent_does_not_wrap():
    x = Tensor(np.array([2.0], "f4"), requires_grad=True)
    assert tg.grad((x ** Tensor(np.array([0], "u1"))).sum(), x).item() == 0


def test_a_plain_array_on_the_left_takes_the_dtype_of_the_tensor():
    x = Tensor(np.ones((2, 2), "f4"), requires_grad=True)
    ones = tg.xp.ones((2, 2))
    for z in (ones @ x, tg.maximum(0.0, x), tg.maximum(ones, x), tg.minimum(0.5, x)):
        assert z.dtype == np.float32
        assert z.requires_grad


def test_empty_axes():
    x = Tensor(np.ones((2, 3, 0)), requires_grad=True)
    z = x @ Tensor(np.ones((0, 4)))
    np.testing.assert_array_equal(z.numpy(), np.zeros((2, 3, 4)))
    assert tg.mean(Tensor(np.ones((0, 3))), axis=1).shape == (0,)
    assert tg.max(Tensor(np.ones((0, 3))), axis=1).shape == (0,)
    assert tg.max_pool2d(Tensor(np.ones((0, 4, 4, 1))), 2).shape == (0, 2, 2, 1)
    for f in (tg.mean, tg.max, tg.softmax, tg.logsumexp, tg.var):
        with pytest.raises(ValueError, match=r"elements along axis 0, got \(0, 2\)|zero-size"):
            f(Tensor(np.ones((0, 2))), axis=0)


def test_axes_may_be_numpy_integers_and_lists_but_not_repeat():
    x = Tensor(np.ones((2, 3)))
    assert tg.sum(x, np.int64(1)).shape == (2,)
    assert tg.sum(x, [0, 1]).shape == ()
    assert tg.flip(x, np.int64(0)).shape == (2, 3)


@pytest.mark.parametrize("index", [(0, (1, 1)), ((0, 0),), (range(2), 1), (0, [])])
def test_sequences_in_an_index_gather_like_lists(index):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    as_lists = tuple(list(i) if not isinstance(i, int) else i for i in index)
    expected = np.zeros((2, 3))
    arrays = tuple(np.array(i, int) for i in as_lists)
    np.add.at(expected, arrays, 1)
    z = x[index]
    np.testing.assert_array_equal(z.numpy(), x.numpy()[arrays])
    np.testing.assert_array_equal(tg.grad(z.sum(), x).numpy(), expected)


def test_taking_with_a_tuple_repeats_too():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    np.testing.assert_array_equal(tg.grad(tg.take(x, (0, 0), 1).sum(), x).numpy(), [[2, 0, 0]] * 2)
    np.testing.assert_array_equal(tg.take(x, (0, 5)).numpy(), [0, 5])
