"""The GANs in the plane: networks, recipes, counts of modes, resuming."""

import json
import signal
import sys

import numpy as np
import pytest
from programs import example

import tinygen as tg
from tinygen import metrics, nn

gan_2d = example("gan_2d")


def generator(seed=0):
    return np.random.default_rng(seed)


def host(x):
    return tg.to_numpy(x.data)


def tensor(x):
    return tg.Tensor(tg.xp.asarray(x, "f4"))


def sizes(model):
    return sum(p.size for p in model.parameters())


# --- networks -------------------------------------------------------------------------------------


def test_a_maxout_unit_is_the_maximum_of_affine_maps():
    layer = gan_2d.Maxout(3, 4, 5, rng=generator(), init=nn.normal(1.0))
    layer.dense.bias.data = tg.xp.asarray(generator(1).standard_normal(20), "f4")
    x = generator(2).standard_normal((6, 3)).astype(np.float32)
    W, b = host(layer.dense.weight), host(layer.dense.bias)
    z = host(layer(tensor(x)))
    assert z.shape == (6, 4)
    for unit in range(4):
        pieces = [x @ W[:, k] + b[k] for k in range(unit, 20, 4)]
        np.testing.assert_allclose(z[:, unit], np.max(pieces, axis=0), atol=1e-5)


@pytest.mark.parametrize("packing", [1, 4])
def test_pacgans_networks_have_the_papers_sizes(packing):
    G, D = gan_2d.pacgan_networks(packing, False, generator())
    # batch norm has a scale and a shift; the layers before it have no bias
    assert sizes(G) == (2 + 3 * 400) * 400 + 4 * 2 * 400 + (400 + 1) * 2
    assert sizes(D) == (2 * packing + 1) * 1000 + 2 * (200 + 1) * 1000 + 201
    assert host(D(tensor(np.zeros((3, 2 * packing))))).shape == (3, 1)
    assert host(G(tensor(np.ones((3, 2))))).shape == (3, 2)


def test_pacgans_initial_weights_are_small():
    for network in gan_2d.pacgan_networks(1, False, generator()):
        weights = [host(p).ravel() for p in network.parameters() if p.ndim == 2]
        assert np.concatenate(weights).std() == pytest.approx(0.02, rel=0.01)
        assert max(np.abs(w).max() for w in weights) < 0.02 * 6
        biases = [host(p) for name, p in network.named_parameters() if "bias" in name]
        assert biases
        assert not np.concatenate(biases).any()


def test_pacgans_generator_has_batch_norm_and_relus():
    G, _ = gan_2d.pacgan_networks(1, False, generator())
    kinds = [type(layer).__name__ for layer in G.layers]
    assert kinds == ["Dense", "BatchNorm", "ReLU"] * 4 + ["Dense"]
    assert {(norm.momentum, norm.eps) for norm in G.layers[1::3]} == {(0.05, 1e-4)}


def test_pacgans_optimiser_is_adam():
    p = tg.Tensor(tg.xp.asarray([1.0], "f4"), requires_grad=True)
    optimizer = gan_2d.pacgan_adam({"p": p}, 1000)
    m = v = 0.0
    expected = 1.0
    for t, g in enumerate([1.0, -3.0, 0.5], 1):
        m, v = 0.8 * m + 0.2 * g, 0.999 * v + 0.001 * g * g
        expected -= 1e-4 * (m / (1 - 0.8**t)) / np.sqrt(v / (1 - 0.999**t))
        optimizer.step([tg.Tensor(tg.xp.asarray([g], "f4"))])
    assert float(host(p)[0]) == pytest.approx(expected, abs=1e-7)


def test_a_small_discriminator_has_spectral_norm_on_request():
    for spectral in (False, True):
        _, D = gan_2d.small_networks(3, spectral, generator())
        kinds = [type(layer).__name__ for layer in D.layers[::2]]
        assert kinds == ["SpectralNorm" if spectral else "Dense"] * 4
        assert host(D(tensor(np.zeros((5, 6))))).shape == (5, 1)


