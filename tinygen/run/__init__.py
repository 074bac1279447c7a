"""A training run: a folder with settings, log and checkpoint, from which it resumes exactly.

Reading order: run.py, checkpoint.py, folder.py, logbook.py; commandline.py serves the examples.
"""

from tinygen.optim import NotFinite as NotFinite
from tinygen.run.folder import *
from tinygen.run.logbook import *
from tinygen.run.run import *
