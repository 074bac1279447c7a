"""Batches: every epoch has all rows once, in a new order, and resumes exactly."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen import Tensor, to_numpy
from tinygen._files import restore, state_of
from tinygen.data import Batches


def rows(n):
    """n rows, each with its number."""
    return np.arange(n, dtype=np.float32)[:, None]


def numbers(batch):
    return [int(x) for x in to_numpy(batch.data).ravel()]


def batches(n=10, size=3, seed=0, **more):
    return Batches(rows(n), size, rng=np.random.default_rng(seed), **more)


sizes = st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


@given(sizes, st.integers(0, 2**32))
def test_an_epoch_is_a_permutation_of_the_rows(drawn, seed):
    n, size = drawn
    for_two = [numbers(x) for x in batches(n, size, seed, epochs=2)]
    each = -(-n // size)
    for epoch in (for_two[:each], for_two[each:]):
        assert sorted(itertools.chain(*epoch)) == list(range(n))
        assert [len(b) for b in epoch[:-1]] == [size] * (each - 1)


@given(sizes)
def test_without_the_rest_all_batches_have_the_size(drawn):
    n, size = drawn
    made = [numbers(x) for x in batches(n, size, epochs=3, drop_last=True)]
    assert [len(b) for b in made] == [size] * (3 * (n // size))
    for epoch in range(3):
        seen = list(itertools.chain(*made[epoch * (n // size) : (epoch + 1) * (n // size)]))
        assert len(set(seen)) == len(seen)


def test_the_next_epoch_has_another_order_and_mixes_rows_not_batches():
    made = [numbers(x) for x in batches(60, 6, epochs=2)]
    first, second = made[:10], made[10:]
    assert first != second
    assert {frozenset(b) for b in first}.isdisjoint(frozenset(b) for b in second)


def test_every_row_is_equally_likely_to_come_first():
    first = [numbers(next(batches(5, 2, seed)))[0] for seed in range(2000)]
    assert np.bincount(first).min() > 320  # 400 expected, with a standard deviation of 18


@given(sizes, st.integers(0, 20))
def test_unshuffled_the_rows_keep_their_order_and_go_on_from_any_position(drawn, steps):
    n, size = drawn
    ours = batches(n, size, shuffle=False)
    seen = [numbers(next(ours)) for _ in range(steps)]
    other = batches(n, size, 5, shuffle=False)
    other.load_state_dict(ours.state_dict())
    seen += [numbers(next(other)) for _ in range(20)]
    each = -(-n // size)
    rest = [list(range(n))[i * size : (i + 1) * size] for i in range(each)]
    assert seen == [rest[i % each] for i in range(steps + 20)]


def test_labels_stay_with_their_images_and_keep_their_type():
    for x, y in batches(10, 4, labels=np.arange(10) * 2, epochs=2):
        assert isinstance(x, Tensor) and isinstance(y, Tensor) and y.dtype == np.int64
        assert [2 * i for i in numbers(x)] == numbers(y)


def test_a_transform_sees_every_batch_afresh_and_changes_no_image():
    images = np.zeros((4, 3), np.float32)
    made = Batches(
        images,
        4,
        rng=np.random.default_rng(0),
        epochs=2,
        transform=lambda x, rng: x + rng.random(x.shape, np.float32),
    )
    first, second = (to_numpy(x.data) for x in made)
    assert (first != second).all() and (images == 0).all() and first.dtype == np.float32


def test_epochs_and_steps_are_counted():
    b = batches(10, 4, epochs=2)
    assert (b.per_epoch, b.steps, b.epoch) == (3, 6, 0)
    seen = [b.epoch for _ in b]
    np.testing.assert_allclose(seen, [0.4, 0.8, 1, 1.4, 1.8, 2])
    assert b.epoch == 2 and next(b, None) is None
    endless = batches(10, 4)
    assert endless.steps is None and len(list(itertools.islice(endless, 50))) == 50


def test_after_its_epochs_an_iterator_is_used_up():
    b = batches(10, 4, epochs=1)
    assert len(list(b)) == 3 and list(b) == []


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "i8"])
def test_a_batch_has_the_dtype_of_the_images(dtype):
    b = Batches(np.arange(4).astype(dtype), 2, rng=np.random.default_rng(0))
    assert next(b).dtype == np.dtype(dtype)


def test_no_epochs_are_no_batches():
    assert list(batches(epochs=0)) == []


@given(sizes, st.integers(0, 30), st.integers(0, 2**32), st.booleans())
def test_a_restored_position_gives_the_batches_that_would_have_come(drawn, steps, seed, drop):
    n, size = drawn

    def noisy(x, *, rng):
        return x + rng.random(x.shape, np.float32)

    ours = batches(n, size, seed, transform=noisy, drop_last=drop)
    for _ in range(steps):
        next(ours)
    state = ours.state_dict()
    expected = [to_numpy(next(ours).data) for _ in range(15)]
    other = batches(n, size, seed + 1, transform=noisy, drop_last=drop)
    next(other)
    other.load_state_dict(state)
    for x in expected:
        np.testing.assert_array_equal(to_numpy(next(other).data), x)


def test_another_use_of_the_same_generator_does_not_change_an_order_that_is_begun():
    rng = np.random.default_rng(3)
    ours, alone = Batches(rows(20), 3, rng=rng), batches(20, 3, 3)
    for _ in range(7):
        assert numbers(next(ours)) == numbers(next(alone))
        rng.random()


@pytest.mark.parametrize(
    ("change", "error", "pattern"),
    [
        ({"rows": np.array(9)}, ValueError, "10 rows, batch size 3, got 9 and 3"),
        ({"size": np.array(2)}, ValueError, "10 rows, batch size 3, got 10 and 2"),
        ({"row": None}, TypeError, "NoneType"),
        ({"rng": state_of(np.random.Generator(np.random.MT19937(0)))}, ValueError, "MT19937"),
    ],
)
def test_a_state_of_other_batches_is_refused_and_changes_nothing(change, error, pattern):
    b = batches()
    with pytest.raises(error, match=pattern):
        b.load_state_dict({**b.state_dict(), **change})
    assert numbers(next(b)) == numbers(next(batches()))


@pytest.mark.parametrize(
    ("images", "size", "more", "error", "pattern"),
    [
        (rows(4), 5, {}, ValueError, "`size` ≤ 4, .* got 5"),
        (rows(4), 0, {}, ValueError, "`size` to be an int ≥ 1, got 0"),
        (rows(4), 2.0, {}, ValueError, r"`size` to be an int ≥ 1, got 2\.0"),
        ([1, 2], 1, {}, TypeError, "list"),
        (Tensor(rows(2)), 1, {}, TypeError, "float32"),
        (rows(0), 1, {}, ValueError, "`size` ≤ 0, .* got 1"),
        (np.zeros((4, 2), np.uint8), 1, {}, TypeError, r"images / np\.float32\(255\), got uint8"),
        (np.zeros((4, 2), bool), 1, {}, TypeError, "got bool"),
        (rows(4), 2, {"labels": np.arange(3)}, ValueError, "4 labels, .* got 3"),
        (rows(4), 2, {"epochs": -1}, ValueError, "`epochs` to be an int ≥ 0, got -1"),
        (rows(4), 2, {"rng": 0}, TypeError, "`rng` .* got int"),
    ],
)
def test_bad_arguments_are_refused(images, size, more, error, pattern):
    with pytest.raises(error, match=f"Batches: .*{pattern}"):
        Batches(images, size, **{"rng": np.random.default_rng(0), **more})


# --- generators -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64],
)
def test_a_restored_generator_draws_what_would_have_been_drawn(kind):
    rng = np.random.Generator(kind(1))
    rng.integers(10, size=3, dtype=np.int32)  # half a word is kept for the next call
    saved = state_of(rng)
    assert saved.dtype.kind == "U"  # text: no pickle is needed to save it
    expected = rng.integers(10, size=20, dtype=np.int32), rng.normal(size=5)
    other = np.random.Generator(kind(2))
    restore(other, saved)
    np.testing.assert_array_equal(other.integers(10, size=20, dtype=np.int32), expected[0])
    np.testing.assert_array_equal(other.normal(size=5), expected[1])


def test_a_state_of_another_kind_of_generator_is_refused():
    rng = np.random.Generator(np.random.MT19937(0))
    with pytest.raises(ValueError, match=r"^restore: expected `rng` .* PCG64 .* MT19937$"):
        restore(rng, state_of(np.random.default_rng(0)))
