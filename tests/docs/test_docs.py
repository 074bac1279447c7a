"""What README.md and docs/ say is true: their code runs, their links lead somewhere.

A page is read as its reader would type it in, top to bottom, in one fresh Python:

    ```python                     runs, without a warning
    ```python raises=ValueError   must raise exactly that
    ```text                       is what the block above it prints; `...` stands for anything.
                                  An error shows as its type and message: `ValueError: ...`

Fences with any other word, or none, are left alone. `python tests/docs/test_docs.py PAGE` checks
one page. Most pages run only with TINYGEN_THOROUGH=1, as in .ci/run. Where nbclient is installed,
pages of docs/ run as the notebooks that docs/make_notebooks.py writes, otherwise as scripts.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
JUPYTER = all(map(importlib.util.find_spec, ["nbclient", "ipykernel"]))
EVERY_DAY = ("README.md", "docs/index.md")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tinygen" / "README.md"])


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- reading a page -------------------------------------------------------------------------------


class Block(NamedTuple):
    info: str  # what stands behind the opening fence
    code: str
    line: int  # of the page, where the code begins


FENCED = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^ *(?P=fence)[`~]* *$",
    re.MULTILINE | re.DOTALL,
)


def blocks_of(text: str) -> list[Block]:
    blocks = []
    for m in FENCED.finditer(text):
        line = 1 + text.count("\n", 0, m.start("code"))
        blocks.append(Block(m["info"].strip(), textwrap.dedent(m["code"]), line))
    return blocks


def prose_of(text: str) -> str:
    """The page without its code, which may hold what looks like links and headings."""
    return re.sub(r"(`+)[^`\n].*?\1", "`code`", FENCED.sub("", text))


def anchors_of(text: str) -> set[str]:
    """What `#...` can point at: headings, as GitHub names them, and ids that were set by hand."""
    anchors = set(re.findall(r"""<a (?:id|name)=["']([^"']+)""", text))
    headings = re.findall(r"^#{1,6} +(.*?)[ #]*$", FENCED.sub("", text), re.MULTILINE)
    for heading in headings:
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link counts as its text
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", a) is not None for a in anchors)
        anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors


# --- running it -----------------------------------------------------------------------------------


Result = tuple[str, str, str]


def run(block: Block, page: str, namespace: dict[str, Any]) -> Result:
    """What a block printed, the name of what it raised or "", and the traceback."""
    printed = io.StringIO()
    code = "\n" * (block.line - 1) + block.code  # so that a traceback names the page's own lines
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(code, page, "exec"), namespace)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=printed)
        return printed.getvalue(), type(error).__name__, traceback.format_exc()
    return printed.getvalue(), "", ""


def run_as_notebook(page: Path) -> Callable[..., Result]:
    """Execute the page's notebook, and return a function that gives the results cell by cell."""
    import nbclient
    import nbformat

    sys.path.insert(0, str(ROOT / "docs"))
    from make_notebooks import notebook

    content = notebook(page, page.read_text("utf-8"))
    strict = {"cell_type": "code", "id": "strict", "source": STRICT, **NO_OUTPUT}
    content["cells"].insert(0, strict)
    cells = nbformat.reads(json.dumps(content), 4)
    nbformat.validate(cells)
    nbclient.NotebookClient(cells, timeout=300, allow_errors=True).execute()
    done = iter([cell for cell in cells.cells if cell.cell_type == "code"][2:])

    def result(block: Block, *_: Any) -> Result:
        cell = next(done)
        assert cell.source.strip() == block.code.strip(), "the notebook has another cell"
        outputs, raised, trace = "", "", ""
        for output in cell.outputs:
            if output.output_type == "error":
                raised, trace = output.ename, "\n".join(output.traceback)
                outputs += f"{raised}: {output.evalue}\n"
            elif output.get("name") == "stdout":
                outputs += output.text
        return outputs, raised, trace

    return result


