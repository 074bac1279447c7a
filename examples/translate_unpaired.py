"""Thin digits become thick ones and back, without a pair to learn from: CycleGAN.

There are two sets of images, X and Y, and no image of Y belongs to an image of X. G translates X to
Y, and F translates Y to X. Two discriminators compare translations with real images of the set. But
any image of Y satisfies D_Y, even another digit. So F must also be able to restore the image from
its translation: F(G(x)) ≈ x and G(F(y)) ≈ y, cycle consistency (Zhu et al. 2017).

The program also trains the same networks without the cycle and identity losses, for comparison.

    python examples/translate_unpaired.py                  thin and thick digits
    python examples/translate_unpaired.py --pair digits    MNIST and synthetic digits
    python examples/translate_unpaired.py --resume         continue a run that was stopped

Training took seven minutes of processor time on an AMD EPYC. The run's folder,
runs/translate_unpaired, holds translations.png, with and without the cycle loss; cycles.png, images
translated there and back; curves.png and training.gif. The program prints the accuracy of a
classifier on the translations, and their FID to the other set. docs/image_to_image.md derives the
losses.

Reading order: the losses; `Translators`, with a step; `load_pair`; `main`, `measure`, `draw`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, image, metrics, nn, optim
from tinygen.metrics.classifier import FEATURES, SETS, pretrained
from tinygen.run import Run, commandline

EPOCHS, BATCH_SIZE, LEARNING_RATE, BETAS = 1, 8, 4e-4, (0.5, 0.999)
TRAIN = 24_000  # images, half of them for each set
CYCLE, IDENTITY = 10.0, 5.0  # λ of eq. 3; ½ λ, for the identity loss of section 5.2
WIDTH, BLOCKS = 24, 2  # channels at 14 × 14; residual blocks at 7 × 7
MEASURED = 2500  # images per set for FID
SHOWN, FILMED, FRAMES = 20, 20, 30
QUICK = {"epochs": 1, "train": 64, "test_images": 80, "width": 4}


# --- the losses, with scores of patches: near 1 for real images, near 0 for translations ----------


def discriminator_loss(r: tg.Tensor, f: tg.Tensor) -> tg.Tensor:
    """½ (E[(D(y) − 1)²] + E[D(G(x))²])   (least squares, section 4)"""
    return (tg.mean((r - 1) ** 2) + tg.mean(f**2)) / 2


def adversarial_loss(f: tg.Tensor) -> tg.Tensor:
    """E[(D(G(x)) − 1)²]"""
    return tg.mean((f - 1) ** 2)


def distance(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
    """E‖a − b‖₁, as a mean over pixels"""
    return tg.mean(tg.abs(a - b))


class Translators(nn.Module):
    """G: X → Y and F: Y → X, with the discriminators D_Y and D_X"""

    def __init__(self, channels: int, width: int, *, rng: np.random.Generator) -> None:
        self.G, self.F = (generator(channels, width, rng=rng) for _ in "GF")
        self.D_Y, self.D_X = (patch_discriminator(channels, width, rng=rng) for _ in "YX")

    def optimizers(self, lr: float) -> tuple[optim.Adam, optim.Adam]:
        """For G and F, and for D_Y and D_X"""
        generators = self.G.parameters() + self.F.parameters()
        discriminators = self.D_Y.parameters() + self.D_X.parameters()
        return optim.Adam(generators, lr, BETAS), optim.Adam(discriminators, lr, BETAS)

    def step(
        self, x: tg.Tensor, y: tg.Tensor, adams: tuple[optim.Adam, optim.Adam], weights: Any
    ) -> dict[str, tg.Tensor]:
        """One update of all networks   (eq. 3)

        `weights` are those of the cycle and identity losses. A loss of weight 0 isn't computed.
        """
        cycle_weight, identity_weight = weights
        fake_y, fake_x = self.G(x), self.F(y)
        loss = adversarial_loss(self.D_Y(fake_y)) + adversarial_loss(self.D_X(fake_x))
        terms = {"adversarial_loss": loss}
        if cycle_weight:  # eq. 2
            terms["cycle_loss"] = distance(self.F(fake_y), x) + distance(self.G(fake_x), y)
            loss = loss + cycle_weight * terms["cycle_loss"]
        if identity_weight:  # G shouldn't change an image of Y   (section 5.2)
            terms["identity_loss"] = distance(self.G(y), y) + distance(self.F(x), x)
            loss = loss + identity_weight * terms["identity_loss"]
        generators, discriminators = adams
        generators.step(tg.grad(loss, generators.params))

        d_loss = discriminator_loss(self.D_Y(y), self.D_Y(fake_y.detach()))
        d_loss = d_loss + discriminator_loss(self.D_X(x), self.D_X(fake_x.detach()))
        discriminators.step(tg.grad(d_loss, discriminators.params))
        return {**terms, "discriminator_loss": d_loss}


# --- the networks ---------------------------------------------------------------------------------


class Residual(nn.Module):
    """h + f(h): two convolutions"""

    def __init__(self, channels: int, *, rng: np.random.Generator) -> None:
        conv = [nn.Conv2d(channels, channels, 3, 1, 1, rng=rng) for _ in range(2)]
        norm = [nn.GroupNorm(channels, channels) for _ in range(2)]
        self.f = nn.Sequential(conv[0], norm[0], nn.ReLU(), conv[1], norm[1])

    def forward(self, h: tg.Tensor) -> tg.Tensor:
        return h + self.f(h)


def generator(channels: int, width: int, *, rng: np.random.Generator) -> nn.Sequential:
    """(N, H, W, C) → (N, H, W, C) in [−1, 1]: down to H/4 × W/4, residual blocks, and back up

    Group norm with one channel per group is instance norm.
    """
    a, b = width, 2 * width
    return nn.Sequential(
        nn.Conv2d(channels, a, 4, 2, 1, rng=rng),
        nn.GroupNorm(a, a),
        nn.ReLU(),
        nn.Conv2d(a, b, 4, 2, 1, rng=rng),
        nn.GroupNorm(b, b),
        nn.ReLU(),
        *(Residual(b, rng=rng) for _ in range(BLOCKS)),
        nn.ConvTranspose2d(b, a, 4, 2, 1, rng=rng),
        nn.GroupNorm(a, a),
        nn.ReLU(),
        nn.ConvTranspose2d(a, channels, 4, 2, 1, rng=rng),
        nn.Tanh(),
    )


def patch_discriminator(channels: int, width: int, *, rng: np.random.Generator) -> nn.Sequential:
    """(N, 28, 28, C) → (N, 7, 7, 1): a score for each of 49 patches of 18 × 18 pixels

    Only the mean and variance of the norm are those of the whole image.
    """
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1, rng=rng),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1, rng=rng),
        nn.GroupNorm(2 * width, 2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 3, 1, 1, rng=rng),
    )


def translate(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] → images in [0, 1]"""
    with tg.no_grad():
        parts = [
            network(tg.xp.asarray(2 * images[i : i + 500] - 1)).numpy()
            for i in range(0, len(images), 500)
        ]
    return (np.concatenate(parts) + 1) / 2


