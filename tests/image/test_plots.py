"""Pictures, read back pixel by pixel; and curves, by what was put into the axes."""

import contextlib
import itertools
import math
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

import tinygen as tg
from tinygen import image
from tinygen.image import distributions, layout, plots, style

EDGE, GAP, HEAD = 6, 2, 18  # white around, between tiles; a line of labels
VERMILION, BLUE, INK = ([round(255 * v) for v in to_rgb(c)] for c in ("#D55E00", "#0072B2", "#333"))


def read(path):
    """The picture's pixels, as they are stored: (height, width), or (height, width, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture).copy()


def colours(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).copy()


def frames_of(path):
    with Image.open(path) as film:
        found = [(np.asarray(f.convert("RGB")), f.info["duration"])
                 for f in ImageSequence.Iterator(film)]  # fmt: skip
        return [f for f, _ in found], [d for _, d in found], film.info["loop"]


def random_images(rng, *shape):
    return rng.uniform(size=shape).astype(np.float32)


def enlarged(x, scale):
    """An image as bytes, each pixel a square, by a loop."""
    height, width, channels = x.shape
    large = np.zeros((height * scale, width * scale, channels), int)
    for i, j in itertools.product(range(height * scale), range(width * scale)):
        for c in range(channels):
            large[i, j, c] = math.floor(float(x[i // scale, j // scale, c]) * 255 + 0.5)
    return large


def gaussian(p):
    return np.exp(-(np.asarray(p) ** 2).sum(axis=1) / 2) / (2 * np.pi)


GREY = np.linspace(0, 1, 6 * 5 * 4, dtype=np.float32).reshape(6, 5, 4, 1)
CLOUD = np.random.default_rng(1).normal(size=(40, 2))
EVERY = {
    "grid": lambda where, **more: image.grid(where, GREY, **more),
    "compare": lambda where, **more: image.compare(where, {"a": GREY, "b": 1 - GREY}, **more),
    "strip": lambda where, **more: image.strip(where, GREY.reshape(2, 3, 5, 4, 1), **more),
    "manifold": lambda where, **more: image.manifold(
        where, lambda z: np.full((len(z), 3, 3, 1), 0.5), side=4, **more
    ),
    "curves": lambda where, **more: image.curves(where, {"a": [3.0, 2.0, 1.5]}, **more),
    "histogram": lambda where, **more: image.histogram(where, CLOUD, **more),
    "points": lambda where, **more: image.points(where, CLOUD, truth=CLOUD + 1, **more),
    "density": lambda where, **more: image.density(where, gaussian, CLOUD, **more),
    "plane": lambda where, **more: image.plane(where, CLOUD, np.arange(40) % 3, **more),
}
each_picture = pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
PIXELS = ("grid", "compare", "strip", "manifold")


def message(error, draw, *arguments, **more):
    with pytest.raises(error) as caught:
        draw(*arguments, **more)
    return str(caught.value)


# --- what all pictures share ----------------------------------------------------------------------


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

    monkeypatch.setattr(Image.Image, "save", fail)
    monkeypatch.setattr(Figure, "savefig", fail)
    before = dict(matplotlib.rcParams)
    with pytest.raises(ZeroDivisionError):
        draw(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", EVERY)
def test_where_a_picture_goes_is_a_path_to_a_png_or_an_axes(name, tmp_path):
    assert message(ValueError, EVERY[name], "folder/a.jpg") == (
        f"{name}: expected a path that ends in .png, got folder/a.jpg"
    )
    assert message(TypeError, EVERY[name], 3) == f"{name}: expected a path or an Axes, got int"


def test_no_window_is_ever_made_and_the_package_alone_loads_no_matplotlib(python):
    code = (
        "import sys, tinygen; early = 'matplotlib' in sys.modules\n"
        "from tinygen import image\n"
        "image.curves('a.png', {'a': [1., 2.]}); image.grid('b.png', [[[[.5]]]], title='b')\n"
        "print(early, 'matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    assert python(code) == "False True False"


def test_every_public_name_exists_and_says_what_it_does():
    assert image.__all__ == sorted(image.__all__, key=lambda name: (name[0].islower(), name))
    assert [name for name in image.__all__ if not getattr(image, name).__doc__] == []


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


# --- grid -----------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 7), columns=st.integers(1, 8), scale=st.integers(1, 3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3])),
    seed=st.integers(0, 9), texts=st.booleans(),
)  # fmt: skip
def test_image_k_stands_in_its_row_and_column_pixel_by_pixel_and_nothing_beside_it(
    tmp_path_factory, n, columns, scale, size, seed, texts
):
    path = tmp_path_factory.mktemp("grid") / "a.png"
    x = random_images(np.random.default_rng(seed), n, *size)
    image.grid(path, x, columns=columns, scale=scale, labels=[""] * n if texts else None)
    columns, head = min(columns, n), HEAD if texts else 0
    rows, (H, W, _) = -(-n // columns), size
    high, wide = head + H * scale + GAP, W * scale + GAP
    expected = np.full((rows * high - GAP + 2 * EDGE, columns * wide - GAP + 2 * EDGE, 3), 255)
    for k in range(n):
        top, left = EDGE + k // columns * high + head, EDGE + k % columns * wide
        expected[top : top + H * scale, left : left + W * scale] = enlarged(x[k], scale)
    np.testing.assert_array_equal(colours(path), expected)


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


def ink(picture):
    """Rows and columns of the picture where it is not white."""
    dark = picture.reshape(*picture.shape[:2], -1).min(axis=-1) < 255
    return np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))


def test_labels_stand_above_their_images_and_within_their_width(tmp_path):
    image.grid(tmp_path / "a.png", np.ones((4, 20, 20, 1)), columns=2, scale=2,
               labels=np.array([7, 123456789, 0, 8]))  # fmt: skip
    picture = read(tmp_path / "a.png")
    wide, high = 42, HEAD + 42
    for k in range(4):
        top, left = EDGE + k // 2 * high, EDGE + k % 2 * wide
        strip = picture[top : top + HEAD, left : left + 40]
        rows, columns = ink(strip)
        assert len(rows) > 5 and rows.min() >= 1 and rows.max() <= HEAD - 2
        assert abs((columns.min() + columns.max()) / 2 - 19.5) <= 1.5
    picture[:, EDGE : EDGE + 40] = 255
    picture[:, EDGE + 42 : EDGE + 82] = 255
    assert (picture == 255).all()  # nothing between the columns


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


@pytest.mark.parametrize(
    ("n", "size", "columns", "scale"),
    [(100, 28, 10, 2), (10, 28, 4, 6), (1, 3, 1, 8), (9, 999, 3, 1)],
)
def test_columns_are_the_root_and_the_picture_as_wide_as_a_page_unless_said(
    n, size, columns, scale, tmp_path
):
    image.grid(tmp_path / "a.png", np.zeros((n, 1, size, 1)))
    assert read(tmp_path / "a.png").shape[1] == columns * (size * scale + GAP) - GAP + 2 * EDGE
    ax = Figure().subplots()  # half as wide
    image.grid(ax, np.zeros((n, 1, size, 1)))
    small = {2: 1, 6: 3}.get(scale, scale)
    assert ax.images[0].get_array().shape[1] == columns * (size * small + GAP) - GAP


SHAPE = "expected `images` (N, H, W, C) with C = 1 or 3 and none of them 0, got "


@pytest.mark.parametrize(
    ("images", "more", "error", "said"),
    [
        (np.zeros((8, 28, 28)), {}, ValueError, SHAPE + "(8, 28, 28); images[..., None] adds the "
         "channel"),
        (np.zeros((28, 28, 3)), {}, ValueError, SHAPE + "(28, 28, 3)"),
        (np.zeros((8, 2, 5, 5)), {}, ValueError, SHAPE + "(8, 2, 5, 5)"),
        (np.zeros((0, 5, 5, 1)), {}, ValueError, SHAPE + "(0, 5, 5, 1)"),
        (np.zeros((1, 5, 5, 1), complex), {}, TypeError,
         "expected `images` to hold numbers, got dtype complex128"),
        (GREY, {"columns": 0}, ValueError, "expected `columns` to be an int ≥ 1, got 0"),
        (GREY, {"columns": 2.0}, ValueError, "expected `columns` to be an int ≥ 1, got 2.0"),
        (GREY, {"scale": 0}, ValueError, "expected `scale` to be an int ≥ 1, got 0"),
        (GREY, {"scale": True}, ValueError, "expected `scale` to be an int ≥ 1, got True"),
        (GREY, {"labels": [1, 2]}, ValueError, "expected 6 `labels`, got 2"),
        (GREY, {"labels": "sixsix"}, TypeError, "expected `labels` to be a sequence of 6, got str"),
    ],
)  # fmt: skip
def test_what_is_no_grid_is_refused(images, more, error, said, tmp_path):
    assert message(error, image.grid, tmp_path / "a.png", images, **more) == f"grid: {said}"
    assert list(tmp_path.iterdir()) == []


# --- rows -----------------------------------------------------------------------------------------


def test_what_is_compared_stands_one_below_the_other_and_goes_on_below(tmp_path, rng):
    rows = {"first": random_images(rng, 5, 3, 4, 1), "2nd": random_images(rng, 5, 3, 4, 1)}
    image.compare(tmp_path / "a.png", rows, columns=2, scale=5)
    picture = read(tmp_path / "a.png")
    high, wide = 17, 22
    left = picture.shape[1] - EDGE - (2 * wide - GAP)
    for r, k in itertools.product(range(2), range(5)):
        top = EDGE + k // 2 * (2 * high - GAP + 8) + r * high
        x = left + k % 2 * wide
        expected = enlarged(list(rows.values())[r][k], 5)[..., 0]
        np.testing.assert_array_equal(picture[top : top + 15, x : x + 20], expected)
        picture[top : top + 15, x : x + 20] = 255
    assert (picture[:, left - EDGE :] == 255).all()  # where there is no sixth image too
    names = [ink(picture[EDGE + k * high : EDGE + k * high + 15, :left]) for k in range(2)]
    assert all(len(found) > 5 and columns.max() < left - 4 for found, columns in names)
    assert names[0][1].min() < names[1][1].min()  # both end at the images


def test_a_strip_is_exact_and_its_ends_alone_are_framed(tmp_path, rng):
    x = random_images(rng, 2, 4, 3, 5, 1)
    for ends, gap in ((True, 6), (False, 2)):
        image.strip(tmp_path / "a.png", x, scale=2, ends=ends)
        picture = colours(tmp_path / "a.png")
        blue = (picture == BLUE).all(axis=-1)
        for r, t in itertools.product(range(2), range(4)):
            top, left = EDGE + 2 + r * (6 + gap), EDGE + 2 + t * (10 + gap)
            inside = (slice(top, top + 6), slice(left, left + 10))
            around = (slice(top - 2, top + 8), slice(left - 2, left + 12))
            np.testing.assert_array_equal(picture[inside], enlarged(x[r, t], 2).repeat(3, -1))
            framed = ends and t in (0, 3)
            assert blue[around].sum() - blue[inside].sum() == (10 * 14 - 60) * framed
            blue[around] = False
        assert not blue.any()
    assert picture.shape == (2 * 8 - 2 + 4 + 2 * EDGE, 4 * 12 - 2 + 4 + 2 * EDGE, 3)


def test_rows_of_a_strip_and_their_times_can_be_named(tmp_path, rng):
    x = random_images(rng, 2, 4, 9, 9, 1)
    image.strip(tmp_path / "a.png", x, scale=4)
    plain = colours(tmp_path / "a.png")
    named = {"DDPM": x[0], "DDIM": x[1]}
    image.strip(tmp_path / "a.png", named, scale=4, labels=[0.0, 0.5, 1, "T"])
    picture = colours(tmp_path / "a.png")
    top, left = picture.shape[0] - plain.shape[0], picture.shape[1] - plain.shape[1]
    assert top == HEAD and left > 20
    tail = plain[EDGE:, EDGE:]
    np.testing.assert_array_equal(picture[EDGE + top :, EDGE + left :], tail)
    for r in range(2):
        rows, _ = ink(picture[EDGE + top + r * 42 : EDGE + top + r * 42 + 40, : left + EDGE - 2])
        assert abs((rows.min() + rows.max()) / 2 - 19.5) < 4
    for t in range(4):
        start = EDGE + left + 2 + t * 42
        rows, columns = ink(picture[: EDGE + top, start : start + 36])
        assert len(rows) and abs((columns.min() + columns.max()) / 2 - 17.5) <= 2


def test_names_stand_beside_the_middles_of_their_rows():
    def places(draw, *arguments, **more):
        ax = Figure().subplots()
        draw(ax, *arguments, scale=4, **more)
        return [(text.get_text(), text.get_position()[1] + 0.5) for text in ax.texts]

    high, rows = 4 * 5 + GAP, {"up": GREY, "down": GREY}
    band = 2 * high - GAP + 8
    expected = [(n, b * band + r * high + 10) for b in range(3) for r, n in enumerate(rows)]
    assert places(image.compare, rows, columns=2) == expected
    high = 4 * 5 + 6
    assert places(image.strip, rows) == [("up", GAP + 10), ("down", GAP + high + 10)]
    assert places(image.strip, rows, labels=range(6))[:2] == [
        ("up", HEAD + GAP + 10), ("down", HEAD + GAP + high + 10)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("draw", "rows", "error", "said"),
    [
        (image.compare, GREY, TypeError,
         "compare: expected a dict from names to images, got ndarray"),
        (image.compare, {}, ValueError, "compare: expected rows of images, got none"),
        (image.compare, {"a": GREY, "b": GREY[:2]}, ValueError,
         "compare: expected as many images of one size in each row, got `a` (6, 5, 4), "
         "`b` (2, 5, 4)"),
        (image.compare, {"b": GREY[0]}, ValueError,
         "compare: expected `b` (N, H, W, C) with C = 1 or 3 and none of them 0, got (5, 4, 1)"),
        (image.strip, GREY, ValueError, "strip: expected `rows` (R, T, H, W, C), got (6, 5, 4, 1)"),
    ],
)  # fmt: skip
def test_what_makes_no_rows_is_refused(draw, rows, error, said):
    assert message(error, draw, "a.png", rows) == said


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_manifold_is_decoded_at_equal_shares_of_the_gaussian(side, tmp_path):
    seen = []

    def decode(z):
        seen.append(z)
        shares = [[(1 + math.erf(v / math.sqrt(2))) / 2 for v in row] for row in z.tolist()]
        return np.array([[[[right, up, 0.0]]] for right, up in shares])

    image.manifold(tmp_path / "a.png", decode, side=side, batch=3, scale=4)
    assert [len(z) for z in seen[:-1]] == [3] * (len(seen) - 1)
    assert all(z.dtype == np.float32 and z.shape[1] == 2 for z in seen)
    assert sum(map(len, seen)) == side**2
    picture = colours(tmp_path / "a.png")
    left = picture.shape[1] - EDGE - 4 * side
    for row, column in itertools.product(range(side), range(side)):
        right, up = (column + 0.5) / side, 1 - (row + 0.5) / side
        y, x = EDGE + 4 * row, left + 4 * column
        tile = picture[y : y + 4, x : x + 4]
        assert abs(tile - 255 * np.array([right, up, 0])).max() <= 0.501
    assert len(ink(picture[:, : left - 1])[0]) and len(ink(picture[EDGE + 4 * side + 1 :])[0])


def test_quantiles_are_symmetric_and_those_of_the_gaussian():
    q = image.grids.quantiles(4)
    np.testing.assert_allclose(q, [-1.150349, -0.318639, 0.318639, 1.150349], atol=1e-6)


@pytest.mark.parametrize(
    ("decode", "more", "said"),
    [
        (lambda z: np.zeros((3, 2, 2, 1)), {}, "expected `decode` to give an image for each row of "
         "z (16, 2), all of one size, got (3, 2, 2, 3)"),
        (lambda z: np.zeros((len(z), 2, len(z), 1)), {"batch": 9}, "expected `decode` to give an "
         "image for each row of z (7, 2), all of one size, got (7, 2, 7, 3)"),
        (lambda z: np.zeros((len(z), 4)), {}, "expected `decode(z)` (N, H, W, C) with C = 1 or 3 "
         "and none of them 0, got (16, 4)"),
        (None, {"side": 0}, "expected `side` to be an int ≥ 1, got 0"),
        (None, {"batch": 0}, "expected `batch` to be an int ≥ 1, got 0"),
    ],
)  # fmt: skip
def test_a_decoder_that_gives_no_images_is_refused(decode, more, said):
    more = {"side": 4} | more
    assert message(ValueError, image.manifold, "a.png", decode, **more) == f"manifold: {said}"


# --- curves ---------------------------------------------------------------------------------------


def lines_of(series, **more):
    """The axes, and its lines' (x, y) in the order drawn."""
    ax = Figure().subplots()
    image.curves(ax, series, **more)
    return ax, [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in ax.lines]


