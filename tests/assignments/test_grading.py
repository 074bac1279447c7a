"""Scores, reports and tables; nothing that was earned is lost."""

import csv
import io
import json
import re
from types import SimpleNamespace

import pytest
from small import small

from tinygen.assignments import grading
from tinygen.assignments.__main__ import main
from tinygen.assignments.grading import (
    Submission,
    as_gradescope,
    as_markdown,
    as_table,
    grade_all,
    grade_into,
    grade_one,
    submissions,
    wrong_points,
)
from tinygen.assignments.source import changed
from tinygen.assignments.student import Limits

LIMITS = Limits(3.0, 1.0)
WRONG = "def cube_backward(g, x):\n    return g * x**2\n"
VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}


@pytest.fixture
def assignment(tmp_path):
    (tmp_path / "small").mkdir()
    return small(tmp_path / "small")


@pytest.fixture
def wrong(assignment):
    return changed(assignment.solution, WRONG)


def valid_for_gradescope(results):
    """The fields of a results.json that Gradescope documents, with their types."""
    known = {"score", "execution_time", "output", "output_format", "test_output_format"}
    known |= {"test_name_format", "visibility", "stdout_visibility", "extra_data", "tests"}
    assert set(results) <= known | {"leaderboard"}
    assert isinstance(results["output"], str)
    for test in results["tests"]:
        optional = {"name_format", "output_format", "tags", "extra_data", "number"}
        assert set(test) - optional == set("score max_score status name output visibility".split())
        assert 0 <= test["score"] <= test["max_score"]
        assert test["status"] in ("passed", "failed")
        assert test["visibility"] in VISIBILITIES
        assert all(isinstance(test[key], str) for key in ("name", "output", "number"))
    return True


def test_the_solution_gets_all_points_and_the_blank_none(assignment):
    for seed in (1, 2):
        assert grade_one(assignment, assignment.solution, seed=seed).score == 6
        assert grade_one(assignment, assignment.blank, seed=seed).score == 0


def test_results_are_what_gradescope_documents(assignment, wrong):
    results = as_gradescope(grade_one(assignment, wrong, seed=1))
    assert valid_for_gradescope(json.loads(json.dumps(results)))
    assert [t["visibility"] for t in results["tests"]] == ["visible"] + 3 * ["after_due_date"]
    assert results["output"] == (
        "0 of 1 visible tests pass. Hidden tests decide over 5 of 6 points."
    )
    assert "x̄: the 3 is missing" in results["tests"][2]["output"]


def test_results_are_written_after_each_check(assignment, tmp_path, monkeypatch):
    path = tmp_path / "a.py"
    path.write_text(assignment.solution, "utf-8")
    seen = []
    write = grading.write_json
    monkeypatch.setattr(
        grading,
        "write_json",
        lambda p, x: (write(p, x), seen.append(json.loads(p.read_text("utf-8")))),
    )
    grade_into(tmp_path / "out", assignment, path, 1, LIMITS)
    assert [sum(t["score"] for t in results["tests"]) for results in seen] == [0, 1, 3, 4, 6]
    assert all(valid_for_gradescope(results) for results in seen)
    assert seen[0]["tests"][0]["output"].startswith("not run")


def test_seeds_of_hidden_checks_are_told_only_after_the_due_date(assignment, wrong):
    result = grade_one(assignment, wrong, seed=123456)
    results = as_gradescope(result)
    shown = "".join(t["output"] for t in results["tests"] if t["visibility"] == "visible")
    assert "123456" not in shown + results["output"]
    own = int(re.search(r"--seed (\d+)", shown)[1])
    again = grade_one(assignment, wrong, seed=own, visible_only=True)
    assert again.outcomes[0].messages == result.outcomes[0].messages
    assert "(seed 123456)" in as_markdown(result, "alice")


def test_a_report_has_each_question_with_its_points(assignment, wrong):
    text = as_markdown(grade_one(assignment, wrong, seed=1), "alice")
    assert text.startswith("# alice: assignment 99, small\n\n**2 of 6 points**")
    assert "## 1. Cubes: 0 of 4" in text
    assert "## 2. Sums: 2 of 2" in text
    assert "✗ **a value of the gradient** (hidden): 0 of 1\n\n    x̄: the 3 is missing" in text


