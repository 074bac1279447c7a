"""Every layer of the table: gradients to order 2, dtypes, state; then layers one by one."""

import copy
import inspect
import math

import layers
import numpy as np
import pytest

import tinygen as tg
from tinygen import Tensor, gradcheck, nn
from tinygen.autograd import backend, parallel

every_layer = pytest.mark.parametrize("row", layers.TABLE, ids=[row.name for row in layers.TABLE])
every_mode = pytest.mark.parametrize("mode", ["training", "evaluation"])


def array(x, dtype="float64"):
    """A plain array of the backend."""
    return tg.xp.asarray(np.asarray(x), dtype)


# --- the table ------------------------------------------------------------------------------------


def test_every_layer_is_in_the_table():
    classes = {each for each in vars(nn).values() if inspect.isclass(each)} - {nn.Module}
    shown = {type(part) for row in layers.TABLE for _, part in row.drawn()[0].named_modules()}
    assert len(classes) > 20
    assert classes - shown == set()


@every_mode
@every_layer
def test_gradients_of_inputs_and_parameters_are_right_to_order_2(row, mode):
    layer, x = row.drawn()
    layer.astype(float).train(mode == "training")
    report = gradcheck(layers.repeatable(layer), x, params=dict(layer.named_parameters()))
    entries = x.size * (x.dtype.kind == "f") + sum(p.size for p in layer.parameters())
    assert report.checks > 2 * entries
    assert not report.kinks


@every_layer
def test_the_checker_takes_a_float32_layer_and_leaves_it_one(row):
    layer, x = row.drawn()
    gradcheck(layers.repeatable(layer), x, params=layer.parameters(), order=1)
    assert {each.dtype for _, each in layer.named_state()} <= {np.dtype("float32")}


@every_layer
def test_float32_stays_float32_whatever_the_input_is(row):
    layer, x = row.drawn()
    tensor = Tensor(x) if x.dtype.kind == "i" else Tensor(x.astype("f4"), requires_grad=True)
    z = layers.repeatable(layer)(tensor)
    assert z.dtype == np.float32
    live = layer.parameters() + [tensor] * tensor.requires_grad
    assert {g.dtype for g in tg.grad((z * z).sum(), live)} <= {np.dtype("float32")}
    for each in (array(x, x.dtype), array(np.round(x), "int64")) if layer.parameters() else ():
        z = layers.repeatable(layer)(each)
        assert z.dtype == np.float32
        assert {g.dtype for g in tg.grad((z * z).sum(), layer.parameters())} == {z.dtype}


@every_mode
@every_layer
def test_float32_agrees_with_float64(row, mode):
    layer, x = row.drawn()
    layer.train(mode == "training")
    same = copy.deepcopy(layer).astype(float)
    results = []
    for each, dtype in ((layer, "f4"), (same, "f8")):
        t = Tensor(x) if x.dtype.kind == "i" else Tensor(x.astype(dtype), requires_grad=True)
        z = layers.repeatable(each)(t)
        cotangent = Tensor(np.random.default_rng(1).standard_normal(z.shape).astype(dtype))
        live = each.parameters() + [t] * t.requires_grad
        gradients = tg.grad(z, live, cotangent=cotangent) if live else []
        results.append([z.numpy(), *(g.numpy() for g in gradients)])
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4)


@every_layer
def test_an_evaluation_changes_nothing_and_repeats(row):
    layer, x = row.drawn()
    layer.eval()
    before = {name: np.array(each) for name, each in layer.state_dict().items()}
    drawn = [m.rng.bit_generator.state for _, m in layer.named_modules() if hasattr(m, "rng")]
    first, second = layer(array(x, x.dtype)), layer(array(x, x.dtype))
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    for name, each in layer.state_dict().items():
        np.testing.assert_array_equal(each, before[name])
    assert drawn == [
        m.rng.bit_generator.state for _, m in layer.named_modules() if hasattr(m, "rng")
    ]


each_by_itself = [row for row in layers.TABLE if row.name != "Softmax along the batch"]


@pytest.mark.parametrize("row", each_by_itself, ids=[row.name for row in each_by_itself])
def test_images_or_rows_are_independent_in_evaluation(row):
    layer, x = row.drawn()
    layer.eval()
    together = layer(array(x, x.dtype)).numpy()
    alone = [layer(array(x[i : i + 1], x.dtype)).numpy() for i in range(len(x))]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-6)


@every_layer
def test_loaded_state_gives_the_same_outputs(row):
    layer, x = row.drawn(seed=0)
    other, _ = row.drawn(seed=1)
    other.load_state_dict(layer.state_dict())
    x = array(x, x.dtype)
    np.testing.assert_array_equal(other.eval()(x).numpy(), layer.eval()(x).numpy())


