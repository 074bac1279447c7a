"""Modules: state is found, named, saved, loaded and converted; errors, repr and summary."""

import functools
import re

import numpy as np
import pytest

import tinygen as tg
from tinygen import Tensor, nn
from tinygen.nn import module


def array(x, dtype="f4"):
    return tg.xp.asarray(np.asarray(x), dtype)


def leaf(*shape):
    return Tensor(np.ones(shape, "f4"), requires_grad=True)


class Part(nn.Module):
    """One parameter, one buffer."""

    def __init__(self, size=2):
        self.w, self.seen = leaf(size), array(np.zeros(size))

    def forward(self, x):
        return x * self.w


class Everything(nn.Module):
    """State in every place where it is found, and attributes that are not state."""

    def __init__(self):
        self.first = leaf(1)
        self.part = Part(2)
        self.listed = [Part(3), leaf(4), [leaf(5)]]
        self.tupled = (leaf(6), Part(7))
        self.by_name = {"left": leaf(8), "right": {0: Part(9)}}
        self.constant = Tensor(np.ones(10))
        self.count = array([3, 4], "int64")
        self.again, self.part_again = self.first, self.listed[0]
        self.nothing, self.number, self.text, self.function = None, 3, "x", tg.relu

    def forward(self, x):
        return self.part(x)


PARAMETERS = {
    "first": 1,
    "part.w": 2,
    "listed.0.w": 3,
    "listed.1": 4,
    "listed.2.0": 5,
    "tupled.0": 6,
    "tupled.1.w": 7,
    "by_name.left": 8,
    "by_name.right.0.w": 9,
}
OTHERS = {
    "constant": 10,
    "count": 2,
    "part.seen": 2,
    "listed.0.seen": 3,
    "tupled.1.seen": 7,
    "by_name.right.0.seen": 9,
}


def copied(model):
    """A deep copy of the state."""
    return {name: np.array(each) for name, each in model.state_dict().items()}


def assert_state(model, expected):
    assert list(model.state_dict()) == list(expected)
    for name, each in model.state_dict().items():
        np.testing.assert_array_equal(each, expected[name], name)


# --- found and named ------------------------------------------------------------------------------


def test_parameters_are_found_in_attributes_and_containers_once_and_named_by_the_way():
    model = Everything()
    assert {name: each.size for name, each in model.named_parameters()} == PARAMETERS
    assert {id(p) for p in model.parameters()} == {id(p) for _, p in model.named_parameters()}
    assert len(model.parameters()) == len(PARAMETERS)


def test_state_is_parameters_constants_and_arrays():
    sizes = {name: each.size for name, each in Everything().named_state()}
    assert sizes == PARAMETERS | OTHERS


def test_modules_are_named_by_the_way_each_before_its_parts():
    names = [name for name, _ in Everything().named_modules()]
    assert names == ["", "part", "listed.0", "tupled.1", "by_name.right.0"]
    nested = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    assert [name for name, _ in nested.named_modules()] == [
        "",
        "layers.0",
        "layers.0.layers.0",
        "layers.1",
    ]


def test_names_are_the_same_in_every_instance_and_in_the_order_of_assignment():
    a, b = (list(Everything().state_dict()) for _ in range(2))
    assert a == b
    assert a[0] == "first"
    model = Everything()
    assert [n for n, _ in model.named_state()] == [n for n, _ in model.named_state()] == a


def test_parameters_does_not_set_names(rng):
    model = nn.Sequential(nn.Dense(2, 2, rng=rng), tg.tanh)
    model[0].bias.name = "mine"
    assert [p.name for p in model.parameters()] == [None, "mine"]


def test_a_cycle_of_modules_is_visited_once():
    model = Part()
    model.child = Part()
    model.child.parent = model
    assert [name for name, _ in model.named_modules()] == ["", "child"]


def test_gradients_reach_a_shared_layer_from_both_of_its_uses(rng):
    layer = nn.Dense(3, 3, rng=rng, bias=False)
    model = nn.Sequential(layer, tg.tanh, layer).astype(float)
    assert [name for name, _ in model.named_parameters()] == ["layers.0.weight"]
    assert tg.gradcheck(model, rng.standard_normal((2, 3)), params=model.parameters())


# --- training and evaluation ----------------------------------------------------------------------


