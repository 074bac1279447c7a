"""Points, densities and planes, by the contents of their axes."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pictures import CLOUD, gaussian, legend, texts

from tinygen import image
from tinygen.image import distributions, style


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
    assert texts(ax) == ["2 not finite", "0", "1"] and np.isfinite([t.xy for t in ax.texts]).all()


def test_a_density_lies_where_the_function_says_and_rows_go_upwards():
    seen = []

    def f(p):
        seen.append(p)
        return p[:, 0] + 10 * p[:, 1] + 100

    ax = Figure().subplots()
    image.density(ax, f, extent=(0, 3, -6, 0))
    (p,) = seen
    side = math.isqrt(len(p))
    np.testing.assert_allclose(
        p[[0, 1, side, -1]] * side,
        [[1.5, -6 * side + 3], [4.5, -6 * side + 3], [1.5, -6 * side + 9], [3 * side - 1.5, -3]],
    )
    (shown,) = ax.images
    assert shown.origin == "lower" and tuple(shown.get_extent()) == (0, 3, -6, 0)
    np.testing.assert_array_equal(shown.get_array().ravel(), f(p))
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 3), (-6, 0))
    ax = Figure().subplots()
    image.density(ax, np.array([[1.0, 2.0], [3.0, 4.0]]), CLOUD)
    assert ax.images[0].get_array().tolist() == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(ax.collections[-1].get_offsets(), CLOUD)
    left, right, bottom, top = ax.images[0].get_extent()
    assert ((left, bottom) < CLOUD).all() and ((right, top) > CLOUD).all()


@pytest.mark.parametrize("mass", [0.5, 0.9, 0.99])
def test_the_contour_of_a_gaussian_that_holds_a_mass_is_where_it_should_be(mass):
    x = np.linspace(-5, 5, 400)
    heights = np.exp(-(x**2 + x[:, None] ** 2) / 2)
    # P(r > R) = exp(−R²/2), which is the height at R itself
    assert distributions.holding(heights, mass) == pytest.approx(1 - mass, rel=0.02)
    assert distributions.holding(np.ones((3, 3)), mass) == 1
    ax = Figure().subplots()
    image.density(ax, heights, extent=(-5, 5, -5, 5))
    (contours,) = ax.collections
    assert distributions.holding(heights, mass) in contours.levels
    radii = [np.linalg.norm(path.vertices, axis=1) for path in contours.get_paths()]
    np.testing.assert_allclose(
        radii[::-1][distributions.MASSES.index(mass)], math.sqrt(-2 * math.log(1 - mass)), rtol=0.02
    )


def test_classes_have_their_colours_and_their_names_at_their_medians():
    labels = np.arange(40) % 4
    labels[labels == 3] = 9
    ax = Figure().subplots()
    image.plane(ax, CLOUD, labels, names="abcdefghij")
    cloud = ax.collections[0]
    found = {
        tuple(p): tuple(c[:3])
        for p, c in zip(cloud.get_offsets().tolist(), cloud.get_facecolors(), strict=True)
    }
    assert len(found) == 40
    for point, label in zip(CLOUD, labels, strict=True):
        assert found[tuple(point)] == pytest.approx(to_rgb(style.COLOURS[label]))
    at = {text.get_text(): text.xy for text in ax.texts}
    assert list(at) == ["a", "b", "c", "j"]
    np.testing.assert_allclose(at["j"], np.median(CLOUD[labels == 9], axis=0))
    assert legend(ax) == ["a", "b", "c", "j"]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda w: image.points(w, np.ones((3, 3))), r"points: .*`sets` .* \(3, 3\)"),
        (lambda w: image.points(w, {"a": CLOUD[:0]}), r"points: .*`a` .* \(0, 2\)"),
        (lambda w: image.points(w, np.full((2, 2), math.nan)), "points: .*finite"),
        (lambda w: image.density(w, gaussian), "density: expected `extent`"),
        (lambda w: image.density(w, np.ones(4), CLOUD), r"density: .*\(4,\)"),
        (lambda w: image.density(w, lambda p: -gaussian(p), CLOUD), "density: .* ≥ 0"),
        (lambda w: image.plane(w, CLOUD, np.arange(3)), r"plane: .*`labels` \(40,\).* \(3,\)"),
        (lambda w: image.plane(w, CLOUD, np.arange(40)), "plane: .*`labels` .* 0 to 39"),
    ],
)
def test_what_is_no_distribution_is_refused(draw, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        draw(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