# --- recipes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", gan_2d.RECIPES)
def test_an_epoch_has_the_same_number_of_steps_for_each_recipe(name):
    recipe = gan_2d.RECIPES[name]
    experiment = gan_2d.Experiment(recipe, "ring", 4000, 2, seed=0)
    assert experiment.steps == 2 * 4000 // 200 == len(list(experiment.train()))
    G, D = experiment.optimizers
    assert (G.steps, D.steps) == (40, 40 * recipe.discriminator_steps)
    for each in (G, D):  # both rates fall until the end of the training
        assert each.lr(0) == 1e-3
        assert each.lr(each.steps // 2) == pytest.approx(0.5e-3)
        assert each.rate() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("discriminator_steps", "packing"), [(1, 1), (5, 1), (1, 4), (2, 3)])
def test_the_discriminator_sees_every_point_equally_often(discriminator_steps, packing):
    recipe = gan_2d.Recipe(discriminator_steps=discriminator_steps, packing=packing, batch=20)
    experiment = gan_2d.Experiment(recipe, "ring", 1200, 1, seed=0)
    seen = [host(x) for x in experiment.real_batches()]
    assert {x.shape for x in seen} == {(20 * packing, 2)}
    assert len(seen) == experiment.steps * discriminator_steps == 60 * discriminator_steps
    _, counts = np.unique(np.concatenate(seen), axis=0, return_counts=True)
    assert len(counts) == 1200
    assert set(counts) == {discriminator_steps * packing}


@pytest.mark.parametrize("name", gan_2d.RECIPES)
def test_a_gan_is_trained_by_its_recipe(name):
    recipe = gan_2d.RECIPES[name]
    record = next(gan_2d.Experiment(recipe, "ring", 2000, 1, seed=0).train())
    at_equilibrium = (
        record.get("discriminator_at_equilibrium"),
        record.get("generator_at_equilibrium"),
    )
    assert at_equilibrium == recipe.loss().at_equilibrium
    assert ("penalty" in record) == (recipe.penalty is not None)


def test_all_gans_start_with_the_same_points_and_generator():
    recipes = gan_2d.RECIPES.values()
    experiments = [gan_2d.Experiment(recipe, "grid", 2000, 1, seed=3) for recipe in recipes]
    first, *others = [each.model.images(np.ones((1, 2), np.float32)) for each in experiments]
    assert all((each == first).all() for each in others)
    points = [each.batches.images for each in experiments]
    assert all((x == points[0]).all() for x in points)
    another = gan_2d.Experiment(gan_2d.Recipe(), "grid", 2000, 1, seed=4)
    assert (another.model.images(np.ones((1, 2), np.float32)) != first).any()


def test_only_a_clipped_discriminator_has_bounded_weights():
    for recipe, within in (("wasserstein", True), ("non-saturating", False)):
        experiment = gan_2d.Experiment(gan_2d.RECIPES[recipe], "ring", 2000, 1, seed=0)
        list(experiment.train())
        largest = max(np.abs(host(p)).max() for p in experiment.model.discriminator.parameters())
        assert (largest <= 0.1 + 1e-6) == within


def test_recipes_have_the_losses_of_their_names():
    names = {name: type(recipe.loss()).__name__ for name, recipe in gan_2d.RECIPES.items()}
    assert names == {
        "minimax": "Minimax",
        "non-saturating": "NonSaturating",
        "least-squares": "LeastSquares",
        "hinge": "Hinge",
        "wasserstein": "Wasserstein",
        "wgan-gp": "Wasserstein",
        "r1": "NonSaturating",
        "packed": "NonSaturating",
        "spectral": "NonSaturating",
    }
    penalised = {
        name: recipe.penalty.func.__name__
        for name, recipe in gan_2d.RECIPES.items()
        if recipe.penalty
    }
    assert penalised == {"wgan-gp": "gradient_penalty", "r1": "r1"}


# --- a run ----------------------------------------------------------------------------------------


