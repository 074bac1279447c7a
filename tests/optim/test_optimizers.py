"""Optimisers against PyTorch, the papers' equations, and known convergence rates."""

import math
import tracemalloc

import numpy as np
import pytest
import strict
from leaves import assert_same, constants, leaf, values

import tinygen as tg
from tinygen import Tensor, optim
from tinygen.autograd import backend, parallel, to_numpy

P, Q = leaf(np.ones(2), name="p"), leaf(np.ones((2, 3)))
ONES = Tensor(np.ones(2))

EVERY = {
    "SGD": lambda params, **more: optim.SGD(params, **{"lr": 0.1} | more),
    "momentum": lambda params, **more: optim.SGD(params, **{"lr": 0.1} | more, momentum=0.9),
    "Nesterov": lambda params, **more: optim.SGD(
        params, **{"lr": 0.1} | more, momentum=0.9, nesterov=True
    ),
    "RMSprop": lambda params, **more: optim.RMSprop(params, **{"lr": 0.01} | more),
    "Adagrad": lambda params, **more: optim.Adagrad(params, **{"lr": 0.1} | more),
    "Adam": lambda params, **more: optim.Adam(params, **{"lr": 0.01} | more),
    "AdamW": lambda params, **more: optim.AdamW(params, **{"lr": 0.01} | more),
}
each_optimiser = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


# --- a small network, in tinygen and in PyTorch ---------------------------------------------------


def network():
    """Inputs, targets and initial parameters, as arrays."""
    rng = np.random.default_rng(3)
    start = {"w1": rng.normal(size=(5, 7)), "b1": rng.normal(size=7), "w2": rng.normal(size=(7, 2))}
    return rng.normal(size=(16, 5)), rng.normal(size=(16, 2)), start


def trained(make, steps=20, start=None, resume=None, **more):
    """The parameters after `steps` steps of an optimiser on the network, and the optimiser."""
    x, y, first = network()
    x, y = constants(x, y)
    params = {name: leaf(value) for name, value in (start or first).items()}
    optimizer = make(params, **more)
    if resume is not None:
        optimizer.load_state_dict(resume)
    for _ in range(steps):
        w1, b1, w2 = params.values()
        loss = tg.mean((tg.tanh(x @ w1 + b1) @ w2 - y) ** 2)
        optimizer.step(tg.grad(loss, optimizer.params))
    return {name: p.numpy() for name, p in params.items()}, optimizer


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ("SGD", "SGD", {"lr": 0.1}),
        ("SGD", "SGD", {"lr": 0.1, "l2": 0.3}),
        ("SGD", "SGD", {"lr": 0.1, "momentum": 0.9}),
        ("SGD", "SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
        ("SGD", "SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "l2": 0.3}),
        ("RMSprop", "RMSprop", {"lr": 0.01}),
        ("RMSprop", "RMSprop", {"lr": 0.01, "alpha": 0.8, "eps": 0.1, "l2": 0.3}),
        ("Adagrad", "Adagrad", {}),
        ("Adagrad", "Adagrad", {"lr": 0.1, "eps": 0.1, "l2": 0.3}),
        ("Adam", "Adam", {}),
        ("Adam", "Adam", {"lr": 0.01, "betas": (0.5, 0.9), "eps": 0.1}),
        ("Adam", "Adam", {"lr": 0.01, "l2": 0.3}),
        ("AdamW", "AdamW", {}),
        ("AdamW", "AdamW", {"lr": 0.01, "betas": (0.5, 0.9), "weight_decay": 0.5}),
        ("Adam", "AdamW", {"lr": 0.01, "weight_decay": 0.5}),
    ],
)
def test_twenty_steps_on_a_network_are_pytorchs(ours, theirs, options):
    torch = pytest.importorskip("torch")
    found, _ = trained(getattr(optim, ours), **options)

    x, y, start = network()
    params = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    names = {"l2": "weight_decay"}
    optimizer = getattr(torch.optim, theirs)(
        params.values(), **{names.get(name, name): value for name, value in options.items()}
    )
    for _ in range(20):
        hidden = torch.tanh(torch.tensor(x) @ params["w1"] + params["b1"])
        optimizer.zero_grad()
        ((hidden @ params["w2"] - torch.tensor(y)) ** 2).mean().backward()
        optimizer.step()
    for name, p in params.items():
        assert abs(p.detach().numpy() - start[name]).max() > 1e-3  # it has moved
        np.testing.assert_allclose(found[name], p.detach().numpy(), rtol=0, atol=1e-9)


