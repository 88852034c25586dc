"""A prepared corpus: a TFDS data set, read without TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textae.config.choices import SPLITS
from textae.data.corpora.checking import Label
from textae.data.corpora.examples import features_of
from textae.data.messages import one_line

_BATCH_BYTES = 1 << 20
_BATCH_DOCUMENTS = 8192
# The readahead of array_record, by default 16 MB, would be filled anew for each batch: twice the time of reading.
_OPTIONS = f"max_parallelism:1,readahead_buffer_size:{_BATCH_BYTES}"


class Corpus:
    """A prepared corpus.

    name: what the user calls it
    fingerprint: hex, of its content and settings
    sizes: documents per split
    folder: the TFDS data set
    """

    def __init__(self, name: str, fingerprint: str, folder: Path):
        import tensorflow_datasets as tfds

        self.name = name
        self.fingerprint = fingerprint
        self.folder = folder
        try:
            self._builder: Any = tfds.builder_from_directory(folder)
            self.sizes = {split: self._builder.info.splits[split].num_examples for split in SPLITS}
        except Exception as error:  # of many types, as the metadata are read by TFDS
            raise _damaged(folder, folder, error) from error

    @property
    def labelled(self) -> bool:
        """Whether documents have labels."""
        return "label" in self._builder.info.features

    def texts(self, split: str) -> Iterator[str]:
        """Documents of a split, always in the same order."""
        for features in self._examples(split):
            yield _text(features)

    def shards(self, split: str) -> list["CorpusShard"]:
        """The files of a split, whose texts one after another are those of `texts`."""
        info = self._builder.info.splits[split]
        mean = max(1, info.num_bytes // info.num_examples)
        return [
            CorpusShard(Path(path), records, mean)
            for path, records in zip(info.filepaths, info.shard_lengths, strict=True)
        ]

    def labels(self, split: str) -> Iterator[Label]:
        """Labels of a split, in the order of `texts`; ValueError if the corpus has none."""
        if not self.labelled:
            raise ValueError(f"corpus {self.name}: expected label=NAME where labels are used, found none")
        is_bool = np.issubdtype(self._builder.info.features["label"].np_dtype, np.bool_)
        for features in self._examples(split):
            label = features["label"]
            if label.HasField("int64_list"):
                value = label.int64_list.value[0]
                yield bool(value) if is_bool else value
            elif label.HasField("float_list"):
                yield _shortest(label.float_list.value[0])
            else:
                yield label.bytes_list.value[0].decode()

    def _examples(self, split: str) -> Iterator[Any]:
        if split not in self.sizes:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}, found {split}")
        for shard in self.shards(split):
            yield from shard.examples()


@dataclass(frozen=True)
class CorpusShard:
    """A file of a split: where it is, how many documents it has, and about how many bytes each takes."""

    path: Path
    documents: int
    mean_bytes: int

    def texts(self) -> Iterator[str]:
        """The documents, in order."""
        return map(_text, self.examples())

    def examples(self) -> Iterator[Any]:
        """The features of each document, in order."""
        # `as_data_source` gives the same, one example at a time and at a tenth of the speed.
        from array_record.python.array_record_module import ArrayRecordReader

        step = min(max(1, _BATCH_BYTES // self.mean_bytes), _BATCH_DOCUMENTS)
        try:
            reader = ArrayRecordReader(str(self.path), options=_OPTIONS)
            try:
                if reader.num_records() != self.documents:
                    raise RuntimeError(f"expected {self.documents} records, found {reader.num_records()}")
                for start in range(0, self.documents, step):
                    for record in reader.read(start, min(start + step, self.documents)):
                        yield features_of(record)
            finally:
                reader.close()
        except RuntimeError as error:
            raise _damaged(self.path, self.path.parent, error) from error


def _damaged(path: Path, folder: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is damaged: {one_line(error, 300)}; without the folder {folder.parent} it is prepared anew"
    )


def _text(features: Any) -> str:
    return features["text"].bytes_list.value[0].decode()


def _shortest(value: float) -> float:
    """The number with the fewest digits that is stored alike: 0.1, where it was that."""
    return float(str(np.float32(value)))
