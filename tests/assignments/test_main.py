"""The command line: what it lists, how it finds an assignment, what it says of a wrong one."""

import pytest
from small import small

from tinygen.assignments.__main__ import chosen, guessed, main
from tinygen.assignments.grading import Submission
from tinygen.assignments.source import shipped


def test_the_list_has_each_assignment_with_its_points(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == len(shipped())
    for line, assignment in zip(lines, shipped(), strict=True):
        assert line.startswith(f"{assignment.number:3}{assignment.title}")
        assert f" {assignment.points} " in line


def test_an_assignment_is_chosen_by_number_or_by_folder(tmp_path):
    assert chosen("1").file == "gradients.py"
    small(tmp_path)
    assert chosen(str(tmp_path)).number == "99"
    with pytest.raises(ValueError, match=r"'77' is neither an assignment \(1, 2"):
        chosen("77")
    with pytest.raises(ValueError, match=r"is not an assignment: it has no master\.py"):
        chosen(str(tmp_path.parent))


def test_submissions_say_which_assignment_they_solve(tmp_path):
    one, other = tmp_path / "a.py", tmp_path / "b.py"
    one.write_text(chosen("1").blank, "utf-8")
    other.write_text("# nothing\n")
    found = [Submission("a", one), Submission("b", other), Submission("c", tmp_path / "c.py")]
    assert guessed(found).number == "1"
    other.write_text("# Assignment 99: small\n")
    with pytest.raises(ValueError, match="use --assignment"):
        guessed(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["handout", "77", "--to", "x"], "neither an assignment"),
        (["grade", "nowhere", "--out", "x"], "nowhere is not a folder"),
        (["try", "nowhere"], "neither an assignment"),
        (["new", "nowhere.py"], "nowhere.py"),
        (["try", "1", "--only", "mistakes/none"], "there is no mistakes/none"),
    ],
)
def test_a_wrong_argument_is_an_error_in_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--jobs", "-1"], ["--seconds", "0"], ["--memory", "nan"]])
def test_a_limit_that_is_none_is_refused(option, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path), "--out", str(tmp_path / "out"), *option])
    assert f"argument {option[0]}: invalid" in capsys.readouterr().err
