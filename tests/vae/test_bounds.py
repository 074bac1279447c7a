"""The VAE's terms against their formulas, its bounds against the exact log p(x)."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_vaes import (
    SIGMA,
    D,
    P,
    X,
    by_hand,
    data,
    generator,
    linear_model,
    small_model,
    tensor,
    true_log_likelihood,
)

import tinygen as tg
from tinygen import gradcheck, metrics, nn, optim, vae
from tinygen.data import Batches
from tinygen.vae import VAE, Bernoulli, Gaussian, elbo, gaussian_kl, iwae, log_normal, log_weights

numbers = st.floats(-3, 3)

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
    z = tg.to_numpy(
        vae.reparameterise(
            tensor(mu), tensor(log_var), tensor(generator().standard_normal((200_000, 2)))
        ).data
    )
    np.testing.assert_allclose(z.mean(0), mu, atol=0.02)
    np.testing.assert_allclose(z.var(0), np.exp(log_var), rtol=0.02)


def test_the_density_of_a_normal_is_its_formula():
    z, mu, variance = [1.0, 2.0], [0.5, -1.0], [0.25, 4.0]
    expected = sum(
        math.log(math.exp(-((a - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v))
        for a, m, v in zip(z, mu, variance, strict=True)
    )
    log_p = log_normal(tensor(z), tensor(mu), tensor(np.log(variance)))
    assert float(log_p) == pytest.approx(expected)
    assert float(log_normal(tensor([0.0, 0.0]))) == pytest.approx(-math.log(2 * math.pi))


def test_scalars_broadcast_over_units_and_q_over_draws():
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


def test_bernoulli_pixels_are_summed_over_each_image():
    x = np.array([[[1.0, 0.0]], [[0.25, 1.0]]])
    logits = np.array([[[2.0, -1.0]], [[0.0, 3.0]]])
    p = 1 / (1 + np.exp(-logits))
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2))
    log_p = Bernoulli().log_prob(tensor(x), tensor(logits))
    np.testing.assert_allclose(tg.to_numpy(log_p.data), expected)
    np.testing.assert_allclose(tg.to_numpy(Bernoulli().mean(tensor(logits)).data), p)


def test_bernoulli_pixels_are_finite_at_any_logit():
    log_p = Bernoulli().log_prob(tensor([[1.0, 0.0, 1.0]]), tensor([[1000.0, -1000.0, -1000.0]]))
    assert float(log_p[0]) == -1000


@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_gaussian_pixels_are_a_density(sigma):
    x, m = [[0.2, 0.9]], [[0.5, 0.5]]
    expected = sum(
        -((a - b) ** 2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
        for a, b in zip(x[0], m[0], strict=True)
    )
    likelihood = Gaussian(sigma).astype(float)
    log_p = float(likelihood.log_prob(tensor(x), tensor(m))[0])
    assert log_p == pytest.approx(expected, rel=1e-5)


def test_a_learned_sigma_has_its_optimum_at_the_root_mean_square_error():
    x, m = tensor([[0.0, 1.0, 2.0, 3.0]]), tensor([[0.5, 0.5, 2.5, 2.5]])
    likelihood = Gaussian(0.5, learned=True).astype(float)
    (g,) = tg.grad(tg.mean(likelihood.log_prob(x, m)), likelihood.parameters())
    assert float(g) == pytest.approx(0, abs=1e-6)
    assert Gaussian(0.5).parameters() == []


# --- the bounds, where log p(x) is known ----------------------------------------------------------


def test_with_the_true_posterior_every_weight_is_p_of_x_and_the_elbo_is_tight():
    model, w, b = linear_model()
    x = data(6, w, b)
    log_w, *_ = log_weights(model, tensor(x), k=5, rng=generator())
    truth = true_log_likelihood(x, w, b)
    np.testing.assert_allclose(tg.to_numpy(log_w.data), np.tile(truth, (5, 1)), rtol=1e-5)
    many = np.repeat(x, 4000, axis=0)
    assert float(elbo(model, tensor(many), rng=generator()).loss) == pytest.approx(
        -truth.mean(), abs=0.02
    )
    assert float(iwae(model, tensor(x), k=3, rng=generator()).loss) == pytest.approx(
        -truth.mean(), abs=1e-5
    )


def test_the_bounds_rise_with_k_towards_log_p():
    model, w, b = linear_model(wrong=0.6)
    x = data(4, w, b)
    truth = true_log_likelihood(x, w, b).mean()
    many = tensor(np.repeat(x, 2000, axis=0))
    bounds = [-float(iwae(model, many, k=k, rng=generator(k)).loss) for k in (1, 2, 5, 20)]
    assert bounds == sorted(bounds) and bounds[-1] < truth
    assert bounds[1] - bounds[0] > 0.1  # more than the noise
    estimate = vae.log_likelihood(model, x, k=20_000, rng=generator(9)).mean()
    assert estimate == pytest.approx(truth, abs=0.01)
    # the ELBO with the KL's formula equals the IWAE bound with one sample
    assert float(elbo(model, many, rng=generator()).loss) == pytest.approx(-bounds[0], abs=0.12)


def test_the_gap_of_the_elbo_is_the_kl_to_the_true_posterior():
    wrong = 0.6
    model, w, b = linear_model(wrong)
    x = data(3, w, b)
    # q is the posterior with its mean shifted by `wrong` and its variance times e^wrong
    variance = 1 / (1 + (w * w).sum(1) / SIGMA**2)
    gap = sum(0.5 * (math.exp(wrong) + wrong**2 / v - 1 - wrong) for v in variance)
    many = tensor(np.repeat(x, 30_000, axis=0))
    loss = float(elbo(model, many, rng=generator()).loss)
    assert loss + true_log_likelihood(x, w, b).mean() == pytest.approx(gap, abs=0.03)


def test_the_gradient_of_iwae_weights_the_log_weights_by_their_softmax():
    model, w, b = linear_model(wrong=0.3)
    x = tensor(data(3, w, b))
    ours = tg.grad(iwae(model, x, k=4, rng=generator()).loss, model.parameters())
    log_w, *_ = log_weights(model, x, k=4, rng=generator())
    weights = np.exp(tg.to_numpy(log_w.data))
    weights = tensor(weights / weights.sum(0))
    expected = tg.grad(-tg.sum(weights * log_w) / 3, model.parameters())
    for g, e in zip(ours, expected, strict=True):
        np.testing.assert_allclose(tg.to_numpy(g.data), tg.to_numpy(e.data), rtol=1e-9)
    uniform = tg.grad(-tg.sum(log_w) / 12, model.parameters())  # of the mean ELBO
    assert not np.allclose(tg.to_numpy(ours[0].data), tg.to_numpy(uniform[0].data), rtol=0.01)


# --- the losses -----------------------------------------------------------------------------------


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


def test_free_bits_are_the_least_that_each_units_mean_kl_counts():
    x = generator().random((3, P))
    reconstruction, kl = by_hand(small_model(), x, 5)
    low, high = sorted(kl.mean(0))
    between = (low + high) / 2
    model = small_model()
    terms = elbo(model, tensor(x), rng=generator(5), free_bits=between)
    assert float(terms.loss) == pytest.approx(reconstruction + between + high, rel=1e-6)
    assert float(terms.kl) == pytest.approx(low + high, rel=1e-6)


def test_all_k_draws_for_an_image_have_its_label():
    model, x, labels = small_model(classes=3), tensor(generator(1).random((3, P))), [2, 0, 1]
    all_log_w, *_ = log_weights(model, x, labels, k=4, rng=generator(5))
    mu, log_var = model.encode(x, labels)
    for log_w, eps in zip(
        all_log_w.numpy(), generator(5).standard_normal((4, 3, D), np.float32), strict=True
    ):
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
def test_with_fixed_noise_every_loss_passes_gradcheck(objective, likelihood):
    model = small_model(likelihood())
    x = tensor(generator(3).random((3, P)), requires_grad=True)
    names = [name for name, _ in model.named_parameters()]

    def loss(x, *values):
        with replaced(model, dict(zip(names, values, strict=True))):
            return objective(model, x, rng=generator(7)).loss

    gradcheck(
        loss, x, *(tensor(p.numpy(), requires_grad=True) for p in model.parameters()), order=2
    )


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


# --- the loop -------------------------------------------------------------------------------------


def test_training_raises_the_bound_towards_the_truth():
    _, w, b = linear_model()
    x = data(512, w, b)
    model = VAE(
        nn.Dense(P, 2 * D, rng=generator()),
        nn.Dense(D, P, rng=generator()),
        D,
        likelihood=Gaussian(SIGMA),
    ).astype(float)
    batches = Batches(x, 64, rng=generator(), epochs=60)
    optimizer = optim.Adam(model.parameters(), 0.02)
    records = list(vae.train(model, batches, optimizer, rng=generator()))
    assert len(records) == 60 * 8 and records[0].keys() == {"loss", "reconstruction", "kl"}
    best = -true_log_likelihood(x, w, b).mean()
    assert float(records[0]["loss"]) > best + 2
    loss = vae.evaluate(model, x, rng=generator())["loss"]
    assert loss == pytest.approx(best, abs=0.15)


def test_labelled_batches_train_models_with_and_without_classes():
    x, labels = generator().random((8, P)), np.arange(8) % 3
    for classes in (None, 3):
        model = small_model(classes=classes)
        batches = Batches(x, 4, rng=generator(), labels=labels, epochs=1)
        optimizer, bound = optim.SGD(model.parameters(), 0.1), partial(iwae, k=2)
        records = list(vae.train(model, batches, optimizer, rng=generator(), bound=bound))
        assert len(records) == 2


@pytest.mark.parametrize("likelihood", [Bernoulli, Gaussian])
@pytest.mark.parametrize("bound", [elbo, partial(iwae, k=2)])
def test_a_decoder_whose_output_only_broadcasts_against_the_images_is_refused(likelihood, bound):
    model = VAE(
        nn.Sequential(nn.Flatten(), nn.Dense(784, 2 * D, rng=generator())),
        nn.Dense(D, 784, rng=generator()),
        D,
        likelihood=likelihood(),
    )
    x = tg.Tensor(tg.xp.zeros((1, 28, 28, 1), "f4"))
    n = 1 if bound is elbo else 2  # samples of z
    with pytest.raises(ValueError, match=rf"\({n}, 784\).*\({n}, 28, 28, 1\)"):
        bound(model, x, rng=generator())


narrow, wide, bytes_ = tensor(X[:, :1]), tensor(X), tg.xp.zeros((3, P), "u1")


@pytest.mark.parametrize(
    ("call", "error", "pattern"),
    [
        (lambda m: VAE(None, None, 0), ValueError, "VAE: .*`latent`.* ≥ 1, got 0"),
        (lambda m: VAE(None, None, True), ValueError, "VAE: .*`latent`.* got True"),
        (lambda m: VAE(None, None, D, classes=-1), ValueError, "VAE: .*`classes`.* ≥ 0, got -1"),
        (lambda m: VAE(None, None, D, classes=2.0), ValueError, "VAE: .*`classes`.* got 2.0"),
        (lambda m: iwae(m, wide, k=0, rng=generator()), ValueError, "`k`.* ≥ 1, got 0"),
        (lambda m: log_weights(m, wide, k=1.5, rng=generator()), ValueError, "`k`.* got 1.5"),
        (lambda m: vae.log_likelihood(m, X, k=0, rng=generator()), ValueError, "`k`.* got 0"),
        (lambda m: vae.log_likelihood(m, X, size=0, rng=generator()), ValueError, "`size`.* 0"),
        (lambda m: vae.evaluate(m, X, size=0, rng=generator()), ValueError, "`size`.* got 0"),
        (lambda m: vae.unit_kl(m, X, size=-3), ValueError, "VAE: .*`size`.* got -3"),
        (lambda m: vae.evaluate(m, X[:0], rng=generator()), ValueError, r"one row.* \(0, 4\)"),
        (lambda m: vae.log_likelihood(m, X[:0], rng=generator()), ValueError, "one row"),
        (lambda m: vae.unit_kl(m, X[:0]), ValueError, "VAE: .*one row"),
        (lambda m: m.means(X[:0]), ValueError, "VAE: .*one row"),
        (lambda m: m.generate(X[:0, :D]), ValueError, r"VAE: .*one row.* \(0, 2\)"),
        (lambda m: m.sample(0, rng=generator()), ValueError, "one row"),
        (lambda m: m.interpolate(X, X[:2], 3), ValueError, r"\(3,2\) \(2,2\)"),
        (lambda m: elbo(m, wide, rng=generator(), beta=-1.0), ValueError, "elbo: .*`beta` ≥ 0"),
        (lambda m: elbo(m, wide, rng=generator(), beta="4"), TypeError, "`beta` ≥ 0, got str"),
        (lambda m: elbo(m, wide, rng=generator(), free_bits=math.nan), ValueError, "`free_bits`"),
        (lambda m: elbo(m, wide[:0], rng=generator()), ValueError, "size 0"),
        (lambda m: Gaussian(0.0), ValueError, "Gaussian: .*`sigma` > 0, got 0.0"),
        (lambda m: m.generate(X[:, :D], [0, 1, 2]), ValueError, "no `labels`"),
        (lambda m: m.sample(3, [0, 1, 2], rng=generator()), ValueError, "no `labels`"),
        (lambda m: elbo(m, bytes_, rng=generator()), ValueError, r"float images.*uint8 \(3, 4\)"),
        (lambda m: Gaussian().log_prob(bytes_, wide), ValueError, "float images.*uint8"),
        (lambda m: gaussian_kl(wide, narrow), ValueError, r"_kl: .*\(3, 4\), \(3, 1\)"),
        (lambda m: log_normal(narrow, wide, 0.0), ValueError, r"_normal: .*\(3, 1\), \(3, 4\)"),
        (lambda m: log_normal(wide, 0.0, narrow), ValueError, r"_normal: .*\(3, 4\), \(\), \(3, 1"),
        (lambda m: vae.reparameterise(narrow, wide, wide), ValueError, r"parameterise: .*\(3, 1\)"),
        (lambda m: vae.reparameterise(wide, narrow, wide), ValueError, r"parameterise: .*\(3, 1\)"),
        (lambda m: vae.reparameterise(wide, wide, narrow), ValueError, r"parameterise: .*\(3, 1\)"),
        (lambda m: vae.reparameterise(wide, 0.0, wide[0]), ValueError, r"`eps`.*\(3, 4\).*\(4,\)"),
        (lambda m: metrics.bits_per_dimension(1.0, 0), ValueError, "`dimensions`.* ≥ 1, got 0"),
        (lambda m: metrics.bits_per_dimension(1.0, 4, levels=0), ValueError, "`levels`.* ≥ 1"),
        (lambda m: VAE(lambda x: x[:, :3], None, D).encode(wide), ValueError, r"N, 4.* \(3, 3\)"),
    ],
)
def test_invalid_arguments_are_refused(call, error, pattern):
    with pytest.raises(error, match=pattern):
        call(small_model())


def test_pixels_may_be_booleans():
    x = generator().random((3, P)) < 0.5
    expected = elbo(small_model(), tensor(x), rng=generator()).loss
    loss = elbo(small_model(), tg.xp.asarray(x), rng=generator()).loss
    assert float(loss) == pytest.approx(float(expected))


def test_the_density_of_a_normal_keeps_the_dtype():
    z = tg.Tensor(tg.xp.asarray([[0.5, 1.0]], np.float32))
    assert log_normal(z).dtype == log_normal(z, 1.0, 2.0).dtype == np.float32
