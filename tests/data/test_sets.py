"""Image sets by name: the requested number, the same images each time, or an error."""

import hashlib
import struct

import numpy as np
import pytest

from tinygen import data
from tinygen.data import sets


@pytest.fixture
def own(tmp_path):
    """A file with 20 pictures of your own, each with its number."""
    images = np.zeros((20, 8, 8, 3), np.float32) + np.arange(20)[:, None, None, None] / 20
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(20) % 4)
    return str(tmp_path / "own.npz")


@pytest.fixture
def few(tmp_path, monkeypatch):
    """MNIST as published, but with seven and three images."""
    rng, checksums = np.random.default_rng(0), {}
    folder = tmp_path / "sets" / "mnist"
    folder.mkdir(parents=True)
    for name in sets.FILES:
        shape = (7 if "train" in name else 3, 28, 28)[: 3 if "images" in name else 1]
        header = struct.pack(">HBB", 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
        file = header + rng.integers(0, 10, shape, dtype=np.uint8).tobytes()
        (folder / name).write_bytes(file)
        checksums[name] = f"sha256:{hashlib.sha256(file).hexdigest()}"
    source = sets.Source("mnist", ("https://example.invalid/",), checksums)
    monkeypatch.setitem(sets.SOURCES, "mnist", source)
    monkeypatch.setenv("TINYGEN_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TINYGEN_DATA", str(folder.parent))
    return folder


# --- load -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_drawn_sets_are_as_large_as_is_asked_and_the_same_each_time(name):
    first, again = (data.load(name, train=12, test=5, size=16) for _ in range(2))
    assert [len(each.images) for each in first] == [len(each.labels) for each in first] == [12, 5]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
    train, test = data.load(name, train=5, test=5, size=16)
    assert not (train.images == test.images).all()
    assert first[0].images.dtype == np.float32
    assert len(data.load(name, train=0, test=1, size=16)[0].images) == 0


def test_drawn_sets_are_many_where_nobody_says_how_many():
    assert [len(each.images) for each in data.load("shapes", size=8)] == [10_000, 1666]


def test_of_published_sets_and_of_your_own_there_are_at_most_so_many(few, own):
    for name, (n, m) in {"mnist": (7, 3), own: (18, 2)}.items():
        everything = data.load(name, size=8)
        assert [len(each.images) for each in everything] == [n, m]
        some = data.load(name, train=4, test=100, size=8)
        assert [len(each.images) for each in some] == [4, m]
        np.testing.assert_array_equal(some[0].images, everything[0].images[:4])
        np.testing.assert_array_equal(some[0].labels, everything[0].labels[:4])
        assert [len(each.images) for each in data.load(name, train=0, test=np.int64(1))] == [0, 1]


def test_of_your_own_pictures_one_in_ten_is_for_testing_with_its_label(own):
    train, test = data.load(own, size=8)
    numbers = [np.rint(each.images[:, 0, 0, 0] * 20).astype(int) for each in (train, test)]
    assert sorted(np.concatenate(numbers)) == list(range(20))
    for each, number in zip((train, test), numbers, strict=True):
        np.testing.assert_array_equal(each.labels, number % 4)


@pytest.mark.parametrize("name", ["digits", "mnist", "own"])
@pytest.mark.parametrize("called", ["train", "test"])
@pytest.mark.parametrize("count", [-5, 2.0, True, "7"])
def test_a_count_that_is_none_is_refused(name, called, count, few, own):
    with pytest.raises(ValueError, match=f"load: .*`{called}` to be an int ≥ 0, got {count!r}"):
        data.load(own if name == "own" else name, **{called: count})


@pytest.mark.parametrize("name", ["mnits", "no/such/folder", ""])
def test_a_name_of_nothing_is_refused_with_the_names_there_are(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(data.NotFound, match=f"'mnist', 'fashion', 'digits', 'shapes'.*{name!r}"):
        data.load(name)
    assert issubclass(data.NotFound, ValueError)


def test_a_single_picture_is_too_few(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros((1, 8, 8), np.float32))
    with pytest.raises(ValueError, match="at least 2 pictures"):
        data.load(str(tmp_path / "one.npy"))
