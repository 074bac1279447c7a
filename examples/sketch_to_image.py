"""From an outline to a coloured picture: pix2pix, on shapes or on your own pictures.

The training data are pairs: x, the outline of an image, and y, the image. A generator G(x, z)
translates x; the noise z is dropout, here of whole channels. A discriminator D(x, y) tells real
pairs from pairs with a translation (Isola et al. 2017).

An outline doesn't determine the colours. L1 alone is smallest for a compromise between all possible
colours, a greyish one, but D rejects greyish images. To show this, the program trains two
generators on the same batches: one by L1 alone, one by L1 and D.

    python examples/sketch_to_image.py
    python examples/sketch_to_image.py --weight 100                   the paper's weight of L1
    python examples/sketch_to_image.py --resume --scores              FID of a trained run
    python examples/sketch_to_image.py --sketch my/drawing.png        colour your drawings, then
                                                                      see yours.png

Training both generators took 18 minutes of processor time on an AMD EPYC. The run's folder,
runs/sketch_to_image, holds samples.png, both translations of held-out outlines; noise.png,
translations with different noise; curves.png and training.gif. The program prints how far the
translations are from real images. docs/image_to_image.md derives the losses.

Reading order: the losses; `learn`, the loop; `UNet`, `patch_discriminator`; `outlines`,
`read_sketch`; `main`, `measure`, `draw`; `colour`.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

import tinygen as tg
from tinygen import data, image, metrics, nn, optim
from tinygen.data.image_folder import FORMATS
from tinygen.metrics.classifier import FEATURES, pretrained
from tinygen.run import Run, RunError, checkpoint, commandline, settings_of

EPOCHS, BATCH_SIZE, LEARNING_RATE, BETAS = 8, 8, 4e-4, (0.5, 0.999)
TRAIN = 4000  # images, unless --train says otherwise
WEIGHT, GAMMA = 3.0, 1.0  # λ, of L1 beside the adversarial loss; γ, of R1
SIZE, WIDTH, DROPPED = 64, 24, 0.5  # sides; channels at 32 × 32; probability of dropout
WEAK, STRONG = 0.04, 0.10  # luminance change per pixel: no edge up to WEAK, a full one from STRONG
FILLS, THICK = 0.6, 3  # part of the frame that a drawing fills; lines over 2 THICK pixels are solid
SHOWN, FILMED, FRAMES, MASKS = 12, 16, 30, 4
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of red, green and blue
QUICK = {"epochs": 1, "train": 24, "test_images": 12, "width": 4}


# --- the losses, with r = D(x, y) and f = D(x, G(x, z)), logits for each patch --------------------


def discriminator_loss(r: tg.Tensor, f: tg.Tensor) -> tg.Tensor:
    """−½ (E[log σ(r)] + E[log(1 − σ(f))]), which D minimises   (eq. 1; halved, section 3.3)"""
    return (tg.mean(tg.softplus(-r)) + tg.mean(tg.softplus(f))) / 2


def adversarial_loss(f: tg.Tensor) -> tg.Tensor:
    """−E[log σ(f)], which G minimises   (section 3.3: instead of E[log(1 − σ(f))])"""
    return tg.mean(tg.softplus(-f))


def l1_loss(y: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """E‖y − G(x, z)‖₁, as a mean over pixels and channels   (eq. 3)"""
    return tg.mean(tg.abs(y - fake))


def r1_penalty(D: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """γ/2 E‖∇_y D(x, y)‖², with the mean of the patches as D   (Mescheder et al. 2018)"""
    y = tg.Tensor(y.data, requires_grad=True)
    scores = tg.mean(D(tg.concat([x, y], axis=3)), axis=(1, 2, 3))
    gradient = tg.grad(tg.sum(scores), y, create_graph=True)
    return GAMMA / 2 * tg.sum(gradient**2) / len(y)


def learn(
    run: Run, args: Any, lines: np.ndarray, images: np.ndarray, shown: np.ndarray
) -> list[UNet]:
    """Two generators, trained by L1 alone and by L1 and D   (eq. 4)"""
    rng, channels = np.random.default_rng(args.seed), images.shape[3]
    alone, both = (UNet(channels, args.width, rng=np.random.default_rng(args.seed)) for _ in "12")
    D = patch_discriminator(1 + channels, args.width, rng=rng)
    nets = {"alone": alone, "both": both, "discriminator": D}
    adams = {f"{n}_adam": optim.Adam(net.parameters(), args.lr, BETAS) for n, net in nets.items()}
    adam_alone, adam_both, adam_d = adams.values()
    size = min(args.batch_size, len(lines))
    batches = data.Batches(
        lines,
        size,
        rng=rng,
        labels=images,
        epochs=args.epochs,
        transform=sometimes_thicker,
        drop_last=True,
    )
    film, every = image.Animation(FRAMES), max(1, (batches.steps or 1) // FRAMES)
    run.keep(**nets, **adams, batches=batches, film=film, rng=rng)

    for x, y in run.track(batches):
        distance_alone = l1_loss(y, alone(x, alone.noise(len(x), rng=rng)))
        adam_alone.step(tg.grad(distance_alone, adam_alone.params))

        fake = both(x, both.noise(len(x), rng=rng))
        r, f = D(tg.concat([x, y], axis=3)), D(tg.concat([x, fake.detach()], axis=3))
        d_loss = discriminator_loss(r, f)
        penalty = r1_penalty(D, x, y)
        adam_d.step(tg.grad(d_loss + penalty, adam_d.params))

        adversarial = adversarial_loss(D(tg.concat([x, fake], axis=3)))
        distance = l1_loss(y, fake)
        adam_both.step(tg.grad(adversarial + args.weight * distance, adam_both.params))

        run.log(
            discriminator_loss=d_loss,
            adversarial_loss=adversarial,
            l1_alone=distance_alone,
            l1_beside_adversarial=distance,
        )
        if run.step % every == 0 or run.step == 1:
            film.append(translate(both, shown), f"step {run.step}")
    if run.step:
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="pix2pix losses")
        film.save(run.path("training.gif"), title="Held-out outlines, translated")
    return [alone, both]


# --- the networks ---------------------------------------------------------------------------------


class UNet(nn.Module):
    """G: (N, 64, 64, 1) outlines and noise → (N, 64, 64, C) images in [−1, 1]

    Four convolutions of stride 2 lead down to 4 × 4, and four transposed ones back up. The outputs
    of the first three are concatenated with the features of their size from the way down. The
    noise z is two dropout masks.
    """

    def __init__(self, channels: int, width: int, *, rng: np.random.Generator) -> None:
        def layer(kind: Any, inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(kind(inputs, outputs, 4, 2, 1, rng=rng), instance_norm(outputs))

        w = self.width = width
        self.stem = nn.Conv2d(1, w, 4, 2, 1, rng=rng)  # 32 × 32
        sizes = [(w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w)]
        self.down = [layer(nn.Conv2d, a, b) for a, b in sizes]  # 16, 8, 4
        sizes = [(4 * w, 4 * w), (8 * w, 2 * w), (4 * w, w)]
        self.up = [layer(nn.ConvTranspose2d, a, b) for a, b in sizes]  # 8, 16, 32
        self.head = nn.ConvTranspose2d(2 * w, channels, 4, 2, 1, rng=rng)

    def noise(self, n: int, *, rng: np.random.Generator) -> list[tg.Array]:
        """z: for two layers, 0 where a feature is dropped, otherwise 1 / (1 − p)"""
        shapes = [(n, 1, 1, 4 * self.width), (n, 1, 1, 2 * self.width)]
        kept = [rng.random(shape, np.float32) >= DROPPED for shape in shapes]
        return [tg.xp.asarray(k / (1 - DROPPED), np.float32) for k in kept]

    def forward(self, x: Any, z: list[tg.Array]) -> tg.Tensor:
        h, left = self.stem(x), []
        for layer in self.down:
            left.append(h)
            h = layer(tg.leaky_relu(h, 0.2))
        for layer, mask in zip(self.up, [*z, None], strict=True):
            h = layer(tg.relu(h))
            h = tg.concat([h if mask is None else h * mask, left.pop()], axis=3)
        return tg.tanh(self.head(tg.relu(h)))


def instance_norm(channels: int) -> nn.GroupNorm:
    """Each channel of each image has mean 0 and variance 1: the batch norm of a single image"""
    return nn.GroupNorm(channels, channels)


def patch_discriminator(inputs: int, width: int, *, rng: np.random.Generator) -> nn.Sequential:
    """(N, 64, 64, inputs) → (N, 7, 7, 1), the logit that 46 × 46 pixels are real, for 49 places"""
    layers: list[nn.Module] = []
    for a, b in pairwise([inputs, width, 2 * width, 4 * width]):
        layers += [nn.Conv2d(a, b, 4, 2, 1, rng=rng, init=nn.he_normal), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 4, 1, 1, rng=rng))


def translate(generator: UNet, x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Images in [0, 1] for the outlines x, with noise from `seed`"""
    rng, parts = np.random.default_rng(seed), []
    with tg.no_grad():
        for i in range(0, len(x), 100):
            part = tg.xp.asarray(x[i : i + 100])
            parts.append(generator(part, generator.noise(len(part), rng=rng)).numpy())
    return (np.concatenate(parts) + 1) / 2


