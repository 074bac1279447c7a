"""A training run: a folder with its settings, log and checkpoint, that resumes exactly.

Reading order: run.py, checkpoint.py, folder.py, logbook.py, progress.py; commandline.py has the
options that the examples share.
"""

from tinygen.optim import NotFinite as NotFinite
from tinygen.run.folder import *
from tinygen.run.logbook import *
from tinygen.run.run import *
