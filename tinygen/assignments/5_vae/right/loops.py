"""Sample by sample and unit by unit; the training step uses backward()."""

import tinygen as tg


def kl(mu, log_var):
    total = 0
    for d in range(mu.shape[-1]):
        m, l = mu[..., d], log_var[..., d]
        total = total + 0.5 * (m * m + tg.exp(l) - 1 - l)
    return total


def elbo(x, mu, log_var, eps, likelihood):
    each = likelihood(x, mu + tg.exp(0.5 * log_var) * eps)
    return (tg.sum(each) - tg.sum(kl(mu, log_var))) / len(mu)


def log_weights(x, mu, log_var, eps, likelihood):
    rows = []
    for e in eps:
        z = reparameterise(mu, log_var, e)
        prior = -0.5 * tg.sum(z**2, axis=-1)
        q = -0.5 * tg.sum((z - mu) ** 2 * tg.exp(-log_var) + log_var, axis=-1)
        rows.append(likelihood(x, z) + prior - q)
    return tg.stack(rows)


def train_step(x, eps, encoder, decoder, adam):
    h = encoder(x)
    mu, log_var = tg.split(h, 2, axis=1)
    logits = decoder(reparameterise(mu, log_var, eps))
    loss = tg.mean(tg.softplus(logits) - x * logits) * x.shape[1] + tg.mean(kl(mu, log_var))
    loss.backward()
    adam.step()
