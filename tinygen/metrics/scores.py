"""Scores of samples: similarity to real images, variety, and balance of the classes.

    network = classifier.pretrained("mnist")
    scores = evaluate(network.predict(samples), network.predict(real), rng=np.random.default_rng(0))
    print(table({"mine": scores}))

A score means little alone: with more samples from the same model, FID falls and recall rises. So
each comes with a *baseline*, the score of equally many real images, and a confidence interval.

Notation: n samples, K classes. Reading order: scores of classes and modes; `evaluate`; `table`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygen._batch import host
from tinygen._checks import expect, generator, whole
from tinygen._html import table as html_table
from tinygen._types import Array, ArrayLike, Rng
from tinygen.metrics.classifier import Predictions
from tinygen.metrics.distances import clouds, fid, kid, precision_recall, rows

__all__ = ["Balance", "Modes", "Score", "balance", "bits_per_dimension", "evaluate"]
__all__ += ["inception_score", "modes", "table"]

PAIRWISE = 5000  # limit of images per set for KID, precision and recall in `evaluate`
TAILS = (0.5 - 0.95 / 2, 0.5 + 0.95 / 2)  # the quantiles at the ends of an interval
BOUNDS = {"FID": (0.0, math.inf), "KID": (-math.inf, math.inf)}  # of other scores: 1, K
BOUNDS |= {"precision": (0.0, 1.0), "recall": (0.0, 1.0)}


def inception_score(probabilities: ArrayLike) -> float:
    """exp E KL(p(y|x) ‖ p(y)), from 1 to K: high for confident and varied predictions

    `probabilities` (n, K) are a classifier's; p(y) is their mean. (Salimans et al. 2016) It does
    not measure whether images look real.
    """
    (p,) = clouds("inception_score", 1, probabilities=probabilities)
    p, sums = p.astype(np.float64), p.sum(axis=1, keepdims=True, dtype=np.float64)
    if p.min() < 0 or abs(sums - 1).max() > 1e-3:
        raise ValueError("inception_score: expected `probabilities` ≥ 0 whose rows sum to 1")
    p = p / sums
    marginal = p.mean(axis=0)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)  # 0 log 0 = 0
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))


class Balance(NamedTuple):
    """`counts` (K,), the number of classes `present`, the `effective` number: exp of the entropy"""

    counts: Array
    present: int
    effective: float


def balance(labels: ArrayLike, classes: int) -> Balance:
    """How many of the labels (n,) are of each class from 0 to `classes` − 1

    For stacked MNIST, whose channels are digits a, b and c, the label is 100 a + 10 b + c.
    """
    whole("balance", 1, classes=classes)
    y = host(labels)
    fits = y.ndim == 1 and y.dtype.kind in "iu" and y.size and 0 <= y.min() <= y.max() < classes
    if not fits:
        raise ValueError(f"balance: expected `labels` (n,), ints from 0 to {classes - 1}, got {y}")
    counts = np.bincount(y, minlength=classes)
    p = counts[counts > 0] / y.size
    return Balance(counts, len(p), float(np.exp(-(p * np.log(p)).sum())))


class Modes(NamedTuple):
    """The number of modes `captured`, the fraction of `high_quality` samples, `counts` per mode"""

    captured: int
    high_quality: float
    counts: Array


def modes(points: ArrayLike, means: ArrayLike, std: float, *, within: float = 3.0) -> Modes:
    """Which modes of a Gaussian mixture with `means` (K, d) the samples `points` (n, d) cover

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
    """A `value`, its 95 % interval from `low` to `high`, and the `baseline` of real images"""

    value: float
    low: float
    high: float
    baseline: float


def evaluate(
    samples: Predictions, real: Predictions, *, rng: Rng, times: int = 100
) -> dict[str, Score]:
    """FID, KID, inception score, precision, recall and the effective number of classes of n samples

    `real` must have at least 2n images. A random n of them replace the samples for the baselines,
    and the rest serves as the reference for both. KID, precision and recall use only n images of
    the reference, and at most 5000 of each set.

    Intervals are the spread of `times` bootstrap samples; KID's is ±1.96 standard errors. Those of
    precision and recall are about a quarter too narrow: the radii around points are not resampled.
    """
    whole("evaluate", 2, times=times)
    n, m = len(samples.features), len(real.features)
    if m < 2 * n:
        raise ValueError(f"evaluate: expected at least 2 n real images, n = {n}, got {m}")
    order = generator("evaluate", rng).permutation(m)
    stand_in, reference = (Predictions(*(a[i] for a in real)) for i in (order[:n], order[n:]))
    baselines, _ = _values(stand_in, reference)
    values, kid_error = _values(samples, reference)

    # bootstrap samples have the bias of smaller sets, so use only their spread
    x, y, p = samples.features, reference.features, samples.probabilities
    labels, K, few = samples.labels, p.shape[1], min(n, PAIRWISE)
    resampled: dict[str, list[float]] = {name: [] for name in values}
    for _ in range(times):
        i, j = rng.integers(n, size=n), rng.integers(m - n, size=m - n)
        resampled["FID"].append(fid(x[i], y[j]))
        resampled["inception score"].append(inception_score(p[i]))
        resampled["classes"].append(balance(labels[i], K).effective)
        for name in ("precision", "recall"):
            resampled[name].append(rng.binomial(few, values[name]) / few)
    scores = {}
    for name, value in values.items():
        least, most = BOUNDS.get(name, (1.0, K))
        if name == "KID":
            low, high = -1.96 * kid_error, 1.96 * kid_error
        else:
            spread = np.asarray(resampled[name]) - np.mean(resampled[name])
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


class Table(str):
    """Text in columns, which a notebook shows as a table of the `cells`"""

    cells: list[list[str]]

    def _repr_html_(self) -> str:
        return html_table(self.cells[1:], self.cells[0])


def table(runs: Mapping[str, Mapping[str, Score]]) -> Table:
    """The scores of runs as text: for each run its values, their intervals, and the baselines"""
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
    lines_of = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells)
    text = Table("\n".join("  ".join(line).rstrip() for line in lines_of))
    text.cells = cells
    return text


def _short(value: float) -> str:
    """Three significant digits, without an exponent for large numbers."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def bits_per_dimension(nats: Any, dimensions: int, levels: int = 1) -> Any:
    """−log p(x) of an image in nats, converted to bits per dimension

    If p is the density of grey values scaled from `levels` levels, such as 256, to [0, 1], adding
    log₂ `levels` gives the value for the unscaled levels, as papers report it.
    """
    whole("bits_per_dimension", 1, dimensions=dimensions, levels=levels)
    return np.asarray(nats) / (dimensions * math.log(2)) + math.log2(levels)