def texts(ax):
    return [text.get_text() for text in ax.texts]


@given(st.lists(st.floats(-9, 9) | st.just(math.nan), max_size=12), st.floats(1, 20))
def test_a_smoothed_value_is_the_weighted_mean_of_all_that_are_there(values, span):
    d, expected = (span - 1) / (span + 1), []
    for t, value in enumerate(values):
        pairs = [(d ** abs(t - s), v) for s, v in enumerate(values) if not math.isnan(v)]
        if math.isnan(value):
            expected.append(value)
        else:
            expected.append(sum(w * v for w, v in pairs) / sum(w for w, _ in pairs))
    np.testing.assert_allclose(image.smoothed(values, span), expected, rtol=1e-9, atol=1e-9)


def test_smoothing_neither_lags_behind_a_slope_nor_weighs_more_than_its_span():
    line = image.smoothed(np.arange(401.0), 20)
    np.testing.assert_allclose(line[150:250], np.arange(150, 250), atol=1e-4)
    spike = np.zeros(401)
    spike[200] = 1
    assert 1 / image.smoothed(spike, 20)[200] == pytest.approx(20)


@pytest.mark.parametrize(
    ("values", "log"),
    [([1, 99.9], False), ([1, 100], True), ([0, 1000], False), ([-1, 1000], False), ([], False),
     ([5], False), ([1e-9, 1e-6, 1e-7], True)],
)  # fmt: skip
def test_an_axis_is_logarithmic_where_all_is_positive_and_a_hundredfold(values, log):
    assert plots.spans_decades(np.array(values, float)) is log
    if values:
        assert lines_of({"a": values})[0].get_yscale() == ("log" if log else "linear")
        for wish in (True, False):
            scale = lines_of({"a": np.abs(values) + 1}, log=wish)[0].get_yscale()
            assert scale == ("log" if wish else "linear")


