"""The kind "characters": one id for each character of a list, bytes for all others."""

from pathlib import Path

import numpy as np

from textae.data.tokenizers.base import FIRST_BYTE_ID, FIRST_CHARACTER_ID, Tokenizer, replaced, utf8


class CharactersTokenizer(Tokenizer):
    """One id for each character of a list, and the bytes of UTF-8 for all others."""

    kind = "characters"

    def __init__(self, characters: str):
        self.characters = characters
        self.vocabulary_size = FIRST_CHARACTER_ID + len(characters)
        self.first_text_id = FIRST_CHARACTER_ID if characters else FIRST_BYTE_ID
        points = np.frombuffer(utf8(characters, "utf-32-le"), np.uint32)
        if len(np.unique(points)) != len(points):
            raise ValueError(f"a characters tokenizer expects {len(points)} different characters, found repetitions")
        self._ids = np.full(0x110000, -1, np.int32)
        self._ids[points] = np.arange(FIRST_CHARACTER_ID, self.vocabulary_size, dtype=np.int32)
        self._bytes = [b""] * FIRST_BYTE_ID + [bytes([byte]) for byte in range(256)]
        self._bytes += [character.encode() for character in characters]

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        encoded = [np.frombuffer(utf8(text, "utf-32-le"), np.uint32) for text in texts]
        if not encoded:
            return []
        points = np.concatenate(encoded)
        ids = self._ids[points]
        unlisted = np.flatnonzero(ids < 0)
        ends = np.cumsum([len(array) for array in encoded])
        if len(unlisted):
            width = np.ones(len(points), np.int64)
            others = points[unlisted]
            width[unlisted] = 1 + (others >= 0x80) + (others >= 0x800) + (others >= 0x10000)
            ids = np.repeat(ids, width)
            encoded_others = others.astype("<u4").tobytes().decode("utf-32-le").encode()
            ids[ids < 0] = np.frombuffer(encoded_others, np.uint8).astype(np.int32) + FIRST_BYTE_ID
            ends = np.concatenate([[0], np.cumsum(width)])[ends]
        return np.split(ids, ends[:-1])

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        content = self._bytes.__getitem__
        return [replaced(b"".join(map(content, sequence.tolist()))) for sequence in ids]

    def _content(self) -> str:
        return self.characters

    def _describe(self, description: dict, folder: Path) -> None:
        description["characters"] = self.characters
