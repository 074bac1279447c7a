"""`try`: what an instructor runs before handing out.

The solution gets all points and the blank none. Each file in right/ gets all. Each in mistakes/
loses points where its docstring says:

    "What the mistake is."

    fails: the name of a check; that of another
    score: 17.5
    says: words from the message

Each in cheats/ gets no more than if the functions that it defines were blank, or its `score`.
"""

import ast
import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tinygen.assignments.checks import load
from tinygen.assignments.grading import Result, grade_one, wrong_points
from tinygen.assignments.source import Assignment
from tinygen.assignments.student import LIMITS, Limits


class Expected(NamedTuple):
    """What the docstring of an example says: a score, exact or a bound, and words."""

    score: float
    fails: Sequence[str] = ()
    says: Sequence[str] = ()
    bound: bool = False


class Trial(NamedTuple):
    """One submission that was tried, and what was not as expected (nothing: all is well)."""

    name: str
    result: Result
    problems: list[str]


def expected(text: str) -> Expected:
    """Read the docstring of a mistake."""
    docstring = ast.get_docstring(ast.parse(text)) or ""
    lines = re.findall(r"^(fails|score|says): (.+)$", docstring, re.MULTILINE)
    fails = [name.strip() for key, names in lines if key == "fails" for name in names.split(";")]
    scores = [float(number) for key, number in lines if key == "score"]
    if len(scores) > 1:
        raise ValueError("its docstring has two scores")
    score = scores[0] if scores else math.nan
    return Expected(score, fails, [words for key, words in lines if key == "says"])


def try_out(
    assignment: Assignment, *, seed: int = 1, only: Sequence[str] = (), limits: Limits = LIMITS
) -> Iterator[Trial]:
    """Grade the solution, the blank, and each example; `only` names some, such as "right/loops"."""
    assert assignment.solution is not None
    problems = wrong_points(assignment, load(assignment, False) + load(assignment, True))
    if problems:
        raise ValueError(f"{assignment.folder}: {'; '.join(problems)}")
    tried: dict[str, tuple[str, Expected]] = {
        "solution": (assignment.solution, Expected(assignment.points)),
        "blank": (assignment.blank, Expected(0.0)),
    }
    for kind in ("right", "mistakes", "cheats"):
        for name, source in assignment.examples(kind).items():
            text = (assignment.folder / kind / f"{name}.py").read_text("utf-8")
            says = Expected(assignment.points) if kind == "right" else expected(text)
            tried[f"{kind}/{name}"] = (
                source,
                says._replace(bound=kind == "cheats" and math.isnan(says.score)),
            )
            if kind == "mistakes" and math.isnan(says.score):
                raise ValueError(f"mistakes/{name}.py needs a line `score: POINTS`")
    if unknown := set(only) - set(tried):
        raise ValueError(f"there is no {unknown.pop()}; there are {', '.join(tried)}")
    honest = {
        name: assignment.without_functions_of((assignment.folder / f"{name}.py").read_text("utf-8"))
        for name, (_, says) in tried.items()
        if says.bound
    }
    names = [name for name in tried if not only or name in only]

    def one(name: str) -> Trial:
        source, says = tried[name]
        result = grade_one(assignment, source, seed=seed, limits=limits)
        if says.bound:
            score = grade_one(assignment, honest[name], seed=seed, limits=limits).score
            says = says._replace(score=score)
        return Trial(name, result, list(_unexpected(result, says)))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, names)


def _unexpected(result: Result, says: Expected) -> Iterator[str]:
    failing = {o.check.name: o.text for o in result.outcomes if o.status != "passed"}
    told = "\n".join([*result.remarks, *failing.values()])
    most = "at most " if says.bound else ""
    if (abs(result.score - says.score) if not says.bound else result.score - says.score) > 0.011:
        yield f"expected {most}{says.score:g} points, got {result.score:g}"
        yield from (
            f"{name}: {text}" for name, text in failing.items() if says.score == result.most
        )
    if says.fails and set(says.fails) != set(failing):
        yield f"expected to fail {'; '.join(says.fails)}, fails {'; '.join(failing) or 'none'}"
    yield from (f"no message says {words!r}" for words in says.says if words not in told)
