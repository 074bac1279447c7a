"""Hidden tests: any shape and schedule, single steps against closed forms, and known answers."""

from itertools import pairwise

import numpy as np

from tinygen import diffusion
from tinygen.assignments import check, require, value


def falling(rng, T):
    """ᾱ of a random schedule"""
    return np.append(1.0, np.cumprod(1 - rng.uniform(0.05, 0.3, T)))


def closest(found, either):
    """The first, unless `found` is the second: errors of other functions are not counted again."""
    first, second = either
    same = np.shape(found) == np.shape(second) and np.allclose(found, second, rtol=1e-9)
    return second if same else first


@check(1, "ᾱ of any β", points=1)
def any_beta(student, reference, rng):
    for T in (7, 2):
        beta = rng.uniform(0.05, 0.4, T)
        expected = reference.alpha_bars(beta)
        mistakes = {
            "it is a product of β, not of α = 1 − β": np.append(1.0, np.cumprod(beta)),
            "it is a product of β, not of α = 1 − β, and ᾱ_0 = 1 is missing": np.cumprod(beta),
            "it is α_t, not the product of all up to t": np.append(1.0, 1 - beta),
            "it is 1 minus a sum: ᾱ is a product": np.append(1.0, 1 - np.cumsum(beta)),
            "ᾱ_0 = 1 is missing": expected[1:],
        }
        value(student.alpha_bars(beta), expected, "ᾱ", mistakes)


@check(1, "x_t of points and images", points=2)
def any_shape(student, reference, rng):
    ab, T = falling(rng, 12), 12
    for shape in ((4, 4), (5, 3), (3, 6, 5, 2)):
        x_0, eps, t = rng.normal(size=shape), rng.normal(size=shape), rng.permutation(T + 1)
        t = np.append([0, T], t[(t > 0) & (t < T)])[: len(x_0)]
        a = ab[t].reshape(-1, *[1] * (len(shape) - 1))
        mistakes = {
            "√ᾱ_t is without its root": a * x_0 + np.sqrt(1 - a) * eps,
            "√(1 − ᾱ_t) is without its root": np.sqrt(a) * x_0 + (1 - a) * eps,
            "both scales are without their roots": a * x_0 + (1 - a) * eps,
            "x_0 has the scale of ε, and ε that of x_0": np.sqrt(1 - a) * x_0 + np.sqrt(a) * eps,
            "all rows have the time of the first": np.sqrt(ab[t[0]]) * x_0
            + np.sqrt(1 - ab[t[0]]) * eps,
        }
        if shape == (4, 4):
            columns = np.sqrt(ab[t]) * x_0 + np.sqrt(1 - ab[t]) * eps
            mistakes["each column has a time of its own, not each row"] = columns
        value(
            student.q_sample(x_0, t, eps, ab), reference.q_sample(x_0, t, eps, ab), "x_t", mistakes
        )


@check(2, "the loss of a linear network", points=2)
def any_loss(student, reference, rng):
    ab, w = falling(rng, 20), rng.normal(size=(3, 2))
    x_0, eps = rng.normal(size=(2, 5, 2))
    t = rng.permutation(np.arange(2, 20))[:5]
    x_t = reference.q_sample(x_0, t, eps, ab)

    def error(x, t, target=eps):
        inputs = np.append(x, np.broadcast_to(t, 5)[:, None] / 10, axis=1)
        return np.mean((inputs @ w - target) ** 2)

    expected = error(x_t, t)
    mistakes = {
        "a sum over all elements, not a mean": 10 * expected,
        "a sum over the elements of an example: take their mean": 2 * expected,
        "a sum over the examples: take their mean": 5 * expected,
        "a root of the mean: leave it out": expected**0.5,
        "half of it: there is no ½": expected / 2,
        "the network sees x_0, not x_t": error(x_0, t),
        "the network sees t = 0 for all rows": error(x_t, 0),
        "the network sees the first row's time for all rows": error(x_t, t[0]),
        "the network sees t − 1, but the noise is that of t": error(x_t, t - 1),
        "the network sees t + 1, but the noise is that of t": error(x_t, t + 1),
        "the target is x_0, not ε": error(x_t, t, x_0),
        "the target is x_t, not ε": error(x_t, t, x_t),
        "the sign of the prediction is wrong": error(x_t, t, -eps),
    }
    found = student.tensors.linear_loss(w, x_0=x_0, t=t, eps=eps, alpha_bar=ab)
    value(found, expected, "the loss", mistakes)


