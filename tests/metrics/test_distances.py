"""Distances of point sets, against independent formulas and known distributions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.metrics import distances, energy_distance, fid, kid, precision_recall

# --- FID ------------------------------------------------------------------------------------------


def cloud(mean, covariance):
    """Points with exactly this mean and covariance: ± the scaled rows of a root of it"""
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    root = (vectors * np.sqrt(values.clip(0))).T  # (d, d)
    n = 2 * len(root)
    return np.asarray(mean, float) + math.sqrt((n - 1) / 2) * np.concatenate([root, -root])


def test_fid_of_float32_features_far_from_0_is_exact(rng):
    x, y = (1000 + rng.normal(size=(2, 20_000, 1)) * [[[1]], [[2]]]).astype(np.float32)
    (mu, nu), (s, t) = ([f(z.astype(float)) for z in (x, y)] for f in (np.mean, np.std))
    ratio = math.sqrt(20_000 / 19_999)
    assert fid(x, y) == pytest.approx((mu - nu) ** 2 + (ratio * (s - t)) ** 2, rel=1e-6)


def covariances(rng, d, rank):
    a = rng.normal(size=(d, rank))
    return a @ a.T


@pytest.mark.parametrize("ranks", [(6, 6), (6, 2), (2, 2), (1, 6)])
def test_fid_is_scipys_formula_also_where_covariances_are_singular(ranks, rng):
    linalg = pytest.importorskip("scipy.linalg")
    s, t = (covariances(rng, 6, rank) for rank in ranks)
    mu, nu = rng.normal(size=(2, 6))
    tiny = 1e-12 * np.eye(6)  # sqrtm of a singular matrix may fail
    root = linalg.sqrtm((s + tiny) @ (t + tiny))
    expected = ((mu - nu) ** 2).sum() + np.trace(s + t - 2 * root.real)
    assert fid(cloud(mu, s), cloud(nu, t)) == pytest.approx(expected, rel=1e-4)


def test_fid_of_full_covariances_is_scipys_formula_to_ten_digits(rng):
    linalg = pytest.importorskip("scipy.linalg")
    x, y = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(200, 8)) + 1
    s, t = np.cov(x.T), np.cov(y.T)
    means = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    expected = means + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
    assert fid(x, y) == pytest.approx(expected, rel=1e-10)
    assert fid(y, x) == pytest.approx(expected, rel=1e-10)


@given(st.lists(st.tuples(*[st.floats(0, 9)] * 4), min_size=1, max_size=5))
def test_fid_of_independent_gaussians_is_the_distance_of_means_and_deviations(rows):
    mu, nu, s, t = np.array(rows).T
    expected = ((mu - nu) ** 2 + (s - t) ** 2).sum()  # also where a deviation is 0
    # a rounding error of 1e-16 in a variance is 1e-8 in the standard deviation
    found = fid(cloud(mu, np.diag(s**2)), cloud(nu, np.diag(t**2)))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_fid_of_rotated_gaussians_is_that_of_the_unrotated(rng):
    s, t = covariances(rng, 5, 5), covariances(rng, 5, 3)
    q, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    zero = np.zeros(5)
    expected = fid(cloud(zero, s), cloud(zero, t))
    assert fid(cloud(zero, q @ s @ q.T), cloud(zero, q @ t @ q.T)) == pytest.approx(expected)
    assert expected > 0.1


def test_fid_of_a_cloud_to_itself_is_0(rng):
    for _ in range(10):
        x = rng.normal(size=(50, 6)) * [1, 2, 3, 100, 0, 0]
        assert 0 <= fid(x, x) < 1e-9


def test_fid_of_constant_points_is_their_squared_distance():
    assert fid(np.zeros((9, 2)), np.full((9, 2), 3.0)) == pytest.approx(18)


@pytest.mark.parametrize(("n", "d"), [(200, 4), (400, 20), (1000, 20)])
def test_fid_of_equal_distributions_has_the_bias_of_first_order_in_1_over_n(n, d, rng):
    found = np.mean([fid(*rng.normal(size=(2, n, d))) for _ in range(40 if d > 9 else 400)])
    assert found == pytest.approx(d * (d + 5) / (2 * n), rel=0.08)


def test_fid_takes_tensors_too(rng):
    x, y = rng.normal(size=(2, 30, 3))
    assert fid(tg.Tensor(tg.xp.asarray(x)), y) == fid(x, y)


# --- KID ------------------------------------------------------------------------------------------


def naive_kid(x, y):
    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    return (
        sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * sum(k(a, b) for a in x for b in y) / (n * m)
    )


def naive_error(x, y):
    """The jackknife estimate, leaving out one point at a time"""
    without_x = [naive_kid(np.delete(x, i, 0), y) for i in range(len(x))]
    without_y = [naive_kid(x, np.delete(y, j, 0)) for j in range(len(y))]
    return math.sqrt(sum((len(v) - 1) * np.var(v) for v in (without_x, without_y)))


@pytest.mark.parametrize(("n", "m"), [(3, 3), (4, 9), (10, 5)])
def test_kid_and_its_error_are_the_definition(n, m, rng, monkeypatch):
    monkeypatch.setattr(distances, "ROWS", 4)
    x, y = rng.normal(size=(n, 2)), 1 + rng.normal(size=(m, 2))
    found = kid(x, y)
    assert found.value == pytest.approx(naive_kid(x, y), rel=1e-11)
    assert found.error == pytest.approx(naive_error(x, y), rel=1e-9)


def test_kid_of_equal_distributions_has_mean_0_for_any_n(rng):
    for n in (5, 40):
        found = np.array([kid(*rng.normal(size=(2, n, 3))).value for _ in range(2000)])
        assert abs(found.mean()) < 4 * found.std() / math.sqrt(len(found))
        assert (found < 0).mean() > 0.3  # unbiased, so sometimes negative


def test_the_error_of_kid_is_about_its_standard_deviation(rng):
    pairs = [(rng.normal(size=(60, 3)), 0.7 + rng.normal(size=(60, 3))) for _ in range(300)]
    found = [kid(x, y) for x, y in pairs]
    variance = np.mean([e.error**2 for e in found])
    assert variance == pytest.approx(np.var([e.value for e in found]), rel=0.3)


def test_kid_of_gaussians_in_one_dimension_is_known(rng):
    # E(x x′ + 1)³ = 1 + 3 E[x]² + 3 E[x²]² + E[x³]²; of N(0, 1) that is 4, of N(1, 1) 32, mixed 7
    x, y = rng.normal(size=(2, 4000, 1))
    found = kid(x, y + 1)
    assert abs(found.value - (4 + 32 - 2 * 7)) < 4 * found.error < 6


# --- precision and recall -------------------------------------------------------------------------


def naive_share(points, cloud, k):
    """The fraction of points within the k-th neighbour's distance of a point of the cloud"""
    radii = [sorted(math.dist(a, b) for b in cloud)[k] for a in cloud]  # [0] is the point itself
    near = [any(math.dist(p, c) <= r for c, r in zip(cloud, radii, strict=True)) for p in points]
    return np.mean(near)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_the_definition(k, rng, monkeypatch):
    monkeypatch.setattr(distances, "ROWS", 7)
    x, y = rng.normal(size=(30, 2)), 1.5 + rng.normal(size=(40, 2)) * 0.5
    found = precision_recall(x, y, k)
    assert found == (naive_share(x, y, k), naive_share(y, x, k))
    assert 0 < found[0] < 1 and 0 < found[1] < 1 and found[0] != found[1]


