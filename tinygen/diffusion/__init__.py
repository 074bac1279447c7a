"""Diffusion models. Reading order: schedule.py, model.py, samplers.py, editing.py."""

from tinygen._batch import drop_labels as drop_labels
from tinygen.diffusion import editing as editing
from tinygen.diffusion import samplers as samplers
from tinygen.diffusion.model import *
from tinygen.diffusion.schedule import *
