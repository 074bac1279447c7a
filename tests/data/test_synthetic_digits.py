"""Synthetic digits: each step against its formula, and the result against MNIST."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.autograd import backend
from tinygen.data import digits, sets
from tinygen.data import synthetic_digits as drawing
from tinygen.data.synthetic_digits import BLOCK, CANVAS, SKELETONS

S = drawing.S


@pytest.fixture(scope="module")
def many():
    return digits(4000, rng=np.random.default_rng(3))


def moments(images):
    """Each image's ink, and its mean row and column."""
    at, ink = np.arange(28), images[..., 0].astype(np.float64)
    mass = ink.sum(axis=(1, 2))
    return mass, ink.sum(axis=2) @ at / mass, ink.sum(axis=1) @ at / mass


# --- the set --------------------------------------------------------------------------------------


@given(n=st.one_of(st.integers(0, 3), st.integers(BLOCK - 1, BLOCK + 2)))
def test_any_number_of_digits_is_drawn(n):
    images, labels = digits(n, rng=np.random.default_rng(n))
    assert (images.shape, images.dtype) == ((n, 28, 28, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((n,), np.int64)
    assert (images.max(axis=(1, 2, 3)) > 0.5).all()  # no image is blank


def test_images_are_white_on_black_within_0_and_1(many):
    assert many.images.min() == 0
    assert many.images.max() == 1
    assert (many.images == 0).mean() > 0.7


def test_each_digit_comes_as_often_as_another_or_once_more():
    counts = np.bincount(digits(123, rng=np.random.default_rng(0)).labels)
    assert sorted(counts) == 7 * [12] + 3 * [13]


def test_labels_are_shuffled(many):
    assert abs(np.corrcoef(many.labels[1:], many.labels[:-1])[0, 1]) < 0.1


@pytest.mark.parametrize("labels", [7, [3, 3, 8, 0, 9], np.array([1, 2, 3, 4, 5], np.uint8)])
def test_the_digits_asked_for_are_drawn(labels):
    drawn = digits(5, rng=np.random.default_rng(0), labels=labels)
    assert drawn.labels.tolist() == (np.zeros(5, int) + labels).tolist()
    assert drawn.labels.dtype == np.int64


def test_labels_say_what_is_drawn(many):
    # a linear classifier, by least squares, on images that it has not seen
    x, targets = many.images.reshape(4000, -1), np.eye(10)[many.labels]
    seen, others = slice(3000), slice(3000, None)
    weights = np.linalg.solve(x[seen].T @ x[seen] + 20 * np.eye(784), x[seen].T @ targets[seen])
    assert ((x[others] @ weights).argmax(axis=1) == many.labels[others]).mean() > 0.8


def test_equal_generators_draw_equal_digits_and_one_generator_never_twice():
    rng = np.random.default_rng(5)
    first, again = digits(60, rng=rng), digits(60, rng=rng)
    twin = digits(60, rng=np.random.default_rng(5))
    np.testing.assert_array_equal(first.images, twin.images)
    np.testing.assert_array_equal(first.labels, twin.labels)
    assert not np.array_equal(first.images, again.images)
    ones = [digits(1, rng=rng, labels=1).images for _ in range(2)]
    assert not np.array_equal(*ones)


def test_the_generators_state_alone_decides():
    rng = np.random.default_rng(5)
    digits(3, rng=rng)
    other = np.random.default_rng(9)
    other.bit_generator.state = rng.bit_generator.state  # as in a resumed run
    np.testing.assert_array_equal(digits(60, rng=rng).images, digits(60, rng=other).images)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_nothing(monkeypatch, threads):
    expected = digits(5 * BLOCK, rng=np.random.default_rng(1)).images
    monkeypatch.setattr(backend, "threads", threads)
    np.testing.assert_array_equal(digits(5 * BLOCK, rng=np.random.default_rng(1)).images, expected)


def test_no_two_digits_are_alike_within_a_block_or_across():
    images = digits(3 * BLOCK, rng=np.random.default_rng(0), labels=1).images
    assert len(np.unique(images.reshape(3 * BLOCK, -1), axis=0)) == 3 * BLOCK


# --- similarity to MNIST --------------------------------------------------------------------------


def test_the_ink_is_about_as_much_as_mnists(many):
    assert many.images.mean() == pytest.approx(0.1307, abs=0.008)
    assert many.images.std() == pytest.approx(0.3081, abs=0.012)


def test_the_inks_centre_of_mass_is_at_the_middle_to_the_nearest_pixel(many):
    _, row, column = moments(many.images)
    assert np.abs(row - 14).max() < 0.52
    assert np.abs(column - 14).max() < 0.52


def test_digits_fill_a_box_of_20_pixels(many):
    ink = many.images[..., 0] > 0.1
    height = np.array([np.ptp(np.flatnonzero(each.any(axis=1))) + 1 for each in ink])
    width = np.array([np.ptp(np.flatnonzero(each.any(axis=0))) + 1 for each in ink])
    longer = np.maximum(height, width)
    assert np.median(longer) == 20
    assert longer.min() >= 18
    assert longer.max() <= 22


def test_next_to_no_ink_is_lost_at_the_images_border(many):
    border = many.images.copy()
    border[:, 1:-1, 1:-1] = 0
    assert border.sum() < 1e-3 * many.images.sum()


def test_mean_images_of_the_digits_have_their_shape(many):
    mean = [many.images[many.labels == k].mean(axis=0)[..., 0] for k in range(10)]
    assert mean[0][12:16, 12:16].mean() < 0.2  # 0 has a hole in the middle
    assert mean[1][12:16, 12:16].mean() > 0.5  # 1 has not
    assert mean[7][5:10].sum() > 1.3 * mean[7][18:23].sum()  # 7 has most ink at the top
    assert mean[6][16:22].sum() > 1.3 * mean[6][6:12].sum()  # 6 at the bottom
    assert mean[9][6:12].sum() > 1.1 * mean[9][16:22].sum()


def test_who_has_seen_only_drawn_digits_reads_mnists(many):
    if not sets.have("mnist"):
        pytest.skip("MNIST is not on this machine")
    _, (images, labels) = sets.load("mnist")
    real, drawn = images[:1000].reshape(1000, -1), many.images.reshape(4000, -1)
    square = (drawn**2).sum(axis=1) - 2 * real @ drawn.T  # the squared distance, up to a constant
    assert (many.labels[square.argmin(axis=1)] == labels[:1000]).mean() > 0.8


# --- skeletons ------------------------------------------------------------------------------------


def test_every_digit_has_more_than_one_skeleton_and_all_are_drawn():
    assert list(SKELETONS) == list(range(10))
    assert min(len(ways) for ways in SKELETONS.values()) >= 4
    strokes = [s for ways in SKELETONS.values() for each in ways for s in each.split("|")]
    assert all(len(stroke.split()) >= 2 for stroke in strokes)
    assert all(len(p) == 2 and p.isdigit() for stroke in strokes for p in stroke.split())


def drawn_ways(label):
    """The different skeletons of 200 digits of a label."""
    rng = np.random.default_rng(0)
    ends = drawing._curves(np.full(200, label), rng)
    mean = np.stack([drawing.MATRICES[i] @ drawing.POINTS[i] for i in range(len(drawing.POINTS))])
    near = np.abs(ends[:, None] - mean).mean(axis=(2, 3)).argmin(axis=1)
    return set(near)


def test_a_label_begins_as_any_of_its_own_skeletons():
    first = 0
    for label, ways in SKELETONS.items():
        assert drawn_ways(label) == set(range(first, first + len(ways)))
        first += len(ways)


def test_points_are_jittered_each_on_its_own():
    labels = np.arange(2000) % 10
    ends = drawing._curves(labels, np.random.default_rng(0))
    which = drawing.FIRST[labels] + np.random.default_rng(0).integers(drawing.COUNTS[labels])
    moved = ends - drawing.MATRICES[which] @ drawing.POINTS[which]
    first, last = moved[:, 0], moved[:, -1]  # ends of strokes are points themselves
    assert first.std(axis=0) == pytest.approx([0.03, 0.03], rel=0.1)
    apart = labels != 0  # some of these begin and end in the same point
    assert np.abs(np.corrcoef(first[apart].T, last[apart].T)[:2, 2:]).max() < 0.1


WAYS = [strokes for ways in SKELETONS.values() for strokes in ways]


@pytest.mark.parametrize("strokes", WAYS)
def test_a_skeletons_curve_joins_up_but_where_the_pen_is_lifted(strokes):
    points, matrix = drawing._skeleton(strokes)
    assert len(points) == len(set(strokes.replace("|", " ").split()))
    assert matrix.shape == (2 * S, len(points))
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    moved = points + np.random.default_rng(0).normal(size=points.shape)
    start, stop = (matrix @ moved).reshape(2, S, 2)
    gaps = np.linalg.norm(start[1:] - stop[:-1], axis=1) > 1e-5
    lifted = [a.split()[-1] != b.split()[0] for a, b in itertools.pairwise(strokes.split("|"))]
    assert gaps.sum() == sum(lifted)


def test_a_skeletons_strokes_begin_and_end_in_their_points():
    points, matrix = drawing._skeleton("00 90|90 65 39")
    start, stop = (matrix @ points).reshape(2, S, 2) * 9
    np.testing.assert_allclose([start[0], stop[-1]], [[0, 0], [3, 9]], atol=1e-5)
    assert np.linalg.norm(start - [9, 0], axis=1).min() < 1e-5  # the corner


@given(K=st.integers(2, 8))
def test_the_spline_keeps_straight_lines_and_has_no_kink(K):
    t = np.linspace(0, K - 1, 100 * (K - 1) + 1)
    weights = drawing._spline(t, K)
    np.testing.assert_allclose(weights @ np.arange(K), t, atol=1e-9)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    second = np.diff(weights, 2, axis=0) * 100**2
    assert np.abs(np.diff(second, axis=0)).max() < 0.07  # continuous: no jumps


def test_the_spline_is_the_b_spline_of_scipy():
    interpolate = pytest.importorskip("scipy.interpolate")
    p = np.random.default_rng(0).normal(size=7)
    padded = np.concatenate([[2 * p[0] - p[1]], p, [2 * p[-1] - p[-2]]])
    theirs = interpolate.BSpline(np.arange(-3, 10), padded, 3)
    t = np.linspace(0, 5.999, 50)
    np.testing.assert_allclose(drawing._spline(t, 7) @ p, theirs(t), atol=1e-12)


# --- the steps ------------------------------------------------------------------------------------


def lines(n, rng):
    """Some curve's ends, within the canvas."""
    points = np.cumsum(rng.normal(size=(n, S + 1, 2)), axis=1)
    ends = np.concatenate([points[:, :-1], points[:, 1:]], axis=1)
    return ends.astype(np.float32)


def test_what_is_placed_just_fits_the_box_in_the_middle_of_the_canvas(rng):
    radius = np.array([0.5, 1.0, 3.0], np.float32)
    ends = drawing._place(lines(3, rng), radius)
    low, high = ends.min(axis=1), ends.max(axis=1)
    np.testing.assert_allclose((high - low).max(axis=1), 20 - 1 - 2 * radius, rtol=1e-5)
    np.testing.assert_allclose((low + high) / 2, (CANVAS - 1) / 2, rtol=1e-5)


def test_placing_keeps_proportions(rng):
    ends = lines(1, rng)
    placed = drawing._place(ends, np.ones(1, np.float32))
    ratio = np.diff(placed, axis=1) / np.diff(ends, axis=1)
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=2e-2)


def test_a_tilt_keeps_straight_lines_straight_and_is_another_for_each_digit(rng):
    p = rng.normal(size=(1, 2 * S, 2)).astype(np.float32) * np.ones((2, 1, 1), np.float32)
    tilted = drawing._tilt(p, rng)
    for before, after in zip(p, tilted, strict=True):
        matrix, residual, *_ = np.linalg.lstsq(before, after, rcond=None)
        assert residual.max() < 1e-8
        # slant and rotation keep areas; only the width, the length of x's image, changes them
        assert np.linalg.det(matrix) == pytest.approx(np.linalg.norm(matrix[0]), rel=1e-4)
    assert not np.allclose(*tilted, atol=0.01)


def test_a_tilts_mean_makes_digits_narrower_than_high_and_leans_them_to_the_right(rng):
    corners = np.array([[1, 0], [0, 1]], np.float32)
    across, down = drawing._tilt(np.tile(corners, (5000, 1, 1)), rng).mean(axis=0)
    assert across[0] == pytest.approx(0.75, abs=0.03)
    assert down[0] == pytest.approx(-0.12, abs=0.03)  # lower points are further left
    assert abs(across[1]) < 0.02
    assert down[1] == pytest.approx(1, abs=0.03)


def test_bending_is_smooth_and_small(rng):
    x = np.linspace(0, 1, 2 * S, dtype=np.float32)
    p = np.tile(np.stack([x, x], axis=1), (500, 1, 1))
    shift = drawing._bend(p, rng) - p
    assert 0.03 < shift.std() < 0.1
    assert np.abs(np.diff(shift, axis=1)).mean() < 0.1 * np.abs(shift).mean()
    assert not np.allclose(shift[0], shift[1])


def test_the_pens_width_varies_along_the_way_and_among_digits(rng, monkeypatch):
    place, seen = drawing._place, []
    monkeypatch.setattr(drawing, "_place", lambda p, r: seen.append(r) or place(p, r))
    digits(5000, rng=rng)
    radius = np.concatenate(seen)
    assert np.median(radius) == pytest.approx(1.25, abs=0.03)
    assert np.log(radius).std() == pytest.approx(0.25, abs=0.02)
    uneven = drawing._uneven(radius, rng) / radius[:, None]
    assert uneven.shape == (5000, S)
    assert uneven.dtype == np.float32
    assert 0.05 < (uneven - 1).std() < 0.12
    assert np.abs(np.diff(uneven, axis=1)).max() < 0.2


def distance(q, a, b):
    """From a point to a segment, by trying a thousand of its points."""
    return min(
        math.dist(q, (a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
        for t in np.linspace(0, 1, 1001)
    )


def test_ink_is_where_the_pen_passed():
    segments = [
        ((4.0, 5.0), (15.3, 9.2), 1.3),
        ((15.3, 9.2), (9.9, 18.4), 2.0),
        ((3.0, 18.0), (3.0, 18.0), 0.8),
    ]
    segments += [segments[-1]] * (S - len(segments))  # the last one is a dot
    starts, stops, radius = (np.array([[s[i] for s in segments]], np.float32) for i in range(3))
    (ink,) = drawing._ink(np.concatenate([starts, stops], axis=1), radius)
    for row, column in itertools.product(range(CANVAS), repeat=2):
        depth = max(r - distance((column, row), a, b) for a, b, r in segments[:3])
        expected = min(max(0.5 + depth, 0), 1)
        assert ink[row, column] == pytest.approx(expected, abs=2e-3)


def test_centring_moves_the_canvas_and_loses_nothing_of_it(rng):
    ink = np.zeros((5, CANVAS, CANVAS), np.float32)
    places = [(0, 0), (CANVAS - 1, CANVAS - 1), (11, 3), (2, 17), (10, 10)]
    for each, (row, column) in zip(ink, places, strict=True):
        each[row, column] = 0.7
    for image in drawing._centred(ink):
        assert image.shape == (28, 28)
        assert image[14, 14] == np.float32(0.7)
        assert np.count_nonzero(image) == 1


# --- rejected arguments ---------------------------------------------------------------------------

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("n", "options", "error", "pattern"),
    [
        (-1, {}, ValueError, "digits: .*`n` .* ≥ 0, got -1"),
        (2.0, {}, ValueError, r"digits: .*`n` .* got 2\.0"),
        (2, {"rng": 0}, TypeError, "digits: .*`rng` .* got int"),
        (2, {"labels": [1, 2, 3]}, ValueError, r"\(3,\)"),
        (2, {"labels": [1, 10]}, ValueError, r"digits: .*`labels` from 0 to 9, got \[1, 10\]"),
        (2, {"labels": -1}, ValueError, "digits: .*`labels` from 0 to 9, got -1"),
        (2, {"labels": [1.0, 2.0]}, ValueError, "digits: .*`labels`"),
        (1, {"labels": "7"}, ValueError, "digits: .*`labels` .* got 7"),
    ],
)
def test_what_can_not_be_drawn_is_refused(n, options, error, pattern):
    with pytest.raises(error, match=pattern):
        digits(n, **{"rng": RNG, **options})


def test_drawn_digits_can_be_trained_on():
    images, labels = digits(3, rng=RNG)
    assert tg.Tensor(images).shape == (3, 28, 28, 1)
    assert labels.min() >= 0
