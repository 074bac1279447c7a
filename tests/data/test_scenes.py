"""Scenes: their facts, captions and pixels agree, and held-out combinations stay held out."""

import numpy as np
import pytest

from tinygen import data
from tinygen.data import ARRANGEMENTS, COLOURS, SHAPES, SIZES, scenes

OPPOSITE = {"below": "above", "right of": "left of"}


@pytest.fixture(scope="module", params=[False, True], ids=["seen", "unseen"])
def drawn(request):
    return request.param, scenes(400, size=32, rng=np.random.default_rng(3), unseen=request.param)


def objects(caption):
    """The objects that a caption names, as sets of words, and the words for their arrangement."""
    words = caption.split()
    starts = [i for i, word in enumerate(words) if word in ("a", "an")]
    names, rest = [], []
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        last = next(i for i in range(start, end) if words[i] in SHAPES)
        names.append(words[start + 1 : last + 1])
        rest.append(" ".join(words[last + 1 : end]))
    return names, rest[0]


def facts_of(caption):
    """The seven facts that a full caption states, by reading it."""
    names, arranged = objects(caption)
    if arranged in OPPOSITE:
        names, arranged = names[::-1], OPPOSITE[arranged]
    tables = (list(SIZES), list(COLOURS), list(SHAPES))
    read = [t.index(w) for words in names for t, w in zip(tables, words, strict=True)]
    return [list(ARRANGEMENTS).index(arranged), *read, *[-1] * (6 - len(read))]


def test_a_full_caption_states_the_facts():
    full = scenes(300, size=8, rng=np.random.default_rng(1), full=True)
    np.testing.assert_array_equal([facts_of(caption) for caption in full.captions], full.facts)
    assert {*full.facts[:, 0]} == {*range(len(ARRANGEMENTS))}


def test_a_caption_that_omits_facts_states_no_other(drawn):
    _, (_, captions, facts) = drawn
    for caption, (arrangement, *numbers) in zip(captions, facts, strict=True):
        names, arranged = objects(caption)
        true = [
            {list(SIZES)[s], list(COLOURS)[c], list(SHAPES)[k]}
            for s, c, k in np.reshape(numbers, (2, 3))
            if k >= 0
        ]
        orders = [true[::-1]] if arranged in OPPOSITE else [true]
        if arranged == "and":
            orders.append(true[::-1])
        assert any(
            all({*words} <= said for words, said in zip(names, order, strict=True))
            for order in orders
        )
        where = OPPOSITE.get(arranged, arranged)
        assert where in ("", "and") or where == list(ARRANGEMENTS)[arrangement]
    assert len({len(caption.split()) for caption in captions}) > 5


def test_only_unseen_scenes_have_a_shape_in_its_held_out_colour(drawn):
    unseen, (_, _, facts) = drawn
    held_out = (facts[:, 2] == facts[:, 3]) | ((facts[:, 5] == facts[:, 6]) & (facts[:, 6] >= 0))
    assert held_out.all() if unseen else not held_out.any()
    pairs = {*map(tuple, facts[:, 2:4])} | {*map(tuple, facts[facts[:, 6] >= 0][:, 5:7])}
    assert len(pairs) > 50  # other combinations occur in both


def test_the_pixels_at_a_shapes_centre_have_its_colour():
    """Only discs and squares: other shapes may have a hole there."""
    images, _, facts = scenes(400, size=64, rng=np.random.default_rng(2))
    centres = [(a, b or a) for a, b in ARRANGEMENTS.values()]
    colours, solid = (
        np.array([*COLOURS.values()]),
        [list(SHAPES).index(s) for s in ("disc", "square")],
    )
    checked = 0
    for image, row in zip(images, facts, strict=True):
        for k, (_, colour, shape) in enumerate(row[1:].reshape(2, 3)):
            if shape in solid:
                x, y = centres[row[0]][k]
                i, j = round((y + 1) * 32), round((x + 1) * 32)
                patch = image[max(i - 4, 0) : i + 4, max(j - 4, 0) : j + 4].reshape(-1, 3)
                distance = np.linalg.norm(patch[:, None] - colours, axis=2)
                assert (distance.argmin(axis=1) == colour).mean() > 0.3
                checked += 1
    assert checked > 50


def test_a_large_shape_covers_more_pixels_than_a_small_one():
    images, _, facts = scenes(400, size=32, rng=np.random.default_rng(4))
    disc = (facts[:, 0] < 5) & (facts[:, 3] == 0) & (facts[:, 2] == list(COLOURS).index("blue"))
    covered = [
        (np.linalg.norm(images[disc & (facts[:, 1] == size)] - COLOURS["blue"], axis=3) < 0.35).sum(
            axis=(1, 2)
        )
        for size in range(2)
    ]
    assert len(covered[0]) and len(covered[1])
    assert covered[0].max() < covered[1].min()


def test_images_are_float32_in_0_to_1_and_the_same_for_the_same_seed(drawn):
    unseen, first = drawn
    second = scenes(400, size=32, rng=np.random.default_rng(3), unseen=unseen)
    assert first.images.dtype == np.float32
    assert 0 <= first.images.min() < 0.1 < 0.9 < first.images.max() <= 1
    assert first.captions == second.captions
    np.testing.assert_array_equal(first.images, second.images)
    assert scenes(0, rng=np.random.default_rng(0)).images.shape == (0, 64, 64, 3)


def test_the_vocabulary_has_every_word_of_captions(drawn):
    _, (_, captions, _) = drawn
    assert {w for caption in captions for w in caption.split()} == {*data.VOCABULARY.split()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": -1}, "scenes: expected `n` .*≥ 0, got -1"),
        ({"n": 2, "size": 4}, "`size` .*≥ 8, got 4"),
    ],
)
def test_impossible_scenes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        scenes(**options, rng=np.random.default_rng(0))
