"""Words become pictures: Stable Diffusion in miniature, every part from scratch.

    "a small red star above a large blue ring"

A tokenizer turns the caption into numbers, and a small transformer turns these into a vector for
each word. A U-Net removes noise from 8 × 8 latents, and in each of its blocks every position
attends to the words (Rombach et al. 2022). A VAE, trained first, decodes the latents to 32 × 32
pixels. Classifier-free guidance makes the picture follow the caption more closely.

In training, each shape lacks one colour: no disc is red, no ring is orange. A classifier of scenes,
trained last, measures how often pictures show what their captions say, for seen and for such unseen
combinations.

    python examples/text_to_image.py
    python examples/text_to_image.py "a red disc" "a white heart left of a black moon"
    python examples/text_to_image.py "a large star" --negative "a yellow disc" --guidance 6

The first line trains. The others draw captions with the trained model, to asked.png and
attention.png. The run's folder, runs/text_to_image, also holds reconstructions.png of the VAE. The
folder `words` in it is the second stage's run, with captions.png; unseen.png, new combinations;
changed.png, one word changed at a time; guidance.png; attention.png; training.gif; and curves.png.
The folder `facts` is the classifier's run. --resume continues any stage.

Reading order: `learn_images`; `Painter`; `learn_words`; `learn_facts`, `agreement`; `attention`;
`main`. The networks are `UNet` and `TextEncoder` in tinygen/models, the scenes in
tinygen/data/scenes.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import tinygen as tg
from tinygen import data, diffusion, image, models, nn, optim, vae
from tinygen.diffusion import samplers
from tinygen.run import Run, checkpoint, commandline

SCENES, HELD_OUT, SIZE = 40_000, 200, 32
EPOCHS, BATCH_SIZE, LEARNING_RATE = 3, 32, 2e-3  # of the VAE
LATENT, WIDTHS, DEPTH, SIGMA, BETA = (8, 8, 4), (32, 64), 1, 0.1, 1.0
WORD_EPOCHS, WORD_BATCH, WORD_RATE = 12, 32, 1e-3  # of the diffusion model
WIDTH, LEVELS, FEATURES, TIMES = 64, (1, 2), 64, 1000
DECAY, DROPPED = 0.999, 0.1  # EMA decay; fraction of captions withheld
WORDS = data.Words([data.VOCABULARY], 12)
STEPS, GUIDANCE, GUIDED = 20, 3.0, (0.0, 1.0, 3.0, 6.0, 12.0)  # the last: weights in guidance.png
JUDGE_EPOCHS, JUDGE_BATCH, JUDGE_RATE, JUDGED = 2, 64, 3e-3, 500  # the last: pictures per kind
MODEL = "model.npz"
ACROSS, FRAMES = 8, 20  # samples per caption, frames of the animation
CAPTIONS = (
    "a small red star above a large blue ring",
    "a large blue star above a small red ring",
    "a yellow moon left of a purple heart",
    "a white cross and a black square",
    "a large green triangle in the middle",
    "a small orange disc on the right",
    "a heart",
)
CHANGED = (
    "a small red star above a large blue ring",
    "a large red star above a large blue ring",
    "a large green star above a large blue ring",
    "a large green heart above a large blue ring",
    "a large green heart below a large blue ring",
    "a large green heart below a large white ring",
    "a large green heart below a large white moon",
)
FREE = ("captions", "guidance", "negative", "steps", "word_epochs")  # may change on resuming
QUICK = {"scenes": 192, "epochs": 1, "word_epochs": 1, "width": 8, "steps": 3, "judge_epochs": 1}


# --- the first stage: a VAE whose latents are small images ---------------------------------------


def autoencoder(seed: int) -> vae.VAE:
    rng = np.random.default_rng(seed)
    networks = models.latent_autoencoder(SIZE, 3, *LATENT[1:], WIDTHS, DEPTH, rng=rng)
    return vae.VAE(*networks, math.prod(LATENT), likelihood=vae.Gaussian(SIGMA, learned=True))


def learn_images(run: Run, args: Any, images: np.ndarray, test: np.ndarray) -> vae.VAE:
    model, rng = autoencoder(args.seed), np.random.default_rng(args.seed)
    size = min(args.batch_size, len(images))
    batches = data.Batches(images, size, rng=rng, epochs=args.epochs, drop_last=True)
    adam = optim.Adam(dict(model.named_parameters()), optim.cosine(args.lr, batches.steps or 1))
    run.keep(model=model, adam=adam, batches=batches, rng=rng)
    bound = functools.partial(vae.elbo, beta=BETA)
    for _ in run.track(vae.train(model, batches, adam, rng=rng, bound=bound)):
        pass
    model.eval()
    rows = {"scene": test[:20], "reconstruction": model.reconstruct(test[:20])}
    title = "Held-out scenes and their reconstructions by the VAE"
    image.compare(run.path("reconstructions.png"), rows, title=title)
    return model


# --- the second stage: diffusion of the latents, conditioned on words -----------------------------


class Painter:
    """Turns a caption into a picture: tokens → words' vectors → latents, step by step → pixels"""

    def __init__(self, first: vae.VAE, width: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        text = models.TextEncoder(len(WORDS), WORDS.length, FEATURES, rng=rng)
        net = models.UNet(LATENT, width, LEVELS, attention_at=(4,), text=text, rng=rng)
        self.model, self.width = diffusion.Diffusion(net, diffusion.cosine(TIMES), "v"), width
        self.latents = vae.Latents(first, LATENT)

    def paint(
        self, captions: Sequence[str], noise: np.ndarray, args: Any, guidance: float | None = None
    ) -> np.ndarray:
        """A picture for each caption and noise; `guidance` replaces that of `args`

        v̂ = v(x, ∅) + w (v(x, caption) − v(x, ∅))  (Ho & Salimans 2022, with w for their 1 + w)

        ∅ is the empty caption, or a negative one, whose content the picture avoids if w > 1.
        """
        tokens, null = WORDS.encode(captions), WORDS.encode([args.negative])[0]
        weight = args.guidance if guidance is None else guidance
        model = samplers.guided(self.model, weight, tg.xp.asarray(null))
        return self.latents.images(samplers.sample(model, noise, tokens, steps=args.steps))

    def parts(self) -> dict[str, Any]:
        return {"vae": self.latents.model, "latents": self.latents, "model": self.model}

    def save(self, path: Path) -> None:
        checkpoint.save(path, self.parts(), width=self.width)

    @classmethod
    def load(cls, path: Path) -> Painter:
        painter = cls(autoencoder(0), checkpoint.read(path)[0]["width"], 0)
        checkpoint.load(path, painter.parts())
        return painter


def noise(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, *LATENT), np.float32)


