"""The networks: counts by hand, what reaches what, and PyTorch versions with the same weights."""

import re

import numpy as np
import pytest

import tinygen as tg
from tinygen import gradcheck, nn
from tinygen.autograd import to_numpy, xp
from tinygen.models import (
    Folded,
    UNet,
    classics,
    conv_decoder,
    conv_encoder,
    dcgan_discriminator,
    dcgan_generator,
    mlp,
    small_unet,
)
from tinygen.models.unet import Block
from tinygen.nn import SelfAttention

SIZES = [(28, 28, 1), (64, 64, 3)]


def batch(rng, *shape):
    return xp.asarray(rng.standard_normal(shape))


def shaken(model, rng, by=0.3):
    """The model in float64, with no parameter left at zero or one."""
    for each in model.astype(float).parameters():
        each.data = each.data + by * xp.asarray(rng.standard_normal(each.shape))
    return model


def count(model):
    return sum(each.size for each in model.parameters())


def tiny_unet(rng, **options):
    settings = {"width": 4, "multipliers": (1, 2), "attention_at": (4,), "heads": 2, "groups": 2}
    return UNet((8, 8, 1), **settings | options, rng=rng)


# a small network of each kind, with the shapes of its inputs
TINY = {
    "mlp": (lambda rng: mlp((3, 5, 4, 2), tg.tanh, rng=rng), (3,)),
    "dcgan_generator": (lambda rng: dcgan_generator((12, 12, 2), 3, width=2, rng=rng), (3,)),
    "dcgan_discriminator": (
        lambda rng: dcgan_discriminator((12, 12, 2), width=2, rng=rng),
        (12, 12, 2),
    ),
    "conv_encoder": (lambda rng: conv_encoder((12, 12, 2), 3, width=2, rng=rng), (12, 12, 2)),
    "conv_decoder": (lambda rng: conv_decoder((12, 12, 2), 3, width=2, rng=rng), (3,)),
    "UNet": (lambda rng: tiny_unet(rng, classes=3), (8, 8, 1)),
}
each_tiny = pytest.mark.parametrize("name", TINY)

# the two networks of each classic, with the shapes of their inputs
CLASSICS = {
    "dense_gan": ((100,), (28, 28, 1)),
    "one_layer_gan": ((128,), (28, 28, 1)),
    "dcgan_28": ((100,), (28, 28, 1)),
    "dcgan_64": ((100,), (64, 64, 3)),
    "conv_vae": ((28, 28, 1), (2,)),
}
each_classic = pytest.mark.parametrize("name", CLASSICS)
each_gan = pytest.mark.parametrize("name", [name for name in CLASSICS if "gan" in name])


def tiny(name, rng, N=3):
    """A network of TINY, shaken, and inputs for it."""
    build, shape = TINY[name]
    inputs = [batch(rng, N, *shape)]
    if name == "UNet":
        inputs += [xp.asarray(rng.uniform(0, 1000, N)), xp.asarray(rng.integers(0, 4, N))]
    return shaken(build(rng), rng), inputs


def assert_close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(to_numpy(getattr(a, "data", a)), b, rtol=tolerance, atol=tolerance)


# --- what comes out -------------------------------------------------------------------------------


@pytest.mark.parametrize("image", SIZES)
def test_images_come_in_and_out_in_both_sizes(image, rng):
    x, z = batch(rng, 2, *image), batch(rng, 2, 7)
    assert dcgan_generator(image, 7, width=16, rng=rng)(z).shape == (2, *image)
    assert dcgan_discriminator(image, width=16, rng=rng)(x).shape == (2, 1)
    assert conv_encoder(image, 5, width=16, rng=rng)(x).shape == (2, 5)
    assert conv_decoder(image, 7, width=16, rng=rng)(z).shape == (2, *image)
    unet = UNet(image, width=8, attention_at=(), rng=rng)
    assert unet(x, xp.asarray([1.0, 999.0])).shape == (2, *image)


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
def test_everything_begins_in_float32_and_stays_there(name, rng):
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


def test_a_conv_decoder_makes_any_real_numbers(rng):
    x = shaken(conv_decoder((12, 12, 2), 3, 2, rng=rng), rng)(batch(rng, 50, 3)).numpy()
    assert x.min() < -1.1 and x.max() > 1.1


def test_a_shifted_image_has_shifted_features_in_a_conv_encoder(rng):
    features = nn.Sequential(*conv_encoder((64, 64, 1), width=2, rng=rng).astype(float)[:-2])
    x = np.zeros((1, 64, 64, 1))
    x[:, 24:32, 22:30] = rng.standard_normal((1, 8, 8, 1))
    here, there = features(xp.asarray(x)), features(xp.asarray(np.roll(x, 16, axis=1)))
    assert here.shape == (1, 4, 4, 16)  # so one feature for 16 pixels
    assert np.abs(here.numpy()).max() > 0.01
    assert_close(there, np.roll(here.numpy(), 1, axis=1))


# --- counts, by hand ------------------------------------------------------------------------------


