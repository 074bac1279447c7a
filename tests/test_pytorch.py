"""Layers that PyTorch has too agree with PyTorch's: values, gradients, statistics."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygen as tg
from tinygen import Tensor, nn

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
IMAGES_FIRST, IMAGES_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
KERNEL = (3, 2, 0, 1)  # of (K, L, in, out): (out, in, K, L)


class Pair(NamedTuple):
    name: str
    ours: nn.Module
    theirs: Any
    shape: tuple[int, ...]
    # the parameters' names in both libraries, with our axes in PyTorch's order
    parameters: Sequence[tuple[str, str, tuple[int, ...]]] = ()
    first: bool = False  # whether PyTorch's have the channels first


def biased(theirs: str, axes: tuple[int, ...]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [("weight", theirs, axes), ("bias", "bias", (0,))]


NORM = [("gamma", "weight", (0,)), ("beta", "bias", (0,))]
LINEAR = biased("weight", (1, 0))
CONV = biased("weight", KERNEL)
Torch: Callable = torch.nn

PAIRS = [
    Pair("Dense", nn.Dense(4, 3, rng=RNG), Torch.Linear(4, 3), (2, 5, 4), LINEAR),
    Pair(
        "Conv2d",
        nn.Conv2d(3, 5, (3, 4), (2, 1), (1, 2), rng=RNG),
        Torch.Conv2d(3, 5, (3, 4), (2, 1), (1, 2)),
        (2, 7, 6, 3),
        CONV,
        True,
    ),
    Pair(
        "Conv2d, same",
        nn.Conv2d(3, 5, (3, 5), 1, "same", rng=RNG),
        Torch.Conv2d(3, 5, (3, 5), padding="same"),
        (2, 7, 6, 3),
        CONV,
        True,
    ),
    Pair(
        "ConvTranspose2d",
        nn.ConvTranspose2d(3, 5, (4, 3), (2, 1), 1, rng=RNG),
        Torch.ConvTranspose2d(3, 5, (4, 3), (2, 1), 1),
        (2, 4, 5, 3),
        CONV,
        True,
    ),
    Pair(
        "BatchNorm", nn.BatchNorm(3, momentum=0.2), Torch.BatchNorm1d(3, momentum=0.2), (6, 3), NORM
    ),
    Pair("BatchNorm of images", nn.BatchNorm(3), Torch.BatchNorm2d(3), (4, 5, 2, 3), NORM, True),
    Pair("GroupNorm", nn.GroupNorm(2, 6), Torch.GroupNorm(2, 6), (2, 3, 4, 6), NORM, True),
    Pair("LayerNorm", nn.LayerNorm(6, 0.1), Torch.LayerNorm(6, 0.1), (2, 3, 4, 6), NORM),
    Pair("Upsample", nn.Upsample(3), Torch.Upsample(scale_factor=3), (2, 3, 4, 2), (), True),
    Pair("MaxPool2d", nn.MaxPool2d(3, 2, 1), Torch.MaxPool2d(3, 2, 1), (2, 7, 6, 3), (), True),
    Pair(
        "MaxPool2d, no stride given",
        nn.MaxPool2d((2, 3)),
        Torch.MaxPool2d((2, 3)),
        (2, 7, 6, 3),
        (),
        True,
    ),
    Pair(
        "AvgPool2d",
        nn.AvgPool2d(3, 2, 1),
        Torch.AvgPool2d(3, 2, 1, count_include_pad=False),
        (2, 7, 6, 3),
        (),
        True,
    ),
    Pair("Flatten", nn.Flatten(), Torch.Flatten(), (2, 3, 4)),
    Pair("Reshape", nn.Reshape(2, 6), Torch.Unflatten(1, (2, 6)), (2, 12)),
    Pair("ReLU", nn.ReLU(), Torch.ReLU(), (3, 4)),
    Pair("LeakyReLU", nn.LeakyReLU(), Torch.LeakyReLU(), (3, 4)),
    Pair("LeakyReLU, steep", nn.LeakyReLU(0.2), Torch.LeakyReLU(0.2), (3, 4)),
    Pair("ELU", nn.ELU(0.7), Torch.ELU(0.7), (3, 4)),
    Pair("SiLU", nn.SiLU(), Torch.SiLU(), (3, 4)),
    Pair("GELU", nn.GELU(), Torch.GELU(), (3, 4)),
    Pair("Softplus", nn.Softplus(), Torch.Softplus(), (3, 4)),
    Pair("Sigmoid", nn.Sigmoid(), Torch.Sigmoid(), (3, 4)),
    Pair("Tanh", nn.Tanh(), Torch.Tanh(), (3, 4)),
    Pair("Softmax", nn.Softmax(), Torch.Softmax(-1), (3, 4)),
    Pair("Softmax along another axis", nn.Softmax(1), Torch.Softmax(1), (2, 3, 4)),
]


def moved(x: np.ndarray, axes: Sequence[int] | bool) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(axes)) if axes else x


def agree(ours: np.ndarray, theirs: Any, atol: float = 1e-10) -> None:
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=atol)


def give(pair: Pair, rng: np.random.Generator) -> None:
    """Give both the same random parameters."""
    pair.ours.astype(float), pair.theirs.double()
    known = dict(pair.ours.named_parameters())
    theirs = dict(pair.theirs.named_parameters())
    assert len(known) == len(theirs) == len(pair.parameters)
    for name, its, axes in pair.parameters:
        new = rng.standard_normal(known[name].shape)
        known[name].data = tg.xp.asarray(new)
        theirs[its].data = torch.tensor(moved(new, axes))


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_values_gradients_and_statistics_are_those_of_pytorch(pair, mode, rng):
    give(pair, rng)
    for _ in range(2):  # twice, so that running statistics change
        pair.ours.train(), pair.theirs.train()
        x = rng.standard_normal(pair.shape)
        pair.ours(Tensor(x)), pair.theirs(torch.tensor(moved(x, pair.first and IMAGES_FIRST)))
    pair.ours.train(mode == "training"), pair.theirs.train(mode == "training")
    x = rng.standard_normal(pair.shape)
    a = Tensor(x, requires_grad=True)
    b = torch.tensor(moved(x, pair.first and IMAGES_FIRST), requires_grad=True)
    y, z = pair.ours(a), pair.theirs(b)
    z = z.permute(IMAGES_LAST) if pair.first else z
    agree(y.numpy(), z)

    g = rng.standard_normal(y.shape)
    parameters, theirs = pair.ours.parameters(), dict(pair.theirs.named_parameters())
    ours = tg.grad(y, [a, *parameters], cotangent=Tensor(g))
    its = torch.autograd.grad(z, [b, *(theirs[n] for _, n, _ in pair.parameters)], torch.tensor(g))
    agree(ours[0].numpy(), its[0].permute(IMAGES_LAST) if pair.first else its[0])
    for mine, other, (_, _, axes) in zip(ours[1:], its[1:], pair.parameters, strict=True):
        agree(moved(mine.numpy(), axes), other)
    if isinstance(pair.ours, nn.BatchNorm):
        agree(tg.to_numpy(pair.ours.mean), pair.theirs.running_mean)
        agree(tg.to_numpy(pair.ours.variance), pair.theirs.running_var)


def test_an_embedding_is_that_of_pytorch(rng):
    ours, theirs = nn.Embedding(7, 3, rng=rng).astype(float), Torch.Embedding(7, 3).double()
    theirs.weight.data = torch.tensor(ours.weight.numpy())
    k = rng.integers(0, 7, (4, 5))
    y, z = ours(tg.xp.asarray(k)), theirs(torch.tensor(k))
    agree(y.numpy(), z)
    g = rng.standard_normal(y.shape)
    (expected,) = torch.autograd.grad(z, theirs.weight, torch.tensor(g))
    agree(tg.grad(y, ours.weight, cotangent=Tensor(g)).numpy(), expected)


def test_attention_is_that_of_pytorch(rng):
    q, k, v = (rng.standard_normal((2, 3, n, d)) for n, d in ((4, 5), (6, 5), (6, 2)))
    a = [Tensor(each, requires_grad=True) for each in (q, k, v)]
    b = [torch.tensor(each, requires_grad=True) for each in (q, k, v)]
    y, z = nn.attend(*a), Torch.functional.scaled_dot_product_attention(*b)
    agree(y.numpy(), z)
    g = rng.standard_normal(y.shape)
    its = torch.autograd.grad(z, b, torch.tensor(g))
    for ours, expected in zip(tg.grad(y, a, cotangent=Tensor(g)), its, strict=True):
        agree(ours.numpy(), expected)


@pytest.mark.parametrize("heads", [1, 3])
def test_self_attention_is_that_of_pytorch(heads, rng):
    ours = nn.SelfAttention(6, heads, rng=rng).astype(float)
    theirs = Torch.MultiheadAttention(6, heads, batch_first=True).double()
    for parameter in ours.parameters():
        parameter.data = tg.xp.asarray(rng.standard_normal(parameter.shape))
    three = [ours.query, ours.key, ours.value]
    theirs.in_proj_weight.data = torch.tensor(np.concatenate([f.weight.numpy().T for f in three]))
    theirs.in_proj_bias.data = torch.tensor(np.concatenate([f.bias.numpy() for f in three]))
    theirs.out_proj.weight.data = torch.tensor(np.ascontiguousarray(ours.mix.weight.numpy().T))
    theirs.out_proj.bias.data = torch.tensor(ours.mix.bias.numpy())
    x = rng.standard_normal((2, 5, 6))
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b, b, b)[0]
    agree(y.numpy(), z)
    g = rng.standard_normal(y.shape)
    wanted = [b, theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight]
    gx, gw, gb, gm = torch.autograd.grad(z, wanted, torch.tensor(g))
    live = [a, *(f.weight for f in three), *(f.bias for f in three), ours.mix.weight]
    found = [each.numpy() for each in tg.grad(y, live, cotangent=Tensor(g))]
    agree(found[0], gx)
    agree(np.concatenate([w.T for w in found[1:4]]), gw)
    agree(np.concatenate(found[4:7]), gb)
    agree(found[7].T, gm)


SPECTRAL = {
    "Dense": (lambda rng: nn.Dense(4, 6, rng=rng), Torch.Linear(4, 6), (3, 4), (1, 0)),
    "Conv2d": (
        lambda rng: nn.Conv2d(2, 5, 3, rng=rng),
        Torch.Conv2d(2, 5, 3),
        (2, 4, 4, 2),
        KERNEL,
    ),
    "ConvTranspose2d": (
        lambda rng: nn.ConvTranspose2d(5, 2, 3, rng=rng),
        Torch.ConvTranspose2d(5, 2, 3),
        (2, 4, 4, 5),
        KERNEL,
    ),
}


@pytest.mark.parametrize("name", SPECTRAL)
def test_spectral_norm_is_that_of_pytorch_once_it_has_converged(name, rng):
    # PyTorch holds v constant in the gradient, which is the same if v is the singular vector
    make, theirs, shape, axes = SPECTRAL[name]
    inner, theirs = make(rng).astype(float), theirs.double()
    ours = nn.SpectralNorm(inner, 300, rng=rng).astype(float)
    theirs.weight.data = torch.tensor(moved(inner.weight.numpy(), axes))
    theirs.bias.data = torch.tensor(inner.bias.numpy())
    theirs = Torch.utils.parametrizations.spectral_norm(theirs, n_power_iterations=300)
    x = rng.standard_normal(shape)
    images = len(shape) == 4
    a = Tensor(x, requires_grad=True)
    b = torch.tensor(moved(x, images and IMAGES_FIRST), requires_grad=True)
    y, z = ours(a), theirs(b)
    z = z.permute(IMAGES_LAST) if images else z
    agree(y.numpy(), z, atol=1e-8)
    g = rng.standard_normal(y.shape)
    gx, gw = tg.grad(y, [a, inner.weight], cotangent=Tensor(g))
    expected = torch.autograd.grad(z, [b, theirs.parametrizations.weight.original], torch.tensor(g))
    agree(gx.numpy(), expected[0].permute(IMAGES_LAST) if images else expected[0], atol=1e-8)
    agree(moved(gw.numpy(), axes), expected[1], atol=1e-8)
