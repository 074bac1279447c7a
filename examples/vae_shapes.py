"""A convolutional autoencoder learns to paint coloured shapes, or pictures of your own.

The images are 64 × 64 pixels of three colours, and a pixel is Gaussian: how precise it is, σ, is
learnt with the rest. The decoder draws as shapes are drawn in tinygen/shapes.py, place by place: a
small network is told z and a place, and says what is there. (Watters et al. 2019)

    python examples/vae_shapes.py
    python examples/vae_shapes.py --data my/pictures --epochs 100
    python examples/vae_shapes.py --beta 1                 finer reconstructions, wilder samples

It takes some minutes. In runs/vae_shapes are then samples.png, reconstructions.png, ways.png from
image to image, units.png, where each of the busiest latent units is turned from end to end, kl.png,
how much each unit says of an image, curves.png and training.gif.

Reading order: `encoder`, `Places`, `decoder`; `main`, `draw`. The loss and the loop are in
tinygen/vae.py.
"""

from __future__ import annotations

import functools
import math
from itertools import pairwise
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import commandline, data, image, nn, optim, vae
from tinygen.run import Run

EPOCHS, BATCH_SIZE, LEARNING_RATE = 15, 32, 4e-3
LATENT, BETA, SIGMA = 16, 4.0, 0.1  # σ at first
SIZE, WIDTH = 64, 16
SIDE, PLACED, WAVES = 16, 64, 3  # places on each side, units at each, and waves to tell them apart
FRAMES, FILMED = 40, 36  # of the animation, and how many images it shows
SHOWN = 64  # samples, a square of them
ALIVE = 0.1  # nats, from which on a unit counts as in use
TURNED, REACH = 8, 2.0  # units that units.png shows, and how far from 0 they are turned
QUICK = {"epochs": 1, "train": 320, "test_images": 100}


