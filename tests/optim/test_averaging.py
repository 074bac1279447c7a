"""Averages of the parameters: their closed form, and swapping them in."""

import contextlib

import numpy as np
import pytest
from leaves import assert_same, constants, leaf

import tinygen as tg
from tinygen import optim
from tinygen.autograd import to_numpy

P = leaf(np.ones(2), name="p")


def test_an_average_is_its_closed_form(rng):
    start, rows, d = rng.normal(size=3), rng.normal(size=(12, 3)), 0.8
    p = leaf(start)
    ema = optim.EMA([p], decay=d, warm_up=False)
    for row in rows:
        p.data = tg.xp.asarray(row)
        ema.update()
    weights = (1 - d) * d ** np.arange(11, -1, -1)
    expected = d**12 * start + weights @ rows
    np.testing.assert_allclose(to_numpy(ema.state["average"][0]), expected, rtol=1e-13)


def test_a_warming_average_starts_at_a_tenth_and_ends_at_its_decay():
    p = leaf(1.0)
    ema = optim.EMA([p], decay=0.5)
    p.data = tg.xp.asarray(np.array(0.0))
    kept = 1.0
    for t in range(20):  # (1 + t) / (10 + t) passes 0.5 at t = 8
        ema.update()
        kept *= min(0.5, (1 + t) / (10 + t))
        assert ema.state["average"][0].item() == pytest.approx(kept, rel=1e-12)


def test_an_average_is_not_moved_by_a_step_itself():
    p = leaf([1.0])
    ema = optim.EMA([p])
    optim.SGD([p], lr=0.5).step(constants([1.0]))
    assert ema.state["average"][0].item() == 1
    assert p.item() == 0.5


def test_an_average_of_constant_parameters_is_constant():
    p = leaf(np.array([0.1, 1 / 3, 1e-30]), dtype=np.float32)
    ema = optim.EMA([p])
    for _ in range(10):
        ema.update()
    np.testing.assert_array_equal(to_numpy(ema.state["average"][0]), p.numpy())
    assert ema.state["average"][0].dtype == np.float32


def averaged():
    """A parameter at 0 and its average at 9/10."""
    p = leaf([1.0], "w")
    ema = optim.EMA([p], decay=0.9, warm_up=False)
    p.data = tg.xp.asarray(np.array([0.0]))
    ema.update()
    return p, ema


def test_the_averages_replace_the_parameters_temporarily():
    p, ema = averaged()
    with ema.applied():
        assert p.item() == 0.9
    assert p.item() == 0
    with ema.applied():
        assert p.item() == 0.9


def test_the_parameters_are_restored_after_an_error():
    p, ema = averaged()
    with contextlib.suppress(ZeroDivisionError), ema.applied():
        raise ZeroDivisionError
    assert p.item() == 0
    ema.update()
    with ema.applied():
        assert p.item() == pytest.approx(0.81)


def test_averages_copied_to_the_parameters_stay_independent_of_them():
    p, ema = averaged()
    loss = (p * p).sum()
    ema.copy_to_params()
    assert p.item() == 0.9
    with pytest.raises(RuntimeError, match="`w` was changed after it was used"):
        tg.grad(loss, p)
    p.data[...] = 0.5
    assert ema.state["average"][0].item() == 0.9


def test_swapping_in_the_averages_or_back_makes_older_graphs_stale():
    p, ema = averaged()
    loss = (p * p).sum()
    with ema.applied():
        with pytest.raises(RuntimeError, match="`w` was changed after it was used"):
            tg.grad(loss, p)
        loss = (p * p).sum()
        assert tg.grad(loss, p).item() == 1.8
    with pytest.raises(RuntimeError, match="`w` was changed after it was used"):
        tg.grad(loss, p)


@pytest.mark.parametrize(
    "act",
    [
        lambda ema: ema.update(),
        lambda ema: ema.applied().__enter__(),
        lambda ema: ema.state_dict(),
        lambda ema: ema.load_state_dict({}),
        lambda ema: ema.copy_to_params(),
    ],
)
def test_applied_averages_cannot_be_used_otherwise(act):
    p, ema = averaged()
    with ema.applied():
        with pytest.raises(RuntimeError, match=r"^EMA: .*`with applied\(\)`"):
            act(ema)
        assert p.item() == 0.9
    assert p.item() == 0


def test_an_average_saved_and_resumed_is_bit_for_bit_the_same(tmp_path, rng):
    rows = rng.normal(size=(14, 40_000)).astype(np.float32)

    def run(ema, rows):
        for row in rows:
            ema.params[0].data = tg.xp.asarray(row)
            ema.update()
        return ema

    whole = run(optim.EMA([leaf(rows[0], "w", np.float32)]), rows)
    half = run(optim.EMA([leaf(rows[0], "w", np.float32)]), rows[:6])
    np.savez(tmp_path / "ema.npz", **half.state_dict())
    resumed = optim.EMA([leaf(rows[3], "w", np.float32)])
    with np.load(tmp_path / "ema.npz", allow_pickle=False) as state:
        resumed.load_state_dict(state)
    run(resumed, rows[6:])
    assert_same(resumed.state_dict().values(), whole.state_dict().values())


def test_state_of_other_parameters_does_not_fit_an_average():
    pattern = r"^EMA: .*\n  missing: average\.w\n  unexpected: average\.u$"
    with pytest.raises(ValueError, match=pattern):
        optim.EMA({"w": P}).load_state_dict(optim.EMA({"u": P}).state_dict())
