"""The training step lowers the ELBO.

score: 22
says: an optimiser lowers what it is given
"""

import tinygen as tg


def train_step(x, eps, encoder, decoder, adam):
    mu, log_var = encode(encoder, x)
    bound = elbo(x, mu, log_var, eps, lambda x, z: log_bernoulli(x, decoder(z)))
    adam.step(tg.grad(bound, adam.params))
