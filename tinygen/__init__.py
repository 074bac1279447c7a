"""tinygen: generative models from scratch, on an autograd engine small enough to read.

Start with `Tensor`, `grad` and `gradcheck`. docs/index.md is the book; README.md in this folder
lists the packages. They load on first use, so that `import tinygen` stays fast.
"""

import importlib
from typing import TYPE_CHECKING

from tinygen import autograd
from tinygen._names import missing
from tinygen.autograd import *
from tinygen.testing import GradientError, Report, gradcheck

if TYPE_CHECKING:
    from tinygen import assignments as assignments
    from tinygen import data as data
    from tinygen import diffusion as diffusion
    from tinygen import distributed as distributed
    from tinygen import flow as flow
    from tinygen import gan as gan
    from tinygen import image as image
    from tinygen import metrics as metrics
    from tinygen import models as models
    from tinygen import nn as nn
    from tinygen import optim as optim
    from tinygen import run as run
    from tinygen import strategies as strategies
    from tinygen import vae as vae

__version__ = "0.1.0"

PACKAGES = (
    "assignments data diffusion distributed flow gan image metrics "
    "models nn optim run strategies vae"
).split()

if not TYPE_CHECKING:  # type checkers follow the star imports and the imports above
    __all__ = [*autograd.__all__, "GradientError", "Report", "gradcheck"]

    def __getattr__(name: str) -> object:
        """Import `tinygen.vae` or another package on first use."""
        if name in PACKAGES:
            return importlib.import_module(f"tinygen.{name}")
        raise missing("tinygen", name)


def __dir__() -> list[str]:
    return sorted([*globals(), *PACKAGES])
