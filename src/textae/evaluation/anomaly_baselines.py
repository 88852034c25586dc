"""Detectors of anomalies that need no trained model: what a model's scores have to beat.

Each is fitted to the train split and gives a text a score, which is high for an anomaly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from textae.data.tokenizers import Tokenizer
from textae.inference.anomalies import Detector

MOST_TEXTS = 50_000  # different texts that a baseline is fitted to, chosen evenly
COMPONENTS = 64  # of the words, that the isolation forest reads
TREES = 200


class Baseline(Protocol):
    """Scores texts, one float each."""

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Return float64 (texts,)."""
        ...


class CharacterTrigrams:
    """The share of a text's different character trigrams that no text of the train split has."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._seen: set[str] = set().union(*map(_trigrams, texts))

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Return float64 (texts,)."""
        found = [_trigrams(text) for text in texts]
        return np.array([len(own - self._seen) / max(len(own), 1) for own in found])


class NearestNeighbour:
    """One minus the cosine of a text's word TF-IDF and that of the nearest text of the train split."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = _vectorizer()
        self._nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(self._words.fit_transform(texts))

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Return float64 (texts,)."""
        if not len(texts):
            return np.zeros(0)
        return self._nearest.kneighbors(self._words.transform(texts))[0].ravel()


class Forest:
    """Isolation forest (Liu et al., 2008) over word TF-IDF reduced by a truncated singular value decomposition."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = _vectorizer()
        features = self._words.fit_transform(texts)
        size = min(COMPONENTS, features.shape[1] - 1, len(texts) - 1)
        self._reduce = TruncatedSVD(size, random_state=0) if size > 0 else None
        self._forest = IsolationForest(n_estimators=TREES, random_state=0).fit(self._reduced(features, fit=True))

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Return float64 (texts,)."""
        if not len(texts):
            return np.zeros(0)
        return -self._forest.score_samples(self._reduced(self._words.transform(texts)))

    def _reduced(self, features: Any, fit: bool = False) -> np.ndarray:
        if self._reduce is None:  # texts of one word
            return features.toarray()
        return self._reduce.fit_transform(features) if fit else self._reduce.transform(features)


class Drain:
    """How rare a text's template is in the train split, -log of its share; templates by Drain (He et al., 2017)."""

    def __init__(self, texts: Iterable[str]) -> None:
        from drain3 import TemplateMiner  # pyright: ignore[reportMissingImports]  # optional
        from drain3.template_miner_config import TemplateMinerConfig  # pyright: ignore[reportMissingImports]  # optional

        self._miner, self._count = TemplateMiner(config=TemplateMinerConfig()), 0
        for text in texts:
            self._miner.add_log_message(text)
            self._count += 1

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Return float64 (texts,)."""
        matched = [self._miner.match(text) for text in texts]
        sizes = np.array([found.size if found else 0 for found in matched])
        return np.log(self._count + 1) - np.log(sizes + 1)


def fit_baselines(texts: Iterable[str], seed: int = 0) -> dict[str, Baseline]:
    """Return the baselines fitted to the texts, by the names of their metrics.

    Drain is among them where the package drain3 is installed. Of more than `MOST_TEXTS` different texts so many,
    chosen by the seed, are remembered; all trigrams and templates are.

    Raises:
        ValueError: no text has a word.
    """
    sample = _Sample(seed)
    trigrams = CharacterTrigrams(sample.passing(texts))
    if not any(map(_vectorizer().build_analyzer(), sample.texts)):
        raise ValueError("expected texts with words in the train split, found none")
    found: dict[str, Baseline] = {
        "character_trigrams": trigrams,
        "tfidf_nearest_neighbour": NearestNeighbour(sample.texts),
        "isolation_forest": Forest(sample.texts),
    }
    if find_spec("drain3") is not None:
        found["drain"] = Drain(sample.texts)
    return found


def baseline_detectors(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, Detector]:
    """Return the detectors of the baselines, fitted to the texts; they read texts as the model's tokenizer does.

    Raises:
        ValueError: as `fit_baselines`.
    """
    return {
        name: lambda lines, baseline=baseline: baseline.score([*map(tokenizer.normalize, lines)])
        for name, baseline in fit_baselines(map(tokenizer.normalize, texts)).items()
    }


def detection_metrics(labels: Sequence[int], scores: Mapping[str, np.ndarray]) -> dict[str, float | int]:
    """Return the area under the ROC curve (`auc`) and the average precision of each detector's scores.

    A score that is no number counts as higher than all others.

    Args:
        labels: 1 for an anomaly, 0 for an ordinary text.
        scores: of each detector; the name "" is the model's.

    Raises:
        ValueError: the labels are all equal.
    """
    truth = np.asarray(labels)
    anomalies = int(truth.sum())
    if not 0 < anomalies < len(truth):
        raise ValueError(f"expected labels of both kinds, found {anomalies:,} anomalies among {len(truth):,} lines")
    found: dict[str, float | int] = {"lines": len(truth), "anomalies": anomalies}
    for name, values in scores.items():
        prefix = f"{name}_" if name else ""
        ranked = np.nan_to_num(values, nan=np.finfo(np.float64).max)
        found[f"{prefix}auc"] = float(roc_auc_score(truth, ranked))
        found[f"{prefix}average_precision"] = float(average_precision_score(truth, ranked))
    return found


class _Sample:
    """An even sample of texts that pass by (Vitter's algorithm R)."""

    def __init__(self, seed: int) -> None:
        self.texts: list[str] = []
        self._random, self._seen = np.random.default_rng(seed), 0

    def passing(self, texts: Iterable[str]) -> Iterable[str]:
        for text in texts:
            self._seen += 1
            if len(self.texts) < MOST_TEXTS:
                self.texts.append(text)
            elif (place := int(self._random.integers(self._seen))) < MOST_TEXTS:
                self.texts[place] = text
            yield text


def _trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def _vectorizer() -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+", lowercase=False)
