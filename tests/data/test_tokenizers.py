import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textae.data.tokenizers import (
    KINDS,
    CharactersTokenizer,
    WordsTokenizer,
    load_tokenizer,
    loading,
    sampling,
    train_tokenizer,
)
from textae.data.tokenizers.numbers import normalize_numbers
from textae.data.tokenizers.sampling import LONGEST_TRAINING_LINE, training_sample

pytestmark = pytest.mark.backend_free

WORDS = [
    "the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "some", "of", "them", "sleep",
    "while", "others", "sing", "loudly", "at", "night",
]  # fmt: skip
TEXTS = [
    " ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(1, 12)) + (".\n    Indented é\n" if i % 3 else " €5 😀")
    for i in range(200)
]
LOSSLESS = ("unigram", "bpe", "bytes", "characters")
SIZES = {"unigram": 330, "bpe": 330, "bytes": None, "characters": None, "words": None}
HARD = [
    "", " ", "  a  b  ", "\0", "a\0b", "\u2581", "\u2581\u2581 \u2581", "\x10", "\x10u", "\x10d\u2581\x10",
    "\ufffd", "\u2028x\u2029", "\ufeffx", "\r\n\t\n ", "שלום עולם", "مرحبا", "e\u0301\u0301",
    "\U0001f469\u200d\U0001f467\ufe0f", "\uffff\U0010ffff\ufdd0", "<s></s><unk><pad><0x41>", "\u2585",
    "\x85\x0b\x0c\x1c", "x" * 5000, "\n" * 300,
]  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    return {kind: train_tokenizer(kind, TEXTS, size) for kind, size in SIZES.items()}


def same(tokenizer, texts):
    ids = tokenizer.encode(texts)
    for array in ids:
        assert array.dtype == np.int32 and array.ndim == 1
        assert array.size == 0 or (array.min() > 1 and array.max() < tokenizer.vocabulary_size)
    return tokenizer.decode(ids) == list(texts)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_text_comes_back(trained, kind):
    tokenizer = trained[kind]
    assert tokenizer.lossless
    assert same(tokenizer, HARD)
    assert same(tokenizer, TEXTS)
    assert same(tokenizer, [])

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \u2581\x10ud\n\0é")))))
    @example(HARD)
    def check(texts):
        assert same(tokenizer, texts)

    check()


@pytest.mark.parametrize("kind", LOSSLESS)
def test_ids_are_exact_pieces_of_the_text_alone(trained, kind):
    together = trained[kind].encode(TEXTS[:7] + HARD)
    for text, ids in zip(TEXTS[:7] + HARD, together, strict=True):
        np.testing.assert_array_equal(trained[kind].encode([text])[0], ids)


def test_values_of_bytes_and_characters(trained):
    np.testing.assert_array_equal(trained["bytes"].encode(["Aé"])[0], [67, 0xC3 + 2, 0xA9 + 2])
    assert trained["bytes"].vocabulary_size == 258
    characters = train_tokenizer("characters", ["aab", "ba€a"])
    assert characters.characters == "ab€" and characters.vocabulary_size == 261
    np.testing.assert_array_equal(characters.encode(["é€a"])[0], [0xC3 + 2, 0xA9 + 2, 260, 258])
    assert train_tokenizer("characters", ["aab", "ba€a"], 259).characters == "a"


@pytest.mark.parametrize("kind", [*LOSSLESS, "words"])
def test_pad_and_end_are_ignored_and_any_ids_decode(trained, kind):
    tokenizer = trained[kind]
    (ids,) = tokenizer.encode(["the lazy dog"])
    assert tokenizer.decode([[0, *ids[:2], 0, *ids[2:], 1, 0, 0]]) == ["the lazy dog"]
    assert tokenizer.decode([[], [0, 1, 0]]) == ["", ""]
    random = np.random.default_rng(0).integers(0, tokenizer.vocabulary_size, (20, 30))
    assert all(isinstance(text, str) and text.encode() for text in tokenizer.decode(random))
    for bad in ([-1], [tokenizer.vocabulary_size]):
        with pytest.raises(ValueError, match="ids from 0 to"):
            tokenizer.decode([bad])
    with pytest.raises(ValueError, match="1-D integer"):
        tokenizer.decode([[0.5]])


