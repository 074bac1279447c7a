"""The figures behind the files that are written."""

import pytest

from tinygen.image import style


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    figures, canvas = [], style.canvas

    def keep(*size):
        figures.append(canvas(*size))
        return figures[-1]

    monkeypatch.setattr(style, "canvas", keep)
    return figures
