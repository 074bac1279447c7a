"""The website in a real browser: no errors, rendered formulas, links, search, accessibility.

It takes the extra `docs`, Chromium, and from PyPI playwright and axe-playwright-python.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
pytest.importorskip("sphinx", reason='pip install -e ".[docs]" installs Sphinx')
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "google-chrome"])), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = {"phone": 390, "desktop": 1280}
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-sync"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("website") / "site"
    command = [sys.executable, ROOT / "docs" / "build.py", "--out", folder]
    usual = {k: v for k, v in os.environ.items() if k != "TINYGEN_BACKEND"}
    built = subprocess.run(command, env=usual, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield chromium
        chromium.close()


class Opened:
    """A page in the browser, and what went wrong with it"""

    def __init__(self, browser: Any, width: int, scheme: str = "light") -> None:
        size = {"width": width, "height": 900}
        self.tab = browser.new_page(viewport=size, color_scheme=scheme)
        self.complaints: list[str] = []
        self.tab.on("console", self.said)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", self.requested)
        self.tab.on("requestfailed", lambda r: self.complaints.append(f"no {r.url}"))

    def said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def requested(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"asks the network for {request.url}")

    def goto(self, page: Path, query: str = "") -> Any:
        self.tab.goto(page.as_uri() + query)
        self.tab.evaluate("window.MathJax?.startup?.promise")
        return self.tab


def pages_of(site: Path) -> list[Path]:
    found = sorted(site.glob("**/*.html"))
    assert len(found) > 40
    return [page for page in found if page.name != "404.html"]  # its links start at the root


# what a reader sees, except code
VISIBLE = """() => {
    const copy = document.querySelector('article').cloneNode(true);
    copy.querySelectorAll('pre, code, .sig, mjx-container, script').forEach(x => x.remove());
    return copy.textContent;
}"""
WIDE = """() => [...document.querySelectorAll('article *')]
    .filter(x => x.getBoundingClientRect().right > innerWidth + 1)
    .filter(x => { for (let p = x; p; p = p.parentElement)
        if (getComputedStyle(p).overflowX != 'visible') return false; return true; })
    .map(x => x.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_opens_without_errors_and_fits_the_screen(
    site: Path, browser: Any, width: str
) -> None:
    opened = Opened(browser, WIDTHS[width])
    for page in pages_of(site):
        tab = opened.goto(page)
        opened.complaints += [f"too wide: {html}" for html in tab.evaluate(WIDE)]
        text = tab.evaluate(VISIBLE)
        raw = re.findall(r"\$[^$\n]{1,80}\$|\\(?:frac|sqrt|bar|mathbb|mathcal|log)\b", text)
        opened.complaints += [f"not rendered: {formula}" for formula in raw]
        opened.complaints += ["formula with an error"] * tab.locator("mjx-merror").count()
        formulas = tab.locator(".math").count()
        if formulas != tab.locator(".math mjx-container").count():
            opened.complaints.append("a formula was not rendered")
        nameless = tab.locator("article img:not([alt]), article img[alt='']").count()
        opened.complaints += ["a picture without a text"] * nameless
        assert not opened.complaints, f"{page.relative_to(site)}: {opened.complaints[:5]}"


class Targets(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.links.append(value)


def test_links_lead_somewhere(site: Path) -> None:
    found = {page: Targets(page.read_text("utf-8")) for page in pages_of(site)}
    outside = set()
    for page, targets in found.items():
        for link in targets.links:
            parts = urlsplit(link)
            if parts.scheme:
                outside.add(link)
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert there.exists(), f"{page.name}: {link}"
            if parts.fragment and there in found:
                assert unquote(parts.fragment) in found[there].ids, f"{page.name}: {link}"
    files = [link for link in outside if "/blob/" in link and "//colab." not in link]
    assert len(files) > 100  # at the code host
    for link in files:
        assert (ROOT / unquote(urlsplit(link).path.split("/", 5)[5])).exists(), link


@pytest.mark.parametrize(
    ("words", "page"), [("positional embedding", "unet"), ("vjp", "autograd"), ("elbo", "vae")]
)
def test_search_finds(site: Path, browser: Any, words: str, page: str) -> None:
    opened = Opened(browser, WIDTHS["desktop"])
    tab = opened.goto(site / "search.html", "?q=" + words.replace(" ", "+"))
    tab.wait_for_selector(f"#search-results a[href^='{page}.html']")
    assert not opened.complaints


PAGES = (
    "index",
    "vae",
    "optimisers",
    "interactive",
    "api/vae",
    "reference",
    "annotated/optim_optimizers",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_no_violation(site: Path, browser: Any, page: str, scheme: str) -> None:
    tab = Opened(browser, WIDTHS["desktop"], scheme).goto(site / f"{page}.html")
    rules = ["color-contrast", "image-alt", "label", "link-name", "button-name", "html-has-lang"]
    result = axe.Axe().run(tab, options={"runOnly": {"type": "rule", "values": rules}})
    found = [
        (violation["id"], node["html"][:200], node["failureSummary"])
        for violation in result.response["violations"]
        for node in violation["nodes"]
    ]
    assert found == []


# --- the interactive page -------------------------------------------------------------------------

SLIDERS = {"diffusion": "time t", "flow": "number of steps", "valley": "learning rate"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_part_of_the_interactive_page_draws(
    site: Path, browser: Any, scheme: str, width: str
) -> None:
    opened = Opened(browser, WIDTHS[width], scheme)
    tab = opened.goto(site / "interactive.html")
    assert tab.locator(".play").count() == 4
    assert tab.locator(".play canvas").count() == 5
    assert tab.locator(".play img").count() == 0  # each picture was replaced
    for canvas in tab.locator(".play canvas").all():
        before = canvas.screenshot()
        canvas.evaluate("canvas => canvas.getContext('2d').reset()")
        assert canvas.screenshot() != before, "it was empty"
    assert not opened.complaints


@pytest.mark.parametrize(("part", "name"), SLIDERS.items())
def test_a_slider_changes_its_plane(site: Path, browser: Any, part: str, name: str) -> None:
    opened = Opened(browser, WIDTHS["desktop"])
    here = opened.goto(site / "interactive.html").locator(f"[data-play={part}]")
    canvas, slider = here.locator("canvas"), here.get_by_role("slider", name=name)
    before, value = canvas.screenshot(), here.locator("label output").first.text_content()
    slider.focus()
    slider.press("ArrowLeft")
    assert here.locator("label output").first.text_content() != value
    assert canvas.screenshot() != before
    assert not opened.complaints


@pytest.mark.parametrize("part", ["latent", "flow"])
def test_a_point_is_moved_by_pointer_and_arrow_keys(site: Path, browser: Any, part: str) -> None:
    opened = Opened(browser, WIDTHS["phone"])
    tab = opened.goto(site / "interactive.html")
    here = tab.locator(f"[data-play={part}]")
    canvas, changing = here.locator("canvas.movable"), here.locator("canvas").last
    canvas.scroll_into_view_if_needed()
    pictures = [changing.screenshot()]
    for key in ("ArrowRight", "ArrowUp"):
        canvas.press(key)
        pictures.append(changing.screenshot())
    canvas.hover(position={"x": 60, "y": 70})
    tab.mouse.down()
    pictures.append(changing.screenshot())
    canvas.hover(position={"x": 250, "y": 210})
    tab.mouse.up()
    pictures.append(changing.screenshot())
    assert len(set(pictures)) == len(pictures)
    assert not opened.complaints


def test_the_button_denoises_to_the_end(site: Path, browser: Any) -> None:
    opened = Opened(browser, WIDTHS["desktop"])
    here = opened.goto(site / "interactive.html").locator("[data-play=diffusion]")
    before = here.locator("canvas").screenshot()
    here.get_by_role("button").click()
    here.get_by_text("0", exact=True).wait_for()
    assert here.locator("canvas").screenshot() != before
    assert not opened.complaints


def test_the_interactive_page_has_pictures_without_its_script(site: Path, browser: Any) -> None:
    tab = browser.new_page(java_script_enabled=False)
    tab.goto((site / "interactive.html").as_uri())
    assert tab.locator(".play figure img").count() == 4
    assert tab.locator(".play figcaption").count() == 4


# --- one page's head ------------------------------------------------------------------------------


def test_an_unknown_address_leads_to_the_contents(site: Path) -> None:
    text = (site / "404.html").read_text("utf-8")
    base = re.search(r'<base href="(https://[^"]+/)">', text)
    assert base and text.index(base[0]) < text.index("stylesheet")
    assert 'href="index.html"' in text


def test_shared_links_show_a_picture_of_the_site(site: Path) -> None:
    text = (site / "vae.html").read_text("utf-8")
    picture = re.search(r'property="og:image" content="https://[^/]+/[^/]+/([^"]+)"', text)
    assert picture and (site / picture[1]).exists()
