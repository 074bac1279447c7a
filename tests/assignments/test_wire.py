"""What goes over the pipe comes out equal, and nothing damaged or executable gets through."""

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygen.assignments import wire

arrays = hnp.arrays(
    st.sampled_from(["f4", "f8", "i8", "u1", "?", ">f8"]), hnp.array_shapes(min_dims=0, min_side=0)
)
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
values = st.recursive(
    st.one_of(plain, arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(), inner, max_size=3),
    ),
    max_leaves=6,
)


def through(value):
    stream = io.BytesIO()
    wire.send(stream, value)
    stream.seek(0)
    return wire.receive(stream)


def same(a, b):
    if isinstance(a, np.ndarray):
        return (
            a.shape == b.shape
            and a.dtype.kind == b.dtype.kind
            and np.array_equal(a, b, a.dtype.kind == "f")
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


@given(values)
def test_a_value_comes_out_as_it_went_in(value):
    assert same(value, through(value))


def test_a_generator_continues_on_the_other_side():
    rng = np.random.default_rng(5)
    rng.normal(size=3)
    assert through(rng).normal() == rng.normal()


def test_a_function_goes_by_its_name():
    named = through([wire.Named("f")])[0]
    assert isinstance(named, wire.Named)
    assert named.name == "f"


@pytest.mark.parametrize("value", [object(), lambda: 0, {1: 2}, 1j, np.array([{}])])
def test_what_can_not_pass_is_named_by_its_type(value):
    assert through((value,)) == (wire.Unsendable(type(value).__name__),)


def message(tree, body=b""):
    header = json.dumps(tree).encode()
    return io.BytesIO(struct.pack(">QQ", len(header), len(body)) + header + body)


@pytest.mark.parametrize(
    "stream",
    [
        message(["array", "O", [1]], bytes(8)),
        message(["array", "<f8", [-1]], bytes(8)),
        message(["array", "<f8", [4]], bytes(8)),
        message(["array", "<f8", [1 << 70]], bytes(8)),
        message(["array", "junk", [1]], bytes(8)),
        message(["generator", "os", "{}"]),
        message(["unknown", 1]),
        message(5),
        io.BytesIO(struct.pack(">QQ", 1 << 60, 0)),
        io.BytesIO(struct.pack(">QQ", 5, 0) + b"{{{{{"),
    ],
)
def test_a_damaged_message_is_refused(stream):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        wire.receive(stream)


def test_the_end_of_the_stream_is_told_from_a_message():
    for data in (b"", b"abc", struct.pack(">QQ", 5, 0) + b"{"):
        with pytest.raises(EOFError):
            wire.receive(io.BytesIO(data))
