"""Reproduces a published table: −log p(x) of MNIST under VAEs and IWAEs.

Burda, Grosse and Salakhutdinov (2016) trained the same networks, 784-200-200-50-200-200-784, on two
bounds with k samples of z each: the mean of k ELBOs ("VAE") or the importance-weighted bound
("IWAE"). Their Table 1 has −log p(x) of test images in nats. The recipe here is that of the
authors' program: pixels binarised at random each time, 20 images in a batch, always in MNIST's own
order, the weights of every layer from one random seed, Adam with ε = 1e-4, and eight stages of 1,
3, 9, … 2187 epochs, each at a lower learning rate. (Except that Adam has the usual β₁ = 0.9 and
starts with v = 0; theirs has 0.99 and 1.) −log p(x) is estimated at the end of each stage.

    python examples/iwae_table.py                                    IWAE, k = 5, all stages
    python examples/iwae_table.py --stages 3                         the first 13 of 3,280 epochs
    python examples/iwae_table.py --objective vae --k 1 --stages 3

The run can be stopped at any time and continued with --resume. Results after 1, 4 and 13 epochs,
with seed 0, on two cores of an AMD EPYC; in brackets those of an earlier program:

                        1                  4                 13            time per epoch
    VAE, k = 1     119.00 (118.45)    103.74 (103.53)    96.71 (96.98)          7 s
    IWAE, k = 5    115.15 (114.65)    101.89 (102.62)    95.46 (95.33)         10 s

With seed 1 IWAE reached 116.14, 102.45 and 95.54: the first depends most on the seed. With shuffled
images and different initial weights in each layer, VAE learns faster: 113.5 after one epoch, 102.3
after four. Three stages take two minutes, and all eight would take six to nine hours.

Reading order: the constants; `from_one_seed`, `Encoder`, `networks`; `mean_elbo`; `ends` and
`rate`, the stages; `adam`, `train`; `main`. The importance-weighted bound is in
tinygen/vae/bounds.py.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, image, models, nn, optim, vae
from tinygen.run import Run, commandline

STAGES, BATCH_SIZE, BETAS, EPSILON = 8, 20, (0.9, 0.999), 1e-4
LATENT, HIDDEN = 50, 200
TRAIN = 59_600  # the authors kept MNIST's last 400 for validation
CHUNK = 149 * BATCH_SIZE  # a twentieth of an epoch: a row of the log
TEST, DRAWS = 2000, 500  # test images, and samples of z for each; the paper has 10,000 and 5,000
ACTIVE = 0.01  # a unit is active if the variance of its mean over images is larger (section 5)
SHOWN = 100
QUICK = {"stages": 2, "train": 400, "test_images": 50}

# −log p(x) by k in the paper's Table 1, for one stochastic layer; and by epochs in an earlier
# program with the same schedule, one seed, measured in the same way
TABLE_1 = {"vae": {1: 86.76, 5: 86.47, 50: 86.35}, "iwae": {1: 86.76, 5: 85.54, 50: 84.78}}
EARLIER = {
    ("vae", 1): {1: 118.45, 4: 103.53, 13: 96.98, 40: 92.66},
    ("iwae", 5): {1: 114.65, 4: 102.62, 13: 95.33, 40: 91.55},
}


# --- the networks ---------------------------------------------------------------------------------


def from_one_seed(_: Any, shape: tuple[int, ...], fan_in: float, fan_out: float) -> np.ndarray:
    """Glorot's U(±√(6/(n + m))), with the authors' seed: layers of one shape start alike"""
    limit = math.sqrt(6 / (fan_in + fan_out))
    return np.random.RandomState(123).uniform(-limit, limit, shape)


class Encoder(nn.Module):
    """q(z|x) = N(μ, σ²): two tanh layers, and from them μ and log σ

    The output log σ² is twice log σ, so that weights and gradients are as in the authors' program.
    """

    def __init__(self, pixels: int, rng: np.random.Generator) -> None:
        self.hidden = nn.Sequential(nn.Flatten(), *tanh_layers(pixels, rng))
        self.mu = nn.Dense(HIDDEN, LATENT, rng=rng, init=from_one_seed)
        self.log_sigma = nn.Dense(HIDDEN, LATENT, rng=rng, init=from_one_seed)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        h = self.hidden(x)
        return tg.concat([self.mu(h), 2 * self.log_sigma(h)], axis=1)


def tanh_layers(inputs: int, rng: np.random.Generator) -> list[nn.Module]:
    sizes = [inputs, HIDDEN, HIDDEN]
    return models.mlp(sizes, tg.tanh, tg.tanh, rng=rng, init=from_one_seed).layers


def networks(images: np.ndarray, rng: np.random.Generator) -> tuple[nn.Module, nn.Module]:
    """An encoder, and a decoder whose last bias makes it start at the mean image"""
    shape = images.shape[1:]
    pixels = int(np.prod(shape))
    last = nn.Dense(HIDDEN, pixels, rng=rng, init=from_one_seed)
    p = images.mean(axis=0).clip(0.001, 0.999).ravel()
    last.bias.data = tg.xp.asarray(np.log(p / (1 - p)), "f4")
    decoder = nn.Sequential(*tanh_layers(LATENT, rng), last, nn.Reshape(*shape))
    return Encoder(pixels, rng), decoder


# --- the objective, the schedule, the loop --------------------------------------------------------


def mean_elbo(
    model: vae.VAE, x: Any, labels: Any = None, *, k: int, rng: np.random.Generator
) -> vae.Bound:
    """−1/k Σ log wᵢ: the mean of k ELBOs, with a KL estimated from the same samples"""
    log_w, given_z, kl = vae.log_weights(model, x, labels, k=k, rng=rng)
    return vae.Bound(-tg.mean(log_w), -tg.mean(given_z), tg.mean(tg.sum(kl, axis=1)))


def ends(stage: int) -> int:
    """The number of epochs before this stage: 1 + 3 + 9 + … = (3ˢ − 1) / 2"""
    return (3**stage - 1) // 2


def rate(per_epoch: int) -> Callable[[int], float]:
    """1e-4 · 10^(1 − s/7) in stage s, the power rounded as by the authors: 10, 7.2, 5.2, … 1"""

    def at(step: int) -> float:
        stage = next(s for s in range(STAGES) if step < ends(s + 1) * per_epoch)
        return 1e-4 * round(10 ** (1 - stage / (STAGES - 1)), 1)

    return at


def adam(model: vae.VAE, lr: Callable[[int], float]) -> optim.Adam:
    """Adam for batch means; the authors' batch sums are 20 times as large, and so is their ε"""
    return optim.Adam(dict(model.named_parameters()), lr, BETAS, EPSILON / BATCH_SIZE)