# --- the papers' equations, one element at a time -------------------------------------------------


def sgd(p, g, t, s, lr, momentum=0.0, nesterov=False):
    if not momentum:
        return p - lr * g
    s["b"] = momentum * s.get("b", 0.0) + g
    return p - lr * (g + momentum * s["b"] if nesterov else s["b"])


def adagrad(p, g, t, s, lr, eps=1e-10):
    s["s"] = s.get("s", 0.0) + g**2
    return p - lr * g / (math.sqrt(s["s"]) + eps)


def rmsprop(p, g, t, s, lr, alpha=0.99, eps=1e-8):
    s["v"] = alpha * s.get("v", 0.0) + (1 - alpha) * g**2
    return p - lr * g / (math.sqrt(s["v"]) + eps)


def adam(p, g, t, s, lr, betas=(0.9, 0.999), eps=1e-8):
    s["m"] = betas[0] * s.get("m", 0.0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0.0) + (1 - betas[1]) * g**2
    m_hat, v_hat = s["m"] / (1 - betas[0] ** t), s["v"] / (1 - betas[1] ** t)
    return p - lr * m_hat / (math.sqrt(v_hat) + eps)


def one_by_one(update, start, gradients, l1=0.0, l2=0.0, weight_decay=0.0, **options):
    """Each number of `start` after updates by its column of `gradients`, in floats."""
    ends = []
    for p, column in zip(start.tolist(), gradients.T.tolist(), strict=True):
        state = {}
        for t, g in enumerate(column, start=1):
            g += l1 * ((p > 0) - (p < 0)) + l2 * p
            p -= options["lr"] * weight_decay * p
            p = update(p, g, t, state, **options)
        ends.append(p)
    return ends


@pytest.mark.parametrize(
    ("make", "update", "options"),
    [
        (optim.SGD, sgd, {"lr": 0.1}),
        (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.7}),
        (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.7, "nesterov": True}),
        (optim.Adagrad, adagrad, {"lr": 0.1}),
        (optim.Adagrad, adagrad, {"lr": 0.1, "eps": 0.5}),
        (optim.RMSprop, rmsprop, {"lr": 0.1}),
        (optim.RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.6, "eps": 0.5}),
        (optim.Adam, adam, {"lr": 0.1}),
        (optim.Adam, adam, {"lr": 0.1, "betas": (0.3, 0.6), "eps": 0.5}),
        (optim.AdamW, adam, {"lr": 0.1, "weight_decay": 0.2}),
    ],
)
@pytest.mark.parametrize(
    "penalties", [{}, {"l1": 0.4}, {"l2": 0.4}, {"l1": 0.2, "l2": 0.3, "weight_decay": 0.5}]
)
def test_steps_are_the_papers_equations(make, update, options, penalties, rng):
    options = options | penalties
    start, rows = rng.normal(size=6), rng.normal(size=(9, 6))
    start[0] = 0  # at the kink of |p| the penalty has gradient 0
    p = leaf(start)
    optimizer = make([p], **options)
    for row in rows:
        optimizer.step(constants(row))
    np.testing.assert_allclose(p.numpy(), one_by_one(update, start, rows, **options), rtol=1e-12)


def test_adamw_decays_by_a_hundredth_of_the_rate_by_default():
    p = leaf([2.0])
    optim.AdamW([p], lr=0.5).step(constants([0.0]))
    assert p.item() == pytest.approx(2 * (1 - 0.5 * 0.01), rel=1e-15)


def test_default_rates_are_pytorchs():
    made = [optim.RMSprop([P]), optim.Adagrad([P]), optim.Adam([P]), optim.AdamW([P])]
    assert [each.rate() for each in made] == [0.01, 0.01, 0.001, 0.001]


