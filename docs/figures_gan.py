"""The figures of gan.md and gan_deeper.md: the Dirac-GAN, fixed sets, and runs in the plane.

Reading order: the optimal discriminator; the Dirac-GAN; disjoint distributions; 1-Lipschitz
discriminators; missing modes; training on a ring of Gaussians; loss curves.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from drawing import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, RED, bare, canvas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import tinygen as tg
from tinygen import data, gan, metrics, models, nn, optim
from tinygen.data import points_2d
from tinygen.nn import Module

SEED = 0
LEAKY = nn.LeakyReLU(0.2)


# --- the optimal discriminator --------------------------------------------------------------------


def normal(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    """The density of N(mean, std²)."""
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def gan_best() -> Figure:
    """p/(p + q) and a trained discriminator; the derivatives of the generator losses."""
    rng = np.random.default_rng(SEED)
    discriminator = models.mlp([1, 32, 32, 1], tg.tanh, rng=rng)
    adam = optim.Adam(discriminator.parameters(), lambda t: 0.01 * 0.995**t)
    non_saturating = gan.NonSaturating()
    for _ in range(700):
        side = np.where(rng.random((500, 1)) < 0.5, -1.5, 0.5)
        real, fake = (0.4 * rng.standard_normal((500, 1)) + side, rng.normal(0.8, 0.8, (500, 1)))
        both = discriminator(np.concatenate([real, fake]).astype("f4"))[:, 0]
        loss = non_saturating.discriminator(both[:500], both[500:])
        adam.step(tg.grad(loss, adam.params))

    figure = canvas(10, 3.9)
    left, right = figure.subplots(1, 2)
    x = np.linspace(-3, 3.5, 400)
    p, q = (normal(x, -1.5, 0.4) + normal(x, 0.5, 0.4)) / 2, normal(x, 0.8, 0.8)
    left.fill_between(x, p, color=BLUE, alpha=0.18, linewidth=0, label="p, the data")
    left.fill_between(x, q, color=ORANGE, alpha=0.22, linewidth=0, label="q, the generator")
    left.plot(x, p / (p + q), color=INK, label="p / (p + q)")
    shown = np.linspace(-2.6, 3, 45)
    trained = tg.sigmoid(discriminator(shown[:, None].astype("f4"))).numpy()[:, 0]
    left.plot(shown, trained, "o", color=RED, markersize=3, label="σ(D), trained")
    left.set(ylim=(0, 1.45), xlabel="x", xlim=(-3, 3.5), yticks=[0, 0.5, 1])
    left.legend(loc="upper center", ncols=2)
    left.set_title("The optimal discriminator")

    f = np.linspace(-8, 8, 321)
    losses: dict[str, tuple[Any, str]] = {
        "minimax": (gan.Minimax(), RED),
        "non-saturating": (gan.NonSaturating(), BLUE),
        "least squares": (gan.LeastSquares(), GREEN),
        "hinge, Wasserstein": (gan.Hinge(), GREY),
    }
    for name, (loss, colour) in losses.items():
        score = tg.Tensor(f, requires_grad=True)
        descent = -tg.grad(loss.generator(score), score).numpy() * len(f)
        right.plot(f, descent, color=colour, label=name)
    right.set(
        ylim=(-0.6, 2.1), xlabel="f, the discriminator’s score of a sample", ylabel="−∂loss/∂f"
    )
    right.legend(loc="upper right")
    right.set_title("How strongly each generator loss raises the score f")
    return figure


# --- the Dirac-GAN --------------------------------------------------------------------------------


class Point(Module):
    """A generator whose only sample is θ."""

    def __init__(self, theta: float) -> None:
        self.theta = tg.Tensor([theta], requires_grad=True)

    def forward(self, z: Any) -> tg.Tensor:
        return tg.broadcast_to(self.theta, (len(z), 1))


class Line(Module):
    """A discriminator D(x) = ψ x + c, where c is the loss's decision boundary."""

    def __init__(self, psi: float, c: float) -> None:
        self.psi, self.c = tg.Tensor([psi], requires_grad=True), c

    def forward(self, x: Any) -> tg.Tensor:
        return x * self.psi + self.c