def test_a_short_series_is_drawn_as_it_is_and_a_long_one_pale_under_its_mean(rng):
    _, ((x, y),) = lines_of({"a": [3.0, 1.0, 2.0]})
    assert (x.tolist(), y.tolist()) == ([0, 1, 2], [3, 1, 2])
    noise = rng.normal(size=500)
    ax, ((x, raw), (_, mean)) = lines_of({"a": (np.arange(500) * 10 + 7, noise)})
    assert x[[0, -1]].tolist() == [7, 4997]
    np.testing.assert_array_equal(raw, noise)
    np.testing.assert_allclose(mean, image.smoothed(noise, 10))
    pale, strong = ax.lines
    assert pale.get_alpha() < 0.5 and strong.get_alpha() is None
    assert pale.get_linewidth() < strong.get_linewidth() and pale.zorder < strong.zorder
    assert len(lines_of({"a": noise}, smooth=1)[1]) == 1
    for series, span in ((noise[:100], 10), (np.tile(noise, 2), 20)):
        _, (_, (_, mean)) = lines_of({"a": series})
        np.testing.assert_allclose(mean, image.smoothed(series, span))
    _, (_, (_, mean)) = lines_of({"a": noise[:50]}, smooth=7)
    np.testing.assert_allclose(mean, image.smoothed(noise[:50], 7))


