"""NumPy arrays in zip archives, read as streams: what their headers claim is never allocated at once; no pickle."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

_FREE_NUMBERS = 1 << 26  # a portion of a compressed file may hold so many numbers,
_MOST_PER_BYTE = 16  # or so many for each of its bytes


def member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a file of an archive for writing; it has the oldest date that the format knows."""
    return archive.open(zipfile.ZipInfo(name), "w", force_zip64=True)


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the type that an array's header claims.

    Raises:
        ValueError: it is no header of plain numbers, row by row.
    """
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"expected an array of NumPy's format 1 or 2, found {version}")
    shape, fortran_order, dtype = readers[version](stream)
    if dtype.hasobject or (fortran_order and len(shape) > 1):
        raise ValueError(f"expected plain numbers, row by row, found {dtype}{' by column' if fortran_order else ''}")
    return shape, dtype


def read_bytes(stream: IO[bytes], count: int) -> bytes:
    """Return the next `count` bytes.

    Raises:
        ValueError: there are fewer.
    """
    content = stream.read(count)
    if len(content) != count:
        raise ValueError(f"expected {count:,} bytes of numbers, found {len(content):,}")
    return content


def read_numbers(stream: IO[bytes], dtype: np.dtype, count: int) -> np.ndarray:
    """Return the next `count` numbers.

    Raises:
        ValueError: there are fewer.
    """
    return np.frombuffer(read_bytes(stream, count * dtype.itemsize), dtype)


def read_row(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """Return the file `name` of the archive at `path`: one row of whole numbers.

    Raises:
        ValueError: it is something else, or claims more than the archive can mean honestly.
    """
    with archive.open(f"{name}.npy") as stream:
        shape, dtype = read_header(stream)
        check_inflation(path, math.prod(shape))
        if len(shape) != 1 or dtype.kind not in "iu":
            raise ValueError(f"expected {name} as one row of whole numbers, found {dtype}{shape}")
        return read_numbers(stream, dtype, shape[0])


def check_inflation(path: Path, numbers: int) -> None:
    """Raise a ValueError for more numbers at once than a file of this size can mean honestly."""
    most = max(_FREE_NUMBERS, _MOST_PER_BYTE * path.stat().st_size)
    if numbers > most:
        raise ValueError(f"expected at most {most:,} numbers together in a file this small, found {numbers:,}")
