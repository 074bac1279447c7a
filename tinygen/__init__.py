"""tinygen: generative models from scratch, on an autograd engine small enough to read.

Start with `Tensor`, `grad` and `gradcheck`; docs/index.md is the book. Every public name of every
module is reachable as `tinygen.<name>`.
"""

from tinygen.arrange import concat, cumsum, einsum, flip, pad, split, stack, take
from tinygen.backend import Array, Shape, describe, fused, to_numpy, use, xp
from tinygen.conv import (
    avg_pool2d,
    conv2d,
    conv2d_weight,
    conv_transpose2d,
    max_pool2d,
    patches,
    upsample2d,
)
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
from tinygen.gradcheck import GradientError, Report, gradcheck
from tinygen.reductions import log_softmax, logsumexp, max, min, softmax, var
from tinygen.tensor import (
    Tensor,
    as_tensor,
    broadcast_to,
    grad,
    is_recording,
    matmul,
    mean,
    no_grad,
    record,
    reshape,
    sum,
    swapaxes,
    transpose,
)

__version__ = "0.1.0"
