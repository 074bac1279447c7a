"""Latent diffusion of coloured shapes: a diffusion model in the latent space of a VAE.

An image of 64 × 64 × 3 numbers is costly to denoise, and most of the numbers only describe edges,
which a small convolutional network can paint. So a VAE first learns to map images to 8 × 8 × 4
latents and back. Its KL term weighs so little that the latents keep all that matters, and their
distribution is far from the prior N(0, I). A diffusion model learns that distribution, conditioned
on the class (Rombach et al. 2022).

    python examples/latent_diffusion.py
    python examples/latent_diffusion.py --beta 10                simpler latents, blurred images
    python examples/latent_diffusion.py --guidance 4 --resume    new samples of the trained model
    python examples/latent_diffusion.py --data my/pictures --epochs 100
    python examples/latent_diffusion.py --data mnist --epochs 2 --latent-epochs 8
                                                                 digits, padded by two pixels

The run's folder, runs/latent_diffusion, holds reconstructions.png, training.gif and curves.png of
the VAE. The folder `latents` in it is the second stage's run, with decoded latents: samples.png,
guidance.png, denoising.gif, training.gif and curves.png. --resume continues either stage.

Reading order: `networks`; `learn_images`; `Latents`; `learn_latents`; `generate`, `draw`; `main`.
"""

from __future__ import annotations

import functools
from itertools import chain, pairwise
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, diffusion, image, models, nn, optim, vae
from tinygen.diffusion import samplers
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 6, 32, 2e-3  # of the VAE
SIZE, SIDE, CHANNELS = 64, 8, 4
WIDTHS = (32, 64, 128)  # of the VAE, at 32, 16 and 8 pixels
SMALL, PADDING = 28, 2  # images of the first size are padded to 32 × 32
SIGMA = 0.1  # of p(x|z), initially
LATENT_EPOCHS, LATENT_BATCH, LATENT_RATE = 40, 128, 1e-3  # of the diffusion model
WIDTH, LEVELS, TIMES = 64, (1, 2), 1000
DECAY, DROPPED = 0.999, 0.1  # EMA decay; fraction of labels withheld
STEPS, GUIDANCE, GUIDED = 20, 1.5, (0.0, 1.0, 1.5, 3.0, 6.0)  # the last: weights in guidance.png
SHOWN, FRAMES, FILMED = 100, 30, 36
SAMPLING = ("guidance", "steps")  # may change when a run is resumed
QUICK = {"epochs": 1, "train": 192, "test_images": 40, "latent_epochs": 1, "width": 8, "steps": 3}


# --- the first stage: a VAE whose latents are small images ----------------------------------------


