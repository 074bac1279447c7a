"""A generative adversarial network learns to draw digits: networks, losses and loop on one page.

A generator G maps noise z ~ N(0, I) to images. A discriminator D maps an image to a logit: σ(D(x))
is the probability that x is real. D learns to tell real images from generated ones, and G learns to
make D wrong (Goodfellow et al. 2014). Both are convolutional, as in DCGAN (Radford et al. 2016).

    python examples/gan_mnist.py              five epochs, three and a half minutes on two cores
    python examples/gan_mnist.py --quick      a smoke test, in seconds
    python examples/gan_mnist.py --resume     continue a run that was stopped

The first digits can be recognised after a minute. The run's folder, runs/gan_mnist, holds
samples.png, curves.png, training.gif and a checkpoint. docs/gan.md derives the losses.
gan_variants.py has the other losses, gradient penalties, conditional models and more networks.
"""

import numpy as np

import tinygen as tg
from tinygen import data, image, models, nn, optim
from tinygen.metrics.report import judge
from tinygen.run import Run, commandline

DEFAULTS, BETAS = {"epochs": 5, "batch_size": 128, "lr": 2e-4}, (0.5, 0.999)
LATENT, WIDTH = 100, 64  # numbers in z; channels of the layers next to the images
QUICK = {"epochs": 1, "train": 1280, "test_images": 200}
# both losses where D(x) = 0 everywhere, because real and generated images are distributed alike
EQUILIBRIUM = {"discriminator_at_equilibrium": np.log(4), "generator_at_equilibrium": np.log(2)}


def discriminator_loss(r: tg.Tensor, f: tg.Tensor) -> tg.Tensor:
    """−E[log σ(r)] − E[log(1 − σ(f))], r = D(x), f = D(G(z))   (Goodfellow et al. 2014, eq. 1)

    log σ(r) = −softplus(−r) and log(1 − σ(f)) = −softplus(f) are finite for every logit.
    """
    return tg.mean(tg.softplus(-r)) + tg.mean(tg.softplus(f))


def generator_loss(f: tg.Tensor) -> tg.Tensor:
    """−E[log σ(f)], the non-saturating loss: large gradients while D still rejects every image"""
    return tg.mean(tg.softplus(-f))


def noise(n: int, rng: np.random.Generator) -> tg.Array:
    return tg.xp.asarray(rng.standard_normal((n, LATENT), np.float32))


def main() -> None:
    parser = commandline.parser(__doc__, out="runs/gan_mnist", **DEFAULTS)
    commandline.add_subsets(parser)
    args = commandline.parse(parser, quick=QUICK)
    train, test = data.load(args.data, train=args.train, test=args.test_images, size=28)
    real = 2 * train.images - 1  # from −1 to 1, as the generator's tanh
    size = min(args.batch_size, len(real))

    with Run(args.out, vars(args), resume=args.resume) as run:
        rng = np.random.default_rng(args.seed)
        generator = models.dcgan_generator(real.shape[1:], LATENT, WIDTH, rng=rng)
        discriminator = models.dcgan_discriminator(real.shape[1:], WIDTH, rng=rng)
        adam_g = optim.Adam(generator.parameters(), args.lr, betas=BETAS)
        adam_d = optim.Adam(discriminator.parameters(), args.lr, betas=BETAS)
        batches = data.Batches(real, size, rng=rng, epochs=args.epochs, drop_last=True)

        def images(z: tg.Array) -> np.ndarray:
            with nn.evaluating(generator):  # batch norm uses its running averages
                parts = [generator(z[i : i + 500]).numpy() for i in range(0, len(z), 500)]
            return (np.concatenate(parts) + 1) / 2

        shown, film, every = noise(100, rng), image.Animation(), max(1, batches.steps // 40)
        run.keep(
            generator=generator,
            discriminator=discriminator,
            adam_g=adam_g,
            adam_d=adam_d,
            batches=batches,
            film=film,
            rng=rng,
        )

        for x in run.track(batches):
            fake = generator(noise(len(x), rng))

            r, f = discriminator(x), discriminator(fake.detach())  # no gradient reaches G
            d_loss = discriminator_loss(r, f)
            adam_d.step(tg.grad(d_loss, adam_d.params))

            g_loss = generator_loss(discriminator(fake))
            adam_g.step(tg.grad(g_loss, adam_g.params))  # D stays as it is

            right = ((r.data > 0).mean() + (f.data < 0).mean()) / 2
            run.log(discriminator_loss=d_loss, generator_loss=g_loss, accuracy=right, **EQUILIBRIUM)
            if run.step % every == 0:
                film.append(images(shown[:49]), f"step {run.step}")

        image.grid(run.path("samples.png"), images(shown), title="Samples")
        if run.step:
            image.curves_of(run.path("curves.png"), run.path("log.csv"), title="GAN losses")
            film.save(run.path("training.gif"), title="Samples through training")
        run.results(
            seconds=run.seconds, parameters=sum(p.size for p in [*adam_g.params, *adam_d.params])
        )
        if verdict := judge(
            run, args, lambda n: images(noise(n, np.random.default_rng(1))), test.images
        ):
            print(verdict)
        print(f"see {run.path('samples.png')} and the other pictures there")


if __name__ == "__main__":
    commandline.main(main)
