"""A diffusion model learns to denoise digits, and so to draw them: all of it on one page.

Noise is added to an image x_0 until only noise is left, at t = T. A network learns to separate
image and noise (Ho et al. 2020), so that pure noise can be denoised, step by step, into a new
digit. It is usually also given the label, so that samples can be guided to a class.

    python examples/diffusion_mnist.py              five epochs, ten minutes on two cores
    python examples/diffusion_mnist.py --quick      a smoke test, in seconds
    python examples/diffusion_mnist.py --resume     continue a run that was stopped

The run's folder, runs/diffusion_mnist, holds samples.png, denoising.gif, curves.png, a checkpoint.
docs/diffusion.md derives the loss; diffusion_variants.py has other schedules, losses and samplers.
"""

from itertools import pairwise
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, diffusion, image, models, nn, optim
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

DEFAULTS = {"epochs": 5, "batch_size": 64, "lr": 1e-3}
T, STEPS, GUIDANCE = 1000, 20, 1.5
WIDTH, DROPPED, DECAY = 48, 0.1, 0.999  # channels; fraction of labels withheld; EMA decay
QUICK = {"epochs": 1, "train": 256, "test_images": 140, "width": 8}

# ᾱ_t, t = 0 … T: cosine schedule (Nichol and Dhariwal 2021, eq. 17; 1.016 for 1.008 keeps ᾱ_T > 0)
ALPHA_BAR = np.cos(np.pi / 2 * (np.arange(T + 1) / T + 0.008) / 1.016)[:, None, None, None] ** 2
ALPHA_BAR /= ALPHA_BAR[0]
A, B = np.float32(np.sqrt(ALPHA_BAR)), np.float32(np.sqrt(1 - ALPHA_BAR))


def denoising_loss(network: nn.Module, x_0: Any, labels: Any, t: Any, eps: Any) -> tg.Tensor:
    """E ‖v − v̂(x_t, t)‖² for v = √ᾱ_t ε − √(1−ᾱ_t) x_0, t ~ U{1 … T}, ε ~ N(0, I)"""
    a, b = tg.xp.asarray(A[t]), tg.xp.asarray(B[t])  # (N, 1, 1, 1)
    x_t = a * x_0 + b * eps  # a draw from q(x_t|x_0) = N(√ᾱ_t x_0, (1−ᾱ_t) I)
    v = a * eps - b * x_0  # Salimans and Ho 2022, section 4
    return tg.mean((v - network(x_t, tg.xp.asarray(t, np.float32), labels)) ** 2)


@tg.no_grad()
def ddim(network: nn.Module, x: Any, labels: Any, null: int, film: image.Animation | None) -> Any:
    """x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s) ε̂ from t to s < t, until s = 0 (Song et al. 2021, eq. 12)"""
    for t, s in pairwise(np.linspace(T, 0, STEPS + 1).round().astype(int)):
        a_t, b_t, a_s, b_s = (tg.xp.asarray(c[i]) for i in (t, s) for c in (A, B))
        times = tg.xp.full(len(x), t, np.float32)
        v = network(x, times, tg.xp.full_like(labels, null)).data
        v = v + GUIDANCE * (network(x, times, labels).data - v)  # classifier-free guidance
        x_0 = (a_t * x - b_t * v).clip(-1, 1)
        eps = (x - a_t * x_0) / b_t
        x = a_s * x_0 + b_s * eps
        if film is not None:
            film.append((x.clip(-1, 1) + 1) / 2, f"t = {s}")
    return x


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/diffusion_mnist", **DEFAULTS)
    parser.set_defaults(width=WIDTH, predicts="v", schedule="cosine")  # saved with the run
    commandline.add_subsets(parser)
    args = commandline.parse(parser, quick=QUICK)
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    labels = np.zeros(len(train.images), int) if train.labels is None else train.labels
    shape, null = train.images.shape[1:], 1 + int(labels.max())  # null: the label "any digit"

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        network = models.small_unet(shape, args.width, null, rng=rng)
        size = min(args.batch_size, len(labels))
        batches = data.Batches(
            2 * train.images - 1, size, rng=rng, labels=labels, epochs=args.epochs, drop_last=True
        )
        params, total = dict(network.named_parameters()), max(1, batches.steps or 0)
        rate = optim.warm_up(optim.cosine(args.lr, total), total // 50 + 1)
        adam, ema = optim.Adam(params, rate), optim.EMA(params, DECAY)
        run.keep(denoiser=network, adam=adam, ema=ema, batches=batches, rng=rng)

        for x_0, digits in run.track(batches):
            t = rng.integers(1, T + 1, len(x_0))
            eps = tg.xp.asarray(rng.standard_normal(x_0.shape, np.float32))
            digits = diffusion.drop_labels(digits, null, DROPPED, rng=rng)
            loss = denoising_loss(network, x_0, digits, t, eps)
            adam.step(tg.grad(loss, adam.params))
            ema.update()
            run.log(loss=loss)
        ema.copy_to_params()

        def draw(n: int, film: image.Animation | None = None) -> tuple[np.ndarray, np.ndarray]:
            noise = tg.xp.asarray(np.random.default_rng(3).standard_normal((n, *shape), np.float32))
            digits, parts = tg.xp.arange(n) % null, [slice(i, i + 250) for i in range(0, n, 250)]
            samples = [ddim(network, noise[i], digits[i], null, film) for i in parts]
            return (tg.to_numpy(tg.xp.concatenate(samples)).clip(-1, 1) + 1) / 2, digits

        film = image.Animation()
        image.grid(run.path("samples.png"), draw(100, film)[0], title="Samples")
        film.save(run.path("denoising.gif"), title="From noise to digits")
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Squared error")
        run.results(seconds=run.seconds, parameters=sum(p.size for p in adam.params))
        if verdict := judge(run, args, draw, test.images, most=1000):
            print(verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


if __name__ == "__main__":
    commandline.main(main)
