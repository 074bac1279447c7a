"""docs/reference.md: every public name once, with its docstring's first line and a test's name.

Behind that, the tests of what no other file's test pins down.
"""

import ast
import importlib
import inspect
import itertools
import math
import re
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import known
import numpy as np
import pytest
from hypothesis import given
from matplotlib.figure import Figure

import tinygen as tg
from tinygen import (
    backend,
    clouds,
    diffusion,
    features,
    flow,
    gan,
    nn,
    plane,
    samplers,
    strategies,
    vae,
)
from tinygen.judge import judge
from tinygen.twosample import mean_distance

# --- the page -------------------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reference.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)

# parts of others, whose names without an underscore are for those; what of them is for users is
# public in `tinygen` itself or in `image`
INNER = {"animation", "backend", "checks", "diagnosis", "distributions", "files", "folder",
         "graph", "interrupts", "logbook", "parallel", "pixels", "plots", "probe", "progress",
         "randomness", "rows", "stateful", "style", "tensor"}  # fmt: skip
UNPROVEN = ["Array", "Shape", "plane.SHADE"]  # two hints at types, and a grey


def public(module):
    """A module's __all__, or else all functions and classes that it defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    defined = [n for n, v in vars(module).items()
               if getattr(v, "__module__", None) == module.__name__]  # fmt: skip
    return [n for n in defined if not n.startswith("_")]


@cache
def functions_of(file):
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def meant(name):
    """The module and the name in it: of `exp` tinygen's own, of `vae.elbo` tinygen.vae's."""
    module, _, own = f"tinygen.{name}".rpartition(".")
    return importlib.import_module(module), own


def documented(value):
    """Whether it is a class or a function of ours: no constant, no hint, and no lambda."""
    ours = (inspect.isclass(value) or inspect.isroutine(value)) and value.__name__ != "<lambda>"
    return ours and value.__module__.startswith("tinygen.")


def test_every_public_name_stands_on_the_page_once():
    modules = [tg]
    for path in sorted((ROOT / "tinygen").glob("[a-z]*.py")):
        if path.stem not in INNER:
            modules.append(importlib.import_module(f"tinygen.{path.stem}"))
    everything = {id(getattr(m, n)): f"{m.__name__}.{n}" for m in modules for n in public(m)}
    found = [meant(name) for name, _, _ in ROWS]
    assert [f"{m.__name__}.{n}" for m, n in found if n not in public(m)] == []
    ids = Counter(id(getattr(m, n)) for m, n in found)
    assert sorted(everything[i] for i in everything.keys() - ids.keys()) == []
    assert sorted(everything[i] for i, times in ids.items() if times > 1) == []
    assert len(ROWS) == PAGE.count("\n| `")


def test_beside_each_stands_the_first_line_of_its_docstring():
    wrong = []
    for name, line, _ in ROWS:
        module, own = meant(name)
        value = getattr(module, own)
        if documented(value):
            first, *rest = (inspect.getdoc(value) or "").split("\n")
            whole = first and not any(rest[:1])  # not cut off where the line ends
            if not whole or line.replace("\\|", "|") != " ".join(first.split()):
                wrong.append(f"{name}: {first}")
    assert wrong == []


def test_behind_each_stands_a_test_that_there_is():
    wrong = []
    for name, _, proof in ROWS:
        told = re.fullmatch(r"\[(test_\w+\.py)\]\(\.\./tests/\1\): (.+)", proof)
        test = told and "test_" + told[2].replace(" ", "_")
        if not told or test not in functions_of(told[1]):
            wrong.append(name)
    assert sorted(wrong) == UNPROVEN


# --- the engine -----------------------------------------------------------------------------------


def leaf(x):
    return tg.Tensor(tg.xp.asarray(np.asarray(x, float)), requires_grad=True)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_vjp_is_recorded_where_its_own_gradient_was_asked_for(create_graph):
    x, seen = leaf([1.0, 2.0]), []

    def vjp(g, _):
        seen.append(tg.is_recording())
        return g

    tg.grad(tg.sum(tg.record(x.data, (x, vjp))), x, create_graph=create_graph)
    assert seen == [create_graph] and tg.is_recording()


def test_near_0_expm1_and_log1p_keep_all_their_digits():
    x = [1e-5, 1e-10, -1e-15, 1e-300]
    series = [1e-5 + 5e-11 + 1e-15 / 6, 1e-10 + 5e-21, -1e-15 + 5e-31, 1e-300]
    np.testing.assert_allclose(tg.expm1(leaf(x)).numpy(), series, rtol=1e-15)
    series = [1e-5 - 5e-11 + 1e-15 / 3, 1e-10 - 5e-21, -1e-15 - 5e-31, 1e-300]
    np.testing.assert_allclose(tg.log1p(leaf(x)).numpy(), series, rtol=1e-15)


def test_equal_extremes_share_the_gradient():
    for extreme, x in [(tg.max, [3.0, 1.0, 3.0]), (tg.min, [-3.0, 1.0, -3.0])]:
        x = leaf(x)
        z = extreme(x)
        assert abs(z.item()) == 3
        np.testing.assert_array_equal(tg.grad(z, x).numpy(), [0.5, 0, 0.5])
    x = leaf(np.array([[2.0, 7, 1, 1], [7, 7, 0, 1]])[None, :, :, None])
    z = tg.max_pool2d(x, 2)
    np.testing.assert_array_equal(z.numpy().ravel(), [7, 1])
    third = 1 / 3
    np.testing.assert_allclose(tg.grad(z.sum(), x).numpy()[0, :, :, 0],
                               [[0, third, third, third], [third, third, 0, third]])  # fmt: skip


def test_of_two_equal_numbers_the_first_is_the_maximum_and_the_minimum():
    for of_two, larger in [(tg.maximum, 1), (tg.minimum, 0)]:
        x, y = leaf([4.0, 5.0, 5.0]), leaf([4.0, 6.0, 3.0])
        z = of_two(x, y)
        np.testing.assert_array_equal(z.numpy(), [4, 6, 5] if larger else [4, 5, 3])
        gx, gy = (g.numpy().tolist() for g in tg.grad(z.sum(), [x, y]))
        assert gx == ([1, 0, 1] if larger else [1, 1, 0])
        assert gy == ([0, 1, 0] if larger else [0, 0, 1])


@pytest.mark.skipif(backend.name == "cupy", reason="a GPU is named instead")
def test_the_line_about_the_backend_ends_with_its_blas_and_threads(monkeypatch):
    monkeypatch.setattr(backend, "threads", 37)
    version = re.escape(backend._chosen.__version__)
    assert re.fullmatch(rf"{backend.name} {version} \(\w.*\), 37 threads", tg.describe())


@given(strategies.shapes(1, 2, min_side=3, max_side=5))
def test_shapes_have_as_many_axes_as_asked_for_and_as_long_ones(shape):
    assert 1 <= len(shape) <= 2 and all(3 <= side <= 5 for side in shape)


# --- models ---------------------------------------------------------------------------------------


def test_the_kl_of_each_unit_is_its_mean_over_all_images(rng):
    encoder = nn.Dense(4, 6, rng=rng).astype(float)
    x = rng.standard_normal((7, 4))
    h = x @ encoder.weight.numpy() + encoder.bias.numpy()
    mu, log_var = h[:, :3], h[:, 3:]
    expected = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).mean(axis=0)
    found = vae.unit_kl(vae.VAE(encoder, nn.Dense(3, 4, rng=rng), 3), x, size=2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_clipped_weights_are_moved_to_the_limit_and_others_left():
    weights = [leaf([-2.0, -0.05, 0.1]), leaf([[4.0], [0.03]])]
    gan.clip(weights, 0.1)
    assert [w.numpy().ravel().tolist() for w in weights] == [[-0.1, -0.05, 0.1], [0.1, 0.03]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_normal_of_the_shape_and_dtype_of_what_it_is_like(dtype, rng):
    noise = diffusion.noise_like(tg.xp.zeros((200, 10, 10, 1), dtype), rng=rng)
    assert isinstance(noise, tg.xp.ndarray) and noise.dtype == dtype
    eps = tg.to_numpy(noise)
    assert eps.shape == (200, 10, 10, 1)
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (4, 3, 96)]:
        assert abs((eps**power).mean() - moment) < 5 * math.sqrt(variance / eps.size)


def test_a_step_is_a_time_a_place_and_the_guess_that_led_there(rng):
    images = known.Gaussian([0.5, -1.0], [[1.0, 0.4], [0.4, 0.5]])
    schedule, x, t = diffusion.linear(50), rng.normal(size=(3, 2)), 50
    path = list(samplers.ddim(images.model(schedule), x, steps=4))
    assert path[-1].t == 0
    for step in path:
        a, b = schedule.scales(t)
        x_0 = images.denoise(x, a, b)
        eps, (a, b) = (x - a * x_0) / b, schedule.scales(step.t)
        np.testing.assert_allclose(tg.to_numpy(step.x_0), x_0, rtol=1e-9)
        np.testing.assert_allclose(tg.to_numpy(step.x), a * x_0 + b * eps, rtol=1e-9)
        x, t = tg.to_numpy(step.x), step.t
    end = samplers.last(iter(path))
    assert isinstance(end, np.ndarray)
    np.testing.assert_array_equal(end, x)


def test_pairs_are_noise_and_where_the_flow_takes_it(rng):
    noise = rng.standard_normal((5, 2))
    found = flow.reflow_pairs(lambda x, t: x * 0 + 2 * tg.reshape(t, (-1, 1)) + 3, noise, size=2)
    np.testing.assert_array_equal(found[:, 0], noise)
    np.testing.assert_allclose(found[:, 1], noise + 4, rtol=1e-6)  # ∫ (2t + 3) dt


def test_the_mean_distance_is_over_all_pairs(rng, monkeypatch):
    monkeypatch.setattr(clouds, "ROWS", 3)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(4, 3))
    pairs = [math.dist(a, b) for a, b in itertools.product(x, y)]
    assert mean_distance(x, y) == pytest.approx(math.fsum(pairs) / 28, rel=1e-12)


def test_a_classifier_halves_the_sides_three_times_in_four_convolutions(rng):
    model = features.Classifier((13, 20, 3), 5, rng=rng)
    strides = [tuple(np.broadcast_to(m.stride, 2)) for _, m in model.named_modules()
               if isinstance(m, nn.Conv2d)]  # fmt: skip
    assert sorted(strides) == [(1, 1), (2, 2), (2, 2), (2, 2)]
    images = tg.xp.asarray(rng.random((2, 13, 20, 3), np.float32))
    flat = {each.weight.shape for _, each in model.named_modules() if isinstance(each, nn.Dense)}
    assert flat == {(2 * 3 * 32, 64), (64, 5)}
    assert model.body(images).shape == (2, 64) and model(images).shape == (2, 5)


# --- what the examples share ----------------------------------------------------------------------


def test_samples_are_judged_as_the_classifier_reads_them(rng, monkeypatch, capsys):
    def read(x):
        x = x.reshape(len(x), -1)
        return features.Reading(x[:, :3], x[:, 3:8] / x[:, 3:8].sum(axis=1, keepdims=True))

    monkeypatch.setattr(features, "classifier", lambda name: SimpleNamespace(read=read))
    real, drawn = rng.random((132, 4, 4, 1)), rng.random((70, 4, 4, 1))
    kept, told = [], {}
    run = SimpleNamespace(samples=lambda *given: kept.append(given), results=told.update)
    args = SimpleNamespace(data="digits", samples=3)

    seconds = iter([5.0, 5.66])
    with monkeypatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: next(seconds))
        verdict = judge(run, args, lambda n: (1.1 * drawn[:n], np.arange(n)), real)
    assert told["ms_per_sample"] == pytest.approx(10)  # there are 66
    samples = np.clip(1.1 * drawn[:66], 0, 1)
    np.testing.assert_array_equal(verdict.samples, samples)
    np.testing.assert_array_equal(verdict.labels, samples.reshape(66, -1)[:, 3:8].argmax(axis=1))
    np.testing.assert_array_equal(kept[0][0], samples[:3])
    assert kept[0][1].tolist() == [0, 1, 2]
    others = real[np.random.default_rng(0).permutation(132)[66:]]  # what both are compared with
    fid = clouds.fid(read(samples).features, read(others).features)
    assert told["fid"] == verdict.scores["FID"].value == pytest.approx(fid, rel=1e-9)
    assert capsys.readouterr().out == f"{verdict}\n"
    assert str(verdict).startswith(f"66 samples: FID {fid:.2f} (")

    assert judge(run, args, lambda n: drawn[:n], real[:129]) is None  # too few
    assert judge(run, SimpleNamespace(data="shapes", samples=0), None, real) is None


def test_both_densities_of_the_plane_are_drawn_in_one_scale(monkeypatch):
    axes = Figure().subplots(1, 2)

    @contextmanager
    def panels(*_, **__):
        yield axes

    monkeypatch.setattr(plane, "panels", panels)
    ring = plane.SETS["ring"]
    plane.density(None, ring, lambda x: ring.log_density(x) - math.log(2), None, (-2, 2, -2, 2))
    true, learnt = (ax.images[0] for ax in axes)
    np.testing.assert_allclose(true.get_array().mean(), 1 / 16, rtol=0.01)  # of mass 1 on 4 × 4
    np.testing.assert_allclose(learnt.get_array().mean(), 1 / 32, rtol=0.01)
    assert true.get_clim() == learnt.get_clim() and learnt.get_clim()[0] == 0


def test_ways_are_lines_between_their_ends(rng):
    x, ax = rng.normal(size=(5, 3, 2)), Figure().subplots()
    plane.ways(ax, x)
    lines = [np.stack(line.get_data(), axis=1) for line in ax.lines]
    for k in range(3):
        for line, expected in zip(lines[3 * k :], (x[:, k], x[:1, k], x[-1:, k]), strict=False):
            np.testing.assert_array_equal(line, expected)
    marks = [line.get_markerfacecolor() == "white" for line in ax.lines]
    assert marks == 3 * [False, True, False]  # ○ where a way begins


def test_a_moment_shows_points_on_the_left_and_guesses_on_the_right(rng):
    x, guess, other = rng.normal(size=(3, 20, 2))
    shown, moved, guessed = (plane.moment("t", *each) for each in
                             ((x, guess), (other, guess), (x, other)))  # fmt: skip
    assert shown.shape[2] == 3 and 0 <= shown.min() < shown.max() <= 1
    middle = shown.shape[1] // 2
    for picture, changed in ((moved, slice(middle)), (guessed, slice(middle, None))):
        different = (picture != shown).any(axis=(0, 2))
        assert different[changed].any() and different.sum() == different[changed].sum()


def test_a_frame_reaches_as_far_on_every_side():
    ax = plane.framed(Figure().subplots())
    assert ax.get_xlim() == ax.get_ylim() == (-plane.REACH, plane.REACH)
    assert ax.get_aspect() == 1 and len(ax.get_xticks()) == 0
