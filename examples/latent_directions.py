"""Control by latent directions: move the code of an image, so that one attribute changes.

The VAE of vae_shapes.py was trained without labels, but its codes contain size, place and colour.
The program measures such attributes of many images, and predicts them from the codes by linear
regression. This gives one direction per attribute. It changes the prediction of this attribute by a
standard deviation, and no other. To see whether the images agree, the program moves codes, decodes
them, and measures the attributes again.

When a light shape and a dark one move right, the pixels change in opposite ways. So no direction of
x fits both. --shapes chooses light ones, dark ones, or all.

    python examples/vae_shapes.py                              first: train the model
    python examples/latent_directions.py
    python examples/latent_directions.py --shapes all --attribute lightness
    python examples/latent_directions.py --run runs/my_shapes

The run's folder, runs/latent_directions, holds directions.png, one image moved along each
direction; images.png, several images moved along the direction of --attribute; and matrix.png, the
measured change of each attribute along each direction. The program also prints this matrix.

Reading order: `measure`; `directions`; `changes`; `main`, `draw`; `trained`, which opens the run.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tinygen import data, image, nn, vae
from tinygen.data import synthetic_shapes
from tinygen.image.style import panels
from tinygen.run import Run, RunError, checkpoint, commandline, settings_of

RUN = Path("runs/vae_shapes")
IMAGES, TESTED = 4000, 300  # images for the regression; held-out ones, to measure the changes
SIZE, WIDTH = 64, 16  # of the networks in vae_shapes.py
REACH, COLUMNS, ROWS = 3.0, 7, 6  # the strips go from −REACH to REACH standard deviations
MOVED = 1.0  # standard deviations, for the matrix
RIDGE = 1e-3  # added to the variances of the codes: units that are not in use have almost none
UNTRAINED: dict[str, Any] = {"data": "shapes", "latent": 8}  # with --quick, without --run
FREE = ("attribute", "image", "images", "run", "shapes")  # may change when a run is resumed
QUICK = {"images": 40}
ATTRIBUTES = ("x", "y", "size", "fullness", "red", "blue", "lightness")


# --- attributes of images -------------------------------------------------------------------------


def measure(images: np.ndarray) -> np.ndarray:
    """The attributes of the shape in each image (N, H, W, 3): (N, 7), NaN without a shape

    A shape and its background differ in luminance: one is below ½, the other above. Most of the
    border is background. With p = (x, y) the shape's pixels, ⟨ ⟩ their mean, r² = |p − ⟨p⟩|²:

        x, y        ⟨p⟩, from −1 to 1; y points down
        size        √(2 ⟨r²⟩), a disc's radius
        fullness    area / (2π ⟨r²⟩), 1 for a disc and less for every other shape
        red, blue   R − G and B − (R + G) / 2 of the mean colour
        lightness   luminance of the mean colour
    """
    light = images @ synthetic_shapes.LUMINANCE > 0.5
    edges = (light[:, 0], light[:, -1], light[:, :, 0], light[:, :, -1])
    ground = np.concatenate(edges, axis=1).mean(axis=1) > 0.5
    inside = (light != ground[:, None, None]).astype(float)  # (N, H, W)
    x, y = synthetic_shapes.centres(images.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = inside / inside.sum(axis=(1, 2), keepdims=True)
        mean_x, mean_y = (weights * x).sum(axis=(1, 2)), (weights * y).sum(axis=(1, 2))
        r2 = (x - mean_x[:, None, None]) ** 2 + (y - mean_y[:, None, None]) ** 2
        spread = (weights * r2).sum(axis=(1, 2))
        area = 4 * inside.mean(axis=(1, 2))
        R, G, B = colour = np.einsum("nhw,nhwc->cn", weights, images)
        columns = [mean_x, mean_y, np.sqrt(2 * spread), area / (2 * np.pi * spread)]
        columns += [R - G, B - (R + G) / 2, synthetic_shapes.LUMINANCE @ colour]
    return np.stack(columns, axis=1)


# --- directions -----------------------------------------------------------------------------------


def directions(z: np.ndarray, a: np.ndarray, apart: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """D (K, latent), one direction per attribute, and the regression's weights W (K, latent)

    Codes z have covariance Σ. Standardised attributes a have the covariance C with z, (K, latent).
    W = C Σ⁻¹ predicts a ≈ W z. A direction d with W d = e_k changes the prediction of attribute k
    by 1, and no other. Row k of D is the most plausible one, with the smallest dᵀ Σ⁻¹ d:

        D = (W Σ Wᵀ)⁻¹ W Σ

    In whitened codes, where Σ = I, it is the transposed pseudo-inverse of W. If not `apart`, the
    attributes are treated one at a time: row k is the mean change of z with attribute k.
    """
    z, a = z - z.mean(0), (a - a.mean(0)) / a.std(0)
    Sigma, C = z.T @ z / len(z) + RIDGE * np.eye(z.shape[1]), a.T @ z / len(z)
    W = np.linalg.solve(Sigma, C.T).T
    return (np.linalg.solve(W @ C.T, C) if apart else C), W


def changes(model: vae.VAE, z: np.ndarray, D: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """M (K, K): the change of attribute k per unit along direction j, both in standard deviations

    Codes move by ±MOVED, and the attributes of the decoded images are measured. M is the median
    over the images that keep a shape.
    """
    rows = []
    for d in D:
        ahead, back = (measure(model.generate(moved(z, s * d))) for s in (MOVED, -MOVED))
        change = np.nanmedian((ahead - back) / (2 * MOVED), axis=0)
        rows.append(change[: len(deviations)] / deviations)
    return np.stack(rows, axis=1)


def moved(z: np.ndarray, by: np.ndarray) -> np.ndarray:
    return (z + by).astype(np.float32)


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/latent_directions", data=None)
    add = parser.add_argument
    run_help = f"run of vae_shapes.py (default: {RUN}; with --quick an untrained model)"
    add("--run", type=Path, metavar="RUN", help=run_help)
    images_help = f"images for the regression (default: {IMAGES})"
    add("--images", type=commandline.at_least(20), default=IMAGES, metavar="N", help=images_help)
    image_help = "number of the held-out image in directions.png (default: 0)"
    add("--image", type=commandline.at_least(0), default=0, metavar="I", help=image_help)
    shapes_help = "shapes whose directions are found (default: light)"
    add("--shapes", choices=("light", "dark", "all"), default="light", help=shapes_help)
    attribute_help = "the direction in images.png (default: size)"
    add("--attribute", choices=ATTRIBUTES, default="size", help=attribute_help)
    args = commandline.parse(parser, quick=QUICK)
    # light shapes alone differ little in lightness, and so do dark ones
    names = ATTRIBUTES if args.shapes == "all" else ATTRIBUTES[:-1]
    tested = min(TESTED, args.images)
    if args.image >= tested:
        parser.error(f"--image: expected a number below {tested}, got {args.image}")
    if args.attribute not in names:
        parser.error(f"--attribute {args.attribute} needs --shapes all, got {args.shapes}")
    model = trained(args)
    rng = np.random.default_rng([args.seed, 1])  # images that the model has not seen
    train = chosen(args.images, args.shapes, rng)
    test = chosen(tested, args.shapes, rng)
    with Run(args.out, vars(args), resume=args.resume, free=FREE) as run:
        a, a_test = (measure(x)[:, : len(names)] for x in (train, test))
        z, z_test = model.means(train), model.means(test)
        D, W = directions(z, a)
        wrong = (a_test - a.mean(0)) / a.std(0) - (z_test - z.mean(0)) @ W.T
        r2 = 1 - (wrong**2).mean(0)
        M = changes(model, z_test, D, a.std(0))
        alone = changes(model, z_test, directions(z, a, apart=False)[0], a.std(0))
        draw(run, model, z_test, dict(zip(names, D, strict=True)), M, args)
        (own, other), (own_alone, other_alone) = split(M), split(alone)
        run.results(
            r2=dict(zip(names, r2, strict=True)),
            changes=M,
            own=own,
            other=other,
            own_alone=own_alone,
            other_alone=other_alone,
        )
        if args.samples:
            steps = np.resize(np.linspace(-REACH, REACH, COLUMNS), args.samples)[:, None]
            codes = np.resize(z_test, (args.samples, z.shape[1]))
            d = D[names.index(args.attribute)]
            run.samples(model.generate(moved(codes, steps * d)).clip(0, 1))
        print("change of attributes (rows) along directions (columns), in standard deviations:")
        print(" " * 10 + "".join(f"{name:>10}" for name in names) + "        R²")
        for name, row, fit in zip(names, M, r2, strict=True):
            print(f"{name:>10}" + "".join(f"{m:10.2f}" for m in row) + f"{fit:10.2f}")
        print(f"mean on the diagonal {own:.2f}, mean absolute value elsewhere {other:.3f};")
        print(f"for directions found one at a time {own_alone:.2f} and {other_alone:.3f}")
        print(f"see {run.path('directions.png')} and the other pictures there")


def chosen(n: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """n images of light shapes, dark shapes, or both"""
    x = data.shapes(n if kind == "all" else 3 * n, size=SIZE, rng=rng).images
    light = measure(x)[:, ATTRIBUTES.index("lightness")] > 0.5
    return x[{"all": light | ~light, "light": light, "dark": ~light}[kind]][:n]


def split(M: np.ndarray) -> tuple[float, float]:
    """The mean of the diagonal, and the mean absolute value of all other elements"""
    off = ~np.eye(len(M), dtype=bool)
    return float(M.diagonal().mean()), float(abs(M[off]).mean())


def draw(
    run: Run, model: vae.VAE, z: np.ndarray, D: dict[str, np.ndarray], M: np.ndarray, args: Any
) -> None:
    steps = np.linspace(-REACH, REACH, COLUMNS)[:, None]
    labels = [f"{step:+.0f}".replace("-", "−").replace("+0", "0") for step in steps[:, 0]]
    rows = {k: model.generate(moved(z[args.image], steps * d)) for k, d in D.items()}
    title = "One image moved along each direction"
    image.strip(run.path("directions.png"), rows, ends=False, labels=labels, title=title)
    by = steps * D[args.attribute]
    strips = np.stack([model.generate(moved(z_i, by)) for z_i in z[:ROWS]])
    title = f"Several images moved along the direction of {args.attribute}"
    image.strip(run.path("images.png"), strips, ends=False, labels=labels, title=title)
    title = "Measured change of each attribute, in standard deviations"
    with panels("matrix", run.path("matrix.png"), (6.5, 6), title=title) as (ax,):
        ax.imshow(M, cmap="RdBu", vmin=-1, vmax=1)
        ax.grid(False)
        ax.set_xticks(range(len(M)), list(D))
        ax.set_yticks(range(len(M)), list(D))
        ax.set(xlabel="moved along the direction of", ylabel="measured attribute")
        for (k, j), m in np.ndenumerate(M):
            text = f"{round(m, 2) + 0:.2f}".replace("-", "−")
            colour = "white" if abs(m) > 0.6 else "black"
            ax.text(j, k, text, ha="center", va="center", color=colour)


# --- the trained model ----------------------------------------------------------------------------


def networks(latent: int) -> tuple[nn.Module, nn.Module]:
    """The encoder and the decoder of vae_shapes.py"""
    rng = np.random.default_rng(0)
    widths = [3, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH]
    side, top = SIZE // 16, widths[-1]
    down: list[nn.Module] = []
    up: list[nn.Module] = [nn.Dense(latent, side**2 * top, rng=rng), nn.Reshape(side, side, top)]
    for a, b in pairwise(widths):
        down += [nn.Conv2d(a, b, 4, 2, 1, rng=rng), nn.BatchNorm(b), nn.ReLU()]
    for a, b in pairwise(reversed(widths)):
        up += [nn.BatchNorm(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1, rng=rng)]
    dense = nn.Dense(side**2 * top, 2 * latent, rng=rng)
    return nn.Sequential(*down, nn.Flatten(), dense), nn.Sequential(*up, nn.Sigmoid())


def trained(args: Any) -> vae.VAE:
    """The model of the run `--run`"""
    settings, folder = UNTRAINED, Path(args.run or RUN)
    if args.run or not args.quick:
        settings = settings_of(folder, "vae_shapes.py", "latent", "beta", "prior_steps")
        if settings["data"] != "shapes":
            raise RunError(f"expected a model of shapes in {folder}, got one of {settings['data']}")
    encoder, decoder = networks(settings["latent"])
    model = vae.VAE(encoder, decoder, settings["latent"], likelihood=vae.Gaussian(learned=True))
    if settings is not UNTRAINED:
        checkpoint.load(folder / "checkpoint.npz", {"model": model}, partly=True)
    return model


if __name__ == "__main__":
    commandline.main(main)
