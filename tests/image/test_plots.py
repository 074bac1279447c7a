"""Curves, by the contents of their axes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pictures import legend, read, texts

from tinygen import image

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
        ([5], False),
        ([1e-9, 1e-6, 1e-7], True),
    ],
)
def test_an_axis_is_logarithmic_where_all_is_positive_and_a_hundredfold(values, log):
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
    assert at.tolist() == [1, 3]
    (_, low), (_, high) = ax.bbox.get_points()
    crosses = ax.lines[1].get_transform().transform(ax.lines[1].get_xydata())
    assert (crosses[:, 1] > low).all() and (crosses[:, 1] < low + 0.05 * (high - low)).all()
    assert texts(ax) == ["× not finite"] and legend(ax) == ["a", "b"]
    ax, _ = lines_of({"a": [math.nan] * 200})
    assert texts(ax) == ["× not finite"]
    ax, (line, (at, _)) = lines_of({"a": [10.0, 0.0, -1.0, 1000.0]}, log=True)
    assert np.isnan(line[1]).tolist() == [False, True, True, False] and at.tolist() == [1, 2]
    assert texts(ax)[-1] == "× not finite or not above 0"


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
    steps = lines_of({"a": [1.0, 2.0, 3.0]})[0].get_xticks()
    assert steps.tolist() == steps.round().tolist()


def test_references_are_dashed_lines_with_their_names_beside_the_series():
    ax, lines = lines_of({"loss": [1.0, 2.0]}, reference={"2 log 2": 1.386})
    assert list(lines[-1][1]) == [1.386, 1.386]
    assert [line.is_dashed() for line in ax.lines] == [False, True]
    assert legend(ax) == ["loss", "2 log 2"]


@pytest.mark.parametrize(
    ("series", "error", "said"),
    [
        ([1.0], TypeError, r"expected a dict .* \[1\.0\]"),
        ({}, TypeError, "expected a dict"),
        ({"a": []}, ValueError, r"`a`, got \(0,\) and \(0,\)"),
        ({"a": np.ones((2, 2))}, ValueError, r"`a`, got \(2,\) and \(2, 2\)"),
        ({"a": ([1, 2], [1.0])}, ValueError, r"`a`, got \(2,\) and \(1,\)"),
    ],
)
def test_what_is_no_series_is_refused(series, error, said):
    with pytest.raises(error, match=f"curves: .*{said}"):
        image.curves("a.png", series)


def test_no_span_is_below_one():
    with pytest.raises(ValueError, match=r"`span` ≥ 1, got .* 0\.5"):
        image.smoothed([1.0], 0.5)


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
    assert (texts(first), legend(first)) == (["× not finite"], ["loss", "kl", "held out"])
    data = [(list(line.get_xdata()), list(line.get_ydata())) for line in first.lines]
    assert data[0] == ([1, 2, 3], [100, 90, 80])
    assert data[-1] == ([2], [95])
    assert (legend(second), texts(second)) == (["norm"], [])
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "step")
    assert drawn[0].get_suptitle() == "Run"
    assert read(tmp_path / "a.png").size
    ax = Figure().subplots()
    image.curves_of(ax, tmp_path / "log.csv", names=["kl", "loss"])
    assert legend(ax) == ["kl", "loss"]
    with pytest.raises(ValueError, match="curves_of: 2 panels need a path"):
        image.curves_of(ax, tmp_path / "log.csv")


def test_what_never_changes_in_a_log_is_a_dashed_line(tmp_path, drawn):
    rows = [f"{step},0,0,{value},0.7,30" for step, value in enumerate([1.5, 1.2, 0.9], 1)]
    text = "\n".join(["step,epoch,seconds,loss,at rest,clip", *rows])
    (tmp_path / "log.csv").write_text(text)
    image.curves_of(tmp_path / "a.png", tmp_path / "log.csv")
    first, second = drawn[0].axes
    loss, level = first.lines
    assert (loss.get_linestyle(), level.get_linestyle()) == ("-", "--")
    assert set(level.get_ydata()) == {0.7} and legend(first) == ["loss", "at rest"]
    # alone in its panel it is an ordinary line
    (clip,) = second.lines
    assert (clip.get_linestyle(), list(clip.get_ydata())) == ("-", [30, 30, 30])


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("epoch,loss\n1,2\n", None, "columns step, loss, got epoch, loss"),
        ("", None, "log.csv has no values yet"),
        ("step,loss\n", None, "log.csv has no values yet"),
        ("step,loss\n1,two\n", None, "two"),
        ("step,loss,kl\n1,2,3\n", ["fid"], "columns step, fid, got step, loss, kl"),
        ("step,epoch\n1,2\n", None, "log.csv has no values yet"),
    ],
)
def test_what_is_no_log_is_refused(text, names, said, tmp_path):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        image.curves_of("a.png", tmp_path / "log.csv", names=names)


def test_panels_of_a_log_reach_from_the_first_step_of_any_column_to_the_last(tmp_path, drawn):
    rows = [f"{k},{k / 100},0.1,{100.0 + k % 3},{0.5 if k >= 90 else ''}" for k in range(1, 101)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["step,epoch,seconds,loss,sigma", *rows]) + "\n")
    image.curves_of(tmp_path / "curves.png", log)
    reach = [ax.get_xlim() for ax in drawn[0].axes]
    assert len(reach) == 2 and all(left <= 1 and right >= 100 for left, right in reach)