def test_the_first_step_of_adam_is_the_rate_for_gradients_of_any_size():
    p = leaf(np.zeros(5))
    optim.Adam([p], lr=0.1).step(constants(np.array([1e-4, -1e-2, 1.0, -1e3, 1e5])))
    np.testing.assert_allclose(p.numpy(), [-0.1, 0.1, -0.1, 0.1, -0.1], rtol=2e-4)


# --- known rates on a quadratic -------------------------------------------------------------------


def distances(optimizer, hessian, steps):
    """The parameter's distance from the minimum of pᵀ H p / 2, at 0, after each step."""
    (p,) = optimizer.params
    found = []
    for _ in range(steps):
        optimizer.step(constants(hessian @ p.numpy()))
        found.append(math.hypot(*p.numpy()))
    return found


def hessian(mu, L, rng, size=6):
    """A symmetric matrix with eigenvalues from μ to L."""
    turn, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return turn @ np.diag(np.geomspace(mu, L, size)) @ turn.T


@pytest.mark.parametrize("kappa", [4, 25, 100])
def test_gradient_descent_at_its_best_rate_contracts_by_kappa_minus_over_kappa_plus_1(kappa, rng):
    mu = 0.3
    p = leaf(rng.normal(size=6))
    found = distances(
        optim.SGD([p], lr=2 / (kappa * mu + mu)), hessian(mu, kappa * mu, rng), 20 * kappa
    )
    # both ends of the spectrum shrink by this factor, the rest faster
    np.testing.assert_allclose(found[-1] / found[-2], (kappa - 1) / (kappa + 1), rtol=1e-9)


@pytest.mark.parametrize("kappa", [4, 25, 100])
def test_a_heavy_ball_at_its_best_contracts_by_root_kappa_minus_over_plus_1(kappa, rng):
    mu, root = 0.3, math.sqrt(kappa)
    rho = (root - 1) / (root + 1)
    lr = 4 / (math.sqrt(mu) * (root + 1)) ** 2
    p = leaf(rng.normal(size=6))
    found = distances(optim.SGD([p], lr, momentum=rho**2), hessian(mu, kappa * mu, rng), 400)
    # the double root at both ends makes it t ρᵗ; the factor t is 2 from step 200 to 400
    assert (found[399] / found[199] / 2) ** (1 / 200) == pytest.approx(rho, rel=5e-3)


@pytest.mark.parametrize("kappa", [4, 25, 100])
def test_nesterovs_method_contracts_by_1_minus_1_over_root_kappa(kappa, rng):
    mu, root = 0.3, math.sqrt(kappa)
    momentum = (root - 1) / (root + 1)
    p = leaf(rng.normal(size=6))
    optimizer = optim.SGD([p], 1 / (kappa * mu), momentum, nesterov=True)
    found = distances(optimizer, hessian(mu, kappa * mu, rng), 400)
    assert (found[399] / found[199] / 2) ** (1 / 200) == pytest.approx(1 - 1 / root, rel=5e-3)


def test_an_l2_penalty_moves_the_minimum_and_weight_decay_under_sgd_does_the_same():
    # (p − 3)² / 2 + λ p² / 2 has its minimum at 3 / (1 + λ)
    ends = []
    for penalty in ("l2", "weight_decay"):
        p = leaf([0.0])
        optimizer = optim.SGD([p], lr=0.2, **{penalty: 0.5})
        for _ in range(100):
            optimizer.step([Tensor(p.numpy() - 3)])
        ends.append(p.item())
    np.testing.assert_allclose(ends, [2, 2], rtol=1e-12)


def test_an_l1_penalty_brings_small_parameters_to_zero():
    # (p − a)² / 2 + λ|p| has its minimum at sign(a) max(|a| − λ, 0)
    a = np.array([3.0, -2.0, 0.4, -0.3])
    p = leaf(a)
    optimizer = optim.SGD([p], lr=0.01, l1=0.5)
    for _ in range(1000):
        optimizer.step([Tensor(p.numpy() - a)])
    np.testing.assert_allclose(p.numpy(), [2.5, -1.5, 0, 0], atol=0.01)


# --- a step changes the parameters, and nothing else ----------------------------------------------


