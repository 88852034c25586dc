"""Is this sentence in this paragraph: the pairs, their features, and vectors that tell and that do not."""

import random

import numpy as np
import pytest
from scipy import sparse

from textae.evaluation.containment import pair_features, pairs_of, sentences_of
from textae.evaluation.probe import probe_containment

pytestmark = pytest.mark.backend_free

WORDS = [first + last for first in "bcdfghjklm" for last in ("ado", "eli", "iro", "omu", "uta", "yne")]


def paragraphs(count, seed=0):
    draw = random.Random(seed)
    return [" ".join(" ".join(draw.choices(WORDS, k=6)) + "." for _ in range(4)) for _ in range(count)]


def test_sentences_end_with_their_marks():
    text = "It is the first sentence. Short. Is this another sentence?\nA line is a sentence too "
    text += "这个句子也是一个独立的中文句子吧对。后面还有一个很长很长的中文句子呢对吧"
    assert sentences_of(text) == [
        "It is the first sentence.",
        "Is this another sentence?",
        "A line is a sentence too 这个句子也是一个独立的中文句子吧对。",
        "后面还有一个很长很长的中文句子呢对吧",
    ]


def test_half_of_the_pairs_are_true():
    texts = [*paragraphs(20), "One sentence is not enough."]
    pairs = pairs_of(texts)
    assert len(pairs.paragraphs) == len(pairs.sentences) == 20
    assert pairs.contained.sum() == 10
    for paragraph, sentence, contained in zip(*pairs, strict=True):
        assert (sentence in paragraph) == contained
    assert pairs_of(texts).sentences == pairs.sentences != pairs_of(texts, seed=1).sentences


def test_features_are_of_unit_vectors():
    one, other = np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 5.0]])
    expected = [[0.6, 0, 0.4, 0.8, 0.6], [0, 1, 0, 0, 1]]
    np.testing.assert_allclose(pair_features(one, other), expected)
    found = pair_features(sparse.csr_matrix(one), sparse.csr_matrix(other))
    np.testing.assert_allclose(found.toarray(), expected)


def test_words_tell_and_lengths_do_not():
    splits = {name: paragraphs(200, seed) for seed, name in enumerate(("train", "validation", "test"))}
    by_length = probe_containment(lambda texts: np.array([[len(text), 1.0] for text in texts]), splits)
    assert by_length["bag_of_words_accuracy"] > 0.95
    assert abs(by_length["accuracy"] - 0.5) < 0.15
    assert by_length["majority_accuracy"] == 0.5
    assert by_length["test_documents"] == 200
    seen = np.random.default_rng(0).standard_normal((len(WORDS), 50))

    def by_words(texts):
        return np.stack([sum(seen[WORDS.index(w)] for w in text.replace(".", "").split()) for text in texts])

    assert probe_containment(by_words, splits, compared=[])["accuracy"] > 0.85
    with pytest.raises(ValueError, match="texts of 3 sentences or more in the test split, found 0"):
        probe_containment(by_words, splits | {"test": ["one sentence alone."]})
