"""The GAN examples: the losses on one page, every recipe and option, rejected options."""

import json
import re
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from programs import example, outcome, run_front

import tinygen as tg
from tinygen import gan, image, nn, vae
from tinygen.models import classics
from tinygen.run import Run, logbook

NAMES = ["gan_mnist", "gan_variants", "gan_shapes"]
gan_mnist, gan_variants, gan_shapes = map(example, NAMES)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def main(monkeypatch, tmp_path):
    """`main(module, options)` runs a program on a few images, without its pictures.

    It returns the arguments of `gan.train`, the run's `folder`, and `ends`, the smallest and the
    largest value in the batches. Ctrl-C arrives in step `stops`.
    """
    for name in ("grid", "strip", "compare", "curves_of"):
        monkeypatch.setattr(image, name, lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)
    for module in (gan_variants, gan_shapes):
        monkeypatch.setattr(module, "FILMED", 2)
        monkeypatch.setattr(module, "networks", SMALL.get(module, module.networks))
    monkeypatch.setattr(gan_variants, "SHOWN", 4)
    train = gan.train

    def run(module, options="", out="run", stops=None):
        trained = SimpleNamespace(folder=tmp_path / out)

        def watched(model, batches, *optimizers, **more):
            trained.model, trained.batches, trained.optimizers = model, batches, optimizers
            vars(trained).update(more)
            trained.ends = batches.images.min(), batches.images.max()
            for step, terms in enumerate(train(model, batches, *optimizers, **more), 1):
                if step == stops:
                    signal.raise_signal(signal.SIGINT)
                yield terms

        monkeypatch.setattr(gan, "train", watched)
        few = [] if "--resume" in options else FEW[module]
        monkeypatch.setattr(
            sys, "argv", [module.__name__, *few, *options.split(), "--out", str(trained.folder)]
        )
        module.main()
        return trained

    return run


def small(channels, classes, rng):
    """Faster networks for gan_shapes"""
    side = gan_shapes.SIZE

    def spread(x):
        return tg.broadcast_to(x, (len(x), side, side, channels))

    generator = nn.Sequential(
        nn.Dense(gan_shapes.LATENT + classes, channels, rng=rng),
        nn.Tanh(),
        nn.Reshape(1, 1, channels),
        spread,
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels + classes, 2, 4, 4, rng=rng),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Dense(side * side // 8, 1, rng=rng),
    )
    return generator, discriminator


SMALL = {gan_shapes: small}
FEW = {
    gan_variants: [
        "--data",
        "digits",
        "--train",
        "40",
        "--test-images",
        "20",
        "--batch-size",
        "8",
        "--width",
        "2",
        "--epochs",
        "1",
    ],
    gan_shapes: ["--train", "9", "--batch-size", "3", "--epochs", "1", "--vae-epochs", "0"],
}


def log(trained):
    """The log's columns, and its rows without the seconds"""
    columns, rows = logbook.read(trained.folder / "log.csv")
    return columns, [[row[name] for name in columns if name != "seconds"] for row in rows]


def results(trained):
    return json.loads((trained.folder / "results.json").read_text("utf-8"))


# --- gan_mnist: the losses and the loop on one page -----------------------------------------------

SMALLEST = "--data digits --train 20 --test-images 20 --batch-size 4 --epochs 1"


@pytest.fixture
def front(monkeypatch, tmp_path):
    """`front(options)` runs gan_mnist.py with narrow networks, without the pictures."""
    for name in ("grid", "curves_of"):
        monkeypatch.setattr(image, name, lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)
    monkeypatch.setattr(gan_mnist, "WIDTH", 2)
    return lambda options, out="run", stop_at=None: run_front(
        gan_mnist, options, tmp_path / out, stop_at
    )


