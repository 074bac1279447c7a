"""A network that reads digits: a whole run, from the data to the results, on one page.

It shows how a larger program is made. The training loop is a generator in plain view. `Run` adds
a folder, a log, checkpoints and progress. One training image in ten is held out to say when
to stop, and with which weights; the test images are for the very end, for what is chosen by them is
no longer judged by them. It also answers a question: does what is learnt from the built-in digits
hold for real ones?

    python examples/classify_digits.py                               MNIST, where it can be had
    python examples/classify_digits.py --data digits --test mnist    learn from drawn ones
    python examples/classify_digits.py --data my/pictures            a sub-folder for each class

In runs/classify_digits are then curves.png, mistakes.png, log, results, the last checkpoint and the
best one.

Reading order: `network`, `train`, `predict`, `main`, which ends in `judge`.
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
SHIFT, ROTATION = 2, 10  # at most so many pixels and degrees
PATIENCE = 3  # epochs without a smaller held-out loss, after which to stop
HELD_OUT, AT_MOST = 10, 5000  # one training image in so many, but no more than so many
QUICK = {"epochs": 1, "train": 1280, "test_images": 500}
SHOWN = 50  # mistakes


def network(image_shape: tuple[int, ...], classes: int, rng: np.random.Generator) -> nn.Module:
    """Two convolutions, each of which halves the sides, and two dense layers."""
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
    """The loop, as it is: a batch, the loss, its gradient, a step."""
    for x, labels in batches:
        scores = model(x)
        loss = cross_entropy(scores, labels)
        optimizer.step(tg.grad(loss, optimizer.params))
        right = scores.data.argmax(axis=1) == labels.data
        yield {"loss": loss, "accuracy": right.mean()}


def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """The scores of each class, (N, classes), in evaluation mode."""
    with nn.evaluating(model):
        scores = [
            tg.to_numpy(model(tg.xp.asarray(images[i : i + 500])).data)
            for i in range(0, len(images), 500)
        ]
    return np.concatenate(scores)


def jittered(x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    return data.shift(data.rotate(x, ROTATION, rng=rng), SHIFT, rng=rng)


def held_out(train: data.Labelled) -> tuple[data.Labelled, data.Labelled]:
    """The images to learn from, and those that say when to stop: always the same ones."""
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
    add(
        "--test",
        metavar="SET",
        help="judge by the test images of this set (default: those of --data)",
    )
    # one to learn from, one to say when to stop
    add("--train", type=at_least(2), metavar="N", help="learn from so many images at most")
    add("--test-images", type=at_least(1), metavar="N", help="judge by so many at most")
    args = commandline.parse(parser, quick=QUICK)
    train_set, test_set = data.load(
        args.data, train=args.train, test=args.test_images, size=28, progress=True
    )
    if args.test:
        test_set = data.load(args.test, train=0, test=args.test_images, size=28, progress=True)[1]
    for name, labels in ((args.data, train_set.labels), (args.test, test_set.labels)):
        if labels is None:
            parser.error(f"{name} has no sub-folders, and so no classes to tell apart")
    if len(train_set.images) < 2:
        parser.error(f"{args.data} has one image to learn from; at least 2 are needed")
    if train_set.images.shape[1:] != test_set.images.shape[1:]:
        parser.error(
            f"{args.data} has images of {train_set.images.shape[1:]}, and {args.test} of "
            f"{test_set.images.shape[1:]}"
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
            transform=jittered,
        )
        rate = schedules.cosine(args.lr, max(1, batches.steps or 1))
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        stop = EarlyStopping(PATIENCE)
        run.keep(model=model, batches=batches, optimizer=optimizer, stop=stop, rng=rng)

        for record in run.track(train(model, batches, optimizer)):  # it ends when `stop` says so
            if record.step % batches.per_epoch == 0:
                scores = predict(model, valid_set.images)
                loss = cross_entropy(tg.Tensor(scores), tg.Tensor(valid_set.labels))
                right = scores.argmax(axis=1) == valid_set.labels
                run.log(valid_loss=loss, valid_accuracy=right.mean())
                stop(loss)
                if stop.improved:
                    run.save("best.npz")

        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Reading digits")
        if run.path("best.npz").exists():
            _, arrays = checkpoint.read(run.path("best.npz"))
            best = network(train_set.images.shape[1:], classes, np.random.default_rng(0))
            best.load_state_dict(
                {
                    name.removeprefix("model/"): array
                    for name, array in arrays.items()
                    if name.startswith("model/")
                }
            )
            model = best
        judge(run, model, test_set, args.samples)


def judge(run: Run, model: nn.Module, test: data.Labelled, samples: int) -> None:
    """What is right of the test images; and what is wrong, the surest mistakes first."""
    scores = predict(model, test.images)
    guess = scores.argmax(axis=1)
    right = (guess == test.labels).mean()
    run.results(
        test_accuracy=right,
        test_images=len(guess),
        parameters=sum(p.size for p in model.parameters()),
    )
    wrong = np.flatnonzero(guess != test.labels)
    wrong = wrong[np.argsort(-scores[wrong].max(axis=1))][:SHOWN]
    if len(wrong):
        image.grid(
            run.path("mistakes.png"),
            test.images[wrong],
            columns=10,
            labels=[f"{test.labels[k]}, not {guess[k]}" for k in wrong],
            title="The surest mistakes: what it is, not what was read",
        )
    if samples:
        run.samples(test.images[:samples], guess[:samples])
    print(f"{right:.2%} of {len(guess)} test images are read right; see {run.folder}")


if __name__ == "__main__":
    commandline.main(main)