# --- outlines -------------------------------------------------------------------------------------


def sobel(grey: np.ndarray) -> np.ndarray:
    """‖∇‖ of grey images (N, H, W), per pixel: √(g_x² + g_y²), by Sobel's two filters

    g_x = ⅛ [[−1, 0, 1], [−2, 0, 2], [−1, 0, 1]] ∗ grey, and g_y likewise with rows for columns.
    """
    p = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = p[:, :, 2:] - p[:, :, :-2]  # (N, H + 2, W)
    along = p[:, 2:, :] - p[:, :-2, :]  # (N, H, W + 2)
    g_x = (across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]) / 8
    g_y = (along[:, :, :-2] + 2 * along[:, :, 1:-1] + along[:, :, 2:]) / 8
    return np.sqrt(g_x**2 + g_y**2)


def outlines(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) in [0, 1] → lines (N, H, W, 1): 1 on edges, 0 where shades are smooth"""
    grey = images @ LUMINANCE if images.shape[3] == 3 else images[..., 0]
    return np.clip((sobel(grey) - WEAK) / (STRONG - WEAK), 0, 1).astype(np.float32)[..., None]


def thicker(x: np.ndarray) -> np.ndarray:
    """The maximum over the 3 × 3 pixels around each pixel of (N, H, W, 1)"""
    p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = np.maximum(np.maximum(p[:, :-2], p[:, 1:-1]), p[:, 2:])
    return np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def thinner(x: np.ndarray, times: int = 1) -> np.ndarray:
    """The minimum over the 3 × 3 pixels around each pixel, applied `times` times"""
    for _ in range(times):
        x = 1 - thicker(1 - x)
    return x


def sometimes_thicker(x: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Half of the outlines with thicker lines, because people's pens differ"""
    return np.where(rng.random((len(x), 1, 1, 1)) < 0.5, thicker(x), x)


