"""The kinds "unigram" and "bpe": a SentencePiece model, with characters escaped that SentencePiece would change."""

import hashlib
import math
import re
from functools import cached_property
from pathlib import Path

import numpy as np

from textae.data.messages import one_line
from textae.data.special_tokens import END_ID, PAD_ID
from textae.data.tokenizers.base import REPLACEMENT, Tokenizer, replaced, utf8, write_file

UNKNOWN_ID = 2  # SentencePiece's obligatory one; bytes stand for what it has no piece for
FIRST_PIECE_ID = 3 + 256  # after pad, end, unknown and one piece for each byte
LONGEST_PIECE = 64  # characters; SentencePiece's trainer makes them of 16 at most

# SentencePiece writes a space as U+2581, so that character itself must not reach it.
_ESCAPE = "\x10"
_ESCAPED = {_ESCAPE: _ESCAPE + "d", "\u2581": _ESCAPE + "u"}
_ESCAPED_CHARACTER = re.compile("[\x10\u2581]")
_ESCAPE_SEQUENCE = re.compile("\x10([du])")
_UNESCAPED = {"d": _ESCAPE, "u": "\u2581"}


class SentencePieceTokenizer(Tokenizer):
    """Unigram or BPE pieces with bytes for what no piece covers."""

    first_text_id = FIRST_PIECE_ID

    def __init__(self, kind: str, model: bytes):
        import sentencepiece

        self.kind = kind
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocabulary_size = self._processor.vocab_size()
        found = (self._processor.pad_id(), self._processor.eos_id())
        if found != (PAD_ID, END_ID):
            raise ValueError(f"the SentencePiece model should have pad and end ids {(PAD_ID, END_ID)}, found {found}")

    def __reduce__(self) -> tuple:
        """Return what a copy is made from: the model once, and the threads of where the copy is."""
        return _copy, (self.kind, self.model, self.number_normalization)

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        texts = [escape(text) for text in texts]
        try:
            encoded = self._processor.encode(texts, out_type="numpy", num_threads=self.threads)
        except (RuntimeError, TypeError, UnicodeError):
            for text in texts:
                utf8(text)  # names a lone surrogate
            raise
        return [ids.copy() for ids in encoded]  # what SentencePiece gives is read-only

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        if not ids:
            return []
        texts = self._processor.decode([sequence.tolist() for sequence in ids], num_threads=self.threads)
        for i, text in enumerate(texts):
            if REPLACEMENT in text:  # SentencePiece writes one for each byte of a character that is cut short
                texts[i] = replaced(b"".join(map(self._bytes.__getitem__, ids[i].tolist())))
        return [_unescape(text) for text in texts]

    @cached_property
    def _bytes(self) -> list[bytes]:
        """What each id stands for: a byte, or the UTF-8 of a piece."""
        found = []
        for number in range(self.vocabulary_size):
            piece = self._processor.id_to_piece(number)
            if self._processor.is_byte(number):
                found.append(bytes([int(piece[1:-1], 16)]))  # written <0xE6>
            else:
                found.append((REPLACEMENT if number == UNKNOWN_ID else piece.replace("\u2581", " ")).encode())
        return found

    def _content(self) -> bytes:
        return self.model

    def _describe(self, description: dict, folder: Path) -> None:
        description["model_sha256"] = hashlib.sha256(self.model).hexdigest()
        write_file(folder / "tokenizer.model", self.model)


def _copy(kind: str, model: bytes, number_normalization: str) -> SentencePieceTokenizer:
    tokenizer = SentencePieceTokenizer(kind, model)
    tokenizer.number_normalization = number_normalization
    return tokenizer


def check_model(model: bytes, kind: str) -> None:
    """Raise a ValueError if a model is none that `train_tokenizer` makes.

    SentencePiece's own loader takes over tables (`precompiled_charsmap`) whose numbers it uses as addresses, and rules
    under which a text is not its pieces joined. What a model says is therefore read by Protocol Buffers first.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece.sentencepiece_model_pb2 import ModelProto  # pyright: ignore[reportAttributeAccessIssue]

    try:
        found = ModelProto.FromString(model)
    except DecodeError as error:
        raise ValueError(f"expected a SentencePiece model, found other bytes ({one_line(error)})") from None
    trainer, rules = found.trainer_spec, found.normalizer_spec
    special = (trainer.pad_id, trainer.eos_id, trainer.unk_id)
    model_types = {"unigram": trainer.UNIGRAM, "bpe": trainer.BPE}
    fits = {
        "its kind": trainer.model_type == model_types[kind],
        "bytes for what no piece covers": trainer.byte_fallback,
        "the ids of pad, end and unknown": special == (PAD_ID, END_ID, UNKNOWN_ID),
        "no normalization": not (rules.precompiled_charsmap or found.denormalizer_spec.precompiled_charsmap),
        "spaces as they are": not (rules.add_dummy_prefix or rules.remove_extra_whitespaces)
        and rules.escape_whitespaces
        and not trainer.treat_whitespace_as_suffix,
        f"pieces of 1 to {LONGEST_PIECE} characters": all(0 < len(p.piece) <= LONGEST_PIECE for p in found.pieces),
        "finite scores": all(math.isfinite(p.score) for p in found.pieces),
        "a byte's piece for each byte": sum(p.type == p.BYTE for p in found.pieces) == 256,
        "no piece of the user's own": all(p.type not in (p.USER_DEFINED, p.UNUSED) for p in found.pieces),
    }
    for expected, holds in fits.items():
        if not holds:
            raise ValueError(f"expected a SentencePiece model of textae, with {expected}, found another one")


def escape(text: str) -> str:
    """Return a text in which no character is left that SentencePiece would change; `_unescape` is its inverse."""
    if _ESCAPE in text or "\u2581" in text:
        return _ESCAPED_CHARACTER.sub(lambda found: _ESCAPED[found[0]], text)
    return text


def _unescape(text: str) -> str:
    return _ESCAPE_SEQUENCE.sub(lambda found: _UNESCAPED[found[1]], text) if _ESCAPE in text else text
