"""Preparing a corpus: its documents, split by their content, written once as a TFDS data set.

The data set is written record by record with array_record and TFDS's own metadata classes, not by a
`GeneratorBasedBuilder`, which takes about three times as long (`scripts/benchmark_corpora.py`).
`tfds.builder_from_directory(folder)` and `tfds.builder("KIND/FINGERPRINT", data_dir=data_dir)` read them.
"""

import contextlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from textae.config.choices import SPLITS
from textae.data.corpora.checking import Label
from textae.data.corpora.examples import new_example
from textae.data.corpora.specification import VERSION, CorpusSpecification
from textae.data.corpora.splitting import Splitting
from textae.data.messages import one_line
from textae.progress import Progress

logger = logging.getLogger(__name__)

# A group of one record is what TFDS and grain read at random without complaint. Compressing such small groups
# takes four times as long and saves a third of the space, and handing them to other threads takes longer than
# writing them.
_OPTIONS = "group_size:1,uncompressed,max_parallelism:1"
_MESSAGE_BYTES = 4 << 20

# How labels that are no text are stored; of a float as many digits are kept as its type holds.
_DTYPES = {int: "int64", float: "float32", bool: "bool"}


def prepare(specification: CorpusSpecification, data_dir: Path) -> Path:
    """Folder of the prepared data set of a specification, made if it is not there yet.

    The folder appears whole or not at all; of several processes one makes it and the others wait for it.
    """
    folder = Path(data_dir) / specification.kind / specification.fingerprint
    if folder.is_dir():
        return folder / VERSION
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info(f"waiting for another process that prepares the corpus {specification.name}")
        lock.acquire()
    try:
        if not folder.is_dir():
            _prepare_locked(specification, folder)
    finally:
        lock.release()
    return folder / VERSION


def _prepare_locked(specification: CorpusSpecification, folder: Path) -> None:
    incomplete = folder.with_name(f"{folder.name}.incomplete")
    if incomplete.exists():  # left by a process that was killed
        shutil.rmtree(incomplete)
    try:
        (incomplete / VERSION).mkdir(parents=True)
        start = time.monotonic()
        sizes = _write(specification, incomplete / VERSION)
        incomplete.rename(folder)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)
    counts = ", ".join(f"{split} {sizes[split]:,}" for split in SPLITS)
    logger.info(f"prepared the corpus {specification.name} in {time.monotonic() - start:.1f} s; documents: {counts}")


def _write(specification: CorpusSpecification, folder: Path) -> dict[str, int]:
    """Write the data set and return its number of documents per split."""
    splitting, label_type = Splitting(specification.split_fractions), None
    try:
        sizes = _write_examples(specification, folder, splitting)
    except _FractionError:  # writers of JSON leave ".0" out
        splitting, label_type = Splitting(specification.split_fractions), float
        sizes = _write_examples(specification, folder, splitting, label_type)
    empty = {split for split in SPLITS if not sizes[split]}
    if empty == set(SPLITS):
        raise ValueError(f"corpus {specification.name}: expected documents, found none")
    for split in empty - set(specification.split_fractions):
        if split != "train" or not specification.split_fractions:
            raise ValueError(f"corpus {specification.name}: expected documents for the split {split}, found none")
    if empty:
        sizes = _write_examples(specification, folder, splitting.filled(), label_type)
    return sizes


