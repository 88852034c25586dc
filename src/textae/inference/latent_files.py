"""Files of latents: written in portions as texts are encoded, read in portions; no pickle.

`.npy` holds one row per text, float32 (texts, size), from models with one vector per text. `.npz` holds `latents`
(latents, size) and `offsets` (texts + 1). `.parquet` holds a row per text with `latents` (a flat list of floats) and
`num_latents`. Both are for texts of several latents: one per latent position, or one vector per segment. Where each
text has one segment, `.npy` holds them too. Latents of few bits are `.npz` with other arrays: see `packed_latents`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from textae.files import target, writing
from textae.inference.archives import check_inflation, member, read_header, read_numbers, read_row
from textae.inference.packed_latents import is_packed, read_packed
from textae.inference.parts import parts_in

SUFFIXES = {
    "vector": (".npy", ".parquet"),
    "sequence": (".npz", ".parquet"),
    "segments": (".npz", ".parquet", ".npy"),
}
_ROWS = 4096  # texts of a portion
_COPIED = 1 << 20  # bytes at a time
# What NumPy and zipfile raise for content that is something else.
_FAULTS = (ValueError, KeyError, OSError, EOFError, RuntimeError, OverflowError, zlib.error, zipfile.BadZipFile)


def check(path: Path | str, latent: str) -> Path:
    """Return the path.

    Raises:
        ValueError: its suffix is not one for latents of this kind.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES[latent]:
        raise ValueError(
            f"expected a file for {latent} latents to end in {' or '.join(SUFFIXES[latent])}, received {path.name}"
        )
    return path


def parquet_columns() -> dict[str, Any]:
    """Return the columns of latents in Parquet, names and Arrow types."""
    import pyarrow as pa

    return {"latents": pa.list_(pa.float32()), "num_latents": pa.int32()}


def parquet_arrays(latents: np.ndarray | Sequence[np.ndarray], latent: str, size: int) -> list[Any]:
    """Return the latents of some texts, as `encode` gives them, as Arrow arrays of `parquet_columns`."""
    return _columns(*_flat(latents, latent, size))


