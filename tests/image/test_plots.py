"""Curves, by what was put into the axes."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pictures import message, read, texts

from tinygen import image
from tinygen.image import plots

# --- curves ---------------------------------------------------------------------------------------


def lines_of(series, **more):
    """The axes, and its lines' (x, y) in the order drawn."""
    ax = Figure().subplots()
    image.curves(ax, series, **more)
    return ax, [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in ax.lines]


@given(st.lists(st.floats(-9, 9) | st.just(math.nan), max_size=12), st.floats(1, 20))
def test_a_smoothed_value_is_the_weighted_mean_of_all_that_are_there(values, span):
    d, expected = (span - 1) / (span + 1), []
    for t, value in enumerate(values):
        pairs = [(d ** abs(t - s), v) for s, v in enumerate(values) if not math.isnan(v)]
        if math.isnan(value):
            expected.append(value)
        else:
            expected.append(sum(w * v for w, v in pairs) / sum(w for w, _ in pairs))
    np.testing.assert_allclose(image.smoothed(values, span), expected, rtol=1e-9, atol=1e-9)


def test_smoothing_neither_lags_behind_a_slope_nor_weighs_more_than_its_span():
    line = image.smoothed(np.arange(401.0), 20)
    np.testing.assert_allclose(line[150:250], np.arange(150, 250), atol=1e-4)
    spike = np.zeros(401)
    spike[200] = 1
    assert 1 / image.smoothed(spike, 20)[200] == pytest.approx(20)


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([1, 99.9], False),
        ([1, 100], True),
        ([0, 1000], False),
        ([-1, 1000], False),
        ([], False),
        ([5], False),
        ([1e-9, 1e-6, 1e-7], True),
    ],
)
def test_an_axis_is_logarithmic_where_all_is_positive_and_a_hundredfold(values, log):
    assert plots.spans_decades(np.array(values, float)) is log
    if values:
        assert lines_of({"a": values})[0].get_yscale() == ("log" if log else "linear")
        for wish in (True, False):
            scale = lines_of({"a": np.abs(values) + 1}, log=wish)[0].get_yscale()
            assert scale == ("log" if wish else "linear")


def test_a_short_series_is_drawn_as_it_is_and_a_long_one_pale_under_its_mean(rng):
    _, ((x, y),) = lines_of({"a": [3.0, 1.0, 2.0]})
    assert (x.tolist(), y.tolist()) == ([0, 1, 2], [3, 1, 2])
    noise = rng.normal(size=500)
    ax, ((x, raw), (_, mean)) = lines_of({"a": (np.arange(500) * 10 + 7, noise)})
    assert x[[0, -1]].tolist() == [7, 4997]
    np.testing.assert_array_equal(raw, noise)
    np.testing.assert_allclose(mean, image.smoothed(noise, 10))
    pale, strong = ax.lines
    assert pale.get_alpha() < 0.5 and strong.get_alpha() is None
    assert pale.get_linewidth() < strong.get_linewidth() and pale.zorder < strong.zorder
    assert len(lines_of({"a": noise}, smooth=1)[1]) == 1
    for series, span in ((noise[:100], 10), (np.tile(noise, 2), 20)):
        _, (_, (_, mean)) = lines_of({"a": series})
        np.testing.assert_allclose(mean, image.smoothed(series, span))
    _, (_, (_, mean)) = lines_of({"a": noise[:50]}, smooth=7)
    np.testing.assert_allclose(mean, image.smoothed(noise[:50], 7))


def test_what_is_not_finite_leaves_a_gap_and_a_cross_at_its_step():
    ax, (line, (at, _), _) = lines_of({"a": [1.0, math.nan, 2.0, math.inf, 3.0], "b": [1.0]})
    assert np.isnan(line[1]).tolist() == [False, True, False, True, False]
    np.testing.assert_allclose(at, [1, 3], atol=0.05)
    (_, low), (_, high) = ax.bbox.get_points()
    crosses = ax.lines[1].get_transform().transform(ax.lines[1].get_xydata())
    assert (crosses[:, 1] > low).all() and (crosses[:, 1] < low + 0.05 * (high - low)).all()
    assert texts(ax) == ["a", "b", "× not finite"]
    ax, _ = lines_of({"a": [-5.0, 9.0], "lost": [math.nan]})
    assert ax.texts[1].xy == (1, 0)  # its name is at the foot
    ax, _ = lines_of({"a": [math.nan, math.nan]})
    assert texts(ax) == ["a", "× not finite"]
    ax, (line, (at, _)) = lines_of({"a": [10.0, 0.0, -1.0, 1000.0]}, log=True)
    assert np.isnan(line[1]).tolist() == [False, True, True, False]
    assert texts(ax)[-1] == "× not finite or not above 0"
    assert lines_of({"a": [0.0, -1.0]}, log=True)[0].get_ylim() == (0, 1)