def _write_examples(
    specification: CorpusSpecification, folder: Path, splitting: Splitting, label_type: type | None = None
) -> dict[str, int]:
    """Write the data set with labels of a type (None: that of the first one), and return its documents per split."""
    from array_record.python.array_record_module import ArrayRecordWriter

    paths = {split: folder / f"{specification.kind}-{split}.array_record-00000-of-00001" for split in SPLITS}
    writers = {split: ArrayRecordWriter(str(path), _OPTIONS) for split, path in paths.items()}
    documents: dict[str, int] = dict.fromkeys(SPLITS, 0)
    sizes: dict[str, int] = dict.fromkeys(SPLITS, 0)  # bytes
    serialize = None
    try:
        title = f"preparing the corpus {specification.name}"
        with Progress(title, specification.total, specification.unit) as progress:
            for split, text, label in specification.examples(progress.advance):
                if serialize is None:
                    serialize = _Serializer(label_type or type(label))
                content = text.encode()
                split = split or splitting(content)
                record = serialize(content, label)
                writers[split].write(record)
                documents[split] += 1
                sizes[split] += len(record)
    except BaseException:
        for writer in writers.values():
            with contextlib.suppress(RuntimeError):
                writer.close()
        raise
    for split, writer in writers.items():
        try:
            writer.close()  # says what went wrong in any `write` before
        except RuntimeError as error:
            raise OSError(f"expected to write {paths[split]}, found: {one_line(error, 300)}") from error
    if serialize is not None:
        _write_metadata(specification, folder, serialize.label_type, documents, sizes)
    return documents


class _FractionError(ValueError):
    """A label with a fraction after whole numbers."""


class _Serializer:
    """Records of TFDS: a `tf.train.Example` with the feature text and, unless its type is NoneType, label."""

    def __init__(self, label_type: type):
        self.label_type = label_type
        self._new_example()

    def _new_example(self) -> None:
        # Filling one message again and again is twice as fast as making one for each document, but what
        # it held before is freed only with the message.
        self._held = 0
        self._example = new_example()
        features = self._example.features.feature
        self._text = features["text"].bytes_list.value
        self._text.append(b"")
        self._stored = {str: str.encode, bool: int}.get(self.label_type, self.label_type)
        if self.label_type in (int, bool):
            self._label = features["label"].int64_list.value
            self._label.append(0)
        elif self.label_type is float:
            self._label = features["label"].float_list.value
            self._label.append(0.0)
        elif self.label_type is str:
            self._label = features["label"].bytes_list.value
            self._label.append(b"")

    def __call__(self, content: bytes, label: Label | None) -> bytes:
        if type(label) is not self.label_type and not (self.label_type is float and type(label) is int):
            if self.label_type is int and type(label) is float:
                raise _FractionError
            raise ValueError(
                f"expected labels of one type, found {self.label_type.__name__} first, then"
                f" {type(label).__name__} {label!r}"
            )
        if self._held > _MESSAGE_BYTES:
            self._new_example()
        self._text[0] = content
        if label is not None:
            self._label[0] = self._stored(label)
        self._held += len(content)
        return self._example.SerializeToString(deterministic=True)


def _write_metadata(
    specification: CorpusSpecification, folder: Path, label_type: type, documents: dict[str, int], sizes: dict[str, int]
) -> None:
    import numpy as np
    import tensorflow_datasets as tfds
    from etils import epath
    from tensorflow_datasets.core.dataset_info import DatasetIdentity
    from tensorflow_datasets.core.splits import SplitDict

    features: dict[str, Any] = {"text": tfds.features.Text()}
    if label_type is str:
        features["label"] = tfds.features.Text()
    elif label_type in _DTYPES:
        features["label"] = tfds.features.Scalar(dtype=np.dtype(_DTYPES[label_type]))
    identity = DatasetIdentity(
        name=specification.kind,
        config_name=specification.fingerprint,
        version=tfds.core.Version(VERSION),
        data_dir=str(folder),
        module_name="textae.data.corpora",
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=f"The corpus {specification.name}, prepared by textae.",
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )
    info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
    template = tfds.core.ShardedFileTemplate(
        data_dir=epath.Path(folder),
        dataset_name=specification.kind,
        filetype_suffix=tfds.core.FileFormat.ARRAY_RECORD.file_suffix,
    )
    splits: list[Any] = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=[documents[split]], num_bytes=sizes[split], filename_template=template
        )
        for split in SPLITS
        if documents[split]
    ]
    info.set_splits(SplitDict(splits))
    info.write_to_directory(folder)
