"""The last line of an example: scores of its samples by the digit classifier, and which digits.

A network trained in seconds must not take minutes to be scored, so `judge` scores only images whose
classifier comes with the package, and returns None for others. examples/evaluate.py takes any.
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

JUDGED = 5000  # samples, if there are twice as many held-out images


class Verdict(NamedTuple):
    """The `scores` of `metrics.evaluate`, which digit each sample was read as, and the samples."""

    scores: dict[str, metrics.Score]
    labels: Array
    samples: Array

    def __str__(self) -> str:
        fid, values = self.scores["FID"], {name: s.value for name, s in self.scores.items()}
        return (
            f"{len(self.labels):,} samples: FID {fid.value:.2f} ({fid.low:.2f} to {fid.high:.2f}; "
            f"as many real images {fid.baseline:.2f}), precision {values['precision']:.2f}, "
            f"recall {values['recall']:.2f}; effective number of classes {values['classes']:.1f}"
        )


def judge(
    run: Run, args: Any, draw: Callable[[int], Any], held_out: Array, *, most: int = JUDGED
) -> Verdict | None:
    """Judge what `draw(n)` gives, images or images and labels, by held-out ones of `args.data`

    It writes `args.samples` of them into samples.npz, and into results.json how long one took and
    the scores. None if there is no classifier for these images, or too few of them. No more than
    `most` are judged.
    """
    n = min(most, len(held_out) // 2)
    known = args.data in classifier.SETS and n > classifier.FEATURES  # of fewer there is no FID
    count = max(args.samples, n * known)
    if not count:
        return None
    began = time.perf_counter()
    samples, labels = with_labels(draw(count))
    run.results(ms_per_sample=1000 * (time.perf_counter() - began) / count)
    samples = np.clip(samples, 0, 1)
    if args.samples:
        run.samples(samples[: args.samples], None if labels is None else labels[: args.samples])
    if not known:
        return None
    classify = classifier.pretrained(args.data)
    read, real = classify.predict(samples[:n]), classify.predict(held_out)
    scores = metrics.evaluate(read, real, rng=np.random.default_rng(0))
    values = {name: scores[name].value for name in ("precision", "recall", "classes")}
    run.results(fid=scores["FID"].value, fid_baseline=scores["FID"].baseline, **values)
    return Verdict(scores, read.labels, samples[:n])
