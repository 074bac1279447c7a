r"""Generative adversarial networks: one network makes images, another tells them from real ones.

The *generator* G turns noise z ~ N(0, I) into images; the *discriminator* D scores images, high for
real ones. They are updated alternately, until the generated images are distributed as the data
(Goodfellow et al. 2014). docs/gan.md explains the training curves.

Notation: N real images x, N generated ones G(z). Reading order: `GAN`; `train`.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinygen._batch import as_rows, checked_labels, dtype_of, host, one_hot, parts, with_labels
from tinygen._checks import expect, generator, whole
from tinygen._types import Array, Rng
from tinygen.autograd import Tensor, as_tensor, broadcast_to, concat, grad, no_grad, xp
from tinygen.gan.losses import NonSaturating, scores
from tinygen.nn import Module, evaluating
from tinygen.optim import Optimizer

__all__ = ["GAN", "clip", "pack", "train"]


class GAN(Module):
    """A generator, (N, latent) → images, and a discriminator, images → (N, 1) or (N,).

    With `classes` both networks also see the label, an int from 0 to classes − 1 (Mirza & Osindero
    2014): G as a one-hot row beside z, (N, latent + classes), D as one-hot channels.

    With `packing` m, D scores m images at once, so that it notices a lack of variety (Lin et al.
    2018). Their channels and labels are concatenated: (N/m, H, W, m (C + classes)).
    """

    def __init__(
        self,
        generator: Any,
        discriminator: Any,
        latent: int,
        classes: int | None = None,
        packing: int = 1,
    ) -> None:
        whole("GAN", 1, latent=latent, packing=packing)
        whole("GAN", 0, classes=classes or 0)
        self.generator, self.discriminator, self.latent = generator, discriminator, latent
        self.classes, self.packing = classes or 0, packing

    def generate(self, z: Array | Tensor, labels: Any = None) -> Tensor:
        """G(z)"""
        if self.classes:
            z = concat([as_tensor(z), self._one_hot(labels, z)], axis=1)
        return as_tensor(self.generator(z))

    def judge(self, x: Array | Tensor, labels: Any = None) -> Tensor:
        """D(x): (N / packing,)"""
        x = as_tensor(x)
        if self.classes:
            rows = self._one_hot(labels, x)  # (N, classes)
            planes = rows.reshape(len(x), *[1] * (x.ndim - 2), self.classes)
            x = concat([x, broadcast_to(planes, (*x.shape[:-1], self.classes))], axis=-1)
        return scores(self.discriminator, pack(x, self.packing))

    def noise(self, n: int, *, rng: Rng) -> Tensor:
        """z ~ N(0, I), (n, latent), in the networks' dtype"""
        z = generator("GAN", rng).standard_normal((n, self.latent), np.float32)
        return Tensor(xp.asarray(z, dtype_of(self)))

    def sample(self, n: int, labels: Any = None, *, rng: Rng, size: int = 500) -> Array:
        """n new images, in evaluation mode, which leaves the model unchanged."""
        return self.images(self.noise(n, rng=rng), labels, size=size)

    def images(self, z: Array | Tensor, labels: Any = None, *, size: int = 500) -> Array:
        """G(z) for each row, as an array, in evaluation mode."""
        if labels is not None and not self.classes:
            raise ValueError("GAN: expected no `labels`: the model has no classes")
        with evaluating(self):
            batches = parts(self, z, labels, size)
            return np.concatenate([host(self.generate(*batch)) for batch in batches])

    def _one_hot(self, labels: Any, rows: Array | Tensor) -> Tensor:
        labels = checked_labels("GAN", labels, self.classes, rows)
        return one_hot(labels, self.classes, rows.dtype)


