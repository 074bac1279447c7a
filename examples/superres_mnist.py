"""Digits of 7 × 7 pixels become digits of 28 × 28, by a model that learnt only to draw them.

A small image says what the mean of each 4 × 4 pixels is, and no more. Many large ones fit it, most
of them no digits: to know those takes a model. That of diffusion_mnist.py, in each step from noise
to an image, has its guess made to fit the small one exactly. (DDNM: Wang et al. 2023) Other noise
leads to another image that fits.

With --conditional another network is trained, which sees the small image beside the noise. (Saharia
et al. 2022) It is good for this one task only, and nothing makes its images fit exactly.

    python examples/diffusion_mnist.py                      first: learn to draw digits
    python examples/superres_mnist.py
    python examples/superres_mnist.py --factor 2            from 14 × 14
    python examples/superres_mnist.py --conditional

In runs/superres_mnist are then enlarged.png, enlarging.gif and, of the network that was trained,
training.gif and curves.png. Printed are the signal-to-noise ratio, how often a classifier reads the
digit that it was, and how far the image made small again is from the small one.

Reading order: `consistent`; `learn_pairs`, `told`; `main`, `measured`. The methods, `super_resolve`
and `Beside`, are in tinygen/diffusion/editing.py.
"""

from __future__ import annotations

from typing import Any

import diffusion_mnist as base
import numpy as np
from inpaint_mnist import FREE, Learnt, add_options, trained, trained_little

from tinygen import data, diffusion, image
from tinygen.autograd import to_numpy
from tinygen.diffusion import editing, samplers
from tinygen.metrics import classifier
from tinygen.metrics.report import SETS
from tinygen.run import Run, commandline

STEPS, RESAMPLE, COUNT = 50, 2, 50
TOLD_STEPS = 20  # of `multistep`, with the network that is told the small image
TIMES = 3  # how often each image is enlarged
SHOWN, FRAMES = 10, 60
QUICK = {"steps": 5, "resample": 2, "count": 10, "epochs": 1, "width": 8, "conditional": True}


# --- a model that was never told ------------------------------------------------------------------


def consistent(
    learnt: Learnt, small: np.ndarray, args: Any, rng: np.random.Generator,
    film: image.Animation | None = None,
) -> np.ndarray:  # fmt: skip
    """For each small image a large one that fits, all from 0 to 1; what is beyond is cut off"""
    N, h, w, C = small.shape
    noise = rng.standard_normal((N, h * args.factor, w * args.factor, C), np.float32)
    steps = editing.super_resolve(learnt.model, noise, 2 * small - 1, learnt.any_digit(N), rng=rng,
                                  steps=args.steps, resample=args.resample)  # fmt: skip
    for step in steps:
        if film is not None:
            film.append(base.as_images(step.x[: base.FILMED]), f"t = {step.t:.0f}")
    return base.as_images(to_numpy(step.x))


# --- a model that is told -------------------------------------------------------------------------


def learn_pairs(run: Run, args: Any, learnt: Learnt) -> diffusion.Diffusion:
    """The network of diffusion_mnist.py for twice the channels, trained to make images of the noise
    in one half of them, and of the small image, enlarged, in the other"""
    images, rng = 2 * learnt.train.images - 1, np.random.default_rng(args.seed)
    H, W, C = images.shape[1:]
    net = editing.Beside(base.network((H, W, 2 * C), args.width, None, rng))
    model = diffusion.Diffusion(net, diffusion.cosine(base.TIMES), "v", clip=1.0)
    batches = data.Batches(images, min(args.batch_size, len(images)), rng=rng, epochs=args.epochs,
                           drop_last=True)  # fmt: skip

    def loss(model: Any, x: Any, _: Any, *, rng: np.random.Generator) -> diffusion.Terms:
        small = editing.downsample(x.data, args.factor)
        return diffusion.denoising_loss(model, x, small, rng=rng, weight=diffusion.min_snr)

    shown = editing.downsample(learnt.held_out(base.FILMED)[0], args.factor)
    base.learn(run, model, batches, args.lr, rng, loss=loss,
               frame=lambda: told(model, shown, args, np.random.default_rng(1)))  # fmt: skip
    return model


