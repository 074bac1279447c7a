"""The engine: what a Tensor promises, gradients of any order, and one clear sentence for misuse."""

import gc
import re
import sys
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import Tensor, grad, gradcheck, no_grad, record, strategies
from tinygen.autograd import backend


def leaf(data, name=None):
    return Tensor(np.array(data, np.float64), requires_grad=True, name=name)


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
def test_repr_reads_like_what_makes_it(tensor, text):
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


def test_gradients_of_both_uses_of_a_tensor_add_up():
    x = leaf(3.0)
    assert grad(x * x + x, x).item() == 7


@pytest.mark.parametrize("order", range(1, 7))
def test_gradients_of_any_order_of_a_power(order):
    x = leaf(1.5)
    y = x**5
    for _ in range(order):
        y = grad(y, x, create_graph=True, allow_unreachable=True)
    expected = np.prod(np.arange(5, 5 - order, -1.0)) * 1.5 ** (5 - order) if order <= 5 else 0
    assert y.item() == pytest.approx(expected)


def test_derivatives_of_sine_repeat_after_four():
    x = leaf(0.7)
    y = tg.sin(x)
    for _ in range(8):
        y = grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(np.sin(0.7))


def test_a_hessian_vector_product_equals_the_hessian_times_the_vector():
    x, v = leaf([0.3, -0.5, 0.8]), np.array([1.0, 2.0, -1.0])
    f = tg.exp(x).sum() * (x * x).sum()
    g = grad(f, x, create_graph=True)
    product = grad((g * tg.xp.asarray(v)).sum(), x).numpy()
    e, s, d = np.exp(x.numpy()), np.exp(x.numpy()).sum(), x.numpy()
    q = (d * d).sum()
    hessian = np.diag(e) * q + np.outer(e, 2 * d) + np.outer(2 * d, e) + 2 * s * np.eye(3)
    np.testing.assert_allclose(product, hessian @ v)


def test_a_gradient_penalty_is_differentiated_through():
    w, x = leaf([[1.0, 2.0], [0.5, -1.0]]), leaf([0.2, 0.4])

    def penalty(w, x):
        g = grad(tg.tanh(x @ w).sum(), x, create_graph=True)
        return (tg.sqrt((g * g).sum()) - 1) ** 2

    def of_w(w):
        return penalty(w, leaf([0.2, 0.4]))

    assert gradcheck(of_w, w)
    assert grad(penalty(w, x), w).shape == (2, 2)


def test_several_gradients_come_in_the_order_asked_for():
    x, y = leaf(2.0), leaf(5.0)
    gy, gx = grad(x * y, [y, x])
    assert (gx.item(), gy.item()) == (5, 2)


def test_gradients_with_respect_to_an_intermediate_and_its_input():
    x = leaf(2.0)
    h = x * 3
    gh, gx = grad(h * h, [h, x])
    assert (gh.item(), gx.item()) == (12, 36)


def test_the_same_tensor_may_be_asked_for_twice():
    x = leaf(2.0)
    a, b = grad(x * x, [x, x])
    assert a.item() == b.item() == 4


def test_a_cotangent_multiplies_the_jacobian_from_the_left():
    x, v = leaf([1.0, 2.0, 3.0]), Tensor([1.0, 0.0, -2.0])
    np.testing.assert_array_equal(grad(x * x, x, cotangent=v).numpy(), [2, 0, -12])


def test_unreachable_tensors_have_zero_gradient_where_allowed():
    x, y = leaf([1.0, 2.0]), leaf(3.0)
    gx, gy = grad(y * y, [x, y], allow_unreachable=True)
    np.testing.assert_array_equal(gx.numpy(), [0, 0])
    assert gy.item() == 6


@given(shape=strategies.broadcastable(3))
def test_broadcasting_is_undone_by_summing(shape):
    x, y, z = (leaf(np.ones(s)) for s in shape)
    out = x * y + z
    for each in (x, y, z):
        g = grad(out.sum(), each)
        assert g.shape == each.shape
        np.testing.assert_array_equal(g.numpy(), np.full(each.shape, out.size / max(each.size, 1)))


