"""Build the book as a website: the pages of docs/, every public name, and the sources.

    pip install -e ".[docs]"
    python docs/build.py                open site/index.html afterwards

No network is needed. The pages stay as they are; a copy of each is adapted to Sphinx: captions
join their figures, and links to files outside docs/ lead to the code host, at this commit. Every
warning of Sphinx is an error, a link without a target among them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import annotated
import api_pages
import make_notebooks
from addresses import ROOT, commit, project_url
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

DOCS = Path(__file__).resolve().parent
FENCE = re.compile(r"^ *(`{3,}).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
SETTINGS = {
    "project": "tinygen",
    "copyright": "the tinygen authors",
    "extensions": [
        "myst_parser",
        "sphinx.ext.mathjax",
        "sphinx-mathjax-offline",
        "sphinx_copybutton",
        "sphinxext.opengraph",
    ],
    "myst_enable_extensions": ["attrs_inline", "colon_fence", "dollarmath", "html_image"],
    "myst_fence_as_directive": ["math"],
    "myst_heading_anchors": 4,
    "html_theme": "furo",
    "html_title": "tinygen",
    "html_static_path": ["_static"],
    "html_css_files": ["site.css", "annotated.css"],
    "html_js_files": ["site.js"],
    "html_copy_source": False,
    "html_show_sphinx": False,
    "language": "en",
    "copybutton_exclude": ".linenos, .gp, .go",
    "add_module_names": False,
    "toc_object_entries": False,
    "ogp_social_cards": {"enable": False},
    "ogp_image": "_images/text_to_image.png",
    "ogp_image_alt": "Captions, and pictures that a model drew of them",
}


# --- from the code host's Markdown to Sphinx's ----------------------------------------------------


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """`change` applied to all but the fenced blocks"""
    parts, at = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(text[at:])])


def adapt(text: str, page: Path, host: str) -> str:
    """A page's Markdown, for Sphinx; `host` is the address of the project's files"""

    def prose(part: str) -> str:
        part = re.sub(r"\A(# .*\n\n)\[Index\]\(index\.md\)(.|\n)*?\n\n", r"\1", part)
        part = re.sub(  # a caption is the italic paragraph below a picture
            r"^!\[((?:[^\]]|\n)*?)\]\((figures/[^)]+)\)\n\n?\*(Figure (?:.|\n)*?)\*\n(?=\n|\Z)",
            lambda m: f":::{{figure}} {m[2]}\n:alt: {m[1]}\n\n{m[3]}\n:::\n",
            part,
            flags=re.MULTILINE,
        )
        part = re.sub(r'^- <a id="([\w-]+)"></a>', r"(\1)=\n", part, flags=re.MULTILINE)
        return re.sub(r"(?<=\]\()[^)\s]+(?=\))", lambda m: link(m[0], page, host), part)

    return re.sub(r"^(```python) raises=\w+$", r"\1", outside_fences(text, prose), flags=re.M)


def link(target: str, page: Path, host: str) -> str:
    """A link's target: as it is within docs/, else at the code host"""
    path, sharp, anchor = target.partition("#")
    if path == "bibliography.md" and anchor:
        return sharp + anchor
    if not path or ":" in path:
        return target
    file = (page.parent / path).resolve()
    if file.suffix in (".md", ".png", ".gif") and file.is_relative_to(DOCS):
        return target
    return f"{host}/{file.relative_to(ROOT).as_posix()}{sharp}{anchor}"


def contents(index: str) -> str:
    """The tree of contents, in the order of the tables of index.md"""
    trees: dict[str, list[str]] = {}
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        body, _, rest = body.partition("\nFor reference:")
        for caption, links in ((title, body), ("Reference", rest)):
            pages = re.findall(r"\]\((\w+)\.md\)", FENCE.sub("", links))
            seen = {page for tree in trees.values() for page in tree}
            if new := [page for page in dict.fromkeys(pages) if page not in seen]:
                trees.setdefault(caption, []).extend(new)
    trees["Reference"] += ["api/index", "annotated/index"]
    return "\n".join(
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
        for caption, pages in trees.items()
    )


def write_sources(folder: Path, host: str) -> None:
    """The pages that Sphinx reads"""
    for part in ("figures", "_static"):
        shutil.copytree(DOCS / part, folder / part)
    shutil.copytree(DOCS / "interactive", folder / "_static" / "interactive")
    notebooks = make_notebooks.pages()
    for page in DOCS.glob("*.md"):
        text = adapt(page.read_text("utf-8"), page, host)
        if page in notebooks:
            title, _, rest = text.partition("\n")
            text = f"{title}\n\n{NOTEBOOK.format(page.stem, COLAB)}{rest}"
        if page.stem == "index":
            text += "\n" + contents(page.read_text("utf-8"))
        if page.stem == "interactive":
            text += SCRIPTS
        if page.stem == "reference":
            text = api_pages.with_links(text)
        (folder / page.name).write_text(text, "utf-8")
    api_pages.write(folder / "api", host)
    annotated.write(folder / "annotated", host)
    (folder / "404.md").write_text(NOT_FOUND, "utf-8")


SCRIPTS = "".join(  # after the page, whose parts they look for
    f'\n<script src="_static/interactive/{name}.js"></script>'
    for name in ("data", "mathematics", "controls", "play")
)
NOTEBOOK = """```{{raw}} html
<p class="notebook"><a href="notebooks/{0}.ipynb" download>Download as a notebook</a> ·
<a href="{1}/{0}.ipynb">Open in Colab</a></p>
```
"""
# the workflow `site` publishes the notebooks on a branch, because Colab opens files of the host
COLAB = project_url("Source").replace("//github.com/", "//colab.research.google.com/github/")
COLAB += "/blob/notebooks"

NOT_FOUND = """---
orphan: true
---

# There is no such page

The [contents](index.md) list all pages; the search field finds words in them.
"""


# --- the site -------------------------------------------------------------------------------------


def build(site: Path) -> None:
    source, documentation = project_url("Source"), project_url("Documentation")
    settings = {
        **SETTINGS,
        "release": metadata.version("tinygen"),
        "html_baseurl": f"{documentation}/",
        "ogp_site_url": f"{documentation}/",
    }
    with tempfile.TemporaryDirectory() as folder, docutils_namespace():
        here = Path(folder)
        write_sources(here / "pages", f"{source}/blob/{commit()}")
        app = Sphinx(
            here / "pages",
            None,
            here / "site",
            here / "doctrees",
            "html",
            confoverrides=settings,
            status=None,
            warningiserror=True,
            exception_on_warning=False,
        )
        app.build()
        if app.statuscode:
            sys.exit("the site was not built, because of the warnings above")
        make_notebooks.write(here / "site" / "notebooks", make_notebooks.pages())
        # the host shows 404.html at any depth, so its links start at the site's root
        missing = here / "site" / "404.html"
        base = f'<head>\n<base href="{documentation}/">'
        missing.write_text(missing.read_text("utf-8").replace("<head>", base, 1), "utf-8")
        shutil.rmtree(site, ignore_errors=True)
        shutil.move(here / "site", site)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="default: site/")
    site = parser.parse_args().out
    build(site)
    pages = sum(1 for _ in site.glob("**/*.html"))
    print(f"{pages} pages: open {site / 'index.html'}")


if __name__ == "__main__":
    main()
