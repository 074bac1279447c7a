"""NumPy's functions on Tensors: recorded, plain, or an error, but never a lost gradient."""

import inspect
import pickle

import numpy as np
import pytest

import tinygen as tg
from tinygen import Tensor
from tinygen.autograd import backend, interop

pytestmark = pytest.mark.skipif(
    backend.name != "numpy", reason="NumPy's functions are for NumPy's arrays"
)


@pytest.fixture
def x(rng):
    return Tensor(rng.uniform(0.5, 1.5, (3, 4)), requires_grad=True)


CALLS = {
    "broadcast_to": lambda f, x: f(x, (2, 3, 4)),
    "clip": lambda f, x: f(x, 0.7, 1.2),
    "concatenate": lambda f, x: f([x, 2 * x], axis=1),
    "dot": lambda f, x: f(x, np.ones((4, 2))),
    "einsum": lambda f, x: f("ij,ij->i", x, x),
    "matmul": lambda f, x: f(x, np.ones((4, 2))),
    "maximum": lambda f, x: f(x, 1.0),
    "minimum": lambda f, x: f(1.0, x),
    "pad": lambda f, x: f(x, [(0, 1), (2, 0)]),
    "power": lambda f, x: f(x, 3),
    "reshape": lambda f, x: f(x, (2, 6)),
    "split": lambda f, x: f(x, 2, 1)[1],
    "stack": lambda f, x: f([x, x], 1),
    "swapaxes": lambda f, x: f(x, 0, 1),
    "take": lambda f, x: f(x, [0, 2], 1),
    "cumsum": lambda f, x: f(x, 1),
    "where": lambda f, x: f(np.arange(12).reshape(3, 4) % 2 == 0, x, 0.0),
    **dict.fromkeys(["add", "multiply", "subtract", "divide"], lambda f, x: f(x, np.ones(4) / 3)),
}
CONSTANT = ("ones_like", "zeros_like")


@pytest.mark.parametrize(
    "name",
    sorted({*interop.DIFFERENTIABLE, *interop.RENAMED, *interop.OPERATORS} - {"concat", *CONSTANT}),
)
def test_a_function_that_tinygen_has_is_recorded_and_has_numpys_value(name, x):
    f, call = getattr(np, name), CALLS.get(name, lambda f, x: f(x))
    z = call(f, x)
    assert isinstance(z, Tensor) and z.requires_grad
    np.testing.assert_allclose(z.numpy(), call(f, x.numpy()), rtol=1e-12)
    tg.gradcheck(lambda x: call(f, x), x)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power"])
def test_an_array_on_the_left_is_an_operand_like_any_other(name, x):
    f, a = getattr(np, name), np.full((3, 4), 2.0)
    np.testing.assert_allclose(f(a, x).numpy(), f(a, x.numpy()), rtol=1e-12)
    assert isinstance(a * x, Tensor) and isinstance(np.float64(2) - x, Tensor)
    assert isinstance(np.ones((2, 3)) @ x, Tensor)


def test_what_is_constant_piece_by_piece_gives_plain_arrays(x):
    for name in ("argmax", "argsort", "isfinite", "round", "shape", "sign", "size", "floor"):
        f = getattr(np, name)
        got = f(x)
        assert not isinstance(got, Tensor)
        np.testing.assert_array_equal(got, f(x.numpy()))
    np.testing.assert_array_equal(np.ones(4) < x, x.numpy() > 1)
    assert np.allclose(x, x.numpy()) and np.array_equal(x, x)


def everything():
    """NumPy's public functions and ufuncs that take an array."""
    for module, prefix in ((np, "np"), (np.linalg, "np.linalg"), (np.fft, "np.fft")):
        for name in dir(module):
            f = getattr(module, name)
            if name[0] != "_" and callable(f) and not inspect.isclass(f) and name != "test":
                yield pytest.param(f, id=f"{prefix}.{name}")


