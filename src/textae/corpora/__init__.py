"""Corpora as TFDS data sets with a text feature."""