def test_broadcasting_over_an_empty_axis_gives_zero_gradient():
    x = leaf([[1.0], [2.0]])
    g = grad((x * tg.xp.zeros((2, 0))).sum(), x)
    np.testing.assert_array_equal(g.numpy(), [[0], [0]])


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


# --- what is recorded, called and kept ---


def test_no_grad_records_nothing_as_context_and_as_decorator():
    x = leaf(2.0)

    @no_grad()
    def square(x):
        return x * x

    with no_grad():
        assert not (x * x).requires_grad
        with no_grad():
            pass
        assert not (x * x).requires_grad
    assert not square(x).requires_grad
    assert not square(x).requires_grad
    assert (x * x).requires_grad


def test_no_grad_holds_in_its_own_thread_only():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(tg.is_recording()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_recording_is_restored_after_an_error_in_a_vjp():
    x = leaf(1.0)

    def fail(g, z):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        grad(record(x.data, (x, fail)), x)
    assert tg.is_recording()


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_vjp_is_recorded_where_its_own_gradient_was_asked_for(create_graph):
    x, seen = leaf([1.0, 2.0]), []

    def vjp(g, z):
        seen.append(tg.is_recording())
        return g

    grad(record(x.data, (x, vjp)).sum(), x, create_graph=create_graph)
    assert seen == [create_graph] and tg.is_recording()


def counting(x, calls, name):
    """x, with a vjp that counts its calls."""

    def vjp(g, z):
        calls.append(name)
        return g

    return record(x.data, (x, vjp))


def test_no_vjp_off_the_paths_to_xs_is_called():
    x, y, calls = leaf(2.0), leaf(3.0), []
    z = counting(x, calls, "x") * counting(y, calls, "y")
    grad(z, y)
    assert calls == ["y"]
    grad(z, x)
    assert calls == ["y", "x"]


def test_no_vjp_before_xs_is_called():
    x, calls = leaf(2.0), []
    h = counting(x, calls, "before")
    grad(h * h, h)
    assert not calls


@pytest.mark.parametrize("create_graph", [False, True])
def test_each_vjp_of_a_diamond_of_depth_40_is_called_once(create_graph):
    x, calls = leaf(1.0), []
    y = x
    for _ in range(40):
        y = counting(y, calls, "")
        y = y + y
    assert grad(y, x, create_graph=create_graph).item() == 2.0**40
    assert len(calls) == 40


def test_a_chain_of_100_000_operations_differentiates_and_is_freed():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.00001
    assert grad(y, x).item() == pytest.approx(1.00001**100_000)
    assert sys.getrecursionlimit() < 100_000
    del y


def test_a_dropped_graph_is_freed_without_the_collector():
    gc.disable()
    try:
        for create_graph in (False, True):
            x = leaf([1.0, 2.0])
            h = tg.tanh(tg.exp(x) * x) / tg.softmax(x) + tg.logsumexp(x * x)
            g = grad((h * h).sum(), x, create_graph=create_graph)
            kept = [weakref.ref(h), weakref.ref(g)]
            del h, g
            assert [r() for r in kept] == [None, None]
    finally:
        gc.enable()


def test_cotangents_are_freed_as_they_are_used():
    x, alive, most = leaf([1.0]), [], []
    y = x
    for _ in range(50):

        def vjp(g, z):
            alive.append(weakref.ref(g))
            most.append(sum(r() is not None for r in alive))
            return g * 1.0

        y = record(y.data, (y, vjp))
    grad(y.sum(), x)
    assert max(most) <= 2


def test_gradients_given_out_are_independent_of_later_sums():
    x, y = leaf(1.0), leaf(2.0)
    gx, gy = grad(x + y + x, [x, y])
    assert (gx.item(), gy.item()) == (2, 1)


@given(st.data())
def test_random_graphs_agree_with_forward_differentiation(data):
    # dual numbers (value, derivative) carried forward through the same random operations
    x = leaf(data.draw(st.integers(-20, 20)) / 10)
    nodes, duals = [x], [(x.item(), 1.0)]
    for _ in range(data.draw(st.integers(1, 12))):
        i, j = (data.draw(st.integers(0, len(nodes) - 1)) for _ in range(2))
        (a, da), (b, db) = duals[i], duals[j]
        kind = data.draw(st.sampled_from("+-*s"))
        if kind == "+":
            nodes.append(nodes[i] + nodes[j])
            duals.append((a + b, da + db))
        elif kind == "-":
            nodes.append(nodes[i] - nodes[j])
            duals.append((a - b, da - db))
        elif kind == "*":
            nodes.append(tg.sin(nodes[i]) * nodes[j])
            duals.append((np.sin(a) * b, np.cos(a) * da * b + np.sin(a) * db))
        else:
            nodes.append(tg.sin(nodes[i]))
            duals.append((np.sin(a), np.cos(a) * da))
    assert grad(nodes[-1], x).item() == pytest.approx(duals[-1][1], abs=1e-12)


# --- misuse ---


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_a_result_that_is_no_scalar_is_refused():
    x = leaf([1.0, 2.0])
    assert message(ValueError, lambda: grad(x * x, x)) == (
        "grad: `y` has shape (2,), but only a scalar has a gradient; reduce it, as in y.sum(), or "
        "pass `cotangent`"
    )


def test_a_cotangent_of_another_shape_is_refused():
    x = leaf([1.0, 2.0])
    assert message(ValueError, lambda: grad(x * x, x, cotangent=Tensor(1.0))) == (
        "grad: `cotangent` must be like `y`, float64 of shape (2,); it is float64 of shape ()"
    )


def test_an_unreachable_tensor_is_named():
    x, w = leaf(1.0), leaf([1.0, 2.0], name="w")
    assert message(ValueError, lambda: grad(x * x, [x, w])) == (
        "grad: `y` does not depend on `xs[1]` (w, shape (2,))"
    )


def test_a_constant_among_xs_is_named():
    x, c = leaf(1.0), Tensor(2.0)
    assert message(ValueError, lambda: grad(x * c, [x, c])) == (
        "grad: `xs[1]` (unnamed, shape ()) does not require gradients; make it Tensor(data, "
        "requires_grad=True)"
    )


def test_a_result_computed_under_no_grad_is_refused():
    x = leaf(1.0)
    with no_grad():
        y = x * x
    assert message(ValueError, lambda: grad(y, x)).startswith("grad: `y` is a constant: it was")


def test_a_parameter_changed_between_forward_and_grad_is_named():
    w, x = leaf([1.0, 2.0], name="w"), leaf([3.0, 4.0])
    for change in ("set", "in place", "augmented"):
        y = (w * x).sum()
        if change == "set":
            w.data = w.data * 2
        elif change == "augmented":
            w.data -= 1
        else:
            with no_grad():
                w[0] = 5.0
        assert message(RuntimeError, lambda y=y: grad(y, x)) == (
            "grad: `w` was changed after it was used in this graph; take the gradient first, then "
            "update"
        )


def test_a_constant_changed_between_forward_and_grad_is_found_too():
    c, x = Tensor([1.0, 2.0]), leaf([3.0, 4.0])
    y = (c * x).sum()
    c[0] = 7.0
    assert "an input of shape (2,) was changed" in message(RuntimeError, lambda: grad(y, x))


def test_assignment_into_a_tensor_in_a_graph_says_what_to_write():
    x = leaf([1.0, 2.0])
    for tensor in (x, x * x):
        with pytest.raises(TypeError, match=r"write x = where\(mask, v, x\) or concat\(parts\)"):
            tensor[0] = 1.0


def test_differentiating_twice_without_create_graph_is_refused():
    x = leaf(2.0)
    g = grad(x**3, x)
    text = message(ValueError, lambda: grad(g * g, x))
    assert text.startswith("grad: `y` was computed from a gradient whose own graph was not kept")
    assert text.endswith("pass create_graph=True to the first grad()")


def test_a_penalty_on_a_gradient_without_graph_is_refused_not_ignored():
    w, x = leaf(2.0, name="w"), leaf(3.0)
    y = w * x * x
    g = grad(y, x)
    loss = y + (g * g - 1) ** 2
    assert message(RuntimeError, lambda: grad(loss, w)) == (
        "grad: `y` depends on a gradient, or on an input of shape () computed from one, whose own "
        "graph was not kept; pass create_graph=True to that grad(), or .detach() it if it is a "
        "constant"
    )
    detached = y + (g.detach() ** 2 - 1) ** 2
    assert grad(detached, w).item() == 9


def test_a_step_along_a_gradient_can_be_differentiated_from_there():
    x = leaf(2.0)
    moved = x - 0.1 * grad(x**3, x)
    assert grad(moved * moved, moved).item() == pytest.approx(2 * (2 - 1.2))


def test_bool_of_a_many_element_tensor_is_refused():
    text = message(ValueError, lambda: bool(Tensor([1.0, 2.0])))
    assert text == ("bool(): a tensor of shape (2,) is neither true nor false; reduce a "
                    "comparison, as in (x > 0).all()")  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x, y: x + y, "add"),
        (lambda x, y: x - y, "sub"),
        (lambda x, y: x * y, "mul"),
        (lambda x, y: x / y, "truediv"),
        (lambda x, y: x**y, "pow"),
        (lambda x, y: x < y, "lt"),
        (tg.maximum, "maximum"),
    ],
)
def test_shapes_that_do_not_broadcast_are_named_with_the_operation(operation, name):
    x, y = leaf(np.ones((2, 3))), leaf(np.ones(4))
    assert message(ValueError, lambda: operation(x, y)) == (
        f"{name}: shapes (2, 3) and (4,) do not broadcast"
    )


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ((2, 3), (2, 3), "matmul: the last axis of `x` (2, 3) and the last but one of `y` (2, 3) "
                         "differ in length"),
        ((3,), (2,), "matmul: the last axis of `x` (3,) and the only of `y` (2,) differ in length"),
        ((), (2,), "matmul: an operand has no axes; multiply by a number with *"),
    ],
)  # fmt: skip
def test_products_of_wrong_shapes_are_named(a, b, text):
    assert message(ValueError, lambda: leaf(np.ones(a)) @ leaf(np.ones(b))) == text


