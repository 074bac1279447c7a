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
    GAP,
    GREY,
    HEAD,
    colours,
    enlarged,
    ink,
    message,
    random_images,
    read,
)

from tinygen import image

# --- grid -----------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 7),
    columns=st.integers(1, 8),
    scale=st.integers(1, 3),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3])),
    seed=st.integers(0, 9),
    texts=st.booleans(),
)
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


def test_labels_stand_above_their_images_and_within_their_width(tmp_path):
    image.grid(
        tmp_path / "a.png",
        np.ones((4, 20, 20, 1)),
        columns=2,
        scale=2,
        labels=np.array([7, 123456789, 0, 8]),
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


SHAPE = "expected `images` (N, H, W, C) with C = 1 or 3 and none of them 0, got "


@pytest.mark.parametrize(
    ("images", "more", "error", "said"),
    [
        (
            np.zeros((8, 28, 28)),
            {},
            ValueError,
            SHAPE + "(8, 28, 28); images[..., None] adds the channel",
        ),
        (np.zeros((28, 28, 3)), {}, ValueError, SHAPE + "(28, 28, 3)"),
        (np.zeros((8, 2, 5, 5)), {}, ValueError, SHAPE + "(8, 2, 5, 5)"),
        (np.zeros((0, 5, 5, 1)), {}, ValueError, SHAPE + "(0, 5, 5, 1)"),
        (
            np.zeros((1, 5, 5, 1), complex),
            {},
            TypeError,
            "expected `images` to hold numbers, got dtype complex128",
        ),
        (GREY, {"columns": 0}, ValueError, "expected `columns` to be an int ≥ 1, got 0"),
        (GREY, {"columns": 2.0}, ValueError, "expected `columns` to be an int ≥ 1, got 2.0"),
        (GREY, {"scale": 0}, ValueError, "expected `scale` to be an int ≥ 1, got 0"),
        (GREY, {"scale": True}, ValueError, "expected `scale` to be an int ≥ 1, got True"),
        (GREY, {"labels": [1, 2]}, ValueError, "expected 6 `labels`, got 2"),
        (GREY, {"labels": "sixsix"}, TypeError, "expected `labels` to be a sequence of 6, got str"),
    ],
)
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
        ("up", HEAD + GAP + 10),
        ("down", HEAD + GAP + high + 10),
    ]


@pytest.mark.parametrize(
    ("draw", "rows", "error", "said"),
    [
        (
            image.compare,
            GREY,
            TypeError,
            "compare: expected a dict from names to images, got ndarray",
        ),
        (image.compare, {}, ValueError, "compare: expected rows of images, got none"),
        (
            image.compare,
            {"a": GREY, "b": GREY[:2]},
            ValueError,
            "compare: expected as many images of one size in each row, got `a` (6, 5, 4), "
            "`b` (2, 5, 4)",
        ),
        (
            image.compare,
            {"b": GREY[0]},
            ValueError,
            "compare: expected `b` (N, H, W, C) with C = 1 or 3 and none of them 0, got (5, 4, 1)",
        ),
        (image.strip, GREY, ValueError, "strip: expected `rows` (R, T, H, W, C), got (6, 5, 4, 1)"),
    ],
)
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
        (
            lambda z: np.zeros((3, 2, 2, 1)),
            {},
            "expected `decode` to give an image for each row of "
            "z (16, 2), all of one size, got (3, 2, 2, 3)",
        ),
        (
            lambda z: np.zeros((len(z), 2, len(z), 1)),
            {"batch": 9},
            "expected `decode` to give an "
            "image for each row of z (7, 2), all of one size, got (7, 2, 7, 3)",
        ),
        (
            lambda z: np.zeros((len(z), 4)),
            {},
            "expected `decode(z)` (N, H, W, C) with C = 1 or 3 and none of them 0, got (16, 4)",
        ),
        (None, {"side": 0}, "expected `side` to be an int ≥ 1, got 0"),
        (None, {"batch": 0}, "expected `batch` to be an int ≥ 1, got 0"),
    ],
)
def test_a_decoder_that_gives_no_images_is_refused(decode, more, said):
    more = {"side": 4} | more
    assert message(ValueError, image.manifold, "a.png", decode, **more) == f"manifold: {said}"
