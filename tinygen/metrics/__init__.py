"""How good samples are: FID, KID, precision and recall, and a classifier whose features they use.

Reading order: distances.py, scores.py, classifier.py, report.py.
"""

from tinygen.metrics.distances import *
from tinygen.metrics.scores import *