def test_what_is_not_finite_leaves_a_gap_and_a_cross_at_its_step():
    ax, (line, (at, _), _) = lines_of({"a": [1.0, math.nan, 2.0, math.inf, 3.0], "b": [1.0]})
    assert np.isnan(line[1]).tolist() == [False, True, False, True, False]
    np.testing.assert_allclose(at, [1, 3], atol=0.05)
    (_, low), (_, high) = ax.bbox.get_points()
    crosses = ax.lines[1].get_transform().transform(ax.lines[1].get_xydata())
    assert (crosses[:, 1] > low).all() and (crosses[:, 1] < low + 0.05 * (high - low)).all()
    assert texts(ax) == ["a", "b", "× not finite"]
    ax, _ = lines_of({"a": [-5.0, 9.0], "lost": [math.nan]})
    assert ax.texts[1].xy == (1, 0)  # its name is at the foot
    ax, _ = lines_of({"a": [math.nan, math.nan]})
    assert texts(ax) == ["a", "× not finite"]
    ax, (line, (at, _)) = lines_of({"a": [10.0, 0.0, -1.0, 1000.0]}, log=True)
    assert np.isnan(line[1]).tolist() == [False, True, True, False]
    assert texts(ax)[-1] == "× not finite or not above 0"
    assert lines_of({"a": [0.0, -1.0]}, log=True)[0].get_ylim() == (0, 1)


def test_the_frame_holds_means_and_references_but_not_the_rarest_noise():
    noise = np.sin(np.arange(1000.0))
    noise[500] = 1e4
    ax, _ = lines_of({"a": noise, "b": [3.0]}, reference={"r": -7.0}, log=False)
    bottom, top = ax.get_ylim()
    assert bottom < -7 and image.smoothed(noise, 20).max() < top < 1e4
    ax, _ = lines_of({"a": noise}, smooth=1)
    assert ax.get_ylim()[1] > 1e4
    left, right = ax.get_xlim()
    assert -20 < left < 0 and 999 < right < 1020
    assert lines_of({"a": [5.0]})[0].get_xlim() == (-0.5, 0.5)


def test_references_are_dashed_lines_with_their_names_beside_the_series():
    ax, lines = lines_of({"loss": [1.0, 2.0]}, reference={"2 log 2": 1.386})
    assert list(lines[-1][1]) == [1.386, 1.386]
    assert ax.lines[-1].is_dashed()
    assert texts(ax) == ["loss", "2 log 2"]
    low, high = ax.get_ylim()
    places = [text.xy for text in ax.texts]
    assert places == [(1, pytest.approx((y - low) / (high - low))) for y in (2, 1.386)]


def test_names_stand_at_the_ends_of_lines_on_a_logarithmic_axis_too():
    ax, _ = lines_of({"a": [1.0, 10.0], "b": [1.0, 1000.0], "c": [1.0, 1.0]})
    heights = [text.xy[1] for text in ax.texts]
    assert heights[0] == pytest.approx((heights[1] + 2 * heights[2]) / 3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.floats(0, 0.3), st.integers(0, 9))
