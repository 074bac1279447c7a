"""A GAN learns to draw coloured shapes of 64 × 64 pixels, or images like your own pictures.

The generator maps 100 random numbers and a label to 8 × 8 × 128, and then doubles the sides three
times, to 64 × 64 × 3. The discriminator halves them four times. The loss is the non-saturating one
with the R1 penalty on the discriminator's gradient at real images, which lets training converge
near the equilibrium (Mescheder et al. 2018). The penalty needs second derivatives, so only one step
in 16 computes it, with 16 times its weight (Karras et al. 2020). The samples are those of an
exponential moving average (EMA) of the generator's weights.

The generator first trains for four epochs as the decoder of a VAE (compare Larsen et al. 2016), so
that the GAN's samples soon have many colours. All 20,000 steps took 39 minutes on one core of an
Intel Xeon. Most samples show one clean-edged blob on a shaded background; a third of them have the
kind that the label asks for, says a classifier.

    python examples/gan_shapes.py
    python examples/gan_shapes.py --data my/pictures --epochs 200
    python examples/gan_shapes.py --classic             a textbook's networks: wide and slow

The run's folder, runs/gan_shapes, holds samples.png, with a column for each of the eight kinds of
shape; nearest.png, samples beside the most similar training images; interpolations.png; curves.png;
and training.gif.

Reading order: `networks`, `main`, `nearest`; the losses are in tinygen/gan/losses.py, the loop in
tinygen/gan/training.py.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, gan, image, nn, optim, vae
from tinygen.models import classics
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE, BETAS = 14, 8, 5e-4, (0.5, 0.99)
VAE_EPOCHS, VAE_BATCH, VAE_RATE, SIGMA = 4, 16, 1e-3, 0.4  # of the first stage
SIZE, SIDE, LATENT = 64, 8, 100
CHANNELS = (128, 64, 32)  # from 8 × 8 pixels up
GAMMA, LAZY = 1.0, 16  # R1's weight; one step in LAZY computes it
DECAY = 0.999  # of the EMA
FRAMES, FILMED = 40, 36  # frames of the animation; images in each
SHOWN, COMPARED, STEPS = 64, 10, 10  # images in samples.png, nearest.png, an interpolation
QUICK = {"epochs": 1, "vae_epochs": 1, "train": 128}


def networks(channels: int, classes: int, rng: np.random.Generator) -> tuple[nn.Module, nn.Module]:
    """A generator of values from −1 to 1, and a discriminator; both also see the label one-hot

    With batch norm in the discriminator, D(x), and so R1, would depend on other images.
    Each output of its last convolution sees 46 × 46 pixels, a whole shape; without that convolution
    the samples were only blobs.
    """
    a, b, c = CHANNELS
    init = nn.he_normal
    generator = nn.Sequential(
        nn.Dense(LATENT + classes, SIDE * SIDE * a, rng=rng, init=init),
        nn.Reshape(SIDE, SIDE, a),
        nn.BatchNorm(a),
        nn.ReLU(),
        nn.Conv2d(a, a, 3, 1, 1, rng=rng, init=init),
        nn.BatchNorm(a),
        nn.ReLU(),
        nn.ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=init),
        nn.BatchNorm(b),
        nn.ReLU(),  # 16
        nn.ConvTranspose2d(b, c, 4, 2, 1, rng=rng, init=init),
        nn.BatchNorm(c),
        nn.ReLU(),  # 32
        nn.ConvTranspose2d(c, channels, 4, 2, 1, rng=rng),
        nn.Tanh(),  # 64
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels + classes, c, 4, 2, 1, rng=rng, init=init),
        nn.LeakyReLU(0.2),
        nn.Conv2d(c, b, 4, 2, 1, rng=rng, init=init),
        nn.LeakyReLU(0.2),
        nn.Conv2d(b, a, 4, 2, 1, rng=rng, init=init),
        nn.LeakyReLU(0.2),
        nn.Conv2d(a, 2 * a, 4, 2, 1, rng=rng, init=init),
        nn.LeakyReLU(0.2),  # 4: each sees 46 × 46
        nn.Flatten(),
        nn.Dense(SIDE * SIDE * a // 2, 1, rng=rng),
    )
    return generator, discriminator


def encoder(channels: int, rng: np.random.Generator) -> nn.Module:
    """The VAE's, from an image to μ and log σ² of z"""
    layers: list[Any] = []
    for m, n in itertools.pairwise([channels, *reversed(CHANNELS), CHANNELS[0]]):
        layers += [nn.Conv2d(m, n, 4, 2, 1, rng=rng, init=nn.he_normal), nn.BatchNorm(n), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dense(16 * CHANNELS[0], 2 * LATENT, rng=rng))