def test_evaluating_gives_each_part_its_own_mode_back_also_after_an_error():
    model = Everything().eval()
    model.listed[0].train()
    before = [each.training for _, each in model.named_modules()]
    with nn.evaluating(model):
        assert not tg.is_recording()
        assert not any(each.training for _, each in model.named_modules())
    assert tg.is_recording()
    assert [each.training for _, each in model.named_modules()] == before
    with pytest.raises(RuntimeError), nn.evaluating(model.train()):
        raise RuntimeError
    assert tg.is_recording() and all(each.training for _, each in model.named_modules())


def test_train_and_eval_reach_every_module():
    model = Everything()
    assert all(each.training for _, each in model.named_modules())
    assert model.eval() is model
    assert not any(each.training for _, each in model.named_modules())
    model.listed[0].train()
    assert [each.training for _, each in model.named_modules()].count(True) == 1
    assert model.train() is model
    assert all(each.training for _, each in model.named_modules())
    assert nn.Module.training


# --- saved and loaded -----------------------------------------------------------------------------


def trained(seed=0):
    """Every kind of state: weights, running statistics, v; and an input."""
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.SpectralNorm(nn.Conv2d(1, 4, 3, 1, 1, rng=rng), rng=rng),
        nn.BatchNorm(4),
        tg.relu,
        nn.Flatten(),
        nn.Dense(36, 5, rng=rng),
    )
    x = array(rng.standard_normal((6, 3, 3, 1)))
    model(x)
    return model, x


def test_state_goes_through_a_file_without_pickle_and_back(tmp_path):
    model, x = trained(0)
    other, _ = trained(1)
    np.savez(tmp_path / "state.npz", **model.state_dict())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as file:
        other.load_state_dict(file)
    assert_state(other, copied(model))
    assert {each.dtype for each in other.state_dict().values()} == {np.dtype("f4")}
    np.testing.assert_array_equal(other.eval()(x).numpy(), model.eval()(x).numpy())


def test_the_state_is_a_copy_on_the_host():
    model, _ = trained()
    before, state = copied(model), model.state_dict()
    for each in state.values():
        assert type(each) is np.ndarray
        each += 1
    assert_state(model, before)


def test_loaded_arrays_are_copied():
    model, _ = trained()
    state = model.state_dict()
    model.load_state_dict(state)
    before = copied(model)
    for each in state.values():
        each += 1
    assert_state(model, before)


def test_loading_keeps_the_tensors_that_an_optimiser_holds():
    model, _ = trained(0)
    held, other = model.parameters(), trained(1)[0]
    model.load_state_dict(other.state_dict())
    assert [id(p) for p in model.parameters()] == [id(p) for p in held]
    assert all(p.requires_grad for p in held)


def test_an_array_of_numpy_is_state_on_every_backend():
    class Model(nn.Module):
        def __init__(self):
            self.host = np.zeros(2, "f4")

    model = Model()
    model.load_state_dict({"host": np.array([1, 2], "f4")})
    np.testing.assert_array_equal(model.host, [1, 2])
    assert model.astype(float).host.dtype == np.float64


def test_a_gradient_after_loading_is_refused_not_wrong():
    model, x = trained()
    loss = model(x).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(RuntimeError, match=r"was changed after it was used in this graph"):
        tg.grad(loss, model.parameters())


def test_state_that_does_not_fit_is_refused_by_name_and_nothing_changes():
    model, _ = trained(0)
    before, state = copied(model), trained(1)[0].state_dict()
    del state["layers.1.mean"], state["layers.4.bias"]
    state["layers.9.weight"] = np.zeros(3)
    state["layers.1.gamma"] = np.zeros((4, 1), "f4")
    state["layers.4.weight"] = state["layers.4.weight"].astype(float)
    assert message(ValueError, lambda: model.load_state_dict(state)) == (
        "Sequential: the state does not fit\n"
        "  layers.1.gamma: expected float32 (4,), got float32 (4, 1)\n"
        "  layers.4.weight: expected float32 (36, 5), got float64 (36, 5)\n"
        "  missing: layers.1.mean\n"
        "  missing: layers.4.bias\n"
        "  unexpected: layers.9.weight"
    )
    assert_state(model, before)


# --- frozen and converted -------------------------------------------------------------------------


