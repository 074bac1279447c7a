"""The notebooks are valid and run from top to bottom; this needs nbclient and ipykernel."""

import json
import os

import pytest

from tinygen.assignments.handout import hand_out
from tinygen.assignments.source import notebook, shipped

SOME = shipped() if os.environ.get("TINYGEN_THOROUGH") else shipped()[:6:2]

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


def run(path, content):
    """Execute the notebook in its folder; return what its last cell, the check, prints."""
    cells = nbformat.reads(json.dumps(content), 4)
    nbformat.validate(cells)
    nbformat.write(cells, path)
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(cells, timeout=120, resources=resources).execute()
    return "".join(output.get("text", "") for output in cells.cells[-1].outputs)


@pytest.mark.filterwarnings("default")  # of Jupyter's own
@pytest.mark.parametrize("assignment", SOME, ids=lambda a: a.file)
def test_a_notebook_runs_and_its_last_cell_checks_it(assignment, tmp_path):
    path = hand_out(assignment, tmp_path, as_notebook=True)
    if assignment.number == "1":
        assert "Next: question 1" in run(path, notebook(assignment.blank, path.name))
    out = run(path, notebook(assignment.solution, path.name))
    assert out.count("✗") == out.count("·") == 0, out
    assert "visible tests pass. Hidden tests decide" in out
