"""A small image classifier, whose 64 features are used for FID and other scores.

Published FIDs compare features of Inception, which has 24 million weights and was trained on
photographs, not on 28 × 28 digits. This network has 66,650 weights, trained on MNIST by
examples/train_features.py. Its accuracy is 99.55 % on MNIST and 97.5 % on the synthetic digits. Its
FIDs compare models with each other, but not with published ones.

Notation: N images (N, H, W, C) in [0, 1], K classes.
Reading order: `Classifier`; `train`; `pretrained`.
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
AT_ONCE = 500  # images per forward pass
SHIFT, ROTATION = 2, 10.0  # largest augmentation in training, in pixels and degrees
BATCH_SIZE, LEARNING_RATE = 128, 3e-3
EPOCHS = {"fashion": 5, "shapes": 12}  # of classifiers trained on demand
SHIPPED = Path(__file__).parent / "weights" / "mnist.npz"
SETS = ("mnist", "digits")  # data that the shipped classifier is for


class Predictions(NamedTuple):
    """Predictions for N images: `features` (N, 64) and `probabilities` (N, K), float32."""

    features: Array
    probabilities: Array

    @property
    def labels(self) -> Array:
        """The most probable class of each image, int64 (N,)."""
        return self.probabilities.argmax(axis=1)


class Classifier(Module):
    """Four convolutions, three of them with stride 2, 64 features, and a logit for each class"""

    def __init__(self, image: tuple[int, int, int], classes: int, *, rng: Rng) -> None:
        (H, W, C), self.image, self.classes = image, image, int(classes)

        def conv(inputs: int, outputs: int, size: int, stride: int) -> list[Module]:
            layer = Conv2d(inputs, outputs, size, stride, "same", rng=rng)
            return [layer, BatchNorm(outputs), ReLU()]

        body = [*conv(C, 16, 5, 2), *conv(16, 32, 3, 1), *conv(32, 48, 3, 2), *conv(48, 32, 3, 2)]
        flat = -(-H // 8) * -(-W // 8) * 32
        dense = Dense(flat, FEATURES, rng=rng)
        # the features come before the ReLU, which would make many of them 0
        self.body = Sequential(*body, Flatten(), dense, BatchNorm(FEATURES))
        self.head = Dense(FEATURES, classes, rng=rng)

    def forward(self, x: ArrayLike) -> Tensor:
        """The logits of the classes, (N, K)"""
        return self.head(relu(self.body(x)))

    def predict(self, images: Images) -> Predictions:
        """Features and probabilities of images, or of batches of them, loaded one at a time"""
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
        if x.size and not (x.min() >= 0 and x.max() <= 1):  # also refuses nan
            raise ValueError(f"Classifier: expected [0, 1], got {x.min():.4g} to {x.max():.4g}")
        return x


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−(1/N) Σ log p(label), with p the softmax of the logits (N, K)"""
    one_hot = labels.data[:, None] == xp.arange(logits.shape[1])  # (N, K)
    return -(log_softmax(logits) * one_hot).sum() / len(logits)


def train(
    model: Classifier, batches: Iterable[tuple[Tensor, Tensor]], optimizer: Optimizer
) -> Iterator[dict[str, Any]]:
    """One gradient step on the cross-entropy per batch (x, labels); yields `loss` and `accuracy`"""
    for x, labels in batches:
        logits = model(x)
        loss = cross_entropy(logits, labels)
        optimizer.step(grad(loss, optimizer.params))
        yield {"loss": loss, "accuracy": (logits.data.argmax(axis=1) == labels.data).mean()}


def jittered(x: Array, *, rng: Rng) -> Array:
    """The images with small random rotations and shifts, to augment the training data"""
    return data.shift(data.rotate(x, ROTATION, rng=rng), SHIFT, rng=rng)


def pretrained(name: str = "mnist", *, size: int = 64, progress: bool = False) -> Classifier:
    """The trained classifier for the data set `name`

    The one for "mnist" and "digits" comes with the package. Those for "fashion" and "shapes", of
    `size` × `size` pixels, are trained on first use, which takes minutes, and saved to a folder
    `classifiers` beside the downloads of `data.load`.
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
    warnings.warn(f"cannot save the classifier in {' or '.join(map(str, folders))}", stacklevel=2)
    return model


def save(path: str | os.PathLike[str], model: Classifier) -> None:
    """Write the classifier's weights, image shape and number of classes to a plain `.npz`."""
    checkpoint.save(path, {"classifier": model}, image=model.image, classes=model.classes)


def load(path: str | os.PathLike[str]) -> Classifier:
    """The classifier that `save` wrote to this file."""
    about, _ = checkpoint.read(path)
    if not {"image", "classes"} <= about.keys():
        raise CheckpointError(f"{path} does not contain a classifier")
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
    steps, title = train(model, batches, optimizer), f"training the {name} classifier"
    for _ in tqdm(steps, title, batches.steps, disable=None if progress else True):
        pass
    return model