def dense(a, b):
    return a * b + b


def conv(k, a, b):
    """Also of a transposed convolution."""
    return k * k * a * b + b


def test_dcgans_have_the_parameters_of_their_architecture(rng):
    assert count(dcgan_generator(rng=rng)) == (
        100 * 7 * 7 * 128 + 2 * 128  # no biases before a batch norm, which has γ and β
        + 4 * 4 * 128 * 64 + 2 * 64
        + conv(4, 64, 1)
    )  # fmt: skip
    assert count(dcgan_discriminator(rng=rng)) == (
        conv(4, 1, 64) + 4 * 4 * 64 * 128 + 2 * 128 + dense(7 * 7 * 128, 1)
    )
    assert count(dcgan_generator((64, 64, 3), rng=rng)) == (
        100 * 4 * 4 * 512 + 2 * 512
        + 4 * 4 * 512 * 256 + 2 * 256
        + 4 * 4 * 256 * 128 + 2 * 128
        + 4 * 4 * 128 * 64 + 2 * 64
        + conv(4, 64, 3)
    )  # fmt: skip
    assert count(dcgan_discriminator((64, 64, 3), rng=rng)) == (
        conv(4, 3, 64)
        + 4 * 4 * 64 * 128 + 2 * 128
        + 4 * 4 * 128 * 256 + 2 * 256
        + 4 * 4 * 256 * 512 + 2 * 512
        + dense(4 * 4 * 512, 1)
    )  # fmt: skip


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


def norm(c):
    return 2 * c


def attention(c):
    return norm(c) + 4 * dense(c, c)


def block(a, b, embedded):
    skip = conv(1, a, b) if a != b else 0
    return norm(a) + conv(3, a, b) + dense(embedded, b) + norm(b) + conv(3, b, b) + skip


def test_the_default_unet_has_597345_parameters(rng):
    e = 128
    by_hand = (
        dense(32, e) + dense(e, e)  # the time
        + conv(3, 1, 32)
        + block(32, 32, e) + conv(3, 32, 64)  # 28 × 28
        + block(64, 64, e) + conv(3, 64, 64)  # 14 × 14
        + 2 * block(64, 64, e) + 2 * attention(64)  # 7 × 7
        + conv(3, 64, 64) + block(128, 64, e)
        + conv(3, 64, 32) + block(64, 32, e)
        + norm(32) + conv(3, 32, 1)
    )  # fmt: skip
    assert count(UNet(rng=rng)) == by_hand == 597_345


def test_a_unet_grows_with_its_depth_multipliers_and_classes(rng):
    e = 32
    by_hand = (
        dense(8, e) + dense(e, e) + 11 * e  # ten classes and "any"
        + conv(3, 3, 16)
        + 2 * block(16, 16, e) + 4 * attention(16) + conv(3, 16, 24)
        + 4 * block(24, 24, e)
        + conv(3, 24, 16) + 2 * block(32, 16, e)
        + norm(16) + conv(3, 16, 3)
    )  # fmt: skip
    unet = UNet((16, 16, 3), 8, (2, 3), depth=2, attention_at=(16,), classes=10, rng=rng)
    assert count(unet) == by_hand


CLASSIC_COUNTS = {
    "dense_gan": (
        dense(100, 256) + dense(256, 512) + dense(512, 512) + dense(512, 784),
        conv(5, 1, 64) + conv(5, 64, 128) + dense(7 * 7 * 128, 1),
    ),
    "one_layer_gan": (
        dense(128, 784),
        conv(5, 1, 64) + conv(5, 64, 128) + conv(5, 128, 256) + dense(4 * 4 * 256, 1),
    ),
    "dcgan_28": (
        dense(100, 7 * 7 * 128) + norm(128) + conv(5, 128, 64) + norm(64) + conv(5, 64, 1),
        conv(5, 1, 64) + conv(5, 64, 128) + dense(7 * 7 * 128, 1),
    ),
    "dcgan_64": (
        dense(100, 8 * 8 * 128)
        + conv(4, 128, 128) + conv(4, 128, 256) + conv(4, 256, 512) + conv(5, 512, 3),
        conv(4, 3, 64) + conv(4, 64, 128) + conv(4, 128, 128) + dense(8 * 8 * 128, 1),
    ),
    "conv_vae": (69_076, 65_089),  # as Keras prints them in the example
}  # fmt: skip


@each_classic
def test_a_classic_has_the_parameters_of_its_architecture_and_of_the_table(name, rng):
    counts = tuple(map(count, getattr(classics, name)(rng=rng)))
    assert counts == CLASSIC_COUNTS[name]
    (row,) = re.findall(rf"^ *{name} .*$", classics.__doc__, re.MULTILINE)
    assert [f"{n:,}" for n in counts] == re.findall(r" (\d+(?:,\d{3})+) ", row)


def test_every_classic_stands_here():
    assert sorted(CLASSICS) == sorted(classics.__all__)


# --- the classics ---------------------------------------------------------------------------------