@every_layer
def test_a_layer_can_be_copied(row):
    layer, x = row.drawn()
    twin, x = copy.deepcopy(layer), array(x, x.dtype)
    np.testing.assert_array_equal(twin(x).numpy(), layer(x).numpy())
    for ours, theirs in zip(layer.parameters(), twin.parameters(), strict=True):
        assert ours is not theirs
        assert not np.shares_memory(tg.to_numpy(ours.data), tg.to_numpy(theirs.data))


def test_an_empty_batch_gives_an_empty_batch(rng):
    for layer, shape, expected in [
        (nn.Dense(4, 3, rng=rng), (0, 4), (0, 3)),
        (nn.Conv2d(1, 2, 3, rng=rng), (0, 5, 5, 1), (0, 3, 3, 2)),
        (nn.ConvTranspose2d(1, 2, 3, rng=rng), (0, 5, 5, 1), (0, 7, 7, 2)),
        (nn.BatchNorm(4).eval(), (0, 4), (0, 4)),
        (nn.SelfAttention(4, rng=rng), (0, 3, 4), (0, 3, 4)),
        (nn.Dropout(rng=rng), (0, 4), (0, 4)),
        (nn.Flatten(), (0, 3, 2, 2), (0, 12)),
        (nn.Reshape(3, 4), (0, 12), (0, 3, 4)),
        (nn.MaxPool2d(2), (0, 4, 4, 1), (0, 2, 2, 1)),
        (nn.Upsample(2), (0, 4, 4, 1), (0, 8, 8, 1)),
    ]:
        assert layer(Tensor(np.zeros(shape, "f4"))).shape == expected


# --- one layer at a time --------------------------------------------------------------------------


def test_a_dense_layer_is_a_product_and_a_sum_over_the_last_axis(rng):
    layer = nn.Dense(3, 2, rng=rng).astype(float)
    layer.bias.data = array([10.0, 20.0])
    x, w = rng.standard_normal((4, 5, 3)), layer.weight.numpy()
    expected = np.array(
        [
            [
                [sum(row[i] * w[i, o] for i in range(3)) + 10 * (o + 1) for o in (0, 1)]
                for row in page
            ]
            for page in x
        ]
    )
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(layer(Tensor(x[0, 0])).numpy(), expected[0, 0], rtol=1e-12)


def test_without_bias_zeros_go_to_zeros(rng):
    for layer, shape in [
        (nn.Dense(3, 2, rng=rng, bias=False), (1, 3)),
        (nn.Conv2d(3, 2, 2, rng=rng, bias=False), (1, 4, 4, 3)),
        (nn.ConvTranspose2d(3, 2, 2, rng=rng, bias=False), (1, 4, 4, 3)),
    ]:
        assert [name for name, _ in layer.named_parameters()] == ["weight"]
        assert not layer(array(np.zeros(shape))).numpy().any()


def test_a_bias_is_added_to_every_pixel(rng):
    for layer in (nn.Conv2d(1, 2, 3, rng=rng), nn.ConvTranspose2d(1, 2, 2, 3, rng=rng)):
        layer.bias.data = array([1.0, -2.0], "f4")  # also on pixels that no weight reaches
        z = layer(array(np.zeros((2, 4, 4, 1)))).numpy()
        np.testing.assert_array_equal(z, np.broadcast_to(np.array([1, -2], "f4"), z.shape))


