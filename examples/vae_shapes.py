"""A convolutional VAE of coloured shapes of 64 × 64 pixels, or of your own pictures.

p(x|z) is Gaussian, with a learned σ. Compared with 12,288 pixel terms the KL term is small,
even times 25. So the codes of all images together are distributed far from N(0, I), and decoding
samples of N(0, I) gives no shapes. Therefore a second, small VAE learns the distribution of the
codes, and new images are decoded from its samples (Dai and Wipf 2019). priors.png shows both.

    python examples/vae_shapes.py
    python examples/vae_shapes.py --beta 100                     simpler codes, blurred images
    python examples/vae_shapes.py --data my/pictures --epochs 100

It took five minutes on two cores, while other programs ran. The run's folder, runs/vae_shapes,
holds samples.png; priors.png; reconstructions.png; interpolations.png; kl.png, the KL of each
latent unit; units.png, which varies the units with the largest KL; curves.png and training.gif. The
second VAE's run is in the folder `prior` in it; --resume continues either stage.

Reading order: `networks`; `learn_images` and `learn_codes`, the two stages; `generate`; `main`,
`draw`. The loss and the loop are in tinygen/vae/bounds.py.
"""

from __future__ import annotations

import functools
import math
from itertools import pairwise
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, image, metrics, models, nn, optim, vae
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE = 15, 32, 4e-3
SIZE, WIDTH, LATENT = 64, 16, 32
BETA, SIGMA = 25.0, 0.1  # initial σ
PRIOR_STEPS, PRIOR_BATCH, PRIOR_RATE, PRIOR_HIDDEN = 5000, 128, 1e-3, 512
FRAMES, FILMED = 40, 36  # frames of the animation; images in each
SHOWN = 64  # samples in samples.png
ALIVE = 0.1  # a unit with more nats of KL is in use
UNITS, REACH = 8, 2.0  # units in units.png; their range, from −REACH to REACH
QUICK = {"epochs": 1, "train": 192, "test_images": 60, "prior_steps": 20}


def networks(channels: int, latent: int, rng: np.random.Generator) -> tuple[nn.Module, nn.Module]:
    """An encoder to 2 · latent numbers, and a decoder from latent numbers to values in (0, 1)

    Four convolutions halve the sides, 64, 32, 16, 8, 4, and four transposed ones double them.
    """
    widths = [channels, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH]
    side, top = SIZE // 16, widths[-1]
    down: list[nn.Module] = []
    for a, b in pairwise(widths):
        conv = nn.Conv2d(a, b, 4, 2, 1, rng=rng, init=nn.he_normal)
        down += [conv, nn.BatchNorm(b), nn.ReLU()]
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Dense(side**2 * top, 2 * latent, rng=rng))

    up: list[nn.Module] = [nn.Dense(latent, side**2 * top, rng=rng), nn.Reshape(side, side, top)]
    for a, b in pairwise(reversed(widths)):
        # small weights in the last layer: the first images are grey
        init = nn.normal(0.02) if b == channels else nn.he_normal
        up += [nn.BatchNorm(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1, rng=rng, init=init)]
    return encoder, nn.Sequential(*up, nn.Sigmoid())


# --- the two stages -------------------------------------------------------------------------------