def test_submissions_are_files_notebooks_or_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "small.py").write_text("")
    (tmp_path / "b.ipynb").write_text("{}")
    for path in ("c/small.py", "c/tests/visible.py", "c/other.py", "d/renamed.py", "e/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "notes.txt").write_text("")
    for path in (".git/a.py", "__MACOSX/x.py", "._a.py", "a/.x.py", "d/__MACOSX/._renamed.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "outside.py").symlink_to(tmp_path.parent)
    found = {
        s.student: str(s.path.relative_to(tmp_path)) for s in submissions(tmp_path, "small.py")
    }
    assert found == {
        "a": "a/small.py",
        "b": "b.ipynb",
        "c": "c/small.py",
        "d": "d/renamed.py",
        "e": "e/small.py",  # missing: said when it is graded
    }


def test_two_submissions_of_one_name_and_an_empty_folder_are_errors(tmp_path):
    with pytest.raises(ValueError, match="no submissions; expected"):
        submissions(tmp_path, "small.py")
    (tmp_path / "a.py").write_text("")
    (tmp_path / "a.ipynb").write_text("")
    with pytest.raises(ValueError, match="two submissions of a; expected"):
        submissions(tmp_path, "small.py")


@pytest.fixture
def graded(assignment, wrong, tmp_path, capsys):
    """A folder of four submissions, graded by the command."""
    folder = tmp_path / "submissions"
    (folder / "dora").mkdir(parents=True)
    (folder / "alice.py").write_text(assignment.solution, "utf-8")
    (folder / "bob.py").write_text(wrong, "utf-8")
    (folder / "carl.ipynb").write_text("not a notebook", "utf-8")
    arguments = ["grade", str(folder), "--out", str(tmp_path / "grades"), "--seed", "3"]
    assert main([*arguments, "--assignment", str(assignment.folder), "--jobs", "2"]) == 0
    return tmp_path / "grades", capsys.readouterr().out


def test_all_submissions_are_graded_with_a_table_and_reports(graded):
    graded, out = graded
    rows = list(csv.reader(io.StringIO((graded / "grades.csv").read_text("utf-8"))))
    assert rows[0] == ["student", "question 1", "question 2", "points", "of", "slowest", "remarks"]
    assert [row[:5] for row in rows[1:]] == [
        ["alice", "4", "2", "6", "6"],
        ["bob", "0", "2", "2", "6"],
        ["carl", "0", "0", "0", "6"],
        ["dora", "0", "0", "0", "6"],
    ]
    assert "can't be read" in rows[3][6]
    assert "can't be read" in rows[4][6]
    for name in ("alice", "bob", "carl", "dora"):
        assert valid_for_gradescope(json.loads((graded / name / "results.json").read_text("utf-8")))
        assert (
            (graded / name / "report.md").read_text("utf-8").startswith(f"# {name}: assignment 99")
        )
    assert "6 of 6  alice" in out
    assert "--seed 3" in out


def test_a_grader_that_dies_leaves_what_was_earned(assignment, tmp_path, monkeypatch):
    path = tmp_path / "a.py"
    path.write_text(assignment.solution, "utf-8")
    (tmp_path / "small" / "hidden.py").write_text(
        assignment.tests(True).replace("x = rng.normal(size=5)", "import os; os._exit(5)"), "utf-8"
    )
    [(_, results)] = grade_all(
        assignment, [Submission("a", path)], tmp_path / "out", seed=1, limits=LIMITS
    )
    assert [t["score"] for t in results["tests"]] == [1, 2, 1, 0]
    assert results["tests"][3]["output"] == "not run"


def test_a_submission_that_takes_too_long_keeps_what_it_earned(assignment, monkeypatch):
    ticks = iter([0, 1, 2, 1000, 1001])
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(grading, "time", clock)
    result = grade_one(assignment, assignment.solution, seed=1)
    assert [o.score for o in result.outcomes] == [1, 2, 0, 0]
    assert result.remarks == ["Stopped after 600 s: the tests that follow were not run"]


def test_odd_characters_lose_no_results(assignment, tmp_path):
    path = tmp_path / "a.py"
    body = "print('\\ud83d')\n    raise ValueError('\\udfff')"
    path.write_text(changed(assignment.solution, WRONG.replace("return g * x**2", body)), "utf-8")
    result = grade_into(tmp_path / "out", assignment, path, 1, LIMITS)
    assert result.score == 2
    assert "\\udfff" in (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "\\ud83d" in (tmp_path / "out" / "results.json").read_text("utf-8")


def test_no_cell_of_the_table_is_a_formula(assignment, tmp_path):
    solution = grade_one(assignment, assignment.solution, seed=1)
    rows = [(Submission("=cmd()", tmp_path / "x.py"), as_gradescope(solution))]
    assert as_table(assignment, rows, solution).splitlines()[1].startswith("'=cmd(),4,2,6,6,")


def test_a_folder_with_the_name_of_the_table_is_refused(tmp_path):
    (tmp_path / "grades.csv.py").write_text("")
    with pytest.raises(ValueError, match=r"rename grades\.csv"):
        submissions(tmp_path, "small.py")


def test_a_hidden_seed_can_not_be_found_by_trying():
    assert len({grading.new_seed() for _ in range(100)}) == 100
    assert max(grading.new_seed() for _ in range(100)) > 2**80


def test_a_submission_that_can_not_be_written_costs_the_others_nothing(assignment, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(assignment.solution, "utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").write_text("a file")
    both = [Submission("a", path), Submission("b", path)]
    graded = dict(grade_all(assignment, both, tmp_path / "out", seed=1, limits=LIMITS))
    assert sum(t["score"] for t in graded[both[0]]["tests"]) == 6
    assert graded[both[1]]["tests"] == []
    assert "b" in graded[both[1]]["note"]


def test_a_table_for_otter_has_its_columns(assignment, wrong, tmp_path):
    solution = grade_one(assignment, assignment.solution, seed=1)
    rows = [
        (Submission("b", tmp_path / "b.py"), as_gradescope(grade_one(assignment, wrong, seed=1)))
    ]
    assert as_table(assignment, rows, solution, otter=True).splitlines() == [
        "file,q1,q2,total_points_earned,percent_correct,grading_status",
        "points-per-question,4,2,6,1,--",
        "b.py,0,2,2,0.3333,Completed",
    ]


def test_time_far_beyond_the_solutions_is_reported(assignment, tmp_path):
    slow = "import numpy as np\n\n\ndef total(x):\n    for _ in range(300):\n"
    slow += "        np.linalg.eigvalsh(np.ones((40, 40)))\n    return x.sum()\n"
    solution = grade_one(assignment, assignment.solution, seed=1)
    result = grade_one(assignment, changed(assignment.solution, slow), seed=1)
    assert result.score == 6
    results = as_gradescope(result)
    results["tests"][3]["extra_data"]["seconds"] = 3.0
    table = as_table(assignment, [(Submission("a", tmp_path / "a.py"), results)], solution)
    assert "times the solution's time: the sum" in table


def test_points_that_do_not_add_up_are_named(assignment):
    checks = grading.load(assignment, False) + grading.load(assignment, True)
    assert wrong_points(assignment, checks) == []
    assert wrong_points(assignment, checks[1:]) == ["question 1 has 4 points, its checks 3"]
    assert wrong_points(assignment, [*checks, checks[0]._replace(question=7)]) == [
        "'the gradient of a cube' is of question 7"
    ]


def test_a_solution_that_fails_its_own_tests_stops_the_grading(assignment, wrong, tmp_path, capsys):
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / "a.py").write_text(assignment.solution, "utf-8")
    (assignment.folder / "master.py").write_text(
        assignment.solution.replace("g * 3 * x**2", "g * x**2"), "utf-8"
    )
    arguments = [str(tmp_path / "submissions"), "--out", str(tmp_path / "grades")]
    assert main(["grade", *arguments, "--assignment", str(assignment.folder)]) == 2
    assert "the solution itself fails 'the gradient of a cube'" in capsys.readouterr().err
    assert not (tmp_path / "grades").exists()
