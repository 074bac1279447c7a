"""The figures of optimisers.md, computed as they are drawn.

Reading order: rates of convergence, paths on two surfaces, learning rates, the noise floor.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, canvas
from matplotlib.figure import Figure

import tinygen as tg
from tinygen import optim

Make = Callable[[list[tg.Tensor]], optim.Optimizer]
Loss = Callable[[tg.Tensor], tg.Tensor]


def path(make: Make, loss: Loss, start: list[float], steps: int) -> np.ndarray:
    """The parameters after 0, 1, … steps."""
    p = tg.Tensor(start, requires_grad=True)
    optimizer, places = make([p]), [p.numpy()]
    for _ in range(steps):
        optimizer.step(tg.grad(loss(p), [p]))
        places.append(p.numpy())
    return np.array(places)


# --- rates of convergence -------------------------------------------------------------------------


def convergence() -> Figure:
    """The distance from a quadratic's minimum, step by step, and its theoretical rate."""
    low, high = 1.0, 100.0
    kappa, root = high / low, np.sqrt(high / low)
    h = tg.Tensor(np.geomspace(low, high, 8))
    ball = (root - 1) / (root + 1)
    cases = {
        "gradient descent": (
            RED,
            (kappa - 1) / (kappa + 1),
            "(κ − 1)/(κ + 1)",
            lambda params: optim.SGD(params, 2 / (low + high)),
        ),
        "Nesterov": (
            ORANGE,
            1 - 1 / root,
            "1 − 1/√κ",
            lambda params: optim.SGD(params, 1 / high, momentum=ball, nesterov=True),
        ),
        "heavy ball": (
            BLUE,
            ball,
            "(√κ − 1)/(√κ + 1)",
            lambda params: optim.SGD(params, 4 / (root + 1) ** 2 / low, momentum=ball**2),
        ),
    }
    places_of_names = {
        "gradient descent": (306, 1.2e-3),
        "Nesterov": (306, 4e-13),
        "heavy ball": (10, 3e-11),
    }
    figure = canvas(8, 4.3)
    ax = figure.subplots()
    t = np.arange(301)
    for name, (colour, rate, formula, make) in cases.items():
        places = path(make, lambda p: tg.sum(h * p * p) / 2, [1.0] * 8, 300)
        ax.semilogy(t, np.linalg.norm(places, axis=1) / np.sqrt(8), color=colour)
        ax.semilogy(t, rate**t, color=colour, linestyle=(0, (4, 3)), linewidth=1.1)
        ax.text(
            *places_of_names[name],
            f"{name}\n{formula} = {rate:.3f}",
            color=colour,
            fontsize=9,
            va="center",
        )
    ax.set(
        xlim=(0, 392),
        ylim=(1e-13, 30),
        xticks=range(0, 301, 50),
        xlabel="step",
        ylabel="distance from the minimum",
    )
    ax.set_title("Curvatures from 1 to 100; dashed: theory")
    return figure


# --- paths ----------------------------------------------------------------------------------------


