"""Preparing a corpus: its documents, split by their content, written once as a TFDS data set.

Each part of what it is made from is a file of records per split, which several processes may write at once. Their
order, and so that of the documents, does not depend on who writes them.

The data set is written record by record with array_record and TFDS's own metadata classes, not by a
`GeneratorBasedBuilder`, which takes about three times as long (`scripts/benchmark_corpora.py`).
`tfds.builder_from_directory(folder)` and `tfds.builder("KIND/FINGERPRINT", data_dir=data_dir)` read them.
"""

import contextlib
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from textae.config.choices import SPLITS
from textae.data.corpora.checking import BadRecords, Label, Tell
from textae.data.corpora.examples import new_example
from textae.data.corpora.specification import VERSION, Advance, CorpusSpecification, Part
from textae.data.corpora.splitting import Splitting
from textae.data.messages import one_line
from textae.data.parallel import ALONE, Parallel, run_all
from textae.progress import Progress

logger = logging.getLogger(__name__)

# A group of one record is what TFDS and grain read at random without complaint. Compressing such small groups
# takes four times as long and saves a third of the space, and handing them to other threads takes longer than
# writing them.
_OPTIONS = "group_size:1,uncompressed,max_parallelism:1"
_MESSAGE_BYTES = 4 << 20

# How labels that are no text are stored; of a float as many digits are kept as its type holds.
_DTYPES = {int: "int64", float: "float32", bool: "bool"}


@dataclass(frozen=True)
class _Task:
    """A part to write: into files that begin with `prefix`, by a splitting that has seen no document yet."""

    part: Part
    prefix: Path
    splitting: Splitting
    label_type: type | None
    skip_bad_records: bool

    def path(self, split: str) -> Path:
        """Return the file of a split's documents."""
        return self.prefix.with_name(f"{self.prefix.name}-{split}.array_record")


@dataclass
class _Written:
    """What was written of a part; `failed` where a range of a file is to be read with the whole file instead."""

    task: _Task
    splitting: Splitting
    bad: BadRecords
    documents: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))  # bytes
    label_type: type | None = None  # None where there is no document
    first_label: Label | None = None
    told: list[str] = field(default_factory=list)
    failed: bool = False


