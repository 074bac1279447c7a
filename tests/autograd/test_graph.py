"""The graph: gradients of any order, recording, memory, and errors of grad."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest
from graph_leaves import leaf, message
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import Tensor, grad, gradcheck, no_grad, record, strategies

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


# --- recording, calls and memory ---


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


def test_an_error_under_no_grad_ends_it():
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert tg.is_recording()


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


X, W = leaf([1.0, 2.0]), leaf([1.0, 2.0], name="w")
with no_grad():
    SILENT = (X * X).sum()


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (lambda: grad(X * X, X), r"`y` has shape \(2,\); reduce it"),
        (lambda: grad(X * X, X, cotangent=Tensor(1.0)), r"float64 \(2,\).*got float64 \(\)"),
        (lambda: grad((X * X).sum(), [X, W]), r"does not depend on `xs\[1\]` \(w, shape \(2,\)\)"),
        (lambda: grad((X * X).sum(), W), r"does not depend on `xs` \(w, "),
        (lambda: grad(X.sum(), [X, Tensor(2.0)]), r"`xs\[1\]` \(unnamed, .* not require gradients"),
        (lambda: grad(SILENT, X), r"`y` is a constant.* no_grad"),
        (lambda: grad(grad((X**3).sum(), X).sum(), X), "not kept; pass it create_graph=True"),
    ],
)
def test_a_missing_gradient_is_an_error(call, pattern):
    with pytest.raises(ValueError, match=pattern):
        call()


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
        with pytest.raises(RuntimeError, match="`w` was changed after it was used"):
            grad(y, x)


def test_a_change_is_detected_through_a_view():
    w, x = leaf([[1.0, 2.0]], name="w"), leaf([[3.0], [4.0]])
    y = (w.T.reshape(2, 1) * x).sum()
    w.data = w.data * 2  # a new array: the view of the old one that y uses is unchanged
    np.testing.assert_array_equal(grad(y, x).numpy(), [[1], [2]])
    y = (w.T.reshape(2, 1) * x).sum()
    with no_grad():
        w[0, 0] = 5.0
    with pytest.raises(RuntimeError, match="`w` was changed"):
        grad(y, x)


def test_a_constant_changed_between_forward_and_grad_is_detected():
    c, x = Tensor([1.0, 2.0]), leaf([3.0, 4.0])
    y = (c * x).sum()
    c[0] = 7.0
    assert "an input of shape (2,) was changed" in message(RuntimeError, lambda: grad(y, x))


def test_a_penalty_on_a_gradient_without_graph_is_refused_not_ignored():
    w, x = leaf(2.0, name="w"), leaf(3.0)
    y = w * x * x
    g = grad(y, x)
    loss = y + (g * g - 1) ** 2
    with pytest.raises(RuntimeError, match="graph was not kept; pass create_graph=True"):
        grad(loss, w)
    detached = y + (g.detach() ** 2 - 1) ** 2
    assert grad(detached, w).item() == 9


def test_a_function_of_a_point_moved_along_a_gradient_is_differentiable():
    x = leaf(2.0)
    moved = x - 0.1 * grad(x**3, x)
    assert grad(moved * moved, moved).item() == pytest.approx(2 * (2 - 1.2))


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


# --- silent errors that must not happen ---


def test_gradients_given_out_do_not_share_memory():
    a, b, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
    ga, gb = grad(((a + b) * c).sum(), [a, b])
    ga.data *= 0.5
    np.testing.assert_array_equal(gb.numpy(), [5, 6])
    g = grad(a.sum(), a)
    g.data *= 0.5
    np.testing.assert_array_equal(g.numpy(), [0.5, 0.5])


def test_only_tensors_have_gradients():
    x = leaf([1.0, 2.0])
    assert "got ndarray" in message(TypeError, lambda: grad(np.ones(2), x))
    assert "got ndarray" in message(TypeError, lambda: grad(x.sum(), [np.ones(2)]))