@pytest.mark.parametrize("size", [1, 1000])
def test_the_written_out_losses_and_their_gradients_equal_the_librarys(size):
    values = size * generator().standard_normal((2, 6, 1))
    r, f = (tg.Tensor(tg.xp.asarray(x), requires_grad=True) for x in values)
    library = gan.NonSaturating()
    pairs = [
        (gan_mnist.discriminator_loss(r, f), library.discriminator(r, f), (r, f)),
        (gan_mnist.generator_loss(f), library.generator(f), (f,)),
    ]
    for ours, theirs, logits in pairs:
        assert float(ours) == pytest.approx(float(theirs), rel=1e-12)
        for a, b in zip(tg.grad(ours, logits), tg.grad(theirs, logits), strict=True):
            np.testing.assert_allclose(tg.to_numpy(a.data), tg.to_numpy(b.data), rtol=1e-12)


def test_the_written_out_equilibrium_equals_the_librarys():
    assert tuple(gan_mnist.EQUILIBRIUM.values()) == pytest.approx(
        gan.NonSaturating().at_equilibrium
    )


def test_the_written_out_loop_trains_as_the_librarys(front, monkeypatch, tmp_path):
    ours = outcome(front(f"{SMALLEST} --samples 3"))
    monkeypatch.setattr(image, "strip", lambda *_, **__: None)
    theirs = outcome(
        run_front(gan_variants, f"{SMALLEST} --samples 3 --width 2", tmp_path / "theirs")
    )
    assert len(ours["discriminator_loss"]) == 5
    for name in ("discriminator_loss", "generator_loss", "accuracy", "images"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


def test_a_resumed_front_run_ends_as_an_uninterrupted_one(front):
    whole = outcome(front(f"{SMALLEST} --samples 3", "whole"))
    with pytest.raises(SystemExit):
        front(f"{SMALLEST} --samples 3", stop_at=2)
    resumed = outcome(front("--resume"))
    assert resumed.keys() == whole.keys() and len(whole["generator_loss"]) == 5
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name], name)


def test_samples_use_batch_norms_running_averages_without_changing_them(front, monkeypatch):
    shown = []
    monkeypatch.setattr(image, "grid", lambda path, images, **_: shown.append(images))
    one = front(f"{SMALLEST} --samples 1", "one")
    many = front(f"{SMALLEST} --samples 600", "many")  # more than are generated at once
    a, b = outcome(one), outcome(many)
    np.testing.assert_allclose(a["images"][0], b["images"][0], atol=1e-4)  # whatever the batch
    assert b["images"].shape == (600, 28, 28, 1)
    assert 0 <= shown[0].min() < shown[0].max() <= 1
    for name in a.keys() - {"images"}:
        np.testing.assert_array_equal(a[name], b[name], name)


def test_the_front_program_accepts_colour_images_and_puts_a_few_in_one_batch(front, tmp_path):
    images = generator().random((50, 28, 28, 3)).astype(np.float32)
    np.savez(tmp_path / "own.npz", images=images)
    found = outcome(front(f"--data {tmp_path / 'own.npz'} --batch-size 500 --epochs 1 --samples 4"))
    assert len(found["generator_loss"]) == 1
    assert found["images"].shape == (4, 28, 28, 3)


def test_the_front_program_with_0_epochs_is_a_run_without_a_step(front):
    assert results(SimpleNamespace(folder=front(f"{SMALLEST} --epochs 0")))["parameters"] > 0


# --- gan_variants ---------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", list(gan_variants.RECIPES))
def test_every_loss_is_trained_by_its_recipe(main, loss):
    trained, recipe = main(gan_variants, f"--loss {loss}"), gan_variants.RECIPES[loss]
    assert type(trained.loss) is recipe.loss
    assert (trained.penalty, trained.clip_at) == (recipe.penalty, recipe.clip_at)
    columns, rows = log(trained)
    assert len(rows) == 5 // recipe.discriminator_steps
    assert ("penalty" in columns) == (recipe.penalty is not None)
    assert ("distance" in columns) == (recipe.loss is gan.Wasserstein)
    kinds = {type(layer) for layer in trained.model.discriminator.layers}
    assert (nn.BatchNorm in kinds, nn.SpectralNorm in kinds) == (
        recipe.norm == "batch",
        recipe.norm == "spectral",
    )
    for optimizer in trained.optimizers:
        assert vars(optimizer).items() >= settings(recipe, optimizer.params).items()
    if recipe.clip_at:
        assert (
            max(abs(p.data).max() for p in trained.model.discriminator.parameters())
            <= recipe.clip_at
        )
    assert trained.ends == (-1, 1)


