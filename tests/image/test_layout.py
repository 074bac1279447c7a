"""What all pictures made of pixels share: values, colours, texts."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import EDGE, EVERY, GREY, VERMILION, colours, ink, random_images, read

from tinygen import image
from tinygen.image import layout

PIXELS = ("grid", "compare", "strip", "manifold")


@pytest.mark.parametrize("name", PIXELS)
def test_the_texts_of_a_picture_in_an_axes_are_set_there_as_large_as_its_pixels(name):
    ax = Figure(figsize=(4, 4)).add_axes((0, 0, 1, 1))
    EVERY[name](ax, **{"grid": {"labels": range(6)}, "strip": {"labels": range(3)}}.get(name, {}))
    height, width, _ = ax.images[0].get_array().shape
    assert ax.texts
    for text in ax.texts:
        x, y = text.get_position()
        assert -1 <= x <= width and -1 <= y <= height
        pixels = 15 if text.get_text() in {"z₁", "z₂"} else 13
        assert text.get_fontsize() == pytest.approx(max(6, pixels * 4 * 72 / max(width, height)))


def test_grey_images_make_a_grey_file_and_coloured_ones_a_coloured_file(tmp_path, rng):
    image.grid(tmp_path / "grey.png", GREY, title="Grey", labels=range(6))
    image.grid(tmp_path / "same.png", np.repeat(GREY, 3, axis=-1), title="Grey", labels=range(6))
    image.grid(tmp_path / "colour.png", random_images(rng, 2, 3, 3, 3))
    assert read(tmp_path / "grey.png").ndim == 2
    assert read(tmp_path / "colour.png").ndim == 3
    np.testing.assert_array_equal(read(tmp_path / "grey.png"), read(tmp_path / "same.png"))


def test_values_beyond_black_and_white_are_clipped_and_bytes_taken_as_they_are(tmp_path):
    x = np.array([-3, 0, 0.5 / 255, 0.49 / 255, 1, 1.01, 1e30]).reshape(1, 1, 7, 1)
    image.grid(tmp_path / "a.png", x, scale=1)
    assert read(tmp_path / "a.png")[EDGE, EDGE:-EDGE].tolist() == [0, 0, 1, 0, 255, 255, 255]
    image.grid(tmp_path / "b.png", np.arange(7, dtype=np.uint8).reshape(1, 1, 7, 1), scale=1)
    assert read(tmp_path / "b.png")[EDGE, EDGE:-EDGE].tolist() == [0, 1, 2, 3, 4, 5, 6]
    image.grid(tmp_path / "c.png", np.array([True, False]).reshape(1, 1, 2, 1), scale=1)
    assert read(tmp_path / "c.png")[EDGE, EDGE:-EDGE].tolist() == [255, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_finite_is_vermilion_and_counted_below(channels, tmp_path, monkeypatch):
    said, written = [], layout.written

    def listen(sheet, *texts):
        said.extend(each.text for each in texts)
        return written(sheet, *texts)

    monkeypatch.setattr(layout, "written", listen)
    x = np.zeros((1, 2, 2, channels), np.float32)
    x[0, 0, 1, 0], x[0, 1, 0, -1] = np.nan, np.inf
    image.grid(tmp_path / "a.png", x, scale=1)
    found = colours(tmp_path / "a.png")[EDGE : EDGE + 2, EDGE : EDGE + 2].tolist()
    assert found == [[[0, 0, 0], VERMILION], [VERMILION, [0, 0, 0]]]
    assert said == ["2 values not finite (vermilion)"]
    image.grid(tmp_path / "b.png", np.zeros_like(x), scale=1)
    assert len(said) == 1


def test_a_title_stands_above_is_broken_where_it_is_wide_and_moves_nothing(tmp_path):
    image.grid(tmp_path / "plain.png", GREY, scale=10, columns=6)
    plain = read(tmp_path / "plain.png")
    tops = []
    for title in ("One", "One two three four five six seven eight"):
        image.grid(tmp_path / "a.png", GREY, scale=10, columns=6, title=title)
        picture = read(tmp_path / "a.png")
        assert picture.shape[1] == plain.shape[1]
        tops.append(picture.shape[0] - plain.shape[0])
        np.testing.assert_array_equal(picture[tops[-1] + EDGE :], plain[EDGE:])
        rows, columns = ink(picture[: tops[-1] + EDGE])
        assert rows.min() > 0 and rows.max() - rows.min() > tops[-1] - 20
        assert abs((columns.min() + columns.max()) / 2 - picture.shape[1] / 2) < 4
    assert tops[1] > tops[0] > 0
    image.grid(tmp_path / "a.png", GREY[:1], scale=1, title="Incomprehensibilities")
    _, columns = ink(read(tmp_path / "a.png")[:26])
    assert columns.min() >= EDGE - 1
    assert columns.max() < read(tmp_path / "a.png").shape[1] - EDGE + 1
