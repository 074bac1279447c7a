"""A VQ-VAE: digits as 7 × 7 discrete codes, and an autoregressive model that samples new codes.

The first stage learns a codebook. An encoder maps each 4 × 4 pixels to a vector, which is replaced
by the nearest of 64 codes, and a decoder maps the codes to an image. The second stage learns the
probability of each code given those above it and to its left,

    p(c) = Π p(cᵢ | c₁ … cᵢ₋₁)                                                           the prior

so that new codes can be sampled one after the other, and decoded (van den Oord et al. 2017).

    python examples/vqvae_mnist.py
    python examples/vqvae_mnist.py --codes 16               fewer codes: coarser, learned faster
    python examples/vqvae_mnist.py --codebook loss          a codebook trained by gradients

It takes two minutes on two cores of an AMD EPYC; docs/results.md has the scores. The run's folder,
runs/vqvae_mnist, holds samples.png; priors.png, samples with and without the prior; codebook.png;
reconstructions.png; and curves.png. The second stage's run is in the folder `prior` in it; --resume
continues either stage.

Reading order: `networks`, `Causal`, `Prior`; `learn_codes` and `learn_prior`, the two stages;
`sample`; `main`. The codebook and its loss are in tinygen/vae/vq.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, image, nn, optim, vae
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline
from tinygen.vae import vq

EPOCHS, BATCH_SIZE, LEARNING_RATE = 3, 128, 1e-3
PRIOR_EPOCHS, PRIOR_RATE = 3, 2e-3
CODES, FEATURES, WIDTH = 64, 16, 32
DECAY, RESTART = 0.99, 50  # of the running means; steps between restarts of unused codes
PRIOR_WIDTH, PRIOR_DEPTH = 64, 4
SHOWN = 100
QUICK = {"epochs": 1, "prior_epochs": 1, "train": 1000, "test_images": 200}


# --- the networks ---------------------------------------------------------------------------------


def networks(channels: int, rng: np.random.Generator) -> tuple[nn.Module, nn.Module]:
    """An encoder (N, H, W, C) → (N, H/4, W/4, FEATURES), and a decoder back"""
    a, b, relu_next = WIDTH, 2 * WIDTH, {"rng": rng, "init": nn.he_normal}
    encoder = nn.Sequential(
        nn.Conv2d(channels, a, 4, 2, 1, **relu_next),
        nn.ReLU(),
        nn.Conv2d(a, b, 4, 2, 1, **relu_next),
        nn.ReLU(),
        nn.Conv2d(b, FEATURES, 3, padding="same", rng=rng),
    )
    decoder = nn.Sequential(
        nn.Conv2d(FEATURES, b, 3, padding="same", **relu_next),
        nn.ReLU(),
        nn.ConvTranspose2d(b, a, 4, 2, 1, **relu_next),
        nn.ReLU(),
        nn.ConvTranspose2d(a, channels, 4, 2, 1, rng=rng),
    )
    return encoder, decoder


class Causal(nn.Conv2d):
    """A convolution masked to earlier places in raster order and, with `own`, the place itself"""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        *,
        own: bool,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(inputs, outputs, size, padding="same", rng=rng)
        place, middle = np.arange(math.prod(size)).reshape(*size, 1, 1), math.prod(size) // 2
        self.mask = tg.xp.asarray(place < middle + own, "f4")

    def forward(self, x: Any) -> tg.Tensor:
        return tg.conv2d(x, self.weight * self.mask, padding="same", bias=self.bias)


class Prior(nn.Module):
    """Codes (N, h, w) → (N, h, w, K): the logits of p(code | codes before) at each place

    A PixelCNN of codes instead of pixels (van den Oord et al. 2016). Only the first layer must not
    see the place itself; later layers see the first one's output there. Its filters span a row of
    seven to either side, because later layers have a blind spot above and to the right.
    """

    def __init__(self, codes: int, side: tuple[int, ...], rng: np.random.Generator) -> None:
        n = PRIOR_WIDTH
        self.embedding = nn.Embedding(codes, n // 4, rng=rng)
        self.first = Causal(n // 4, n, (5, 13), own=False, rng=rng)
        self.place = tg.Tensor(np.zeros((*side, n), np.float32), requires_grad=True)
        self.layers = [Causal(n, n, (3, 3), own=True, rng=rng) for _ in range(PRIOR_DEPTH)]
        self.last = nn.Dense(n, codes, rng=rng)

    def forward(self, codes: Any) -> tg.Tensor:
        """The last rows may be missing: the others do not depend on them."""
        h = self.first(self.embedding(codes)) + self.place[: codes.shape[1]]  # (N, h, w, n)
        for layer in self.layers:
            h = h + layer(tg.relu(h))
        return self.last(tg.relu(h))

    def nll(self, codes: Any) -> tg.Tensor:
        """−log p(c) = −Σ log p(cᵢ | c₁ … cᵢ₋₁) of each image"""
        log_p = tg.log_softmax(self(codes))  # (N, h, w, K)
        chosen = tg.as_tensor(codes).data[..., None] == tg.xp.arange(log_p.shape[-1])
        return -tg.sum(log_p * chosen, axis=(1, 2, 3))


# --- the two stages -------------------------------------------------------------------------------


def learn_codes(run: Run, args: Any, images: np.ndarray) -> tuple[vq.VQVAE, bool]:
    """The first stage: the model, and whether it made any steps in this run."""
    rng = np.random.default_rng(args.seed)
    decay = DECAY if args.codebook == "mean" else None
    encoder, decoder = networks(images.shape[3], rng)
    quantiser = vq.VectorQuantiser(args.codes, FEATURES, rng=rng, decay=decay)
    model = vq.VQVAE(encoder, quantiser, decoder)

    def restart(**options: float) -> None:
        same = np.random.default_rng([args.seed, run.step])  # for all ranks, if there are several
        batch = tg.xp.asarray(same.choice(images, BATCH_SIZE))
        with tg.no_grad():
            quantiser.restart(encoder(tg.Tensor(batch)), rng=same, **options)

    restart(below=np.inf)  # initialise all codes with vectors of the encoder
    size = min(args.batch_size, len(images))
    batches = data.Batches(images, size, rng=rng, epochs=args.epochs)
    optimizer = optim.Adam(dict(model.named_parameters()), args.lr)
    run.keep(model=model, optimizer=optimizer, batches=batches, rng=rng)
    before = run.step
    for record in run.track(vae.train(model, batches, optimizer, rng=rng, bound=vq.vq_loss)):
        if record.step % RESTART == 0:
            restart()
    model.eval()
    return model, run.step > before


def learn_prior(run: Run, args: Any, codes: np.ndarray) -> Prior:
    """The second stage: a model of the codes."""
    rng = np.random.default_rng([args.seed, 1])
    prior = Prior(args.codes, codes.shape[1:], rng)
    size = min(args.batch_size, len(codes))
    batches = data.Batches(codes, size, rng=rng, epochs=args.prior_epochs)
    rate = optim.cosine(PRIOR_RATE, max(1, batches.steps or 1))
    optimizer = optim.Adam(dict(prior.named_parameters()), rate)
    run.keep(model=prior, optimizer=optimizer, batches=batches, rng=rng)
    for _ in run.track(train_prior(prior, batches, optimizer)):
        pass
    return prior


def train_prior(
    prior: Prior, batches: data.Batches, optimizer: optim.Adam
) -> Iterator[dict[str, tg.Tensor]]:
    for codes in batches:
        loss = tg.mean(prior.nll(codes))
        optimizer.step(tg.grad(loss, optimizer.params))
        yield {"loss": loss}


# --- sampling, and the program --------------------------------------------------------------------


def in_parts(function: Callable[[Any], Any], x: np.ndarray, size: int = 500) -> np.ndarray:
    """function(x), `size` rows at a time, without a graph, as a NumPy array"""
    parts = []
    for i in range(0, len(x), size):
        with tg.no_grad():
            part = function(tg.Tensor(tg.xp.asarray(x[i : i + size])))
        parts.append(tg.to_numpy(part.data if isinstance(part, tg.Tensor) else part))
    return np.concatenate(parts)


def sample(prior: Prior, n: int, side: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """c ~ p(c), place by place

    The argmax of log p plus Gumbel noise is a sample from p (Gumbel 1954).
    """
    codes = np.zeros((n, *side), np.int64)  # places not sampled yet have no influence
    for i, j in np.ndindex(*side):
        log_p = in_parts(prior, codes[:, : i + 1])[:, i, j]  # (n, K)
        codes[:, i, j] = (log_p + rng.gumbel(size=log_p.shape)).argmax(axis=1)
    return codes


def main() -> None:
    parser = commandline.parser(
        __doc__, out="runs/vqvae_mnist", epochs=EPOCHS, batch_size=BATCH_SIZE, lr=LEARNING_RATE
    )
    add = parser.add_argument
    add(
        "--prior-epochs",
        type=commandline.at_least(0),
        default=PRIOR_EPOCHS,
        metavar="N",
        help=f"passes of the prior over the codes of the images (default: {PRIOR_EPOCHS})",
    )
    add(
        "--codes",
        type=commandline.at_least(2),
        default=CODES,
        metavar="K",
        help=f"size of the codebook (default: {CODES})",
    )
    add(
        "--codebook",
        choices=["mean", "loss"],
        default="mean",
        help="training of the codebook: as running means or by a loss (default: mean)",
    )
    add("--train", type=commandline.at_least(1), metavar="N", help="training images, at most")
    add("--test-images", type=commandline.at_least(1), metavar="N", help="held-out images, at most")
    args = commandline.parse(parser, quick=QUICK)

    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)

    with Run(args.out, vars(args), resume=args.resume) as run:
        model, changed = learn_codes(run, args, train.images)
        codes = in_parts(model.codes, train.images)
        folder = run.path("prior")
        # if the codes have changed, the prior is trained from the start
        resume = args.resume and not changed and (folder / "config.json").exists()
        with Run(folder, vars(args) | {"out": folder}, resume=resume) as second:
            prior = learn_prior(second, args, codes)
        image.curves_of(
            run.path("curves.png"),
            run.path("log.csv"),
            title="First stage",
            names=["loss", "reconstruction", "commitment", "perplexity"],
        )
        image.curves_of(
            second.path("curves.png"),
            second.path("log.csv"),
            title="Second stage: nats per image for its codes",
        )

        codes = in_parts(model.codes, test.images)
        draw(run, model, prior, test.images, codes, np.random.default_rng([args.seed, 2]))
        terms = vae.evaluate(model, test.images, rng=np.random.default_rng(0), bound=vq.vq_loss)
        nats = in_parts(prior.nll, codes).mean()
        p = frequencies(codes, args.codes)
        perplexity = np.exp(-(p[p > 0] * np.log(p[p > 0])).sum())
        run.results(
            reconstruction=terms["reconstruction"],
            prior=nats,
            perplexity=perplexity,
            codes_in_use=(p > 0).sum(),
            seconds=run.seconds + second.seconds,
            parameters=sum(w.size for part in (model, prior) for w in part.parameters()),
        )
        print(
            f"held-out images: {terms['reconstruction']:.2f} nats given their codes, "
            f"{nats:.2f} for the codes; {(p > 0).sum()} of {args.codes} codes in use, with a "
            f"perplexity of {perplexity:.1f}"
        )

        def sampled(n: int) -> np.ndarray:
            rng = np.random.default_rng([args.seed, 3])
            return in_parts(model.images, sample(prior, n, codes.shape[1:], rng))

        if verdict := judge(run, args, sampled, test.images):
            print(verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


def frequencies(codes: np.ndarray, count: int) -> np.ndarray:
    """The relative frequency of each code"""
    return np.bincount(codes.ravel(), minlength=count) / codes.size


def draw(
    run: Run,
    model: vq.VQVAE,
    prior: Prior,
    images: np.ndarray,
    codes: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """All pictures except the curves"""

    def decode(codes: np.ndarray) -> np.ndarray:
        return in_parts(model.images, codes).clip(0, 1)

    K, side = len(model.quantiser.chosen), codes.shape[1:]
    samples = decode(sample(prior, SHOWN, side, rng))
    image.grid(run.path("samples.png"), samples, title="Samples of the prior, decoded")
    # at each place the code of a random image
    independent = codes[(rng.integers(len(codes), size=(10, *side)), *np.indices(side))]
    rows = {
        "the prior": samples[:10],
        "independent places": decode(independent),
        "uniform codes": decode(rng.integers(K, size=(10, *side))),
    }
    image.compare(run.path("priors.png"), rows, title="Codes from the prior, and without it")
    image.compare(
        run.path("reconstructions.png"),
        title="Held-out images and reconstructions",
        rows={"image": images[:20], "from 7 × 7 codes": decode(codes[:20])},
    )
    p = frequencies(codes, K)
    order = [k for k in np.argsort(-p, kind="stable") if p[k]]
    image.grid(
        run.path("codebook.png"),
        surroundings(images[:1000], codes[:1000], order),
        labels=[f"{p[k]:.1%}" for k in order],
        title="The mean image around each code, and its frequency",
    )


def surroundings(images: np.ndarray, codes: np.ndarray, which: list[int]) -> np.ndarray:
    """The mean of the 12 × 12 pixels around all places of a code: (len(which), 12, 12, C)"""
    padded = np.pad(images, [(0, 0), (4, 4), (4, 4), (0, 0)])
    means = []
    for k in which:
        patches = [
            padded[n, 4 * i : 4 * i + 12, 4 * j : 4 * j + 12] for n, i, j in np.argwhere(codes == k)
        ]
        means.append(np.mean(patches, axis=0) if patches else np.zeros_like(padded[0, :12, :12]))
    return np.stack(means)


if __name__ == "__main__":
    commandline.main(main)
