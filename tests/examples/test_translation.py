"""The image-to-image examples: losses, networks, outlines of drawings, thin and thick digits."""

import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from programs import example, outcome, run_front

import tinygen as tg
from tinygen import data, gan, image, nn
from tinygen.run import RunError

sketch, unpaired = map(example, ["sketch_to_image", "translate_unpaired"])

thorough = pytest.mark.skipif(  # .ci/run sets it
    not os.environ.get("TINYGEN_THOROUGH"), reason="repeats what other tests run"
)


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x, **options):
    return tg.Tensor(tg.xp.asarray(x), **options)


def host(x):
    return tg.to_numpy(x.data if isinstance(x, tg.Tensor) else x)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    for module, name, value in (
        (unpaired, "BLOCKS", 1),
        (unpaired, "SHOWN", 4),
        (unpaired, "FILMED", 1),
        (sketch, "MASKS", 1),
        (sketch, "FILMED", 1),
    ):
        monkeypatch.setattr(module, name, value)
    for name in ("compare", "curves_of"):
        monkeypatch.setattr(image, name, lambda *_, **__: None)
    monkeypatch.setattr(image.Animation, "save", lambda *_, **__: None)


@pytest.fixture
def pictures(monkeypatch):
    """What `image.compare` draws: rows by the file's name"""
    drawn = {}
    monkeypatch.setattr(image, "compare", lambda path, rows, **_: drawn.update({path.name: rows}))
    return drawn


def results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def same_outcome(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


# --- the losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("module", "library", "halves"),
    [(sketch, gan.NonSaturating(), (0.5, 1)), (unpaired, gan.LeastSquares(), (1, 2))],
    ids=["pix2pix", "CycleGAN"],
)
def test_the_adversarial_losses_and_their_gradients_equal_the_librarys(
    module, library, halves, size
):
    r, f = (tensor(x, requires_grad=True) for x in size * generator().normal(size=(2, 3, 4, 4, 1)))
    pairs = [
        (module.discriminator_loss(r, f), halves[0] * library.discriminator(r, f), (r, f)),
        (module.adversarial_loss(f), halves[1] * library.generator(f), (f,)),
    ]
    for ours, theirs, scores in pairs:
        assert float(ours) == pytest.approx(float(theirs), rel=1e-12)
        for a, b in zip(tg.grad(ours, scores), tg.grad(theirs, scores), strict=True):
            np.testing.assert_allclose(host(a), host(b), rtol=1e-12)


