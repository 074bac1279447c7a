"""Write each page of docs/ that has Python code as a Jupyter notebook.

    python docs/make_notebooks.py                       all pages, to docs/notebooks/
    python docs/make_notebooks.py vae flow --out .      two of them, to this folder

Each ```python block is a cell, and the ```text block after it is that cell's output. The first code
cell installs tinygen where it is missing. Links and pictures have whole addresses.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from addresses import ROOT, commit, project_url

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^ *(`{3,})([^\n`]*)\n(.*?)^ *\1 *$\n?", re.MULTILINE | re.DOTALL)
INSTALL = """import importlib.util

if importlib.util.find_spec("tinygen") is None:
    %pip install --quiet "tinygen @ git+{}@{}\""""


def pages() -> list[Path]:
    """The pages with Python code"""
    return [p for p in sorted(DOCS.glob("*.md")) if "```python" in p.read_text("utf-8")]


def notebook(page: Path, text: str) -> dict[str, Any]:
    """The text of a page in Jupyter's format 4.5"""
    source, site = project_url("Source"), project_url("Documentation")
    title, text = text.split("\n", 1)
    about = f"*From [the book of tinygen]({site}/{page.stem}.html), as a notebook.*"
    cells = [("markdown", f"{title}\n\n{about}", {}), code(INSTALL.format(source, commit()))]
    prose, at, last = "", 0, None  # `last`: the code cell that has no output yet
    for block in BLOCK.finditer(text):
        prose += whole_links(text[at : block.start()], page)
        at = block.end()
        kind, _, option = block[2].strip().partition(" ")
        content = textwrap.dedent(block[3]).rstrip("\n")
        if kind == "python":
            hidden = text.count("<details>", 0, at) > text.count("</details>", 0, at)
            last = code(content, option.removeprefix("raises="), hidden)
            cells += [("markdown", prose, {}), last]
            prose = ""
        elif kind == "text" and last:
            last[2]["outputs"], last = [output(content, last[2]["metadata"])], None
        else:
            prose += f"$$\n{content}\n$$\n" if kind == "math" else block[0]
    cells.append(("markdown", prose + whole_links(text[at:], page), {}))
    return {
        "cells": [
            {"cell_type": kind, "id": f"{page.stem}-{k}", "metadata": {}, "source": text, **more}
            for k, (kind, text, more) in enumerate(
                (kind, text.strip("\n"), more) for kind, text, more in cells if text.strip()
            )
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


Cell = tuple[str, str, dict[str, Any]]  # kind, text, and what else Jupyter's format has


def code(text: str, raises: str = "", hidden: bool = False) -> Cell:
    """A cell that raises this error, if any; the solution of an exercise is `hidden`"""
    metadata: dict[str, Any] = {"tags": ["raises-exception"]} if raises else {}
    if hidden:
        metadata["jupyter"] = {"source_hidden": True}
    return "code", text, {"execution_count": None, "metadata": metadata, "outputs": []}


def output(text: str, metadata: dict[str, Any]) -> dict[str, Any]:
    """What a cell prints, or the error that it raises"""
    if "tags" not in metadata:
        return {"name": "stdout", "output_type": "stream", "text": f"{text}\n"}
    name, _, message = text.partition(": ")
    lines = text.splitlines()
    return {"ename": name, "evalue": message, "output_type": "error", "traceback": lines}


def whole_links(prose: str, page: Path) -> str:
    """Markdown whose links lead to the site or the code host, without folded parts"""

    def whole(found: re.Match[str]) -> str:
        path, sharp, anchor = found[0].partition("#")
        if ":" in path:
            return found[0]
        file = (page.parent / path).resolve() if path else page
        if file.parent == DOCS and file.suffix == ".md":
            return f"{project_url('Documentation')}/{file.stem}.html{sharp}{anchor}"
        kind = "raw" if file.suffix in (".png", ".gif") else "blob"
        where = f"{project_url('Source')}/{kind}/{commit()}"
        return f"{where}/{file.relative_to(ROOT).as_posix()}{sharp}{anchor}"

    prose = re.sub(r"(?<=\]\()[^)\s]+(?=\))", whole, prose)
    prose = re.sub(r"<details>\s*<summary>(.*?)</summary>", r"**\1**", prose)
    return prose.replace("</details>", "")


def write(folder: Path, chosen: list[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for page in chosen:
        content = notebook(page, page.read_text("utf-8"))
        text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        (folder / f"{page.stem}.ipynb").write_text(text, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as vae; default: all")
    parser.add_argument("--out", type=Path, default=DOCS / "notebooks", help="output folder")
    arguments = parser.parse_args()
    known = {page.stem: page for page in pages()}
    names = [Path(name).stem for name in arguments.pages] or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no page with Python code is named {', '.join(unknown)}")
    write(arguments.out, [known[name] for name in names])
    print(f"{len(names)} notebooks in {arguments.out}")


if __name__ == "__main__":
    main()
