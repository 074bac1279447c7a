"""The VAE: encoding, decoding, samples, interpolation, and labels."""

import numpy as np
import pytest
from small_vaes import D, P, X, generator, small_model, tensor

import tinygen as tg
from tinygen import nn, vae
from tinygen.vae import VAE, Gaussian, elbo, iwae, log_weights

# --- encoding and decoding ------------------------------------------------------------------------


def test_the_mean_of_a_gaussian_is_the_decoders_output():
    model, z = small_model(Gaussian(0.3)), generator(1).standard_normal((3, D))
    decoded = z @ model.decoder.weight.numpy() + model.decoder.bias.numpy()
    np.testing.assert_allclose(model.generate(z), decoded)


def test_both_networks_of_a_conditional_model_see_the_label():
    model = small_model(classes=3)
    x, one_hot = generator().random((4, P)), np.eye(3)[[0, 1, 1, 2]]
    mu, log_var = model.encode(tensor(x), [0, 1, 1, 2])
    h = model.encoder(tensor(x), tensor(one_hot))
    np.testing.assert_allclose(tg.to_numpy(mu.data), tg.to_numpy(h.data)[:, :D])
    np.testing.assert_allclose(tg.to_numpy(log_var.data), tg.to_numpy(h.data)[:, D:])
    z = np.ones((4, D))
    np.testing.assert_allclose(
        tg.to_numpy(model.decode(tensor(z), [0, 1, 1, 2]).data),
        tg.to_numpy(model.decoder(tensor(np.hstack([z, one_hot]))).data),
    )
    with pytest.raises(ValueError, match="`labels`"):
        model.encode(tensor(x))
    log_w, *_ = log_weights(model, tensor(x), [0, 1, 1, 2], k=2, rng=generator())
    assert log_w.shape == (2, 4)


# --- images and labels ----------------------------------------------------------------------------


def test_samples_reconstructions_and_interpolations_are_mean_images():
    model = small_model()
    x = generator().random((5, P)).astype(np.float32)
    model.astype(np.float32)
    assert model.sample(7, rng=generator()).shape == (7, P)
    np.testing.assert_array_equal(
        model.sample(7, rng=generator()), model.sample(7, rng=generator())
    )
    back = model.reconstruct(x)
    between = model.interpolate(x[:2], x[2:4], 5)
    assert back.shape == x.shape and between.shape == (2, 5, P)
    np.testing.assert_allclose(between[:, 0], back[:2], rtol=1e-6)
    np.testing.assert_allclose(between[:, -1], back[2:4], rtol=1e-6)
    assert (back > 0).all() and (back < 1).all()


def test_the_mean_of_an_image_is_the_encoders_first_half():
    model, x = small_model(), generator(1).random((3, P))
    h = x @ model.encoder.weight.numpy() + model.encoder.bias.numpy()
    np.testing.assert_allclose(model.means(x), h[:, :D])


def test_a_sample_is_the_mean_image_of_standard_normal_noise():
    model = small_model()
    z = generator(3).standard_normal((7, D), np.float32).astype(float)
    np.testing.assert_array_equal(model.sample(7, rng=generator(3)), model.generate(z))


def test_interpolation_is_linear_in_the_latent_space():
    model, x = small_model(), generator(1).random((4, P))
    between = model.interpolate(x[:2], x[2:], 5)
    a, b = model.means(x[:2]), model.means(x[2:])
    for i in range(5):
        np.testing.assert_allclose(between[:, i], model.generate(a + i / 4 * (b - a)))


def test_every_row_keeps_its_label_for_any_batch_size():
    N = 1001  # three batches of at most 500
    model, x, y = small_model(classes=3), generator(1).random((N, P)), np.arange(N) % 3
    z = generator(2).standard_normal((N, D))
    np.testing.assert_allclose(model.means(x, y), model.encode(x, y)[0].numpy())
    images = tg.sigmoid(model.decode(z, y)).numpy()
    np.testing.assert_allclose(model.generate(z, y), images)
    x, y = x[:7], y[:7]
    units = vae.unit_kl(model, x, y)
    np.testing.assert_allclose(vae.unit_kl(model, x, y, size=2), units)
    assert vae.evaluate(model, x, y, rng=generator(), size=2)["kl"] == pytest.approx(units.sum())


def test_an_unconditional_model_ignores_the_labels_of_images():
    model, x, y = small_model(), generator(1).random((4, P)), np.arange(4)
    np.testing.assert_array_equal(model.means(x, y), model.means(x))
    np.testing.assert_array_equal(model.reconstruct(x, y), model.reconstruct(x))
    np.testing.assert_array_equal(
        model.interpolate(x, x[::-1], 3, y), model.interpolate(x, x[::-1], 3)
    )
    np.testing.assert_array_equal(vae.unit_kl(model, x, y), vae.unit_kl(model, x))


def test_noise_has_the_dtype_of_the_first_floating_state_or_float32():
    class Counting(nn.Module):
        def __init__(self):
            self.calls, self.scale = tg.xp.zeros(1, int), tg.xp.ones(1, float)

        def forward(self, z):
            return z

    double = VAE(Counting(), lambda z: z, D, likelihood=Gaussian().astype(float))
    assert double.sample(2, rng=generator()).dtype == np.float64
    assert VAE(None, lambda z: z, D).sample(2, rng=generator()).dtype == np.float32


def test_a_frozen_model_can_sample():
    model = small_model()
    expected = model.sample(3, rng=generator())
    np.testing.assert_array_equal(model.freeze().sample(3, rng=generator()), expected)


def test_labels_may_be_tensors_lists_or_arrays_of_any_int():
    model, x = small_model(classes=3), generator().random((3, P))
    expected = model.means(x, [0, 2, 1])
    for labels in (np.array([0, 2, 1], np.uint8), tg.Tensor(tg.xp.asarray([0, 2, 1]))):
        np.testing.assert_array_equal(model.means(x, labels), expected)
    assert VAE(None, None, D, classes=0).classes == VAE(None, None, D).classes == 0


@pytest.mark.parametrize(
    ("labels", "pattern"),
    [
        ([0.0, 1.0, 2.0], r"3 ints.* float64 of shape \(3,\)"),
        ([True, False, True], "3 ints.* bool"),
        ([0, 1], r"3 ints.* \(2,\)"),
        ([[0], [1], [2]], r"3 ints.* \(3, 1\)"),
        ([0, 1, 3], "from 0 to 2, got 0 to 3"),
        ([0, -1, 2], "from 0 to 2, got -1 to 2"),
        (None, "conditional on 3 classes"),
    ],
)
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
def test_invalid_labels_are_refused(use, labels, pattern):
    labels = None if labels is None else np.asarray(labels)
    with pytest.raises(ValueError, match=f"VAE: expected `labels`.*{pattern}"):
        use(small_model(classes=3), labels)


def test_too_many_labels_are_refused_for_any_batch_size():
    model = small_model(classes=3)
    with pytest.raises(ValueError, match="expected `labels` to be 500 ints"):
        model.generate(np.zeros((500, D)), np.zeros(501, int))
