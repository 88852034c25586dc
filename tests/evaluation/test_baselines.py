"""What compressors and a trigram model need: values by hand, and probabilities that add up to 1."""

import bz2
import lzma

import numpy as np
import pytest

from textae.data.tokenizers import train_tokenizer
from textae.evaluation import baselines
from textae.evaluation.baselines import CompressedText, TrigramModel, bits_per_token

pytestmark = pytest.mark.backend_free


def test_compressors_are_those_of_python():
    texts = ["the red house", "", "naïve 日本"] * 40
    whole = "".join(f"{text}\n" for text in texts).encode()
    expected = {
        "xz": 8 * len(lzma.compress(whole, preset=9 | lzma.PRESET_EXTREME)),
        "bz2": 8 * len(bz2.compress(whole, 9)),
    }
    compressed = CompressedText()
    for first in range(0, 120, 7):
        compressed.add(texts[first : first + 7])
    assert compressed.bits() == expected


WORDS = "the a small large red blue house tree river runs sleeps sings under over near and never often".split()


def make_lines(count, seed):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, 10))) for _ in range(count)]


def documents(count, seed):
    draw = np.random.default_rng(seed)
    return [np.minimum(2 + draw.geometric(0.3, draw.integers(0, 9)), 9).astype(np.int32) for _ in range(count)]


def test_the_probabilities_of_all_tokens_add_up_to_one():
    model = TrigramModel(documents(60, 0), 10)
    for context in [(10, 10), (10, 3), (3, 3), (9, 9), (0, 7)]:  # seen often, seldom and never
        keys = (context[0] * 11 + context[1]) * 11 + np.arange(10)
        chances = model.probabilities(keys)
        assert chances.min() > 0
        assert chances.sum() == pytest.approx(1)


def test_a_trigram_by_hand():
    """Of documents "3 4" and "3 5": 3 begins both, and after 3 each of 4 and 5 came once."""
    model = TrigramModel([np.array([3, 4]), np.array([3, 5])], 8)
    # Triples: (8 8 3) twice, four others once: discount 4 / (4 + 2). Pairs, by contexts: 5 kinds, each in one context:
    # no count of 2, so 1/2. Tokens, by the pairs that they end: 3 once, 4 once, 5 once, the end twice: 3 / (3 + 2).
    uniform = 1 / 8
    one = (1 - 0.6) / 5 + 0.6 * 4 / 5 * uniform  # a 4 by itself
    two = (1 - 0.5) / 2 + 0.5 * 2 / 2 * one  # after 3
    three = (1 - 2 / 3) / 2 + 2 / 3 * 2 / 2 * two  # after two tokens of no text and 3
    keys = model._keys(np.array([3, 4]))
    assert model.probabilities(keys)[1] == pytest.approx(three)
    assert model.bits(np.array([3, 4])) == pytest.approx(-np.log2(model.probabilities(keys)).sum())


def test_more_text_of_the_kind_costs_fewer_bits():
    given, held_out = documents(2000, 1), documents(200, 2)
    few, many = TrigramModel(given[:20], 10), TrigramModel(given, 10)
    tokens = sum(len(ids) + 1 for ids in held_out)
    per_token = [sum(model.bits(ids) for ids in held_out) / tokens for model in (few, many)]
    # Each token is drawn by itself, and an end with the length: no model can do better than the entropy.
    assert per_token[1] < per_token[0] < np.log2(10)
    assert TrigramModel([], 10).bits(np.array([3, 4, 5])) == pytest.approx(4 * np.log2(10))


def test_a_part_of_a_large_corpus_is_read(monkeypatch):
    monkeypatch.setattr(baselines, "MOST_TRAIN_TOKENS", 100)
    read = []

    def stream():
        for ids in documents(1000, 3):
            read.append(ids)
            yield ids

    assert TrigramModel(stream(), 10).train_tokens <= 100
    assert len(read) < 60


def test_bits_per_token(monkeypatch):
    monkeypatch.setattr(baselines, "_PORTION", 100)
    tokenizer = train_tokenizer("bytes", [])
    texts, train = make_lines(60, 1), make_lines(300, 2)
    found = bits_per_token(iter(texts), iter(train), tokenizer)
    ids = tokenizer.encode(texts)
    model, tokens = TrigramModel(tokenizer.encode(train), tokenizer.vocabulary_size), sum(len(one) + 1 for one in ids)
    assert found["trigram"] == pytest.approx(sum(model.bits(one) for one in ids) / tokens)
    assert found["bz2"] == 8 * len(bz2.compress("".join(f"{text}\n" for text in texts).encode(), 9)) / tokens
    assert found["trigram"] < found["bz2"] < found["xz"] < 8
    short = [text for text in texts if len(text) < 30]
    left = bits_per_token(texts, train, tokenizer, lambda ids: len(ids) >= 30)
    assert left == bits_per_token(short, train, tokenizer)
    monkeypatch.setattr(baselines, "MOST_CHARACTERS", 1)
    assert bits_per_token(texts, train, tokenizer)["bz2"] > found["bz2"]  # of the first portion alone
    with pytest.raises(ValueError, match="expected documents to compress, found none"):
        bits_per_token([], train, tokenizer)
