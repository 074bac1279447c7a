"""A small run of everything that has a state, to be stopped in every way: see test_run.py.

python training_run.py FOLDER [--resume] [--in-body]
"""

import sys

import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Batches
from tinygen.optim import schedules
from tinygen.run import Run

ROWS, SIZE, EPOCHS = 50, 8, 12


def noisy(x, *, rng):
    return x + rng.normal(0, 0.1, x.shape).astype(x.dtype)


def step(model, average, optimizer, x, y, rng):
    """Regression with dropout, noise on the inputs and on the target: randomness of every kind."""
    target = y + tg.as_tensor(tg.xp.asarray(rng.normal(0, 0.1, y.shape), np.float32))
    error = model(x) - target
    loss = tg.mean(error * error)
    optimizer.step(tg.grad(loss, optimizer.params))
    average.update()
    return {"loss": loss, "rate": optimizer.rate()}


def main(
    folder,
    resume=False,
    every=3,
    epochs=EPOCHS,
    on_step=lambda run, record: None,
    in_body=False,
    **more,
):
    settings = {"epochs": epochs, "resume": resume, **more}
    with Run(folder, settings, resume=resume, steps=every) as run:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((ROWS, 6)).astype(np.float32)
        y = np.sin(x.sum(1, keepdims=True)).astype(np.float32)
        model = nn.Sequential(
            nn.Dense(6, 16, rng=rng),
            nn.BatchNorm(16),
            nn.ReLU(),
            nn.Dropout(0.2, rng=np.random.default_rng(1)),
            nn.Dense(16, 1, rng=rng),
        )
        rate = schedules.cosine(0.01, EPOCHS * 7)
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        average = optim.EMA(dict(model.named_parameters()), 0.9)
        batches = Batches(x, SIZE, rng=rng, labels=y, epochs=epochs, transform=noisy)
        run.keep(model=model, optimizer=optimizer, average=average, batches=batches, rng=rng)
        parts = (model, average, optimizer)
        loop = batches if in_body else (step(*parts, x, y, rng) for x, y in batches)
        for item in run.track(loop):
            if in_body:
                run.log(**step(*parts, *item, rng))
            if run.step % 5 == 0:
                run.log(drawn=rng.standard_normal())  # a body that draws, as one that samples does
            on_step(run, item)
    return model


if __name__ == "__main__":
    main(sys.argv[1], "--resume" in sys.argv, in_body="--in-body" in sys.argv)
