"""How good samples are: FID, KID, precision and recall, and a classifier whose features they use.

Reading order: distances.py, scores.py, classifier.py, report.py.
"""

from tinygen.metrics.distances import (
    Estimate,
    PrecisionRecall,
    Statistics,
    energy_distance,
    fid,
    kid,
    mean_distance,
    precision_recall,
)
from tinygen.metrics.scores import (
    Balance,
    Modes,
    Score,
    balance,
    bits_per_dimension,
    evaluate,
    inception_score,
    modes,
    psnr,
    squared_error,
    table,
)

__all__ = [
    "Balance",
    "Estimate",
    "Modes",
    "PrecisionRecall",
    "Score",
    "Statistics",
    "balance",
    "bits_per_dimension",
    "energy_distance",
    "evaluate",
    "fid",
    "inception_score",
    "kid",
    "mean_distance",
    "modes",
    "precision_recall",
    "psnr",
    "squared_error",
    "table",
]
