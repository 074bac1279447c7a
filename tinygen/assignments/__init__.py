"""A course of assignments on gradients and generative models, and the tools to grade them.

Reading order: checks.py is the language of tests, source.py reads an assignment's files; student.py
and child.py run a student's code, wire.py carries its arrays, allowed.py says what it may use;
grading.py and trial.py judge submissions; handout.py and visible.py are for the student.
"""

from tinygen.assignments.checks import check, gradient, require, value
from tinygen.assignments.visible import run_visible

__all__ = ["check", "gradient", "require", "run_visible", "value"]
