"""Documents read from the user's files: txt, jsonl, csv, tsv and parquet, plain or compressed.

Every fault of a file is one `ValueError` of one line that says where it is, what was expected and what found.
Files are streamed: memory holds a block of about a megabyte, or one document where that is longer.
"""

import bz2
import csv
import glob
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

Label = int | str
Record = tuple[str, Label | None]
Advance = Callable[[int], None]

FORMATS = {"txt": "txt", "log": "txt", "jsonl": "jsonl", "csv": "csv", "tsv": "tsv", "parquet": "parquet"}
COMPRESSIONS = ("gz", "xz", "zst", "bz2")
_BLOCK = 1 << 20
_ZSTD_INPUT = 1 << 15  # zstd gives back all that its input holds, so bounded input bounds the output
_BOM = b"\xef\xbb\xbf"
_INT64 = range(-(2**63), 2**63)


def documents(
    files: str | Path | Sequence[str | Path], field: str | None = None, max_characters: int | None = None
) -> Iterator[str]:
    """Documents of files and globs, in order, without those that are empty.

    A document is a line of a txt or log file, split at "\\n" alone (a "\\r" before it or at the end of the file
    belongs to the line end), or the value of `field` in the other formats, cut to `max_characters`.
    Raises ValueError or FileNotFoundError for what cannot be read.
    """
    inputs = [Input.of(path) for path in find(files)]
    for text, _ in records(inputs, field, max_characters=max_characters):
        yield text


def find(files: str | Path | Sequence[str | Path], setting: str = "files") -> list[Path]:
    """Files that the paths and globs of a setting name: in the order given, a glob's sorted, each once."""
    patterns = [files] if isinstance(files, str | Path) else list(files)
    if not patterns:
        raise ValueError(f"{setting}: expected at least one path or glob, found none")
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_file():
            matches = [path]
        elif path.is_dir():
            raise ValueError(f"{setting}: expected a file, found the folder {path} (a glob takes its files: {path}/*)")
        else:
            names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207, takes absolute patterns too
            matches = [Path(name) for name in names if Path(name).is_file()]
        if not matches:
            kind = "a file that matches" if glob.has_magic(str(path)) else "the file"
            raise FileNotFoundError(f"{setting}: expected {kind} {path}, found none")
        for match in matches:
            found.setdefault(match.resolve(), match)
    return list(found.values())


@dataclass(frozen=True)
class Input:
    """A file to read, as it was when first seen."""

    path: Path
    format: str
    compression: str | None
    size: int
    modified: int  # nanoseconds

    @classmethod
    def of(cls, path: Path) -> "Input":
        """The file at `path`, its format by its name."""
        *_, kind = names = path.name.lower().split(".")
        compression = kind if kind in COMPRESSIONS and len(names) > 2 else None
        if compression:
            kind = names[-2]
        if kind not in FORMATS or (kind == "parquet" and compression):
            raise ValueError(
                f"{path}: expected a name that ends in .{', .'.join(FORMATS)} (all but parquet also with"
                f" .{', .'.join(COMPRESSIONS)} behind it), found {path.name}"
            )
        state = path.stat()
        return cls(path, FORMATS[kind], compression, state.st_size, state.st_mtime_ns)

    def check_unchanged(self) -> None:
        """Raise ValueError if the file is not what it was when first seen."""
        state = self.path.stat()
        if (state.st_size, state.st_mtime_ns) != (self.size, self.modified):
            raise ValueError(
                f"{self.path}: expected the file to stay as it is while it is read, found it changed"
                f" ({self.size} bytes before, {state.st_size} after)"
            )


def records(
    inputs: Iterable[Input],
    field: str | None = None,
    label: str | None = None,
    max_characters: int | None = None,
    advance: Advance = lambda size: None,
) -> Iterator[Record]:
    """Pairs of text and label (None without a label field); `advance` is told of the bytes read from disk."""
    if max_characters is not None and max_characters < 1:
        raise ValueError(f"max_characters: expected None or at least 1, found {max_characters}")
    readers = {"txt": _txt, "jsonl": _jsonl, "csv": _csv, "tsv": _csv, "parquet": _parquet}
    for source in inputs:
        check_fields(source, field, label)
        for text, value in readers[source.format](source, field, label, advance):
            if text:
                yield text[:max_characters], value
        source.check_unchanged()


