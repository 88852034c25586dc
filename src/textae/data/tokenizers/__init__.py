"""Text to token ids and back; every kind but "words" gives back every text exactly.

Ids 0 (pad) and 1 (end) mean the same in all kinds. `encode` gives ids without the end token.
"""

import hashlib
import heapq
import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from textae.data.inputs import check_list, each_text, texts_of
from textae.data.special_tokens import END_ID, PAD_ID, SPECIAL_IDS
from textae.data.tokenizers.sentencepiece_training import train_apart
from textae.files import write_bytes
from textae.untrusted_files import parse_json, read_bytes

KINDS = ("unigram", "bpe", "bytes", "characters", "words")

FIRST_BYTE_ID = SPECIAL_IDS  # of "bytes" and "characters": byte b has id b + 2
FIRST_CHARACTER_ID = FIRST_BYTE_ID + 256
UNKNOWN_WORD_ID = SPECIAL_IDS
UNKNOWN_WORD = "<unk>"
SMALLEST_SENTENCEPIECE = 3 + 256  # pad, end, SentencePiece's obligatory unknown, and one piece for each byte

LARGEST_VOCABULARY = 1 << 24
SMALLEST_VOCABULARY = {
    "unigram": SMALLEST_SENTENCEPIECE,
    "bpe": SMALLEST_SENTENCEPIECE,
    "bytes": FIRST_CHARACTER_ID,
    "characters": FIRST_CHARACTER_ID,
    "words": UNKNOWN_WORD_ID + 2,
}
SMALLEST_SAMPLE = 0.001  # megabytes
LARGEST_FILE_BYTES = 1 << 24  # of tokenizer.json and tokenizer.model; parsed they take up to thirty times as much
LONGEST_PIECE = 64  # characters; SentencePiece's trainer makes them of 16 at most
LONGEST_TRAINING_LINE = 4000  # characters
TRAINING_THREADS = 4  # fixed, because the scores of the pieces depend on it in the sixth digit
COUNTED_WORDS = 4_000_000  # distinct words held while counting; beyond it the rarer half is forgotten

# SentencePiece writes a space as U+2581, so that character itself must not reach it.
_ESCAPE = "\x10"
_ESCAPED = {_ESCAPE: _ESCAPE + "d", "\u2581": _ESCAPE + "u"}
_ESCAPED_CHARACTER = re.compile("[\x10\u2581]")
_ESCAPE_SEQUENCE = re.compile("\x10([du])")
_UNESCAPED = {"d": _ESCAPE, "u": "\u2581"}


class Tokenizer:
    """What all kinds share: ids 0 and 1, cleaning of ids to decode, and the folder they are saved in."""

    kind: str
    lossless: ClassVar[bool] = True
    pad_id: ClassVar[int] = PAD_ID
    end_id: ClassVar[int] = END_ID
    vocabulary_size: int
    first_text_id: int  # ids from here on are text of their own, not bytes of a character nor an unknown word

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Give int32 ids for each text, without the end token.

        Raises TypeError for what is no list of strings, and ValueError for a text with a lone surrogate, which is not
        Unicode text.
        """
        return self._encode(texts_of(texts))

    def decode(self, ids: Sequence[ArrayLike]) -> list[str]:
        """Give the text of each sequence of ids.

        Pad and end are left out, and bytes that are no UTF-8 become U+FFFD.
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
        self._describe(description, folder)
        _write(folder / "tokenizer.json", json.dumps(description, indent=1).encode())

    def equals(self, other: "Tokenizer") -> bool:
        """Return whether another tokenizer gives the same ids for every text."""
        return (self.kind, self._content()) == (other.kind, other._content())

    def _content(self) -> object:
        """Give all that the ids depend on, beside the kind."""
        return None

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        raise NotImplementedError

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        raise NotImplementedError

    def _describe(self, description: dict, folder: Path) -> None:
        """Add to the description what this kind needs to come back."""