def optimiser_paths() -> Figure:
    """Four optimisers on an elongated bowl and in Rosenbrock's curved valley."""

    def bowl(p: tg.Tensor) -> tg.Tensor:
        return (p[0] ** 2 + 10 * p[1] ** 2) / 2

    def valley(p: tg.Tensor) -> tg.Tensor:
        return (1 - p[0]) ** 2 + 10 * (p[1] - p[0] ** 2) ** 2

    root = np.sqrt(10)
    ball = ((root - 1) / (root + 1)) ** 2
    colours = {"gradient descent": RED, "heavy ball": BLUE, "RMSprop": PURPLE, "Adam": ORANGE}
    surfaces = {  # the bowl's first two rates are optimal, the others found by search
        "a bowl, (x² + 10 y²) / 2": (
            bowl,
            [-4.0, 1.2],
            (0, 0),
            30,
            (-4.5, 1.9, -2.3, 2.1),
            {
                "gradient descent": lambda p: optim.SGD(p, 2 / 11),
                "heavy ball": lambda p: optim.SGD(p, 4 / (root + 1) ** 2, momentum=ball),
                "RMSprop": lambda p: optim.RMSprop(p, 0.2, alpha=0.9),
                "Adam": lambda p: optim.Adam(p, 0.4),
            },
        ),
        "Rosenbrock’s valley": (
            valley,
            [-1.4, 0.6],
            (1, 1),
            200,
            (-1.7, 1.6, -0.95, 1.7),
            {
                "gradient descent": lambda p: optim.SGD(p, 0.018),
                "heavy ball": lambda p: optim.SGD(p, 0.008, momentum=0.9),
                "RMSprop": lambda p: optim.RMSprop(p, 0.03, alpha=0.9),
                "Adam": lambda p: optim.Adam(p, 0.3),
            },
        ),
    }
    figure = canvas(10, 4.6)
    for ax, (title, surface) in zip(figure.subplots(1, 2), surfaces.items(), strict=True):
        loss, start, minimum, steps, (left, right, bottom, top), makes = surface
        x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
        heights = loss(tg.Tensor(np.stack([x, y]))).numpy()
        levels = np.geomspace(heights.max() / 1e5, heights.max(), 18)
        ax.contour(x, y, heights, levels, colors=GREY, linewidths=0.5, alpha=0.55)
        for name, make in makes.items():
            places = path(make, loss, start, steps)
            ax.plot(*places.T, color=colours[name], linewidth=1.5, label=name)
            ax.plot(*places[:: steps // 10].T, "o", color=colours[name], markersize=3.5)
            ax.plot(*places[-1], "o", color=colours[name], markersize=7, markeredgecolor="white")
        ax.plot(*start, "s", color=INK, markersize=6)
        ax.plot(*minimum, "*", color=INK, markersize=13, markeredgecolor="white", zorder=5)
        ax.set(xlim=(left, right), ylim=(bottom, top))
        ax.grid(False)
        ax.set_title(f"{title}, {steps} steps")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


# --- learning rates -------------------------------------------------------------------------------


def learning_rates() -> Figure:
    """Six schedules over a thousand steps."""
    schedules = {
        "constant(1)": optim.constant(1),
        "step_decay(1, 300, 0.3)": optim.step_decay(1, 300, 0.3),
        "exponential(1, 1000, 0.01)": optim.exponential(1, 1000, 0.01),
        "cosine(1, 1000)": optim.cosine(1, 1000),
        "warm_up(cosine(1, 850), 150)": optim.warm_up(optim.cosine(1, 850), 150),
        "one_cycle(1, 1000)": optim.one_cycle(1, 1000),
    }
    figure = canvas(10, 4.2)
    for ax, (name, schedule) in zip(
        figure.subplots(2, 3, sharex=True, sharey=True).flat, schedules.items(), strict=True
    ):
        ax.plot([schedule(t) for t in range(1100)], color=BLUE)
        ax.axvspan(1000, 1100, color=GREY, alpha=0.12, linewidth=0)
        ax.set(ylim=(-0.04, 1.08), xlim=(0, 1100), xticks=(0, 500, 1000), yticks=(0, 0.5, 1))
        ax.set_title(name, fontsize=10, family="monospace")
    figure.supxlabel("step", fontsize=10, color=INK)
    figure.supylabel("learning rate", fontsize=10, color=INK)
    return figure


# --- the noise floor ------------------------------------------------------------------------------


def noise_floor() -> Figure:
    """Noisy gradients on parabolas: the floor of a constant rate, and two ways below it."""
    count, steps, lr, decay = 4000, 600, 0.2, 0.98
    cases = {
        "rate 0.2": (RED, lr),
        "rate 0.02": (ORANGE, lr / 10),
        "cosine from 0.2 to 0": (BLUE, optim.cosine(lr, steps)),
    }
    figure = canvas(8, 4.2)
    ax = figure.subplots()
    for name, (colour, rate) in cases.items():
        rng = np.random.default_rng(7)
        p = tg.Tensor(np.full(count, 8.0), requires_grad=True)
        optimizer, ema = optim.SGD([p], rate), optim.EMA([p], decay)
        error, averaged = [], []
        for _ in range(steps):
            optimizer.step([tg.Tensor(p.numpy() + rng.normal(size=count))])
            ema.update()
            error.append(np.mean(p.numpy() ** 2))
            with ema.applied():
                averaged.append(np.mean(p.numpy() ** 2))
        ax.semilogy(error, color=colour, linewidth=1.5)
        above = 1.28 if name.startswith("rate") else 0.85
        ax.text(steps + 8, error[-1] * above, name, color=colour, va="center")
        if not callable(rate):
            ax.axhline(rate / (2 - rate), color=colour, linestyle=(0, (4, 3)), linewidth=1.1)
        if name == "rate 0.2":
            ax.semilogy(averaged, color=GREEN, linewidth=1.5)
            ax.text(16, 0.0152, "average at rate 0.2,\nd = 0.98", color=GREEN, va="center")
    ax.set(
        xlim=(0, 770),
        xticks=range(0, 601, 100),
        ylim=(4e-3, 100),
        xlabel="step",
        ylabel="mean of p²",
    )
    ax.set_title("Gradient p + noise of variance 1; dashed: noise floor η / (2 − η)")
    return figure


FIGURES = (convergence, optimiser_paths, learning_rates, noise_floor)