# --- two sets of images ---------------------------------------------------------------------------


def thin(images: np.ndarray) -> np.ndarray:
    """Erosion: the minimum over 2 × 2 pixels"""
    return -extreme(-images, 2)


def thick(images: np.ndarray) -> np.ndarray:
    """Dilation: the maximum over 3 × 3 pixels"""
    return extreme(images, 3)


def extreme(images: np.ndarray, n: int) -> np.ndarray:
    """The maximum over the n × n pixels around each pixel of (N, H, W, C)"""
    before, after = n // 2, n - 1 - n // 2
    p = np.pad(images, ((0, 0), (before, after), (before, after), (0, 0)), mode="edge")
    H, W = images.shape[1:3]
    rows = np.max([p[:, i : i + H] for i in range(n)], axis=0)
    return np.max([rows[:, :, j : j + W] for j in range(n)], axis=0)


NAMES = {"thickness": ("thin", "thick"), "digits": ("MNIST", "synthetic")}


def load_pair(args: Any) -> list[data.Labelled]:
    """X and Y for training, and X and Y held out; no image is in two of them"""
    sets = data.load(args.data, train=args.train, test=args.test_images, size=28)
    (X, Y), (X_test, Y_test) = map(halves, sets)
    if args.pair == "digits":
        Y, Y_test = data.load("digits", train=len(Y.images), test=len(Y_test.images))
    else:
        X, X_test = (x._replace(images=thin(x.images)) for x in (X, X_test))
        Y, Y_test = (y._replace(images=thick(y.images)) for y in (Y, Y_test))
    return [X, Y, X_test, Y_test]