def settings(recipe, params):
    """The settings of the recipe's optimiser, without its state"""
    made = vars(recipe.optimizer(params, recipe.lr))
    return {name: value for name, value in made.items() if isinstance(value, float | tuple)}


@pytest.mark.parametrize(
    ("name", "build", "ends"),
    [
        ("one-layer-gan", "one_layer_gan", (-1, 1)),
        ("dense-gan", "dense_gan", (0, 1)),
        ("dcgan-28", "dcgan_28", (-1, 1)),
    ],
)
def test_classic_networks_have_their_sizes_and_see_images_in_the_generators_range(
    main, name, build, ends
):
    options = f"--classic {name} --width {gan_variants.WIDTH} --train 2 --samples 3"
    trained = main(gan_variants, options)
    row = re.search(rf"^ *{build} .*?([\d,]{{6,}}) .*?([\d,]{{6,}}) ", classics.__doc__, re.M)
    sizes = [int(size.replace(",", "")) for size in row.groups()]
    assert results(trained)["parameters"] == sum(sizes)
    assert trained.ends == ends
    made = np.load(trained.folder / "samples.npz")["images"]
    assert made.shape == (3, 28, 28, 1)
    raw = trained.model.sample(3, rng=generator(1))
    np.testing.assert_allclose(made, (raw - ends[0]) / (ends[1] - ends[0]), atol=1e-6)


def test_a_conditional_model_has_the_requested_labels(main):
    trained = main(gan_variants, "--conditional --samples 12 --generator dense --packing 2")
    assert (trained.model.classes, trained.model.packing) == (10, 2)
    assert len(log(trained)[1]) == 5
    assert np.load(trained.folder / "samples.npz")["labels"].tolist() == [*range(10), 0, 1]


def test_with_packing_a_batch_consists_of_whole_packs(main):
    trained = main(gan_variants, "--packing 3")
    assert (trained.model.packing, trained.batches.size) == (3, 6)


def test_smoothing_reaches_the_loss(main):
    assert main(gan_variants, "--smooth 0.9 --train 8").loss.real == 0.9


def test_options_replace_the_recipes_settings(main):
    trained = main(gan_variants, "--loss wasserstein --lr 0.5 --discriminator-steps 2")
    assert [optimizer.lr for optimizer in trained.optimizers] == [0.5, 0.5]
    assert (trained.discriminator_steps, len(log(trained)[1])) == (2, 2)


def test_0_epochs_are_a_run_without_a_step(main):
    assert "parameters" in results(main(gan_variants, "--epochs 0"))


def test_samples_are_scored_as_images_and_shown_by_digit(main, monkeypatch):
    scored, balanced = [], []

    def judge(run, args, draw, held_out):
        scored.append(draw(7))
        assert len(held_out) == 20
        return "verdict"

    monkeypatch.setattr(gan_variants, "judge", judge)
    monkeypatch.setattr(gan_variants, "draw_balance", lambda run, verdict: balanced.append(verdict))
    trained = main(gan_variants, "--train 8")
    ((images, labels),) = scored
    np.testing.assert_allclose(images, (trained.model.sample(7, rng=generator(1)) + 1) / 2)
    assert labels is None
    assert balanced == ["verdict"]


def test_the_balance_shows_samples_in_rows_with_each_digits_frequency(monkeypatch, tmp_path):
    shown = {}
    monkeypatch.setattr(image, "strip", lambda path, rows, **_: shown.update(path=path, rows=rows))
    labels = np.repeat([3, 0, 9], [20, 4, 1])
    samples = np.arange(25, dtype=np.float32).reshape(25, 1, 1, 1) / 50
    with Run(tmp_path / "run") as run:
        gan_variants.draw_balance(run, gan_variants.Verdict({}, labels, samples))
    assert shown["path"] == tmp_path / "run" / "balance.png"
    names = [
        "0: 16.0%",
        "1: 0.0%",
        "2: 0.0%",
        "3: 80.0%",
        *(f"{i}: 0.0%" for i in range(4, 9)),
        "9: 4.0%",
    ]
    assert list(shown["rows"]) == names
    rows = np.stack([shown["rows"][name] for name in names])[..., 0, 0, 0] * 50
    assert rows[3].tolist() == [*range(15)]
    assert rows[0].tolist() == [20, 21, 22, 23] + [50] * 11  # filled with white
    assert rows[9].tolist() == [24] + [50] * 14
    assert (rows[[1, 2, 4, 5, 6, 7, 8]] == 50).all()


