"""Baselines of anomaly detection: each finds what it is made to find; metrics against values worked by hand."""

import numpy as np
import pytest

from textae.evaluation import anomaly_baselines
from textae.evaluation.anomaly_baselines import CharacterTrigrams, detection_metrics, fit_baselines

pytestmark = pytest.mark.backend_free

TRAIN = [f"{action} package{i % 40} done" for i, action in enumerate(["install", "remove", "configure"] * 100)]
TODAY = [*TRAIN[:50], "explode everything now", "GET /etc/passwd HTTP/1.1"]


def test_shares_of_unseen_trigrams():
    scores = CharacterTrigrams(["abcd", "xyz"]).score(["abcd", "bcde", "", "ab", "qqq", "abcx"])
    np.testing.assert_allclose(scores, [0, 0.5, 0, 0, 1, 0.5])


def test_every_baseline_finds_foreign_lines():
    found = fit_baselines(iter(TRAIN))
    assert {"character_trigrams", "tfidf_nearest_neighbour"} < set(found)
    labels = [0] * 50 + [1, 1]
    for name, baseline in found.items():
        scores = baseline.score(TODAY)
        assert scores.shape == (52,), name
        if name != "isolation_forest":  # which may take rare words for ordinary ones
            assert detection_metrics(labels, {"": scores})["auc"] == 1, name
        np.testing.assert_array_equal(scores, fit_baselines(iter(TRAIN))[name].score(TODAY), name)
        assert baseline.score([]).shape == (0,)
    near = found["tfidf_nearest_neighbour"].score(["install package1 done", "other words"])
    np.testing.assert_allclose(near, [0, 1], atol=1e-9)


def test_so_many_texts_are_remembered(monkeypatch):
    monkeypatch.setattr(anomaly_baselines, "MOST_TEXTS", 20)
    found = fit_baselines(iter(TRAIN))
    known = found["tfidf_nearest_neighbour"].score(TRAIN) < 1e-9
    assert 20 <= known.sum() < 200
    assert (found["character_trigrams"].score(TRAIN) == 0).all()


def test_texts_without_words_are_told():
    with pytest.raises(ValueError, match="expected texts with words in the train split, found none"):
        fit_baselines(["--", "", "?"])


def test_metrics_by_hand():
    found = detection_metrics([0, 1, 0, 1], {"": np.array([1, 4, 3, 2.0]), "other": np.array([1, np.nan, 2, 3.0])})
    expected = {"lines": 4, "anomalies": 2, "auc": 0.75, "average_precision": (1 + 2 / 3) / 2}
    assert found == pytest.approx(expected | {"other_auc": 1, "other_average_precision": 1})
    for labels in ([0, 0], [1, 1], []):
        with pytest.raises(ValueError, match="expected labels of both kinds"):
            detection_metrics(labels, {"": np.zeros(len(labels))})
