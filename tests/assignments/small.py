"""A small assignment for the tests of the kit: two questions, of 4 and 2 points."""

from tinygen.assignments.source import Assignment

MASTER = '''\
# Assignment 99: small
# file: small.py
# uses: {uses}

# %% [markdown]
# # A small assignment
#
# ## 1. Cubes [4]

# %%
import numpy as np

SIZE = 3


def cube(x):
    """x³"""
    return x**3


def cube_backward(g, x):
    """x̄"""
    # BEGIN SOLUTION
    return g * 3 * x**2
    # END SOLUTION


# %% [markdown]
# ## 2. Sums [2]


# %%
def total(x):
    """Σ x"""
    # BEGIN SOLUTION
    return x.sum()
    # END SOLUTION
'''
VISIBLE = """\
from tinygen.assignments import check, gradient, value


@check(1, "the gradient of a cube", points=1)
def visible(student, reference, rng):
    gradient(student.cube_backward, reference.cube, rng.normal(size=reference.SIZE))
"""
HIDDEN = """\
from tinygen.assignments import check, gradient, require, value


@check(1, "the gradient of any cube", points=2)
def gradients(student, reference, rng):
    for _ in range(2):
        gradient(student.cube_backward, reference.cube, rng.normal(size=(2, rng.integers(2, 5))))


@check(1, "a value of the gradient", points=1)
def at_two(student, reference, rng):
    x, g = rng.normal(size=4), rng.normal(size=4)
    found = student.cube_backward(g, x)
    value(found, reference.cube_backward(g, x), "x̄", {"the 3 is missing": g * x**2})


@check(2, "the sum", points=2)
def sums(student, reference, rng):
    x = rng.normal(size=5)
    value(student.total(x), reference.total(x), "Σ x")
"""


def small(folder, uses="numpy"):
    """The assignment, in a new folder."""
    for name, text in {"master": MASTER, "visible": VISIBLE, "hidden": HIDDEN}.items():
        (folder / f"{name}.py").write_text(text.replace("{uses}", uses), "utf-8")
    return Assignment(folder)
