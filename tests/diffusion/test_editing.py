"""Inpainting and super-resolution against conditional Gaussians; encoding and interpolation."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from known import Gaussian, Mixture

import tinygen as tg
from tinygen import nn
from tinygen.diffusion import Diffusion, NoiseSchedule, cosine, denoising_loss, editing, linear
from tinygen.diffusion.editing import (
    Beside,
    downsample,
    edit,
    encode,
    interpolate,
    null_space,
    repaint,
    slerp,
    super_resolve,
    upsample,
)
from tinygen.diffusion.samplers import heun, last
from tinygen.models import UNet

CORRELATED = Gaussian([0.5, -0.5], [[1.0, 0.6], [0.6, 0.7]])
SCHEDULE = cosine(200)
N = 4000


def generator(seed=0):
    return np.random.default_rng(seed)


def image_gaussian(side=4, reach=1.5):
    """Images of side × side pixels, with correlated neighbours"""
    pixels = np.stack(np.meshgrid(*[np.arange(side)] * 2), axis=-1).reshape(-1, 2)
    square = ((pixels[:, None] - pixels) ** 2).sum(axis=2)
    return Gaussian(np.full(side * side, 0.2), 0.5 * np.exp(-square / (2 * reach**2)))


# --- repeated steps -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "resample", "jump", "expected"),
    [
        ([3, 2, 1, 0], 1, 2, "32 21 10"),
        ([3, 2, 1, 0], 3, 1, "32 23 32 23 32 21 12 21 12 21 10 01 10 01 10"),
        ([5, 4, 3, 2, 0], 2, 3, "54 43 32 25 54 43 32 20 02 20"),
        ([2, 1, 0], 2, 9, "21 10 02 21 10"),
    ],
)
def test_each_interval_is_repeated_after_adding_its_noise(times, resample, jump, expected):
    moves = list(editing._moves(times, resample, jump))
    assert " ".join(f"{t}{s}" for t, s in moves) == expected
    assert all(a[1] == b[0] for a, b in pairwise(moves))


# --- inpainting -----------------------------------------------------------------------------------


def filled_in(resample, jump=1, steps=50, x_first=1.5):
    """Samples of the second coordinate given the first, their exact mean and variance"""
    rng, mask = generator(), np.array([1, 0])
    known = np.broadcast_to([x_first, np.pi], (N, 2))  # π is masked out and must not matter
    model, noise = CORRELATED.model(SCHEDULE, "v"), rng.standard_normal((N, 2))
    options = {"steps": steps, "resample": resample, "jump": jump, "rng": rng}
    found = last(repaint(model, noise, known, mask, **options))
    np.testing.assert_array_equal(found[:, 0], x_first)
    slope = 0.6 / 1.0
    return found[:, 1], -0.5 + slope * (x_first - 0.5), 0.7 - slope * 0.6


def test_more_resampling_brings_inpainting_closer_to_the_conditional_distribution():
    errors = []
    for resample in (1, 3, 12):
        found, mean, variance = filled_in(resample)
        errors.append(abs(found.mean() - mean))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] and errors[2] < 0.05
    found, mean, variance = filled_in(5, steps=200)
    assert found.mean() == pytest.approx(mean, abs=0.05)
    assert found.var() == pytest.approx(variance, rel=0.12)


def test_inpainting_may_jump_back_over_several_steps():
    found, mean, _ = filled_in(10, jump=5)
    assert found.mean() == pytest.approx(mean, abs=0.08)


def test_known_pixels_are_kept_exactly():
    rng, known = generator(), image_gaussian()
    model = known.model(SCHEDULE)
    y = rng.standard_normal((3, 4, 4, 1)).astype(np.float32)
    mask = rng.random((3, 4, 4, 1)) < 0.5
    x_T = rng.standard_normal(y.shape, np.float32)
    found = last(repaint(model, x_T, y, mask, steps=10, resample=2, rng=rng))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[mask], y[mask])
    assert not np.isclose(found[~mask], y[~mask]).any()


def test_known_pixels_have_the_noise_of_each_time():
    y = np.full((N, 2), 2.0)
    model, x_T, mask = CORRELATED.model(SCHEDULE), generator().standard_normal((N, 2)), [1, 0]
    for step in repaint(model, x_T, y, mask, steps=5, resample=1, rng=generator(1)):
        x = tg.to_numpy(step.x)[:, 0]
        a, b = SCHEDULE.scales(step.t)
        assert x.mean() == pytest.approx(2 * a, abs=0.05)
        assert x.std() == pytest.approx(b, abs=0.03)


# --- super-resolution -----------------------------------------------------------------------------


def test_upsampling_is_the_pseudo_inverse_of_downsampling():
    rng = generator()
    y, x = rng.normal(size=(2, 3, 2, 3)), rng.normal(size=(2, 6, 4, 3))
    larger = upsample(tg.xp.asarray(y), 2)
    assert larger.shape == (2, 6, 4, 3) and float(larger[1, 3, 2, 0]) == y[1, 1, 1, 0]
    np.testing.assert_allclose(tg.to_numpy(downsample(larger, 2)), y)
    small = tg.to_numpy(downsample(tg.xp.asarray(x), 2))
    assert small[1, 2, 1, 2] == pytest.approx(x[1, 4:6, 2:4, 2].mean())
    # A⁺ is orthogonal: ⟨A x, y⟩ = ⟨x, A⁺ y⟩ / f²
    assert (small * y).sum() == pytest.approx((x * tg.to_numpy(larger)).sum() / 4)


def test_an_enlarged_image_shrinks_to_the_given_one():
    rng, known = generator(), image_gaussian()
    small = rng.normal(size=(3, 2, 2, 1))
    for model in (known.model(SCHEDULE), known.model(SCHEDULE, "eps", clip=0.5)):
        x_T = rng.normal(size=(3, 4, 4, 1))
        found = last(super_resolve(model, x_T, small, steps=10, resample=2, rng=rng))
        np.testing.assert_allclose(tg.to_numpy(downsample(tg.xp.asarray(found), 2)), small)


def test_enlarged_images_follow_the_conditional_distribution():
    known, rng = image_gaussian(), generator()
    root = np.linalg.cholesky(known.covariance + 1e-9 * np.eye(16))
    truth = known.mean + rng.standard_normal(16) @ root.T
    small = tg.to_numpy(downsample(tg.xp.asarray(truth.reshape(1, 4, 4, 1)), 2))
    A = tg.to_numpy(downsample(tg.xp.asarray(np.eye(16).reshape(16, 4, 4, 1)), 2)).reshape(16, 4).T
    gain = known.covariance @ A.T @ np.linalg.inv(A @ known.covariance @ A.T)
    mean = known.mean + gain @ (small.ravel() - A @ known.mean)
    variance = np.diag(known.covariance - gain @ A @ known.covariance)
    many = np.broadcast_to(small, (1500, 2, 2, 1))
    model, x_T = known.model(SCHEDULE), rng.standard_normal((1500, 4, 4, 1))
    found = last(super_resolve(model, x_T, many, steps=40, resample=6, jump=2, rng=rng))
    found = found.reshape(-1, 16)
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(found.var(axis=0), variance, atol=0.05)
    assert abs(known.mean - mean).max() > 0.5  # the condition matters


def test_the_null_space_of_a_mask_gives_inpainting():
    mask, rng = tg.xp.asarray([1.0, 0.0]), generator()
    y = np.broadcast_to([1.5, 0.0], (N, 2))
    for resample, tolerance in ((1, 0.5), (12, 0.06)):
        model, x_T, A = CORRELATED.model(SCHEDULE), rng.standard_normal((N, 2)), lambda x: x * mask
        options = {"steps": 50, "resample": resample, "jump": 1, "rng": rng}
        found = last(null_space(model, x_T, y, A, A, **options))
        np.testing.assert_allclose(found[:, 0], 1.5)
        assert found[:, 1].mean() == pytest.approx(-0.5 + 0.6, abs=tolerance)


# --- from images to noise and back ----------------------------------------------------------------


def test_editing_with_less_noise_keeps_more_of_an_image():
    model, rng = CORRELATED.model(SCHEDULE), generator()
    x = rng.multivariate_normal(CORRELATED.mean, CORRELATED.covariance, N)
    near = []
    for start in (5, 60, 200):
        found = last(edit(model, x, start, rng=rng, eta=1.0 if start == 60 else 0.0))
        np.testing.assert_allclose(found.mean(axis=0), CORRELATED.mean, atol=0.06)
        np.testing.assert_allclose(np.cov(found.T), CORRELATED.covariance, atol=0.06)
        near.append(np.corrcoef(found[:, 0], x[:, 0])[0, 1])
    assert near[0] > 0.99 and 0.3 < near[1] < 0.95 and abs(near[2]) < 0.06


def test_editing_samples_from_the_time_of_the_added_noise():
    model, x = CORRELATED.model(SCHEDULE), np.zeros((2, 2), np.float32)
    path = list(edit(model, x, 40, steps=8, rng=generator()))
    assert [step.t for step in path] == [35, 30, 25, 20, 15, 10, 5, 0]
    assert path[-1].x.dtype == np.float32
    first = tg.to_numpy(path[0].x_0)
    a, b = SCHEDULE.scales(40)
    x_t = b * generator().standard_normal((2, 2), np.float32)
    np.testing.assert_allclose(first, CORRELATED.denoise(x_t.astype(float), a, b), rtol=1e-5)


@pytest.mark.parametrize("known", [CORRELATED, Mixture([[1.0, 0.0], [-1.0, 0.5]], 0.2)])
def test_more_steps_reconstruct_an_encoded_image_better(known):
    model = known.model(SCHEDULE)
    x = np.array([[0.9, 0.1], [-1.1, 0.4], [0.8, -0.2]])
    errors = []
    for steps in (20, 40, 80):
        noise = last(encode(model, x, steps=steps))
        errors.append(abs(last(heun(model, noise, steps=steps)) - x).max())
    # a constant error remains: the image serves as one with the lowest noise level
    assert errors[0] > 3 * errors[1] and max(errors[1:]) < 0.002


def test_encoding_follows_the_differential_equation():
    model = CORRELATED.model(SCHEDULE)
    x = generator().multivariate_normal(CORRELATED.mean, CORRELATED.covariance, 10)
    end = SCHEDULE.time(min(80.0, SCHEDULE.sigma(200)))
    path = list(encode(model, x, steps=100))
    assert path[-1].t == pytest.approx(end)
    found = tg.to_numpy(path[-1].x)
    # the exact flow from noise to image inverts the encoding
    np.testing.assert_allclose(CORRELATED.flow(found, SCHEDULE, end), x, atol=0.01)


def test_encoding_starts_at_the_lowest_noise_level():
    coarse = NoiseSchedule([1.0, 0.8, 0.5, 0.1])  # σ of 0.5, 1 and 3
    model = Diffusion(lambda x, t: x * 0 + 0.25, coarse, "x_0")  # so that paths are straight
    x = np.array([[1.0, -2.0]])
    found = last(encode(model, x, steps=5))
    np.testing.assert_allclose(found, (0.25 + (x - 0.25) * 3 / 0.5) / math.sqrt(1 + 3**2))


def test_interpolation_starts_at_one_image_and_ends_at_the_other():
    model = Mixture([[1.0, 0.0], [-1.0, 0.5]], 0.2).model(SCHEDULE)
    a, b = np.array([[1.1, 0.1], [0.9, 0.0]]), np.array([[-1.1, 0.4], [1.1, 0.1]])
    between = interpolate(model, a, b, 5, steps=60)
    assert between.shape == (2, 5, 2)
    np.testing.assert_allclose(between[:, 0], a, atol=0.02)
    np.testing.assert_allclose(between[:, -1], b, atol=0.02)
    assert np.linalg.norm(np.diff(between, axis=1), axis=2).max() < 2.2
    one = interpolate(model, a, b, 1, steps=60)
    np.testing.assert_allclose(one[:, 0], between[:, 0])


def test_slerp_follows_the_circle():
    a, b = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    angle = math.pi / 2 * 0.3
    np.testing.assert_allclose(slerp(a, b, 0.3), [[2 * math.cos(angle), 2 * math.sin(angle)]])
    np.testing.assert_allclose(slerp(a, a, 0.3), a)
    images = generator().normal(size=(2, 3, 4, 4, 1)).astype(np.float32)
    middle = slerp(images[0], images[1], 0.5)
    assert middle.dtype == np.float32 and middle.shape == (3, 4, 4, 1)
    alone = slerp(images[0, 1:2], images[1, 1:2], 0.5)
    np.testing.assert_allclose(middle[1:2], alone, rtol=1e-6)  # each image has its own angle
    lengths = [np.linalg.norm(x) for x in (images[0, 0], middle[0], images[1, 0])]
    assert min(lengths[::2]) * 0.9 < lengths[1] < max(lengths[::2]) * 1.1
    np.testing.assert_allclose(slerp(a, 0 * b, 0.0), a)


# --- a network conditioned on the small image -----------------------------------------------------


class First(nn.Module):
    """x times 0 + 10 times the condition in the first channel"""

    def forward(self, x, t):
        assert x.shape[-1] == 2
        return x * tg.Tensor(tg.xp.asarray([0.0, 1.0]))[None, None, None] + x[..., 1:] * 10


def test_the_small_image_is_enlarged_and_concatenated():
    rng = generator()
    x, small = rng.normal(size=(2, 4, 4, 1)), rng.normal(size=(2, 2, 2, 1))
    tensors = [tg.Tensor(tg.xp.asarray(array)) for array in (x, small)]
    found = Beside(First())(tensors[0], None, tensors[1]).numpy()
    np.testing.assert_allclose(found, 10 * np.repeat(np.repeat(small, 2, 1), 2, 2))
    same = Beside(First())(tensors[0], None, tensors[0]).numpy()
    np.testing.assert_allclose(same, 10 * x)


def test_a_network_conditioned_on_an_image_trains_and_samples():
    network = UNet((8, 8, 2), width=8, multipliers=(1, 1), attention_at=(), rng=generator())
    model = Diffusion(Beside(network), linear(50), "v")
    rng = generator()
    x = rng.standard_normal((4, 8, 8, 1), np.float32)
    small = tg.to_numpy(downsample(tg.xp.asarray(x), 2))
    terms = denoising_loss(model, x, small, rng=rng)
    assert len(tg.grad(terms.loss, model.parameters())) == len(network.parameters())
    assert last(heun(model, x, small, steps=3)).shape == x.shape


IMAGES = np.zeros((2, 8, 8, 1))


@pytest.mark.parametrize(
    "use",
    [
        lambda m, c: last(repaint(m, IMAGES, IMAGES, IMAGES, c, steps=4, rng=generator())),
        lambda m, c: last(super_resolve(m, IMAGES, IMAGES[:, :4, :4], c, steps=4, rng=generator())),
        lambda m, c: last(edit(m, IMAGES, 9, c, rng=generator())),
        lambda m, c: last(encode(m, IMAGES, c, steps=4)),
        lambda m, c: interpolate(m, IMAGES, IMAGES, 2, c, steps=4),
    ],
    ids=["repaint", "super_resolve", "edit", "encode", "interpolate"],
)
def test_the_network_gets_the_classes_at_every_call(use):
    seen = []

    def network(x, t, classes=None):
        seen.append(classes if classes is None else tg.to_numpy(classes.data).tolist())
        return x

    use(Diffusion(network, SCHEDULE, "x_0"), np.array([3, 5]))
    assert seen == [[3, 5]] * len(seen) and len(seen) > 3


# --- invalid arguments ----------------------------------------------------------------------------

MODEL = CORRELATED.model(SCHEDULE)
POINTS = np.zeros((2, 2))


@pytest.mark.parametrize(
    ("use", "pattern"),
    [
        (
            lambda: last(repaint(MODEL, POINTS, POINTS, POINTS, resample=0, rng=generator())),
            "`resample`.* got 0",
        ),
        (
            lambda: last(repaint(MODEL, POINTS, POINTS, POINTS, jump=0, rng=generator())),
            "`jump`.* got 0",
        ),
        *(
            (
                lambda shape=shape: super_resolve(MODEL, IMAGES, np.zeros(shape), rng=generator()),
                rf"super_resolve: .*\(2, 8, 8, 1\).* {re.escape(str(shape))}",
            )
            for shape in [(2, 3, 3, 1), (2, 16, 16, 1), (1, 4, 4, 1), (2, 4, 8, 1)]
        ),
        (lambda: downsample(IMAGES, 3), "reshape"),
        (lambda: interpolate(MODEL, POINTS[:1], POINTS, 3), "shape"),
        (lambda: edit(MODEL, POINTS, 201, rng=generator()), "`t` from 0 to 200, got 201"),
    ],
)
def test_invalid_arguments_are_refused(use, pattern):
    with pytest.raises(ValueError, match=pattern):
        use()
