"""Learning-rate schedules: known points, monotonicity, and PyTorch's cosine."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen import optim


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (optim.constant(0.3), {0: 0.3, 10**6: 0.3}),
        (optim.step_decay(0.8, 10, 0.5), {0: 0.8, 9: 0.8, 10: 0.4, 19: 0.4, 20: 0.2, 35: 0.1}),
        (optim.step_decay(1, 10), {9: 1.0, 10: 0.1}),
        (optim.exponential(1.0, 100, 1e-4), {0: 1, 25: 0.1, 50: 0.01, 100: 1e-4, 999: 1e-4}),
        (optim.cosine(2.0, 90), {0: 2, 30: 1.5, 45: 1, 60: 0.5, 90: 0, 999: 0}),
        (optim.cosine(2.0, 90, final=1.0), {0: 2, 45: 1.5, 90: 1, 999: 1}),
        (optim.warm_up(0.5, 4), {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4, 4: 0.5, 999: 0.5}),
        (optim.warm_up(optim.cosine(1.0, 10), 9), {0: 0.1, 8: 0.9, 9: 1, 14: 0.5, 19: 0, 99: 0}),
        (optim.one_cycle(1.0, 100), {0: 0.04, 15: 0.52, 30: 1, 65: 0.5, 100: 0, 999: 0}),
        (optim.one_cycle(1, 10, 0.1, 0.5), {0: 0.04, 5: 1, 10: 0.1, 99: 0.1}),
        (optim.one_cycle(1, 10, rise=0), {0: 1, 5: 0.5, 10: 0}),
        (optim.one_cycle(1, 10, rise=1), {0: 0.04, 5: 0.52, 10: 1, 11: 0}),
    ],
)
def test_schedules_pass_their_known_points(schedule, points):
    assert {t: schedule(t) for t in points} == pytest.approx(points, rel=1e-12, abs=1e-15)


@given(st.floats(1e-6, 10), st.floats(0, 1), st.integers(1, 300), st.integers(1, 50))
def test_schedules_that_fall_fall_and_end_where_they_should(peak, share, steps, warming):
    final = max(share * peak, 1e-9)
    for schedule in (
        optim.cosine(peak, steps, final),
        optim.exponential(peak, steps, final),
        optim.one_cycle(peak, steps, final=final, rise=0),
        optim.step_decay(peak, steps, share or 0.5),
    ):
        rates = [schedule(t) for t in range(2 * steps)]
        assert rates[0] == pytest.approx(peak)
        assert all(a >= b * (1 - 1e-12) for a, b in itertools.pairwise(rates))
        warmed = optim.warm_up(schedule, warming)
        climb = [warmed(t) for t in range(warming + 1)]
        assert climb == sorted(climb)
        assert [warmed(warming + t) for t in range(2 * steps)] == rates
    for schedule in (optim.cosine(peak, steps, final), optim.exponential(peak, steps, final)):
        assert [schedule(steps), schedule(steps + 7)] == pytest.approx([final, final])


@pytest.mark.parametrize(
    "schedule",
    [
        optim.exponential(1.0, 1000, 0.01),
        optim.cosine(1.0, 1000),
        optim.one_cycle(1.0, 1000),
        optim.warm_up(optim.cosine(1.0, 900), 100),
    ],
)
def test_smooth_schedules_have_no_jump(schedule):
    rates = [schedule(t) for t in range(1200)]
    assert max(abs(a - b) for a, b in itertools.pairwise(rates)) < 0.011
    assert max(rates) == 1.0


def test_cosine_is_pytorchs_cosine():
    torch = pytest.importorskip("torch")
    p = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.7)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.1)
    ours = optim.cosine(0.7, 30, final=0.1)
    for t in range(31):
        assert theirs.get_last_lr()[0] == pytest.approx(ours(t), rel=1e-9)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("make", "error", "pattern"),
    [
        (lambda: optim.constant(0), ValueError, "^constant: expected `lr` > 0, got 0"),
        (lambda: optim.step_decay(1, 0), ValueError, "^step_decay: .*`every` > 0, got 0"),
        (lambda: optim.step_decay(1, 9, 0), ValueError, "^step_decay: .*`factor` > 0, got 0"),
        (lambda: optim.exponential(1, 9, 0), ValueError, "^exponential: .*`final` > 0, got 0"),
        (lambda: optim.cosine(-1, 9), ValueError, "^cosine: .*`peak` > 0, got -1"),
        (lambda: optim.cosine(1, 0), ValueError, "^cosine: .*`steps` > 0, got 0"),
        (lambda: optim.cosine(1, 9, -1), ValueError, "^cosine: .*`final` ≥ 0, got -1"),
        (lambda: optim.cosine("1", 9), TypeError, "^cosine: .*`peak` > 0, got str"),
        (lambda: optim.warm_up(1, 0), ValueError, "^warm_up: .*`steps` > 0, got 0"),
        (lambda: optim.warm_up(-1, 9), ValueError, "`lr` > 0, got -1"),
        (lambda: optim.one_cycle(1, 9, rise=2), ValueError, "^one_cycle: .*`rise`.*, got 2"),
        (lambda: optim.one_cycle(1, 9, final=-1), ValueError, "`final` ≥ 0, got -1"),
    ],
)
def test_invalid_schedules_are_refused(make, error, pattern):
    with pytest.raises(error, match=pattern):
        make()
