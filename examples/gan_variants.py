"""Two networks play against each other until one of them draws digits.

A generator makes images of noise, a critic tells them from real ones, and each learns from the
other (Goodfellow et al. 2014). The networks are DCGAN's. In runs/gan_mnist are then samples.png,
curves.png, balance.png, how often each digit is drawn, and training.gif. docs/gan.md explains it.
With seed 0 the first digits can be recognised after a minute on two cores, and the five epochs took
three and a half; then the FID of 5,000 samples was 17.5 (of as many real images 0.3).

    python examples/gan_mnist.py
    python examples/gan_mnist.py --loss wgan-gp             one of seven games, each with its recipe
    python examples/gan_mnist.py --conditional              told the digit: draws each to order
    python examples/gan_mnist.py --packing 2                a critic that sees two images at once
    python examples/gan_mnist.py --generator dense          no convolutions in the generator
    python examples/gan_mnist.py --backend cupy             the same on a GPU

and the networks of three well-known articles, which are described in tinygen/models/classics.py:

    python examples/gan_mnist.py --classic one-layer-gan    128-784; convolutions 64-128-256
    python examples/gan_mnist.py --classic dense-gan        100-256-512-512-784; 64-128, dropout
    python examples/gan_mnist.py --classic dcgan-28         100-7·7·128-14-28; 64-128, dropout

one-layer-gan's generator is a single layer: after three epochs it paints strokes, and no digits.

Reading order: `RECIPES`, `networks`, `main`, `draw_balance`; the losses are in
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
FRAMES, FILMED = 40, 49  # of the animation, and how many images it shows
SHOWN = 100  # samples, a square of them
ACROSS = 15  # samples that are shown of each digit
QUICK = {"epochs": 1, "train": 1280, "test_images": 200, "width": 8}


class Recipe(NamedTuple):
    """A game, and what it is known to work with."""

    loss: Any
    optimizer: Any = functools.partial(optim.Adam, betas=(0.5, 0.999))
    lr: float = 2e-4
    critic_steps: int = 1
    norm: str = "batch"  # in the critic
    penalty: Any = None
    clip_at: float | None = None


RECIPES = {
    "minimax": Recipe(gan.Minimax),
    "non-saturating": Recipe(gan.NonSaturating),
    "least-squares": Recipe(gan.LeastSquares),
    "hinge": Recipe(gan.Hinge, norm="spectral"),
    "wasserstein": Recipe(gan.Wasserstein, optim.RMSprop, 5e-5, 5, clip_at=0.01),
    # with the article's five steps of the critic at 1e-4 the generator gets too few to learn here
    "wgan-gp": Recipe(gan.Wasserstein, functools.partial(optim.Adam, betas=(0.5, 0.9)), 3e-4, 2,
                      "none", gan.gradient_penalty),
    "r1": Recipe(gan.NonSaturating, norm="none", penalty=functools.partial(gan.r1, weight=1.0)),
}  # fmt: skip

CLASSICS = {
    "one-layer-gan": (classics.one_layer_gan, 128),
    "dense-gan": (classics.dense_gan, 100),
    "dcgan-28": (classics.dcgan_28, 100),
}


def networks(
    args: Any, shape: tuple[int, ...], classes: int, norm: str, rng: np.random.Generator
) -> tuple[nn.Module, nn.Module, int]:
    """Generator, critic, and how many numbers the noise has. Images are from −1 to 1, but for
    those of `dense-gan`, which are from 0 to 1 (see `scaled`)."""
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
    seen = (H, W, args.packing * (C + classes))
    return generator, models.dcgan_discriminator(seen, args.width, rng=rng, norm=norm), LATENT


def scaled(images: np.ndarray, args: Any) -> np.ndarray:
    """As the generator's last activation makes them: tanh from −1 to 1, a sigmoid from 0 to 1"""
    return images if args.classic == "dense-gan" else 2 * images - 1


