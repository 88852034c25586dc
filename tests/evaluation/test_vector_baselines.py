"""The baselines beside a code: what counts as a word, LSA by NumPy, and the nearest documents of each."""

import numpy as np
import pytest

from textae.evaluation.vector_baselines import (
    BagOfWords,
    LatentSemanticAnalysis,
    StaticEmbedding,
    baselines,
    nearest_by,
)

pytestmark = pytest.mark.backend_free

TEXTS = ["the cat sat on the mat", "a dog sat on a log", "cats and dogs", "the dog ate the cat", "a log, a mat, a Cat"]


def test_characters_of_chinese_are_words():
    bag = BagOfWords()
    bag.fit(["这个 book 很好", "Книга 很_好"])
    assert bag.words == len("这 个 book 很 好 книга _".split())


def test_lsa_projects_on_singular_directions():
    bag, lsa = BagOfWords(), LatentSemanticAnalysis(BagOfWords(), 2)
    bag.fit(TEXTS)
    lsa.fit(TEXTS)
    rows = bag(TEXTS).toarray()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    directions = np.linalg.svd(rows)[2][:2]
    np.testing.assert_allclose(np.abs(lsa(TEXTS)), np.abs(rows @ directions.T), atol=1e-3)


def test_lsa_of_few_texts_has_fewer_dimensions():
    lsa = LatentSemanticAnalysis(BagOfWords(), 128)
    lsa.fit(TEXTS)
    assert lsa(TEXTS).shape == (5, 4)


def test_the_nearest_document_is_the_text_itself():
    for baseline in baselines(3):
        found = nearest_by(baseline, TEXTS, 9)(["the dog ate the cat"])
        assert [len(row) for row in found] == [5]
        assert (found[0][0].number, found[0][0].text) == (3, TEXTS[3])
        assert found[0][0].similarity == pytest.approx(1, abs=1e-5)


def test_a_static_embedding_where_it_is_installed():
    pytest.importorskip("wordllama")
    static = StaticEmbedding.installed()
    assert static is not None
    vectors = static(["a good film", "an excellent movie", "the price of oil"])
    assert vectors.shape == (3, 256)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2]
