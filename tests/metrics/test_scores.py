"""Scores of classes and modes, `evaluate` with its baselines and intervals, and the table."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinygen as tg
from tinygen import metrics
from tinygen.data import points_2d
from tinygen.metrics import Score, balance, distances, evaluate, inception_score, modes
from tinygen.metrics.classifier import Predictions

# --- inception score ------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_the_inception_score_of_confident_and_even_classes_is_their_number(classes):
    assert inception_score(np.tile(np.eye(classes), (3, 1))) == pytest.approx(classes)


def test_the_inception_score_of_identical_images_is_1(rng):
    p = rng.dirichlet(np.ones(10))
    assert inception_score(np.tile(p, (7, 1))) == pytest.approx(1)
    assert inception_score([[0.0, 1.0]]) == 1


def test_the_inception_score_is_the_exponential_of_the_mutual_information():
    # H(y) − H(y|x), with H(y|x) that of (0.9, 0.1) and H(y) that of a fair coin
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    found = inception_score([[0.9, 0.1], [0.1, 0.9]])
    assert found == pytest.approx(math.exp(math.log(2) - entropy))


def test_a_tiny_probability_gives_no_nan_and_no_large_score():
    assert inception_score([[1.0, 0.0], [1.0, 0.0]]) == 1
    assert inception_score(np.array([[1, 1e-45], [1, 0]], np.float32)) == pytest.approx(1)


def test_the_inception_score_is_its_formula_also_for_small_probabilities(rng):
    p = rng.dirichlet(np.full(5, 0.1), size=30) + 1e-4
    p /= p.sum(axis=1, keepdims=True)
    marginal = [sum(row[k] for row in p) / 30 for k in range(5)]
    divergences = [
        sum(q * math.log(q / r) for q, r in zip(row, marginal, strict=True)) for row in p
    ]
    assert inception_score(p) == pytest.approx(math.exp(sum(divergences) / 30), rel=1e-12)


@given(arrays(float, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.floats(0, 1)))
def test_the_inception_score_is_from_1_to_the_number_of_classes(p):
    p[p.sum(axis=1) == 0] = 1
    p /= p.sum(axis=1, keepdims=True)
    assert 1 - 1e-12 <= inception_score(p) <= p.shape[1] + 1e-12


# --- balance and modes ----------------------------------------------------------------------------


def test_balance_counts_classes_and_their_effective_number():
    counts, present, effective = balance([0, 2, 2, 0], 4)
    assert (counts.tolist(), present) == ([2, 0, 2, 0], 2)
    assert effective == pytest.approx(2)
    assert balance(np.full(5, 3, np.uint8), 10)[1:] == (1, 1)
    assert balance(np.arange(1000), 1000)[1:] == (1000, pytest.approx(1000))


def test_the_effective_number_of_uneven_classes_is_the_exponential_of_their_entropy():
    expected = math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert balance([1, 0, 1, 1], 2).effective == pytest.approx(expected)


def test_the_quality_of_a_mixtures_own_samples_is_a_rayleigh_probability(rng):
    x, labels = points_2d.ring(20_000, rng=rng)
    found = modes(x, points_2d.ring_means(), 0.01)
    assert found.captured == 8
    assert found.high_quality == pytest.approx(1 - math.exp(-9 / 2), abs=0.002)  # P(r ≤ 3σ)
    np.testing.assert_allclose(found.counts, np.bincount(labels), atol=80)
    assert found.counts.sum() == round(20_000 * found.high_quality)


def test_a_mode_is_captured_by_one_sample_within_three_deviations(monkeypatch):
    monkeypatch.setattr(distances, "ROWS", 2)
    means = [[0, 0], [10, 0], [20, 0]]
    x = [[2.9, 0], [0, 3.1], [10, 2.9], [10, 0], [20, 3.1]]
    captured, high_quality, counts = modes(x, means, 1.0)
    assert (captured, high_quality, counts.tolist()) == (2, 0.6, [1, 2, 0])
    assert modes(x, means, 1.0, within=3.2)[:2] == (3, 1)
    assert modes(x, means, 2.0).counts.tolist() == [2, 2, 1]


def test_a_sample_between_modes_counts_for_the_nearer_one():
    assert modes([[0.6, 0]], [[0, 0], [1, 0]], 1.0).counts.tolist() == [0, 1]


def test_points_of_any_dimension_have_modes():
    assert modes([[0.0], [5.0]], [[0], [9]], 1.0)[:2] == (1, 0.5)


def test_points_may_be_tensors_and_labels_too():
    assert modes(tg.Tensor(tg.xp.zeros((2, 2))), [[0, 0]], 1.0).captured == 1
    assert balance(tg.Tensor(tg.xp.asarray([0, 1])), 2).present == 2


# --- evaluate and table ---------------------------------------------------------------------------

D, K = 6, 4


def predict(n, rng, mean=0.0, classes=K):
    """Gaussian features, and confident predictions of the first `classes` classes"""
    labels = rng.integers(classes, size=n)
    return Predictions((mean + rng.normal(size=(n, D))).astype("f4"), np.eye(K, dtype="f4")[labels])


def test_only_scores_of_real_images_are_near_their_baselines(rng):
    real = predict(600, rng)
    same = evaluate(predict(200, rng), real, rng=rng)
    other = evaluate(predict(200, rng, mean=1.0, classes=2), real, rng=rng)
    assert list(same) == ["FID", "KID", "inception score", "precision", "recall", "classes"]
    assert same["FID"].value == pytest.approx(same["FID"].baseline, abs=0.2)
    assert other["FID"].low > D * 0.6 and other["FID"].baseline < 0.5
    assert abs(same["KID"].value) < 0.5 < other["KID"].low
    assert same["inception score"].value > 3.8 and other["inception score"].value < 2.01
    assert same["classes"].baseline > 3.8 and other["classes"].high < 2.1
    for name in ("precision", "recall"):
        assert same[name].value == pytest.approx(same[name].baseline, abs=0.15)
        assert other[name].high < other[name].baseline
    for score in (*same.values(), *other.values()):
        assert score.low <= score.value <= score.high


def test_every_score_and_baseline_is_that_of_its_own_function(rng):
    samples, real = predict(80, rng, mean=0.3), predict(250, rng)
    found = evaluate(samples, real, rng=np.random.default_rng(3))
    order = np.random.default_rng(3).permutation(250)
    stand_in, reference = order[:80], order[80:]
    y = real.features[reference]
    baseline = Predictions(*(array[stand_in] for array in real))
    for field, (x, p) in {"value": samples, "baseline": baseline}.items():
        scores = {name: getattr(score, field) for name, score in found.items()}
        assert scores["FID"] == distances.fid(x, y)
        assert scores["KID"] == distances.kid(x, y[:80]).value
        assert (scores["precision"], scores["recall"]) == distances.precision_recall(x, y[:80])
        assert scores["inception score"] == inception_score(p)
        assert scores["classes"] == balance(p.argmax(axis=1), K).effective


def test_the_scores_depend_only_on_the_seed(rng):
    samples, real = predict(50, rng), predict(100, rng)
    first, again, other = (
        evaluate(samples, real, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first == again
    assert first["FID"].low != other["FID"].low


def test_pairwise_scores_use_a_limited_number_of_images(rng, monkeypatch):
    samples, real = predict(60, rng), predict(200, rng)
    monkeypatch.setattr(metrics.scores, "PAIRWISE", 40)
    found = evaluate(samples, real, rng=np.random.default_rng(0))
    y = real.features[np.random.default_rng(0).permutation(200)[60:]]
    assert found["KID"].value == distances.kid(samples.features[:40], y[:40]).value
    assert found["precision"].value * 40 == pytest.approx(round(found["precision"].value * 40))
    assert found["FID"].value == distances.fid(samples.features, y)


def test_intervals_contain_the_mean_score(rng):
    means, inside = {}, {}
    trials = [
        evaluate(predict(60, rng, mean=0.4), predict(500, rng), rng=rng, times=40)
        for _ in range(60)
    ]
    for name in ("FID", "KID", "precision", "inception score", "classes"):
        scores = [trial[name] for trial in trials]
        means[name] = np.mean([score.value for score in scores])
        inside[name] = np.mean([score.low <= means[name] <= score.high for score in scores])
    assert inside["FID"] > 0.8 and inside["KID"] > 0.8 and inside["classes"] > 0.7
    assert inside["inception score"] > 0.7
    assert inside["precision"] > 0.6  # the real images' radii vary too, but are not resampled


def test_the_interval_of_fid_contains_the_value_despite_the_bootstraps_bias(rng):
    x, y = predict(60, rng), predict(120, rng)
    fids = [evaluate(x, y, rng=np.random.default_rng(seed))["FID"] for seed in range(5)]
    for value, low, high, _ in fids:
        assert low < 0.9 * value and high > 1.1 * value


def test_few_real_images_make_an_interval_of_fid_wider(rng):
    x, few, many = (predict(n, rng, mean) for n, mean in ((40, 1.5), (80, 0.0), (2000, 0.0)))
    widths = []
    for y in (few, many):
        score = evaluate(x, y, rng=rng, times=300)["FID"]
        widths.append(score.high - score.low)
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(2), rel=0.2)  # 40 of both


def test_the_interval_of_precision_is_binomial(rng):
    found = evaluate(predict(100, rng, 0.5), predict(300, rng), rng=rng, times=500)["precision"]
    p = found.value
    assert found.high - found.low == pytest.approx(3.92 * math.sqrt(p * (1 - p) / 100), rel=0.2)


def test_intervals_stay_within_the_range_of_the_scores(rng):
    for seed in range(4):
        found = evaluate(predict(12, rng), predict(24, rng), rng=np.random.default_rng(seed))
        assert found["FID"].low >= 0
        for name in ("precision", "recall"):
            assert 0 <= found[name].low <= found[name].high <= 1
        for name in ("inception score", "classes"):
            assert 1 <= found[name].low <= found[name].high <= K
    one = Predictions(predict(12, rng).features, np.eye(K, dtype="f4")[np.zeros(12, int)])
    assert evaluate(one, predict(24, rng), rng=rng)["classes"][:3] == (1, 1, 1)


def test_intervals_shrink_with_the_root_of_the_number_of_images(rng):
    widths = []
    for n in (80, 720):
        found = evaluate(predict(n, rng, mean=0.7), predict(3 * n, rng), rng=rng, times=100)
        widths.append({name: score.high - score.low for name, score in found.items()})
    for name in ("FID", "KID", "precision"):
        assert widths[0][name] / widths[1][name] == pytest.approx(3, rel=0.5), name


def test_a_table_has_each_runs_values_intervals_and_baselines():
    one = {"FID": Score(1.23456, 1.2, 1.3, 0.5), "recall": Score(0.5, 0.4, 0.6, 0.9)}
    assert metrics.table({"first": one, "second": {"FID": Score(12345.6, 999.6, 1e6, -3e-5)}}) == (
        "                             FID      recall\n"
        "first                       1.23         0.5\n"
        "  95 % interval       1.2 to 1.3  0.4 to 0.6\n"
        "  real images                0.5         0.9\n"
        "second                     12346\n"
        "  95 % interval  1000 to 1000000\n"
        "  real images             -3e-05"
    )


def test_a_table_of_nothing_is_empty():
    assert metrics.table({}) == ""


# --- invalid arguments ----------------------------------------------------------------------------

X = np.zeros((9, 3))


@pytest.mark.parametrize(
    ("use", "pattern"),
    [
        (
            lambda rng: evaluate(predict(40, rng), predict(79, rng), rng=rng),
            "2 n .* n = 40, got 79",
        ),
        (lambda rng: evaluate(predict(6, rng), predict(20, rng), rng=rng), "> 6 rows .* 6 and 14"),
        (lambda rng: evaluate(predict(20, rng), predict(60, rng), rng=rng, times=1), "`times`.* 1"),
        (lambda rng: inception_score([[0.5, 0.4]]), "`probabilities` ≥ 0 .* sum to 1"),
        (lambda rng: inception_score([[1.5, -0.5]]), "`probabilities` ≥ 0 .* sum to 1"),
        (lambda rng: inception_score([0.5, 0.5]), r"inception_score: .*`probabilities`.* \(2,\)"),
        (lambda rng: balance([0, 4], 4), r"balance: .*`labels`.* 0 to 3, got \[0 4\]"),
        (lambda rng: balance([-1, 0], 4), r"balance: .*`labels`.* 0 to 3, got \[-1  0\]"),
        (lambda rng: balance(np.zeros(0, int), 4), "balance: .*`labels`"),
        (lambda rng: balance([0.0], 4), "balance: .*`labels`"),
        (lambda rng: balance([[0]], 4), "balance: .*`labels`"),
        (lambda rng: balance([0], 0), "balance: .*`classes`.* ≥ 1, got 0"),
        (lambda rng: modes(X, X[:, :2], 1.0), r"modes: .*`means` \(n, 3\), got \(9, 2\)"),
        (lambda rng: modes(X, X, 0), "modes: .*`std` > 0, got 0"),
        (lambda rng: modes(X, X, 1.0, within=-1), "modes: .*`within` > 0, got -1"),
        (lambda rng: modes([[math.nan, 0]], [[0, 0]], 1.0), "modes: .*finite `points`"),
    ],
)
def test_invalid_arguments_are_refused(use, pattern, rng):
    with pytest.raises(ValueError, match=pattern):
        use(rng)


def test_a_seed_instead_of_a_generator_is_refused(rng):
    with pytest.raises(TypeError, match=r"^evaluate: expected `rng` to be a NumPy Generator"):
        evaluate(predict(20, rng), predict(60, rng), rng=0)


# --- log-likelihoods, in bits ---------------------------------------------------------------------


def test_bits_per_dimension_of_a_uniform_image_are_the_bits_of_its_levels():
    assert metrics.bits_per_dimension(0.0, 784, levels=256) == 8  # density 1 on [0, 1]
    assert metrics.bits_per_dimension(784 * math.log(2), 784) == pytest.approx(1)
