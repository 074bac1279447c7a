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

Reading order: `learn_images`; `learn_latents`; `generate`, `draw`; `main`. The
autoencoder's networks are in tinygen/models/networks.py, `Latents` in tinygen/vae/latents.py.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygen import data, diffusion, image, models, optim, vae
from tinygen.diffusion import samplers
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 6, 32, 2e-3  # of the VAE
SIZE, LATENT = 64, (8, 8, 4)
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


def learn_images(run: Run, args: Any, train: np.ndarray, test: np.ndarray) -> vae.VAE:
    rng = np.random.default_rng(args.seed)
    networks = models.latent_autoencoder(*train.shape[2:], *LATENT[1:], WIDTHS, rng=rng)
    likelihood = vae.Gaussian(SIGMA, learned=True)
    model = vae.VAE(*networks, math.prod(LATENT), likelihood=likelihood)
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


def learn_latents(
    run: Run, args: Any, latents: vae.Latents, posteriors: np.ndarray, labels: np.ndarray | None
) -> tuple[diffusion.Diffusion, int | None]:
    """The diffusion model, and its label "any shape" """
    null, rng = None if labels is None else 1 + int(labels.max()), np.random.default_rng(args.seed)
    at = (LATENT[0], LATENT[0] // 2)
    net = models.UNet(LATENT, args.width, LEVELS, attention_at=at, classes=null, rng=rng)
    model = diffusion.Diffusion(net, diffusion.cosine(TIMES), "v")
    batches = data.Batches(
        posteriors,
        min(LATENT_BATCH, len(posteriors)),
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
    latents: vae.Latents,
    n: int,
    args: Any,
    null: int | None,
    *,
    seed: int,
    guidance: float | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """n images of new latents, and their labels; `guidance` replaces that of `args`"""
    noise = np.random.default_rng(seed).standard_normal((n, *LATENT), np.float32)
    labels = None if null is None else np.arange(n) % null
    model = guided(model, args.guidance if guidance is None else guidance, null)
    z = samplers.sample(model, noise, labels, steps=args.steps)
    return cropped(latents.images(z)), labels


def guided(model: diffusion.Diffusion, weight: float, null: int | None) -> diffusion.Diffusion:
    return model if null is None else samplers.guided(model, weight, null)


def draw(
    run: Run, model: diffusion.Diffusion, latents: vae.Latents, args: Any, null: int | None
) -> None:
    """All pictures of decoded latents"""
    samples, _ = generate(model, latents, SHOWN, args, null, seed=2)
    image.grid(run.path("samples.png"), samples, columns=10, title="Samples")
    if null is not None:
        row = functools.partial(generate, model, latents, 10, args, null, seed=4)
        rows = {f"guidance {w:g}": row(guidance=w)[0] for w in GUIDED}
        title = "The same noise by guidance weight"
        image.strip(run.path("guidance.png"), rows, ends=False, title=title)
    noise = np.random.default_rng(5).standard_normal((FILMED, *LATENT), np.float32)
    labels, film = None if null is None else np.arange(FILMED) % null, image.Animation(60)
    for step in samplers.multistep(
        guided(model, args.guidance, null), noise, labels, steps=3 * args.steps
    ):
        film.append(cropped(latents.images(step.x)), f"t = {step.t:.0f}")
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
        latents = vae.Latents(model, LATENT)
        posteriors = latents.fit(train.images)
        with run.second_stage("latents") as second:
            denoiser, null = learn_latents(second, args, latents, posteriors, train.labels)
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
