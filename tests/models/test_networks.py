"""The networks: parameter counts, dependencies, and PyTorch versions with the same weights."""

import re

import numpy as np
import pytest
from small_networks import (
    SIZES,
    TINY,
    Weights,
    assert_all_have_gradients,
    assert_close,
    batch,
    both,
    conv,
    count,
    dense,
    descend,
    shaken,
    tiny,
    tiny_unet,
)

import tinygen as tg
from tinygen import gradcheck, nn
from tinygen.autograd import to_numpy, xp
from tinygen.models import (
    UNet,
    classics,
    conv_decoder,
    conv_encoder,
    dcgan_discriminator,
    dcgan_generator,
    latent_autoencoder,
    mlp,
)

each_tiny = pytest.mark.parametrize("name", TINY)

# --- outputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", SIZES)
def test_images_come_in_and_out_in_both_sizes(image, rng):
    x, z = batch(rng, 2, *image), batch(rng, 2, 7)
    assert dcgan_generator(image, 7, width=16, rng=rng)(z).shape == (2, *image)
    assert dcgan_discriminator(image, width=16, rng=rng)(x).shape == (2, 1)
    assert conv_encoder(image, 5, width=16, rng=rng)(x).shape == (2, 5)
    assert conv_decoder(image, 7, width=16, rng=rng)(z).shape == (2, *image)
    unet = UNet(image, width=8, attention_at=(), rng=rng)
    assert unet(x, xp.asarray([1.0, 999.0])).shape == (2, *image)


@pytest.mark.parametrize(("size", "channels", "latents"), [(32, 1, 4), (64, 3, 2)])
def test_latents_are_8_by_8_for_every_image_size(size, channels, latents, rng):
    encoder, decoder = latent_autoencoder(size, channels, 8, latents, (4, 6, 8), rng=rng)
    x = batch(rng, 2, size, size, channels)
    h = encoder(x)
    assert h.shape == (2, 2 * 8 * 8 * latents)
    assert decoder(h[:, : 64 * latents]).shape == x.shape


def test_half_of_the_latent_channels_are_means_and_half_log_variances(rng):
    encoder, _ = latent_autoencoder(32, 3, 8, 4, (4, 8), rng=rng)
    encoder.eval()
    x = batch(rng, 2, 32, 32, 3)
    h = nn.Sequential(*encoder.layers[:-1])(x).numpy()  # (2, 8, 8, 8)
    rows = encoder(x).numpy()
    assert_close(rows[:, :256].reshape(2, 8, 8, 4), h[..., :4])
    assert_close(rows[:, 256:].reshape(2, 8, 8, 4), h[..., 4:])


@pytest.mark.parametrize(
    ("image", "last"),
    [
        ((28, 28, 1), (7, 7, 64)),
        ((64, 64, 3), (4, 4, 256)),
        ((6, 6, 1), (3, 3, 32)),
        ((8, 24, 1), (4, 12, 32)),
    ],
)
def test_sides_halve_while_they_are_even_and_above_4(image, last, rng):
    assert conv_encoder(image, rng=rng)[-1].weight.shape[0] == np.prod(last)
    assert conv_decoder(image, rng=rng)[1].shape == last


@each_tiny
def test_everything_starts_in_float32_and_stays_there(name, rng):
    model, (_, inputs) = TINY[name][0](rng), tiny(name, rng)
    y = model(*inputs)
    assert y.dtype == np.float32
    assert {g.dtype for g in tg.grad(tg.sum(y), model.parameters())} == {np.dtype(np.float32)}


def test_an_mlp_is_dense_layers_with_activations_between(rng):
    x = rng.standard_normal((4, 3))
    plain = shaken(mlp((3, 5, 2), rng=rng), rng)
    w1, b1, w2, b2 = plain.state_dict().values()
    expected = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    assert_close(plain(xp.asarray(x)), expected)
    squashed = mlp((3, 5, 2), output=tg.sigmoid, rng=rng).astype(float)
    squashed.load_state_dict(plain.state_dict())
    assert_close(squashed(xp.asarray(x)), 1 / (1 + np.exp(-expected)))


def test_an_mlp_takes_its_activation_and_its_initialiser(rng):
    net = mlp((2, 3, 3, 1), tg.tanh, rng=rng, init=nn.constant(0.5))
    h = np.tanh(np.tanh(np.full((1, 2), 0.1) @ np.full((2, 3), 0.5)) @ np.full((3, 3), 0.5))
    assert_close(net(xp.full((1, 2), 0.1)), h @ np.full((3, 1), 0.5), 1e-6)