@each_optimiser
def test_a_step_writes_into_the_parameters_own_array(make, rng):
    p = leaf(rng.normal(size=(3, 4)))
    array, before = p.data, p.numpy()
    make([p]).step(constants(np.ones((3, 4))))
    assert p.data is array
    assert (p.numpy() < before).all()


@each_optimiser
def test_a_graph_made_before_a_step_is_refused_after_it(make):
    p = leaf([1.0, 2.0], name="w")
    loss = (p * p).sum()
    make([p]).step(tg.grad(loss, [p]))
    with pytest.raises(RuntimeError) as caught:
        tg.grad(loss, p)
    assert str(caught.value) == (
        "grad: `w` was changed after it was used in this graph; take the gradient first, then "
        "update"
    )


@each_optimiser
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.1, "l2": 0.1, "weight_decay": 0.1}])
def test_gradients_are_left_as_they_were(make, penalties, rng):
    g = rng.normal(size=50_000)
    given = Tensor(g)
    make([leaf(np.ones(50_000))], **penalties).step([given])
    np.testing.assert_array_equal(given.numpy(), g)


@each_optimiser
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [3, 40_000])
def test_parameters_and_state_keep_their_dtype(make, dtype, size):
    p = leaf(np.ones(size), dtype=dtype)
    optimizer = make([p], l1=0.1, l2=0.1, weight_decay=0.1)
    optimizer.step([Tensor(np.ones(size, dtype))])
    assert p.dtype == dtype
    assert {array.dtype for arrays in optimizer.state.values() for array in arrays} <= {p.dtype}


@each_optimiser
def test_settings_in_float64_do_not_make_float32_compute_in_float64(make, rng):
    gradients = rng.normal(size=(5, 100)).astype(np.float32)
    ends = []
    for number in (float, np.float64):
        p = leaf(np.ones(100), dtype=np.float32)
        options = {name: number(0.1) for name in ("l1", "l2", "weight_decay")}
        optimizer = make([p], lr=lambda step, number=number: number(0.1), **options)
        for row in gradients:
            optimizer.step(constants(row))
        ends.append(p.numpy())
    assert_same(*ends)


@each_optimiser
def test_a_large_parameter_is_updated_like_its_pieces(make, rng):
    size = 100_003  # cut into blocks and split across threads
    start, gradients = rng.normal(size=size), rng.normal(size=(3, size))
    penalties = {"l1": 0.1, "l2": 0.1, "weight_decay": 0.1}
    whole = leaf(start, dtype=np.float32)
    pieces = [leaf(each, dtype=np.float32) for each in np.array_split(start, 20)]
    optimizers = make([whole], **penalties), make(pieces, **penalties)
    for row in gradients.astype(np.float32):
        optimizers[0].step(constants(row))
        optimizers[1].step(constants(*np.array_split(row, 20)))
    np.testing.assert_array_equal(whole.numpy(), np.concatenate(values(pieces)))


@each_optimiser
def test_a_transposed_parameter_is_updated_like_any_other(make, rng):
    start, gradient = rng.normal(size=(200, 300)), rng.normal(size=(200, 300))
    straight, turned = leaf(start), leaf(start)
    turned.data = tg.xp.asarray(start.T.copy()).T
    for p in (straight, turned):
        optimizer = make([p])
        for _ in range(2):
            optimizer.step(constants(gradient))
    np.testing.assert_array_equal(turned.numpy(), straight.numpy())


@each_optimiser
def test_scalar_and_empty_parameters_are_updated(make):
    params = [leaf(1.0), leaf(np.zeros((0, 3)))]
    optimizer = make(params, l1=0.1, l2=0.1, weight_decay=0.1)
    optimizer.step(constants(np.array(1.0), np.zeros((0, 3))))
    assert params[0].item() < 1
    assert params[1].shape == (0, 3)
    assert [g.shape for g in optim.clip_by_global_norm(params, 0.1)[0]] == [(), (0, 3)]


@pytest.mark.skipif(backend.plain, reason="the plain path works on whole arrays")
@each_optimiser
def test_a_step_of_a_large_parameter_needs_the_memory_of_some_blocks(make):
    size = 1 << 22
    p, g = leaf(np.ones(size), dtype=np.float32), Tensor(np.ones(size, np.float32))
    optimizer = make([p], l2=0.1, weight_decay=0.1)
    optimizer.step([g])
    tracemalloc.start()
    optimizer.step([g])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < parallel.WORKSPACE_BYTES < p.data.nbytes


