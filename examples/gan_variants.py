"""Generative adversarial networks of digits: other losses and networks than gan_mnist.py has.

The defaults are those of gan_mnist.py: DCGAN's networks and the non-saturating loss. Five epochs
take three and a half minutes on two cores. docs/gan.md explains every option, docs/results.md has
the scores.

    python examples/gan_variants.py --loss wgan-gp          one of seven losses, with its own recipe
    python examples/gan_variants.py --conditional           class-conditional digits
    python examples/gan_variants.py --packing 2             D sees two images at once
    python examples/gan_variants.py --smooth 0.9            one-sided label smoothing
    python examples/gan_variants.py --generator dense       no convolutions in the generator

and the networks of three well-known tutorials, which tinygen/models/classics.py describes:

    python examples/gan_variants.py --classic one-layer-gan    128-784; convolutions 64-128-256
    python examples/gan_variants.py --classic dense-gan        100-256-512-512-784; 64-128, dropout
    python examples/gan_variants.py --classic dcgan-28         100-7·7·128-14-28; 64-128, dropout

After five epochs, dcgan-28 draws digits, half of them broken. dense-gan draws a single image, mode
collapse. one-layer-gan, whose generator is a single layer, draws strokes, but no digits.

The run's folder, runs/gan_variants, holds samples.png, curves.png, training.gif and balance.png,
which shows how often each digit is generated.

Reading order: `RECIPES`, `networks`, `main`, `draw_balance`. The losses are in
tinygen/gan/losses.py, the loop in tinygen/gan/training.py.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from tinygen import data, gan, image, models, nn, optim
from tinygen.metrics.report import Verdict, judge
from tinygen.models import classics
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE = 5, 128
LATENT, WIDTH, HIDDEN = 100, 64, (256, 512, 1024)
FRAMES, FILMED = 40, 49  # frames of the animation, and images in each
SHOWN = 100  # samples in samples.png
ACROSS = 15  # samples of each digit in balance.png
QUICK = {"epochs": 1, "train": 1280, "test_images": 200, "width": 8}


class Recipe(NamedTuple):
    """A loss, and settings that are known to work with it."""

    loss: Any
    optimizer: Any = functools.partial(optim.Adam, betas=(0.5, 0.999))
    lr: float = 2e-4
    discriminator_steps: int = 1
    norm: str = "batch"  # in the discriminator
    penalty: Any = None
    clip_at: float | None = None


RECIPES = {
    "minimax": Recipe(gan.Minimax),
    "non-saturating": Recipe(gan.NonSaturating),
    "least-squares": Recipe(gan.LeastSquares),
    "hinge": Recipe(gan.Hinge, norm="spectral"),
    "wasserstein": Recipe(gan.Wasserstein, optim.RMSprop, 5e-5, 5, clip_at=0.01),
    # the paper's five discriminator steps at 1e-4 would leave the generator too few steps here
    "wgan-gp": Recipe(
        gan.Wasserstein,
        functools.partial(optim.Adam, betas=(0.5, 0.9)),
        3e-4,
        2,
        "none",
        gan.gradient_penalty,
    ),
    "r1": Recipe(gan.NonSaturating, norm="none", penalty=functools.partial(gan.r1, weight=1.0)),
}

CLASSICS = {
    "one-layer-gan": (classics.one_layer_gan, 128),
    "dense-gan": (classics.dense_gan, 100),
    "dcgan-28": (classics.dcgan_28, 100),
}


def networks(
    args: Any, shape: tuple[int, ...], classes: int, norm: str, rng: np.random.Generator
) -> tuple[nn.Module, nn.Module, int]:
    """The generator, the discriminator, and the length of z

    Images are from −1 to 1, except those of `dense-gan`, which are from 0 to 1 (see `scaled`).
    """
    if args.classic:
        build, latent = CLASSICS[args.classic]
        return *build(rng=rng), latent
    H, W, C = shape
    inputs = LATENT + classes
    if args.generator == "dense":
        sizes = [inputs, *HIDDEN, H * W * C]
        dense = models.mlp(sizes, nn.LeakyReLU(0.2), nn.Tanh(), rng=rng)
        generator = nn.Sequential(dense, nn.Reshape(*shape))
    else:
        generator = models.dcgan_generator(shape, inputs, args.width, rng=rng)
    pack = (H, W, args.packing * (C + classes))
    return generator, models.dcgan_discriminator(pack, args.width, rng=rng, norm=norm), LATENT


def scaled(images: np.ndarray, args: Any) -> np.ndarray:
    """The images in the range of the generator's last activation: tanh (−1, 1), sigmoid (0, 1)"""
    return images if args.classic == "dense-gan" else 2 * images - 1


def as_images(x: np.ndarray, args: Any) -> np.ndarray:
    return x if args.classic == "dense-gan" else (x + 1) / 2


