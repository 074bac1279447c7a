"""Style transfer and latent directions: the losses, L-BFGS, measured attributes, bad input."""

import argparse
import json
import math
import sys

import numpy as np
import pytest
from PIL import Image
from programs import example

import tinygen as tg
from tinygen import image, vae
from tinygen.data import synthetic_shapes
from tinygen.run import Run, RunError, checkpoint

style, control, shapes = map(example, ["style_transfer", "latent_directions", "vae_shapes"])


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x):
    return tg.Tensor(tg.xp.asarray(x))


def host(x):
    return tg.to_numpy(x.data if isinstance(x, tg.Tensor) else x)


# --- the losses of style transfer -----------------------------------------------------------------


def test_a_gram_matrix_is_the_mean_product_of_two_channels():
    F = generator().standard_normal((1, 3, 4, 2))
    expected = [[np.mean(F[..., i] * F[..., j]) for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(host(style.gram(tensor(F))), expected)


def test_the_style_loss_ignores_positions_and_the_content_loss_does_not():
    F = generator().standard_normal((1, 6, 6, 3))
    mixed = generator(1).permutation(F.reshape(36, 3)).reshape(F.shape)
    A, G = ([style.gram(tensor(x))] for x in (F, mixed))
    assert float(style.style_loss(G, A)) == pytest.approx(0, abs=1e-12)
    content = float(style.content_loss([tensor(mixed)], [tensor(F)]))
    assert content == pytest.approx(np.mean((mixed - F) ** 2)) and content > 0.5


def test_the_style_loss_is_1_per_level_for_features_that_are_0():
    A = [style.gram(tensor(generator(k).standard_normal((1, 5, 5, 2)))) for k in range(3)]
    assert float(style.style_loss([0 * a for a in A], A)) == pytest.approx(3)


def test_the_total_variation_of_a_ramp_is_the_sum_of_its_squared_slopes():
    y, x = np.mgrid[:4, :5].astype(float)
    ramp = np.repeat((2 * y + 3 * x)[None, ..., None], 3, axis=3)
    assert float(style.total_variation(tensor(ramp))) == pytest.approx(2**2 + 3**2)


def test_reflection_equals_numpys():
    x = generator().standard_normal((1, 6, 7, 2))
    expected = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(host(style.reflected(tensor(x), 3)), expected)


def test_gabor_filters_have_norm_1_and_do_not_see_flat_colours():
    w = style.gabor_filters(generator().random((9, 9, 3)), generator())
    assert w.shape == (7, 7, 3, style.FILTERS)
    np.testing.assert_allclose((w**2).sum((0, 1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(w.sum((0, 1)), 0, atol=1e-5)


def test_every_feature_has_rms_1_on_the_style_and_is_0_on_a_flat_image():
    picture = generator().random((40, 48, 3)).astype("f4")
    features = style.Features(picture, 40, generator())
    levels = features(tensor(picture[None]))
    assert [F.shape[1:3] for F in levels] == [(40, 48), (20, 24), (10, 12)]  # 5 × 6 is too small
    for F in levels:
        rms = np.sqrt((host(F) ** 2).mean((0, 1, 2)))
        np.testing.assert_allclose(rms, 1, rtol=0.05)
    for F in features(tensor(np.full((1, 40, 48, 3), 0.7, "f4"))):
        assert np.abs(host(F)).max() < 1e-3


# --- L-BFGS ---------------------------------------------------------------------------------------


def test_lbfgs_equals_the_bfgs_matrix_built_from_the_same_pairs():
    n, rng = 6, generator()
    root = rng.standard_normal((n, n))
    hessian = root @ root.T + np.eye(n)
    s = rng.standard_normal((4, n))
    y, g = s @ hessian, rng.standard_normal(n)
    H = np.eye(n) * (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for a, b in zip(s, y, strict=True):
        V = np.eye(n) - np.outer(a, b) / (a @ b)
        H = V @ H @ V.T + np.outer(a, a) / (a @ b)
    pairs = [(tg.xp.asarray(a), tg.xp.asarray(b)) for a, b in zip(s, y, strict=True)]
    found = style.lbfgs_direction(tg.xp.asarray(g), pairs)
    np.testing.assert_allclose(tg.to_numpy(found), -H @ g, rtol=1e-9)
    np.testing.assert_allclose(tg.to_numpy(style.lbfgs_direction(pairs[-1][1], pairs)), -s[-1])


@pytest.fixture
def small(monkeypatch):
    """Few filters and steps, no pictures"""
    monkeypatch.setattr(style, "FILTERS", 4)
    monkeypatch.setattr(style, "STEPS", (3, 3))
    monkeypatch.setattr(style, "WEIGHTS", (1.0,))
    monkeypatch.setattr(style, "strokes", lambda size, rng: rng.random((size, size, 3), np.float32))
    for name in ("grid", "curves_of", "strip"):
        monkeypatch.setattr(image, name, lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)


def run(monkeypatch, folder, *options, module=style):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, options), "--out", str(folder)])
    module.main()
    return folder


def test_the_loss_falls_with_every_step_of_a_scale(small):
    content, other = generator().random((2, 64, 64, 3), np.float32)
    transfer = style.Transfer(content, other, 2.0, (5, 5), 0)
    losses = np.array([terms["loss"] for terms in transfer]).reshape(2, 5)
    assert (np.diff(losses, axis=1) < 0).all()
    terms, _ = transfer.evaluate(transfer.x)
    smooth = float(style.total_variation(tg.Tensor(transfer.x)))
    expected = terms["content"] + 2 * terms["style"] + style.TV * smooth
    assert terms["loss"] == pytest.approx(expected, rel=1e-4)
    F, P = (transfer.features(tg.Tensor(tg.xp.asarray(x))) for x in (transfer.x, content[None]))
    levels = [np.mean((host(f) - host(p)) ** 2) for f, p in zip(F, P, strict=True)]
    assert terms["content"] == pytest.approx(sum(levels[1:]), rel=1e-4) and len(levels) == 4


@pytest.mark.parametrize("turned", [False, True])
def test_a_narrow_picture_and_a_square_one_have_the_same_number_of_levels(small, turned):
    pictures = [generator().random(shape, np.float32) for shape in ((64, 18, 3), (64, 64, 3))]
    content, other = pictures[::-1] if turned else pictures
    transfer = style.Transfer(content, other, 2.0, (1, 1), 0)
    assert len(transfer.P) == len(transfer.A) - 1 == 1  # 32 × 9: room for one level
    assert len(list(transfer)) == 2 and transfer.image().shape == content.shape


def test_steps_that_are_too_long_are_halved_until_the_loss_falls(small, monkeypatch):
    direction = style.lbfgs_direction
    monkeypatch.setattr(style, "lbfgs_direction", lambda g, pairs: 50 * direction(g, pairs))
    content, other = generator().random((2, 64, 64, 3), np.float32)
    losses = [terms["loss"] for terms in style.Transfer(content, other, 2.0, (5,), 0)]
    assert (np.diff(losses) < 0).all() and len(losses) == 5


def test_a_resumed_transfer_ends_as_an_uninterrupted_one(small, monkeypatch, tmp_path):
    options = ["--size", 64, "--samples", 1]
    whole = run(monkeypatch, tmp_path / "whole", *options)
    save = Run.save

    def interrupted(self, *arguments):
        save(self, *arguments)
        if self.step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", interrupted)
        patch.setattr("tinygen.run.run.APART", 0.0)
        with pytest.raises(SystemExit):
            run(patch, tmp_path / "parts", *options)
    parts = run(monkeypatch, tmp_path / "parts", "--resume")
    a, b = (checkpoint.read(folder / "checkpoint.npz")[1] for folder in (whole, parts))
    assert a.keys() == b.keys()
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name], name)
    with np.load(parts / "samples.npz") as samples:
        assert samples["images"].shape == (1, 64, 64, 3)


def test_a_texture_has_no_content_loss(small, monkeypatch, tmp_path):
    folder = run(monkeypatch, tmp_path / "run", "--texture", "--size", 64)
    results = json.loads((folder / "results.json").read_text("utf-8"))
    assert "content" not in results and 0 < results["style"] < 10
    with Image.open(folder / "picture.png") as picture:
        assert picture.size == (64, 64)


# --- pictures -------------------------------------------------------------------------------------


def test_matched_colours_have_the_mean_and_covariance_of_the_other_picture():
    x, to = 0.06 * generator().standard_normal((2, 30, 40, 3))
    x, to = 0.5 + x @ [[1, -0.8, 0], [0, 1, 0], [0.3, 0, 2]], 0.4 + to @ np.tri(3)
    found = style.matched(x, to).reshape(-1, 3)
    np.testing.assert_allclose(found.mean(0), to.mean((0, 1)), atol=1e-3)
    np.testing.assert_allclose(np.cov(found.T), np.cov(to.reshape(-1, 3).T), atol=4e-4)
    A, B = (np.cov(z.reshape(-1, 3).T) for z in (x, to))  # and colours move as little as possible
    roots = np.sqrt(np.linalg.eigvals(A @ B).real).sum()
    least = ((to - x).mean((0, 1)) ** 2).sum() + np.trace(A + B) - 2 * roots
    assert ((found - x.reshape(-1, 3)) ** 2).sum(1).mean() == pytest.approx(least, rel=0.05)
    np.testing.assert_allclose(style.matched(to, to), to, atol=1e-4)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
def test_pictures_of_any_mode_are_read_as_colours(mode, tmp_path):
    file = tmp_path / ("picture.tif" if mode in ("CMYK", "I;16") else "picture.png")
    grey = Image.fromarray((generator().random((40, 80)) * 255).astype(np.uint8))
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    (wide if mode == "I;16" else grey.convert("RGBA").convert(mode)).save(file)
    x = style.read(argparse.ArgumentParser(), file, 64)
    assert x.shape == (32, 64, 3) and x.dtype == np.float32
    assert 0 <= x.min() < 0.45 < 0.55 < x.max() <= 1


def broken(file):
    file.write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: None, "can't read the picture {}: [Errno 2] No such file"),
        (broken, "can't read the picture {}: cannot identify image file"),
        (
            lambda file: Image.new("RGB", (900, 100)).save(file),
            "{}: expected sides that differ by a factor ≤ 8, got 900 × 100",
        ),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused_with_the_reason(
    write, message, monkeypatch, tmp_path, capsys
):
    write(file := tmp_path / "picture.png")
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, tmp_path / "run", file)
    assert caught.value.code == 2
    assert message.format(file) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_texture_takes_one_picture(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "run", "--texture", "a.png", "b.png")
    assert "--texture takes one picture, the style; got two, the second b.png" in (
        capsys.readouterr().err
    )