def test_labels_move_apart_in_order_and_as_little_as_can_be(places, gap, seed):
    moved = plots.apart(places, gap)
    order = sorted(range(len(places)), key=lambda i: places[i])
    gaps = np.diff([moved[i] for i in order])
    assert (gaps >= gap - 1e-9).all()

    def cost(candidate):
        return sum((a - b) ** 2 for a, b in zip(candidate, places, strict=True))

    rng = np.random.default_rng(seed)
    for _ in range(20):  # others that are far enough apart are no nearer
        near = np.array(moved) + rng.normal(0, 0.1, len(places)) * rng.integers(0, 2, len(places))
        if (np.diff(near[order]) >= gap).all():
            assert cost(near) >= cost(moved) - 1e-9


def test_labels_that_do_not_touch_stay_and_two_that_do_part_evenly():
    assert plots.apart([0.9, 0.1, 0.5], 0.2) == [0.9, 0.1, 0.5]
    assert plots.apart([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    assert plots.apart([0.5, 0.4, 0.0], 0.2) == pytest.approx([0.55, 0.35, 0.0])


def test_a_line_of_a_hundred_thousand_keeps_its_extremes_and_few_points(rng):
    values = rng.normal(size=100_001)
    values[[7, 70_000]] = [-50, 50]
    values[30_000:40_000] = np.nan
    steps, thin = plots.envelope(np.arange(100_001), values)
    assert len(thin) == len(steps) <= 2 * plots.BUCKETS
    assert (np.nanmin(thin), np.nanmax(thin)) == (-50, 50)
    assert np.isnan(thin).any() and (np.diff(steps) >= 0).all()
    assert abs(steps[np.nanargmax(thin)] - 70_000) <= 101
    short = np.arange(3.0)
    assert plots.envelope(short, short)[1] is short
    _, drawn = lines_of({"a": values})
    assert sum(len(x) for x, _ in drawn[:2]) <= 4 * plots.BUCKETS


@pytest.mark.parametrize(
    ("series", "more", "error", "said"),
    [
        ([1.0], {}, TypeError, "expected `series` to be a dict from names to values, got list"),
        ({}, {}, ValueError, "expected `series`, got none"),
        ({"a": []}, {}, ValueError, "`a` has no values"),
        ({"a": np.ones((2, 2))}, {}, ValueError, "expected `a` to be values (n,) or a tuple of "
         "steps (n,) and values (n,), got (4,) and (2, 2)"),
        ({"a": ([1, 2], [1.0])}, {}, ValueError, "expected `a` to be values (n,) or a tuple of "
         "steps (n,) and values (n,), got (2,) and (1,)"),
        ({"a": [1.0]}, {"smooth": 0}, ValueError, "expected `smooth` ≥ 1, got 0"),
        ({"a": [1.0]}, {"smooth": "9"}, ValueError, "expected `smooth` ≥ 1, got '9'"),
    ],
)  # fmt: skip
def test_what_is_no_series_is_refused(series, more, error, said):
    assert message(error, image.curves, "a.png", series, **more) == f"curves: {said}"


# --- a run's log ----------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are made."""
    figures, canvas = [], style.canvas

    def keep(*size):
        figures.append(canvas(*size))
        return figures[-1]

    monkeypatch.setattr(style, "canvas", keep)
    return figures


LOG = """step,epoch,seconds,loss,kl,norm,held out
1,0.1,0.5,100,20,0.5,
2,0.2,0.9,90,nan,0.4,95
3,0.3,1.4,80,22,0.3,
4,0.4,1.9,8"""


def test_a_log_is_drawn_in_panels_for_numbers_of_one_size(tmp_path, drawn):
    (tmp_path / "log.csv").write_text(LOG)
    image.curves_of(tmp_path / "a.png", tmp_path / "log.csv", title="Run")
    first, second = drawn[0].axes
    assert texts(first) == ["loss", "kl", "held out", "× not finite"]
    data = [(list(line.get_xdata()), list(line.get_ydata())) for line in first.lines]
    assert data[0] == ([1, 2, 3], [100, 90, 80])
    assert data[-1] == ([2], [95])
    assert (first.get_ylabel(), second.get_ylabel(), texts(second)) == ("", "norm", [])
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "step")
    assert drawn[0].get_suptitle() == "Run"
    assert read(tmp_path / "a.png").size
    ax = Figure().subplots()
    image.curves_of(ax, tmp_path / "log.csv", names=["kl", "loss"])
    assert texts(ax)[:2] == ["kl", "loss"]
    assert message(ValueError, image.curves_of, ax, tmp_path / "log.csv") == (
        "curves_of: 2 panels need a path, not one Axes"
    )


def test_what_never_changes_in_a_log_is_a_dashed_line(tmp_path, drawn):
    rows = [f"{step},0,0,{value},0.7,30" for step, value in enumerate([1.5, 1.2, 0.9], 1)]
    text = "\n".join(["step,epoch,seconds,loss,at rest,clip", *rows])
    (tmp_path / "log.csv").write_text(text)
    image.curves_of(tmp_path / "a.png", tmp_path / "log.csv")
    first, second = drawn[0].axes
    loss, level = first.lines
    assert (loss.get_linestyle(), level.get_linestyle()) == ("-", "--")
    assert set(level.get_ydata()) == {0.7} and texts(first) == ["loss", "at rest"]
    # alone in its panel it is a line like any other
    (clip,) = second.lines
    assert (clip.get_linestyle(), list(clip.get_ydata())) == ("-", [30, 30, 30])


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("epoch,loss\n1,2\n", None, "expected a first line `step,…` in {path}, got `epoch,loss`"),
        ("", None, "expected a first line `step,…` in {path}, got ``"),
        ("step,loss\n", None, "{path} has no values yet"),
        ("step,loss\n1,two\n", None, "expected numbers in {path}, got `two` for `loss`"),
        ("step,loss,kl\n1,2,3\n", ["fid"], "expected names among loss, kl, got fid"),
        ("step,epoch\n1,2\n", None, "expected names among , got none"),
    ],
)
def test_what_is_no_log_is_refused(text, names, said, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(text)
    assert message(ValueError, image.curves_of, "a.png", path, names=names) == (
        "curves_of: " + said.format(path=path)
    )


# --- distributions --------------------------------------------------------------------------------


def test_bins_are_freedmans_and_diaconis(rng):
    x = rng.normal(size=1000)
    a, b = np.sort(x)[[249, 749]]
    edges = distributions.bins([x])
    width = 2 * (b - a) / 10
    assert edges[[0, -1]].tolist() == [x.min(), x.max()]
    assert len(edges) - 1 == pytest.approx((x.max() - x.min()) / width, abs=1.5)
    narrow = distributions.bins([x, x[:1000] / 4])
    assert len(narrow) == pytest.approx(4 * len(edges), rel=0.1)
    assert len(distributions.bins([np.append(x, 1e6)])) == 201
    assert distributions.bins([np.full(5, 3.0)])[[0, -1]].tolist() == [2.5, 3.5]
    assert len(distributions.bins([np.arange(4.0)])) == 11


def test_a_histogram_counts_alone_and_is_a_density_beside_another(rng):
    x = np.append(rng.normal(size=(20, 25)), math.nan)
    ax = Figure().subplots()
    image.histogram(ax, x, xlabel="z, nats")
    counts, edges, _ = ax.patches[0].get_data()
    assert counts.sum() == 500 and ax.get_ylabel() == "count" and ax.get_xlabel() == "z, nats"
    assert texts(ax) == ["1 not finite"]
    for values, expected in (
        ({"a": x, "b": x[:90]}, None), (x, np.ones_like),
        ({"a": x, "b": x[:90]}, lambda at: at * 0 + 2),
    ):  # fmt: skip
        ax = Figure().subplots()
        image.histogram(ax, values, expected=expected)
        for patch in ax.patches:
            heights, edges, _ = patch.get_data()
            assert (heights * np.diff(edges)).sum() == pytest.approx(1)
        assert ax.get_ylabel() == "density"
    assert set(ax.lines[0].get_ydata()) == {2}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "expected"]


