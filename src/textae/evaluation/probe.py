"""A linear classifier on frozen features beside one on a bag of words: does a code say what a text is about?"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

Labelled = tuple[list[str], list[Any]]  # texts and their labels

STRENGTHS = tuple(10.0**power for power in range(-4, 4))  # inverse regularizations that are tried
MOST_WORDS = 100_000  # of the bag


def sample(texts: Iterable[str], labels: Iterable[Any], size: int, count: int | None, seed: int = 0) -> Labelled:
    """Return `count` of `size` labelled texts, chosen by the seed, in their order; all of them for None.

    A smaller sample is part of a larger one of the same seed.
    """
    chosen = set(np.random.default_rng(seed).permutation(size)[: size if count is None else count].tolist())
    pairs = [pair for i, pair in enumerate(zip(texts, labels, strict=True)) if i in chosen]
    return [text for text, _ in pairs], [label for _, label in pairs]


def pooled(latents: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Return features (texts, features): a text's vector, or the mean and the maximum over its blocks, end to end."""
    if isinstance(latents, np.ndarray):
        return latents
    return np.stack([np.concatenate([blocks.mean(axis=0), blocks.max(axis=0)]) for blocks in latents])


def probe(encode: Callable[[list[str]], np.ndarray], splits: Mapping[str, Labelled]) -> dict[str, Any]:
    """Classify by features and by words, fitted on train, and return the accuracies on test.

    Both are logistic regression, whose regularization the validation split chooses. Features are standardized by the
    train split; words are weighted by TF-IDF with logarithmic counts.

    Args:
        encode: gives the features, (texts, features).
        splits: train, validation and test.

    Raises:
        ValueError: a split is empty, or train has fewer than two different labels.
    """
    for split, (texts, _) in splits.items():
        if not texts:
            raise ValueError(f"expected labelled documents in the {split} split, found none")
    texts = {split: given for split, (given, _) in splits.items()}
    labels = {split: np.asarray([_class(label) for label in given]) for split, (_, given) in splits.items()}
    counts = Counter(labels["train"].tolist())
    if len(counts) < 2:
        raise ValueError(f"expected two labels or more in the train split, found {', '.join(map(repr, counts))} alone")
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+", max_features=MOST_WORDS).fit(texts["train"])
    bag = _test_accuracy({split: words.transform(given) for split, given in texts.items()}, labels)
    features = {split: np.asarray(encode(given), np.float64) for split, given in texts.items()}
    own = _test_accuracy(_standardized(features), labels)
    return {
        "accuracy": own[0],
        "bag_of_words_accuracy": bag[0],
        "majority_accuracy": float(np.mean(labels["test"] == counts.most_common(1)[0][0])),
        "inverse_regularization": own[1],
        "bag_of_words_inverse_regularization": bag[1],
        "labels": len(counts),
        "features": features["train"].shape[1],
        "words": len(words.vocabulary_),
        **{f"{split}_documents": len(given) for split, given in texts.items()},
    }


def _class(label: Any) -> Any:
    """Return a label as a class: of a number with a fraction scikit-learn would make a regression."""
    return repr(label) if isinstance(label, float) else label


def _standardized(features: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    mean, deviation = features["train"].mean(axis=0), features["train"].std(axis=0)
    deviation[deviation < 1e-9] = 1.0
    return {split: (values - mean) / deviation for split, values in features.items()}


def _test_accuracy(features: Mapping[str, Any], labels: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Return the accuracy on test and the inverse regularization, the smallest of those best on validation."""
    classifier = LogisticRegression(max_iter=1000, warm_start=True)
    found = []
    for strength in STRENGTHS:
        classifier.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(features["train"], labels["train"])
        scores = [float(classifier.score(features[split], labels[split])) for split in ("validation", "test")]
        found.append((*scores, strength))
    _, accuracy, strength = max(found, key=lambda scores: scores[0])
    return accuracy, strength
