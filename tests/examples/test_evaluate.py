"""examples/evaluate.py: runs are compared by their samples; what it can't compare, it says."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from tinygen import data, metrics
from tinygen.metrics import classifier
from tinygen.run import Run

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "evaluate.py"
REAL = data.load("digits", train=0, test=400)[1].images


@pytest.fixture
def evaluate(monkeypatch, tmp_path):
    """`evaluate("a b --option")` compares runs in a temporary folder, and gives its scores.json"""
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(EXAMPLE))["main"]

    def run(arguments):
        monkeypatch.setattr(
            "sys.argv", [str(EXAMPLE), *arguments.split(), "--out", "out", "--times", "2"]
        )
        main()
        return json.loads(Path("out/scores.json").read_text("utf-8"))

    return run


def finished_run(folder, images, **settings):
    """A run's folder, with samples if there are any."""
    with Run(folder, {"data": "digits", **settings}) as run:
        if images is not None:
            run.samples(images)


def test_runs_are_compared_in_one_table_and_one_figure(evaluate, capsys):
    finished_run("good", REAL[:90])
    finished_run("bad", REAL[:1].repeat(80, axis=0))
    found = evaluate("good bad --real 300")
    assert (found["data"], found["samples"], found["real"]) == ("digits", 80, 220)
    good, bad = found["scores"]["good"], found["scores"]["bad"]
    assert good["FID"]["value"] < bad["FID"]["value"]
    assert good["FID"]["baseline"] == bad["FID"]["baseline"]
    assert bad["classes"]["value"] == 1 < good["classes"]["value"]
    printed = capsys.readouterr().out
    assert printed.startswith("80 images each, beside 220 of digits:\n")
    assert "\ngood " in printed and "\nbad " in printed and "95 % interval" in printed
    assert "see out/scores.png" in printed and Path("out/scores.png").exists()


def test_the_scores_are_those_of_the_library(evaluate):
    finished_run("run", REAL[:70])
    found = evaluate("run --real 160 --seed 3")["scores"]["run"]
    classify = classifier.pretrained("digits")
    real = data.load("digits", train=0, test=160)[1].images
    real = real[np.random.default_rng(3).permutation(160)]
    expected = metrics.evaluate(
        classify.predict(REAL[:70]), classify.predict(real), times=2, rng=np.random.default_rng(3)
    )
    assert found == {name: score._asdict() for name, score in expected.items()}


def test_without_a_run_real_images_are_judged_and_spoilt_ones(evaluate):
    scores = evaluate("--data digits --real 900")["scores"]
    real, *others = scores
    assert real == "real, others" and len(others) == 4
    for name in others:
        assert scores[name]["FID"]["value"] > scores[real]["FID"]["high"], name
    assert scores["half of the classes"]["classes"]["value"] < 6
    assert scores["one in fifty, again and again"]["recall"]["value"] < 0.2


def test_images_without_classes_are_spoilt_all_the_same(evaluate, monkeypatch):
    np.savez("own.npz", images=np.random.default_rng(0).random((1000, 4, 4, 1), np.float32))
    classifier.save(
        "classifier.npz", classifier.Classifier((4, 4, 1), 2, rng=np.random.default_rng(0))
    )
    monkeypatch.setattr(data.sets, "HELD_OUT", 2)  # one in so many
    scores = evaluate("--data own.npz --classifier classifier.npz --real 400")["scores"]
    assert len(scores) == 4 and "half of the classes" not in scores


def test_some_real_images_are_any_of_a_set_and_not_its_first(evaluate, monkeypatch):
    of = runpy.run_path(str(EXAMPLE))["images_of"]
    ordered = data.Labelled(np.arange(50.0), np.arange(50))
    monkeypatch.setattr(data, "load", lambda name, *, train, test, size: (ordered, ordered))
    found = of("mnist", 28, 20, False, rng=np.random.default_rng(0))
    assert len(found.images) == 20 and found.images.max() > 40
    np.testing.assert_array_equal(found.images, found.labels)