# --- gan_shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "classes"), [(1, 0), (3, 8)])
def test_the_networks_have_matching_shapes(channels, classes):
    networks = example("gan_shapes").networks(channels, classes, generator())
    model = gan.GAN(*networks, gan_shapes.LATENT, classes)
    labels = np.array([0, classes - 1]) if classes else None
    with tg.no_grad():
        x = model.generate(model.noise(2, rng=generator()), labels)
        assert x.shape == (2, 64, 64, channels)
        assert model.judge(x, labels).shape == (2,)
    assert np.abs(x.numpy()).max() <= 1


@pytest.mark.parametrize("decay", [1e-6, 0.998])
def test_training_on_shapes_uses_r1_and_samples_use_averaged_weights(main, monkeypatch, decay):
    grids = []
    monkeypatch.setattr(gan_shapes, "DECAY", decay)
    monkeypatch.setattr(image, "grid", lambda path, images, **_: grids.append(images))
    trained = main(gan_shapes, "--lr 0.1 --samples 4")
    assert trained.ends[0] >= -1 and trained.ends[0] < -0.5 < 0.5 < trained.ends[1] <= 1
    assert len(log(trained)[1]) == 3
    (shown,) = grids
    assert shown.shape == (gan_shapes.SHOWN, 64, 64, 3)
    assert 0 <= shown.min() < shown.max() <= 1
    made = np.load(trained.folder / "samples.npz")["images"]
    now = (trained.model.sample(4, np.arange(4), rng=generator([0, 1])) + 1) / 2
    assert made.shape == now.shape
    differ = np.abs(made - now).max()
    # with a decay near 0 the average equals the last weights
    assert differ < 1e-4 if decay < 0.5 else differ > 0.01


def test_one_step_in_lazy_computes_r1_with_lazy_times_its_weight(main, monkeypatch):
    penalties, r1 = [], gan.r1

    def watched(*args, **kwargs):
        penalties.append((kwargs["weight"], r1(*args, **kwargs)))
        return penalties[-1][1]

    monkeypatch.setattr(gan, "r1", watched)
    monkeypatch.setattr(gan_shapes, "LAZY", 2)
    _, rows = logbook.read(main(gan_shapes, "--gamma 3").folder / "log.csv")
    assert [weight for weight, _ in penalties] == [6.0, 6.0]  # in the first and third step
    logged = [float(row["penalty"]) for row in rows]
    assert logged == pytest.approx([penalties[0][1].item(), 0, penalties[1][1].item()], rel=1e-5)


def test_the_generator_first_trains_as_the_decoder_of_a_vae(main, monkeypatch):
    started = []
    monkeypatch.setattr(gan_shapes, "VAE_BATCH", 3)
    train = vae.train

    def watched(model, *args, **kwargs):
        for terms in train(model, *args, **kwargs):
            started.append(model.decoder.layers[0].weight.numpy().copy())
            yield terms

    monkeypatch.setattr(vae, "train", watched)
    trained = main(gan_shapes, "--vae-epochs 2 --lr 1e-9")
    columns, rows = log(trained)
    stage = [row[columns.index("accuracy")] == "" for row in rows]
    assert stage == [True] * 6 + [False] * 3
    assert trained.model.generator.layers[0].weight.shape == started[0].shape
    weight = trained.model.generator.layers[0].weight.numpy()
    np.testing.assert_allclose(weight, started[-1], atol=1e-7)  # the GAN went on from there
    assert np.abs(started[-1] - started[0]).max() > 1e-4


