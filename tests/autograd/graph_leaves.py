"""A leaf of a graph, and the message of an error."""

import numpy as np
import pytest

from tinygen import Tensor


def leaf(data, name=None):
    return Tensor(np.array(data, np.float64), requires_grad=True, name=name)


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)
