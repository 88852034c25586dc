"""Text metrics: hand-worked values, and agreement with NLTK, sacreBLEU and rouge-score."""

import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import sentence_bleu as nltk_sentence_bleu
from rapidfuzz.distance import Levenshtein
from rouge_score import rouge_scorer
from sacrebleu import corpus_bleu

from textae.evaluation import metrics as metrics_module
from textae.evaluation.metrics import (
    LengthRow,
    TextMetrics,
    bleu_tokenizer,
    edit_distance,
    rouge,
    rouge_words,
    sentence_bleu,
)

pytestmark = pytest.mark.backend_free

ORIGINAL = "the cat sat on the mat"
CHANGED = "the cat sat on a mat"


def measured(originals, reconstructions):
    metrics = TextMetrics()
    metrics.update(originals, reconstructions)
    return metrics.result()


def test_hand_worked_document():
    # n-gram precisions 5/6, 3/5, 2/4, 1/3 and equal lengths; "the" -> "a" is 3 edits of 22 characters
    result = measured([ORIGINAL], [CHANGED])
    assert result == pytest.approx(
        {
            "exact_match": 0.0,
            "bleu": 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4),
            "sentence_bleu2": (5 / 6 * 3 / 5) ** (1 / 2),
            "sentence_bleu3": (5 / 6 * 3 / 5 * 2 / 4) ** (1 / 3),
            "sentence_bleu4": (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4),
            "rouge1": 5 / 6,
            "rouge2": 3 / 5,
            "cer": 3 / 22,
            "wer": 1 / 6,
        }
    )


def test_error_rates_divide_by_the_length_of_all_originals():
    result = measured(["abcd", "x y"], ["abcd", "x z y"])
    assert result["cer"] == pytest.approx(2 / 7)
    assert result["wer"] == pytest.approx(1 / 3)
    assert result["exact_match"] == 0.5


def test_shorter_reconstructions_pay_the_brevity_penalty():
    assert sentence_bleu(["a", "b", "c", "d", "e", "f"], ["a", "b", "c"], 2) == pytest.approx(np.exp(1 - 6 / 3))


@pytest.mark.parametrize("copy", ["", "one", "one two", "日本語です", "...", "a\tb\n", " "])
def test_a_copy_scores_full_marks_however_short(copy):
    full = dict.fromkeys(("exact_match", "sentence_bleu2", "sentence_bleu3", "sentence_bleu4"), 1.0)
    full |= {"bleu": 100.0, "rouge1": 1.0, "rouge2": 1.0, "cer": 0.0, "wer": 0.0}
    assert measured([copy], [copy]) == full


@pytest.mark.parametrize(("original", "reconstruction"), [("", "two words"), ("two words", "")])
def test_one_empty_side_scores_nothing(original, reconstruction):
    result = measured([original], [reconstruction])
    for key in ("exact_match", "bleu", "sentence_bleu2", "sentence_bleu4", "rouge1", "rouge2"):
        assert result[key] == 0.0
    assert result["cer"] == (9 if not original else 1)
    assert result["wer"] == (2 if not original else 1)


def test_one_wrong_word_is_not_credited_for_its_length():
    assert sentence_bleu(["good"], ["bad"], 4) == 0.0
    assert sentence_bleu(["good"], ["good"], 4) == 1.0


words = st.lists(st.sampled_from("abcde"), min_size=4, max_size=12)


