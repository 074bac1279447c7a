"""The student's copy of an assignment, and a new assignment from a solution.

A handout has the file with blanks, the visible tests in `tests/`, and a README, the statement.
"""

import ast
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np

from tinygen._files import replacing
from tinygen.assignments.checks import load
from tinygen.assignments.source import Assignment, blanked, notebook

README = """\
# Assignment {number}: {title}

Fill in the blanks of `{file}`: each is a line `{blank}`. {minutes}You need Python 3.10 or newer.

Set up once, in this folder:

```sh
python3 -m venv .venv && .venv/bin/pip install -q {install}
```

Check as often as you like; it takes seconds and needs no network:

```sh
.venv/bin/python -m tinygen.assignments check
```

On Windows, use `.venv/Scripts` in place of `.venv/bin`. The check runs the visible tests in
`tests/`, which you may read. Your file may import {uses}, and modules of Python's own such as
`math`. What a function prints appears below the failing test; calls outside functions are not
executed. Functions that were given are restored before every check, so give your own other names.

| question | points | of them visible |
|---|---|---|
{table}

{statement}
"""


def hand_out(
    assignment: Assignment, to: Path, *, as_notebook: bool = False, install: str = "tinygen"
) -> Path:
    """Write the student's copy into the folder `to`; return the file that the student edits."""
    file = to / Path(assignment.file).with_suffix(".ipynb" if as_notebook else ".py").name
    if file.exists():
        raise ValueError(
            f"{file} exists already, and may hold someone's work: choose another folder"
        )
    visible = load(assignment, False)
    rows = []
    for q in assignment.questions:
        shown = sum(c.points for c in visible if c.question == q.number)
        rows.append(f"| {q.number}. {q.title} | {q.points} | {shown:g} |")
    minutes = f"It should take about {assignment.minutes} minutes. " if assignment.minutes else ""
    readme = README.format(
        number=assignment.number,
        title=assignment.title,
        file=file.name,
        blank=blank_line(),
        minutes=minutes,
        install=install,
        uses=" and ".join(sorted({name.partition(".")[0] for name in assignment.uses})),
        table="\n".join(rows),
        statement=re.sub(r"^# .+\n", "", assignment.statement()),
    )
    content = assignment.blank
    if as_notebook:
        content = json.dumps(notebook(content, file.name), indent=1, ensure_ascii=False) + "\n"
    texts = {
        to / "README.md": readme,
        to / "tests" / "visible.py": assignment.tests(False),
        to / "tests" / "blank.py": assignment.blank,
        file: content,
    }
    for path, text in texts.items():
        with replacing(path) as stream:
            stream.write(text.encode())
    return file


def blank_line() -> str:
    """The line that stands for a solution."""
    return blanked("# BEGIN SOLUTION\n# END SOLUTION").strip()


# --- a new assignment -----------------------------------------------------------------------------

TESTS = '''\
"""{kind} tests: give each its question, name and points. See docs/teaching.md."""

from tinygen.assignments import check, gradient, require, value  # noqa: F401

'''
GRADIENT = """
@check({question}, "the gradients of {name}", points={points})
def gradients_of_{name}(student, reference, rng):
    gradient(student.{name}_backward, reference.{name}, {inputs})

"""
VALUE = """
@check({question}, "the value of {name}", points={points})
def value_of_{name}(student, reference, rng):
    inputs = [{inputs}]
    value(student.{name}(*inputs), reference.{name}(*inputs), "{name}")

"""
ATTEMPTS = ("rng.normal(size=(4, 3))", "rng.normal(size=5)", "float(rng.normal())")


def new(solution: Path, to: Path) -> list[str]:
    """Make a folder with an assignment from a solution file; return what is left to do by hand."""
    if to.exists() and any(to.iterdir()):
        raise ValueError(f"{to} is not empty: choose another folder")
    text = with_titles(solution.read_text("utf-8"), solution)
    blank = blanked(text)  # complains about marks without partners
    if blank == text:
        raise ValueError(f"{solution} has no solution: mark it by # BEGIN SOLUTION, # END SOLUTION")
    module = ModuleType("solution")
    exec(compile(text, str(solution), "exec"), module.__dict__)
    tests, left = [], []
    for question, names in blanks(text).items():
        points = int(re.findall(rf"^# #+ {question}\. .+ \[(\d+)\]$", text, re.MULTILINE)[0])
        done = []
        for name in names:
            forward = name.removesuffix("_backward")
            by_hand = forward != name and callable(getattr(module, forward, None))
            inputs = inputs_for(getattr(module, forward))
            if inputs is None:
                left.append(f"write a check of `{name}` in hidden.py: no inputs could be guessed")
                continue
            done.append((GRADIENT if by_hand else VALUE, forward, inputs))
        for template, name, inputs in done:
            share = f"{points / len(names):g}"
            tests.append(template.format(question=question, name=name, inputs=inputs, points=share))
    texts = {
        "master.py": text,
        "visible.py": TESTS.format(kind="Visible"),
        "hidden.py": TESTS.format(kind="Hidden") + "".join(tests),
        "mistakes/README.md": "One file a mistake: the wrong functions, and a docstring with lines "
        "`fails: CHECK`, `score: POINTS`, `says: WORDS`.\n",
    }
    for name, content in texts.items():
        with replacing(to / name) as stream:
            stream.write((content.rstrip() + "\n").encode())
    return left


def with_titles(text: str, path: Path) -> str:
    """The master, with a header and a question if it has none."""
    if not text.startswith("# Assignment "):
        text = (
            f"# Assignment {path.stem}: {path.stem}\n# file: {path.name}\n# uses: numpy\n\n{text}"
        )
    if "# %%" not in text:
        head, _, rest = text.partition("\n\n")
        title = "# %% [markdown]\n# ## 1. Fill in the blanks [10]\n\n# %%\n"
        text = f"{head}\n\n{title}{rest}"
    return text


def blanks(master: str) -> dict[int, list[str]]:
    """The names of the functions with a solution, by question."""
    found: dict[int, list[str]] = {}
    question = 0
    lines = master.splitlines()
    functions = [n for n in ast.parse(master).body if isinstance(n, ast.FunctionDef)]
    for number, line in enumerate(lines, 1):
        if title := re.match(r"^# #+ (\d+)\. .+ \[\d+\]$", line):
            question = int(title[1])
        if re.match(r"^\s*#+ ?BEGIN SOLUTION", line):
            inside = [f.name for f in functions if f.lineno <= number <= (f.end_lineno or 0)]
            if inside and inside[0] not in found.setdefault(question, []):
                found[question] += inside
    return found


def inputs_for(function: object) -> str | None:
    """Source of arguments with which the function runs: the first attempt that does."""
    count = sum(
        p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        for p in inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    )
    for attempt in ATTEMPTS:
        rng = np.random.default_rng(0)
        arguments = [eval(attempt, {"rng": rng}) for _ in range(count)]
        try:
            result = function(*arguments)  # type: ignore[operator]
        except Exception:
            continue
        if isinstance(result, (float, np.ndarray, np.floating)):
            return ", ".join([attempt] * count)
    return None