@each_gan
def test_a_classic_gan_makes_images_and_judges_them_by_a_logit(name, rng):
    generator, discriminator = getattr(classics, name)(rng=rng)
    (latent,), image = CLASSICS[name]
    x = generator(batch(rng, 2, latent))
    assert x.shape == (2, *image)
    assert discriminator(x).shape == (2, 1)


@each_gan
def test_the_images_of_a_classic_gan_have_the_range_of_the_table(name, rng):
    generator, _ = getattr(classics, name)(rng=rng)
    x = generator(100 * batch(rng, 2, *CLASSICS[name][0])).numpy()
    (row,) = re.findall(rf"^ *{name} .*\[(\S+), 1\]$", classics.__doc__, re.MULTILINE)
    low = {"0": 0, "−1": -1}[row]
    assert low <= x.min() < low + 0.1 and 0.9 < x.max() <= 1


@each_gan
def test_the_discriminator_of_a_classic_gan_ends_without_a_sigmoid(name, rng):
    _, discriminator = getattr(classics, name)(rng=rng)
    last = discriminator[-1]
    last.bias.data = last.bias.data - 7
    assert (discriminator(xp.zeros((1, *CLASSICS[name][1]), "f4")).numpy() == -7).all()


def test_the_classic_vae_encodes_to_a_mean_and_a_log_variance_of_two_numbers(rng):
    encoder, decoder = classics.conv_vae(rng=rng)
    assert encoder(batch(rng, 3, 28, 28, 1)).shape == (3, 4)
    logits = decoder(10 * batch(rng, 50, 2))
    assert logits.shape == (50, 28, 28, 1)
    assert logits.numpy().min() < -1.1 and logits.numpy().max() > 1.1


LINEAR_AND_BENT = {  # L for a layer with weights, a for an activation
    "dense_gan": ("LaLaLaL", "LaLaL"),
    "one_layer_gan": ("L", "LaLaLaL"),
    "dcgan_28": ("LLaL", "LaLaL"),
    "dcgan_64": ("LLaLaLaL", "LaLaLaL"),
    "conv_vae": ("LaLaLaL", "LaLaLaL"),
}


@each_classic
def test_a_classic_has_its_activations_between_its_layers(name, rng):
    letters = {nn.Dense: "L", nn.Conv2d: "L", nn.ConvTranspose2d: "L",
               nn.ReLU: "a", nn.LeakyReLU: "a", nn.ELU: "a"}  # fmt: skip
    found = tuple("".join(letters.get(type(layer), "") for layer in model)
                  for model in getattr(classics, name)(rng=rng))  # fmt: skip
    assert found == LINEAR_AND_BENT[name]


@each_classic
def test_dropout_in_a_classic_drops_in_training_and_nothing_in_evaluation(name, rng):
    for model, shape in zip(getattr(classics, name)(rng=rng), CLASSICS[name], strict=True):
        x = batch(rng, 1, *shape)
        without = nn.Sequential(*(f for f in model if not isinstance(f, nn.Dropout)))
        drops = name in {"dense_gan", "dcgan_28", "dcgan_64"} and shape in SIZES
        assert (model(x).numpy() != model(x).numpy()).any() == drops
        model.eval()
        assert (model(x).numpy() == without(x).numpy()).all()


def test_batch_norm_turns_the_elu_of_the_classic_dcgan_into_selu(rng):
    generator = shaken(classics.dcgan_28(rng=rng)[0], rng, by=0.02)
    selu = nn.Sequential(*generator)
    (place,) = (i for i, f in enumerate(generator) if isinstance(f, nn.ELU))
    selu.layers[place] = nn.Function(
        lambda x: 1.0507009873554805 * tg.where(x.data > 0, x, 1.6732632423543772 * tg.expm1(x))
    )
    z = batch(rng, 4, 100)
    assert_close(generator(z), selu(z).numpy(), 1e-4)


# --- everything is connected ----------------------------------------------------------------------


def assert_all_have_gradients(model, y, rng):
    gradients = tg.grad(tg.sum(y * batch(rng, *y.shape)), model.parameters())
    for (name, _), g in zip(model.named_parameters(), gradients, strict=True):
        size = np.abs(g.numpy()).max()
        assert np.isfinite(size), name
        if name.endswith("key.bias"):  # adds the same to all of a query's scores
            assert size < 1e-10
        else:
            assert size > 1e-8, name


@each_tiny
def test_every_parameter_has_a_gradient(name, rng):
    model, inputs = tiny(name, rng, N=8)
    assert_all_have_gradients(model, model(*inputs), rng)


@each_classic
def test_every_parameter_of_a_classic_has_a_gradient(name, rng):
    for model, shape in zip(getattr(classics, name)(rng=rng), CLASSICS[name], strict=True):
        assert_all_have_gradients(model, model(batch(rng, 1, *shape)), rng)


