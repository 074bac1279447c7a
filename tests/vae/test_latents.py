"""Latents of a VAE as images: their moments, and the way to images and back."""

import numpy as np
import pytest

from tinygen import Tensor, vae
from tinygen.autograd import xp

SHAPE, D = (2, 2, 3), 12


@pytest.fixture
def model():
    """x ↦ (μ, log σ²) = (x, 0.2 x), and z ↦ z: an image is its own latent."""
    encoder = lambda x: Tensor(xp.concatenate([x.data, 0.2 * x.data], axis=1))  # noqa: E731
    return vae.VAE(encoder, lambda z: z, D, likelihood=vae.Gaussian(1.0))


def test_scaled_latents_have_mean_0_and_variance_1_per_channel(model, rng):
    x = (0.5 + rng.standard_normal((3000, D)) * np.tile([0.2, 1, 3], 4)).astype("f4")
    latents = vae.Latents(model, SHAPE)
    posteriors = latents.fit(x)
    np.testing.assert_allclose(posteriors[:, :D], x)
    np.testing.assert_allclose(posteriors[:, D:], 0.2 * x, rtol=1e-6)
    z = latents.sample(posteriors, rng=rng)
    assert (z.shape, z.dtype) == ((3000, *SHAPE), np.float32)
    np.testing.assert_allclose(z.mean(axis=(0, 1, 2)), 0, atol=0.03)
    np.testing.assert_allclose(z.std(axis=(0, 1, 2)), 1, atol=0.03)


def test_images_undoes_the_scaling_and_clips(model, rng):
    x = rng.uniform(-0.5, 1.5, (50, D)).astype("f4")
    latents = vae.Latents(model, SHAPE)
    latents.fit(x)
    z = (x.reshape(-1, *SHAPE) - latents.mean) / latents.std
    np.testing.assert_allclose(latents.images(xp.asarray(z)), x.clip(0, 1), atol=1e-5)


def test_the_scaling_is_saved_and_restored(model, rng):
    first, second = vae.Latents(model, SHAPE), vae.Latents(model, SHAPE)
    first.fit(rng.random((9, D)).astype("f4"))
    second.load_state_dict(first.state_dict())
    z = rng.standard_normal((4, *SHAPE)).astype("f4")
    np.testing.assert_array_equal(first.images(z), second.images(z))
    assert np.abs(first.images(z) - vae.Latents(model, SHAPE).images(z)).max() > 0.01
