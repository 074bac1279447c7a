"""The figures behind pictures that are written to files."""

import pytest

from tinygen.image import style


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are made."""
    figures, canvas = [], style.canvas

    def keep(*size):
        figures.append(canvas(*size))
        return figures[-1]

    monkeypatch.setattr(style, "canvas", keep)
    return figures