@each_tiny
def test_a_gradient_is_right(name, rng):
    model, inputs = tiny(name, rng, N=2)
    order = 2 if name == "mlp" else 1
    assert gradcheck(model, *inputs, params=model.parameters(), order=order, entries=1)


@each_tiny
def test_in_evaluation_the_entries_of_a_batch_do_not_meet(name, rng):
    model, inputs = tiny(name, rng, N=4)
    _, others = tiny(name, rng, N=4)
    if not isinstance(model, UNet):  # which does the same in training
        model.eval()
    mixed = [xp.concatenate([a[:2], b[2:]]) for a, b in zip(inputs, others, strict=True)]
    y = model(*inputs).numpy()
    assert_close(model(*mixed)[:2], y[:2], 1e-12)
    assert np.abs(model(*mixed)[2:].numpy() - y[2:]).min(axis=0).max() > 1e-3


@pytest.mark.parametrize("name", ["dcgan_generator", "dcgan_discriminator"])
def test_in_training_the_entries_of_a_dcgans_batch_are_normalised_together(name, rng):
    model, (x,) = tiny(name, rng, N=4)
    assert np.abs(model(x[:2]).numpy() - model(x)[:2].numpy()).max() > 1e-3


def descend(model, inputs, steps):
    """The loss before each step, of a length that would take off 3% if the loss were linear."""
    rng = np.random.default_rng(1)
    target, losses = None, []
    for _ in range(steps):
        y = model(*inputs)
        target = batch(rng, *y.shape) if target is None else target
        loss = tg.mean((y - target) ** 2)
        parameters = model.parameters()
        gradients = tg.grad(loss, parameters)
        rate = 0.03 * loss.item() / sum(float((g.data**2).sum()) for g in gradients)
        for each, g in zip(parameters, gradients, strict=True):
            each.data = each.data - rate * g.data
        losses.append(loss.item())
    return losses


@each_tiny
def test_gradient_descent_brings_the_loss_down(name, rng):
    model, inputs = tiny(name, rng, N=4)
    losses = descend(model, inputs, 6)
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.9 * losses[0]


def test_a_new_unet_learns_though_most_of_it_begins_cut_off(rng):
    x, t = batch(rng, 4, 8, 8, 1), xp.asarray([1.0, 10.0, 100.0, 900.0])
    unet = tiny_unet(rng)
    before = unet.state_dict()
    assert (np.diff(descend(unet, (x, t), 6)) < 0).all()
    still = {name for name, each in unet.state_dict().items() if (each == before[name]).all()}
    assert {name for name in still if not name.endswith("key.bias")} == set()


@each_classic
def test_gradient_descent_brings_the_loss_of_a_classic_down(name, rng):
    for model, shape in zip(getattr(classics, name)(rng=rng), CLASSICS[name], strict=True):
        losses = descend(model.eval(), [batch(rng, 1, *shape)], 2)
        assert (np.diff(losses) < 0).all()


# --- how weights begin ----------------------------------------------------------------------------


@pytest.mark.parametrize("build", [dcgan_generator, dcgan_discriminator])
@pytest.mark.parametrize("image", SIZES)
def test_dcgan_weights_begin_with_a_deviation_of_0_02(build, image, rng):
    for name, each in build(image, rng=rng).state_dict().items():
        if name.endswith("weight"):
            n = each.size
            assert abs(each.mean()) < 4 * 0.02 / np.sqrt(n), name
            assert abs(each.std() - 0.02) < 4 * 0.02 / np.sqrt(2 * n), name
        else:
            assert (each == (name.endswith(("gamma", "variance")))).all(), name


def test_the_encoder_and_decoder_keep_the_size_of_what_passes(rng):
    x = conv_decoder((64, 64, 3), 16, rng=rng)(batch(rng, 8, 16)).numpy()
    y = conv_encoder((64, 64, 3), 64, rng=rng)(batch(rng, 8, 64, 64, 3)).numpy()
    assert 0.3 < x.std() < 3 and 0.3 < y.std() < 3


def test_the_same_rng_makes_the_same_networks():
    for build in [lambda rng: tiny_unet(rng), lambda rng: classics.conv_vae(rng=rng)[1]]:
        a, b = (build(np.random.default_rng(5)).state_dict() for _ in range(2))
        assert all((a[name] == b[name]).all() for name in a)


# --- the U-Net ------------------------------------------------------------------------------------


def test_a_unets_output_begins_at_zero(rng):
    y = tiny_unet(rng)(batch(rng, 2, 8, 8, 1), xp.asarray([3.0, 400.0]))
    assert (y.numpy() == 0).all()


def test_a_block_begins_by_changing_nothing(rng):
    x, e = batch(rng, 2, 4, 4, 8), batch(rng, 2, 6)
    for heads in (0, 2):
        block = Block(8, 8, 6, groups=2, heads=heads, rng=rng).astype(float)
        assert (block(x, e).numpy() == to_numpy(x)).all()
        wider = Block(8, 4, 6, groups=2, heads=heads, rng=rng).astype(float)
        assert_close(wider(x, e), to_numpy(x) @ wider.skip.weight.numpy()[0, 0])


