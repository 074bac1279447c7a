"""Pictures worth looking at, each in one call: `image.grid("samples.png", images)`.

First comes where the picture goes, a path, whose file is replaced only by a whole one, or for all
but animations an `Axes` of a figure of your own; then what it shows, as arrays or Tensors. The
same input gives the same bytes.

Reading order: style.py, grids.py, plots.py, distributions.py, trajectories.py, animations.py.
"""

from tinygen.image.animations import *
from tinygen.image.distributions import *
from tinygen.image.grids import *
from tinygen.image.plots import *