@check(2, "the gradient of the loss with respect to the weights", points=1)
def weights(student, reference, rng):
    ab, w, t = falling(rng, 20), rng.normal(size=(3, 2)), rng.integers(1, 21, 5)
    x_0, eps = rng.normal(size=(2, 5, 2))
    inputs = np.append(reference.q_sample(x_0, t, eps, ab), t[:, None] / 10, axis=1)
    expected = inputs.T @ (inputs @ w - eps) / 5
    found = student.gradients.linear_loss(np.ones(()), w, x_0=x_0, t=t, eps=eps, alpha_bar=ab)
    mistakes = {
        "no gradient reaches them: is the prediction still a Tensor?": 0 * expected,
        "sum instead of mean?": 10 * expected,
    }
    value(found[0], expected, "the gradient", mistakes)


@check(2, "x̂_0 from any noise", points=1)
def any_x_0(student, reference, rng):
    ab = falling(rng, 12)
    for shape, t in (((3, 2), 1), ((4, 3, 5, 1), 7), ((2, 3), 12)):
        x_t, eps = rng.normal(size=(2, *shape))
        expected = reference.predicted_x_0(x_t, eps, t, ab)
        a, b = np.sqrt(ab[t]), np.sqrt(1 - ab[t])
        mistakes = {
            "it is not divided by √ᾱ_t": x_t - b * eps,
            "the noise is added, not subtracted": (x_t + b * eps) / a,
            "only x_t is divided by √ᾱ_t": x_t / a - b * eps,
            "it is divided by ᾱ_t, not by √ᾱ_t": (x_t - b * eps) / a**2,
            "the noise is scaled by 1 − ᾱ_t, without the root": (x_t - b**2 * eps) / a,
        }
        value(student.predicted_x_0(x_t, eps, t, ab), expected, "x̂_0", mistakes)


@check(3, "the posterior's mean and variance", points=2)
def any_posterior(student, reference, rng):
    ab = falling(rng, 12)
    for shape, t in (((3, 2), 11), ((2, 3, 4, 1), 6), ((4, 3), 2)):
        x_0, x_t = rng.normal(size=(2, *shape))
        found, found_variance = student.posterior(x_0, x_t, t, ab)
        mean, variance = reference.posterior(x_0, x_t, t, ab)
        alpha, before = ab[t] / ab[t - 1], ab[t - 1]

        def product(alpha, before, x_0=x_0, x_t=x_t, swap=False):
            m1, v1, m2, v2 = x_t / alpha**0.5, 1 / alpha - 1, before**0.5 * x_0, 1 - before
            return ((v1 * m1 + v2 * m2) if swap else (v2 * m1 + v1 * m2)) / (v1 + v2)

        wrong = {
            "the weights are exchanged: v₂ is m₁'s, v₁ is m₂'s": product(alpha, before, swap=True),
            "x_0 and x_t are exchanged": product(alpha, before, x_t, x_0),
            "x_0 is not scaled by √ᾱ_{t−1}": product(alpha, before, x_0 / before**0.5),
            "ᾱ_t is in the place of ᾱ_{t−1}": product(alpha, ab[t]),
            "ᾱ_t is in the place of α_t": product(ab[t], before),
            "the times are off by one: α_{t−1} and ᾱ_{t−2}": product(before / ab[t - 2], ab[t - 2]),
            "the times are off by one: α_{t+1} and ᾱ_t": product(ab[t + 1] / ab[t], ab[t]),
        }
        value(found, mean, f"the mean at t = {t}", wrong)
        wrong = {
            "it is β_t, not β̃_t": 1 - alpha,
            "it is the standard deviation, not the variance": np.sqrt(variance),
            "it is the variance of q(x_t | x_0)": 1 - ab[t],
            "it is 1/v₁ + 1/v₂, whose inverse is the variance": 1 / variance,
        }
        value(found_variance, variance, f"the variance at t = {t}", wrong)


@check(3, "one step of DDPM", points=1)
def any_ddpm_step(student, reference, rng):
    ab = falling(rng, 12)
    for shape, t in (((4, 2), 2), ((2, 3, 3, 1), 12)):
        x_t, eps, z = rng.normal(size=(3, *shape))
        mean = reference.ddpm_step(x_t, eps, t, 0 * z, ab)
        _, variance = reference.posterior(x_t, x_t, t, ab)
        beta = 1 - ab[t] / ab[t - 1]
        mistakes = {
            "no noise is added": mean,
            "the noise is scaled by β̃_t, without the root": mean + variance * z,
            "the noise is scaled by √β_t, not by √β̃_t": mean + np.sqrt(beta) * z,
            "the noise is scaled by β_t": mean + beta * z,
            "the noise is not scaled": mean + z,
        }
        found = student.ddpm_step(x_t, eps, t, z, ab)
        own, own_variance = student.posterior(student.predicted_x_0(x_t, eps, t, ab), x_t, t, ab)
        either = [mean + np.sqrt(variance) * z, own + np.sqrt(own_variance) * z]
        value(found, closest(found, either), f"x_{t - 1} from x_{t}", mistakes)


