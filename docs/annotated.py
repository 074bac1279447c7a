"""The core of the source side by side: docstrings and comments on the left, code on the right.

All text comes from the files: `ast` finds the docstrings, `tokenize` the comments. Each block links
to its lines at the code host.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import api_pages
from make_reference import CHAPTERS, ROOT, page_title
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

FILES = {
    "autograd": ["tensor", "graph", "conv"],
    "optim": ["optimizers"],
    "vae": ["bounds", "model"],
    "gan": ["losses", "training"],
    "flow": ["matching", "ode"],
    "diffusion": ["schedule", "model", "samplers"],
}
HEAD = """# The source, side by side

The files that hold the mathematics. Docstrings and comments are on the left, the code that they
describe on the right. In equations z is the output of an operation, and a bar denotes a cotangent:
x̄ is the gradient with respect to x.
"""


class Note(NamedTuple):
    kind: str  # docstring, comment, or section: a comment that begins a part of the file
    text: str
    first: int  # its lines, counted from 1
    last: int


class Block(NamedTuple):
    name: str  # such as `VAE.encode`, or empty
    notes: list[Note]
    code: list[int]  # the other lines


# --- the blocks of a file -------------------------------------------------------------------------


def blocks(source: str) -> list[Block]:
    """The file in blocks, from top to bottom: every line is in one, blank lines at ends excepted"""
    lines = source.splitlines()
    names, notes = {1: ""}, {}  # of blocks and of notes, by their first lines
    for first, name, docstring in definitions(ast.parse(source)):
        names[first] = name
        if docstring:
            notes[docstring.first] = docstring
    for note in comments(source):
        notes[note.first] = note
        names[note.first] = names.pop(note.last + 1, "")  # what it stands above
    found = []
    for first, after in pairwise([*sorted(names), len(lines) + 1]):
        own = [notes[n] for n in range(first, after) if n in notes]
        noted = {n for note in own for n in range(note.first, note.last + 1)}
        code = [n for n in range(first, after) if n not in noted]
        full = [n for n in code if lines[n - 1].strip()]
        code = [n for n in code if full and full[0] <= n <= full[-1]]
        found.append(Block(names[first], own, code))
    return found


def definitions(
    node: ast.Module | ast.ClassDef, owner: str = ""
) -> Iterator[tuple[int, str, Note | None]]:
    """(first line, name, docstring) of the module, and of classes, functions and methods in it

    Statements below a function or class, or below the imports, begin a block too, named by the
    variable they set. The first members of a class continue its block if they have no docstring.
    """
    if isinstance(node, ast.Module):
        yield 1, "", docstring(node)
    below, inside = isinstance(node, ast.Module), bool(owner)
    for part in node.body:
        if below and opening(part):
            continue
        defined = isinstance(part, (ast.ClassDef, ast.FunctionDef))
        if defined:
            first = min([part.lineno, *(d.lineno for d in part.decorator_list)])
            inside = inside and not ast.get_docstring(part)
            if not inside:
                yield first, owner + part.name, docstring(part)
            if isinstance(part, ast.ClassDef):
                yield from definitions(part, f"{owner}{part.name}.")
        elif below and not owner:
            targets = getattr(part, "targets", [getattr(part, "target", None)])
            name = targets[0].id if isinstance(targets[0], ast.Name) else ""
            yield part.lineno, name, None
        below = defined


def opening(part: ast.stmt) -> bool:
    """Whether it belongs to the first lines of a file: its docstring, imports, `__all__`"""
    kinds = ast.Expr, ast.Import, ast.ImportFrom, ast.If
    return isinstance(part, kinds) or ast.unparse(part).startswith("__all__")


def docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Note | None:
    text = ast.get_docstring(node)
    return text and Note("docstring", text, node.body[0].lineno, node.body[0].end_lineno)


def comments(source: str) -> Iterator[Note]:
    """Comments on lines of their own between statements; lines below each other are one"""
    depth, found = 0, []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        depth += (
            (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        )
        if token.type != tokenize.COMMENT or depth or not token.line.lstrip().startswith("#"):
            continue
        line, text = token.start[0], token.string.removeprefix("#").strip()
        if section := re.match(r"--- (.*?)[ -]*$", text):
            found.append(Note("section", section[1], line, line))
        elif found and found[-1][0] == "comment" and found[-1].last == line - 1:
            found[-1] = Note("comment", f"{found[-1].text} {text}", found[-1].first, line)
        else:
            found.append(Note("comment", text, line, line))
    yield from found


# --- as a page ------------------------------------------------------------------------------------


def page(file: str, source: str, host: str) -> str:
    """The page of a file, such as `vae/bounds.py`; `host` is the address of the project's files"""
    address, found = f"{host}/tinygen/{file}", blocks(source)
    lines = [
        "",
        *highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).split("\n"),
    ]
    names = [b.name for b in found if b.name and not re.search(r"\.|\b_", b.name)]
    inside = " · ".join(f'<a href="#{name}">{name}</a>' for name in names)
    chapters = CHAPTERS[file.partition("/")[0]][1]
    links = ", ".join(f"[{page_title(chapter)}](../{chapter}.md)" for chapter in chapters)
    parts = [f"---\nhide-toc: true\n---\n\n# {file}\n"]
    parts.append(f"Explained in {links}. [The file]({address}) at the code host.\n")
    parts.append(raw(f'<p class="names">{inside}</p>'))
    parts.append(raw(opened(found[0], lines)))
    for block in found[1:]:
        notes = list(block.notes)
        if notes and notes[0].kind == "section":
            title = notes.pop(0).text
            parts.append(f"## {title[0].upper()}{title[1:]}\n")
        if notes or block.code:
            parts.append(raw(row(block, notes, lines, address)))
    return "\n".join(parts)


