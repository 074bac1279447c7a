"""Style transfer: the content of one picture, painted in the style of another.

An image is optimised, not a network (Gatys, Ecker and Bethge 2016). Content is where features are.
Style is how often they occur together, at whatever place. The paper's features come from a large
trained network. Here they come from random Gabor filters, without training or download: for
textures, one layer of random filters of several sizes suffices (Ustyuzhaninov et al. 2017).

    python examples/style_transfer.py                              two built-in pictures
    python examples/style_transfer.py photo.jpg painting.jpg
    python examples/style_transfer.py photo.jpg --weight 100       more style, less content
    python examples/style_transfer.py photo.jpg painting.jpg --colours content
    python examples/style_transfer.py --texture bricks.jpg         a texture, from noise

The run's folder, runs/style_transfer, holds picture.png, the result alone; result.png, beside
content and style; steps.gif; weights.png, results for several weights; curves.png.

Reading order: `gabor_filters`, `Features`; the losses; `lbfgs_direction`; `Transfer`, the loop;
`main`. The rest reads and recolours pictures, and draws the built-in ones.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np

import tinygen as tg
from tinygen import data, image
from tinygen.data.synthetic_shapes import box, centres, disc
from tinygen.run import Run, commandline

SIZE, SMALLEST = 256, 32  # pixels of the longer side; of the shorter one, at least
STEPS = (120, 90, 60)  # of L-BFGS, at a quarter of the size, half of it, and all of it
FILTERS, SIDE, LEVELS = 64, 7, 4  # Gabor filters of 7 × 7 pixels, at four levels of a pyramid
FREQUENCIES = (0.08, 0.3)  # of the filters, in cycles per pixel
WEIGHT, TV = 20.0, 3.0  # weights of the style and of total variation; content has weight 1
NOISE = (0.15, 0.05)  # added to the first image, and after each enlargement
MEMORY, HALVINGS = 10, 12  # pairs (s, y) that L-BFGS keeps; trials of its line search
WEIGHTS, STRIP = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0), 128  # in weights.png; their size
FRAMES, BUILT_IN = 80, (3, 2)  # of steps.gif, at most; random seeds of the built-in pictures
QUICK = {"size": 100, "steps": 0.02}


# --- features -------------------------------------------------------------------------------------


def gabor_filters(style: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Waves in a Gaussian window, of random direction, frequency, phase and colour: (K, K, 3, C)

    Each has norm 1 and sums to zero, so flat regions have no features. Σ^(−1/4) balances the random
    colours, with Σ the covariance of the style's colours: otherwise filters see mostly brightness.
    """
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    theta, phase = rng.uniform(0, (math.pi, 2 * math.pi), (FILTERS, 2)).T[..., None, None]
    f = np.exp(rng.uniform(*np.log(FREQUENCIES), FILTERS))[:, None, None]
    u, v = x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)
    window = np.exp(-(u**2 + v**2 / 2) / (2 * np.minimum(0.5 / f, SIDE / 4) ** 2))
    wave = window * np.cos(2 * math.pi * f * u + phase)
    wave -= window * (wave.sum((1, 2)) / window.sum((1, 2)))[:, None, None]
    colours = rng.standard_normal((FILTERS, 3)) @ power(covariance(style), -0.25)
    w = np.einsum("okl,oc->klco", wave, colours)
    return (w / np.sqrt((w**2).sum((0, 1, 2)))).astype(np.float32)


