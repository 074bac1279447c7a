"""A network that reads digits: a whole run, from the data to the results, on one page.

It shows how the examples are made. The training loop is a generator in plain view; `Run` gives it
a folder, a log, checkpoints and a progress bar; a held-out number decides when to stop. It also
answers a question: does what is learnt from the built-in digits hold for real ones?

    python examples/classify_digits.py                               MNIST, where it can be had
    python examples/classify_digits.py --data digits --test mnist    learn from drawn ones
    python examples/classify_digits.py --data my/pictures            a sub-folder for each class

In runs/classify_digits are then curves.png, mistakes.png, log, results and checkpoint.

Reading order: `network`, `train`, `accuracy`, `main`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import tinygen as tg
from tinygen import commandline, data, image, nn, optim, schedules
from tinygen.run import EarlyStopping, Run

EPOCHS, BATCH_SIZE, LEARNING_RATE = 4, 128, 2e-3
CHANNELS, HIDDEN = (16, 32), 128
SHIFT, ROTATION = 2, 10  # at most so many pixels and degrees
PATIENCE = 3  # epochs without a smaller held-out loss, after which to stop
QUICK = {"epochs": 1, "train": 1280, "test_images": 500}
SHOWN = 50  # mistakes


def network(image_shape: tuple[int, ...], classes: int, rng: np.random.Generator) -> nn.Module:
    """Two convolutions, each of which halves the sides, and two dense layers."""
    H, W, C = image_shape
    a, b = CHANNELS
    return nn.Sequential(
        nn.Conv2d(C, a, 5, stride=2, padding="same", rng=rng), nn.BatchNorm(a), nn.ReLU(),
        nn.Conv2d(a, b, 3, stride=2, padding="same", rng=rng), nn.BatchNorm(b), nn.ReLU(),
        nn.Flatten(),
        nn.Dense(-(-H // 4) * -(-W // 4) * b, HIDDEN, rng=rng), nn.ReLU(),
        nn.Dense(HIDDEN, classes, rng=rng),
    )  # fmt: skip


def cross_entropy(scores: tg.Tensor, labels: tg.Tensor) -> tg.Tensor:
    """−(1/N) Σ log p(label), with p the softmax of the scores"""
    chosen = labels.data[:, None] == tg.xp.arange(scores.shape[1])  # (N, classes)
    return -tg.sum(tg.log_softmax(scores) * chosen) / len(chosen)


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
    model.eval()
    with tg.no_grad():
        scores = [tg.to_numpy(model(tg.xp.asarray(images[i : i + 500])).data)
                  for i in range(0, len(images), 500)]  # fmt: skip
    model.train()
    return np.concatenate(scores)


def jittered(x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    return data.shift(data.rotate(x, ROTATION, rng=rng), SHIFT, rng=rng)


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/classify_digits", epochs=EPOCHS,
                                batch_size=BATCH_SIZE, lr=LEARNING_RATE)  # fmt: skip
    parser.add_argument("--test", metavar="SET",
                        help="judge by the test images of this set (default: those of --data)")
    parser.add_argument("--train", type=int, metavar="N", help="learn from so many images at most")
    parser.add_argument("--test-images", type=int, metavar="N", help="judge by so many at most")
    args = commandline.parse(parser, quick=QUICK)
    with Run(args.out, vars(args), resume=args.resume) as run:
        train_set, test_set = data.load(args.data, train=args.train, test=args.test_images, size=28)
        if args.test:
            test_set = data.load(args.test, train=0, test=args.test_images, size=28)[1]
        if train_set.labels is None:
            raise SystemExit(f"{args.data} has no sub-folders, and so no classes to tell apart")

        rng = np.random.default_rng(args.seed)
        classes = int(train_set.labels.max()) + 1
        model = network(train_set.images.shape[1:], classes, rng)
        batches = data.Batches(train_set.images, args.batch_size, labels=train_set.labels, rng=rng,
                               epochs=args.epochs, transform=jittered)  # fmt: skip
        rate = schedules.cosine(args.lr, max(1, batches.steps or 1))
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        stop = EarlyStopping(PATIENCE)
        run.keep(model=model, batches=batches, optimizer=optimizer, stop=stop, rng=rng)

        for record in run.track(train(model, batches, optimizer)):
            if record.step % batches.per_epoch == 0:
                scores = predict(model, test_set.images)
                loss = cross_entropy(tg.Tensor(scores), tg.Tensor(test_set.labels))
                right = scores.argmax(axis=1) == test_set.labels
                run.log(test_loss=loss, test_accuracy=right.mean())
                if stop(loss):
                    break

        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Reading digits")
        scores = predict(model, test_set.images)
        guess = scores.argmax(axis=1)
        right = (guess == test_set.labels).mean()
        run.results(test_accuracy=right, test_images=len(guess), parameters=sum(
            p.size for p in model.parameters()))  # fmt: skip
        # the surest mistakes come first
        wrong = np.flatnonzero(guess != test_set.labels)
        wrong = wrong[np.argsort(-scores[wrong].max(axis=1))][:SHOWN]
        if len(wrong):
            image.grid(run.path("mistakes.png"), test_set.images[wrong], columns=10,
                       labels=[f"{test_set.labels[k]}, not {guess[k]}" for k in wrong],
                       title="The surest mistakes: what it is, not what was read")  # fmt: skip
        if args.samples:
            run.samples(test_set.images[: args.samples], guess[: args.samples])
        print(f"{right:.2%} of {len(guess)} test images are read right; see {run.folder}")


if __name__ == "__main__":
    commandline.main(main)
