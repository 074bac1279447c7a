"""The negative ELBO, and a training step that lowers it.

score: 21
says: this is −ELBO
"""

import tinygen as tg


def elbo(x, mu, log_var, eps, likelihood):
    return tg.mean(kl(mu, log_var) - likelihood(x, reparameterise(mu, log_var, eps)))


def train_step(x, eps, encoder, decoder, adam):
    mu, log_var = encode(encoder, x)
    loss = elbo(x, mu, log_var, eps, lambda x, z: log_bernoulli(x, decoder(z)))
    adam.step(tg.grad(loss, adam.params))
