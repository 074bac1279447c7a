"""A classifier of digits: a whole run on one page, from the data to the results.

The training loop is a generator in plain view; `Run` adds a folder, a log, checkpoints and a
progress bar. One training image in ten is held out for validation: early stopping, and the choice
of the best weights. The test images are used only once, at the end. With `--test` they come from
another data set: does a classifier trained on synthetic digits work on real ones?

    python examples/classify_digits.py                               MNIST, if it is available
    python examples/classify_digits.py --data digits --test mnist    train on synthetic digits
    python examples/classify_digits.py --data my/pictures            a sub-folder for each class

The run's folder, runs/classify_digits, holds curves.png, mistakes.png, the log, the results, and
the last and the best checkpoint.

Reading order: `network`, `train`, `predict`, `main`, `evaluate`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import tinygen as tg
from tinygen import data, image, nn, optim
from tinygen.metrics.classifier import cross_entropy
from tinygen.optim import schedules
from tinygen.run import EarlyStopping, Run, checkpoint, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 4, 128, 2e-3
CHANNELS, HIDDEN = (16, 32), 128
SHIFT, ROTATION = 2, 10  # augmentation: at most, in pixels and degrees
PATIENCE = 3  # epochs without a smaller validation loss before training stops
HELD_OUT, AT_MOST = 10, 5000  # one training image in 10 for validation, at most 5000
QUICK = {"epochs": 1, "train": 1280, "test_images": 500}
SHOWN = 50  # misclassified images in mistakes.png


def network(image_shape: tuple[int, ...], classes: int, rng: np.random.Generator) -> nn.Module:
    """Two convolutions with stride 2, then two dense layers."""
    H, W, C = image_shape
    a, b = CHANNELS
    return nn.Sequential(
        nn.Conv2d(C, a, 5, stride=2, padding="same", rng=rng),
        nn.BatchNorm(a),
        nn.ReLU(),
        nn.Conv2d(a, b, 3, stride=2, padding="same", rng=rng),
        nn.BatchNorm(b),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dense(-(-H // 4) * -(-W // 4) * b, HIDDEN, rng=rng),
        nn.ReLU(),
        nn.Dense(HIDDEN, classes, rng=rng),
    )


def train(
    model: nn.Module, batches: data.Batches, optimizer: optim.Adam
) -> Iterator[dict[str, tg.Tensor]]:
    """The training loop: a batch, the loss, its gradient, a step."""
    for x, labels in batches:
        logits = model(x)
        loss = cross_entropy(logits, labels)
        optimizer.step(tg.grad(loss, optimizer.params))
        correct = logits.data.argmax(axis=1) == labels.data
        yield {"loss": loss, "accuracy": correct.mean()}


def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """The logits, (N, classes), in evaluation mode."""
    with nn.evaluating(model):
        logits = [
            tg.to_numpy(model(tg.xp.asarray(images[i : i + 500])).data)
            for i in range(0, len(images), 500)
        ]
    return np.concatenate(logits)


def augment(x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    return data.shift(data.rotate(x, ROTATION, rng=rng), SHIFT, rng=rng)


def held_out(train: data.Labelled) -> tuple[data.Labelled, data.Labelled]:
    """The training images split into training and validation sets, always the same way."""
    order = np.random.default_rng(0).permutation(len(train.images))
    count = min(max(1, len(order) // HELD_OUT), AT_MOST)
    parts = order[count:], order[:count]
    kept, out = (data.Labelled(train.images[part], train.labels[part]) for part in parts)
    return kept, out


def main() -> None:
    parser = commandline.parser(
        __doc__, out="runs/classify_digits", epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LEARNING_RATE
    )
    add, at_least = parser.add_argument, commandline.at_least
    add("--test", metavar="SET", help="data set of the test images (default: that of --data)")
    # at least one image for training and one for validation
    add("--train", type=at_least(2), metavar="N", help="training images, at most (default: all)")
    add("--test-images", type=at_least(1), metavar="N", help="test images, at most (default: all)")
    args = commandline.parse(parser, quick=QUICK)
    train_set, test_set = data.load(
        args.data, train=args.train, test=args.test_images, size=28, progress=True
    )
    if args.test:
        test_set = data.load(args.test, train=0, test=args.test_images, size=28, progress=True)[1]
    for name, labels in ((args.data, train_set.labels), (args.test, test_set.labels)):
        if labels is None:
            parser.error(f"{name} has no labels: expected a sub-folder for each class")
    if len(train_set.images) < 2:
        parser.error(f"{args.data} has one training image; expected at least 2")
    if train_set.images.shape[1:] != test_set.images.shape[1:]:
        parser.error(
            f"{args.data} has images of shape {train_set.images.shape[1:]}, but {args.test} of "
            f"shape {test_set.images.shape[1:]}"
        )
    classes = 1 + int(max(train_set.labels.max(), test_set.labels.max()))
    train_set, valid_set = held_out(train_set)
    if args.batch_size > len(train_set.images):
        args.batch_size = len(train_set.images)
        print(
            f"batch size reduced to {args.batch_size}, the size of the training set",
            file=sys.stderr,
        )

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        model = network(train_set.images.shape[1:], classes, rng)
        batches = data.Batches(
            train_set.images,
            args.batch_size,
            labels=train_set.labels,
            rng=rng,
            epochs=args.epochs,
            transform=augment,
        )
        rate = schedules.cosine(args.lr, max(1, batches.steps or 1))
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        stop = EarlyStopping(PATIENCE)
        run.keep(model=model, batches=batches, optimizer=optimizer, stop=stop, rng=rng)

        for record in run.track(train(model, batches, optimizer)):  # `stop` may end it early
            if record.step % batches.per_epoch == 0:
                logits = predict(model, valid_set.images)
                loss = cross_entropy(tg.Tensor(logits), tg.Tensor(valid_set.labels))
                correct = logits.argmax(axis=1) == valid_set.labels
                run.log(valid_loss=loss, valid_accuracy=correct.mean())
                stop(loss)
                if stop.improved:
                    run.save("best.npz")

        if run.step:
            title = "Digit classification"
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title=title)
        if run.path("best.npz").exists():
            _, arrays = checkpoint.read(run.path("best.npz"))
            weights = {
                name.removeprefix("model/"): array
                for name, array in arrays.items()
                if name.startswith("model/")
            }
            model = network(train_set.images.shape[1:], classes, np.random.default_rng(0))
            model.load_state_dict(weights)
        evaluate(run, model, test_set, args.samples)


def evaluate(run: Run, model: nn.Module, test: data.Labelled, samples: int) -> None:
    """The test accuracy, and the misclassified images, those with the largest logits first."""
    logits = predict(model, test.images)
    predicted = logits.argmax(axis=1)
    accuracy = (predicted == test.labels).mean()
    run.results(
        test_accuracy=accuracy,
        test_images=len(predicted),
        parameters=sum(p.size for p in model.parameters()),
    )
    wrong = np.flatnonzero(predicted != test.labels)
    wrong = wrong[np.argsort(-logits[wrong].max(axis=1))][:SHOWN]
    if len(wrong):
        image.grid(
            run.path("mistakes.png"),
            test.images[wrong],
            columns=10,
            labels=[f"{test.labels[k]}, not {predicted[k]}" for k in wrong],
            title="Most confident mistakes: label, not prediction",
        )
    if samples:
        run.samples(test.images[:samples], predicted[:samples])
    print(f"test accuracy {accuracy:.2%} on {len(predicted)} images; see {run.folder}")


if __name__ == "__main__":
    commandline.main(main)