def test_panels_of_points_have_the_same_axes_and_hold_every_point(tmp_path, drawn):
    sets = {"first": CLOUD, "second": 2 * CLOUD + 5, "third": CLOUD[:1]}
    image.points(tmp_path / "a.png", sets, truth=CLOUD - 9)
    axes = drawn[0].axes
    assert [ax.get_title() for ax in axes] == list(sets)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in axes}) == 1
    every = np.concatenate([*sets.values(), CLOUD - 9])
    (left, right), (bottom, top) = axes[0].get_xlim(), axes[0].get_ylim()
    assert left < every[:, 0].min() and every[:, 0].max() < right
    assert bottom < every[:, 1].min() and every[:, 1].max() < top
    for ax, x in zip(axes, sets.values(), strict=True):
        behind, front = ax.collections
        np.testing.assert_array_equal(behind.get_offsets(), CLOUD - 9)
        np.testing.assert_array_equal(front.get_offsets(), x)
        assert ax.get_aspect() == 1


def test_points_that_are_not_finite_are_counted():
    ax, broken = Figure().subplots(), CLOUD.copy()
    broken[3, 1], broken[5] = math.nan, math.inf
    image.points(ax, broken)
    assert texts(ax) == ["2 not finite"]
    ax = Figure().subplots()
    image.plane(ax, broken, np.arange(40) % 2)
    assert texts(ax)[-1] == "2 not finite" and np.isfinite([t.xy for t in ax.texts]).all()


def test_a_density_lies_where_the_function_says_and_rows_go_upwards():
    seen = []

    def f(p):
        seen.append(p)
        return p[:, 0] + 10 * p[:, 1] + 100

    ax = Figure().subplots()
    image.density(ax, f, extent=(0, 3, -6, 0))
    (p,) = seen
    side = math.isqrt(len(p))
    np.testing.assert_allclose(p[[0, 1, side, -1]] * side, [
        [1.5, -6 * side + 3], [4.5, -6 * side + 3], [1.5, -6 * side + 9], [3 * side - 1.5, -3]
    ])  # fmt: skip
    (shown,) = ax.images
    assert shown.origin == "lower" and tuple(shown.get_extent()) == (0, 3, -6, 0)
    np.testing.assert_array_equal(shown.get_array().ravel(), f(p))
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 3), (-6, 0))
    ax = Figure().subplots()
    image.density(ax, np.array([[1.0, 2.0], [3.0, 4.0]]), CLOUD)
    assert ax.images[0].get_array().tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(ax.collections[-1].get_offsets(), CLOUD)


@pytest.mark.parametrize("mass", [0.5, 0.9, 0.99])
def test_the_contour_of_a_gaussian_that_holds_a_mass_is_where_it_should_be(mass):
    x = np.linspace(-5, 5, 400)
    heights = np.exp(-(x**2 + x[:, None] ** 2) / 2)
    # P(r > R) = exp(−R²/2), which is the height at R itself
    assert distributions.holding(heights, mass) == pytest.approx(1 - mass, rel=0.02)
    assert distributions.holding(np.ones((3, 3)), mass) == 1


def test_classes_have_their_colours_and_their_names_at_their_medians():
    labels = np.arange(40) % 4
    labels[labels == 3] = 9
    ax = Figure().subplots()
    image.plane(ax, CLOUD, labels, names="abcdefghij")
    cloud = ax.collections[0]
    found = {tuple(p): tuple(c[:3]) for p, c in
             zip(cloud.get_offsets().tolist(), cloud.get_facecolors(), strict=True)}  # fmt: skip
    assert len(found) == 40
    for point, label in zip(CLOUD, labels, strict=True):
        assert found[tuple(point)] == pytest.approx(to_rgb(style.COLOURS[label]))
    at = {text.get_text(): text.xy for text in ax.texts}
    assert list(at) == ["a", "b", "c", "j"]
    np.testing.assert_allclose(at["j"], np.median(CLOUD[labels == 9], axis=0))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c", "j"]