@pytest.mark.parametrize("kind", LOSSLESS)
def test_bytes_that_are_no_utf8_become_one_replacement_a_character(trained, kind):
    """Whatever a model predicts, its text is Unicode, and the same bytes are the same text for every kind."""
    tokenizer = trained[kind]
    first = tokenizer.first_text_id - 256 if kind in ("unigram", "bpe") else 2
    (word,) = tokenizer.encode(["dog"])
    texts = {
        b"\xff": "\ufffd",  # begins no character
        b"\xe6\x97": "\ufffd",  # two bytes of three
        b"\xe6\x97\xa5": "日",
        b"\xf0\x9f\x98\xe6\x97\xa5": "\ufffd日",
        b"\xe2\x28\xa1": "\ufffd(\ufffd",
        b"\xed\xa0\x80": "\ufffd\ufffd\ufffd",  # a lone surrogate is no character
        b"\xc0\xaf": "\ufffd\ufffd",  # longer than it need be
        "\ufffd".encode(): "\ufffd",
    }
    ids = [np.concatenate([word, np.frombuffer(content, np.uint8).astype(np.int32) + first, word]) for content in texts]
    assert tokenizer.decode(ids) == [f"dog{text}dog" for text in texts.values()]
    split = np.concatenate([[first + 0xE6], word, [first + 0xA5]])  # a character is not joined across others
    assert tokenizer.decode([split]) == ["\ufffddog\ufffd"]


