"""The noise schedule: its values, its two distributions, and no off-by-one times."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.diffusion import NoiseSchedule, cosine, linear

SCHEDULES = {
    "linear": linear(1000),
    "cosine": cosine(1000),
    "short": cosine(7),
    "given": NoiseSchedule([1.0, 0.7, 0.2, 0.01]),
}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


def host(x):
    return tg.to_numpy(x.data if isinstance(x, tg.Tensor) else x)


# --- the schedules --------------------------------------------------------------------------------


def test_the_linear_schedule_rises_from_0_0001_to_0_02():
    ratio = linear(1000).alpha_bar[1:] / linear(1000).alpha_bar[:-1]
    np.testing.assert_allclose(1 - ratio, 1e-4 + (0.02 - 1e-4) * np.arange(1000) / 999, rtol=1e-9)
    assert linear().alpha_bar[1] == pytest.approx(0.9999, rel=1e-12)
    assert linear().alpha_bar[1000] == pytest.approx(4.0358e-5, rel=1e-4)  # as in DDPM


@pytest.mark.parametrize("T", [1, 10, 250, 3000])
def test_a_linear_schedule_of_any_length_is_the_same_curve(T):
    few, many = linear(T), linear(1000)
    for t in range(0, T + 1, max(1, T // 10)):
        assert few.log_alpha_bar(t) == pytest.approx(many.log_alpha_bar(1000 * t / T), rel=1e-9)
    assert len(few.alpha_bar) == T + 1 and few.alpha_bar[-1] == pytest.approx(4.0358e-5, rel=1e-4)


def test_the_cosine_schedule_is_its_formula_and_ends_at_sigma_80():
    T, s = 500, 0.008
    f = [math.cos(math.pi / 2 * (t / T + s) / (1 + 2 * s)) ** 2 for t in range(T + 1)]
    np.testing.assert_allclose(cosine(T).alpha_bar, np.array(f) / f[0], rtol=1e-12)
    assert cosine(T).sigma(T) == pytest.approx(80, abs=2)
    assert cosine(T).alpha_bar[T // 2] == pytest.approx(0.5, abs=0.001)


@every_schedule
def test_there_is_no_noise_at_0_some_at_1_and_the_most_at_T(schedule):
    assert schedule.scales(0) == (1, 0) and schedule.sigma(0) == 0
    assert schedule.scales(1)[1] > 0 and len(schedule.alpha_bar) == schedule.T + 1
    for t in (0, 1, schedule.T - 1, schedule.T):
        a, b = schedule.scales(t)
        assert a * a == pytest.approx(schedule.alpha_bar[t], rel=1e-12)
        assert a * a + b * b == pytest.approx(1, rel=1e-12)
        if t:
            assert schedule.snr(t) == pytest.approx((a / b) ** 2, rel=1e-9)
            assert schedule.sigma(t) == pytest.approx(b / a, rel=1e-9)


@every_schedule
@given(part=st.floats(0, 1))
def test_time_is_the_inverse_of_sigma(schedule, part):
    t = part * schedule.T
    assert schedule.time(float(schedule.sigma(t))) == pytest.approx(t, rel=1e-6, abs=1e-6)
    if t >= 1e-3:
        a, b = schedule.scales(t)
        assert schedule.time(b / a) == pytest.approx(t, rel=1e-6)
        assert 1 + (b / a) ** 2 == pytest.approx(1 / a**2)


@given(st.integers(1, 1000), st.data())
def test_times_decrease_evenly_from_the_start_to_0(start, data):
    steps = data.draw(st.integers(1, start))
    times = linear(1000).times(steps, start)
    gaps = [t - s for t, s in pairwise(times)]
    assert times[0] == start and times[-1] == 0 and len(times) == steps + 1
    assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 2
    assert all(isinstance(t, int) for t in times)


def test_all_times_are_all_integers_from_T():
    assert linear(4).times() == [4, 3, 2, 1, 0] and linear(9).times(None, 3) == [3, 2, 1, 0]
    assert linear(10).times(2) == [10, 5, 0]


# --- adding noise ---------------------------------------------------------------------------------


def test_a_noised_image_is_its_formula_for_each_row_at_its_own_time():
    schedule = SCHEDULES["given"]
    x, eps = np.arange(12.0).reshape(3, 2, 2), np.ones((3, 2, 2))
    found = schedule.q_sample(tg.xp.asarray(x), np.array([1, 3, 0]), tg.xp.asarray(eps))
    alpha_bar = np.array([0.7, 0.01, 1.0])[:, None, None]
    np.testing.assert_allclose(host(found), np.sqrt(alpha_bar) * x + np.sqrt(1 - alpha_bar) * eps)


@every_schedule
def test_noise_added_in_steps_is_distributed_as_if_added_at_once(schedule):
    """x_t is Gaussian, so its scale of x_0 and its variance determine its distribution."""
    zero, one = tg.xp.zeros((1, 1)), tg.xp.ones((1, 1))
    kept, variance = one, 0.0
    for t in range(1, schedule.T + 1):
        kept = schedule.q_sample(kept, t, zero, t - 1)
        shrunk = float(schedule.q_sample(one, t, zero, t - 1)[0, 0])
        variance = shrunk**2 * variance + float(schedule.q_sample(zero, t, one, t - 1)[0, 0]) ** 2
        beta = 1 - schedule.alpha_bar[t] / schedule.alpha_bar[t - 1]
        assert shrunk == pytest.approx(math.sqrt(1 - beta))
        assert float(kept[0, 0]) == pytest.approx(float(schedule.q_sample(one, t, zero)[0, 0]))
        assert math.sqrt(variance) == pytest.approx(float(schedule.q_sample(zero, t, one)[0, 0]))
    assert float(kept[0, 0]) == pytest.approx(math.sqrt(schedule.alpha_bar[-1]))


def test_sampled_noise_added_in_steps_has_the_moments_of_noise_added_at_once(rng):
    schedule, x = linear(20), tg.xp.asarray(np.full((100_000, 1), 1.5))
    for t in range(1, 11):
        x = schedule.q_sample(x, t, tg.xp.asarray(rng.standard_normal((100_000, 1))), t - 1)
    a_bar = schedule.alpha_bar[10]
    assert host(x).mean() == pytest.approx(1.5 * math.sqrt(a_bar), abs=0.01)
    assert host(x).var() == pytest.approx(1 - a_bar, abs=0.01)


# --- the posterior --------------------------------------------------------------------------------


@every_schedule
@given(data=st.data())
def test_the_posterior_is_that_of_bayes_rule(schedule, data):
    t = data.draw(st.integers(2, schedule.T))
    s = data.draw(st.integers(1, t - 1))
    x_0, x_t = data.draw(st.floats(-2, 2)), data.draw(st.floats(-2, 2))
    at_t, at_s = schedule.alpha_bar[[t, s]]
    # q(x_s | x_0) = N(√ᾱ_s x_0, 1 − ᾱ_s), and x_t = r x_s + noise of variance 1 − r²
    r2 = at_t / at_s
    precision = 1 / (1 - at_s) + r2 / (1 - r2)
    expected = (math.sqrt(at_s) * x_0 / (1 - at_s) + math.sqrt(r2) * x_t / (1 - r2)) / precision
    for time_t, time_s in ((t, s), (np.array([t]), np.array([s]))):
        mean, variance = schedule.posterior(
            tg.xp.asarray([[x_0]]), tg.xp.asarray([[x_t]]), time_t, time_s
        )
        assert float(mean[0, 0]) == pytest.approx(expected, rel=1e-7, abs=1e-9)
        assert np.ravel(host(variance)) == pytest.approx([1 / precision], rel=1e-7)


@every_schedule
def test_the_posterior_variance_of_one_step_is_the_papers(schedule):
    x_0, x_t = tg.xp.asarray([[0.3]]), tg.xp.asarray([[-1.2]])
    for t in range(1, schedule.T + 1):
        variance = schedule.posterior(x_0, x_t, t, t - 1)[1]
        beta = 1 - schedule.alpha_bar[t] / schedule.alpha_bar[t - 1]
        tilde = beta * (1 - schedule.alpha_bar[t - 1]) / (1 - schedule.alpha_bar[t])
        assert variance == pytest.approx(tilde, rel=1e-6, abs=1e-15)  # eq. 7


@every_schedule
def test_at_0_the_posterior_is_x_0_itself(schedule):
    x_0, x_t = tg.xp.asarray([[0.3, -0.7]]), tg.xp.asarray([[-1.2, 50.0]])
    for t in (1, schedule.T):
        mean, variance = schedule.posterior(x_0, x_t, t, 0)
        np.testing.assert_array_equal(host(mean), host(x_0))
        assert variance == 0


# --- dtypes and invalid arguments -----------------------------------------------------------------


@pytest.mark.parametrize("time", [3, np.array([3, 5])], ids=["one", "each"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_keep_their_dtype_and_tensors_stay_tensors(time, dtype):
    x = tg.xp.ones((2, 4, 4, 1), dtype)
    schedule = linear(10)
    assert schedule.q_sample(x, time, x).dtype == dtype
    assert schedule.posterior(x, x, time, time - 1)[0].dtype == dtype
    noised = schedule.q_sample(tg.Tensor(x), time, x)
    assert isinstance(noised, tg.Tensor) and noised.dtype == dtype


@pytest.mark.parametrize(
    ("use", "pattern"),
    [
        (lambda: linear(0), "linear: .*`T`.* ≥ 1, got 0"),
        (lambda: cosine(2.5), r"cosine: .*`T`.* ≥ 1, got 2\.5"),
        (lambda: cosine(5, 0.0), r"cosine: .*`offset` > 0, got 0\.0"),
        (lambda: NoiseSchedule(1.0), r"`alpha_bar`.* 1\.0$"),
        (lambda: NoiseSchedule([1.0]), r"`alpha_bar`.* \[1\.\]$"),
        (lambda: NoiseSchedule([0.9, 0.5]), r"`alpha_bar`.* \[0\.9 0\.5\]$"),
        (lambda: NoiseSchedule([1.0, 0.5, 0.5]), "`alpha_bar`"),
        (lambda: NoiseSchedule([1.0, 0.5, 0.0]), "`alpha_bar`"),
        (lambda: NoiseSchedule([1.0, math.nan]), "`alpha_bar`"),
        (lambda: linear(5).scales(6), "`t` from 0 to 5, got 6"),
        (lambda: linear(5).scales(np.array([1, -1])), r"`t` from 0 to 5, got \[ 1 -1\]"),
        (lambda: linear(5).time(200.0), r"0 ≤ `sigma` ≤ 157\.4, got 200"),
        (lambda: linear(5).time(-1.0), r"0 ≤ `sigma` ≤ 157\.4, got -1"),
        (lambda: linear(5).times(6), "`steps` ≤ `start` ≤ 5, got 6, 5"),
        (lambda: linear(5).times(2, 6), "`steps` ≤ `start` ≤ 5, got 2, 6"),
        (lambda: linear(5).times(0), "times: .*`steps`.* ≥ 1, got 0"),
        (lambda: linear(5).times(1, 0), "times: .*`start`.* ≥ 1, got 0"),
    ],
)
def test_invalid_arguments_are_refused(use, pattern):
    with pytest.raises(ValueError, match=pattern):
        use()
