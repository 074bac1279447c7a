"""Visible tests: small shapes, fixed seeds."""

import numpy as np

import tinygen as tg
from tinygen import vae
from tinygen.assignments import check, gradient, require, value


def kl(mu, log_var):
    """tinygen's, for each unit"""
    return vae.gaussian_kl(mu, log_var).numpy()


def gaussians(rng, n, d=3):
    """μ and log σ², all log σ² > 0"""
    return rng.normal(size=(n, d)), rng.uniform(0.2, 1.5, (n, d))


def posterior(reference, x):
    """the mean and the log variance of p(z|x), and log p(x), of the linear model"""
    a, tau2 = reference.A, reference.TAU**2
    v = 1 / (1 + (a * a).sum(axis=1) / tau2)
    covariance = a.T @ a + tau2 * np.eye(a.shape[1])
    square = np.einsum("np,pq,nq->n", x, np.linalg.inv(covariance), x)
    log_p = -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])
    return x @ a.T * v / tau2, np.tile(np.log(v), (len(x), 1)), log_p


@check(1, "the gradient of the KL at full size", points=1)
def large_kl(student, reference, rng):
    mu, log_var = gaussians(rng, 1000, 300)
    g = rng.uniform(0.5, 1.5, 1000)
    inputs = [tg.Tensor(a, requires_grad=True) for a in (mu, log_var)]
    each = tg.sum(vae.gaussian_kl(*inputs), axis=1)
    expected = [a.numpy() for a in tg.grad(each, inputs, cotangent=tg.Tensor(g))]
    found = student.kl_backward(g, mu, log_var)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        return require(False, "expected two arrays: μ̄, and the gradient of log σ²")
    for name, ours, theirs in zip(("μ̄", "the gradient of log σ²"), expected, found):
        mistakes = {
            "g is not used": ours / g[:, None],
            "the ½ is missing": 2 * ours,
            "there is a ½ too much: the derivative of μ² is 2 μ": ours / 2,
            "its sign is wrong": -ours,
            "a mean over the units, not a sum": ours / 300,
            "it is that with respect to σ², not to log σ²": ours / np.exp(log_var),
            "the derivative of −log σ² is missing": ours + g[:, None] / 2,
        }
        value(theirs, ours, name, mistakes, rtol=1e-10, atol=1e-10)


@check(1, "the KL of a few Gaussians", points=1)
def some_kl(student, reference, rng):
    mu, log_var = gaussians(rng, 4)
    expected = kl(mu, log_var).sum(axis=1)
    mistakes = {
        "the ½ is missing": 2 * expected,
        "the sign is wrong: a KL is never negative": -expected,
        "`log_var` is log σ², but is used as σ²": kl(mu, np.log(log_var)).sum(axis=1),
        "`log_var` is log σ², but is used as log σ": kl(mu, 2 * log_var).sum(axis=1),
        "`log_var` is log σ², but is used as σ": kl(mu, 2 * np.log(log_var)).sum(axis=1),
        "a mean over the units, not a sum": expected / 3,
        "a mean over the examples; expected the KL of each": expected.mean(),
        "a sum over the examples too; expected the KL of each": expected.sum(),
        "not summed over the units": kl(mu, log_var),
    }
    value(student.tensors.kl(mu, log_var), expected, "the KL", mistakes)


@check(2, "a sample and its gradients", points=1)
def sample(student, reference, rng):
    def z(mu, log_var, eps):
        return vae.reparameterise(mu, log_var, eps).numpy()

    (mu, log_var), eps = gaussians(rng, 4), rng.normal(size=(4, 3))
    mistakes = {
        "exp(log_var) is σ², not σ": z(mu, 2 * log_var, eps),
        "`log_var` is used as σ": z(mu, 2 * np.log(log_var), eps),
        "`log_var` is used as σ²": z(mu, np.log(log_var), eps),
        "the noise is not used": mu,
    }
    found = student.tensors.reparameterise(mu, log_var, eps)
    value(found, z(mu, log_var, eps), "z", mistakes)
    gradient(student.gradients.reparameterise, z, mu, log_var, eps)


@check(2, "the likelihood of a few pixels", points=1)
def some_pixels(student, reference, rng):
    x, logits = rng.integers(0, 2, (3, 8)).astype(float), rng.normal(size=(3, 8))
    x[:, 0] = 0.3  # a grey pixel
    log_p = vae.Bernoulli().log_prob
    expected = log_p(x, tg.Tensor(logits)).numpy()
    mistakes = {
        "the sign is wrong: log p(x|z) is negative": -expected,
        "a mean over the pixels, not a sum": expected / 8,
        "x and 1 − x are swapped": log_p(1 - x, tg.Tensor(logits)).numpy(),
        "the term of x = 0 is missing": -np.sum(x * np.log1p(np.exp(-logits)), axis=1),
        "a mean over the examples; expected log p of each": expected.mean(),
        "a sum over the examples too; expected log p of each": expected.sum(),
    }
    value(student.tensors.log_bernoulli(x, logits), expected, "log p(x|z)", mistakes, rtol=1e-5)


