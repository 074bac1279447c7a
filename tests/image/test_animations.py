"""Animations, read back frame by frame, and resumed."""

import contextlib
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import EDGE, SCALE, enlarged, ink, random_images
from PIL import Image, ImageSequence

import tinygen as tg
from tinygen import image


def frames_of(path):
    with Image.open(path) as film:
        found = [
            (np.asarray(f.convert("RGB")), f.info["duration"]) for f in ImageSequence.Iterator(film)
        ]
        return [f for f, _ in found], [d for _, d in found], film.info["loop"]


def test_a_grey_animation_is_exact_loops_and_holds_its_last_frame(tmp_path, rng):
    x = random_images(rng, 5, 4, 6, 7, 1)
    image.animation(tmp_path / "a.gif", x, fps=8)
    frames, durations, loop = frames_of(tmp_path / "a.gif")
    assert (durations, loop) == ([120, 120, 120, 120, 2000], 0)
    for k, frame in enumerate(frames):
        for n in range(4):
            top, left = EDGE + n // 2 * 50, EDGE + n % 2 * 58
            tile = frame[top : top + 48, left : left + 56]
            np.testing.assert_array_equal(tile, enlarged(x[k, n], SCALE).repeat(3, axis=-1))
        line = frame[-EDGE - 1, EDGE:-EDGE, 0]  # the progress bar
        assert line.size == 2 * 58 - 2
        assert (line == 0x75).sum() == math.ceil(line.size * (k + 1) / 5)
        assert (line == 0xFF).sum() == line.size - (line == 0x75).sum()


def test_the_same_animation_is_the_same_bytes_and_a_failed_one_leaves_the_old(
    tmp_path, rng, monkeypatch
):
    x = random_images(rng, 3, 2, 4, 4, 3)
    for name in "ab":
        image.animation(tmp_path / f"{name}.gif", x, title="Same")
    old = (tmp_path / "a.gif").read_bytes()
    assert old == (tmp_path / "b.gif").read_bytes()

    def fail(self, file, *args, **more):
        file.write(b"half")
        raise ZeroDivisionError

    monkeypatch.setattr(Image.Image, "save", fail)
    with contextlib.suppress(ZeroDivisionError):
        image.animation(tmp_path / "a.gif", x)
    assert (tmp_path / "a.gif").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "b.gif"]


def test_colours_do_not_flicker_and_come_close(tmp_path, rng):
    x = random_images(rng, 4, 6, 8, 8, 3)
    x[:, 2] = x[0, 2]  # one image stays
    image.animation(tmp_path / "a.gif", x)
    frames, _, _ = frames_of(tmp_path / "a.gif")
    still = [frame[EDGE : EDGE + 64, EDGE + 132 : EDGE + 196] for frame in frames]
    assert all((each == still[0]).all() for each in still)
    error = np.abs(still[0].astype(float) - enlarged(x[0, 2], SCALE))
    assert error.mean() < 20
    assert all((frame[:EDGE] == 255).all() and (frame[:, :EDGE] == 255).all() for frame in frames)


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_frames_may_be_single_pictures(kind, tmp_path, rng):
    pictures = [
        (rng.uniform(size=(5, 9, 3)) * (255 if kind == np.uint8 else 1)).astype(kind)
        for _ in range(2)
    ]
    image.animation(tmp_path / "a.gif", iter(pictures))
    frames, _, _ = frames_of(tmp_path / "a.gif")
    assert len(frames) == 2 and frames[0].shape == (40 + 4 + 2 * EDGE, 72 + 2 * EDGE, 3)


def test_a_text_stands_in_the_lower_corner_under_the_images(tmp_path):
    film = image.Animation(columns=1)
    for text in ("", "step 9"):
        film.append(np.ones((2, 5, 15, 1)), text)
    film.save(tmp_path / "a.gif")
    bare, named = frames_of(tmp_path / "a.gif")[0]
    rows, columns = ink(np.where(bare == named, 255, 0)[: -EDGE - 2])
    assert rows.min() >= EDGE + 82 and EDGE <= columns.min() < EDGE + 4 and columns.max() < 60