@pytest.mark.skipif(backend.name != "strict", reason="counted by the mock")
def test_a_step_waits_for_the_device_once_and_so_does_clipping(rng):
    params = [leaf(rng.normal(size=(k, 3))) for k in range(1, 8)]
    grads, optimizer = constants(*values(params)), optim.Adam(params)
    with strict.count_synchronisations() as count:
        optimizer.step(grads)
    assert count() == 1
    with strict.count_synchronisations() as count:
        optim.clip_by_global_norm(grads, 1.0)
    assert count() == 1


# --- arguments ------------------------------------------------------------------------------------


def test_parameters_may_be_a_list_a_generator_or_a_dict():
    for params in ([leaf(1.0)], (leaf(1.0) for _ in range(1)), {"w": leaf(1.0)}):
        optimizer = optim.SGD(params, lr=0.5)
        optimizer.step(constants(np.array(1.0)))
        assert optimizer.params[0].item() == 0.5


@pytest.mark.parametrize("make", [optim.Adam, optim.EMA])
@pytest.mark.parametrize(
    ("params", "error", "pattern"),
    [
        (None, TypeError, "NoneType"),
        ([], ValueError, "expected .*parameters"),
        ({}, ValueError, "expected .*parameters"),
        ([P, np.ones(2)], ValueError, "`1` is not a Tensor made with requires_grad"),
        ({"w": 3.0}, ValueError, "`w` is not a Tensor made with requires_grad"),
        ([Tensor(1.0)], ValueError, "`0` is not a Tensor made with requires_grad"),
        ({"w": Tensor(1.0)}, ValueError, "`w` is not a Tensor made with requires_grad"),
        (P, ValueError, "`0` is not a Tensor made with requires_grad"),  # its rows
        ([P, Q, P], ValueError, r"distinct .*got \['0', '1', '2'\]"),
        ({"a": P, "b": P}, ValueError, r"distinct .*got \['a', 'b'\]"),
    ],
)
def test_invalid_parameters_are_refused(make, params, error, pattern):
    with pytest.raises(error, match=pattern):
        make(params)


@pytest.mark.parametrize(
    ("make", "error", "pattern"),
    [
        (lambda: optim.Adam([P], lr=-1), ValueError, "^Adam: expected `lr` > 0, got -1"),
        (lambda: optim.AdamW([P], lr=0), ValueError, "^AdamW: expected `lr` > 0, got 0"),
        (lambda: optim.SGD([P], math.nan), ValueError, "^SGD: .*`lr` > 0, got nan"),
        (lambda: optim.SGD([P], math.inf), ValueError, "^SGD: .*`lr` > 0, got inf"),
        (lambda: optim.SGD([P], "fast"), TypeError, "^SGD: .*`lr` > 0, got str"),
        (lambda: optim.SGD([P], 1, 1.0), ValueError, r"^SGD: .*`momentum` in \[0, 1\), got 1.0"),
        (lambda: optim.SGD([P], 1, -0.1), ValueError, "^SGD: .*`momentum`.* got -0.1"),
        (lambda: optim.SGD([P], 1, nesterov=True), ValueError, "^SGD: `nesterov`.*`momentum`"),
        (lambda: optim.Adagrad([P], eps=0), ValueError, "^Adagrad: .*`eps` > 0, got 0"),
        (lambda: optim.RMSprop([P], eps=0), ValueError, "^RMSprop: .*`eps` > 0, got 0"),
        (lambda: optim.RMSprop([P], alpha=1), ValueError, "^RMSprop: .*`alpha`.* got 1"),
        (lambda: optim.Adam([P], eps=0), ValueError, "^Adam: .*`eps` > 0, got 0"),
        (lambda: optim.Adam([P], betas=(1, 0.9)), ValueError, "^Adam: .*`beta1`.* got 1"),
        (lambda: optim.Adam([P], betas=(0.9, -1)), ValueError, "^Adam: .*`beta2`.* got -1"),
        (lambda: optim.Adam([P], betas=0.9), TypeError, "unpack"),
        (lambda: optim.Adam([P], l1=-1), ValueError, "^Adam: .*`l1` ≥ 0, got -1"),
        (lambda: optim.Adam([P], l2=-1), ValueError, "^Adam: .*`l2` ≥ 0, got -1"),
        (lambda: optim.Adam([P], weight_decay=-1), ValueError, "`weight_decay` ≥ 0, got -1"),
        (lambda: optim.EMA([P], decay=1), ValueError, "^EMA: .*`decay`.* got 1"),
        (lambda: optim.clip_by_global_norm([P], 0), ValueError, "`max_norm` > 0, got 0"),
    ],
)
def test_invalid_settings_are_refused(make, error, pattern):
    with pytest.raises(error, match=pattern):
        make()