def test_a_style_of_one_colour_is_refused(monkeypatch, tmp_path, capsys):
    Image.new("RGB", (90, 70), "teal").save(file := tmp_path / "flat.png")
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "run", "--texture", file)
    assert f"{file}: expected a style of more than one colour" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "few"), [("lake", {}), ("strokes", {"count": 500})])
def test_the_built_in_pictures_are_colourful_and_look_alike_at_every_size(name, few):
    large, little = (getattr(style, name)(n, generator(2), **few) for n in (64, 32))
    assert 0 <= large.min() < 0.2 < 0.8 < large.max() <= 1
    halved = large.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.corrcoef(halved.ravel(), little.ravel())[0, 1] > 0.9


# --- latent directions: attributes of images ------------------------------------------------------


def drawn(kind, radius=0.5, x=0.1, y=-0.2, shape=(0.9, 0.7, 0.8), ground=(0.1, 0.2, 0.1), size=64):
    """One shape of one colour on another"""
    right, down = synthetic_shapes.centres(size)
    d = synthetic_shapes.SHAPES[kind]((right - x) / radius, (down - y) / radius) * radius
    cover = np.clip(0.5 - d * size / 2, 0, 1)[None, ..., None]
    return (np.array(ground) + cover * (np.array(shape) - np.array(ground))).astype("f4")