def test_a_unet_sees_the_time_of_each_image(rng):
    unet, (x, t, classes) = tiny("UNet", rng, N=3)
    moved = t + xp.asarray([0.0, 1.0, 0.0])
    change = unet(x, moved, classes).numpy() - unet(x, t, classes).numpy()
    assert (np.abs(change).max(axis=(1, 2, 3)) > 1e-3).tolist() == [False, True, False]


def test_a_unet_tells_apart_all_times_from_0_to_1000(rng):
    unet, t = shaken(tiny_unet(rng), rng), xp.arange(1001.0)
    y = unet(xp.zeros((1001, 8, 8, 1)), t).numpy()
    assert len(np.unique(y.round(4).reshape(1001, -1), axis=0)) == 1001


def test_a_unet_takes_whole_numbers_for_times(rng):
    unet, x = shaken(tiny_unet(rng), rng), batch(rng, 2, 8, 8, 1)
    assert_close(unet(x, xp.asarray([3, 500])), unet(x, xp.asarray([3.0, 500.0])).numpy())


def test_a_unet_sees_the_class_of_each_image_and_the_last_number_is_any(rng):
    unet = shaken(tiny_unet(rng, classes=3), rng)
    x, t = xp.repeat(batch(rng, 1, 8, 8, 1), 4, axis=0), xp.full(4, 100.0)
    y = unet(x, t, xp.arange(4)).numpy()  # 0, 1, 2 and "any"
    assert all(np.abs(y[i] - y[j]).max() > 1e-3 for i in range(4) for j in range(i))
    one = unet(x[:1], t[:1], classes=xp.asarray([3]))
    assert_close(one, y[3:])


def test_a_pixel_of_a_unets_input_reaches_every_pixel_of_its_output(rng):
    unet, (x, *others) = tiny("UNet", rng, N=1)
    moved = x.copy()
    moved[0, 0, 0] += 1
    assert np.abs(unet(moved, *others).numpy() - unet(x, *others).numpy()).min() > 0


def seen(monkeypatch, kind):
    """The (input, output) shapes of all calls of a kind of layer, without the batch."""
    calls, forward = [], kind.forward

    def watched(self, x, *others):
        y = forward(self, x, *others)
        calls.append((x.shape[1:], y.shape[1:]))
        return y

    monkeypatch.setattr(kind, "forward", watched)
    return calls


@pytest.mark.parametrize("at", [(), (2,), (8, 4), (8, 4, 2)])
def test_a_unet_attends_at_the_heights_asked_for(at, rng, monkeypatch):
    calls = seen(monkeypatch, SelfAttention)
    tiny_unet(rng, multipliers=(1, 1, 2), attention_at=at, depth=2)(
        batch(rng, 1, 8, 8, 1), xp.asarray([1.0])
    )
    assert sorted(x[0] for x, _ in calls) == sorted(4 * at)  # two blocks down and two up


def test_a_unet_goes_down_and_up_through_levels_of_its_multipliers(rng, monkeypatch):
    calls = seen(monkeypatch, Block)
    unet = UNet((8, 12, 1), 4, (1, 2, 3), depth=2, attention_at=(), groups=2, rng=rng)
    unet(batch(rng, 1, 8, 12, 1), xp.asarray([1.0]))
    assert calls == [
        *2 * [((8, 12, 4), (8, 12, 4))],
        *2 * [((4, 6, 8), (4, 6, 8))],
        *4 * [((2, 3, 12), (2, 3, 12))],
        *2 * [((4, 6, 16), (4, 6, 8))],  # what came up beside what was left
        *2 * [((8, 12, 8), (8, 12, 4))],
    ]


def test_a_unet_may_have_a_single_level(rng, monkeypatch):
    calls = seen(monkeypatch, Block)
    UNet((5, 5, 1), 4, (2,), attention_at=(5,), groups=2, rng=rng)(
        batch(rng, 1, 5, 5, 1), xp.asarray([1.0])
    )
    assert calls == 2 * [((5, 5, 8), (5, 5, 8))]


# --- against PyTorch, with the same weights -------------------------------------------------------