class SentencePieceTokenizer(Tokenizer):
    """Unigram or BPE pieces with bytes for what no piece covers."""

    first_text_id = SMALLEST_SENTENCEPIECE

    def __init__(self, kind: str, model: bytes):
        import sentencepiece

        self.kind = kind
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._threads = os.cpu_count() or 1
        self.vocabulary_size = self._processor.vocab_size()
        found = (self._processor.pad_id(), self._processor.eos_id())
        if found != (PAD_ID, END_ID):
            raise ValueError(f"the SentencePiece model should have pad and end ids {(PAD_ID, END_ID)}, found {found}")

    def __reduce__(self) -> tuple:
        """Return what a copy is made from: the model once, and the threads of where the copy is."""
        return SentencePieceTokenizer, (self.kind, self.model)

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        texts = [_escape(text) for text in texts]
        try:
            encoded = self._processor.encode(texts, out_type="numpy", num_threads=self._threads)
        except (RuntimeError, TypeError, UnicodeError):
            for text in texts:
                _encoded(text)  # names a lone surrogate
            raise
        return [ids.copy() for ids in encoded]  # what SentencePiece gives is read-only

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        if not ids:
            return []
        texts = self._processor.decode([sequence.tolist() for sequence in ids], num_threads=self._threads)
        return [_unescape(text) for text in texts]

    def _content(self) -> bytes:
        return self.model

    def _describe(self, description: dict, folder: Path) -> None:
        description["model_sha256"] = hashlib.sha256(self.model).hexdigest()
        _write(folder / "tokenizer.model", self.model)


class BytesTokenizer(Tokenizer):
    """The bytes of UTF-8: 256 ids after pad and end."""

    kind = "bytes"
    vocabulary_size = FIRST_CHARACTER_ID
    first_text_id = FIRST_BYTE_ID

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        return [np.frombuffer(_encoded(text), np.uint8).astype(np.int32) + FIRST_BYTE_ID for text in texts]

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        return [(sequence - FIRST_BYTE_ID).astype(np.uint8).tobytes().decode("utf-8", "replace") for sequence in ids]


class CharactersTokenizer(Tokenizer):
    """One id for each character of a list, and the bytes of UTF-8 for all others."""

    kind = "characters"

    def __init__(self, characters: str):
        self.characters = characters
        self.vocabulary_size = FIRST_CHARACTER_ID + len(characters)
        self.first_text_id = FIRST_CHARACTER_ID if characters else FIRST_BYTE_ID
        points = np.frombuffer(_encoded(characters, "utf-32-le"), np.uint32)
        if len(np.unique(points)) != len(points):
            raise ValueError(f"a characters tokenizer expects {len(points)} different characters, found repetitions")
        self._ids = np.full(0x110000, -1, np.int32)
        self._ids[points] = np.arange(FIRST_CHARACTER_ID, self.vocabulary_size, dtype=np.int32)
        self._pieces = [b""] * FIRST_BYTE_ID + [bytes([byte]) for byte in range(256)]
        self._pieces += [character.encode() for character in characters]

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        encoded = [np.frombuffer(_encoded(text, "utf-32-le"), np.uint32) for text in texts]
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
            utf8 = others.astype("<u4").tobytes().decode("utf-32-le").encode()
            ids[ids < 0] = np.frombuffer(utf8, np.uint8).astype(np.int32) + FIRST_BYTE_ID
            ends = np.concatenate([[0], np.cumsum(width)])[ends]
        return np.split(ids, ends[:-1])

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        piece = self._pieces.__getitem__
        return [b"".join(map(piece, sequence.tolist())).decode("utf-8", "replace") for sequence in ids]

    def _content(self) -> str:
        return self.characters

    def _describe(self, description: dict, folder: Path) -> None:
        description["characters"] = self.characters