def check_fields(source: Input, field: str | None, label: str | None) -> None:
    """Raise ValueError if the fields named do not suit the format of a file."""
    if source.format == "txt":
        for setting, name in (("field", field), ("label", label)):
            if name is not None:
                raise ValueError(
                    f"{source.path}: expected no {setting} for txt, where a line is a document, found {name}"
                )
    elif field is None:
        raise ValueError(f"{source.path}: expected field=NAME, which {source.format} needs, found none")


def _txt(source: Input, field: None, label: None, advance: Advance) -> Iterator[Record]:
    for line in _lines(source, advance):
        yield line.removesuffix("\r"), None


def _jsonl(source: Input, field: str, label: str | None, advance: Advance) -> Iterator[Record]:
    for number, line in enumerate(_lines(source, advance), 1):
        if not line.strip():
            continue
        where = f"{source.path}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: expected a JSON object, found something broken ({error})") from error
        if not isinstance(record, dict):
            raise ValueError(f"{where}: expected a JSON object, found a {type(record).__name__}")
        for name in (field, label):
            if name is not None and name not in record:
                raise ValueError(f"{where}: expected a field {name}, found {_listed(record)}")
        text = _checked_text(record[field], field, where)
        yield text, _checked_label(record[label], label, where) if label is not None else None


def _csv(source: Input, field: str, label: str | None, advance: Advance) -> Iterator[Record]:
    # One limit for the whole process, by default 131,072 characters; this is the largest for every system.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    lines = (line + "\n" for line in _lines(source, advance))
    rows = csv.reader(lines, delimiter="\t" if source.format == "tsv" else ",", strict=True)
    header: list[str] | None = None
    try:
        for row in rows:
            if not row:
                continue
            where = f"{source.path}, line {rows.line_num}"
            if header is None:
                header = row
                columns = [_column(source, header, name) for name in (field, label) if name is not None]
                continue
            if len(row) != len(header):
                raise ValueError(f"{where}: expected {len(header)} columns as in the header, found {len(row)}")
            values = [_checked_text(row[column], header[column], where) for column in columns]
            yield values[0], values[1] if label is not None else None
    except csv.Error as error:
        raise ValueError(f"{source.path}, line {rows.line_num}: expected {source.format}, found {error}") from error
    if header is None:
        raise ValueError(f"{source.path}: expected a header with a column {field}, found an empty file")