def classic(rng: np.random.Generator) -> tuple[nn.Module, nn.Module]:
    """`classics.dcgan_64`, without labels, its images rescaled from [0, 1] to [−1, 1]"""
    generator, discriminator = classics.dcgan_64(rng=rng)
    return nn.Sequential(*generator.layers, lambda x: 2 * x - 1), discriminator


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/gan_shapes",
        data="shapes",
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add = parser.add_argument
    add("--gamma", type=commandline.positive, default=GAMMA, help=f"R1's weight (default: {GAMMA})")
    add("--classic", action="store_true", help="use the networks of `classics.dcgan_64`")
    help = f"epochs of the generator as a VAE's decoder, before the GAN (default: {VAE_EPOCHS})"
    add("--vae-epochs", type=commandline.at_least(0), default=VAE_EPOCHS, help=help)
    add("--train", type=commandline.at_least(1), metavar="N", help="training images, at most")
    args = commandline.parse(parser, quick=QUICK)
    train, _ = data.load(args.data, train=args.train, test=0, size=SIZE, progress=True)
    images, labels = train
    if images.shape[1:3] != (SIZE, SIZE):
        images = data.resize(images, SIZE)
    if args.classic and images.shape[3] != 3:
        parser.error(f"--classic networks take colour images, but those of {args.data} are grey")

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        classes = 0 if args.classic or labels is None else 1 + int(labels.max())
        nets = classic(rng) if args.classic else networks(images.shape[3], classes, rng)
        model = gan.GAN(*nets, LATENT, classes)
        optimizers = [
            optim.Adam(dict(network.named_parameters()), args.lr, BETAS)
            for network in (model.generator, model.discriminator)
        ]
        average = optim.EMA(dict(model.generator.named_parameters()), DECAY)

        def batches_of(size: int, epochs: int) -> data.Batches:
            rows, y = 2 * images - 1, labels if classes else None
            size = min(size, len(rows))
            return data.Batches(rows, size, rng=rng, labels=y, epochs=epochs, drop_last=True)

        batches = batches_of(args.batch_size, args.epochs)
        vae_batches = batches_of(VAE_BATCH, 0 if args.classic else args.vae_epochs)
        inverse = encoder(images.shape[3], rng)
        autoencoder = vae.VAE(
            lambda x, *_: inverse(x),
            model.generator,
            LATENT,
            likelihood=vae.Gaussian(SIGMA),
            classes=classes,
        )
        vae_optimizer = optim.Adam([*inverse.parameters(), *model.generator.parameters()], VAE_RATE)
        film = image.Animation(FRAMES)
        noise, kinds = model.noise(SHOWN, rng=rng), np.arange(SHOWN) % max(1, classes)
        every = max(1, (batches.steps or 1) // FRAMES)
        run.keep(
            model=model,
            generator_optimizer=optimizers[0],
            discriminator_optimizer=optimizers[1],
            average=average,
            batches=batches,
            encoder=inverse,
            vae_optimizer=vae_optimizer,
            vae_batches=vae_batches,
            film=film,
            rng=rng,
        )

        def generate(z: Any, kinds: np.ndarray) -> np.ndarray:
            with average.applied():
                return (model.images(z, kinds if classes else None) + 1) / 2

        def penalty(D: Any, real: Any, fake: Any, *, rng: Any) -> Any:
            if run.step % LAZY:  # `step` counts the steps before this one
                return tg.Tensor(tg.xp.zeros((), real.dtype))
            return gan.r1(D, real, fake, weight=LAZY * args.gamma, rng=rng)

        stages = itertools.chain(
            vae.train(autoencoder, vae_batches, vae_optimizer, rng=rng),
            gan.train(model, batches, *optimizers, rng=rng, penalty=penalty),
        )
        for record in run.track(stages):
            if "accuracy" not in record:  # a step of the VAE
                continue
            average.update()
            if average.steps % every == 0 or average.steps == 1:
                film.append(generate(noise[:FILMED], kinds[:FILMED]), f"step {average.steps}")

        samples = generate(noise, kinds)
        image.grid(run.path("samples.png"), samples, title="Samples")
        rows = {"sample": samples[:COMPARED], "nearest": nearest(samples[:COMPARED], images)}
        title = "Samples, and the nearest training images"
        image.compare(run.path("nearest.png"), rows, title=title)
        ends = noise.numpy()[:12].reshape(6, 2, 1, LATENT)
        t = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
        between = interpolate(ends[:, 0], ends[:, 1], t).reshape(-1, LATENT)
        rows = generate(between, kinds[:6].repeat(STEPS)).reshape(6, STEPS, *images.shape[1:])
        image.strip(run.path("interpolations.png"), rows, title="Interpolations between samples")
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title="GAN losses")
        if len(film):
            film.save(run.path("training.gif"), title="Samples through training")
        run.results(seconds=run.seconds, parameters=sum(p.size for p in model.parameters()))
        if args.samples:
            sample_rng = np.random.default_rng([args.seed, 1])
            z = model.noise(args.samples, rng=sample_rng)
            run.samples(generate(z, np.arange(args.samples) % max(1, classes)).clip(0, 1))
        print(f"see {run.path('samples.png')} and the other pictures there")


def interpolate(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """√(1 − t) a + √t b, which is N(0, I) at every t if a and b are; (1 − t) a + t b is not"""
    return np.sqrt(1 - t) * a + np.sqrt(t) * b


def nearest(samples: np.ndarray, images: np.ndarray) -> np.ndarray:
    """For each sample the image with the smallest squared distance, to see memorised images"""
    a, b = (x.reshape(len(x), -1) for x in (samples, images))
    square = (b**2).sum(axis=1) - 2 * a @ b.T  # ‖a − b‖² − ‖a‖²
    return images[square.argmin(axis=1)]


if __name__ == "__main__":
    commandline.main(main)