def path(
    loss: Any, start: tuple[float, float], steps: int, rate: float = 0.1, **options: Any
) -> np.ndarray:
    """θ and ψ of the Dirac-GAN after each step of gradient descent: (steps + 1, 2)."""
    model = gan.GAN(Point(start[0]), Line(start[1], loss.boundary or 0.0), 1)
    networks = model.generator, model.discriminator
    optimizers = [optim.SGD(network.parameters(), rate) for network in networks]
    zeros, rng = (tg.Tensor([[0.0]]) for _ in range(steps)), np.random.default_rng(SEED)
    points = [start]
    for _ in gan.train(model, zeros, *optimizers, rng=rng, loss=loss, **options):
        points.append((model.generator.theta.item(), model.discriminator.psi.item()))
    return np.array(points)


def field(loss: Any, theta: np.ndarray, psi: np.ndarray, penalty: Any) -> list[np.ndarray]:
    """The direction of gradient descent at each point (θ, ψ) of a grid."""
    t, p = (tg.Tensor(x.reshape(-1, 1), requires_grad=True) for x in (theta, psi))
    c = loss.boundary or 0.0
    f = t * p + c
    discriminator_loss = loss.discriminator(0 * f + c, f)
    if penalty is not None:
        zeros, rng = np.zeros((theta.size, 1)), np.random.default_rng(SEED)
        discriminator_loss = discriminator_loss + penalty(
            lambda x: x * p, zeros, t.detach(), rng=rng
        )
    gradients = tg.grad(loss.generator(f), t), tg.grad(discriminator_loss, p)
    return [-g.numpy().reshape(theta.shape) * theta.size for g in gradients]