FULLNESS = {"disc": 1, "square": 3 / math.pi, "ring": (1 - 0.44**2) / (1 + 0.44**2)}
FULLNESS |= {"triangle": 3 * math.sqrt(3) / (2 * math.pi)}


@pytest.mark.parametrize("kind", FULLNESS)
@pytest.mark.parametrize("swap", [False, True])
def test_attributes_of_known_shapes(kind, swap):
    colours = ((0.9, 0.7, 0.8), (0.1, 0.2, 0.1))
    shape, ground = colours[::-1] if swap else colours
    (measured,) = control.measure(drawn(kind, shape=shape, ground=ground, size=160))
    found = dict(zip(control.ATTRIBUTES, measured, strict=True))
    R, G, B = shape
    expected = {"x": 0.1, "y": -0.2, "fullness": FULLNESS[kind], "red": R - G}
    expected |= {"blue": B - (R + G) / 2, "lightness": 0.2126 * R + 0.7152 * G + 0.0722 * B}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=0.02), name
    sizes = {"disc": 0.5, "square": 0.5 / math.sqrt(1.5), "ring": 0.5 * math.sqrt(1 + 0.44**2)}
    if kind in sizes:
        assert found["size"] == pytest.approx(sizes[kind], abs=0.01)


def test_an_image_without_a_shape_has_no_attributes():
    assert np.isnan(control.measure(np.full((1, 16, 16, 3), 0.2, "f4"))).all()