def run(monkeypatch, folder, *options):
    """A run without its pictures: its results, its log without the seconds, its snapshots."""
    monkeypatch.setattr(gan_2d, "draw", lambda *_: None)
    arguments = ["--train", "2000", "--epochs", "1", "--out", str(folder), *options]
    if "--resume" in options:
        arguments = ["--out", str(folder), *options]
    monkeypatch.setattr(sys, "argv", ["gan_2d.py", *arguments])
    gan_2d.main()
    results = json.loads((folder / "results.json").read_text("utf-8"))
    del results["seconds"]
    rows = [row.split(",") for row in (folder / "log.csv").read_text("utf-8").splitlines()]
    with np.load(folder / "checkpoint.npz") as checkpoint:
        snapshots = checkpoint["snapshots/steps"], checkpoint["snapshots/samples"]
    return results, [row[:2] + row[3:] for row in rows], *snapshots


def naive_modes(x, means, std):
    """The modes found and the share of good samples, point by point"""
    good, found = 0, set()
    for point in x.astype(float):
        distances = [np.hypot(*(point - mean)) for mean in means]
        if min(distances) <= 3 * std:
            good += 1
            found.add(int(np.argmin(distances)))
    return len(found), good / len(x)


def test_every_gan_is_trained_and_its_scores_are_printed(monkeypatch, tmp_path, capsys):
    results, rows, steps, samples = run(monkeypatch, tmp_path / "a", "--samples", "3")
    printed = capsys.readouterr().out.splitlines()
    assert samples.shape == (len(steps), 9, 2500, 2)
    assert steps.tolist() == list(range(1, 11))
    for k, name in enumerate(gan_2d.RECIPES):
        modes, good = naive_modes(samples[-1][k], gan_2d.points_2d.ring_means(), 0.01)
        assert results[f"{name} modes"] == modes
        assert results[f"{name} good"] == pytest.approx(good)
        line = next(line for line in printed if line.startswith(f"{name} "))
        assert line.split()[1:] == [str(modes), "of", "8", f"{good:.1%}"]
        column = rows[0].index(f"{name} good")
        assert float(rows[-1][column]) == pytest.approx(good)
    assert any(line.startswith("real points") and "8 of 8" in line for line in printed)
    with np.load(tmp_path / "a" / "samples.npz") as written:
        assert {written[name].shape for name in gan_2d.RECIPES} == {(3, 2)}


def test_a_gan_trained_alone_is_the_same_as_among_all(monkeypatch, tmp_path):
    together, *_ = run(monkeypatch, tmp_path / "a")
    for name in ("hinge", "wgan-gp"):
        alone, *_, samples = run(monkeypatch, tmp_path / name, "--loss", name)
        assert samples.shape[1] == 1
        assert alone["parameters"] == {name: together["parameters"][name]}
        for score in ("modes", "good"):
            assert alone[f"{name} {score}"] == together[f"{name} {score}"]


