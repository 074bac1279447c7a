r"""How good samples are, as numbers: how like real images, how various, how even over classes.

    reader = classifier.pretrained("mnist")
    scores = evaluate(reader.read(samples), reader.read(real), rng=np.random.default_rng(0))
    print(table({"mine": scores}))

No number says by itself whether it is good: FID falls with more samples from the very same model,
and recall grows. So each comes with its *floor*, what as many real images come to in the samples'
place, and with an interval, how far it may be off by chance.

Notation: n samples, K classes. Reading order: what is counted by class or mode; pairs of images;
`evaluate`, which does most of it at once; `bits_per_dimension`. FID and the other scores that
compare features of samples and real images are in distances.py, the network that computes features
is in classifier.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygen._batch import host
from tinygen._checks import number, whole
from tinygen._random import generator
from tinygen._types import Array, Rng
from tinygen.metrics.classifier import Reading
from tinygen.metrics.distances import Estimate, alike, checked, fid, kid, precision_recall, rows

__all__ = [
    "Balance",
    "Modes",
    "Score",
    "balance",
    "bits_per_dimension",
    "evaluate",
    "inception_score",
    "modes",
    "psnr",
    "squared_error",
    "table",
]


PAIRWISE = 5000  # images of a kind that `evaluate` compares pair by pair, at most
LEVEL = 0.95  # of an interval


# --- what is counted by class or mode -------------------------------------------------------------


def inception_score(probabilities: Any) -> float:
    """exp E KL(p(y|x) ‖ p(y)), from 1 to K: how sure the classes are, and how various

    `probabilities` (n, K) are a classifier's; p(y) is their mean. A class of probability 0 adds
    0 log 0 = 0. (Salimans et al. 2016) It is K only if each image is surely of one class, and each
    class comes as often. That the images look real it does not see.
    """
    p = _distributions(probabilities)
    marginal = p.mean(axis=0)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))


def _distributions(probabilities: Any) -> Array:
    p = checked("inception_score", "probabilities", probabilities).astype(np.float64)
    sums = p.sum(axis=1, keepdims=True)
    if p.min() < 0 or abs(sums - 1).max() > 1e-3:
        raise ValueError(
            f"inception_score: expected rows of `probabilities` ≥ 0 whose sum is 1, "
            f"got some from {p.min():.4g} on, and sums from {sums.min():.4g} to "
            f"{sums.max():.4g}"
        )
    return p / sums


class Balance(NamedTuple):
    """How labels are spread: `counts` (K,); how many classes are `present`; the `effective` number.

    That is exp of the entropy: K if all come equally often, and 1 if it is always the same one.
    """

    counts: Array
    present: int
    effective: float


def balance(labels: Any, classes: int) -> Balance:
    """How many of the labels (n,) are of each class from 0 to `classes` − 1

    For images whose three channels are digits of their own (stacked MNIST), 100 a + 10 b + c is a
    label of 1000 classes, and `present` the number of modes.
    """
    y = np.asarray(host(labels))
    whole("balance", 1, classes=classes)
    if y.ndim != 1 or not y.size or y.dtype.kind not in "iu":
        raise ValueError(
            f"balance: expected `labels` to be ints (n,), got {y.dtype} of shape {y.shape}"
        )
    if not 0 <= y.min() <= y.max() < classes:
        raise ValueError(
            f"balance: expected `labels` from 0 to {classes - 1}, got {y.min()} to {y.max()}"
        )
    counts = np.bincount(y, minlength=classes)
    share = counts[counts > 0] / y.size
    return Balance(counts, len(share), float(np.exp(-(share * np.log(share)).sum())))


class Modes(NamedTuple):
    """How many modes are `captured`; the share of samples of `high_quality`; `counts` by mode.

    The counts (K,) are of samples of high quality only.
    """

    captured: int
    high_quality: float
    counts: Array


def modes(points: Any, means: Any, std: float, *, within: float = 3.0) -> Modes:
    """Which modes of a mixture of Gaussians, at `means` (K, d), samples (n, d) have found

    A sample is of high quality if it is within 3 std of the nearest mode; a mode is captured if it
    has one such sample. (Lin et al. 2018, section 4.1)
    """
    x, mu = checked("modes", "points", points), checked("modes", "means", means)
    alike("modes", x, mu, ("points", "means"))
    std = number("modes: expected `std` > 0", std, lambda v: v > 0)
    within = number("modes: expected `within` > 0", within, lambda v: v > 0)
    nearest, square = [], []
    for part in rows(x):
        all_squares = ((part[:, None] - mu) ** 2).sum(axis=2)  # (rows, K)
        nearest.append(all_squares.argmin(axis=1))
        square.append(all_squares.min(axis=1))
    good = np.concatenate(square) <= (within * std) ** 2
    counts = np.bincount(np.concatenate(nearest)[good], minlength=len(mu))
    return Modes(int((counts > 0).sum()), float(good.mean()), counts)


# --- pairs of images ------------------------------------------------------------------------------


def squared_error(images: Any, reconstructions: Any) -> Array:
    """The mean of (x − y)² over the pixels of each pair of images: (n,), in float64"""
    x, y = np.asarray(host(images), np.float64), np.asarray(host(reconstructions), np.float64)
    if x.shape != y.shape or x.ndim < 2 or not x.size:
        raise ValueError(
            f"squared_error: expected as many images of one shape in both, got "
            f"{x.shape} and {y.shape}"
        )
    return ((x - y) ** 2).reshape(len(x), -1).mean(axis=1)


def psnr(images: Any, reconstructions: Any) -> float:
    """−10 log₁₀ of the mean squared error, in decibels: the peak is 1. Of equal images it is ∞"""
    mean = squared_error(images, reconstructions).mean()
    return -10 * math.log10(mean) if mean else math.inf


# --- all at once, each with its floor and an interval ---------------------------------------------


class Score(NamedTuple):
    """A `value`, what it is for real images, `floor`, and its 95 % interval from `low` to `high`"""

    value: float
    low: float
    high: float
    floor: float


def evaluate(samples: Reading, real: Reading, *, rng: Rng, times: int = 100) -> dict[str, Score]:
    """FID, KID, inception score, precision, recall and the effective number of classes of n samples

    `real` are 2n images or more, in any order. At random, n of them are put into the samples' place
    for the floors, and the others are what both are compared with: for KID, precision and recall as
    many as there are samples, but of either no more than 5000.

    The intervals of FID, inception score and classes are from `times` bootstrap samples. These
    repeat some images and lack others, as smaller sets do, and so are biased as those are: their
    spread is taken, and not where they lie. KID's is ±1.96 standard errors. For precision and
    recall it is redrawn which points lie among the others, but not how far those reach: so their
    intervals are too narrow, by a quarter or so.
    """
    generator("evaluate", rng)
    n, m = len(samples.features), len(real.features)
    if m < 2 * n:
        raise ValueError(
            f"evaluate: expected 2 n real images or more, for n = {n} samples, got "
            f"{m}: half stand in for samples, and half are what these are compared "
            f"with"
        )
    whole("evaluate", 2, times=times)
    order = rng.permutation(m)
    stand_in, reference = (
        Reading(*(each[part] for each in real)) for part in (order[:n], order[n:])
    )
    floors = _values(stand_in, reference)
    found = _values(samples, reference)
    intervals = _intervals(samples, reference, found, rng, times)
    return {name: Score(found[name].value, *intervals[name], floors[name].value) for name in found}


def _values(samples: Reading, real: Reading) -> dict[str, Estimate]:
    """Each score; of KID the standard error as well, and of the others nan."""
    x, y, K = samples.features, real.features, samples.probabilities.shape[1]
    some = min(len(x), PAIRWISE)
    precision, recall = precision_recall(x[:some], y[:some])
    values: dict[str, float | Estimate] = {
        "FID": fid(x, y),
        "KID": kid(x[:some], y[:some]),
        "inception score": inception_score(samples.probabilities),
        "precision": precision,
        "recall": recall,
        "classes": balance(samples.labels, K).effective,
    }
    return {
        name: each if isinstance(each, Estimate) else Estimate(each, math.nan)
        for name, each in values.items()
    }


def _intervals(
    samples: Reading, real: Reading, found: Mapping[str, Estimate], rng: Rng, times: int
) -> dict[str, tuple[float, float]]:
    """The lower and the upper end for each score."""
    x, y, K = samples.features, real.features, samples.probabilities.shape[1]
    n, m, some = len(x), len(y), min(len(x), PAIRWISE)
    labels = samples.labels
    drawn: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(times):
        i, j = rng.integers(n, size=n), rng.integers(m, size=m)
        drawn["FID"].append(fid(x[i], y[j]))
        drawn["inception score"].append(inception_score(samples.probabilities[i]))
        drawn["classes"].append(balance(labels[i], K).effective)
        for name in ("precision", "recall"):
            drawn[name].append(rng.binomial(some, found[name].value) / some)
    value, error = found["KID"]
    bounds = {
        "FID": (0.0, math.inf),
        "precision": (0.0, 1.0),
        "recall": (0.0, 1.0),
        "inception score": (1.0, K),
        "classes": (1.0, K),
    }
    return {"KID": (value - 1.96 * error, value + 1.96 * error)} | {
        name: _spread(found[name].value, drawn[name], *ends) for name, ends in bounds.items()
    }


def _spread(value: float, drawn: Any, least: float, most: float) -> tuple[float, float]:
    """The quantiles of what was drawn about its own mean, laid about the value, where it can be."""
    tails = (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)
    low, high = np.quantile(np.asarray(drawn) - np.mean(drawn), tails)
    return min(value, max(least, value + float(low))), max(value, min(most, value + float(high)))


def table(runs: Mapping[str, Mapping[str, Score]]) -> str:
    """The scores of runs as text: for each its values, their intervals, and the floors below"""
    names = list(dict.fromkeys(name for scores in runs.values() for name in scores))
    rows = [["", *names]]
    lines: dict[str, Callable[[Score], str]] = {
        "": lambda s: _short(s.value),
        "  95 % interval": lambda s: f"{_short(s.low)} to {_short(s.high)}",
        "  real images": lambda s: _short(s.floor),
    }
    for run, scores in runs.items():
        for title, cell in lines.items():
            cells = [cell(scores[name]) if name in scores else "" for name in names]
            rows.append([title or run, *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )


def _short(value: float) -> str:
    """Three digits that count, and no exponent for a large number."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


# --- log-likelihoods, in bits ---------------------------------------------------------------------


def bits_per_dimension(nats: Any, dimensions: int, levels: int | None = None) -> Any:
    """−log p(x) of an image in nats, as bits for each of its numbers

    For a density of grey values that were scaled from `levels` levels, 256 say, to [0, 1], log₂
    of that many is added: it is the density of the levels' numbers that is comparable.
    """
    levels = 1 if levels is None else levels
    whole("bits_per_dimension", 1, dimensions=dimensions, levels=levels)
    return np.asarray(nats) / (dimensions * math.log(2)) + math.log2(levels)