def _parquet(source: Input, field: str, label: str | None, advance: Advance) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet, types

    try:
        with parquet.ParquetFile(source.path, memory_map=True, pre_buffer=False) as file:
            schema = file.schema_arrow
            names = [name for name in (field, label) if name is not None]
            for name in names:
                _column(source, schema.names, name)
            kind = schema.field(field).type
            plain = kind.value_type if types.is_dictionary(kind) else kind
            if not (types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)):
                raise ValueError(f"{source.path}: expected strings in column {field}, found {kind}")
            number = 0
            for batch in file.iter_batches(batch_size=256, columns=names):
                columns = [batch.column(name).to_pylist() for name in names]
                for row in zip(*columns, strict=True):
                    number += 1
                    where = f"{source.path}, row {number}"
                    text = _checked_text(row[0], field, where)
                    yield text, _checked_label(row[1], label, where) if label is not None else None
                advance(source.size * batch.num_rows // max(file.metadata.num_rows, 1))
    except UnicodeDecodeError as error:
        raise ValueError(f"{source.path}: expected UTF-8 in column {field}, found {error.reason}") from error
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{source.path}: expected a whole parquet file, found a broken one ({reason})") from error


def _column(source: Input, header: Sequence[str], name: str) -> int:
    """Position of a named column; every name must be there and be the only one."""
    if repeated := sorted({column for column in header if header.count(column) > 1}):
        raise ValueError(f"{source.path}: expected a header of different names, found {repeated[0]} more than once")
    if name not in header:
        raise ValueError(f"{source.path}: expected a column {name}, found {_listed(header)}")
    return list(header).index(name)


def _checked_text(value: object, field: str, where: str) -> str:
    if not isinstance(value, str):
        found = "null" if value is None else f"{type(value).__name__} {str(value)[:40]}"
        raise ValueError(f"{where}: expected a string in field {field}, found {found}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(value[error.start]):04X}"
        raise ValueError(f"{where}: expected Unicode text in field {field}, found a lone surrogate {code}") from error
    return value


def _checked_label(value: object, field: str, where: str) -> Label:
    if isinstance(value, int) and not isinstance(value, bool):
        if value not in _INT64:
            raise ValueError(f"{where}: expected a label of 64 bits in field {field}, found {value:.3e}")
        return value
    if not isinstance(value, str):
        found = "null" if value is None else f"{type(value).__name__} {str(value)[:40]}"
        raise ValueError(f"{where}: expected an integer or a string in field {field}, found {found}")
    return _checked_text(value, field, where)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more if names else "no field"


def _lines(source: Input, advance: Advance) -> Iterator[str]:
    """Lines of a UTF-8 file, split at "\\n" alone and without it, the byte order mark of the file dropped."""
    done = 0  # lines decoded so far
    parts: list[bytes] = []  # of a line that is longer than what was read

    def decoded(chunk: bytes) -> list[str]:
        try:
            return chunk.decode().split("\n")
        except UnicodeDecodeError as error:
            line = done + chunk.count(b"\n", 0, error.start) + 1
            column = error.start - chunk.rfind(b"\n", 0, error.start)
            raise ValueError(
                f"{source.path}, line {line}: expected UTF-8, found byte 0x{chunk[error.start]:02X}"
                f" at byte {column} of the line"
            ) from error

    first = True
    for block in _blocks(source, advance):
        if first:
            block = block.removeprefix(_BOM)
            first = False
        end = block.rfind(b"\n")
        if end < 0:
            parts.append(block)
            continue
        lines = decoded(b"".join([*parts, block[:end]]))
        parts = [block[end + 1 :]]
        yield from lines
        done += len(lines)
    if last := b"".join(parts):
        yield from decoded(last)


def _blocks(source: Input, advance: Advance) -> Iterator[bytes]:
    """Decompressed content of a file in blocks, the first long enough to show a byte order mark."""
    with source.path.open("rb") as raw:
        seen = 0
        held = b""
        blocks = _decompressed(raw, source.compression)
        while True:
            try:
                block = next(blocks, None)
            except (EOFError, lzma.LZMAError, zlib.error, OSError, zstandard.ZstdError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the content
                    raise
                raise ValueError(
                    f"{source.path}: expected a whole {source.compression} file, found one that is"
                    f" broken or cut short ({error})"
                ) from error
            advance(raw.tell() - seen)
            seen = raw.tell()
            if block is None:
                break
            held += block
            if len(held) >= len(_BOM):
                yield held
                held = b""
        if held:
            yield held


def _decompressed(raw: BinaryIO, compression: str | None) -> Iterator[bytes]:
    if compression == "zst":
        yield from _zstd_blocks(raw)
        return
    openers = {None: lambda file: file, "gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}
    file = openers[compression](raw)
    while block := file.read(_BLOCK):
        yield block


def _zstd_blocks(raw: BinaryIO) -> Iterator[bytes]:
    # Frame by frame, because zstandard's stream reader takes a file that is cut short for a whole one.
    decompressor = zstandard.ZstdDecompressor(max_window_size=2**31)
    frame = None
    while data := raw.read(_ZSTD_INPUT):
        while data:
            frame = frame or decompressor.decompressobj()
            yield frame.decompress(data)
            data = b""
            if frame.eof:
                data, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("the file ends within a frame")
