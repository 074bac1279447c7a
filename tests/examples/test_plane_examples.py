"""The examples in the plane: known densities, the results of short trainings, the pictures."""

import json
import math
import os
import sys

import numpy as np
import pytest
from matplotlib.axes import Axes
from programs import example

import tinygen as tg
from tinygen import diffusion, flow, image
from tinygen.data.points_2d import SETS
from tinygen.diffusion import Diffusion, samplers
from tinygen.flow import ode
from tinygen.image import trajectories

diffusion_2d, flow_2d = map(example, ["diffusion_2d", "flow_2d"])
RUN = diffusion_2d.Run
each_example = pytest.mark.parametrize("module", [diffusion_2d, flow_2d], ids=lambda m: m.__name__)
thorough = pytest.mark.skipif(  # .ci/run sets it
    not os.environ.get("TINYGEN_THOROUGH"), reason="takes ten seconds"
)
each_set = pytest.mark.parametrize("name", SETS)


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x):
    return tg.Tensor(tg.xp.asarray(x))


def host(x):
    return tg.to_numpy(x.data)


MEAN, DEVIATION = np.float32([0.5, -0.3]), 0.6


def known_model(predicts="eps"):
    """The optimal denoiser of N(MEAN, DEVIATION² I), in differentiable operations"""
    schedule = diffusion.cosine()

    def network(x, times):
        a, b = (
            tg.xp.asarray(each[:, None], x.dtype)
            for each in schedule.scales(np.clip(host(times), 0, 1000))
        )
        mean = tg.xp.asarray(MEAN)
        eps = (x - a * mean) * (b / (a * a * DEVIATION**2 + b * b))
        x_0 = (x - eps * b) / a
        return {"eps": eps, "x_0": x_0, "v": eps * a - x_0 * b}[predicts]

    return Diffusion(network, schedule, predicts)


# --- both examples --------------------------------------------------------------------------------


@each_set
def test_both_learn_the_same_sets_which_are_about_as_large_as_the_noise(name):
    x, y = (
        module.SETS[name].draw(5000, rng=generator()).points for module in (diffusion_2d, flow_2d)
    )
    np.testing.assert_array_equal(x, y)
    assert 0.4 < x.std() < 1.3
    assert np.abs(x).max() < trajectories.REACH


@pytest.mark.parametrize("name", ["ring", "grid", "mixture", "checkerboard"])
def test_a_density_that_is_known_is_that_of_the_points(name):
    known = SETS[name]
    at = np.linspace(-3, 3, 301)[:-1] + 0.01  # the middles of squares
    every = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    p = np.exp(known.log_density(every)).reshape(300, 300)
    assert p.sum() * 0.02**2 == pytest.approx(1, abs=1e-3)
    x = known.draw(20_000, rng=generator()).points
    counts = np.histogram2d(x[:, 1], x[:, 0], 10, range=[[-3, 3]] * 2)[0] / len(x)
    expected = p.reshape(10, 30, 10, 30).sum(axis=(1, 3)) * 0.02**2
    np.testing.assert_allclose(counts, expected, atol=5 * math.sqrt(expected.max() / len(x)))


@each_example
def test_the_network_tells_times_and_places_apart_each_row_by_itself(module):
    network = module.PlaneMLP(rng=generator())
    x = generator(1).standard_normal((6, 2), np.float32)
    t = np.float32([0, 1, 10, 500, 999, 1000])
    out = host(network(tensor(x), tensor(t)))
    assert out.shape == (6, 2) and out.dtype == np.float32
    np.testing.assert_allclose(host(network(tensor(x[2:3]), tensor(t[2:3]))), out[2:3], atol=1e-5)
    assert np.abs(host(network(tensor(x), tensor(t + 5))) - out).max(axis=1).min() > 1e-3
    moved = host(network(tensor(x + np.float32([0, 0.05])), tensor(t)))
    assert np.abs(moved - out).max(axis=1).min() > 1e-3


def run(module, monkeypatch, folder, *options):
    """Run the example without its pictures, which take long."""
    monkeypatch.setattr(module, "draw", lambda *_: None)
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    arguments = ["--out", str(folder), *options]
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *arguments])
    module.main()
    return json.loads((folder / "results.json").read_text("utf-8"))


@thorough
def test_a_diffusion_model_learns_the_density_in_a_short_training(monkeypatch, tmp_path):
    found = run(
        diffusion_2d,
        monkeypatch,
        tmp_path / "a",
        "--data",
        "mixture",
        "--train",
        "20000",
        "--epochs",
        "8",
        "--test",
        "1000",
        "--steps",
        "20",
    )
    missing = found["true_log_likelihood"] - found["log_likelihood"]
    assert -0.03 < missing < 0.1  # nats; one Gaussian would have 0.5
    assert found["bound"] < found["log_likelihood"] + 0.03
    assert found["energy_distance"] < 0.01
    assert found["good_samples"] > 0.94
    assert found["modes"] == 4


