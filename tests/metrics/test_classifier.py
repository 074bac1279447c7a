"""The classifier: predictions, training, the shipped weights, and training on demand."""

import hashlib
import io
import math
import re
import sys

import numpy as np
import pytest

import tinygen as tg
from tinygen import data, nn, optim
from tinygen.data import Labelled, fetch, sets
from tinygen.metrics import classifier
from tinygen.metrics.classifier import Classifier, pretrained
from tinygen.run import checkpoint
from tinygen.run.checkpoint import CheckpointError

IMAGE = (8, 8, 1)


def small(seed=0, image=IMAGE, classes=3):
    model = Classifier(image, classes, rng=np.random.default_rng(seed))
    x = tg.xp.asarray(np.random.default_rng(1).random((30, *image), np.float32))
    model(x)  # updates the running statistics
    return model


def bars(n, seed=0):
    """Noise with a bright row, a bright column, or neither: three easy classes"""
    rng = np.random.default_rng(seed)
    x, labels = 0.2 * rng.random((n, *IMAGE), np.float32), np.arange(n) % 3
    x[labels == 0, 4] += 0.8
    x[labels == 1, :, 4] += 0.8
    return Labelled(x, labels)


def accuracy(model, images, labels):
    return (model.labels(images) == labels).mean()


# --- predictions ----------------------------------------------------------------------------------


