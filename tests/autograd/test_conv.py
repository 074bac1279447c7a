"""Convolution against loops, the trilinear identity, gradcheck and PyTorch."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import Tensor, gradcheck, strategies
from tinygen.autograd import backend, conv, fast_conv, parallel, to_numpy, xp
from tinygen.testing.strategies import Conv


def positions(g):
    """All triples of indices (of y, w, x) in the definition of a convolution."""
    (N, H, W, _), (K, L, _, _), ((top, bottom), (left, right)) = g.x, g.w, g.padding
    rows = (H + top + bottom - K) // g.stride[0] + 1
    columns = (W + left + right - L) // g.stride[1] + 1
    for n, i, j, k, l in np.ndindex(N, rows, columns, K, L):
        row, column = i * g.stride[0] + k - top, j * g.stride[1] + l - left
        if 0 <= row < H and 0 <= column < W:
            yield (n, i, j), (k, l), (n, row, column)


def output_shape(g):
    (N, H, W, _), (K, L, _, O), ((top, bottom), (left, right)) = g.x, g.w, g.padding
    rows = (H + top + bottom - K) // g.stride[0] + 1
    return N, rows, (W + left + right - L) // g.stride[1] + 1, O


def naive_conv2d(g, x, w):
    """y by its definition; pixels outside the image are skipped."""
    y = np.zeros(output_shape(g))
    for at_y, at_w, at_x in positions(g):
        for c in range(g.x[3]):
            y[at_y] += x[at_x][c] * w[at_w][c]
    return y


def naive_conv_transpose2d(g, y, w):
    x = np.zeros(g.x)
    for at_y, at_w, at_x in positions(g):
        for c in range(g.x[3]):
            x[at_x][c] += (y[at_y] * w[at_w][c]).sum()
    return x


def naive_conv2d_weight(g, x, y):
    w = np.zeros(g.w)
    for at_y, at_w, at_x in positions(g):
        for c in range(g.x[3]):
            w[at_w][c] += x[at_x][c] * y[at_y]
    return w


@st.composite
def cases(draw):
    """A geometry, with arrays x, w and y of the right shapes."""
    g = draw(strategies.conv_geometries())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return g, *(rng.standard_normal(shape) for shape in (g.x, g.w, output_shape(g)))


# --- the plain computation ------------------------------------------------------------------------


@given(case=cases())
def test_the_plain_computation_of_each_of_the_three_equals_loops(case):
    g, x, w, y = case
    X, W, Y = map(xp.asarray, (x, w, y))
    s, p, size = g.stride, g.padding, g.x[1:3]
    ours = conv.plain_conv(X, W, s, p)
    np.testing.assert_allclose(to_numpy(ours), naive_conv2d(g, x, w), atol=1e-12)
    ours = conv.plain_conv_transpose(Y, W, s, p, size)
    np.testing.assert_allclose(to_numpy(ours), naive_conv_transpose2d(g, y, w), atol=1e-12)
    ours = conv.plain_conv_weight(X, Y, s, p, g.w[:2])
    np.testing.assert_allclose(to_numpy(ours), naive_conv2d_weight(g, x, y), atol=1e-12)


@pytest.mark.parametrize("images_at_once", [1, 2, 3, 100])
def test_the_plain_computation_in_parts_of_the_batch_equals_that_of_the_whole(
    images_at_once, rng, monkeypatch
):
    monkeypatch.setattr(backend, "plain", True)
    g = Conv((5, 6, 7, 3), (3, 2, 3, 4), (2, 1), ((1, 0), (0, 1)))
    x, w, y = (rng.standard_normal(shape) for shape in (g.x, g.w, output_shape(g)))
    b, one_image = Tensor(rng.standard_normal((5, 1, 1, 4))), y[0, :, :, 0].size * w[..., 0].nbytes
    monkeypatch.setattr(conv, "PATCH_BYTES", images_at_once * one_image)
    s, p, size = g.stride, g.padding, g.x[1:3]
    sizes = []
    tensordot = xp.tensordot
    monkeypatch.setattr(xp, "tensordot", lambda a, *_: sizes.append(len(a)) or tensordot(a, *_))
    ours = tg.conv2d(Tensor(x), Tensor(w), s, p, bias=b).numpy()
    assert sizes == {1: [1] * 5, 2: [2, 2, 1], 3: [3, 2], 100: [5]}[images_at_once]
    np.testing.assert_allclose(ours, naive_conv2d(g, x, w) + b.numpy(), atol=1e-12)
    ours = tg.conv_transpose2d(Tensor(y), Tensor(w), s, p, size).numpy()
    np.testing.assert_allclose(ours, naive_conv_transpose2d(g, y, w), atol=1e-12)
    ours = tg.conv2d_weight(Tensor(x), Tensor(y), s, p, size=g.w[:2]).numpy()
    np.testing.assert_allclose(ours, naive_conv2d_weight(g, x, y), atol=1e-12)


# --- the operations -------------------------------------------------------------------------------


BLOCKS = {"whole batch": (3 << 20, 9), "bands of rows": (64, 9), "patches added up": (64, 0)}


@pytest.fixture(params=BLOCKS)
def blocks(request, monkeypatch):
    """Blocks of whole images, of single rows, and the algorithm for few channels."""
    block_bytes, few = BLOCKS[request.param]
    monkeypatch.setattr(parallel, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(fast_conv, "FEW", few)


@pytest.mark.usefixtures("blocks")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases())
def test_conv2d_equals_seven_loops(case):
    g, x, w, _ = case
    y = tg.conv2d(Tensor(x), Tensor(w), g.stride, g.padding)
    np.testing.assert_allclose(y.numpy(), naive_conv2d(g, x, w), atol=1e-12)


@pytest.mark.usefixtures("blocks")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases(), threads=st.sampled_from([1, 2, 3]))
def test_the_triple_is_one_trilinear_form(case, threads):
    g, x, w, y = case
    if backend.name == "numpy":
        backend.threads, before = threads, backend.threads
    try:
        a = (tg.conv2d(Tensor(x), Tensor(w), g.stride, g.padding).numpy() * y).sum()
        size = g.x[1:3]
        b = (x * tg.conv_transpose2d(Tensor(y), Tensor(w), g.stride, g.padding, size).numpy()).sum()
        kernel = g.w[:2]
        c = w * tg.conv2d_weight(Tensor(x), Tensor(y), g.stride, g.padding, size=kernel).numpy()
    finally:
        if backend.name == "numpy":
            backend.threads = before
    assert a == pytest.approx(b, abs=1e-10)
    assert a == pytest.approx(c.sum(), abs=1e-10)


@settings(max_examples=10)
@given(case=cases())
def test_the_triple_passes_gradcheck_at_order_2(case):
    g, x, w, y = case
    size, kernel = g.x[1:3], g.w[:2]
    assert gradcheck(lambda x, w: tg.conv2d(x, w, g.stride, g.padding), x, w)
    assert gradcheck(lambda y, w: tg.conv_transpose2d(y, w, g.stride, g.padding, size), y, w)
    assert gradcheck(lambda x, y: tg.conv2d_weight(x, y, g.stride, g.padding, size=kernel), x, y)


GEOMETRIES = {
    "1 × 1": Conv((2, 3, 4, 2), (1, 1, 2, 3), (1, 1), ((0, 0), (0, 0))),
    "1 × 1, stride 2": Conv((2, 3, 4, 2), (1, 1, 2, 3), (2, 2), ((0, 0), (0, 0))),
    "stride > filter": Conv((2, 7, 8, 2), (2, 1, 2, 3), (3, 4), ((0, 1), (0, 0))),
    "filter > image": Conv((2, 2, 1, 2), (4, 3, 2, 3), (1, 2), ((1, 2), (1, 1))),
    "padding > filter": Conv((1, 2, 2, 1), (1, 2, 1, 1), (2, 1), ((3, 3), (3, 2))),
    "non-square": Conv((2, 5, 9, 1), (2, 4, 1, 2), (1, 3), ((0, 0), (2, 1))),
}


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("g", GEOMETRIES.values(), ids=GEOMETRIES)
def test_unusual_geometries(g, rng):
    x, w = rng.standard_normal(g.x), rng.standard_normal(g.w)
    expected = naive_conv2d(g, x, w)
    y = tg.conv2d(Tensor(x), Tensor(w), g.stride, g.padding)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    assert gradcheck(lambda x, w: tg.conv2d(x, w, g.stride, g.padding), x, w)


@given(n=st.integers(1, 7), k=st.integers(1, 5), s=st.integers(1, 4))
def test_same_padding_gives_the_rounded_up_quotient_and_back_the_product(n, k, s):
    x, w = Tensor(np.ones((1, n, n, 1))), Tensor(np.ones((k, k, 1, 1)))
    y = tg.conv2d(x, w, s, "same")
    assert y.shape[1:3] == (-(-n // s), -(-n // s))
    assert tg.conv_transpose2d(x, w, s, "same").shape[1:3] == (n * s, n * s)
    back = tg.conv_transpose2d(y, w, s, "same", size=n)
    assert back.shape == x.shape


def test_same_padding_is_symmetric_where_it_can_be():
    x, w = np.zeros((1, 5, 5, 1)), np.zeros((3, 3, 1, 1))
    x[0, 2, 2, 0] = w[1, 1, 0, 0] = 1
    np.testing.assert_array_equal(tg.conv2d(Tensor(x), Tensor(w), 1, "same").numpy(), x)


def test_the_transpose_takes_the_smallest_size_by_default(rng):
    y, w = Tensor(rng.standard_normal((1, 3, 3, 2))), Tensor(rng.standard_normal((4, 4, 1, 2)))
    assert tg.conv_transpose2d(y, w, 2, 1).shape == (1, 6, 6, 1)
    assert tg.conv_transpose2d(y, w, 2, 1, size=7).shape == (1, 7, 7, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_dtypes_are_kept(dtype, rng):
    x = Tensor(rng.standard_normal((2, 5, 5, 2)).astype(dtype), requires_grad=True)
    w = Tensor(rng.standard_normal((3, 3, 2, 2)).astype(dtype), requires_grad=True)
    y = tg.conv2d(x, w, 2, 1)
    assert y.dtype == dtype
    assert [g.dtype for g in tg.grad((y * y).sum(), [x, w])] == [dtype, dtype]


def test_results_do_not_depend_on_the_layout_of_the_input(rng):
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 2, 2))
    moved = tg.transpose(Tensor(x), (0, 2, 3, 1)), tg.transpose(Tensor(w), (2, 3, 1, 0))
    y = tg.conv2d(*moved, 2, 1).numpy()
    plain = tg.conv2d(Tensor(moved[0].numpy()), Tensor(moved[1].numpy()), 2, 1).numpy()
    np.testing.assert_allclose(y, plain)


@pytest.mark.skipif(backend.plain, reason="the plain computation makes all patches at once")
@pytest.mark.parametrize("batch", [64, 256])
def test_the_workspace_stays_under_16_MB_whatever_the_batch(batch):
    x = Tensor(np.zeros((batch, 28, 28, 16), "f4"), requires_grad=True)
    w = Tensor(np.zeros((3, 3, 16, 16), "f4"), requires_grad=True)
    g = Tensor(np.zeros((batch, 28, 28, 16), "f4"))
    for call, output in [
        (lambda: tg.conv2d(x, w, 1, 1), x.data.nbytes),
        (lambda: tg.conv_transpose2d(g, w, 1, 1), x.data.nbytes),
        (lambda: tg.conv2d_weight(x, g, 1, 1, size=3), w.data.nbytes),
    ]:
        parallel._helpers.cache_clear()  # threads without a workspace yet
        parallel._scratch.__dict__.clear()
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak - output < 16e6


@pytest.mark.skipif(backend.name != "numpy", reason="one thread drives a GPU")
def test_results_are_the_same_to_the_bit_each_time(rng):
    x = Tensor(rng.standard_normal((32, 14, 14, 16)).astype("f4"))
    y = Tensor(rng.standard_normal((32, 14, 14, 16)).astype("f4"))
    first = tg.conv2d_weight(x, y, 1, 1, size=3).numpy()
    for _ in range(5):
        np.testing.assert_array_equal(first, tg.conv2d_weight(x, y, 1, 1, size=3).numpy())


@settings(max_examples=20)
@given(case=cases())
def test_the_triple_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    g, x, w, _ = case
    (top, bottom), (left, right) = g.padding
    a = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    b = torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    padded = torch.nn.functional.pad(a, (left, right, top, bottom))
    out = torch.conv2d(padded, b, stride=g.stride)
    ga, gb = torch.autograd.grad((out * out).sum(), [a, b])
    p, q = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    z = tg.conv2d(p, q, g.stride, g.padding)
    gp, gq = tg.grad((z * z).sum(), [p, q])
    np.testing.assert_allclose(z.numpy(), out.detach().numpy().transpose(0, 2, 3, 1), atol=1e-10)
    np.testing.assert_allclose(gp.numpy(), ga.numpy().transpose(0, 2, 3, 1), atol=1e-10)
    np.testing.assert_allclose(gq.numpy(), gb.numpy().transpose(2, 3, 1, 0), atol=1e-10)


def test_pooling_agrees_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((2, 7, 6, 3))
    a = torch.tensor(x.transpose(0, 3, 1, 2))
    for ours, theirs in [
        (tg.max_pool2d(Tensor(x), 3, 2, 1), torch.nn.functional.max_pool2d(a, 3, 2, 1)),
        (
            tg.avg_pool2d(Tensor(x), 3, 2, 1),
            torch.nn.functional.avg_pool2d(a, 3, 2, 1, count_include_pad=False),
        ),
        (tg.upsample2d(Tensor(x), 3), torch.nn.functional.interpolate(a, scale_factor=3)),
    ]:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy().transpose(0, 2, 3, 1))


def test_a_bias_is_added_to_every_pixel_and_its_gradient_sums_over_all(rng):
    x, w = Tensor(rng.standard_normal((2, 5, 5, 3))), Tensor(rng.standard_normal((2, 2, 3, 4)))
    y = Tensor(rng.standard_normal((2, 3, 3, 4)))
    for call, images in [(tg.conv2d, x), (tg.conv_transpose2d, y)]:
        plain = call(images, w, 3)
        b = Tensor(rng.standard_normal(plain.shape[-1]), requires_grad=True)
        z = call(images, w, 3, bias=b)
        np.testing.assert_allclose(z.numpy(), plain.numpy() + b.numpy(), atol=1e-12)
        g = rng.standard_normal(z.shape)
        gb = tg.grad(z, b, cotangent=Tensor(g)).numpy()
        np.testing.assert_allclose(gb, g.sum((0, 1, 2)), atol=1e-12)


@pytest.mark.usefixtures("blocks")
def test_bias_may_be_several_tensors_that_broadcast(rng):
    x, w = Tensor(rng.standard_normal((2, 6, 5, 3))), Tensor(rng.standard_normal((3, 3, 3, 4)))
    y = Tensor(rng.standard_normal((2, 3, 3, 4)))
    for operation, images in [(tg.conv2d, x), (tg.conv_transpose2d, y)]:
        plain = operation(images, w, 2, 1).numpy()
        N, H, W, C = plain.shape
        shapes = [(C,), (N, 1, 1, C), (H, 1, 1), (N, H, W, C), ()]
        added = [Tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]
        z = operation(images, w, 2, 1, bias=added)
        np.testing.assert_allclose(z.numpy(), sum((b.numpy() for b in added), plain), atol=1e-12)
        g = rng.standard_normal(z.shape)
        gc, gn, gh, gz, g0 = (each.numpy() for each in tg.grad(z, added, cotangent=Tensor(g)))
        np.testing.assert_allclose(gc, g.sum((0, 1, 2)), atol=1e-12)
        np.testing.assert_allclose(gn, g.sum((1, 2), keepdims=True), atol=1e-12)
        np.testing.assert_allclose(gh, g.sum((0, 2, 3))[:, None, None], atol=1e-12)
        np.testing.assert_array_equal(gz, g)
        np.testing.assert_allclose(g0, g.sum(), atol=1e-12)


def test_a_convolution_is_a_dense_layer_on_patches(rng):
    x, w = Tensor(rng.standard_normal((2, 5, 5, 3))), Tensor(rng.standard_normal((3, 3, 3, 4)))
    dense = tg.einsum("nijklc,klco->nijo", tg.patches(x, 3, 2, 1), w)
    np.testing.assert_allclose(dense.numpy(), tg.conv2d(x, w, 2, 1).numpy())


def np_zeros(*shape):
    return Tensor(np.zeros(shape))


X, W, Y = np_zeros(8, 28, 28, 3), np_zeros(3, 3, 3, 16), np_zeros(1, 3, 3, 16)


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (lambda: tg.conv2d(X, np_zeros(3, 3, 1, 16)), "conv2d: `x` has 3 .* `w` expects 1 "),
        (lambda: tg.conv2d(X[0], W), r"conv2d: .*`x` of shape \(N, H, W, C\), got \(28, 28, 3\)"),
        (lambda: tg.conv2d(X, W[0]), r"conv2d: .*`w` of shape \(K, L, C, O\), got \(3, 3, 16\)"),
        (lambda: tg.conv2d(np_zeros(1, 0, 4, 3), W), r"conv2d: .*`x` .*\(1, 0, 4, 3\)"),
        (lambda: tg.conv2d(np_zeros(1, 4, 4, 0), W), r"conv2d: .*`x` .*\(1, 4, 4, 0\)"),
        (lambda: tg.conv2d(X, np_zeros(0, 3, 3, 16)), r"conv2d: filter \(0, 3\) does not fit"),
        (lambda: tg.conv2d(X, W, stride=0), "conv2d: .*`stride` .*≥ 1, got 0"),
        (lambda: tg.conv2d(X, W, stride=(1, 2, 3)), r"conv2d: .*`stride` .*got \(1, 2, 3\)"),
        (lambda: tg.conv2d(X, W, padding="valid"), "conv2d: .*`padding` .*≥ 0, got 'valid'"),
        (lambda: tg.conv2d(X, W, padding=(1, -1)), "conv2d: .*`padding` .*≥ 0, got -1"),
        (lambda: tg.conv2d(X[:, :2, :2], W), r"conv2d: filter \(3, 3\) .* \(2, 2\)"),
        (lambda: tg.conv2d(X, W, bias=xp.zeros(3)), r"conv2d: `bias` .*26, 16\), got \(3,\)"),
        (lambda: tg.conv_transpose2d(X, W), "conv_transpose2d: `y` has 3 .* `w` gives 16 "),
        (
            lambda: tg.conv_transpose2d(Y, W, 2, size=9),
            r"conv_transpose2d: size \(9, 9\) .* \(4, 4\), .*`y` is \(1, 3, 3, 16\)",
        ),
        (lambda: tg.conv_transpose2d(Y, W, 1, 5), "conv_transpose2d: .*`size` .*≥ 1, got"),
        (
            lambda: tg.conv_transpose2d(Y, W, bias=xp.zeros((2, 3))),
            r"conv_transpose2d: `bias` .*\(1, 5, 5, 3\), got \(2, 3\)",
        ),
        (
            lambda: tg.conv2d_weight(X, np_zeros(8, 27, 28, 4), size=3),
            r"conv2d_weight: expected `y` \(8, 26, 26\), got \(8, 27, 28, 4\)",
        ),
        (
            lambda: tg.max_pool2d(X, 2, padding=2),
            r"max_pool2d: .*`padding` .*\(2, 2\), got \(\(2, 2\), \(2, 2\)\)",
        ),
        (lambda: tg.upsample2d(X, 0), "upsample2d: .*`factor` .*≥ 1, got 0"),
    ],
)
def test_errors_name_the_wrong_argument_and_its_value(call, pattern):
    with pytest.raises(ValueError, match="^" + pattern):
        call()


def test_an_empty_batch_gives_an_empty_batch():
    x = Tensor(np.zeros((0, 4, 4, 1)), requires_grad=True)
    w = Tensor(np.zeros((3, 3, 1, 2)), requires_grad=True)
    y = tg.conv2d(x, w)
    assert y.shape == (0, 2, 2, 2)
    gx, gw = tg.grad(y.sum(), [x, w])
    assert gx.shape == x.shape
    assert not gw.numpy().any()


def test_numpy_integers_and_mixed_padding_are_taken(rng):
    x, w = Tensor(rng.normal(size=(1, 5, 5, 1))), Tensor(rng.normal(size=(3, 3, 1, 1)))
    expected = tg.conv2d(x, w, 2, ((1, 0), (2, 2))).numpy()
    got = tg.conv2d(x, w, np.int64(2), ((1, 0), np.int64(2))).numpy()
    np.testing.assert_array_equal(got, expected)


def test_a_bias_of_plain_numbers_is_one_bias(rng):
    x, w = Tensor(rng.normal(size=(1, 3, 3, 1))), Tensor(rng.normal(size=(2, 2, 1, 2)))
    difference = tg.conv2d(x, w, bias=[1.0, 2.0]) - tg.conv2d(x, w)
    np.testing.assert_allclose(difference.numpy(), np.broadcast_to([1.0, 2.0], (1, 2, 2, 2)))