class Weights:
    """A model's state as PyTorch tensors in our layout, to be used in PyTorch's."""

    def __init__(self, torch, model):
        self.torch, self.F = torch, torch.nn.functional
        self.state = {n: torch.tensor(a) for n, a in model.state_dict().items()}
        self.names = [n for n, _ in model.named_parameters()]
        for name in self.names:
            self.state[name].requires_grad_()

    def dense(self, name, x):
        return self.F.linear(x, self.state[f"{name}.weight"].T, self.state.get(f"{name}.bias"))

    def conv(self, name, x, stride=1, padding=0):
        w = self.state[f"{name}.weight"].permute(3, 2, 0, 1)
        return self.F.conv2d(x, w, self.state.get(f"{name}.bias"), stride, padding)

    def conv_transpose(self, name, x, stride, padding):
        w = self.state[f"{name}.weight"].permute(3, 2, 0, 1)  # in, out, K, L
        return self.F.conv_transpose2d(x, w, self.state.get(f"{name}.bias"), stride, padding)

    def batch_norm(self, name, x, training):
        names = ("mean", "variance", "gamma", "beta")
        return self.F.batch_norm(x, *(self.state[f"{name}.{n}"] for n in names), training)

    def group_norm(self, name, groups, x):
        return self.F.group_norm(x, groups, *(self.state[f"{name}.{n}"] for n in ("gamma", "beta")))

    def agree(self, model, inputs, ours, theirs, rng):
        """Compare outputs and the gradients of a random projection, inputs' and parameters'."""
        v = rng.standard_normal(theirs.shape)
        assert_close(ours, theirs.detach().numpy())
        leaves = [*(t for _, t in inputs), *(self.state[name] for name in self.names)]
        expected = self.torch.autograd.grad((theirs * self.torch.tensor(v)).sum(), leaves)
        loss = tg.sum(ours * xp.asarray(v))
        gradients = tg.grad(loss, [*(x for x, _ in inputs), *model.parameters()])
        names = [*(f"input {i}" for i in range(len(inputs))), *self.names]
        for name, g, e in zip(names, gradients, expected, strict=True):
            np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-8, atol=1e-8, err_msg=name)


def both(torch, array):
    return tg.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)


@pytest.mark.parametrize("training", [True, False])
def test_the_dcgan_generator_agrees_with_pytorch(training, rng):
    torch = pytest.importorskip("torch")
    model = shaken(dcgan_generator((16, 12, 3), 5, width=4, rng=rng), rng)
    model(batch(rng, 6, 5))  # so that the running statistics have moved
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