def gan_dirac() -> Figure:
    """Paths of eight Dirac-GANs from the same start."""
    r1, gp = (functools.partial(p, weight=0.5) for p in (gan.r1, gan.gradient_penalty))
    cases: dict[str, tuple[Any, dict[str, Any]]] = {
        "minimax": (gan.Minimax(), {}),
        "non-saturating": (gan.NonSaturating(), {}),
        "least squares": (gan.LeastSquares(), {}),
        "hinge": (gan.Hinge(), {}),
        "Wasserstein": (gan.Wasserstein(), {}),
        "Wasserstein, |ψ| ≤ 0.7": (gan.Wasserstein(), {"clip_at": 0.7}),
        "Wasserstein, gradient penalty": (gan.Wasserstein(), {"penalty": gp}),
        "non-saturating, R1": (gan.NonSaturating(), {"penalty": r1}),
    }
    ticks = np.linspace(-1.9, 1.9, 15)
    theta, psi = np.meshgrid(ticks, ticks)
    figure = canvas(10, 5.5)
    for ax, (name, (loss, options)) in zip(figure.subplots(2, 4).flat, cases.items(), strict=True):
        u, v = field(loss, theta, psi, options.get("penalty"))
        if "clip_at" in options:
            ax.axhspan(0.7, 2, color=PALE)
            ax.axhspan(-2, -0.7, color=PALE)
            inside = abs(psi) <= 0.7
            u, v = np.where(inside, u, np.nan), np.where(inside, v, np.nan)
        length = np.hypot(u, v) + 1e-9
        ax.quiver(
            theta,
            psi,
            u / length,
            v / length,
            color=GREY,
            alpha=0.45,
            pivot="mid",
            scale=24,
            width=0.005,
        )
        points = path(loss, (1.2, 0.0), 600, **options)
        ax.plot(*points.T, color=BLUE, linewidth=1.2)
        ax.plot(*points[0], "o", color=BLUE, markersize=4)
        ax.plot(*points[-1], "o", color=RED, markersize=5, zorder=3)
        ax.plot(0, 0, "+", color=INK, markersize=8, zorder=4)
        ax.set(xlim=(-2, 2), ylim=(-2, 2), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.set_title(name, fontsize=10)
        ax.grid(False)
    figure.supxlabel("θ, the generator’s sample (the data are at 0)", fontsize=10)
    figure.supylabel("ψ, the discriminator’s weight", fontsize=10)
    return figure


def by_formula(s: float, gamma: float, h: float) -> np.ndarray:
    """The matrix of a step of (θ, ψ) near the equilibrium, the discriminator first."""
    discriminator = np.array([[1, 0], [-h * s, 1 - h * gamma]])
    generator = np.array([[1, h * s], [0, 1]])
    step: np.ndarray = generator @ discriminator
    return step


def by_measurement(loss: Any, gamma: float, h: float) -> float:
    """The spectral radius of a matrix fitted to steps near the equilibrium."""
    points = path(loss, (1e-4, 0.0), 120, h, penalty=functools.partial(gan.r1, weight=gamma))
    before, after = points[:-1], points[1:]
    step = np.linalg.lstsq(before / 1e-4, after / 1e-4, rcond=None)[0]
    return float(abs(np.linalg.eigvals(step)).max())


def gan_eigenvalues() -> Figure:
    """Eigenvalues of the Dirac-GAN near its equilibrium, and a step's factor, as R1 grows."""
    h, gammas = 0.2, np.linspace(0, 4, 201)
    figure = canvas(10, 3.8)
    left, right = figure.subplots(1, 2)
    losses = {"s = ½": (gan.NonSaturating(), 0.5, BLUE), "s = 1": (gan.Wasserstein(), 1.0, ORANGE)}
    for name, (loss, s, colour) in losses.items():
        roots = np.array([np.linalg.eigvals([[0, s], [-s, -g]]) for g in gammas], complex)
        left.plot(roots.real.ravel(), roots.imag.ravel(), ".", color=colour, markersize=2.5)
        left.plot(roots[0].real, roots[0].imag, "o", color=colour, markersize=7)
        left.plot(-s, 0, "D", color=colour, markersize=6)
        radius = [abs(np.linalg.eigvals(by_formula(s, g, h))).max() for g in gammas]
        right.plot(gammas, radius, color=colour, linewidth=1.3, label=name)
        sampled = np.array([0.0, 0.25, 0.5, 0.75, 1.5, 2.5, 3.5])
        measured = [by_measurement(loss, g, h) for g in sampled]
        right.plot(sampled, measured, "o", color=colour, markersize=4.5)
    left.axvline(0, color=INK, linewidth=0.8)
    left.set(
        xlabel="real part: growth",
        ylabel="imaginary part: rotation",
        xlim=(-2.6, 0.4),
        ylim=(-1.25, 1.25),
    )
    left.annotate("γ = 0: circles", (0, 1), (-1.05, 1.06), color=ORANGE, fontsize=9)
    left.annotate("γ = 2 s", (-1, 0), (-1.5, 0.09), color=ORANGE, fontsize=9)
    left.set_title("Eigenvalues for γ from 0 to 4")
    right.axhline(1, color=INK, linewidth=0.8)
    right.set(xlabel="γ, the weight of R1", ylabel="radius after / before a step")
    right.legend(loc="lower left")
    right.set_title(f"Steps of {h}: measured (dots), derived (lines)")
    return figure


# --- disjoint distributions -----------------------------------------------------------------------


def gan_disjoint() -> Figure:
    """Divergences of N(0, s²) and N(θ, s²), and each loss's derivative with respect to θ."""
    s, x = 0.3, np.linspace(-3, 7, 20001)
    dx, theta = x[1] - x[0], np.linspace(0.02, 4, 200)
    p = normal(x, 0, s) + 1e-300
    js: list[float] = []
    derivatives: dict[str, list[float]] = {"minimax": [], "non-saturating": []}
    for t in theta:
        q = normal(x, t, s) + 1e-300
        m = (p + q) / 2
        js.append(0.5 * dx * (p * np.log(p / m) + q * np.log(q / m)).sum())
        # the optimal D is log p/q = (t² − 2 t x) / 2s², with derivative −t/s² everywhere
        best = p / (p + q)  # σ(D)
        derivatives["minimax"].append(dx * (q * best).sum() * t / s**2)
        derivatives["non-saturating"].append(dx * (q * (1 - best)).sum() * t / s**2)
    figure = canvas(10, 3.7)
    left, right = figure.subplots(1, 2)
    left.plot(theta, theta, color=GREEN, label="Wasserstein distance")
    left.plot(theta, js, color=RED, label="Jensen–Shannon divergence")
    left.axhline(math.log(2), color=GREY, linewidth=0.9, linestyle="--")
    left.annotate("log 2", (3.6, math.log(2)), (0, -13), textcoords="offset points", color=GREY)
    left.set(xlabel="θ, the distance of N(θ, 0.3²) from N(0, 0.3²)", ylim=(0, 2.6), xlim=(0, 4))
    left.legend(loc="upper left")
    left.set_title("Distance between two narrow Gaussians")
    for (name, values), colour in zip(derivatives.items(), (RED, BLUE), strict=True):
        right.semilogy(theta, values, color=colour, label=name)
    right.semilogy(theta, np.ones(len(theta)), color=GREEN, label="Wasserstein")
    right.set(ylim=(1e-7, 1e3), xlim=(0, 4), xlabel="θ", ylabel="|d(generator’s loss)/dθ|")
    right.legend(loc="lower left")
    right.set_title("Gradient with the optimal discriminator")
    return figure


# --- 1-Lipschitz discriminators -------------------------------------------------------------------


class Constraint(NamedTuple):
    """How a discriminator's gradient is bounded."""

    clip_at: float | None = None
    penalty: bool = False
    spectral: bool = False


CONSTRAINTS = {
    "clipping, c = 0.01": Constraint(clip_at=0.01),
    "clipping, c = 0.1": Constraint(clip_at=0.1),
    "gradient penalty": Constraint(penalty=True),
    "spectral normalisation": Constraint(spectral=True),
}


def trained_discriminator(how: Constraint, real: np.ndarray, fake: np.ndarray) -> Any:
    """A discriminator 2-64-64-64-1, trained to estimate the Wasserstein distance of two sets."""
    rng = np.random.default_rng(SEED)
    discriminator = models.mlp([2, 64, 64, 64, 1], LEAKY, rng=rng)
    if how.spectral:
        normalised = [
            nn.SpectralNorm(layer, rng=rng) if hasattr(layer, "weight") else layer
            for layer in discriminator.layers
        ]
        discriminator = nn.Sequential(*normalised)
    optimizer = optim.RMSprop(discriminator.parameters(), lambda t: 3e-3 * 0.994**t)
    loss = gan.Wasserstein()
    for _ in range(500):
        x, y = (points[rng.integers(len(points), size=128)] for points in (real, fake))
        value = loss.discriminator(discriminator(x), discriminator(y))
        if how.penalty:
            value = value + gan.gradient_penalty(discriminator, x, y, rng=rng)
        optimizer.step(tg.grad(value, optimizer.params))
        if how.clip_at:
            gan.clip(optimizer.params, how.clip_at)
    return discriminator.eval()


def weights_of(discriminator: Any) -> np.ndarray:
    """The hidden layers' weights, after any normalisation."""
    weights = []
    for layer in discriminator.layers:
        if isinstance(layer, nn.SpectralNorm):
            inner: Any = layer.layer
            w = inner.weight.numpy()
            weights.append(w / np.linalg.norm(w, 2))
        elif hasattr(layer, "weight"):
            weights.append(layer.weight.numpy())
    return np.concatenate([w.ravel() for w in weights[1:-1]])


def gan_lipschitz() -> Figure:
    """Level lines and weights of four discriminators of two rings at a known distance."""
    fake = points_2d.ring(4000, rng=np.random.default_rng(SEED), std=0.08).points
    real = 2 * fake
    true = float(np.hypot(*fake.T).mean())
    figure = canvas(10, 5.6)
    axes = figure.subplots(2, 4, height_ratios=[1.35, 1])
    ticks = np.linspace(-2.9, 2.9, 60)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).astype("f4")
    for (name, how), above, below in zip(CONSTRAINTS.items(), *axes, strict=True):
        discriminator = trained_discriminator(how, real, fake)
        with tg.no_grad():
            scores = discriminator(plane.reshape(-1, 2)).numpy().reshape(plane.shape[:2])
            distance = float((discriminator(real).mean() - discriminator(fake).mean()).item())
        bare(above).contour(
            ticks, ticks, scores, 14, colors=GREY, linewidths=0.8, linestyles="solid"
        )
        above.plot(*real[:500].T, ".", color=BLUE, markersize=1.6)
        above.plot(*fake[:500].T, ".", color=ORANGE, markersize=1.6)
        above.set(aspect="equal", xlim=(-2.9, 2.9), ylim=(-2.9, 2.9))
        estimate = f"{distance:.2f}" if distance > 0.01 else f"{distance:.5f}"
        above.set_title(f"{name}\nestimate of W: {estimate} (true {true:.2f})", fontsize=10)
        w = weights_of(discriminator)
        end = how.clip_at or np.quantile(abs(w), 0.999).round(1)
        below.hist(w, 41, range=(-1.1 * end, 1.1 * end), color=PURPLE, linewidth=0)
        below.set(yticks=[], xticks=[-end, 0, end], xlabel="value of a weight")
        below.grid(False)
    axes[0, 0].set_ylabel("level lines of D")
    axes[1, 0].set_ylabel("histogram of the weights")
    return figure


