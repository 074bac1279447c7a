"""Variational autoencoders: every term at its formula, every bound below what it bounds."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import gradcheck, metrics, nn, optim, vae
from tinygen.data import Batches
from tinygen.vae import VAE, Bernoulli, Gaussian, elbo, gaussian_kl, iwae, log_normal, log_weights

D, P, SIGMA = 2, 4, 0.5  # latent units, pixels, the pixels' standard deviation

numbers = st.floats(-3, 3)


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x, **more):
    return tg.Tensor(tg.xp.asarray(np.asarray(x, float)), **more)


class Affine(nn.Module):
    def __init__(self, weight, bias):
        self.weight, self.bias = (tensor(x, requires_grad=True) for x in (weight, bias))

    def forward(self, x):
        return tg.as_tensor(x) @ self.weight + self.bias


def linear_model(wrong=0.0, seed=0):
    """x = z W + b + σ noise with orthogonal rows in W: p(x) and p(z|x) are Gaussians that are
    known, and p(z|x) is one that the encoder can say. `wrong` moves it away from that.
    """
    rng = generator(seed)
    w = np.linalg.qr(rng.standard_normal((P, D)))[0].T * np.array([[1.5], [0.7]])  # (D, P)
    b = rng.standard_normal(P)
    posterior = 1 / (1 + (w * w).sum(1) / SIGMA**2)  # its variances
    gain = (w / SIGMA**2).T * posterior  # (P, D)
    encoder = Affine(np.hstack([gain, np.zeros((P, D))]),
                     np.concatenate([-b @ gain, np.log(posterior)]) + wrong)  # fmt: skip
    return VAE(encoder, Affine(w, b), D, likelihood=Gaussian(SIGMA)).astype(float), w, b


def true_log_likelihood(x, w, b):
    covariance = w.T @ w + SIGMA**2 * np.eye(P)
    d = x - b
    return -0.5 * (P * math.log(2 * math.pi) + np.linalg.slogdet(covariance)[1]
                   + (d * np.linalg.solve(covariance, d.T).T).sum(1))  # fmt: skip


def data(n, w, b, seed=1):
    rng = generator(seed)
    return rng.standard_normal((n, D)) @ w + b + SIGMA * rng.standard_normal((n, P))


# --- the terms ------------------------------------------------------------------------------------


@given(numbers, st.floats(-3, 2))
def test_the_kl_equals_quadrature(mu, log_var):
    sigma = math.exp(log_var / 2)
    z = np.linspace(mu - 12 * sigma, mu + 12 * sigma, 20001)
    log_q = -0.5 * (math.log(2 * math.pi) + log_var + ((z - mu) / sigma) ** 2)
    log_p = -0.5 * (math.log(2 * math.pi) + z * z)
    expected = np.trapezoid(np.exp(log_q) * (log_q - log_p), z)
    assert float(gaussian_kl(tensor(mu), tensor(log_var))) == pytest.approx(expected, abs=1e-7)


def test_a_reparameterised_sample_has_the_moments_that_the_kl_assumes():
    mu, log_var = np.array([1.0, -2.0]), np.array([math.log(4.0), math.log(0.25)])
    z = tg.to_numpy(vae.reparameterise(tensor(mu), tensor(log_var),
                                       tensor(generator().standard_normal((200_000, 2)))).data)
    np.testing.assert_allclose(z.mean(0), mu, atol=0.02)
    np.testing.assert_allclose(z.var(0), np.exp(log_var), rtol=0.02)


def test_the_density_of_a_normal_is_its_formula():
    z, mu, variance = [1.0, 2.0], [0.5, -1.0], [0.25, 4.0]
    expected = sum(math.log(math.exp(-((a - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v))
                   for a, m, v in zip(z, mu, variance, strict=True))  # fmt: skip
    found = log_normal(tensor(z), tensor(mu), tensor(np.log(variance)))
    assert float(found) == pytest.approx(expected)
    assert float(log_normal(tensor([0.0, 0.0]))) == pytest.approx(-math.log(2 * math.pi))


def test_a_scalar_is_the_same_of_all_units_and_many_draws_are_from_the_same_q():
    mu, eps = generator().standard_normal((3, 2)), generator(1).standard_normal((5, 3, 2))
    log_var = np.full((3, 2), 0.7)
    for f, scalar, full in (
        (vae.reparameterise, (tensor(mu), 0.7, tensor(eps)), (mu, log_var, eps)),
        (gaussian_kl, (tensor(mu), 0.7), (mu, log_var)),
        (log_normal, (tensor(eps), tensor(mu), 0.7), (eps, np.tile(mu, (5, 1, 1)), log_var)),
        (log_normal, (0.7, tensor(mu)), (log_var, mu)),
    ):
        expected = f(*(tensor(x) for x in full)).numpy()
        np.testing.assert_allclose(f(*scalar).numpy(), expected)


def test_bernoulli_pixels_add_up_over_the_image_and_not_over_the_batch():
    x = np.array([[[1.0, 0.0]], [[0.25, 1.0]]])
    logits = np.array([[[2.0, -1.0]], [[0.0, 3.0]]])
    p = 1 / (1 + np.exp(-logits))
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2))
    found = Bernoulli().log_prob(tensor(x), tensor(logits))
    np.testing.assert_allclose(tg.to_numpy(found.data), expected)
    np.testing.assert_allclose(tg.to_numpy(Bernoulli().mean(tensor(logits)).data), p)


def test_bernoulli_pixels_are_finite_at_any_logit():
    found = Bernoulli().log_prob(tensor([[1.0, 0.0, 1.0]]), tensor([[1000.0, -1000.0, -1000.0]]))
    assert float(found[0]) == -1000


@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_gaussian_pixels_are_a_density(sigma):
    x, m = [[0.2, 0.9]], [[0.5, 0.5]]
    expected = sum(-((a - b) ** 2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
                   for a, b in zip(x[0], m[0], strict=True))  # fmt: skip
    likelihood = Gaussian(sigma).astype(float)
    found = float(likelihood.log_prob(tensor(x), tensor(m))[0])
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_learned_sigma_has_its_optimum_at_the_root_mean_square_error():
    x, m = tensor([[0.0, 1.0, 2.0, 3.0]]), tensor([[0.5, 0.5, 2.5, 2.5]])
    likelihood = Gaussian(0.5, learned=True).astype(float)
    (g,) = tg.grad(tg.mean(likelihood.log_prob(x, m)), likelihood.parameters())
    assert float(g) == pytest.approx(0, abs=1e-6)
    assert Gaussian(0.5).parameters() == []


# --- the bounds, where the truth is known ---------------------------------------------------------


def test_with_the_true_posterior_every_weight_is_p_of_x_and_the_elbo_is_tight():
    model, w, b = linear_model()
    x = data(6, w, b)
    log_w, *_ = log_weights(model, tensor(x), k=5, rng=generator())
    truth = true_log_likelihood(x, w, b)
    np.testing.assert_allclose(tg.to_numpy(log_w.data), np.tile(truth, (5, 1)), rtol=1e-5)
    many = np.repeat(x, 4000, axis=0)
    assert float(elbo(model, tensor(many), rng=generator()).loss) == pytest.approx(-truth.mean(),
                                                                                   abs=0.02)
    assert float(iwae(model, tensor(x), k=3, rng=generator()).loss) == pytest.approx(-truth.mean(),
                                                                                     abs=1e-5)


def test_the_bounds_rise_with_k_to_log_p_and_never_above():
    model, w, b = linear_model(wrong=0.6)
    x = data(4, w, b)
    truth = true_log_likelihood(x, w, b).mean()
    many = tensor(np.repeat(x, 2000, axis=0))
    bounds = [-float(iwae(model, many, k=k, rng=generator(k)).loss) for k in (1, 2, 5, 20)]
    assert bounds == sorted(bounds) and bounds[-1] < truth
    assert bounds[1] - bounds[0] > 0.1  # more than the noise
    found = vae.log_likelihood(model, x, k=20_000, rng=generator(9)).mean()
    assert found == pytest.approx(truth, abs=0.01)
    # the KL by its formula, and by the same draws as the rest: the same bound
    assert float(elbo(model, many, rng=generator()).loss) == pytest.approx(-bounds[0], abs=0.12)


def test_the_gap_of_the_elbo_is_the_kl_to_the_true_posterior():
    wrong = 0.6
    model, w, b = linear_model(wrong)
    x = data(3, w, b)
    # q is the posterior with its mean moved by `wrong` and its variance times e^wrong
    variance = 1 / (1 + (w * w).sum(1) / SIGMA**2)
    gap = sum(0.5 * (math.exp(wrong) + wrong**2 / v - 1 - wrong) for v in variance)
    many = tensor(np.repeat(x, 30_000, axis=0))
    found = float(elbo(model, many, rng=generator()).loss)
    assert found + true_log_likelihood(x, w, b).mean() == pytest.approx(gap, abs=0.03)


def test_the_gradient_of_iwae_is_that_of_the_log_weights_weighted_by_their_softmax():
    model, w, b = linear_model(wrong=0.3)
    x = tensor(data(3, w, b))
    ours = tg.grad(iwae(model, x, k=4, rng=generator()).loss, model.parameters())
    log_w, *_ = log_weights(model, x, k=4, rng=generator())
    weights = np.exp(tg.to_numpy(log_w.data))
    weights = tensor(weights / weights.sum(0))
    expected = tg.grad(-tg.sum(weights * log_w) / 3, model.parameters())
    for g, e in zip(ours, expected, strict=True):
        np.testing.assert_allclose(tg.to_numpy(g.data), tg.to_numpy(e.data), rtol=1e-9)
    uniform = tg.grad(-tg.sum(log_w) / 12, model.parameters())  # which would be the mean of ELBOs
    assert not np.allclose(tg.to_numpy(ours[0].data), tg.to_numpy(uniform[0].data), rtol=0.01)


def test_the_estimate_does_not_depend_on_how_it_is_cut_up():
    model, w, b = linear_model(wrong=0.3)
    x = data(5, w, b)
    sizes = [vae.log_likelihood(model, x, k=3000, rng=generator(), size=s).mean()
             for s in (100, 3000, 7000, 10**6)]  # fmt: skip
    np.testing.assert_allclose(sizes, sizes[0], atol=0.02)
    once = vae.log_likelihood(model, x[:1], k=3000, rng=generator(), size=3000)
    by_hand, *_ = log_weights(model, tensor(x[:1]), k=3000, rng=generator())
    assert once[0] == pytest.approx(float(tg.logsumexp(by_hand)) - math.log(3000), rel=1e-9)


def test_the_estimate_is_of_all_draws_of_all_parts():
    model, w, b = linear_model(wrong=0.6)  # so that weights differ
    x, rng = data(1, w, b), generator(4)
    found = vae.log_likelihood(model, x, k=10, rng=generator(4), size=4)
    parts = [log_weights(model, tensor(x), k=n, rng=rng)[0].numpy() for n in (4, 4, 2)]
    weights = np.exp(np.concatenate(parts))
    assert found[0] == pytest.approx(math.log(weights.mean()), rel=1e-9)


# --- the losses at their formulas -----------------------------------------------------------------


def small_model(likelihood=None, classes=None, seed=0):
    rng = generator(seed)
    encoder = nn.Dense(P, 2 * D, rng=rng)
    if classes:
        table = nn.Dense(classes, 2 * D, rng=rng)
        plain = encoder

        class Both(nn.Module):
            def __init__(self):
                self.plain, self.table = plain, table

            def forward(self, x, one_hot):
                return self.plain(x) + self.table(one_hot)

        encoder = Both()
    model = VAE(encoder, nn.Dense(D + (classes or 0), P, rng=rng), D, likelihood=likelihood,
                classes=classes)  # fmt: skip
    return model.astype(float)


def by_hand(model, x, seed):
    """The two terms, without Tensors, of the noise that `elbo` draws."""
    h = x @ model.encoder.weight.numpy() + model.encoder.bias.numpy()
    mu, log_var = h[:, :D], h[:, D:]
    z = mu + np.exp(log_var / 2) * generator(seed).standard_normal(mu.shape, np.float32)
    logits = z @ model.decoder.weight.numpy() + model.decoder.bias.numpy()
    p = 1 / (1 + np.exp(-logits))
    reconstruction = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean()
    return reconstruction, 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var)


def test_the_negative_elbo_is_its_formula():
    x = generator().random((3, P))
    reconstruction, kl = by_hand(small_model(), x, 5)
    terms = elbo(small_model(), tensor(x), rng=generator(5))
    assert float(terms.reconstruction) == pytest.approx(reconstruction, rel=1e-6)
    assert float(terms.kl) == pytest.approx(kl.sum(1).mean(), rel=1e-6)
    assert float(terms.loss) == pytest.approx(reconstruction + kl.sum(1).mean(), rel=1e-6)


def test_beta_weighs_the_kl_and_nothing_else():
    x = generator().random((3, P))
    reconstruction, kl = by_hand(small_model(), x, 5)
    terms = elbo(small_model(), tensor(x), rng=generator(5), beta=4.0)
    assert float(terms.loss) == pytest.approx(reconstruction + 4 * kl.sum(1).mean(), rel=1e-6)
    assert float(terms.kl) == pytest.approx(kl.sum(1).mean(), rel=1e-6)


def test_a_gaussians_mean_is_what_the_decoder_gives():
    model, z = small_model(Gaussian(0.3)), generator(1).standard_normal((3, D))
    decoded = z @ model.decoder.weight.numpy() + model.decoder.bias.numpy()
    np.testing.assert_allclose(model.generate(z), decoded)


def test_free_bits_take_a_unit_whose_mean_kl_is_below_as_paid():
    x = generator().random((3, P))
    reconstruction, kl = by_hand(small_model(), x, 5)
    low, high = sorted(kl.mean(0))
    between = (low + high) / 2
    model = small_model()
    terms = elbo(model, tensor(x), rng=generator(5), free_bits=between)
    assert float(terms.loss) == pytest.approx(reconstruction + between + high, rel=1e-6)
    assert float(terms.kl) == pytest.approx(low + high, rel=1e-6)


def test_a_conditional_model_is_told_the_label_on_both_sides():
    model = small_model(classes=3)
    x, one_hot = generator().random((4, P)), np.eye(3)[[0, 1, 1, 2]]
    mu, log_var = model.encode(tensor(x), [0, 1, 1, 2])
    h = model.encoder(tensor(x), tensor(one_hot))
    np.testing.assert_allclose(tg.to_numpy(mu.data), tg.to_numpy(h.data)[:, :D])
    np.testing.assert_allclose(tg.to_numpy(log_var.data), tg.to_numpy(h.data)[:, D:])
    z = np.ones((4, D))
    np.testing.assert_allclose(
        tg.to_numpy(model.decode(tensor(z), [0, 1, 1, 2]).data),
        tg.to_numpy(model.decoder(tensor(np.hstack([z, one_hot]))).data))
    with pytest.raises(ValueError, match=r"^VAE: expected `labels`, for the model is conditional"):
        model.encode(tensor(x))
    log_w, *_ = log_weights(model, tensor(x), [0, 1, 1, 2], k=2, rng=generator())
    assert log_w.shape == (2, 4)


def test_each_of_k_draws_for_an_image_is_told_that_images_label():
    model, x, labels = small_model(classes=3), tensor(generator(1).random((3, P))), [2, 0, 1]
    found, *_ = log_weights(model, x, labels, k=4, rng=generator(5))
    mu, log_var = model.encode(x, labels)
    for log_w, eps in zip(found.numpy(), generator(5).standard_normal((4, 3, D), np.float32),
                          strict=True):  # fmt: skip
        z = tensor(mu.numpy() + np.exp(log_var.numpy() / 2) * eps)
        given_z = Bernoulli().log_prob(x, model.decode(z, labels))
        expected = given_z + log_normal(z) - log_normal(z, mu, log_var)
        np.testing.assert_allclose(log_w, expected.numpy(), rtol=1e-6)


OBJECTIVES = {
    "elbo": elbo,
    "beta": partial(elbo, beta=3.0),
    "free bits": partial(elbo, free_bits=0.3),
    "iwae": partial(iwae, k=3),
}


@pytest.mark.parametrize("likelihood", [Bernoulli, partial(Gaussian, 0.7, learned=True)])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_with_the_noise_held_fixed_every_loss_has_the_gradients_that_it_says(
    objective, likelihood
):
    model = small_model(likelihood())
    x = tensor(generator(3).random((3, P)), requires_grad=True)
    names = [name for name, _ in model.named_parameters()]

    def loss(x, *values):
        with replaced(model, dict(zip(names, values, strict=True))):
            return objective(model, x, rng=generator(7)).loss

    gradcheck(loss, x, *(tensor(p.numpy(), requires_grad=True) for p in model.parameters()),
              order=2)


class replaced:
    """`with replaced(model, {name: tensor}):` the parameters are these Tensors."""

    def __init__(self, model, values):
        self.places = []
        for name, value in values.items():
            *path, last = name.split(".")
            owner = model
            for part in path:
                owner = owner[int(part)] if part.isdigit() else getattr(owner, part)
            self.places.append((owner, last, getattr(owner, last), value))

    def __enter__(self):
        for owner, name, _, value in self.places:
            setattr(owner, name, value)

    def __exit__(self, *_):
        for owner, name, old, _ in self.places:
            setattr(owner, name, old)


# --- the loop, and what is measured ---------------------------------------------------------------


def test_training_raises_the_bound_towards_the_truth():
    _, w, b = linear_model()
    x = data(512, w, b)
    model = VAE(nn.Dense(P, 2 * D, rng=generator()), nn.Dense(D, P, rng=generator()), D,
                likelihood=Gaussian(SIGMA)).astype(float)  # fmt: skip
    batches = Batches(x, 64, rng=generator(), epochs=60)
    optimizer = optim.Adam(model.parameters(), 0.02)
    records = list(vae.train(model, batches, optimizer, rng=generator()))
    assert len(records) == 60 * 8 and records[0].keys() == {"loss", "reconstruction", "kl"}
    best = -true_log_likelihood(x, w, b).mean()
    assert float(records[0]["loss"]) > best + 2
    found = vae.evaluate(model, x, rng=generator())["loss"]
    assert found == pytest.approx(best, abs=0.15)


def test_a_loop_over_labelled_batches_tells_only_a_conditional_model_the_labels():
    x, labels = generator().random((8, P)), np.arange(8) % 3
    for classes in (None, 3):
        model = small_model(classes=classes)
        batches = Batches(x, 4, rng=generator(), labels=labels, epochs=1)
        assert len(list(vae.train(model, batches, optim.SGD(model.parameters(), 0.1),
                                  rng=generator(), bound=partial(iwae, k=2)))) == 2  # fmt: skip


def test_evaluation_is_the_mean_over_all_images_whatever_the_batch():
    model, x = small_model(), generator().random((7, P))
    terms = vae.evaluate(model, x, rng=generator(), size=7)
    assert terms["kl"] == pytest.approx(vae.evaluate(model, x, rng=generator(), size=3)["kl"])
    assert terms["loss"] == pytest.approx(float(elbo(model, tensor(x), rng=generator()).loss))
    assert vae.unit_kl(model, x, size=2).sum() == pytest.approx(terms["kl"])


def test_the_kl_of_each_unit_is_its_mean_over_all_images():
    model, x = small_model(), generator().random((7, P))
    _, kl = by_hand(model, x, 5)
    np.testing.assert_allclose(vae.unit_kl(model, x, size=2), kl.mean(axis=0), rtol=1e-9)


def test_bits_per_dimension_of_a_uniform_image_are_the_bits_of_its_levels():
    assert metrics.bits_per_dimension(0.0, 784, levels=256) == 8  # density 1 on [0, 1]
    assert metrics.bits_per_dimension(784 * math.log(2), 784) == pytest.approx(1)


def test_samples_reconstructions_and_ways_between_are_mean_images():
    model = small_model()
    x = generator().random((5, P)).astype(np.float32)
    model.astype(np.float32)
    assert model.sample(7, rng=generator()).shape == (7, P)
    np.testing.assert_array_equal(model.sample(7, rng=generator()),
                                  model.sample(7, rng=generator()))
    back = model.reconstruct(x)
    ways = model.interpolate(x[:2], x[2:4], 5)
    assert back.shape == x.shape and ways.shape == (2, 5, P)
    np.testing.assert_allclose(ways[:, 0], back[:2], rtol=1e-6)
    np.testing.assert_allclose(ways[:, -1], back[2:4], rtol=1e-6)
    assert (back > 0).all() and (back < 1).all()


def test_the_mean_of_an_image_is_the_encoders_first_half():
    model, x = small_model(), generator(1).random((3, P))
    h = x @ model.encoder.weight.numpy() + model.encoder.bias.numpy()
    np.testing.assert_allclose(model.means(x), h[:, :D])


def test_a_sample_is_the_mean_image_of_standard_normal_noise():
    model = small_model()
    z = generator(3).standard_normal((7, D), np.float32).astype(float)
    np.testing.assert_array_equal(model.sample(7, rng=generator(3)), model.generate(z))


def test_a_way_between_two_images_is_straight_and_even():
    model, x = small_model(), generator(1).random((4, P))
    ways = model.interpolate(x[:2], x[2:], 5)
    a, b = model.means(x[:2]), model.means(x[2:])
    for i in range(5):
        np.testing.assert_allclose(ways[:, i], model.generate(a + i / 4 * (b - a)))


def test_every_row_has_its_own_label_however_the_rows_are_cut_up(monkeypatch):
    model, x, y = small_model(classes=3), generator(1).random((7, P)), np.arange(7) % 3
    z = generator(2).standard_normal((7, D))
    means, images = model.means(x, y), model.generate(z, y)
    monkeypatch.setattr(vae.model, "AT_ONCE", 2)
    np.testing.assert_allclose(model.means(x, y), means)
    np.testing.assert_allclose(model.generate(z, y), images)
    units = vae.unit_kl(model, x, y)
    np.testing.assert_allclose(vae.unit_kl(model, x, y, size=2), units)
    assert vae.evaluate(model, x, y, rng=generator(), size=2)["kl"] == pytest.approx(units.sum())


def test_a_model_that_is_not_conditional_does_not_look_at_the_labels_of_images():
    model, x, y = small_model(), generator(1).random((4, P)), np.arange(4)
    np.testing.assert_array_equal(model.means(x, y), model.means(x))
    np.testing.assert_array_equal(model.reconstruct(x, y), model.reconstruct(x))
    np.testing.assert_array_equal(model.interpolate(x, x[::-1], 3, y),
                                  model.interpolate(x, x[::-1], 3))  # fmt: skip
    np.testing.assert_array_equal(vae.unit_kl(model, x, y), vae.unit_kl(model, x))


def test_noise_has_the_dtype_of_the_first_floating_state_and_without_any_is_float32():
    class Counting(nn.Module):
        def __init__(self):
            self.calls, self.scale = tg.xp.zeros(1, int), tg.xp.ones(1, float)

        def forward(self, z):
            return z

    linear = Gaussian().astype(float)
    assert VAE(Counting(), lambda z: z, D, likelihood=linear).sample(
        2, rng=generator()).dtype == np.float64  # fmt: skip
    assert VAE(None, lambda z: z, D).sample(2, rng=generator()).dtype == np.float32


def lively_model():
    """A model that in training draws at random, and remembers what it has seen."""
    rng = generator()
    encoder = nn.Sequential(nn.Dense(P, 2 * D, rng=rng), nn.BatchNorm(2 * D))
    decoder = nn.Sequential(nn.Dropout(0.5, rng=generator(1)), nn.Dense(D, P, rng=rng),
                            nn.BatchNorm(P))  # fmt: skip
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
def test_to_measure_a_model_changes_nothing_in_it_and_draws_no_mask(measure):
    model, x = lively_model(), generator(2).random((6, P), np.float32)
    elbo(model, tg.Tensor(tg.xp.asarray(x)), rng=generator())  # for averages to have settled
    model.encoder[0].eval()  # of two modes
    before, modes = model.state_dict(), [each.training for _, each in model.named_modules()]
    np.testing.assert_array_equal(measure(model, x), measure(model, x))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert [each.training for _, each in model.named_modules()] == modes
    assert True in modes and False in modes


def test_a_measure_that_fails_leaves_the_modes_as_they_were():
    model = lively_model()
    with pytest.raises(ValueError):
        vae.evaluate(model, np.ones((2, P + 1), np.float32), rng=generator())
    assert all(each.training for _, each in model.named_modules()) and tg.is_recording()


def test_a_frozen_model_draws_samples():
    model = small_model()
    expected = model.sample(3, rng=generator())
    np.testing.assert_array_equal(model.freeze().sample(3, rng=generator()), expected)


@pytest.mark.parametrize("likelihood", [Bernoulli, Gaussian])
@pytest.mark.parametrize("bound", [elbo, partial(iwae, k=2)])
def test_a_decoder_whose_output_only_broadcasts_against_the_images_is_refused(likelihood, bound):
    model = VAE(nn.Sequential(nn.Flatten(), nn.Dense(784, 2 * D, rng=generator())),
                nn.Dense(D, 784, rng=generator()), D, likelihood=likelihood())  # fmt: skip
    x = tg.Tensor(tg.xp.zeros((1, 28, 28, 1), "f4"))
    n = 1 if bound is elbo else 2  # draws
    with pytest.raises(ValueError) as caught:
        bound(model, x, rng=generator())
    assert str(caught.value) == (f"VAE: expected the decoder to give ({n}, 28, 28, 1), as the "
                                 f"images are, got ({n}, 784)")  # fmt: skip


def test_labels_may_be_tensors_lists_or_arrays_of_any_int():
    model, x = small_model(classes=3), generator().random((3, P))
    expected = model.means(x, [0, 2, 1])
    for labels in (np.array([0, 2, 1], np.uint8), tg.Tensor(tg.xp.asarray([0, 2, 1]))):
        np.testing.assert_array_equal(model.means(x, labels), expected)
    assert VAE(None, None, D, classes=0).classes == VAE(None, None, D).classes == 0


X = np.zeros((3, P))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.0, 2.0], "VAE: expected `labels` to be 3 ints, one for each row, got float64 of "
         "shape (3,)"),
        ([True, False, True], "VAE: expected `labels` to be 3 ints, one for each row, got bool of "
         "shape (3,)"),
        ([0, 1], "VAE: expected `labels` to be 3 ints, one for each row, got int64 of shape (2,)"),
        ([[0], [1], [2]], "VAE: expected `labels` to be 3 ints, one for each row, got int64 of "
         "shape (3, 1)"),
        ([0, 1, 3], "VAE: expected `labels` from 0 to 2, got 0 to 3"),
        ([0, -1, 2], "VAE: expected `labels` from 0 to 2, got -1 to 2"),
        (None, "VAE: expected `labels`, for the model is conditional on 3 classes"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "use",
    [
        lambda m, y: m.means(X, y),
        lambda m, y: m.generate(X[:, :D], y),
        lambda m, y: m.sample(3, y, rng=generator()),
        lambda m, y: m.interpolate(X, X, 2, y),
        lambda m, y: elbo(m, tensor(X), y, rng=generator()),
        lambda m, y: iwae(m, tensor(X), y, k=2, rng=generator()),
        lambda m, y: vae.evaluate(m, X, y, rng=generator()),
        lambda m, y: vae.log_likelihood(m, X, y, k=2, rng=generator()),
        lambda m, y: vae.unit_kl(m, X, y),
    ],
)
def test_labels_that_no_class_can_be_told_from_are_refused(use, labels, message):
    labels = None if labels is None else np.asarray(labels)
    with pytest.raises(ValueError) as caught:
        use(small_model(classes=3), labels)
    assert str(caught.value) == message


def test_labels_beyond_the_last_row_are_refused_however_the_rows_are_cut_up():
    model = small_model(classes=3)
    z = np.zeros((vae.model.AT_ONCE, D))
    with pytest.raises(ValueError, match="expected `labels` to be 500 ints"):
        model.generate(z, np.zeros(vae.model.AT_ONCE + 1, int))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VAE(None, None, 0), "VAE: expected `latent` to be an int ≥ 1, got 0"),
        (lambda: VAE(None, None, True), "VAE: expected `latent` to be an int ≥ 1, got True"),
        (lambda: VAE(None, None, D, classes=-1),
         "VAE: expected `classes` to be an int ≥ 0, got -1"),
        (lambda: VAE(None, None, D, classes=True),
         "VAE: expected `classes` to be an int ≥ 0, got True"),
        (lambda: VAE(None, None, D, classes=2.0),
         "VAE: expected `classes` to be an int ≥ 0, got 2.0"),
        (lambda: iwae(small_model(), tensor(X), k=0, rng=generator()),
         "log_weights: expected `k` to be an int ≥ 1, got 0"),
        (lambda: log_weights(small_model(), tensor(X), k=1.5, rng=generator()),
         "log_weights: expected `k` to be an int ≥ 1, got 1.5"),
        (lambda: vae.log_likelihood(small_model(), X, k=0, rng=generator()),
         "log_likelihood: expected `k` to be an int ≥ 1, got 0"),
        (lambda: vae.log_likelihood(small_model(), X, size=0, rng=generator()),
         "log_likelihood: expected `size` to be an int ≥ 1, got 0"),
        (lambda: vae.evaluate(small_model(), X, size=0, rng=generator()),
         "evaluate: expected `size` to be an int ≥ 1, got 0"),
        (lambda: vae.unit_kl(small_model(), X, size=-3),
         "unit_kl: expected `size` to be an int ≥ 1, got -3"),
        (lambda: vae.evaluate(small_model(), X[:0], rng=generator()),
         "evaluate: expected at least one row, got shape (0, 4)"),
        (lambda: vae.log_likelihood(small_model(), X[:0], k=2, rng=generator()),
         "log_likelihood: expected at least one row, got shape (0, 4)"),
        (lambda: vae.unit_kl(small_model(), X[:0]),
         "unit_kl: expected at least one row, got shape (0, 4)"),
        (lambda: small_model().means(X[:0]), "means: expected at least one row, got shape (0, 4)"),
        (lambda: small_model().generate(X[:0, :D]),
         "generate: expected at least one row, got shape (0, 2)"),
        (lambda: small_model().sample(0, rng=generator()),
         "sample: expected `n` to be an int ≥ 1, got 0"),
        (lambda: small_model().interpolate(X, X[:2], 3),
         "interpolate: expected as many images in `x1` as in `x0`, got 2 and 3"),
        (lambda: small_model().interpolate(X, X, 0),
         "interpolate: expected `steps` to be an int ≥ 1, got 0"),
        (lambda: elbo(small_model(), tensor(X), rng=generator(), beta=-1.0),
         "elbo: expected `beta` ≥ 0, got -1.0"),
        (lambda: elbo(small_model(), tensor(X), rng=generator(), free_bits=math.nan),
         "elbo: expected `free_bits` ≥ 0, got nan"),
        (lambda: elbo(small_model(), tensor(X), rng=generator(), beta="4"),
         "elbo: expected `beta` ≥ 0, got str"),
        (lambda: Gaussian(0.0), "Gaussian: expected `sigma` > 0, got 0.0"),
        (lambda: Gaussian("a"), "Gaussian: expected `sigma` > 0, got str"),
        (lambda: VAE(None, None, D, likelihood="gaussian"),
         "VAE: expected `likelihood` to be an object such as Bernoulli(), got 'gaussian'"),
        (lambda: VAE(None, None, D, likelihood=Gaussian),
         f"VAE: expected `likelihood` to be an object such as Bernoulli(), got {Gaussian}"),
        (lambda: small_model().generate(X[:, :D], [0, 1, 2]),
         "VAE: expected no `labels`, for the model is not conditional"),
        (lambda: small_model().sample(3, [0, 1, 2], rng=generator()),
         "VAE: expected no `labels`, for the model is not conditional"),
        (lambda: elbo(small_model(), tensor(X[:0]), rng=generator()),
         "VAE: expected at least one image, got shape (0, 4)"),
        (lambda: iwae(small_model(), tensor(X[:0]), k=2, rng=generator()),
         "VAE: expected at least one image, got shape (0, 4)"),
        (lambda: elbo(small_model(Gaussian()), tg.xp.zeros((3, P), "u1"), rng=generator()),
         "VAE: expected images in floating point, got uint8; divide bytes by 255"),
        (lambda: log_weights(small_model(), tg.xp.zeros((3, P), "i8"), k=2, rng=generator()),
         "VAE: expected images in floating point, got int64; divide bytes by 255"),
        (lambda: gaussian_kl(tensor(X), tensor(X[:, :1])),
         "gaussian_kl: expected as many units, on the last axis, in each, got (3, 4) and (3, 1)"),
        (lambda: log_normal(tensor(X[:, :1]), tensor(X), 0.0),
         "log_normal: expected as many units, on the last axis, in each, got (3, 1) and (3, 4) "
         "and ()"),
        (lambda: log_normal(tensor(X), 0.0, tensor(X[:, :1])),
         "log_normal: expected as many units, on the last axis, in each, got (3, 4) and () and "
         "(3, 1)"),
        (lambda: vae.reparameterise(tensor(X[:, :1]), tensor(X), tensor(X)),
         "reparameterise: expected the shape of `eps` to end in that of `mu`, (3, 1), got (3, 4)"),
        (lambda: vae.reparameterise(tensor(X), tensor(X[:, :1]), tensor(X)),
         "reparameterise: expected the shape of `eps` to end in that of `log_var`, (3, 1), got "
         "(3, 4)"),
        (lambda: vae.reparameterise(tensor(X), tensor(X), tensor(X[:, :1])),
         "reparameterise: expected the shape of `eps` to end in that of `mu`, (3, 4), got (3, 1)"),
        (lambda: vae.reparameterise(tensor(X), 0.0, tensor(X[0])),
         "reparameterise: expected the shape of `eps` to end in that of `mu`, (3, 4), got (4,)"),
        (lambda: metrics.bits_per_dimension(1.0, 0),
         "bits_per_dimension: expected `dimensions` to be an int ≥ 1, got 0"),
        (lambda: metrics.bits_per_dimension(1.0, 4, levels=0),
         "bits_per_dimension: expected `levels` to be an int ≥ 1, got 0"),
        (lambda: VAE(nn.Dense(P, 3, rng=generator()), None, D).encode(
            tg.Tensor(np.ones((1, P), np.float32))),
         "VAE: expected the encoder to give (N, 4), the mean and log-variance of 2 units, got "
         "(1, 3)"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert str(caught.value) == message


def test_pixels_may_be_black_and_white_as_booleans():
    x = generator().random((3, P)) < 0.5
    expected = elbo(small_model(), tensor(x), rng=generator()).loss
    found = elbo(small_model(), tg.xp.asarray(x), rng=generator()).loss
    assert float(found) == pytest.approx(float(expected))


def test_the_density_of_a_normal_keeps_the_dtype():
    z = tg.Tensor(tg.xp.asarray([[0.5, 1.0]], np.float32))
    assert log_normal(z).dtype == log_normal(z, 1.0, 2.0).dtype == np.float32
