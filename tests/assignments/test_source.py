"""From a master to the student's copy, and back from a changed copy to a submission."""

import json

import pytest
from small import MASTER, small

from tinygen.assignments.source import blanked, cells, changed, code_of, notebook, python_of


def test_a_blank_stands_for_each_solution_with_its_indentation():
    text = "def f():\n    # BEGIN SOLUTION\n    x = 1\n    return x\n    # END SOLUTION\n"
    assert blanked(text) == "def f():\n    raise NotImplementedError  # your code here\n"


@pytest.mark.parametrize("marks", ["# ", "### ", "#"])
def test_the_marks_are_those_of_otter_and_of_nbgrader(marks):
    text = f"{marks}BEGIN SOLUTION\nx = 1\n{marks}END SOLUTION\n"
    assert "x = 1" not in blanked(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# BEGIN SOLUTION\n", "line 1: the solution has no end"),
        ("x\n# END SOLUTION\n", "line 2: no solution begins before this end"),
        ("# BEGIN SOLUTION\n# BEGIN SOLUTION\n", "line 2: the solution of line 1 has no end"),
    ],
)
def test_marks_without_a_partner_are_named_by_line(text, problem):
    with pytest.raises(ValueError, match=problem):
        blanked(text)


def test_the_header_the_questions_and_their_points_are_read(tmp_path):
    assignment = small(tmp_path)
    assert (assignment.number, assignment.title, assignment.file) == ("99", "small", "small.py")
    assert [tuple(q) for q in assignment.questions] == [(1, "Cubes", 4), (2, "Sums", 2)]
    assert assignment.points == 6


def test_given_code_is_all_that_has_no_blank_in_it(tmp_path):
    given = small(tmp_path).given
    assert "def cube(x)" in given
    assert "SIZE = 3" in given
    assert "cube_backward" not in given
    assert "total" not in given


def test_visible_tests_get_only_the_given_functions(tmp_path):
    assignment = small(tmp_path)
    assert assignment.reference(hidden=True).total(assignment.reference(True).np.ones(3)) == 3
    with pytest.raises(NotImplementedError):
        assignment.reference(hidden=False).total(1)


def test_cells_are_markdown_or_code_in_order():
    kinds = [kind for kind, _ in cells(MASTER)]
    assert kinds == ["markdown", "code", "markdown", "code"]
    assert next(cells(MASTER))[1].startswith("# A small assignment\n\n## 1. Cubes [4]")


def test_a_notebook_has_the_code_of_the_file(tmp_path):
    assignment = small(tmp_path)
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(notebook(assignment.blank, "small.ipynb")), "utf-8")
    names: dict[str, object] = {}
    exec(code_of(path), names)
    assert {"cube", "cube_backward", "total", "SIZE"} <= set(names)


def test_magic_lines_of_a_notebook_are_no_python(tmp_path):
    path = tmp_path / "a.ipynb"
    cell = {"cell_type": "code", "source": ["%matplotlib inline\n", "if 1:\n", "  !ls\n", "x = 1"]}
    path.write_text(json.dumps({"cells": [cell]}), "utf-8")
    names: dict[str, object] = {}
    exec(code_of(path), names)
    assert names["x"] == 1


CELLS = {
    "print('loss %d'\n% 3)": None,
    "%matplotlib inline\nx = 2": {"x": 2},
    "%time y = 3 * 2": {"y": 6},
    "%%time\nz = 4": {"z": 4},
    "files = !ls\nw = 5": {"w": 5},
    "np.sum?": {},
    "?np.sum\nv = 1": {"v": 1},
    "!pip install x": {},
}


@pytest.mark.parametrize("cell", CELLS)
def test_python_is_kept_and_magic_commands_are_not(cell):
    names: dict[str, object] = {}
    exec(python_of(1, cell), names)
    assert all(names[key] == value for key, value in (CELLS[cell] or {}).items())


def test_a_cell_that_is_not_python_is_named_when_it_is_executed():
    with pytest.raises(SyntaxError, match="cell 7 is not Python"):
        exec(python_of(7, "this is a note"), {})


def test_a_cell_that_checks_is_left_out():
    cell = 'from tinygen.assignments import run_visible\n\nok = run_visible(\n    "a.ipynb"\n)'
    assert python_of(1, cell) == ""


@pytest.mark.parametrize(
    "data",
    [
        "x = 'é'\n".encode(),
        "\ufeffx = 'é'\n".encode(),
        "# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"),
        "x = 'é'\n".encode("utf-16"),
        "x = 'é'\r\n".encode(),
    ],
)
def test_a_file_is_read_in_its_encoding(data, tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(data)
    names: dict[str, object] = {}
    exec(code_of(path).replace("coding", ""), names)
    assert names["x"] == "é"


@pytest.mark.parametrize("text", ['{"cells": [{"cell_type": "code", "source": 5}]}', "[" * 9999])
def test_an_odd_notebook_is_a_clear_error(text, tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"a\.ipynb can't be read"):
        code_of(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": [{}]}', "\udcff"])
def test_a_damaged_notebook_is_a_clear_error(text, tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"a\.ipynb can't be read"):
        code_of(path)


def test_a_change_replaces_functions_and_methods_and_adds_the_rest():
    solution = (
        "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n\n\n"
    )
    solution += "def h():\n    return 3\n"
    change = '"""A mistake."""\n\nclass A:\n    def g(self):\n        return 20\n\n\n'
    change += "def h():\n    return 30\n\n\ndef new():\n    return A().f() + A().g() + h()\n"
    names: dict[str, object] = {}
    exec(changed(solution, change), names)
    assert names["new"]() == 51


def test_a_method_that_replaces_nothing_is_an_error():
    with pytest.raises(ValueError, match="A has no method g to replace"):
        changed("class A:\n    def f(self): ...\n", "class A:\n    def g(self): ...\n")