def test_only_shapes_of_the_chosen_lightness_are_used():
    for kind, light in (("light", True), ("dark", False)):
        x = control.chosen(20, kind, generator())
        assert len(x) == 20 and ((control.measure(x)[:, -1] > 0.5) == light).all()
    assert len(set(control.measure(control.chosen(20, "all", generator()))[:, -1] > 0.5)) == 2


# --- directions -----------------------------------------------------------------------------------


def codes(n=500, latent=5):
    z = generator().standard_normal((n, latent)) @ generator(1).standard_normal((latent, latent))
    a = z @ generator(2).standard_normal((latent, 2)) + generator(3).standard_normal((n, 2))
    return z, a * [2, 0.1] + 3


def test_a_direction_moves_the_prediction_of_its_attribute_only():
    D, W = control.directions(*codes())
    np.testing.assert_allclose(W @ D.T, np.eye(2), atol=1e-9)


def test_the_prediction_is_the_least_squares_fit():
    z, a = codes()
    _, W = control.directions(z, a)
    standard = (a - a.mean(0)) / a.std(0)
    fit = np.linalg.lstsq(z - z.mean(0), standard, rcond=None)[0]
    np.testing.assert_allclose(W, fit.T, atol=0.01)


def test_no_other_direction_with_the_same_effect_is_more_plausible():
    z, a = codes()
    D, W = control.directions(z, a)
    precision = np.linalg.inv(np.cov(z.T))
    null = np.linalg.svd(W)[2][2:]  # these change no prediction
    for d in D:
        for other in d + 0.05 * generator(4).standard_normal((20, 3)) @ null:
            np.testing.assert_allclose(W @ other, W @ d, atol=1e-9)
            assert other @ precision @ other > d @ precision @ d


class Painter:
    """A decoder whose first two latents are the place of a disc"""

    def generate(self, z):
        return np.concatenate([drawn("disc", 0.4, *row[:2]) for row in z])


def test_changes_are_measured_in_standard_deviations():
    z = np.zeros((3, 3))
    D = np.array([[0.2, 0, 1], [0.1, 0.1, 0]])
    M = control.changes(Painter(), z, D, np.array([0.1, 0.2]))
    np.testing.assert_allclose(M, [[2, 1], [0, 0.5]], atol=0.02)  # attribute × direction
    assert control.split(M) == pytest.approx((1.25, 0.5), abs=0.02)


def test_the_networks_are_those_of_vae_shapes():
    for ours, theirs in zip(control.networks(6), shapes.networks(3, 6, generator()), strict=True):
        a, b = ours.state_dict(), theirs.state_dict()
        assert {k: v.shape for k, v in a.items()} == {k: v.shape for k, v in b.items()}


def test_the_weights_of_the_run_are_used(tmp_path):
    model = vae.VAE(*shapes.networks(3, 2, generator(5)), 2, likelihood=vae.Gaussian(learned=True))
    settings = {"data": "shapes", "latent": 2, "beta": 1, "prior_steps": 1}
    with Run(tmp_path / "run", settings) as of_shapes:
        of_shapes.keep(model=model)
    found = control.trained(argparse.Namespace(run=tmp_path / "run", quick=False))
    z = generator().standard_normal((2, 2), np.float32)
    np.testing.assert_array_equal(found.generate(z), model.generate(z))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "there is no trained model in {}; to train one:\n  python examples/vae_shapes.py"),
        ({"data": "shapes"}, "expected {} to be a run of vae_shapes.py, got another program's"),
        (
            {"data": "photos", "latent": 2, "beta": 1, "prior_steps": 1},
            "expected a model of shapes in {}, got one of photos",
        ),
    ],
)
def test_a_run_that_cannot_be_used_is_refused_with_the_reason(settings, message, tmp_path):
    folder = tmp_path / "run"
    if settings:
        with Run(folder, settings) as other:
            other.keep(x=tg.nn.Dense(1, 1, rng=generator()))
    with pytest.raises(RunError) as caught:
        control.trained(argparse.Namespace(run=folder, quick=False))
    assert str(caught.value).startswith(message.format(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--image", 40], "--image: expected a number below 40, got 40"),
        (["--attribute", "lightness"], "--attribute lightness needs --shapes all, got light"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "run", "--quick", *options, module=control)
    assert message in capsys.readouterr().err
