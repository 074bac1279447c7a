"""Parameters and constants from arrays, and their values back."""

import numpy as np

from tinygen import Tensor


def leaf(data, name=None, dtype=np.float64):
    return Tensor(np.array(data, dtype), requires_grad=True, name=name)


def constants(*arrays):
    return [Tensor(each) for each in arrays]


def values(tensors):
    return [p.numpy() for p in tensors]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
