"""The student's own command."""

import pytest
from small import MASTER, small

from tinygen.assignments import run_visible
from tinygen.assignments.__main__ import main
from tinygen.assignments.handout import hand_out

PICTURE = """

def picture():
    return np.full((4, 8, 8, 1), total(np.ones(1)) / 2)
"""


@pytest.fixture
def handout(tmp_path, monkeypatch):
    """A handout's folder, which is the current one."""
    (tmp_path / "small").mkdir()
    assignment = small(tmp_path / "small")
    hand_out(assignment, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    return assignment


def write(text):
    with open("small.py", "w", encoding="utf-8") as file:
        file.write(text)


def test_the_first_blank_is_named_first_and_hidden_tests_are_not_forgotten(handout, capsys):
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "· 1. the gradient of a cube: 0 of 1" in out
    assert "0 of 1 visible tests pass. Hidden tests decide over 5 of 6 points." in out
    assert "Next: question 1, `cube_backward` is not written yet at line" in out


def test_a_mistake_is_explained_and_a_right_file_passes(handout, capsys):
    write(handout.solution.replace("g * 3 * x**2", "g * x**2"))
    assert not run_visible()
    out = capsys.readouterr().out
    assert "✗ 1. the gradient of a cube: 0 of 1\n    cube_backward: the gradient" in out
    write(handout.solution)
    assert run_visible()
    assert "All 1 visible tests pass." in capsys.readouterr().out


def test_the_same_seed_gives_the_same_test_and_another_another(handout, capsys):
    write(handout.solution.replace("g * 3 * x**2", "g * x"))
    told = []
    for seed in ("0", "0", "1"):
        main(["check", "--seed", seed])
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != told[2]


def test_a_picture_is_drawn_when_the_functions_it_needs_are_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "small").mkdir()
    assignment = small(tmp_path / "small")
    path = assignment.folder / "master.py"
    path.write_text(assignment.solution + PICTURE, "utf-8")
    assignment = type(assignment)(assignment.folder)
    hand_out(assignment, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    main(["check"])
    assert not (tmp_path / "out" / "picture.png").exists()
    assert "No picture yet: `total` is not written yet" in capsys.readouterr().out
    write(assignment.solution)
    main(["check"])
    assert (tmp_path / "out" / "picture.png").exists()
    assert "What your code draws: picture.png" in capsys.readouterr().out


def test_outside_a_handout_or_without_the_file_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert "is not a handout: it has no tests/blank.py" in capsys.readouterr().err
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "blank.py").write_text(MASTER.replace("{uses}", "numpy"), "utf-8")
    assert main(["check"]) == 2
    assert "there is no small.py in" in capsys.readouterr().err
