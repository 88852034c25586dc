"""Text to token ids and back; decode(encode(text)) is the text, for every kind but "words".

Ids 0 (pad) and 1 (end) mean the same in all kinds. `encode` gives ids without the end token.
"""

from textae.data.tokenizers.base import FIRST_BYTE_ID, Tokenizer
from textae.data.tokenizers.bytes_tokenizer import BytesTokenizer
from textae.data.tokenizers.characters_tokenizer import CharactersTokenizer
from textae.data.tokenizers.loading import load_tokenizer
from textae.data.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from textae.data.tokenizers.training import KINDS, train_tokenizer
from textae.data.tokenizers.words_tokenizer import WordsTokenizer

__all__ = [
    "FIRST_BYTE_ID",
    "KINDS",
    "BytesTokenizer",
    "CharactersTokenizer",
    "SentencePieceTokenizer",
    "Tokenizer",
    "WordsTokenizer",
    "load_tokenizer",
    "train_tokenizer",
]
