"""Data sets of Parquet parts, one for each shard of the input; whatever reads Parquet reads them as one table.

A part `part-00002-of-00004.parquet` has a row for each line of its shard, in order: `file`, `line` (from 1 on), and
what was found of the line. The parts of a data set, sorted by name, are the rows of all files in order. A part appears
when it is complete; its stamp, JSON under the key `textae` of the schema's metadata, says what it was made from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from textae.files import temporary_for, writing
from textae.untrusted_files import one_line, parse_json

_KEY = b"textae"
_NAME = re.compile(r"part-(\d{5})-of-(\d{5})\.parquet")
FORMAT = 1  # of the parts
# What a part's stamp holds that those of all parts of a data set share, and what messages call it.
_SHARED = {
    "format": "format",
    "command": "command",
    "run": "run",
    "inputs": "input",
    "settings": "settings",
    "shards": "number of shards",
}


def part_path(folder: Path, number: int, count: int) -> Path:
    """Return the path of a part, which is the one of this number, from 1 on, of so many."""
    return folder / f"part-{number:05}-of-{count:05}.parquet"


def parts_in(folder: Path) -> list[Path]:
    """Return the parts in a folder, in order.

    Raises:
        ValueError: some of them are missing, or belong to several data sets.
    """
    found = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    counts = {_count(path) for path in found}
    if len(counts) != 1 or len(found) != max(counts):
        expected = f"all parts of a data set of {max(counts)}" if counts else "the parts of a data set"
        raise ValueError(f"expected {expected} in {folder}, found {len(found)}")
    return found


def check_folder(folder: Path, stamp: Mapping[str, Any]) -> None:
    """Raise a ValueError unless all that lies in a folder are parts with this stamp, or files that readers pass over.

    `stamp` is what all parts of the data set share.
    """
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if not _NAME.fullmatch(path.name):
            raise ValueError(f"output: expected an empty folder or that of a data set, found {path.name!r} in {folder}")
        found = read_stamp(path)
        for key, called in _SHARED.items():
            if found.get(key) != stamp[key]:
                raise ValueError(
                    f"output: expected parts of the same {called} in {folder}, found others in {path.name}"
                )


def read_stamp(path: Path) -> dict[str, Any]:
    """Return the stamp of a part.

    Raises:
        ValueError: it is damaged, or was not written by this program.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        values = parse_json((pq.read_schema(path).metadata or {}).get(_KEY, b"null"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"output: {path} is damaged: {one_line(error)}; without it, it is written anew") from error
    if not isinstance(values, dict):
        raise ValueError(f"output: expected a part that textae wrote, found another file in {path}")
    return values


def remove_begun(part: Path) -> None:
    """Delete what a process that was killed while it wrote a part has left; only for whoever holds its lock."""
    for path in part.parent.glob(".*.tmp"):
        if temporary_for(path.name) == part.name:
            path.unlink(missing_ok=True)


class PartWriter:
    """Writes a part, some rows after others; it appears when all are written.

    Args:
        path: of the part.
        columns: names of the columns behind `file` and `line`, and their Arrow types.
        stamp: values that JSON holds.
    """

    def __init__(self, path: Path, columns: Mapping[str, Any], stamp: Mapping[str, Any]) -> None:
        import pyarrow as pa

        fields = {"file": pa.string(), "line": pa.int64()} | dict(columns)
        self.path = path
        self._schema = pa.schema(fields, metadata={_KEY: json.dumps({"format": FORMAT} | dict(stamp))})

    def __enter__(self) -> PartWriter:
        import pyarrow.parquet as pq

        with ExitStack() as stack:
            file = stack.enter_context(writing(self.path, own=True))
            self._parquet = pq.ParquetWriter(file, self._schema)
            self._stack = stack.pop_all()
        return self

    def write(self, name: str, first: int, columns: Sequence[Any]) -> None:
        """Add rows of consecutive lines of a file.

        Args:
            name: the file's.
            first: the number of the first line.
            columns: Arrow arrays, one for each of the columns.
        """
        import pyarrow as pa

        rows = len(columns[0])
        arrays = [pa.array([name] * rows, pa.string()), pa.array(range(first, first + rows), pa.int64()), *columns]
        self._parquet.write_table(pa.table(arrays, schema=self._schema))

    def __exit__(self, *raised: Any) -> None:
        if raised[0] is None:
            with self._stack:
                self._parquet.close()
            return
        with suppress(Exception):  # it would say so itself, later
            self._parquet.close()
        self._stack.__exit__(*raised)


def _count(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[2]) if found else 0