# --- missing modes --------------------------------------------------------------------------------


def divergences(a: np.ndarray) -> dict[str, np.ndarray]:
    """Divergences from p to q = p/a on a fraction a of the data, 0 on the rest."""
    b = 1 - a
    within = (1 + 1 / a) / 2  # m/p on the fraction a; on the rest, m/p = ½
    reverse = a * within * np.log(within) + b * 0.5 * np.log(0.5)  # KL(m ‖ p)
    forward = a * np.log(1 / within) + b * math.log(2)  # KL(p ‖ m)
    to_q = np.log(1 / a / within)  # KL(q ‖ m)
    return {"2 JS": forward + to_q, "2 KL(m ‖ p)": 2 * reverse}


def packed(kind: str, m: np.ndarray) -> np.ndarray:
    """The total variation of packs of m samples from p and from q; 1/8 for m = 1."""
    if kind == "one of eight modes missing":
        return 1 - (7 / 8) ** m
    total = []  # half of the modes are 5/4 as frequent as they should be, the others 3/4
    for n in m:
        k = np.arange(n + 1)
        binomial = np.array([math.comb(n, i) for i in k], float) / 2.0**n
        total.append(0.5 * (binomial * abs(1.25**k * 0.75 ** (n - k) - 1)).sum())
    return np.array(total)