@pytest.mark.parametrize(
    "options", [["--loss", "wgan-gp"], ["--paper", "--packing", "2", "--train", "800"]]
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(monkeypatch, tmp_path, options):
    whole = run(monkeypatch, tmp_path / "a", *options)
    calls, modes = [], metrics.modes

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return modes(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(metrics, "modes", stop)
        with pytest.raises(SystemExit):
            run(patch, tmp_path / "b", *options)
    assert not (tmp_path / "b" / "results.json").exists()
    for _ in range(2):  # a finished run does not change
        resumed = run(monkeypatch, tmp_path / "b", "--resume")
        for ours, theirs in zip(resumed, whole, strict=True):
            np.testing.assert_equal(ours, theirs)


def test_the_last_step_always_has_a_snapshot(monkeypatch, tmp_path):
    *_, steps, _ = run(monkeypatch, tmp_path / "a", "--loss", "hinge", "--train", "18200")
    assert steps.tolist() == [1, *range(2, 91, 2), 91]


def test_all_gans_stop_after_as_many_steps_as_the_shortest(monkeypatch, tmp_path):
    recipes = {name: gan_2d.RECIPES[name] for name in ("hinge", "wasserstein")}
    monkeypatch.setattr(gan_2d, "RECIPES", recipes)
    options = ["--packing", "3", "--train", "3700"]
    assert [
        gan_2d.Experiment(each._replace(packing=3), "ring", 3700, 1, seed=0).steps
        for each in recipes.values()
    ] == [18, 15]
    weights = []
    for again in ([], ["--resume"]):
        *_, steps, _ = run(monkeypatch, tmp_path / "a", *options, *again)
        assert steps[-1] == 15
        with np.load(tmp_path / "a" / "checkpoint.npz") as checkpoint:
            weights.append(
                {
                    name: checkpoint[name]
                    for name in checkpoint.files
                    if name.startswith("hinge, model")
                }
            )
    assert weights[0]
    np.testing.assert_equal(weights[0], weights[1])


def test_pacgan_is_named_after_its_packing_and_compared_with_the_published_table(
    monkeypatch, tmp_path, capsys
):
    results, rows, *_ = run(
        monkeypatch, tmp_path / "a", "--paper", "--data", "grid", "--packing", "4", "--train", "400"
    )
    assert len(rows) == 1 + 400 // 100
    assert set(results) == {"PacGAN4 modes", "PacGAN4 good", "parameters"}
    assert "published         24.8 ± 0.2" in capsys.readouterr().out
    scores = {"GAN": metrics.Modes(3, 0.125, np.zeros(8))}
    table = gan_2d.table(scores, gan_2d.PUBLISHED["ring", 1]).splitlines()
    assert [row.split() for row in table] == [
        ["modes", "good", "samples"],
        ["GAN", "3", "of", "8", "12.5%"],
        ["published", "6.3", "±", "0.5", "98.2", "%"],
    ]
    assert len(gan_2d.table(scores, None).splitlines()) == 2


def test_options_choose_the_recipes_and_replace_their_settings(monkeypatch, tmp_path):
    Args = type(
        "Args", (), {"paper": True, "packing": None, "discriminator_steps": None, "loss": "all"}
    )
    recipes = gan_2d.chosen(Args)
    assert list(recipes) == ["GAN"]
    assert recipes["GAN"].batch == 100
    Args.paper, Args.packing = False, 3
    assert {recipe.packing for recipe in gan_2d.chosen(Args).values()} == {3}
    Args.packing, Args.discriminator_steps = None, 2
    assert {recipe.discriminator_steps for recipe in gan_2d.chosen(Args).values()} == {2}
    Args.discriminator_steps = None
    assert [name for name, recipe in gan_2d.chosen(Args).items() if recipe.packing > 1] == [
        "packed"
    ]


def test_too_few_points_for_a_step_are_rejected(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "a", "--train", "999")
    error = capsys.readouterr().err
    assert "--train: expected at least 1000" in error and "got 999" in error


# --- pictures -------------------------------------------------------------------------------------


def test_points_are_plotted_at_their_coordinates():
    x = np.array([[0.99, 0.99], [-0.99, 0.0], [7.0, 0.0], [-1.05, 0.5], [np.nan, 0.0]])
    picture = gan_2d.dots(x, np.array([[0.0, -0.99], [-0.99, 0.0]]), reach=1.0)
    side = gan_2d.SIDE
    plotted = np.argwhere((picture != gan_2d.BACKGROUND).any(axis=-1))
    pixels = {tuple(pixel) for pixel in plotted.tolist()}
    assert pixels == {(0, side - 1), (side // 2, 0), (side - 1, side // 2)}
    blue, grey = picture[side // 2, 0], picture[side - 1, side // 2]
    assert blue[2] > blue[0]  # the generated point hides the real one
    assert grey[0] == grey[2]


def test_a_frame_shows_all_gans_below_their_names():
    real = np.zeros((5, 2))
    for count, grid in ((1, (1, 1)), (9, (3, 3)), (5, (2, 3))):
        samples = np.full((count, 4, 2), 0.5)
        picture = gan_2d.frame([str(k) for k in range(count)], samples, real, reach=1.0)
        high, wide = gan_2d.SIDE + gan_2d.HEAD + 2, gan_2d.SIDE + 2
        assert picture.shape == (grid[0] * high - 2, grid[1] * wide - 2, 3)