def test_numbers_become_zeros():
    text = "2026-05-01 libc6:amd64 at 0x7f00A1, b2804ab8 in cafe/1a2b face ٣"
    assert normalize_numbers(text, "none") == text
    assert normalize_numbers(text, "digits") == "0000-00-00 libc0:amd00 at 0x0f00A0, b0000ab0 in cafe/0a0b face ٣"
    assert normalize_numbers(text, "hexadecimals") == "0000-00-00 libc0:amd00 at 0x000000, 00000000 in cafe/0000 face ٣"
    with pytest.raises(ValueError, match="one of none, digits, hexadecimals, received 'all'"):
        normalize_numbers(text, "all")


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_keeps_its_normalization_of_numbers(kind, tmp_path):
    texts = [*TEXTS, "page 12 of 0xbeef"]
    tokenizer = train_tokenizer(kind, texts, SIZES[kind], number_normalization="hexadecimals")
    tokenizer.save(tmp_path)
    for own in (tokenizer, load_tokenizer(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        assert not own.lossless and own.equals(tokenizer)
        assert own.decode(own.encode([texts[-1]])) == own.decode(own.encode(["page 00 of 0x0000"]))
        assert kind == "words" or own.decode(own.encode([texts[-1]])) == ["page 00 of 0x0000"]
    assert not tokenizer.equals(train_tokenizer(kind, texts, SIZES[kind]))
    if kind == "characters":
        assert "2" not in tokenizer.characters
    description = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(description | {"number_normalization": [1]}))
    with pytest.raises(ValueError, match="expected number_normalization among none, digits, hexadecimals"):
        load_tokenizer(tmp_path)


def test_words():
    words = train_tokenizer("words", ["b a  b\tc", "a b d"], 5)
    assert words.words == ["b", "a"] and not words.lossless and words.vocabulary_size == 5
    np.testing.assert_array_equal(words.encode([" c  b\na "])[0], [2, 3, 4])
    assert words.decode([[2, 3, 4, 1, 0]]) == ["<unk> b a"]
    assert train_tokenizer("words", ["b a c"]).vocabulary_size == 6


def test_text_begins_after_what_stands_for_no_text_of_its_own(trained):
    for kind in ("unigram", "bpe"):
        pieces, first = trained[kind]._processor, trained[kind].first_text_id
        special = [pieces.is_byte(i) or pieces.is_control(i) or pieces.is_unknown(i) for i in range(330)]
        assert special == [i < first for i in range(330)]
    assert {kind: trained[kind].first_text_id for kind in ("bytes", "characters", "words")} == {
        "bytes": 2, "characters": 258, "words": 3,
    }  # fmt: skip
    assert trained["characters"].decode([[258], [trained["characters"].vocabulary_size - 1]])[0] == " "
    assert train_tokenizer("characters", ["abc"], 258).first_text_id == 2


def test_the_words_counted_are_bounded(monkeypatch):
    monkeypatch.setattr(sampling, "COUNTED_WORDS", 20)
    words = train_tokenizer("words", [f"often rare{i} seldom{i % 3}" for i in range(500)], 4)
    assert words.words == ["often"]


@pytest.mark.parametrize("kind", [*LOSSLESS, "words"])
def test_lone_surrogates_are_refused(trained, kind):
    with pytest.raises(ValueError, match=r"lone surrogate U\+D800 at character 1 of a text of 2"):
        trained[kind].encode(["fine", "x\ud800"])
    if kind != "bytes":
        with pytest.raises(ValueError, match="lone surrogate"):
            train_tokenizer(kind, ["x\udfff y"], SIZES[kind])


@pytest.mark.parametrize("kind", ["unigram", "bpe", "characters", "words"])
def test_vocabulary_too_large_for_the_texts(kind, capfd):
    with pytest.raises(
        ValueError, match=r"^expected tokenizer.vocabulary_size of at most \d+, which the texts fill, received 9000$"
    ) as error:
        train_tokenizer(kind, TEXTS, 9000)
    largest = int(re.search(r"\d+", str(error.value))[0])
    assert train_tokenizer(kind, TEXTS, largest).vocabulary_size == largest
    assert train_tokenizer(kind, TEXTS, 9000, nearest=True).vocabulary_size == largest
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_vocabulary_too_small(kind, capfd):
    with pytest.raises(
        ValueError, match=r"^expected tokenizer.vocabulary_size of at least \d+, which .* 262$"
    ) as error:
        train_tokenizer(kind, TEXTS, 262)
    least = int(re.search(r"\d+", str(error.value))[0])
    assert train_tokenizer(kind, TEXTS, 262, nearest=True).vocabulary_size == least
    with pytest.raises(ValueError, match=r"from 259 to .* received 100"):
        train_tokenizer(kind, TEXTS, 100)
    with pytest.raises(ValueError, match="expects a vocabulary_size"):
        train_tokenizer(kind, TEXTS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["unigram", "bpe", "characters", "words"])
@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_empty_corpus(kind, texts, capfd):
    with pytest.raises(ValueError, match="received none that is not empty"):
        train_tokenizer(kind, texts, 1000)
    assert capfd.readouterr() == ("", "")


def test_bad_requests():
    with pytest.raises(ValueError, match="one of unigram, bpe"):
        train_tokenizer("wordpiece", TEXTS, 300)
    with pytest.raises(ValueError, match=r"vocabulary_size as 258 with tokenizer.kind=bytes, received 300"):
        train_tokenizer("bytes", TEXTS, 300)
    with pytest.raises(ValueError, match=r"expected tokenizer.sample_megabytes of at least 0.001, received 0"):
        train_tokenizer("unigram", TEXTS, 300, sample_megabytes=0)
    with pytest.raises(TypeError, match="texts as a list of strings, received one string of 8 characters"):
        train_tokenizer("bytes", []).encode("one text")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_training_repeats_itself(trained, kind):
    again = train_tokenizer(kind, iter(TEXTS), SIZES[kind])
    assert again.model == trained[kind].model


def test_sample_is_even_bounded_and_fixed():
    texts = [f"{i:06d}" for i in range(50_000)]
    sample = training_sample(iter(texts), 30_000)
    assert sample == training_sample(texts, 30_000)
    assert sample == sorted(sample) and 29_990 <= sum(map(len, sample)) <= 30_000
    tenths = np.bincount([int(line) // 5000 for line in sample], minlength=10)
    assert tenths.min() > 400 and tenths.max() < 600
    assert training_sample(texts, 10**9) == texts
    # Short texts get in no more easily than long ones.
    sample = training_sample((text * (1 + 49 * (i % 2)) for i, text in enumerate(texts)), 300_000)
    assert 0.4 < np.mean([len(line) == 6 for line in sample]) < 0.6


def test_long_documents_are_broken_not_dropped():
    text = "word " * 5000 + "x" * 9000 + "\n" + "last words"
    lines = training_sample([text, "", "short"], 10**6)
    assert "".join(lines) == text + "short"
    assert max(map(len, lines)) <= LONGEST_TRAINING_LINE
    # One document above the usual limit of SentencePiece still teaches its words.
    tokenizer = train_tokenizer("unigram", ["zebra ostrich " * 2000], 300, nearest=True)
    assert len(tokenizer.encode([" zebra ostrich"])[0]) <= 4


@pytest.mark.parametrize("kind", [*LOSSLESS, "words"])
def test_save_and_load(trained, kind, tmp_path):
    trained[kind].save(tmp_path / "t")
    loaded = load_tokenizer(tmp_path / "t")
    assert (loaded.kind, loaded.vocabulary_size, loaded.lossless) == (
        kind, trained[kind].vocabulary_size, trained[kind].lossless,
    )  # fmt: skip
    assert (loaded.pad_id, loaded.end_id) == (0, 1)
    for one, other in zip(loaded.encode(TEXTS + HARD), trained[kind].encode(TEXTS + HARD), strict=True):
        np.testing.assert_array_equal(one, other)
    files = {path.name for path in (tmp_path / "t").iterdir()}
    assert files == {"tokenizer.json"} | ({"tokenizer.model"} if kind in ("unigram", "bpe") else set())


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("bytes", {"kind": "morse"}, "expected a kind among"),
        ("bytes", {"format": 2}, "format 1"),
        ("bytes", {"vocabulary_size": 300}, "expected 300 ids, found 258"),
        ("characters", {"characters": "aa"}, "repetitions"),
        ("characters", {"characters": 5}, "one string"),
        ("characters", {"characters": "\ud800"}, "lone surrogate"),
        ("words", {"words": ["a", 1]}, "list of strings"),
        ("words", {"words": ["a", "a"]}, "different words"),
        ("unigram", {"model_sha256": "0"}, "tokenizer.model is not a usable tokenizer: expected sha256"),
    ],
)
def test_damaged_description(trained, kind, change, message, tmp_path):
    trained[kind].save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


def test_damaged_files(trained, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a usable tokenizer"):
        load_tokenizer(tmp_path)
    trained["bpe"].save(tmp_path)
    model = tmp_path / "tokenizer.model"
    model.write_bytes(model.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"tokenizer\.model is not a usable"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("[1")
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a usable"):
        load_tokenizer(tmp_path)
    monkeypatch.setattr(loading, "LARGEST_FILE_BYTES", 1)
    with pytest.raises(ValueError, match="at most 1 bytes, found 2"):
        load_tokenizer(tmp_path)


def test_equal_tokenizers_are_those_that_give_equal_ids(trained):
    for kind in KINDS:
        for other in KINDS:
            assert trained[kind].equals(trained[other]) == (kind == other)
    assert not CharactersTokenizer("ab").equals(CharactersTokenizer("ba"))
    assert not WordsTokenizer(["ab"]).equals(WordsTokenizer(["ab", "c"]))
