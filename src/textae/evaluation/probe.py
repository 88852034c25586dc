"""Linear classifiers on frozen vectors beside the same on baselines: does a code say what a text is about?"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from textae.evaluation.containment import LEAST_SENTENCES, Pairs, pair_features, pairs_of
from textae.evaluation.vector_baselines import BagOfWords, Baseline, LatentSemanticAnalysis

Labelled = tuple[list[str], list[Any]]  # texts and their labels
Encode = Callable[[list[str]], Any]  # vectors of texts, (texts, features)

STRENGTHS = tuple(10.0**power for power in range(-4, 4))  # inverse regularizations that are tried


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


def probe(encode: Encode, splits: Mapping[str, Labelled], compared: Sequence[Baseline] | None = None) -> dict[str, Any]:
    """Classify texts by their vectors and by those of baselines, fitted on train, and return the accuracies on test.

    All are logistic regression, whose regularization the validation split chooses. Dense features are standardized by
    the train split.

    Args:
        encode: gives the vectors, (texts, features).
        splits: train, validation and test.
        compared: the baselines; None: a bag of words, and latent semantic analysis of as many features.

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
    found = _compared(texts, encode, lambda embed, given: embed(given), labels, compared)
    return found | {
        "majority_accuracy": float(np.mean(labels["test"] == counts.most_common(1)[0][0])),
        "labels": len(counts),
        **{f"{split}_documents": len(given) for split, given in texts.items()},
    }


def probe_containment(
    encode: Encode, splits: Mapping[str, list[str]], seed: int = 0, compared: Sequence[Baseline] | None = None
) -> dict[str, Any]:
    """Tell from two vectors whether a sentence is of a paragraph, and return the accuracies on test.

    Half of the pairs are true. The classifiers are those of `probe`, of products and distances of both vectors.

    Args:
        encode, compared: as in `probe`.
        splits: texts of train, validation and test.
        seed: of the choice of sentences.

    Raises:
        ValueError: a split has fewer than two texts of several sentences.
    """
    pairs = {split: pairs_of(texts, seed) for split, texts in splits.items()}
    for split, given in pairs.items():
        if len(given.contained) < 2 or given.contained.all():
            raise ValueError(
                f"expected texts of {LEAST_SENTENCES} sentences or more in the {split} split, "
                f"found {len(given.contained)}"
            )
    labels = {split: given.contained for split, given in pairs.items()}

    def features(embed: Encode, given: Pairs) -> Any:
        return pair_features(embed(given.paragraphs), embed(given.sentences))

    found = _compared(pairs, encode, features, labels, compared, {split: p.paragraphs for split, p in pairs.items()})
    return found | {
        "majority_accuracy": float(max(labels["test"].mean(), 1 - labels["test"].mean())),
        **{f"{split}_documents": len(given.contained) for split, given in pairs.items()},
    }


def _compared(
    given: Mapping[str, Any],
    encode: Encode,
    features: Callable[[Encode, Any], Any],
    labels: Mapping[str, np.ndarray],
    compared: Sequence[Baseline] | None,
    fitted_on: Mapping[str, list[str]] | None = None,
) -> dict[str, Any]:
    """Return the accuracy of the features of `encode`, and as `NAME_accuracy` those of the baselines.

    Args:
        given: of each split what `features` takes.
        features: makes the features of a split, given what makes vectors of texts.
        fitted_on: the texts of each split, whose train split baselines are fitted on; None: `given`.
        encode, labels, compared: as in `probe`.
    """
    own = {split: np.asarray(features(encode, some), np.float64) for split, some in given.items()}
    accuracy, strength = _test_accuracy(_standardized(own), labels)
    size = np.asarray(encode((fitted_on or given)["train"][:1])).shape[1]
    found = {"accuracy": accuracy, "inverse_regularization": strength, "features": size}
    for baseline in [BagOfWords(), LatentSemanticAnalysis(BagOfWords(), size)] if compared is None else compared:
        baseline.fit((fitted_on or given)["train"])
        made = {split: features(baseline, some) for split, some in given.items()}
        values = made if sparse.issparse(made["train"]) else _standardized(made)
        accuracy, strength = _test_accuracy(values, labels)
        found[f"{baseline.name}_accuracy"] = accuracy
        found[f"{baseline.name}_inverse_regularization"] = strength
        if isinstance(baseline, BagOfWords):
            found["words"] = baseline.words
    return found


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
