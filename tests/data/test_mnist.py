"""The published MNIST, and properties of the IDX format: see sets.py."""

import gzip
import hashlib
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygen.data import Unavailable, sets

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def idx(array, magic=None):
    """An IDX file of the array, as the format's author describes it."""
    header = struct.pack(">HBB", 0, 8, array.ndim) if magic is None else magic
    return header + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()


# --- the format -----------------------------------------------------------------------------------


@given(SHAPES, st.integers(0, 2**32))
def test_what_was_written_is_read(shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    read = sets.read_idx(idx(array), array.ndim)
    assert (read.dtype, read.shape) == (np.uint8, array.shape)
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("shape", [(0,), (0, 28, 28), (3, 0)])
def test_a_file_may_have_no_entries(shape):
    assert sets.read_idx(idx(np.zeros(shape, np.uint8)), len(shape)).shape == shape


@given(SHAPES, st.data())
def test_a_file_cut_short_anywhere_or_with_bytes_too_many_is_refused(shape, data):
    file = idx(np.zeros(shape, np.uint8))
    cut = data.draw(st.integers(0, len(file) - 1))
    for wrong in (file[:cut], file + b"\0", file + file):
        with pytest.raises(ValueError, match=r"^somewhere: expected "):
            sets.read_idx(wrong, len(shape), "somewhere")


@given(SHAPES, st.data())
def test_any_changed_bit_of_the_header_is_noticed(shape, data):
    file = bytearray(idx(np.zeros(shape, np.uint8)))
    place = data.draw(st.integers(0, 4 + 4 * len(shape) - 1))
    file[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r"^data: expected "):
        sets.read_idx(bytes(file), len(shape))


@given(st.binary(max_size=40), st.integers(1, 4))
def test_bytes_of_any_kind_are_read_or_refused_in_words(data, axes):
    try:
        sets.read_idx(data, axes)
    except ValueError as error:
        assert str(error).startswith("data: expected ")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "0 bytes"),
        (b"<html>", "6 bytes, 3c 68 74 6d 6c 3e"),
        (b"\0\0\x0d\1", "4 bytes, 00 00 0d 01"),
        (b"\0\0\x08\1\0\0\0\2\7", "9 bytes, 00 00 08 01 00 00 00 02"),
        (b"\0\0\x08\1\xff\xff\xff\xff", "8 bytes"),
    ],
)
def test_an_error_says_which_file_what_was_expected_and_what_is_there(data, found):
    with pytest.raises(ValueError, match=f"x: .* 1 axes, got {found}"):
        sets.read_idx(data, 1, "x")


# --- the sets -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """No files and no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TINYGEN_OFFLINE", "1")
    return tmp_path / "data"


@pytest.fixture
def small(folder, monkeypatch, rng):
    """A set of a few images instead of Fashion-MNIST."""
    arrays = [
        rng.integers(0, 256, (n, *side), dtype=np.uint8)
        if side
        else rng.integers(0, 10, n, dtype=np.uint8)
        for n in (6, 4)
        for side in ((28, 28), ())
    ]
    arrays[0][0, 0, :2] = 0, 255
    packed = dict(zip(sets.FILES, map(idx, arrays), strict=True))
    sums = {name: "md5:" + hashlib.md5(content).hexdigest() for name, content in packed.items()}
    monkeypatch.setitem(sets.SOURCES, "fashion", sets.Source("fashion", (), sums))
    (folder / "fashion").mkdir(parents=True)
    for name, content in packed.items():
        (folder / "fashion" / f"{name}.gz").write_bytes(gzip.compress(content))
    return arrays


def test_a_set_is_loaded_as_images_from_0_to_1_and_their_labels(small):
    train, test = sets.load("fashion")
    for (images, labels), x, y in ((train, *small[:2]), (test, *small[2:])):
        assert (images.dtype, images.shape) == (np.float32, (len(y), 28, 28, 1))
        np.testing.assert_allclose(images, x[..., None] / 255.0, rtol=1e-7)
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, y)
    assert (train.images[0, 0, 0, 0], train.images[0, 0, 1, 0]) == (0, 1)
    train.images[0], train.labels[0] = 0, 0  # the caller may change them


def test_a_set_unpacks_as_pairs(small):
    (x, y), (x_test, y_test) = sets.load("fashion")
    assert (len(x), len(y), len(x_test), len(y_test)) == (6, 6, 4, 4)


def test_one_knows_whether_a_set_is_there(folder, small):
    assert sets.have("fashion")
    assert not sets.have()
    (folder / "fashion" / f"{sets.FILES[3]}.gz").write_bytes(b"")
    assert not sets.have("fashion")


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_what_can_not_be_had_is_said_in_a_line_and_then_at_length(folder, name):
    with pytest.raises(Unavailable) as caught:
        sets.load(name)
    first, *rest = str(caught.value).split("\n")
    assert re.match(rf"{name}: .*train-images-idx3-ubyte.*TINYGEN_OFFLINE", first)
    for mirror in sets.SOURCES[name].mirrors:
        assert sum(mirror in line for line in rest) == 1
    assert f"{', '.join(sets.FILES)}," in str(caught.value)


@pytest.mark.parametrize("name", ["MNIST", "", None])
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match=f"load: .*'mnist', 'fashion'.* got {name!r}"):
        sets.load(name)


def test_every_published_set_has_a_safe_mirror_first_and_another():
    for name, source in sets.SOURCES.items():
        assert source.name == name
        assert list(source.checksums) == list(sets.FILES)
        assert len(set(source.checksums.values())) == 4
        assert source.mirrors[0].startswith("https://")
        assert len({mirror.split("/")[2] for mirror in source.mirrors}) >= 2


# --- the real data --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGEN_OFFLINE", "1")
        if not sets.have():
            pytest.skip("MNIST is not on this machine; set TINYGEN_DATA to where it is")
        return sets.load()


def test_mnist_is_known_by_its_numbers(real):
    train, test = real
    assert train.images.shape == (60_000, 28, 28, 1)
    assert test.images.shape == (10_000, 28, 28, 1)
    counts = "5923 6742 5958 6131 5842 5421 5918 6265 5851 5949"
    assert np.bincount(train.labels).tolist() == [int(n) for n in counts.split()]
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert train.images.mean() == pytest.approx(0.1307, abs=5e-5)
    assert train.images.std() == pytest.approx(0.3081, abs=5e-5)
    assert (train.images.min(), train.images.max()) == (0, 1)