@check(3, "the mean and variance of samples of Gaussian data, computed exactly", points=1)
def moments(student, reference, rng):
    """A step is affine in x and z: three inputs tell how it changes a mean and a variance."""
    T, m, s = 30, float(rng.uniform(1, 2)), float(rng.uniform(0.3, 0.8))
    ab = diffusion.linear(T).alpha_bar
    network = reference.optimal(m, s, ab)
    x, z = np.array([[0.0], [1.0], [0.0]]), np.array([[0.0], [0.0], [1.0]])
    moments = {"expected": (np.sqrt(ab[T]) * m, 1.0), "found": (np.sqrt(ab[T]) * m, 1.0)}
    for t in range(T, 0, -1):
        eps = network(x, np.full(3, t)).numpy()
        for key, step in {"expected": reference.ddpm_step, "found": student.ddpm_step}.items():
            at_0, at_1, with_z = step(x, eps, t, z, ab)[:, 0]
            mean, variance = moments[key]
            a, b = at_1 - at_0, with_z - at_0
            moments[key] = at_0 + a * mean, a * a * variance + b * b
    value(moments["found"][0], m, "the mean")
    value(moments["found"][1], moments["expected"][1], "the variance")


@check(3, "all steps of DDPM, from T to 1", points=1)
def any_ddpm(student, reference, rng):
    """The sampler is compared with the student's own steps, one by one."""
    T, m, s = 5, 0.7, 0.5
    ab, x_T, seed = falling(rng, T), rng.normal(size=(4, 3)), int(rng.integers(2**31))
    network = reference.optimal(m, s, ab)
    noise = np.random.default_rng(seed).standard_normal((T, 4, 3))

    def walk(times, z=noise):
        x = x_T
        for t, z_t in zip(times, z):
            x = student.ddpm_step(x, network(x, np.full(4, t)).numpy(), t, z_t, ab)
        return x

    found = student.gaussian_ddpm(x_T, ab, m, s, np.random.default_rng(seed))
    mistakes = {
        "the times increase: go from T down to 1": walk([1, 2, 3, 4, 5]),
        "the step at t = 1 is missing": walk([5, 4, 3, 2]),
        "the step at t = T is missing": walk([4, 3, 2, 1]),
        "no noise is added": walk([5, 4, 3, 2, 1], 0 * noise),
        "each step adds the same noise": walk([5, 4, 3, 2, 1], noise[[0, 0, 0, 0, 0]]),
    }
    value(found, walk([5, 4, 3, 2, 1]), "the samples, as your steps give them", mistakes)


@check(4, "one step of DDIM", points=2)
def any_ddim_step(student, reference, rng):
    ab = falling(rng, 12)
    for shape, t, s in (((4, 2), 9, 5), ((2, 3, 3, 1), 12, 11), ((3, 2), 7, 1)):
        x_t, eps = rng.normal(size=(2, *shape))
        x_0 = reference.predicted_x_0(x_t, eps, t, ab)

        def mixed(a, b, x_0=x_0, eps=eps):
            return np.sqrt(a) * x_0 + np.sqrt(b) * eps

        mistakes = {
            "the noise is scaled by √(1 − ᾱ_t), not by √(1 − ᾱ_s)": mixed(ab[s], 1 - ab[t]),
            "x̂_0 is scaled by √ᾱ_t, not by √ᾱ_s": mixed(ab[t], 1 - ab[s]),
            "the noise is scaled by 1 − ᾱ_s, without the root": mixed(ab[s], (1 - ab[s]) ** 2),
            "x̂_0 is scaled by ᾱ_s, without the root": mixed(ab[s] ** 2, 1 - ab[s]),
            "x_t is in the place of x̂_0": mixed(ab[s], 1 - ab[s], x_t),
            "it leads to s − 1, not to s": mixed(ab[s - 1], 1 - ab[s - 1]),
            "it leads to t − 1, not to s": mixed(ab[t - 1], 1 - ab[t - 1]),
            "nothing happens: it leads to t, not to s": x_t,
        }
        found = student.ddim_step(x_t, eps, t, s, ab)
        own = mixed(ab[s], 1 - ab[s], student.predicted_x_0(x_t, eps, t, ab))
        value(found, closest(found, [mixed(ab[s], 1 - ab[s]), own]), f"x_{s} from x_{t}", mistakes)