def test_float_dtypes_do_not_mix_silently():
    x, y = Tensor(np.ones(2, "f4")), Tensor(np.ones(2, "f8"))
    assert message(TypeError, lambda: x * y) == (
        "*: float dtypes differ, float32 and float64; convert one with .astype"
    )


def test_integers_cannot_require_gradients():
    assert message(TypeError, lambda: Tensor([1, 2], requires_grad=True)) == (
        "Tensor: only floating-point data can require gradients, got dtype int64; convert with "
        ".astype(float)"
    )


@pytest.mark.parametrize("data", [["a"], [1j], [None]])
def test_what_is_no_real_number_is_refused(data):
    with pytest.raises(TypeError):
        Tensor(data)


def test_operands_that_are_no_numbers_are_named():
    assert message(TypeError, lambda: Tensor(1.0) + "a").endswith("got str of dtype <U1")
    assert message(TypeError, lambda: Tensor(1.0) * None).endswith("got NoneType of dtype object")


class Foreign:
    """An array of another library, by the protocol that GPU libraries share."""

    __cuda_array_interface__: dict = {}  # noqa: RUF012
    __module__ = "elsewhere"


def test_arrays_of_another_backend_are_refused():
    for call in (lambda: Tensor(1.0) + Foreign(), lambda: tg.exp(Foreign())):
        assert re.fullmatch(
            r".*: a elsewhere array meets tensors of the \w+ backend; move it with Tensor\(array\)",
            message(TypeError, call),
        )