def torch_block(w, name, x, e, groups, heads=0):
    silu = w.F.silu
    h = w.conv(f"{name}.conv1", silu(w.group_norm(f"{name}.norm1", groups, x)), padding=1)
    h = h + w.dense(f"{name}.embedding", e)[:, :, None, None]
    h = w.conv(f"{name}.conv2", silu(w.group_norm(f"{name}.norm2", groups, h)), padding=1)
    h = h + (w.conv(f"{name}.skip", x) if f"{name}.skip.weight" in w.state else x)
    if heads:
        N, C, H, W = h.shape
        tokens = w.group_norm(f"{name}.norm3", groups, h).flatten(2).mT  # (N, T, C)
        q, k, v = (
            w.dense(f"{name}.attention.{part}", tokens).unflatten(2, (heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        z = w.F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, H * W, C)
        h = h + w.dense(f"{name}.attention.mix", z).mT.unflatten(2, (H, W))
    return h


def test_the_unet_agrees_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    model = shaken(
        UNet((8, 4, 3), 4, (1, 3), depth=2, attention_at=(4,), classes=5, heads=3, groups=2,
             rng=rng), rng, by=0.2,
    )  # fmt: skip
    classes = np.array([0, 5, 2])
    w, (x, xt) = Weights(torch, model), both(torch, rng.standard_normal((3, 8, 4, 3)))
    t, tt = both(torch, np.array([0.3, 20.0, 999.0]))

    waves = tt[:, None] * torch.tensor([1.0, 1e-4], dtype=torch.float64)
    e = torch.cat([torch.sin(waves), torch.cos(waves)], dim=1)
    e = w.dense("embed_time.layers.3", w.F.silu(w.dense("embed_time.layers.1", e)))
    e = w.F.silu(e + w.state["embed_class.weight"][torch.tensor(classes)])

    a0 = w.conv("stem", xt.permute(0, 3, 1, 2), padding=1)
    a1 = torch_block(w, "levels.down.0", a0, e, 2)
    a2 = torch_block(w, "levels.down.1", a1, e, 2)
    h = w.conv("levels.shrink", w.F.pad(a2, (0, 1, 0, 1)), stride=2)
    for i in range(4):
        h = torch_block(w, f"levels.below.blocks.{i}", h, e, 2, heads=3)
    h = w.conv("levels.grow", w.F.interpolate(h, scale_factor=2, mode="nearest"), padding=1)
    h = torch_block(w, "levels.up.0", torch.cat([h, a2], dim=1), e, 2)
    h = torch_block(w, "levels.up.1", torch.cat([h, a1], dim=1), e, 2)
    y = w.conv("head", w.F.silu(w.group_norm("norm", 2, h)), padding=1).permute(0, 2, 3, 1)

    w.agree(model, [(x, xt), (t, tt)], model(x, t, xp.asarray(classes)), y, rng)


# --- errors ---------------------------------------------------------------------------------------

IMAGE_ERRORS = {
    "no channels": (28, 28),
    "not whole": (28, 28.0, 1),
    "a number": 28,
    "nothing": (28, 28, 0),
}


@pytest.mark.parametrize("image", IMAGE_ERRORS.values(), ids=IMAGE_ERRORS)
@pytest.mark.parametrize(
    "build", [dcgan_generator, dcgan_discriminator, conv_encoder, conv_decoder, UNet]
)
def test_what_is_no_shape_of_an_image_is_refused(build, image, rng):
    with pytest.raises(ValueError) as caught:
        build(image, rng=rng)
    assert str(caught.value) == (
        f"{build.__name__}: expected `image` to be (height, width, channels), got {image!r}"
    )


@pytest.mark.parametrize("image", [(28, 27, 1), (4, 4, 1), (2, 28, 1)])
@pytest.mark.parametrize(
    "build", [dcgan_generator, dcgan_discriminator, conv_encoder, conv_decoder]
)
def test_an_image_that_cannot_be_halved_is_refused(build, image, rng):
    with pytest.raises(ValueError) as caught:
        build(image, rng=rng)
    assert str(caught.value) == (
        f"{build.__name__}: expected an `image` with sides that are even and above 4, got {image}"
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda rng: mlp([3], rng=rng), "mlp: expected two `sizes` or more, inputs first, got [3]"),
        (lambda rng: dcgan_generator(latent=0, rng=rng),
         "dcgan_generator: expected `latent` to be an int ≥ 1, got 0"),
        (lambda rng: dcgan_generator(width=6.5, rng=rng),
         "dcgan_generator: expected `width` to be an int ≥ 1, got 6.5"),
        (lambda rng: dcgan_discriminator(width=0, rng=rng),
         "dcgan_discriminator: expected `width` to be an int ≥ 1, got 0"),
        (lambda rng: conv_encoder(outputs=-2, rng=rng),
         "conv_encoder: expected `outputs` to be an int ≥ 1, got -2"),
        (lambda rng: conv_decoder(latent="2", rng=rng),
         "conv_decoder: expected `latent` to be an int ≥ 1, got '2'"),
        (lambda rng: UNet(width=5, rng=rng),
         "UNet: expected `width` to be an even int ≥ 4, got 5"),
        (lambda rng: UNet(depth=0, rng=rng), "UNet: expected `depth` to be an int ≥ 1, got 0"),
        (lambda rng: UNet(classes=0, rng=rng), "UNet: expected `classes` to be an int ≥ 1, got 0"),
        (lambda rng: UNet(heads=0, rng=rng), "UNet: expected `heads` to be an int ≥ 1, got 0"),
        (lambda rng: UNet(multipliers=(1, 0.5), rng=rng),
         "UNet: expected `multipliers[1]` to be an int ≥ 1, got 0.5"),
        (lambda rng: UNet(multipliers=(), rng=rng),
         "UNet: expected one of `multipliers` or more, got ()"),
        (lambda rng: UNet((28, 30, 1), rng=rng),
         "UNet: expected an `image` whose sides halve 2 times, for 3 `multipliers`, got "
         "(28, 30, 1)"),
        (lambda rng: UNet((6, 6, 1), rng=rng),
         "UNet: expected an `image` whose sides halve 2 times, for 3 `multipliers`, got "
         "(6, 6, 1)"),
        (lambda rng: UNet((32, 32, 3), rng=rng),
         "UNet: expected `attention_at` to list some of the heights [32, 16, 8], got (7,)"),
        (lambda rng: UNet(attention_at=7, rng=rng),
         "UNet: expected `attention_at` to list some of the heights [28, 14, 7], got 7"),
        (lambda rng: UNet(width=12, rng=rng),
         "GroupNorm: expected `groups` to divide 12 channels, got 8"),
        (lambda rng: UNet(heads=3, rng=rng),
         "SelfAttention: expected `heads` to divide 64 channels, got 3"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_is_refused(build, message, rng):
    with pytest.raises(ValueError) as caught:
        build(rng)
    assert str(caught.value) == message


def test_a_seed_in_place_of_a_generator_is_refused():
    for build in (dcgan_generator, UNet, classics.dense_gan):
        with pytest.raises(TypeError) as caught:
            build(rng=0)
        assert str(caught.value) == (
            "Dense: expected `rng` to be a NumPy Generator, as np.random.default_rng(0) makes, "
            "got int"
        )


@pytest.mark.parametrize(
    ("x", "t", "classes", "message"),
    [
        ((2, 8, 8), (2,), None, ": expected `x` of shape (N, 8, 8, 1), got (2, 8, 8)"),
        ((2, 8, 8, 3), (2,), None, ": expected `x` of shape (N, 8, 8, 1), got (2, 8, 8, 3)"),
        ((2, 16, 16, 1), (2,), None, ": expected `x` of shape (N, 8, 8, 1), got (2, 16, 16, 1)"),
        ((2, 8, 8, 1), (), None, ": expected `t` of shape (2,), a time for each image, got ()"),
        ((2, 8, 8, 1), (2, 1), None,
         ": expected `t` of shape (2,), a time for each image, got (2, 1)"),
        ((2, 8, 8, 1), (2,), [0, 1], ": expected no `classes`: this network was made without"),
    ],
)  # fmt: skip
def test_a_unet_refuses_what_does_not_fit(x, t, classes, message, rng):
    with pytest.raises(ValueError) as caught:
        tiny_unet(rng)(xp.zeros(x), xp.zeros(t), classes)
    assert str(caught.value) == "UNet" + message


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        (None, ValueError,
         "UNet: expected `classes`, one for each image, got none"),
        (1, ValueError,
         "UNet: expected `classes` of shape (2,), one for each image, got ()"),
        ([1, 2, 3], ValueError,
         "UNet: expected `classes` of shape (2,), one for each image, got (3,)"),
        ([0, 4], ValueError,
         "Embedding: expected indices from 0 to 3, got some from 0 to 4"),
        ([-1, 0], ValueError,
         "Embedding: expected indices from 0 to 3, got some from -1 to 0"),
        ([0.0, 1.0], TypeError,
         "Embedding: expected indices that are integers, got dtype float64"),
    ],
)  # fmt: skip
def test_a_unet_with_classes_refuses_others(classes, error, message, rng):
    with pytest.raises(error) as caught:
        tiny_unet(rng, classes=3)(xp.zeros((2, 8, 8, 1)), xp.zeros(2), classes)
    assert str(caught.value) == message


def test_a_unet_refuses_another_dtype(rng):
    with pytest.raises(TypeError) as caught:
        tiny_unet(rng)(tg.Tensor(xp.zeros((2, 8, 8, 1))), xp.zeros(2))
    assert str(caught.value) == (
        "images and times: dtypes differ, float32 and float64; convert "
        "with .astype"
    )


# --- folding --------------------------------------------------------------------------------------


def test_folded_pixels_are_channels_and_come_back_where_they_were(rng):
    seen = []
    x = xp.asarray(rng.standard_normal((2, 6, 4, 3)))
    folded = Folded(lambda x, t: seen.append(x) or x, 2)
    np.testing.assert_array_equal(to_numpy(folded(x, 5.0).data), to_numpy(x))
    assert seen[0].shape == (2, 3, 2, 12)
    first = to_numpy(seen[0].data)[0, 1, 1].reshape(2, 2, 3)
    np.testing.assert_array_equal(first, to_numpy(x)[0, 2:4, 2:4])


def test_the_small_unet_has_two_levels_and_attends_on_the_lower(rng):
    e = 4 * 8
    by_hand = (
        dense(8, e) + dense(e, e) + 4 * e  # the time; three classes, and any
        + conv(3, 4, 8)  # 2 × 2 pixels as four channels
        + block(8, 8, e) + conv(3, 8, 16)  # 6 × 4
        + 2 * block(16, 16, e) + 2 * attention(16)  # 3 × 2
        + conv(3, 16, 8) + block(16, 8, e)
        + norm(8) + conv(3, 8, 4)
    )  # fmt: skip
    net = small_unet((12, 8, 1), 8, 3, rng=rng)
    assert count(net) == by_hand
    x, t = xp.zeros((2, 12, 8, 1), "f4"), xp.ones(2, "f4")
    assert net(x, t, xp.asarray([0, 3])).shape == (2, 12, 8, 1)


def test_folded_images_need_sides_that_divide(rng):
    with pytest.raises(ValueError, match=r"expected sides that 3 divides, got `x` of shape \(1, 4"):
        Folded(lambda x: x, 3)(xp.zeros((1, 4, 6, 1)))


@pytest.mark.parametrize("norm", ["spectral", "none"])
def test_a_critic_without_batch_norm_judges_each_image_by_itself(norm, rng):
    critic = dcgan_discriminator((12, 12, 2), width=3, rng=rng, norm=norm)
    x = batch(rng, 4, 12, 12, 2).astype("f4")
    one = to_numpy(critic.eval()(x[:1]).data)
    np.testing.assert_allclose(to_numpy(critic(x).data)[:1], one, rtol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm) for layer in critic)
    spectral = [isinstance(layer, nn.SpectralNorm) for layer in critic]
    assert sum(spectral) == (3 if norm == "spectral" else 0)


def test_the_slope_of_a_critic_with_spectral_norm_is_bounded(rng):
    critic = dcgan_discriminator((12, 12, 1), width=4, rng=rng, norm="spectral")
    for p in critic.parameters():
        p.data = 1000 * p.data
    x, y = (batch(rng, 8, 12, 12, 1).astype("f4") for _ in range(2))
    for _ in range(50):  # power iteration goes on in training
        critic(x)
    rise = np.abs(to_numpy((critic.eval()(x) - critic(y)).data))[:, 0]
    way = np.sqrt(to_numpy(((x - y) ** 2).sum(axis=(1, 2, 3))))
    # a kernel of 4 × 4 at stride 2 sees each pixel 4 times, and so may stretch by 2
    assert (rise <= 4 * way).all()


def test_a_norm_that_there_is_not_is_said(rng):
    with pytest.raises(ValueError, match='expected `norm` "batch", "spectral" or "none", got None'):
        dcgan_discriminator(rng=rng, norm=None)
