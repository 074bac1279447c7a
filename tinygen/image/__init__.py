"""Pictures: grids of images, curves, distributions, animations.

Reading order: grids.py, plots.py, distributions.py, animations.py; layout.py and style.py are what
they share.
"""

from tinygen.image.animations import Animation, animation
from tinygen.image.distributions import density, histogram, plane, points
from tinygen.image.grids import compare, grid, manifold, strip
from tinygen.image.plots import curves, curves_of, smoothed

__all__ = [
    "Animation",
    "animation",
    "compare",
    "curves",
    "curves_of",
    "density",
    "grid",
    "histogram",
    "manifold",
    "plane",
    "points",
    "smoothed",
    "strip",
]
