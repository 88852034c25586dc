"""What others need to store the same texts without loss, in bits per token: compressors and a trigram model."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from textae.data.preparation import in_portions
from textae.data.special_tokens import END_ID
from textae.data.tokenizers import Tokenizer

MOST_TRAIN_TOKENS = 1 << 24  # that a trigram model is trained on: it holds some numbers for each
MOST_CHARACTERS = 1 << 24  # of documents that are compressed, in whole portions
_PORTION = 1 << 20  # characters


class CompressedText:
    """The sizes of texts as one file, a line for each text, compressed by `xz -9e` and `bzip2 -9`.

    Texts are added in portions; only the compressors' own state is held.
    """

    def __init__(self) -> None:
        self._compressors: dict[str, Any] = {
            "xz": lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME),
            "bz2": bz2.BZ2Compressor(9),
        }
        self._bytes = dict.fromkeys(self._compressors, 0)

    def add(self, texts: Iterable[str]) -> None:
        """Add lines."""
        content = "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogatepass")
        for name, compressor in self._compressors.items():
            self._bytes[name] += len(compressor.compress(content))

    def bits(self) -> dict[str, int]:
        """Return the size in bits by compressor; no text can be added afterwards."""
        for name, compressor in self._compressors.items():
            self._bytes[name] += len(compressor.flush())
        return {name: 8 * count for name, count in self._bytes.items()}


class TrigramModel:
    """A model of the next token given the two before it: interpolated Kneser-Ney smoothing.

    Chen and Goodman, "An empirical study of smoothing techniques for language modeling" (1999): one discount
    n1 / (n1 + 2 n2) for each order, and at the end of the interpolation all tokens alike. A document is its tokens and
    the end, after two tokens of no text.

    Args:
        documents: ids without the end; not more than `MOST_TRAIN_TOKENS` tokens of them are read.
        vocabulary_size: ids are below it.
    """

    def __init__(self, documents: Iterable[np.ndarray], vocabulary_size: int) -> None:
        self.vocabulary_size = vocabulary_size
        self._base = vocabulary_size + 1  # with the token in front of texts
        parts: list[np.ndarray] = []
        self.train_tokens = 0
        for ids in documents:
            if self.train_tokens + len(ids) + 1 > MOST_TRAIN_TOKENS:
                break
            self.train_tokens += len(ids) + 1
            parts.append(self._keys(ids))
        keys, counts = _counted(np.concatenate([np.zeros(0, np.int64), *parts]))
        del parts
        pairs, pair_counts = _counted(keys % self._base**2)  # in how many contexts each pair was seen
        self._tables = [
            _Table(keys, counts, self._base),
            _Table(pairs, pair_counts, self._base),
            _Table(*_counted(pairs % self._base), self._base),
        ]

    def _keys(self, ids: np.ndarray) -> np.ndarray:
        """Return a number for each token of a document with the two before it, (tokens,)."""
        padded = np.concatenate([[self.vocabulary_size] * 2, np.asarray(ids, np.int64), [END_ID]]).astype(np.int64)
        return (padded[:-2] * self._base + padded[1:-1]) * self._base + padded[2:]

    def probabilities(self, keys: np.ndarray) -> np.ndarray:
        """Return the probability of each token after its two, both in the numbers of `_keys`."""
        result = np.full(len(keys), 1 / self.vocabulary_size)
        for table, own in zip(self._tables[::-1], (keys % self._base, keys % self._base**2, keys), strict=True):
            result = table.interpolated(own, result)
        return result

    def bits(self, ids: np.ndarray) -> float:
        """Return the bits of a document, its end among them."""
        return float(-np.log2(self.probabilities(self._keys(ids))).sum())


class _Table:
    """Counts of one order: of numbers, whose remainder by `base` is a token and whose quotient is its context."""

    def __init__(self, keys: np.ndarray, counts: np.ndarray, base: int) -> None:
        self.keys, self.counts, self.base = keys, counts, base
        self.contexts, first = np.unique(keys // base, return_index=True)
        self.totals = np.add.reduceat(counts, first) if len(first) else np.zeros(0, np.int64)
        self.kinds = np.diff(np.append(first, len(keys)))
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        self.discount = once / (once + 2 * twice) if once and twice else 0.5

    def interpolated(self, keys: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Return probabilities from those of the next lower order; a context that was not seen has these."""
        context, known = _found(self.contexts, keys // self.base)
        place, seen = _found(self.keys, keys)
        counts = np.where(seen, self.counts[place] if len(self.counts) else 0, 0)
        totals = np.where(known, self.totals[context] if len(self.totals) else 1, 1)
        kinds = np.where(known, self.kinds[context] if len(self.kinds) else 0, 0)
        own = (np.maximum(counts - self.discount, 0) + self.discount * kinds * lower) / totals
        return np.where(known, own, lower)


def _counted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(keys, return_counts=True)


def _found(ordered: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each number stands, or an index that is valid, and whether it is there."""
    place = np.minimum(np.searchsorted(ordered, wanted), max(len(ordered) - 1, 0))
    return place, (ordered[place] == wanted if len(ordered) else np.zeros(len(wanted), bool))


def bits_per_token(
    texts: Iterable[str],
    train: Iterable[str],
    tokenizer: Tokenizer,
    left_out: Callable[[np.ndarray], bool] = lambda ids: False,
) -> dict[str, float]:
    """Return what `xz`, `bz2` and a trigram model need for documents, in bits per token, the end of each counted.

    Args:
        texts: the documents; those of the first `MOST_CHARACTERS` characters are read.
        train: other documents, that the trigram model is trained on: of the first `MOST_TRAIN_TOKENS` tokens.
        tokenizer: whose tokens are counted.
        left_out: whether a document of these ids, without the end, is not counted.

    Raises:
        ValueError: no documents.
    """
    ids_of_train = (ids for portion in in_portions(train, _PORTION) for ids in tokenizer.encode(portion))
    trigram, compressed = TrigramModel(ids_of_train, tokenizer.vocabulary_size), CompressedText()
    trigram_bits, tokens, characters = 0.0, 0, 0
    for portion in in_portions(texts, _PORTION):
        kept = [pair for pair in zip(portion, tokenizer.encode(portion), strict=True) if not left_out(pair[1])]
        compressed.add(text for text, _ in kept)
        trigram_bits += sum(trigram.bits(ids) for _, ids in kept)
        tokens += sum(len(ids) + 1 for _, ids in kept)
        characters += sum(map(len, portion))
        if characters >= MOST_CHARACTERS:
            break
    if not tokens:
        raise ValueError("expected documents to compress, found none")
    return {name: value / tokens for name, value in {**compressed.bits(), "trigram": trigram_bits}.items()}
