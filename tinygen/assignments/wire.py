"""Values as bytes on a pipe: numbers, text, arrays and containers of them, and nothing that runs.

A message is its length, a header in JSON, and the bytes of its arrays. Unlike a pickle, it can't
make the reader call anything. Only NumPy is imported: the student's process uses this file too.
"""

import json
import struct
from typing import IO, Any, NamedTuple

import numpy as np

MOST = 1 << 28  # bytes of a message
MOST_TEXT = 1 << 24  # of its header
KINDS = "biuf"  # of the arrays that may pass: booleans, integers and floating-point numbers


class Named(NamedTuple):
    """A function, by its name: the reader has one of this name itself."""

    name: str


class Unsendable(NamedTuple):
    """Stands for a value of a type that can't pass."""

    kind: str


def send(stream: IO[bytes], value: Any) -> None:
    """Write one message."""
    arrays: list[bytes] = []
    header = json.dumps(_encoded(value, arrays)).encode()
    body = b"".join(arrays)
    if len(body) > MOST or len(header) > MOST_TEXT:
        raise ValueError(f"an answer of {(len(body) + len(header)) >> 20} MB is too large")
    stream.write(struct.pack(">QQ", len(header), len(body)) + header + body)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message. Raise EOFError at the end of the stream, ValueError if it is damaged."""
    lengths = stream.read(16)
    if len(lengths) < 16:
        raise EOFError
    header, body = struct.unpack(">QQ", lengths)
    if header > MOST_TEXT or body > MOST:
        raise ValueError("a message is too large")
    tree, data = stream.read(header), stream.read(body)
    if len(tree) < header or len(data) < body:
        raise EOFError
    return _decoded(json.loads(tree), _Reader(data))


def _encoded(x: Any, arrays: list[bytes]) -> Any:
    if x is None or isinstance(x, (bool, int, float, str)):
        return ["plain", x]
    if isinstance(x, (np.ndarray, np.generic)) and np.asarray(x).dtype.kind in KINDS:
        a = np.asarray(x)
        a = a.astype(a.dtype.newbyteorder("<"), copy=False)
        arrays.append(a.tobytes())
        return ["array", a.dtype.str, a.shape]
    if isinstance(x, Named):  # a tuple too
        return ["named", x.name]
    if isinstance(x, (tuple, list)):
        return [type(x).__name__ if type(x) is list else "tuple", [_encoded(y, arrays) for y in x]]
    if isinstance(x, dict) and all(isinstance(key, str) for key in x):
        return ["dict", [[key, _encoded(y, arrays)] for key, y in x.items()]]
    if isinstance(x, np.random.Generator):
        state = json.dumps(x.bit_generator.state, default=np.ndarray.tolist)
        return ["generator", type(x.bit_generator).__name__, state]
    return ["unsendable", type(x).__name__[:80]]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, dtype: str, shape: list[int]) -> Any:
        kind = np.dtype(dtype)
        if kind.kind not in KINDS or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"an array of {dtype} can't pass")
        count = int(np.prod(shape, dtype=object))
        array = np.frombuffer(self.data, kind, count, self.at).reshape(shape).copy()
        self.at += array.nbytes
        return array


def _decoded(node: Any, reader: _Reader) -> Any:
    match node:
        case ["plain", x]:
            return x
        case ["array", str(dtype), list(shape)]:
            return reader.take(dtype, shape)
        case ["tuple", list(items)]:
            return tuple(_decoded(item, reader) for item in items)
        case ["list", list(items)]:
            return [_decoded(item, reader) for item in items]
        case ["dict", list(items)]:
            return {str(key): _decoded(item, reader) for key, item in items}
        case ["generator", ("PCG64" | "PCG64DXSM" | "MT19937" | "Philox" | "SFC64") as kind, state]:
            bits = getattr(np.random, kind)()
            bits.state = json.loads(state)
            return np.random.Generator(bits)
        case ["named", str(name)]:
            return Named(name)
        case ["unsendable", str(kind)]:
            return Unsendable(kind)
    raise ValueError("a message is damaged")