@settings(deadline=None)
@given(words, st.lists(st.sampled_from("abcde"), max_size=12))
def test_sentence_bleu_agrees_with_nltk(original, reconstruction):
    for order in (2, 3, 4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = nltk_sentence_bleu([original], reconstruction, weights=(1 / order,) * order)
        assert sentence_bleu(original, reconstruction, order) == pytest.approx(expected, abs=1e-12)


def noisy_documents(count=60):
    """Random documents and copies, two thirds of them with words replaced, dropped and turned around."""
    rng = random.Random(5)
    vocabulary = [
        "It's",
        "the",
        "hotel",
        "was",
        ",",
        "3.5",
        "stars.",
        "naïve",
        "don't",
        "U.S.",
        "(very)",
        "a-b",
    ]
    originals = [" ".join(rng.choices(vocabulary, k=rng.randint(1, 40))) for _ in range(count)]
    noise = {word: rng.choice(["", word[::-1], "the"]) for word in vocabulary}
    reconstructions = [
        text if i % 3 == 0 else " ".join(noise[w] if rng.random() < 0.12 else w for w in text.split())
        for i, text in enumerate(originals)
    ]
    return originals, reconstructions


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_batches_give_the_corpus_bleu_of_sacrebleu(batch):
    originals, reconstructions = noisy_documents()
    metrics = TextMetrics()
    for start in range(0, len(originals), batch):
        metrics.update(originals[start : start + batch], reconstructions[start : start + batch])
    expected = corpus_bleu(reconstructions, [originals]).score
    assert 20 < expected < 95
    assert metrics.result()["bleu"] == pytest.approx(expected)


def test_rouge_agrees_with_rouge_score_on_ascii():
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2"])
    for original, reconstruction in zip(*noisy_documents(), strict=True):
        original, reconstruction = original.replace("ï", "i"), reconstruction.replace("ï", "i")
        expected = scorer.score(original, reconstruction)
        if original != reconstruction:
            assert rouge(original, reconstruction) == pytest.approx(
                (expected["rouge1"].fmeasure, expected["rouge2"].fmeasure)
            )


def test_rouge_words_keep_letters_of_every_script():
    assert rouge_words("It's 3.5, NAÏVE_x") == ["it", "s", "3", "5", "naïve", "x"]
    assert rouge_words("我喜欢 Python。") == ["我", "喜", "欢", "python"]
    assert rouge_words("हिन्दी में") == ["हिन्दी", "में"]
    assert rouge("我喜欢你", "我喜欢他")[0] == pytest.approx(3 / 4)
    assert rouge("???", "!!!") == (1.0, 1.0)


@given(st.text("ab c", max_size=30), st.text("ab c", max_size=30), st.integers(1, 200))
def test_bounded_edit_distance_is_exact_near_and_never_too_low(first, second, exact_cells):
    exact = Levenshtein.distance(first, second)
    bounded = edit_distance(first, second, exact_cells)
    longest = max(len(first), len(second))
    assert exact <= bounded <= longest
    if len(first) * len(second) <= exact_cells or exact <= exact_cells // longest:
        assert bounded == exact
    assert edit_distance(list(first), list(second)) == exact


def test_long_near_equal_texts_are_exact_beyond_the_bound():
    rng = random.Random(0)
    text = "".join(rng.choices("abcdefgh ", k=200_000))
    changed = text[1:]  # shifted by one: comparing position by position would find almost everything wrong
    assert edit_distance(text, "X" + changed[:-1] + "Y", exact_cells=10**8) == 2
    unrelated = "".join(rng.choices("ijklmnop", k=150_000))
    assert edit_distance(text, unrelated, exact_cells=10**8) <= 200_000


def test_quality_by_tokens():
    metrics = TextMetrics()
    metrics.update([ORIGINAL, "a b c d"], [CHANGED, "a b c d"], lengths=[6, 4], correct=[5, 4])
    metrics.update([ORIGINAL, ""], [ORIGINAL, ""], lengths=np.array([6, 1]), correct=np.array([6, 1]))
    bleu4 = sentence_bleu(ORIGINAL.split(), CHANGED.split(), 4)
    assert metrics.by_length([2, 6, 7]) == [
        LengthRow(0, 2, 1, 1.0, 1.0, 1.0),
        LengthRow(2, 6, 1, 1.0, 1.0, 1.0),
        LengthRow(6, 7, 2, pytest.approx(11 / 12), 0.5, pytest.approx((1 + bleu4) / 2)),
    ]


def test_quality_by_words_where_no_tokens_were_given():
    metrics = TextMetrics()
    metrics.update([ORIGINAL, "one"], [ORIGINAL, "two"])
    assert metrics.by_length([2]) == [
        LengthRow(0, 2, 1, None, 0.0, 0.0),
        LengthRow(2, None, 1, None, 1.0, 1.0),
    ]
    assert metrics.by_length([])[0][:3] == (0, None, 2)


def test_nonsense_is_refused():
    metrics = TextMetrics()
    with pytest.raises(ValueError, match="at least one document"):
        metrics.result()
    metrics.update([], [])
    with pytest.raises(ValueError, match="received 1 for 2"):
        metrics.update(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="only one of them"):
        metrics.update(["a"], ["a"], lengths=[1])
    with pytest.raises(ValueError, match="of 1 documents, received 2 and 1"):
        metrics.update(["a"], ["a"], lengths=[1, 2], correct=[1])
    metrics.update(["a"], ["a"])
    with pytest.raises(ValueError, match="after one without"):
        metrics.update(["a"], ["a"], lengths=[1], correct=[1])
    for edges in ([0, 5], [5, 5], [7, 5]):
        with pytest.raises(ValueError, match="strictly increasing"):
            metrics.by_length(edges)


CHINESE = "这是一个很短的句子。我们在河边跑步，从不睡觉。BLEU 2"
JAPANESE = "これは短い文です。私たちは川のそばを走ります。"
THAI = "นี่คือประโยคสั้นๆ เราวิ่งข้างแม่น้ำ"


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [
        ("", "13a"),
        ("plain words", "13a"),
        ("naïve Жизнь и судьба", "13a"),
        ("오늘은 날씨가 좋다", "13a"),  # words with spaces
        ("a text that names 日本 once", "13a"),
        (CHINESE, "zh"),
        (JAPANESE, "char"),
        (THAI, "char"),
        ("☃ 12 ...", "13a"),
    ],
)
def test_the_tokenizer_of_bleu_by_script(text, tokenizer):
    assert bleu_tokenizer(text) == tokenizer


