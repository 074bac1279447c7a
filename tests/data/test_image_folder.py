"""Every image format that Pillow writes, broken files, and resizing in closed form."""

import io
import os
import re
import sys
import zipfile
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tinygen as tg
from tinygen.data import image_folder as module
from tinygen.data import pictures, resize


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)


def save(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = array if isinstance(array, Image.Image) else Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def only(folder, *args, **options):
    """The only picture in a folder."""
    images = pictures(folder, *args, **options).images
    assert (len(images), images.dtype) == (1, np.float32)
    return images[0]


def skipping(pattern):
    """A warning that names the skipped files."""
    return pytest.warns(UserWarning, match=pattern)


# --- image formats --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tif", "a.tiff", "a.ppm"])
def test_a_picture_is_its_bytes_over_255(tmp_path, rgb, name):
    save(tmp_path / name, rgb)
    np.testing.assert_allclose(only(tmp_path), rgb / 255, rtol=1e-7)


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.webp", "a.gif"])
def test_a_picture_that_was_packed_with_losses_is_nearly_its_bytes_over_255(tmp_path, name):
    flat = np.full((8, 8, 3), [200, 100, 30], np.uint8)
    save(tmp_path / name, flat)
    np.testing.assert_allclose(only(tmp_path), flat / 255, atol=0.02)


def test_of_a_moving_picture_the_first_frame_is_taken(tmp_path):
    first, second = (Image.new("L", (3, 3), grey) for grey in (255, 0))
    save(tmp_path / "a.gif", first, save_all=True, append_images=[second])
    assert (only(tmp_path) == 1).all()


def test_a_grey_picture_has_one_channel(tmp_path, rgb):
    save(tmp_path / "a.png", rgb[..., 0])
    np.testing.assert_allclose(only(tmp_path), rgb[..., :1] / 255, rtol=1e-7)


def test_black_and_white_is_0_and_1(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 255], [255, 0]], np.uint8), "1")
    assert only(tmp_path)[..., 0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_keep_their_precision(tmp_path, name):
    values = np.array([[0, 1, 256], [32768, 65534, 65535]], np.uint16)
    if name == "a.pgm":  # old versions of Pillow can read but not write it
        (tmp_path / name).write_bytes(b"P5 3 2 65535\n" + values.astype(">u2").tobytes())
    else:
        save(tmp_path / name, values)
    np.testing.assert_allclose(only(tmp_path)[..., 0], values / 65535, rtol=1e-6)


def test_floats_from_0_to_1_are_taken_and_others_not(tmp_path):
    save(tmp_path / "a.tif", np.array([[0.25, 1.0]], np.float32))
    save(tmp_path / "b.tif", np.array([[0.25, 1.5]], np.float32))
    save(tmp_path / "c.tif", np.array([[0, 70_000]], np.int32))
    with skipping(r"2 of 3 files .*: b\.tif \(.*0\.25, 1\.5.*\), c\.tif \("):
        assert only(tmp_path).tolist() == [[[0.25], [1]]]


def test_a_palette_is_looked_up(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((0, 0), 1)
    save(tmp_path / "a.png", picture)
    assert only(tmp_path).tolist() == [[[0, 0, 1], [1, 0, 0]]]


def test_a_transparent_colour_of_a_palette_is_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((0, 0), 1)
    save(tmp_path / "a.png", picture, transparency=0)
    assert only(tmp_path).tolist() == [[[0, 0, 1], [1, 1, 1]]]


def test_what_is_transparent_lies_on_white(tmp_path, rng):
    rgba = rng.integers(0, 256, (3, 5, 4), dtype=np.uint8)
    rgba[0, 0, 3], rgba[0, 1, 3] = 0, 255
    save(tmp_path / "a.png", rgba)
    alpha = rgba[..., 3:] / 255
    expected = alpha * (rgba[..., :3] / 255) + (1 - alpha)
    got = only(tmp_path)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert got[0, 0].tolist() == [1, 1, 1]


def test_grey_with_transparency_stays_grey(tmp_path):
    save(tmp_path / "a.png", np.array([[[0, 0], [51, 255]]], np.uint8))
    np.testing.assert_allclose(only(tmp_path), [[[1], [0.2]]], rtol=1e-6)


def test_printers_colours_become_red_green_and_blue(tmp_path):
    save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=100)
    np.testing.assert_allclose(only(tmp_path), np.full((8, 8, 3), [1, 0, 0]), atol=0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_says(tmp_path, rgb, orientation):
    stored = {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.swapaxes(0, 1),
        6: np.rot90(rgb),
        7: np.rot90(rgb, 2).swapaxes(0, 1),
        8: np.rot90(rgb, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.png", np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_allclose(only(tmp_path), rgb / 255, rtol=1e-7)


# --- a folder -------------------------------------------------------------------------------------


def flat(level, side=2):
    return np.full((side, side), level, np.uint8)


def levels(images):
    return np.round(images[:, 0, 0, 0] * 255).astype(int).tolist()


def test_pictures_come_in_the_order_of_their_names_and_other_files_are_passed_over(tmp_path):
    for name, level in (("b.png", 2), ("a.png", 1), ("c.bmp", 3), (".d.png", 4)):
        save(tmp_path / name, flat(level))
    save(tmp_path / ".hidden" / "e.png", flat(5))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.png").mkdir()
    images, labels, names, skipped = pictures(str(tmp_path))
    assert (levels(images), labels, names, skipped) == ([1, 2, 3], None, (), ())


def test_sub_folders_are_classes_in_the_order_of_their_names(tmp_path):
    tree = {"dog/2.png": 1, "cat/1.png": 2, "dog/deep/1.png": 3, "cat/.x.png": 4, "ant/9.png": 5}
    for name, level in tree.items():
        save(tmp_path / name, flat(level))
    save(tmp_path / "dog" / ".git" / "a.png", flat(6))
    (tmp_path / "bee").mkdir()
    (tmp_path / "bee" / "notes.txt").write_text("no picture, no class")
    images, labels, names, skipped = pictures(tmp_path)
    assert names == ("ant", "cat", "dog")
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 2]
    assert levels(images) == [5, 2, 1, 3]
    assert skipped == ()


def test_labels_stay_right_where_files_are_broken(tmp_path):
    for name, level in {"a/1.png": 1, "a/2.png": 2, "c/1.png": 3}.items():
        save(tmp_path / name, flat(level))
    (tmp_path / "a" / "1.png").write_bytes(b"")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="^2 of 4 files could not be read: a"):
        images, labels, names, skipped = pictures(tmp_path)
    assert (levels(images), labels.tolist(), names) == ([2, 3], [0, 2], ("a", "b", "c"))
    assert [name.replace("\\", "/")[:9] for name in skipped] == ["a/1.png (", "b/1.png ("]


def test_pictures_beside_classes_are_refused(tmp_path):
    save(tmp_path / "loose.png", flat(0))
    save(tmp_path / "cat" / "a.png", flat(0))
    save(tmp_path / "dog" / "a.png", flat(0))
    with pytest.raises(ValueError, match=r"pictures: loose\.png .*cat, dog"):
        pictures(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_class_may_be_a_link_to_a_folder(tmp_path):
    save(tmp_path / "elsewhere" / "a.png", flat(8))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert pictures(tmp_path / "mine").names == ("cat",)


def test_without_any_picture_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no readable picture in .* \(0 image files\)"):
        pictures(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with skipping("1 of 1 files"), pytest.raises(ValueError, match="1 image files"):
        pictures(tmp_path)


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")  # Pillow's
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff"])
def test_a_picture_cut_short_anywhere_is_left_out_and_never_fatal(tmp_path, rng, kind):
    whole = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(whole, kind)
    whole = whole.getvalue()
    save(tmp_path / "whole.png", np.zeros((9, 9, 3), np.uint8))
    for cut in {*range(0, len(whole) - 60, max(1, len(whole) // 25))}:
        (tmp_path / f"cut.{kind}").write_bytes(whole[:cut])
        with pytest.warns(UserWarning, match="^1 of 2 files could not be read: cut"):
            left_out = pictures(tmp_path).skipped
        assert len(left_out) == 1
        assert left_out[0].startswith(f"cut.{kind} (")


@pytest.mark.parametrize("seed", [1, 2, 3])  # 0 makes TIFFs 14 million pixels high: seconds
@pytest.mark.filterwarnings("ignore:1 of 2 files could not be read")
def test_a_damaged_picture_is_read_or_left_out_and_never_fatal(tmp_path, seed):
    rng = np.random.default_rng(seed)
    save(tmp_path / "whole.png", np.zeros((9, 9, 3), np.uint8))
    for kind in ("png", "jpeg", "gif", "bmp", "tiff"):
        whole = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(whole, kind)
        for _ in range(20):
            damaged = np.frombuffer(whole.getvalue(), np.uint8).copy()
            places = rng.integers(0, len(damaged), 5)
            damaged[places] = rng.integers(0, 256, 5)
            (tmp_path / f"damaged.{kind}").write_bytes(damaged.tobytes())
            assert len(pictures(tmp_path, 4).images) >= 1
        (tmp_path / f"damaged.{kind}").unlink()


def test_a_file_of_another_kind_under_a_pictures_name_is_left_out(tmp_path):
    save(tmp_path / "a.png", flat(7))
    Image.fromarray(flat(3)).save(tmp_path / "b.png", "eps")  # to read it, Pillow runs a program
    with skipping(r"1 of 2 files .*: b\.png \(cannot identify"):
        assert levels(pictures(tmp_path).images) == [7]


def png_header(width, height):
    """A PNG file of a few bytes that claims to be this large."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + crc

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + b"\x08\0\0\0\0") + chunk(b"IDAT", b"")


def test_a_picture_of_too_many_pixels_is_left_out_before_it_takes_memory(tmp_path):
    save(tmp_path / "a.png", flat(7))
    (tmp_path / "b.png").write_bytes(png_header(60_000, 60_000))
    with skipping(r"1 of 2 files could not be read: b\.png .*exceeds limit"):
        assert levels(pictures(tmp_path).images) == [7]


@pytest.mark.parametrize(("broken", "named"), [(5, 5), (6, 5), (9, 5), (1, 1)])
def test_only_some_of_many_broken_files_are_named_but_all_are_returned(tmp_path, broken, named):
    save(tmp_path / "z.png", flat(0))
    for i in range(broken):
        (tmp_path / f"{i}.png").write_bytes(b"")
    with skipping(f"^{broken} of {broken + 1} files could not be read: 0") as caught:
        assert len(pictures(tmp_path).skipped) == broken
    assert str(caught[0].message).count(".png (") == named


def test_a_bar_is_shown_in_a_terminal_if_asked_for(tmp_path, capsys, monkeypatch):
    save(tmp_path / "a.png", flat(0))
    pictures(tmp_path, progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    pictures(tmp_path)
    assert capsys.readouterr().err == ""
    pictures(tmp_path, progress=True)
    assert "reading: 100%" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stderr", None)  # as in a program without a console
    assert len(pictures(tmp_path, progress=True).images) == 1


def test_an_interrupt_is_not_taken_for_a_broken_file(tmp_path, monkeypatch):
    def interrupt(file):
        raise KeyboardInterrupt

    save(tmp_path / "a.png", flat(9))
    monkeypatch.setattr(module, "read_picture", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pictures(tmp_path)


# --- colours and sizes ----------------------------------------------------------------------------


def test_where_one_picture_has_colours_all_have_three_channels(tmp_path, rgb):
    save(tmp_path / "a.png", rgb[..., 0])
    save(tmp_path / "b.png", rgb)
    save(tmp_path / "c.png", rgb[..., 1])
    images = pictures(tmp_path).images
    expected = np.stack([rgb[..., [0] * 3], rgb, rgb[..., [1] * 3]]) / 255
    np.testing.assert_allclose(images, expected, rtol=1e-7)


def test_where_every_picture_is_grey_there_is_one_channel_even_of_coloured_files(tmp_path, rgb):
    save(tmp_path / "a.png", rgb[..., [0] * 3])
    save(tmp_path / "b.png", rgb[..., 1])
    assert pictures(tmp_path).images.shape == (2, 4, 6, 1)


@pytest.mark.parametrize("shape", [(6, 10), (10, 6), (7, 10)])
def test_a_picture_is_cropped_to_its_central_square_and_resized(tmp_path, rng, shape):
    x = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    save(tmp_path / "a.png", x)
    np.save(tmp_path / "x.npy", x[None])
    side = min(shape)
    i, j = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = x[i : i + side, j : j + side] / 255
    for place in (tmp_path, tmp_path / "x.npy"):
        np.testing.assert_allclose(only(place, side), square, rtol=1e-6)
        np.testing.assert_allclose(only(place, 1)[0, 0], square.mean((0, 1)), rtol=1e-5)
        assert only(place, 13).shape == (13, 13, 3)


def test_pictures_of_different_sizes_need_a_size(tmp_path, rgb):
    save(tmp_path / "0.png", rgb)
    save(tmp_path / "1.png", rgb[:, :1])
    with pytest.raises(ValueError, match=r"expected `size`, .*\(4, 6\) and \(4, 1\)"):
        pictures(tmp_path)
    assert pictures(tmp_path, 4).images.shape == (2, 4, 4, 3)


@pytest.mark.parametrize("size", [0, -1, 2.0, "64", True])
def test_a_size_that_is_none_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match=re.escape(f"`size` to be an int ≥ 1, got {size!r}")):
        pictures(tmp_path, size)


# --- array files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "largest"), [("u1", 255), ("u2", 65535), ("?", 1), ("f4", 1), ("f8", 1), ("f2", 1)]
)
@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 6, 1), (5, 4, 6, 3)])
def test_an_array_keeps_its_values_as_float32_from_0_to_1(tmp_path, rng, dtype, largest, shape):
    x = (rng.random(shape) * largest).astype(dtype)
    x[0, 0, 0], x[0, 0, 1] = 0, largest
    np.save(tmp_path / "x.npy", x)
    images, labels, names, skipped = pictures(tmp_path / "x.npy")
    assert (images.dtype, labels, names, skipped) == (np.float32, None, (), ())
    np.testing.assert_allclose(images, x.reshape(*shape[:3], -1) / largest, rtol=1e-6)
    images[0] = 0  # the caller may change them


def test_of_many_images_in_an_array_none_is_lost(tmp_path, rng):
    x = rng.random((2 * module.MANY + 1, 2, 2, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(pictures(tmp_path / "x.npy").images, x)


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [("images",), ("images", "other")])
def test_a_file_of_several_arrays_has_images_and_may_have_labels(tmp_path, rng, writer, names):
    arrays = {name: rng.integers(0, 256, (3, 4, 4), dtype=np.uint8) for name in names}
    for labels in (None, np.array([2, 0, 7], np.uint8)):
        writer(tmp_path / "x.npz", **arrays, **({} if labels is None else {"labels": labels}))
        made = pictures(tmp_path / "x.npz")
        np.testing.assert_allclose(made.images[..., 0], arrays[names[0]] / 255, rtol=1e-7)
        if labels is None:
            assert made.labels is None
        else:
            assert made.labels.dtype == np.int64
            assert made.labels.tolist() == [2, 0, 7]


@pytest.mark.parametrize(
    ("arrays", "error", "pattern"),
    [
        ({"a": [0.0], "b": [0.0]}, KeyError, "images"),
        ({"images": np.zeros((2, 4))}, ValueError, r"`images`.* got \(2, 4\)"),
        ({"images": np.zeros((2, 3, 8, 8))}, ValueError, r"`images`.* got \(2, 3, 8, 8\)"),
        ({"images": np.zeros((0, 8, 8))}, ValueError, r"got \(0, 8, 8, 1\)"),
        ({"images": np.zeros((2, 8, 8), int)}, ValueError, "int64"),
        ({"images": np.full((2, 8, 8), -0.5)}, ValueError, r"-0\.5"),
        ({"images": np.array([[[0.0, 255.0]]])}, ValueError, r"0\.0, 255\.0"),
        ({"images": np.array([[[0.0, np.nan]]])}, ValueError, "nan"),
        (
            {"images": np.zeros((2, 8, 8)), "labels": np.zeros(3, int)},
            ValueError,
            r"2 `labels`.*\(3,\)",
        ),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(tmp_path, arrays, error, pattern):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(error, match=pattern):
        pictures(tmp_path / "x.npz")


def test_a_file_is_never_unpickled(tmp_path):
    for name, write in (("x.npy", np.save), ("x.npz", lambda f, x: np.savez(f, images=x))):
        write(tmp_path / name, np.array([{"a": 1}], object))
        with pytest.raises(ValueError, match="allow_pickle=False"):
            pictures(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_file_of_arrays_cut_short_is_refused(tmp_path, name):
    path = tmp_path / name
    x = np.zeros((4, 8, 8))
    np.savez(path, images=x) if "z" in name else np.save(path, x)
    whole = path.read_bytes()
    for cut in (0, 3, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises((ValueError, EOFError, zipfile.BadZipFile)):
            pictures(path)


def test_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        pictures(tmp_path / "missing")


def test_a_path_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "mine" / "a.png", flat(3))
    assert levels(pictures("~/mine").images) == [3]


# --- resizing -------------------------------------------------------------------------------------

SIDES = st.integers(1, 12)


def naive_line(row, m):
    """m pixels of the row, pixel by pixel, in exact arithmetic."""
    n, made = len(row), []
    for i in range(m):
        if m <= n:
            left, right = Fraction(i * n, m), Fraction((i + 1) * n, m)
            parts = [max(min(right, j + 1) - max(left, j), 0) for j in range(n)]
            made.append(sum(x * float(p / (right - left)) for x, p in zip(row, parts, strict=True)))
        else:
            centre = min(max(Fraction(2 * i + 1, 2) * n / m - Fraction(1, 2), 0), n - 1)
            j = min(int(centre), max(n - 2, 0))
            t = float(centre - j)
            made.append(row[j] * (1 - t) + (row[j + 1] * t if t else 0))
    return made


@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 3), st.integers(0, 2**32))
def test_resizing_is_its_definition_row_by_row_and_column_by_column(H, W, h, w, C, seed):
    x = np.random.default_rng(seed).random((2, H, W, C))
    rows = np.apply_along_axis(naive_line, 1, x, h)
    expected = np.apply_along_axis(naive_line, 2, rows, w)
    np.testing.assert_allclose(resize(x, (h, w)), expected, rtol=1e-12)
    np.testing.assert_allclose(resize(x[0], (h, w)), expected[0], rtol=1e-12)  # a single image


@given(SIDES, SIDES, st.integers(1, 30), st.sampled_from(["f4", "f8"]), st.floats(0, 1, width=32))
def test_what_is_constant_stays_exactly_constant_and_of_its_dtype(H, W, size, dtype, level):
    made = resize(np.full((1, H, W, 3), level, dtype), size)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, np.full((1, size, size, 3), level, dtype))


@given(SIDES, SIDES, st.integers(1, 12), st.integers(0, 2**32))
def test_a_smaller_image_has_the_same_mean(H, W, by, seed):
    x = np.random.default_rng(seed).random((1, H * by, W * by, 1))
    np.testing.assert_allclose(resize(x, (H, W)).mean(), x.mean(), rtol=1e-12)
    np.testing.assert_allclose(
        resize(x, (H, W)), x.reshape(1, H, by, W, by, 1).mean((2, 4)), rtol=1e-12
    )


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_a_smaller_image_has_the_same_mean_even_where_pixels_are_cut(n, m, seed):
    n, m = max(n, m), min(n, m)
    x = np.random.default_rng(seed).random((1, n, n, 2))
    np.testing.assert_allclose(resize(x, m).mean((1, 2)), x.mean((1, 2)), rtol=1e-12)


@given(st.integers(2, 12), st.integers(1, 60))
def test_a_linear_ramp_stays_one_in_the_interior(n, m):
    x = np.arange(n, dtype=float)[None, :, None, None].repeat(n, 2)
    centres = (np.arange(m) + 0.5) * n / m - 0.5
    if m <= n and n % m:
        return  # a mean over one and a half pixels is not on the ramp
    made = resize(x, m)[0, :, 0, 0]
    inside = (centres >= 0) & (centres <= n - 1)
    np.testing.assert_allclose(made[inside], centres[inside], atol=1e-12)
    np.testing.assert_array_equal(made[~inside], np.clip(centres[~inside], 0, n - 1))


@given(SIDES, SIDES, st.integers(1, 30), st.integers(0, 2**32))
def test_no_pixel_is_darker_or_brighter_than_all_there_were(H, W, size, seed):
    rng = np.random.default_rng(seed)
    x = rng.choice([0.0, 1.0, rng.random()], (3, H, W, 1)).astype(np.float32)
    made = resize(x, size)
    assert made.min() >= x.min()
    assert made.max() <= x.max()


@given(SIDES, SIDES, SIDES, SIDES)
def test_resizing_and_turning_over_go_in_either_order(H, W, h, w):
    x = np.random.default_rng(H * W).random((1, H, W, 1))
    flipped = resize(x[:, ::-1, ::-1], (h, w))
    np.testing.assert_allclose(flipped, resize(x, (h, w))[:, ::-1, ::-1], rtol=1e-12)
    turned = resize(x.swapaxes(1, 2), (w, h))
    np.testing.assert_allclose(turned, resize(x, (h, w)).swapaxes(1, 2), rtol=1e-12)


def test_in_its_own_size_an_image_is_a_copy(rng):
    x = rng.random((2, 5, 5, 3))
    made = resize(x, 5)
    np.testing.assert_array_equal(made, x)
    made[:] = 0
    assert x.min() > 0


def test_no_images_are_resized_to_none():
    assert resize(np.zeros((0, 4, 4, 1)), 2).shape == (0, 2, 2, 1)


def test_tensors_are_resized_to_arrays(rng):
    x = rng.random((1, 4, 4, 1))
    made = resize(tg.Tensor(x), 2)
    assert isinstance(made, np.ndarray)
    np.testing.assert_array_equal(made, resize(x, 2))
    np.testing.assert_array_equal(made, resize(tg.Tensor(x).data, 2))


@pytest.mark.parametrize(
    ("shape", "dtype", "size", "error", "pattern"),
    [
        ((1, 4, 4, 1), "u1", 2, TypeError, r"resize: .* uint8 \(1, 4, 4, 1\)"),
        ((4, 4), "f4", 2, TypeError, r"resize: .* \(…, H, W, C\), got float32 \(4, 4\)"),
        *(((1, 4, 4, 1), "f4", n, ValueError, rf"resize: .* got {n}") for n in (0, -3, 1.5, None)),
        ((1, 4, 4, 1), "f4", (2, 0), ValueError, r"resize: .*`width`.* got 0"),
    ],
)
def test_what_can_not_be_resized_is_refused(shape, dtype, size, error, pattern):
    with pytest.raises(error, match=pattern):
        resize(np.zeros(shape, dtype), size)
