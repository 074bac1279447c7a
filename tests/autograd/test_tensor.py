"""Tensors: their contract, and one clear message for each misuse."""

import numpy as np
import pytest
from graph_leaves import leaf

import tinygen as tg
from tinygen import Tensor, grad
from tinygen.autograd import backend

# --- the public contract ---


def test_a_tensor_shows_its_data_shape_dtype_ndim_size():
    x = Tensor([[1.0, 2.0, 3.0]])
    assert (x.shape, x.dtype, x.ndim, x.size) == ((1, 3), np.float64, 2, 3)
    assert isinstance(x.data, tg.xp.ndarray)
    np.testing.assert_array_equal(x.T.numpy(), [[1], [2], [3]])


def test_a_tensor_copies_its_data_and_as_tensor_shares_it():
    array = tg.xp.asarray(np.zeros(3))
    copied, shared = Tensor(array), tg.as_tensor(array)
    array[0] = 1
    assert copied[0].item() == 0
    assert shared[0].item() == 1


def test_numpy_returns_a_copy():
    x = Tensor([1.0, 2.0])
    x.numpy()[0] = 5
    assert x[0].item() == 1


def test_detach_stops_gradients():
    x = leaf(3.0)
    assert grad(x * x.detach(), x).item() == 3
    assert not x.detach().requires_grad


def test_item_float_int_and_format_give_a_number():
    x = Tensor(2.5)
    assert (x.item(), float(x), int(x), f"{x:.2f}") == (2.5, 2.5, 2, "2.50")


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (Tensor([1.0, 2.5]), "Tensor([1. , 2.5], dtype=float64)"),
        (Tensor([[1, 2], [3, 4]]), "Tensor([[1, 2],\n        [3, 4]], dtype=int64)"),
        (Tensor(1.0, requires_grad=True), "Tensor(1., dtype=float64, requires_grad=True)"),
        (Tensor(1.0, True, "w"), "Tensor(1., dtype=float64, requires_grad=True, name='w')"),
    ],
)
def test_repr_reads_like_the_constructor_call(tensor, text):
    assert repr(tensor) == text


def test_numpy_on_the_left_leaves_the_operation_to_the_tensor():
    x = leaf([1.0, 2.0])
    ones = tg.xp.asarray(np.ones(2))
    for z in (ones + x, ones - x, ones * x, ones / x, ones**x, tg.xp.asarray(np.ones((2, 2))) @ x):
        assert isinstance(z, Tensor)
        assert z.requires_grad


def test_plain_arrays_are_constants_in_the_dtype_of_the_tensor():
    x = Tensor(np.ones(2, "f4"), requires_grad=True)
    assert (x * tg.xp.asarray(np.ones(2))).dtype == np.float32
    assert (x * tg.xp.asarray(np.array([1, 2]))).dtype == np.float32


def test_integer_tensors_follow_float_tensors():
    x, labels = Tensor(np.ones(2, "f4"), requires_grad=True), Tensor(np.array([1, 2]))
    assert (x * labels).dtype == np.float32
    assert (labels * x).dtype == np.float32
    assert grad((labels * x).sum(), x).dtype == np.float32


def test_tensors_compare_by_identity_and_order_by_value():
    x, y = Tensor([1.0]), Tensor([1.0])
    assert x != y
    assert x == x
    assert len({x, y}) == 2
    assert bool((x <= y)[0]) and bool((x >= y)[0]) and not bool((x < y)[0]) and not bool((x > y)[0])


def test_iteration_gives_rows():
    a, b = Tensor([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(b.numpy(), [3, 4])
    assert a.shape == (2,)


def test_assignment_into_a_constant_is_allowed():
    x = Tensor(np.zeros(3))
    x[1] = 2.0
    x[[0, 2]] = Tensor([5.0, 6.0])
    np.testing.assert_array_equal(x.numpy(), [5, 2, 6])
    x[:2] = np.array([7.0, 8.0])
    x[2] = 9
    np.testing.assert_array_equal(x.numpy(), [7, 8, 9])


def test_astype_is_differentiable_between_floats():
    x = Tensor(np.ones(3, "f4"), requires_grad=True)
    y = x.astype("f8") * 2
    assert y.dtype == np.float64
    assert grad(y.sum(), x).dtype == np.float32
    assert not x.astype("i8").requires_grad


# --- gradients ---


def test_powers_at_zero_have_finite_gradients():
    x, y = leaf([0.0, 0.0, 2.0]), leaf([0.0, 2.0, 0.0])
    gx, gy = grad((x**y).sum(), [x, y])
    np.testing.assert_allclose(gx.numpy(), [0, 0, 0])
    np.testing.assert_allclose(gy.numpy(), [0, 0, np.log(2)])


def test_backward_adds_into_grad_of_leaves():
    x, y = leaf([1.0, 2.0]), leaf(3.0)
    loss = (x * y).sum()
    loss.backward()
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6, 6])
    assert y.grad.item() == 6
    assert loss.grad is None


