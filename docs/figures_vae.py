"""The figures of vae.md and vae_deeper.md: small VAEs of synthetic digits, and models whose p(x) is
known.

Reading order: the small VAE; the KL; gradient estimators; reconstruction against KL; importance
weighting; the latent plane; codebooks.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, bare, canvas
from matplotlib.figure import Figure

import tinygen as tg
from tinygen import data, image, models, nn, optim, vae
from tinygen.vae import vq

SEED = 3
PIXELS = 28 * 28


# --- the small VAE --------------------------------------------------------------------------------


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Synthetic digits: training images, test images and test labels."""
    train, test = data.load("digits", train=3000, test=600)
    return train.images, test.images, test.labels


def network(latent: int) -> vae.VAE:
    """A dense VAE, 784-128-D-128-784."""
    rng = np.random.default_rng(SEED)
    encoder = nn.Sequential(nn.Flatten(), models.mlp([PIXELS, 128, 2 * latent], rng=rng))
    decoder = nn.Sequential(models.mlp([latent, 128, PIXELS], rng=rng), nn.Reshape(28, 28, 1))
    return vae.VAE(encoder, decoder, latent)


@functools.cache
def learnt(latent: int = 20, beta: float = 1.0, epochs: int = 12) -> vae.VAE:
    """A VAE of synthetic digits, trained for about a second."""
    model, rng = network(latent), np.random.default_rng(SEED)
    batches = data.Batches(digits()[0], 100, rng=rng, epochs=epochs)
    optimizer = optim.Adam(model.parameters(), 2e-3)
    bound = functools.partial(vae.elbo, beta=beta)
    for _ in vae.train(model, batches, optimizer, rng=rng, bound=bound):
        pass
    return model


def evaluated(model: vae.VAE) -> dict[str, float]:
    """The ELBO's terms on held-out digits."""
    return vae.evaluate(model, digits()[1], rng=np.random.default_rng(SEED))


# --- the KL ---------------------------------------------------------------------------------------


