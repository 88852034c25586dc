"""What a run trains on: corpus, tokenizer and token stores, made once and found again by their fingerprints."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from textae.config.schema import CorpusConfig, TokenizerConfig
from textae.data.batching import prefetch
from textae.data.corpora import Corpus, open_corpus
from textae.data.corpora.corpus import CorpusShard
from textae.data.corpora.opening import parallel
from textae.data.fingerprints import fingerprint
from textae.data.inputs import each_text
from textae.data.parallel import Parallel, run_all
from textae.data.token_store import TokenStore, open_store, write_shards, write_store
from textae.data.tokenizers import Tokenizer, load_tokenizer, train_tokenizer
from textae.files import leftovers
from textae.progress import Progress

logger = logging.getLogger(__name__)

# Ids that a tokenizer aims at where nothing else is said; other kinds have all that occur.
DEFAULT_VOCABULARY = {"unigram": 8192, "bpe": 8192, "words": 25002}
_FORMAT = 2  # of the folders under data_dir; part of every fingerprint
_ENCODED_AT_ONCE = 4 << 20  # characters


@dataclass(frozen=True)
class Prepared:
    """A corpus with its tokenizer and the ids of its train and validation splits; test is read as text."""

    corpus: Corpus
    tokenizer: Tokenizer
    train: TokenStore
    validation: list[str]
    again: Callable[[], Corpus]

    def test_texts(self) -> Iterator[str]:
        """Return the texts of the test split; a corpus that was deleted meanwhile is prepared again.

        Raises:
            ValueError: it was deleted, and what it was made from has changed.
        """
        corpus = self.corpus
        if not corpus.folder.is_dir():
            corpus = self.again()
            if corpus.fingerprint != self.corpus.fingerprint:
                raise ValueError(
                    f"corpus {corpus.name}: expected what it was made from as it was ({self.corpus.fingerprint}), "
                    f"found it changed ({corpus.fingerprint}), and what was prepared deleted"
                )
        return corpus.texts("test")


def prepare(
    data_dir: Path,
    corpus: CorpusConfig,
    tokenizer: TokenizerConfig,
    validation_documents: int | None = None,
    opened: Corpus | None = None,
    given: Tokenizer | None = None,
) -> Prepared:
    """Return the prepared corpus, making under `data_dir` what is not there yet.

    Args:
        data_dir: the folder of everything prepared; all of it can be deleted between runs.
        corpus: the settings of the corpus.
        tokenizer: those of the tokenizer.
        validation_documents: how many documents of the validation split are kept (None: all).
        opened: the corpus, where it is open already.
        given: a tokenizer in place of one that is trained with these settings.

    Raises:
        ValueError, FileNotFoundError: one line, for what cannot be prepared.
    """

    def again() -> Corpus:
        return open_corpus(corpus, data_dir / "corpora")

    opened = opened or again()
    if opened.sizes["train"] == 0:
        raise ValueError(f"corpus {opened.name}: expected documents in the train split, found none")
    folder = data_dir / "tokens" / _tokens_fingerprint(opened, tokenizer, given)
    if not _whole(folder):  # what is whole needs no lock, which a folder that is only read could not have
        with _locked(folder, opened.name):
            for path in [*folder.glob(".*.tmp"), *leftovers(folder / "tokenizer")]:  # of a process that was killed
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if not (folder / "tokenizer" / "tokenizer.json").is_file():
                (given or _train(opened, tokenizer)).save(folder / "tokenizer")
            if not (folder / "train").is_dir():
                _write_tokens(folder, opened, parallel(corpus))
    try:
        trained = load_tokenizer(folder / "tokenizer")
        store = open_store(folder / "train")
        store.verify()
    except ValueError as error:
        raise ValueError(f"{error}; without the folder {folder} it is made anew") from error
    return Prepared(opened, trained, store, list(islice(opened.texts("validation"), validation_documents)), again)


def _whole(folder: Path) -> bool:
    return (folder / "tokenizer" / "tokenizer.json").is_file() and (folder / "train").is_dir()


def first_documents(prepared: Prepared, count: int) -> Prepared:
    """Return the same with the first documents of the train split as both splits, to overfit on them."""
    ids = [prepared.train[number] for number in range(min(count, len(prepared.train)))]
    store = TokenStore.from_arrays(ids, prepared.tokenizer.vocabulary_size)
    return replace(prepared, train=store, validation=prepared.tokenizer.decode(ids))


def _tokens_fingerprint(corpus: Corpus, settings: TokenizerConfig, given: Tokenizer | None) -> str:
    if given is not None:
        return fingerprint(_FORMAT, corpus.fingerprint, given.fingerprint)
    values = {f.name: getattr(settings, f.name) for f in fields(settings)}
    values |= {name: value.name for name, value in values.items() if isinstance(value, Enum)}
    return fingerprint(_FORMAT, corpus.fingerprint, sorted(values.items()))


def in_portions(texts: Iterable[str], characters: int = _ENCODED_AT_ONCE) -> Iterator[list[str]]:
    """Yield lists of consecutive texts of about so many characters together.

    Raises:
        TypeError: what comes is no text.
    """
    portion, size = [], 0
    for text in each_text(texts):
        portion.append(text)
        size += len(text) + 1
        if size >= characters:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _locked(folder: Path, name: str) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        logger.info(f"waiting for another process that tokenizes the corpus {name}")
    return lock


def _train(corpus: Corpus, settings: TokenizerConfig) -> Tokenizer:
    kind, size = settings.kind.name, settings.vocabulary_size
    start = time.monotonic()
    nearest = size is None
    if nearest and kind != "bytes":
        size = settings.target_vocabulary_size or DEFAULT_VOCABULARY.get(kind)
    trained = train_tokenizer(
        kind,
        _counted(corpus, "train"),
        size,
        sample_megabytes=settings.sample_megabytes,
        nearest=nearest,
        number_normalization=settings.number_normalization.name,
    )
    found = trained.vocabulary_size
    remark = ""
    if size is not None and found != size:
        remark = (
            f", all that the texts fill of {size:,}" if found < size else f", more than {size:,} for all characters"
        )
    logger.info(f"trained the {kind} tokenizer in {time.monotonic() - start:.1f} s; vocabulary: {found:,}{remark}")
    return trained


def _counted(corpus: Corpus, split: str) -> Iterator[str]:
    """Yield the texts of a split, with progress."""
    with Progress(f"reading {corpus.name} for the tokenizer", corpus.sizes[split], "documents") as progress:
        for text in corpus.texts(split):
            yield text
            progress.advance(1)


@dataclass(frozen=True)
class _ShardTask:
    """A file of documents, the folder of the tokenizer, and the one for the token store."""

    shard: CorpusShard
    tokenizer: Path
    folder: Path


def _write_tokens(folder: Path, corpus: Corpus, how: Parallel) -> None:
    """Write the token store of the train split, a shard for each of its files, into the folder of the tokenizer."""
    start = time.monotonic()
    shards = corpus.shards("train")
    with Progress(f"tokenizing {corpus.name}", corpus.sizes["train"], "documents") as progress:

        def here(task: _ShardTask) -> None:
            _encode_shard(task, progress.advance)

        def write(folders: Sequence[Path]) -> None:
            tasks = [_ShardTask(shard, folder / "tokenizer", to) for shard, to in zip(shards, folders, strict=True)]
            done = run_all(_encode_shard, tasks, how, folder, here)
            for task, _ in zip(tasks, done, strict=True):
                if how.elsewhere(len(tasks)):
                    progress.advance(task.shard.documents)

        if len(shards) > 1:
            write_shards(folder / "train", len(shards), write)
        else:
            here(_ShardTask(shards[0], folder / "tokenizer", folder / "train"))
    logger.info(f"tokenized {corpus.sizes['train']:,} documents in {time.monotonic() - start:.1f} s")


def _encode_shard(task: _ShardTask, advance: Callable[[int], None] | None = None) -> None:
    """Write the tokens of a file's documents; without `advance`, beside others that do so, with one thread."""
    tokenizer = load_tokenizer(task.tokenizer)
    if advance is None:
        tokenizer.threads = 1

    def encoded() -> Iterator[list[Any]]:
        # SentencePiece lets go of Python's lock: while it encodes, one thread reads and the caller writes.
        portions = prefetch(in_portions(task.shard.texts()), 1)
        for portion in prefetch(map(tokenizer.encode, portions), 1):
            yield portion
            if advance is not None:
                advance(len(portion))

    write_store(task.folder, encoded(), tokenizer.vocabulary_size)
