"""Names in PyTorch, Keras and NumPy, with tinygen's equivalents.

docs/names.md has them with all differences. An attribute that is missing is looked up here.
"""

from __future__ import annotations

from typing import Any

KNOWN = {
    # layers and losses
    "AveragePooling2D": "nn.AvgPool2d",
    "BCEWithLogitsLoss": "tg.mean(tg.softplus(x) - t * x)",
    "BatchNorm1d": "nn.BatchNorm",
    "BatchNorm2d": "nn.BatchNorm",
    "BatchNormalization": "nn.BatchNorm",
    "Conv2D": "nn.Conv2d",
    "Conv2DTranspose": "nn.ConvTranspose2d",
    "CrossEntropyLoss": "tg.cross_entropy",
    "GroupNormalization": "nn.GroupNorm",
    "InstanceNorm2d": "nn.GroupNorm",
    "LayerNormalization": "nn.LayerNorm",
    "Linear": "nn.Dense",
    "MSELoss": "tg.mean((x - y) ** 2)",
    "ModuleDict": "a dict",
    "ModuleList": "a list",
    "MultiHeadAttention": "nn.SelfAttention",
    "MultiheadAttention": "nn.SelfAttention",
    "Parameter": "tg.Tensor(array, requires_grad=True)",
    "SpectralNormalization": "nn.SpectralNorm",
    "binary_cross_entropy_with_logits": "tg.mean(tg.softplus(x) - t * x)",
    "kaiming_normal_": "nn.he_normal",
    "spectral_norm": "nn.SpectralNorm",
    # modules
    "get_weights": "model.state_dict",
    "load_weights": "model.load_state_dict(np.load(path))",
    "register_buffer": "an attribute that is an array",
    "register_parameter": "an attribute that is a Tensor",
    "save_weights": "np.savez(path, **model.state_dict())",
    "trainable": "model.freeze",
    "weights": "model.parameters",
    # optimisers and schedules
    "AveragedModel": "optim.EMA",
    "CosineAnnealingLR": "optim.cosine",
    "CosineDecay": "optim.cosine",
    "OneCycleLR": "optim.one_cycle",
    "PiecewiseConstantDecay": "optim.step_decay",
    "StepLR": "optim.step_decay",
    "apply": "optimizer.step(grads)",
    "zero_grad": "no need of it: grad returns new gradients, and step() clears .grad",
    # functions
    "arange": "np.arange",
    "cat": "tg.concat",
    "chunk": "tg.split",
    "clamp": "tg.clip",
    "concatenate": "tg.concat",
    "convert_to_tensor": "tg.Tensor",
    "custom_gradient": "tg.record",
    "from_numpy": "tg.as_tensor",
    "gather": "tg.take",
    "linspace": "np.linspace",
    "load": "np.load",
    "manual_seed": "rng=np.random.default_rng(seed)",
    "rand": "rng.random",
    "randn": "rng.standard_normal",
    "save": "np.savez(path, **model.state_dict())",
    "tensor": "tg.Tensor",
    # methods of Tensors
    "cpu": "x.numpy()",
    "cuda": "tg.use('cupy')",
    "double": "x.astype('float64')",
    "expand": "tg.broadcast_to",
    "float": "x.astype('float32')",
    "long": "x.astype('int64')",
    "matmul": "x @ y",
    "numel": "x.size",
    "permute": "x.transpose",
    "requires_grad_": "tg.Tensor(x, requires_grad=True)",
    "to": "x.astype(dtype), and tg.use('cupy') for a GPU",
    "unsqueeze": "x.reshape",
    "view": "x.reshape",
}


def missing(owner: str, name: str, owned: Any = None) -> AttributeError:
    """The error for an attribute that is missing: with tinygen's name for it, if it is known."""
    known = f"; tinygen has {KNOWN[name]}" if name in KNOWN else ""
    return AttributeError(f"{owner} has no attribute {name!r}{known}", name=name, obj=owned)
