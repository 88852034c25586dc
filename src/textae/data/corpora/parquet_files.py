"""Documents of parquet files: a column of strings, or of lists of them, or a field of a column of structs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from textae.data.corpora.checking import BadRecordError, BadRecords, Record, listed
from textae.data.corpora.objects import documents_of
from textae.data.lines import decoded

_ROWS = 256


def parquet(
    path: Path, size: int, field: str, label: str | None, bad: BadRecords, advance: Callable[[int], None]
) -> Iterator[Record]:
    """Texts and labels of a file.

    Raises:
        ValueError: it is no parquet file, has no such columns or other than strings in them; a bad record, if `bad`
            raises it.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            schema = file.schema_arrow
            roots = [_root(path, schema, name) for name in (field, label) if name is not None]
            _check_type(path, schema, field, roots[0])
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=list(dict.fromkeys(roots))):
                for row in _rows(batch):
                    number += 1
                    try:
                        found = documents_of(row, field, label)
                    except BadRecordError as error:
                        bad(f"{path}, row {number}", error)
                        continue
                    yield from found
                advance(size * batch.num_rows // max(file.metadata.num_rows, 1))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 in column {field}, found {error.reason}") from error
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: expected a whole parquet file, found a broken one ({reason})") from error


def _root(path: Path, schema: Any, name: str) -> str:
    """The column that a name leads to: of that name, or what its first parts name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        root = ".".join(parts[:end])
        if schema.names.count(root) > 1:
            raise ValueError(f"{path}: expected a header of different names, found {root} more than once")
        if root in schema.names:
            return root
    raise ValueError(f"{path}: expected a column {name}, found {listed(schema.names)}")


def _check_type(path: Path, schema: Any, field: str, root: str) -> None:
    """Raise ValueError if a field of a column cannot be text; what is deeper within, its rows show."""
    from pyarrow import types

    kind = schema.field(root).type
    while types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    if types.is_struct(kind) and root != field:
        return
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        raise ValueError(f"{path}: expected strings in column {field}, found {schema.field(root).type}")


def _rows(batch: Any) -> Iterator[dict[str, Any]]:
    columns = [_values(batch.column(place)) for place in range(batch.num_columns)]
    names = batch.schema.names
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _values(column: Any) -> list[Any]:
    """Values of a column; a string that is not UTF-8 as `Undecodable`."""
    import pyarrow

    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        if not (pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type)):
            raise
        raw = column.cast(pyarrow.binary(), safe=False).to_pylist()
        return [None if value is None else decoded(value, of="of the text") for value in raw]
