"""tinygen: generative models from scratch, on an autograd engine small enough to read.

Start with `Tensor`, `grad` and `gradcheck`; docs/index.md is the book, README.md beside this file
the map of its packages. Tensors and functions are reachable as `tinygen.<name>`; packages are
loaded when they are first used, so that `import tinygen` stays fast.
"""

import importlib
from typing import TYPE_CHECKING

from tinygen.autograd import (
    Array,
    Shape,
    Tensor,
    abs,
    affine,
    as_tensor,
    avg_pool2d,
    broadcast_to,
    clip,
    concat,
    conv2d,
    conv2d_weight,
    conv_transpose2d,
    cos,
    cumsum,
    describe,
    einsum,
    elu,
    erf,
    exp,
    expm1,
    flip,
    fused,
    gelu,
    grad,
    is_recording,
    keep_memory,
    leaky_relu,
    log,
    log1p,
    log_softmax,
    logsumexp,
    matmul,
    max,
    max_pool2d,
    maximum,
    mean,
    min,
    minimum,
    no_grad,
    normalise,
    pad,
    patches,
    record,
    relu,
    reshape,
    sigmoid,
    silu,
    sin,
    softmax,
    softplus,
    split,
    sqrt,
    stack,
    sum,
    swapaxes,
    take,
    tanh,
    to_numpy,
    transpose,
    upsample2d,
    use,
    var,
    where,
    xp,
)
from tinygen.testing import GradientError, Report, gradcheck

if TYPE_CHECKING:
    from tinygen import data as data
    from tinygen import diffusion as diffusion
    from tinygen import flow as flow
    from tinygen import gan as gan
    from tinygen import image as image
    from tinygen import metrics as metrics
    from tinygen import models as models
    from tinygen import nn as nn
    from tinygen import optim as optim
    from tinygen import run as run
    from tinygen import strategies as strategies
    from tinygen import vae as vae

__version__ = "0.1.0"

PACKAGES = (
    "data",
    "diffusion",
    "flow",
    "gan",
    "image",
    "metrics",
    "models",
    "nn",
    "optim",
    "run",
    "strategies",
    "vae",
)

__all__ = [
    "Array",
    "GradientError",
    "Report",
    "Shape",
    "Tensor",
    "abs",
    "affine",
    "as_tensor",
    "avg_pool2d",
    "broadcast_to",
    "clip",
    "concat",
    "conv2d",
    "conv2d_weight",
    "conv_transpose2d",
    "cos",
    "cumsum",
    "describe",
    "einsum",
    "elu",
    "erf",
    "exp",
    "expm1",
    "flip",
    "fused",
    "gelu",
    "grad",
    "gradcheck",
    "is_recording",
    "keep_memory",
    "leaky_relu",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "no_grad",
    "normalise",
    "pad",
    "patches",
    "record",
    "relu",
    "reshape",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "stack",
    "sum",
    "swapaxes",
    "take",
    "tanh",
    "to_numpy",
    "transpose",
    "upsample2d",
    "use",
    "var",
    "where",
    "xp",
]


def __getattr__(name: str) -> object:
    """`tinygen.vae` and the other packages, loaded when they are first asked for."""
    if name in PACKAGES:
        return importlib.import_module(f"tinygen.{name}")
    raise AttributeError(f"module 'tinygen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *PACKAGES])