class WordsTokenizer(Tokenizer):
    """The most frequent words between whitespace and one id for all others; the whitespace itself is lost."""

    kind = "words"
    lossless = False

    def __init__(self, words: Sequence[str]):
        self.words = list(words)
        self.vocabulary_size = UNKNOWN_WORD_ID + 1 + len(self.words)
        self.first_text_id = UNKNOWN_WORD_ID + 1 if self.words else UNKNOWN_WORD_ID
        self._ids = {word: UNKNOWN_WORD_ID + 1 + number for number, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError(f"a words tokenizer expects {len(self.words)} different words, found {len(self._ids)}")
        self._pieces = ["", "", UNKNOWN_WORD, *self.words]

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        known = self._ids.get
        encoded = []
        for text in texts:
            _encoded(text)
            encoded.append(np.array([known(word, UNKNOWN_WORD_ID) for word in text.split()], np.int32))
        return encoded

    def _decode(self, ids: list[np.ndarray]) -> list[str]:
        return [" ".join(map(self._pieces.__getitem__, sequence.tolist())) for sequence in ids]

    def _content(self) -> list[str]:
        return self.words

    def _describe(self, description: dict, folder: Path) -> None:
        description["words"] = self.words


def train_tokenizer(
    kind: str,
    texts: Iterable[str],
    vocabulary_size: int | None = None,
    *,
    sample_megabytes: float = 5.0,
    nearest: bool = False,
) -> Tokenizer:
    """Train a tokenizer on one pass over the texts.

    vocabulary_size counts every id: pad, end, the bytes or the unknown word as well. The kinds "characters"
    and "words" take None for all that occur; "bytes" always has 258. sample_megabytes (millions of characters
    in truth) bounds what SentencePiece is trained on: an even sample, the same for the same texts.
    Raises ValueError for no text at all, and for a vocabulary larger than the texts can fill or smaller than their
    characters need; with nearest, the nearest possible size is taken instead.
    """
    texts = each_text(texts)
    if kind not in KINDS:
        raise ValueError(f"the kind of tokenizer should be one of {', '.join(KINDS)}, received {kind!r}")
    if vocabulary_size is not None:
        least = SMALLEST_VOCABULARY[kind]
        most = least if kind == "bytes" else LARGEST_VOCABULARY
        if nearest:
            vocabulary_size = min(max(vocabulary_size, least), most)
        if not least <= vocabulary_size <= most:
            bounds = f"from {least} to {most}" if most > least else f"as {least}"
            raise ValueError(
                f"expected tokenizer.vocabulary_size {bounds} with tokenizer.kind={kind}, received {vocabulary_size}"
            )
    if kind == "bytes":
        return BytesTokenizer()
    if kind == "characters":
        characters = _most_frequent(texts, str, vocabulary_size, FIRST_CHARACTER_ID, nearest, kind)
        return CharactersTokenizer("".join(characters))
    if kind == "words":
        words = _most_frequent(texts, str.split, vocabulary_size, UNKNOWN_WORD_ID + 1, nearest, kind)
        return WordsTokenizer(words)
    if vocabulary_size is None:
        raise ValueError(f"a {kind} tokenizer expects a vocabulary_size, received None")
    if not sample_megabytes >= SMALLEST_SAMPLE:
        raise ValueError(
            f"expected tokenizer.sample_megabytes of at least {SMALLEST_SAMPLE}, received {sample_megabytes}"
        )
    sample = training_sample(texts, int(sample_megabytes * 1e6))
    return SentencePieceTokenizer(kind, _train_sentencepiece(kind, sample, vocabulary_size, nearest))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read a tokenizer that was saved in the folder; ValueError names the file that is missing or damaged."""
    folder = Path(folder)
    path = folder / "tokenizer.json"
    try:
        description = parse_json(_read(path))
        if not isinstance(description, dict) or description.get("format") != 1:
            raise ValueError("expected an object with format 1")
        if description.get("kind") in ("unigram", "bpe"):
            path = folder / "tokenizer.model"
            tokenizer = _of_model(description, _read(path))
        else:
            tokenizer = _of_description(description)
        if tokenizer.vocabulary_size != description.get("vocabulary_size"):
            found = description.get("vocabulary_size")
            raise ValueError(f"expected {found!r:.100} ids, found {tokenizer.vocabulary_size}")
    except (ValueError, RuntimeError, OSError) as error:  # RuntimeError: SentencePiece
        raise ValueError(f"{path} is not a usable tokenizer: {_one_line(error)}") from error
    return tokenizer


def _of_description(description: dict) -> Tokenizer:
    """Return the tokenizer that is whole in its description."""
    kind = description.get("kind")
    if kind == "bytes":
        return BytesTokenizer()
    if kind == "characters":
        characters = description.get("characters")
        if not isinstance(characters, str):
            raise ValueError(f"expected characters as one string, found {type(characters).__name__}")
        return CharactersTokenizer(characters)
    if kind == "words":
        words = description.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"expected words as a list of strings, found {type(words).__name__}")
        _encoded("".join(words))
        return WordsTokenizer(words)
    raise ValueError(f"expected a kind among {', '.join(KINDS)}, found {kind!r:.100}")


def _of_model(description: dict, model: bytes) -> Tokenizer:
    """Return the tokenizer of a SentencePiece model that was looked through first."""
    digest = hashlib.sha256(model).hexdigest()
    if digest != description.get("model_sha256"):
        raise ValueError(f"expected sha256 {description.get('model_sha256')!r:.100}, found {digest}")
    _check_sentencepiece(model, description["kind"])
    return SentencePieceTokenizer(description["kind"], model)


def _check_sentencepiece(model: bytes, kind: str) -> None:
    """Raise a ValueError if a model is none that `train_tokenizer` makes.

    SentencePiece's own loader takes over tables (`precompiled_charsmap`) whose numbers it uses as addresses, and rules
    under which a text is not its pieces joined. What a model says is therefore read by Protocol Buffers first.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    try:
        found = ModelProto.FromString(model)
    except DecodeError as error:
        raise ValueError(f"expected a SentencePiece model, found other bytes ({_one_line(error)})") from None
    trainer, rules = found.trainer_spec, found.normalizer_spec
    model_types = {"unigram": trainer.UNIGRAM, "bpe": trainer.BPE}
    fits = {
        "its kind": trainer.model_type == model_types[kind],
        "bytes for what no piece covers": trainer.byte_fallback,
        "the ids of pad, end and unknown": (trainer.pad_id, trainer.eos_id, trainer.unk_id) == (PAD_ID, END_ID, 2),
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


def training_sample(texts: Iterable[str], limit: int) -> list[str]:
    """Take lines evenly from the texts, at most `limit` characters in all.

    A line is a text or a part of one, of at most LONGEST_TRAINING_LINE characters. Every line gets a number
    from a fixed random sequence, and those with the lowest numbers stay, in their order, so that the sample
    depends on the texts alone and memory is bounded by the limit.
    """
    draw = random.Random(0).random
    kept: list[tuple[float, int, str]] = []  # a heap with the highest number first
    characters, bound = 0, 1.0
    for index, line in enumerate(line for text in texts for line in _lines(text)):
        number = draw()
        if number >= bound:
            continue
        heapq.heappush(kept, (-number, index, line))
        characters += len(line)
        while characters > limit and len(kept) > 1:
            negative, _, dropped = heapq.heappop(kept)
            characters -= len(dropped)
            bound = -negative
    return [line for _, _, line in sorted(kept, key=lambda item: item[1])]


def _lines(text: str) -> Iterator[str]:
    """Break a text into parts of bounded length, before a space or line break where there is one."""
    start = 0
    while len(text) - start > LONGEST_TRAINING_LINE:
        stop = start + LONGEST_TRAINING_LINE
        stop = max(text.rfind(" ", start + 1, stop), text.rfind("\n", start + 1, stop))
        if stop < 0:
            stop = start + LONGEST_TRAINING_LINE
        yield text[start:stop]
        start = stop
    if start < len(text):
        yield text[start:]


def _train_sentencepiece(kind: str, sample: list[str], vocabulary_size: int, nearest: bool) -> bytes:
    """Train on the sample; SentencePiece's own complaints become one line."""
    if not any(line.strip() for line in sample):
        raise ValueError(f"a {kind} tokenizer expects texts to be trained on, received none that is not empty")
    for line in sample:
        _encoded(line)
    settings = {
        "model_type": kind,
        "vocab_size": vocabulary_size,
        "hard_vocab_limit": not nearest,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "allow_whitespace_only_pieces": True,
        "byte_fallback": True,
        "max_sentence_length": 4 * 2 * LONGEST_TRAINING_LINE,
        "pad_id": PAD_ID,
        "eos_id": END_ID,
        "unk_id": 2,
        "bos_id": -1,
        "unk_surface": "\ufffd",
        "num_threads": TRAINING_THREADS,
        "minloglevel": 2,
    }
    try:
        return train_apart(settings, map(_escape, sample), f"training the {kind} tokenizer")
    except RuntimeError as error:
        message = str(error)
        if found := re.search(r"too high \(\d+\).*<= (\d+)", message):
            raise _too_large(vocabulary_size, int(found[1])) from None
        if found := re.search(r"required_chars\. \d+ vs (\d+)", message):
            if nearest:
                return _train_sentencepiece(kind, sample, int(found[1]), nearest)
            raise ValueError(
                f"expected tokenizer.vocabulary_size of at least {found[1]}, which the characters of the texts need, "
                f"received {vocabulary_size}"
            ) from None
        raise ValueError(f"SentencePiece could not train a {kind} vocabulary: {_one_line(error)}") from error


def _most_frequent(
    texts: Iterable[str],
    parts: Callable[[str], Iterable[str]],
    vocabulary_size: int | None,
    fixed_ids: int,
    nearest: bool,
    kind: str,
) -> list[str]:
    """Give the most frequent parts of the texts, ties in the order of code points."""
    counts: Counter[str] = Counter()
    for text in texts:
        _encoded(text)
        counts.update(parts(text))
        if len(counts) > COUNTED_WORDS:
            counts = Counter(dict(counts.most_common(COUNTED_WORDS // 2)))
    if not counts:
        raise ValueError(f"a {kind} tokenizer expects texts to be trained on, received none that is not empty")
    largest = fixed_ids + len(counts)
    if vocabulary_size is None:
        vocabulary_size = largest
    elif vocabulary_size > largest and not nearest:
        raise _too_large(vocabulary_size, largest)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [part for part, _ in ordered[: vocabulary_size - fixed_ids]]


def _too_large(vocabulary_size: int, largest: int) -> ValueError:
    return ValueError(
        f"expected tokenizer.vocabulary_size of at most {largest}, which the texts fill, received {vocabulary_size}"
    )


def _encoded(text: str, encoding: str = "utf-8") -> bytes:
    """Encode a text, naming a lone surrogate and its place in the error."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"expected Unicode text, received a lone surrogate U+{ord(text[error.start]):04X} "
            f"at character {error.start} of a text of {len(text)}"
        ) from None


def _escape(text: str) -> str:
    if _ESCAPE in text or "\u2581" in text:
        return _ESCAPED_CHARACTER.sub(lambda found: _ESCAPED[found[0]], text)
    return text


def _unescape(text: str) -> str:
    return _ESCAPE_SEQUENCE.sub(lambda found: _UNESCAPED[found[1]], text) if _ESCAPE in text else text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, LARGEST_FILE_BYTES, links=True)  # those of a run's folder are refused before
    except FileNotFoundError:
        raise ValueError("expected a file, found none") from None


def _write(path: Path, content: bytes) -> None:
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