def main() -> None:
    parser = commandline.parser(
        __doc__, out="runs/gan_variants", epochs=EPOCHS, batch_size=BATCH_SIZE
    )
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add(
        "--loss",
        choices=list(RECIPES),
        default="non-saturating",
        help="the loss, with its recipe (default: non-saturating)",
    )
    add(
        "--generator",
        choices=["conv", "dense"],
        default="conv",
        help="generator: DCGAN's or dense layers (default: conv)",
    )
    add("--classic", choices=list(CLASSICS), help="use both networks of a well-known tutorial")
    add("--conditional", action="store_true", help="condition both networks on the digit")
    add(
        "--packing",
        type=at_least_1,
        default=1,
        metavar="M",
        help="images that the discriminator sees at once (default: 1)",
    )
    add(
        "--smooth",
        type=commandline.positive,
        default=1.0,
        metavar="S",
        help="label smoothing: target for real images, such as 0.9 (default: 1, no smoothing)",
    )
    add(
        "--lr",
        type=commandline.positive,
        help="learning rate of both optimisers (default: the recipe's)",
    )
    add(
        "--discriminator-steps",
        type=at_least_1,
        metavar="N",
        help="discriminator updates per generator update (default: the recipe's)",
    )
    add(
        "--width",
        type=at_least_1,
        default=WIDTH,
        help=f"channels of the layers next to the images (default: {WIDTH})",
    )
    add("--train", type=at_least_1, metavar="N", help="training images, at most (default: all)")
    add(
        "--test-images",
        type=at_least_1,
        metavar="N",
        help="held-out images, at most (default: all)",
    )
    args = commandline.parse(parser, quick=QUICK)
    recipe = RECIPES[args.loss]
    if args.smooth > 1:
        parser.error(f"--smooth: expected a number above 0 and at most 1, got {args.smooth}")
    if args.smooth != 1 and not issubclass(recipe.loss, gan.Minimax | gan.LeastSquares):
        parser.error(f"--smooth works only with losses that have targets, not with {args.loss}")
    usual = args.width == (QUICK["width"] if args.quick else WIDTH) and args.generator == "conv"
    if args.classic and (args.conditional or args.packing > 1 or not usual):
        parser.error("--classic takes no --width, --generator, --conditional or --packing")
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    shape = train.images.shape[1:]
    if args.classic and shape != (28, 28, 1):
        parser.error(
            f"--classic networks take images of shape (28, 28, 1), but those of "
            f"{args.data} have {shape}"
        )
    if args.conditional and train.labels is None:
        parser.error(f"--conditional: {args.data} has no labels")
    args.batch_size = min(args.batch_size, len(train.images)) // args.packing * args.packing
    if not args.batch_size:
        parser.error(f"--packing {args.packing}: there are only {len(train.images)} images")
    discriminator_steps = args.discriminator_steps or recipe.discriminator_steps
    steps = len(train.images) // args.batch_size * args.epochs
    if 0 < steps < discriminator_steps:
        parser.error(
            f"one generator update needs {discriminator_steps} discriminator updates, but there "
            f"are only {steps} batches"
        )

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        classes = 1 + int(train.labels.max()) if args.conditional else 0
        generator, discriminator, latent = networks(args, shape, classes, recipe.norm, rng)
        model = gan.GAN(generator, discriminator, latent, classes=classes, packing=args.packing)
        loss = recipe.loss() if args.smooth == 1 else recipe.loss(args.smooth)

        lr = args.lr or recipe.lr
        generator_optimizer = recipe.optimizer(dict(generator.named_parameters()), lr)
        discriminator_optimizer = recipe.optimizer(dict(discriminator.named_parameters()), lr)
        batches = data.Batches(
            scaled(train.images, args),
            args.batch_size,
            labels=train.labels,
            rng=rng,
            epochs=args.epochs,
            drop_last=True,
        )
        film = image.Animation(FRAMES)
        noise = model.noise(SHOWN, rng=rng)
        labels = np.arange(SHOWN) % classes if classes else None
        filmed = None if labels is None else labels[:FILMED]
        every = max(1, (batches.steps or 1) // discriminator_steps // FRAMES)
        run.keep(
            model=model,
            generator_optimizer=generator_optimizer,
            discriminator_optimizer=discriminator_optimizer,
            batches=batches,
            film=film,
            rng=rng,
        )

        steps = gan.train(
            model,
            batches,
            generator_optimizer,
            discriminator_optimizer,
            rng=rng,
            loss=loss,
            discriminator_steps=discriminator_steps,
            penalty=recipe.penalty,
            clip_at=recipe.clip_at,
        )
        for record in run.track(steps):
            if record.step % every == 0 or record.step == 1:
                frame = as_images(model.images(noise[:FILMED], filmed), args)
                film.append(frame, f"step {record.step}")

        image.grid(
            run.path("samples.png"), as_images(model.images(noise, labels), args), title="Samples"
        )
        if len(film):
            film.save(run.path("training.gif"), title="Samples through training")
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title=args.loss)
        run.results(seconds=run.seconds, parameters=sum(p.size for p in model.parameters()))

        def sampled(n: int) -> tuple[np.ndarray, np.ndarray | None]:
            digits = np.arange(n) % classes if classes else None
            return as_images(model.sample(n, digits, rng=np.random.default_rng(1)), args), digits

        if verdict := judge(run, args, sampled, test.images):
            print(verdict)
            draw_balance(run, verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


def draw_balance(run: Run, verdict: Verdict) -> None:
    """Rows of samples by the digit that they are classified as, with how often it occurs."""
    rows = {}
    for digit in range(10):
        own = np.flatnonzero(verdict.labels == digit)
        row = np.ones((ACROSS, *verdict.samples.shape[1:]), np.float32)  # white if too few
        row[: len(own)] = verdict.samples[own[:ACROSS]]
        rows[f"{digit}: {len(own) / len(verdict.labels):.1%}"] = row
    image.strip(run.path("balance.png"), rows, ends=False, title="Samples by predicted digit")


if __name__ == "__main__":
    commandline.main(main)
