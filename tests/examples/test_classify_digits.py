"""The digit classifier: test images change nothing in training; the best weights are evaluated."""

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from tinygen.data import Labelled
from tinygen.run import EarlyStopping, checkpoint, logbook

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "classify_digits.py"


@pytest.fixture
def example(monkeypatch, tmp_path):
    """`example(options)` runs it on a few synthetic digits; keywords replace its constants."""

    def run(options, out="run", **constants):
        parts = runpy.run_path(str(EXAMPLE))
        parts["main"].__globals__.update(constants)
        few = ["--data", "digits", "--train", "120", "--test-images", "30", "--epochs", "1"]
        monkeypatch.setattr(
            "sys.argv", [str(EXAMPLE), *few, *options.split(), "--out", str(tmp_path / out)]
        )
        parts["main"]()
        return tmp_path / out

    return run


def rows_of(n):
    return Labelled(np.arange(n, dtype=np.float32)[:, None], np.arange(n) * 2)


@pytest.mark.parametrize(("n", "count"), [(2, 1), (19, 1), (20, 2), (60_000, 5000)])
def test_the_same_tenth_of_the_training_images_is_always_held_out(n, count):
    held_out = runpy.run_path(str(EXAMPLE))["held_out"]
    kept, out = held_out(rows_of(n))
    assert len(out.images) == count
    assert sorted([*kept.images[:, 0], *out.images[:, 0]]) == list(range(n))
    for part in (kept, out):
        np.testing.assert_array_equal(part.labels, 2 * part.images[:, 0])
    np.testing.assert_array_equal(held_out(rows_of(n))[1].images, out.images)


def test_the_test_images_do_not_affect_the_weights_or_the_log(example):
    folders = [example(f"--test-images {n} --epochs 3", str(n)) for n in (5, 30)]
    logs = [logbook.read(folder / "log.csv")[1] for folder in folders]
    for row in (*logs[0], *logs[1]):
        del row["seconds"]
    assert logs[0] == logs[1] and "valid_loss" in logs[0][-1]
    ours, others = (checkpoint.read(folder / "best.npz")[1] for folder in folders)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


class NothingIsBetter(EarlyStopping):
    """No loss after the first is an improvement."""

    def __call__(self, value):
        return super().__call__(value if self.best == math.inf else math.inf)


def test_training_stops_after_the_patience_and_the_best_weights_are_evaluated(example):
    options = "--epochs 8 --batch-size 20 --samples 30"
    constants = {"PATIENCE": 2, "EarlyStopping": NothingIsBetter}
    folder = example(options, **constants)
    steps = {
        name: checkpoint.read(folder / name)[0]["step"] for name in ("best.npz", "checkpoint.npz")
    }
    assert steps == {"best.npz": 6, "checkpoint.npz": 18}  # an epoch is 6
    with np.load(folder / "samples.npz") as samples:
        predicted = samples["labels"]
    parts = runpy.run_path(str(EXAMPLE))
    model = parts["network"]((28, 28, 1), 10, np.random.default_rng(5))
    for name, same in (("best.npz", True), ("checkpoint.npz", False)):
        arrays = checkpoint.read(folder / name)[1]
        model.load_state_dict({k[6:]: a for k, a in arrays.items() if k[:6] == "model/"})
        test = parts["data"].load("digits", train=0, test=30)[1]
        assert (parts["predict"](model, test.images).argmax(axis=1) == predicted).all() == same
    # resuming does not continue the training
    before = json.loads((folder / "results.json").read_text("utf-8"))
    example(f"{options} --resume", **constants)
    assert checkpoint.read(folder / "checkpoint.npz")[0]["step"] == steps["checkpoint.npz"]
    assert json.loads((folder / "results.json").read_text("utf-8")) == before


def test_without_an_epoch_the_initial_network_is_evaluated(example):
    folder = example("--epochs 0")
    assert json.loads((folder / "results.json").read_text("utf-8"))["test_images"] == 30
    assert not (folder / "curves.png").exists()


def test_invalid_options_are_rejected_before_an_older_run_is_moved(example, tmp_path, capsys):
    example("--epochs 0")
    np.savez(tmp_path / "unnamed.npz", images=np.zeros((9, 28, 28), np.float32))
    np.savez(
        tmp_path / "colours.npz",
        images=np.zeros((30, 28, 28, 3), np.float32),
        labels=np.zeros(30, int),
    )
    before = sorted(tmp_path.rglob("*"))
    for options, complaint in {
        "--train 1": "argument --train: expected",
        "--test-images 0": "argument --test-images: expected",
        f"--data {tmp_path / 'unnamed.npz'}": "unnamed.npz has no labels",
        f"--test {tmp_path / 'unnamed.npz'}": "unnamed.npz has no labels",
        f"--test {tmp_path / 'colours.npz'}": "digits has images of shape (28, 28, 1), but",
    }.items():
        with pytest.raises(SystemExit):
            example(options)
        assert complaint in capsys.readouterr().err
    with pytest.raises(ValueError, match="nothing-of-this-name"):
        example("--test nothing-of-this-name")
    assert sorted(tmp_path.rglob("*")) == before
