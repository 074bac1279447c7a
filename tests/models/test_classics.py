"""The classics: parameter counts, their layers, and that they learn."""

import re

import numpy as np
import pytest
from small_networks import (
    SIZES,
    assert_all_have_gradients,
    assert_close,
    batch,
    conv,
    count,
    dense,
    descend,
    norm,
    shaken,
)

import tinygen as tg
from tinygen import nn
from tinygen.autograd import xp
from tinygen.models import classics

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

# --- counts, by hand ------------------------------------------------------------------------------

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
        + conv(4, 128, 128)
        + conv(4, 128, 256)
        + conv(4, 256, 512)
        + conv(5, 512, 3),
        conv(4, 3, 64) + conv(4, 64, 128) + conv(4, 128, 128) + dense(8 * 8 * 128, 1),
    ),
    "conv_vae": (69_076, 65_089),  # as Keras prints them in the example
}


@each_classic
def test_a_classic_has_the_parameters_of_its_architecture_and_of_the_table(name, rng):
    counts = tuple(map(count, getattr(classics, name)(rng=rng)))
    assert counts == CLASSIC_COUNTS[name]
    (row,) = re.findall(rf"^ *{name} .*$", classics.__doc__, re.MULTILINE)
    assert [f"{n:,}" for n in counts] == re.findall(r" (\d+(?:,\d{3})+) ", row)


def test_every_classic_is_tested():
    assert sorted(CLASSICS) == sorted(classics.__all__)


# --- the classics ---------------------------------------------------------------------------------


@each_gan
def test_a_classic_gan_makes_images_and_classifies_them_by_a_logit(name, rng):
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


ARCHITECTURES = {  # L for a layer with weights, a for an activation
    "dense_gan": ("LaLaLaL", "LaLaL"),
    "one_layer_gan": ("L", "LaLaLaL"),
    "dcgan_28": ("LLaL", "LaLaL"),
    "dcgan_64": ("LLaLaLaL", "LaLaLaL"),
    "conv_vae": ("LaLaLaL", "LaLaLaL"),
}


@each_classic
def test_a_classic_has_its_activations_between_its_layers(name, rng):
    letters = {
        nn.Dense: "L",
        nn.Conv2d: "L",
        nn.ConvTranspose2d: "L",
        nn.ReLU: "a",
        nn.LeakyReLU: "a",
        nn.ELU: "a",
    }
    architecture = tuple(
        "".join(letters.get(type(layer), "") for layer in model)
        for model in getattr(classics, name)(rng=rng)
    )
    assert architecture == ARCHITECTURES[name]


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


@each_gan
def test_the_leaky_slopes_of_a_classic_discriminator_are_those_of_its_source(name, rng):
    _, discriminator = getattr(classics, name)(rng=rng)
    slopes = {float(f(xp.asarray([-1.0]))[0]) for f in discriminator if isinstance(f, nn.LeakyReLU)}
    assert slopes == {-0.3 if name == "dense_gan" else -0.2}


# --- everything is connected ----------------------------------------------------------------------


@each_classic
def test_every_parameter_of_a_classic_has_a_gradient(name, rng):
    for model, shape in zip(getattr(classics, name)(rng=rng), CLASSICS[name], strict=True):
        assert_all_have_gradients(model, model(batch(rng, 1, *shape)), rng)


@each_classic
def test_gradient_descent_brings_the_loss_of_a_classic_down(name, rng):
    for model, shape in zip(getattr(classics, name)(rng=rng), CLASSICS[name], strict=True):
        losses = descend(model.eval(), [batch(rng, 1, *shape)], 2)
        assert (np.diff(losses) < 0).all()
