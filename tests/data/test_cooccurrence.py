"""Vectors of tokens by what is near them: values by NumPy, and that tokens of one topic are alike."""

import numpy as np
import pytest

from textae.data import cooccurrence
from textae.data.cooccurrence import cooccurrence_vectors
from textae.data.token_store import TokenStore

pytestmark = pytest.mark.backend_free


def topics(documents=300, seed=0):
    """Texts of ids 2 to 9 or of ids 10 to 17, and id 18, which is in all of them."""
    draw = np.random.default_rng(seed)
    first = [2 + 8 * (i % 2) for i in range(documents)]
    return [[*draw.integers(start, start + 8, 6), 18] for start in first]


def test_tokens_of_a_topic_have_like_vectors():
    store = TokenStore.from_arrays(topics(), 20)
    vectors = cooccurrence_vectors(store, 4)
    unit = vectors[2:18] / np.linalg.norm(vectors[2:18], axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert cosines[:8, :8].min() > 0.5 > 0.2 > np.abs(cosines[:8, 8:]).max()
    assert np.abs(vectors[[0, 1, 19]]).max() < 1e-5  # padding, the end, and an id that does not occur
    np.testing.assert_array_equal(vectors, cooccurrence_vectors(store, 4))


def test_information_by_hand():
    """Each token of a window counts once in all, shared among the others; nothing is near itself."""
    store = TokenStore.from_arrays([[2, 2, 3], [3, 4]], 5)
    near, counts = cooccurrence._near(store)
    expected = np.zeros((5, 5))
    expected[2, 2], expected[2, 3], expected[3, 2] = 1.0, 1.0, 1.0  # of each 2, half is the other 2 and half is the 3
    expected[3, 4] = expected[4, 3] = 1.0
    np.testing.assert_allclose(near.toarray(), expected, atol=1e-6)
    assert counts.tolist() == [0, 0, 2, 2, 1]
    rows, contexts = expected.sum(1), expected.sum(1) ** 0.75 / (expected.sum(1) ** 0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(expected / (rows[:, None] * contexts))
    np.testing.assert_allclose(
        cooccurrence._positive_information(near).toarray(), np.where(information > 0, information, 0), rtol=1e-4
    )


def test_long_documents_are_windows_and_pairs_are_limited(monkeypatch):
    monkeypatch.setattr(cooccurrence, "WINDOW", 3)
    store = TokenStore.from_arrays([[2, 3, 4, 5, 6], [7, 8]], 9)
    near = cooccurrence._near(store)[0].toarray() > 1e-6
    assert [(i, j) for i, j in np.argwhere(near).tolist() if i < j] == [(2, 3), (2, 4), (3, 4), (5, 6), (7, 8)]
    monkeypatch.setattr(cooccurrence, "MOST_PAIRS", 5)
    assert cooccurrence._near(store)[1].sum() == 5  # the second document is left out


def test_more_dimensions_than_there_are_to_find():
    vectors = cooccurrence_vectors(TokenStore.from_arrays([[2, 3], [4, 5]], 6), 8)
    assert vectors.shape == (6, 8)
    assert vectors[:, :5].any()
    assert not vectors[:, 5:].any()
    assert not cooccurrence_vectors(TokenStore.from_arrays([[2], [3]], 6), 2).any()
