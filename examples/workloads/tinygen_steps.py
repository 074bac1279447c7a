"""The workloads in tinygen. Each function returns a step, its number of parameters, and its number
of multiplications in matrix products.

pytorch_steps.py has the same functions with the same networks, losses and updates; the files of the
other libraries have `dense_vae` and `small_conv`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import models, nn, optim
from tinygen.autograd import backend

tg.keep_memory()  # as the examples' command line does

Step = Callable[[], Any]
IMAGE = (28, 28, 1)
EVALUATIONS = 50  # of the network per batch of samples


def _random(rng: np.random.Generator, *shape: int) -> tg.Tensor:
    return tg.Tensor(rng.standard_normal(shape, np.float32))


def dense_vae(batch: int, rng: np.random.Generator) -> tuple[Step, int, int]:
    """784-400-20-400-784, ReLU; the negative ELBO with Bernoulli pixels; Adam."""
    encoder = nn.Dense(784, 400, rng=rng, init=nn.pytorch_uniform)
    mean, log_var = (nn.Dense(400, 20, rng=rng, init=nn.pytorch_uniform) for _ in range(2))
    decoder = models.mlp([20, 400, 784], rng=rng, init=nn.pytorch_uniform)
    parameters = [p for part in (encoder, mean, log_var, decoder) for p in part.parameters()]
    optimizer = optim.Adam(parameters, 1e-3)
    x = tg.Tensor(rng.random((batch, 784), np.float32))

    def step() -> tg.Tensor:
        h = tg.relu(encoder(x))
        mu, lv = mean(h), log_var(h)
        z = mu + tg.exp(0.5 * lv) * _random(rng, batch, 20)
        logits = decoder(z)
        reconstruction = tg.sum(tg.softplus(logits) - x * logits)
        kl = 0.5 * tg.sum(tg.exp(lv) + mu * mu - 1 - lv)
        loss = (reconstruction + kl) / batch
        optimizer.step(tg.grad(loss, parameters))
        return loss

    weights = 784 * 400 + 2 * 400 * 20 + 20 * 400 + 400 * 784
    # three products per weight, except the first layer's gradient with respect to x
    return step, sum(p.size for p in parameters), batch * (3 * weights - 784 * 400)


def small_conv(batch: int, rng: np.random.Generator) -> tuple[Step, int, int]:
    """A classifier of 28×28 images: two convolutions with stride 2, one dense layer; Adam."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1, rng=rng),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1, rng=rng),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dense(7 * 7 * 32, 10, rng=rng),
    )
    parameters = net.parameters()
    optimizer = optim.Adam(parameters, 1e-3)
    x = tg.Tensor(rng.random((batch, *IMAGE), np.float32))
    labels = tg.Tensor(rng.integers(0, 10, batch))

    def step() -> tg.Tensor:
        loss = tg.cross_entropy(net(x), labels)
        optimizer.step(tg.grad(loss, parameters))
        return loss

    count, forward = nn.cost(net, x[:1])
    return step, count, batch * (3 * forward - 14 * 14 * 9 * 16)


def dcgan(batch: int, rng: np.random.Generator) -> tuple[Step, int, int]:
    """A step of the discriminator, then one of the generator; both losses non-saturating."""
    G = models.dcgan_generator(IMAGE, rng=rng)
    D = models.dcgan_discriminator(IMAGE, rng=rng)
    g, d = G.parameters(), D.parameters()
    g_optimizer = optim.Adam(g, 2e-4, betas=(0.5, 0.999))
    d_optimizer = optim.Adam(d, 2e-4, betas=(0.5, 0.999))
    real = tg.Tensor(rng.random((batch, *IMAGE), np.float32) * 2 - 1)

    def step() -> tg.Tensor:
        fake = G(_random(rng, batch, 100))
        d_loss = tg.mean(tg.softplus(-D(real))) + tg.mean(tg.softplus(D(fake.detach())))
        d_optimizer.step(tg.grad(d_loss, d))
        g_loss = tg.mean(tg.softplus(-D(fake)))
        g_optimizer.step(tg.grad(g_loss, g))
        return d_loss + g_loss

    # G: one product forward and two backward, except its first layer's x̄. D: the same for the real
    # and the generated batch, then for the generator one forward and one backward
    G_1 = batch * 100 * 7 * 7 * 128
    D_1 = batch * 14 * 14 * 64 * 4 * 4
    G_all = G_1 + batch * (7 * 7 * 128 * 64 + 14 * 14 * 64) * 4 * 4
    D_all = D_1 + batch * (7 * 7 * 128 * 4 * 4 * 64 + 7 * 7 * 128)
    multiply_adds = 3 * G_all - G_1 + 2 * (3 * D_all - D_1) + 2 * D_all
    return step, sum(p.size for p in g + d), multiply_adds


def unet(batch: int, rng: np.random.Generator) -> tuple[Step, int, int]:
    """The diffusion loss |ε_θ(x_t, t) − ε|², Adam."""
    net = models.UNet(IMAGE, rng=rng)
    parameters = net.parameters()
    optimizer = optim.Adam(parameters, 2e-4)
    x_t, t = _random(rng, batch, *IMAGE), tg.Tensor(rng.integers(0, 1000, batch))
    eps = _random(rng, batch, *IMAGE)

    def step() -> tg.Tensor:
        error = net(x_t, t) - eps
        loss = tg.mean(error * error)
        optimizer.step(tg.grad(loss, parameters))
        return loss

    count, forward = nn.cost(net, x_t[:1], t[:1])  # one image: a batch would keep its memory
    return step, count, batch * (3 * forward - 28 * 28 * 9 * 32)


def sampling(batch: int, rng: np.random.Generator) -> tuple[Step, int, int]:
    """A batch of images from noise by DDIM."""
    net = models.UNet(IMAGE, rng=rng)
    noise = _random(rng, batch, *IMAGE)
    alpha_bar = np.linspace(0.001, 0.999, EVALUATIONS + 1)

    @tg.no_grad()
    def step() -> tg.Tensor:
        x = noise
        for i in range(EVALUATIONS):
            a, b = float(alpha_bar[i]), float(alpha_bar[i + 1])
            eps = net(x, tg.Tensor(np.full(batch, 1000 * (1 - a), np.float32)))
            x_0 = (x - (1 - a) ** 0.5 * eps) * a**-0.5
            x = b**0.5 * x_0 + (1 - b) ** 0.5 * eps
        return x

    count, forward = nn.cost(net, noise[:1], tg.Tensor(np.zeros(1, np.float32)))
    return step, count, batch * EVALUATIONS * forward


def finish() -> None:
    """Wait until the GPU, if one is used, has finished."""
    if backend.name == "cupy":
        tg.xp.cuda.Device().synchronize()
