"""Hidden tests: other shapes, extreme inputs, closed forms."""

import numpy as np

import tinygen as tg
from tinygen import vae
from tinygen.assignments import check, gradient, require, value


def kl(mu, log_var):
    """tinygen's, for each unit"""
    return vae.gaussian_kl(mu, log_var).numpy()


def model(rng, n, *k):
    """x, μ, log σ², ε for the linear model"""
    mu, log_var = rng.normal(size=(n, 3)), rng.uniform(-1, 1, (n, 3))
    return rng.normal(size=(n, 5)), mu, log_var, rng.normal(size=(*k, n, 3))


def posterior(reference, x):
    """the mean and the log variance of p(z|x), and log p(x), of the linear model"""
    a, tau2 = reference.A, reference.TAU**2
    v = 1 / (1 + (a * a).sum(axis=1) / tau2)
    covariance = a.T @ a + tau2 * np.eye(a.shape[1])
    square = np.einsum("np,pq,nq->n", x, np.linalg.inv(covariance), x)
    log_p = -0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1])
    return x @ a.T * v / tau2, np.tile(np.log(v), (len(x), 1)), log_p


@check(1, "the KL for any shape", points=1)
def any_kl(student, reference, rng):
    for _ in range(3):
        n, d = rng.permutation(np.arange(3, 10))[:2]
        mu, log_var = 2 * rng.normal(size=(n, d)), 3 * rng.normal(size=(n, d))
        expected = kl(mu, log_var).sum(axis=1)
        mistakes = {
            "the ½ is missing": 2 * expected,
            "`log_var` is log σ², but is used as log σ": kl(mu, 2 * log_var).sum(axis=1),
            "this is KL(p ‖ q)": kl(mu * np.exp(-log_var / 2), -log_var).sum(axis=1),
        }
        value(student.tensors.kl(mu, log_var), expected, "the KL", mistakes)


@check(1, "the gradient of the KL for any shape", points=2)
def kl_gradients(student, reference, rng):
    for _ in range(3):
        n, d = rng.permutation(np.arange(3, 50))[:2]
        g, mu, log_var = (
            rng.normal(size=n),
            30 * rng.normal(size=(n, d)),
            3 * rng.normal(size=(n, d)),
        )
        expected = reference.kl_backward(g, mu, log_var)
        for name, ours, theirs in zip(
            ("μ̄", "the gradient of log σ²"),
            expected,
            student.kl_backward(g, mu, log_var),
            strict=True,
        ):
            mistakes = {
                "g is not used": ours / g[:, None],
                "the ½ is missing": 2 * ours,
                "there is a ½ too much: the derivative of μ² is 2 μ": ours / 2,
                "its sign is wrong": -ours,
            }
            value(theirs, ours, name, mistakes, rtol=1e-11, atol=1e-11)


@check(2, "the sample and its gradients for any shape", points=1)
def any_sample(student, reference, rng):
    def z(mu, log_var, eps):
        return vae.reparameterise(mu, log_var, eps).numpy()

    for _ in range(3):
        n, d = rng.permutation(np.arange(3, 8))[:2]
        mu, log_var, eps = (
            rng.normal(size=(n, d)),
            rng.uniform(0.3, 2, (n, d)),
            rng.normal(size=(n, d)),
        )
        mistakes = {
            "exp(log_var) is σ², not σ": mu + np.exp(log_var) * eps,
            "`log_var` is used as σ": mu + log_var * eps,
            "`log_var` is used as σ²": mu + np.sqrt(log_var) * eps,
            "the noise is not used": mu,
            "the noise is subtracted": mu - np.exp(log_var / 2) * eps,
        }
        found = student.tensors.reparameterise(mu, log_var, eps)
        value(found, z(mu, log_var, eps), "z", mistakes)
        gradient(student.gradients.reparameterise, z, mu, log_var, eps)


