"""The eight assignments: the solution gets all points, the blank none, and examples what they say.

TINYGEN_THOROUGH is the share of the examples that are tried: 1 for all, with a new seed.
"""

import math
import os
import random
import time

import pytest

from tinygen.assignments import run_visible
from tinygen.assignments.checks import load
from tinygen.assignments.handout import hand_out
from tinygen.assignments.source import shipped
from tinygen.assignments.trial import try_out

ASSIGNMENTS = {a.number: a for a in shipped()}
SHARE = float(os.environ.get("TINYGEN_THOROUGH") or 0)
each = pytest.mark.parametrize("number", ASSIGNMENTS)


def names(assignment, kind):
    return [f"{kind}/{name}" for name in assignment.examples(kind)]


def test_there_are_eight_in_the_order_of_a_course():
    assert list(ASSIGNMENTS) == [str(n) for n in range(1, 9)]
    for number, assignment in ASSIGNMENTS.items():
        assert assignment.folder.name.startswith(f"{number}_")
        assert 20 <= assignment.points <= 32
        assert assignment.minutes


@each
def test_each_has_ten_mistakes_three_other_solutions_and_cheats(number):
    assignment = ASSIGNMENTS[number]
    assert len(names(assignment, "mistakes")) >= 10
    assert len(names(assignment, "right")) >= 3
    assert len(names(assignment, "cheats")) >= 2


@each
def test_nine_of_ten_mistakes_are_named_in_words(number):
    texts = [p.read_text("utf-8") for p in (ASSIGNMENTS[number].folder / "mistakes").glob("*.py")]
    assert sum("\nsays: " in text for text in texts) >= 0.9 * len(texts)


@each
def test_examples_get_what_they_say(number):
    if not SHARE and number != "1":
        pytest.skip("takes seconds: .ci/run tries all")
    assignment = ASSIGNMENTS[number]
    now = int(time.time())
    seed = now if SHARE == 1 else 1
    tried = ["solution", "blank"]
    for kind in ("right", "mistakes", "cheats"):
        found = names(assignment, kind)
        some = random.Random(now).sample(found, math.ceil(SHARE * len(found)))
        tried += [name for name in found if name in some]
    problems = {t.name: t.problems for t in try_out(assignment, seed=seed, only=tried)}
    assert list(problems) == tried
    assert not any(problems.values()), (seed, problems)


@each
def test_a_handout_that_is_solved_passes_its_check_and_draws(number, tmp_path, capsys):
    if not SHARE and number != "1":
        pytest.skip("takes seconds: .ci/run tries all")
    assignment = ASSIGNMENTS[number]
    path = hand_out(assignment, tmp_path)
    assert not run_visible(path)
    assert "Next: question 1" in capsys.readouterr().out
    path.write_text(assignment.solution, "utf-8")
    assert run_visible(path)
    assert (tmp_path / "picture.png").exists() == (number != "1")


@each
def test_a_handout_does_not_contain_the_solution(number, tmp_path):
    assignment = ASSIGNMENTS[number]
    hand_out(assignment, tmp_path)
    text = "".join(p.read_text("utf-8") for p in tmp_path.rglob("*") if p.is_file())
    solution = assignment.solution.splitlines()
    begins = [k for k, line in enumerate(solution) if "BEGIN SOLUTION" in line]
    for k in begins:
        lines = []
        for line in solution[k + 1 :]:
            if "END SOLUTION" in line:
                break
            lines.append(line)
        assert "\n".join(lines) not in text, lines


@each
def test_points_of_visible_tests_leave_the_larger_part_hidden(number):
    assignment = ASSIGNMENTS[number]
    visible = sum(c.points for c in load(assignment, hidden=False))
    assert 0.2 <= visible / assignment.points <= 0.5
