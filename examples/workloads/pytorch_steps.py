"""The workloads of tinygen_steps.py in eager PyTorch, with the same networks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tinygen.autograd import backend

Step = Callable[[], Any]
EVALUATIONS = 50
on_gpu = os.environ.get("TINYGEN_BACKEND") == "cupy" and torch.cuda.is_available()
DEVICE = "cuda" if on_gpu else "cpu"
torch.set_num_threads(backend.threads)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, device=DEVICE)


def _size(parameters: list[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)


def _update(optimizer: torch.optim.Optimizer, loss: torch.Tensor, parameters: Any) -> None:
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        p.grad = g
    optimizer.step()


def dense_vae(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    encoder, mean, log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
    decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))
    net = nn.ModuleList([encoder, mean, log_var, decoder]).to(DEVICE)
    parameters = list(net.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-3)
    x = torch.rand(batch, 784, device=DEVICE)

    def step() -> torch.Tensor:
        h = F.relu(encoder(x))
        mu, lv = mean(h), log_var(h)
        z = mu + torch.exp(0.5 * lv) * _random(batch, 20)
        reconstruction = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * torch.sum(torch.exp(lv) + mu * mu - 1 - lv)
        loss = (reconstruction + kl) / batch
        _update(optimizer, loss, parameters)
        return loss

    return step, _size(parameters), None


def small_conv(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(7 * 7 * 32, 10),
    ).to(DEVICE)
    parameters = list(net.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-3)
    x = torch.rand(batch, 1, 28, 28, device=DEVICE)
    labels = torch.randint(0, 10, (batch,), device=DEVICE)

    def step() -> torch.Tensor:
        loss = F.cross_entropy(net(x), labels)
        _update(optimizer, loss, parameters)
        return loss

    return step, _size(parameters), None


def dcgan(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    G = nn.Sequential(
        nn.Linear(100, 7 * 7 * 128, bias=False),
        nn.Unflatten(1, (128, 7, 7)),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1),
        nn.Tanh(),
    ).to(DEVICE)
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(7 * 7 * 128, 1),
    ).to(DEVICE)
    g, d = list(G.parameters()), list(D.parameters())
    g_optimizer = torch.optim.Adam(g, 2e-4, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(d, 2e-4, betas=(0.5, 0.999))
    real = torch.rand(batch, 1, 28, 28, device=DEVICE) * 2 - 1

    def step() -> torch.Tensor:
        fake = G(_random(batch, 100))
        d_loss = F.softplus(-D(real)).mean() + F.softplus(D(fake.detach())).mean()
        _update(d_optimizer, d_loss, d)
        g_loss = F.softplus(-D(fake)).mean()
        _update(g_optimizer, g_loss, g)
        return d_loss + g_loss

    return step, _size(g + d), None


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.mix = (nn.Linear(channels, channels) for _ in "qkvm")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        N, C, H, W = x.shape
        tokens = x.flatten(2).transpose(1, 2)

        def split(y: torch.Tensor) -> torch.Tensor:
            return y.view(N, H * W, self.heads, C // self.heads).transpose(1, 2)

        q, k, v = split(self.query(tokens)), split(self.key(tokens)), split(self.value(tokens))
        z = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, H * W, C)
        return self.mix(z).transpose(1, 2).reshape(N, C, H, W)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, heads: int = 0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.embedding = nn.Linear(128, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.norm3 = nn.GroupNorm(8, outputs) if heads else None
        self.attention = Attention(outputs, heads) if heads else None

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.embedding(e)[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h))) + self.skip(x)
        return h if self.attention is None else h + self.attention(self.norm3(h))


class Level(nn.Module):
    def __init__(self, channels: int, below: nn.Module, channels_below: int) -> None:
        super().__init__()
        self.down, self.up = Block(channels, channels), Block(2 * channels, channels)
        self.shrink = nn.Conv2d(channels, channels_below, 3, 2, 1)
        self.grow = nn.Conv2d(channels_below, channels, 3, padding=1)
        self.below = below

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        left = self.down(x, e)
        x = self.below(self.shrink(left), e)
        x = self.grow(F.interpolate(x, scale_factor=2))
        return self.up(torch.cat([x, left], 1), e)


class Bottom(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = Block(channels, channels, 4), Block(channels, channels, 4)

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x, e), e)


class UNet(nn.Module):
    """tinygen.models.UNet with its defaults: 32, 64 and 64 channels, attention at 7 × 7."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(32, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU())
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.levels = Level(32, Level(64, Bottom(64), 64), 64)
        self.norm = nn.GroupNorm(8, 32)
        self.head = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        f = 10_000.0 ** (-torch.arange(16, device=DEVICE) / 15)
        angles = t[:, None] * f
        e = self.embed(torch.cat([angles.sin(), angles.cos()], 1))
        return self.head(F.silu(self.norm(self.levels(self.stem(x), e))))


def unet(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    net = UNet().to(DEVICE)
    parameters = list(net.parameters())
    optimizer = torch.optim.Adam(parameters, 2e-4)
    x_t, eps = _random(batch, 1, 28, 28), _random(batch, 1, 28, 28)
    t = torch.randint(0, 1000, (batch,), device=DEVICE).float()

    def step() -> torch.Tensor:
        loss = F.mse_loss(net(x_t, t), eps)
        _update(optimizer, loss, parameters)
        return loss

    return step, _size(parameters), None


def sampling(batch: int, rng: np.random.Generator) -> tuple[Step, int, None]:
    net = UNet().to(DEVICE)
    noise = _random(batch, 1, 28, 28)
    alpha_bar = np.linspace(0.001, 0.999, EVALUATIONS + 1)

    @torch.no_grad()
    def step() -> torch.Tensor:
        x = noise
        for i in range(EVALUATIONS):
            a, b = float(alpha_bar[i]), float(alpha_bar[i + 1])
            eps = net(x, torch.full((batch,), 1000 * (1 - a), device=DEVICE))
            x_0 = (x - (1 - a) ** 0.5 * eps) * a**-0.5
            x = b**0.5 * x_0 + (1 - b) ** 0.5 * eps
        return x

    return step, _size(list(net.parameters())), None


def finish() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