def encoder(channels: int, latent: int, rng: np.random.Generator) -> nn.Module:
    """Four convolutions, each of which halves the sides, from 64 to 4; then 2 · latent numbers"""
    layers: list[nn.Module] = []
    for a, b in pairwise([channels, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH]):
        conv = nn.Conv2d(a, b, 4, 2, 1, rng=rng, init=nn.he_normal)
        layers += [conv, nn.BatchNorm(b), nn.ReLU()]
    flat = (SIZE // 16) ** 2 * 8 * WIDTH
    return nn.Sequential(*layers, nn.Flatten(), nn.Dense(flat, 2 * latent, rng=rng))


class Places(nn.Module):
    """A dense layer of (z, place) for all places of a grid: (N, latent) → (N, SIDE, SIDE, PLACED)

    It is the sum of one for z and one for places. These are x and y, from −1 to 1, and waves
    sin and cos of πkx/2 and πky/2, of which fine detail is easier to make.
    """

    def __init__(self, latent: int, rng: np.random.Generator) -> None:
        at = (2 * np.arange(SIDE) + 1) / SIDE - 1  # the middles of the squares
        place = np.stack(np.meshgrid(at, at), axis=-1)  # (SIDE, SIDE, 2)
        waves = [f(math.pi / 2 * k * place) for k in range(1, WAVES + 1) for f in (np.sin, np.cos)]
        self.places = tg.xp.asarray(np.concatenate([place, *waves], axis=-1), "f4")
        self.of_z = nn.Dense(latent, PLACED, rng=rng, init=nn.he_normal)
        self.of_place = nn.Dense(self.places.shape[-1], PLACED, rng=rng, init=nn.he_normal)

    def forward(self, z: tg.Tensor) -> tg.Tensor:
        h = self.of_z(z)
        return tg.reshape(h, (len(h), 1, 1, PLACED)) + self.of_place(self.places)


def decoder(channels: int, latent: int, rng: np.random.Generator) -> nn.Module:
    """Places, two more layers at each, and transposed convolutions up to all pixels, in (0, 1)"""
    n, options = PLACED, {"rng": rng, "init": nn.he_normal}
    return nn.Sequential(
        Places(latent, rng), nn.ReLU(),
        nn.Dense(n, n, **options), nn.BatchNorm(n), nn.ReLU(),
        nn.Dense(n, n, **options), nn.BatchNorm(n), nn.ReLU(),
        nn.ConvTranspose2d(n, WIDTH, 4, 2, 1, **options), nn.BatchNorm(WIDTH), nn.ReLU(),
        nn.ConvTranspose2d(WIDTH, channels, 4, 2, 1, rng=rng, init=nn.normal(0.02)), nn.Sigmoid(),
    )  # fmt: skip


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/vae_shapes", data="shapes", epochs=EPOCHS,
                                batch_size=BATCH_SIZE, lr=LEARNING_RATE)  # fmt: skip
    add = parser.add_argument
    add("--latent", type=commandline.at_least(1), default=LATENT, metavar="D",
        help=f"latent units (default: {LATENT})")  # fmt: skip
    add("--beta", type=float, default=BETA, help=f"the weight of the KL term (default: {BETA:g})")
    add("--sigma", type=commandline.positive,
        help="a fixed σ for all pixels (default: it is learnt)")  # fmt: skip
    add("--train", type=commandline.at_least(1), metavar="N", help="learn from so many at most")
    add("--test-images", type=commandline.at_least(1), metavar="N", help="judge by so many at most")
    args = commandline.parse(parser, quick=QUICK)

    with Run(args.out, vars(args), resume=args.resume) as run:
        train, test = (each.images for each in data.load(
            args.data, train=args.train, test=args.test_images, size=SIZE))  # fmt: skip
        test = sized(test)
        rng = np.random.default_rng(args.seed)
        channels = train.shape[3]
        likelihood = vae.Gaussian(args.sigma or SIGMA, learned=args.sigma is None)
        model = vae.VAE(encoder(channels, args.latent, rng), decoder(channels, args.latent, rng),
                        args.latent, likelihood=likelihood)  # fmt: skip
        bound = functools.partial(vae.elbo, beta=args.beta)
        batches = data.Batches(train, min(args.batch_size, len(train)), rng=rng,
                               epochs=args.epochs, transform=sized)  # fmt: skip
        rate = optim.cosine(args.lr, max(1, batches.steps or 1))
        optimizer = optim.Adam(dict(model.named_parameters()), rate)
        film = image.Animation(FRAMES)
        noise = rng.standard_normal((SHOWN, args.latent), np.float32)
        every = max(1, (batches.steps or 1) // FRAMES)
        run.keep(model=model, optimizer=optimizer, batches=batches, film=film, rng=rng)

        for record in run.track(vae.train(model, batches, optimizer, rng=rng, bound=bound)):
            model.eval()  # batch norm's own statistics are for training
            if record.step % every == 0 or record.step == 1:
                film.append(model.generate(noise[:FILMED]), f"step {record.step}")
            if record.step % batches.per_epoch == 0:
                run.log(test_loss=judged(model, test, bound)["loss"], sigma=sigma(likelihood))
            model.train()
        model.eval()

        units = vae.unit_kl(model, test)
        draw(run, model, test, film, noise, units)
        found = judged(model, test, bound)
        bits = vae.bits_per_dimension(found["reconstruction"] + found["kl"], test[0].size, 256)
        alive = int((units > ALIVE).sum())
        run.results(test_loss=found["loss"], reconstruction=found["reconstruction"], kl=found["kl"],
                    bits_per_dimension=bits, sigma=sigma(likelihood), alive_units=alive,
                    seconds=run.seconds,
                    parameters=sum(p.size for p in model.parameters()))  # fmt: skip
        if args.samples:
            run.samples(model.sample(args.samples, rng=rng))
        print(f"held-out: σ = {sigma(likelihood):.3f}, KL {found['kl']:.1f} nats in {alive} of "
              f"{args.latent} latent units, at most {bits:.2f} bits per dimension")  # fmt: skip
        print(f"see {run.path('samples.png')} and the other pictures there")


def sized(images: np.ndarray, rng: Any = None) -> np.ndarray:
    """As they are, if they are 64 × 64, and else made so."""
    return images if images.shape[1:3] == (SIZE, SIZE) else data.resize(images, SIZE)


def sigma(likelihood: vae.Gaussian) -> float:
    return math.exp(float(likelihood.log_var) / 2)


def judged(model: vae.VAE, images: np.ndarray, bound: Any) -> dict[str, float]:
    """The terms of the bound for held-out images, with the same noise each time"""
    return vae.evaluate(model, images, rng=np.random.default_rng(1), bound=bound)


def draw(
    run: Run, model: vae.VAE, test: np.ndarray, film: image.Animation, noise: np.ndarray,
    units: np.ndarray,
) -> None:  # fmt: skip
    """All the pictures."""
    image.grid(run.path("samples.png"), model.generate(noise), title="Samples")
    image.compare(run.path("reconstructions.png"), title="Held-out images and reconstructions",
                  rows={"image": test[:20], "reconstruction": model.reconstruct(test[:20])},
                  columns=10)  # fmt: skip
    image.strip(run.path("ways.png"), model.interpolate(test[:6], test[6:12], 10),
                title="From one image to another, straight in z")  # fmt: skip
    order = np.argsort(-units)
    z = np.repeat(model.means(test[:1]), 9, axis=0)
    rows = {}
    for unit in order[:TURNED]:
        turned = z.copy()
        turned[:, unit] = np.linspace(-REACH, REACH, 9)
        rows[f"unit {unit}, {units[unit]:.1f} nats"] = model.generate(turned)
    image.strip(run.path("units.png"), rows, ends=False,
                labels=[f"{z:+.1f}" for z in np.linspace(-REACH, REACH, 9)],
                title="One image, and in each row one of its numbers turned")  # fmt: skip
    image.curves(run.path("kl.png"), {"KL": units[order]}, ylabel="nats per image",
                 xlabel="latent unit, the busiest first", log=False,
                 reference={"alive above": ALIVE},
                 title="What each latent unit says of an image")  # fmt: skip
    image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Nats per image, and σ")
    if len(film):
        film.save(run.path("training.gif"), title="Samples through training")


if __name__ == "__main__":
    commandline.main(main)