class Features:
    """F_l = ReLU(conv(x_l)) at each level l of a pyramid: x₀ = x, x_{l+1} has half the sides

    So the filters of 7 × 7 pixels cover up to 56 × 56. Each channel is scaled to RMS 1 on the
    style. Images are reflected at the borders. The shortest side of all images is `smallest`, and
    it limits the number of levels: the last one must still be larger than the filters.
    """

    def __init__(self, style: np.ndarray, smallest: int, rng: np.random.Generator) -> None:
        self.filters = tensor(gabor_filters(style, rng))
        b = np.array([1, 3, 3, 1], np.float32) / 8  # a blur, before every second pixel is taken
        self.halve = tensor(np.einsum("k,l,cd->klcd", b, b, np.eye(3, dtype=np.float32)))
        self.scales: list[Any] = [1.0] * sum(smallest >> l > SIDE for l in range(LEVELS))
        rms = [tg.sqrt(tg.mean(F * F, axis=(0, 1, 2))) for F in self(tensor(style[None]))]
        self.scales = [1 / (r + 1e-3) for r in rms]

    def __call__(self, x: tg.Tensor) -> list[tg.Tensor]:
        levels = []
        for scale in self.scales:
            levels.append(tg.relu(tg.conv2d(reflected(x, SIDE // 2), self.filters)) * scale)
            x = tg.conv2d(reflected(x, 1), self.halve, stride=2)
        return levels


def reflected(x: tg.Tensor, p: int) -> tg.Tensor:
    """x (N, H, W, C) with p more pixels on each side, mirrored"""
    x = tg.concat([x[:, p:0:-1], x, x[:, -2 : -p - 2 : -1]], axis=1)
    return tg.concat([x[:, :, p:0:-1], x, x[:, :, -2 : -p - 2 : -1]], axis=2)


# --- the losses -----------------------------------------------------------------------------------


def gram(F: tg.Tensor) -> tg.Tensor:
    """G_ij = 1/M Σ_k F_ki F_kj over the M positions k  (Gatys et al. 2016, equation 3)"""
    F = tg.reshape(F, (-1, F.shape[3]))  # (M, C)
    return tg.matmul(tg.swapaxes(F, 0, 1), F) * (1 / len(F))


def gram_matrices(x: tg.Tensor, features: list[tg.Tensor]) -> list[tg.Tensor]:
    """G of each level, and of (x, 1): second moments and means of the colours"""
    pixels = tg.concat([x, tg.Tensor(tg.xp.ones((*x.shape[:3], 1), x.dtype))], axis=3)
    return [gram(F) for F in (*features, pixels)]


def style_loss(grams: list[tg.Tensor], of_style: list[tg.Tensor]) -> Any:
    """Σ_l ‖G_l − A_l‖² / ‖A_l‖²: equations 4 and 5, whose weights make all levels count equally"""
    return sum(tg.sum((G - A) ** 2) / tg.sum(A * A) for G, A in zip(grams, of_style, strict=True))


def content_loss(features: list[tg.Tensor], of_content: list[tg.Tensor]) -> Any:
    """Σ_l mean (F_l − P_l)²: equation 1 as a mean; without the finest level, so strokes are free"""
    levels = list(zip(features, of_content, strict=True))
    return sum(tg.mean((F - P) ** 2) for F, P in levels[1:] or levels)


def total_variation(x: tg.Tensor) -> tg.Tensor:
    """Mean squared difference of neighbours, down and across (Mahendran and Vedaldi 2015)"""
    return tg.mean((x[:, 1:] - x[:, :-1]) ** 2) + tg.mean((x[:, :, 1:] - x[:, :, :-1]) ** 2)


# --- L-BFGS ---------------------------------------------------------------------------------------


def lbfgs_direction(g: Any, pairs: list[tuple[Any, Any]]) -> Any:
    """−H g, with H ≈ the inverse Hessian  (Nocedal and Wright, algorithm 7.4)

    s are the last steps, y the changes of the gradient along them. H maps the last y to the last s.
    """
    q, a = g.copy(), []
    for s, y in reversed(pairs):
        a.append(dot(s, q) / dot(s, y))
        q -= a[-1] * y
    if pairs:
        s, y = pairs[-1]
        q *= dot(s, y) / dot(y, y)
    for (s, y), a_i in zip(pairs, reversed(a), strict=True):
        q += (a_i - dot(y, q) / dot(s, y)) * s
    return -q


class Transfer:
    """The loop: iterating makes the steps, from the smallest scale to the largest

    A texture starts from noise and has no content loss; `content` only gives its shape.
    """

    def __init__(
        self, content: Any, style: Any, weight: float, steps: Any, seed: int, texture: bool = False
    ) -> None:
        self.content, self.style, self.texture = content, style, texture
        self.weight, self.steps, self.seed = weight, steps, seed
        self.x = (style.mean((0, 1), keepdims=True) if texture else content)[None]
        self.start(0)

    def start(self, scale: int) -> None:
        """Compute the features to reach at this scale, enlarge the image, and add noise to it"""
        self.scale, self.done, self.pairs = scale, 0, []
        factor = 2 ** (len(self.steps) - 1 - scale)
        content, style = (
            data.resize(x, (math.ceil(x.shape[0] / factor), math.ceil(x.shape[1] / factor)))
            for x in (self.content, self.style)
        )
        H, W, _ = content.shape
        smallest = min(H, W, *style.shape[:2])
        with tg.no_grad():
            self.features = Features(style, smallest, np.random.default_rng(self.seed))
            x = tensor(style[None])
            self.A = gram_matrices(x, self.features(x))
            self.P = self.features(tensor(content[None]))
        noise = np.random.default_rng([self.seed, scale]).standard_normal((1, H, W, 3))
        x = data.resize(tg.to_numpy(self.x), (H, W)) + NOISE[min(scale, 1)] * noise
        self.x = tg.xp.asarray(x, np.float32)

    def evaluate(self, x: Any) -> tuple[dict[str, float], Any]:
        """L = L_content + w L_style + λ L_tv  (equation 7), its terms, and its gradient at x"""
        x = tg.Tensor(x, requires_grad=True)
        features = self.features(x)
        terms = {"style": style_loss(gram_matrices(x, features), self.A)}
        loss = self.weight * terms["style"] + TV * total_variation(x)
        if not self.texture:
            terms["content"] = content_loss(features, self.P)
            loss = loss + terms["content"]
        (g,) = tg.grad(loss, [x])
        return {name: float(term) for name, term in {"loss": loss, **terms}.items()}, g.data

    def __iter__(self) -> Iterator[dict[str, float]]:
        while True:
            terms, g = self.evaluate(self.x)
            while self.done < self.steps[self.scale]:
                p = lbfgs_direction(g, self.pairs)
                t = 1.0 if self.pairs else 0.1 / float(abs(p).max())  # the first step: 0.1 at most
                for _ in range(HALVINGS):  # until the loss falls enough (Armijo 1966)
                    new, h = self.evaluate(self.x + t * p)
                    if new["loss"] <= terms["loss"] + 1e-4 * t * dot(g, p):
                        break
                    t /= 2
                else:
                    if not self.pairs:
                        break  # no way down: a minimum, as exactly as float32 can tell
                    self.pairs = []
                    continue
                if dot(t * p, h - g) > 0:  # so H stays positive definite
                    self.pairs = [*self.pairs, (t * p, h - g)][-MEMORY:]
                self.x, self.done, terms, g = self.x + t * p, self.done + 1, new, h
                yield terms
            if self.scale + 1 == len(self.steps):
                return
            self.start(self.scale + 1)

    def image(self) -> np.ndarray:
        """The image in its final size, (H, W, 3), from 0 to 1"""
        return data.resize(tg.to_numpy(self.x)[0].clip(0, 1), self.content.shape[:2])

    def state_dict(self) -> dict[str, np.ndarray]:
        arrays = [self.x, *(a for pair in self.pairs for a in pair)]  # x, s, y, s, y, …
        place = np.array([self.scale, self.done])
        return {"place": place, "arrays": np.concatenate([tg.to_numpy(a) for a in arrays])}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        scale, done = map(int, state["place"])
        self.start(scale)
        self.x, *pairs = (tg.xp.asarray(a[None]) for a in state["arrays"])
        self.done, self.pairs = done, list(zip(pairs[::2], pairs[1::2], strict=True))


def tensor(x: np.ndarray) -> tg.Tensor:
    return tg.Tensor(tg.xp.asarray(x, np.float32))


def dot(a: Any, b: Any) -> float:
    return float((a * b).sum())


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/style_transfer", data=None)
    add, at_least = parser.add_argument, commandline.at_least
    add("content", nargs="?", type=Path, help="picture of the content (default: a built-in lake)")
    add("style", nargs="?", type=Path, help="picture of the style (default: built-in strokes)")
    add("--texture", action="store_true", help="no content: a texture like the one picture given")
    help = f"weight of the style; content has weight 1 (default: {WEIGHT:g})"
    add("--weight", type=at_least(0.0), default=WEIGHT, metavar="W", help=help)
    help = f"pixels of the result's longer side (default: {SIZE})"
    add("--size", type=at_least(2 * SMALLEST), default=SIZE, metavar="N", help=help)
    help = "the picture whose colours the result has (default: style)"
    add("--colours", choices=("style", "content"), default="style", help=help)
    help = f"factor of the steps at the three scales, {STEPS} (default: 1)"
    add("--steps", type=commandline.positive, default=1.0, metavar="F", help=help)
    args = commandline.parse(parser, quick=QUICK)
    if args.texture and args.style:
        parser.error(f"--texture takes one picture, the style; got two, the second {args.style}")
    files = args.content, args.content if args.texture else args.style
    content, style = (
        read(parser, file, args.size) if file else draw(args.size, np.random.default_rng(seed))
        for file, draw, seed in zip(files, (lake, strokes), BUILT_IN, strict=True)
    )
    if np.ptp(style, axis=(0, 1)).max() < 0.01:
        parser.error(f"{files[1]}: expected a style of more than one colour")
    if args.texture:
        content = style
    recoloured = matched(content, style), style
    if args.colours == "content":
        recoloured = content, matched(style, content)
    steps = [math.ceil(n * args.steps) for n in STEPS]

    with Run(args.out, vars(args), resume=args.resume) as run:
        transfer = Transfer(*recoloured, args.weight, steps, args.seed, args.texture)
        film = image.Animation(FRAMES)
        run.keep(transfer=transfer, film=film)
        if run.step == 0:
            film.append(transfer.image(), "step 0")
        for record in run.track(transfer):
            if record.step % math.ceil(sum(steps) / FRAMES) == 0:
                film.append(transfer.image(), f"step {record.step}")
        result = transfer.image()
        matplotlib.image.imsave(run.path("picture.png"), (255 * result + 0.5).astype(np.uint8))
        title = "A texture" if args.texture else "Style transfer"
        row = {} if args.texture else {"content": content}
        side_by_side(run.path("result.png"), row | {"style": style, "result": result}, title)
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Losses at three scales")
        film.save(run.path("steps.gif"), fps=12, title=title)
        terms, _ = transfer.evaluate(transfer.x)
        run.results(**terms, seconds=run.seconds)
        if args.samples:
            run.samples(result[None])
        if not args.texture:
            draw_weights(run, *recoloured, args)
        print(", ".join(f"{name} {value:.3g}" for name, value in terms.items()))
        print(f"see {run.path('result.png')} and the other pictures there")


def draw_weights(run: Run, content: np.ndarray, style: np.ndarray, args: Any) -> None:
    """Smaller results for several weights, from content to style"""
    content, style = (fitted(x, min(STRIP, args.size // 2)) for x in (content, style))
    steps, row = [math.ceil(n * args.steps / 2) for n in STEPS[1:]], {"content": content}
    for weight in WEIGHTS:
        transfer = Transfer(content, style, weight, steps, args.seed)
        list(transfer)  # all steps
        row[f"w = {weight:g}"] = transfer.image()
    title = "The weight of the style, from content to style"
    side_by_side(run.path("weights.png"), row | {"style": style}, title)


def side_by_side(path: Path, row: dict[str, np.ndarray], title: str) -> None:
    """The central squares of pictures, in the size of the first"""
    squares = []
    for x in row.values():
        side = min(x.shape[:2])
        i, j = ((n - side) // 2 for n in x.shape[:2])
        squares.append(x[i : i + side, j : j + side])
    images = np.stack([data.resize(x, len(squares[0])) for x in squares])
    image.grid(path, images, columns=len(row), labels=list(row), title=title)


# --- pictures -------------------------------------------------------------------------------------


def read(parser: argparse.ArgumentParser, file: Path, size: int) -> np.ndarray:
    try:
        x = data.read_picture(file)
    except Exception as error:  # broken files can raise almost anything
        parser.error(f"can't read the picture {file}: {error or type(error).__name__}")
    H, W, _ = x.shape
    most = min(size, SIZE) / SMALLEST
    if max(H, W) > most * min(H, W):
        parser.error(f"{file}: expected sides that differ by a factor ≤ {most:g}, got {W} × {H}")
    return fitted(np.broadcast_to(x, (H, W, 3)), size)


def fitted(x: np.ndarray, size: int) -> np.ndarray:
    """x resized, with the longer side of `size` pixels"""
    H, W = (max(1, round(side * size / max(x.shape[:2]))) for side in x.shape[:2])
    return data.resize(x, (H, W))


def matched(x: np.ndarray, to: np.ndarray) -> np.ndarray:
    """x with the mean and covariance of the colours of another picture

    The linear map T = A^(−1/2) (A^(1/2) B A^(1/2))^(1/2) A^(−1/2) takes N(0, A) to N(0, B), and
    moves colours as little as possible.
    """
    A, B = covariance(x), covariance(to)
    root, inverse = power(A, 0.5), power(A, -0.5)
    T = inverse @ power(root @ B @ root, 0.5) @ inverse
    y = (x - x.mean((0, 1))) @ T + to.mean((0, 1))
    return y.clip(0, 1).astype(np.float32)


def covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(x.reshape(-1, 3).astype(float).T) + 1e-4 * np.eye(3)


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def lake(size: int, rng: np.random.Generator) -> np.ndarray:
    """The built-in content: a boat on a lake at sunset, drawn from signed distances"""
    x, y = np.broadcast_arrays(*centres(size))
    shore, sun_x, scale = 0.3, 0.22, 0.36
    below, water = np.maximum(y - shore, 0), y > shore
    wave = np.sin(60 * below**0.6 + 3 * np.sin(7 * x))
    u, v = x + 0.012 * wave * water, np.where(water, 2 * shore - y, y)  # mirrored
    sun = disc(u - sun_x, v + 0.3, 0.2)
    layers = [("ffd98a", sun, 0.75 * np.exp(-3.2 * sun.clip(0)))]  # colours, t, cover
    layers.append(("fff3c4", sun, inside(sun, size)))
    hills = (-0.15, 0.14, "7b5a8c c58f7a"), (0.06, 0.1, "4d4478 765a78"), (0.2, 0.05, "2a2f57")
    for height, rise, codes in hills:
        phases = rng.uniform(0, 2 * math.pi, 5)
        top = height + rise * sum(np.sin(2.3 * 2**i * u + p) / 2**i for i, p in enumerate(phases))
        layers.append((codes, 1.6 * (v - top), inside(top - v, size)))
    glint = np.exp(-(((x - sun_x) / (0.1 + below / 4)) ** 2)) * water
    glint *= np.sin(110 * np.sqrt(below + 0.02) + 2 * np.sin(9 * x)).clip(0, 1)
    layers += [("1d2a55", x, (0.3 + 0.3 * below) * water), ("ffe2a0", x, 0.7 * glint)]

    p, q = (x + 0.38) / scale, (y - 0.56) / scale  # the boat's coordinates
    sails = [np.maximum(np.maximum(0.07 - w, q), 1.53 * w - 0.85 * (q + 1.6)) for w in (p, -p)]
    hull = np.maximum(disc(p, q + 0.55, 1.05), 0.12 - q)
    boat = {"3a2430": box(p, q + 0.75, 0.04, 0.9), "fff4dc e8a27c": sails[0]}
    boat |= {"f7d9b8 c9716d": sails[1], "7b2f3c 3c1a2c": hull}
    layers += [(codes, p / 2 + 0.5, inside(d * scale, size)) for codes, d in boat.items()]
    picture = gradient((v + 1) / (1 + shore), "27346b c0567b ffc56b")
    for codes, t, cover in layers:
        picture += (gradient(t, codes) - picture) * cover[..., None]
    return picture.astype(np.float32)


def strokes(size: int, rng: np.random.Generator, count: int = 2000) -> np.ndarray:
    """The built-in style: thick brush strokes along swirls, yellow in their centres"""
    middles, radii = rng.uniform(-0.9, 0.9, (7, 2)), rng.uniform(0.18, 0.42, 7)
    at = rng.uniform(-1.05, 1.05, (count, 2))
    away = at[:, None] - middles  # (count, 7, 2)
    near = np.exp(-((away**2).sum(2) / radii**2))
    turn = rng.choice([-2.4, 2.4], 7) * near / radii
    dx = 0.6 - (turn * away[..., 1]).sum(1)  # the direction of each stroke
    dy = 0.27 * np.cos(3.2 * at[:, 0] + 2 * at[:, 1]) + (turn * away[..., 0]).sum(1)
    tone = 0.32 + 0.16 * np.sin(5 * at[:, 1] + 2.5 * np.sin(2 * at[:, 0]))
    tone += 0.62 * (near**5).sum(1) + rng.normal(0, 0.1, count)
    colours = gradient(tone, "0d1b4c 16357f 2a63b3 5aa0d6 a9d3e8 f2e6b1 f6c445 e08a2b")

    line = centres(size)[0][0]
    picture = gradient(np.zeros((size, size)), "16357f")
    for i in range(count):
        length, width = rng.uniform(0.06, 0.13), rng.uniform(0.014, 0.024)
        reach = np.array([-1, 1]) * (length + width + 2 / size)
        rows, columns = (slice(*np.searchsorted(line, z + reach)) for z in at[i, ::-1])
        x, y = line[None, columns] - at[i, 0], line[rows, None] - at[i, 1]
        c, s = np.array([dx[i], dy[i]]) / math.hypot(dx[i], dy[i])
        u, v = x * c + y * s, y * c - x * s  # along the stroke, across it
        v = v - 0.12 * u**2 / length * np.sign(c)
        d = disc(np.maximum(abs(u) - length, 0), v, width)
        bristles = 0.1 * np.cos(4.5 * v / width + rng.uniform(0, 6)) - 0.13 * c * v / width
        paint = colours[i] + rng.normal(0, 0.02, 3) + bristles[..., None]
        part = picture[rows, columns]
        part += (paint - part) * inside(d, size)[..., None]
    return picture.clip(0, 1).astype(np.float32)


def inside(d: np.ndarray, size: int) -> np.ndarray:
    """How much of each pixel a shape covers, from its signed distance, in an image from −1 to 1"""
    return np.clip(0.5 - d * size / 2, 0, 1)


def gradient(t: np.ndarray, codes: str) -> np.ndarray:
    """A colour gradient (…, 3) through the given colours, as t goes from 0 to 1"""
    stops = [[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes.split()]
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(t, places, channel) for channel in np.transpose(stops)], axis=-1)


if __name__ == "__main__":
    commandline.main(main)
