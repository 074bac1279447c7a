"""All plots: reproducible bytes, paths and axes, unchanged settings."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pictures import EVERY, GREY, texts
from PIL import Image

import tinygen as tg
from tinygen import image
from tinygen.image import style

each_picture = pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)


@each_picture
def test_the_same_picture_is_the_same_bytes_in_a_folder_that_is_made(draw, tmp_path):
    draw(tmp_path / "new" / "a.png", title="A title")
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30, "lines.marker": "s"}):
        draw(str(tmp_path / "b.png"), title="A title")
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


@each_picture
def test_the_callers_settings_are_as_before(draw, tmp_path):
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        before = dict(matplotlib.rcParams)
        draw(tmp_path / "a.png", title="A title")
        assert dict(matplotlib.rcParams) == before


@each_picture
def test_an_axes_is_drawn_in_and_nothing_is_written_or_changed(draw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, ax = dict(matplotlib.rcParams), Figure().subplots()
    ax.set_title("Mine")
    draw(ax)
    assert ax.get_title() == "Mine"
    draw(ax, title="A title")
    assert ax.get_title() == "A title"
    assert "A title" not in texts(ax)
    assert ax.has_data()
    assert dict(matplotlib.rcParams) == before
    assert list(tmp_path.iterdir()) == []


@each_picture
def test_what_fails_while_it_is_written_leaves_the_old_file(draw, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(self, file, *args, **more):
        file.write(b"half")
        raise ZeroDivisionError

    monkeypatch.setattr(Figure, "savefig", fail)
    before = dict(matplotlib.rcParams)
    with pytest.raises(ZeroDivisionError):
        draw(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", EVERY)
def test_where_a_picture_goes_is_a_path_to_a_png_or_an_axes(name, tmp_path):
    with pytest.raises(ValueError, match=rf"{name}: .* ends in \.png, got folder/a\.jpg"):
        EVERY[name]("folder/a.jpg")


@each_picture
def test_without_a_path_the_figure_is_returned_for_a_notebook(draw, tmp_path):
    figure = draw(title="A title")
    assert isinstance(figure, Figure) and list(tmp_path.iterdir()) == []
    draw(tmp_path / "a.png", title="A title")
    shown, written = (
        np.asarray(Image.open(png)) for png in (io.BytesIO(figure._repr_png_()), tmp_path / "a.png")
    )
    np.testing.assert_array_equal(shown, written)


def test_ax_is_the_axes_to_plot_in():
    axes = Figure().subplots()
    assert image.grid(np.zeros((2, 3, 3, 1)), ax=axes) is None and axes.has_data()


def test_no_window_is_ever_made_and_the_package_alone_loads_no_matplotlib(python):
    code = (
        "import sys, tinygen; early = 'matplotlib' in sys.modules\n"
        "from tinygen import image\n"
        "image.curves('a.png', {'a': [1., 2.]}); image.grid('b.png', [[[[.5]]]], title='b')\n"
        "print(early, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    assert python(code) == "False True False"


def test_tensors_and_arrays_of_other_libraries_are_brought_to_the_host(tmp_path):
    class Elsewhere:
        def get(self):
            return GREY

    image.grid(tmp_path / "array.png", GREY)
    image.grid(tmp_path / "tensor.png", tg.Tensor(GREY, requires_grad=True))
    image.grid(tmp_path / "device.png", tg.xp.asarray(GREY))
    image.grid(tmp_path / "elsewhere.png", Elsewhere())
    image.grid(tmp_path / "lists.png", GREY.tolist())
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    ax = Figure().subplots()
    image.curves(ax, {"a": tg.Tensor([1.0, 2.0]), "b": (tg.xp.arange(2), tg.xp.ones(2))})
    assert ax.lines[0].get_ydata().tolist() == [1, 2]


def test_the_ten_colours_are_different():
    assert len({to_rgb(colour) for colour in style.COLOURS}) == 10
