"""Every augmentation against a naive loop, and its invariants."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.data import augment

EVERY = {
    "flip": lambda x, rng: augment.flip(x, rng=rng),
    "shift": lambda x, rng: augment.shift(x, 2, rng=rng),
    "crop": lambda x, rng: augment.crop(x, 4, rng=rng, padding=1),
    "rotate": lambda x, rng: augment.rotate(x, 30, rng=rng),
    "noise": lambda x, rng: augment.noise(x, 0.1, rng=rng),
    "binarize": lambda x, rng: augment.binarize(x, rng=rng),
}
each_function = pytest.mark.parametrize("name", EVERY)


def batch(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).random(shape).astype(dtype)


def generator(seed=0):
    return np.random.default_rng(seed)


# --- all functions --------------------------------------------------------------------------------


@each_function
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 5, 6, 1), (2, 6, 4, 3), (0, 5, 5, 1)])
def test_the_dtype_is_kept_and_the_input_never_changed(name, dtype, shape):
    x = batch(*shape, dtype=dtype)
    before = x.copy()
    y = EVERY[name](x, generator())
    assert y.dtype == dtype
    assert y.shape == ((shape[0], 4, 4, shape[3]) if name == "crop" else shape)
    assert not np.shares_memory(x, y)
    np.testing.assert_array_equal(x, before)


@each_function
def test_equal_generators_do_the_same_and_one_generator_never_twice(name):
    x, rng = batch(20, 6, 6, 1), generator(1)
    first, again = EVERY[name](x, rng), EVERY[name](x, rng)
    np.testing.assert_array_equal(EVERY[name](x, generator(1)), first)
    assert not np.array_equal(first, again)


@each_function
def test_each_image_has_its_own_randomness(name):
    one = batch(1, 6, 6, 1)
    y = EVERY[name](np.repeat(one, 30, axis=0), generator())
    assert any(not np.array_equal(y[0], other) for other in y[1:])


@pytest.mark.parametrize("name", ["flip", "shift", "crop"])
def test_what_only_moves_pixels_takes_integers_too(name):
    x = (batch(3, 5, 5, 3) * 255).astype(np.uint8)
    y = EVERY[name](x, generator())
    assert y.dtype == np.uint8
    assert set(np.unique(y)) <= {0, *np.unique(x)}


# --- flips ----------------------------------------------------------------------------------------


def test_each_image_is_flipped_or_not():
    x = batch(200, 3, 4, 2)
    y = augment.flip(x, rng=generator())
    flipped = [np.array_equal(after, before[:, ::-1]) for before, after in zip(x, y, strict=True)]
    kept = [np.array_equal(after, before) for before, after in zip(x, y, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130


def test_the_same_flips_twice_are_none():
    x = batch(20, 3, 4, 2)
    np.testing.assert_array_equal(
        augment.flip(augment.flip(x, rng=generator()), rng=generator()), x
    )


# --- shifts and crops -----------------------------------------------------------------------------


def moved(image, down, right):
    """An image shifted by whole pixels, pixel by pixel."""
    y, (H, W) = np.zeros_like(image), image.shape[:2]
    for r, c in itertools.product(range(H), range(W)):
        if 0 <= r - down < H and 0 <= c - right < W:
            y[r, c] = image[r - down, c - right]
    return y


@given(most=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_shift_is_one_of_the_moves_allowed(most, seed):
    x = batch(4, 4, 5, 2) + 1
    moves = list(itertools.product(range(-most, most + 1), repeat=2))
    for before, after in zip(x, augment.shift(x, most, rng=generator(seed)), strict=True):
        assert any(np.array_equal(after, moved(before, *move)) for move in moves)


def test_every_shift_is_as_probable_as_another():
    x = np.zeros((9000, 5, 5, 1), np.float32)
    x[:, 2, 2] = 1
    y = augment.shift(x, 1, rng=generator())
    counts = y.sum(axis=0)[..., 0]
    assert counts.sum() == 9000
    assert counts[1:4, 1:4].min() > 850
    assert counts[1:4, 1:4].max() < 1150


def test_a_shift_of_none_is_the_identity():
    x = batch(3, 4, 5, 1)
    np.testing.assert_array_equal(augment.shift(x, 0, rng=generator()), x)


def test_shifts_may_be_larger_than_the_image():
    y = augment.shift(np.ones((300, 2, 2, 1), np.float32), 4, rng=generator())
    assert (y.max(axis=(1, 2, 3)) == 0).any()
    assert (y.min(axis=(1, 2, 3)) == 1).any()


@given(size=st.integers(1, 8), padding=st.integers(0, 2), seed=st.integers(0, 99))
def test_a_crop_is_a_part_of_the_padded_image(size, padding, seed):
    x = batch(3, 4, 6, 2) + 1
    if size > 4 + 2 * padding:
        return
    y = augment.crop(x, size, rng=generator(seed), padding=padding)
    assert y.shape == (3, size, size, 2)
    for before, after in zip(x, y, strict=True):
        wide = np.zeros((4 + 2 * padding, 6 + 2 * padding, 2), np.float32)
        wide[padding : padding + 4, padding : padding + 6] = before
        places = itertools.product(range(len(wide) - size + 1), range(wide.shape[1] - size + 1))
        assert any(np.array_equal(after, wide[r : r + size, c : c + size]) for r, c in places)


def test_crops_come_from_everywhere():
    x = np.broadcast_to(np.arange(20, dtype=np.float32).reshape(4, 5, 1), (3000, 4, 5, 1))
    corners = augment.crop(x, 3, rng=generator())[:, 0, 0, 0]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 2, 5, 6, 7]
    assert counts.min() > 400


def test_a_crop_of_the_whole_image_is_the_image():
    x = batch(3, 5, 5, 2)
    np.testing.assert_array_equal(augment.crop(x, 5, rng=generator()), x)


# --- rotations ------------------------------------------------------------------------------------


def turned(image, degrees, fill):
    """An image rotated anticlockwise, pixel by pixel."""
    (H, W), theta, y = image.shape[:2], math.radians(degrees), np.zeros_like(image)

    def pixel(r, c):
        return image[r, c] if 0 <= r < H and 0 <= c < W else np.float64(fill)

    for r, c in itertools.product(range(H), range(W)):
        # right and up from the centre; rotate back by θ
        right, up = c - (W - 1) / 2, (H - 1) / 2 - r
        right, up = (
            right * math.cos(theta) + up * math.sin(theta),
            up * math.cos(theta) - right * math.sin(theta),
        )
        row, column = (H - 1) / 2 - up, right + (W - 1) / 2
        top, left = math.floor(row), math.floor(column)
        for dr, dc in itertools.product((0, 1), repeat=2):
            weight = (1 - abs(row - top - dr)) * (1 - abs(column - left - dc))
            y[r, c] += weight * pixel(top + dr, left + dc)
    return y


class Fixed(np.random.Generator):
    """Draws the same angle for each image."""

    def uniform(self, low, high, size):
        return np.full(size, self.degrees)


def turn(x, degrees, fill=0.0):
    rng = Fixed(np.random.PCG64(0))
    rng.degrees = degrees
    return augment.rotate(x, 30, rng=rng, fill=fill)


@given(
    degrees=st.floats(-400, 400), fill=st.floats(-1, 1), H=st.integers(1, 6), W=st.integers(1, 6)
)
def test_a_turned_image_is_interpolated_between_the_four_pixels_around(degrees, fill, H, W):
    x = batch(1, H, W, 2, dtype=np.float64)
    y = turn(x, degrees, fill)
    np.testing.assert_allclose(y[0], turned(x[0], degrees, fill), atol=2e-5)


@pytest.mark.parametrize("quarters", [-1, 1, 2, 3])
def test_quarter_turns_are_numpys(quarters):
    x = batch(2, 7, 7, 3)
    y = turn(x, 90.0 * quarters)
    np.testing.assert_allclose(y, np.rot90(x, quarters, axes=(1, 2)), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 6, 6, 1), (2, 5, 8, 3)])
def test_a_turn_by_none_is_the_identity(shape):
    x = batch(*shape)
    np.testing.assert_array_equal(augment.rotate(x, 0, rng=generator(), fill=0.5), x)


def test_angles_are_uniform_up_to_the_limit(monkeypatch):
    seen, radians = [], np.deg2rad
    monkeypatch.setattr(np, "deg2rad", lambda angles: seen.append(angles) or radians(angles))
    augment.rotate(np.zeros((4000, 1, 1, 1)), 30, rng=generator())
    assert np.abs(seen[0]).max() <= 30
    assert np.abs(seen[0].mean()) < 1.5
    assert seen[0].std() == pytest.approx(30 / math.sqrt(3), rel=0.03)


def test_a_constant_image_stays_so_where_the_fill_is_the_constant():
    x = np.full((5, 6, 6, 1), 0.3, np.float32)
    np.testing.assert_allclose(augment.rotate(x, 180, rng=generator(), fill=0.3), 0.3, rtol=1e-6)


def test_a_turned_image_stays_within_the_range_of_its_values():
    x = batch(50, 9, 9, 1)
    y = augment.rotate(x, 90, rng=generator())
    assert y.min() >= 0
    assert y.max() <= x.max() + 1e-6


# --- noise and binary images ----------------------------------------------------------------------


def test_noise_is_gaussian_of_the_deviation_asked_for_and_not_clipped():
    x = batch(10, 40, 40, 3)
    eps = (augment.noise(x, 0.5, rng=generator()) - x) / 0.5
    assert abs(eps.mean()) < 5 / math.sqrt(eps.size)
    assert abs((eps**2).mean() - 1) < 5 * math.sqrt(2 / eps.size)
    assert abs((eps**4).mean() - 3) < 5 * math.sqrt(96 / eps.size)


def test_no_noise_is_none():
    x = batch(3, 4, 4, 1)
    np.testing.assert_array_equal(augment.noise(x, 0.0, rng=generator()), x)


def test_the_mean_of_binary_images_is_the_image():
    x = batch(1, 6, 6, 1)
    y = augment.binarize(np.repeat(x, 20_000, axis=0), rng=generator())
    assert set(np.unique(y)) == {0, 1}
    error = 5 * np.sqrt(x[0] * (1 - x[0]) / 20_000)
    assert (np.abs(y.mean(axis=0, dtype=np.float64) - x[0]) <= error).all()


def test_pixels_that_are_0_or_1_stay_so():
    x = np.round(batch(4, 30, 30, 1))
    np.testing.assert_array_equal(augment.binarize(x, rng=generator()), x)


class Least(np.random.Generator):
    """Draws the smallest number."""

    def random(self, size=None, dtype=np.float64, out=None):
        return np.zeros(size, dtype)


def test_a_pixel_of_0_stays_so_whatever_is_drawn():
    x = np.zeros((1, 2, 2, 1), np.float32)
    assert augment.binarize(x, rng=Least(np.random.PCG64(0))).max() == 0
    assert augment.binarize(x + 1e-6, rng=Least(np.random.PCG64(0))).min() == 1


# --- rejected arguments ---------------------------------------------------------------------------

X = np.zeros((2, 4, 5, 1), np.float32)


@each_function
@pytest.mark.parametrize(
    ("x", "rng", "error", "pattern"),
    [
        (X[0], generator(), ValueError, r"\(N, H, W, C\), got \(4, 5, 1\)"),
        ([[0.0]], generator(), ValueError, r"\(N, H, W, C\), got \(1, 1\)"),
        (X, 0, TypeError, "`rng` .* got int"),
    ],
)
def test_a_batch_of_images_and_a_generator_are_needed(name, x, rng, error, pattern):
    with pytest.raises(error, match=f"^{name}: .*{pattern}"):
        EVERY[name](x, rng)


@pytest.mark.parametrize("name", ["rotate", "noise", "binarize"])
def test_what_computes_new_values_needs_floating_point_numbers(name):
    with pytest.raises(TypeError, match=f"^{name}: .* got uint8"):
        EVERY[name](X.astype(np.uint8), generator())


@pytest.mark.parametrize(
    ("function", "arguments", "pattern"),
    [
        (augment.shift, (X, -1), "`most` .* ≥ 0, got -1"),
        (augment.shift, (X, 1.5), r"`most` .* ≥ 0, got 1\.5"),
        (augment.crop, (X, 0), "`size` .* ≥ 1, got 0"),
        (lambda x, n, rng: augment.crop(x, n, padding=-1, rng=rng), (X, 3), "`padding` .* got -1"),
        (lambda x, n, rng: augment.crop(x, n, padding=1, rng=rng), (X, 7), r"\(2, 4, 5, 1\).* 7"),
        (augment.rotate, (X, -5), "`degrees` ≥ 0, got -5"),
        (augment.noise, (X, -0.1), r"`sigma` ≥ 0, got -0\.1"),
        (augment.binarize, (X - 0.5,), r"got -0\.5 to -0\.5"),
        (augment.binarize, (X + 1.5,), r"got 1\.5 to 1\.5"),
        (augment.binarize, (X * math.nan,), "got nan to nan"),
    ],
)
def test_what_can_not_be_done_is_refused(function, arguments, pattern):
    with pytest.raises(ValueError, match=rf"^(shift|crop|rotate|noise|binarize): .*{pattern}"):
        function(*arguments, rng=generator())


def test_every_public_name_says_what_it_is():
    assert augment.__all__ == sorted(augment.__all__)
    assert [name for name in augment.__all__ if not getattr(augment, name).__doc__] == []