def test_backward_takes_a_cotangent():
    x = leaf([1.0, 2.0])
    (x * x).backward(Tensor([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [2, 40])


# --- misuse ---


def test_assignment_into_a_tensor_in_a_graph_names_the_alternative():
    x = leaf([1.0, 2.0])
    for tensor in (x, x * x):
        with pytest.raises(TypeError, match=r"where\(mask, v, x\) or no_grad"):
            tensor[0] = 1.0


X, W, ONES = leaf(np.ones((2, 3))), Tensor(np.ones(3, "f4")), leaf([1.0, 1.0])


@pytest.mark.parametrize(
    ("error", "call", "pattern"),
    [
        (ValueError, lambda: bool(ONES), "ambiguous"),
        (ValueError, lambda: X + leaf(np.ones(4)), r"\(2,3\) \(4,\)"),
        (ValueError, lambda: leaf(np.ones(4)) > X, r"\(4,\) \(2,3\)"),
        (ValueError, lambda: tg.maximum(X, leaf(np.ones(4))), r"\(2,3\) \(4,\)"),
        (ValueError, lambda: X @ X, r"matmul: .*\(2, 3\) @ \(2, 3\)"),
        (ValueError, lambda: X @ ONES, r"matmul: .*\(2, 3\) @ \(2,\)"),
        (ValueError, lambda: leaf(1.0) @ ONES, r"matmul: .*\(\) @ \(2,\)"),
        (ValueError, lambda: 2.0 @ ONES, r"matmul: .*\(\) @ \(2,\)"),
        (ValueError, lambda: leaf(np.ones((2, 3, 4))) @ leaf(np.ones((3, 4, 5))), r"\(2,3,4\)"),
        (TypeError, lambda: X * W, r"\*: dtypes differ, float32 and float64"),
        (TypeError, lambda: Tensor([1, 2], requires_grad=True), "only floats .* got int64"),
        (TypeError, lambda: tg.exp(["a"]), "real numbers, got list"),
        (TypeError, lambda: Tensor(1.0) + "a", "got str of dtype <U1"),
        (TypeError, lambda: Tensor(1.0) * None, "got NoneType of dtype object"),
        (TypeError, lambda: setattr(W, "data", [2.0]), "data: expected .* got list"),
        (TypeError, lambda: len(leaf(1.0)), "unsized"),
        (TypeError, lambda: 1.0 in ONES, "container"),
    ],
)
def test_misuse_is_refused(error, call, pattern):
    with pytest.raises(error, match=pattern):
        call()


@pytest.mark.parametrize("data", [["a"], [1j], [None]])
def test_data_other_than_real_numbers_is_refused(data):
    with pytest.raises(TypeError):
        Tensor(data)


class Foreign:
    """An array of another library, with the protocol that GPU libraries share."""

    __cuda_array_interface__: dict = {}  # noqa: RUF012
    __module__ = "elsewhere"


def test_arrays_of_another_backend_are_refused():
    for call in (lambda: Tensor(1.0) + Foreign(), lambda: tg.exp(Foreign())):
        with pytest.raises(TypeError, match=r"elsewhere array .*Tensor\(array\)"):
            call()


def test_indices_out_of_range_are_refused():
    x = Tensor(np.zeros((3, 2)))
    for index in (3, [0, 3], [-4], (0, [2])):
        with pytest.raises(IndexError):
            x[index]


# --- on a GPU ---


@pytest.mark.skipif(backend.name != "strict", reason="only the strict mock counts")
def test_a_training_step_synchronises_only_where_its_caller_asks(rng):
    import strict

    w1, w2 = (Tensor(rng.normal(size=s).astype("f4"), True) for s in ((3, 3, 1, 4), (36, 2)))
    images, labels = Tensor(rng.normal(size=(5, 6, 6, 1)).astype("f4")), tg.xp.arange(5) % 2
    rows = tg.xp.arange(5)
    with strict.count_synchronisations() as count:
        hidden = tg.max_pool2d(tg.silu(tg.conv2d(images, w1, padding="same")), 2)
        log_p = tg.log_softmax(hidden.reshape(5, -1) @ w2)
        loss = -log_p[rows, labels].mean()
        gradients = tg.grad(loss, [w1, w2], create_graph=True)
        penalty = loss + sum((g * g).sum() for g in gradients)
        for w, g in zip((w1, w2), tg.grad(penalty, [w1, w2]), strict=True):
            w.data -= 0.1 * g.data
        assert count() == 0
        loss.item()
        assert count() == 1


# --- silent errors that must not happen ---


def test_a_list_of_tensors_is_refused_rather_than_detached():
    x = leaf([1.0, 2.0])
    for call in (
        lambda: tg.sum([x[0], x[1]]),
        lambda: x * [x[0], x[1]],
        lambda: Tensor([x[0], x[1]]),
    ):
        with pytest.raises(TypeError, match="stack"):
            call()


def test_negative_powers_of_integers_raise_numpys_error():
    with pytest.raises(ValueError, match="Integers to negative integer powers"):
        Tensor([1, 2, 3]) ** -1


def test_a_misspelt_attribute_is_an_error():
    with pytest.raises(AttributeError, match="requires_gard"):
        tg.Tensor(1.0).requires_gard = True
