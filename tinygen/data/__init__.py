"""Data: published and synthetic sets, your own pictures, batches, augmentation."""

from tinygen.data.augment import *
from tinygen.data.batches import *
from tinygen.data.fetch import Unavailable as Unavailable
from tinygen.data.image_folder import *
from tinygen.data.points_2d import checkerboard as checkerboard
from tinygen.data.points_2d import grid as grid
from tinygen.data.points_2d import moons as moons
from tinygen.data.points_2d import pinwheel as pinwheel
from tinygen.data.points_2d import ring as ring
from tinygen.data.points_2d import swirl as swirl
from tinygen.data.scenes import *
from tinygen.data.sets import *
from tinygen.data.synthetic_digits import digits as digits
from tinygen.data.synthetic_shapes import SHAPES as SHAPES
from tinygen.data.synthetic_shapes import shapes as shapes
from tinygen.data.words import *