def gan_price() -> Figure:
    """The cost of missing data, and the total variation of packs."""
    figure = canvas(10, 3.7)
    left, right = figure.subplots(1, 2)
    a = np.linspace(0.002, 1, 500)
    for (name, values), colour in zip(divergences(a).items(), (RED, BLUE), strict=True):
        left.plot(100 * (1 - a), values, color=colour, label=name)
    left.set(
        xlabel="% of the data never generated",
        ylabel="divergence, in nats",
        xlim=(0, 100),
        ylim=(0, 1.5),
    )
    left.legend(loc="upper left")
    left.set_title("Cost of missing data")
    m = np.arange(1, 17)
    kinds = {"one of eight modes missing": RED, "all present, frequencies off by 25 %": GREEN}
    for kind, colour in kinds.items():
        right.plot(m, packed(kind, m), "o-", color=colour, markersize=4, label=kind)
    right.set(
        xlabel="n, samples in a pack",
        ylabel="total variation of pⁿ and qⁿ",
        ylim=(0, 1),
        xticks=[1, 4, 8, 12, 16],
    )
    right.legend(loc="upper left")
    right.set_title("Total variation of packs")
    return figure


# --- training on a ring of Gaussians --------------------------------------------------------------

STD, BATCH, STEPS = 0.1, 64, 800
SHOWN = (50, 100, 200, 400, 800)  # steps whose samples are plotted
SAMPLES = 4000