def _flat(latents: np.ndarray | Sequence[np.ndarray], latent: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the latents of all texts, float32 (latents, size), and how many each text has."""
    counts = np.array([1 if latent == "vector" else len(array) for array in latents], np.int64)
    if not len(latents):
        return np.zeros((0, size), np.float32), counts
    return np.ascontiguousarray(np.concatenate([array.reshape(-1, size) for array in latents]), np.float32), counts


def _columns(flat: np.ndarray, counts: np.ndarray) -> list[Any]:
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(counts * flat.shape[1])]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.reshape(-1)))
    return [lists, pa.array(counts.astype(np.int32))]


class LatentWriter:
    """Writes latents of texts, one portion after another; the file appears when all are written."""

    def __init__(self, path: Path | str, latent: str, size: int) -> None:
        self.path, self.latent, self.size = check(path, latent), latent, size
        self._target = target(self.path)
        self._counts: list[np.ndarray] = []
        self._rows = 0

    def __enter__(self) -> LatentWriter:
        with ExitStack() as stack:
            self._file = self._out = stack.enter_context(writing(self.path, seekable=True))
            if self.path.suffix == ".npz":  # how many rows there are stands in front of them in the archive
                beside = None if self._target.stream else self._target.path.parent
                self._file = stack.enter_context(tempfile.TemporaryFile(dir=beside))
            self._stack = stack.pop_all()
        if self.path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            self._parquet = pq.ParquetWriter(self._file, pa.schema(parquet_columns()))
        else:
            _write_header(self._file, (0, self.size))
        return self

    def write(self, latents: np.ndarray | Sequence[np.ndarray]) -> None:
        """Add the latents of some texts, as `encode` gives them."""
        flat, counts = _flat(latents, self.latent, self.size)
        if self.path.suffix == ".npy" and (counts != 1).any():
            number = int(np.flatnonzero(counts != 1)[0])
            raise ValueError(
                f"output: expected one vector for each text in a .npy file, found {counts[number]} of text "
                f"{sum(map(len, self._counts)) + number + 1}, which was split into segments; "
                ".npz and .parquet hold several"
            )
        self._counts.append(counts)
        self._rows += len(flat)
        if self.path.suffix == ".parquet":
            import pyarrow as pa

            self._parquet.write_table(pa.table(_columns(flat, counts), schema=pa.schema(parquet_columns())))
        else:
            self._file.write(flat.tobytes())

    def __exit__(self, *raised: Any) -> None:
        if raised[0] is None:
            with self._stack:
                self._complete()
            return
        if self.path.suffix == ".parquet":
            with suppress(Exception):  # it would say so itself, later
                self._parquet.close()
        self._stack.__exit__(*raised)

    def _complete(self) -> None:
        """Write what is known only when all rows are there."""
        if self.path.suffix == ".parquet":
            self._parquet.close()
            return
        self._file.seek(0)
        _write_header(self._file, (self._rows, self.size))
        if self.path.suffix == ".npz":
            self._pack()
        else:
            self._file.seek(0, os.SEEK_END)

    def _pack(self) -> None:
        counts = np.concatenate([np.zeros(1, np.int64), *self._counts])
        with zipfile.ZipFile(self._out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            self._file.seek(0)
            with member(archive, "latents.npy") as stream:
                shutil.copyfileobj(self._file, stream, _COPIED)
            with member(archive, "offsets.npy") as stream:
                np.lib.format.write_array(stream, np.cumsum(counts), allow_pickle=False)


def read(path: Path | str, latent: str, size: int) -> Iterator[list[np.ndarray]]:
    """Yield the latents of consecutive texts, some thousand at a time: what `LatentWriter` was given.

    Of a folder, those of the parts of a data set in order: see `textae.inference.parts`.

    Raises:
        ValueError: no such file, or one whose content is not latents of this kind and size.
    """
    path = Path(path)
    if path.is_dir():
        for part in parts_in(path):
            yield from read(part, latent, size)
        return
    if path.suffix != ".npz":  # which may hold latents of few bits, of every kind
        check(path, latent)
    if not path.is_file():
        raise FileNotFoundError(f"input: expected a file of latents, found none at {path}")
    seen = 0
    try:
        for portion in _portions(path, latent, size):
            for number, array in enumerate(portion, seen + 1):
                if not np.isfinite(array).all():
                    raise ValueError(f"expected finite numbers, found {array[~np.isfinite(array)][0]} in text {number}")
            yield portion
            seen += len(portion)
    except _FAULTS as error:
        raise ValueError(f"{path} is not a file of latents: {' '.join(str(error).split())[:300]}") from error


def _portions(path: Path, latent: str, size: int) -> Iterator[list[np.ndarray]]:
    if path.suffix == ".parquet":
        yield from _read_parquet(path, latent, size)
    elif path.suffix == ".npy":
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_rows(rows, size)
        for start in range(0, len(rows), _ROWS):
            portion = _float32(rows[start : start + _ROWS])
            yield list(portion if latent == "vector" else portion[:, None])
    else:
        yield from _read_archive(path, latent, size)


def _read_archive(path: Path, latent: str, size: int) -> Iterator[list[np.ndarray]]:
    """Read the arrays of an `.npz` as streams."""
    with zipfile.ZipFile(path) as archive:
        if is_packed(archive):
            yield from read_packed(archive, path, latent, size)
            return
        check(path, latent)
        offsets = read_row(archive, "offsets", path)
        with archive.open("latents.npy") as stream:
            shape, dtype = read_header(stream)
            if len(shape) != 2 or shape[1] != size or dtype.kind != "f":
                raise ValueError(f"expected rows of {size} floats, found {dtype} of shape {shape}")
            if (
                not len(offsets)
                or offsets[0] != 0
                or offsets[-1] != shape[0]
                or (np.diff(offsets.astype(np.int64)) < 1).any()
            ):
                raise ValueError(f"expected offsets that rise from 0 to {shape[0]}, found others")
            for start in range(0, len(offsets) - 1, _ROWS):
                ends = offsets[start : start + _ROWS + 1].astype(np.int64)
                count = int(ends[-1] - ends[0])
                check_inflation(path, count * size)
                rows = read_numbers(stream, dtype, count * size).reshape(count, size)
                yield np.split(_float32(rows), ends[1:-1] - ends[0])


def _float32(numbers: np.ndarray) -> np.ndarray:
    """Return numbers in float32; what it cannot hold becomes infinite, which is refused where files are read."""
    with np.errstate(over="ignore"):
        return np.asarray(numbers, np.float32)


def _read_parquet(path: Path, latent: str, size: int) -> Iterator[list[np.ndarray]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):  # each of them may be read as a whole
            columns = [file.metadata.row_group(group).column(i) for i in range(file.metadata.num_columns)]
            check_inflation(path, max((column.num_values for column in columns), default=0))
        for batch in file.iter_batches(_ROWS, columns=["latents", "num_latents"]):
            rows = []
            for numbers, count in zip(batch["latents"], batch["num_latents"].to_pylist(), strict=True):
                array = _float32(numbers.values.to_numpy(zero_copy_only=False))
                if array.size != count * size or not count or numbers.values.null_count:
                    raise ValueError(f"expected {count} latents of {size} numbers, found {array.size} numbers")
                if latent == "vector" and count != 1:
                    raise ValueError(f"expected one latent a text, found {count}")
                rows.append(array if latent == "vector" else array.reshape(count, size))
            yield rows
    except (pa.ArrowException, AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error


def _check_rows(rows: np.ndarray, size: int) -> None:
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != size or rows.dtype.kind != "f":
        found = f"{rows.dtype} of shape {rows.shape}" if isinstance(rows, np.ndarray) else "no array"
        raise ValueError(f"expected rows of {size} floats, found {found}")


def _write_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    """Write a header of the same length for any number of rows: NumPy leaves room for the first dimension."""
    description = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, description)
