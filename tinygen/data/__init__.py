"""Data: published sets, synthetic ones, your own pictures; batches and augmentation.

Reading order: sets.py (`load`), batches.py, augment.py; then where images come from: mnist.py and
fetch.py, synthetic_digits.py, synthetic_shapes.py, points_2d.py, image_folder.py.
"""

from tinygen.data.augment import *
from tinygen.data.batches import *
from tinygen.data.fetch import *
from tinygen.data.image_folder import *
from tinygen.data.mnist import *
from tinygen.data.points_2d import *
from tinygen.data.sets import *
from tinygen.data.synthetic_digits import *
from tinygen.data.synthetic_shapes import *
