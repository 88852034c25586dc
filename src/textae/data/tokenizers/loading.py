"""Reading of a tokenizer from the folder that it was saved in, which may be untrusted."""

import hashlib
from pathlib import Path

from textae.config.choices import VOCABULARY_BOUNDS
from textae.data.messages import one_line
from textae.data.tokenizers.base import LARGEST_FILE_BYTES, Tokenizer, utf8
from textae.data.tokenizers.bytes_tokenizer import BytesTokenizer
from textae.data.tokenizers.characters_tokenizer import CharactersTokenizer
from textae.data.tokenizers.numbers import KINDS as NUMBER_NORMALIZATIONS
from textae.data.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer, check_model
from textae.data.tokenizers.words_tokenizer import WordsTokenizer
from textae.untrusted_files import parse_json, read_bytes


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
        tokenizer.number_normalization = _number_normalization(description)
    except (ValueError, RuntimeError, OSError) as error:  # RuntimeError: SentencePiece
        raise ValueError(f"{path} is not a usable tokenizer: {one_line(error)}") from error
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
        utf8("".join(words))
        return WordsTokenizer(words)
    raise ValueError(f"expected a kind among {', '.join(VOCABULARY_BOUNDS)}, found {kind!r:.100}")


def _number_normalization(description: dict) -> str:
    found = description.get("number_normalization", "none")
    if not isinstance(found, str) or found not in NUMBER_NORMALIZATIONS:
        expected = ", ".join(NUMBER_NORMALIZATIONS)
        raise ValueError(f"expected number_normalization among {expected}, found {found!r:.100}")
    return found


def _of_model(description: dict, model: bytes) -> Tokenizer:
    """Return the tokenizer of a SentencePiece model that was looked through first."""
    digest = hashlib.sha256(model).hexdigest()
    if digest != description.get("model_sha256"):
        raise ValueError(f"expected sha256 {description.get('model_sha256')!r:.100}, found {digest}")
    check_model(model, description["kind"])
    return SentencePieceTokenizer(description["kind"], model)


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, LARGEST_FILE_BYTES, links=True)  # those of a run's folder are refused before
    except FileNotFoundError:
        raise ValueError("expected a file, found none") from None