@check(4, "samples of Gaussian data by DDIM, computed exactly", points=1)
def any_ddim(student, reference, rng):
    """One step multiplies x − √ᾱ m by a number that is known."""
    T, m, s = 40, float(rng.uniform(1, 2)), float(rng.uniform(0.3, 0.8))
    ab, x_T = diffusion.linear(T).alpha_bar, rng.normal(size=(4, 2))

    def walk(times):
        offset = x_T - np.sqrt(ab[times[0]]) * m
        for t, u in pairwise(times):
            both = np.sqrt(ab[u] * ab[t]) * s**2 + np.sqrt((1 - ab[u]) * (1 - ab[t]))
            offset = offset * both / (ab[t] * s**2 + 1 - ab[t])
        return np.sqrt(ab[times[-1]]) * m + offset

    for times in ([40, 31, 17, 5, 0], [40, 39, 20, 12]):
        found = student.gaussian_ddim(x_T, ab, m, s, times)
        mistakes = {
            "the last step is missing": walk(times[:-1]),
            "the first step is missing": walk([times[1], *times[2:]]),
            "every time is visited, not only those of `times`": walk(list(range(40, -1, -1))),
            "a step to 0 is added, which `times` does not have": walk([*times, 0]),
        }
        value(found, walk(times), f"x after the times {times}", mistakes)


@check(5, "the times of many minibatches", points=1)
def draws(student, reference, rng):
    T, n = 6, 12_000
    _, t, _ = student.minibatch(rng.normal(size=(40, 2)), n, T, rng)
    count = np.bincount(np.clip(np.ravel(t), 0, T + 1).astype(int), minlength=T + 2)
    uneven = abs(count[1:-1] - n / T).max() > 300
    problems = {
        "all rows have the same time: sample n times": np.ptp(np.ravel(t)) == 0,
        "t = 0 occurs, where x_t has no noise": count[0] > 0,
        "t = T never occurs, but samples start from there": count[T] == 0,
        "t = 1 never occurs": count[1] == 0,
        f"{n} times are not equally likely: 1, …, {T} occur {count[1:-1]} times": uneven,
    }
    require(not any(problems.values()), next((k for k, v in problems.items() if v), ""))


@check(5, "the rows and the noise of many minibatches", points=1)
def noise(student, reference, rng):
    n, x = 12_000, rng.normal(size=(40, 2))
    x_0, _, eps = student.minibatch(x, n, 6, rng)
    if not np.shape(x_0) == np.shape(eps) == (n, 2):
        text = f"n rows: expected shapes {(n, 2)}, got {np.shape(x_0)} and {np.shape(eps)}"
        return require(False, text)
    chosen = [np.all(x_0 == row, axis=1).sum() for row in x]
    mean, variance = np.mean(eps), np.var(eps)
    unlike = abs(mean) > 0.05 or abs(variance - 1) > 0.08
    problems = {
        f"ε has mean {mean:.2f} and variance {variance:.2f}, not 0 and 1": unlike,
        "all rows have the same noise": np.ptp(eps, axis=0).min() == 0,
        "all elements of a row have the same noise": np.ptp(eps, axis=1).max() == 0,
        "the rows of the data are not equally likely": np.ptp(chosen) > n / 80,
        "the rows come in order: choose them at random": np.mean(x_0[40:] == x_0[:-40]) > 0.5,
    }
    require(not any(problems.values()), next((k for k, v in problems.items() if v), ""))


@check(5, "a network that learned the swirl, and its samples", points=2)
def learns(student, reference, rng):
    t, x_0 = rng.integers(1, 101, 2000), reference.swirl(2000, rng)
    eps = rng.normal(size=x_0.shape)
    x_t = diffusion.linear(100).q_sample(x_0, t, eps)
    losses, found, samples = student.tensors.experiment(seed=int(rng.integers(2**31)), x_t=x_t, t=t)
    error = np.mean((found - eps) ** 2)
    if error > 0.3:
        text = f"after 500 steps the squared error of ε̂ is {error:.3f}: below 0.3 is right"
        return require(False, text)
    require(np.shape(losses) == (500,), f"expected a list of 500 losses, got {np.shape(losses)}")
    ratio = np.mean(np.ravel(losses)[-50:]) / error
    require(0.7 < ratio < 1.4, f"the last losses are {ratio:.1f} times the squared error of ε̂")
    distance = np.linalg.norm(samples[:, None] - x_0, axis=2) < 0.1
    near, covered = np.mean(distance.any(axis=1)), np.mean(distance.any(axis=0))
    text = f"{near:.0%} of the samples are near the swirl, and {covered:.0%} of it is near a sample"
    require(min(near, covered) > 0.7, f"{text}: 70 % is right")
