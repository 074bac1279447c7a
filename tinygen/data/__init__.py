"""Data: published sets, synthetic ones, your own pictures; batches and augmentation.

Reading order: sets.py (`load`), batches.py, augment.py; then where images come from: mnist.py and
fetch.py, synthetic_digits.py, synthetic_shapes.py, points_2d.py, image_folder.py.
"""

from tinygen.data.augment import binarize, crop, flip, noise, rotate, shift
from tinygen.data.batches import Batches
from tinygen.data.fetch import Unavailable
from tinygen.data.image_folder import pictures, resize
from tinygen.data.mnist import Labelled
from tinygen.data.points_2d import checkerboard, grid, moons, pinwheel, ring, swirl
from tinygen.data.sets import NotFound, load
from tinygen.data.synthetic_digits import digits
from tinygen.data.synthetic_shapes import shapes

__all__ = [
    "Batches",
    "Labelled",
    "NotFound",
    "Unavailable",
    "binarize",
    "checkerboard",
    "crop",
    "digits",
    "flip",
    "grid",
    "load",
    "moons",
    "noise",
    "pictures",
    "pinwheel",
    "resize",
    "ring",
    "rotate",
    "shapes",
    "shift",
    "swirl",
]
