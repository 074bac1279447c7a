"""Plots in the plane: densities in one scale, trajectories, animation frames, limits."""

import math
from contextlib import contextmanager

import numpy as np
from matplotlib.figure import Figure

from tinygen.data.points_2d import SETS
from tinygen.image import trajectories


def generator(seed=0):
    return np.random.default_rng(seed)


def test_both_densities_of_the_plane_are_drawn_in_one_scale(monkeypatch):
    axes = Figure().subplots(1, 2)

    @contextmanager
    def panels(*_, **__):
        yield axes

    monkeypatch.setattr(trajectories, "panels", panels)
    ring = SETS["ring"]
    half = lambda x: ring.log_density(x) - math.log(2)  # noqa: E731
    trajectories.density(None, ring.log_density, half, None, (-2, 2, -2, 2))
    true, learnt = (ax.images[0] for ax in axes)
    np.testing.assert_allclose(true.get_array().mean(), 1 / 16, rtol=0.01)  # of mass 1 on 4 × 4
    np.testing.assert_allclose(learnt.get_array().mean(), 1 / 32, rtol=0.01)
    assert true.get_clim() == learnt.get_clim() and learnt.get_clim()[0] == 0


def test_ways_are_lines_between_their_ends():
    x, ax = generator().normal(size=(5, 3, 2)), Figure().subplots()
    trajectories.ways(ax, x)
    lines = [np.stack(line.get_data(), axis=1) for line in ax.lines]
    for k in range(3):
        for line, expected in zip(lines[3 * k :], (x[:, k], x[:1, k], x[-1:, k]), strict=False):
            np.testing.assert_array_equal(line, expected)
    marks = [line.get_markerfacecolor() == "white" for line in ax.lines]
    assert marks == 3 * [False, True, False]  # ○ at the start


def test_a_moment_shows_points_on_the_left_and_guesses_on_the_right():
    x, guess, other = generator().normal(size=(3, 20, 2))
    shown, moved, guessed = (
        trajectories.moment("t", *each) for each in ((x, guess), (other, guess), (x, other))
    )
    assert shown.shape[2] == 3 and 0 <= shown.min() < shown.max() <= 1
    middle = shown.shape[1] // 2
    for picture, changed in ((moved, slice(middle)), (guessed, slice(middle, None))):
        different = (picture != shown).any(axis=(0, 2))
        assert different[changed].any() and different.sum() == different[changed].sum()


def test_a_frame_reaches_as_far_on_every_side():
    ax = trajectories.framed(Figure().subplots())
    assert ax.get_xlim() == ax.get_ylim() == (-trajectories.REACH, trajectories.REACH)
    assert ax.get_aspect() == 1 and len(ax.get_xticks()) == 0
