"""Text metrics of reconstructions: how close decoded texts are to their originals.

All figures are computed from counts that are added up batch by batch, so memory does not grow with the texts.
A text that equals its original scores 1 (100 for corpus BLEU) in every metric, however short it is: two empty
documents are an exact match, and an empty text against anything else scores 0.
"""

import math
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics.bleu import BLEU

ORDERS = 4  # n-gram orders of BLEU
EXACT_CELLS = 10**10  # edit distances are exact up to this many pairs of items (100,000 x 100,000 characters)

# Han characters and kana count as a word each, because they are written without spaces. Otherwise white space
# and ASCII or full-width signs separate words: on ASCII text the words are those of the rouge-score package.
_ROUGE_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\s\x00-\x2f:-@\[-`{-\x7f"
    "\u3000-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff0f\U00020000-\U0003ffff]+"
)


class LengthRow(NamedTuple):
    """Quality of the documents with ``low <= length < high`` (``high`` is None for the last range)."""

    low: int
    high: int | None
    documents: int
    token_accuracy: float | None
    exact_match: float
    sentence_bleu4: float


# Scripts that are written without spaces between words. sacreBLEU's default tokenizer, 13a, splits at spaces and ASCII
# signs, so a line of them is one word, right or wrong as a whole.
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai, Lao, Burmese, Khmer
BLEU_SAMPLE = 10_000  # characters of the originals by which BLEU's tokenizer is chosen


def bleu_tokenizer(text: str) -> str:
    """Return sacreBLEU's name of the tokenizer that fits the script of a text.

    It is "zh" (each Han character is a word, the rest as in "13a") for Chinese, "char" (each character is a word) where
    most letters are of another script without spaces between words, Japanese among them, and "13a" for all others.
    """
    if text.isascii():
        return "13a"
    letters = sum(map(str.isalpha, text))
    han, kana, other = (len(pattern.findall(text)) for pattern in (_HAN, _KANA, _SPACELESS))
    if 2 * (han + kana + other) <= letters:
        return "13a"
    return "zh" if han > 10 * (kana + other) else "char"


class _CorpusBleu:
    """Counts of corpus BLEU; its tokenizer is chosen by the first `BLEU_SAMPLE` characters of the originals."""

    def __init__(self) -> None:
        self._bleu: BLEU | None = None
        self._waiting: list[tuple[str, str]] = []
        self._characters = 0
        self._correct = np.zeros(ORDERS, np.int64)
        self._total = np.zeros(ORDERS, np.int64)
        self._reconstruction_length = 0
        self._original_length = 0

    def update(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Add (original, reconstruction) pairs."""
        if self._bleu is not None:
            self._count(self._bleu, pairs)
            return
        for number, pair in enumerate(pairs, 1):
            self._waiting.append(pair)
            self._characters += len(pair[0])
            if self._characters >= BLEU_SAMPLE:
                self._choose()
                self.update(pairs[number:])
                return

    def _choose(self) -> BLEU:
        """Choose the tokenizer, and count what has waited for it."""
        sample = "".join(original for original, _ in self._waiting)[:BLEU_SAMPLE]
        self._bleu = BLEU(tokenize=bleu_tokenizer(sample), force=True)
        self._count(self._bleu, self._waiting)
        self._waiting = []
        return self._bleu

    def _count(self, bleu: BLEU, pairs: Sequence[tuple[str, str]]) -> None:
        changed = [pair for pair in pairs if pair[0] != pair[1]]
        for original, reconstruction in pairs:
            if original == reconstruction:
                length = len(bleu.tokenizer(original.rstrip()).split())
                counts = np.maximum(length - np.arange(ORDERS), 0)
                self._correct += counts
                self._total += counts
                self._reconstruction_length += length
                self._original_length += length
        if changed:
            score = bleu.corpus_score([pair[1] for pair in changed], [[pair[0] for pair in changed]])
            self._correct += score.counts
            self._total += score.totals
            self._reconstruction_length += score.sys_len
            self._original_length += score.ref_len

    def result(self) -> float:
        """Return the score of texts that are not all copies, 0-100."""
        if self._bleu is None:
            self._choose()
        score = BLEU.compute_bleu(
            self._correct.tolist(),
            self._total.tolist(),
            self._reconstruction_length,
            self._original_length,
            smooth_method="exp",
        ).score
        return min(float(score), 100.0)  # rounding gives 100.00000000000004


class TextMetrics:
    """Text metrics of (original, reconstruction) pairs, fed in batches.

    ``result()`` gives

    - ``exact_match``: share of documents reproduced character by character;
    - ``bleu``: sacreBLEU corpus BLEU with its default settings, but for the tokenizer of ``bleu_tokenizer``, 0-100;
    - ``sentence_bleu2``, ``sentence_bleu3``, ``sentence_bleu4``: means over documents, 0-1;
    - ``rouge1``, ``rouge2``: mean ROUGE-N F1 over documents, 0-1, on ``rouge_words``;
    - ``cer``, ``wer``: edit distance over all documents in characters (Unicode code points) and in
      whitespace-separated words, divided by the total length of the originals.
    """

    def __init__(self) -> None:
        self._bleu = _CorpusBleu()
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._characters = self._words = 0
        self._exact = array("b")
        self._bleu4 = array("d")
        self._lengths = array("q")
        self._right = array("q")

    def update(
        self,
        originals: Sequence[str],
        reconstructions: Sequence[str],
        lengths: Sequence[int] | None = None,
        correct: Sequence[int] | None = None,
    ) -> None:
        """Add a batch of documents.

        ``lengths`` and ``correct`` are the tokens of each document and how many of them are right; with them
        ``by_length`` sorts by tokens and gives the token accuracy, without them it sorts by words. Either
        every batch has them or none. Raises ValueError if that is broken or the sequences differ in length.
        """
        if len(originals) != len(reconstructions):
            raise ValueError(
                f"expected as many reconstructions as originals, received {len(reconstructions)} for {len(originals)}"
            )
        if not len(originals):
            return
        if (lengths is None) != (correct is None):
            raise ValueError("expected lengths and correct together, received only one of them")
        tokens_known = len(self._right) > 0
        if len(self._exact) and tokens_known != (lengths is not None):
            raise ValueError(
                "expected lengths and correct with every batch or with none, received a batch "
                + ("without them after one with them" if tokens_known else "with them after one without")
            )
        if lengths is not None and correct is not None:
            if not len(lengths) == len(correct) == len(originals):
                raise ValueError(
                    f"expected lengths and correct of {len(originals)} documents, "
                    f"received {len(lengths)} and {len(correct)}"
                )
            self._lengths.extend(int(length) for length in lengths)
            self._right.extend(int(count) for count in correct)
        self._bleu.update(list(zip(originals, reconstructions, strict=True)))
        for original, reconstruction in zip(originals, reconstructions, strict=True):
            words = original.split()
            self._characters += len(original)
            self._words += len(words)
            if lengths is None:
                self._lengths.append(len(words))
            if original == reconstruction:
                self._add_copy()
            else:
                self._add_changed(original, reconstruction, words)

    def _add_copy(self) -> None:
        self._exact.append(1)
        self._bleu4.append(1.0)
        for key in ("sentence_bleu2", "sentence_bleu3", "sentence_bleu4", "rouge1", "rouge2"):
            self._sums[key] += 1.0

    def _add_changed(self, original: str, reconstruction: str, words: list[str]) -> None:
        reconstructed_words = reconstruction.split()
        matches, totals = ngram_matches(words, reconstructed_words, ORDERS)
        bleu = [_bleu(matches, totals, len(words), len(reconstructed_words), order) for order in (2, 3, 4)]
        self._exact.append(0)
        self._bleu4.append(bleu[-1])
        for order, value in zip((2, 3, 4), bleu, strict=True):
            self._sums[f"sentence_bleu{order}"] += value
        rouge1, rouge2 = rouge(original, reconstruction)
        self._sums["rouge1"] += rouge1
        self._sums["rouge2"] += rouge2
        self._sums["cer"] += edit_distance(original, reconstruction)
        self._sums["wer"] += edit_distance(words, reconstructed_words)

    def result(self) -> dict[str, float]:
        """Return the metrics of all documents so far; raises ValueError before the first one."""
        documents = len(self._exact)
        if not documents:
            raise ValueError("expected at least one document before result(), received none")
        exact = sum(self._exact)
        means = ("sentence_bleu2", "sentence_bleu3", "sentence_bleu4", "rouge1", "rouge2")
        return {
            "exact_match": exact / documents,
            # 100 also for copies too short to hold four words, which sacreBLEU scores 0
            "bleu": self._bleu.result() if exact < documents else 100.0,
            **{key: self._sums[key] / documents for key in means},
            "cer": self._sums["cer"] / max(self._characters, 1),
            "wer": self._sums["wer"] / max(self._words, 1),
        }

    def by_length(self, edges: Sequence[int]) -> list[LengthRow]:
        """Return the quality below ``edges[0]``, between consecutive edges, and from the last edge on.

        Lengths are tokens where ``update`` was given them, otherwise words. Ranges without documents are left
        out. Raises ValueError unless the edges are positive and strictly increasing.
        """
        bounds = [0, *edges]
        if any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(f"expected positive, strictly increasing edges, received {list(edges)}")
        lengths = np.asarray(self._lengths)
        exact, bleu4 = np.asarray(self._exact), np.asarray(self._bleu4)
        ranges = np.searchsorted(np.asarray(edges, np.int64), lengths, side="right")
        rows = []
        for index, low in enumerate(bounds):
            chosen = ranges == index
            if not chosen.any():
                continue
            accuracy = None
            if len(self._right):
                accuracy = float(np.asarray(self._right)[chosen].sum() / max(lengths[chosen].sum(), 1))
            rows.append(
                LengthRow(
                    low,
                    bounds[index + 1] if index + 1 < len(bounds) else None,
                    int(chosen.sum()),
                    accuracy,
                    float(exact[chosen].mean()),
                    float(bleu4[chosen].mean()),
                )
            )
        return rows


def ngram_matches(
    original: Sequence[Hashable], reconstruction: Sequence[Hashable], orders: int
) -> tuple[list[int], list[int]]:
    """Return how many n-grams of the reconstruction the original holds, and how many there are, for each n.

    n runs from 1 to ``orders``; an n-gram counts at most as often as it stands in the original.
    """
    matches, totals = [], []
    for order in range(1, orders + 1):
        counts = Counter(zip(*(original[i:] for i in range(order)), strict=False))
        found = 0
        for ngram, count in Counter(zip(*(reconstruction[i:] for i in range(order)), strict=False)).items():
            found += min(count, counts.get(ngram, 0))
        matches.append(found)
        totals.append(max(len(reconstruction) - order + 1, 0))
    return matches, totals


def sentence_bleu(original: Sequence[Hashable], reconstruction: Sequence[Hashable], order: int) -> float:
    """Return the BLEU of one document on its words, with uniform weights over 1 to ``order``-grams, 0-1.

    Without smoothing, so one order without a match makes the score 0. NLTK's ``sentence_bleu`` does the same,
    and so does the published code of Deconvolutional Paragraph Representation Learning (Zhang et al. 2017),
    which scores each review by itself with the COCO caption scorer. Only originals of fewer words than
    ``order`` differ: there the order is lowered to their number of words, so that a copy scores 1 (NLTK: 0;
    the paper's code pads texts to four words and counts the padding as right).
    """
    matches, totals = ngram_matches(original, reconstruction, order)
    return _bleu(matches, totals, len(original), len(reconstruction), order)


def _bleu(matches: list[int], totals: list[int], original: int, reconstruction: int, order: int) -> float:
    if not original:
        return float(not reconstruction)
    order = min(order, original)
    if not all(matches[:order]):
        return 0.0
    logarithms = [math.log(match / total) for match, total in zip(matches[:order], totals, strict=False)]
    return math.exp(sum(logarithms) / order + min(0.0, 1 - original / reconstruction))


def rouge_words(text: str) -> list[str]:
    """Return the words that ROUGE compares: lower case, split at white space and at ASCII signs.

    On ASCII text these are the words of the rouge-score package. That package drops every other character;
    here letters of all scripts stay, and Han characters and kana are a word each.
    """
    return _ROUGE_WORD.findall(text.lower())


def rouge(original: str, reconstruction: str) -> tuple[float, float]:
    """Return the ROUGE-1 and ROUGE-2 F1 of one document, 0-1; equal ``rouge_words`` score 1."""
    words, reconstructed_words = rouge_words(original), rouge_words(reconstruction)
    if words == reconstructed_words:
        return 1.0, 1.0
    matches, totals = ngram_matches(words, reconstructed_words, 2)
    # F1 = 2 matches / (n-grams of one + n-grams of the other)
    rouge1 = 2 * matches[0] / max(len(words) + totals[0], 1)
    rouge2 = 2 * matches[1] / max(len(words) - 1 + totals[1], 1)
    return rouge1, rouge2


def step_sizes(texts: Sequence[str]) -> list[float]:
    """Return the edit distance of each text from the one before it, as a multiple of that of the last from the first.

    For texts on a line between two others: equal steps are even, and a sum of 1 means that none is a detour.
    """
    whole = max(edit_distance(texts[0], texts[-1]), 1)
    return [edit_distance(one, other) / whole for one, other in pairwise(texts)]


def edit_distance(
    original: Sequence[Hashable], reconstruction: Sequence[Hashable], exact_cells: int = EXACT_CELLS
) -> int:
    """Return the Levenshtein distance of two strings or two lists of words, in bounded time.

    Exact if ``len(original) * len(reconstruction) <= exact_cells`` and, for longer sequences, if the distance
    is at most ``exact_cells`` divided by the longer length (found in a band of that width). Otherwise both
    are cut into the same number of blocks whose distances are added up, which can only be too high.
    """
    longest = max(len(original), len(reconstruction))
    if len(original) * len(reconstruction) <= exact_cells:
        # The hint starts with a narrow band, which near-equal texts never leave; the result is exact anyway.
        return Levenshtein.distance(original, reconstruction, score_hint=longest // 32 + 1)
    cutoff = exact_cells // longest
    hint = cutoff // 32 + 1
    distance = Levenshtein.distance(original, reconstruction, score_cutoff=cutoff, score_hint=hint)
    if distance <= cutoff:
        return distance
    blocks = -(-longest // max(cutoff, 1))
    cuts = [(i * len(original) // blocks, i * len(reconstruction) // blocks) for i in range(blocks + 1)]
    return sum(Levenshtein.distance(original[a:b], reconstruction[c:d]) for (a, c), (b, d) in pairwise(cuts))
