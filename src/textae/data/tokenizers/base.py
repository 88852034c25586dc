"""What all tokenizers share: the special ids, cleaning of ids, the folder they are saved in."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from textae.data.fingerprints import fingerprint
from textae.data.inputs import check_list, texts_of
from textae.data.special_tokens import END_ID, PAD_ID, SPECIAL_IDS
from textae.data.tokenizers.numbers import normalize_numbers
from textae.files import write_bytes

FIRST_BYTE_ID = SPECIAL_IDS  # of "bytes" and "characters": byte b has id b + 2
FIRST_CHARACTER_ID = FIRST_BYTE_ID + 256
REPLACEMENT = "\ufffd"  # what stands for bytes that are no UTF-8, and for an unknown id
LARGEST_FILE_BYTES = 1 << 24  # of tokenizer.json and tokenizer.model; parsed they take up to thirty times as much


class Tokenizer:
    """What all kinds share: ids 0 and 1, cleaning of ids to decode, and the folder they are saved in."""

    kind: str
    pad_id: ClassVar[int] = PAD_ID
    end_id: ClassVar[int] = END_ID
    vocabulary_size: int
    number_normalization: str = "none"
    threads: int = os.cpu_count() or 1  # that `encode` and `decode` may use; the ids do not depend on it
    first_text_id: int  # ids from here on are text of their own, not bytes of a character nor an unknown word

    @property
    def lossless(self) -> bool:
        """Whether `decode` returns every text that was encoded."""
        return self.number_normalization == "none"

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Give int32 ids for each text, without the end token.

        Raises TypeError for what is no list of strings, and ValueError for a text with a lone surrogate, which is not
        Unicode text.
        """
        return self._encode([self.normalize(text) for text in texts_of(texts)])

    def normalize(self, text: str) -> str:
        """Return what is encoded of a text: the same, but for its numbers with a `number_normalization`."""
        return normalize_numbers(text, self.number_normalization)

    def decode(self, ids: Sequence[ArrayLike]) -> list[str]:
        """Give the text of each sequence of ids.

        Pad and end are left out. Texts are Unicode whatever the ids are: bytes that are no UTF-8 become U+FFFD, as
        `replaced` says.
        Raises TypeError for what is no list, and ValueError for an id outside the vocabulary.
        """
        check_list(ids, "ids", "arrays")
        cleaned = []
        for sequence in ids:
            array = np.asarray(sequence)
            if array.size and (array.dtype.kind not in "iu" or array.ndim != 1):
                raise ValueError(f"decode expects 1-D integer ids, received {array.dtype} of shape {array.shape}")
            array = array.astype(np.int64, copy=False).ravel()
            if array.size and not (array.min() >= 0 and array.max() < self.vocabulary_size):
                raise ValueError(
                    f"decode expects ids from 0 to {self.vocabulary_size - 1}, received {array.min()} to {array.max()}"
                )
            cleaned.append(array[array > END_ID])
        return self._decode(cleaned)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, and tokenizer.model for the SentencePiece kinds, into the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        description = {"format": 1, "kind": self.kind, "vocabulary_size": self.vocabulary_size}
        if self.number_normalization != "none":
            description["number_normalization"] = self.number_normalization
        self._describe(description, folder)
        write_file(folder / "tokenizer.json", json.dumps(description, indent=1).encode())

    def equals(self, other: "Tokenizer") -> bool:
        """Return whether another tokenizer gives the same ids for every text."""
        return self.fingerprint == other.fingerprint

    @property
    def fingerprint(self) -> str:
        """A name of all that the ids depend on."""
        return fingerprint(self.kind, self.number_normalization, self._content())

    def _content(self) -> object:
        """Give all that the ids depend on, beside the kind."""
        return None

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        raise NotImplementedError

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        raise NotImplementedError

    def _describe(self, description: dict, folder: Path) -> None:
        """Add to the description what `load_tokenizer` needs for this kind."""


def replaced(content: bytes) -> str:
    """Return the text that bytes stand for: all characters that are whole, and one U+FFFD for each that is not.

    That is the Unicode Standard's "substitution of maximal subparts" (chapter 3.9): the bytes of a character that is
    cut short are replaced together, and every other byte that begins no character by itself.
    """
    return content.decode("utf-8", "replace")


def utf8(text: str, encoding: str = "utf-8") -> bytes:
    """Encode a text, naming a lone surrogate and its place in the error."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"expected Unicode text, received a lone surrogate U+{ord(text[error.start]):04X} "
            f"at character {error.start} of a text of {len(text)}"
        ) from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file as a whole.

    Raises:
        ValueError: `load_tokenizer` would refuse it for its size.
    """
    if len(content) > LARGEST_FILE_BYTES:
        raise ValueError(
            f"expected a tokenizer of at most {LARGEST_FILE_BYTES:,} bytes, found {len(content):,}: "
            "a smaller tokenizer.vocabulary_size makes it smaller"
        )
    write_bytes(path, content, own=True)
