"""What a notebook shows: representations in words, tables and progress."""

import io

import numpy as np
import pytest

from tinygen import data, metrics, nn
from tinygen._html import table
from tinygen.data.fetch import no_bar
from tinygen.metrics import Score
from tinygen.run import Run


def test_a_table_escapes_text_and_puts_numbers_on_the_right():
    html = table([("a<b", 1234567, 0.5)], ("name", "n", "x"))
    assert html.startswith("<table><tr><th") and "a&lt;b" in html
    assert "<td style=text-align:right>1,234,567</td><td style=text-align:right>0.5</td>" in html


def test_a_model_shows_its_layers_and_the_number_of_its_parameters(rng):
    model = nn.Sequential(nn.Dense(4, 3, rng=rng), nn.ReLU(), nn.Dense(3, 2, rng=rng))
    html = model._repr_html_()
    for text in ("layers.0", "Dense", "weight (4, 3)", "23 parameters"):
        assert text in html and text in repr(model)


def test_a_run_shows_where_it_is_and_its_last_values(tmp_path, rng):
    with Run(tmp_path / "run", {}) as run:
        batches = data.Batches(np.zeros((6, 2), "f4"), 2, rng=rng, epochs=1)
        run.keep(batches=batches)
        for _ in run.track(batches):
            run.log(loss=0.25)
        assert repr(run) == f"Run('{tmp_path / 'run'}', step 3)"
        assert "loss" in run._repr_html_() and "0.25" in run._repr_html_()


def test_batches_and_labelled_images_show_their_sizes_and_not_their_numbers(rng):
    images, labels = np.zeros((60, 4, 4, 1), np.float32), np.zeros(60, int)
    batches = data.Batches(images, 8, rng=rng, epochs=2)
    next(batches)
    assert repr(batches) == "Batches(8 of (60, 4, 4, 1), epoch 0.1333 of 2)"
    shown = repr(data.Labelled(images, labels))
    assert shown == "Labelled(images (60, 4, 4, 1) float32, labels (60,))"
    assert repr(data.Labelled(images, None)) == "Labelled(images (60, 4, 4, 1) float32)"


def test_scores_are_text_and_in_a_notebook_a_table():
    text = metrics.table({"mine": {"FID": Score(12.0, 11.0, 13.0, 0.5)}})
    assert isinstance(text, str) and "12" in str(text).splitlines()[1]
    html = text._repr_html_()
    assert html.count("<tr>") == 4 and "mine" in html and "11 to 13" in html


def test_progress_in_a_notebook_is_one_line_that_is_rewritten(tmp_path, rng, monkeypatch):
    cell = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr("sys.stderr", cell)
    assert no_bar(True) is False and no_bar(False) is True
    with Run(tmp_path / "run") as run:
        run.keep(batches=(batches := data.Batches(np.zeros((6, 2), "f4"), 2, rng=rng, epochs=1)))
        for _ in run.track(batches):
            run.log(loss=0.25)
    assert cell.getvalue().count("\n") == 1 and "step 3, " in cell.getvalue().splitlines()[-1]


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_an_attribute_that_is_there_is_found_and_one_that_is_not_is_an_error(name, rng):
    layer = nn.Dense(2, 3, rng=rng)
    assert getattr(layer, name).shape
    with pytest.raises(AttributeError, match="Dense has no attribute"):
        getattr(layer, f"{name}2")