@check(3, "the ELBO of the linear model", points=1)
def linear_elbo(student, reference, rng):
    (mu, log_var), x, eps = gaussians(rng, 4), rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    given_z = reference.gaussian(x, vae.reparameterise(mu, log_var, eps)).numpy()
    term = kl(mu, log_var).sum(axis=1)
    mistakes = {
        "the KL is added, not subtracted": np.mean(given_z + term),
        "this is −ELBO": np.mean(term - given_z),
        "a sum over the batch, not a mean": np.sum(given_z - term),
        "the KL is a mean over units, but the log-likelihood a sum": np.mean(given_z - term / 3),
        "the log-likelihood is a mean over pixels, but the KL a sum": np.mean(given_z / 5 - term),
        "the KL is summed over the batch": np.mean(given_z) - np.sum(term),
        "z is μ: the noise is not used": np.mean(reference.gaussian(x, mu).numpy() - term),
        "the KL is missing": np.mean(given_z),
    }
    found = student.tensors.elbo(x, mu, log_var, eps, reference.gaussian)
    value(found, np.mean(given_z - term), "the ELBO", mistakes)


@check(3, "the gradients of the ELBO", points=1)
def elbo_gradients(student, reference, rng):
    def elbo(x, mu, log_var, eps):
        given_z = reference.gaussian(x, vae.reparameterise(mu, log_var, eps)).numpy()
        return np.mean(given_z - kl(mu, log_var).sum(axis=1))

    def of_student(g, *inputs):
        return student.gradients.elbo(g, *inputs, reference.gaussian)

    (mu, log_var), x, eps = gaussians(rng, 4), rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    gradient(of_student, elbo, x, mu, log_var, eps, name="elbo")


@check(4, "the weights of the exact posterior", points=1)
def exact_weights(student, reference, rng):
    x, eps = rng.normal(size=(4, 5)), rng.normal(size=(6, 4, 3))
    mu, log_var, log_p = posterior(reference, x)
    found = student.tensors.log_weights(x, mu, log_var, eps, reference.gaussian)
    value(found, np.tile(log_p, (6, 1)), "log w, which is log p(x) for q(z|x) = p(z|x)", rtol=1e-9)


@check(4, "the average of two weights", points=1)
def two_weights(student, reference, rng):
    (mu, log_var), x, eps = gaussians(rng, 4), rng.normal(size=(4, 5)), rng.normal(size=(2, 4, 3))
    z = vae.reparameterise(mu, log_var, eps).numpy()
    log_p = reference.gaussian(x, z).numpy() + vae.log_normal(z).numpy()
    w = np.exp(log_p - vae.log_normal(z, mu, log_var).numpy())
    expected = np.mean(np.log((w[0] + w[1]) / 2))
    mistakes = {
        "the mean of log w, not the log of the mean: this is an ELBO": np.mean(np.log(w)),
        "the weights are summed, not averaged: log k is missing": expected + np.log(2),
        "a sum over the batch, not a mean": 4 * expected,
        "the average is over the batch, not over the k samples": np.mean(np.log(w.mean(axis=1))),
        "this is the bound's negative": -expected,
    }
    found = student.tensors.iwae(x, mu, log_var, eps, reference.gaussian)
    value(found, expected, "IWAE with k = 2", mistakes)


LEAST = -150  # nats


def of_new_digits(reference, trained, rng):
    """the ELBO of 500 new digits, and the KL in it"""
    x, networks = reference.digits(500, rng), reference.networks(rng)
    for name, network in zip(("encoder", "decoder"), networks):
        for p, w in zip(network.parameters(), trained[name], strict=True):
            p.data = np.asarray(w).reshape(p.shape).astype(np.float32)
    mu, log_var = reference.encode(networks[0], tg.Tensor(x))
    z = vae.reparameterise(mu, log_var, rng.standard_normal(mu.shape, np.float32))
    given_z, each = vae.Bernoulli().log_prob(x, networks[1](z)), vae.gaussian_kl(mu, log_var)
    term = each.numpy().sum(axis=1).mean()
    return given_z.numpy().mean() - term, term


@check(5, "the ELBO of new digits after training", points=2)
def learns(student, reference, rng):
    trained = student.tensors.train(seed=0)
    found, term = of_new_digits(reference, trained, rng)
    hint = ""
    if found < -545:
        hint = ". It is worse than at the start: an optimiser lowers what it is given"
    elif term < 1:
        hint = f". The KL is {term:.2f}: the decoder ignores z"
    elif found < LEAST:
        hint = ". Is z a sample, with noise? Are both networks trained?"
    message = f"after 300 steps, the ELBO of new digits is {found:.4g} nats, not above {LEAST}"
    require(found > LEAST, message + hint)