def read_sketch(path: Path) -> np.ndarray:
    """A drawing of any size and mode → lines (64, 64, 1)

    The paper is the median colour, so lines may be dark or light.
    """
    try:
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        with Image.open(path, formats=FORMATS) as stored:
            picture = ImageOps.exif_transpose(stored)
        wide = picture.mode[0] in "IF"  # 16 bits or more, in any range
        pixels = np.asarray(picture if wide else picture.convert("RGBA"), np.float32)
    except Exception as error:  # broken files can raise almost anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RunError(f"--sketch: {path} can't be read as a picture: {reason}") from error
    if wide:
        colours, alpha = pixels[..., None] / max(1e-9, np.abs(pixels).max()), 1.0
    else:
        colours, alpha = pixels[..., :3] / 255, pixels[..., 3:] / 255
    for paper in (1, 0):  # on white paper, then on black, where light lines are visible
        seen = alpha * colours + (1 - alpha) * paper
        ink = np.abs(seen - np.median(seen, axis=(0, 1))).max(axis=2)
        if ink.max() >= 0.1:
            return centred(np.clip(4 * ink / ink.max() - 1, 0, 1))  # shadows in a photo are fainter
    raise RunError(f"--sketch: expected lines in {path}, but it is blank, of one colour")


def centred(ink: np.ndarray) -> np.ndarray:
    """Ink (H, W) → lines (64, 64, 1), with the drawing in the middle

    A solid area becomes its outline, and thin lines become thicker.
    """
    rows, columns = (np.flatnonzero(ink.max(axis=axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = round(max(ink.shape) / FILLS)
    margins = [((side - n) // 2, side - n - (side - n) // 2) for n in ink.shape]
    x = data.resize(np.pad(ink, margins)[..., None].astype(np.float32), SIZE)[None]
    full = np.float32(np.quantile(x[x > 0], 0.9) / 1.2)  # thin lines have become faint
    x = np.clip(x / full, 0, 1)
    if thinner(x, THICK).max() >= 0.5:
        x = outlines(x)
    return (x if thinner(x).max() >= 0.5 else thicker(x))[0]


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/sketch_to_image",
        data="shapes",
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add = parser.add_argument
    for name, default, least, help in (
        ("train", TRAIN, 2, "maximum number of training images"),
        ("test-images", None, 2, "maximum number of held-out images"),
        ("weight", WEIGHT, 0.0, "weight λ of L1 beside the adversarial loss"),
        ("width", WIDTH, 1, "channels of the layers next to the images"),
    ):
        help = f"{help} (default: {'all' if default is None else f'{default:g}'})"
        add(f"--{name}", type=commandline.at_least(least), default=default, help=help)
    help = "colour these drawings with the trained run in the output folder, without training"
    add("--sketch", type=Path, nargs="+", metavar="FILE", help=help)
    add(
        "--scores",
        action="store_true",
        help="also print FID and distances between features, by a classifier of shapes; on first "
        "use it is trained, which takes about nine minutes",
    )
    args = commandline.parse(parser, quick=QUICK)
    if args.sketch:
        return colour(args.out, args.sketch)
    sets = data.load(args.data, train=args.train, test=args.test_images, size=SIZE, progress=True)
    y, y_test = (data.resize(images, SIZE) for images, _ in sets)
    if args.scores and (args.data != "shapes" or len(y_test) // 2 <= FEATURES):
        parser.error(
            f"--scores: expected --data shapes and at least {2 * FEATURES + 2} held-out images, "
            f"got {args.data} and {len(y_test)}"
        )
    x_test = outlines(y_test)

    with Run(args.out, vars(args), resume=args.resume, free=("scores", "sketch")) as run:
        alone, both = learn(run, args, outlines(y), 2 * y - 1, x_test[:FILMED])
        made = {"L1 alone": translate(alone, x_test), "L1 + adversarial": translate(both, x_test)}
        draw(run, x_test[:SHOWN], made, y_test[:SHOWN], both)
        change = float(np.abs(translate(both, x_test, 1) - made["L1 + adversarial"]).mean())
        size = sum(p.size for p in both.parameters())
        run.results(seconds=run.seconds, parameters=size, change_by_noise=change)
        made["channels swapped"] = np.roll(y_test, 1, axis=3)
        made["another image"] = np.roll(y_test, 1, axis=0)
        network = pretrained("shapes", size=SIZE, progress=True) if args.scores else None
        rows = {name: measure(images, y_test, network) for name, images in made.items()}
        print(f"{'':18}", *(f"{score:>12}" for score in rows["L1 alone"]))
        for name, scores in rows.items():
            run.results(**{f"{name}, {k}": score for k, score in scores.items()})
            print(f"{name:18}", *(f"{score:12.3f}" for score in scores.values()))
        print(f"other noise changes a translation by {change:.3f} (L1)")
        if args.samples:
            run.samples(made["L1 + adversarial"][: args.samples].clip(0, 1))
        print(f"see {run.path('samples.png')} and the other pictures there")


def measure(made: np.ndarray, y: np.ndarray, network: Any) -> dict[str, float]:
    """Distances of the images `made` from the real images y, image by image and as sets

    `L1`; `saturation`, the largest minus the smallest channel; with a classifier, `features`, the
    mean squared difference of its features, each divided by its standard deviation over real
    images; and `FID` of one half of `made` to the other half of y, whose outlines are different.
    """
    scores = {"L1": float(np.abs(made - y).mean())}
    scores["saturation"] = float(np.ptp(made, axis=3).mean())
    if network is not None:
        a, b = (network.predict(images.clip(0, 1)).features for images in (made, y))
        half = len(y) // 2
        scores["features"] = float((((a - b) / b.std(axis=0)) ** 2).mean())
        scores["FID"] = metrics.fid(a[:half], b[half : 2 * half])
        scores["real FID"] = metrics.fid(b[:half], b[half : 2 * half])
    return scores


def draw(run: Run, x: np.ndarray, made: dict[str, np.ndarray], y: np.ndarray, both: UNet) -> None:
    """samples.png and noise.png"""
    outline = 1 - np.broadcast_to(x, (*x.shape[:3], 3))
    rows = {"outline": outline, **{name: part[: len(x)] for name, part in made.items()}, "real": y}
    title = "Held-out outlines and their translations"
    image.compare(run.path("samples.png"), rows, columns=6, title=title)
    rows = {f"noise {k}": translate(both, x[:6], k) for k in range(1, 1 + MASKS)}
    title = "L1 + adversarial: the same outline, different noise"
    image.compare(run.path("noise.png"), {"outline": outline[:6], **rows}, columns=6, title=title)


def colour(folder: Path, paths: list[Path]) -> None:
    """Translate drawings with the generators of the run in `folder`, and write yours.png there"""
    width = settings_of(folder, "sketch_to_image.py", "weight", "width")["width"]
    x = np.stack([read_sketch(path) for path in paths])
    _, arrays = checkpoint.read(folder / "checkpoint.npz")
    channels = arrays["both/head.weight"].shape[2]
    nets = {n: UNet(channels, width, rng=np.random.default_rng(0)) for n in ("alone", "both")}
    checkpoint.load(folder / "checkpoint.npz", nets, partly=True)
    rows = {
        "outline": 1 - x,
        "L1 alone": translate(nets["alone"], x),
        "L1 + adversarial": translate(nets["both"], x),
        "other noise": translate(nets["both"], x, 1),
    }
    rows = {n: np.broadcast_to(r, (*r.shape[:3], channels)) for n, r in rows.items()}
    image.compare(folder / "yours.png", rows, columns=min(6, len(x)), title="Your drawings")
    print(f"see {folder / 'yours.png'}")


if __name__ == "__main__":
    commandline.main(main)