def adam(beta1: float, beta2: float = 0.9, **more: float) -> Any:
    return functools.partial(optim.Adam, betas=(beta1, beta2), **more)


class Recipe(NamedTuple):
    """Settings for training two networks of two hidden layers each."""

    loss: Any = gan.NonSaturating()
    optimizer: Any = adam(0.5)
    generator_rate: float = 1e-3
    discriminator_rate: float = 1e-3
    hidden: int = 64
    packing: int = 1
    discriminator_steps: int = 1
    penalty: Any = None
    away: float = 0.0  # shift of the data to the right
    ahead: int = 1  # discriminator steps before the first generator step
    plain: float | None = None  # the generator's rate, with plain gradient descent


class Run(NamedTuple):
    log: dict[str, np.ndarray]  # the terms that `train` yields, by step
    frames: dict[int, np.ndarray]  # samples at the steps SHOWN
    averaged: np.ndarray  # samples of the generator with averaged weights
    misplaced: float


@functools.cache
def trained(recipe: Recipe, seed: int = SEED) -> Run:
    """`STEPS` steps of training on the ring of eight Gaussians."""
    rng = np.random.default_rng(seed)
    real = points_2d.ring(8000, rng=rng, std=STD).points + shift(recipe)
    generator = models.mlp([2, recipe.hidden, recipe.hidden, 2], rng=rng)
    discriminator = models.mlp(
        [2 * recipe.packing, recipe.hidden, recipe.hidden, 1], LEAKY, rng=rng
    )
    model = gan.GAN(generator, discriminator, 2, packing=recipe.packing)

    optimizers = [
        recipe.optimizer(generator.parameters(), recipe.generator_rate),
        recipe.optimizer(discriminator.parameters(), recipe.discriminator_rate),
    ]
    if recipe.plain:
        optimizers[0] = optim.SGD(generator.parameters(), recipe.plain)
    batches = data.Batches(real, BATCH, rng=rng)
    average = optim.EMA(generator.parameters(), 0.99)
    log: list[dict[str, float]] = []
    frames = {}
    for discriminator_steps, until in ((recipe.ahead, 1), (recipe.discriminator_steps, STEPS)):
        steps = gan.train(
            model,
            batches,
            *optimizers,
            rng=rng,
            loss=recipe.loss,
            penalty=recipe.penalty,
            discriminator_steps=discriminator_steps,
        )
        for terms in itertools.islice(steps, until - len(log)):
            log.append({name: float(value) for name, value in terms.items()})
            average.update()
            if len(log) in SHOWN:
                frames[len(log)] = samples(model)
    with average.applied():
        averaged = samples(model)
    return Run(
        {name: np.array([terms[name] for terms in log]) for name in log[0]},
        frames,
        averaged,
        misplaced(frames[STEPS] - shift(recipe)),
    )


def shift(recipe: Recipe) -> np.ndarray:
    return np.array([recipe.away, 0], "f4")


def samples(model: gan.GAN) -> np.ndarray:
    return model.sample(SAMPLES, rng=np.random.default_rng(SEED))


def misplaced(x: np.ndarray) -> float:
    """The fraction of samples that must move so that each mode has an eighth."""
    counts = metrics.modes(x, points_2d.ring_means(), STD).counts
    return float(1 - np.minimum(counts / len(x), 1 / 8).sum())


RECIPES = {
    "baseline (β₁ = 0.5)": Recipe(),
    "β₁ = 0.9": Recipe(optimizer=adam(0.9, 0.999)),
    "β₁ = 0": Recipe(optimizer=adam(0.0)),
    "RMSprop": Recipe(optimizer=optim.RMSprop),
    "Adagrad": Recipe(optimizer=optim.Adagrad),
    "L1 in both losses, 10⁻⁴": Recipe(optimizer=adam(0.5, l1=1e-4)),
    "L2 in both losses, 10⁻³": Recipe(optimizer=adam(0.5, l2=1e-3)),
    "both rates / 4": Recipe(generator_rate=2.5e-4, discriminator_rate=2.5e-4),
    "both rates × 4": Recipe(generator_rate=4e-3, discriminator_rate=4e-3),
    "discriminator’s rate × 4": Recipe(discriminator_rate=4e-3),
    "generator’s rate × 4": Recipe(generator_rate=4e-3),
    "two discriminator steps": Recipe(discriminator_steps=2),
    "smaller networks (16 units)": Recipe(hidden=16),
    "least squares": Recipe(loss=gan.LeastSquares()),
    "hinge": Recipe(loss=gan.Hinge()),
    "R1, γ = 0.1": Recipe(penalty=functools.partial(gan.r1, weight=0.1)),
    "packing 2": Recipe(packing=2),
}