def told(
    model: diffusion.Diffusion, small: np.ndarray, args: Any, rng: np.random.Generator
) -> np.ndarray:
    """For each small image a large one, all from 0 to 1"""
    N, h, w, C = small.shape
    noise = rng.standard_normal((N, h * args.factor, w * args.factor, C), np.float32)
    steps = samplers.multistep(model, noise, 2 * small - 1, steps=min(TOLD_STEPS, args.steps))
    return base.as_images(samplers.last(steps))


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/superres_mnist", data=None, epochs=base.EPOCHS,
                                batch_size=base.BATCH_SIZE, lr=base.LEARNING_RATE)  # fmt: skip
    add_options(parser, STEPS, RESAMPLE, COUNT)
    parser.add_argument("--factor", type=int, choices=[2, 4, 7], default=4,
                        help="how many times higher and wider (default: 4)")  # fmt: skip
    parser.add_argument("--conditional", action="store_true",
                        help="also train a network that is told the small image")  # fmt: skip
    parser.add_argument("--width", type=commandline.at_least(1), default=base.WIDTH,
                        help=f"channels of its first level (default: {base.WIDTH})")  # fmt: skip
    args = commandline.parse(parser, quick=QUICK)
    learnt = trained(args)
    with Run(args.out, vars(args), resume=args.resume, free=(*FREE, "conditional")) as run:
        learnt = learnt or trained_little(run, args)
        model = learn_pairs(run, args, learnt) if args.conditional else None
        x, labels = learnt.held_out(args.count)
        small = editing.downsample(x, args.factor)
        many, rng = np.tile(small, (TIMES, 1, 1, 1)), np.random.default_rng(args.seed)
        side, film = f"{small.shape[1]} × {small.shape[2]}", image.Animation(FRAMES, columns=SHOWN)
        sets = {
            f"{side} pixels": small.repeat(args.factor, axis=1).repeat(args.factor, axis=2),
            "straight lines": data.resize(small, x.shape[1:3]),
            "made to fit": consistent(learnt, many, args, rng, film),
        }
        if model is not None:
            sets["conditional"] = told(model, many, args, rng)

        film.save(run.path("enlarging.gif"), fps=15, title="From noise, to fit the small image")
        rows = {}
        for name, found in sets.items():
            for k, some in enumerate(np.split(found, len(found) // len(x)), 1):
                rows[name if len(found) == len(x) else f"{name}, {k}"] = some[:SHOWN]
        image.compare(run.path("enlarged.png"), rows | {"the image": x[:SHOWN]},
                      title=f"Held-out images, from {side} pixels")  # fmt: skip
        reader = classifier.pretrained(learnt.data) if learnt.data in SETS else None
        print(f"{'':16}{'ratio':>8}  off by  read right")
        for name, found in sets.items():
            scores = measured(found, x, labels, small, reader)
            run.results(**{f"{name}, {k}": score for k, score in scores.items()})
            print(f"{name:16}{scores['ratio']:5.1f} dB  {scores['off']:6.4f}  "
                  + (f"{scores['right']:10.0%}" if "right" in scores else ""))  # fmt: skip
        if reader is not None:
            print(f"Of the images themselves {(reader.labels(x) == labels).mean():.0%} are read "
                  f"right.")  # fmt: skip
        if args.samples:
            run.samples(sets["made to fit"][: args.samples])
        print(f"see {run.path('enlarged.png')} and the other pictures there")


def measured(
    found: np.ndarray, x: np.ndarray, labels: np.ndarray | None, small: np.ndarray, reader: Any
) -> dict[str, float]:
    """The images found, one or more for each x, beside x and the small ones

    `ratio` is 10 log₁₀ 1/mse in decibels, a mean over images; `off` the root of the mean square by
    which they differ from the small ones when made small; `right` how many are read as they should.
    """
    truth, was = np.resize(x, found.shape), np.resize(small, (len(found), *small.shape[1:]))
    mse = ((found - truth) ** 2).mean(axis=(1, 2, 3))
    off = editing.downsample(found, x.shape[1] // small.shape[1]) - was
    scores = {"ratio": float((-10 * np.log10(mse)).mean()),
              "off": float((off**2).mean() ** 0.5)}  # fmt: skip
    if reader is not None:
        right = reader.labels(found.clip(0, 1)) == np.resize(labels, len(found))
        scores["right"] = float(right.mean())
    return scores


if __name__ == "__main__":
    commandline.main(main)
