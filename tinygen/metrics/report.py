"""Scores of an example's samples by the digit classifier, for the last line that it prints.

A network trained in seconds must not take minutes to score, so `judge` scores only images whose
classifier comes with the package, and returns None for others. examples/evaluate.py scores any.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygen import metrics
from tinygen._batch import with_labels
from tinygen._types import Array
from tinygen.metrics import classifier
from tinygen.run import Run

JUDGED = 5000  # limit of samples to score; needs twice as many held-out images


class Verdict(NamedTuple):
    """The `scores` of `metrics.evaluate`, the predicted digit of each sample, and the samples."""

    scores: dict[str, metrics.Score]
    labels: Array
    samples: Array

    def __str__(self) -> str:
        fid, values = self.scores["FID"], {name: s.value for name, s in self.scores.items()}
        return (
            f"{len(self.labels):,} samples: FID {fid.value:.2f} ({fid.low:.2f} to {fid.high:.2f}; "
            f"real-data baseline {fid.baseline:.2f}), precision {values['precision']:.2f}, "
            f"recall {values['recall']:.2f}; effective number of classes {values['classes']:.1f}"
        )


def judge(
    run: Run, args: Any, draw: Callable[[int], Any], held_out: Array, *, most: int = JUDGED
) -> Verdict | None:
    """Score `draw(n)`, images or (images, labels), against held-out images of `args.data`

    Writes `args.samples` samples to samples.npz, and the time per sample and the scores to
    results.json. Scores at most `most`; None if there are too few images or no classifier for them.
    """
    n = min(most, len(held_out) // 2)
    scored = args.data in classifier.SETS and n > classifier.FEATURES  # FID needs more than d rows
    count = max(args.samples, n * scored)
    if not count:
        return None
    start = time.perf_counter()
    samples, labels = with_labels(draw(count))
    run.results(ms_per_sample=1000 * (time.perf_counter() - start) / count)
    samples = np.clip(samples, 0, 1)
    if args.samples:
        run.samples(samples[: args.samples], None if labels is None else labels[: args.samples])
    if not scored:
        return None
    network = classifier.pretrained(args.data)
    predicted, real = network.predict(samples[:n]), network.predict(held_out)
    scores = metrics.evaluate(predicted, real, rng=np.random.default_rng(0))
    values = {name: scores[name].value for name in ("precision", "recall", "classes")}
    run.results(fid=scores["FID"].value, fid_baseline=scores["FID"].baseline, **values)
    return Verdict(scores, predicted.labels, samples[:n])
