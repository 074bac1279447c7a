"""A small network of each kind, counts and assertions for it, and its weights in PyTorch."""

import numpy as np

import tinygen as tg
from tinygen.autograd import to_numpy, xp
from tinygen.models import (
    UNet,
    conv_decoder,
    conv_encoder,
    dcgan_discriminator,
    dcgan_generator,
    mlp,
)

SIZES = [(28, 28, 1), (64, 64, 3)]


def batch(rng, *shape):
    return xp.asarray(rng.standard_normal(shape))


def shaken(model, rng, by=0.3):
    """The model in float64, with no parameter left at zero or one."""
    for parameter in model.astype(float).parameters():
        parameter.data = parameter.data + by * xp.asarray(rng.standard_normal(parameter.shape))
    return model


def count(model):
    return sum(parameter.size for parameter in model.parameters())


def tiny_unet(rng, **options):
    settings = {"width": 4, "multipliers": (1, 2), "attention_at": (4,), "heads": 2, "groups": 2}
    return UNet((8, 8, 1), **settings | options, rng=rng)


# a small network of each kind, with the shapes of its inputs
TINY = {
    "mlp": (lambda rng: mlp((3, 5, 4, 2), tg.tanh, rng=rng), (3,)),
    "dcgan_generator": (lambda rng: dcgan_generator((12, 12, 2), 3, width=2, rng=rng), (3,)),
    "dcgan_discriminator": (
        lambda rng: dcgan_discriminator((12, 12, 2), width=2, rng=rng),
        (12, 12, 2),
    ),
    "conv_encoder": (lambda rng: conv_encoder((12, 12, 2), 3, width=2, rng=rng), (12, 12, 2)),
    "conv_decoder": (lambda rng: conv_decoder((12, 12, 2), 3, width=2, rng=rng), (3,)),
    "UNet": (lambda rng: tiny_unet(rng, classes=3), (8, 8, 1)),
}


def tiny(name, rng, N=3):
    """A network of TINY, shaken, and inputs for it."""
    build, shape = TINY[name]
    inputs = [batch(rng, N, *shape)]
    if name == "UNet":
        inputs += [xp.asarray(rng.uniform(0, 1000, N)), xp.asarray(rng.integers(0, 4, N))]
    return shaken(build(rng), rng), inputs


def assert_close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(to_numpy(getattr(a, "data", a)), b, rtol=tolerance, atol=tolerance)


def dense(a, b):
    return a * b + b


def conv(k, a, b):
    """The same for a transposed convolution."""
    return k * k * a * b + b


def norm(c):
    return 2 * c


def assert_all_have_gradients(model, y, rng):
    gradients = tg.grad(tg.sum(y * batch(rng, *y.shape)), model.parameters())
    for (name, _), g in zip(model.named_parameters(), gradients, strict=True):
        size = np.abs(g.numpy()).max()
        assert np.isfinite(size), name
        if name.endswith("key.bias"):  # adds the same number to all scores of a query
            assert size < 1e-10
        else:
            assert size > 1e-8, name


def descend(model, inputs, steps):
    """The loss before each step, which is 3% of the way to zero if the loss is linear."""
    rng = np.random.default_rng(1)
    target, losses = None, []
    for _ in range(steps):
        y = model(*inputs)
        target = batch(rng, *y.shape) if target is None else target
        loss = tg.mean((y - target) ** 2)
        parameters = model.parameters()
        gradients = tg.grad(loss, parameters)
        rate = 0.03 * loss.item() / sum(float((g.data**2).sum()) for g in gradients)
        for parameter, g in zip(parameters, gradients, strict=True):
            parameter.data = parameter.data - rate * g.data
        losses.append(loss.item())
    return losses


class Weights:
    """A model's state as PyTorch tensors, and operations on them in PyTorch's layout."""

    def __init__(self, torch, model):
        self.torch, self.F = torch, torch.nn.functional
        self.state = {n: torch.tensor(a) for n, a in model.state_dict().items()}
        self.names = [n for n, _ in model.named_parameters()]
        for name in self.names:
            self.state[name].requires_grad_()

    def dense(self, name, x):
        return self.F.linear(x, self.state[f"{name}.weight"].T, self.state.get(f"{name}.bias"))

    def conv(self, name, x, stride=1, padding=0):
        w = self.state[f"{name}.weight"].permute(3, 2, 0, 1)
        return self.F.conv2d(x, w, self.state.get(f"{name}.bias"), stride, padding)

    def conv_transpose(self, name, x, stride, padding):
        w = self.state[f"{name}.weight"].permute(3, 2, 0, 1)  # in, out, K, L
        return self.F.conv_transpose2d(x, w, self.state.get(f"{name}.bias"), stride, padding)

    def batch_norm(self, name, x, training):
        names = ("mean", "variance", "gamma", "beta")
        return self.F.batch_norm(x, *(self.state[f"{name}.{n}"] for n in names), training)

    def group_norm(self, name, groups, x):
        return self.F.group_norm(x, groups, *(self.state[f"{name}.{n}"] for n in ("gamma", "beta")))

    def agree(self, model, inputs, ours, theirs, rng):
        """Compare outputs and the gradients of a random projection, inputs' and parameters'."""
        v = rng.standard_normal(theirs.shape)
        assert_close(ours, theirs.detach().numpy())
        leaves = [*(t for _, t in inputs), *(self.state[name] for name in self.names)]
        expected = self.torch.autograd.grad((theirs * self.torch.tensor(v)).sum(), leaves)
        loss = tg.sum(ours * xp.asarray(v))
        gradients = tg.grad(loss, [*(x for x, _ in inputs), *model.parameters()])
        names = [*(f"input {i}" for i in range(len(inputs))), *self.names]
        for name, g, e in zip(names, gradients, expected, strict=True):
            np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-8, atol=1e-8, err_msg=name)


def both(torch, array):
    return tg.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
