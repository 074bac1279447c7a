"""Point sets against their definitions: moments, densities, labels, and rejected arguments.

Moments of n points are compared with closed forms to within five standard errors, at a fixed seed.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.data import points_2d
from tinygen.data.points_2d import (
    balanced,
    checkerboard_log_density,
    grid_means,
    log_density,
    ring_means,
)

SETS = {
    "ring": points_2d.ring,
    "grid": points_2d.grid,
    "moons": points_2d.moons,
    "swirl": points_2d.swirl,
    "pinwheel": points_2d.pinwheel,
    "checkerboard": points_2d.checkerboard,
}
KINDS = {"ring": 8, "grid": 25, "moons": 2, "swirl": 2, "pinwheel": 5, "checkerboard": 8}
each_set = pytest.mark.parametrize("name", SETS)


def assert_mean(samples, expected):
    """Samples (n,) or (n, …) have this mean, up to their standard error."""
    samples = np.asarray(samples, np.float64)
    error = 5 * samples.std(axis=0) / math.sqrt(len(samples)) + 1e-6
    assert (np.abs(samples.mean(axis=0) - expected) <= error).all()


# --- all sets -------------------------------------------------------------------------------------


@each_set
@given(n=st.integers(0, 60))
def test_any_number_of_points_comes_with_as_many_labels(name, n):
    x, labels = SETS[name](n, rng=np.random.default_rng(n))
    assert (x.shape, x.dtype) == ((n, 2), np.float32)
    assert (labels.shape, labels.dtype) == ((n,), np.int64)
    assert np.isfinite(x).all()


@each_set
def test_each_label_comes_as_often_as_another_or_once_more(name, rng):
    counts = np.bincount(SETS[name](203, rng=rng).labels, minlength=KINDS[name])
    assert len(counts) == KINDS[name]
    assert set(counts) == {203 // KINDS[name], 203 // KINDS[name] + 1}


@each_set
def test_equal_generators_draw_equal_points_and_one_generator_never_twice(name):
    rng = np.random.default_rng(7)
    first, again = SETS[name](50, rng=rng), SETS[name](50, rng=rng)
    twin = SETS[name](50, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(first.points, twin.points)
    np.testing.assert_array_equal(first.labels, twin.labels)
    assert not np.array_equal(first.points, again.points)
    assert not np.array_equal(first.labels, again.labels)


def test_a_single_label_may_be_any():
    seen = {int(balanced("", 1, 4, np.random.default_rng(seed))[0]) for seed in range(50)}
    assert seen == {0, 1, 2, 3}


def test_labels_are_not_in_order(rng):
    labels = balanced("", 1000, 10, rng)
    assert abs(np.corrcoef(labels[:-1], labels[1:])[0, 1]) < 0.15
    assert abs(np.corrcoef(labels, np.arange(1000))[0, 1]) < 0.15


# --- mixtures -------------------------------------------------------------------------------------


def test_the_rings_means_are_the_roots_of_unity_times_its_radius():
    roots = np.exp(2j * np.pi * np.arange(8) / 8)
    np.testing.assert_allclose(ring_means() @ [1, 1j], roots, atol=1e-15)
    np.testing.assert_allclose(
        ring_means(3, 2.5) @ [1, 1j], 2.5 * np.exp([0, 2j * np.pi / 3, 4j * np.pi / 3]), atol=1e-15
    )


def test_the_grids_means_are_those_of_pacgan():
    ticks = [-4, -2, 0, 2, 4]
    assert grid_means().tolist() == [[x, y] for y in ticks for x in ticks]
    assert grid_means(2, 1.0).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]
    assert grid_means(1).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("draw", "means", "std"),
    [
        (points_2d.ring, ring_means(), 0.01),
        (points_2d.grid, grid_means(), 0.05),
        (
            lambda n, rng: points_2d.ring(n, rng=rng, modes=5, radius=3.0, std=0.3),
            ring_means(5, 3.0),
            0.3,
        ),
        (
            lambda n, rng: points_2d.grid(n, rng=rng, side=2, spacing=4.0, std=0.3),
            grid_means(2, 4.0),
            0.3,
        ),
    ],
    ids=["ring", "grid", "another ring", "another grid"],
)
def test_a_mixtures_points_lie_about_the_mean_of_their_label(draw, means, std, rng):
    x, labels = draw(20_000, rng=rng)
    distances = np.linalg.norm(x[:, None] - means, axis=2)
    np.testing.assert_array_equal(distances.argmin(axis=1), labels)
    noise = (x - means[labels]) / std
    assert_mean(noise, [0, 0])
    assert_mean(noise**2, [1, 1])
    assert_mean(noise[:, 0] * noise[:, 1], 0)
    assert_mean(noise**4, [3, 3])  # a Gaussian's


def squares(low, high, steps):
    """The centres of steps × steps equal squares, (steps², 2), and the area of each."""
    side = (high - low) / steps
    ticks = low + side * (np.arange(steps) + 0.5)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2), side**2


@pytest.mark.parametrize(
    ("means", "std", "reach"),
    [(ring_means(), 0.1, 2), (grid_means(), 0.2, 6), ([[0.3, -0.2]], 0.5, 4)],
)
def test_a_mixtures_density_integrates_to_one_and_to_its_moments(means, std, reach):
    x, area = squares(-reach, reach, 300)
    p = np.exp(log_density(x, means, std)) * area
    means = np.asarray(means)
    assert p.sum() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(p @ x, means.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(p @ x**2, (means**2).mean(axis=0) + std**2, rtol=1e-3)


def test_a_mixtures_log_density_is_the_sum_over_its_modes(rng):
    x, means, std = rng.normal(size=(20, 2)), rng.normal(size=(3, 2)), 0.4
    for point, value in zip(x, log_density(x, means, std), strict=True):
        terms = [
            math.exp(-(math.dist(point, mean) ** 2) / (2 * std**2)) / (2 * math.pi * std**2)
            for mean in means
        ]
        assert value == pytest.approx(math.log(sum(terms) / 3), rel=1e-12)


def test_a_mixtures_log_density_is_finite_far_away_and_accurate_for_float32_points():
    far = log_density(np.array([[1e3, 0]], np.float32), [[0, 0]], 0.01)
    assert far.dtype == np.float64
    assert far[0] == pytest.approx(-0.5 * 1e10 - math.log(2 * math.pi * 1e-4), rel=1e-12)


def test_the_mean_log_density_of_a_mixtures_own_points_is_minus_its_entropy(rng):
    x, _ = points_2d.ring(20_000, rng=rng)  # its modes do not overlap
    entropy = math.log(8) + math.log(2 * math.pi * math.e * 0.01**2)
    assert_mean(log_density(x, ring_means(), 0.01), -entropy)


def test_no_points_have_no_densities():
    assert log_density(np.zeros((0, 2)), ring_means(), 1.0).shape == (0,)
    assert checkerboard_log_density(np.zeros((0, 2))).shape == (0,)


# --- curves ---------------------------------------------------------------------------------------


def test_moons_are_two_half_circles(rng):
    x, labels = points_2d.moons(2000, rng=rng, noise=0.0)
    upper, lower = x[labels == 0], [1, 0.5] - x[labels == 1]
    for half in (upper, lower):
        np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
        assert half[:, 1].min() >= -1e-6
        angles = np.arctan2(half[:, 1], half[:, 0])
        assert_mean(angles, math.pi / 2)
        assert_mean((angles - math.pi / 2) ** 2, math.pi**2 / 12)


def test_moons_are_blurred_by_as_much_as_their_noise(rng):
    x, labels = points_2d.moons(40_000, rng=rng, noise=0.2)
    assert_mean(x[labels == 0], [0, 2 / math.pi])
    assert_mean(x[labels == 1], [1, 0.5 - 2 / math.pi])
    assert_mean((x[labels == 0] ** 2).sum(axis=1), 1 + 2 * 0.2**2)


def test_a_swirls_arms_turn_as_their_radius_grows(rng):
    x, labels = points_2d.swirl(3000, rng=rng, arms=3, turns=1.25, noise=0.0)
    r = np.linalg.norm(x, axis=1)
    expected = r * np.exp(2j * np.pi * (1.25 * r + labels / 3))
    np.testing.assert_allclose(x @ [1, 1j], expected, atol=1e-5)
    assert r.max() <= 1


def test_a_swirl_covers_the_disc_evenly_and_is_blurred_by_its_noise(rng):
    x, _ = points_2d.swirl(40_000, rng=rng, noise=0.1)
    assert_mean((x**2).sum(axis=1), 0.5 + 2 * 0.1**2)
    assert_mean(x, [0, 0])


def test_a_swirl_of_one_arm_has_one_label(rng):
    assert set(points_2d.swirl(10, rng=rng, arms=1).labels) == {0}


def test_a_pinwheels_arms_are_one_arm_turned(rng):
    x, labels = points_2d.pinwheel(50_000, rng=rng)
    arm = (x @ [1, 1j]) * np.exp(-2j * np.pi * labels / 5)
    u = np.linspace(-1, 3, 4001)  # the mean of u exp(i twist eᵘ) by quadrature, u ~ N(1, 0.3²)
    weight = np.exp(-((u - 1) ** 2) / (2 * 0.3**2))
    mean = (weight * u * np.exp(0.25j * np.exp(u))).sum() / weight.sum()
    for k in range(5):
        assert_mean(arm[labels == k].real, mean.real)
        assert_mean(arm[labels == k].imag, mean.imag)
    assert_mean(np.abs(arm) ** 2, 1 + 0.3**2 + 0.1**2)


def test_a_pinwheel_is_a_gaussian_of_each_arm_twisted(rng):
    x, labels = points_2d.pinwheel(5000, rng=rng, arms=3, twist=0.5)
    rng = np.random.default_rng(0)
    assert (rng.permutation(rng.permutation(3)[np.arange(5000) % 3]) == labels).all()
    u, v = rng.standard_normal((2, 5000))
    z = (1 + 0.3 * u + 0.1j * v) * np.exp(2j * np.pi * labels / 3 + 0.5j * np.exp(1 + 0.3 * u))
    np.testing.assert_allclose(x @ [1, 1j], z, atol=1e-5)


# --- the checkerboard -----------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_a_checkerboards_points_are_even_over_its_dark_squares(side, rng):
    x, labels = points_2d.checkerboard(20_000, rng=rng, side=side)
    column, row = np.floor(x + side / 2).astype(int).T
    dark = [(r, c) for r in range(side) for c in range(side) if (r + c) % 2 == 0]
    assert [dark[k] for k in labels] == list(zip(row, column, strict=True))
    within = x + side / 2 - np.stack([column, row], axis=1)
    assert_mean(within, [0.5, 0.5])
    assert_mean((within - 0.5) ** 2, [1 / 12, 1 / 12])
    assert_mean((within[:, 0] - 0.5) * (within[:, 1] - 0.5), 0)


@pytest.mark.parametrize("side", [1, 3, 4])
def test_a_checkerboards_density_integrates_to_one_and_knows_its_points(side, rng):
    x, area = squares(-3, 3, 120)
    assert (np.exp(checkerboard_log_density(x, side)) * area).sum() == pytest.approx(1)
    own, _ = points_2d.checkerboard(500, rng=rng, side=side)
    count = (side * side + 1) // 2
    np.testing.assert_allclose(checkerboard_log_density(own, side), -math.log(count), atol=1e-15)


def test_beside_the_dark_squares_there_is_no_density():
    outside = [[-0.5, -1.5], [1.5, 0.5], [-2.5, -1.5], [-2.5, 2.5], [2.5, 2.5], [0.5, -2.5]]
    assert checkerboard_log_density(outside).tolist() == [-math.inf] * 6
    assert checkerboard_log_density([[-1.5, -1.5], [1.5, 1.5]]).tolist() == [-math.log(8)] * 2


# --- rejected arguments ---------------------------------------------------------------------------

RNG = np.random.default_rng(0)


@each_set
@pytest.mark.parametrize(
    ("n", "rng", "error", "pattern"),
    [
        (-1, RNG, ValueError, "`n` to be an int ≥ 0, got -1"),
        (2.5, RNG, ValueError, r"`n` to be an int ≥ 0, got 2\.5"),
        (True, RNG, ValueError, "`n` to be an int ≥ 0, got True"),
        (3, 0, TypeError, "`rng` .* got int"),
    ],
)
def test_a_number_of_points_and_a_generator_are_needed(name, n, rng, error, pattern):
    owner = "mixture" if name in {"ring", "grid"} else name
    with pytest.raises(error, match=f"^{owner}: .*{pattern}"):
        SETS[name](n, rng=rng)


@pytest.mark.parametrize(
    ("function", "arguments", "options", "pattern"),
    [
        (points_2d.ring, (3,), {"rng": RNG, "modes": 0}, "mixture: .*`labels` .* got 0"),
        (points_2d.mixture, (3, [1, 2], 1.0), {"rng": RNG}, r"mixture: .*`means` .* got \(2,\)"),
        (log_density, ([1.0, 2.0], [[0, 0]], 1.0), {}, r"log_density: .*`x` .* got \(2,\)"),
        (log_density, ([[1.0, 2.0]], [0, 0], 1.0), {}, r"log_density: .*`means` .* got \(2,\)"),
        (log_density, ([[1.0, 2.0]], [[0, 0]], -1), {}, "log_density: .*`std` > 0, got -1"),
        (points_2d.swirl, (3,), {"rng": RNG, "arms": 0}, "swirl: .*`labels` .* got 0"),
        (points_2d.pinwheel, (3,), {"rng": RNG, "arms": 0}, "pinwheel: .*`labels` .* got 0"),
        (points_2d.checkerboard, (3,), {"rng": RNG, "side": 0}, "checkerboard: .*`side` .* got 0"),
        (checkerboard_log_density, ([[0, 0]], 0), {}, "log_density: .*`side` .* got 0"),
        (checkerboard_log_density, ([[0, 0, 0]],), {}, r"log_density: .*`x` .* got \(1, 3\)"),
    ],
)
def test_what_makes_no_set_is_refused(function, arguments, options, pattern):
    with pytest.raises(ValueError, match=pattern):
        function(*arguments, **options)


def test_every_public_name_says_what_it_is():
    assert [name for name in points_2d.__all__ if not getattr(points_2d, name).__doc__] == []
