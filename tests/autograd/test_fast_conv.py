"""autograd/fast_conv.py: the CPU's convolutions equal the plain ones, in blocks of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.autograd import backend, conv, fast_conv, parallel
from tinygen.autograd.geometry import output_size

pytestmark = pytest.mark.skipif(not backend.on_cpu, reason="these take NumPy's arrays")


@st.composite
def convolutions(draw):
    """x, w, y, biases for y and x, stride, padding; with empty batches and padding above K."""
    N, C, O = draw(st.integers(0, 4)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    K, L = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    H, W = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    s = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = [draw(st.integers(0, 6)) for _ in range(4)]
    pads[1] += max(0, K - H - pads[0] - pads[1])  # one patch fits
    pads[3] += max(0, L - W - pads[2] - pads[3])
    p = (pads[0], pads[1]), (pads[2], pads[3])
    dtype = draw(st.sampled_from(["f4", "f8"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = output_size((H, W), (K, L), s, p)
    x, w, y = ((N, H, W, C), (K, L, C, O), (N, *size, O))

    def array(shape):
        return rng.standard_normal(shape).astype(dtype)

    def biases(shape):
        count = draw(st.integers(0, 2))
        kept = [[n if draw(st.booleans()) else 1 for n in shape] for _ in range(count)]
        return [np.broadcast_to(array(each), shape) for each in kept]

    return array(x), array(w), array(y), biases(y), biases(x), s, p


@st.composite
def settings_of_the_blocks(draw):
    return {
        (parallel, "BLOCK_BYTES"): draw(st.sampled_from([1, 300, 5000, 3 << 20])),
        (fast_conv, "FEW"): draw(st.sampled_from([0, 1, 4, 100])),  # 0: always `_scatter`
        (backend, "threads"): draw(st.integers(1, 3)),
    }


def same(ours, plain):
    assert ours.dtype == plain.dtype and ours.shape == plain.shape
    tolerance = 1e-4 if ours.dtype == "f4" else 1e-12
    np.testing.assert_allclose(ours, plain, rtol=tolerance, atol=tolerance)


@given(convolutions(), settings_of_the_blocks())
def test_each_of_the_three_equals_the_plain_one(case, blocks):
    x, w, y, biases_y, biases_x, s, p = case
    size, kernel = x.shape[1:3], w.shape[:2]
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in blocks.items():
            patch.setattr(module, name, value)
        a = fast_conv.conv(x, w, biases_y, s, p)
        b = fast_conv.conv_transpose(y, w, biases_x, s, p, size)
        c = fast_conv.conv_weight(x, y, s, p, kernel)
    same(a, sum(biases_y, conv.plain_conv(x, w, s, p)))
    same(b, sum(biases_x, conv.plain_conv_transpose(y, w, s, p, size)))
    same(c, conv.plain_conv_weight(x, y, s, p, kernel))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("s", [(1, 1), (2, 2), (3, 2)], ids=str)
@pytest.mark.parametrize("channels", [(1, 64), (64, 1), (32, 48)], ids=str)
def test_at_real_sizes_each_of_the_three_equals_the_plain_one(dtype, s, channels, rng):
    (C, O), p = channels, ((2, 1), (1, 2))
    x = rng.standard_normal((20, 28, 27, C)).astype(dtype)
    w = rng.standard_normal((4, 5, C, O)).astype(dtype)
    plain = conv.plain_conv(x, w, s, p)
    y = rng.standard_normal(plain.shape).astype(dtype)

    def near(ours, plain):
        rounding = 1e-5 if dtype == "f4" else 1e-13
        np.testing.assert_allclose(ours, plain, atol=rounding * np.abs(plain).max())

    near(fast_conv.conv(x, w, [], s, p), plain)
    size, kernel = x.shape[1:3], w.shape[:2]
    near(
        fast_conv.conv_transpose(y, w, [], s, p, size), conv.plain_conv_transpose(y, w, s, p, size)
    )
    near(fast_conv.conv_weight(x, y, s, p, kernel), conv.plain_conv_weight(x, y, s, p, kernel))


SWITCH = """
import numpy as np, tinygen as tg
from tinygen.autograd import backend, fast_conv, normalisation
called = []
for module, name in [(fast_conv, "conv"), (normalisation, "on_cpu")]:
    f = getattr(module, name)
    setattr(module, name, lambda *a, f=f, name=name: called.append(name) or f(*a))
tg.conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)))
tg.normalise(np.ones((1, 3, 1, 2)), np.ones((1, 2)), np.ones((1, 2)))
print(backend.plain, called)
"""


@pytest.mark.parametrize(
    ("value", "line"),
    [("", "False ['conv', 'on_cpu']"), ("0", "False ['conv', 'on_cpu']"), ("1", "True []")],
)
def test_an_environment_variable_switches_the_fast_functions_off(value, line, python):
    assert python(SWITCH, TINYGEN_PLAIN=value) == line
