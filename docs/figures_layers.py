"""The figures of layers.md, computed as they are drawn.

Reading order: a signal through many layers, measured and predicted; the groups of the norm layers;
the sinusoidal embedding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from drawing import BLUE, GREEN, GREY, ORANGE, RED, bare, canvas
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import tinygen as tg
from tinygen import nn

# --- a signal through fifty layers ----------------------------------------------------------------

WIDTH, DEPTH, BATCH = 512, 50, 128
GAINS = {  # n Var w: label, initialiser, colour
    1 / 3: ("1/(3n): PyTorch's default", nn.pytorch_uniform, ORANGE),
    1: ("1/n: LeCun, and Glorot (n = m)", nn.lecun_normal, BLUE),
    2: ("2/n: He", nn.he_normal, GREEN),
    4: ("4/n", nn.normal(2 / WIDTH**0.5), RED),
}
Activation = Callable[[tg.Tensor], tg.Tensor]


def rms(x: tg.Tensor) -> float:
    """√ mean x²"""
    return float(np.sqrt(np.mean(x.numpy().astype(float) ** 2)))


def measured_rms(activation: Activation, gain: float) -> tuple[list[float], list[float]]:
    """RMS of signal and gradient after 0, 1, … layers of an untrained network."""
    rng = np.random.default_rng(3)
    x = tg.Tensor(rng.standard_normal((BATCH, WIDTH), np.float32), requires_grad=True)
    signals = [x]
    for _ in range(DEPTH):
        layer = nn.Dense(WIDTH, WIDTH, rng=rng, init=GAINS[gain][1])
        signals.append(activation(layer(signals[-1])))
    cotangent = tg.Tensor(rng.standard_normal((BATCH, WIDTH), np.float32))
    gradients = tg.grad(signals[-1], signals, cotangent=cotangent)
    return [rms(x) for x in signals], [rms(g) for g in gradients]


def predicted_rms(activation: Activation, gain: float) -> tuple[list[float], list[float]]:
    """The same in infinitely wide layers: z ~ N(0, c q), q ← E φ(z)², E ḡ² ← c E φ′(z)² E ḡ²."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)  # for E over N(0, 1); no node is 0
    weights = weights / weights.sum()
    q, factors = [1.0], []
    for _ in range(DEPTH):
        z = tg.Tensor(np.sqrt(gain * q[-1]) * nodes, requires_grad=True)
        h = activation(z)
        derivative = tg.grad(h.sum(), z).numpy()
        q.append(float(weights @ h.numpy() ** 2))
        factors.append(gain * float(weights @ derivative**2))
    g = np.cumprod([1.0, *factors[::-1]])[::-1]
    return list(np.sqrt(q)), list(np.sqrt(g))


def depth() -> Figure:
    """RMS of signal and gradient in fifty layers of tanh and ReLU, for four variances."""
    figure = canvas(10, 6.6)
    axes = figure.subplots(2, 2, sharex=True)
    for row, (name, activation) in zip(axes, (("tanh", tg.tanh), ("ReLU", tg.relu)), strict=True):
        for gain, (label, _, colour) in GAINS.items():
            pairs = zip(
                measured_rms(activation, gain), predicted_rms(activation, gain), strict=True
            )
            for ax, (points, line) in zip(row, pairs, strict=True):
                ax.plot(line, color=colour, linewidth=1.3)
                ax.plot(
                    range(0, DEPTH + 1, 2),
                    points[::2],
                    "o",
                    color=colour,
                    markersize=4,
                    label=label,
                )
        row[0].set_title(f"{name}: signal")
        row[1].set_title(f"{name}: gradient")
        for ax in row:
            ax.set(yscale="log", xlim=(-1, DEPTH + 1))
        row[0].set_ylabel("RMS")
    for ax in axes[1]:
        ax.set_xlabel("layers from the input")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=4,
        title="Var w  (points: measured, lines: predicted)",
        title_fontsize=9,
    )
    return figure


# --- the groups of the norm layers ----------------------------------------------------------------

SHAPE = (3, 4, 6)  # images, pixels, channels
ELEMENT = (1, 1, 2)


