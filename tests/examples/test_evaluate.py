"""examples/evaluate.py: scores of several runs' samples, and its errors."""

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
    """`evaluate("a b --option")` compares runs in a temporary folder; it returns scores.json"""
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
    assert printed.startswith("80 images of each, 220 real images of digits:\n")
    assert "\ngood " in printed and "\nbad " in printed and "95 % interval" in printed
    assert "see out/scores.png" in printed and Path("out/scores.png").exists()


def test_the_scores_equal_the_librarys(evaluate):
    finished_run("run", REAL[:70])
    found = evaluate("run --real 160 --seed 3")["scores"]["run"]
    model = classifier.pretrained("digits")
    real = data.load("digits", train=0, test=160)[1].images
    real = real[np.random.default_rng(3).permutation(160)]
    expected = metrics.evaluate(
        model.predict(REAL[:70]), model.predict(real), times=2, rng=np.random.default_rng(3)
    )
    assert found == {name: score._asdict() for name, score in expected.items()}


def test_without_a_run_real_and_degraded_images_are_scored(evaluate):
    scores = evaluate("--data digits --real 900")["scores"]
    real, *others = scores
    assert real == "real" and len(others) == 4
    for name in others:
        assert scores[name]["FID"]["value"] > scores[real]["FID"]["high"], name
    assert scores["half of the classes"]["classes"]["value"] < 6
    assert scores["one in fifty, repeated"]["recall"]["value"] < 0.2


def test_images_without_classes_are_degraded_too(evaluate, monkeypatch):
    np.savez("own.npz", images=np.random.default_rng(0).random((1000, 4, 4, 1), np.float32))
    classifier.save(
        "classifier.npz", classifier.Classifier((4, 4, 1), 2, rng=np.random.default_rng(0))
    )
    monkeypatch.setattr(data.sets, "HELD_OUT", 2)  # one image in two
    scores = evaluate("--data own.npz --classifier classifier.npz --real 400")["scores"]
    assert len(scores) == 4 and "half of the classes" not in scores


def test_a_subset_of_the_real_images_is_random(evaluate, monkeypatch):
    images_of = runpy.run_path(str(EXAMPLE))["images_of"]
    ordered = data.Labelled(np.arange(50.0), np.arange(50))
    monkeypatch.setattr(data, "load", lambda name, *, train, test, size: (ordered, ordered))
    found = images_of("mnist", 28, 20, False, rng=np.random.default_rng(0))
    assert len(found.images) == 20 and found.images.max() > 40
    np.testing.assert_array_equal(found.images, found.labels)


def test_training_images_are_used_on_request(evaluate):
    finished_run("run", REAL[:70])
    assert evaluate("run --real 150 --training")["real"] == 80
    x = runpy.run_path(str(EXAMPLE))["images_of"](
        "digits", 28, 9, True, rng=np.random.default_rng(0)
    ).images
    train = data.load("digits", train=9, test=0)[0].images
    assert sorted(x.sum(axis=(1, 2, 3))) == sorted(train.sum(axis=(1, 2, 3)))


def test_too_few_samples_are_rejected(evaluate):
    finished_run("run", REAL[:64])
    with pytest.raises(ValueError) as caught:
        evaluate("run --real 200")
    assert str(caught.value) == (
        "64 samples are too few: expected at least 65 of each run, and twice as many real images"
    )


def test_with_few_real_images_fewer_samples_are_scored(evaluate, capsys):
    finished_run("run", REAL)
    assert evaluate("run --real 150")["samples"] == 75
    assert capsys.readouterr().out.startswith("There are only 150 real images, so only 75 samples")


def test_your_own_images_are_scored_with_your_own_classifier(evaluate, tmp_path):
    images = np.random.default_rng(0).random((1500, 8, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "own.npz", images=images)
    finished_run("run", images[:70], data="own.npz")
    with pytest.raises(ValueError) as caught:
        evaluate("run")
    assert str(caught.value) == (
        "no classifier for own.npz; train one, and name its file with --classifier:\n"
        "  python examples/train_features.py --data own.npz --size 8"
    )
    classifier.save(
        "classifier.npz", classifier.Classifier((8, 8, 3), 2, rng=np.random.default_rng(0))
    )
    assert evaluate("run --classifier classifier.npz")["samples"] == 70


def test_without_samples_the_error_names_the_command_that_writes_them(evaluate, tmp_path):
    finished_run("my run", None)
    for folder, missing in (("my run", "samples.npz"), ("none", "samples.npz")):
        with pytest.raises(ValueError) as caught:
            runpy.run_path(str(EXAMPLE))["samples_of"](Path(folder))
        quoted = "'my run'" if " " in folder else folder
        assert str(caught.value) == (
            f"{folder} has no {missing}; its program writes it:\n"
            f"  python examples/….py --out {quoted} --resume --samples 5000"
        )
    Path("examples").mkdir()
    Path("examples/none.py").touch()
    with pytest.raises(ValueError, match=r"python examples/none\.py --out none --resume"):
        evaluate("none")


def test_damaged_and_foreign_samples_are_rejected(evaluate):
    finished_run("run", REAL[:70])
    config = Path("run/config.json").read_text("utf-8")
    Path("run/config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run: samples\.npz or config\.json is damaged"):
        evaluate("run")
    Path("run/config.json").write_text(config.replace("digits", ""))
    with pytest.raises(ValueError, match=r"run: config\.json names no training set"):
        evaluate("run")
    Path("run/config.json").write_text(config)
    whole = Path("run/samples.npz").read_bytes()
    Path("run/samples.npz").write_bytes(whole[:-500])
    with pytest.raises(ValueError, match=r"run: samples\.npz or config\.json is damaged"):
        evaluate("run")
    np.savez("run/samples.npz", images=np.array([{}], object))
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        evaluate("run")


def test_runs_of_different_sets_are_compared_only_with_a_chosen_set(evaluate):
    finished_run("a", REAL[:70])
    finished_run("b", REAL[:70], data="mnist")
    with pytest.raises(ValueError) as caught:
        evaluate("a b")
    assert str(caught.value) == (
        "the runs were trained on different sets: a on digits, b on mnist; choose one with --data"
    )
    assert evaluate("a b --data digits --real 150")["data"] == "digits"
