"""What vectors of texts are compared with: TF-IDF of words, latent semantic analysis, and a static embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from textae.inference.latent_operations import Neighbour

MOST_WORDS = 100_000  # of the bag
_CHARACTERS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # of Japanese and Chinese
WORDS = rf"[{_CHARACTERS}]|[^\W{_CHARACTERS}]+"  # in scripts without spaces between words, characters


class Baseline(Protocol):
    """Vectors of texts that need no trained run; `name` is what metrics call it."""

    name: str

    def fit(self, texts: Sequence[str]) -> None:
        """Learn from the texts of the train split."""
        ...

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return (texts, features): an array, or a sparse matrix."""
        ...


class BagOfWords:
    """TF-IDF of words with logarithmic counts, as a sparse matrix of unit rows.

    Words are runs of letters and digits in lower case; each character of Japanese and Chinese counts as one.
    """

    name = "bag_of_words"

    def __init__(self) -> None:
        self._vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=WORDS, max_features=MOST_WORDS)

    @property
    def words(self) -> int:
        """How many words it knows."""
        return len(self._vectorizer.vocabulary_)

    def fit(self, texts: Sequence[str]) -> None:
        """Take the words and how many texts have each.

        Raises:
            ValueError: no text has a word.
        """
        self._vectorizer.fit(texts)

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return a sparse matrix (texts, words)."""
        return self._vectorizer.transform(texts)


class LatentSemanticAnalysis:
    """The first singular directions of a bag of words (Deerwester et al., 1990).

    Args:
        bag: the bag of words; fitted with this.
        size: dimensions; fewer, where there are fewer texts or words.
    """

    name = "lsa"

    def __init__(self, bag: BagOfWords, size: int) -> None:
        self._bag, self._size = bag, size

    def fit(self, texts: Sequence[str]) -> None:
        """Fit the bag of words, and find its directions."""
        self._bag.fit(texts)
        rows = self._bag(texts)
        size = max(1, min(self._size, min(rows.shape) - 1))
        self._directions = TruncatedSVD(size, random_state=0).fit(rows)

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return float64 (texts, size)."""
        return self._directions.transform(self._bag(texts))


class StaticEmbedding:
    """The mean of pretrained vectors of tokens: wordllama's, 256 dimensions, of the weights inside its wheel."""

    name = "static_embedding"

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def installed(cls) -> StaticEmbedding | None:
        """Return it where the package wordllama is installed with its weights, else None; nothing is downloaded."""
        try:
            import wordllama  # pyright: ignore[reportMissingImports]  # optional

            # It looks for the wheel's tokenizer in a folder of another name, but for that of a cache in the right one.
            wheel = Path(str(wordllama.__file__)).parent
            return cls(wordllama.WordLlama.load(dim=256, cache_dir=wheel, disable_download=True))
        except (ImportError, FileNotFoundError):
            return None

    def fit(self, texts: Sequence[str]) -> None:
        """Do nothing: it is pretrained."""

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return float32 (texts, 256)."""
        return np.asarray(self._model.embed(list(texts)), np.float32)


def baselines(size: int) -> Iterator[Baseline]:
    """Yield what vectors of `size` dimensions are compared with, the bag of words first."""
    yield BagOfWords()
    yield LatentSemanticAnalysis(BagOfWords(), size)
    if (static := StaticEmbedding.installed()) is not None:
        yield static


def nearest_by(
    baseline: Baseline, documents: Sequence[str], count: int
) -> Callable[[Sequence[str]], list[list[Neighbour]]]:
    """Return what finds the `count` documents nearest to each of some texts, by the cosine of a baseline's vectors.

    The baseline is fitted on the documents.
    """
    baseline.fit(documents)
    index = NearestNeighbors(n_neighbors=min(count, len(documents)), metric="cosine").fit(baseline(documents))

    def nearest(texts: Sequence[str]) -> list[list[Neighbour]]:
        distances, numbers = index.kneighbors(baseline(texts))
        return [
            [
                Neighbour(1 - float(distance), int(number), str(documents[int(number)]))
                for distance, number in zip(*row, strict=True)
            ]
            for row in zip(distances, numbers, strict=True)
        ]

    return nearest
