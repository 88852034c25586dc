"""Corpora from plain values, as a test writes them."""

from pathlib import Path

from textae.config.schema import CORPORA
from textae.data import corpora


def corpus_settings(kind, **values):
    """The settings of a corpus; one path stands for a list of one, and any path may be a `Path`."""
    for name in {"files", "test_files", "validation_files"} & values.keys():
        if isinstance(values[name], str | Path):
            values[name] = [values[name]]
    return CORPORA[kind](**values)


def open_corpus(kind, data_dir, **values):
    """The corpus with these settings."""
    return corpora.open_corpus(corpus_settings(kind, **values), data_dir)