def test_the_penalty_and_its_gradient_equal_the_librarys_for_the_mean_of_the_patches():
    D = sketch.patch_discriminator(4, 2, rng=generator()).astype(float)
    x, y = (tensor(generator(k).normal(size=(3, 64, 64, c))) for k, c in ((1, 1), (2, 3)))

    def mean_score(y):
        return tg.mean(D(tg.concat([x, y], axis=3)), axis=(1, 2, 3))

    ours, theirs = sketch.r1_penalty(D, x, y), gan.r1(mean_score, y, weight=sketch.GAMMA)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-9)
    assert float(ours) > 0
    weights = [p for p in D.parameters() if p.ndim == 4]
    pairs = zip(tg.grad(ours, weights), tg.grad(theirs, weights), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(host(a), host(b), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("distance", [sketch.l1_loss, unpaired.distance])
def test_l1_is_a_mean_of_absolute_differences(distance):
    a, b = tensor([[1.0, -2.0], [0.5, 0.0]]), tensor([[1.0, 2.0], [-0.5, 0.25]])
    assert float(distance(a, b)) == pytest.approx((0 + 4 + 1 + 0.25) / 4)


def test_l1_is_smallest_at_the_median_of_equally_likely_images():
    colours = tensor([0.0, 0.1, 0.9])
    values = np.linspace(0, 1, 101)
    losses = [float(sketch.l1_loss(colours, tensor(np.full(3, v)))) for v in values]
    assert values[np.argmin(losses)] == pytest.approx(0.1)


# --- pix2pix: networks ----------------------------------------------------------------------------


@pytest.fixture
def net():
    return sketch.UNet(3, 4, rng=generator())


def lines(n=3):
    return (generator(1).random((n, 64, 64, 1)) < 0.1).astype(np.float32)


def test_translations_are_images_and_do_not_depend_on_the_others_in_a_batch(net):
    made = sketch.translate(net, lines())
    assert made.shape == (3, 64, 64, 3) and 0 <= made.min() < made.max() <= 1
    # the noise of the first image is the same, as it is drawn first, in the first mask only
    x, z = tensor(lines()), net.noise(3, rng=generator())
    alone = net(x[:1], [mask[:1] for mask in z])
    np.testing.assert_allclose(host(net(x, z))[:1], host(alone), atol=1e-5)


def test_the_noise_changes_a_translation_and_its_seed_repeats_it(net):
    first, again, other = (sketch.translate(net, lines(1), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1e-3


def test_the_noise_drops_features_and_keeps_their_mean(net, monkeypatch):
    monkeypatch.setattr(sketch, "DROPPED", 0.2)
    for mask in net.noise(40, rng=generator()):
        assert sorted({float(v) for v in np.unique(host(mask))}) == pytest.approx([0, 1.25])
        assert host(mask).mean() == pytest.approx(1, abs=0.02)


def test_every_layer_of_the_u_net_receives_a_gradient(net):
    x = tensor(lines())
    for p, g in zip(
        net.parameters(),
        tg.grad(tg.mean(net(x, net.noise(3, rng=generator())) ** 2), net.parameters()),
        strict=True,
    ):
        if p.ndim == 4:  # a norm removes the biases before it
            assert np.abs(host(g)).max() > 0


@pytest.mark.parametrize(
    ("module", "channels", "side", "seen"), [(sketch, 4, 64, 46), (unpaired, 1, 28, 18)]
)
def test_a_score_depends_on_one_patch(module, channels, side, seen, monkeypatch):
    monkeypatch.setattr(nn, "GroupNorm", lambda *_: nn.ReLU())  # its moments are of all pixels
    D = module.patch_discriminator(channels, 4, rng=generator())
    x = tensor(generator(1).random((1, side, side, channels)).astype("f4"), requires_grad=True)
    scores = D(x)
    assert scores.shape == (1, 7, 7, 1)
    used = np.argwhere(host(tg.grad(scores[0, 3, 3, 0], x))[0].any(axis=2))
    assert (np.ptp(used, axis=0) + 1).tolist() == [seen, seen]


# --- outlines -------------------------------------------------------------------------------------


def test_sobels_filters_equal_their_definition():
    grey = generator().random((2, 6, 7))
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    expected = np.empty_like(grey)
    for n, image_ in enumerate(np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")):
        for i in range(6):
            for j in range(7):
                patch = image_[i : i + 3, j : j + 3]
                expected[n, i, j] = np.hypot((patch * across).sum(), (patch * across.T).sum())
    np.testing.assert_allclose(sketch.sobel(grey), expected, atol=1e-12)


def test_sobel_measures_the_change_per_pixel_of_a_gradient_in_any_direction():
    i, j = np.mgrid[:9, :9]
    for angle in (0, 0.7, 2.0):
        grey = 0.03 * (np.cos(angle) * i + np.sin(angle) * j)
        np.testing.assert_allclose(sketch.sobel(grey[None])[0, 1:-1, 1:-1], 0.03, atol=1e-12)


def test_outlines_are_the_edges_of_shapes_and_not_their_shading():
    (images, _), _ = data.load("shapes", train=40, test=0, size=64)
    x = sketch.outlines(images)
    assert x.shape == (40, 64, 64, 1) and x.dtype == np.float32
    assert (x.max(axis=(1, 2, 3)) == 1).all()
    covered = (x > 0).mean(axis=(1, 2, 3))
    assert covered.min() > 0.01 and covered.max() < 0.25
    corners = x[:, [0, 0, -1, -1], [0, -1, 0, -1]]  # mostly background
    assert (corners > 0).mean() < 0.05
    assert not sketch.outlines(np.full((1, 8, 8, 3), 0.3, np.float32)).any()


def test_thicker_and_thinner_are_the_extremes_of_nine_pixels():
    x = generator().random((2, 6, 5, 1))
    p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    for i in range(6):
        for j in range(5):
            patch = p[:, i : i + 3, j : j + 3]
            np.testing.assert_allclose(sketch.thicker(x)[:, i, j], patch.max(axis=(1, 2)))
            np.testing.assert_allclose(sketch.thinner(x)[:, i, j], patch.min(axis=(1, 2)))
    np.testing.assert_array_equal(sketch.thinner(x, 2), sketch.thinner(sketch.thinner(x)))


def test_half_of_the_training_outlines_have_thicker_lines():
    x = lines(100)
    made = sketch.sometimes_thicker(x, rng=generator())
    thick = sketch.thicker(x)
    as_before, wider = ((made == y).all(axis=(1, 2, 3)) for y in (x, thick))
    assert (as_before | wider).all()
    assert 30 < as_before.sum() < 70


# --- drawings -------------------------------------------------------------------------------------


def drawn(ink=0, paper=255, size=(200, 160), width=6):
    picture = Image.new("L", size, paper)
    ImageDraw.Draw(picture).ellipse((50, 20, 150, 120), outline=ink, width=width)
    return picture


def circle(lines):
    """Whether lines (64, 64, 1) are a circle in the middle: its radius, and its width"""
    i, j = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(i, j)[lines[..., 0] > 0.5]
    return radius.mean(), np.ptp(radius)


CONVERTED = {
    "L": lambda p: p,
    "1": lambda p: p.convert("1"),
    "RGB": lambda p: p.convert("RGB"),
    "P": lambda p: p.convert("P"),
    "LA": lambda p: p.convert("LA"),
    "I;16": lambda p: Image.fromarray(np.asarray(p).astype(np.uint16) * 100),
    "coloured": lambda p: Image.merge("RGB", [p.point(lambda v: 250), p.point(lambda v: 250), p]),
    "transparent": lambda p: Image.merge(
        "RGBA", [*[p.point(lambda v: 255)] * 3, p.point(lambda v: 255 - v)]
    ),
}


@pytest.mark.parametrize("mode", CONVERTED)
def test_a_drawing_of_any_mode_becomes_its_lines(mode, tmp_path):
    CONVERTED[mode](drawn()).save(tmp_path / "a.png")
    x = sketch.read_sketch(tmp_path / "a.png")
    assert x.shape == (64, 64, 1) and x.dtype == np.float32
    assert 0 <= x.min() < x.max() <= 1
    radius, width = circle(x)
    assert radius == pytest.approx(0.5 * sketch.FILLS * 64, abs=1.5)
    assert width < 4.5


def test_light_lines_on_dark_paper_are_read_as_dark_lines_on_light_paper(tmp_path):
    drawn(30, 250).save(tmp_path / "a.png")
    drawn(250, 30).save(tmp_path / "b.png")
    a, b = (sketch.read_sketch(tmp_path / name) for name in ("a.png", "b.png"))
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(("scale", "width"), [(0.25, 1), (1, 2), (3, 1), (2, 20)])
def test_a_drawing_of_any_size_and_pen_has_visible_lines(scale, width, tmp_path):
    picture = Image.new("L", (round(300 * scale), round(200 * scale)), 255)
    box = [round(v * scale) for v in (60, 50, 160, 150)]
    ImageDraw.Draw(picture).ellipse(box, outline=0, width=width)
    picture.save(tmp_path / "a.png")
    radius, width = circle(sketch.read_sketch(tmp_path / "a.png"))
    assert 16 < radius < 21
    assert 1.4 < width < 9


def test_a_solid_area_becomes_its_outline(tmp_path):
    picture = drawn()
    ImageDraw.Draw(picture).ellipse((50, 20, 150, 120), fill=0)
    picture.save(tmp_path / "a.png")
    radius, width = circle(sketch.read_sketch(tmp_path / "a.png"))
    assert radius == pytest.approx(0.5 * sketch.FILLS * 64, abs=1.5)
    assert width < 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read as a picture: No such file or directory"),
        (b"", "can't be read as a picture: the file is empty"),
        (b"not a picture", "can't be read as a picture: cannot identify image file"),
        (Image.new("RGB", (50, 40), (200, 30, 30)), "blank, of one colour"),
        (Image.new("L", (1, 1)), "blank, of one colour"),
        (Image.new("RGBA", (50, 40)), "blank, of one colour"),
        (Image.fromarray(np.full((9, 9), 700, np.uint16)), "blank, of one colour"),
    ],
)
def test_a_file_without_a_drawing_is_refused_with_the_reason(content, message, tmp_path):
    path = tmp_path / "a.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        content.save(path)
    with pytest.raises(RunError, match=f"^--sketch: .*{path.name}.*{message}"):
        sketch.read_sketch(path)


# --- pix2pix: the program -------------------------------------------------------------------------

FEW = "--data shapes --train 4 --test-images 2 --batch-size 2 --width 2 --epochs 1 --samples 2"


def test_a_resumed_run_of_pix2pix_ends_as_an_uninterrupted_one(tmp_path):
    whole = outcome(run_front(sketch, FEW, tmp_path / "a"))
    with pytest.raises(SystemExit):
        run_front(sketch, FEW, tmp_path / "b", stop_at=1)
    same_outcome(whole, outcome(run_front(sketch, "--resume", tmp_path / "b")))
    assert len(whole["discriminator_loss"]) == 2
    assert whole["images"].shape == (2, 64, 64, 3)
    assert np.abs(whole["alone/head.weight"] - whole["both/head.weight"]).max() > 1e-5


def test_only_the_adversarial_loss_tells_the_two_generators_apart(monkeypatch, tmp_path):
    monkeypatch.setattr(sketch, "DROPPED", 0.0)
    monkeypatch.setattr(sketch, "adversarial_loss", lambda f: 0 * tg.mean(f))
    found = outcome(run_front(sketch, f"{FEW} --train 2 --weight 1", tmp_path / "a"))
    np.testing.assert_allclose(found["l1_alone"], found["l1_beside_adversarial"], rtol=1e-5)
    for name in [name for name in found if name.startswith("alone/")]:
        np.testing.assert_allclose(found[name], found[name.replace("alone", "both", 1)], atol=1e-6)


def test_the_discriminator_sees_the_outline_beside_the_image_and_beside_its_translation(
    monkeypatch, tmp_path
):
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            self.scale = tensor(np.float32(1), requires_grad=True)

        def forward(self, pair):
            seen.append(host(pair))
            return tg.mean(pair, axis=(1, 2, 3), keepdims=True) * self.scale

    monkeypatch.setattr(sketch, "patch_discriminator", lambda *_, **__: Watched())
    run_front(sketch, f"{FEW} --batch-size 4", tmp_path / "a")
    images = data.load("shapes", train=4, test=0, size=64)[0].images
    real, first, penalised, second = seen
    np.testing.assert_array_equal(penalised, real)
    order = [np.argmin(np.abs(2 * images - 1 - y).mean(axis=(1, 2, 3))) for y in real[..., 1:]]
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_allclose(real[..., 1:], 2 * images[order] - 1, atol=1e-6)
    x = sketch.outlines(images[order])
    assert all(
        np.array_equal(a, b) or np.array_equal(a, sketch.thicker(b[None])[0])
        for a, b in zip(real[..., :1], x, strict=True)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[..., 0], real[..., 0])
    assert np.abs(first - real).mean() > 0.1


def test_drawings_are_coloured_by_the_trained_networks(pictures, tmp_path, monkeypatch):
    run_front(sketch, FEW, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    for name in ("a.png", "b.png"):
        drawn().save(tmp_path / name)
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(tmp_path / "run"), "--sketch", *files])
    sketch.main()
    rows = pictures["yours.png"]
    x = np.stack([sketch.read_sketch(tmp_path / "a.png")] * 2)
    np.testing.assert_array_equal(rows["outline"], np.broadcast_to(1 - x, (2, 64, 64, 3)))
    saved = outcome(tmp_path / "run")
    for title, name in (("L1 alone", "alone"), ("L1 + adversarial", "both")):
        net = sketch.UNet(3, 2, rng=generator(9))
        net.load_state_dict(
            {k.split("/")[1]: a for k, a in saved.items() if k.startswith(f"{name}/")}
        )
        np.testing.assert_allclose(rows[title], sketch.translate(net, x), atol=1e-6)
    assert np.abs(rows["other noise"] - rows["L1 + adversarial"]).max() > 1e-4
    assert before == {path: path.stat().st_mtime_ns for path in before}  # the run is unchanged


def test_without_a_trained_run_the_message_has_the_command_that_makes_one(tmp_path):
    drawn().save(tmp_path / "a.png")
    command = rf"to train one:\n  python examples/sketch_to_image.py --out {tmp_path / 'run'}$"
    with pytest.raises(RunError, match=command):
        sketch.colour(tmp_path / "run", [tmp_path / "a.png"])


def test_the_run_of_another_program_is_refused(tmp_path):
    drawn().save(tmp_path / "a.png")
    with unpaired.Run(tmp_path / "run", {"width": 2}) as run:
        run.keep(rng=generator())
    with pytest.raises(RunError, match=r"expected .* to be a run of sketch_to_image.py"):
        sketch.colour(tmp_path / "run", [tmp_path / "a.png"])


def test_grey_images_of_another_size_are_translated_too(pictures, tmp_path):
    options = FEW.replace("shapes", "digits") + " --epochs 0"
    run_front(sketch, options, tmp_path / "a")
    assert pictures["samples.png"]["real"].shape[1:] == (64, 64, 1)
    assert "L1 alone, L1" in results(tmp_path / "a")


@pytest.mark.parametrize(
    ("options", "got"),
    [("", "shapes and 2"), ("--data digits --test-images 200", "digits and 200")],
)
def test_scores_need_shapes_and_enough_of_them(options, got, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_front(sketch, f"{FEW} --scores {options}", tmp_path / "a")
    expected = f"--scores: expected --data shapes and at least 130 held-out images, got {got}"
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@thorough
def test_a_trained_run_can_be_scored_later(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sketch, "FEATURES", 3)
    monkeypatch.setattr(sketch, "pretrained", lambda *_, **__: Pixels())
    run_front(sketch, f"{FEW} --test-images 8 --epochs 0", tmp_path / "a")
    assert "FID" not in capsys.readouterr().out
    run_front(sketch, "--resume --scores", tmp_path / "a")
    assert "FID" in capsys.readouterr().out
    found = results(tmp_path / "a")
    assert found["L1 + adversarial, FID"] > found["another image, real FID"] > 0


class Pixels:
    """A classifier whose 3 features are the means of the channels"""

    def predict(self, images):
        return SimpleNamespace(features=images.mean(axis=(1, 2)))


def test_scores_are_distances_to_the_real_image_and_to_other_real_images():
    y = generator().random((40, 4, 4, 3)).astype(np.float32)
    same = sketch.measure(y, y, Pixels())
    assert same["L1"] == same["features"] == 0
    assert same["FID"] == same["real FID"] > 0
    assert same["saturation"] == pytest.approx((y.max(axis=3) - y.min(axis=3)).mean())
    shifted = sketch.measure(y + 0.1, y, Pixels())
    assert shifted["L1"] == pytest.approx(0.1, rel=1e-5)
    deviation = y.mean(axis=(1, 2)).std(axis=0)
    clipped = (y + 0.1).clip(0, 1).mean(axis=(1, 2)) - y.mean(axis=(1, 2))
    assert shifted["features"] == pytest.approx(((clipped / deviation) ** 2).mean(), rel=1e-4)
    assert shifted["FID"] > same["FID"]


# --- CycleGAN -------------------------------------------------------------------------------------

DIGITS = "--data digits --train 8 --test-images 4 --batch-size 2 --width 2 --epochs 1 --samples 2"


class Recorder:
    """An optimiser that only notes the gradients"""

    def __init__(self, params):
        self.params = params

    def step(self, grads):
        self.grads = [host(g) for g in grads]


def mean_distance(a, b):
    return np.abs(host(a) - host(b)).mean()


def objective(model, x, y, weights):
    """Equation 3 with the identity loss, and the discriminators' loss, as numbers"""
    fake_y, fake_x = model.G(x), model.F(y)
    f_y, f_x = host(model.D_Y(fake_y)), host(model.D_X(fake_x))
    r_y, r_x = host(model.D_Y(y)), host(model.D_X(x))
    generators = ((f_y - 1) ** 2).mean() + ((f_x - 1) ** 2).mean()
    cycle = mean_distance(model.F(fake_y), x) + mean_distance(model.G(fake_x), y)
    same = mean_distance(model.G(y), y) + mean_distance(model.F(x), x)
    generators += weights[0] * cycle + weights[1] * same
    real, fake = (
        ((r_y - 1) ** 2).mean() + ((r_x - 1) ** 2).mean(),
        (f_y**2).mean() + (f_x**2).mean(),
    )
    return generators, (real + fake) / 2


@pytest.mark.parametrize("weights", [(10.0, 5.0), (3.0, 0.0), (0.0, 0.0)])
def test_a_step_follows_the_gradients_of_equation_3(weights):
    model = unpaired.Translators(1, 2, rng=generator()).astype(float)
    x, y = (tensor(generator(k).uniform(-1, 1, (2, 8, 8, 1))) for k in (1, 2))
    recorders = [
        Recorder([p for net in nets for p in net.parameters()])
        for nets in ((model.G, model.F), (model.D_Y, model.D_X))
    ]
    terms = model.step(x, y, recorders, weights)
    assert set(terms) == {"adversarial_loss", "discriminator_loss"} | (
        {"cycle_loss"} if weights[0] else set()
    ) | ({"identity_loss"} if weights[1] else set())
    for k, recorder in enumerate(recorders):
        directions = [generator(9).normal(size=p.shape) for p in recorder.params]
        ends = []
        for h in (1e-6, -2e-6):
            for p, d in zip(recorder.params, directions, strict=True):
                p.data = p.data + h * tg.xp.asarray(d)
            ends.append(objective(model, x, y, weights)[k])
            if h > 0:
                continue
            for p, d in zip(recorder.params, directions, strict=True):
                p.data = p.data + 1e-6 * tg.xp.asarray(d)
        found = sum((g * d).sum() for g, d in zip(recorder.grads, directions, strict=True))
        assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_the_optimisers_have_all_parameters_once():
    model = unpaired.Translators(1, 2, rng=generator())
    params = [p for adam in model.optimizers(1e-3) for p in adam.params]
    assert sorted(map(id, params)) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("shape", [(28, 28, 1), (12, 8, 3)])
def test_a_generator_keeps_the_shape_and_makes_an_image(shape):
    images = generator().random((3, *shape)).astype(np.float32)
    made = unpaired.translate(unpaired.generator(shape[2], 2, rng=generator()), images)
    assert made.shape == images.shape and 0 <= made.min() < made.max() <= 1


def test_thin_and_thick_are_the_extremes_of_their_windows():
    x = generator().random((2, 6, 5, 1))
    for change, offsets, best in (
        (unpaired.thin, (-1, 0), np.min),
        (unpaired.thick, (-1, 0, 1), np.max),
    ):
        for i in range(6):
            for j in range(5):
                near = [
                    x[:, i + a, j + b]
                    for a in offsets
                    for b in offsets
                    if 0 <= i + a < 6 and 0 <= j + b < 5
                ]
                np.testing.assert_array_equal(change(x)[:, i, j], best(near, axis=0))


def args_for(**options):
    usual = {"data": "digits", "pair": "thickness", "train": 10, "test_images": 6}
    return SimpleNamespace(**usual | options)


def test_the_two_sets_have_no_digit_in_common():
    train, test = data.load("digits", train=10, test=6)
    X, Y, X_test, Y_test = unpaired.load_pair(args_for())
    for (images, labels), first, second in ((train, X, Y), (test, X_test, Y_test)):
        half = len(images) // 2
        np.testing.assert_array_equal(first.images, unpaired.thin(images[:half]))
        np.testing.assert_array_equal(second.images, unpaired.thick(images[half:]))
        np.testing.assert_array_equal(np.concatenate([first.labels, second.labels]), labels)


def test_the_other_pair_is_the_data_and_synthetic_digits(monkeypatch):
    load, digits = data.load, data.load("digits", train=10, test=6)
    mine = data.Labelled(1 - digits[0].images, digits[0].labels)
    monkeypatch.setattr(data, "load", lambda n, **o: (mine, mine) if n == "mnist" else load(n, **o))
    X, Y, X_test, Y_test = unpaired.load_pair(args_for(data="mnist", pair="digits"))
    np.testing.assert_array_equal(X.images, mine.images[:5])
    np.testing.assert_array_equal(X_test.labels, mine.labels[:5])
    other = load("digits", train=5, test=5)
    np.testing.assert_array_equal(Y.images, other[0].images)
    np.testing.assert_array_equal(Y_test.images, other[1].images)


def test_a_resumed_run_of_cyclegan_ends_as_an_uninterrupted_one(tmp_path):
    whole = outcome(run_front(unpaired, DIGITS, tmp_path / "a"))
    with pytest.raises(SystemExit):
        run_front(unpaired, DIGITS, tmp_path / "b", stop_at=1)
    same_outcome(whole, outcome(run_front(unpaired, "--resume", tmp_path / "b")))
    assert len(whole["cycle_loss"]) == 2
    assert whole["images"].shape == (2, 28, 28, 1)


def test_without_cycle_and_identity_losses_both_models_are_the_same(tmp_path):
    found = outcome(
        run_front(unpaired, f"{DIGITS} --train 4 --cycle 0 --identity 0", tmp_path / "a")
    )
    np.testing.assert_array_equal(found["adversarial_loss"], found["plain_adversarial_loss"])
    for name in [name for name in found if name.startswith("cycle/")]:
        np.testing.assert_array_equal(found[name], found[name.replace("cycle", "plain", 1)])


def test_synthetic_digits_are_no_pair_with_themselves(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_front(unpaired, f"{DIGITS} --pair digits", tmp_path / "a")
    assert "--pair digits: expected --data mnist" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_set_without_images_for_both_halves_is_refused(monkeypatch, tmp_path, capsys):
    few = data.Labelled(np.zeros((1, 28, 28, 1), np.float32), None)
    monkeypatch.setattr(data, "load", lambda *_, **__: (few, few))
    with pytest.raises(SystemExit):
        run_front(unpaired, DIGITS, tmp_path / "a")
    assert "expected at least 2 training and 2 held-out images in digits" in capsys.readouterr().err


def test_scores_are_those_of_the_translations_and_of_both_sets(monkeypatch, tmp_path, capsys):
    """Images are constant: their label is ten times the grey value, and G adds 0.5"""

    class Reader:
        def predict(self, images):
            grey = images.mean(axis=(1, 2, 3))
            grey = grey + 1e-3 * generator().normal(size=grey.shape)
            return SimpleNamespace(labels=np.rint(10 * grey), features=grey[:, None])

    def grey(labels):
        return np.broadcast_to(labels[:, None, None, None] / 10, (len(labels), 8, 8, 1)).astype(
            "f4"
        )

    monkeypatch.setattr(unpaired, "FEATURES", 2)
    monkeypatch.setattr(unpaired, "pretrained", lambda _: Reader())
    x = generator().integers(0, 5, 40)
    X, Y = data.Labelled(grey(x), x), data.Labelled(grey(x + 5), x + 5)
    keeps, shifts = SimpleNamespace(G=tensor, F=tensor), SimpleNamespace()
    shifts.G, shifts.F = (lambda x: tensor(x + 1)), (lambda y: tensor(y - 1))
    with unpaired.Run(tmp_path / "a") as run:
        unpaired.measure(run, args_for(), {"keeps": keeps, "shifts": shifts}, X, Y)
    found = results(tmp_path / "a")
    assert found["G, source"]["accuracy"] == found["G, keeps"]["accuracy"] == 1
    assert found["G, shifts"]["accuracy"] == found["F, shifts"]["accuracy"] == 0
    for direction in "GF":
        source = found[f"{direction}, source"]["fid"]
        assert found[f"{direction}, keeps"]["fid"] == pytest.approx(source, rel=1e-4)
        assert found[f"{direction}, shifts"]["fid"] < 0.1 * found[f"{direction}, keeps"]["fid"]
        assert found[f"{direction}, real"]["accuracy"] == 1
        assert found[f"{direction}, real"]["fid"] < 0.1 * found[f"{direction}, keeps"]["fid"]
    text = capsys.readouterr().out
    assert "G, to thick:" in text and "F, to thin:" in text


def test_pictures_show_translations_and_cycles_of_both_sets(pictures, tmp_path):
    model = SimpleNamespace(G=lambda x: tensor(x * 0.5), F=lambda y: tensor(-y))
    x, y = (generator(k).random((2, 4, 4, 1)).astype(np.float32) for k in (1, 2))
    with unpaired.Run(tmp_path / "a") as run:
        unpaired.draw(run, args_for(), {"cycle": model, "plain": model}, x, y)
    rows, cycles = pictures["translations.png"], pictures["cycles.png"]
    np.testing.assert_array_equal(rows["thin"], x)
    np.testing.assert_allclose(rows["G, with cycle loss"], x / 2 + 0.25, atol=1e-6)
    np.testing.assert_allclose(rows["F, without"], 1 - y, atol=1e-6)
    np.testing.assert_allclose(cycles["F(G), without"], 0.75 - x / 2, atol=1e-6)
    np.testing.assert_allclose(cycles["G(F), with cycle loss"], 0.75 - y / 2, atol=1e-6)
