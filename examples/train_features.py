"""Trains the classifier whose features the FID uses; its weights for MNIST come with the package.

The training images are rotated by up to 10° and shifted by up to 2 pixels. The number of epochs was
fixed in advance, so the test images only measure the accuracy. The run's folder holds
classifier.npz, for `classifier.load`; curves.png; and, for up to ten classes, features.png: the
first two principal components of the features of test images. It took five and a half minutes on
two cores, while other programs ran.

    python examples/train_features.py                        MNIST
    python examples/train_features.py --data fashion
    python examples/train_features.py --data my/pictures     a sub-folder for each class

The same command gives the same file on the same machine; on another one, sums are computed in
another order, and the last digits of the weights differ. The first command made
tinygen/metrics/weights/mnist.npz.

Reading order: `main`; the network and the loop are in tinygen/metrics/classifier.py.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np

from tinygen import data, image, optim
from tinygen.metrics import classifier
from tinygen.optim import schedules
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 15, 128, 3e-3
SHOWN, COLOURS = 2000, 10  # points in features.png; available colours
QUICK = {"epochs": 1, "train": 1280, "test_images": 500}


def main() -> None:
    parser = commandline.parser(
        __doc__, out="runs/train_features", epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LEARNING_RATE
    )
    add, at_least = parser.add_argument, commandline.at_least
    add(
        "--size",
        type=at_least(1),
        default=28,
        metavar="PIXELS",
        help="side of the images, for shapes and your own pictures (default: 28)",
    )
    add("--train", type=at_least(2), metavar="N", help="training images, at most (default: all)")
    add("--test-images", type=at_least(2), metavar="N", help="test images, at most (default: all)")
    args = commandline.parse(parser, quick=QUICK)
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=args.size)
    if train.labels is None:
        parser.error(f"{args.data} has no labels: expected a sub-folder for each class")
    if min(len(train.images), len(test.images)) < 2:
        parser.error(f"{args.data} has too few images: expected 2 for training and 2 for testing")
    if args.batch_size > len(train.images):
        args.batch_size = len(train.images)
        print(
            f"batch size reduced to {args.batch_size}, the size of the training set",
            file=sys.stderr,
        )

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        classes = 1 + int(max(train.labels.max(), test.labels.max()))
        model = classifier.Classifier(train.images.shape[1:], classes, rng=rng)
        batches = data.Batches(
            train.images,
            args.batch_size,
            labels=train.labels,
            rng=rng,
            epochs=args.epochs,
            transform=classifier.jittered,
        )
        rate = schedules.cosine(args.lr, max(1, batches.steps or 1))
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        run.keep(model=model, batches=batches, optimizer=optimizer, rng=rng)

        for record in run.track(classifier.train(model, batches, optimizer)):
            if record.step % batches.per_epoch == 0:
                run.log(test_accuracy=float((model.labels(test.images) == test.labels).mean()))

        path = run.path("classifier.npz")
        classifier.save(path, model)
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Classification")
        predictions = model.predict(test.images)
        accuracy = (predictions.labels == test.labels).mean()
        if classes <= COLOURS:
            draw(run, predictions.features[:SHOWN], test.labels[:SHOWN])
        if args.samples:
            run.samples(test.images[: args.samples], predictions.labels[: args.samples])
        run.results(
            test_accuracy=accuracy,
            test_images=len(test.images),
            seconds=run.seconds,
            parameters=sum(p.size for p in model.parameters()),
        )
        print(
            f"test accuracy {accuracy:.2%} on {len(test.images)} images; {path} has "
            f"{path.stat().st_size:,} bytes, SHA-256\n"
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}\nsee {run.folder}"
        )


def draw(run: Run, features: np.ndarray, labels: np.ndarray) -> None:
    """The first two principal components of the features, coloured by class."""
    _, _, axes = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    title = "Features of test images: two principal components"
    image.plane(run.path("features.png"), features @ axes[:2].T, labels, title=title)


if __name__ == "__main__":
    commandline.main(main)
