"""Names that people know from PyTorch, Keras and NumPy, and what tinygen has for each.

docs/names.md has them with all differences. An attribute that is missing is looked up here.
"""

from __future__ import annotations

from typing import Any

KNOWN = {
    # modules
    "AvgPooling2D": "nn.AvgPool2d",
    "BCEWithLogitsLoss": "tg.mean(tg.softplus(x) - t * x)",
    "BatchNorm1d": "nn.BatchNorm",
    "BatchNorm2d": "nn.BatchNorm",
    "BatchNormalization": "nn.BatchNorm",
    "Conv2D": "nn.Conv2d",
    "Conv2DTranspose": "nn.ConvTranspose2d",
    "CrossEntropyLoss": "tg.cross_entropy(logits, labels)",
    "GELU": "tg.gelu, a function",
    "InstanceNorm2d": "nn.GroupNorm(channels, channels)",
    "LayerNormalization": "nn.LayerNorm",
    "Linear": "nn.Dense",
    "MSELoss": "tg.mean((x - y) ** 2)",
    "MaxPool2D": "nn.MaxPool2d",
    "ModuleDict": "a dict",
    "ModuleList": "a list",
    "MultiHeadAttention": "nn.SelfAttention",
    "MultiheadAttention": "nn.SelfAttention",
    "Parameter": "tg.Tensor(array, requires_grad=True)",
    "SiLU": "tg.silu, a function",
    "Sigmoid": "tg.sigmoid, a function",
    "Softmax": "tg.softmax, a function",
    "Tanh": "tg.tanh, a function",
    "parameters_to_vector": "a loop over parameters()",
    # methods of modules and optimisers
    "add_module": "an attribute",
    "apply_gradients": "step(grads)",
    "register_buffer": "an attribute that is an array",
    "register_parameter": "an attribute that is a Tensor",
    "zero_grad": "nothing: grad returns new gradients, and step() clears .grad",
    # functions
    "arange": "np.arange",
    "cat": "tg.concat",
    "chunk": "tg.split",
    "clamp": "tg.clip",
    "concatenate": "tg.concat",
    "enable_grad": "nothing outside of tg.no_grad()",
    "from_numpy": "tg.as_tensor",
    "linspace": "np.linspace",
    "manual_seed": "rng=np.random.default_rng(seed)",
    "rand": "rng.random",
    "randn": "rng.standard_normal",
    "save": "np.savez(path, **model.state_dict())",
    "tensor": "tg.Tensor",
    # methods of Tensors
    "cpu": "x.numpy()",
    "cuda": "tg.use('cupy') before the first Tensor",
    "dim": "x.ndim",
    "double": "x.astype('float64')",
    "expand": "tg.broadcast_to",
    "float": "x.astype('float32')",
    "is_leaf": "nothing: it is one unless an operation made it",
    "long": "x.astype('int64')",
    "matmul": "x @ y",
    "numel": "x.size",
    "permute": "x.transpose",
    "pow": "x ** y",
    "requires_grad_": "Tensor(x, requires_grad=True)",
    "retain_grad": "tg.grad(loss, x)",
    "size": "x.shape",
    "t": "x.T",
    "to": "x.astype(dtype); for a GPU tg.use('cupy')",
    "type": "x.astype",
    "unsqueeze": "x.reshape",
    "view": "x.reshape",
    "zero_": "tg.zeros_like(x)",
}


def missing(owner: str, name: str, owned: Any = None) -> AttributeError:
    """The error for an attribute that is missing: with tinygen's name for it, if it is known."""
    known = f"; tinygen has {KNOWN[name]}" if name in KNOWN else ""
    return AttributeError(f"{owner} has no attribute {name!r}{known}", name=name, obj=owned)