def test_a_dcgan_generator_makes_images_between_minus_1_and_1(rng):
    x = shaken(dcgan_generator((12, 12, 2), 3, 2, rng=rng), rng)(batch(rng, 50, 3)).numpy()
    assert -1 <= x.min() < -0.9 and 0.9 < x.max() <= 1


def test_a_relu_follows_each_convolution_of_an_encoder(rng):
    kinds = [type(f).__name__ for f in conv_encoder((12, 12, 2), 3, 2, rng=rng)]
    assert kinds == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Flatten", "Dense"]


def test_a_conv_decoder_makes_any_real_numbers(rng):
    x = shaken(conv_decoder((12, 12, 2), 3, 2, rng=rng), rng)(batch(rng, 50, 3)).numpy()
    assert x.min() < -1.1 and x.max() > 1.1


def test_a_shifted_image_has_shifted_features_in_a_conv_encoder(rng):
    features = nn.Sequential(*conv_encoder((64, 64, 1), width=2, rng=rng).astype(float)[:-2])
    x = np.zeros((1, 64, 64, 1))
    x[:, 24:32, 22:30] = rng.standard_normal((1, 8, 8, 1))
    here, there = features(xp.asarray(x)), features(xp.asarray(np.roll(x, 16, axis=1)))
    assert here.shape == (1, 4, 4, 16)  # one feature per 16 pixels
    assert np.abs(here.numpy()).max() > 0.01
    assert_close(there, np.roll(here.numpy(), 1, axis=1))


# --- counts, by hand ------------------------------------------------------------------------------


def test_dcgans_have_the_parameters_of_their_architecture(rng):
    assert count(dcgan_generator(rng=rng)) == (
        100 * 7 * 7 * 128
        + 2 * 128  # no bias before a batch norm, which has γ and β
        + 4 * 4 * 128 * 64
        + 2 * 64
        + conv(4, 64, 1)
    )
    assert count(dcgan_discriminator(rng=rng)) == (
        conv(4, 1, 64) + 4 * 4 * 64 * 128 + 2 * 128 + dense(7 * 7 * 128, 1)
    )
    assert count(dcgan_generator((64, 64, 3), rng=rng)) == (
        100 * 4 * 4 * 512
        + 2 * 512
        + 4 * 4 * 512 * 256
        + 2 * 256
        + 4 * 4 * 256 * 128
        + 2 * 128
        + 4 * 4 * 128 * 64
        + 2 * 64
        + conv(4, 64, 3)
    )
    assert count(dcgan_discriminator((64, 64, 3), rng=rng)) == (
        conv(4, 3, 64)
        + 4 * 4 * 64 * 128
        + 2 * 128
        + 4 * 4 * 128 * 256
        + 2 * 256
        + 4 * 4 * 256 * 512
        + 2 * 512
        + dense(4 * 4 * 512, 1)
    )


def test_the_encoder_and_decoder_have_the_parameters_of_their_architecture(rng):
    assert count(conv_encoder(rng=rng)) == (
        conv(4, 1, 32) + conv(4, 32, 64) + dense(7 * 7 * 64, 32)
    )
    assert count(conv_decoder(rng=rng)) == (
        dense(16, 7 * 7 * 64) + conv(4, 64, 32) + conv(4, 32, 1)
    )
    assert count(conv_encoder((64, 64, 3), 6, 8, rng=rng)) == (
        conv(4, 3, 8) + conv(4, 8, 16) + conv(4, 16, 32) + conv(4, 32, 64) + dense(4 * 4 * 64, 6)
    )
    assert count(conv_decoder((64, 64, 3), 6, 8, rng=rng)) == (
        dense(6, 4 * 4 * 64) + conv(4, 64, 32) + conv(4, 32, 16) + conv(4, 16, 8) + conv(4, 8, 3)
    )


# --- everything is connected ----------------------------------------------------------------------


@each_tiny
def test_every_parameter_has_a_gradient(name, rng):
    model, inputs = tiny(name, rng, N=8)
    assert_all_have_gradients(model, model(*inputs), rng)


@each_tiny
def test_gradients_are_right(name, rng):
    model, inputs = tiny(name, rng, N=2)
    order = 2 if name == "mlp" else 1
    assert gradcheck(model, *inputs, params=model.parameters(), order=order, elements=1)


