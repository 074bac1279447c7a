"""How good samples are, as numbers: how like real images, how various, how even over classes.

    classify = classifier.pretrained("mnist")
    scores = evaluate(classify.predict(samples), classify.predict(real), rng=np.random.default_rng(0))
    print(table({"mine": scores}))

No number alone says whether it is good: with more samples from the same model FID falls, and recall
grows. So each comes with its *baseline*, the score of as many real images in the samples' place, and
with an interval, how far it may be off by chance.

Notation: n samples, K classes. Reading order: counts by class or mode; `evaluate`, all at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygen._batch import host
from tinygen._checks import expect, generator, whole
from tinygen._types import Array, ArrayLike, Rng
from tinygen.metrics.classifier import Predictions
from tinygen.metrics.distances import clouds, fid, kid, precision_recall, rows

__all__ = ["Balance", "Modes", "Score", "balance", "bits_per_dimension", "evaluate"]
__all__ += ["inception_score", "modes", "table"]

PAIRWISE = 5000  # images of a kind that `evaluate` compares pair by pair, at most
TAILS = (0.5 - 0.95 / 2, 0.5 + 0.95 / 2)  # between these quantiles is an interval
BOUNDS = {"FID": (0.0, math.inf), "KID": (-math.inf, math.inf)}  # of others 1, K
BOUNDS |= {"precision": (0.0, 1.0), "recall": (0.0, 1.0)}


def inception_score(probabilities: ArrayLike) -> float:
    """exp E KL(p(y|x) ‖ p(y)), from 1 to K: how sure the classes are, and how various

    `probabilities` (n, K) are a classifier's; p(y) is their mean. (Salimans et al. 2016) That the
    images look real it does not see.
    """
    (p,) = clouds("inception_score", 1, probabilities=probabilities)
    p, sums = p.astype(np.float64), p.sum(axis=1, keepdims=True, dtype=np.float64)
    if p.min() < 0 or abs(sums - 1).max() > 1e-3:
        raise ValueError("inception_score: expected rows of `probabilities` ≥ 0 whose sum is 1")
    p = p / sums
    marginal = p.mean(axis=0)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)  # 0 log 0 = 0
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))


class Balance(NamedTuple):
    """`counts` (K,), how many are `present`, and the `effective` number: exp of the entropy"""

    counts: Array
    present: int
    effective: float


def balance(labels: ArrayLike, classes: int) -> Balance:
    """How many of the labels (n,) are of each class from 0 to `classes` − 1

    Of stacked MNIST, whose channels are digits a, b and c, 100 a + 10 b + c is a label.
    """
    whole("balance", 1, classes=classes)
    y = host(labels)
    fits = y.ndim == 1 and y.dtype.kind in "iu" and y.size and 0 <= y.min() <= y.max() < classes
    if not fits:
        raise ValueError(f"balance: expected `labels` (n,), ints from 0 to {classes - 1}, got {y}")
    counts = np.bincount(y, minlength=classes)
    share = counts[counts > 0] / y.size
    return Balance(counts, len(share), float(np.exp(-(share * np.log(share)).sum())))


class Modes(NamedTuple):
    """How many modes are `captured`; the share of samples of `high_quality`; their `counts` (K,)"""

    captured: int
    high_quality: float
    counts: Array


def modes(points: ArrayLike, means: ArrayLike, std: float, *, within: float = 3.0) -> Modes:
    """Which modes of a mixture of Gaussians, at `means` (K, d), samples (n, d) have found

    A sample is of high quality if it is within 3 std of the nearest mode; a mode is captured if it
    has one such sample. (Lin et al. 2018, section 4.1)
    """
    x, mu = clouds("modes", 1, points=points, means=means)
    expect("modes", "> 0", std=std, within=within)
    squares = np.concatenate([((part[:, None] - mu) ** 2).sum(2) for part in rows(x)])  # (n, K)
    good = squares.min(axis=1) <= (within * std) ** 2
    counts = np.bincount(squares.argmin(axis=1)[good], minlength=len(mu))
    return Modes(int((counts > 0).sum()), float(good.mean()), counts)


class Score(NamedTuple):
    """A `value`, what it is for real images, `baseline`, and its 95 % interval from `low` to `high`"""

    value: float
    low: float
    high: float
    baseline: float


def evaluate(
    samples: Predictions, real: Predictions, *, rng: Rng, times: int = 100
) -> dict[str, Score]:
    """FID, KID, inception score, precision, recall and the effective number of classes of n samples

    `real` are 2n images or more. At random, n of them take the samples' place for the baselines, and
    the others are what both are compared with: for KID, precision and recall as many as there are
    samples, and at most 5000 of either.

    Intervals are the spread of `times` bootstrap samples; KID's is ±1.96 standard errors. For
    precision and recall it is redrawn which points lie among the others, but not how far those
    reach: these intervals are too narrow, by a quarter or so.
    """
    whole("evaluate", 2, times=times)
    n, m = len(samples.features), len(real.features)
    if m < 2 * n:
        raise ValueError(f"evaluate: expected 2 n real images or more, for n = {n}, got {m}")
    order = generator("evaluate", rng).permutation(m)
    stand_in, reference = (Predictions(*(a[i] for a in real)) for i in (order[:n], order[n:]))
    baselines, _ = _values(stand_in, reference)
    values, kid_error = _values(samples, reference)

    # the bootstrap, whose samples are biased as smaller sets are: only their spread is taken
    x, y, p = samples.features, reference.features, samples.probabilities
    labels, K, few = samples.labels, p.shape[1], min(n, PAIRWISE)
    redrawn: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(times):
        i, j = rng.integers(n, size=n), rng.integers(m - n, size=m - n)
        redrawn["FID"].append(fid(x[i], y[j]))
        redrawn["inception score"].append(inception_score(p[i]))
        redrawn["classes"].append(balance(labels[i], K).effective)
        for name in ("precision", "recall"):
            redrawn[name].append(rng.binomial(few, values[name]) / few)
    scores = {}
    for name, value in values.items():
        least, most = BOUNDS.get(name, (1.0, K))
        if name == "KID":
            low, high = -1.96 * kid_error, 1.96 * kid_error
        else:
            spread = np.asarray(redrawn[name]) - np.mean(redrawn[name])
            low, high = np.quantile(spread, TAILS).tolist()
        low, high = max(least, value + low), min(most, value + high)
        scores[name] = Score(value, min(value, low), max(value, high), baselines[name])
    return scores


def _values(samples: Predictions, real: Predictions) -> tuple[dict[str, float], float]:
    """Each score, and the standard error of KID"""
    x, y, p = samples.features, real.features, samples.probabilities
    few = min(len(x), PAIRWISE)
    distance, error = kid(x[:few], y[:few])
    precision, recall = precision_recall(x[:few], y[:few])
    return {
        "FID": fid(x, y),
        "KID": distance,
        "inception score": inception_score(p),
        "precision": precision,
        "recall": recall,
        "classes": balance(samples.labels, p.shape[1]).effective,
    }, error


def table(runs: Mapping[str, Mapping[str, Score]]) -> str:
    """The scores of runs as text: for each its values, their intervals, and the baselines below"""
    names = list(dict.fromkeys(name for scores in runs.values() for name in scores))
    lines: dict[str, Callable[[Score], str]] = {
        "": lambda s: _short(s.value),
        "  95 % interval": lambda s: f"{_short(s.low)} to {_short(s.high)}",
        "  real images": lambda s: _short(s.baseline),
    }
    cells = [["", *names]] + [
        [title or run, *(show(scores[name]) if name in scores else "" for name in names)]
        for run, scores in runs.items()
        for title, show in lines.items()
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in cells
    )


def _short(value: float) -> str:
    """Three digits that count, and no exponent for a large number."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def bits_per_dimension(nats: Any, dimensions: int, levels: int = 1) -> Any:
    """−log p(x) of an image in nats, as bits for each of its numbers

    If the density is of grey values that were scaled from `levels` levels, 256 say, to [0, 1],
    log₂ `levels` makes it that of the levels' numbers, which is comparable.
    """
    whole("bits_per_dimension", 1, dimensions=dimensions, levels=levels)
    return np.asarray(nats) / (dimensions * math.log(2)) + math.log2(levels)
