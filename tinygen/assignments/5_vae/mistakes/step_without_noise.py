"""Training decodes μ.

score: 22
says: Is z a sample, with noise?
"""

import tinygen as tg


def train_step(x, eps, encoder, decoder, adam):
    mu, log_var = encode(encoder, x)
    bound = elbo(x, mu, log_var, 0 * eps, lambda x, z: log_bernoulli(x, decoder(z)))
    adam.step(tg.grad(-bound, adam.params))
