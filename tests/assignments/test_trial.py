"""`try` accepts an assignment whose examples are as they say, and names each that is not."""

import pytest
from small import small

from tinygen.assignments.__main__ import main
from tinygen.assignments.trial import expected, try_out

FORGOTTEN = '''
"""The 3 is forgotten.

fails: the gradient of a cube; the gradient of any cube; a value of the gradient
score: 2
says: the 3 is missing
"""


def cube_backward(g, x):
    return g * x**2
'''
EXAMPLES = {
    "right/powers": "def total(x):\n    return sum(x.tolist())\n",
    "mistakes/forgotten": FORGOTTEN,
    "cheats/constant": '"""Zero."""\n\n\ndef cube_backward(g, x):\n    return 0 * x\n',
}


@pytest.fixture
def assignment(tmp_path):
    for name, text in EXAMPLES.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip(), "utf-8")
    return small(tmp_path)


def problems(assignment):
    return {trial.name: trial.problems for trial in try_out(assignment)}


def test_what_is_as_it_says_has_no_problems(assignment, capsys):
    assert problems(assignment) == {
        "solution": [],
        "blank": [],
        "right/powers": [],
        "mistakes/forgotten": [],
        "cheats/constant": [],
    }
    assert main(["try", str(assignment.folder)]) == 0
    assert "✓ mistakes/forgotten" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("right/powers", "sum(", "max(", "expected 6 points, got 4"),
        ("mistakes/forgotten", "score: 2", "score: 3", "expected 3 points, got 2"),
        ("mistakes/forgotten", "the 3 is missing", "no way", "no message says 'no way'"),
        ("mistakes/forgotten", "; a value of the gradient", "", "expected to fail"),
        ("mistakes/forgotten", "x**2", "3 * x**2", "expected 2 points, got 6"),
        ("cheats/constant", "0 * x", "3 * g * x * x", "expected at most 2 points, got 6"),
    ],
)
def test_what_is_not_as_it_says_is_named(name, old, new, problem, assignment, capsys):
    path = assignment.folder / f"{name}.py"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    found = problems(assignment)
    assert problem in "\n".join(found.pop(name))
    assert not any(found.values())
    assert main(["try", str(assignment.folder), "--only", name]) == 1
    assert problem in capsys.readouterr().out


def test_a_mistake_needs_a_score(assignment):
    path = assignment.folder / "mistakes" / "forgotten.py"
    path.write_text(path.read_text("utf-8").replace("score: 2\n", ""), "utf-8")
    with pytest.raises(ValueError, match=r"mistakes/forgotten\.py needs a line `score: POINTS`"):
        problems(assignment)


def test_points_must_add_up(assignment):
    master = assignment.folder / "master.py"
    master.write_text(master.read_text("utf-8").replace("Cubes [4]", "Cubes [5]"), "utf-8")
    with pytest.raises(ValueError, match="question 1 has 5 points, its checks 4"):
        problems(small_again(assignment))


def small_again(assignment):
    return type(assignment)(assignment.folder)


def test_a_docstring_is_read_by_its_lines():
    assert tuple(expected(FORGOTTEN))[:3] == (
        2.0,
        ["the gradient of a cube", "the gradient of any cube", "a value of the gradient"],
        ["the 3 is missing"],
    )
    with pytest.raises(ValueError, match="two scores"):
        expected('"""\nscore: 1\nscore: 2\n"""')