def test_the_base_class_cannot_be_instantiated():
    with pytest.raises(TypeError, match="abstract"):
        optim.Optimizer([P], lr=0.1)


@pytest.mark.parametrize(
    ("grads", "error", "pattern"),
    [
        (None, ValueError, r"^Adam.step: `0` has no .grad; call loss.backward\(\)"),
        ([ONES], ValueError, "^Adam.step: expected 2 gradients, got 1"),
        ([ONES, ONES, ONES], ValueError, "^Adam.step: expected 2 gradients, got 3"),
        ([ONES, None], TypeError, "object|NoneType"),
        (
            [ONES, Tensor(np.ones((3, 2)))],
            ValueError,
            r"^Adam: `1` is float64 \(2, 3\), its gradient float64 \(3, 2\)",
        ),
        (
            [Tensor(np.ones(2, "f4")), Tensor(np.ones((2, 3)))],
            ValueError,
            r"^Adam: `0` is float64 \(2,\), its gradient float32 \(2,\)",
        ),
    ],
)
def test_gradients_that_do_not_fit_are_refused(grads, error, pattern):
    params = [leaf(np.ones(2), "w"), leaf(np.ones((2, 3)))]
    with pytest.raises(error, match=pattern):
        optim.Adam(params).step(grads)
    assert (params[0].numpy() == 1).all()


def test_gradients_may_be_arrays():
    p = leaf(np.ones(2))
    optim.SGD([p], 0.5).step([ONES.data])
    assert (p.numpy() == 0.5).all()


@pytest.mark.parametrize("act", [lambda p: optim.Adam([p]).step, lambda p: optim.EMA([p]).update])
def test_a_parameter_that_has_changed_its_dtype_is_refused(act):
    p = leaf(np.ones(2), "w")
    method = act(p)
    name, kind, inputs = ("EMA", "average", ()) if "EMA" in repr(method) else ("Adam", "m", ([p],))
    p.data = p.data.astype(np.float32)
    pattern = rf"^{name}: `w` is float32 \(2,\), its {kind} float64 \(2,\)"
    with pytest.raises(ValueError, match=pattern):
        method(*inputs)


# --- gradients that are not finite ----------------------------------------------------------------


@each_optimiser
@pytest.mark.parametrize(
    ("numbers", "count"),
    [
        ([math.nan], "1 nan and 0 inf"),
        ([math.inf], "0 nan and 1 inf"),
        ([-math.inf, math.nan, math.inf], "1 nan and 2 inf"),
    ],
)
def test_a_gradient_that_is_not_finite_is_refused_by_name_and_nothing_changes(make, numbers, count):
    params = {"first": leaf(np.ones(3)), "second": leaf(np.ones((2, 5)))}
    optimizer = make(params, weight_decay=0.1)
    good = constants(np.ones(3), np.ones((2, 5)))
    optimizer.step(good)
    before, state = values(optimizer.params), optimizer.state_dict()
    loss = (params["first"] * params["first"]).sum()

    bad = np.ones(10)
    bad[2 : 2 + len(numbers)] = numbers
    with pytest.raises(optim.NotFinite, match=f"step: the gradient of `second` has {count}"):
        optimizer.step([good[0], Tensor(bad.reshape(2, 5))])
    assert_same(values(optimizer.params), before)
    assert optimizer.state_dict().keys() == state.keys()
    assert_same(optimizer.state_dict().values(), state.values())
    tg.grad(loss, params["first"])  # its graph is not stale


