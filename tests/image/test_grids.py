"""Grids, rows and manifolds, read back pixel by pixel."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pictures import (
    BLUE,
    EDGE,
    EVERY,
    GAP,
    GREY,
    HEAD,
    SCALE,
    VERMILION,
    colours,
    enlarged,
    ink,
    random_images,
    read,
)

from tinygen import image

# --- grid -----------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 7),
    columns=st.integers(1, 8),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3])),
    seed=st.integers(0, 9),
    texts=st.booleans(),
)
def test_image_k_stands_in_its_row_and_column_pixel_by_pixel_and_nothing_beside_it(
    tmp_path_factory, n, columns, size, seed, texts
):
    path = tmp_path_factory.mktemp("grid") / "a.png"
    x = random_images(np.random.default_rng(seed), n, *size)
    image.grid(path, x, columns=columns, labels=[""] * n if texts else ())
    columns, head, scale = min(columns, n), HEAD if texts else 0, SCALE
    rows, (H, W, _) = -(-n // columns), size
    high, wide = head + H * scale + GAP, W * scale + GAP
    expected = np.full((rows * high - GAP + 2 * EDGE, columns * wide - GAP + 2 * EDGE, 3), 255)
    for k in range(n):
        top, left = EDGE + k // columns * high + head, EDGE + k % columns * wide
        expected[top : top + H * scale, left : left + W * scale] = enlarged(x[k], scale)
    np.testing.assert_array_equal(colours(path), expected)


def test_labels_stand_above_their_images_and_within_their_width(tmp_path):
    image.grid(
        tmp_path / "a.png", np.ones((4, 5, 5, 1)), columns=2, labels=np.array([7, 123456789, 0, 8])
    )
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


@pytest.mark.parametrize(
    ("images", "more", "said"),
    [
        (np.zeros((8, 28, 28)), {}, r"`images` .*\(8, 28, 28\); images\[..., None\]"),
        (np.zeros((8, 2, 5, 5)), {}, r"`images` .*\(8, 2, 5, 5\)"),
        (np.zeros((0, 5, 5, 1)), {}, r"`images` .*\(0, 5, 5, 1\)"),
        (GREY, {"columns": -1}, "`columns` .* -1"),
        (GREY, {"labels": [1, 2]}, "6 `labels`, got 2"),
    ],
)
def test_what_is_no_grid_is_refused(images, more, said, tmp_path):
    with pytest.raises(ValueError, match=f"grid: expected {said}"):
        image.grid(tmp_path / "a.png", images, **more)
    assert list(tmp_path.iterdir()) == []


# --- rows -----------------------------------------------------------------------------------------


def test_what_is_compared_stands_one_below_the_other_and_goes_on_below(tmp_path, rng):
    rows = {"first": random_images(rng, 5, 3, 4, 1), "2nd": random_images(rng, 5, 3, 4, 1)}
    image.compare(tmp_path / "a.png", rows, columns=2)
    picture = read(tmp_path / "a.png")
    high, wide = 26, 34
    left = picture.shape[1] - EDGE - (2 * wide - GAP)
    for r, k in itertools.product(range(2), range(5)):
        top = EDGE + k // 2 * (2 * high + 8) + r * high
        x = left + k % 2 * wide
        expected = enlarged(list(rows.values())[r][k], SCALE)[..., 0]
        np.testing.assert_array_equal(picture[top : top + 24, x : x + 32], expected)
        picture[top : top + 24, x : x + 32] = 255
    assert (picture[:, left - EDGE :] == 255).all()  # where there is no sixth image too
    names = [ink(picture[EDGE + k * high : EDGE + k * high + 24, :left]) for k in range(2)]
    assert all(len(found) > 5 and columns.max() < left - 4 for found, columns in names)
    assert names[0][1].min() < names[1][1].min()  # both end at the images


def test_a_strip_is_exact_and_its_ends_alone_are_framed(tmp_path, rng):
    x = random_images(rng, 2, 4, 3, 5, 1)
    for ends, edge in ((True, 2), (False, 0)):
        image.strip(tmp_path / "a.png", x, ends=ends)
        picture = colours(tmp_path / "a.png")
        blue = (picture == BLUE).all(axis=-1)
        high, wide = 24 + 2 * edge + 2, 40 + 2 * edge + 2
        assert picture.shape == (2 * high - 2 + 2 * EDGE, 4 * wide - 2 + 2 * EDGE, 3)
        for r, t in itertools.product(range(2), range(4)):
            top, left = EDGE + edge + r * high, EDGE + edge + t * wide
            inside = (slice(top, top + 24), slice(left, left + 40))
            around = (slice(top - 2, top + 26), slice(left - 2, left + 42))
            np.testing.assert_array_equal(picture[inside], enlarged(x[r, t], SCALE).repeat(3, -1))
            framed = ends and t in (0, 3)
            assert blue[around].sum() - blue[inside].sum() == (28 * 44 - 24 * 40) * framed
            blue[around] = False
        assert not blue.any()


def test_rows_of_a_strip_and_their_times_can_be_named(tmp_path, rng):
    x = random_images(rng, 2, 4, 9, 9, 1)
    image.strip(tmp_path / "a.png", x)
    plain = colours(tmp_path / "a.png")
    named = {"DDPM": x[0], "DDIM": x[1]}
    image.strip(tmp_path / "a.png", named, labels=[0.0, 0.5, 1, "T"])
    picture = colours(tmp_path / "a.png")
    top, left = picture.shape[0] - plain.shape[0], picture.shape[1] - plain.shape[1]
    assert top > 10 and left > 20
    tail = plain[EDGE:, EDGE:]
    np.testing.assert_array_equal(picture[EDGE + top :, EDGE + left :], tail)
    ax = Figure().subplots()
    image.strip(ax, named, labels=[0.0, 0.5, 1, "T"])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "0.5", "1", "T"]
    assert ax.get_xticks().tolist() == [37.5 + 78 * t for t in range(4)]  # the centres of the tiles
    assert ax.xaxis.get_ticks_position() == "top"


def test_names_stand_beside_the_middles_of_their_rows():
    def places(draw, **more):
        ax = Figure().subplots()
        draw(ax, {"up": GREY, "down": GREY}, **more)
        names = [text.get_text() for text in ax.get_yticklabels()]
        return list(zip(names, ax.get_yticks().tolist(), strict=True))

    high = SCALE * 5 + GAP
    band = 2 * high + 8
    expected = [
        (n, b * band + r * high + 19.5) for b in range(3) for r, n in enumerate(("up", "down"))
    ]
    assert places(image.compare, columns=2) == expected
    assert places(image.strip) == [("up", 21.5), ("down", 21.5 + 44 + GAP)]


@pytest.mark.parametrize(
    ("draw", "rows", "error", "said"),
    [
        (image.compare, GREY, TypeError, "compare: expected a dict .* ndarray"),
        (image.compare, {}, TypeError, "compare: expected a dict"),
        (image.compare, {"a": GREY, "b": GREY[:2]}, ValueError, "shape"),
        (image.compare, {"b": GREY[0]}, ValueError, r"compare: expected `b` .* \(5, 4, 1\)"),
        (image.strip, GREY, ValueError, r"strip: expected `0` .* \(5, 4, 1\)"),
    ],
)
def test_what_makes_no_rows_is_refused(draw, rows, error, said):
    with pytest.raises(error, match=said):
        draw("a.png", rows)


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_manifold_is_decoded_at_equal_shares_of_the_gaussian(side, tmp_path):
    seen = []

    def decode(z):
        seen.append(z)
        shares = [[(1 + math.erf(v / math.sqrt(2))) / 2 for v in row] for row in z.tolist()]
        return np.array([np.full((5, 5, 3), [right, up, 0.0]) for right, up in shares])

    image.manifold(tmp_path / "a.png", decode, side=side)
    assert [(z.dtype, z.shape) for z in seen] == [(np.float32, (side**2, 2))]
    picture = colours(tmp_path / "a.png")
    left = picture.shape[1] - EDGE - 40 * side
    for row, column in itertools.product(range(side), range(side)):
        right, up = (column + 0.5) / side, 1 - (row + 0.5) / side
        y, x = EDGE + 40 * row, left + 40 * column
        tile = picture[y : y + 40, x : x + 40]
        assert abs(tile - 255 * np.array([right, up, 0])).max() <= 0.501
    assert len(ink(picture[:, : left - 1])[0]) and len(ink(picture[EDGE + 40 * side + 1 :])[0])
    ax = Figure().subplots()
    image.manifold(ax, decode, side=side)
    for axis, sign in ((ax.xaxis, 1), (ax.yaxis, -1)):  # rows are counted from above
        places = sign * axis.get_ticklocs()
        names = [float(text.get_text().replace("−", "-")) for text in axis.get_ticklabels()]
        assert names == sorted(names) and len(names) == len(places) and (np.diff(places) > 0).all()


def test_quantiles_are_symmetric_and_those_of_the_gaussian():
    q = image.grids.quantiles(4)
    np.testing.assert_allclose(q, [-1.150349, -0.318639, 0.318639, 1.150349], atol=1e-6)


@pytest.mark.parametrize(
    ("decode", "side", "said"),
    [
        (lambda z: np.zeros((3, 2, 2, 1)), 4, "`decode` to give 16 images, got 3"),
        (lambda z: np.zeros((len(z), 4)), 4, r"`decode\(z\)` .* \(16, 4\)"),
        (None, 0, "`side` .* 0"),
    ],
)
def test_a_decoder_that_gives_no_images_is_refused(decode, side, said):
    with pytest.raises(ValueError, match=f"manifold: expected {said}"):
        image.manifold("a.png", decode, side=side)


# --- all functions --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grid", "compare", "strip", "manifold"])
def test_the_texts_of_a_picture_in_an_axes_are_set_there_as_large_as_its_pixels(name):
    ax = Figure(figsize=(4, 4)).add_axes((0, 0, 1, 1))
    more = {"grid": {"labels": range(6)}, "strip": {"labels": range(3)}}.get(name, {})
    EVERY[name](ax, **more)
    height, width, _ = ax.images[0].get_array().shape
    texts = [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels()]
    size = pytest.approx(min(9, max(6, 13 * 4 * 72 / max(width, height))))
    assert texts and all(text.get_fontsize() == size for text in texts)


def test_values_beyond_black_and_white_are_clipped_and_bytes_taken_as_they_are(tmp_path):
    x = np.array([-3, 0, 0.5 / 255, 0.49 / 255, 1, 1.01, 1e30]).reshape(1, 1, 7, 1)
    image.grid(tmp_path / "a.png", x)
    assert read(tmp_path / "a.png")[EDGE, EDGE:-EDGE:SCALE].tolist() == [0, 0, 1, 0, 255, 255, 255]
    image.grid(tmp_path / "b.png", np.arange(7, dtype=np.uint8).reshape(1, 1, 7, 1))
    assert read(tmp_path / "b.png")[EDGE, EDGE:-EDGE:SCALE].tolist() == [0, 1, 2, 3, 4, 5, 6]
    image.grid(tmp_path / "c.png", np.array([True, False]).reshape(1, 1, 2, 1))
    assert read(tmp_path / "c.png")[EDGE, EDGE:-EDGE:SCALE].tolist() == [255, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_finite_is_vermilion_and_counted_above(channels, tmp_path):
    x = np.zeros((1, 2, 2, channels), np.float32)
    x[0, 0, 1, 0], x[0, 1, 0, -1] = np.nan, np.inf
    image.grid(tmp_path / "a.png", x)
    low = colours(tmp_path / "a.png")[-EDGE - 2 * SCALE : -EDGE : SCALE]
    middle = low[:, (low != 255).any(axis=(0, 2))][:, ::SCALE].tolist()
    assert middle == [[[0, 0, 0], VERMILION], [VERMILION, [0, 0, 0]]]
    for images, title in ((x, "T\n2 values not finite (vermilion)"), (np.zeros_like(x), "T")):
        ax = Figure().subplots()
        image.grid(ax, images, title="T")
        assert ax.get_title() == title


def test_a_title_stands_above_is_broken_where_it_is_wide_and_moves_nothing(tmp_path):
    image.grid(tmp_path / "plain.png", GREY, columns=6)
    plain = read(tmp_path / "plain.png")
    tops = []
    for title in ("One", "One two three four five six seven eight"):
        image.grid(tmp_path / "a.png", GREY, columns=6, title=title)
        picture = read(tmp_path / "a.png")
        assert picture.shape[1] == plain.shape[1]
        tops.append(picture.shape[0] - plain.shape[0])
        np.testing.assert_array_equal(picture[tops[-1] + EDGE :], plain[EDGE:])
        rows, columns = ink(picture[: tops[-1] + EDGE])
        assert rows.min() > 0 and rows.max() - rows.min() > tops[-1] - 20
        assert abs((columns.min() + columns.max()) / 2 - picture.shape[1] / 2) < 4
    assert tops[1] > tops[0] > 0
    image.grid(tmp_path / "a.png", GREY[:1], title="Incomprehensibilities")
    _, columns = ink(read(tmp_path / "a.png")[:26])
    assert columns.min() >= EDGE - 1
    assert columns.max() < read(tmp_path / "a.png").shape[1] - EDGE + 1
