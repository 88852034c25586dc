"""The kind "bytes": one id for each byte of UTF-8."""

import numpy as np

from textae.data.tokenizers.base import FIRST_BYTE_ID, FIRST_CHARACTER_ID, Tokenizer, replaced, utf8


class BytesTokenizer(Tokenizer):
    """The bytes of UTF-8: 256 ids after pad and end."""

    kind = "bytes"
    vocabulary_size = FIRST_CHARACTER_ID
    first_text_id = FIRST_BYTE_ID

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        return [np.frombuffer(utf8(text), np.uint8).astype(np.int32) + FIRST_BYTE_ID for text in texts]

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        return [replaced((sequence - FIRST_BYTE_ID).astype(np.uint8).tobytes()) for sequence in ids]