def prepare(specification: CorpusSpecification, data_dir: Path, how: Parallel = ALONE) -> Path:
    """Folder of the prepared data set of a specification, made if it is not there yet.

    The folder appears whole or not at all; of several processes one makes it and the others wait for it. `how` says who
    writes its parts, which are the same whoever does.
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
            _prepare_locked(specification, folder, how)
    finally:
        lock.release()
    return folder / VERSION


def _prepare_locked(specification: CorpusSpecification, folder: Path, how: Parallel) -> None:
    incomplete = folder.with_name(f"{folder.name}.incomplete")
    if incomplete.exists():  # left by a process that was killed
        shutil.rmtree(incomplete)
    try:
        (incomplete / VERSION).mkdir(parents=True)
        start = time.monotonic()
        sizes = _write(specification, incomplete / VERSION, how)
        incomplete.rename(folder)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)
    counts = ", ".join(f"{split} {sizes[split]:,}" for split in SPLITS)
    logger.info(f"prepared the corpus {specification.name} in {time.monotonic() - start:.1f} s; documents: {counts}")


def _write(specification: CorpusSpecification, folder: Path, how: Parallel) -> dict[str, int]:
    """Write the data set and return its number of documents per split."""
    for note in specification.notes:
        logger.warning(note)
    tell, label_type = _once(logger.warning), None
    splitting = Splitting(specification.split_fractions)
    try:
        sizes, seen = _write_examples(specification, folder, splitting, how, tell)
    except _FractionError:  # writers of JSON leave ".0" out
        label_type = float
        sizes, seen = _write_examples(specification, folder, splitting, how, tell, label_type)
    empty = {split for split in SPLITS if not sizes[split]}
    if empty == set(SPLITS):
        raise ValueError(f"corpus {specification.name}: expected documents, found none")
    for split in empty - set(specification.split_fractions):
        if split != "train" or not specification.split_fractions:
            raise ValueError(f"corpus {specification.name}: expected documents for the split {split}, found none")
    if empty:
        sizes, _ = _write_examples(specification, folder, seen.filled(), how, tell, label_type)
    return sizes


def _write_examples(
    specification: CorpusSpecification,
    folder: Path,
    splitting: Splitting,
    how: Parallel,
    tell: Tell,
    label_type: type | None = None,
) -> tuple[dict[str, int], Splitting]:
    """Write the data set with labels of a type (None: that of the first one).

    Returns:
        Its documents per split, and the splitting after all of them.
    """
    for path in folder.iterdir():  # of a pass before this one
        path.unlink()
    results = _write_parts(specification, folder, splitting, how, tell, label_type)
    bad, seen = BadRecords(), splitting.fresh()
    for result in results:
        for line in result.told:
            tell(line)
        bad.add(result.bad)
        seen.add(result.splitting)
    bad.tell(tell)
    stored = _label_type(results, label_type)
    shards = {split: [result for result in results if result.documents[split]] for split in SPLITS}
    for split, found in shards.items():
        for number, result in enumerate(found):
            name = f"{specification.kind}-{split}.array_record-{number:05}-of-{len(found):05}"
            result.task.path(split).rename(folder / name)
    for path in folder.glob("*.array_record"):  # without documents, or of parts that were read in another way
        path.unlink()
    documents = {split: [result.documents[split] for result in found] for split, found in shards.items()}
    if stored is not None:
        sizes = {split: sum(result.sizes[split] for result in found) for split, found in shards.items()}
        _write_metadata(specification, folder, stored, documents, sizes)
    return {split: sum(found) for split, found in documents.items()}, seen


def _write_parts(
    specification: CorpusSpecification,
    folder: Path,
    splitting: Splitting,
    how: Parallel,
    tell: Tell,
    label_type: type | None,
) -> list[_Written]:
    """Write the documents of each part, and return what was written, in the order of the documents."""
    parts, done, count = list(specification.parts), {}, 0
    own = uuid.uuid4().hex[:8]  # what a process of a command that was killed still writes has another name
    title = f"preparing the corpus {specification.name}"
    with Progress(title, sum(part.size for part in parts), specification.unit) as progress:
        while missing := [part for part in parts if part not in done]:
            tasks = [
                _Task(part, folder / f"{own}-{i:06}", splitting.fresh(), label_type, specification.skip_bad_records)
                for i, part in enumerate(missing, count)
            ]
            count += len(tasks)
            here = partial(_write_part, advance=progress.advance, tell=tell)
            with closing(run_all(_write_part, tasks, how, folder, here)) as results:
                for part, result in zip(missing, results, strict=True):
                    if result.failed and (whole := part.whole) is not None:
                        parts = list(dict.fromkeys(whole if other.whole is whole else other for other in parts))
                        break
                    done[part] = result
                    if how.elsewhere(len(tasks)):
                        progress.advance(part.size)
    return [done[part] for part in parts]


def _write_part(task: _Task, advance: Advance | None = None, tell: Tell | None = None) -> _Written:
    """Write the documents of a part, split by split.

    Args:
        task: the part.
        advance: told of progress; None where that is another process's.
        tell: told of what was found out; None where that is to be returned.
    """
    from array_record.python.array_record_module import ArrayRecordWriter

    ranged = task.part.whole is not None
    written = _Written(task, task.splitting, BadRecords(task.skip_bad_records and not ranged))
    writers = {split: ArrayRecordWriter(str(task.path(split)), _OPTIONS) for split in SPLITS}
    try:
        _write_documents(written, writers, advance or (lambda size: None), tell or written.told.append)
    except BaseException as error:
        for writer in writers.values():
            with contextlib.suppress(RuntimeError):
                writer.close()
        if ranged and isinstance(error, ValueError):
            written.failed = True
            return written
        raise
    for split, writer in writers.items():
        try:
            writer.close()  # says what went wrong in any `write` before
        except RuntimeError as error:
            raise OSError(f"expected to write {task.path(split)}, found: {one_line(error, 300)}") from error
    return written


def _write_documents(written: _Written, writers: Mapping[str, Any], advance: Advance, tell: Tell) -> None:
    task, serialize = written.task, None
    for split, text, label in task.part.examples(advance, written.bad, tell):
        if serialize is None:
            serialize = _Serializer(task.label_type or type(label))
            written.label_type, written.first_label = serialize.label_type, label
        content = text.encode()
        split = split or written.splitting(content)
        record = serialize(content, label)
        writers[split].write(record)
        written.documents[split] += 1
        written.sizes[split] += len(record)


def _label_type(results: Sequence[_Written], label_type: type | None) -> type | None:
    """Return the type of the labels of all parts; None where there is no document.

    Raises:
        _FractionError: it is to be float, and some parts have whole numbers.
        ValueError: they have labels of other types.
    """
    found = [result for result in results if result.label_type is not None]
    types = {result.label_type for result in found}
    if len(types) < 2:
        return next(iter(types), None)
    if types == {int, float} and label_type is None:
        raise _FractionError
    raise _other_label(found[0].label_type, next(r.first_label for r in found if r.label_type != found[0].label_type))


def _other_label(kind: Any, label: Label | None) -> ValueError:
    return ValueError(
        f"expected labels of one type, found {kind.__name__} first, then {type(label).__name__} {label!r}"
    )


def _once(write: Callable[[str], None]) -> Tell:
    """Return a function that writes each line once, though files may be read twice."""
    written: set[str] = set()

    def write_new(line: str) -> None:
        if line not in written:
            written.add(line)
            write(line)

    return write_new


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
            raise _other_label(self.label_type, label)
        if self._held > _MESSAGE_BYTES:
            self._new_example()
        self._text[0] = content
        if label is not None:
            self._label[0] = self._stored(label)
        self._held += len(content)
        return self._example.SerializeToString(deterministic=True)


def _write_metadata(
    specification: CorpusSpecification,
    folder: Path,
    label_type: type,
    documents: Mapping[str, list[int]],
    sizes: Mapping[str, int],
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
            name=split, shard_lengths=documents[split], num_bytes=sizes[split], filename_template=template
        )
        for split in SPLITS
        if documents[split]
    ]
    info.set_splits(SplitDict(splits))
    info.write_to_directory(folder)
