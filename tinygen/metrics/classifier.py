"""A small network that reads images: 64 features of what each shows, and its class.

Published FIDs compare features of Inception, a network of 24 million weights that knows photographs
and never saw a digit of 28 × 28. This one has 66,650, which examples/train_features.py trained for
MNIST; its accuracy is 99.55 % there, and 97.5 % on the synthetic digits. Its FIDs compare models
with each other, but not with published ones.

Notation: N images (N, H, W, C) in [0, 1], K classes.

Reading order: `Classifier`; `train`; `pretrained`, which knows where trained ones are.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tinygen import data
from tinygen._batch import host
from tinygen._types import Array, ArrayLike, Rng
from tinygen.autograd import Tensor, grad, log_softmax, relu, softmax, xp
from tinygen.data import fetch
from tinygen.nn import BatchNorm, Conv2d, Dense, Flatten, Module, ReLU, Sequential, evaluating
from tinygen.optim import Adam, Optimizer, cosine
from tinygen.run import checkpoint
from tinygen.run.checkpoint import CheckpointError

Images: TypeAlias = Array | Tensor | Iterable[Array | Tensor]  # images, or batches of them
FEATURES = 64
AT_ONCE = 500  # images that are read together
SHIFT, ROTATION = 2, 10.0  # at most so many pixels and degrees, in training
BATCH_SIZE, LEARNING_RATE = 128, 3e-3
EPOCHS = {"fashion": 5, "shapes": 12}  # of one that is trained on demand
SHIPPED = Path(__file__).parent / "weights" / "mnist.npz"
SETS = ("mnist", "digits")  # what it reads


class Predictions(NamedTuple):
    """What was read of N images: `features` (N, 64), `probabilities` (N, K), float32."""

    features: Array
    probabilities: Array

    @property
    def labels(self) -> Array:
        """The most probable class of each image, int64 (N,)."""
        return self.probabilities.argmax(axis=1)


class Classifier(Module):
    """Four convolutions, three of which halve the sides, 64 features, and a score for each class"""

    def __init__(self, image: tuple[int, int, int], classes: int, *, rng: Rng) -> None:
        (H, W, C), self.image, self.classes = image, image, int(classes)

        def conv(inputs: int, outputs: int, kernel: int, stride: int) -> list[Module]:
            layer = Conv2d(inputs, outputs, kernel, stride, "same", rng=rng)
            return [layer, BatchNorm(outputs), ReLU()]

        body = [*conv(C, 16, 5, 2), *conv(16, 32, 3, 1), *conv(32, 48, 3, 2), *conv(48, 32, 3, 2)]
        flat = -(-H // 8) * -(-W // 8) * 32
        dense = Dense(flat, FEATURES, rng=rng)
        # features before a ReLU, which would make many of them 0
        self.body = Sequential(*body, Flatten(), dense, BatchNorm(FEATURES))
        self.head = Dense(FEATURES, classes, rng=rng)

    def forward(self, x: ArrayLike) -> Tensor:
        """The scores of the classes, (N, K), whose softmax are their probabilities"""
        return self.head(relu(self.body(x)))

    def predict(self, images: Images) -> Predictions:
        """Features and probabilities of images, or of batches of them, one in memory at a time"""
        features = [np.empty((0, FEATURES), np.float32)]
        probabilities = [np.empty((0, self.classes), np.float32)]
        with evaluating(self):
            for batch in [images] if hasattr(images, "shape") else images:
                x = self._checked(batch)
                for start in range(0, len(x), AT_ONCE):
                    h = self.body(xp.asarray(x[start : start + AT_ONCE]))
                    features.append(host(h))
                    probabilities.append(host(softmax(self.head(relu(h)))))
        return Predictions(np.concatenate(features), np.concatenate(probabilities))

    def labels(self, images: Images) -> Array:
        """The most probable class of each image: int64 (N,)."""
        return self.predict(images).labels

    def _checked(self, images: Any) -> Array:
        x = host(images)
        if x.shape[1:] != self.image or x.dtype.kind != "f":
            kind = f"{x.dtype} {x.shape}"
            raise ValueError(f"Classifier: expected float images (N, *{self.image}), got {kind}")
        if x.size and not (x.min() >= 0 and x.max() <= 1):  # so that a nan is refused too
            raise ValueError(f"Classifier: expected [0, 1], got {x.min():.4g} to {x.max():.4g}")
        return x


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """−(1/N) Σ log p(label), with p the softmax of the scores (N, K)"""
    chosen = labels.data[:, None] == xp.arange(scores.shape[1])  # (N, K)
    return -(log_softmax(scores) * chosen).sum() / len(scores)


def train(
    model: Classifier, batches: Iterable[tuple[Tensor, Tensor]], optimizer: Optimizer
) -> Iterator[dict[str, Any]]:
    """A batch (x, labels), the cross entropy, its gradient, a step; yields `loss` and `accuracy`"""
    for x, labels in batches:
        scores = model(x)
        loss = cross_entropy(scores, labels)
        optimizer.step(grad(loss, optimizer.params))
        yield {"loss": loss, "accuracy": (scores.data.argmax(axis=1) == labels.data).mean()}


def jittered(x: Array, *, rng: Rng) -> Array:
    """The images turned and shifted a little: what it learns should not depend on that"""
    return data.shift(data.rotate(x, ROTATION, rng=rng), SHIFT, rng=rng)


def pretrained(name: str = "mnist", *, size: int = 64, progress: bool = False) -> Classifier:
    """The trained classifier for a set of images, by its name

    That for "mnist" and "digits" comes with the package. For "fashion" and "shapes", of `size`
    pixels along a side, one is trained on first use, which takes minutes, and kept in a folder
    `classifiers` where `data.load` keeps its downloads.
    """
    if name in SETS:
        return load(SHIPPED)
    if name not in EPOCHS:
        raise ValueError(f"pretrained: expected one of {(*SETS, *EPOCHS)}, got {name!r}")
    file = f"shapes-{size}.npz" if name == "shapes" else f"{name}.npz"
    folders = fetch.folders("classifiers")[:2]
    for folder in folders:
        with contextlib.suppress(OSError, CheckpointError):  # missing, unreadable, or damaged
            return load(folder / file)
    model = _trained(name, size, progress)
    for folder in folders:
        with contextlib.suppress(OSError):
            save(folder / file, model)
            return model
    warnings.warn(f"the classifier can't be kept in {' or '.join(map(str, folders))}", stacklevel=2)
    return model


def save(path: str | os.PathLike[str], model: Classifier) -> None:
    """Write the classifier's weights, and for what images and classes it is: a plain `.npz`."""
    checkpoint.save(path, {"classifier": model}, image=model.image, classes=model.classes)


def load(path: str | os.PathLike[str]) -> Classifier:
    """The classifier that `save` has written."""
    about, _ = checkpoint.read(path)
    if not {"image", "classes"} <= about.keys():
        raise CheckpointError(f"{path} is not of a classifier")
    model = Classifier(tuple(about["image"]), about["classes"], rng=np.random.default_rng(0))
    checkpoint.load(path, {"classifier": model})
    return model


def _trained(name: str, size: int, progress: bool) -> Classifier:
    from tqdm import tqdm

    (x, labels), _ = data.load(name, size=size, progress=progress)
    rng, n = np.random.default_rng(0), min(BATCH_SIZE, len(x))
    model = Classifier(x.shape[1:], 1 + int(labels.max()), rng=rng)
    batches = data.Batches(x, n, rng=rng, labels=labels, epochs=EPOCHS[name], transform=jittered)
    optimizer = Adam(model.parameters(), cosine(LEARNING_RATE, batches.steps or 1))
    steps, title = train(model, batches, optimizer), f"training a classifier for {name}, once"
    for _ in tqdm(steps, title, batches.steps, disable=None if progress else True):
        pass
    return model
