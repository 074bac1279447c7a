"""The pictures of interactive.md, where no script runs: from the data of make_interactive.py.

Reading order: denoising, the latent plane, paths along a flow, optimisers in a valley.
"""

from __future__ import annotations

import itertools
from functools import partial

import make_interactive
import numpy as np
from drawing import BLUE, GREY, INK, RED, bare, canvas
from figures_optim import path
from make_interactive import read, unpacked
from matplotlib.figure import Figure
from PIL import Image

import tinygen as tg
from tinygen import optim
from tinygen.flow import ode

CURVATURES, START, STEPS = [1.0, 25.0], [-4.0, 1.2], 50  # as in mathematics.js and play.js
OPTIMISERS = {
    "SGD": (RED, lambda p, lr: optim.SGD(p, lr)),
    "momentum": (BLUE, lambda p, lr: optim.SGD(p, lr, momentum=0.9)),
    "Adam": (INK, lambda p, lr: optim.Adam(p, lr)),
}


def interactive_diffusion() -> Figure:
    """Points at five times, and the paths of five of them."""
    content = read()["diffusion"]
    x, T, shown = unpacked(content["x"]), content["T"], content["shown"]
    figure, last = canvas(10, 2.4), len(x) - 1
    for ax, t in zip(figure.subplots(1, 5), (1000, 400, 200, 80, 0), strict=True):
        n = round(last * (1 - t / T))
        ax.plot(*x[n].T, ".", color=BLUE, markersize=2.5)
        ax.plot(x[: n + 1, shown, 0], x[: n + 1, shown, 1], color=RED, linewidth=1.2)
        ax.plot(*x[n, shown].T, "o", color=RED, markersize=4)
        bare(ax).set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal", title=f"t = {t}")
    return figure


def interactive_latent() -> Figure:
    """The decoded plane, and the images at three codes."""
    content = read()["latent"]
    reach, tiles = content["reach"], content["tiles"]
    sprite = np.asarray(Image.open(make_interactive.FOLDER / "digits.png"))
    edge = reach * tiles / (tiles - 1)
    figure = canvas(7, 5)
    axes = figure.subplot_mosaic("aaax;aaay;aaaz")
    axes["a"].imshow(
        sprite, cmap="gray", extent=(-edge, edge, -edge, edge), interpolation="antialiased"
    )
    axes["a"].set(xlabel="z₁", ylabel="z₂")
    axes["a"].grid(False)
    size = len(sprite) // tiles
    for name, (row, column) in zip("xyz", ((5, 4), (10, 10), (17, 12)), strict=True):
        z = reach * (2 * column / (tiles - 1) - 1), reach * (1 - 2 * row / (tiles - 1))
        image = sprite[row * size :, column * size :][:size, :size]
        bare(axes[name]).imshow(image, cmap="gray")
        axes[name].set_title("z = ({:.2f}, {:.2f})".format(*z).replace("-", "−"), fontsize=9)
        axes["a"].plot(
            *z, "o", color=BLUE, markersize=9, markeredgecolor="white", markeredgewidth=2
        )
    return figure


def interpolated(v: np.ndarray, reach: float) -> ode.Field:
    """The field v(x, t) of its values on a grid (t, x₂, x₁, 2), by linear interpolation"""

    def f(x: np.ndarray, t: float) -> np.ndarray:
        at = [t, *np.flip((np.asarray(x) / reach + 1) / 2)]
        at = np.clip(at, 0, 1) * (np.array(v.shape[:3]) - 1)
        low = np.minimum(at.astype(int), np.array(v.shape[:3]) - 2)
        corners = itertools.product((0, 1), repeat=3)
        weights = {c: np.prod(np.where(c, at - low, 1 - (at - low))) for c in corners}
        return sum(weight * v[tuple(low + c)] for c, weight in weights.items())

    return f


def interactive_flow() -> Figure:
    """A velocity field, and paths by Euler and Heun beside a precise one."""
    content = read()["flow"]
    v, reach = unpacked(content["v"]), content["reach"]
    f, start = interpolated(v, reach), np.array([2.0, -1.2])
    figure = canvas(9, 4.6)
    for ax, steps in zip(figure.subplots(1, 2), (4, 16), strict=True):
        ax.plot(*unpacked(content["data"]).T, ".", color=GREY, markersize=2.5)
        ticks = np.linspace(-reach, reach, v.shape[1])[1:-1:2]
        arrows = v[len(v) // 2, 1:-1:2, 1:-1:2]
        ax.quiver(ticks, ticks, *np.moveaxis(arrows, -1, 0), color=GREY, angles="xy", width=0.003)
        for name, step, count, colour, width in (
            ("200 steps of Heun", ode.heun, 200, INK, 3.5),
            ("Euler", ode.euler, steps, RED, 1.8),
            ("Heun", ode.heun, steps, BLUE, 1.8),
        ):
            places = np.array(list(ode.path(f, start, np.linspace(0, 1, count + 1), step)))
            mark = "" if count == 200 else "o"
            ax.plot(*places.T, color=colour, linewidth=width, marker=mark, markersize=4, label=name)
        ax.plot(*start, "o", color=INK, markersize=9, markeredgecolor="white")
        bare(ax).set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set_title(f"{steps} steps; arrows: v at t = 0.5")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def valley(p: tg.Tensor) -> tg.Tensor:
    return tg.sum(np.array(CURVATURES) * p * p) / 2


def interactive_valley() -> Figure:
    """Three optimisers in a narrow valley at three learning rates."""
    figure = canvas(10, 2.1)
    x, y = np.meshgrid(np.linspace(-5, 5, 200), np.linspace(-2.2, 2.2, 200))
    loss = (CURVATURES[0] * x**2 + CURVATURES[1] * y**2) / 2
    for ax, lr in zip(figure.subplots(1, 3), (0.01, 0.075, 0.2), strict=True):
        ax.contour(x, y, loss, np.geomspace(0.05, 80, 9), colors=GREY, linewidths=0.4)
        for name, (colour, make) in OPTIMISERS.items():
            places = path(partial(make, lr=lr), valley, START, STEPS)
            ax.plot(*places.T, ".-", color=colour, linewidth=1, markersize=3, label=name)
            ax.plot(*places[-1], "o", color=colour, markersize=6)
        bare(ax).set(xlim=(-5, 5), ylim=(-2.2, 2.2), aspect="equal", title=f"learning rate {lr}")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


FIGURES = (interactive_diffusion, interactive_latent, interactive_flow, interactive_valley)
