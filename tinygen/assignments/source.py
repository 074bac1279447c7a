"""An assignment's files: from the master, with its solution, to the student's copy.

A master is a Python file in percent cells. Its first lines are a header:

    # Assignment 1: gradients by hand
    # uses: numpy
    # minutes: 90

`# BEGIN SOLUTION` and `# END SOLUTION` mark the lines that become blanks. A title in a Markdown
cell, `## 1. The dense layer [6]`, begins a question and says its points.
"""

import ast
import codecs
import functools
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

HERE = Path(__file__).parent
BEGIN = re.compile(r"^(\s*)#+ ?BEGIN SOLUTION\b")
END = re.compile(r"^\s*#+ ?END SOLUTION\b")
TITLE = re.compile(r"^# Assignment (\S+): (.+)$", re.MULTILINE)
QUESTION = re.compile(r"^# #+ (\d+)\. (.+?) \[(\d+)\]$", re.MULTILINE)
TIME = r"^(\s*)%%?time(?:it)?\b(?: -\w+ ?\d*)* *"  # may stand before a statement
MAGIC = r"^(\s*)(?:[%!?]|.*\?$|\w+ *= *[%!]).*$"
CHECK = "from tinygen.assignments import run_visible"  # in a notebook's last cell
BLANK = "raise NotImplementedError  # your code here"


class Question(NamedTuple):
    """A question's number, its title, and its points."""

    number: int
    title: str
    points: int


class Assignment:
    """A folder with master.py, visible.py and hidden.py; or a handout's `tests`, with blank.py."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        master, blank = self.folder / "master.py", self.folder / "blank.py"
        if not master.exists() and not blank.exists():
            raise ValueError(f"{self.folder} is not an assignment: it has no master.py")
        self.solution = master.read_text("utf-8") if master.exists() else None
        self.blank = blanked(self.solution) if self.solution else blank.read_text("utf-8")
        title = TITLE.search(self.blank)
        if title is None:
            raise ValueError(f"{self.folder}: expected a first line `# Assignment NUMBER: TITLE`")
        self.number, self.title = title[1], title[2]
        self.questions = [
            Question(int(n), text, int(p)) for n, text, p in QUESTION.findall(self.blank)
        ]
        self.file = header(self.blank, "file", "assignment.py")
        self.uses = set(re.split(r"[,\s]+", header(self.blank, "uses", "numpy")))
        self.minutes = int(header(self.blank, "minutes", "0"))
        self.points = sum(question.points for question in self.questions)

    @functools.cached_property
    def given(self) -> str:
        """The code of the student's copy that has no blank in it."""
        blanks = [n for n, line in enumerate(self.blank.splitlines(), 1) if BLANK in line]
        tree = ast.parse(self.blank)
        tree.body = [
            node
            for node in tree.body
            if not any(node.lineno <= n <= (node.end_lineno or 0) for n in blanks)
        ]
        return ast.unparse(tree)

    def reference(self, hidden: bool) -> ModuleType:
        """The solution, or the given functions alone: visible tests may not use the solution."""
        module = ModuleType("reference")
        source = self.solution if hidden and self.solution else self.blank
        sys.modules[module.__name__] = module
        exec(compile(source, str(self.folder / "master.py"), "exec"), module.__dict__)
        return module

    def tests(self, hidden: bool) -> str:
        """The source of the visible or of the hidden tests."""
        path = self.folder / ("hidden.py" if hidden else "visible.py")
        return path.read_text("utf-8") if path.exists() else ""

    def statement(self) -> str:
        """The Markdown of all cells, one after the other."""
        texts = [text for kind, text in cells(self.blank) if kind == "markdown"]
        return "\n\n".join(texts)

    def examples(self, kind: str) -> dict[str, str]:
        """The submissions in "mistakes", "right" or "cheats": the solution, changed by a file."""
        assert self.solution is not None
        paths = sorted((self.folder / kind).glob("*.py"))
        return {path.stem: changed(self.solution, path.read_text("utf-8")) for path in paths}

    def without_functions_of(self, change: str) -> str:
        """The solution, with blanks in place of its functions and classes that `change` defines."""
        assert self.solution is not None
        ours, theirs = named(ast.parse(self.solution)), named(ast.parse(change))
        blanks = "".join(
            f"def {name}(*args, **options):\n    {BLANK}\n" for name in theirs if name in ours
        )
        return changed(self.solution, blanks or "pass")


def shipped() -> list[Assignment]:
    """The assignments that come with tinygen, in the order of a course."""
    return [Assignment(path.parent) for path in sorted(HERE.glob("[0-9]*/master.py"))]


