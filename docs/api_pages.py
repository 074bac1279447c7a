"""A page for each package with its public names: signature, docstring, line in the source."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from make_reference import CHAPTERS, NOTES, ROOT, names, packages, page_title


def write(folder: Path, host: str) -> None:
    folder.mkdir()
    listed = []
    for package, files in packages():
        title, chapters = CHAPTERS[package]
        links = ", ".join(f"[{page_title(chapter)}](../{chapter}.md)" for chapter in chapters)
        parts = [f"# {title}\n\nExplained in {links}.\n"]
        for file in files:
            if found := names(package, file):
                where = f"{host}/tinygen/{package}/{file}.py"
                parts.append(f"## {package}.{file}\n\n[source]({where}){{.source}}\n")
                parts += [entry(path, value, host) for path, value in found]
        (folder / f"{package}.md").write_text("\n".join(parts), "utf-8")
        listed.append(package)
    tree = "\n".join(listed)
    (folder / "index.md").write_text(
        f"# Signatures\n\n{SIGNATURES}\n\n```{{toctree}}\n{tree}\n```\n", "utf-8"
    )


SIGNATURES = """Every public name of each package, with its arguments and its whole docstring. The
[list of names](../reference.md) fits on one page. In equations z is the output, and a bar denotes
a cotangent: x̄ is the gradient with respect to x."""


def entry(path: str, value: Any, host: str, member: bool = False) -> str:
    """A name and what its docstring says, as a directive of Sphinx"""
    fence = "`" * (4 if member else 6)
    if inspect.isclass(value):
        kind = "class"
    elif inspect.isroutine(value):
        kind = "method" if member else "function"
    else:
        kind = "data"
    called = signature(value, skip=member) if kind != "data" else ""
    documented = kind != "data"
    text = NOTES.get(path) or (inspect.getdoc(value) if documented else "") or ""
    lines = [f"{fence}{{py:{kind}}} tinygen.{path}{called}", "", markdown(text), ""]
    if source := line_of(value, host):
        lines[2:2] = [f"[source]({source}){{.source}}", ""]
    if kind == "class":
        lines += [
            entry(f"{path}.{name}", member, host, member=True)
            for name, member in vars(value).items()
            if not name.startswith("_") and inspect.isfunction(member) and member.__doc__
        ]
    return "\n".join([*lines, fence, ""])


def signature(value: Any, *, skip: bool) -> str:
    """The arguments as they stand in the source, for a class those of `__init__`"""
    if inspect.isclass(value):
        value, skip = value.__init__ if inspect.isfunction(value.__init__) else value, True
    try:
        function = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
        arguments = function.args
    except (AttributeError, TypeError, OSError, SyntaxError):
        return plain_signature(value)  # made by a table, a NamedTuple, an exception
    if skip:
        first = arguments.posonlyargs or arguments.args
        del first[0]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"({ast.unparse(arguments)})" + returns * (function.name != "__init__")


def plain_signature(value: Any) -> str:
    """The arguments without their types, which Python shows with full paths"""
    try:
        found = inspect.signature(value)
    except ValueError:
        return ""
    parameters = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    shown = str(found.replace(parameters=parameters, return_annotation=found.empty))
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", shown)


def line_of(value: Any, host: str) -> str:
    """The address of a definition's lines"""
    try:
        file = Path(inspect.getsourcefile(value) or "").resolve().relative_to(ROOT)
        lines, first = inspect.getsourcelines(value)
    except (TypeError, OSError, ValueError):
        return ""
    return f"{host}/{file.as_posix()}#L{first}-L{first + len(lines) - 1}"


def markdown(docstring: str) -> str:
    """A docstring as Markdown: indented lines are code, `...` too, and nothing else is markup"""
    parts = []
    for block in re.split(r"\n{2,}", docstring):
        if block.startswith("    "):
            parts.append("```text\n" + inspect.cleandoc("\n" + block) + "\n```")
        else:
            pieces = re.split(r"(`[^`]*`)", block)
            parts.append(
                "".join(
                    piece if piece.startswith("`") else re.sub(r"([*_$<>|\[\]\\])", r"\\\1", piece)
                    for piece in pieces
                )
            )
    return "\n\n".join(parts)


def with_links(reference: str) -> str:
    """The list of names, each linked to its entry"""
    return re.sub(
        r"^\| `([\w.]+)` \|", r"| {py:obj}`\1 <tinygen.\1>` |", reference, flags=re.MULTILINE
    )
