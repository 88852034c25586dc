"""Training of a tokenizer of any kind, on one pass over the texts."""

import re
from collections.abc import Iterable

from textae.config.checks import SMALLEST_SAMPLE, require_at_least, require_vocabulary_size
from textae.config.choices import VOCABULARY_BOUNDS
from textae.data.inputs import each_text
from textae.data.messages import one_line
from textae.data.special_tokens import END_ID, PAD_ID
from textae.data.tokenizers.base import FIRST_CHARACTER_ID, REPLACEMENT, Tokenizer, utf8
from textae.data.tokenizers.bytes_tokenizer import BytesTokenizer
from textae.data.tokenizers.characters_tokenizer import CharactersTokenizer
from textae.data.tokenizers.numbers import normalize_numbers
from textae.data.tokenizers.sampling import LONGEST_TRAINING_LINE, most_frequent, too_large, training_sample
from textae.data.tokenizers.sentencepiece_tokenizer import UNKNOWN_ID, SentencePieceTokenizer, escape
from textae.data.tokenizers.sentencepiece_training import train_apart
from textae.data.tokenizers.words_tokenizer import UNKNOWN_WORD_ID, WordsTokenizer

KINDS = tuple(VOCABULARY_BOUNDS)
TRAINING_THREADS = 4  # fixed, because the scores of the pieces depend on it in the sixth digit


def train_tokenizer(
    kind: str,
    texts: Iterable[str],
    vocabulary_size: int | None = None,
    *,
    sample_megabytes: float = 5.0,
    nearest: bool = False,
    number_normalization: str = "none",
) -> Tokenizer:
    """Train a tokenizer on one pass over the texts.

    Args:
        kind: one of `KINDS`.
        texts: what it is trained on, read once.
        vocabulary_size: how many ids there are: pad, end, the bytes or the unknown word are counted too. None: all
            characters or words that occur, for the kinds "characters" and "words". "bytes" always has 258.
        sample_megabytes: millions of characters that SentencePiece is trained on, sampled evenly; the same texts give
            the same sample.
        nearest: a size that the texts do not allow is replaced by the nearest one that they do.
        number_normalization: what becomes of numbers, as in `normalize_numbers`.

    Raises:
        ValueError: there is no text, or, without `nearest`, the vocabulary is larger than the texts can fill or smaller
            than their characters need.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of tokenizer should be one of {', '.join(KINDS)}, received {kind!r}")
    texts = (normalize_numbers(text, number_normalization) for text in each_text(texts))
    if vocabulary_size is not None:
        if nearest:
            least, most = VOCABULARY_BOUNDS[kind]
            vocabulary_size = min(max(vocabulary_size, least), most)
        require_vocabulary_size(kind, vocabulary_size)
    tokenizer = _trained(kind, texts, vocabulary_size, sample_megabytes, nearest)
    tokenizer.number_normalization = number_normalization
    return tokenizer


def _trained(
    kind: str, texts: Iterable[str], vocabulary_size: int | None, sample_megabytes: float, nearest: bool
) -> Tokenizer:
    """Return the tokenizer of a kind and size that were checked."""
    if kind == "bytes":
        return BytesTokenizer()
    if kind == "characters":
        characters = most_frequent(texts, str, vocabulary_size, FIRST_CHARACTER_ID, nearest, kind)
        return CharactersTokenizer("".join(characters))
    if kind == "words":
        words = most_frequent(texts, str.split, vocabulary_size, UNKNOWN_WORD_ID + 1, nearest, kind)
        return WordsTokenizer(words)
    if vocabulary_size is None:
        raise ValueError(f"a {kind} tokenizer expects a vocabulary_size, received None")
    require_at_least("tokenizer.sample_megabytes", sample_megabytes, SMALLEST_SAMPLE)
    sample = training_sample(texts, int(sample_megabytes * 1e6))
    return SentencePieceTokenizer(kind, train_model(kind, sample, vocabulary_size, nearest))


def train_model(kind: str, sample: list[str], vocabulary_size: int, nearest: bool) -> bytes:
    """Train on the sample; SentencePiece's own complaints become one line."""
    if not any(line.strip() for line in sample):
        raise ValueError(f"a {kind} tokenizer expects texts to be trained on, received none that is not empty")
    for line in sample:
        utf8(line)
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
        "unk_id": UNKNOWN_ID,
        "bos_id": -1,
        "unk_surface": REPLACEMENT,
        "num_threads": TRAINING_THREADS,
        "minloglevel": 2,
    }
    try:
        return train_apart(settings, map(escape, sample), f"training the {kind} tokenizer")
    except RuntimeError as error:
        message = str(error)
        if found := re.search(r"too high \(\d+\).*<= (\d+)", message):
            raise too_large(vocabulary_size, int(found[1])) from None
        if found := re.search(r"required_chars\. \d+ vs (\d+)", message):
            if nearest:
                return train_model(kind, sample, int(found[1]), nearest)
            raise ValueError(
                f"expected tokenizer.vocabulary_size of at least {found[1]}, which the characters of the texts need, "
                f"received {vocabulary_size}"
            ) from None
        raise ValueError(f"SentencePiece could not train a {kind} vocabulary: {one_line(error)}") from error