def header(source: str, key: str, default: str) -> str:
    """The value of the line `# KEY: VALUE` before the first cell."""
    found = re.search(rf"^# {key}: (.+)$", source.partition("# %%")[0], re.MULTILINE)
    return found[1].strip() if found else default


def blanked(source: str) -> str:
    """The source with a blank in place of each solution."""
    lines: list[str] = []
    inside = 0  # the line at which the solution began
    for number, line in enumerate(source.splitlines(), 1):
        if begins := BEGIN.match(line):
            if inside:
                raise ValueError(f"line {number}: the solution of line {inside} has no end")
            inside = number
            lines.append(begins[1] + BLANK)
        elif END.match(line):
            if not inside:
                raise ValueError(f"line {number}: no solution begins before this end")
            inside = 0
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"line {inside}: the solution has no end")
    return "\n".join(lines) + "\n"


def cells(source: str) -> Iterator[tuple[str, str]]:
    """The percent cells, as ("markdown" or "code", text), without the header."""
    _, *parts = re.split(r"^# %%(.*)\n", source, flags=re.MULTILINE)
    for mark, body in zip(parts[::2], parts[1::2], strict=True):
        if "[markdown]" in mark:
            yield "markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip()
        elif body.strip():
            yield "code", body.strip("\n")


def code_of(path: Path) -> str:
    """The Python source of a submission: a file, or the code cells of a notebook."""
    try:
        text = decoded(path.read_bytes())
        if path.suffix != ".ipynb":
            return text
        codes = [c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        sources = [code if isinstance(code, str) else "".join(code) for code in codes]
    except (ValueError, KeyError, TypeError, LookupError, SyntaxError, RecursionError) as error:
        raise ValueError(f"{path.name} can't be read: {error}") from error
    return "\n\n".join(python_of(k, source) for k, source in enumerate(sources, 1)) + "\n"


def decoded(data: bytes) -> str:
    """The text of a file, by its byte-order mark or its coding comment; else UTF-8."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding)


def python_of(number: int, cell: str) -> str:
    """A notebook's cell without magic commands; if it is no Python, a line that says so."""
    if CHECK in cell:
        return ""
    for attempt in (
        cell,
        re.sub(MAGIC, r"\1pass", re.sub(TIME, r"\1", cell, flags=re.M), flags=re.M),
    ):
        try:
            ast.parse(attempt)
            return attempt
        except (SyntaxError, ValueError):
            continue
    return f"raise SyntaxError('cell {number} is not Python')"


def changed(solution: str, change: str) -> str:
    """The solution with the functions, classes and methods that `change` defines; others added."""
    lines = solution.splitlines()
    added: list[str] = []
    replacements: list[tuple[int, int, str]] = []

    def put(old: dict[str, Any], node: Any) -> None:
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        text = "\n".join(change.splitlines()[first - 1 : node.end_lineno])
        place = old.get(node.name)
        if place is None:
            added.append(text)
        else:
            start = min([place.lineno, *(d.lineno for d in place.decorator_list)])
            replacements.append((start, place.end_lineno, text))

    ours = named(ast.parse(solution))
    body = ast.parse(change).body
    for node in body[isinstance(body[0], ast.Expr) :]:  # after the docstring
        if isinstance(node, ast.Pass):
            continue
        if isinstance(node, ast.ClassDef) and isinstance(ours.get(node.name), ast.ClassDef):
            for method in named(node).values():
                if method.name not in named(ours[node.name]):
                    raise ValueError(f"{node.name} has no method {method.name} to replace")
                put(named(ours[node.name]), method)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            put(ours, node)
        else:
            added.append(ast.unparse(node))
    for start, end, text in sorted(replacements, reverse=True):
        lines[start - 1 : end] = text.splitlines()
    return "\n".join([*lines, *added]) + "\n"


def named(node: ast.Module | ast.ClassDef) -> dict[str, Any]:
    """The functions and classes that stand directly in a module or a class."""
    return {n.name: n for n in node.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}


def notebook(source: str, file: str) -> dict[str, Any]:
    """A Jupyter notebook of the student's copy, with a last cell that runs the visible tests."""
    head = source.partition("# %%")[0].strip()
    call = f'{CHECK}\n\nrun_visible("{file}");  # save it first'
    all_cells = [("code", head), *cells(source), ("code", call)]
    return {
        "cells": [
            {
                "cell_type": kind,
                "id": f"cell-{k}",
                "metadata": {},
                "source": text.splitlines(True),
                **({"execution_count": None, "outputs": []} if kind == "code" else {}),
            }
            for k, (kind, text) in enumerate(all_cells)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