def test_the_frame_holds_means_and_references_but_not_the_rarest_noise():
    noise = np.sin(np.arange(1000.0))
    noise[500] = 1e4
    ax, _ = lines_of({"a": noise, "b": [3.0]}, reference={"r": -7.0}, log=False)
    bottom, top = ax.get_ylim()
    assert bottom < -7 and image.smoothed(noise, 20).max() < top < 1e4
    ax, _ = lines_of({"a": noise}, smooth=1)
    assert ax.get_ylim()[1] > 1e4
    left, right = ax.get_xlim()
    assert -20 < left < 0 and 999 < right < 1020
    assert lines_of({"a": [5.0]})[0].get_xlim() == (-0.5, 0.5)


def test_references_are_dashed_lines_with_their_names_beside_the_series():
    ax, lines = lines_of({"loss": [1.0, 2.0]}, reference={"2 log 2": 1.386})
    assert list(lines[-1][1]) == [1.386, 1.386]
    assert ax.lines[-1].is_dashed()
    assert texts(ax) == ["loss", "2 log 2"]
    low, high = ax.get_ylim()
    places = [text.xy for text in ax.texts]
    assert places == [(1, pytest.approx((y - low) / (high - low))) for y in (2, 1.386)]


def test_names_stand_at_the_ends_of_lines_on_a_logarithmic_axis_too():
    ax, _ = lines_of({"a": [1.0, 10.0], "b": [1.0, 1000.0], "c": [1.0, 1.0]})
    heights = [text.xy[1] for text in ax.texts]
    assert heights[0] == pytest.approx((heights[1] + 2 * heights[2]) / 3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.floats(0, 0.3), st.integers(0, 9))
def test_labels_move_apart_in_order_and_as_little_as_can_be(places, gap, seed):
    moved = plots.apart(places, gap)
    order = sorted(range(len(places)), key=lambda i: places[i])
    gaps = np.diff([moved[i] for i in order])
    assert (gaps >= gap - 1e-9).all()

    def cost(candidate):
        return sum((a - b) ** 2 for a, b in zip(candidate, places, strict=True))

    rng = np.random.default_rng(seed)
    for _ in range(20):  # others that are far enough apart are no nearer
        near = np.array(moved) + rng.normal(0, 0.1, len(places)) * rng.integers(0, 2, len(places))
        if (np.diff(near[order]) >= gap).all():
            assert cost(near) >= cost(moved) - 1e-9


