"""Signed distances against naive ones and closed forms, and properties of the images."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.autograd import backend
from tinygen.data import shapes
from tinygen.data import synthetic_shapes as drawing
from tinygen.data.synthetic_shapes import SHAPES

NAMES = ["disc", "ring", "square", "triangle", "star", "cross", "heart", "moon"]
LUMINANCE = [0.2126, 0.7152, 0.0722]


def lattice(reach, steps):
    """The centres of steps × steps equal squares around 0, as x and y, and their side."""
    side = 2 * reach / steps
    ticks = side * (np.arange(steps) + 0.5) - reach
    return *np.meshgrid(ticks, ticks), side


def corners_of_a_star(tips, inner):
    radius = np.where(np.arange(2 * tips) % 2, inner, 1.0)
    angle = math.pi * np.arange(2 * tips) / tips
    return [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(radius, angle, strict=True)]


def distance_to_polygon(p, corners):
    """The distance to the nearest side, and whether p is inside, by counting crossings."""
    nearest, inside = math.inf, False
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ux, uy = bx - ax, by - ay
        t = ((p[0] - ax) * ux + (p[1] - ay) * uy) / (ux * ux + uy * uy)
        t = min(max(t, 0), 1)
        nearest = min(nearest, math.dist(p, (ax + t * ux, ay + t * uy)))
        if (ay > p[1]) != (by > p[1]) and p[0] < ax + ux * (p[1] - ay) / uy:
            inside = not inside
    return nearest, inside


def rectangle(width, height):
    return [(-width, -height), (width, -height), (width, height), (-width, height)]


HALF = math.sqrt(0.5)
LONG, SHORT = math.cos(0.32), math.sin(0.32)
POLYGONS = {
    "square": (drawing.square, rectangle(HALF, HALF)),
    "box": (lambda x, y: drawing.box(x, y, 0.9, 0.3), rectangle(0.9, 0.3)),
    "triangle": (drawing.triangle, corners_of_a_star(3, 0.5)[::2]),
    "star": (drawing.star, corners_of_a_star(5, 0.45)),
    "star of seven": (lambda x, y: drawing.star(x, y, 7, 0.6), corners_of_a_star(7, 0.6)),
    "hexagon": (
        lambda x, y: drawing.star(x, y, 6, math.cos(math.pi / 6)),
        corners_of_a_star(6, 1.0)[::2],
    ),
}


@pytest.mark.parametrize("name", POLYGONS)
def test_a_polygons_signed_distance_is_that_to_its_nearest_side(name, rng):
    signed, corners = POLYGONS[name]
    for x, y in rng.uniform(-1.5, 1.5, (200, 2)):
        distance, inside = distance_to_polygon((x, y), corners)
        assert signed(x, y) == pytest.approx(-distance if inside else distance, abs=1e-12)


def test_a_ring_and_a_disc_are_known_in_closed_form(rng):
    for x, y in rng.uniform(-1.5, 1.5, (50, 2)):
        r = math.hypot(x, y)
        assert drawing.disc(x, y) == pytest.approx(r - 1)
        assert drawing.ring(x, y) == pytest.approx(max(r - 1, 0.44 - r))


def test_unions_and_differences_have_their_parts_signs(rng):
    h = 0.5
    for x, y in rng.uniform(-1.1, 1.1, (2000, 2)):
        in_cross = (abs(x) < LONG and abs(y) < SHORT) or (abs(x) < SHORT and abs(y) < LONG)
        assert (drawing.cross(x, y) < 0) == in_cross
        in_moon = math.hypot(x, y) < 1 and math.hypot(x - 0.55, y) > 0.75
        assert (drawing.moon(x, y) < 0) == in_moon
        lobes = [math.dist((x, y), (side * h * HALF, -h * HALF)) < h for side in (-1, 1)]
        in_heart = abs(x) + abs(y) < h / HALF or any(lobes)
        assert (drawing.heart(x, y) < 0) == in_heart


@pytest.mark.parametrize("name", NAMES)
def test_no_signed_distance_changes_faster_than_one_moves(name, rng):
    p, q = rng.uniform(-2, 2, (2, 2, 5000))
    change = np.abs(SHAPES[name](*p) - SHAPES[name](*q))
    assert (change <= np.hypot(*(p - q)) + 1e-12).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_shape_reaches_to_a_distance_of_1(name):
    x, y, side = lattice(1.2, 600)
    r = np.hypot(x, y)[SHAPES[name](x, y) < 0]
    assert r.max() == pytest.approx(1, abs=2 * side)


AREAS = {
    "disc": math.pi,
    "ring": math.pi * (1 - 0.44**2),
    "square": 2,
    "triangle": 3 * math.sqrt(3) / 4,
    "star": 5 * 0.45 * math.sin(math.pi / 5),
    "cross": 8 * LONG * SHORT - 4 * SHORT**2,
    "heart": 1 + math.pi / 4,
}


@pytest.mark.parametrize("name", AREAS)
def test_areas_are_known_in_closed_form(name):
    x, y, side = lattice(1.1, 800)
    share = np.clip(0.5 - SHAPES[name](x, y) / side, 0, 1)  # of each small square
    assert share.sum() * side**2 == pytest.approx(AREAS[name], rel=1e-3)


# --- the set --------------------------------------------------------------------------------------


@given(n=st.integers(0, 20), size=st.integers(8, 40))
def test_any_number_of_shapes_of_any_size_is_drawn(n, size):
    images, labels = shapes(n, size=size, rng=np.random.default_rng(n))
    assert (images.shape, images.dtype) == ((n, size, size, 3), np.float32)
    assert (labels.shape, labels.dtype) == ((n,), np.int64)
    assert images.size == 0 or (images.min() >= 0 and images.max() <= 1)


def test_images_are_of_64_pixels_unless_said_otherwise(rng):
    assert shapes(1, rng=rng).images.shape == (1, 64, 64, 3)
    assert shapes(1, size=256, rng=rng).images.shape == (1, 256, 256, 3)


def test_each_kind_comes_as_often_as_another_or_once_more(rng):
    assert sorted(np.bincount(shapes(20, size=8, rng=rng).labels)) == [2] * 4 + [3] * 4


def test_equal_generators_draw_equal_shapes_and_one_generator_never_twice():
    rng = np.random.default_rng(5)
    first, again = (shapes(30, size=16, rng=rng).images for _ in range(2))
    twin = shapes(30, size=16, rng=np.random.default_rng(5)).images
    np.testing.assert_array_equal(first, twin)
    assert not np.array_equal(first, again)


@pytest.mark.parametrize(("threads", "block"), [(1, 1 << 30), (2, 1), (3, 16 * 16 * 7)])
def test_neither_threads_nor_blocks_change_anything(monkeypatch, threads, block):
    expected = shapes(50, size=16, rng=np.random.default_rng(1)).images
    monkeypatch.setattr(backend, "threads", threads)
    monkeypatch.setattr(drawing, "BLOCK", block)
    np.testing.assert_array_equal(
        shapes(50, size=16, rng=np.random.default_rng(1)).images, expected
    )


def test_the_same_picture_is_drawn_at_any_size():
    """A large image averaged down is nearly the small one."""
    small, large = (shapes(24, size=s, rng=np.random.default_rng(2)).images for s in (16, 128))
    averaged = large.reshape(24, 16, 8, 16, 8, 3).mean(axis=(2, 4))
    assert np.abs(averaged - small).mean() < 0.01
    assert np.abs(averaged - small).max() < 0.35


@pytest.fixture
def layers(monkeypatch):
    """A function that draws shapes, and returns their colours and their backgrounds too."""
    monkeypatch.setattr(backend, "threads", 1)  # in order
    mixed, seen = drawing.mixed, []

    def kept(pair, share):
        seen.append(mixed(pair, share))
        return seen[-1]

    monkeypatch.setattr(drawing, "mixed", kept)

    def draw(n, size):
        seen.clear()
        drawn = shapes(n, size=size, rng=np.random.default_rng(4))
        ground = np.broadcast_to(np.concatenate(seen[1::2]), drawn.images.shape)
        return drawn.images, drawn.labels, np.concatenate(seen[::2]), ground

    return draw


def test_a_shape_is_lighter_than_all_of_its_ground_or_darker(layers):
    images, _, shape, ground = layers(200, 24)
    is_shape = np.isclose(images, shape, atol=1e-6).all(axis=3)
    is_ground = np.isclose(images, ground, atol=1e-6).all(axis=3)
    lighter_ones = 0
    for image, a, b in zip(images @ LUMINANCE, is_shape, is_ground, strict=True):
        assert min(a.sum(), b.sum()) > 5
        lighter, darker = image[a].min() - image[b].max(), image[b].min() - image[a].max()
        assert max(lighter, darker) >= 0.24 - 1e-5
        lighter_ones += lighter > 0
    assert 60 < lighter_ones < 140  # both are equally likely


def shares(images, shape, ground):
    """The fraction of each pixel that the shape covers."""
    return ((images - ground) @ LUMINANCE) / ((shape - ground) @ LUMINANCE)


def test_a_kinds_mean_area_is_that_of_its_shape(layers):
    images, labels, shape, ground = layers(1600, 16)
    share = shares(images, shape, ground)
    assert share.min() > -1e-3
    assert share.max() < 1 + 1e-3
    mean_square = (0.8**3 - 0.4**3) / (3 * 0.4)  # of a radius ~ U(0.4, 0.8)
    for name, area in AREAS.items():
        drawn = share[labels == NAMES.index(name)].sum(axis=(1, 2)) * (2 / 16) ** 2
        error = 4 * drawn.std() / math.sqrt(len(drawn))
        assert drawn.mean() == pytest.approx(area * mean_square, abs=error + 0.01 * area)


def test_discs_are_whole_round_and_blurred_over_one_pixel(layers):
    images, labels, shape, ground = layers(400, 64)
    radii = []
    for share in shares(images, shape, ground)[labels == 0]:
        width, height = share.max(axis=0).sum(), share.max(axis=1).sum()
        assert width == pytest.approx(height, abs=0.5)
        assert share.sum() == pytest.approx(math.pi * width**2 / 4, rel=0.03)
        # over an edge of one pixel s falls from 1 to 0: s (1 − s) sums to 1/6 for each of length
        assert (share * (1 - share)).sum() == pytest.approx(math.pi * width / 6, rel=0.1)
        radii.append(width / 64)
    assert 0.39 < min(radii) < 0.5
    assert 0.7 < max(radii) < 0.81


def test_discs_are_brightest_above_their_middle_and_to_the_left(layers):
    images, labels, shape, ground = layers(200, 32)
    for share, layer in zip(
        shares(images, shape, ground)[labels == 0], shape[labels == 0], strict=True
    ):
        middle = [share.sum(axis=1) @ np.arange(32), share.sum(axis=0) @ np.arange(32)]
        brightest = np.unravel_index((layer @ LUMINANCE).argmax(), (32, 32))
        assert (brightest < np.array(middle) / share.sum()).all()


def test_a_shape_covers_as_much_of_a_small_picture_as_of_a_large_one(layers):
    small, large = (
        [images, shape, ground]
        for images, _, shape, ground in (layers(100, size) for size in (12, 96))
    )
    areas = [shares(*each).mean(axis=(1, 2)) for each in (small, large)]
    assert areas[0].mean() == pytest.approx(areas[1].mean(), rel=0.02)


def test_shapes_are_turned_every_way_and_so_are_grounds(layers):
    images, labels, shape, ground = layers(400, 32)
    at, ways = np.arange(32), set()
    for share in shares(images, shape, ground)[labels == NAMES.index("triangle")]:
        # from the middle of what it spans to its centre of mass: away from the tip in between
        spans = [np.flatnonzero(share.max(axis=axis) > 0.5)[[0, -1]].mean() for axis in (1, 0)]
        masses = [share.sum(axis=axis) @ at / share.sum() for axis in (1, 0)]
        ways.add(tuple(np.sign(np.subtract(masses, spans))))
    assert {(a, b) for a in (-1, 1) for b in (-1, 1)} <= ways
    corners = (ground @ LUMINANCE)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert set(corners.argmax(axis=1)) == {0, 1, 2, 3}


def test_shapes_and_grounds_have_all_hues(layers):
    _, _, shape, ground = layers(100, 8)
    for layer in (shape, ground):
        assert set(layer.mean(axis=(1, 2)).argmax(axis=1)) == {0, 1, 2}
    hues = [layer.mean(axis=(1, 2)).argmax(axis=1) for layer in (shape, ground)]
    assert 10 < (hues[0] == hues[1]).sum() < 60  # independent of each other


def test_shapes_differ_in_place_size_and_colour():
    images, labels = shapes(400, size=16, rng=np.random.default_rng(0))
    for k in range(8):
        of_kind = images[labels == k]
        assert of_kind.mean(axis=(1, 2)).std(axis=0).min() > 0.1
        assert of_kind.std(axis=0).min() > 0.1


@given(hue=st.floats(-1, 2), luminance=st.floats(0.02, 0.98))
def test_a_colour_has_the_luminance_wanted_of_it(hue, luminance):
    colour = drawing._colour(np.array([hue]), np.array([luminance]))
    assert colour.shape == (1, 3)
    assert (colour @ LUMINANCE)[0] == pytest.approx(luminance, abs=1e-5)
    assert colour.min() >= 0
    assert colour.max() <= 1


def test_hues_go_round_from_red_to_green_to_blue():
    colours = drawing._colour(np.array([0, 1 / 3, 2 / 3, 1]), np.full(4, 0.4))
    assert colours.argmax(axis=1).tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(colours[0], colours[3], atol=1e-6)


def test_kinds_can_be_told_apart_by_their_distances():
    x, y, _ = lattice(1.0, 50)
    for a, b in itertools.combinations(NAMES, 2):
        assert ((SHAPES[a](x, y) < 0) != (SHAPES[b](x, y) < 0)).mean() > 0.03


# --- rejected arguments ---------------------------------------------------------------------------

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("n", "options", "error", "pattern"),
    [
        (-1, {}, ValueError, "`n` .* got -1"),
        ("3", {}, ValueError, "`n` .* got '3'"),
        (3, {"size": 7}, ValueError, "`size` .* ≥ 8, got 7"),
        (3, {"size": 8.0}, ValueError, r"`size` .* got 8\.0"),
        (3, {"rng": 7}, TypeError, "`rng` .* got int"),
    ],
)
def test_what_can_not_be_drawn_is_refused(n, options, error, pattern):
    with pytest.raises(error, match=f"^shapes: .*{pattern}"):
        shapes(n, **{"rng": RNG, **options})


def test_every_public_name_says_what_it_is():
    assert drawing.__all__ == sorted(drawing.__all__)
    assert [n for n in drawing.__all__ if n != "SHAPES" and not getattr(drawing, n).__doc__] == []
    assert list(SHAPES) == NAMES
