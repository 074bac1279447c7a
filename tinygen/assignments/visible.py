"""The student's own command: the visible tests, the first failing one in full."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygen
from tinygen.assignments.checks import Outcome
from tinygen.assignments.grading import grade_one, summary
from tinygen.assignments.source import Assignment, code_of
from tinygen.assignments.student import Limits, Student, StudentError

__all__ = ["run_visible"]

DRAWING = Limits(seconds=60)  # of `picture`, which may train a network
MARKS = {"passed": "✓", "failed": "✗", "blank": "·"}


def run_visible(file: str | Path | None = None, seed: int = 0) -> bool:
    """Run a handout's visible tests on the student's file; print the results.

    Without a file, it is looked for in the current folder. True if all pass.
    """
    here = Path(file).parent if file else Path()
    if not (here / "tests" / "blank.py").exists():
        raise ValueError(f"{here.resolve()} is not a handout: it has no tests/blank.py")
    assignment = Assignment(here / "tests")
    path = Path(file) if file else found(here, assignment.file)
    source = code_of(path)
    print(f"Assignment {assignment.number}: {assignment.title} ({path.name})\n")
    result = grade_one(assignment, source, seed=seed, visible_only=True)
    for remark in result.remarks:
        print(f"! {remark}")
    first: Outcome | None = None
    for o in result.outcomes:
        points = f"{o.score:g} of {o.check.points:g}"
        print(f"{MARKS[o.status]} {o.check.question}. {o.check.name}: {points}")
        if o.status == "failed" or (o.status == "blank" and first is None):
            print("    " + o.text.replace("\n", "\n    "))
        first = first or (o if o.status != "passed" else None)
    print(f"\n{summary(result)}")
    if first:
        print(f"Next: question {first.check.question}, {first.messages[0].splitlines()[0]}")
    draw(assignment, source, path.parent)
    return first is None


def found(folder: Path, file: str) -> Path:
    """The student's file, or the notebook in place of it."""
    candidates = [folder / file, folder / Path(file).with_suffix(".ipynb").name]
    path = next((p for p in candidates if p.exists()), None)
    if path is None:
        raise ValueError(f"there is no {file} in {folder.resolve()}: name your file")
    return path


def draw(assignment: Assignment, source: str, folder: Path) -> None:
    """If the assignment gives a function `picture`, draw the images it returns."""
    if "def picture(" not in assignment.given:
        return
    with Student(assignment, source, DRAWING) as student:
        try:
            functions = (
                student.functions.tensors if "tinygen" in assignment.uses else student.functions
            )
            images: Any = functions.picture()
        except StudentError as error:
            print(f"No picture yet: {error}")
            return
    images = np.asarray(images)
    if images.ndim == 4 and images.size and np.isfinite(images).all():
        path = folder / "picture.png"
        tinygen.image.grid(path, np.clip(images, 0, 1))
        print(f"What your code draws: {path}", file=sys.stdout)