def pack(x: Array | Tensor, m: int) -> Tensor:
    """Merge each m rows into one by concatenating their channels: (N, …, C) → (N/m, …, m C)"""
    rows = as_rows(x)
    if m == 1:
        return rows
    if len(rows) % m:
        raise ValueError(f"pack: expected a multiple of {m} rows, got {len(rows)}")
    n, *pixels, C = rows.shape
    packs = rows.reshape(n // m, m, math.prod(pixels), C).transpose((0, 2, 1, 3))
    return packs.reshape(n // m, *pixels, m * C)


def train(
    model: GAN,
    batches: Iterable[Any],
    generator_optimizer: Optimizer,
    discriminator_optimizer: Optimizer,
    *,
    rng: Rng,
    loss: Any = None,
    discriminator_steps: int = 1,
    penalty: Callable[..., Tensor] | None = None,
    clip_at: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Algorithm 1: `discriminator_steps` updates of D, each on a new batch, then one update of G.

    `loss` is one of losses.py, by default `NonSaturating()`. `penalty` is added to D's loss: it is
    `gradient_penalty`, `r1`, or a `partial` of one. `clip_at` c clips D's weights to ±c. Batches
    are images, or (images, labels). Each update of G yields

        discriminator_loss, generator_loss
        discriminator_at_equilibrium, generator_at_equilibrium  the losses there, if known
        discriminator_gradient, generator_gradient              norms of the gradients
        accuracy, or distance                                   E[r] − E[f] without a `boundary`
        penalty                                                 as added, if there is one
    """
    loss = NonSaturating() if loss is None else loss
    whole("train", 1, discriminator_steps=discriminator_steps)
    names = ("discriminator_at_equilibrium", "generator_at_equilibrium")
    known = {n: v for n, v in zip(names, loss.at_equilibrium, strict=True) if v is not None}
    for step, batch in enumerate(batches, 1):
        x, labels = with_labels(batch)
        x = as_rows(x)
        if x.dtype.kind != "f":
            raise TypeError(f"train: expected floating point, got {x.dtype}; divide bytes by 255")
        labels = checked_labels("train", labels, model.classes, x)
        updates_generator = step % discriminator_steps == 0
        with contextlib.nullcontext() if updates_generator else no_grad():
            fake = model.generate(model.noise(len(x), rng=rng), labels)

        r, f = model.judge(x, labels), model.judge(fake.detach(), labels)
        discriminator_loss = total = loss.discriminator(r, f)
        if penalty is not None:
            added = _penalty_of_packs(penalty, model, x, fake.detach(), labels, rng)
            total = discriminator_loss + added
        discriminator_grads = grad(total, discriminator_optimizer.params)
        discriminator_optimizer.step(discriminator_grads)
        if clip_at is not None:
            clip(discriminator_optimizer.params, clip_at)
        if not updates_generator:
            continue

        generator_loss = loss.generator(model.judge(fake, labels))
        generator_grads = grad(generator_loss, generator_optimizer.params)
        generator_optimizer.step(generator_grads)
        yield {
            "discriminator_loss": discriminator_loss,
            "generator_loss": generator_loss,
            **known,
            **_separation(loss.boundary, r.data, f.data),
            "discriminator_gradient": _norm(discriminator_grads),
            "generator_gradient": _norm(generator_grads),
            **({} if penalty is None else {"penalty": added}),
        }


def clip(params: Iterable[Tensor], limit: float) -> None:
    """w ← max(−c, min(w, c)) for every weight, to limit D's gradient  (Arjovsky et al. 2017)"""
    expect("clip", "> 0", limit=limit)
    for p in params:
        p.data = xp.clip(p.data, -float(limit), float(limit))


def _penalty_of_packs(
    penalty: Callable[..., Tensor], model: GAN, real: Tensor, fake: Tensor, labels: Any, rng: Rng
) -> Tensor:
    """The penalty, with one gradient per pack of images, since D scores them together"""

    def discriminator(packs: Tensor) -> Tensor:
        return model.judge(packs.reshape(real.shape), labels)

    shape = (-1, model.packing, *real.shape[1:])  # (N/m, m, …)
    return penalty(discriminator, real.reshape(shape), fake.reshape(shape), rng=rng)


def _separation(boundary: float | None, r: Array, f: Array) -> dict[str, Any]:
    """D's accuracy, or E[r] − E[f] if the loss has no boundary."""
    if boundary is None:
        return {"distance": r.mean() - f.mean()}
    correct = xp.sign(r - boundary) - xp.sign(f - boundary)  # a score on the boundary counts half
    return {"accuracy": 0.5 + correct.mean() / 4}


def _norm(grads: Iterable[Tensor]) -> Any:
    return xp.sqrt(sum((xp.dot(g.data.reshape(-1), g.data.reshape(-1)) for g in grads), 0.0))
