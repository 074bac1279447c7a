"""tinygen: generative models from scratch, on an autograd engine small enough to read.

Start with `Tensor`, `grad` and `gradcheck`; docs/index.md is the book. Every public name of every
module is reachable as `tinygen.<name>`.
"""

from tinygen import blas

blas.choose_kernels()  # must come before NumPy is imported

from tinygen.arrange import concat, cumsum, einsum, flip, pad, split, stack, take  # noqa: E402
from tinygen.backend import Array, Shape, describe, fused, to_numpy, use, xp  # noqa: E402
from tinygen.conv import (  # noqa: E402
    avg_pool2d,
    conv2d,
    conv2d_weight,
    conv_transpose2d,
    max_pool2d,
    patches,
    upsample2d,
)
from tinygen.ops import (  # noqa: E402
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
from tinygen.reductions import log_softmax, logsumexp, max, min, softmax, var  # noqa: E402
from tinygen.tensor import (  # noqa: E402
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