def test_a_convolution_adds_its_further_arguments(rng):
    layer = nn.Conv2d(2, 3, 3, 1, 1, rng=rng)
    x, a = array(rng.standard_normal((2, 4, 5, 2)), "f4"), array(np.ones((2, 4, 5, 3)), "f4")
    b = array([[[[1, 2, 3]]], [[[4, 5, 6]]]])
    expected = layer(x).numpy() + 1 + tg.to_numpy(b)
    np.testing.assert_allclose(layer(x, a, b).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_undoes_the_shapes_of_a_convolution(rng):
    x = array(np.zeros((2, 8, 6, 3)))
    down = nn.Conv2d(3, 5, 4, 2, 1, rng=rng)
    up = nn.ConvTranspose2d(5, 3, 4, 2, 1, rng=rng)
    assert up.weight.shape == down.weight.shape == (4, 4, 3, 5)
    assert down(x).shape == (2, 4, 3, 5)
    assert up(down(x)).shape == x.shape


def test_an_embedding_looks_rows_up(rng):
    layer = nn.Embedding(5, 3, rng=rng)
    w = layer.weight.numpy()
    for indices in ([[1, 4], [0, 1]], [2], 3):
        np.testing.assert_array_equal(layer(array(indices, "uint8")).numpy(), w[indices])
        np.testing.assert_array_equal(layer(indices).numpy(), w[indices])
    assert layer(array(np.zeros((0, 2), int), "int64")).shape == (0, 2, 3)


def test_the_gradients_of_a_repeated_index_add_up(rng):
    layer = nn.Embedding(4, 2, rng=rng)
    g = tg.grad(layer([1, 3, 1, 1]).sum(), layer.weight).numpy()
    np.testing.assert_array_equal(g, [[0, 0], [3, 3], [0, 0], [1, 1]])


def test_a_sinusoidal_embedding_is_waves_from_1_to_the_longest():
    z = nn.SinusoidalEmbedding(6, longest=100.0)(array([0.0, 0.5, 37.0])).numpy()
    for t, row in zip([0.0, 0.5, 37.0], z, strict=True):
        waves = [t, t / 10, t / 100]
        expected = [math.sin(w) for w in waves] + [math.cos(w) for w in waves]
        np.testing.assert_allclose(row, expected, atol=1e-12)
    assert nn.SinusoidalEmbedding(4)(array([1, 2], "int64")).dtype == np.float32


def test_flatten_and_reshape_keep_the_order_of_entries(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    flat = nn.Flatten()(Tensor(x))
    np.testing.assert_array_equal(flat.numpy(), [[v for v in each.flat] for each in x])
    np.testing.assert_array_equal(nn.Reshape(3, 4, 5)(flat).numpy(), x)
    assert nn.Flatten()(Tensor(np.zeros(3))).shape == (3, 1)


LAYERS_OF_FUNCTIONS = [
    (nn.Upsample(3), tg.upsample2d, {"factor": 3}),
    (nn.MaxPool2d(3, 1, 1), tg.max_pool2d, {"size": 3, "stride": 1, "padding": 1}),
    (nn.AvgPool2d(3, 1, 1), tg.avg_pool2d, {"size": 3, "stride": 1, "padding": 1}),
    (nn.LeakyReLU(), tg.leaky_relu, {}),
    (nn.LeakyReLU(0.3), tg.leaky_relu, {"slope": 0.3}),
    (nn.ELU(), tg.elu, {}),
    (nn.ELU(0.3), tg.elu, {"alpha": 0.3}),
    (nn.Softmax(), tg.softmax, {}),
    (nn.Softmax(axis=1), tg.softmax, {"axis": 1}),
    (nn.Function(tg.clip, low=0.1), tg.clip, {"low": 0.1}),
    (nn.ReLU(), tg.relu, {}),
    (nn.SiLU(), tg.silu, {}),
    (nn.GELU(), tg.gelu, {}),
    (nn.Softplus(), tg.softplus, {}),
    (nn.Sigmoid(), tg.sigmoid, {}),
    (nn.Tanh(), tg.tanh, {}),
]


@pytest.mark.parametrize(("layer", "function", "options"), LAYERS_OF_FUNCTIONS)
def test_a_layer_of_a_function_is_the_function(layer, function, options, rng):
    x = Tensor(rng.standard_normal((2, 4, 4, 3)))
    np.testing.assert_array_equal(layer(x).numpy(), function(x, **options).numpy())


# --- dropout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_a_share_p_and_keeps_the_mean(p, rng):
    n = 200_000
    z = nn.Dropout(p, rng=rng)(Tensor(np.ones(n, "f4"))).numpy()
    dropped = (z == 0).mean()
    assert abs(dropped - p) < 5 * math.sqrt(p * (1 - p) / n)
    assert abs(z.mean() - 1) < 5 * math.sqrt(p / (1 - p) / n)
    np.testing.assert_allclose(np.unique(z), [0, 1 / (1 - p)], rtol=1e-6)


def test_dropout_drops_elements_independently(rng):
    z = nn.Dropout(0.5, rng=rng)(Tensor(np.ones((300, 300), "f4"))).numpy() == 0
    for a, b in [(z[1:], z[:-1]), (z[:, 1:], z[:, :-1]), (z, z.T)]:
        off = ~np.eye(300, dtype=bool)[: len(a), : a.shape[1]]
        assert abs((a & b)[off].mean() - 0.25) < 0.01


def test_dropout_is_the_identity_in_evaluation_and_draws_nothing(rng):
    layer = nn.Dropout(0.5, rng=rng).eval()
    x, before = Tensor(np.ones((3, 4))), rng.bit_generator.state
    np.testing.assert_array_equal(layer(x).numpy(), x.numpy())
    assert rng.bit_generator.state == before


def test_dropout_with_p_0_is_the_identity_in_training(rng):
    np.testing.assert_array_equal(nn.Dropout(0.0, rng=rng)(Tensor([1.0, 2.0])).numpy(), [1, 2])


def test_dropout_drops_others_at_each_call_and_the_same_from_a_copied_state(rng):
    layer, x = nn.Dropout(0.5, rng=rng), Tensor(np.ones(1000))
    state = rng.bit_generator.state
    first, second = layer(x).numpy(), layer(x).numpy()
    assert 400 < (first != second).sum() < 600
    rng.bit_generator.state = state
    np.testing.assert_array_equal(layer(x).numpy(), first)


def test_the_gradient_of_dropout_is_dropped_where_its_input_was(rng):
    x = Tensor(np.ones(100), requires_grad=True)
    z = nn.Dropout(0.3, rng=rng)(x)
    np.testing.assert_array_equal(tg.grad(z.sum(), x).numpy(), z.numpy())


def test_dropout_of_integers_is_not_rounded(rng):
    layer = nn.Dropout(0.3, rng=rng)
    z = layer(array(np.ones(100), "int64"))
    assert z.dtype == layer.eval()(array(np.ones(3), "int64")).dtype == np.float64
    np.testing.assert_allclose(np.unique(z.numpy()), [0, 1 / 0.7])


# --- large inputs, blocks and threads -------------------------------------------------------------

LARGE = {
    "Dense": (lambda rng: nn.Dense(64, 48, rng=rng), (1000, 64)),
    "Dense of few rows": (lambda rng: nn.Dense(4000, 200, rng=rng), (10, 4000)),
    "Conv2d": (lambda rng: nn.Conv2d(8, 16, 3, 1, 1, rng=rng), (8, 24, 24, 8)),
    "ConvTranspose2d": (lambda rng: nn.ConvTranspose2d(8, 6, 4, 2, 1, rng=rng), (8, 24, 24, 8)),
    "BatchNorm": (lambda rng: nn.BatchNorm(16), (32, 12, 12, 16)),
    "BatchNorm of rows": (lambda rng: nn.BatchNorm(40), (2001, 40)),
    "BatchNorm of one channel": (lambda rng: nn.BatchNorm(1), (50, 33, 31, 1)),
    "GroupNorm": (lambda rng: nn.GroupNorm(4, 16), (32, 12, 12, 16)),
    "GroupNorm of one large image": (lambda rng: nn.GroupNorm(2, 8), (1, 101, 90, 8)),
    "LayerNorm": (lambda rng: nn.LayerNorm(40), (2001, 40)),
    "LayerNorm of one long row": (lambda rng: nn.LayerNorm(50_000), (1, 50_000)),
    "SelfAttention": (lambda rng: nn.SelfAttention(16, 4, rng=rng), (16, 12, 12, 16)),
    "SiLU": (lambda rng: nn.SiLU(), (300, 200)),
}


@pytest.mark.parametrize("name", LARGE)
def test_blocks_and_threads_do_not_change_results(name, monkeypatch):
    make, shape = LARGE[name]
    assert math.prod(shape) > 32_768
    layer = make(np.random.default_rng(0)).astype(float)
    rng = np.random.default_rng(1)
    for parameter in layer.parameters():
        parameter.data = array(rng.standard_normal(parameter.shape))
    x, g = Tensor(rng.standard_normal(shape) + 3, requires_grad=True), None
    results = []
    for threads, block in [(1, 1 << 40), (1, 1 << 14), (3, 1 << 14), (2, 3 << 20)]:
        if backend.name == "numpy":
            monkeypatch.setattr(backend, "threads", threads)
            monkeypatch.setattr(parallel, "BLOCK_BYTES", block)
            monkeypatch.setattr(parallel, "WORKSPACE_BYTES", 1 << 42)
        z = layer(x)
        g = Tensor(rng.standard_normal(z.shape)) if g is None else g
        gradients = tg.grad(z, [x, *layer.parameters()], cotangent=g)
        results.append([z.numpy(), *(each.numpy() for each in gradients)])
    for each in results[1:]:
        for a, b in zip(results[0], each, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LARGE)
def test_a_recorded_gradient_is_the_same_as_one_that_is_not(name):
    make, shape = LARGE[name]
    layer = make(np.random.default_rng(0)).astype(float)
    rng = np.random.default_rng(1)
    for parameter in layer.parameters():
        parameter.data = array(rng.standard_normal(parameter.shape))
    x = Tensor(rng.standard_normal(shape), requires_grad=True)
    z = layer(x)
    live, g = [x, *layer.parameters()], Tensor(rng.standard_normal(z.shape))
    plain = tg.grad(z, live, cotangent=g)
    for a, b in zip(plain, tg.grad(z, live, True, cotangent=g), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-8)


# --- errors ---------------------------------------------------------------------------------------


def zeros(*shape):
    return array(np.zeros(shape), "f4")


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "pattern"),
    [
        (lambda: nn.Dense(0, 3, rng=RNG), ValueError, "^Dense: .*`inputs` to be an int ≥ 1, got 0"),
        (lambda: nn.Dense(3, 2.0, rng=RNG), ValueError, "^Dense: .*`outputs` .*got 2.0"),
        (lambda: nn.Dense(3, 2, rng=0), TypeError, "^Dense: .*`rng`.*got int"),
        (
            lambda: nn.Dense(3, 2, rng=RNG)(zeros(4, 5)),
            ValueError,
            r"^affine: .*\(4, 5\), \(3, 2\)",
        ),
        (lambda: nn.Dense(3, 2, rng=RNG)(Tensor(np.zeros((4, 3)))), TypeError, "32 and float64"),
        (lambda: nn.Conv2d(3, -1, 3, rng=RNG), ValueError, "^Conv2d: .*`outputs`.*got -1"),
        (lambda: nn.Conv2d(3, 1, (3, 0), rng=RNG), ValueError, r"^Conv2d: .*`size`.*got \(3, 0\)"),
        (lambda: nn.Conv2d(3, 1, 3, 0, rng=RNG), ValueError, "^Conv2d: .*`stride`.*got 0"),
        (lambda: nn.Conv2d(1, 2, 3, rng=RNG)(zeros(1, 5, 5, 2)), ValueError, "`x` has 2 channels"),
        (
            lambda: nn.ConvTranspose2d(3, 1, 3, "2", rng=RNG),
            ValueError,
            "^ConvTranspose2d: .*`stride`.*got '2'",
        ),
        (lambda: nn.Embedding(0, 2, rng=RNG), ValueError, "^Embedding: .*`count`.*got 0"),
        (lambda: nn.Embedding(5, 2, rng=RNG)([1, 5, -1]), ValueError, "index < 5, got -1 to 5"),
        (lambda: nn.Embedding(5, 2, rng=RNG)(5), ValueError, "^Embedding: .*got 5 to 5"),
        (lambda: nn.Embedding(5, 2, rng=RNG)([0, -1]), ValueError, "^Embedding: .*got -1 to 0"),
        (lambda: nn.Embedding(5, 2, rng=RNG)([1.0]), TypeError, "^Embedding: .*float64"),
        (lambda: nn.SinusoidalEmbedding(5), ValueError, "^SinusoidalEmbedding: .*even.*got 5"),
        (lambda: nn.SinusoidalEmbedding(2), ValueError, "^SinusoidalEmbedding: .* ≥ 4, got 2"),
        (lambda: nn.Dropout(1, rng=RNG), ValueError, r"^Dropout: expected `p` in \[0, 1\), got 1"),
        (lambda: nn.Dropout(0.5, rng=np.random), TypeError, "^Dropout: .*`rng`.*got module"),
        (lambda: nn.Reshape(2, 3)(zeros(4, 5)), ValueError, r"size 20 .*\(4,2,3\)"),
        (
            lambda: nn.MaxPool2d(3)(zeros(1, 2, 2, 1)),
            ValueError,
            r"^max_pool2d: .*\(3, 3\).*\(2, 2\)",
        ),
        (
            lambda: nn.CrossAttention(6, 5, 4, rng=RNG),
            ValueError,
            "^CrossAttention: 4 `heads`.* 6 ",
        ),
        (lambda: nn.SelfAttention(6, 4, rng=RNG), ValueError, "^SelfAttention: 4 `heads`.* 6 "),
        (lambda: nn.SelfAttention(6, 0, rng=RNG), ValueError, "^SelfAttention: .*`heads`.*got 0"),
        (
            lambda: nn.SelfAttention(6, 3, rng=RNG)(zeros(2, 6)),
            ValueError,
            r"^SelfAttention: expected `x` .*got \(2, 6\)",
        ),
        (lambda: nn.SelfAttention(6, 3, rng=RNG)(zeros(2, 3, 4)), ValueError, r"\(2, 3, 4\)"),
        (
            lambda: nn.attend(zeros(3, 2), zeros(4, 3), zeros(4, 1)),
            ValueError,
            r"matmul: .*\(3, 2\) @ \(3, 4\)",
        ),
    ],
)
def test_errors_name_the_wrong_argument_and_its_value(call, error, pattern):
    with pytest.raises(error, match=pattern):
        call()