def test_the_ten_colours_are_different():
    assert len({to_rgb(colour) for colour in style.COLOURS}) == 10


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda w: image.histogram(w, {}), "histogram: expected `values`, got none"),
        (lambda w: image.histogram(w, [math.nan]), "histogram: `values` has no finite value"),
        (lambda w: image.histogram(w, {"a": []}), "histogram: `a` has no finite value"),
        (lambda w: image.points(w, {}), "points: expected sets of points, got none"),
        (lambda w: image.points(w, np.ones((3, 3))),
         "points: expected `sets` (n, 2) with n ≥ 1, got (3, 3)"),
        (lambda w: image.points(w, {"a": CLOUD[:0]}),
         "points: expected `a` (n, 2) with n ≥ 1, got (0, 2)"),
        (lambda w: image.points(w, np.full((2, 2), math.nan)), "points: no point is finite"),
        (lambda w: image.points(w, CLOUD, extent=(1, 0, 0, 1)),
         "points: expected `extent` (left, right, bottom, top), got (1, 0, 0, 1)"),
        (lambda w: image.density(w, gaussian),
         "density: expected `extent`, (left, right, bottom, top), or samples"),
        (lambda w: image.density(w, lambda p: p, CLOUD),
         "density: expected `f` to give 90000 densities for as many points, got (90000, 2)"),
        (lambda w: image.density(w, np.ones(4), CLOUD),
         "density: expected `f` (rows, columns), or a function, got (4,)"),
        (lambda w: image.density(w, lambda p: -gaussian(p), CLOUD),
         "density: expected finite densities ≥ 0, not all 0; for a log-density, give its exp"),
        (lambda w: image.plane(w, CLOUD, np.arange(3)),
         "plane: expected `labels` to be 40 ints, one for each row of `z`, got int64 (3,)"),
        (lambda w: image.plane(w, CLOUD, np.arange(40)),
         "plane: expected `labels` from 0 to 9, got 0 to 39"),
        (lambda w: image.plane(w, CLOUD, np.full(40, 2), names=["a", "b"]),
         "plane: expected `names` for 3 classes, got 2"),
    ],
)  # fmt: skip
def test_what_is_no_distribution_is_refused(draw, said, tmp_path):
    assert message(ValueError, draw, tmp_path / "a.png") == said
    assert list(tmp_path.iterdir()) == []


# --- animations -----------------------------------------------------------------------------------


def test_a_grey_animation_is_exact_loops_and_holds_its_last_frame(tmp_path, rng):
    x = random_images(rng, 5, 4, 6, 7, 1)
    image.animation(tmp_path / "a.gif", x, scale=3, columns=4, fps=8, hold=1.5)
    frames, durations, loop = frames_of(tmp_path / "a.gif")
    assert (durations, loop) == ([120, 120, 120, 120, 1500], 0)
    for k, frame in enumerate(frames):
        for n in range(4):
            left = EDGE + n * 23
            tile = frame[EDGE : EDGE + 18, left : left + 21]
            np.testing.assert_array_equal(tile, enlarged(x[k, n], 3).repeat(3, axis=-1))
        line = frame[-EDGE - 1, EDGE:-EDGE, 0]  # as long as the frame is far
        assert line.size == 4 * 23 - 2
        assert (line == 0x75).sum() == math.ceil(line.size * (k + 1) / 5)
        assert (line == 0xE6).sum() == line.size - (line == 0x75).sum()


def test_the_same_animation_is_the_same_bytes_and_a_failed_one_leaves_the_old(
    tmp_path, rng, monkeypatch
):
    x = random_images(rng, 3, 2, 4, 4, 3)
    for name in "ab":
        image.animation(tmp_path / f"{name}.gif", x, texts=["0", "1", "2"], title="Same")
    old = (tmp_path / "a.gif").read_bytes()
    assert old == (tmp_path / "b.gif").read_bytes()

    def fail(self, file, *args, **more):
        file.write(b"half")
        raise ZeroDivisionError

    monkeypatch.setattr(Image.Image, "save", fail)
    with contextlib.suppress(ZeroDivisionError):
        image.animation(tmp_path / "a.gif", x)
    assert (tmp_path / "a.gif").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "b.gif"]


def test_colours_do_not_flicker_and_come_close(tmp_path, rng):
    x = random_images(rng, 4, 6, 8, 8, 3)
    x[:, 2] = x[0, 2]  # one image stays
    image.animation(tmp_path / "a.gif", x, scale=4, columns=3)
    frames, _, _ = frames_of(tmp_path / "a.gif")
    still = [frame[EDGE : EDGE + 32, EDGE + 68 : EDGE + 100] for frame in frames]
    assert all((each == still[0]).all() for each in still)
    error = np.abs(still[0].astype(float) - enlarged(x[0, 2], 4))
    assert error.mean() < 20
    assert all((frame[:EDGE] == 255).all() and (frame[:, :EDGE] == 255).all() for frame in frames)