@each_tiny
def test_in_evaluation_the_images_of_a_batch_are_independent(name, rng):
    model, inputs = tiny(name, rng, N=4)
    _, others = tiny(name, rng, N=4)
    if not isinstance(model, UNet):  # it has no training mode
        model.eval()
    mixed = [xp.concatenate([a[:2], b[2:]]) for a, b in zip(inputs, others, strict=True)]
    y = model(*inputs).numpy()
    assert_close(model(*mixed)[:2], y[:2], 1e-12)
    assert np.abs(model(*mixed)[2:].numpy() - y[2:]).min(axis=0).max() > 1e-3


@pytest.mark.parametrize("name", ["dcgan_generator", "dcgan_discriminator"])
def test_in_training_the_images_of_a_dcgans_batch_are_normalised_together(name, rng):
    model, (x,) = tiny(name, rng, N=4)
    assert np.abs(model(x[:2]).numpy() - model(x)[:2].numpy()).max() > 1e-3


@each_tiny
def test_gradient_descent_brings_the_loss_down(name, rng):
    model, inputs = tiny(name, rng, N=4)
    losses = descend(model, inputs, 6)
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.9 * losses[0]


# --- initial weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [dcgan_generator, dcgan_discriminator])
@pytest.mark.parametrize("image", SIZES)
def test_dcgan_weights_start_with_a_standard_deviation_of_0_02(build, image, rng):
    for name, array in build(image, rng=rng).state_dict().items():
        if name.endswith("weight"):
            n = array.size
            assert abs(array.mean()) < 4 * 0.02 / np.sqrt(n), name
            assert abs(array.std() - 0.02) < 4 * 0.02 / np.sqrt(2 * n), name
        else:
            assert (array == (name.endswith(("gamma", "variance")))).all(), name


def test_the_encoder_and_decoder_preserve_the_scale_of_signals(rng):
    x = conv_decoder((64, 64, 3), 16, rng=rng)(batch(rng, 8, 16)).numpy()
    y = conv_encoder((64, 64, 3), 64, rng=rng)(batch(rng, 8, 64, 64, 3)).numpy()
    assert 0.3 < x.std() < 3 and 0.3 < y.std() < 3


def test_the_same_rng_makes_the_same_networks():
    for build in [lambda rng: tiny_unet(rng), lambda rng: classics.conv_vae(rng=rng)[1]]:
        a, b = (build(np.random.default_rng(5)).state_dict() for _ in range(2))
        assert all((a[name] == b[name]).all() for name in a)


# --- against PyTorch, with the same weights -------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_the_dcgan_generator_agrees_with_pytorch(training, rng):
    torch = pytest.importorskip("torch")
    model = shaken(dcgan_generator((16, 12, 3), 5, width=4, rng=rng), rng)
    model(batch(rng, 6, 5))  # to move the running statistics
    model.train(training)
    w, (z, zt) = Weights(torch, model), both(torch, rng.standard_normal((4, 5)))

    h = w.dense("layers.0", zt).reshape(4, 4, 3, 8).permute(0, 3, 1, 2)
    h = torch.relu(w.batch_norm("layers.2", h, training))
    h = torch.relu(w.batch_norm("layers.5", w.conv_transpose("layers.4", h, 2, 1), training))
    x = torch.tanh(w.conv_transpose("layers.7", h, 2, 1)).permute(0, 2, 3, 1)
    w.agree(model, [(z, zt)], model(z), x, rng)
    for name, each in model.state_dict().items():  # the running statistics too
        assert_close(each, w.state[name].detach().numpy())


@pytest.mark.parametrize("training", [True, False])
def test_the_dcgan_discriminator_agrees_with_pytorch(training, rng):
    torch = pytest.importorskip("torch")
    model = shaken(dcgan_discriminator((12, 12, 2), width=3, rng=rng), rng)
    model(batch(rng, 6, 12, 12, 2))
    model.train(training)
    w, (x, xt) = Weights(torch, model), both(torch, rng.standard_normal((4, 12, 12, 2)))

    h = w.F.leaky_relu(w.conv("layers.0", xt.permute(0, 3, 1, 2), 2, 1), 0.2)
    h = w.F.leaky_relu(w.batch_norm("layers.3", w.conv("layers.2", h, 2, 1), training), 0.2)
    y = w.dense("layers.6", h.permute(0, 2, 3, 1).reshape(4, 3 * 3 * 6))
    w.agree(model, [(x, xt)], model(x), y, rng)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [(28, 27, 1), (4, 4, 1), (2, 28, 1)])
