"""Three spiral arms, told apart by a small network: what `tinygen.grad` is for, on one page.

Each point of the plane belongs to one of three arms, and a network 2 → 64 → 64 → 3 learns which.
Layers, loss and optimiser are all written out here; from tinygen come Tensors, their operations
and gradients. Some seconds later `runs/spirals/spirals.png` shows what the network makes of the
plane, and how it came to that.

    python examples/spirals.py

Reading order: the constants, `spirals`, `scores`, `train`; below them, only drawing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import tinygen as tg

ARMS, TURNS, NOISE = 3, 1.25, 0.3  # the noise is in radians
POINTS = 1200  # to learn from, and as many fresh ones to be judged by
HIDDEN = 64
STEPS, QUICK_STEPS = 2000, 100
LEARNING_RATE, BETA1, BETA2, EPSILON = 0.01, 0.9, 0.999, 1e-8
MOMENTS = (0.025, 0.05, 0.1, 1.0)  # when the plane is drawn, in parts of the training

EXTENT = 1.15  # the plane is drawn from −EXTENT to EXTENT
COLOURS = np.array([[0, 114, 178], [230, 159, 0], [0, 158, 115]]) / 255  # Okabe and Ito's
INK, GREY = "#333333", "#8a8a8a"

Layers = list[tuple[tg.Tensor, tg.Tensor]]


def spirals(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` points (count, 2) and the number of the arm that each lies on (count,)."""
    arms = np.arange(count) % ARMS
    r = np.sqrt(rng.uniform(0.01, 1, count))
    angle = 2 * np.pi * (arms / ARMS + TURNS * r) + rng.normal(0, NOISE, count)
    points = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    return points.astype(np.float32), arms


# --- the network and its training -----------------------------------------------------------------


def network(rng: np.random.Generator) -> Layers:
    """Weights of variance 2 / (inputs + outputs) (Glorot and Bengio, 2010), biases of 0."""

    def parameter(array: np.ndarray) -> tg.Tensor:
        return tg.Tensor(array.astype(np.float32), requires_grad=True)

    return [
        (parameter(rng.normal(0, np.sqrt(2 / (n + m)), (n, m))), parameter(np.zeros(m)))
        for n, m in itertools.pairwise([2, HIDDEN, HIDDEN, ARMS])
    ]


def scores(layers: Layers, x: tg.Tensor) -> tg.Tensor:
    """h = tanh(h W + b) through all layers but the last, which is h W + b."""
    *hidden, (w_out, b_out) = layers
    for w, b in hidden:
        x = tg.tanh(x @ w + b)
    return x @ w_out + b_out


def train(layers: Layers, points: np.ndarray, arms: np.ndarray, steps: int) -> Iterator[float]:
    """Adam (Kingma and Ba, 2015, algorithm 1) on all points at once; yields the loss at each step.

    The loss is the cross-entropy, the mean of −log p(arm | point); α falls linearly to 0.
    """
    x, rows = tg.Tensor(points), np.arange(len(arms))
    params = [p for layer in layers for p in layer]
    ms, vs = [0 * p.data for p in params], [0 * p.data for p in params]

    for t in range(1, steps + 1):
        log_p = tg.log_softmax(scores(layers, x))
        loss = -tg.mean(log_p[rows, arms])
        gs = tg.grad(loss, params)

        alpha = LEARNING_RATE * (1 - (t - 1) / steps)
        for p, g, m, v in zip(params, gs, ms, vs, strict=True):
            m += (1 - BETA1) * (g.data - m)
            v += (1 - BETA2) * (g.data**2 - v)
            m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
            p.data -= alpha * m_hat / (v_hat**0.5 + EPSILON)
        yield loss.item()


@tg.no_grad()
def probabilities(layers: Layers, points: np.ndarray) -> np.ndarray:
    """p(arm | point), one row for each point."""
    return tg.softmax(scores(layers, tg.Tensor(points))).numpy()