def test_images_without_labels_are_of_one_kind(main, monkeypatch):
    load = gan_shapes.data.load
    monkeypatch.setattr(
        gan_shapes.data, "load", lambda *a, **k: [x._replace(labels=None) for x in load(*a, **k)]
    )
    trained = main(gan_shapes, "--samples 3")
    assert trained.model.classes == 0 and len(log(trained)[1]) == 3


def test_the_classic_generators_images_are_rescaled_to_the_range_of_the_others(main, monkeypatch):
    def tiny(*, rng):
        G, D = small(3, 0, rng)
        return nn.Sequential(*G.layers[:1], nn.Sigmoid(), *G.layers[2:]), D

    monkeypatch.setattr(classics, "dcgan_64", tiny)
    samples = main(gan_shapes, "--classic").model.sample(50, rng=generator())
    assert -1 <= samples.min() < -0.2 < 0.2 < samples.max() <= 1


def test_grey_images_of_another_size_are_resized(main):
    trained = main(gan_shapes, "--data digits")
    assert trained.batches.images.shape == (9, 64, 64, 1)


def test_the_nearest_image_is_the_one_with_the_smallest_distance():
    images, samples = generator().random((30, 4, 4, 3)), generator(1).random((5, 4, 4, 3))
    distance = ((samples[:, None] - images) ** 2).sum(axis=(2, 3, 4))
    np.testing.assert_array_equal(gan_shapes.nearest(samples, images), images[distance.argmin(1)])


def test_interpolations_between_gaussian_points_have_variance_1():
    a, b = generator().standard_normal((2, 1, 20_000))
    for t in (0.0, 0.3, 1.0):
        assert gan_shapes.interpolate(a, b, np.array([[t]])).std() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(gan_shapes.interpolate(a, b, np.zeros((1, 1))), a)


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "options", "stops"),
    [
        (gan_variants, "--loss wgan-gp --conditional --samples 3", 1),
        (gan_shapes, "--vae-epochs 1 --samples 3", 2),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(main, module, options, stops):
    whole = main(module, options, "whole")
    with pytest.raises(SystemExit):
        main(module, options, stops=stops)
    resumed = main(module, "--resume")
    assert log(resumed) == log(whole)
    assert len(log(resumed)[1]) > stops
    for a, b in zip(
        np.load(whole.folder / "samples.npz").values(),
        np.load(resumed.folder / "samples.npz").values(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (gan_variants, "--smooth 2", "--smooth: expected a number above 0 and at most 1, got 2"),
        (gan_variants, "--smooth 0", "argument --smooth: expected"),
        (
            gan_variants,
            "--smooth 0.9 --loss hinge",
            "--smooth works only with losses that have targets, not with hinge",
        ),
        (gan_variants, "--classic dcgan-28", "--classic takes no --width"),  # narrow
        (gan_variants, "--classic dcgan-28 --width 64 --packing 2", "--classic takes no --width"),
        (gan_variants, "--classic dcgan-28 --quick --width 64", "--classic takes no --width"),
        (
            gan_variants,
            "--classic dcgan-28 --width 64 --data shapes",
            "--classic networks take "
            "images of shape (28, 28, 1), but those of shapes have (28, 28, 3)",
        ),
        (
            gan_variants,
            "--discriminator-steps 6",
            "one generator update needs 6 discriminator updates, but there are only 5 batches",
        ),
        (gan_variants, "--packing 41", "--packing 41: there are only 40 images"),
        (gan_shapes, "--classic --data digits", "--classic networks take colour images"),
        (gan_shapes, "--gamma 0", "argument --gamma: expected"),
    ],
)
def test_invalid_options_are_rejected_before_an_older_run_is_moved(
    main, capsys, tmp_path, module, options, message
):
    with Run(tmp_path / "run"):
        pass
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as caught:
        main(module, options)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_just_enough_batches_for_one_generator_update_are_enough(main):
    assert len(log(main(gan_variants, "--discriminator-steps 5"))[1]) == 1


def test_quick_classic_networks_keep_their_size(main):
    trained = main(gan_variants, "--classic one-layer-gan --quick --train 2 --width 8")
    assert len(log(trained)[1]) == 1
