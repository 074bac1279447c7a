"""A small network classifies points on three spiral arms: `tinygen.grad` in use, on one page.

Each point of the plane belongs to one of three arms, and a network 2 → 64 → 64 → 3 learns which.
Layers, loss and optimiser are all written out here; tinygen provides Tensors, their operations and
gradients. After a few seconds, runs/spirals/spirals.png shows the network's predictions all over
the plane, during training and at its end.

    python examples/spirals.py

Reading order: the constants, `spirals`, `logits`, `train`; below them, only plotting.
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
POINTS = 1200  # training points, and as many test points
HIDDEN = 64
STEPS, QUICK_STEPS = 2000, 100
LEARNING_RATE, BETA1, BETA2, EPSILON = 0.01, 0.9, 0.999, 1e-8
MOMENTS = (0.025, 0.05, 0.1, 1.0)  # when the plane is plotted, as fractions of the training

EXTENT = 1.15  # the plane is plotted from −EXTENT to EXTENT
COLOURS = np.array([[0, 114, 178], [230, 159, 0], [0, 158, 115]]) / 255  # of Okabe and Ito
INK, GREY = "#333333", "#8a8a8a"

Layers = list[tuple[tg.Tensor, tg.Tensor]]


def spirals(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` points (count, 2), and the number of each point's arm (count,)."""
    arms = np.arange(count) % ARMS
    r = np.sqrt(rng.uniform(0.01, 1, count))
    angle = 2 * np.pi * (arms / ARMS + TURNS * r) + rng.normal(0, NOISE, count)
    points = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    return points.astype(np.float32), arms


# --- the network and its training -----------------------------------------------------------------


def network(rng: np.random.Generator) -> Layers:
    """Weights with variance 2 / (inputs + outputs) (Glorot and Bengio, 2010), biases 0."""

    def parameter(array: np.ndarray) -> tg.Tensor:
        return tg.Tensor(array.astype(np.float32), requires_grad=True)

    return [
        (parameter(rng.normal(0, np.sqrt(2 / (n + m)), (n, m))), parameter(np.zeros(m)))
        for n, m in itertools.pairwise([2, HIDDEN, HIDDEN, ARMS])
    ]


def logits(layers: Layers, x: tg.Tensor) -> tg.Tensor:
    """h = tanh(h W + b) in every layer except the last, which is h W + b."""
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
        log_p = tg.log_softmax(logits(layers, x))
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
    return tg.softmax(logits(layers, tg.Tensor(points))).numpy()


def plane(layers: Layers, side: int) -> np.ndarray:
    """The probabilities on a grid over the plane, (side, side, ARMS)."""
    at = np.linspace(-EXTENT, EXTENT, side, dtype=np.float32)
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    return probabilities(layers, points).reshape(side, side, ARMS)


# --- the picture ----------------------------------------------------------------------------------


def draw_plane(ax: Axes, p: np.ndarray) -> None:
    """The colour of the predicted arm at each place, paler where it is less certain."""
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
    accuracy: float,
) -> Figure:
    """The plane after training, with the training points; the loss; the plane at MOMENTS."""
    columns = len(MOMENTS)
    figure = Figure(figsize=(10, 5), layout="constrained")
    grid = figure.add_gridspec(2, 2 * columns, height_ratios=(2, 1))

    ax = figure.add_subplot(grid[:, :columns])
    draw_plane(ax, surfaces[len(losses)])
    ax.scatter(*points.T, c=COLOURS[arms], s=12, linewidths=0.4, edgecolors="white")
    ax.set_title(f"Predictions after training: test accuracy {accuracy:.1%}", size=10, color=INK)

    ax = figure.add_subplot(grid[0, columns:])
    ax.plot(range(1, len(losses) + 1), losses, color=INK, linewidth=1.2)
    ax.plot(list(surfaces), [losses[step - 1] for step in surfaces], "o", color=INK, markersize=4)
    ax.set(xscale="log", yscale="log")
    ax.set_title("Cross-entropy by step", size=10, color=INK)
    ax.grid(color="#e6e6e6", linewidth=0.6)
    ax.tick_params(which="both", length=0, colors=GREY, labelsize=8)
    ax.spines[:].set_visible(False)

    for i, (step, p) in enumerate(list(surfaces.items())[-columns:]):
        ax = figure.add_subplot(grid[1, columns + i])
        draw_plane(ax, p)
        ax.set_title(f"step {step}", size=8, color=GREY)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture to a temporary file, then rename it, so that it is never incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        figure.savefig(part, dpi=150)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train a network to classify spiral arms.")
    parser.add_argument("--quick", action="store_true", help=f"smoke test: {QUICK_STEPS} steps")
    parser.add_argument("--backend", help='"numpy" or "cupy"')
    parser.add_argument("--out", type=Path, default=Path("runs/spirals"), help="output folder")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    args = parser.parse_args()
    if args.backend:
        tg.use(args.backend)

    rng = np.random.default_rng(args.seed)
    points, arms = spirals(POINTS, rng)
    test_points, test_arms = spirals(POINTS, rng)
    layers = network(rng)

    steps = QUICK_STEPS if args.quick else STEPS
    moments = {max(1, round(fraction * steps)) for fraction in MOMENTS}
    losses: list[float] = []
    surfaces: dict[int, np.ndarray] = {}
    stopped = False
    try:
        with (
            threadpool_limits(1, "blas"),  # the matrices are too small for more threads
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

    accuracy = float((probabilities(layers, test_points).argmax(axis=1) == test_arms).mean())
    path = args.out / "spirals.png"
    save(draw(points, arms, losses, surfaces, accuracy), path)
    print(f"test accuracy {accuracy:.1%} on {POINTS} points; see {path}")
    return 130 if stopped else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while plotting
        sys.exit(130)
