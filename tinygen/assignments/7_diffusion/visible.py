"""Visible tests: small shapes, and answers that are known in advance."""

import numpy as np

from tinygen import diffusion
from tinygen.assignments import check, require, value

SCHEDULE = diffusion.linear(1000)  # ᾱ in SCHEDULE.alpha_bar


def times(rng, n, T=1000):
    return rng.integers(2, T, n)


@check(1, "ᾱ of the linear schedule", points=1)
def linear_schedule(student, reference, rng):
    expected = SCHEDULE.alpha_bar
    mistakes = {
        "it has T elements, not T + 1: put ᾱ_0 = 1 first": expected[1:],
        "it has T elements, not T + 1: ᾱ_T is missing": expected[:-1],
    }
    value(student.alpha_bars(reference.linear(1000)), expected, "ᾱ", mistakes)


@check(1, "the scales of the data and of the noise", points=1)
def scales(student, reference, rng):
    t, one, zero = times(rng, 6), np.ones((6, 3)), np.zeros((6, 3))
    a = student.q_sample(one, t, zero, SCHEDULE.alpha_bar)
    b = student.q_sample(zero, t, one, SCHEDULE.alpha_bar)
    of_rows = np.repeat(SCHEDULE.alpha_bar[t][:, None], 3, axis=1)
    value(a**2, of_rows, "the squared scale of x_0", {"the root of ᾱ_t is missing": of_rows**2})
    hint = "it is not 1. Is there a root over 1 − ᾱ_t?"
    mistakes = {hint: of_rows + (1 - of_rows) ** 2, f"{hint} ": of_rows**2 + (1 - of_rows) ** 2}
    value(a**2 + b**2, one, "the sum of the squared scales", mistakes)


@check(2, "the loss of a network that sees only the time", points=1)
def time_only(student, reference, rng):
    """It predicts t c/10, whatever x_t is."""
    x_0, eps, t = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), times(rng, 6)
    c = rng.uniform(0.01, 0.02, 3)
    w = np.append(np.zeros((3, 3)), [c], axis=0)
    found = student.tensors.linear_loss(w, x_0=x_0, t=t, eps=eps, alpha_bar=SCHEDULE.alpha_bar)
    prediction = t[:, None] * c / 10
    expected = np.mean((prediction - eps) ** 2)
    mistakes = {
        "a sum over all elements, not a mean": 18 * expected,
        "a sum over the elements of an example: take their mean": 3 * expected,
        "a root of the mean: leave it out": expected**0.5,
        "the target is x_0, not ε": np.mean((prediction - x_0) ** 2),
        "the network does not see t": np.mean(eps**2),
    }
    value(found, expected, "the loss", mistakes)


@check(2, "x̂_0 from the true noise", points=1)
def x_0_again(student, reference, rng):
    x_0, eps, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), int(rng.integers(300, 700))
    x_t = SCHEDULE.q_sample(x_0, t, eps)
    a, b = SCHEDULE.scales(t)
    mistakes = {
        "it is not divided by √ᾱ_t": a * x_0,
        "the noise is added, not subtracted": x_0 + 2 * b / a * eps,
        "it is divided by ᾱ_t, not by √ᾱ_t": x_0 / a,
        "the noise is scaled by 1 − ᾱ_t, without the root": x_0 + (b - b**2) / a * eps,
    }
    value(student.predicted_x_0(x_t, eps, t, SCHEDULE.alpha_bar), x_0, "x̂_0", mistakes)


@check(3, "the posterior leads from q(x_t | x_0) to q(x_{t−1} | x_0)", points=1)
def chain(student, reference, rng):
    """On average over x_t, whose mean is √ᾱ_t x_0 and whose variance is 1 − ᾱ_t."""
    t = int(rng.integers(50, 250))
    x_0, ab = rng.normal(size=(4, 3)), SCHEDULE.alpha_bar
    mean, _ = student.posterior(x_0, np.sqrt(ab[t]) * x_0, t, ab)
    value(mean, np.sqrt(ab[t - 1]) * x_0, "the mean of x_{t−1}, √ᾱ_{t−1} x_0")
    scale, variance = student.posterior(np.zeros(1), np.ones(1), t, ab)
    found, expected = scale[0] ** 2 * (1 - ab[t]) + variance, 1 - ab[t - 1]
    _, right = SCHEDULE.posterior(0.0, 0.0, t, t - 1)
    beta = 1 - ab[t] / ab[t - 1]
    wrong = {"β_t is used as the variance of the posterior, not β̃_t": expected - right + beta}
    wrong |= {"the posterior's variance is under a root": expected - right + right**0.5}
    value(found, expected, "the variance of x_{t−1}, 1 − ᾱ_{t−1}", wrong)


