"""A program as a user would write it, with hints throughout: two ways to train a VAE."""

import numpy as np

import tinygen as tg
from tinygen import data, models, nn, optim, vae


def loss_of(encoder: nn.Module, decoder: nn.Module, x: tg.Tensor, eps: tg.Array) -> tg.Tensor:
    mu, log_var = tg.split(encoder(x), 2, axis=1)
    z = mu + tg.exp(log_var / 2) * eps
    logits = decoder(z)
    kl = 0.5 * tg.sum(mu**2 + tg.exp(log_var) - 1 - log_var, axis=1)
    return tg.mean(kl + tg.sum(tg.softplus(logits) - x * logits, axis=1))


def train(images: tg.Array, latent: int, rng: tg.Rng) -> list[float]:
    encoder = models.mlp([images.shape[1], 32, 2 * latent], rng=rng)
    decoder = models.mlp([latent, 32, images.shape[1]], rng=rng)
    adam = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    batches = data.Batches(images, 50, rng=rng, epochs=2)
    losses = []
    for x in batches:
        eps = tg.xp.asarray(rng.standard_normal((len(x), latent), np.float32))
        loss = loss_of(encoder, decoder, x, eps)
        gradients = tg.grad(loss, adam.params)
        adam.step(gradients)
        losses.append(loss.item())
    return losses


def library(images: tg.Array, rng: tg.Rng) -> float:
    encoder: nn.Module = models.mlp([images.shape[1], 8], rng=rng)
    decoder: nn.Module = models.mlp([4, images.shape[1]], rng=rng)
    model = vae.VAE(encoder, decoder, 4)
    adam = optim.Adam(model.parameters())
    for terms in vae.train(model, data.Batches(images, 20, rng=rng, epochs=1), adam, rng=rng):
        print(f"{terms['loss'].item():.3f}")
    bound = vae.elbo(model, tg.Tensor(images), rng=rng)
    drawn: tg.Array = model.sample(3, rng=rng)
    return float(bound.loss) + float(drawn.mean())


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    images = rng.random((200, 16), np.float32)
    print(train(images, 2, rng), library(images, rng))
