"""Random arrays on the host, and copies from the device."""

import numpy as np

import tinygen as tg

D = 2


def generator(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return generator(seed).standard_normal(shape)


def host(x):
    return tg.to_numpy(x.data if isinstance(x, tg.Tensor) else x)