@pytest.mark.parametrize("f", [*everything()])
def test_no_function_of_numpys_loses_a_gradient_silently(f, x):
    """Each is recorded, has no derivative, or is an error: with x alone, in a list, and twice."""
    name = getattr(f, "__name__", "")
    if (
        name in interop.PIECEWISE_CONSTANT
        or name in CONSTANT
        or name in ("iterable", "isscalar", "get_include")
    ):
        return
    for arguments in ((x,), ([x, x],), (x, x)):
        try:
            found = f(*arguments)
        except Exception:
            continue
        parts = found if isinstance(found, (list, tuple)) else [found]
        numbers = [a for a in parts if isinstance(a, np.ndarray) and a.dtype.kind in "fc"]
        assert not [a for a in numbers if a.size], f"{name} gave {found!r}"


def test_an_error_names_the_function_and_what_to_do(x):
    for call, name in (
        (lambda: np.median(x), "np.median"),
        (lambda: np.linalg.norm(x), "np.linalg.norm"),
        (lambda: np.add.reduce(x), "np.add.reduce"),
        (lambda: np.exp(x, out=np.zeros((3, 4))), "np.exp"),
        (lambda: np.histogram(np.ones((3, 4)), weights=x), "np.histogram"),
    ):
        with pytest.raises(TypeError, match=rf"^{name} would lose the gradient.*x\.numpy\(\)"):
            call()
    with pytest.raises(TypeError, match="clip: bounds are constants"):
        np.clip(x.numpy(), x[0, 0], 2.0)
    for call in (lambda: np.asarray(x), lambda: np.array([x, x])):
        with pytest.raises(TypeError, match=r"lose the gradient: take x\.numpy\(\)"):
            call()


def test_no_function_of_numpys_writes_into_a_tensor(x):
    weights = Tensor(np.ones((3, 4)))
    loss = (x * weights).sum()
    for write in (
        lambda: np.copyto(weights, 5.0),
        lambda: np.add(weights.data, 1, out=weights),
        lambda: np.add.at(weights, (0, 0), 5.0),
        lambda: np.put(weights, [0], 5.0),
        lambda: np.asarray(weights).__setitem__(0, 5.0),
    ):
        with pytest.raises((TypeError, ValueError)):
            write()
    np.testing.assert_array_equal(tg.grad(loss, x).numpy(), np.ones((3, 4)))


def test_numbers_that_are_not_real_are_refused(x):
    for number in (np.complex128(1j), np.timedelta64(3, "s")):
        with pytest.raises(TypeError, match="real numbers"):
            number * x
    assert (np.longdouble(2) * x).dtype == np.float64


def test_constants_are_arrays_to_any_function_of_numpys():
    x = Tensor([3.0, 1.0, 2.0])
    assert np.median(x) == 2 and np.linalg.norm(x) == pytest.approx(14**0.5)
    assert np.shares_memory(np.asarray(x), x.data)
    assert not np.shares_memory(np.array(x), x.data)
    with pytest.raises(ValueError):
        np.array(x, np.float32, copy=False)


# --- a Tensor as an array ---