def test_frozen_tensors_are_state_but_not_parameters():
    model, x = trained()
    state = list(model.state_dict())
    model[0].freeze()
    names = [name for name, _ in model.named_parameters()]
    assert names == ["layers.1.gamma", "layers.1.beta", "layers.4.weight", "layers.4.bias"]
    assert list(model.state_dict()) == state
    inner = model[0].layer.weight
    with pytest.raises(ValueError, match=r"does not require gradients"):
        tg.grad(model(x).sum(), inner)
    assert model.freeze() is model
    assert model.parameters() == []
    assert model.freeze(False) is model
    assert len(model.parameters()) == 6
    assert tg.grad(model(x).sum(), inner).shape == inner.shape


def test_gradients_flow_through_frozen_modules():
    model, x = trained()
    model.freeze().eval()
    x = Tensor(x, requires_grad=True)
    assert tg.grad((model(x) ** 2).sum(), x).numpy().any()


def test_integers_are_neither_frozen_nor_converted():
    model = Everything()
    model.labels = Tensor([1, 2])
    model.astype("f8").freeze().freeze(False)
    assert model.count.dtype == model.labels.dtype == np.int64
    assert not model.labels.requires_grad
    assert {p.dtype for p in model.parameters()} == {np.dtype("f8")}


def test_astype_converts_parameters_and_arrays_and_back():
    model, x = trained()
    held = model.parameters()
    assert model.astype(float) is model
    assert {a.dtype for a in model.state_dict().values()} == {np.dtype("f8")}
    assert model(Tensor(tg.to_numpy(x).astype(float))).dtype == np.float64
    assert model.parameters() == held
    model.astype(np.float32)
    assert {a.dtype for a in model.state_dict().values()} == {np.dtype("f4")}
    assert model(x).dtype == np.float32


# --- calls and errors -----------------------------------------------------------------------------


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def notes(error, call):
    with pytest.raises(error) as caught:
        call()
    return caught.value.__notes__


with_notes = pytest.mark.skipif(not hasattr(Exception, "add_note"), reason="Python 3.10 has none")


@with_notes
def test_an_error_notes_the_layers_it_passed_through(rng):
    dense = nn.Dense(3, 2, rng=rng)
    model = nn.Sequential(tg.tanh, nn.Sequential(nn.ReLU(), dense))
    x = array(np.ones((4, 5)))
    way = ["in Dense", "in `layers.1` of Sequential", "in `layers.1` of Sequential"]
    assert notes(ValueError, lambda: dense(x)) == way[:1]
    assert notes(ValueError, lambda: model[1](x)) == way[:2]
    assert notes(ValueError, lambda: model(x)) == way


@with_notes
def test_an_error_in_a_function_notes_the_function_and_its_options():
    model = nn.Sequential(nn.ReLU(), nn.Function(tg.softmax, axis=3))
    assert notes(ValueError, lambda: model(array(np.ones((2, 2))))) == [
        "in softmax(axis=3)",
        "in `layers.1` of Sequential",
    ]


@with_notes
def test_an_error_in_a_module_that_is_not_a_part_is_noted_without_a_name(rng):
    class Outer(nn.Module):
        def forward(self, x):
            return nn.Dense(3, 2, rng=rng)(x)

    assert notes(ValueError, lambda: Outer()(array(np.ones((4, 5))))) == ["in Dense", "in Outer"]


@with_notes
def test_a_users_own_error_is_noted_too_and_keeps_its_text():
    class Mine(nn.Module):
        def __init__(self):
            self.sizes, self.rate, self.on = (2, (3, 4)), 0.5, True

        def forward(self, x):
            raise TypeError("no")

    model = nn.Sequential(Mine())
    assert message(TypeError, lambda: model(1)) == "no"
    assert notes(TypeError, lambda: model(1)) == [
        "in Mine(sizes=(2, (3, 4)), rate=0.5, on=True)",
        "in `layers.0` of Sequential",
    ]


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    assert message(NotImplementedError, lambda: Empty()(1)) == "Empty has no `forward`"


def test_a_module_takes_several_inputs_and_keywords_and_may_give_several_results():
    class Both(nn.Module):
        def forward(self, x, y, factor=1):
            return x * factor, y

    assert Both()(2, 3, factor=5) == (10, 3)


