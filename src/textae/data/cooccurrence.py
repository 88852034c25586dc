"""Vectors of token ids from the ids that occur near them: positive pointwise mutual information, factorised.

Levy and Goldberg (NIPS 2014) show that word2vec factorises such a matrix implicitly; here it is done in closed form, by
the singular value decomposition of Levy, Goldberg and Dagan (TACL 2015), with their smoothing of contexts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from textae.data.token_store import TokenStore

WINDOW = 64  # tokens that count as near each other: a short text, or a part of a longer one
MOST_PAIRS = 50_000_000  # of tokens near each other; windows beyond them are left out
SMOOTHING = 0.75  # the power of the contexts' frequencies
SINGULAR_POWER = 0.5  # of the singular values in the vectors
RARITY = 1e-3  # `a` of the weights a / (a + p) of a token of frequency p (Arora et al., ICLR 2017)


def cooccurrence_vectors(store: TokenStore, size: int, seed: int = 0) -> np.ndarray:
    """Return float32 (vocabulary, size): the vectors of ids, 0 for ids that occur near no other.

    Their mean over a text, frequent tokens weighted less, says what the text is about. Columns beyond the rank of the
    matrix are 0.

    Args:
        store: documents.
        size: dimensions.
        seed: of the random projection that begins the decomposition.
    """
    from sklearn.utils.extmath import randomized_svd  # it takes a second, which trainings without it save

    decomposed: Any = randomized_svd  # whose own types know "auto" alone as `n_iter`
    near, counts = _near(store)
    shares = counts / max(counts.sum(), 1)
    information = _positive_information(near)
    rank = min(size, store.vocabulary_size - 1)
    vectors = np.zeros((store.vocabulary_size, size), np.float32)
    if information.nnz:
        left, values, _ = decomposed(information, rank, n_iter=3, random_state=seed)
        vectors[:, :rank] = left * values**SINGULAR_POWER
    return vectors * (RARITY / (RARITY + shares))[:, None].astype(np.float32)


def _near(store: TokenStore) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return how often ids are near each other, (vocabulary, vocabulary), and how often each occurs.

    Each token counts once in all, whatever the length of its window; a token is not near itself.
    """
    vocabulary = store.vocabulary_size
    total, counts = sparse.csr_matrix((vocabulary, vocabulary), dtype=np.float32), np.zeros(vocabulary)
    for bags in _windows(store):
        lengths = np.asarray(bags.sum(axis=1)).ravel()
        weights = 1 / np.maximum(lengths - 1, 1)
        scaled = sparse.diags(weights).astype(np.float32) @ bags
        total = total + (bags.T @ scaled).tocsr()
        itself = np.asarray(scaled.sum(axis=0)).ravel().astype(np.float32)
        total = total - sparse.diags(itself, format="csr")
        counts += np.asarray(bags.sum(axis=0)).ravel()
    return total, counts


def _windows(store: TokenStore) -> Iterator[sparse.csr_matrix]:
    """Yield bags of ids, (windows, vocabulary), some windows at a time."""
    pairs, ids, ends = 0, [], [0]
    for document in store:
        for start in range(0, len(document), WINDOW):
            window = document[start : start + WINDOW]
            pairs += len(window) ** 2
            ids.append(window)
            ends.append(ends[-1] + len(window))
        if ends[-1] > 1 << 20 or pairs > MOST_PAIRS:
            yield _bags(ids, ends, store.vocabulary_size)
            ids, ends = [], [0]
        if pairs > MOST_PAIRS:
            return
    if ids:
        yield _bags(ids, ends, store.vocabulary_size)


def _bags(ids: list[np.ndarray], ends: list[int], vocabulary: int) -> sparse.csr_matrix:
    columns = np.concatenate(ids)
    bags = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, ends), (len(ids), vocabulary))
    bags.sum_duplicates()
    return bags


def _positive_information(near: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the positive pointwise mutual information of ids and the ids near them (nats)."""
    rows = np.asarray(near.sum(axis=1)).ravel()
    contexts = rows**SMOOTHING
    contexts = contexts / max(contexts.sum(), 1e-12)
    found = near.tocoo()
    kept = found.data > 1e-6  # what is left of a token and itself
    row, column, value = found.row[kept], found.col[kept], found.data[kept]
    information = np.log(value / (rows[row] * contexts[column]))
    kept = information > 0
    return sparse.csr_matrix((information[kept].astype(np.float32), (row[kept], column[kept])), near.shape)