def networks(size: int, channels: int, rng: np.random.Generator) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder between images and latents of SIDE × SIDE × CHANNELS

    Each layer of stride 2 halves or doubles the sides. `as_rows` turns the encoder's 2 · CHANNELS
    channels into the rows of means and log-variances that `vae.VAE` expects.
    """
    halvings = (size // SIDE).bit_length() - 1
    widths = WIDTHS[-halvings:]
    relu_next: dict[str, Any] = {"rng": rng, "init": nn.he_normal}
    down = [
        (nn.Conv2d(a, b, 4, 2, 1, **relu_next), nn.BatchNorm(b), nn.ReLU())
        for a, b in pairwise((channels, *widths))
    ]
    up = [
        (nn.ConvTranspose2d(b, a, 4, 2, 1, **relu_next), nn.BatchNorm(a), nn.ReLU())
        for a, b in reversed(list(pairwise(widths)))
    ]
    encoder = nn.Sequential(
        *chain(*down), nn.Conv2d(widths[-1], 2 * CHANNELS, 3, padding="same", rng=rng), as_rows
    )
    decoder = nn.Sequential(
        nn.Reshape(SIDE, SIDE, CHANNELS),
        nn.Conv2d(CHANNELS, widths[-1], 3, padding="same", **relu_next),
        nn.BatchNorm(widths[-1]),
        nn.ReLU(),
        *chain(*up),
        nn.ConvTranspose2d(widths[0], channels, 4, 2, 1, rng=rng, init=nn.normal(0.02)),
        nn.Sigmoid(),
    )
    return encoder, decoder


def as_rows(h: tg.Tensor) -> tg.Tensor:
    """(N, h, w, 2 C) → (N, 2 h w C): first all of the first C channels, then all of the others"""
    N, C = h.shape[0], h.shape[3] // 2
    return tg.concat([tg.reshape(half, (N, -1)) for half in (h[..., :C], h[..., C:])], axis=1)


def learn_images(run: Run, args: Any, train: np.ndarray, test: np.ndarray) -> vae.VAE:
    rng = np.random.default_rng(args.seed)
    encoder, decoder = networks(train.shape[1], train.shape[3], rng)
    likelihood = vae.Gaussian(SIGMA, learned=True)
    model = vae.VAE(encoder, decoder, SIDE * SIDE * CHANNELS, likelihood=likelihood)
    batches = data.Batches(
        train, min(args.batch_size, len(train)), rng=rng, epochs=args.epochs, drop_last=True
    )
    total = max(1, batches.steps or 1)
    optimizer = optim.Adam(dict(model.named_parameters()), optim.cosine(args.lr, total))
    film = image.Animation(FRAMES)
    run.keep(model=model, optimizer=optimizer, batches=batches, film=film, rng=rng)
    bound = functools.partial(vae.elbo, beta=args.beta)
    for record in run.track(vae.train(model, batches, optimizer, rng=rng, bound=bound)):
        if record.step % max(1, total // FRAMES) == 0 or record.step == 1:
            film.append(model.reconstruct(test[:FILMED]), f"step {record.step}")
    model.eval()
    image.curves_of(run.path("curves.png"), run.path("log.csv"), title="The VAE's losses")
    if len(film):
        film.save(run.path("training.gif"), title="Reconstructions of held-out images")
    rows = {
        "image": test[:20],
        "reconstruction": model.reconstruct(test[:20]),
        "z ~ N(0, I)": model.sample(min(20, len(test)), rng=np.random.default_rng(1)),
    }
    title = "Held-out images, and samples of the VAE's prior"
    image.compare(run.path("reconstructions.png"), rows, title=title)
    return model


# --- the second stage: diffusion of the latents ---------------------------------------------------


class Latents:
    """The latents of some images, scaled so that each channel has mean 0 and variance 1

    z is sampled from q(z|x) = N(μ, σ²); `posteriors` are μ and log σ² of each image, (N, 2 D).
    """

    def __init__(self, model: vae.VAE, images: np.ndarray) -> None:
        self.model, parts = model, []
        for i in range(0, len(images), 500):
            with tg.no_grad():
                h = model.encode(tg.Tensor(tg.xp.asarray(images[i : i + 500])))
            parts.append(tg.concat(h, axis=1).numpy())
        self.posteriors = np.concatenate(parts)
        mu, variance = self._split(self.posteriors)
        self.mean = mu.mean(axis=(0, 1, 2))
        self.std = np.sqrt(mu.var(axis=(0, 1, 2)) + variance.mean(axis=(0, 1, 2)))

    @staticmethod
    def _split(posteriors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mu, log_var = (
            half.reshape(-1, SIDE, SIDE, CHANNELS) for half in np.split(posteriors, 2, axis=1)
        )
        return mu, np.exp(log_var)

    def sample(self, posteriors: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
        """z ~ q(z|x), scaled: (N, 2 D) → (N, SIDE, SIDE, CHANNELS)"""
        mu, variance = self._split(posteriors)
        z = mu + np.sqrt(variance) * rng.standard_normal(mu.shape, np.float32)
        return (z - self.mean) / self.std

    def images(self, z: Any) -> np.ndarray:
        """The images of scaled latents, from 0 to 1, without padding"""
        z = tg.to_numpy(z) * self.std + self.mean
        return cropped(self.model.generate(z.reshape(len(z), -1)).clip(0, 1))


def learn_latents(
    run: Run, args: Any, latents: Latents, labels: np.ndarray | None
) -> tuple[diffusion.Diffusion, int | None]:
    """The diffusion model, and its label "any shape" """
    null, rng = None if labels is None else 1 + int(labels.max()), np.random.default_rng(args.seed)
    shape = (SIDE, SIDE, CHANNELS)
    net = models.UNet(
        shape, args.width, LEVELS, attention_at=(SIDE, SIDE // 2), classes=null, rng=rng
    )
    model = diffusion.Diffusion(net, diffusion.cosine(TIMES), "v")
    size = min(LATENT_BATCH, len(latents.posteriors))
    batches = data.Batches(
        latents.posteriors,
        size,
        rng=rng,
        labels=labels,
        drop_last=True,
        epochs=args.latent_epochs,
        transform=latents.sample,
    )
    params, total = dict(model.named_parameters()), max(1, batches.steps or 0)
    rate = optim.warm_up(optim.cosine(LATENT_RATE, total), total // 50 + 1)
    adam, ema = optim.Adam(params, rate), optim.EMA(params, DECAY)
    film, every = image.Animation(FRAMES), max(1, total // FRAMES)
    run.keep(model=model, adam=adam, ema=ema, batches=batches, film=film, rng=rng)
    loss = functools.partial(
        diffusion.denoising_loss, weight=diffusion.min_snr, null=null, drop=DROPPED
    )
    for record in run.track(diffusion.train(model, batches, adam, rng=rng, ema=ema, loss=loss)):
        if record.step % every == 0 or record.step == 1:
            with ema.applied():
                frame, _ = generate(model, latents, FILMED, args, null, seed=1, guidance=1.0)
            film.append(frame, f"step {record.step}")
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Denoising loss")
        film.save(run.path("training.gif"), title="Samples through training")
    ema.copy_to_params()
    return model, null


def generate(
    model: diffusion.Diffusion,
    latents: Latents,
    n: int,
    args: Any,
    null: int | None,
    *,
    seed: int,
    guidance: float | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """n images of new latents, and their labels; `guidance` replaces that of `args`"""
    noise = np.random.default_rng(seed).standard_normal((n, SIDE, SIDE, CHANNELS), np.float32)
    labels = None if null is None else np.arange(n) % null
    model = guided(model, args.guidance if guidance is None else guidance, null)
    return latents.images(samplers.sample(model, noise, labels, steps=args.steps)), labels


def guided(model: diffusion.Diffusion, weight: float, null: int | None) -> diffusion.Diffusion:
    return model if null is None else samplers.guided(model, weight, null)


def draw(
    run: Run, model: diffusion.Diffusion, latents: Latents, args: Any, null: int | None
) -> None:
    """All pictures of decoded latents"""
    samples, _ = generate(model, latents, SHOWN, args, null, seed=2)
    image.grid(run.path("samples.png"), samples, columns=10, title="Samples")
    if null is not None:
        row = functools.partial(generate, model, latents, 10, args, null, seed=4)
        rows = {f"guidance {w:g}": row(guidance=w)[0] for w in GUIDED}
        title = "The same noise by guidance weight"
        image.strip(run.path("guidance.png"), rows, ends=False, title=title)
    noise = np.random.default_rng(5).standard_normal((FILMED, SIDE, SIDE, CHANNELS), np.float32)
    labels, film = None if null is None else np.arange(FILMED) % null, image.Animation(60)
    for step in samplers.multistep(
        guided(model, args.guidance, null), noise, labels, steps=3 * args.steps
    ):
        film.append(latents.images(step.x), f"t = {step.t:.0f}")
    film.save(run.path("denoising.gif"), title="From noise to images")


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/latent_diffusion",
        data="shapes",
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add = parser.add_argument
    add(
        "--steps",
        type=commandline.at_least(2),
        default=STEPS,
        metavar="N",
        help=f"sampling steps (default: {STEPS})",
    )
    add(
        "--guidance",
        type=float,
        default=GUIDANCE,
        metavar="W",
        help=f"guidance weight (1 = no guidance, default: {GUIDANCE})",
    )
    add(
        "--beta",
        type=commandline.positive,
        default=1.0,
        help="weight of the VAE's KL term (default: 1)",
    )
    add(
        "--latent-epochs",
        type=commandline.at_least(0),
        default=LATENT_EPOCHS,
        metavar="N",
        help=f"passes of the second stage over the latents (default: {LATENT_EPOCHS})",
    )
    add(
        "--width",
        type=commandline.at_least(1),
        default=WIDTH,
        help=f"channels of the U-Net's first level (default: {WIDTH})",
    )
    commandline.add_subsets(parser)
    args = commandline.parse(parser, quick=QUICK)
    train, test = (
        data.Labelled(padded(part.images), part.labels)
        for part in data.load(args.data, train=args.train, test=args.test_images, size=SIZE)
    )

    with Run(args.out, vars(args), resume=args.resume, free=SAMPLING) as run:
        model = learn_images(run, args, train.images, test.images)
        latents = Latents(model, train.images)
        with run.second_stage("latents") as second:
            denoiser, null = learn_latents(second, args, latents, train.labels)
            draw(second, denoiser, latents, args, null)
        terms = vae.evaluate(model, test.images, rng=np.random.default_rng(1))
        error = float(((model.reconstruct(test.images) - test.images) ** 2).mean() ** 0.5)
        run.results(
            test_loss=terms["loss"],
            kl=terms["kl"],
            error=error,
            seconds=run.seconds + second.seconds,
            parameters=sum(p.size for p in model.parameters() + denoiser.parameters()),
        )
        images = functools.partial(generate, denoiser, latents, args=args, null=null, seed=3)
        if verdict := judge(run, args, images, cropped(test.images)):
            print(verdict)
        print(
            f"held-out images: RMS reconstruction error {error:.3f}, KL "
            f"{terms['kl'] / model.latent:.2f} nats per latent unit; standard deviations of the "
            f"channels {', '.join(f'{s:.2f}' for s in latents.std)}"
        )
        print(f"see {second.path('samples.png')} and the other pictures there")


def padded(images: np.ndarray) -> np.ndarray:
    """28 × 28 images padded to 32 × 32; others resized to 64 × 64."""
    if images.shape[1:3] == (SMALL, SMALL):
        border = (PADDING, PADDING)
        return np.pad(images, [(0, 0), border, border, (0, 0)])
    return images if images.shape[1:3] == (SIZE, SIZE) else data.resize(images, SIZE)


def cropped(images: np.ndarray) -> np.ndarray:
    """32 × 32 images without their padding; others as they are."""
    inner = slice(PADDING, -PADDING)
    return images[:, inner, inner] if images.shape[1] == SMALL + 2 * PADDING else images


if __name__ == "__main__":
    commandline.main(main)
