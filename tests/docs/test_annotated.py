"""The pages that show the source beside its docstrings leave nothing out and add nothing."""

import html
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import annotated  # noqa: E402

FILES = [f"{package}/{file}.py" for package, files in annotated.FILES.items() for file in files]
EXAMPLE = '''"""What it is."""

import math

TAU = 2 * math.pi

# --- shapes -----


class Circle:
    """r > 0

        A = π r²

    in the plane
    """

    def __init__(self, r):
        self.r = r

    def area(self):
        """A"""
        # half of τ
        return TAU / 2 * self.r**2


# no longer needed
class Square:
    pass
'''


def test_a_block_has_a_definition_with_its_notes():
    found = [(b.name, [n.text for n in b.notes], b.code) for b in annotated.blocks(EXAMPLE)]
    assert found == [
        ("", ["What it is."], [3]),
        ("TAU", [], [5]),
        ("", ["shapes"], []),
        ("Circle", ["r > 0\n\n    A = π r²\n\nin the plane"], [10, 17, 18, 19]),
        ("Circle.area", ["A"], [21]),
        ("", ["half of τ"], [24]),
        ("Square", ["no longer needed"], [28, 29]),
    ]


@pytest.mark.parametrize("file", FILES)
def test_every_line_of_a_file_is_in_one_block(file):
    lines = (ROOT / "tinygen" / file).read_text("utf-8").splitlines()
    found = []
    for block in annotated.blocks("\n".join(lines)):
        found += block.code + [n for note in block.notes for n in range(note.first, note.last + 1)]
    assert len(found) == len(set(found))
    assert not any(lines[n - 1].strip() for n in {*range(1, len(lines) + 1)} - {*found})


@pytest.mark.parametrize("file", FILES)
def test_the_code_on_a_page_is_that_of_the_file(file):
    source = (ROOT / "tinygen" / file).read_text("utf-8")
    page = annotated.page(file, source, "https://host")
    shown = re.findall(r'</div>\n<section class="highlight"><pre>(.*?)</pre>', page, re.DOTALL)
    code = html.unescape(re.sub(r"<[^>]+>", "", "\n".join(shown)))
    wanted = [b.code for b in annotated.blocks(source)[1:]]
    lines = source.splitlines()
    assert code == "\n".join("\n".join(lines[n - 1] for n in block) for block in wanted if block)
    for first, last in re.findall(r"#L(\d+)-L(\d+)", page):
        assert 0 < int(first) <= int(last) <= len(lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x_t and ᾱ_t", "<p>x<sub>t</sub> and ᾱ<sub>t</sub></p>"),
        ("max_D log_var x_{t−1}", "<p>max<sub>D</sub> log_var x<sub>t−1</sub></p>"),
        ("a `x_t < 1` *word*", "<p>a <code>x_t &lt; 1</code> <em>word</em></p>"),
    ],
)
def test_a_note_is_typeset(text, shown):
    assert annotated.html(text) == shown
