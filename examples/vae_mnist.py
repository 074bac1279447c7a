"""A variational autoencoder learns to draw digits: networks, loss and training loop on one page.

An encoder maps an image x to a Gaussian over codes, q(z|x) = N(μ, σ²). A decoder maps a code z to
the probability of each pixel, p(x|z). Together they maximise a lower bound of log p(x), the ELBO
(Kingma and Welling 2014); then the decoder turns random codes into new digits.

    python examples/vae_mnist.py              ten epochs, half a minute on two cores
    python examples/vae_mnist.py --quick      a smoke test, in seconds
    python examples/vae_mnist.py --resume     continue a run that was stopped

The run's folder, runs/vae_mnist, holds samples.png, reconstructions.png, curves.png, training.gif
and a checkpoint. docs/vae.md derives the loss. vae_variants.py has β, free bits, the
importance-weighted bound, conditional and convolutional models, and more pictures.
"""

import numpy as np

import tinygen as tg
from tinygen import data, image, models, nn, optim, vae
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

DEFAULTS = {"epochs": 10, "batch_size": 128, "lr": 1e-3}
HIDDEN, LATENT = 400, 20
QUICK = {"epochs": 1, "train": 2000, "test_images": 300}


def mean_sum(x: tg.Tensor) -> tg.Tensor:
    """The sum over an image's pixels, or a code's units; the mean over images."""
    return tg.mean(tg.sum(x, axis=1))


def negative_elbo(
    encoder: nn.Module, decoder: nn.Module, x: tg.Tensor, eps: tg.Array
) -> tuple[tg.Tensor, tg.Tensor]:
    """−ELBO = −E_q[log p(x|z)] + KL(q(z|x) ‖ N(0, I)), as its two terms, in nats per image

    x (N, pixels), eps (N, LATENT) ~ N(0, I)
    """
    mu, log_var = tg.split(encoder(x), 2, axis=1)
    z = mu + tg.exp(log_var / 2) * eps  # a draw from q(z|x), as a function of μ and σ
    logits = decoder(z)
    reconstruction = -mean_sum(x * logits - tg.softplus(logits))  # pixels are Bernoulli
    kl = 0.5 * mean_sum(mu**2 + tg.exp(log_var) - 1 - log_var)
    return reconstruction, kl


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/vae_mnist", **DEFAULTS)
    commandline.add_subsets(parser)
    args = commandline.parse(parser, quick=QUICK)
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    shape, pixels = train.images.shape[1:], train.images[0].size
    rows, held_out = train.images.reshape(-1, pixels), test.images.reshape(-1, pixels)

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        encoder = models.mlp([pixels, HIDDEN, 2 * LATENT], rng=rng, init=nn.pytorch_uniform)
        decoder = models.mlp([LATENT, HIDDEN, pixels], rng=rng, init=nn.pytorch_uniform)
        adam = optim.Adam([*encoder.parameters(), *decoder.parameters()], args.lr)
        batches = data.Batches(rows, min(args.batch_size, len(rows)), rng=rng, epochs=args.epochs)

        def noise(n: int, rng: np.random.Generator) -> tg.Array:
            return tg.xp.asarray(rng.standard_normal((n, LATENT), np.float32))

        @tg.no_grad()
        def images(z: tg.Array) -> np.ndarray:
            return tg.sigmoid(decoder(z)).numpy().reshape(-1, *shape)

        shown, film, every = noise(100, rng), image.Animation(), max(1, batches.steps // 40)
        run.keep(encoder=encoder, decoder=decoder, adam=adam, batches=batches, film=film, rng=rng)

        for x in run.track(batches):
            reconstruction, kl = negative_elbo(encoder, decoder, x, noise(len(x), rng))
            loss = reconstruction + kl
            adam.step(tg.grad(loss, adam.params))
            run.log(loss=loss, reconstruction=reconstruction, kl=kl)
            if run.step % every == 0:
                film.append(images(shown[:49]), f"step {run.step}")

        image.grid(run.path("samples.png"), images(shown), title="Samples")
        mu, _ = tg.split(encoder(tg.Tensor(held_out[:20])), 2, axis=1)
        rows = {"image": test.images[:20], "reconstruction": images(mu.data)}
        image.compare(run.path("reconstructions.png"), rows, columns=10, title="Held-out images")
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Nats per image")
            film.save(run.path("training.gif"), title="Samples through training")

        model = vae.VAE(encoder, decoder, LATENT)  # the same networks, for the library's measures
        loss = vae.evaluate(model, held_out, rng=np.random.default_rng(1))["loss"]
        nll = -vae.log_likelihood(model, held_out[:500], k=100, rng=np.random.default_rng(2)).mean()
        run.results(
            test_loss=loss,
            nll=nll,
            seconds=run.seconds,
            parameters=sum(p.size for p in adam.params),
        )
        print(f"held-out loss: {loss:.2f} nats per image; −log p(x) ≈ {nll:.2f} nats")
        if verdict := judge(
            run, args, lambda n: images(noise(n, np.random.default_rng(3))), test.images
        ):
            print(verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


if __name__ == "__main__":
    commandline.main(main)