@check(3, "the last step of DDPM", points=1)
def last_step(student, reference, rng):
    x_0, eps, z = rng.normal(size=(3, 4, 2))
    ab = np.array([1.0, 0.7, 0.2])
    x_1 = np.sqrt(0.7) * x_0 + np.sqrt(0.3) * eps
    mistakes = {"noise is added at t = 1, where β̃_1 = 0": x_0 + np.sqrt(0.3) * z}
    value(student.ddpm_step(x_1, eps, 1, z, ab), x_0, "x_0 after the last step", mistakes)


@check(3, "samples by DDPM of data at one point", points=1)
def point_by_ddpm(student, reference, rng):
    """All data are m: the best network knows that, and its samples are m exactly."""
    m, x, ab = float(rng.normal()), rng.normal(size=(5, 2)), diffusion.linear(8).alpha_bar
    found = student.gaussian_ddpm(x, ab, m, 0.0, rng)
    text = f"the samples should be {m:.3f}, but the first is {found[0]}. "
    text += "If your steps are right: do they run from T to 1?"
    require(np.allclose(found, m), text)


@check(4, "DDIM steps to the same time, and to 0", points=1)
def simple_steps(student, reference, rng):
    x_0, eps = rng.normal(size=(2, 4, 3))
    t = int(rng.integers(300, 700))
    x_t = SCHEDULE.q_sample(x_0, t, eps)
    a, b = SCHEDULE.scales(t)
    found = [student.ddim_step(x_t, eps, t, s, SCHEDULE.alpha_bar) for s in (t, 0)]
    wrong = {
        "at s = 0, x̂_0 is scaled by √ᾱ_t, not by √ᾱ_s": [x_t, a * x_0],
        "at s = 0 noise is left: is it scaled by √(1 − ᾱ_t)?": [x_t, x_0 + b * eps],
        "at s = t, x_t should stay as it is": [found[0], x_0],
        "at s = 0, x̂_0 should result": [x_t, found[1]],
    }
    value(found, [x_t, x_0], "steps from t to t and from t to 0", wrong)


@check(4, "samples by DDIM of data at one point", points=1)
def point_by_ddim(student, reference, rng):
    m, x, ab = float(rng.normal()), rng.normal(size=(5, 2)), diffusion.linear(50).alpha_bar
    found = student.gaussian_ddim(x, ab, m, 0.0, [50, 30, 10, 0])
    text = f"the samples should be {m:.3f}, but the first is {found[0]}. "
    text += "If your steps are right: does the last lead to 0?"
    require(np.allclose(found, m), text)


@check(5, "the rows, times and shapes of a minibatch", points=1)
def rows(student, reference, rng):
    x = rng.normal(size=(40, 2))
    x_0, t, eps = student.minibatch(x, 300, 5, rng)
    inside = np.shape(x_0) == (300, 2) and all((row == x).all(axis=1).any() for row in x_0)
    integers = np.shape(t) == (300,) and np.asarray(t).dtype.kind in "iu"
    low, high = np.min(t), np.max(t)
    demands = {
        "x_0 is not 300 rows of the data": inside,
        f"t is not 300 integers: its shape is {np.shape(t)}": integers,
        f"ε has the shape {np.shape(eps)}, not (300, 2)": np.shape(eps) == (300, 2),
        f"the times are from {low} to {high}, not from 1 to T = 5": low > 0 and high <= 5,
    }
    problems = [text for text, holds in demands.items() if not holds]
    require(not problems, "; ".join(problems))


@check(5, "a network that learned the swirl", points=1)
def learns(student, reference, rng):
    t, x_0 = rng.integers(1, 101, 2000), reference.swirl(2000, rng)
    eps = rng.normal(size=x_0.shape)
    x_t = diffusion.linear(100).q_sample(x_0, t, eps)
    _, found, _ = student.tensors.experiment(seed=0, x_t=x_t, t=t)
    error = np.mean((found - eps) ** 2)
    require(
        error < 0.3, f"after 500 steps the squared error of ε̂ is {error:.3f}: below 0.3 is right"
    )