def plane(layers: Layers, side: int) -> np.ndarray:
    """The probabilities all over the plane, (side, side, ARMS)."""
    at = np.linspace(-EXTENT, EXTENT, side, dtype=np.float32)
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    return probabilities(layers, points).reshape(side, side, ARMS)


# --- the picture ----------------------------------------------------------------------------------


def draw_plane(ax: Axes, p: np.ndarray) -> None:
    """Each place in its arm's colour, the paler the less certain."""
    certainty = (p.max(axis=-1, keepdims=True) - 1 / ARMS) / (1 - 1 / ARMS)
    image = 1 - 0.45 * certainty * (1 - p @ COLOURS)
    box = (-EXTENT, EXTENT, -EXTENT, EXTENT)
    ax.imshow(image, origin="lower", extent=box, interpolation="bilinear")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def draw(
    points: np.ndarray,
    arms: np.ndarray,
    losses: list[float],
    surfaces: dict[int, np.ndarray],
    right: int,
) -> Figure:
    """The plane at the end with the data on it; the loss; the plane at the moments before."""
    columns = len(MOMENTS)
    figure = Figure(figsize=(10, 5), layout="constrained")
    grid = figure.add_gridspec(2, 2 * columns, height_ratios=(2, 1))

    ax = figure.add_subplot(grid[:, :columns])
    draw_plane(ax, surfaces[len(losses)])
    ax.scatter(*points.T, c=COLOURS[arms], s=12, linewidths=0.4, edgecolors="white")
    ax.set_title(f"{right} of {POINTS} fresh points put on their arm", size=10, color=INK)

    ax = figure.add_subplot(grid[0, columns:])
    ax.plot(range(1, len(losses) + 1), losses, color=INK, linewidth=1.2)
    ax.plot(list(surfaces), [losses[step - 1] for step in surfaces], "o", color=INK, markersize=4)
    ax.set(xscale="log", yscale="log")
    ax.set_title("cross-entropy at each step", size=10, color=INK)
    ax.grid(color="#e6e6e6", linewidth=0.6)
    ax.tick_params(which="both", length=0, colors=GREY, labelsize=8)
    ax.spines[:].set_visible(False)

    for i, (step, p) in enumerate(list(surfaces.items())[-columns:]):
        ax = figure.add_subplot(grid[1, columns + i])
        draw_plane(ax, p)
        ax.set_title(f"step {step}", size=8, color=GREY)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture beside its place, then move it there: nobody ever finds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        figure.savefig(part, dpi=150)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train a network to tell spiral arms apart.")
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK_STEPS} steps")
    parser.add_argument("--backend", help='"numpy" or "cupy"')
    parser.add_argument("--out", type=Path, default=Path("runs/spirals"), help="the folder to fill")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.backend:
        tg.use(args.backend)

    rng = np.random.default_rng(args.seed)
    points, arms = spirals(POINTS, rng)
    fresh_points, fresh_arms = spirals(POINTS, rng)
    layers = network(rng)

    steps = QUICK_STEPS if args.quick else STEPS
    moments = {max(1, round(part * steps)) for part in MOMENTS}
    losses: list[float] = []
    surfaces: dict[int, np.ndarray] = {}
    stopped = False
    try:
        with (
            threadpool_limits(1, "blas"),  # matrices as small as these are not worth sharing out
            tqdm(train(layers, points, arms, steps), total=steps, unit=" steps") as bar,
        ):
            for loss in bar:
                losses.append(loss)
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if len(losses) in moments:
                    surfaces[len(losses)] = plane(layers, 300)
    except KeyboardInterrupt:
        stopped = True
        print(f"Stopped after {len(losses)} of {steps} steps.")
        if not losses:
            return 130
        surfaces[len(losses)] = plane(layers, 300)

    right = int((probabilities(layers, fresh_points).argmax(axis=1) == fresh_arms).sum())
    path = args.out / "spirals.png"
    save(draw(points, arms, losses, surfaces, right), path)
    print(f"{right} of {POINTS} fresh points put on their arm; see {path}")
    return 130 if stopped else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while drawing
        sys.exit(130)
