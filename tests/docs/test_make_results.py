"""docs/make_results.py: how a run becomes a row of docs/results.md, and the command beside it."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinygen.metrics import Score

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def results():
    sys.path.insert(0, str(DOCS))  # as when it is run
    spec = importlib.util.spec_from_file_location("make_results", DOCS / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(DOCS))
    return module


def found(results, **measured):
    scores = {
        "FID": Score(12.34, 11, 13.06, 0.5),
        "precision": Score(0.456, 0, 1, 0.9),
        "recall": Score(0.5, 0, 1, 0.9),
    }
    usual = {"seconds": 125.4, "parameters": 1234567, "ms_per_sample": 1.0}
    return results.Found(np.zeros((0, 28, 28, 1)), scores, usual | measured)


@pytest.mark.parametrize(
    ("ms", "text"), [(0.0213, "0.021"), (9.94, "9.9"), (99.6, "100"), (1234.5, "1234")]
)
def test_a_row_has_what_was_measured(results, ms, text):
    family = results.Family("a model", "vae_mnist", "vae_mnist")
    assert results.row(family, found(results, ms_per_sample=ms, nll=99.84)) == (
        f"| a model | no | 2:05 | {text} ms | 1,234,567 | 12.3 (11.0 to 13.1) |  | 0.46 | 0.50 "
        f"| 99.8 nats |"
    )


def test_how_probable_images_are_is_said_in_the_unit_in_which_it_was_measured(results):
    def last(**measured):
        row = results.row(results.Family("", "", ""), found(results, **measured))
        return row.split("|")[-2].strip()

    assert last() == ""
    assert last(bits_per_dimension=2.262) == "2.26 bits a pixel"
    assert last(reconstruction=58.56, prior=72.9) == "≤ 131.5 nats"


def test_a_row_says_whether_its_model_is_conditioned_on_the_class(results):
    guided = {
        f.name: results.row(f, found(results)).split("|")[2].strip() for f in results.FAMILIES
    }
    yes = {name for name in guided if name.endswith("guided")} | {"… reflow, one step"}
    assert {name for name, answer in guided.items() if answer == "yes"} == yes
    assert set(guided.values()) == {"yes", "no"}


def test_the_table_of_the_page_has_the_rows_and_columns_of_the_script(results):
    page = results.PAGE.read_text("utf-8")
    table = page.partition("<!-- table -->")[2].partition("<!-- end -->")[0]
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.split("\n") if line]
    assert {len(row) for row in cells} == {10}
    assert [row[:2] for row in cells[2:-1]] == [
        [f.name, "yes" if f.guided else "no"] for f in results.FAMILIES
    ]


def test_a_command_writes_where_the_run_is_looked_for(results):
    commands = {family: family.command for family in results.FAMILIES}
    for family, command in commands.items():
        folder = re.search(r"--out runs/(\S+)", command)
        assert (folder[1] if folder else family.program) == family.folder
        assert f"--samples {results.COUNT}" in command
        assert (DOCS.parent / "examples" / f"{family.program}.py").exists()


def test_a_row_gets_the_other_seeds_and_keeps_those_that_it_has(results):
    line = results.row(results.FAMILIES[0], found(results))
    filled = results.with_seeds(line, "18.1, 19.0")
    assert "| 12.3 (11.0 to 13.1) | 18.1, 19.0 | 0.46 |" in filled
    assert results.with_seeds(filled) == "18.1, 19.0"
    assert results.with_seeds(filled, "") == line


def test_an_excerpt_has_some_of_the_frames_the_first_and_the_last_among_them(results, tmp_path):
    frames = [Image.new("L", (40, 30), 6 * k) for k in range(40)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    results.excerpt(tmp_path / "film.gif", tmp_path / "short.gif", results.LATER, 0.5)
    with Image.open(tmp_path / "short.gif") as gif:
        assert gif.size == (20, 15) and 8 <= gif.n_frames <= 13
        greys = []
        for k in range(gif.n_frames):
            gif.seek(k)
            greys.append(np.asarray(gif.convert("L")).mean())
    assert greys[0] == 0 and greys[-1] == 6 * 39 and greys == sorted(greys)


def test_the_films_that_the_chapters_show_are_there(results):
    for name in results.FILMS:
        pages = [p for p in DOCS.glob("*.md") if f"figures/{name}.gif" in p.read_text("utf-8")]
        assert len(pages) == 1 and (DOCS / "figures" / f"{name}.gif").exists()
