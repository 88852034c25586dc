"""Where the portions of a file of lines begin: they are counted once, and then read from any of them on.

A portion is what `textae.data.preparation.in_portions` yields, and ends with its file at the latest: what is computed
portion by portion is the same, to the bit, whether one process reads a file or several read ranges of it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from textae.data.lines import is_seekable, lines, lines_from
from textae.data.preparation import in_portions

_HEAD = 16  # bytes, by which a file's compression and byte order mark are known


class Place(NamedTuple):
    """Where a portion begins: its first line, from 0 on, and how many ends of lines after which byte.

    Of a file that cannot be read from its middle on, `ends` counts the lines from its beginning.
    """

    line: int
    byte: int
    ends: int


@dataclass(frozen=True)
class IndexedFile:
    """A file of lines.

    Attributes:
        name: its path, as it was given.
        size: in bytes.
        modified: when, in nanoseconds.
        digest: hex, of its bytes.
        lines: how many.
        portions: where each begins, in order.
    """

    name: str
    size: int
    modified: int
    digest: str
    lines: int
    portions: Sequence[Place]

    def is_current(self) -> bool:
        """Return whether the file is still of the size and time that it was indexed with."""
        return (self.size, self.modified) == _state(Path(self.name))


def index_file(path: Path, characters: int, tell: Callable[[str], None], advance: Callable[[int], None]) -> IndexedFile:
    """Read a file and return where its portions of about so many characters begin.

    Args:
        path: of UTF-8 lines, which may be compressed, or UTF-16 or UTF-32 with a byte order mark.
        characters: of a portion.
        tell: told in a line of what was found out about the encoding.
        advance: told of the bytes read.

    Raises:
        ValueError: as `textae.data.lines.lines`; the file changed meanwhile.
    """
    size, modified = _state(path)
    with path.open("rb") as file:
        seekable = is_seekable(file.read(_HEAD))
        file.seek(0)
        counted = _Counted(file, advance)
        portions, done = [], 0
        for portion in in_portions(lines(cast(BinaryIO, counted), str(path), tell=tell), characters):
            byte, ends = counted.place(done) if seekable else (0, done)
            portions.append(Place(done, byte, ends))
            done += len(portion)
    if _state(path) != (size, modified):
        raise ValueError(f"input: expected {path} to stay as it is, found it changed while it was read")
    return IndexedFile(str(path), size, modified, counted.digest.hexdigest(), done, portions)


def read_portions(file: IndexedFile, first: int, last: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the portions of a file from the one of index `first` to the one before `last`.

    Returns:
        Pairs of the number of a portion's first line, from 1 on, and its lines.

    Raises:
        ValueError: as `textae.data.lines.lines`; the file is not what was indexed.
    """
    if first >= last:
        return
    if not file.is_current():
        raise ValueError(f"input: expected {file.name} to stay as it is, found it changed")
    begin = file.portions[first]
    with Path(file.name).open("rb") as stream:
        if is_seekable(stream.read(_HEAD)) and begin.line:
            stream.seek(begin.byte)
            found = lines_from(stream, file.name, begin.ends, begin.line + 1)
        else:
            stream.seek(0)
            found = islice(lines(stream, file.name), begin.line, None)
        starts = [place.line for place in file.portions[first:last]]
        ends = [*starts[1:], file.portions[last].line if last < len(file.portions) else file.lines]
        for start, end in zip(starts, ends, strict=True):
            yield start + 1, list(islice(found, end - start))


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class _Counted:
    """A file that counts the ends of lines, and takes the digest, of what is read from it."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._file: Any = file
        self._advance = advance
        self._byte, self._ends = 0, 0
        self._bytes: list[int] = []  # where each block begins
        self._before: list[int] = []  # ends of lines in front of it

    def read1(self, size: int) -> bytes:
        """Return the next block."""
        data = self._file.read1(size)
        self.digest.update(data)
        self._bytes.append(self._byte)
        self._before.append(self._ends)
        self._byte += len(data)
        self._ends += data.count(b"\n")
        self._advance(len(data))
        return data

    read = read1

    def place(self, line: int) -> tuple[int, int]:
        """Return after which byte, and after how many ends of lines from there on, a line begins."""
        if not line:
            return 0, 0
        block = bisect_left(self._before, line) - 1  # the last one that begins before the end in front of the line
        return self._bytes[block], line - self._before[block]