def test_probabilities_are_the_softmax_of_the_head_on_positive_features():
    model, x = small(), bars(7).images
    found = model.predict(x)
    scores = found.features.clip(0) @ model.head.weight.numpy() + model.head.bias.numpy()
    e = np.exp(scores)
    np.testing.assert_allclose(found.probabilities, e / e.sum(axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_array_equal(found.labels, scores.argmax(axis=1))
    assert found.features.shape == (7, 64) and (found.features < 0).any()
    assert found.features.dtype == found.probabilities.dtype == np.float32
    np.testing.assert_array_equal(model.labels(x), found.labels)


def test_predictions_do_not_depend_on_the_batches(monkeypatch):
    model, x = small(), bars(11).images
    expected = model.predict(x).features
    for parts in ([x[:4], x[4:]], (x[i : i + 1] for i in range(11)), iter(np.split(x, [5, 5, 9]))):
        np.testing.assert_allclose(model.predict(parts).features, expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(classifier, "AT_ONCE", 4)
    np.testing.assert_allclose(model.predict(x).features, expected, rtol=1e-4, atol=1e-5)


def test_batches_are_loaded_one_at_a_time():
    model, taken = small(), []

    def batches():
        for k in range(3):
            taken.append(k)
            yield np.full((2, *IMAGE), k / 2, np.float32)

    checked = model._checked
    model._checked = lambda x: (seen.append((len(taken), x[0, 0, 0, 0])), checked(x))[1]
    seen = []
    assert model.predict(batches()).features.shape == (6, 64)
    assert seen == [(1, 0), (2, 0.5), (3, 1)]


def test_prediction_changes_nothing_and_treats_each_image_alone():
    model, x = small(), bars(9).images
    before = model.state_dict()
    alone = model.predict(x[3:4]).features
    np.testing.assert_allclose(model.predict(x).features[3], alone[0], rtol=1e-4, atol=1e-5)
    assert model.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_images_may_be_tensors_float64_or_empty():
    model, x = small(), bars(4).images
    expected = model.predict(x).features
    for same in (tg.Tensor(tg.xp.asarray(x)), tg.xp.asarray(x), x.astype(float)):
        np.testing.assert_allclose(model.predict(same).features, expected, rtol=1e-4, atol=1e-5)
    assert model.predict(x[:0]).features.shape == model.predict([]).features.shape == (0, 64)
    assert model.predict(x[:0]).probabilities.shape == (0, 3)


@pytest.mark.parametrize("image", [(28, 28, 1), (64, 64, 3), (5, 9, 2), (1, 1, 1)])
def test_images_of_any_size_have_64_features(image):
    x = np.random.default_rng(0).random((2, *image), np.float32)
    assert small(image=image).predict(x).features.shape == (2, 64)


def test_a_classifier_halves_the_sides_three_times_in_four_convolutions():
    model = Classifier((13, 20, 3), 5, rng=np.random.default_rng(0))
    parts = [part for _, part in model.named_modules()]
    strides = [tuple(np.broadcast_to(p.stride, 2)) for p in parts if isinstance(p, nn.Conv2d)]
    assert sorted(strides) == [(1, 1), (2, 2), (2, 2), (2, 2)]
    flat = {p.weight.shape for p in parts if isinstance(p, nn.Dense)}
    assert flat == {(2 * 3 * 32, 64), (64, 5)}
    x = tg.xp.asarray(np.random.default_rng(1).random((2, 13, 20, 3), np.float32))
    assert model.body(x).shape == (2, 64) and model(x).shape == (2, 5)


# --- training -------------------------------------------------------------------------------------


def test_the_cross_entropy_is_its_formula_at_a_point():
    scores = tg.Tensor(tg.xp.asarray([[0.0, math.log(3)], [0.0, 0.0], [math.log(4), 0.0]]))
    loss = classifier.cross_entropy(scores, tg.Tensor(tg.xp.asarray([1, 0, 1])))
    expected = -(math.log(3 / 4) + math.log(1 / 2) + math.log(1 / 5)) / 3
    assert loss.item() == pytest.approx(expected)


def test_training_generalises_to_new_images():
    model, (x, labels) = small(), bars(300)
    batches = data.Batches(x, 30, labels=labels, rng=np.random.default_rng(0), epochs=4)
    records = list(classifier.train(model, batches, optim.Adam(model.parameters(), 3e-3)))
    assert len(records) == 40 and records[-1].keys() == {"loss", "accuracy"}
    assert float(records[0]["loss"]) > 0.8 and float(records[-1]["loss"]) < 0.2
    assert accuracy(model, *bars(90, seed=5)) > 0.95
    assert accuracy(model, x, (labels + 1) % 3) < 0.05


def test_images_are_jittered_by_a_few_pixels_at_most(rng):
    x = np.zeros((200, 28, 28, 1), np.float32)
    x[:, 14, 14] = 1
    found = classifier.jittered(x, rng=rng)
    assert found.shape == x.shape and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1
    places = {(int(i), int(j)) for _, i, j, _ in np.argwhere(found > 0.4)}
    assert places >= {(12, 12), (16, 16)} and all(11 <= i <= 17 for p in places for i in p)


# --- the shipped classifier -----------------------------------------------------------------------


def test_the_shipped_weights_are_small_and_for_mnist():
    assert classifier.SHIPPED.stat().st_size < 300_000
    model = pretrained()
    assert (model.image, model.classes) == ((28, 28, 1), 10)
    assert pretrained("digits").state_dict().keys() == model.state_dict().keys()


@pytest.mark.skipif(not sets.have("mnist"), reason="needs MNIST")
def test_the_accuracy_on_mnists_test_images_is_99_percent():
    _, test = sets.load("mnist")
    assert accuracy(pretrained("mnist"), *test) >= 0.99


def test_the_accuracy_on_synthetic_digits_is_97_percent():
    _, test = data.load("digits", train=0, test=3000)
    assert accuracy(pretrained("digits"), *test) > 0.97


def test_features_of_digits_vary_in_all_64_directions():
    x = data.load("digits", train=0, test=1000)[1].images
    variances = np.linalg.eigvalsh(np.cov(pretrained().predict(x).features.T))
    assert variances[0] > 1e-3 and 20 < variances.sum() < 1000


def test_the_shipped_weights_are_these():
    digest = hashlib.sha256(classifier.SHIPPED.read_bytes()).hexdigest()
    assert digest == "998620ad8e0d3eb63aec2bd0b5522e7ffafec501dd84145cf00e78b0c173d348"


def test_shipped_weights_that_are_damaged_are_refused(tmp_path, monkeypatch):
    content = bytearray(classifier.SHIPPED.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "mnist.npz").write_bytes(content)
    monkeypatch.setattr(classifier, "SHIPPED", tmp_path / "mnist.npz")
    with pytest.raises(CheckpointError, match=r"mnist\.npz is damaged"):
        pretrained("mnist")


# --- others, saved and trained on demand ----------------------------------------------------------


def test_a_saved_classifier_gives_the_same_predictions(tmp_path):
    model, x = small(), bars(5).images
    classifier.save(tmp_path / "a.npz", model)
    back = classifier.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(back.predict(x).features, model.predict(x).features)
    assert (back.image, back.classes) == (IMAGE, 3)


def test_a_file_without_a_classifier_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    checkpoint.save(path, {"classifier": small()})
    with pytest.raises(CheckpointError, match=r"a\.npz .*classifier$"):
        classifier.load(path)
    checkpoint.save(path, {"classifier": small()}, image=IMAGE, classes=4)
    with pytest.raises(CheckpointError, match=r"a\.npz does not fit: (?s:.*)head\.weight"):
        classifier.load(path)
    np.savez(path, about=np.array([{}], object))
    with pytest.raises(CheckpointError, match="pickle"):
        classifier.load(path)


@pytest.fixture
def on_demand(tmp_path, monkeypatch):
    """Tiny data sets, empty folders for data and the cache; returns the list of loaded sets"""
    asked = []

    def load(name, *, size, progress):
        asked.append((name, size))
        return bars(60), bars(30, seed=1)

    monkeypatch.setattr(classifier.data, "load", load)
    monkeypatch.setattr(classifier, "EPOCHS", {"fashion": 1, "shapes": 1})
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return asked


def test_a_classifier_that_is_not_shipped_is_trained_once(on_demand, tmp_path, capsys):
    first = pretrained("fashion")
    assert [p.name for p in (tmp_path / "data" / "classifiers").iterdir()] == ["fashion.npz"]
    again = pretrained("fashion")
    assert capsys.readouterr() == ("", "") and on_demand == [("fashion", 64)]
    for name, array in first.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)


def test_a_classifier_trained_on_demand_is_accurate(on_demand, monkeypatch):
    monkeypatch.setattr(classifier, "EPOCHS", {"fashion": 10})
    monkeypatch.setattr(classifier, "BATCH_SIZE", 20)
    assert accuracy(pretrained("fashion"), *bars(90, seed=7)) > 0.8


def test_shapes_of_another_size_have_a_classifier_of_their_own(on_demand, tmp_path):
    pretrained("shapes")
    pretrained("shapes", size=32)
    assert on_demand == [("shapes", 64), ("shapes", 32)]
    names = {p.name for p in (tmp_path / "data" / "classifiers").iterdir()}
    assert names == {"shapes-64.npz", "shapes-32.npz"}


def test_training_on_demand_shows_a_bar_at_a_terminal_if_asked_for(on_demand, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    pretrained("shapes")
    assert stream.getvalue() == ""
    pretrained("fashion", progress=True)
    assert re.search(r"fashion.*: 100%", stream.getvalue())


def test_a_damaged_classifier_is_trained_again(on_demand, tmp_path):
    path = tmp_path / "data" / "classifiers" / "fashion.npz"
    pretrained("fashion")
    path.write_bytes(path.read_bytes()[:-1000])
    pretrained("fashion")
    assert len(on_demand) == 2
    classifier.load(path)


def test_without_a_folder_for_data_it_is_kept_in_the_cache(on_demand, tmp_path, monkeypatch):
    monkeypatch.delenv("TINYGEN_DATA")
    pretrained("fashion")
    assert (tmp_path / "cache" / "tinygen" / "classifiers" / "fashion.npz").exists()


def test_if_one_folder_is_not_writable_the_next_is_used(on_demand, tmp_path):
    (tmp_path / "data").write_text("a file where a folder should be")
    pretrained("fashion")
    assert (tmp_path / "cache" / "tinygen" / "classifiers" / "fashion.npz").exists()
    pretrained("fashion")
    assert len(on_demand) == 1


def test_if_no_folder_is_writable_there_is_a_warning(on_demand, tmp_path):
    for folder in ("data", "cache"):
        (tmp_path / folder).write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match=r"classifier .*data.* or .*cache"):
        assert pretrained("fashion").classes == 3


def test_training_that_is_stopped_leaves_no_file(on_demand, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        pretrained("fashion")
    assert not (tmp_path / "data").exists()


# --- invalid arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "pattern"),
    [
        (np.zeros((2, 8, 9, 1)), r"8, 8, 1.* float64 \(2, 8, 9, 1\)"),
        (np.zeros((8, 8, 1)), r"float64 \(8, 8, 1\)"),
        (np.zeros((2, 8, 8, 1), np.uint8), r"float .*uint8 \(2, 8, 8, 1\)"),
        (np.linspace(-1, 1, 64).reshape(1, 8, 8, 1), r"\[0, 1\], got -1 to 1"),
        (np.full((1, 8, 8, 1), 1.5), r"\[0, 1\], got 1\.5 to 1\.5"),
        (np.full((1, 8, 8, 1), math.nan), r"\[0, 1\], got nan to nan"),
    ],
)
def test_images_of_another_shape_dtype_or_range_are_refused(images, pattern):
    for batches in (images, iter([images])):
        with pytest.raises(ValueError, match=f"Classifier: .*{pattern}"):
            small().predict(batches)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match=r"pretrained: .*'mnist', 'digits'.* got 'mine'"):
        pretrained("mine")


def test_missing_data_is_unavailable_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TINYGEN_OFFLINE", "1")
    with pytest.raises(fetch.Unavailable):
        pretrained("fashion")
