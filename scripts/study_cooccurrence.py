"""Which matrix of co-occurrences gives the best vectors? A linear probe on their mean over a text, without training.

    python scripts/study_cooccurrence.py snippets.csv

The CSV file has the columns `text` and `label` (scripts/labelled_corpora.py writes some). Prints the accuracy on
validation and test, 10 and 20 % of the texts, for each variant of what `textae.data.cooccurrence` factorises.
"""

import csv
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.utils.extmath import randomized_svd

SIZE, RARITY = 256, 1e-3
STRENGTHS = (1e-3, 1e-2, 1e-1)  # inverse regularizations that are tried
Bags = Callable[[list[str], int | None], sparse.csr_matrix]

VARIANTS: dict[str, dict[str, Any]] = {
    "the default": {},
    "a token near itself too": {"itself": 1.0},
    "contexts not smoothed": {"smoothing": 1.0},
    "shifted by 1 nat": {"shift": 1.0},
    "16 tokens near": {"window": 16},
    "16,384 tokens": {"vocabulary": 16384},
    "words in lower case": {"vocabulary": None},
}


def tokens(texts: list[str], vocabulary: int) -> Bags:
    """Return what counts the unigram tokens of texts, or of their windows of some tokens."""
    with tempfile.TemporaryDirectory() as folder:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([t[i : i + 4000] for t in texts for i in range(0, len(t), 4000)]),
            model_prefix=f"{folder}/tokenizer", vocab_size=vocabulary, hard_vocab_limit=False,
            character_coverage=0.9995, num_threads=2, minloglevel=2,
        )  # fmt: skip
        model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/tokenizer.model")

    def bags(some: list[str], window: int | None) -> sparse.csr_matrix:
        documents = model.encode(some)
        if window:
            documents = [d[i : i + window] for d in documents for i in range(0, max(len(d), 1), window)]
        found = [np.unique(d, return_counts=True) for d in documents]
        ends = np.cumsum([0] + [len(ids) for ids, _ in found])
        counts, ids = (np.concatenate([pair[i] for pair in found]) for i in (1, 0))
        return sparse.csr_matrix((counts.astype("f4"), ids.astype("i4"), ends), (len(documents), model.vocab_size()))

    return bags


def words(texts: list[str]) -> Bags:
    """Return what counts the words of texts, in lower case, and marks; the whole text is near."""
    counter = CountVectorizer(token_pattern=r"\w+|[^\w\s]", max_features=25000).fit(texts)
    return lambda some, window: counter.transform(some).astype("f4").tocsr()


def vectors(bags: sparse.csr_matrix, smoothing: float, itself: float, shift: float) -> np.ndarray:
    """Return the left singular vectors of positive pointwise mutual information, (vocabulary, SIZE)."""
    scaled = sparse.diags(1 / np.maximum(np.asarray(bags.sum(1)).ravel() - 1, 1)).astype("f4") @ bags
    own = (1 - itself) * np.asarray(scaled.sum(0)).ravel().astype("f4")
    near = ((bags.T @ scaled).tocsr() - sparse.diags(own, format="csr")).tocoo()
    rows = np.asarray(near.sum(1)).ravel() + 1e-9
    contexts = rows**smoothing / (rows**smoothing).sum()
    kept = near.data > 1e-6
    row, column = near.row[kept], near.col[kept]
    information = np.log(near.data[kept] / (rows[row] * contexts[column])) - shift
    kept = information > 0
    matrix = sparse.csr_matrix((information[kept].astype("f4"), (row[kept], column[kept])), near.shape)
    return randomized_svd(matrix, SIZE, n_iter=3, random_state=0)[0]


def accuracies(features: list[np.ndarray], labels: list[np.ndarray]) -> tuple[float, float]:
    """Return the accuracy on validation and on test, for the regularization that is best on validation."""
    mean, deviation = features[0].mean(0), features[0].std(0) + 1e-9
    train, validation, test = ((values - mean) / deviation for values in features)
    classifier, found = LogisticRegression(max_iter=100, warm_start=True), []
    for strength in STRENGTHS:
        classifier.set_params(C=strength).fit(train, labels[0])
        found.append((classifier.score(validation, labels[1]), classifier.score(test, labels[2])))
    return max(found, key=lambda pair: pair[0])


def main(path: str) -> None:
    csv.field_size_limit(1 << 30)
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    random.Random(0).shuffle(rows)
    first, second = int(0.7 * len(rows)), int(0.8 * len(rows))
    splits = [rows[:first], rows[first:second], rows[second:]]
    texts, labels = [[text for text, _ in split] for split in splits], [np.array([y for _, y in s]) for s in splits]
    for name, variant in VARIANTS.items():
        settings = {"vocabulary": 8192, "window": 64, "smoothing": 0.75, "itself": 0.0, "shift": 0.0} | variant
        vocabulary, window = settings.pop("vocabulary"), settings.pop("window")
        bags = words(texts[0]) if vocabulary is None else tokens(texts[0], vocabulary)
        counts = [bags(split, None) for split in texts]
        shares = np.asarray(counts[0].sum(0)).ravel() / counts[0].sum()
        table = vectors(bags(texts[0], window), **settings) * (RARITY / (RARITY + shares))[:, None]
        features = [sparse.diags(1 / np.maximum(np.asarray(c.sum(1)).ravel(), 1)) @ c @ table for c in counts]
        print(f"{name}: validation {'{:.3f}, test {:.3f}'.format(*accuracies(features, labels))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