STRICT = """import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="ipykernel")  # it warns of itself"""
NO_OUTPUT = {"execution_count": None, "metadata": {}, "outputs": []}


def same_output(shown: str, printed: str) -> bool:
    """Equal but for where lines are broken; `...` stands for anything."""
    parts = (re.escape(" ".join(part.split())) for part in shown.split("..."))
    return re.fullmatch(r"\s*.*?\s*".join(parts), " ".join(printed.split())) is not None


def complaints_about_code(page: Path, run: Callable[..., Result] = run) -> list[str]:
    """Run the page's blocks in order, in one namespace; all that was not as the page says."""
    complaints = []
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed: str | None = None  # by the last block, until it has been compared
    for block in blocks_of(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        language, *options = block.info.split() or [""]
        if language == "text":
            if printed is None:
                complaints.append(f"{where}: `text` is output, but of no `python` block above")
            elif not same_output(block.code, printed):
                complaints.append(f"{where}: shows\n{block.code}\nbut prints\n{printed}")
            printed = None
        elif language in ("py", "python3", "pycon"):
            complaints.append(f"{where}: `{language}` would not be run; write `python`")
        elif language == "python":
            unknown = [option for option in options if not option.startswith("raises=")]
            if unknown:
                complaints.append(f"{where}: unknown option `{unknown[0]}`")
                continue
            expected = options[0].removeprefix("raises=") if options else ""
            printed, raised, trace = run(block, str(page), namespace)
            if raised != expected:
                complaints.append(f"{where}: expected {expected or 'no error'}\n{trace}".rstrip())
    return complaints


@pytest.mark.skipif(
    os.environ.get("TINYGEN_BACKEND", "numpy") != "numpy", reason="the pages are written for NumPy"
)
@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_code_of_every_page_runs_and_prints_what_the_page_shows(
    page: Path, tmp_path: Path
) -> None:
    if page_name(page) not in EVERY_DAY and not os.environ.get("TINYGEN_THOROUGH"):
        pytest.skip("takes a second: .ci/run tries all")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    usual = {k: v for k, v in os.environ.items() if k != "TINYGEN_PLAIN"}  # they show the fast path
    answer = subprocess.run(
        [sys.executable, __file__, page],
        cwd=tmp_path,
        env={**usual, "PYTHONPATH": path, "MPLBACKEND": "Agg", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


# --- following its links --------------------------------------------------------------------------

TARGETS = [
    r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)",  # ![text](image "title")
    r"\[([^\]]*)\]\(([^)\s]+)[^)]*\)",  # [text](target "title")
    r"^ *\[([^\]]+)\]: +(\S+)",  # [text]: target
    r"""(src|href)=["']([^"']+)""",  # <img src="image">
]


def targets_of(text: str) -> list[str]:
    """Whatever the page links to or shows."""
    prose, targets = prose_of(text), []
    for pattern in TARGETS:  # images first: one may be the text of a link
        targets += [target for _, target in re.findall(pattern, prose, re.MULTILINE)]
        prose = re.sub(pattern, r"\1", prose, flags=re.MULTILINE)
    return targets


def complaints_about_links(page: Path, root: Path) -> list[str]:
    complaints = []
    for target in targets_of(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # another site
        path, _, anchor = unquote(target).partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.is_relative_to(root):
            complaints.append(f"{page.name}: {target} leads out of the project")
        elif not there.exists():
            complaints.append(f"{page.name}: {target} does not exist")
        elif anchor and there.suffix == ".md":
            if anchor not in anchors_of(there.read_text(encoding="utf-8")):
                complaints.append(f"{page.name}: {target} names no heading of {there.name}")
    return complaints


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_and_image_within_the_project_exists(page: Path) -> None:
    assert complaints_about_links(page, ROOT) == []


# --- the checks above find what they are for ------------------------------------------------------


def code_complaints(tmp_path: Path, text: str) -> list[str]:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    return complaints_about_code(page)


def test_a_page_that_keeps_its_word_passes(tmp_path: Path) -> None:
    text = """
One block continues another, and a `text` block is what was printed.

```python
x = 2
```

```python
print(x + 1)
print("and", object())
```

which prints

```text
3
and <object object at ...>
```

```python raises=ZeroDivisionError
x / 0
```

```text
ZeroDivisionError: division by zero
```

```sh
this is no Python
```

- in a list

  ```python
  if x:
      assert x == 2
  ```
"""
    assert code_complaints(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\n1 / 0\n```", "ZeroDivisionError: division by zero"),
        ("```python\nprint(1 +\n```", "SyntaxError"),
        ("```python\nprint(1)\n```\n```text\n2\n```", "page.md:5: shows\n2\n\nbut"),
        ("```python\nprint(12)\n```\n```text\n1\n```", "but prints\n12"),
        ("```python\nprint(1)\n```\n```text\n1\n2\n```", "but prints\n1"),
        ("```python raises=ValueError\n1\n```", "page.md:2: expected ValueError"),
        ("```python raises=ValueError\n1 / 0\n```", "ZeroDivisionError"),
        ("```python raise=ValueError\n1\n```", "unknown option `raise=ValueError`"),
        ("```python\nimport warnings\nwarnings.warn('old')\n```", "UserWarning: old"),
        ("```text\n1\n```", "of no `python` block above"),
        ("```py\n1\n```", "write `python`"),
    ],
)
def test_a_page_that_breaks_its_word_fails(tmp_path: Path, text: str, complaint: str) -> None:
    complaints = code_complaints(tmp_path, text)
    assert len(complaints) == 1
    assert complaint in complaints[0]


def test_a_failure_names_the_line_of_the_page(tmp_path: Path) -> None:
    (complaint,) = code_complaints(tmp_path, "a\n\n```python\nx = 1\n\n1 / 0\n```")
    assert re.search(r'page\.md", line 6', complaint)


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[a](other.md)", ""),
        ("[a](other.md#a-heading-with-code-and-)", ""),
        ("[a](other.md#twice-1)", ""),
        ("[a](#here)", ""),
        ("[a](https://example.org/gone)", ""),
        ("`[a](gone.md)`", ""),
        ("```\n[a](gone.md)\n```", ""),
        ("[a](gone.md)", "page.md: gone.md does not exist"),
        ("[a `b`](gone.md 'title')", "page.md: gone.md does not exist"),
        ("![a](gone.svg)", "page.md: gone.svg does not exist"),
        ("[![a](gone.svg)](other.md)", "page.md: gone.svg does not exist"),
        ('<img src="gone.svg">', "page.md: gone.svg does not exist"),
        ("[a]: gone.md", "page.md: gone.md does not exist"),
        ("[a](#there)", "page.md: #there names no heading of page.md"),
        ("[a](other.md#twice-2)", "page.md: other.md#twice-2 names no heading of other.md"),
        ("[a](../../page.md)", "page.md: ../../page.md leads out of the project"),
    ],
)
def test_a_broken_link_is_found_and_no_other(tmp_path: Path, link: str, complaint: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{link}\n", encoding="utf-8")
    other = "# A heading, with `code`, and ∂!\n## Twice\n## Twice\n```\n# There\n```\n"
    (tmp_path / "other.md").write_text(other, encoding="utf-8")
    assert complaints_about_links(page, tmp_path) == ([complaint] if complaint else [])


if __name__ == "__main__":
    path = Path(sys.argv[1]).resolve()
    as_notebook = (
        JUPYTER and path.parent == ROOT / "docs" and "```python" in path.read_text("utf-8")
    )
    found = complaints_about_code(path, run_as_notebook(path) if as_notebook else run)
    print("\n\n".join(found))
    sys.exit(bool(found))
