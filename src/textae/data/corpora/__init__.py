"""Corpora: TFDS data sets with a text feature and the splits train, validation and test.

`open_corpus` finds or prepares one: "pydocs" (documentation of the running Python), "text" (files) or "tfds"
(a TFDS data set by name). `documents` reads files without preparing anything.
"""

from textae.config.choices import SPLITS
from textae.data.corpora.corpus import Corpus
from textae.data.corpora.opening import fingerprint_of, open_corpus
from textae.data.corpora.readers import documents

__all__ = ["SPLITS", "Corpus", "documents", "fingerprint_of", "open_corpus"]