def test_the_first_of_several_gradients_that_are_not_finite_is_named():
    params = [leaf(np.ones(2)) for _ in range(3)]
    with pytest.raises(optim.NotFinite, match=r"^SGD\.step: .*`1` has 1 nan and 0 inf$"):
        optim.SGD(params, 0.1).step([ONES, Tensor([math.nan, 1.0]), Tensor([math.inf, math.nan])])


def test_large_gradients_whose_squares_overflow_are_finite():
    p = leaf(np.zeros(3), dtype=np.float32)
    optim.SGD([p], lr=1e-30).step([Tensor(np.full(3, 1e30, np.float32))])
    np.testing.assert_allclose(p.numpy(), [-1, -1, -1], rtol=1e-6)


# --- the rate -------------------------------------------------------------------------------------


def test_step_t_is_taken_at_the_schedules_rate_for_t_counted_from_0():
    p, rates = leaf(0.0), [0.5, 0.25, 4.0, 0.0]
    optimizer = optim.SGD([p], lr=lambda step: rates[step])
    seen = []
    for rate in rates:
        assert optimizer.rate() == rate
        before = p.item()
        optimizer.step(constants(np.array(1.0)))
        seen.append(before - p.item())
    assert seen == rates
    assert optimizer.steps == 4


def test_the_rate_may_be_set_between_steps():
    p = leaf(0.0)
    optimizer = optim.SGD([p], lr=1.0)
    optimizer.lr = np.float64(0.25)
    optimizer.step(constants(np.array(1.0)))
    assert p.item() == -0.25


@pytest.mark.parametrize(
    ("rate", "error", "shown"),
    [(-1.0, ValueError, "-1.0"), (math.nan, ValueError, "nan"), (None, TypeError, "NoneType")],
)
def test_an_invalid_rate_from_a_schedule_is_refused_and_nothing_changes(rate, error, shown):
    p = leaf(np.ones(2))
    optimizer = optim.Adam([p], lr=lambda step: rate, weight_decay=0.1)
    with pytest.raises(error, match=f"^Adam, step 0: expected `lr` ≥ 0, got {shown}"):
        optimizer.step([ONES])
    assert optimizer.steps == 0
    assert (p.numpy() == 1).all()


# --- state ----------------------------------------------------------------------------------------


@each_optimiser
def test_a_run_saved_in_the_middle_and_resumed_is_bit_for_bit_the_whole_run(make, tmp_path):
    schedule = optim.warm_up(optim.cosine(0.1, 15), 5)
    whole, _ = trained(make, 20, lr=schedule)
    half, optimizer = trained(make, 11, lr=schedule)
    np.savez(tmp_path / "state.npz", **optimizer.state_dict())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        resumed, optimizer = trained(make, 9, lr=schedule, start=half, resume=state)
    assert optimizer.steps == 20
    assert_same(resumed.values(), whole.values())


def test_state_is_a_copy_both_ways():
    p = leaf([1.0])
    optimizer = optim.SGD([p], 0.1, momentum=0.5)
    optimizer.step(constants([1.0]))
    state = optimizer.state_dict()
    state["b.0"][0] = 7
    assert optimizer.state_dict()["b.0"] == 1
    optimizer.load_state_dict(state)
    optimizer.step(constants([1.0]))
    assert state["b.0"] == 7


@pytest.mark.parametrize(
    ("params", "keys"),
    [
        ({"a": P, "b": Q}, ["a", "b"]),
        ([P, leaf(1.0, name="q")], ["p", "q"]),
        ([P, Q], ["0", "1"]),
        ([P, leaf(1.0, name="p")], ["0", "1"]),
    ],
)
def test_state_is_named_after_the_parameters_or_numbered_if_names_are_not_distinct(params, keys):
    expected = ["steps", *(f"m.{key}" for key in keys), *(f"v.{key}" for key in keys)]
    assert list(optim.Adam(params).state_dict()) == expected
    assert list(optim.EMA(params).state_dict()) == ["steps", *(f"average.{key}" for key in keys)]