def test_labels_that_do_not_touch_stay_and_two_that_do_part_evenly():
    assert plots.apart([0.9, 0.1, 0.5], 0.2) == [0.9, 0.1, 0.5]
    assert plots.apart([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    assert plots.apart([0.5, 0.4, 0.0], 0.2) == pytest.approx([0.55, 0.35, 0.0])


def test_a_line_of_a_hundred_thousand_keeps_its_extremes_and_few_points(rng):
    values = rng.normal(size=100_001)
    values[[7, 70_000]] = [-50, 50]
    values[30_000:40_000] = np.nan
    steps, thin = plots.envelope(np.arange(100_001), values)
    assert len(thin) == len(steps) <= 2 * plots.BUCKETS
    assert (np.nanmin(thin), np.nanmax(thin)) == (-50, 50)
    assert np.isnan(thin).any() and (np.diff(steps) >= 0).all()
    assert abs(steps[np.nanargmax(thin)] - 70_000) <= 101
    short = np.arange(3.0)
    assert plots.envelope(short, short)[1] is short
    _, drawn = lines_of({"a": values})
    assert sum(len(x) for x, _ in drawn[:2]) <= 4 * plots.BUCKETS


@pytest.mark.parametrize(
    ("series", "more", "error", "said"),
    [
        ([1.0], {}, TypeError, "expected `series` to be a dict from names to values, got list"),
        ({}, {}, ValueError, "expected `series`, got none"),
        ({"a": []}, {}, ValueError, "`a` has no values"),
        (
            {"a": np.ones((2, 2))},
            {},
            ValueError,
            "expected `a` to be values (n,) or a tuple of "
            "steps (n,) and values (n,), got (4,) and (2, 2)",
        ),
        (
            {"a": ([1, 2], [1.0])},
            {},
            ValueError,
            "expected `a` to be values (n,) or a tuple of "
            "steps (n,) and values (n,), got (2,) and (1,)",
        ),
        ({"a": [1.0]}, {"smooth": 0}, ValueError, "expected `smooth` ≥ 1, got 0"),
        ({"a": [1.0]}, {"smooth": "9"}, ValueError, "expected `smooth` ≥ 1, got '9'"),
    ],
)
def test_what_is_no_series_is_refused(series, more, error, said):
    assert message(error, image.curves, "a.png", series, **more) == f"curves: {said}"


# --- a run's log ----------------------------------------------------------------------------------

LOG = """step,epoch,seconds,loss,kl,norm,held out
1,0.1,0.5,100,20,0.5,
2,0.2,0.9,90,nan,0.4,95
3,0.3,1.4,80,22,0.3,
4,0.4,1.9,8"""


def test_a_log_is_drawn_in_panels_for_numbers_of_one_size(tmp_path, drawn):
    (tmp_path / "log.csv").write_text(LOG)
    image.curves_of(tmp_path / "a.png", tmp_path / "log.csv", title="Run")
    first, second = drawn[0].axes
    assert texts(first) == ["loss", "kl", "held out", "× not finite"]
    data = [(list(line.get_xdata()), list(line.get_ydata())) for line in first.lines]
    assert data[0] == ([1, 2, 3], [100, 90, 80])
    assert data[-1] == ([2], [95])
    assert (first.get_ylabel(), second.get_ylabel(), texts(second)) == ("", "norm", [])
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "step")
    assert drawn[0].get_suptitle() == "Run"
    assert read(tmp_path / "a.png").size
    ax = Figure().subplots()
    image.curves_of(ax, tmp_path / "log.csv", names=["kl", "loss"])
    assert texts(ax)[:2] == ["kl", "loss"]
    assert message(ValueError, image.curves_of, ax, tmp_path / "log.csv") == (
        "curves_of: 2 panels need a path, not one Axes"
    )


def test_what_never_changes_in_a_log_is_a_dashed_line(tmp_path, drawn):
    rows = [f"{step},0,0,{value},0.7,30" for step, value in enumerate([1.5, 1.2, 0.9], 1)]
    text = "\n".join(["step,epoch,seconds,loss,at rest,clip", *rows])
    (tmp_path / "log.csv").write_text(text)
    image.curves_of(tmp_path / "a.png", tmp_path / "log.csv")
    first, second = drawn[0].axes
    loss, level = first.lines
    assert (loss.get_linestyle(), level.get_linestyle()) == ("-", "--")
    assert set(level.get_ydata()) == {0.7} and texts(first) == ["loss", "at rest"]
    # alone in its panel it is a line like any other
    (clip,) = second.lines
    assert (clip.get_linestyle(), list(clip.get_ydata())) == ("-", [30, 30, 30])


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("epoch,loss\n1,2\n", None, "expected a first line `step,…` in {path}, got `epoch,loss`"),
        ("", None, "expected a first line `step,…` in {path}, got ``"),
        ("step,loss\n", None, "{path} has no values yet"),
        ("step,loss\n1,two\n", None, "expected numbers in {path}, got `two` for `loss`"),
        ("step,loss,kl\n1,2,3\n", ["fid"], "expected names among loss, kl, got fid"),
        ("step,epoch\n1,2\n", None, "expected names among , got none"),
    ],
)
def test_what_is_no_log_is_refused(text, names, said, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(text)
    assert message(ValueError, image.curves_of, "a.png", path, names=names) == (
        "curves_of: " + said.format(path=path)
    )


def test_panels_of_a_log_reach_from_the_first_step_of_any_column_to_the_last(tmp_path, monkeypatch):
    rows = [f"{k},{k / 100},0.1,{100.0 + k % 3},{0.5 if k >= 90 else ''}" for k in range(1, 101)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["step,epoch,seconds,loss,sigma", *rows]) + "\n")
    seen = []
    draw = plots.panels

    @contextlib.contextmanager
    def watched(*arguments, **more):
        with draw(*arguments, **more) as axes:
            yield axes
            seen.extend(ax.get_xlim() for ax in axes)

    monkeypatch.setattr(plots, "panels", watched)
    image.curves_of(tmp_path / "curves.png", log)
    assert len(seen) == 2 and all(left <= 1 and right >= 100 for left, right in seen)