def test_data_takes_only_arrays_of_the_backend():
    x = Tensor([1.0])
    assert "data: expected an array of the" in message(TypeError, lambda: setattr(x, "data", [2.0]))


def test_a_vjp_that_returns_an_array_is_refused():
    x = leaf([1.0])
    y = record(x.data, (x, lambda g, z: g.data))
    assert "a vjp must return a Tensor, but one returned" in message(
        TypeError, lambda: grad(y.sum(), x)
    )


def test_a_vjp_that_returns_another_shape_is_refused():
    x = leaf(np.ones((2, 3)), name="w")
    y = record(x.data, (x, lambda g, z: g[0]))
    assert message(ValueError, lambda: grad(y.sum(), x)) == "a vjp returned shape (3,) for `w`"


def test_ufuncs_of_numpy_are_refused_rather_than_cut_the_graph():
    with pytest.raises(TypeError):
        np.exp(leaf([1.0]))


def test_membership_is_refused():
    with pytest.raises(TypeError):
        1.0 in Tensor([1.0])  # noqa: B015


def test_indices_out_of_range_are_refused():
    x = Tensor(np.zeros((3, 2)))
    for index in (3, [0, 3], [-4], (0, [2])):
        with pytest.raises(IndexError):
            x[index]


# --- on a GPU ---


