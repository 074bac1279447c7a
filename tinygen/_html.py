"""A table for notebooks, which display the HTML that an object's `_repr_html_` returns."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def table(rows: Iterable[Sequence[Any]], head: Sequence[Any] = ()) -> str:
    """An HTML table, with text to the left and numbers to the right."""
    lines = [_row(row, "td") for row in rows]
    return f"<table>{_row(head, 'th') if head else ''}{''.join(lines)}</table>"


def _row(cells: Sequence[Any], tag: str) -> str:
    sides = ["right" if isinstance(cell, (int, float)) else "left" for cell in cells]
    texts = [f"{c:,}" if isinstance(c, int) else escape(str(c)) for c in cells]
    both = zip(texts, sides, strict=True)
    return f"<tr>{''.join(f'<{tag} style=text-align:{s}>{t}</{tag}>' for t, s in both)}</tr>"