@thorough
def test_a_flow_learns_the_density_in_a_short_training_and_reflow_straightens_it(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(flow_2d, "TOLERANCE", 1e-3)
    found = run(
        flow_2d,
        monkeypatch,
        tmp_path / "a",
        "--data",
        "mixture",
        "--train",
        "10000",
        "--epochs",
        "12",
        "--test",
        "1000",
        "--reflow",
        "1",
    )
    missing = found["true_log_likelihood"] - found["log_likelihood"]
    assert -0.03 < missing < 0.1
    assert found["energy_distance"] < 0.01
    assert found["good_samples"] > 0.94
    assert found["modes"] == 4
    again = found["reflow 1"]
    assert again["straightness"] < 0.2 * found["straightness"]
    assert again["energy_distance_1_step"] < 0.2 * found["energy_distance_1_step"]
    assert again["energy_distance"] < 0.015


SHORT = ["--train", "600", "--batch-size", "50", "--test", "100"]  # 12 steps an epoch


def test_a_resumed_diffusion_run_ends_as_an_uninterrupted_one(monkeypatch, tmp_path):
    whole = run(diffusion_2d, monkeypatch, tmp_path / "a", *SHORT, "--epochs", "2")
    train, folder = diffusion.train, tmp_path / "b"

    def stopped(*arguments, **options):
        for k, terms in enumerate(train(*arguments, **options)):
            if k == 15:
                raise KeyboardInterrupt
            yield terms

    with monkeypatch.context() as patch:
        patch.setattr(diffusion, "train", stopped)
        patch.setattr(diffusion_2d, "Run", lambda *a, **o: RUN(*a, **o, steps=5))
        with pytest.raises(SystemExit):
            run(diffusion_2d, patch, folder, *SHORT, "--epochs", "2")
    resumed = run(diffusion_2d, monkeypatch, folder, "--resume")
    assert without_seconds(resumed) == without_seconds(whole)


def without_seconds(results):
    return {name: value for name, value in results.items() if name != "seconds"}


def test_a_resumed_flow_run_trains_only_the_networks_that_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(flow_2d, "TOLERANCE", 0.1)
    whole = run(
        flow_2d,
        monkeypatch,
        tmp_path / "a",
        *SHORT,
        "--epochs",
        "1",
        "--minibatch-ot",
        "--reflow",
        "2",
    )
    run(flow_2d, monkeypatch, tmp_path / "b", *SHORT, "--epochs", "1", "--reflow", "1")
    train, steps = flow.train, []

    def counted(*arguments, **options):
        steps.append(0)
        for terms in train(*arguments, **options):
            steps[-1] += 1
            yield terms

    monkeypatch.setattr(flow, "train", counted)
    more = run(flow_2d, monkeypatch, tmp_path / "b", "--resume", "--reflow", "2", "--minibatch-ot")
    assert without_seconds(more) == without_seconds(whole)
    assert set(more) > {"minibatch OT", "reflow 1", "reflow 2"}
    assert steps == [0, 12, 0, 12]  # the first network, minibatch_ot, reflow 1 and 2
    assert len({more[name]["log_likelihood"] for name in ("reflow 1", "reflow 2")}) == 2


# --- diffusion_2d ---------------------------------------------------------------------------------


@pytest.mark.parametrize("predicts", diffusion.model.PREDICTIONS)
def test_the_density_found_along_the_equation_is_the_closed_form(predicts):
    model = known_model(predicts)
    x = MEAN + np.float32([[0, 0], [0.6, 0], [-1, 1.2], [2, -1]])
    x.flags.writeable = False
    # each point keeps its quantile in N(a μ, (a s)² + b²), from t = 1 on, where the ODE starts
    (a_1, b_1), (a_T, b_T) = (model.schedule.scales(t) for t in (1, 1000))
    ratio = math.hypot(a_T * DEVIATION, b_T) / math.hypot(a_1 * DEVIATION, b_1)
    x_T = a_T * MEAN + ratio * (x - a_1 * MEAN)
    expected = 2 * math.log(ratio) - (x_T * x_T).sum(axis=1) / 2 - math.log(2 * math.pi)
    np.testing.assert_allclose(samplers.log_likelihood(model, x), expected, atol=5e-3)
    truth = -((x - MEAN) ** 2).sum(axis=1) / (2 * DEVIATION**2) - math.log(
        2 * math.pi * DEVIATION**2
    )
    np.testing.assert_allclose(expected, truth, atol=0.03)


@pytest.mark.parametrize("name", diffusion_2d.SAMPLERS)
def test_every_sampler_is_reproducible_and_has_the_exact_moments(name):
    model, noise = known_model(), generator().standard_normal((4000, 2), np.float32)
    first, again = (
        samplers.last(diffusion_2d.sample_steps(name, model, noise, 200)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first.mean(axis=0), MEAN, atol=0.05)
    np.testing.assert_allclose(first.std(axis=0), DEVIATION, rtol=0.05)


def arrows(monkeypatch):
    """The arrows of the panels plotted from now on: a list of (x, y, u, v)"""
    plotted = []
    monkeypatch.setattr(Axes, "quiver", lambda ax, *fields, **_: plotted.append(fields))
    return plotted


class Folder:
    def __init__(self, path):
        self.folder = path

    def path(self, name):
        return self.folder / name


def test_the_arrows_of_a_score_point_up_the_density(monkeypatch, tmp_path):
    plotted, model = arrows(monkeypatch), known_model()
    test = MEAN + DEVIATION * generator().standard_normal((50, 2)).astype(np.float32)
    diffusion_2d.draw_field(Folder(tmp_path), model, test)
    assert len(plotted) == len(diffusion_2d.TIMES)
    for t, (x, y, u, v) in zip(diffusion_2d.TIMES, plotted, strict=True):
        a, b = model.schedule.scales(t)
        score = [
            -(at.ravel() - a * mean) / (a * a * DEVIATION**2 + b * b)
            for at, mean in zip((x, y), MEAN, strict=True)
        ]
        np.testing.assert_allclose([u, v], b * np.array(score), atol=1e-4)


# --- flow_2d --------------------------------------------------------------------------------------


def test_the_arrows_of_a_velocity_point_where_points_go(monkeypatch, tmp_path):
    plotted = arrows(monkeypatch)
    noise = generator().standard_normal((50, 2), np.float32)
    flow_2d.draw_field(Folder(tmp_path), lambda x, t: tg.reshape(t, (-1, 1)) * x, noise, noise)
    for t, (x, y, u, v) in zip(flow_2d.TIMES, plotted, strict=True):
        np.testing.assert_allclose([u, v], [t * x.ravel(), t * y.ravel()], rtol=1e-5)


def test_optimal_pairs_are_closer_than_random_pairs_of_the_same_points(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(image, "curves_of", lambda *_, **__: None)
    monkeypatch.setattr(flow_2d, "evaluate", lambda *_: None)
    monkeypatch.setattr(
        flow_2d,
        "draw",
        lambda run, target, networks, ends, test, noise: seen.update(
            ends=ends, test=test, noise=noise, networks=networks
        ),
    )
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "flow_2d.py",
            "--out",
            str(tmp_path / "a"),
            *SHORT,
            "--epochs",
            "1",
            "--minibatch-ot",
            "--reflow",
            "1",
        ],
    )
    flow_2d.main()
    ends, noise = seen["ends"], seen["noise"]
    length = {
        name: ((x[:100] - noise[: len(x[:100])]) ** 2).sum(axis=1).mean()
        for name, x in ends.items()
    }
    assert length["minibatch OT"] < 0.5 * length["random pairs"]
    np.testing.assert_array_equal(
        np.sort(ends["minibatch OT"], axis=0), np.sort(seen["test"][:50], axis=0)
    )
    expected = flow.transport(
        seen["networks"]["random pairs"], noise[:100], times=flow_2d.REFLOW_TIMES, step=ode.heun
    )
    np.testing.assert_allclose(ends["reflow 1"][:100], expected, atol=1e-3)


def test_the_network_of_a_run_is_the_average_of_its_weights(tmp_path):
    args = type("Args", (), {"seed": 0, "batch_size": 20, "epochs": 2, "lr": 1e-2})
    x = generator().standard_normal((100, 2), np.float32)
    with flow_2d.Run(tmp_path / "a") as its_run:
        network = flow_2d.learn(its_run, args, x, flow.flow_loss)
    with np.load(tmp_path / "a" / "checkpoint.npz") as saved:
        names = [name for name in saved.files if name.endswith("layers.layers.0.weight")]
        arrays = {name: saved[name] for name in names}
    found = host(network.network.layers.layers[0].weight)
    assert any(np.array_equal(found, a) for n, a in arrays.items() if "average" in n)
    assert not any(np.array_equal(found, a) for n, a in arrays.items() if "average" not in n)
