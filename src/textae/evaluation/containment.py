"""Is this sentence in this paragraph? What vectors of both say of it, as arXiv 1906.03656 asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

LEAST_SENTENCES = 3  # of a paragraph; the only sentence of two would be half of it
LEAST_CHARACTERS = 15  # of a sentence
_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\n+")


class Pairs(NamedTuple):
    """Paragraphs, a sentence for each, and whether the sentence is of the paragraph."""

    paragraphs: list[str]
    sentences: list[str]
    contained: np.ndarray


def sentences_of(text: str) -> list[str]:
    """Return a text's sentences, by their marks, without those of fewer than `LEAST_CHARACTERS`."""
    return [part.strip() for part in _ENDS.split(text) if len(part.strip()) >= LEAST_CHARACTERS]


def pairs_of(texts: Sequence[str], seed: int = 0) -> Pairs:
    """Return a pair for each text of `LEAST_SENTENCES` sentences or more: half with a sentence of another text.

    A sentence of another text that this one has too is not taken.
    """
    random = np.random.default_rng(seed)
    paragraphs = [(text, sentences) for text in texts if len(sentences := sentences_of(text)) >= LEAST_SENTENCES]
    chosen, contained = [], []
    for number, (text, sentences) in enumerate(paragraphs):
        own = number % 2 == 0 or len(paragraphs) < 2
        sentence = str(random.choice(sentences))
        if not own:
            other = int(random.integers(len(paragraphs) - 1))
            candidate = str(random.choice(paragraphs[other + (other >= number)][1]))
            own = candidate in text
            sentence = sentence if own else candidate
        chosen.append(sentence)
        contained.append(own)
    return Pairs([text for text, _ in paragraphs], chosen, np.array(contained, bool))


def pair_features(paragraphs: Any, sentences: Any) -> Any:
    """Return features of pairs, (pairs, 2 size + 1): products and distances of unit vectors, and the cosine.

    Args:
        paragraphs, sentences: (pairs, size), arrays or sparse matrices.
    """
    one, other = _unit(paragraphs), _unit(sentences)
    if sparse.issparse(one):
        products = one.multiply(other).tocsr()
        return sparse.hstack([products, abs(one - other), sparse.csr_matrix(products.sum(axis=1))]).tocsr()
    products = one * other
    return np.concatenate([products, np.abs(one - other), products.sum(axis=1, keepdims=True)], axis=1)


def _unit(rows: Any) -> Any:
    if sparse.issparse(rows):
        norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        return sparse.diags(1 / np.maximum(norms, 1e-12)) @ rows
    rows = np.asarray(rows, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
