"""Token ids of many documents on disk: written once in a stream, memory-mapped by any number of readers.

A store is a folder of three files. ids.bin holds the ids of all documents end to end, less 2 each, since pad
and end (0 and 1) are never stored, in the smallest unsigned type that holds the vocabulary. lengths.bin holds
the number of tokens of each document as uint32. store.json holds the counts, the types and the checksums.
All numbers are little-endian.

The store of a large corpus is a folder of such folders, its shards, and a store.json that names them in order. They are
read as one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from textae.data.special_tokens import END_ID, SPECIAL_IDS
from textae.files import writing

FIRST_STORED_ID = SPECIAL_IDS
IDS_FILE, LENGTHS_FILE, DESCRIPTION_FILE = "ids.bin", "lengths.bin", "store.json"
LARGEST_DESCRIPTION_BYTES = 1 << 24  # of a store of a hundred thousand shards
READ_BYTES = 1 << 22
_COUNTED_AT_ONCE = 1 << 24  # tokens

_LENGTH_TYPE = np.dtype("<u4")
_ID_TYPES = {name: np.dtype(name) for name in ("|u1", "<u2", "<u4")}


class TokenStore(Sequence[np.ndarray]):
    """Documents as ids without the end token; store[i] is an int32 array, lengths are in tokens."""

    def __init__(
        self, ids: np.ndarray | _JoinedIds, lengths: np.ndarray, vocabulary_size: int, folder: Path | None = None
    ):
        self.vocabulary_size = vocabulary_size
        self.folder = folder
        self.tokens = len(ids)
        self.lengths = lengths
        self._ids = ids

    @classmethod
    def from_arrays(cls, documents: Sequence[ArrayLike], vocabulary_size: int | None = None) -> TokenStore:
        """Hold documents in memory; without vocabulary_size, the highest id decides it."""
        arrays = [np.asarray(document).astype(np.int64).ravel() for document in documents]
        ids = np.concatenate([*arrays, np.zeros(0, np.int64)])
        if vocabulary_size is None:
            vocabulary_size = int(max(ids.max(initial=0) + 1, FIRST_STORED_ID + 1))
        lengths = np.array([len(array) for array in arrays], _LENGTH_TYPE)
        return cls(_to_stored(ids, vocabulary_size), lengths, vocabulary_size)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, document: int) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride] no slices
        document = range(len(self))[document]
        start = self.starts[document]
        return self._ids[start : start + self.lengths[document]].astype(np.int32) + FIRST_STORED_ID

    @cached_property
    def starts(self) -> np.ndarray:
        """Give the place of each document's first token among all tokens, int64."""
        starts = np.zeros(len(self), np.int64)
        np.cumsum(self.lengths[:-1], dtype=np.int64, out=starts[1:])
        return starts

    def gather(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Give the tokens of several stretches end to end, int32; starts count from the first of all."""
        ends = np.cumsum(lengths, dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        positions = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
        return self._ids[positions].astype(np.int32) + FIRST_STORED_ID

    def token_counts(self) -> np.ndarray:
        """Return how often each id occurs, int64 (vocabulary_size,); the end as often as there are documents."""
        counts = np.zeros(self.vocabulary_size, np.int64)
        for start in range(0, self.tokens, _COUNTED_AT_ONCE):
            stored = self._ids[start : start + _COUNTED_AT_ONCE]
            counts[FIRST_STORED_ID:] += np.bincount(stored, minlength=self.vocabulary_size - FIRST_STORED_ID)
        counts[END_ID] += len(self)
        return counts

    def verify(self) -> None:
        """Read everything and compare checksums; ValueError names the damaged file."""
        if self.folder is None:
            return
        description = _read_description(self.folder)
        for shard in description.get("shards", ()):
            open_store(self.folder / shard["name"]).verify()
        for name in description.get("sha256", ()):
            digest = hashlib.sha256()
            with (self.folder / name).open("rb") as file:
                while block := file.read(READ_BYTES):
                    digest.update(block)
            if digest.hexdigest() != description["sha256"][name]:
                raise ValueError(
                    f"{self.folder / name} is damaged: expected sha256 {description['sha256'][name]}, "
                    f"found {digest.hexdigest()}"
                )


def write_store(folder: Path, encoded: Iterable[Sequence[ArrayLike]], vocabulary_size: int) -> TokenStore:
    """Write batches of documents (ids without the end token) into a new folder and open it.

    The folder appears only when complete. If another process has finished the same store meanwhile, that one
    is taken; a folder with anything else in it is a ValueError, and so is an id that is pad, end or
    outside the vocabulary.
    """
    folder = Path(folder)
    with _appearing(folder) as temporary:
        _write_files(temporary, encoded, vocabulary_size, f"the token store {folder}")
    return open_store(folder)


def write_shards(folder: Path, count: int, write: Callable[[Sequence[Path]], None]) -> TokenStore:
    """Write a store of several shards into a new folder, which appears as with `write_store`, and open it.

    Args:
        folder: of the store.
        count: how many shards, at least one.
        write: writes a store into each of the folders that it is given, by whichever processes.

    Raises:
        ValueError: the shards have different vocabularies.
    """
    folder = Path(folder)
    with _appearing(folder) as temporary:
        names = [f"{number:05}" for number in range(count)]
        write([temporary / name for name in names])
        found = [_read_description(temporary / name) for name in names]
        shards = [
            {
                "name": name,
                "documents": each["documents"],
                "tokens": each["tokens"],
                "sha256": hashlib.sha256((temporary / name / DESCRIPTION_FILE).read_bytes()).hexdigest(),
            }
            for name, each in zip(names, found, strict=True)
        ]
        if len(sizes := {each["vocabulary_size"] for each in found}) != 1:
            raise ValueError(f"expected shards of one vocabulary, found sizes {sorted(sizes)}")
        totals = {key: sum(each[key] for each in found) for key in ("documents", "tokens")}
        same = {key: found[0][key] for key in ("vocabulary_size", "dtype")}
        _write_description(temporary, {"format": 2} | totals | same | {"shards": shards}, f"the token store {folder}")
    return open_store(folder)


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Give a folder to write a store into; at the end of the block it gets its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        description = _read_description(temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            if _read_description(folder) != description:
                raise ValueError(f"{folder} already holds another store, expected none or the same") from None
    except OSError as error:
        if error.errno is None:  # not of the system, and with a message of its own
            raise
        raise OSError(f"expected to write the token store {folder}, found: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_store(folder: Path) -> TokenStore:
    """Map a store into memory; ValueError names a file that is missing, damaged or of the wrong size."""
    folder = Path(folder)
    description = _read_description(folder)
    if "shards" in description:
        return _open_shards(folder, description)
    lengths = _map(folder / LENGTHS_FILE, _LENGTH_TYPE, description["documents"])
    ids = _map(folder / IDS_FILE, _ID_TYPES[description["dtype"]], description["tokens"])
    total = int(lengths.sum(dtype=np.int64))
    if total != description["tokens"]:
        raise ValueError(f"{folder / LENGTHS_FILE} is damaged: expected {description['tokens']} tokens, found {total}")
    return TokenStore(ids, lengths, description["vocabulary_size"], folder)


def _open_shards(folder: Path, description: dict) -> TokenStore:
    stores = []
    for shard in description["shards"]:
        path = folder / shard["name"] / DESCRIPTION_FILE
        store = open_store(path.parent)
        if hashlib.sha256(path.read_bytes()).hexdigest() != shard["sha256"]:
            raise ValueError(f"{path} is damaged: expected the description of another shard")
        stores.append(store)
    lengths = np.concatenate([store.lengths for store in stores])
    ids = _JoinedIds([store._ids for store in stores])
    return TokenStore(ids, lengths, description["vocabulary_size"], folder)


class _JoinedIds:
    """The ids of several shards, read as one array: by slices and by arrays of positions."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, wanted: slice | np.ndarray) -> np.ndarray:
        if isinstance(wanted, slice):
            start, stop, _ = wanted.indices(len(self))
            wanted_shards = range(np.searchsorted(self._ends, start, "right"), np.searchsorted(self._ends, stop) + 1)
            found = []
            for shard in wanted_shards:
                if shard < len(self._arrays):
                    first = self._first(shard)
                    found.append(self._arrays[shard][max(start - first, 0) : max(stop - first, 0)])
            return np.concatenate([self._arrays[0][:0], *found])
        ids = np.empty(len(wanted), self._arrays[0].dtype)
        shards = np.searchsorted(self._ends, wanted, "right")
        for shard in np.unique(shards):
            here = shards == shard
            ids[here] = self._arrays[shard][wanted[here] - self._first(shard)]
        return ids

    def _first(self, shard: int) -> int:
        return int(self._ends[shard]) - len(self._arrays[shard])


def _write_files(folder: Path, encoded: Iterable[Sequence[ArrayLike]], vocabulary_size: int, called: str) -> None:
    """Write the three files, holding one batch of documents in memory at a time.

    `called` is what error messages call them.
    """
    documents = tokens = 0
    digests = {IDS_FILE: hashlib.sha256(), LENGTHS_FILE: hashlib.sha256()}
    with (
        writing(folder / IDS_FILE, own=True, called=called) as ids_file,
        writing(folder / LENGTHS_FILE, own=True, called=called) as lengths_file,
    ):
        for ids, lengths in _joined(encoded):
            for file, name, array in (
                (ids_file, IDS_FILE, _to_stored(ids, vocabulary_size)),
                (lengths_file, LENGTHS_FILE, lengths.astype(_LENGTH_TYPE)),
            ):
                content = array.tobytes()
                file.write(content)
                digests[name].update(content)
            documents += len(lengths)
            tokens += len(ids)
    description = {
        "format": 1,
        "documents": documents,
        "tokens": tokens,
        "vocabulary_size": vocabulary_size,
        "dtype": _id_type(vocabulary_size).str,
        "sha256": {name: digest.hexdigest() for name, digest in digests.items()},
    }
    _write_description(folder, description, called)


def _write_description(folder: Path, description: dict, called: str) -> None:
    with writing(folder / DESCRIPTION_FILE, own=True, called=called) as file:
        file.write(json.dumps(description, indent=1).encode() + b"\n")


def _joined(encoded: Iterable[Sequence[ArrayLike]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the ids of each batch end to end, and the lengths of its documents."""
    for batch in encoded:
        arrays = [np.asarray(document) for document in batch]
        for array in arrays:
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
                raise ValueError(f"a document should be 1-D integer ids, received {array.dtype} of {array.shape}")
        lengths = np.array([len(array) for array in arrays], np.int64)
        yield np.concatenate([np.zeros(0, np.int32), *(array for array in arrays if array.size)]), lengths


def _to_stored(ids: np.ndarray, vocabulary_size: int) -> np.ndarray:
    if len(ids) and not (ids.min() >= FIRST_STORED_ID and ids.max() < vocabulary_size):
        raise ValueError(
            f"ids in a store should be from {FIRST_STORED_ID} to {vocabulary_size - 1}, "
            f"received {ids.min()} to {ids.max()}"
        )
    return (ids - FIRST_STORED_ID).astype(_id_type(vocabulary_size))


def _id_type(vocabulary_size: int) -> np.dtype:
    stored = vocabulary_size - FIRST_STORED_ID
    return _ID_TYPES["|u1" if stored <= 1 << 8 else "<u2" if stored <= 1 << 16 else "<u4"]


def _read_description(folder: Path) -> dict:
    """Read and check store.json."""
    path = folder / DESCRIPTION_FILE
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION_BYTES:
            raise ValueError(f"expected at most {LARGEST_DESCRIPTION_BYTES} bytes, found {path.stat().st_size}")
        description = json.loads(path.read_bytes())
        if not isinstance(description, dict) or description.get("format") not in (1, 2):
            raise ValueError("expected an object with format 1 or 2")
        for key, least in (("documents", 0), ("tokens", 0), ("vocabulary_size", FIRST_STORED_ID + 1)):
            value = description.get(key)
            if type(value) is not int or not least <= value < 1 << 62:
                raise ValueError(f"expected {key} as an integer of at least {least}, found {value!r}")
        dtype = _id_type(description["vocabulary_size"]).str
        if description.get("dtype") != dtype:
            raise ValueError(f"expected dtype {dtype}, found {description.get('dtype')!r}")
        if description["format"] == 2:
            _check_shards(description)
            return description
        sums = description.get("sha256")
        if not isinstance(sums, dict) or set(sums) != {IDS_FILE, LENGTHS_FILE}:
            raise ValueError(f"expected sha256 of {IDS_FILE} and {LENGTHS_FILE}, found {sums!r}")
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{path} is not a usable token store: {' '.join(str(error).split())}") from error
    return description


def _check_shards(description: dict) -> None:
    """Raise a ValueError unless the description names shards that make up the store."""
    shards = description.get("shards") or []
    if not isinstance(shards, list):
        raise ValueError(f"expected a list of shards, found {str(shards)[:100]}")
    names = [f"{number:05}" for number in range(len(shards))]
    if not names or [shard.get("name") if isinstance(shard, dict) else None for shard in shards] != names:
        raise ValueError(f"expected shards 00000, 00001, ..., found {str(shards)[:100]}")
    for key in ("documents", "tokens"):
        counts = [shard.get(key) for shard in shards]
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != description[key]:
            raise ValueError(f"expected shards of {description[key]} {key} together, found {str(counts)[:100]}")


def _map(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    """Map a file of `count` numbers read-only, as a plain array."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ValueError(f"{path} is not readable: {error}") from error
    if size != count * dtype.itemsize:
        raise ValueError(f"{path} is damaged: expected {count * dtype.itemsize} bytes, found {size}")
    if not count:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r"))