def train(
    model: vae.VAE, chunks: data.Batches, optimizer: optim.Adam, **options: Any
) -> Iterator[dict[str, float]]:
    """`vae.train` in batches of 20; yields means over 149 batches, to keep the log short."""
    for chunk in chunks:
        batches = (chunk[i : i + BATCH_SIZE] for i in range(0, len(chunk), BATCH_SIZE))
        rows = [
            {name: float(value) for name, value in terms.items()}
            for terms in vae.train(model, batches, optimizer, **options)
        ]
        yield {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/iwae_table")
    add = parser.add_argument
    add("--objective", choices=["vae", "iwae"], default="iwae", help="the bound (default: iwae)")
    add("--k", type=commandline.at_least(1), default=5, help="samples of z per image (default: 5)")
    add(
        "--stages",
        type=int,
        choices=range(1, STAGES + 1),
        default=STAGES,
        metavar="S",
        help="stages, which end after 1, 4, 13, 40, 121, 364, 1093 and 3280 epochs (default: 8)",
    )
    add(
        "--train",
        type=commandline.at_least(1),
        default=TRAIN,
        metavar="N",
        help=f"training images (default: {TRAIN})",
    )
    add(
        "--test-images",
        type=commandline.at_least(1),
        default=TEST,
        metavar="N",
        help=f"test images whose −log p(x) is estimated (default: {TEST})",
    )
    add(
        "--draws",
        type=commandline.at_least(1),
        default=DRAWS,
        metavar="N",
        help=f"samples of z for each estimate (default: {DRAWS})",
    )
    args = commandline.parse(parser, quick=QUICK)

    train_set, test_set = data.load(args.data, train=args.train, test=args.test_images, size=28)

    with Run(args.out, vars(args), resume=args.resume, free=["stages"]) as run:
        rng = np.random.default_rng(args.seed)
        model = vae.VAE(*networks(train_set.images, rng), LATENT)
        bound = functools.partial(mean_elbo if args.objective == "vae" else vae.iwae, k=args.k)
        chunks = data.Batches(
            train_set.images,
            min(CHUNK, len(train_set.images)),
            rng=rng,
            epochs=ends(args.stages),
            transform=data.binarize,
            shuffle=False,
        )
        optimizer = adam(model, rate(-(-len(train_set.images) // BATCH_SIZE)))
        run.keep(model=model, optimizer=optimizer, chunks=chunks, rng=rng)

        test = data.binarize(test_set.images, rng=np.random.default_rng(2))
        stages = {ends(s) * chunks.per_epoch: ends(s) for s in range(1, STAGES + 1)}
        for record in run.track(train(model, chunks, optimizer, rng=rng, bound=bound)):
            if record.step in stages:
                test_rng = np.random.default_rng(1)  # the same noise at each stage
                nll = -vae.log_likelihood(model, test, k=args.draws, rng=test_rng).mean()
                run.log(nll=nll)
                run.results(**{f"nll_{stages[record.step]}": nll})

        title = f"{args.objective.upper()}, k = {args.k}"
        image.curves_of(run.path("curves.png"), run.path("log.csv"), title=f"{title}: nats")
        image.grid(
            run.path("samples.png"),
            model.sample(SHOWN, rng=np.random.default_rng(3)),
            title=f"{title}: samples",
        )
        if args.samples:
            run.samples(model.sample(args.samples, rng=rng))
        active = int((model.means(test).var(axis=0) > ACTIVE).sum())
        run.results(
            active_units=active,
            seconds=run.seconds,
            parameters=sum(p.size for p in model.parameters()),
        )
        print(table(args, json.loads(run.path("results.json").read_text(encoding="utf-8"))))
        print(
            f"{active} of {LATENT} latent units are active; see {run.path('samples.png')} and "
            f"{run.path('curves.png')}"
        )


def table(args: Any, results: dict[str, Any]) -> str:
    """−log p(x) after each stage, beside the earlier program's and, in the last row, the paper's"""
    reference = EARLIER.get((args.objective, args.k), {})
    if args.k in TABLE_1[args.objective]:
        reference = reference | {ends(STAGES): TABLE_1[args.objective][args.k]}
    settings = (args.data, args.train, args.test_images, args.draws)
    if settings != ("mnist", TRAIN, TEST, DRAWS):  # not comparable
        reference = {}
    rows = [f"{f'{args.objective.upper()}, k = {args.k}':15} epochs      here   reference"]
    for epochs in (ends(stage) for stage in range(1, STAGES + 1)):
        here, there = results.get(f"nll_{epochs}"), reference.get(epochs)
        if here or there:
            numbers = (f"{x:.2f}" if x else "–" for x in (here, there))
            rows.append("{:22,} {:>9} {:>11}".format(epochs, *numbers))
    return "\n".join(rows)


if __name__ == "__main__":
    commandline.main(main)
