"""Sample quality: FID, KID, precision, recall, and the classifier whose features they compare.

Reading order: distances.py, scores.py, classifier.py, report.py.
"""

from tinygen.metrics.distances import *
from tinygen.metrics.scores import *