def as_images(x: np.ndarray, args: Any) -> np.ndarray:
    return x if args.classic == "dense-gan" else (x + 1) / 2


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/gan_mnist", epochs=EPOCHS, batch_size=BATCH_SIZE)
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add("--loss", choices=list(RECIPES), default="non-saturating",
        help="what is played for (default: non-saturating)")  # fmt: skip
    add("--generator", choices=["conv", "dense"], default="conv",
        help="DCGAN's, or dense layers (default: conv)")  # fmt: skip
    add("--classic", choices=list(CLASSICS), help="both networks as in an article")
    add("--conditional", action="store_true", help="tell both networks the digit")
    add("--packing", type=at_least_1, default=1, metavar="M",
        help="how many images the critic sees at once (default: 1)")  # fmt: skip
    add("--smooth", type=commandline.positive, default=1.0, metavar="S",
        help="tell the critic that real images are so with probability S, 0.9 say "
             "(default: 1)")  # fmt: skip
    add("--lr", type=commandline.positive,
        help="both optimisers' learning rate (default: the loss's own)")  # fmt: skip
    add("--critic-steps", type=at_least_1, metavar="N",
        help="of the critic for each of the generator (default: the loss's own)")  # fmt: skip
    add("--width", type=at_least_1, default=WIDTH,
        help=f"channels of the layers next to the images (default: {WIDTH})")  # fmt: skip
    add("--train", type=at_least_1, metavar="N", help="learn from so many images at most")
    add("--test-images", type=at_least_1, metavar="N", help="judge by so many at most")
    args = commandline.parse(parser, quick=QUICK)
    recipe = RECIPES[args.loss]
    if args.smooth > 1:
        parser.error(f"argument --smooth: expected a number above 0, 1 at most, got {args.smooth}")
    if args.smooth != 1 and not issubclass(recipe.loss, gan.Minimax | gan.LeastSquares):
        parser.error(f"--smooth is for losses with probabilities, not for {args.loss}")
    usual = args.width == (QUICK["width"] if args.quick else WIDTH) and args.generator == "conv"
    if args.classic and (args.conditional or args.packing > 1 or not usual):
        parser.error("--classic networks are as they are, for images alone, one at a time")
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    shape = train.images.shape[1:]
    if args.classic and shape != (28, 28, 1):
        parser.error(f"--classic networks are made for grey images of 28 × 28 pixels, and those of "
                     f"{args.data} are {shape}")  # fmt: skip
    if args.conditional and train.labels is None:
        parser.error(f"--conditional: {args.data} has no labels")
    args.batch_size = min(args.batch_size, len(train.images)) // args.packing * args.packing
    if not args.batch_size:
        parser.error(f"--packing {args.packing}: there are only {len(train.images)} images")
    critic_steps = args.critic_steps or recipe.critic_steps
    steps = len(train.images) // args.batch_size * args.epochs
    if 0 < steps < critic_steps:
        parser.error(f"the generator learns after every {critic_steps} steps of the critic, and "
                     f"there are only {steps}")  # fmt: skip

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        classes = 1 + int(train.labels.max()) if args.conditional else 0
        generator, critic, latent = networks(args, shape, classes, recipe.norm, rng)
        model = gan.GAN(generator, critic, latent, classes=classes, packing=args.packing)
        loss = recipe.loss() if args.smooth == 1 else recipe.loss(args.smooth)

        lr = args.lr or recipe.lr
        players = {"generator": generator, "critic": critic}
        optimizers = {name: recipe.optimizer(dict(m.named_parameters()), lr)
                      for name, m in players.items()}  # fmt: skip
        batches = data.Batches(scaled(train.images, args), args.batch_size, labels=train.labels,
                               rng=rng, epochs=args.epochs, drop_last=True)  # fmt: skip
        film = image.Animation(FRAMES)
        noise = model.noise(SHOWN, rng=rng)
        kinds = np.arange(SHOWN) % classes if classes else None
        every = max(1, (batches.steps or 1) // critic_steps // FRAMES)
        run.keep(model=model, generator_optimizer=optimizers["generator"],
                 critic_optimizer=optimizers["critic"], batches=batches, film=film,
                 rng=rng)  # fmt: skip

        steps = gan.train(model, batches, optimizers["generator"], optimizers["critic"], rng=rng,
                          loss=loss, critic_steps=critic_steps, penalty=recipe.penalty,
                          clip_at=recipe.clip_at)  # fmt: skip
        for record in run.track(steps):
            if record.step % every == 0 or record.step == 1:
                filmed = None if kinds is None else kinds[:FILMED]
                frame = as_images(model.images(noise[:FILMED], filmed), args)
                film.append(frame, f"step {record.step}")

        image.grid(run.path("samples.png"), as_images(model.images(noise, kinds), args),
                   title="Samples")  # fmt: skip
        if len(film):
            film.save(run.path("training.gif"), title="Samples through training")
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title=args.loss)
        run.results(seconds=run.seconds, parameters=sum(p.size for p in model.parameters()))

        def sampled(n: int) -> tuple[np.ndarray, np.ndarray | None]:
            asked = np.arange(n) % classes if classes else None
            return as_images(model.sample(n, asked, rng=np.random.default_rng(1)), args), asked

        verdict = judge(run, args, sampled, test.images)
        if verdict is not None:
            print(verdict)
            draw_balance(run, verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


def draw_balance(run: Run, verdict: Verdict) -> None:
    """Samples in rows by the digit that they are read as, and how often it comes."""
    rows = {}
    for digit in range(10):
        own = np.flatnonzero(verdict.labels == digit)
        row = np.ones((ACROSS, *verdict.samples.shape[1:]), np.float32)  # white where none is left
        row[: len(own)] = verdict.samples[own[:ACROSS]]
        rows[f"{digit}: {len(own) / len(verdict.labels):.1%}"] = row
    image.strip(run.path("balance.png"), rows, ends=False, title="Samples by what they are read as")


if __name__ == "__main__":
    commandline.main(main)