def learn_images(
    run: Run, args: Any, train: np.ndarray, test: np.ndarray, film: image.Animation
) -> tuple[vae.VAE, bool]:
    """The first stage: the model, and whether it made any steps in this run."""
    rng = np.random.default_rng(args.seed)
    likelihood = vae.Gaussian(args.sigma or SIGMA, learned=args.sigma is None)
    encoder, decoder = networks(train.shape[3], args.latent, rng)
    model = vae.VAE(encoder, decoder, args.latent, likelihood=likelihood)
    bound = functools.partial(vae.elbo, beta=args.beta)
    batches = data.Batches(
        train, min(args.batch_size, len(train)), rng=rng, epochs=args.epochs, transform=resized
    )
    rate = optim.cosine(args.lr, max(1, batches.steps or 1))
    optimizer = optim.Adam(dict(model.named_parameters()), rate)
    run.keep(model=model, optimizer=optimizer, batches=batches, film=film, rng=rng)
    before = run.step
    every = max(1, (batches.steps or 1) // FRAMES)
    for record in run.track(vae.train(model, batches, optimizer, rng=rng, bound=bound)):
        model.eval()  # batch norm uses its running averages
        if record.step % every == 0 or record.step == 1:
            film.append(model.reconstruct(test[:FILMED]), f"step {record.step}")
        if record.step % batches.per_epoch == 0:
            run.log(test_loss=evaluate(model, test, args.beta)["loss"], sigma=sigma(model))
        model.train()
    model.eval()
    return model, run.step > before


def learn_codes(run: Run, args: Any, model: vae.VAE, train: np.ndarray) -> vae.VAE:
    """The second stage: a VAE of the first one's codes z, sampled anew from q(z|x) every time."""
    rng = np.random.default_rng([args.seed, 1])
    sizes = [args.latent, PRIOR_HIDDEN, PRIOR_HIDDEN]
    encoder = models.mlp([*sizes, 2 * args.latent], tg.silu, rng=rng)
    decoder = models.mlp([*sizes, args.latent], tg.silu, rng=rng)
    prior = vae.VAE(encoder, decoder, args.latent, likelihood=vae.Gaussian(0.5, learned=True))
    batch = min(PRIOR_BATCH, len(train))
    batches = data.Batches(
        posteriors(model, train),
        batch,
        rng=rng,
        transform=sample_codes,
        epochs=-(-args.prior_steps * batch // len(train)),
    )
    rate = optim.cosine(PRIOR_RATE, max(1, batches.steps or 1))
    optimizer = optim.Adam(dict(prior.named_parameters()), rate)
    run.keep(model=prior, optimizer=optimizer, batches=batches, rng=rng)
    for _ in run.track(vae.train(prior, batches, optimizer, rng=rng)):
        pass
    return prior


def posteriors(model: vae.VAE, images: np.ndarray, size: int = 500) -> np.ndarray:
    """μ and log σ² of q(z|x) for each image, side by side: (N, 2 D)"""
    parts = []
    for i in range(0, len(images), size):
        x = tg.Tensor(tg.xp.asarray(resized(images[i : i + size])))
        with tg.no_grad():
            parts.append(tg.concat(model.encode(x), axis=1).numpy())
    return np.concatenate(parts)


def sample_codes(posteriors: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """z ~ q(z|x), from μ and log σ² side by side"""
    mu, log_var = np.split(posteriors, 2, axis=1)
    return mu + np.exp(log_var / 2) * rng.standard_normal(mu.shape, np.float32)


def generate(model: vae.VAE, prior: vae.VAE, n: int, rng: np.random.Generator) -> np.ndarray:
    """New images: u ~ N(0, I), then the means of p(z|u) and of p(x|z)"""
    return model.generate(prior.sample(n, rng=rng))


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/vae_shapes",
        data="shapes",
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add = parser.add_argument
    add(
        "--latent",
        type=commandline.at_least(1),
        default=LATENT,
        metavar="D",
        help=f"latent units (default: {LATENT})",
    )
    add(
        "--beta",
        type=commandline.at_least(0.0),
        default=BETA,
        help=f"weight of the KL term (default: {BETA:g})",
    )
    add("--sigma", type=commandline.positive, help="fixed σ of the pixels (default: learned)")
    add(
        "--prior-steps",
        type=commandline.at_least(1),
        default=PRIOR_STEPS,
        metavar="N",
        help=f"training steps of the second VAE, about (default: {PRIOR_STEPS})",
    )
    add("--train", type=commandline.at_least(1), metavar="N", help="training images, at most")
    add("--test-images", type=commandline.at_least(1), metavar="N", help="held-out images, at most")
    args = commandline.parse(parser, quick=QUICK)

    (train, _), (test, _) = data.load(
        args.data, train=args.train, test=args.test_images, size=SIZE, progress=True
    )
    test = resized(test)

    with Run(args.out, vars(args), resume=args.resume) as run:
        film = image.Animation(FRAMES)
        model, changed = learn_images(run, args, train, test, film)
        folder = run.path("prior")
        # if the codes have changed, their model is trained from the start
        resume = args.resume and not changed and (folder / "config.json").exists()
        with Run(folder, vars(args) | {"out": folder}, resume=resume) as second:
            prior = learn_codes(second, args, model, train)
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="The first stage")
        image.curves_of(second.path("curves.png"), second.path("log.csv"), title="The second stage")

        units = vae.unit_kl(model, test)
        draw(run, model, prior, test, units, np.random.default_rng([args.seed, 2]))
        if len(film):
            film.save(run.path("training.gif"), title="Reconstructions of held-out images")
        terms = evaluate(model, test, args.beta)
        bits = metrics.bits_per_dimension(terms["reconstruction"] + terms["kl"], test[0].size, 256)
        alive = int((units > ALIVE).sum())
        run.results(
            test_loss=terms["loss"],
            reconstruction=terms["reconstruction"],
            kl=terms["kl"],
            bits_per_dimension=bits,
            sigma=sigma(model),
            alive_units=alive,
            seconds=run.seconds + second.seconds,
            parameters=sum(p.size for p in model.parameters() + prior.parameters()),
        )
        if args.samples:
            rng = np.random.default_rng([args.seed, 3])
            run.samples(generate(model, prior, args.samples, rng))
        print(
            f"held-out images: σ = {sigma(model):.3f}, KL {terms['kl']:.1f} nats in {alive} of "
            f"{args.latent} latent units, at most {bits:.2f} bits per dimension"
        )
        print(f"see {run.path('samples.png')} and the other pictures there")


def resized(images: np.ndarray, rng: Any = None) -> np.ndarray:
    """The images as 64 × 64 pixels"""
    return images if images.shape[1:3] == (SIZE, SIZE) else data.resize(images, SIZE)


def sigma(model: vae.VAE) -> float:
    return math.exp(float(model.likelihood.log_var) / 2)


def evaluate(model: vae.VAE, images: np.ndarray, beta: float) -> dict[str, float]:
    """The terms of the bound for held-out images, with the same noise each time"""
    bound = functools.partial(vae.elbo, beta=beta)
    return vae.evaluate(model, images, rng=np.random.default_rng(1), bound=bound)


def draw(
    run: Run,
    model: vae.VAE,
    prior: vae.VAE,
    test: np.ndarray,
    units: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """All pictures except the curves"""
    samples = generate(model, prior, SHOWN, rng)
    image.grid(run.path("samples.png"), samples, title="Samples: codes from the second VAE")
    rows = {"z from the second VAE": samples[:20], "z ~ N(0, I)": model.sample(20, rng=rng)}
    image.compare(run.path("priors.png"), rows, title="Codes from the second VAE and from N(0, I)")
    rows = {"image": test[:20], "reconstruction": model.reconstruct(test[:20])}
    title = "Held-out images and reconstructions"
    image.compare(run.path("reconstructions.png"), rows, title=title)
    half = min(6, len(test) // 2)  # there may be only a few of your own pictures
    if half:
        rows = model.interpolate(test[:half], test[half : 2 * half], 10)
        image.strip(
            run.path("interpolations.png"), rows, title="Interpolations in the latent space"
        )

    order = np.argsort(-units)
    image.curves(
        run.path("kl.png"),
        {"KL": units[order]},
        ylabel="nats per image",
        log=False,
        xlabel="latent unit, by KL",
        reference={f"in use above {ALIVE} nats": ALIVE},
        title="KL of each latent unit",
    )
    values = np.linspace(-REACH, REACH, 9)
    rows = {}
    for unit in order[:UNITS]:
        z = np.repeat(model.means(test[:1]), len(values), axis=0)
        z[:, unit] = values
        rows[f"unit {unit}, {units[unit]:.1f} nats"] = model.generate(z)
    image.strip(
        run.path("units.png"),
        rows,
        ends=False,
        labels=[f"{v:+.1f}" for v in values],
        title="One image, one latent unit varied in each row",
    )


if __name__ == "__main__":
    commandline.main(main)