def group_of(layer: nn.Module, element: tuple[int, ...]) -> np.ndarray:
    """The elements of x that an element of y depends on: where its gradient is not zero."""
    x = tg.Tensor(np.random.default_rng(1).normal(size=SHAPE), requires_grad=True)
    return tg.grad(layer(x)[element], x).numpy() != 0


def shared_means() -> Figure:
    """x as a matrix of pixels and channels, and the groups of elements that share a mean."""
    N, P, C = SHAPE
    views = {
        "BatchNorm": (nn.BatchNorm(C), "(1, NHW, C, 1)"),
        "GroupNorm, 2 groups": (nn.GroupNorm(2, C), "(N, HW, 2, C/2)"),
        "GroupNorm, C groups": (nn.GroupNorm(C, C), "(N, HW, C, 1)"),
        "LayerNorm": (nn.LayerNorm(C), "(NHW, 1, 1, C)"),
    }
    figure = canvas(10, 4.6)
    for ax, (name, (layer, view)) in zip(figure.subplots(1, 4), views.items(), strict=True):
        layer.astype(float)
        shades = np.full(SHAPE, "", object)
        for element in np.ndindex(*SHAPE):
            if not shades[element]:  # the first of a group sets its shade
                shades[group_of(layer, element)] = ("#f0f0f0", "#d9d9d9")[sum(element) % 2]
        shades[group_of(layer, ELEMENT)] = BLUE
        for (n, p, c), shade in np.ndenumerate(shades):
            corner = (c, n * P + p + 0.35 * n)  # images a little apart
            ax.add_patch(Rectangle(corner, 1, 1, facecolor=shade, edgecolor="white", lw=1))
            if (n, p, c) == ELEMENT:
                ax.plot(corner[0] + 0.5, corner[1] + 0.5, "o", color="white", markersize=6)
        bare(ax).set(xlim=(-0.1, C + 0.1), ylim=(N * P + 0.8, -0.1), aspect="equal")
        ax.set_title(f"{name}\n{view}", fontsize=10)
        ax.set_xlabel("channels", color=GREY)
    figure.axes[0].set_ylabel("pixels of three images", color=GREY)
    return figure


# --- the sinusoidal embedding ---------------------------------------------------------------------


def embedding() -> Figure:
    """The sinusoidal embedding of 0 … 100, and the similarity of two embeddings."""
    features = 64
    figure = canvas(10, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    z = nn.SinusoidalEmbedding(features)(np.linspace(0, 100, 1200)).numpy()
    image = left.imshow(
        z.T,
        aspect="auto",
        cmap="PuOr",
        vmin=-1,
        vmax=1,
        interpolation="nearest",
        extent=(0, 100, features, 0),
    )
    left.axhline(features / 2, color="white", linewidth=4)
    left.grid(False)
    left.set(
        xlabel="t",
        yticks=[0, features / 2, features / 2 + 1, features],
        yticklabels=["sin t", "sin t/10,000", "cos t", "cos t/10,000"],
    )
    for label, side in zip(left.get_yticklabels(), ("top", "bottom") * 2, strict=True):
        label.set_verticalalignment(side)
    left.set_title("Embedding of t, 64 features")
    figure.colorbar(image, ax=left, ticks=[-1, 0, 1], pad=0.02)

    gaps = np.geomspace(0.01, 1e4, 500)
    for longest, colour in ((10_000, BLUE), (100, ORANGE)):
        embed = nn.SinusoidalEmbedding(features, longest)
        for t, marker in ((0.0, "-"), (321.0, "o")):
            step = 1 if marker == "-" else 20
            similarity = (embed(t + gaps[::step]).numpy() * embed(np.array(t)).numpy()).sum(axis=1)
            right.semilogx(
                gaps[::step],
                similarity / (features / 2),
                marker,
                color=colour,
                linewidth=1.2,
                markersize=4,
            )
    right.text(25, 0.72, "longest = 10,000", color=BLUE)
    right.text(0.9, 0.3, "longest = 100", color="#a06c00", ha="center")
    right.set(xlabel="distance of t and t′", ylabel="similarity ⟨z, z′⟩ / 32", ylim=(-0.45, 1.08))
    right.set_title("Similarity  (lines: t = 0, points: t = 321)")
    return figure


FIGURES = (depth, shared_means, embedding)
