"""From a corpus's settings to the prepared corpus."""

from pathlib import Path

from textae.config.schema import CORPORA, CorpusConfig, PydocsConfig, TextConfig, TfdsConfig
from textae.data.corpora.corpus import Corpus
from textae.data.corpora.preparing import prepare
from textae.data.corpora.specification import CorpusSpecification
from textae.data.parallel import Parallel


def open_corpus(settings: CorpusConfig, data_dir: Path) -> Corpus:
    """Return the corpus with these settings, prepared under `data_dir` if it is not there yet.

    Raises:
        ValueError, FileNotFoundError: one line, for data that cannot be read or prepared.
    """
    described = specification(settings)
    folder = prepare(described, Path(data_dir), parallel(settings))
    return Corpus(described.name, described.fingerprint, folder)


def parallel(settings: CorpusConfig) -> Parallel:
    """Return how the work of preparing a corpus is shared out."""
    return Parallel(settings.workers, None if settings.beam is None else tuple(settings.beam))


def fingerprint_of(settings: CorpusConfig) -> str:
    """Return the fingerprint of the corpus that `open_corpus` would return; nothing is prepared."""
    return specification(settings).fingerprint


def specification(settings: CorpusConfig) -> CorpusSpecification:
    """Return what the module of a kind of corpus says about one: each has a function of this name."""
    if isinstance(settings, PydocsConfig):
        from textae.data.corpora import pydocs

        return pydocs.specification(settings)
    if isinstance(settings, TextConfig):
        from textae.data.corpora import files

        return files.specification(settings)
    if isinstance(settings, TfdsConfig):
        from textae.data.corpora import tfds

        return tfds.specification(settings)
    raise ValueError(f"expected corpus.kind as one of {', '.join(CORPORA)}, received {settings.kind!r}")
