"""Variational autoencoders of digits: other bounds, likelihoods and networks than vae_mnist.py has.

The defaults are those of vae_mnist.py: a dense network, 784-400-20-400-784, and the ELBO. Ten
epochs take about half a minute on two cores. docs/vae.md explains every option.

    python examples/vae_variants.py --latent 2                 a plane of digits: manifold.png
    python examples/vae_variants.py --net conv --epochs 20     convolutions; about four minutes
    python examples/vae_variants.py --conditional              class-conditional digits
    python examples/vae_variants.py --beta 4                   simpler codes, blurred images
    python examples/vae_variants.py --free-bits 0.5            0.5 nats of each unit's KL are free
    python examples/vae_variants.py --k 5                      the importance-weighted bound
    python examples/vae_variants.py --likelihood learned       Gaussian pixels with a learned σ

The run's folder, runs/vae_variants, holds samples.png, reconstructions.png, interpolations.png,
curves.png, latent.png (the held-out digits in the latent space) and training.gif.

Reading order: `networks`, `main`, `draw`. The bounds and the loop are in tinygen/vae/bounds.py.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, image, models, nn, optim, vae
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 128, 1e-3
LATENT, HIDDEN, WIDTH = 20, 400, 32
FRAMES, FILMED = 40, 49  # frames of the animation, and images in each
SHOWN, INTERPOLATIONS = 100, 6  # samples in samples.png; rows of interpolations.png
MEASURED, DRAWS = 500, 100  # test images whose log p(x) is estimated; samples of z for each
QUICK = {"epochs": 1, "train": 2000, "test_images": 300}


class Conditioned(nn.Module):
    """head([features(x), one-hot label]); without a label head(features(x))"""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        self.features, self.head = features, head

    def forward(self, x: tg.Tensor, *one_hot: tg.Tensor) -> tg.Tensor:
        h = self.features(x)
        return self.head(tg.concat([h, *one_hot], axis=1) if one_hot else h)


def networks(
    net: str, shape: tuple[int, ...], latent: int, classes: int, rng: np.random.Generator
) -> tuple[nn.Module, nn.Module]:
    """An encoder, image → 2 · latent numbers, and a decoder, latent + classes numbers → image"""
    pixels, outputs = int(np.prod(shape)), 2 * latent
    if net == "conv":
        features = nn.Sequential(models.conv_encoder(shape, HIDDEN, WIDTH, rng=rng), nn.ReLU())
        head = nn.Dense(HIDDEN + classes, outputs, rng=rng)
        decoder = models.conv_decoder(shape, latent + classes, WIDTH, rng=rng)
        return Conditioned(features, head), decoder
    init = nn.pytorch_uniform  # the initialisation behind the published test loss
    encoder = models.mlp([pixels + classes, HIDDEN, outputs], rng=rng, init=init)
    decoder = models.mlp([latent + classes, HIDDEN, pixels], rng=rng, init=init)
    return Conditioned(nn.Flatten(), encoder), nn.Sequential(decoder, nn.Reshape(*shape))


def main() -> None:
    parser = commandline.parser(
        __doc__, out="runs/vae_variants", epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LEARNING_RATE
    )
    add, at_least_1 = parser.add_argument, commandline.at_least(1)
    add("--net", choices=["dense", "conv"], default="dense", help="the networks (default: dense)")
    add(
        "--latent",
        type=at_least_1,
        default=LATENT,
        metavar="D",
        help=f"latent units; with 2 the latent plane is plotted (default: {LATENT})",
    )
    add(
        "--beta",
        type=commandline.at_least(0.0),
        default=1.0,
        help="weight of the KL term (default: 1)",
    )
    add(
        "--free-bits",
        type=commandline.at_least(0.0),
        default=0.0,
        metavar="NATS",
        help="nats of each unit's KL that cost nothing (default: 0)",
    )
    add(
        "--k",
        type=at_least_1,
        default=1,
        help="samples of z in the importance-weighted bound (default: 1, the ELBO)",
    )
    add(
        "--likelihood",
        choices=["bernoulli", "gaussian", "learned"],
        default="bernoulli",
        help="p(x|z) of a pixel: Bernoulli, Gaussian with σ = 0.2, or Gaussian with a learned σ "
        "(default: bernoulli)",
    )
    add("--conditional", action="store_true", help="condition both networks on the digit")
    add("--train", type=at_least_1, metavar="N", help="training images, at most (default: all)")
    add(
        "--test-images",
        type=at_least_1,
        metavar="N",
        help="held-out images, at most (default: all)",
    )
    args = commandline.parse(parser, quick=QUICK)
    if args.k > 1 and (args.beta != 1 or args.free_bits):
        parser.error("--k above 1 cannot be combined with --beta or --free-bits")
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    if args.conditional and train.labels is None:
        parser.error(f"--conditional: {args.data} has no labels")
    if args.batch_size > len(train.images):
        args.batch_size = len(train.images)
        print(
            f"batch size reduced to {args.batch_size}, the size of the training set",
            file=sys.stderr,
        )

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        classes = 0
        if args.conditional:
            classes = 1 + int(max(train.labels.max(), test.labels.max()))
        likelihood: Any = {
            "bernoulli": vae.Bernoulli,
            "gaussian": functools.partial(vae.Gaussian, 0.2),
            "learned": functools.partial(vae.Gaussian, 0.2, learned=True),
        }[args.likelihood]()
        encoder, decoder = networks(args.net, train.images.shape[1:], args.latent, classes, rng)
        model = vae.VAE(encoder, decoder, args.latent, likelihood=likelihood, classes=classes)
        bound = functools.partial(vae.elbo, beta=args.beta, free_bits=args.free_bits)
        if args.k > 1:
            bound = functools.partial(vae.iwae, k=args.k)

        optimizer = optim.Adam(dict(model.named_parameters()), args.lr)
        batches = data.Batches(
            train.images, args.batch_size, labels=train.labels, rng=rng, epochs=args.epochs
        )
        film = image.Animation(FRAMES)
        noise = rng.standard_normal((SHOWN, args.latent), np.float32)
        labels = np.arange(SHOWN) % classes if classes else None
        filmed = None if labels is None else labels[:FILMED]
        every = max(1, (batches.steps or 1) // FRAMES)
        run.keep(model=model, optimizer=optimizer, batches=batches, film=film, rng=rng)

        def held_out() -> dict[str, float]:
            # the same noise each time, independent of the training's
            return vae.evaluate(model, *test, rng=np.random.default_rng(1), bound=bound)

        for record in run.track(vae.train(model, batches, optimizer, rng=rng, bound=bound)):
            if record.step % every == 0 or record.step == 1:
                film.append(model.generate(noise[:FILMED], filmed), f"step {record.step}")
            if record.step % batches.per_epoch == 0:
                run.log(test_loss=held_out()["loss"])

        draw(run, model, test, film, noise, labels)
        bounds = held_out()
        part = test.images[:MEASURED], None if test.labels is None else test.labels[:MEASURED]
        nll = -vae.log_likelihood(model, *part, k=DRAWS, rng=np.random.default_rng(2)).mean()
        alive = int((vae.unit_kl(model, *test) > 0.1).sum())
        run.results(
            test_loss=bounds["loss"],
            reconstruction=bounds["reconstruction"],
            kl=bounds["kl"],
            nll=nll,
            alive_units=alive,
            seconds=run.seconds,
            parameters=sum(p.size for p in model.parameters()),
        )
        print(
            f"held-out loss {bounds['loss']:.2f} nats per image (reconstruction "
            f"{bounds['reconstruction']:.2f}, KL {bounds['kl']:.2f}); −log p(x) ≈ {nll:.2f} with "
            f"{DRAWS} samples of z; {alive} of {args.latent} latent units in use"
        )

        def sampled(n: int) -> tuple[np.ndarray, np.ndarray | None]:
            digits = np.arange(n) % classes if classes else None
            return model.sample(n, digits, rng=np.random.default_rng(3)), digits

        if verdict := judge(run, args, sampled, test.images):
            print(verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


def draw(
    run: Run,
    model: vae.VAE,
    test: data.Labelled,
    film: image.Animation,
    noise: np.ndarray,
    sample_labels: np.ndarray | None,
) -> None:
    """All pictures that the data and the model allow"""
    labels = test.labels
    image.grid(run.path("samples.png"), model.generate(noise, sample_labels), title="Samples")
    shown = test.images[:20], None if labels is None else labels[:20]
    image.compare(
        run.path("reconstructions.png"),
        title="Held-out images and reconstructions",
        rows={"image": shown[0], "reconstruction": model.reconstruct(*shown)},
        columns=10,
    )
    a, b = pairs(labels if model.classes else np.zeros(len(test.images), int))
    if len(a):
        classes = labels[a] if model.classes else None
        rows = model.interpolate(test.images[a], test.images[b], 10, classes)
        title = "Interpolations in the latent space"
        image.strip(run.path("interpolations.png"), rows, title=title)
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Nats per image")
    if len(film):
        film.save(run.path("training.gif"), title="Samples through training")
    means = model.means(*test)[:5000]
    if model.latent == 2 and not model.classes:
        image.manifold(run.path("manifold.png"), model.generate, title="The plane of z, decoded")
    colours = labels is not None and labels.max() < 10  # there are ten colours
    if colours and model.latent >= 2 and len(means) > 1:
        title = "Held-out images in the latent space"
        if model.latent > 2:
            _, _, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
            means, title = means @ axes[:2].T, f"{title}: two principal components"
        image.plane(run.path("latent.png"), means, labels[:5000], title=title)


def pairs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and last images of the interpolations: of the same class, each image used once

    The pairs alternate between the classes. (A conditional model's z does not hold the class.)
    """
    ranked = []  # (place in its class, first image, last image)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        half = min(INTERPOLATIONS, len(own) // 2)
        ranked += list(zip(range(half), own[:half], own[half : 2 * half], strict=True))
    ranked = sorted(ranked)[:INTERPOLATIONS]
    return np.array([a for _, a, _ in ranked], int), np.array([b for _, _, b in ranked], int)


if __name__ == "__main__":
    commandline.main(main)