def halves(images: data.Labelled) -> list[data.Labelled]:
    x, labels = images
    parts = slice(len(x) // 2), slice(len(x) // 2, None)
    return [data.Labelled(x[i], None if labels is None else labels[i]) for i in parts]


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/translate_unpaired",
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add = parser.add_argument
    add(
        "--pair",
        choices=list(NAMES),
        default="thickness",
        help="thin and thick images of --data, or MNIST and synthetic digits (default: thickness)",
    )
    for name, default, least, help in (
        ("train", TRAIN, 2, "maximum number of training images, for both sets together"),
        ("test-images", None, 2, "maximum number of held-out images, for both sets together"),
        ("cycle", CYCLE, 0.0, "weight λ of the cycle loss"),
        ("identity", IDENTITY, 0.0, "weight of the identity loss"),
        ("width", WIDTH, 1, "channels of the layers next to the images"),
    ):
        help = f"{help} (default: {'all' if default is None else f'{default:g}'})"
        add(f"--{name}", type=commandline.at_least(least), default=default, help=help)
    args = commandline.parse(parser, quick=QUICK)
    if args.pair == "digits" and args.data == "digits":
        parser.error("--pair digits: expected --data mnist, as synthetic digits are the other set")
    X, Y, X_test, Y_test = sets = load_pair(args)
    if not all(len(part.images) for part in sets):
        parser.error(f"expected at least 2 training and 2 held-out images in {args.data}")
    if X.images.shape[1:] != Y.images.shape[1:] or X.images.shape[1] % 4 or X.images.shape[2] % 4:
        parser.error(f"expected images of one size, with sides divisible by 4, got {X} and {Y}")

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        channels = X.images.shape[3]
        recipes = {"cycle": (args.cycle, args.identity), "plain": (0.0, 0.0)}
        models, adams = {}, {}
        for name in recipes:
            start = np.random.default_rng(args.seed)  # the same weights
            models[name] = Translators(channels, args.width, rng=start)
            adams[name] = models[name].optimizers(args.lr)
        size = min(args.batch_size, len(X.images), len(Y.images))
        xs = data.Batches(2 * X.images - 1, size, rng=rng, epochs=args.epochs, drop_last=True)
        ys = data.Batches(2 * Y.images - 1, size, rng=rng, drop_last=True)
        film, every = image.Animation(FRAMES), max(1, (xs.steps or 1) // FRAMES)
        kept = {f"{name}_adam_{k}": adam for name in adams for k, adam in enumerate(adams[name])}
        run.keep(**models, **kept, xs=xs, ys=ys, film=film, rng=rng)

        for x in run.track(xs):
            y = next(ys)
            terms = models["cycle"].step(x, y, adams["cycle"], recipes["cycle"])
            plain = models["plain"].step(x, y, adams["plain"], recipes["plain"])
            run.log(**terms, plain_adversarial_loss=plain["adversarial_loss"])
            if run.step % every == 0 or run.step == 1:
                film.append(translate(models["cycle"].G, X_test.images[:FILMED]), f"{run.step}")

        draw(run, args, models, X_test.images, Y_test.images)
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title="CycleGAN losses")
            film.save(run.path("training.gif"), title="Held-out images, translated by G")
        run.results(
            seconds=run.seconds, parameters=sum(p.size for p in models["cycle"].parameters())
        )
        measure(run, args, models, X_test, Y_test)
        if args.samples:
            run.samples(translate(models["cycle"].G, X_test.images[: args.samples]).clip(0, 1))
        print(f"see {run.path('translations.png')} and the other pictures there")


def measure(
    run: Run, args: Any, models: dict[str, Translators], X: data.Labelled, Y: data.Labelled
) -> None:
    """Print, for each direction, the classifier's accuracy and FID to the target set

    The digits survive if the accuracy stays high. The style changes if FID falls from that of the
    source towards that of other real images of the target.
    """
    n = min(MEASURED, len(X.images) // 2, len(Y.images) // 2)
    if args.data not in SETS or n <= FEATURES:
        return
    network = pretrained(args.data)
    first, second = NAMES[args.pair]
    for direction, source, target, style in (("G", X, Y, second), ("F", Y, X, first)):
        rows = {"source": source, "real": data.Labelled(target.images[n:], target.labels[n:])}
        for name, model in models.items():
            translated = translate(getattr(model, direction), source.images).clip(0, 1)
            rows[name] = source._replace(images=translated)
        reference = network.predict(target.images[:n]).features
        print(f"{direction}, to {style}:")
        for name, (images, labels) in rows.items():
            predicted = network.predict(images)
            accuracy = float((predicted.labels == labels).mean())
            fid = metrics.fid(predicted.features[:n], reference)
            run.results(**{f"{direction}, {name}": {"accuracy": accuracy, "fid": fid}})
            print(f"  {name:8}  accuracy {accuracy:6.1%}   FID {fid:6.2f}")


def draw(run: Run, args: Any, models: dict[str, Translators], x: np.ndarray, y: np.ndarray) -> None:
    """translations.png and cycles.png"""
    first, second = NAMES[args.pair]
    x, y = x[: SHOWN // 2], y[: SHOWN // 2]
    rows, cycles = {}, {}
    for name, source, there, back in ((first, x, "G", "F"), (second, y, "F", "G")):
        rows[name] = cycles[name] = source
        for model, title in (("cycle", "with cycle loss"), ("plain", "without")):
            translated = translate(getattr(models[model], there), source)
            rows[f"{there}, {title}"] = translated
            again = translate(getattr(models[model], back), translated)
            cycles[f"{back}({there}), {title}"] = again
    image.compare(run.path("translations.png"), rows, title="Held-out images, translated")
    image.compare(run.path("cycles.png"), cycles, title="Held-out images, there and back")


if __name__ == "__main__":
    commandline.main(main)
