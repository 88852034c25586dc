"""Preparing a corpus: its documents, split by their content, written once as a TFDS data set.

The data set is written record by record with array_record and TFDS's own metadata classes, not by a
`GeneratorBasedBuilder`, which takes about three times as long (`scripts/benchmark_corpora.py`).
`tfds.builder_from_directory(folder)` and `tfds.builder("KIND/FINGERPRINT", data_dir=data_dir)` read them.
"""

import contextlib
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from textae.data.corpora.checking import Label
from textae.progress import Progress

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
VERSION = "2.0.0"  # of the layout and of the way documents are split; part of every fingerprint
# A group of one record is what TFDS and grain read at random without complaint. Compressing such small groups
# takes four times as long and saves a third of the space, and handing them to other threads takes longer than
# writing them.
_OPTIONS = "group_size:1,uncompressed,max_parallelism:1"
_MESSAGE_BYTES = 4 << 20

# How labels that are no text are stored; of a float as many digits are kept as its type holds.
_DTYPES = {int: "int64", float: "float32", bool: "bool"}

# Split (None: to be chosen by content), text and label of a document.
Example = tuple[str | None, str, Label | None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a corpus: what it is called, what it is made from, how it is split."""

    kind: str
    name: str
    fingerprint: str
    examples: Callable[[Callable[[int], None]], Iterator[Example]]  # may be called more than once
    total: int  # of what `examples` reports as its progress
    shares: dict[str, float]  # of the splits that are taken out of train by content
    unit: str = "B"  # of `total`


def fingerprint(*parts: object) -> str:
    """Hex digest of the `repr` of what a corpus is made from."""
    return hashlib.blake2b(repr((VERSION, *parts)).encode(), digest_size=16).hexdigest()


def shares(*, validation: float | None, test: float | None) -> dict[str, float]:
    """Checked shares of the splits to be taken out of train; None for a split that is given.

    `CorpusConfig` of `textae.config.schema` has the same bounds.
    """
    named = {"validation": validation, "test": test}
    carved = {split: share for split, share in named.items() if share is not None}
    for split, share in carved.items():
        if not 0 < share < 1:
            raise ValueError(f"{split}_share: expected a number between 0 and 1, both excluded, found {share}")
    if sum(carved.values()) >= 1:
        raise ValueError(f"validation_share + test_share: expected less than 1, found {sum(carved.values())}")
    return carved


def prepare(recipe: Recipe, data_dir: Path) -> Path:
    """Folder of the prepared data set of a recipe, made if it is not there yet.

    The folder appears whole or not at all; of several processes one makes it and the others wait for it.
    """
    folder = Path(data_dir) / recipe.kind / recipe.fingerprint
    if folder.is_dir():
        return folder / VERSION
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info(f"waiting for another process that prepares the corpus {recipe.name}")
        lock.acquire()
    try:
        if not folder.is_dir():
            _prepare_locked(recipe, folder)
    finally:
        lock.release()
    return folder / VERSION


def _prepare_locked(recipe: Recipe, folder: Path) -> None:
    incomplete = folder.with_name(f"{folder.name}.incomplete")
    if incomplete.exists():  # left by a process that was killed
        shutil.rmtree(incomplete)
    try:
        (incomplete / VERSION).mkdir(parents=True)
        start = time.monotonic()
        sizes = _write(recipe, incomplete / VERSION)
        incomplete.rename(folder)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)
    counts = ", ".join(f"{split} {sizes[split]:,}" for split in SPLITS)
    logger.info(f"prepared the corpus {recipe.name} in {time.monotonic() - start:.1f} s; documents: {counts}")


def key(content: bytes) -> int:
    """Hash of the UTF-8 bytes of a document, 64 bits."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


class Splitting:
    """Choice of a split by the content of a document, so that equal documents go to the same split.

    test is the low end of the range of the key and validation its high end: adding documents, or changing one
    share, moves no document between the other splits. Where a corpus is so small that one of them stays empty, the
    document of train next to it stands in for it; see `filled`.
    """

    def __init__(self, carved: dict[str, float]):
        self._carved = carved
        self._test_below = int(carved.get("test", 0.0) * 2**64)
        self._validation_from = 2**64 - int(carved.get("validation", 0.0) * 2**64)
        self._stand_ins: dict[int, str] = {}
        self._chosen: set[str] = set()  # splits that a document was chosen for
        # Keys of different documents, no more of them than there are splits: of any, and the ends of train.
        self._some: set[int] = set()
        self._lowest: list[int] = []
        self._highest: list[int] = []

    def __call__(self, content: bytes) -> str:
        """Split of the document with these UTF-8 bytes."""
        number = key(content)
        most = len(SPLITS)
        if len(self._some) < most:
            self._some.add(number)
        if number < self._test_below:
            split = "test"
        elif number >= self._validation_from:
            split = "validation"
        else:
            split = self._stand_ins.get(number, "train")
            if len(self._lowest) < most or number < self._lowest[-1]:
                self._lowest = sorted({*self._lowest, number})[:most]
            if len(self._highest) < most or number > self._highest[0]:
                self._highest = sorted({*self._highest, number})[-most:]
        self._chosen.add(split)
        return split

    def filled(self) -> "Splitting":
        """The same, after a pass over all documents, with a document of train in each split that is empty.

        It is the one whose key is next to the split's: the lowest for test, the highest for validation. More
        documents can only bring one that is nearer, or one of the split's own, and then the stand-in is in train
        again. So no document ever leaves train, and none goes from validation to test or back. No rule promises
        that and has a split for every corpus of three documents: those with too few in train are refused.

        Raises:
            ValueError: there are too few documents, or too few of them are in train.
        """
        splits = [*self._carved, "train"]
        if len(self._some) < len(splits):
            raise ValueError(
                f"expected at least {len(splits)} different documents, one for each of {', '.join(splits)},"
                f" found {len(self._some)}"
            )
        empty = [split for split in self._carved if split not in self._chosen]
        different = len({*self._lowest, *self._highest})
        if different <= len(empty):
            lent = f", {len(empty)} of them for {' and '.join(empty)}" if empty else ""
            raise ValueError(
                f"expected at least {len(empty) + 1} different documents that fall to train by their content{lent},"
                f" found {different}: more documents, or smaller {' and '.join(f'{s}_share' for s in self._carved)}"
            )
        filled = Splitting(self._carved)
        ends = {"test": self._lowest[0], "validation": self._highest[-1]}
        filled._stand_ins = {ends[split]: split for split in empty}
        return filled


def _write(recipe: Recipe, folder: Path) -> dict[str, int]:
    """Write the data set and return its number of documents per split."""
    splitting, label_type = Splitting(recipe.shares), None
    try:
        sizes = _write_examples(recipe, folder, splitting)
    except _FractionError:  # writers of JSON leave ".0" out
        splitting, label_type = Splitting(recipe.shares), float
        sizes = _write_examples(recipe, folder, splitting, label_type)
    empty = {split for split in SPLITS if not sizes[split]}
    if empty == set(SPLITS):
        raise ValueError(f"corpus {recipe.name}: expected documents, found none")
    for split in empty - set(recipe.shares):
        if split != "train" or not recipe.shares:
            raise ValueError(f"corpus {recipe.name}: expected documents for the split {split}, found none")
    if empty:
        sizes = _write_examples(recipe, folder, splitting.filled(), label_type)
    return sizes


def _write_examples(
    recipe: Recipe, folder: Path, splitting: Splitting, label_type: type | None = None
) -> dict[str, int]:
    """Write the data set with labels of a type (None: that of the first one), and return its documents per split."""
    from array_record.python.array_record_module import ArrayRecordWriter

    paths = {split: folder / f"{recipe.kind}-{split}.array_record-00000-of-00001" for split in SPLITS}
    writers = {split: ArrayRecordWriter(str(path), _OPTIONS) for split, path in paths.items()}
    documents = dict.fromkeys(SPLITS, 0)
    sizes = dict.fromkeys(SPLITS, 0)  # bytes
    serialize = None
    try:
        with Progress(f"preparing the corpus {recipe.name}", recipe.total, recipe.unit) as progress:
            for split, text, label in recipe.examples(progress.advance):
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
            reason = " ".join(str(error).split())[:300]
            raise OSError(f"expected to write {paths[split]}, found: {reason}") from error
    if serialize is not None:
        _write_metadata(recipe, folder, serialize.label_type, documents, sizes)
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
        from tensorflow_datasets.proto import tf_example_pb2

        self._held = 0
        self._example = tf_example_pb2.Example()
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
    recipe: Recipe, folder: Path, label_type: type, documents: dict[str, int], sizes: dict[str, int]
) -> None:
    import numpy as np
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.dataset_info import DatasetIdentity

    features = {"text": tfds.features.Text()}
    if label_type is str:
        features["label"] = tfds.features.Text()
    elif label_type in _DTYPES:
        features["label"] = tfds.features.Scalar(dtype=np.dtype(_DTYPES[label_type]))
    identity = DatasetIdentity(
        name=recipe.kind,
        config_name=recipe.fingerprint,
        version=tfds.core.Version(VERSION),
        data_dir=str(folder),
        module_name="textae.data.corpora",
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=f"The corpus {recipe.name}, prepared by textae.",
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )
    info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        dataset_name=recipe.kind,
        filetype_suffix=tfds.core.FileFormat.ARRAY_RECORD.file_suffix,
    )
    splits = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=[documents[split]], num_bytes=sizes[split], filename_template=template
        )
        for split in SPLITS
        if documents[split]
    ]
    info.set_splits(tfds.core.splits.SplitDict(splits))
    info.write_to_directory(folder)