def test_a_title_stands_above_the_images(tmp_path):
    image.animation(tmp_path / "a.gif", np.ones((2, 1, 5, 15, 1)), title="A film of it")
    frame = frames_of(tmp_path / "a.gif")[0][0]
    rows, columns = ink(frame[: -EDGE - 2])
    assert rows.min() >= EDGE and rows.max() < EDGE + 18 and len(frame) == 18 + 40 + 4 + 2 * EDGE
    assert abs((columns.min() + columns.max()) / 2 - frame.shape[1] / 2) < 2


def film_of(count, most, first=0, film=None):
    film = image.Animation(most) if film is None else film
    for k in range(first, count):
        film.append(np.full((1, 2, 2, 1), k, np.uint8), f"step {k}")
    return film


@given(st.integers(1, 60), st.integers(2, 9))
def test_a_full_film_keeps_evenly_spaced_frames_with_the_first_and_the_latest(count, most):
    kept = [int(text.split()[1]) for text in film_of(count, most).state_dict()["texts"].tolist()]
    every = 1
    while len(range(0, count, every)) > most:
        every *= 2
    expected = [*range(0, count, every)]
    assert kept == expected + [count - 1] * (expected[-1] != count - 1)
    assert len(film_of(count, most)) == len(kept) <= most + 1


@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 6))
def test_a_film_that_was_saved_and_resumed_is_the_one_that_never_stopped(before, after, most):
    state = film_of(before, most).state_dict()
    resumed = image.Animation(most)
    resumed.load_state_dict(state)
    film_of(before + after, most, before, resumed)
    whole = film_of(before + after, most).state_dict()
    for name, array in resumed.state_dict().items():
        np.testing.assert_array_equal(array, whole[name])


def test_a_film_goes_through_a_file_without_pickle_and_draws_the_same(tmp_path, rng):
    film = image.Animation(4)
    for k, x in enumerate(random_images(rng, 6, 2, 3, 3, 3)):
        film.append(tg.Tensor(x), f"β {k}")
    np.savez(tmp_path / "film.npz", **film.state_dict())
    other = image.Animation(4)
    with np.load(tmp_path / "film.npz", allow_pickle=False) as state:
        other.load_state_dict(state)
    film.save(tmp_path / "a.gif")
    other.save(tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    shorter = image.Animation(2)
    shorter.load_state_dict(film.state_dict())
    assert shorter.state_dict()["texts"].tolist() == ["β 0", "β 4", "β 5"]


def test_frames_are_kept_as_bytes_of_their_own_one_for_each_grey_pixel():
    film, x = image.Animation(3), np.zeros((4, 28, 28, 1), np.float32)
    film.append(x)
    x += 1
    film.append(x)
    state = film.state_dict()
    assert state["frames"].dtype == np.uint8 and state["frames"].shape == (2, 4, 28, 28, 1)
    assert state["frames"].max(axis=(1, 2, 3, 4)).tolist() == [0, 255]
    assert sum(sys.getsizeof(f) for f, _ in film._frames) < 8000


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda f: image.Animation(1), "Animation: expected `most` .* 1"),
        (
            lambda f: f.append(np.zeros((2, 4, 4, 1))),
            r"append: .* \(1, 2, 2, C\), got \(2, 4, 4, 3\)",
        ),
        (lambda f: f.append(np.zeros((4, 4))), r"append: expected `frame` .* \(4, 4\)"),
        (lambda f: f.save("a.png"), r"save: .* ends in \.gif, got a\.png"),
        (lambda f: f.save("a.gif", fps=0), "save: .*`fps` > 0, got 0"),
        (lambda f: image.Animation().save("a.gif"), "save: expected frames"),
        (lambda f: f.load_state_dict(f.state_dict() | {"texts": np.array(["a"])}), "shorter"),
    ],
)
def test_what_can_not_be_animated_is_refused_and_changes_nothing(act, said):
    film = film_of(3, 4)
    with pytest.raises(ValueError, match=said):
        act(film)
    assert len(film) == 3