def vae_kl() -> Figure:
    """KL(N(μ, σ²) ‖ N(0, 1)): contours over μ and σ, and five Gaussians q."""
    cases = [
        (0.0, 1.0, GREY),
        (0.0, 0.3, BLUE),
        (1.5, 0.6, GREEN),
        (-2.0, 0.15, RED),
        (0.0, 2.0, PURPLE),
    ]
    figure = canvas(10, 3.9)
    left, right = figure.subplots(1, 2)
    mu, sigma = np.meshgrid(np.linspace(-3, 3, 241), np.geomspace(0.05, 4, 241))
    kl = vae.gaussian_kl(mu, 2 * np.log(sigma)).numpy()
    levels = [0.1, 0.5, 1, 2, 3, 4, 5, 6]
    lines = left.contour(mu, sigma, kl, levels, colors=GREY, linewidths=0.9)
    left.clabel(lines, fmt="%g", fontsize=8)
    left.set(
        yscale="log",
        xlabel="μ",
        ylabel="σ",
        yticks=[0.1, 0.3, 1, 3],
        yticklabels=["0.1", "0.3", "1", "3"],
    )
    left.set_title("KL from q = N(μ, σ²) to the prior, in nats")
    left.grid(False)
    z = np.linspace(-4, 4, 801)
    for m, s, colour in cases:
        left.plot(m, s, "o", color=colour, markersize=9, markeredgecolor="white", zorder=3)
        q = np.exp(-0.5 * ((z - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
        nats = float(vae.gaussian_kl(m, 2 * np.log(s)))
        if colour is GREY:
            right.fill_between(z, q, color=GREY, alpha=0.25, linewidth=0)
        else:
            right.plot(z, q, color=colour)
        at, across = (m + 0.2 * s + 0.1, q.max() * 0.98), "left"
        if s >= 1:
            at, across = (m + 1.9 if s > 1 else m - 1.3, 0.2 if s > 1 else 0.29), "center"
        right.text(*at, f"{nats:.2f}".rstrip("0").rstrip("."), color=colour, va="center", ha=across)
    right.set(xlabel="z", ylabel="density", ylim=(0, 2.9), xlim=(-4, 4))
    right.set_title("Five Gaussians q and their KL to the prior (grey)")
    return figure


# --- gradient estimators --------------------------------------------------------------------------

DELTA, S2, V = 1.0, 1.0, 0.5  # each unit's x − μ, variance of p(x|z) and variance of q


def predicted(D: np.ndarray) -> dict[str, np.ndarray]:
    """Variances of three estimators of ∂/∂μ₁ E_q[log p(x|z)] for x = z + noise in D dimensions.

    With z = μ + √V ε, one unit's log p(x|z) is A + B ε + C ε².
    """
    A = -0.5 * np.log(2 * np.pi * S2) - DELTA**2 / (2 * S2)
    B, C = DELTA * np.sqrt(V) / S2, -V / (2 * S2)
    squared_mean = (DELTA / S2) ** 2  # of the gradient

    def variance(middle: Any) -> Any:
        others = (D - 1) * (B**2 + 2 * C**2)
        return (others + middle**2 + 3 * B**2 + 15 * C**2 + 6 * middle * C) / V - squared_mean

    return {
        "score function": variance(A + (D - 1) * (A + C)),
        "score function, with a baseline": variance(-C),
        "reparameterised": np.full(len(D), V / S2**2),
    }


def measured(D: int, draws: int = 20_000) -> list[float]:
    """The same variances, measured over random draws."""
    eps = np.random.default_rng(SEED).standard_normal((draws, D))
    z = tg.Tensor(np.sqrt(V) * eps, requires_grad=True)  # μ = 0
    log_p = vae.log_normal(tg.Tensor(np.full(D, DELTA)), z, np.log(S2))
    score = eps[:, 0] / np.sqrt(V)  # ∂ log q / ∂μ₁
    f = log_p.numpy()
    direct = tg.grad(tg.sum(log_p), z).numpy()[:, 0]
    return [float(g.var()) for g in (f * score, (f - f.mean()) * score, direct)]


def of_digits(D: int, draws: int = 400, images: int = 20) -> list[float]:
    """The same variances for a trained decoder: means over images and units."""
    model, rng = learnt(D), np.random.default_rng(SEED)
    x = digits()[1][:images]
    with tg.no_grad():
        mu, log_var = model.encode(x)
    sigma = np.exp(log_var.numpy() / 2)
    eps = rng.standard_normal((draws, images, D), np.float32)
    z = tg.Tensor((mu.numpy() + sigma * eps).reshape(-1, D), requires_grad=True)
    log_p = model.likelihood.log_prob(np.tile(x, (draws, 1, 1, 1)), model.decode(z))
    f = log_p.numpy().reshape(draws, images, 1)
    direct = tg.grad(tg.sum(log_p), z).numpy().reshape(eps.shape)
    score = eps / sigma
    estimates = f * score, (f - f.mean(axis=0)) * score, direct
    return [float(g.var(axis=0).mean()) for g in estimates]


def vae_gradients() -> Figure:
    """The variance of single-draw gradients, against the number of latent units."""
    figure = canvas(10, 4.1)
    left, right = figure.subplots(1, 2)
    colours = (RED, ORANGE, BLUE)
    line, dots = np.geomspace(1, 128, 100), 2 ** np.arange(8)
    for (name, variances), values, colour in zip(
        predicted(line).items(),
        zip(*map(measured, dots.tolist()), strict=True),
        colours,
        strict=True,
    ):
        left.loglog(line, variances, color=colour, linewidth=1.2)
        left.loglog(dots, values, "o", color=colour, markersize=5, label=name)
    left.set(xlabel="latent units D", ylabel="variance of a single-draw gradient")
    left.set_title("x = z + noise: dots measured, lines derived")
    sizes = [2, 5, 10, 20, 40]
    trained = np.array([of_digits(size) for size in sizes]).T
    for values, colour in zip(trained / trained[-1], colours, strict=True):
        right.loglog(sizes, values, "o-", color=colour, markersize=5)
        for at, ha in ((0, "left"), (-1, "right")):
            if colour is not BLUE:
                right.annotate(
                    f"{values[at]:,.2g}" if values[at] < 10 else f"{values[at]:,.0f}",
                    (sizes[at], values[at]),
                    (0, 8),
                    textcoords="offset points",
                    color=colour,
                    ha=ha,
                )
    right.set(
        xlabel="latent units D",
        ylabel="variance ÷ reparameterised variance",
        xticks=sizes,
        xticklabels=sizes,
        ylim=(0.5, 1e5),
    )
    right.minorticks_off()
    right.set_title("Trained decoders of synthetic digits")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


# --- reconstruction against KL --------------------------------------------------------------------


def vae_trade() -> Figure:
    """Reconstruction against KL of models trained with different β."""
    betas = (0.1, 0.3, 1, 2, 4, 8, 784)
    terms = [evaluated(learnt(beta=beta)) for beta in betas]
    kl, reconstruction = (np.array([t[name] for t in terms]) for name in ("kl", "reconstruction"))
    figure = canvas(6.6, 7.2)
    ax = figure.subplots()
    ends = np.array([-4, 92])
    for level in range(100, 281, 20):
        ax.plot(ends, level - ends, color=GREY, linewidth=0.6, alpha=0.6)
        at = 8 if level == 100 else (level - 62) / 2
        if at < 88:
            ax.text(
                at,
                level - at,
                f"{level}",
                color=GREY,
                size=8,
                rotation=-45,
                ha="center",
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
    ax.plot(kl, reconstruction, "o-", color=BLUE, markersize=6)
    for beta, x, y in zip(betas, kl, reconstruction, strict=True):
        colour = RED if beta == 1 else BLUE
        ax.plot(x, y, "o", color=colour, markersize=9 if beta == 1 else 6)
        ax.annotate(
            f"β = {beta:g}: {x + y:.0f}",
            (x, y),
            (8, 6),
            textcoords="offset points",
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )
    ax.set(
        aspect="equal",
        xlim=ends,
        ylim=(84, 204),
        xlabel="KL, nats per image",
        ylabel="reconstruction, nats per image",
    )
    ax.grid(False)
    ax.set_title("β and −ELBO on held-out digits; grey: equal −ELBO")
    return figure


def vae_collapse() -> Figure:
    """Three models: KL per unit, reconstructions and samples."""
    cases = {"β = 1": (1.0, BLUE), "β = 4": (4.0, ORANGE), "β = 784": (784.0, RED)}
    figure = canvas(10, 4.3)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.75])
    _, test, labels = digits()
    images = test[[int(np.flatnonzero(labels == k)[1]) for k in range(10)]]
    rows: dict[str, Any] = {"held-out image": images}
    for name, (beta, colour) in cases.items():
        model = learnt(beta=beta, epochs=36)
        units = np.sort(vae.unit_kl(model, test))[::-1]
        left.plot(
            np.arange(1, 21),
            units,
            "o-",
            color=colour,
            markersize=4,
            linewidth=1.2,
            label=f"{name}: {units.sum():.1f} nats in total",
        )
        rows[f"reconstructed, {name}"] = model.reconstruct(images)
        rows[f"sampled, {name}"] = model.sample(10, rng=np.random.default_rng(SEED))
    left.set(
        xlabel="latent unit, sorted by KL",
        ylabel="KL, nats per image",
        xticks=[1, 5, 10, 15, 20],
        ylim=(-0.05, 2.3),
    )
    left.legend(loc="upper right")
    left.set_title("KL of each unit")
    image.compare(right, rows, columns=10, title="Images, reconstructions and samples")
    return figure


# --- importance weighting -------------------------------------------------------------------------


def known_model(off: float) -> tuple[vae.VAE, np.ndarray, float, np.ndarray, np.ndarray]:
    """A linear model x = z W + noise with posterior N(m, diag v) and q = N(m + off, diag v e^off).

    Returns the model, an x, log p(x), q's shift and v.
    """
    D, P, sigma = 2, 4, 0.5
    rng = np.random.default_rng(SEED)
    w = np.linalg.qr(rng.standard_normal((P, D)))[0].T * [[1.5], [0.7]]  # (D, P)
    x = rng.standard_normal((1, D)) @ w + sigma * rng.standard_normal((1, P))
    s = w.T @ w + sigma**2 * np.eye(P)
    log_p = -0.5 * (x @ np.linalg.solve(s, x.T) + np.linalg.slogdet(2 * np.pi * s)[1]).item()
    v = 1 / (1 + (w * w).sum(axis=1) / sigma**2)
    m = (x @ w.T) * v / sigma**2
    encoded = np.hstack([m + off, np.log(v)[None] + off])
    model = vae.VAE(
        lambda x: tg.Tensor(np.tile(encoded, (len(x), 1))),
        lambda z: z @ w,
        D,
        likelihood=vae.Gaussian(sigma).astype(float),
    )
    return model, x, log_p, np.full(D, off), v


def vae_bounds() -> Figure:
    """L_k against k where log p(x) is known, for two q's at known distances from p(z|x)."""
    figure = canvas(10, 4)
    left, right = figure.subplots(1, 2)
    ks = 2 ** np.arange(11)
    for off, colour in ((0.3, BLUE), (0.8, ORANGE)):
        model, x, log_p, shift, v = known_model(off)
        log_w = [
            vae.log_weights(model, x, k=2**17, rng=np.random.default_rng(seed))[0].numpy()
            for seed in range(4)
        ]
        ratios = np.exp(np.concatenate(log_w)[:, 0] - log_p)  # w / p(x), whose mean is 1
        gaps = []
        for k in ks:
            means = ratios.reshape(-1, k).mean(axis=1)
            # the mean of r − 1 is 0; subtracting it cuts the noise a thousandfold for large k
            gaps.append(float((means - 1 - np.log(means)).mean()))
        name = f"q shifted by {off}, its variance × {np.exp(off):.2f}"
        left.semilogx(ks, log_p - np.array(gaps), "o-", color=colour, markersize=4, label=name)
        left.semilogx(
            ks, np.full(len(ks), log_p - gaps[0]), color=colour, linestyle=":", linewidth=1.3
        )
        right.loglog(ks, gaps, "o", color=colour, markersize=4)
        s = v * np.exp(off)  # E_q[(w / p(x))²] of two Gaussians, whose variances are v and s
        square = np.prod(s / np.sqrt(v * (2 * s - v)) * np.exp(shift**2 / (2 * s - v)))
        right.loglog(ks, (square - 1) / (2 * ks), color=colour, linewidth=1.2)
    left.axhline(log_p, color=INK, linewidth=1.3)
    left.annotate("log p(x)", (1, log_p), (0, 4), textcoords="offset points", color=INK)
    left.legend(loc="lower right", bbox_to_anchor=(1, 0.08))
    left.set(xlabel="draws k", ylabel="nats", ylim=(None, log_p + 0.5))
    left.set_title("L_k; dotted: the mean of k ELBOs")
    right.set(xlabel="draws k", ylabel="nats")
    right.set_title("log p(x) − L_k; lines: Var(w / p(x)) / 2k")
    return figure


# --- the latent plane -----------------------------------------------------------------------------


def vae_plane() -> Figure:
    """Two latent units: decoded images and the codes of held-out digits."""
    model = learnt(latent=2, epochs=40)
    figure = canvas(9, 4.2)
    left, right = figure.subplots(1, 2)
    image.manifold(left, model.generate, side=12, title="The latent plane, decoded")
    _, test, labels = digits()
    image.plane(right, model.means(test), labels, title="The codes of held-out digits")
    edge = image.grids.quantiles(12)[-1]
    right.plot(
        edge * np.array([-1, 1, 1, -1, -1]),
        edge * np.array([-1, -1, 1, 1, -1]),
        color=INK,
        linewidth=1.3,
        linestyle="--",
    )
    return figure


# --- codebooks ------------------------------------------------------------------------------------


def codebook(restarts: bool) -> tuple[np.ndarray, vq.VectorQuantiser]:
    """Points in the plane and 32 codes, most of which start far from them."""
    rng = np.random.default_rng(SEED)
    points = data.moons(2000, rng=rng)[0].astype("f4") + 1.5
    quantiser = vq.VectorQuantiser(32, 2, rng=rng, decay=0.9)
    for step in range(1, 101):
        batch = points[rng.integers(len(points), size=100)]
        quantiser(batch)
        if restarts and step in (35, 70):
            quantiser.restart(batch, rng=rng)
    return points, quantiser


def vae_codebook() -> Figure:
    """Final codes, with and without restarts."""
    figure = canvas(10, 4.2)
    for ax, restarts in zip(figure.subplots(1, 2), (False, True), strict=True):
        points, quantiser = codebook(restarts)
        e, chosen = quantiser.e.numpy(), quantiser.nearest(points)
        used = np.unique(chosen)
        lines = np.stack([points, e[chosen]])  # (2, N, 2)
        bare(ax).plot(lines[..., 0], lines[..., 1], color=SKY, linewidth=0.3, zorder=1)
        ax.plot(*points.T, ".", color=GREY, markersize=1.5)
        ax.plot(*e.T, "x", color=RED, markersize=6, markeredgewidth=1.5)
        ax.plot(*e[used].T, "o", color=BLUE, markersize=6, markeredgecolor="white")
        error = ((points - e[chosen]) ** 2).sum(axis=1).mean()
        ax.set(aspect="equal", xlim=(-2.4, 4), ylim=(-1.8, 3))
        name = "Two restarts" if restarts else "No restart"
        ax.set_title(f"{name}: {len(used)} of {len(e)} codes in use, squared error {error:.3f}")
    return figure


FIGURES = (vae_kl, vae_gradients, vae_trade, vae_collapse, vae_bounds, vae_plane, vae_codebook)