METHODS = {
    "argmax": (1,),
    "argmin": (),
    "clip": (0.7, 1.2),
    "copy": (),
    "dot": (np.ones(4),),
    "flatten": (),
    "max": (1,),
    "mean": (0,),
    "min": (),
    "ravel": (),
    "reshape": (2, 6),
    "squeeze": (),
    "std": (1,),
    "sum": (0,),
    "transpose": (1, 0),
    "var": (),
    "tolist": (),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_what_an_arrays_does_and_is_recorded(name, x):
    z, expected = (getattr(a, name)(*METHODS[name]) for a in (x, x.numpy()))
    if isinstance(z, Tensor):
        tg.gradcheck(lambda x: getattr(x, name)(*METHODS[name]), x)
        assert z.requires_grad
        z = z.numpy()
    np.testing.assert_allclose(z, expected, rtol=1e-12)


def test_transpose_takes_axes_one_by_one_or_together(rng):
    x = Tensor(rng.normal(size=(2, 3, 4)))
    for axes in ((2, 0, 1), ((2, 0, 1),), ()):
        np.testing.assert_array_equal(x.transpose(*axes).data, x.data.transpose(*axes))


def test_constants_have_the_shape_and_dtype_asked_for(x):
    assert tg.zeros((2, 3)).numpy().tolist() == np.zeros((2, 3)).tolist()
    assert tg.ones(3, "f4").dtype == np.float32 and tg.ones(3).numpy().tolist() == [1, 1, 1]
    for f, value in ((tg.zeros_like, 0), (tg.ones_like, 1)):
        z = f(x.astype("f4"))
        assert (z.shape, z.dtype, z.requires_grad) == ((3, 4), np.float32, False)
        assert (z.data == value).all()


def test_dot_is_numpys_up_to_two_axes(rng):
    a, b, c = rng.normal(size=3), rng.normal(size=3), rng.normal(size=(3, 2))
    for left, right in ((a, b), (a, c), (c.T, a), (2.0, a), (a, 2.0), (c.T, c)):
        np.testing.assert_allclose(tg.dot(left, right).numpy(), np.dot(left, right))
    with pytest.raises(ValueError, match="at most two axes"):
        tg.dot(np.ones((2, 2, 2)), a)


def test_cross_entropy_of_labels_and_of_probabilities(rng):
    logits, labels = rng.normal(size=(5, 3)), rng.integers(3, size=5)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(p[np.arange(5), labels]).mean()
    assert tg.cross_entropy(logits, labels).item() == pytest.approx(expected)
    target = rng.dirichlet([1, 1, 1], size=5)
    expected = -(target * np.log(p)).sum(1).mean()
    assert tg.cross_entropy(logits, target).item() == pytest.approx(expected)
    assert tg.cross_entropy(logits.T, labels, axis=0).item() == pytest.approx(
        tg.cross_entropy(logits, labels).item()
    )
    tg.gradcheck(lambda x: tg.cross_entropy(x, labels), logits)
    tg.gradcheck(lambda x, y: tg.cross_entropy(x, y), logits, target)


@pytest.mark.parametrize(
    ("target", "pattern"),
    [
        (np.array([0, 1, 3]), "labels from 0 to 2"),
        (np.array([0, -1, 2]), "labels from 0 to 2"),
        (np.array([0, 1]), r"\(3,\) ints or \(3, 3\) probabilities, got \(2,\)"),
        (np.array([0.0, 1, 2]), "probabilities, got"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(target, pattern):
    with pytest.raises(ValueError, match=f"^cross_entropy: expected .*{pattern}"):
        tg.cross_entropy(np.ones((3, 3)), target)


# --- names, pickles, single values ---


def test_a_missing_name_says_what_tinygen_has():
    x, net = Tensor([1.0]), tg.nn.Dense(2, 3, rng=np.random.default_rng(0))
    adam = tg.optim.Adam(net.parameters())
    for call, pattern in (
        (lambda: x.permute, r"Tensor has no attribute 'permute'; tinygen has x\.transpose"),
        (lambda: x.requires_grad_, r"Tensor\(x, requires_grad=True\)"),
        (lambda: x.cpu, r"x\.numpy\(\)"),
        (lambda: tg.cat, r"tinygen has tg\.concat"),
        (lambda: tg.nn.Linear, r"nn\.Dense"),
        (lambda: tg.nn.BatchNorm2d, r"nn\.BatchNorm"),
        (lambda: tg.nn.CrossEntropyLoss, r"tg\.cross_entropy"),
        (lambda: adam.zero_grad, r"Adam has no attribute 'zero_grad'; .*step\(\) clears"),
        (lambda: net.register_buffer, "an array"),
        (lambda: net.wieght, "^Dense has no attribute 'wieght'$"),
    ):
        with pytest.raises(AttributeError, match=pattern):
            call()
    assert not hasattr(x, "permute") and getattr(net, "bias2", None) is None


def test_a_graph_is_not_pickled_and_all_else_is(x):
    for tensor in (x, Tensor([1, 2]), Tensor([0.5], name="w", requires_grad=True)):
        back = pickle.loads(pickle.dumps(tensor))
        np.testing.assert_array_equal(back.data, tensor.data)
        assert (back.requires_grad, back.name) == (tensor.requires_grad, tensor.name)
    with pytest.raises(TypeError, match=r"graph: take x\.detach\(\)"):
        pickle.dumps(x * 2)
    pickle.dumps((x * 2).detach())


def test_a_single_value_is_asked_of_a_single_element():
    for call in (float, int, Tensor.item):
        with pytest.raises(ValueError, match=r"item: expected one element, got shape \(2, 1\)"):
            call(Tensor([[1.0], [2.0]]))
    assert float(Tensor([[2.5]])) == 2.5 and int(Tensor(3)) == 3
