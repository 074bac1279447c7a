"""Sample quality. Reading order: distances.py, scores.py, classifier.py, report.py."""

from tinygen.metrics.distances import *
from tinygen.metrics.scores import *