@pytest.mark.parametrize(("text", "tokenizer"), [(CHINESE, "zh"), (JAPANESE, "char")])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("sample", [1, 50, 10_000])
def test_bleu_of_scripts_without_spaces(monkeypatch, text, tokenizer, batch, sample):
    """A sign that is wrong costs what sacreBLEU says, not the whole line."""
    monkeypatch.setattr(metrics_module, "BLEU_SAMPLE", sample)
    originals = [text[i:] for i in range(5)]
    reconstructions = [original[:7] + "X" + original[8:] if i % 2 else original for i, original in enumerate(originals)]
    metrics = TextMetrics()
    for first in range(0, 5, batch):
        metrics.update(originals[first : first + batch], reconstructions[first : first + batch])
    expected = corpus_bleu(reconstructions, [originals], tokenize=tokenizer).score
    assert metrics.result()["bleu"] == pytest.approx(expected)
    assert 80 < expected < 99.9
    assert corpus_bleu(reconstructions[1:2], [originals[1:2]]).score < 40


def test_the_first_texts_choose_the_tokenizer_whatever_comes_later(monkeypatch):
    monkeypatch.setattr(metrics_module, "BLEU_SAMPLE", 20)
    metrics = TextMetrics()
    metrics.update(["short", CHINESE], ["short", CHINESE])
    metrics.update([JAPANESE], [JAPANESE[:-3]])
    expected = corpus_bleu(["short", CHINESE, JAPANESE[:-3]], [["short", CHINESE, JAPANESE]], tokenize="zh").score
    assert metrics.result()["bleu"] == pytest.approx(expected)
    assert metrics.result()["bleu"] == pytest.approx(expected)