@check(2, "logits of ±1000", points=2)
def extreme(student, reference, rng):
    x = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    logits = np.array([[1000.0, -1000.0, 2.0], [2.0, 2.0, 1000.0], [-1000.0, -1000.0, 2.0]])
    found = student.tensors.log_bernoulli(x, logits)
    u, v = np.log1p(np.exp([-2.0, 2.0]))  # −log s(±2)
    exact = np.array([-v, -1000 - v - u, -1000 - u])
    if not np.isfinite(found).all():
        require(
            False,
            "log p(x|z) is not finite: the sigmoid of a logit rounds to 0 or 1, whose log is −∞",
        )
    elif np.min(found) > -900:
        require(False, "log p(x|z) is cut off far above −1000: logits or probabilities are clipped")
    else:
        value(found, exact, "log p(x|z) at logits of ±1000")
    _, of_logits = student.gradients.log_bernoulli(np.ones(3), x, logits)
    expected = x - np.where(abs(logits) > 2, logits > 0, 1 / (1 + np.exp(-np.clip(logits, -2, 2))))
    value(
        of_logits, expected, "the gradient of the logits at ±1000", {"it is not finite": np.nan * x}
    )


@check(2, "the gradients of the likelihood", points=1)
def likelihood_gradients(student, reference, rng):
    def log_p(x, logits):
        return vae.Bernoulli().log_prob(x, tg.Tensor(logits)).numpy()

    for _ in range(2):
        n, p = rng.permutation(np.arange(3, 8))[:2]
        x, logits = rng.uniform(size=(n, p)), rng.normal(size=(n, p))
        gradient(student.gradients.log_bernoulli, log_p, x, logits, name="log_bernoulli", rtol=1e-5)


@check(3, "the ELBO is log p(x) less the KL from q to the posterior", points=2)
def gap(student, reference, rng):
    # the mean over these ε has no error: their mean is 0, their covariance the identity
    eps = np.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    for _ in range(3):
        x = np.tile(rng.normal(size=(1, 5)), (6, 1))
        mean, log_v, log_p = posterior(reference, x)
        mu, log_var = mean + rng.normal(size=3), log_v + rng.uniform(-1, 1, 3)
        off = kl((mu - mean) / np.exp(log_v / 2), log_var - log_v).sum(axis=1)
        term = kl(mu, log_var).sum(axis=1)
        expected = (log_p - off)[0]
        given_z = expected + term[0]
        at_mu = reference.gaussian(x, mu).numpy()[0]
        mistakes = {
            "the KL is added, not subtracted": given_z + term[0],
            "this is −ELBO": -expected,
            "a sum over the batch, not a mean": 6 * expected,
            "the KL is a mean over units, but the log-likelihood a sum": given_z - term[0] / 3,
            "the log-likelihood is a mean over pixels, but the KL a sum": given_z / 5 - term[0],
            "the KL is summed over the batch": given_z - 6 * term[0],
            "z is μ: the noise is not used": at_mu - term[0],
            "the ½ of the KL is missing": given_z - 2 * term[0],
            "the KL is missing": given_z,
        }
        found = student.tensors.elbo(x, mu, log_var, eps, reference.gaussian)
        value(found, expected, "the ELBO", mistakes, rtol=1e-9)


@check(3, "the gradients of the ELBO for any batch", points=1)
def elbo_gradients(student, reference, rng):
    def elbo(x, mu, log_var, eps):
        given_z = reference.gaussian(x, mu + np.exp(log_var / 2) * eps).numpy()
        return np.mean(given_z - kl(mu, log_var).sum(axis=1))

    def of_student(g, *inputs):
        return student.gradients.elbo(g, *inputs, reference.gaussian)

    gradient(of_student, elbo, *model(rng, int(rng.integers(4, 8))), name="elbo")