def scatter(ax: Axes, x: np.ndarray, colour: str, middle: float = 0.0) -> None:
    """Samples over the modes."""
    for mean in points_2d.ring_means() + np.array([middle, 0]):
        ax.add_patch(Circle(mean, 2 * STD, facecolor=PALE, edgecolor=GREY, linewidth=0.5))
    bare(ax).plot(*x[:1000].T, ".", color=colour, markersize=1.5, zorder=2)
    ax.set(xlim=(middle - 1.8, middle + 1.8), ylim=(-1.8, 1.8), aspect="equal")


def gan_modes() -> Figure:
    """Samples of four runs at five steps."""
    rows = ["β₁ = 0.9", "baseline (β₁ = 0.5)", "packing 2", "discriminator’s rate × 4"]
    figure = canvas(8.6, 7)
    axes = figure.subplots(len(rows), len(SHOWN))
    for step, ax in zip(SHOWN, axes[0], strict=True):
        ax.set_title(f"step {step}", fontsize=10)
    for name, row in zip(rows, axes, strict=True):
        run = trained(RECIPES[name])
        for step, ax in zip(SHOWN, row, strict=True):
            scatter(ax, run.frames[step], BLUE)
        row[0].set_ylabel(name, fontsize=10)
    return figure


# --- loss curves ----------------------------------------------------------------------------------


def smooth(values: np.ndarray, width: int = 25) -> np.ndarray:
    """Means of the last `width` steps; of fewer at the start."""
    total = np.cumsum(np.concatenate([[0], values]))
    i = np.arange(1, len(total))
    first = np.maximum(i - width, 0)
    means: np.ndarray = (total[i] - total[first]) / (i - first)
    return means


def gan_zero() -> Figure:
    """Four runs: the discriminator's loss, the generator's gradient and the final samples."""
    late = functools.partial(Recipe, away=5.0, ahead=300)
    recipes = {
        "A: minimax, gradient descent": late(gan.Minimax(), plain=0.1),
        "B: minimax, Adam": late(gan.Minimax()),
        "C: discriminator’s rate × 4": RECIPES["discriminator’s rate × 4"],
        "D: β₁ = 0.9, both rates / 4": Recipe(
            optimizer=adam(0.9, 0.999), generator_rate=2.5e-4, discriminator_rate=2.5e-4
        ),
    }
    figure = canvas(10, 6.4)
    axes = figure.subplots(3, 4, height_ratios=[1, 1, 1.5])
    for (name, recipe), (loss, gradient, final) in zip(recipes.items(), axes.T, strict=True):
        run = trained(recipe)
        steps = np.arange(1, STEPS + 1)
        loss.plot(steps, smooth(run.log["discriminator_loss"], 10), color=BLUE)
        loss.axhline(2 * math.log(2), color=INK, linewidth=0.9, linestyle="--")
        loss.set(ylim=(-0.1, 2.6), xlim=(0, STEPS), xticks=[0, 400, 800])
        loss.set_title(name, fontsize=10)
        gradient.semilogy(steps, run.log["generator_gradient"], color=ORANGE, linewidth=0.8)
        gradient.set(ylim=(1e-8, 1e2), xlim=(0, STEPS), xticks=[0, 400, 800], xlabel="step")
        scatter(final, run.frames[STEPS], BLUE, recipe.away)
        if name[0] == "A":
            final.set(xlim=(-2.5, 6.5), ylim=(-4.5, 4.5), xlabel="(zoomed out 2.5 times)")
    for ax, label in zip(
        axes[:, 0],
        ("discriminator’s loss", "generator’s gradient", "samples at step 800"),
        strict=True,
    ):
        ax.set_ylabel(label)
    return figure


