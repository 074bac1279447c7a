"""The text-to-image example: guidance, attention of words, the measure of agreement, its errors."""

import argparse
import os
import sys

import numpy as np
import pytest
from programs import example

import tinygen as tg
from tinygen import data, nn

program = example("text_to_image")
CAPTION = "a small red star above a blue ring"
NOISE = program.noise(1, 1)


def settings(**options):
    return argparse.Namespace(**{"guidance": 3.0, "negative": "", "steps": 2} | options)


@pytest.fixture(scope="module")
def painter():
    """Random weights, also where the initial ones are zeros."""
    painter, rng = program.Painter(program.autoencoder(0), 8, 0), np.random.default_rng(1)
    for p in painter.model.parameters():
        p.data = p.data + tg.xp.asarray(rng.normal(0, 0.1, p.shape), "f4")
    return painter


def test_a_picture_depends_on_its_caption_and_is_the_same_for_the_same_noise(painter):
    captions = [CAPTION, "a red star above a small blue ring", CAPTION]
    a, b, c = painter.paint(captions, NOISE.repeat(3, axis=0), settings())
    (again,) = painter.paint([CAPTION], NOISE, settings())
    assert a.shape == (32, 32, 3) and 0 <= a.min() < a.max() <= 1
    np.testing.assert_allclose([c, again], [a, a], atol=1e-5)
    assert np.abs(a - b).max() > 1e-3


def test_guidance_starts_at_the_negative_caption(painter):
    """v(∅) + w (v(c) − v(∅)) is v(c) for w = 1, and for every w if the negative caption is c."""
    plain = painter.paint([CAPTION], NOISE, settings(guidance=1.0))
    same = painter.paint([CAPTION], NOISE, settings(guidance=5.0, negative=CAPTION))
    other = painter.paint([CAPTION], NOISE, settings(guidance=5.0, negative="a star"))
    empty = painter.paint([CAPTION], NOISE, settings(guidance=5.0))
    np.testing.assert_allclose(same, plain, atol=1e-4)
    assert min(np.abs(other - plain).max(), np.abs(other - empty).max()) > 1e-3


def test_a_saved_painter_paints_the_same(painter, tmp_path):
    painter.save(tmp_path / "model.npz")
    loaded = program.Painter.load(tmp_path / "model.npz")
    a, b = (p.paint([CAPTION], NOISE, settings()) for p in (painter, loaded))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_attention_is_that_of_the_captions_words(painter, guidance, monkeypatch):
    """With the weights replaced by known ones: word j, in calls with a caption, at position j."""

    def weights(layer, x, words):
        a = original(layer, x, words)
        if not isinstance(layer, nn.SelfAttention):
            a = a * 0 + 0.1
            if bool((words.data[0, 0] != empty).any()):
                a = a + tg.xp.eye(a.shape[2], a.shape[3], dtype="f4")
        return a

    original = nn.CrossAttention.weights
    empty = painter.model.network.text(tg.xp.zeros((1, 12), int)).data[0, 0]
    monkeypatch.setattr(nn.CrossAttention, "weights", weights)
    args = settings(guidance=guidance)
    picture, maps = program.attention(painter, CAPTION, args)
    assert maps.shape == (8, 8, 8)
    expected = np.where(np.eye(8, 64), 1, 0.1 / 1.1).reshape(8, 8, 8)
    np.testing.assert_allclose(maps, expected, atol=1e-6)
    assert nn.CrossAttention.weights is weights  # as before
    np.testing.assert_array_equal(picture, painter.paint([CAPTION], program.noise(1, 7), args)[0])


def test_agreement_counts_each_kind_of_fact():
    facts = data.scenes(60, size=8, rng=np.random.default_rng(0)).facts
    seen = facts.copy()
    seen[:6, 0] = (seen[:6, 0] + 1) % 7  # 6 of 60 arrangements
    two = np.flatnonzero(facts[:, 6] >= 0)
    seen[two[-4:], 5] = (seen[two[-4:], 5] + 1) % 8  # 4 colours, of a second shape

    class Judge(nn.Module):
        def forward(self, x):
            hot = [np.eye(k)[column] for k, column in zip(program.CHOICES, seen.T, strict=True)]
            return tg.Tensor(tg.xp.asarray(np.concatenate(hot, axis=1)))

    scores = program.agreement(Judge(), np.zeros((60, 8, 8, 3)), facts)
    assert scores["arrangement"] == pytest.approx(54 / 60)
    assert scores["colour"] == pytest.approx(1 - 4 / (60 + len(two)))
    assert scores["size"] == scores["shape"] == 1
    wrong = {*range(6), *two[-4:].tolist()}
    assert scores["all"] == pytest.approx(1 - len(wrong) / 60)


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (["a crimson star"], "unknown word 'crimson'; known are a, above, an, and,"),
        (["a star", "--negative", "two stars"], "unknown word 'two'"),
        ([" "], "expected captions of at least one word"),
        (["a star", "--width", "0"], "expected a whole number ≥ 1"),
    ],
)
def test_a_caption_is_refused_before_anything_is_trained(
    captions, message, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(
        sys, "argv", ["text_to_image.py", *captions, "--out", str(tmp_path / "run")]
    )
    with pytest.raises((SystemExit, data.UnknownWord)) as caught:
        program.main()
    assert message in str(caught.value) + capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not os.environ.get("TINYGEN_THOROUGH"), reason="takes 20 seconds")
def test_a_trained_run_draws_other_captions_and_resumes(monkeypatch, tmp_path):
    folder = tmp_path / "run"

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["text_to_image.py", "--out", str(folder), *options])
        program.main()

    run("--quick", "--samples", "3")
    before = (folder / "model.npz").stat().st_mtime_ns
    assert np.load(folder / "samples.npz")["images"].shape == (3, 32, 32, 3)
    run(CAPTION, "--steps", "2")
    assert (folder / "asked.png").exists() and (folder / "attention.png").exists()
    assert (folder / "model.npz").stat().st_mtime_ns == before
    run("--resume", "--word-epochs", "2")
    rows = (folder / "words" / "log.csv").read_text("utf-8").splitlines()
    assert len(rows) == 1 + 2 * (192 // program.WORD_BATCH)
