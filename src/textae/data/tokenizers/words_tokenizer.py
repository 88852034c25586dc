"""The kind "words": one id for each word of a list, one for all others; whitespace is lost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textae.data.special_tokens import SPECIAL_IDS
from textae.data.tokenizers.base import Tokenizer, utf8

UNKNOWN_WORD_ID = SPECIAL_IDS
UNKNOWN_WORD = "<unk>"


class WordsTokenizer(Tokenizer):
    """The most frequent words between whitespace and one id for all others; the whitespace itself is lost."""

    kind = "words"

    @property
    def lossless(self) -> bool:
        """False: whitespace and rare words are lost."""
        return False

    def __init__(self, words: Sequence[str]):
        self.words = list(words)
        self.vocabulary_size = UNKNOWN_WORD_ID + 1 + len(self.words)
        self.first_text_id = UNKNOWN_WORD_ID + 1 if self.words else UNKNOWN_WORD_ID
        self._ids = {word: UNKNOWN_WORD_ID + 1 + number for number, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError(f"a words tokenizer expects {len(self.words)} different words, found {len(self._ids)}")
        self._texts = ["", "", UNKNOWN_WORD, *self.words]

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        known = self._ids.get
        encoded = []
        for text in texts:
            utf8(text)
            encoded.append(np.array([known(word, UNKNOWN_WORD_ID) for word in text.split()], np.int32))
        return encoded

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        return [" ".join(map(self._texts.__getitem__, sequence.tolist())) for sequence in ids]

    def _content(self) -> list[str]:
        return self.words

    def _describe(self, description: dict, folder: Path) -> None:
        description["words"] = self.words