def learn_words(run: Run, args: Any, painter: Painter, scenes: data.Scenes) -> None:
    """Minimise ‖v − v(x_t, t, caption)‖², where x_t is a noisy latent; withhold some captions"""
    rng = np.random.default_rng(args.seed)
    batches = data.Batches(
        painter.latents.fit(scenes.images),
        WORD_BATCH,
        rng=rng,
        labels=WORDS.encode(scenes.captions),
        epochs=args.word_epochs,
        drop_last=True,
        transform=painter.latents.sample,
    )
    model, total = painter.model, batches.steps or 1
    params = dict(model.named_parameters())
    rate = optim.warm_up(optim.cosine(WORD_RATE, total), total // 50 + 1)
    adam, ema = optim.Adam(params, rate), optim.EMA(params, DECAY)
    film, every = image.Animation(FRAMES), max(1, total // FRAMES)
    run.keep(model=model, adam=adam, ema=ema, batches=batches, film=film, rng=rng)
    loss = functools.partial(diffusion.denoising_loss, null=0, drop=DROPPED)
    filmed = [caption for caption in CAPTIONS for _ in range(ACROSS // 2)]
    for record in run.track(diffusion.train(model, batches, adam, rng=rng, ema=ema, loss=loss)):
        if record.step % every == 0 or record.step == 1:
            with ema.applied():
                pictures = painter.paint(filmed, noise(len(filmed), 1), args)
            film.append(pictures, f"step {record.step}")
    image.curves_of(run.path("curves.png"), run.path("log.csv"), title="Denoising loss")
    film.save(run.path("training.gif"), title="Pictures of the same captions through training")
    ema.copy_to_params()


# --- does a picture show what its caption says? ---------------------------------------------------

CHOICES = [len(data.ARRANGEMENTS), *[len(data.SIZES), len(data.COLOURS), len(data.SHAPES)] * 2]


def learn_facts(run: Run, args: Any, images: np.ndarray, facts: np.ndarray) -> nn.Module:
    """A network with one softmax for each of a scene's seven facts"""
    rng = np.random.default_rng(args.seed)
    layers: list[Any] = []
    for a, b, size, stride in ((3, 16, 5, 1), (16, 32, 3, 2), (32, 64, 3, 2), (64, 64, 3, 2)):
        layers += [nn.Conv2d(a, b, size, stride, "same", rng=rng, init=nn.he_normal)]
        layers += [nn.BatchNorm(b), nn.ReLU()]
    layers += [nn.Flatten(), nn.Dense(SIZE**2, 128, rng=rng), nn.BatchNorm(128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Dense(128, sum(CHOICES), rng=rng))
    batches = data.Batches(images, JUDGE_BATCH, rng=rng, labels=facts, epochs=args.judge_epochs)
    adam = optim.Adam(dict(model.named_parameters()), optim.cosine(JUDGE_RATE, batches.steps or 1))
    run.keep(model=model, adam=adam, batches=batches, rng=rng)
    for x, labels in run.track(batches):
        loss = 0.0
        for logits, fact in zip(split(model(x)), tg.transpose(labels), strict=True):
            one_hot = fact.data[:, None] == tg.xp.arange(logits.shape[1])  # zeros if fact is −1
            loss = loss - (tg.log_softmax(logits) * one_hot).sum() / len(x)
        adam.step(tg.grad(loss, adam.params))
        run.log(loss=loss)
    return model


def split(logits: tg.Tensor) -> list[tg.Tensor]:
    """The logits of each fact"""
    ends = np.cumsum([0, *CHOICES])
    return [logits[:, a:b] for a, b in pairwise(ends.tolist())]


def agreement(judge: nn.Module, images: np.ndarray, facts: np.ndarray) -> dict[str, float]:
    """The fraction of facts of each kind that the classifier sees in their images, and of images
    in which it sees all facts"""
    with nn.evaluating(judge):
        seen = [
            tg.to_numpy(part.data.argmax(axis=1)) for part in split(judge(tg.xp.asarray(images)))
        ]
    right, asked = np.stack(seen, axis=1) == facts, facts >= 0
    kinds = {"arrangement": [0], "size": [1, 4], "colour": [2, 5], "shape": [3, 6]}
    scores = {kind: right[:, i][asked[:, i]].mean() for kind, i in kinds.items()}
    return {**scores, "all": (right | ~asked).all(axis=1).mean()}


# --- pictures -------------------------------------------------------------------------------------


def attention(painter: Painter, caption: str, args: Any) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a caption, and how much its positions attend to each word, (words, 8, 8)

    Each word's map is a mean over heads, layers with 8 × 8 positions and sampling steps, divided by
    its maximum. With guidance 0 the network sees only the negative one, so these are its maps.
    """
    maps, count = list[np.ndarray](), int((WORDS.encode([caption]) > 0).sum())
    weights = nn.CrossAttention.weights

    def watched(layer: nn.CrossAttention, x: tg.Tensor, words: tg.Tensor) -> tg.Tensor:
        a = weights(layer, x, words)  # (1, heads, T, S)
        if not isinstance(layer, nn.SelfAttention) and a.shape[2] == LATENT[0] * LATENT[1]:
            maps.append(tg.to_numpy(a.data[0, :, :, :count]).mean(axis=0))
        return a

    nn.CrossAttention.weights = watched  # type: ignore[method-assign]
    try:
        picture = painter.paint([caption], noise(1, 7), args)[0]
    finally:
        nn.CrossAttention.weights = weights  # type: ignore[method-assign]
    # with guidance, each step calls the network without the caption, then with it: two layers each
    mean = np.reshape(maps, (args.steps, -1, 2, *maps[0].shape))[:, -1].mean(axis=(0, 1)).T
    return picture, (mean / mean.max(axis=1, keepdims=True)).reshape(count, *LATENT[:2])


def draw_attention(path: Path, painter: Painter, caption: str, args: Any) -> None:
    picture, maps = attention(painter, caption, args)
    heat = data.resize(maps[..., None].astype(np.float32), SIZE).clip(0, 1)
    rows = np.concatenate([picture[None], picture * (0.15 + 0.85 * heat)])
    title = "Where each word is attended to"
    labels = ["", *WORDS.decode(WORDS.encode([caption]))[0].split()]
    image.strip(path, {"": rows}, labels=labels, ends=False, title=title)


def draw_captions(path: Path, painter: Painter, captions: Sequence[str], args: Any) -> None:
    repeated = [caption for caption in captions for _ in range(ACROSS)]
    pictures = painter.paint(repeated, noise(len(repeated), 100), args)
    rows = dict(zip(captions, np.split(pictures, len(captions)), strict=True))
    title = f"{ACROSS} pictures of each caption"
    if args.negative:
        title += f", without: {args.negative}"
    image.strip(path, rows, ends=False, title=title)


def draw(run: Run, painter: Painter, args: Any) -> None:
    draw_captions(run.path("captions.png"), painter, CAPTIONS, args)
    unseen = data.scenes(7, size=8, rng=np.random.default_rng(8), unseen=True, full=True)
    draw_captions(run.path("unseen.png"), painter, unseen.captions, args)
    same = noise(len(CAPTIONS), 4)
    rows = {f"guidance {w:g}": painter.paint(CAPTIONS, same, args, w) for w in GUIDED}
    title = "The same captions and noise by guidance weight"
    image.strip(run.path("guidance.png"), rows, ends=False, title=title)
    rows = {
        f"noise {k + 1}": painter.paint(CHANGED, noise(1, k).repeat(len(CHANGED), axis=0), args)
        for k in range(4)
    }
    labels = [caption.replace(" ", "\n") for caption in CHANGED]
    title = "The same noise, and one word changed at a time"
    image.strip(run.path("changed.png"), rows, labels=labels, ends=False, title=title)
    draw_attention(run.path("attention.png"), painter, CAPTIONS[0], args)


# --- the program ----------------------------------------------------------------------------------


def main() -> None:
    parser = commandline.parser(
        __doc__,
        out="runs/text_to_image",
        data=None,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        lr=LEARNING_RATE,
    )
    add, whole = parser.add_argument, commandline.at_least(1)
    help = "draw these with the model in the output folder; without it, train one first"
    add("captions", nargs="*", metavar="CAPTION", help=help)
    add("--negative", default="", metavar="WORDS", help="what the pictures should avoid")
    help = f"guidance weight (1 = no guidance, default: {GUIDANCE:g})"
    add("--guidance", type=float, default=GUIDANCE, metavar="W", help=help)
    help = f"sampling steps (default: {STEPS})"
    add("--steps", type=commandline.at_least(2), default=STEPS, metavar="N", help=help)
    help = f"training scenes (default: {SCENES:,})"
    add("--scenes", type=commandline.at_least(64), default=SCENES, metavar="N", help=help)
    help = f"passes of the second stage over the latents (default: {WORD_EPOCHS})"
    add("--word-epochs", type=whole, default=WORD_EPOCHS, metavar="N", help=help)
    help = f"channels of the U-Net's first level, a multiple of 8 (default: {WIDTH})"
    add("--width", type=whole, default=WIDTH, help=help)
    help = f"passes of the classifier of scenes over its images (default: {JUDGE_EPOCHS})"
    add("--judge-epochs", type=whole, default=JUDGE_EPOCHS, metavar="N", help=help)
    args = commandline.parse(parser, quick=QUICK)
    WORDS.encode([*args.captions, args.negative])  # an unknown word is an error before training
    if not all(caption.split() for caption in args.captions):
        parser.error("expected captions of at least one word")
    trained = args.out / MODEL
    if not args.captions or args.resume or not trained.exists():
        train(args)
    if args.captions:
        painter = Painter.load(trained)
        draw_captions(args.out / "asked.png", painter, args.captions, args)
        draw_attention(args.out / "attention.png", painter, args.captions[0], args)
        print(f"see {args.out / 'asked.png'} and {args.out / 'attention.png'}")


def train(args: Any) -> None:
    rng = np.random.default_rng([args.seed, 1])
    scenes, test = (data.scenes(n, size=SIZE, rng=rng) for n in (args.scenes, HELD_OUT))
    with Run(args.out, vars(args), resume=args.resume, free=FREE) as run:
        first = learn_images(run, args, scenes.images, test.images)
        painter = Painter(first, args.width, args.seed)
        with run.second_stage("words") as second:
            learn_words(second, args, painter, scenes)
            painter.save(run.path(MODEL))
            draw(second, painter, args)
        with run.second_stage("facts") as third:
            new = data.scenes(len(scenes.facts) // 2, size=SIZE, rng=rng, unseen=True)
            images = np.concatenate([scenes.images, new.images])
            judge = learn_facts(third, args, images, np.concatenate([scenes.facts, new.facts]))
        run.results(seconds=run.seconds + second.seconds)
        names = ("arrangement", "size", "colour", "shape", "all")
        print(f"{'':37}{''.join(f'{name:>12}' for name in names)}")
        for kind in ("seen", "unseen"):
            n = min(JUDGED, args.scenes)
            asked = data.scenes(n, size=SIZE, rng=rng, unseen=kind == "unseen", full=True)
            for name, pictures in (
                ("scenes", asked.images),
                ("scenes as the VAE renders them", painter.latents.model.reconstruct(asked.images)),
                ("pictures of their captions", painter.paint(asked.captions, noise(n, 5), args)),
            ):
                scores = agreement(judge, pictures.clip(0, 1), asked.facts)
                run.results(**{f"{kind} {name}, {fact}": score for fact, score in scores.items()})
                row = "".join(f"{scores[fact]:12.1%}" for fact in names)
                print(f"{kind + ' ' + name:37}{row}")
        if args.samples:
            asked = data.scenes(args.samples, size=8, rng=rng)
            run.samples(painter.paint(asked.captions, noise(args.samples, 6), args))
        print(f"see {second.path('captions.png')} and the other pictures there")


if __name__ == "__main__":
    commandline.main(main)