def test_sequential_takes_modules_and_functions_one_after_the_other():
    model = nn.Sequential(lambda x: x + 1, nn.Function(tg.clip, low=0.0), abs, nn.ReLU())
    np.testing.assert_array_equal(model(Tensor([-3.0, 1.0])).numpy(), [0, 2])
    assert len(model) == 4
    assert isinstance(model[3], nn.ReLU)
    assert isinstance(model[-2], nn.Function)
    assert [type(layer) for layer in model] == [nn.Function] * 3 + [nn.ReLU]
    x = Tensor([1.0])
    assert nn.Sequential()(x) is x


def test_sequential_refuses_classes_and_values_that_are_not_callable():
    for wrong in (3, nn.ReLU):  # a class is not yet a layer
        with pytest.raises(TypeError, match=f"^Sequential: .* got {wrong!r}$"):
            nn.Sequential(tg.relu, wrong)


def test_the_options_of_a_function_may_be_parameters():
    model = nn.Function(tg.maximum, y=leaf(2))
    assert [name for name, _ in model.named_parameters()] == ["options.y"]
    np.testing.assert_array_equal(model(array([0, 3])).numpy(), [1, 3])


# --- repr and summary -----------------------------------------------------------------------------


def test_repr_has_a_line_for_each_module_with_its_shapes(rng):
    model = nn.Sequential(
        nn.Conv2d(1, 100, 3, 2, "same", rng=rng),
        nn.BatchNorm(100),
        nn.LeakyReLU(0.2),
        nn.Sequential(nn.Flatten(), nn.Dense(900, 2, rng=rng, bias=False)),
        tg.softmax,
    )
    assert repr(model) == (
        "Sequential\n"
        "layers.0: Conv2d(stride=2, padding='same')  weight (3, 3, 1, 100)  bias (100,)\n"
        "layers.1: BatchNorm(eps=1e-05, momentum=0.1)  gamma (100,)  beta (100,)\n"
        "layers.2: LeakyReLU(slope=0.2)\n"
        "layers.3: Sequential\n"
        "layers.3.layers.0: Flatten\n"
        "layers.3.layers.1: Dense  weight (900, 2)\n"
        "layers.4: softmax\n"
        "3,000 parameters"
    )


def test_repr_of_a_layer_without_parameters_is_one_line():
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(size=2, padding=0)"
    assert repr(nn.Dropout(0.3, rng=np.random.default_rng()).eval()) == "Dropout(p=0.3)"
    assert repr(nn.Function(functools.partial(tg.clip, low=0))).startswith("functools.partial(")


def test_repr_shows_and_counts_a_shared_layer_once(rng):
    layer = nn.Dense(3, 3, rng=rng)
    lines = repr(nn.Sequential(layer, layer)).splitlines()
    assert len(lines) == 3
    assert lines[-1] == "12 parameters"
    shown = repr(Everything()).splitlines()
    assert shown[0].startswith("Everything(number=3, text='x')  first (1,)")
    assert shown[-1] == f"{sum(range(1, 11))} parameters"


def columns(table):
    """The table as lists of cells."""
    return [re.split(r" {2,}", line) for line in table.splitlines()]


def test_summary_is_a_table_of_shapes_parameters_and_multiply_adds(rng):
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, rng=rng),
        nn.BatchNorm(8),
        tg.relu,
        nn.ConvTranspose2d(8, 3, 4, 2, 1, rng=rng),
        nn.Sequential(nn.Flatten(), nn.Dense(108, 1000, rng=rng)),
    )
    assert nn.summary(model, array(np.zeros((5, 6, 6, 1)))) == (
        "layer                      output                 parameters    multiply-adds\n"
        "Sequential                 (5, 1000)                       0                0\n"
        "layers.0 Conv2d            (5, 3, 3, 8)                   80            3,240\n"
        "layers.1 BatchNorm         (5, 3, 3, 8)                   16                0\n"
        "layers.2 relu              (5, 3, 3, 8)                    0                0\n"
        "layers.3 ConvTranspose2d   (5, 6, 6, 3)                  387           17,280\n"
        "layers.4 Sequential        (5, 1000)                       0                0\n"
        "layers.4.layers.0 Flatten  (5, 108)                        0                0\n"
        "layers.4.layers.1 Dense    (5, 1000)                 109,000          540,000\n"
        "total                                                109,483          560,520"
    )
    # by hand: N H' W' C' · K L C; N H W C · K L C'; N · inputs · outputs
    assert 5 * 3 * 3 * 8 * 3 * 3 * 1 == 3240
    assert 5 * 3 * 3 * 8 * 4 * 4 * 3 == 17_280
    assert 5 * 108 * 1000 == 540_000