def test_a_pattern_keeps_a_colours_mean_and_leaves_greys_alone():
    from tinygen.image import animations

    flat = np.zeros((8, 8, 3), np.uint8) + np.array([100, 50, 200], np.uint8)
    dithered = animations._dithered(flat)
    assert dithered.reshape(-1, 3).mean(axis=0) == pytest.approx([100, 50, 200], abs=0.6)
    assert 4 < dithered[..., 0].std() < 12
    grey = np.full((8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(animations._dithered(grey), grey)


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_frames_may_be_single_pictures(kind, tmp_path, rng):
    pictures = [(rng.uniform(size=(5, 9, 3)) * (255 if kind == np.uint8 else 1)).astype(kind)
                for _ in range(2)]  # fmt: skip
    image.animation(tmp_path / "a.gif", iter(pictures), scale=2)
    frames, _, _ = frames_of(tmp_path / "a.gif")
    assert len(frames) == 2 and frames[0].shape == (10 + 4 + 2 * EDGE, 18 + 2 * EDGE, 3)


def test_a_text_stands_in_the_lower_corner_under_the_images(tmp_path):
    image.animation(tmp_path / "a.gif", np.ones((2, 1, 30, 90, 1)), scale=1, texts=["", "step 9"])
    bare, named = frames_of(tmp_path / "a.gif")[0]
    rows, columns = ink(np.where(bare == named, 255, 0)[: -EDGE - 2])
    assert rows.min() >= EDGE + 30 and EDGE <= columns.min() < EDGE + 4 and columns.max() < 60


def film_of(count, most, first=0, film=None):
    film = image.Animation(most, scale=1) if film is None else film
    for k in range(first, count):
        film.append(np.full((1, 2, 2, 1), k, np.uint8), f"step {k}")
    return film


@given(st.integers(1, 60), st.integers(2, 9))
def test_a_full_film_keeps_evenly_spaced_frames_with_the_first_and_the_latest(count, most):
    kept = [int(text.split()[1]) for text in film_of(count, most).state_dict()["texts"].tolist()]
    every = 1
    while len(range(0, count, every)) > most:
        every *= 2
    expected = [*range(0, count, every)]
    assert kept == expected + [count - 1] * (expected[-1] != count - 1)
    assert len(film_of(count, most)) == len(kept) <= most + 1


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 6))
def test_a_film_that_was_saved_and_resumed_is_the_one_that_never_stopped(before, after, most):
    state = film_of(before, most).state_dict()
    resumed = image.Animation(most, scale=1)
    resumed.load_state_dict(state)
    film_of(before + after, most, before, resumed)
    whole = film_of(before + after, most).state_dict()
    for name, array in resumed.state_dict().items():
        np.testing.assert_array_equal(array, whole[name])


def test_a_film_goes_through_a_file_without_pickle_and_draws_the_same(tmp_path, rng):
    film = image.Animation(4)
    for k, x in enumerate(random_images(rng, 6, 2, 3, 3, 3)):
        film.append(tg.Tensor(x), f"β {k}")
    np.savez(tmp_path / "film.npz", **film.state_dict())
    other = image.Animation(4)
    with np.load(tmp_path / "film.npz", allow_pickle=False) as state:
        other.load_state_dict(state)
    film.save(tmp_path / "a.gif")
    other.save(tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    shorter = image.Animation(2)
    shorter.load_state_dict(film.state_dict())
    assert shorter.state_dict()["texts"].tolist() == ["β 0", "β 4", "β 5"]


def test_frames_are_kept_as_bytes_of_their_own_one_for_each_grey_pixel():
    film, x = image.Animation(3), np.zeros((4, 28, 28, 1), np.float32)
    film.append(x)
    x += 1
    film.append(x)
    state = film.state_dict()
    assert state["frames"].dtype == np.uint8 and state["frames"].shape == (2, 4, 28, 28, 1)
    assert state["frames"].max(axis=(1, 2, 3, 4)).tolist() == [0, 255]
    assert sum(sys.getsizeof(f.base if f.base is not None else f) for f, _ in film._kept) < 8000


@pytest.mark.parametrize(
    ("act", "error", "said"),
    [
        (lambda f: image.Animation(1), ValueError,
         "Animation: expected `most` to be an int ≥ 2, got 1"),
        (lambda f: f.append(np.zeros((2, 4, 4, 1))), ValueError,
         "Animation.append: expected `frame` (1, 2, 2, 3) as the first was, got (2, 4, 4, 3)"),
        (lambda f: f.append(np.zeros((4, 4))), ValueError,
         "Animation.append: expected `frame` (N, H, W, C) with C = 1 or 3 and none of them 0, got "
         "(4, 4)"),
        (lambda f: f.save("a.png"), ValueError,
         "Animation.save: expected a path that ends in .gif, got a.png"),
        (lambda f: f.save(Figure().subplots()), TypeError,
         "Animation.save: expected a path, got Axes"),
        (lambda f: f.save("a.gif", fps=0), ValueError,
         "Animation.save: expected 0 < `fps` ≤ 50, got 0"),
        (lambda f: f.save("a.gif", hold=-1), ValueError,
         "Animation.save: expected 0 ≤ `hold` ≤ 600 seconds, got -1"),
        (lambda f: image.Animation().save("a.gif"), ValueError,
         "Animation.save: expected frames, got none; append some first"),
        (lambda f: f.load_state_dict({"seen": 1}), ValueError,
         "Animation.load_state_dict: expected every, frames, kept, seen, texts, got seen"),
        (lambda f: f.load_state_dict(f.state_dict() | {"texts": np.array(["a"])}), ValueError,
         "Animation.load_state_dict: expected 3 uint8 `frames` (F, N, H, W, C) and a text for "
         "each, got uint8 (3, 1, 2, 2, 1) and (1,)"),
        (lambda f: image.animation("a.gif", [GREY], texts=[]), ValueError,
         "animation: expected 1 `texts`, got 0"),
    ],
)  # fmt: skip
def test_what_can_not_be_animated_is_refused_and_changes_nothing(act, error, said):
    film = film_of(3, 4)
    assert message(error, act, film) == said
    assert len(film) == 3


def test_panels_of_a_log_reach_from_the_first_step_of_any_column_to_the_last(tmp_path, monkeypatch):
    rows = [f"{k},{k / 100},0.1,{100.0 + k % 3},{0.5 if k >= 90 else ''}" for k in range(1, 101)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["step,epoch,seconds,loss,sigma", *rows]) + "\n")
    seen = []
    draw = plots.panels

    @contextlib.contextmanager
    def watched(*arguments, **more):
        with draw(*arguments, **more) as axes:
            yield axes
            seen.extend(ax.get_xlim() for ax in axes)

    monkeypatch.setattr(plots, "panels", watched)
    image.curves_of(tmp_path / "curves.png", log)
    assert len(seen) == 2 and all(left <= 1 and right >= 100 for left, right in seen)
