"""Pictures worth looking at, each in one call: `image.grid("samples.png", images)`.

Every function has one shape: first where the picture goes, then what it shows, then options by
name, among them `title`. Where is a path, whose folder is made and whose file is replaced only by
a whole one; or, for all but animations, an `Axes` of a figure of your own. Arrays, GPU arrays and
Tensors are accepted. The same input gives the same bytes.

Reading order: style.py, which all share; grids.py, plots.py, distributions.py, trajectories.py,
animations.py.
"""

from tinygen.image.animations import *
from tinygen.image.distributions import *
from tinygen.image.grids import *
from tinygen.image.plots import *