@pytest.mark.skipif(backend.name != "strict", reason="only the strict stand-in counts")
def test_a_training_step_synchronises_only_where_its_caller_asks(rng):
    import strict

    w1, w2 = (Tensor(rng.normal(size=s).astype("f4"), True) for s in ((3, 3, 1, 4), (36, 2)))
    images, labels = Tensor(rng.normal(size=(5, 6, 6, 1)).astype("f4")), tg.xp.arange(5) % 2
    rows = tg.xp.arange(5)
    with strict.count_synchronisations() as count:
        hidden = tg.max_pool2d(tg.silu(tg.conv2d(images, w1, padding="same")), 2)
        log_p = tg.log_softmax(hidden.reshape(5, -1) @ w2)
        loss = -log_p[rows, labels].mean()
        slopes = tg.grad(loss, [w1, w2], create_graph=True)
        penalty = loss + sum((g * g).sum() for g in slopes)
        for w, g in zip((w1, w2), tg.grad(penalty, [w1, w2]), strict=True):
            w.data -= 0.1 * g.data
        assert count() == 0
        loss.item()
        assert count() == 1


# --- what must not be lost silently ---


def test_a_list_of_tensors_is_refused_rather_than_cut_off():
    x = leaf([1.0, 2.0])
    for call in (
        lambda: tg.sum([x[0], x[1]]),
        lambda: x * [x[0], x[1]],
        lambda: Tensor([x[0], x[1]]),
    ):
        assert message(TypeError, call).endswith(
            "a list of tensors would lose their gradients; join them with stack(tensors)"
        )


def test_gradients_given_out_do_not_share_memory():
    a, b, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
    ga, gb = grad(((a + b) * c).sum(), [a, b])
    ga.data *= 0.5
    np.testing.assert_array_equal(gb.numpy(), [5, 6])
    g = grad(a.sum(), a)
    g.data *= 0.5
    np.testing.assert_array_equal(g.numpy(), [0.5, 0.5])


def test_no_grad_refuses_to_decorate_a_generator():
    def steps():
        yield 1

    assert message(TypeError, lambda: no_grad()(steps)).startswith(
        "no_grad: steps is a generator; use `with no_grad():` in it"
    )


def test_what_is_no_tensor_is_refused_by_grad():
    x = leaf([1.0])
    assert message(TypeError, lambda: grad(3.0, x)).endswith("`y` to be a Tensor, got float")
    assert message(TypeError, lambda: grad(x * x, x, cotangent=1.0)) == (
        "grad: expected `cotangent` to be a Tensor, got float"
    )
    assert message(TypeError, lambda: grad(x * x, [1.0])).endswith("`xs` to be a Tensor, got float")


def test_negative_powers_of_integers_are_no_broadcasting_error():
    with pytest.raises(ValueError, match="Integers to negative integer powers"):
        Tensor([1, 2, 3]) ** -1


def test_batches_of_matrices_that_do_not_broadcast_are_named():
    text = r"^matmul: shapes \(2, 3, 4\) and \(3, 4, 5\) do not broadcast$"
    with pytest.raises(ValueError, match=text):
        tg.matmul(Tensor(np.ones((2, 3, 4))), Tensor(np.ones((3, 4, 5))))
