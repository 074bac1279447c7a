"""Flow matching learns to move noise so that it becomes digits: all of it on one page.

A straight line leads from noise z to an image x, with velocity x − z. A network learns the
velocity at each point x_t of such lines (Lipman et al. 2023; Liu et al. 2023). Following it from
t = 0 to 1, pure noise becomes a new digit. The network is usually also given the label, so that
samples can be guided to a class.

    python examples/flow_mnist.py              five epochs, ten minutes on two cores
    python examples/flow_mnist.py --quick      a smoke test, in seconds
    python examples/flow_mnist.py --resume     continue a run that was stopped

The run's folder, runs/flow_mnist, holds samples.png, denoising.gif, curves.png and a checkpoint.
docs/flow.md derives the loss. flow_variants.py has other solvers, minibatch optimal transport,
reflow, which straightens the flow so that one step is enough, and estimates of log p(x).
"""

from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, flow, image, models, nn, optim
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

DEFAULTS = {"epochs": 5, "batch_size": 64, "lr": 1e-3}
WIDTH, DROPPED, DECAY = 48, 0.1, 0.999  # channels; fraction of labels withheld; EMA decay
STEPS, GUIDANCE = 10, 1.5
QUICK = {"epochs": 1, "train": 256, "test_images": 140, "width": 8}


def flow_loss(network: nn.Module, x: Any, labels: Any, t: Any, z: Any) -> tg.Tensor:
    """E ‖v(x_t, t) − (x − z)‖² for x_t = (1 − t) z + t x, t ~ U(0, 1), z ~ N(0, I)"""
    # the U-Net's time embedding is made for times from 0 to 1000
    along = t.reshape(-1, 1, 1, 1)
    x_t = (1 - along) * z + along * x
    return tg.mean((network(x_t, 1000 * t, labels) - (x - z)) ** 2)


@tg.no_grad()
def midpoint(
    network: nn.Module, x: Any, labels: Any, null: int, film: image.Animation | None
) -> Any:
    """x(t + h) = x(t) + h v(x(t) + h/2 v(x(t), t), t + h/2) from t = 0 to 1"""

    def v(x: Any, t: float) -> Any:
        times = tg.xp.full(len(x), 1000 * t, np.float32)
        any_digit = network(x, times, tg.xp.full_like(labels, null)).data
        return any_digit + GUIDANCE * (network(x, times, labels).data - any_digit)

    h = 1 / STEPS
    for t in np.arange(STEPS) * h:
        x = x + h * v(x + h / 2 * v(x, t), t + h / 2)
        if film is not None:
            film.append((x.clip(-1, 1) + 1) / 2, f"t = {t + h:.1f}")
    return x


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/flow_mnist", **DEFAULTS)
    parser.set_defaults(width=WIDTH)
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
        run.keep(velocity=network, adam=adam, ema=ema, batches=batches, rng=rng)

        for x, digits in run.track(batches):
            t = tg.xp.asarray(rng.random(len(x), np.float32))
            z = tg.xp.asarray(rng.standard_normal(x.shape, np.float32))
            digits = flow.drop_labels(digits, null, DROPPED, rng=rng)
            loss = flow_loss(network, x, digits, t, z)
            adam.step(tg.grad(loss, adam.params))
            ema.update()
            run.log(loss=loss)
        ema.copy_to_params()

        def draw(n: int, film: image.Animation | None = None) -> tuple[np.ndarray, np.ndarray]:
            noise = tg.xp.asarray(np.random.default_rng(3).standard_normal((n, *shape), np.float32))
            digits, parts = tg.xp.arange(n) % null, [slice(i, i + 250) for i in range(0, n, 250)]
            samples = [midpoint(network, noise[i], digits[i], null, film) for i in parts]
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