def test_training_images_are_taken_where_they_are_asked_for(evaluate):
    finished_run("run", REAL[:70])
    assert evaluate("run --real 150 --training")["real"] == 80
    x = runpy.run_path(str(EXAMPLE))["images_of"](
        "digits", 28, 9, True, rng=np.random.default_rng(0)
    ).images
    train = data.load("digits", train=9, test=0)[0].images
    assert sorted(x.sum(axis=(1, 2, 3))) == sorted(train.sum(axis=(1, 2, 3)))


def test_too_few_samples_are_refused(evaluate):
    finished_run("run", REAL[:64])
    with pytest.raises(ValueError) as caught:
        evaluate("run --real 200")
    assert str(caught.value) == (
        "64 samples are too few: expected at least 65 of each run, and twice as many real images"
    )


def test_fewer_samples_are_judged_where_real_images_are_few(evaluate, capsys):
    finished_run("run", REAL)
    assert evaluate("run --real 150")["samples"] == 75
    assert capsys.readouterr().out.startswith("There are only 150 real images, half of them to ")


def test_images_of_ones_own_are_judged_by_a_classifier_of_ones_own(evaluate, tmp_path):
    images = np.random.default_rng(0).random((1500, 8, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "own.npz", images=images)
    finished_run("run", images[:70], data="own.npz")
    with pytest.raises(ValueError) as caught:
        evaluate("run")
    assert str(caught.value) == (
        "there is no classifier for the images of own.npz; train one, and name it by --classifier:\n"
        "  python examples/train_features.py --data own.npz --size 8"
    )
    classifier.save(
        "classifier.npz", classifier.Classifier((8, 8, 3), 2, rng=np.random.default_rng(0))
    )
    assert evaluate("run --classifier classifier.npz")["samples"] == 70


def test_a_run_without_samples_is_told_how_to_get_some(evaluate, tmp_path):
    finished_run("my run", None)
    for folder, missing in (("my run", "samples.npz"), ("none", "samples.npz")):
        with pytest.raises(ValueError) as caught:
            runpy.run_path(str(EXAMPLE))["samples_of"](Path(folder))
        quoted = "'my run'" if " " in folder else folder
        assert str(caught.value) == (
            f"{folder} has no {missing}; the program that made the run writes it:\n"
            f"  python examples/….py --out {quoted} --resume --samples 5000"
        )
    Path("examples").mkdir()
    Path("examples/none.py").touch()
    with pytest.raises(ValueError, match=r"python examples/none\.py --out none --resume"):
        evaluate("none")


def test_damaged_samples_and_other_peoples_are_refused(evaluate):
    finished_run("run", REAL[:70])
    config = Path("run/config.json").read_text("utf-8")
    Path("run/config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run has samples\.npz and config\.json, but they are "):
        evaluate("run")
    Path("run/config.json").write_text(config.replace("digits", ""))
    with pytest.raises(ValueError, match="run does not say which set it learnt from; name it by"):
        evaluate("run")
    Path("run/config.json").write_text(config)
    whole = Path("run/samples.npz").read_bytes()
    Path("run/samples.npz").write_bytes(whole[:-500])
    with pytest.raises(ValueError, match=r"run has samples\.npz and config\.json, but they are "):
        evaluate("run")
    np.savez("run/samples.npz", images=np.array([{}], object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        evaluate("run")


def test_runs_of_different_sets_are_compared_only_with_one_that_is_named(evaluate):
    finished_run("a", REAL[:70])
    finished_run("b", REAL[:70], data="mnist")
    with pytest.raises(ValueError) as caught:
        evaluate("a b")
    assert str(caught.value) == (
        "the runs learnt from different sets, a from digits, b from mnist;"
        " compare runs of one set, or name one by --data"
    )
    assert evaluate("a b --data digits --real 150")["data"] == "digits"