def test_good_samples_of_one_mode_have_high_precision_and_low_recall(rng):
    y = rng.normal(size=(200, 2)) + np.repeat([[0, 0], [50, 0]], 100, axis=0)
    x = rng.normal(size=(200, 2))
    precision, recall = precision_recall(x, y)
    assert precision > 0.9 and 0.4 < recall < 0.55


def test_samples_that_are_the_real_images_have_precision_and_recall_1(rng):
    x = rng.normal(size=(20, 5)).astype(np.float32)
    assert precision_recall(x, x[::-1]) == (1, 1)


def test_equal_points_far_from_0_lie_among_each_other(rng):
    for _ in range(20):
        x = np.repeat(100 * rng.normal(size=(1, 64)), 40, axis=0)
        assert precision_recall(x[:5], x) == (1, 1)
        assert precision_recall(x[:5], x + 1e-2) == (0, 0)


def test_one_point_far_away_does_not_change_what_is_among_the_others(rng):
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 0.5
    far = np.full((1, 3), 1e6)
    before, after = precision_recall(x, y), precision_recall(x, np.concatenate([y, far]))
    assert before[0] <= after[0] <= before[0] + 1 / 60
    assert after[1] * 61 == pytest.approx(before[1] * 60)
    assert 0 < before[1] < 1


# --- the energy distance --------------------------------------------------------------------------


def mean(pairs):
    distances = [math.dist(a, b) for a, b in pairs]
    return math.fsum(distances) / len(distances)


def by_loops(x, y):
    return (
        2 * mean(itertools.product(x, y))
        - mean(itertools.permutations(x, 2))
        - mean(itertools.permutations(y, 2))
    )