@pytest.mark.parametrize(
    "build", [dcgan_generator, dcgan_discriminator, conv_encoder, conv_decoder]
)
def test_an_image_that_cannot_be_halved_is_refused(build, image, rng):
    with pytest.raises(ValueError, match=rf"{build.__name__}: .*`image`.*{re.escape(str(image))}"):
        build(image, rng=rng)


@pytest.mark.parametrize(
    ("build", "pattern"),
    [
        (lambda rng: dcgan_generator(latent=0, rng=rng), "Dense: .*`inputs`.* got 0"),
        (lambda rng: dcgan_generator(width=6.5, rng=rng), r"`outputs`.* got \d+\.\d"),
        (lambda rng: dcgan_discriminator(width=0, rng=rng), "Conv2d: .*`outputs`.* got 0"),
        (lambda rng: conv_encoder(outputs=-2, rng=rng), "Dense: .*`outputs`.* got -2"),
        (lambda rng: conv_decoder(latent="2", rng=rng), "Dense: .*`inputs`.* got '2'"),
        (lambda rng: latent_autoencoder(48, rng=rng), "expected `size` among 16, 32, 64, got 48"),
        (lambda rng: latent_autoencoder(128, rng=rng), "expected `size` among 16, 32, 64, got 128"),
        (lambda rng: UNet(width=5, rng=rng), "even `features`, got 5"),
        (lambda rng: UNet(width=12, rng=rng), "GroupNorm: 8 `groups`.* 12 channels"),
        (lambda rng: UNet(depth=0, rng=rng), "UNet: .*`depth`.* ≥ 1, got 0"),
        (lambda rng: UNet(heads=0, rng=rng), "UNet: .*`heads`.* ≥ 1, got 0"),
        (lambda rng: UNet(heads=3, rng=rng), "SelfAttention: 3 `heads`.* 64 channels"),
        (lambda rng: UNet(multipliers=(0.5, 1), attention_at=(), rng=rng), r"got 16\.0"),
        (lambda rng: UNet((28, 30, 1), rng=rng), r"UNet: .*`image` .* 4, got \(28, 30, 1\)"),
        (lambda rng: UNet((6, 6, 1), rng=rng), r"UNet: .*`image` .* 4, got \(6, 6, 1\)"),
        (lambda rng: UNet((32, 32, 3), rng=rng), r"`attention_at`.*\[32, 16, 8\], got \(7,\)"),
    ],
)
def test_invalid_settings_of_a_network_are_refused(build, pattern, rng):
    with pytest.raises(ValueError, match=pattern):
        build(rng)


def test_a_seed_in_place_of_a_generator_is_refused():
    for build in (dcgan_generator, UNet, classics.dense_gan):
        with pytest.raises(TypeError, match=r"Dense: .*`rng`.*Generator.*got int"):
            build(rng=0)


# --- a discriminator's norm -----------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["spectral", "none"])
def test_a_discriminator_without_batch_norm_treats_images_independently(norm, rng):
    discriminator = dcgan_discriminator((12, 12, 2), width=3, rng=rng, norm=norm)
    x = batch(rng, 4, 12, 12, 2).astype("f4")
    one = to_numpy(discriminator.eval()(x[:1]).data)
    np.testing.assert_allclose(to_numpy(discriminator(x).data)[:1], one, rtol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm) for layer in discriminator)
    spectral = [isinstance(layer, nn.SpectralNorm) for layer in discriminator]
    assert sum(spectral) == (3 if norm == "spectral" else 0)


def test_a_discriminator_with_spectral_norm_has_a_bounded_lipschitz_constant(rng):
    discriminator = dcgan_discriminator((12, 12, 1), width=4, rng=rng, norm="spectral")
    for p in discriminator.parameters():
        p.data = 1000 * p.data
    x, y = (batch(rng, 8, 12, 12, 1).astype("f4") for _ in range(2))
    for _ in range(50):  # power iteration continues in training
        discriminator(x)
    rise = np.abs(to_numpy((discriminator.eval()(x) - discriminator(y)).data))[:, 0]
    way = np.sqrt(to_numpy(((x - y) ** 2).sum(axis=(1, 2, 3))))
    # a 4 × 4 filter at stride 2 sees each pixel 4 times, so its Lipschitz constant may be 2
    assert (rise <= 4 * way).all()


def test_an_unknown_norm_is_refused(rng):
    with pytest.raises(ValueError, match=r"`norm` .*batch, spectral or none, got None"):
        dcgan_discriminator(rng=rng, norm=None)
