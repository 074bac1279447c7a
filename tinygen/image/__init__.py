"""Plots, one call each: `image.grid("samples.png", images)`.

The first argument is a path, or an `Axes` of your own figure (except for animations). Data are
arrays or Tensors. The same input gives the same bytes.

Reading order: style.py, grids.py, plots.py, distributions.py, trajectories.py, animations.py.
"""

from tinygen.image.animations import *
from tinygen.image.distributions import *
from tinygen.image.grids import *
from tinygen.image.plots import *