def test_summary_counts_the_multiplications_of_attention(rng):
    rows = columns(nn.summary(nn.SelfAttention(8, 2, rng=rng), array(np.zeros((3, 2, 5, 8)))))
    # 10 × 10 pairs of positions with 8 numbers each, once for scores and once for means
    assert rows[1] == ["SelfAttention", "(3, 2, 5, 8)", "0", f"{2 * 3 * 10 * 10 * 8:,}"]
    assert rows[-1] == ["total", "288", f"{4800 + 4 * 3 * 10 * 8 * 8:,}"]


def test_summary_counts_shared_parameters_once_and_calls_twice(rng):
    layer = nn.Dense(3, 3, rng=rng, bias=False)
    rows = columns(nn.summary(nn.Sequential(layer, layer), array(np.zeros((2, 3)))))
    assert rows[2:] == [
        ["layers.0 Dense", "(2, 3)", "9", "18"],
        ["layers.0 Dense", "(2, 3)", "0", "18"],
        ["total", "9", "36"],
    ]


def test_summary_counts_every_normed_layer(rng):
    # each has a temporary weight during its call
    parts = [nn.SpectralNorm(nn.Dense(3, 3, rng=rng, bias=False), rng=rng) for _ in range(20)]
    table = nn.summary(nn.Sequential(*parts), array(np.zeros((2, 3))))
    assert columns(table)[-1] == ["total", "180", "360"]


def test_the_totals_of_a_summary_are_the_parameters_and_the_cost():
    model, x = trained()
    totals = columns(nn.summary(model, x))[-1]
    parameters, multiply_adds = nn.cost(model, x)
    assert totals == ["total", f"{parameters:,}", f"{multiply_adds:,}"]
    assert parameters == sum(p.size for p in model.parameters())
    assert multiply_adds == 6 * 3 * 3 * 4 * 9 + 6 * 36 * 5


def test_summary_leaves_the_model_as_it_was(rng):
    model, x = trained()
    model.layers.append(nn.Dropout(0.5, rng=rng))
    model[1].eval()
    modes = [each.training for _, each in model.named_modules()]
    state, drawn = copied(model), rng.bit_generator.state
    nn.summary(model, x)
    assert [each.training for _, each in model.named_modules()] == modes
    assert rng.bit_generator.state == drawn
    assert_state(model, state)
    assert module._watch is None


def test_summary_records_and_prints_nothing(capsys):
    recording = []
    model = nn.Sequential(lambda x: recording.append(tg.is_recording()) or x)
    nn.summary(model, Tensor([1.0]))
    assert recording == [False] and capsys.readouterr().out == ""


def test_after_an_error_in_summary_the_model_is_as_it_was(rng):
    model = nn.Sequential(nn.Dense(3, 2, rng=rng), tg.relu)
    for _ in range(2):
        assert message(ValueError, lambda: nn.summary(model, array(np.ones((4, 5))))) == (
            "affine: expected `x` (…, n), `w` (n, m) and `b` (m,), got (4, 5), (3, 2), (2,)"
        )
    assert all(each.training for _, each in model.named_modules())
    assert module._watch is None


def test_summary_shows_several_results():
    class Two(nn.Module):
        def forward(self, x):
            return x, x[0]

    assert columns(nn.summary(Two(), Tensor(np.ones((2, 3)))))[1][:2] == ["Two", "(2, 3), (3,)"]


def test_a_plain_array_takes_the_dtype_of_a_layer_with_parameters_only(rng):
    dense, x = nn.Dense(4, 2, rng=rng), tg.xp.asarray(rng.normal(size=(3, 4)))
    assert nn.Sequential(dense)(x).dtype == np.float32
    flat = nn.Sequential(nn.Flatten(), dense)
    assert flat(x.astype("f4")).dtype == np.float32
    with pytest.raises(TypeError, match="affine: dtypes differ, float32 and float64"):
        flat(x)


def test_duplicate_names_are_refused(rng):
    class Doubled(nn.Module):
        def __init__(self):
            self.parts = {0: tg.Tensor([1.0], requires_grad=True)}
            self.parts |= {"0": tg.Tensor([2.0], requires_grad=True)}

    with pytest.raises(ValueError, match=r"^Doubled: two .* `parts\.0`$"):
        Doubled().state_dict()