@check(4, "the weights of any q", points=1)
def any_weights(student, reference, rng):
    for k, n in ((2, 5), (7, 4)):
        x, mu, log_var, eps = model(rng, n, k)
        z = mu + np.exp(log_var / 2) * eps
        given_z, prior = reference.gaussian(x, z).numpy(), vae.log_normal(z).numpy()
        q = vae.log_normal(z, mu, log_var).numpy()
        mistakes = {
            "log q(z|x) is added, not subtracted": given_z + prior + q,
            "the prior p(z) is missing": given_z - q,
            "log q(z|x) is missing": given_z + prior,
            "the prior is that of ε, not of z": given_z + vae.log_normal(eps).numpy() - q,
            "q(z|x) lacks its normalisation 1/σ": given_z + prior - q - log_var.sum(axis=1) / 2,
            "this is log p(x|z)": given_z,
            "the KL in place of log p(z) − log q(z|x)": given_z - kl(mu, log_var).sum(axis=1),
        }
        found = student.tensors.log_weights(x, mu, log_var, eps, reference.gaussian)
        value(found, given_z + prior - q, "log w", mistakes)


@check(4, "weights too small for a float", points=1)
def tiny(student, reference, rng):
    x, mu, log_var, eps = model(rng, 4, 3)
    x = x + 100
    found = student.tensors.iwae(x, mu, log_var, eps, reference.gaussian)
    hint = "not finite: all weights round to 0. Use logsumexp"
    expected = reference.iwae(x, mu, log_var, eps, reference.gaussian).numpy()
    mistakes = {hint: -np.inf, f"{hint}. ": np.nan}
    value(found, expected, "IWAE far from the data", mistakes)


@check(4, "ELBO ≤ IWAE ≤ log p(x)", points=1)
def ordered(student, reference, rng):
    n = 2000
    x = np.tile([1.0, 2.0, 3.0, 4.0, 5.0], (n, 1))
    mean, log_v, log_p = posterior(reference, x)
    mu, log_var = mean + 0.4, log_v + 0.5
    found = {}
    for k in (1, 3, 30):
        eps = rng.normal(size=(k, n, 3))
        found[k] = float(student.tensors.iwae(x, mu, log_var, eps, reference.gaussian))
    off = kl((mu - mean) / np.exp(log_v / 2), log_var - log_v).sum(axis=1)
    text = ", ".join(f"{bound:.4g} for k = {k}" for k, bound in found.items())
    expected = (log_p - off)[0]
    if abs(found[1] - expected) > 0.3:
        require(False, f"k = 1 should give the ELBO, {expected:.4g}, on average: {text}")
    elif not (found[1] + 0.1 < found[3] and found[3] + 0.1 < found[30]):
        require(False, f"the bound should rise with k: {text}")
    else:
        require(found[30] < log_p[0] + 0.1, f"above log p(x) = {log_p[0]:.4g}: {text}")


@check(4, "the gradients of IWAE", points=1)
def iwae_gradients(student, reference, rng):
    def iwae(x, mu, log_var, eps):
        z = mu + np.exp(log_var / 2) * eps
        log_w = reference.gaussian(x, z).numpy() + vae.log_normal(z).numpy()
        log_w = log_w - vae.log_normal(z, mu, log_var).numpy()
        return np.mean(np.log(np.mean(np.exp(log_w), axis=0)))

    def of_student(g, *inputs):
        return student.gradients.iwae(g, *inputs, reference.gaussian)

    gradient(of_student, iwae, *model(rng, 4, 3), name="iwae")


LEAST = -150  # nats


@check(5, "the ELBO of new digits, from another start", points=2)
def learns(student, reference, rng):
    trained = student.tensors.train(seed=int(rng.integers(2**31)))
    x, networks = reference.digits(500, rng), reference.networks(rng)
    for name, network in zip(("encoder", "decoder"), networks):
        for p, w in zip(network.parameters(), trained[name], strict=True):
            p.data = np.asarray(w).reshape(p.shape).astype(np.float32)
    mu, log_var = reference.encode(networks[0], tg.Tensor(x))
    z = vae.reparameterise(mu, log_var, rng.standard_normal(mu.shape, np.float32))
    given_z, term = vae.Bernoulli().log_prob(x, networks[1](z)), vae.gaussian_kl(mu, log_var)
    found = given_z.numpy().mean() - term.numpy().sum(axis=1).mean()
    message = f"after 300 steps, the ELBO of new digits is {found:.4g} nats, not above {LEAST}"
    require(found > LEAST, message)
