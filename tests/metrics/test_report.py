"""metrics/report.py: scores by the shipped classifier, if there is one for the data."""

from types import SimpleNamespace

import numpy as np
import pytest

from tinygen.metrics import classifier, distances
from tinygen.metrics.report import judge


def test_samples_are_scored_by_the_classifiers_predictions(rng, monkeypatch, capsys):
    def predict(x):
        x = x.reshape(len(x), -1)
        return classifier.Predictions(x[:, :3], x[:, 3:8] / x[:, 3:8].sum(axis=1, keepdims=True))

    monkeypatch.setattr(classifier, "pretrained", lambda name: SimpleNamespace(predict=predict))
    real, generated = rng.random((132, 4, 4, 1)), rng.random((70, 4, 4, 1))
    saved, results = [], {}
    run = SimpleNamespace(samples=lambda *args: saved.append(args), results=results.update)
    args = SimpleNamespace(data="digits", samples=3)

    seconds = iter([5.0, 5.66])
    with monkeypatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: next(seconds))
        verdict = judge(run, args, lambda n: (1.1 * generated[:n], np.arange(n)), real)
    assert results["ms_per_sample"] == pytest.approx(10)  # 0.66 s for 66 samples
    samples = np.clip(1.1 * generated[:66], 0, 1)
    np.testing.assert_array_equal(verdict.samples, samples)
    np.testing.assert_array_equal(verdict.labels, samples.reshape(66, -1)[:, 3:8].argmax(axis=1))
    np.testing.assert_array_equal(saved[0][0], samples[:3])
    assert saved[0][1].tolist() == [0, 1, 2]
    reference = real[np.random.default_rng(0).permutation(132)[66:]]
    fid = distances.fid(predict(samples).features, predict(reference).features)
    assert results["fid"] == verdict.scores["FID"].value == pytest.approx(fid, rel=1e-9)
    assert capsys.readouterr() == ("", "")
    assert str(verdict).startswith(f"66 samples: FID {fid:.2f} (")

    assert judge(run, args, lambda n: generated[:n], real[:129]) is None  # too few
    assert judge(run, SimpleNamespace(data="shapes", samples=0), None, real) is None
