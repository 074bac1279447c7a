"""The code is detached: the encoder learns from the KL only, and gives the prior.

score: 22
says: the decoder ignores z
"""

import tinygen as tg


def train_step(x, eps, encoder, decoder, adam):
    mu, log_var = encode(encoder, x)

    def likelihood(x, z):
        return log_bernoulli(x, decoder(z.detach()))

    bound = elbo(x, mu, log_var, eps, likelihood)
    adam.step(tg.grad(-bound, adam.params))