def gan_curves() -> Figure:
    """Five successful runs: both losses and their values at equilibrium; accuracy or distance."""
    penalty = functools.partial(gan.gradient_penalty, weight=1.0)
    recipes = {
        "minimax": (Recipe(gan.Minimax(), discriminator_rate=4e-3), (-1, 2)),
        "non-saturating": (RECIPES["discriminator’s rate × 4"], (0.4, 2)),
        "least squares": (Recipe(gan.LeastSquares(), discriminator_rate=4e-3), (0, 0.6)),
        "hinge": (Recipe(gan.Hinge(), discriminator_rate=4e-3), (-0.5, 3)),
        "Wasserstein": (
            Recipe(gan.Wasserstein(), discriminator_steps=2, penalty=penalty),
            (-1, 1.2),
        ),
    }
    figure = canvas(10, 4.6)
    axes = figure.subplots(2, 5)
    steps = np.arange(1, STEPS + 1)
    for (name, (recipe, limits)), (above, below) in zip(recipes.items(), axes.T, strict=True):
        run = trained(recipe)
        above.set_ylim(limits)
        for network, colour in (("discriminator", BLUE), ("generator", ORANGE)):
            values = smooth(run.log[f"{network}_loss"])
            above.plot(steps, values, color=colour, linewidth=1.2, label=network)
            if f"{network}_at_equilibrium" in run.log:
                value = run.log[f"{network}_at_equilibrium"][0]
                above.axhline(value, color=colour, linewidth=0.9, linestyle="--")
        above.set_title(f"{name}\n{run.misplaced:.0%} misplaced", fontsize=10)
        kind = "accuracy" if "accuracy" in run.log else "distance"
        below.plot(steps, smooth(run.log[kind]), color=PURPLE, linewidth=1.2)
        below.axhline(0.5 if kind == "accuracy" else 0, color=PURPLE, linewidth=0.9, linestyle="--")
        below.set_ylabel(kind)
        below.set(ylim=(0.4, 1) if kind == "accuracy" else (-0.2, 1), xlabel="step")
        for ax in (above, below):
            ax.set(xlim=(0, STEPS), xticks=[0, 400, 800])
    axes[0, 0].set_ylabel("loss")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def gan_tried() -> Figure:
    """The fraction of misplaced samples, with one change of the baseline at a time."""
    figure = canvas(9, 5.2)
    ax = figure.subplots()
    scores = {
        name: [trained(recipe, seed).misplaced for seed in range(3)]
        for name, recipe in RECIPES.items()
    }
    baseline = next(iter(scores))
    scores["averaged weights (EMA)"] = [
        misplaced(trained(RECIPES[baseline], seed).averaged) for seed in range(3)
    ]
    best, median, worst = sorted(scores.pop(baseline))
    order = sorted(scores, key=lambda name: np.mean(scores[name]), reverse=True)
    ax.axvspan(best, worst, color=PALE, linewidth=0)
    ax.axvline(median, color=INK, linewidth=1)
    for i, name in enumerate(order):
        low, middle, high = sorted(scores[name])
        colour = GREEN if high < best else RED if low > worst else INK
        ax.plot([low, high], [i, i], color=colour, linewidth=2, alpha=0.35)
        ax.plot([low, middle, high], [i] * 3, "o", color=colour, markersize=5)
    ax.set(yticks=range(len(order)), yticklabels=order, xlim=(0, 1))
    ax.set_xlabel(f"fraction of misplaced samples after {STEPS} steps (three seeds each)")
    ax.set_title("One change at a time (grey: the baseline)")
    ax.grid(axis="y", visible=False)
    return figure


FIGURES = (
    gan_best,
    gan_dirac,
    gan_eigenvalues,
    gan_disjoint,
    gan_lipschitz,
    gan_price,
    gan_modes,
    gan_zero,
    gan_curves,
    gan_tried,
)
