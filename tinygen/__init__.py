"""tinygen: generative models from scratch, on an autograd engine small enough to read.

Start with `Tensor`, `grad` and `gradcheck`; docs/index.md is the book. The engine's public names
are reachable as `tinygen.<name>`; layers are in `nn`, optimisers in `optim`, networks in `models`
and `classics`.
"""

from tinygen import classics as classics
from tinygen import models as models
from tinygen import nn as nn
from tinygen import optim as optim
from tinygen.arrange import affine, concat, cumsum, einsum, flip, pad, split, stack, take
from tinygen.backend import Array, Shape, describe, to_numpy, use, xp
from tinygen.conv import conv2d, conv2d_weight, conv_transpose2d
from tinygen.gradcheck import GradientError, Report, gradcheck
from tinygen.graph import is_recording, no_grad
from tinygen.normalise import normalise
from tinygen.ops import (
    abs,
    clip,
    cos,
    elu,
    erf,
    exp,
    expm1,
    gelu,
    leaky_relu,
    log,
    log1p,
    maximum,
    minimum,
    relu,
    sigmoid,
    silu,
    sin,
    softplus,
    sqrt,
    tanh,
    where,
)
from tinygen.parallel import fused
from tinygen.pooling import avg_pool2d, max_pool2d, patches, upsample2d
from tinygen.reductions import log_softmax, logsumexp, max, min, softmax, var
from tinygen.tensor import (
    Tensor,
    as_tensor,
    broadcast_to,
    grad,
    matmul,
    mean,
    record,
    reshape,
    sum,
    swapaxes,
    transpose,
)

__version__ = "0.1.0"

__all__ = [
    "Array", "GradientError", "Report", "Shape", "Tensor", "abs", "affine", "as_tensor",
    "avg_pool2d", "broadcast_to", "clip", "concat", "conv2d", "conv2d_weight",
    "conv_transpose2d", "cos", "cumsum", "describe", "einsum", "elu", "erf", "exp", "expm1",
    "flip", "fused", "gelu", "grad", "gradcheck", "is_recording", "leaky_relu", "log", "log1p",
    "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "maximum", "mean", "min",
    "minimum", "no_grad", "normalise", "pad", "patches", "record", "relu", "reshape", "sigmoid",
    "silu", "sin", "softmax", "softplus", "split", "sqrt", "stack", "sum", "swapaxes", "take",
    "tanh", "to_numpy", "transpose", "upsample2d", "use", "var", "where", "xp",
]  # fmt: skip
