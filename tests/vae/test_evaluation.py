"""Evaluation: means over all images that do not depend on the batch size."""

import math

import numpy as np
import pytest
from small_vaes import D, P, by_hand, data, generator, linear_model, small_model, tensor

import tinygen as tg
from tinygen import nn, vae
from tinygen.vae import VAE, elbo, log_weights

# --- log p(x) -------------------------------------------------------------------------------------


def test_the_estimate_does_not_depend_on_the_batch_size():
    model, w, b = linear_model(wrong=0.3)
    x = data(5, w, b)
    sizes = [
        vae.log_likelihood(model, x, k=3000, rng=generator(), size=s).mean()
        for s in (100, 3000, 7000, 10**6)
    ]
    np.testing.assert_allclose(sizes, sizes[0], atol=0.02)
    once = vae.log_likelihood(model, x[:1], k=3000, rng=generator(), size=3000)
    by_hand, *_ = log_weights(model, tensor(x[:1]), k=3000, rng=generator())
    assert once[0] == pytest.approx(float(tg.logsumexp(by_hand)) - math.log(3000), rel=1e-9)


def test_the_estimate_uses_all_draws():
    model, w, b = linear_model(wrong=0.6)  # so that the weights differ
    x, rng = data(1, w, b), generator(4)
    log_p = vae.log_likelihood(model, x, k=10, rng=generator(4), size=4)
    parts = [log_weights(model, tensor(x), k=n, rng=rng)[0].numpy() for n in (4, 4, 2)]
    weights = np.exp(np.concatenate(parts))
    assert log_p[0] == pytest.approx(math.log(weights.mean()), rel=1e-9)


# --- the terms and the units ----------------------------------------------------------------------


def test_evaluation_is_the_mean_over_all_images_for_any_batch_size():
    model, x = small_model(), generator().random((7, P))
    terms = vae.evaluate(model, x, rng=generator(), size=7)
    assert terms["kl"] == pytest.approx(vae.evaluate(model, x, rng=generator(), size=3)["kl"])
    assert terms["loss"] == pytest.approx(float(elbo(model, tensor(x), rng=generator()).loss))
    assert vae.unit_kl(model, x, size=2).sum() == pytest.approx(terms["kl"])


def test_the_kl_of_each_unit_is_its_mean_over_all_images():
    model, x = small_model(), generator().random((7, P))
    _, kl = by_hand(model, x, 5)
    np.testing.assert_allclose(vae.unit_kl(model, x, size=2), kl.mean(axis=0), rtol=1e-9)


def lively_model():
    """A model with dropout and batch norm"""
    rng = generator()
    encoder = nn.Sequential(nn.Dense(P, 2 * D, rng=rng), nn.BatchNorm(2 * D))
    decoder = nn.Sequential(
        nn.Dropout(0.5, rng=generator(1)), nn.Dense(D, P, rng=rng), nn.BatchNorm(P)
    )
    return VAE(encoder, decoder, D)


MEASURES = {
    "generate": lambda model, x: model.generate(x[:, :D]),
    "sample": lambda model, x: model.sample(5, rng=generator()),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "means": lambda model, x: model.means(x),
    "interpolate": lambda model, x: model.interpolate(x[:2], x[2:4], 3),
    "evaluate": lambda model, x: list(vae.evaluate(model, x, rng=generator()).values()),
    "log_likelihood": lambda model, x: vae.log_likelihood(model, x, k=6, rng=generator(), size=4),
    "unit_kl": lambda model, x: vae.unit_kl(model, x),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_evaluation_leaves_the_model_unchanged_and_uses_no_dropout(measure):
    model, x = lively_model(), generator(2).random((6, P), np.float32)
    elbo(model, tg.Tensor(tg.xp.asarray(x)), rng=generator())  # to update the running statistics
    model.encoder[0].eval()  # some layers in each mode
    before, modes = model.state_dict(), [part.training for _, part in model.named_modules()]
    np.testing.assert_array_equal(measure(model, x), measure(model, x))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert [part.training for _, part in model.named_modules()] == modes
    assert True in modes and False in modes


def test_a_failed_evaluation_restores_training_mode():
    model = lively_model()
    with pytest.raises(ValueError):
        vae.evaluate(model, np.ones((2, P + 1), np.float32), rng=generator())
    assert all(part.training for _, part in model.named_modules()) and tg.is_recording()