def test_state_finds_its_parameter_by_name_in_whatever_order():
    a, b = leaf([1.0], "a"), leaf([1.0], "b")
    first, second = optim.SGD([a, b], 0.1, 0.5), optim.SGD([b, a], 0.1, 0.5)
    first.step(constants([2.0], [3.0]))
    second.load_state_dict(first.state_dict())
    assert [to_numpy(each).tolist() for each in second.state["b"]] == [[3.0], [2.0]]


def test_state_that_does_not_fit_is_refused_and_nothing_changes():
    params = {"u": leaf(np.ones(2)), "v": leaf(np.ones((2, 3)))}
    optimizer = optim.Adam(params)
    optimizer.step(constants(np.ones(2), np.ones((2, 3))))
    state, before = optimizer.state_dict(), optimizer.state_dict()
    state["steps"] = np.array(9)
    state["m.u"] = np.full(2, 5.0)
    del state["v.u"]
    state["m.w"] = state.pop("m.v")
    state["v.v"] = np.ones(2, np.float32)
    with pytest.raises(ValueError) as caught:
        optimizer.load_state_dict(state)
    assert str(caught.value) == (
        "Adam: the state does not fit\n"
        "  missing: m.v\n"
        "  missing: v.u\n"
        "  unexpected: m.w\n"
        "  v.v: expected float64 (2, 3), got float32 (2,)"
    )
    assert_same(optimizer.state_dict().values(), before.values())


def test_state_of_momentum_does_not_fit_an_optimiser_without():
    state = optim.SGD([P], 0.1, momentum=0.9).state_dict()
    with pytest.raises(ValueError, match=r"^SGD: the state does not fit\n  unexpected: b\.p$"):
        optim.SGD([P], 0.1).load_state_dict(state)


# --- docstrings and stale graphs ------------------------------------------------------------------


def test_every_public_name_has_a_docstring():
    made = {name: value for name, value in vars(optim).items() if name[0] != "_"}
    assert {"Adam", "EMA", "cosine", "clip_by_global_norm"} < made.keys()
    assert [n for n, value in made.items() if n != "Schedule" and not value.__doc__] == []


@pytest.mark.parametrize("view", [lambda p: p.T, lambda p: p.T[1:], lambda p: p[0:3]])
def test_a_graph_that_used_a_view_of_a_parameter_is_stale_after_a_step(view, rng):
    p = Tensor(rng.normal(size=(3, 2)), requires_grad=True)
    x = Tensor(rng.normal(size=view(p).shape), requires_grad=True)
    y, copied = tg.sum(view(p) * x), tg.sum(tg.exp(p)) * tg.sum(x)
    optim.SGD([p], 0.1).step([Tensor(np.ones((3, 2)))])
    with pytest.raises(RuntimeError, match="was changed after it was used in this graph"):
        tg.grad(y, x)
    tg.grad(copied, x)  # does not share memory with p


def test_step_alone_takes_what_backward_left_and_clears_it():
    a, b = leaf(np.ones(2), "a"), leaf(np.full(3, 2.0), "b")
    c, d = leaf(np.ones(2), "c"), leaf(np.full(3, 2.0), "d")
    ours, theirs = optim.Adam([a, b], lr=0.1), optim.Adam([c, d], lr=0.1)
    for _ in range(3):
        loss = tg.sum(a**2) + tg.sum(b**3)
        loss.backward()
        ours.step()
        assert a.grad is None and b.grad is None
        theirs.step(tg.grad(tg.sum(c**2) + tg.sum(d**3), theirs.params))
    np.testing.assert_array_equal(a.numpy(), c.numpy())
    np.testing.assert_array_equal(b.numpy(), d.numpy())
    tg.sum(a**2).backward()  # b has none: nothing changes
    before = a.numpy()
    with pytest.raises(ValueError, match=r"`b` has no \.grad"):
        ours.step()
    np.testing.assert_array_equal(a.numpy(), before)
    assert a.grad is not None and ours.steps == 3


def test_an_optimiser_shows_its_size_rate_and_step():
    adam = optim.Adam([leaf(np.ones((2, 3)))], lr=0.01)
    assert repr(adam) == "Adam(6 parameters, lr=0.01, step 0)"