@given(n=st.integers(2, 9), m=st.integers(2, 9), d=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_energy_distance_is_its_definition(n, m, d, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), 1 + 2 * rng.normal(size=(m, d))
    assert energy_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-12, abs=1e-12)


def test_the_energy_distance_does_not_depend_on_the_batch_size(rng, monkeypatch):
    x, y = rng.normal(size=(23, 2)), rng.normal(size=(11, 2))
    monkeypatch.setattr(distances, "ROWS", 5)
    assert energy_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-12)


def test_for_equal_distributions_its_mean_is_0_and_it_has_both_signs(rng):
    found = [energy_distance(*rng.normal(size=(2, 40, 2))) for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    assert min(found) < 0 < max(found)


def test_for_shifted_gaussians_it_is_the_closed_form(rng):
    # E|Z + μ|, Z ~ N(0, 2), is 2/√π e^(−μ²/4) + μ erf(μ/2)
    mu, n = 0.8, 4000
    between = 2 / math.sqrt(math.pi) * math.exp(-(mu**2) / 4) + mu * math.erf(mu / 2)
    expected = 2 * between - 2 * 2 / math.sqrt(math.pi)
    found = energy_distance(rng.normal(size=(n, 1)), mu + rng.normal(size=(n, 1)))
    assert found == pytest.approx(expected, rel=0.1)


def test_it_detects_a_difference_in_spread_alone(rng):
    x, y, wide = rng.normal(size=(3, 1000, 2)) * np.array([1, 1, 1.3])[:, None, None]
    assert energy_distance(x, wide) > 10 * abs(energy_distance(x, y))


@given(seed=st.integers(0, 99), factor=st.floats(0.01, 100))
def test_it_scales_with_the_points_and_ignores_shifts_order_and_rotation(seed, factor):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(7, 2)) + 1
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    moved = [factor * rng.permutation(points) @ turned + 3 for points in (x, y)]
    assert energy_distance(*moved) == pytest.approx(factor * energy_distance(x, y), rel=1e-9)
    assert energy_distance(y, x) == pytest.approx(energy_distance(x, y), rel=1e-12)


def test_points_that_are_far_from_0_keep_their_digits(rng):
    x, y = rng.normal(size=(2, 30, 2))
    assert energy_distance(x + 1e6, y + 1e6) == pytest.approx(energy_distance(x, y), abs=1e-8)


def test_float32_and_tensors_are_accepted(rng):
    x, y = rng.normal(size=(2, 30, 2)).astype(np.float32)
    found = energy_distance(tg.Tensor(tg.xp.asarray(x)), y)
    assert found == pytest.approx(by_loops(x.astype(float), y.astype(float)), rel=1e-9)


# --- invalid arguments ----------------------------------------------------------------------------

X = np.zeros((9, 3))


@pytest.mark.parametrize(
    ("use", "pattern"),
    [
        (lambda: fid(X[:3], X), "fid: .* > 3 rows .* 3 and 9"),
        (lambda: fid(X, X[:1]), r"fid: .*`real` \(n ≥ 2, d\), got float64 \(1, 3\)"),
        (lambda: fid(X, X[:, :2]), r"fid: .*`real` \(n, 3\), got \(9, 2\)"),
        (lambda: fid(X[0], X), r"fid: .*`samples`.* float64 \(3,\)"),
        (lambda: fid(X.astype(str), X), "`samples`.* <U32"),
        (lambda: fid(np.array([[0, math.nan], [math.inf, 0]]), X), "finite `samples`"),
        (lambda: kid(X[:2], X), r"kid: .*`samples` \(n ≥ 3, d\), got float64 \(2, 3\)"),
        (lambda: kid(X, X[:2]), r"kid: .*`real`.* \(2, 3\)"),
        (lambda: kid(X, X[:, :2]), r"kid: .*`real`.* \(9, 2\)"),
        (lambda: precision_recall(X, X[:, :2]), r"precision_recall: .*`real`.* \(9, 2\)"),
        (lambda: precision_recall(X, X[:3]), r"precision_recall: .*`real` \(n ≥ 4, d\)"),
        (lambda: precision_recall(X, X, 0), "precision_recall: .*`k`.* ≥ 1, got 0"),
        (lambda: precision_recall(X, X, True), "`k`.* got True"),
        (lambda: energy_distance(X[:1], X), r"energy_distance: .*`x` \(n ≥ 2, d\).* \(1, 3\)"),
        (lambda: energy_distance(X, X[0]), r"energy_distance: .*`y`.* \(3,\)"),
    ],
)
def test_invalid_arguments_are_refused(use, pattern):
    with pytest.raises(ValueError, match=pattern):
        use()