def opened(block: Block, lines: list[str]) -> str:
    """The docstring of the file; its imports are folded"""
    return (
        f'<div class="opening" id="L1">\n{html(block.notes[0].text)}\n'
        f"<details><summary>Imports and public names</summary>{pre(block.code, lines)}</details>\n"
        "</div>"
    )


def row(block: Block, notes: list[Note], lines: list[str], address: str) -> str:
    """Notes and code beside each other; `lines` are those of the file as HTML"""
    numbers = [n for note in notes for n in (note.first, note.last)] + block.code
    first, last = min(numbers), max(numbers)
    shown = f"{first}–{last}" if first < last else first
    head = f'<a class="lines" href="{address}#L{first}-L{last}">{shown}</a>'
    if name := block.name:
        head = f'<a class="name" href="#{name}">{name.replace(".", ".<wbr>")}</a> {head}'
    texts = "\n".join(html(note.text) for note in notes)
    return (
        f'<div class="beside" id="{name or f"L{first}"}">\n'
        f'<div class="notes"><p class="head">{head}</p>\n{texts}</div>\n'
        f"{pre(block.code, lines)}\n</div>"
    )


def pre(code: list[int], lines: list[str]) -> str:
    shown = "\n".join(lines[n] for n in code)
    return f'<section class="highlight"><pre>{shown}</pre></section>'


def html(text: str) -> str:
    """A note as HTML: indented blocks are code or equations, and `...` is code"""
    return "\n".join(
        display(block) if block.startswith("    ") else f"<p>{inline(block)}</p>"
        for block in re.split(r"\n{2,}", text)
    )


def inline(text: str) -> str:
    parts = re.split(r"`([^`]*)`", text)
    parts[::2] = map(typeset, parts[::2])
    parts[1::2] = [f"<code>{escape(part)}</code>" for part in parts[1::2]]
    return re.sub(r"(?<![\w*])\*([a-z]+)\*(?![\w*])", r"<em>\1</em>", "".join(parts))


def typeset(text: str) -> str:
    """Prose or an equation with its subscripts lowered: `x_t`, `p_data`, `x_{t−1}`"""
    letter = r"(?<![A-Za-z0-9_.])((?!q_sample)(?:min|max|[^\W\d_])[\u0300-\u036f]?)"
    return re.sub(letter + r"_(?:\{([^}]+)\}|([A-Za-z0-9]+))", r"\1<sub>\2\3</sub>", escape(text))


def display(block: str) -> str:
    """Indented lines, highlighted if they are Python; wide gaps in equations separate columns"""
    code = "\n".join(line[4:] for line in block.splitlines())
    try:
        ast.parse(code)
    except SyntaxError:
        rows = [re.split(r" {3,}", line.strip()) for line in code.splitlines()]
        cells = ["".join(f"<span>{typeset(cell)}</span>" for cell in cells) for cells in rows]
        kind = "columns" if len(rows) > 1 else "line"
        return (
            f'<div class="equations {kind}">' + "".join(f"<div>{c}</div>" for c in cells) + "</div>"
        )
    shown = highlight(code, PythonLexer(), HtmlFormatter(nowrap=True))
    return f'<section class="highlight"><pre>{shown}</pre></section>'


def raw(text: str) -> str:
    return f"```{{raw}} html\n{text}\n```\n"


def write(folder: Path, host: str) -> None:
    """A page for each file, and the list of them, in the order of the map"""
    folder.mkdir()
    listed, tree = [], []
    for package, files in api_pages.packages():
        shown = [file for file in files if file in FILES.get(package, [])]
        if shown:
            listed.append(f"\n## {CHAPTERS[package][0]}\n")
        for file in shown:
            path = ROOT / "tinygen" / package / f"{file}.py"
            source = path.read_text("utf-8")
            (folder / f"{package}_{file}.md").write_text(
                page(f"{package}/{file}.py", source, host), "utf-8"
            )
            first = " ".join(ast.get_docstring(ast.parse(source)).split("\n\n")[0].split())
            sentence = re.split(r"(?<=\.) (?=[A-Z])", first)[0]
            listed.append(
                f"- [{package}/{file}.py]({package}_{file}.md): {api_pages.markdown(sentence)}"
            )
            tree.append(f"{package}_{file}")
    pages = "\n".join(tree)
    index = f"{HEAD}" + "\n".join(listed) + f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
    (folder / "index.md").write_text(index, "utf-8")
