"""The largest logit and the largest weight are taken out by hand."""

import tinygen as tg


def log_bernoulli(x, logits):
    # log(1 + eˡ) = max(l, 0) + log(1 + e^−|l|)
    log1p = tg.maximum(logits, 0.0) + tg.log(1 + tg.exp(-tg.abs(logits)))
    return tg.sum(logits * x, axis=-1) - tg.sum(log1p, axis=-1)


def iwae(x, mu, log_var, eps, likelihood):
    log_w = log_weights(x, mu, log_var, eps, likelihood)
    largest = log_w.numpy().max(axis=0)
    average = tg.mean(tg.exp(log_w - largest), axis=0)
    return tg.mean(tg.log(average) + largest)
