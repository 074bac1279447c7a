"""The student's copy does not have the solution, and what it needs; an assignment from a file."""

import json

import pytest
from small import small

from tinygen.assignments.__main__ import main
from tinygen.assignments.handout import hand_out, new
from tinygen.assignments.source import Assignment
from tinygen.assignments.trial import try_out


@pytest.fixture
def assignment(tmp_path):
    (tmp_path / "small").mkdir()
    return small(tmp_path / "small")


def test_a_handout_has_blanks_visible_tests_and_a_readme(assignment, tmp_path):
    to = tmp_path / "out"
    assert hand_out(assignment, to, install="tinygen==1.0") == to / "small.py"
    files = {str(p.relative_to(to)).replace("\\", "/") for p in to.rglob("*") if p.is_file()}
    assert files == {"README.md", "small.py", "tests/blank.py", "tests/visible.py"}
    everything = "".join((to / name).read_text("utf-8") for name in files)
    for secret in ("3 * x**2", "x.sum()", "the 3 is missing", "BEGIN SOLUTION"):
        assert secret not in everything
    readme = (to / "README.md").read_text("utf-8")
    assert "pip install -q tinygen==1.0" in readme
    assert "| 1. Cubes | 4 | 1 |\n| 2. Sums | 2 | 0 |" in readme


def test_a_handout_never_overwrites_a_students_work(assignment, tmp_path):
    (tmp_path / "small.py").write_text("my work")
    with pytest.raises(ValueError, match="exists already, and may hold someone's work"):
        hand_out(assignment, tmp_path)
    assert (tmp_path / "small.py").read_text() == "my work"


def test_a_notebook_is_valid_and_is_checked_like_the_file(assignment, tmp_path, capsys):
    to = tmp_path / "out"
    path = hand_out(assignment, to, as_notebook=True)
    notebook = json.loads(path.read_text("utf-8"))
    assert (path.name, notebook["nbformat"]) == ("small.ipynb", 4)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(set(c) >= {"cell_type", "metadata", "source"} for c in notebook["cells"])
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace(
            "raise NotImplementedError  # your code here", "return g * 3 * x**2", 1
        )
    assert main(["check", str(path)]) == 1
    path.write_text(json.dumps(notebook), "utf-8")
    capsys.readouterr()
    assert main(["check", str(path)]) == 0
    assert "All 1 visible tests pass" in capsys.readouterr().out


def solved(folder, text):
    path = folder / "mine.py"
    path.write_text(text, "utf-8")
    return path


PLAIN = '''\
import numpy as np


def softplus(x):
    """log(1 + eˣ)"""
    # BEGIN SOLUTION
    return np.logaddexp(0, x)
    # END SOLUTION


def softplus_backward(g, x):
    # BEGIN SOLUTION
    return g / (1 + np.exp(-x))
    # END SOLUTION


def odd(text):
    # BEGIN SOLUTION
    return text.upper()
    # END SOLUTION
'''


def test_a_new_assignment_from_a_plain_file_can_be_tried_and_handed_out(tmp_path, capsys):
    to = tmp_path / "made"
    assert main(["new", str(solved(tmp_path, PLAIN)), "--to", str(to)]) == 0
    assert "write a check of `odd` in hidden.py" in capsys.readouterr().out
    hidden = to / "hidden.py"
    extra = '\n\n@check(1, "capitals", points=3.33)\ndef capitals(student, reference, rng):\n'
    extra += '    require(student.odd("abc") == "ABC", "not in capitals")\n'
    text = hidden.read_text("utf-8").replace("points=3.33333", "points=3.335")
    hidden.write_text(text + extra, "utf-8")
    made = Assignment(to)
    assert [(t.name, t.problems) for t in try_out(made)] == [("solution", []), ("blank", [])]
    assert hand_out(made, tmp_path / "out").name == "mine.py"
    assert "logaddexp" not in (tmp_path / "out" / "mine.py").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "problem"),
    [("x = 1\n", "has no solution: mark it by"), ("# BEGIN SOLUTION\n", "the solution has no end")],
)
def test_a_file_without_marks_makes_no_assignment(text, problem, tmp_path):
    with pytest.raises(ValueError, match=problem):
        new(solved(tmp_path, text), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_new_overwrites_nothing(tmp_path):
    with pytest.raises(ValueError, match="is not empty"):
        new(solved(tmp_path, PLAIN), tmp_path)
