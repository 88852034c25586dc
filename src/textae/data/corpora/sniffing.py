"""How a file is to be read: what the user says, otherwise what its name and its first megabyte show."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textae.data.corpora.encodings import guess_encoding
from textae.data.lines import blocks, compression, is_seekable, mark

FORMATS = {
    **dict.fromkeys(("txt", "text", "log", "out", "err"), "lines"),
    **dict.fromkeys(("jsonl", "ndjson", "jsonlines", "ldjson"), "jsonl"),
    "json": "json",
    "csv": "csv",
    **dict.fromkeys(("tsv", "tab"), "tsv"),
    **dict.fromkeys(("parquet", "pq"), "parquet"),
}
COMPRESSIONS = ("gz", "xz", "zst", "bz2")
DELIMITERS = {"csv": ",", "tsv": "\t"}
_NAMES = {"\t": "tab", " ": "space", ",": "comma", ";": "semicolon", "|": "vertical bar"}
_TRIED = ",\t;|"
_HEAD = 1 << 16
# What log rotation and parts of data sets have behind their names: a number, a date, or a word for what is past.
_ROTATED = re.compile(r"(?<=.)(?:[.\-_]\d[\d\-_.:tz]*|\.(?:old|bak|orig|prev))$")
_COMPRESSED = re.compile(rf"(?<=.)\.({'|'.join(COMPRESSIONS)})$")
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the user says of files; "auto" and None leave it to each file.

    format: auto, lines, csv, tsv, jsonl, json or parquet.
    encoding: auto or a codec of Python.
    delimiter: what parts the columns of a table.
    document: "record", a line or row or object of a file, or "file".
    """

    format: str = "auto"
    encoding: str = "auto"
    delimiter: str | None = None
    document: str = "record"

    @property
    def codec(self) -> str | None:
        """The encoding that was named."""
        return None if self.encoding == "auto" else self.encoding


@dataclass(frozen=True)
class Input:
    """A file to read, as it was when first seen, and how to read it."""

    path: Path
    format: str
    compression: str | None
    size: int
    modified: int  # nanoseconds
    delimiter: str | None = None
    encoding: str | None = None
    encloses: bool | None = None  # whether quotes enclose the fields of a table; None: its rows show it
    note: str = ""  # what was found out, for the user

    @classmethod
    def of(cls, path: Path, reading: Reading = Reading(), field: str | None = None) -> "Input":
        """The file at `path`; `field` tells a table's delimiter: the one that makes a column of that name."""
        state = path.stat()
        if reading.document == "file":
            return cls(path, "file", None, state.st_size, state.st_mtime_ns, encoding=reading.codec)
        named, suffix = _kind_of_name(path)
        if reading.format == "auto" and (named == "unknown" or (named == "parquet" and suffix)):
            raise _unknown(path)
        with path.open("rb") as file:
            start = file.read(16)
            file.seek(0)
            compressed = compression(start)
            if suffix and not compressed and start:
                raise ValueError(
                    f"{path}: expected a whole {suffix} file, found one that is broken or cut short"
                    " (it does not begin like one)"
                )
            head = b"" if start.startswith(b"PAR1") else next(blocks(file, str(path), at_once=_HEAD), b"")
        text = "" if b"PAR1" in (start[:4], head[:4]) else _decoded(head, reading.codec)
        binary = start[:4] == b"PAR1"
        kind, known = _format(path, text, reading, field, binary)
        if kind == "parquet" and compressed:
            raise _unknown(path)
        delimiter = encloses = None
        notes = [] if known else [kind]
        if kind in DELIMITERS:
            delimiter, usual = _delimiter(text, kind, reading.delimiter, field)
            notes += [] if usual else [f"columns parted by {_NAMES.get(delimiter, delimiter)}"]
            encloses = True if delimiter != "\t" or reading.format == "csv" else None
        elif reading.delimiter is not None:
            raise ValueError(f"{path}: expected corpus.delimiter for csv and tsv, found {kind}")
        note = f"read as {', '.join(notes)}" if notes else ""
        return cls(path, kind, compressed, state.st_size, state.st_mtime_ns, delimiter, reading.codec, encloses, note)

    def has_ranges(self) -> bool:
        """Whether the records that begin in a range of its bytes can be read without those before: lines of UTF-8."""
        if self.format not in ("lines", "jsonl") or codecs.lookup(self.encoding or "utf-8").name != "utf-8":
            return False
        with self.path.open("rb") as file:
            return is_seekable(file.read(16))

    def check_unchanged(self) -> None:
        """Raise ValueError if the file is not what it was when first seen."""
        state = self.path.stat()
        if (state.st_size, state.st_mtime_ns) != (self.size, self.modified):
            raise ValueError(
                f"{self.path}: expected the file to stay as it is while it is read, found it changed"
                f" ({self.size} bytes before, {state.st_size} after)"
            )


def notes(inputs: list[Input]) -> Iterator[str]:
    """What was found out about files, a line for those of which it is the same."""
    found: dict[str, list[Path]] = {}
    for item in inputs:
        if item.note:
            found.setdefault(item.note, []).append(item.path)
    for note, paths in found.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        yield f"{paths[0]}{more}: {note}"


def header_of(text: str, delimiter: str) -> list[str]:
    """The first row of a table that is not empty."""
    allow_long_fields()
    try:
        return next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row), [])
    except csv.Error:
        return []


def allow_long_fields() -> None:
    """Let a field of a table be as long as it is: the limit of `csv` is one for the whole process, by default small."""
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))  # the largest for every system


def separator(line: str) -> str | None:
    """The delimiter that a line `sep=;` says, which spreadsheets write and read."""
    found = _SEPARATOR.fullmatch(line.removesuffix("\n") + "\n")
    return found[1] if found else None


def _kind_of_name(path: Path) -> tuple[str | None, str | None]:
    """Format (None: the name says none) and compression by a file's name; a rotated log is named like the log."""
    name, compressed = path.name.lower(), None
    while True:
        if found := _COMPRESSED.search(name):
            compressed = found[1]
        elif not (found := _ROTATED.search(name)):
            break
        name = name[: found.start()]
    _, dot, suffix = name.lstrip(".").rpartition(".")
    if not dot:
        return None, compressed
    return FORMATS.get(suffix, "unknown"), compressed


def _unknown(path: Path) -> ValueError:
    return ValueError(
        f"{path}: expected a name that ends in .{', .'.join(FORMATS)} (all but parquet also with"
        f" .{', .'.join(COMPRESSIONS)} behind it) or corpus.format=NAME, found {path.name}"
    )


def _decoded(head: bytes, encoding: str | None) -> str:
    said, parts = mark(iter([head] if head else []), encoding)
    content = b"".join(parts)
    codec = said or encoding
    if codec is None:
        try:
            return content[: content.rfind(b"\n") + 1 or len(content)].decode()
        except UnicodeDecodeError:
            codec = guess_encoding(content) or "utf-8"
    return content.decode(codec, "replace")


def _format(path: Path, text: str, reading: Reading, field: str | None, binary: bool) -> tuple[str, bool]:
    """Format of a file, and whether that is what the user or the file's name says."""
    if reading.format != "auto":
        return reading.format, True
    named = _kind_of_name(path)[0]
    if binary:
        return "parquet", named == "parquet"
    if named in ("parquet", "csv", "tsv"):
        return named, True
    if named in ("json", "jsonl"):
        found = _json_format(text, named)
        return found, found == named
    if field is None and reading.delimiter is None:
        return "lines", named == "lines"
    if text.lstrip()[:1] in ("{", "["):
        return _json_format(text, "json"), False
    found = next((d for d in "\t,;|" if len(header := header_of(text, d)) > 1 and _has(header, field)), None)
    if found or reading.delimiter:
        return "tsv" if (reading.delimiter or found) == "\t" else "csv", False
    return "lines", named == "lines"


def _json_format(text: str, named: str) -> str:
    """jsonl where the first line is an object by itself and more follow; json for arrays and objects of many lines."""
    text = text.lstrip()
    line, end, rest = text.partition("\n")
    try:
        whole = json.loads(line)
    except (ValueError, RecursionError):
        whole = None
    if text.startswith("["):
        return "jsonl" if named == "jsonl" and rest.strip() and whole is not None else "json"
    if whole is not None:
        return "jsonl" if rest.strip() or named == "jsonl" else "json"
    return named if not end or named == "jsonl" else "json"


def _has(header: list[str], field: str | None) -> bool:
    return field in header or field in [name.strip() for name in header]


def _delimiter(text: str, kind: str, said: str | None, field: str | None) -> tuple[str, bool]:
    """Delimiter of a table, and whether it is the usual one or the one that was said."""
    if said is not None:
        return said, True
    usual = DELIMITERS[kind]
    first, end, _ = text.partition("\n")
    if end and (found := separator(first)):
        return found, found == usual
    for delimiter in dict.fromkeys([usual, *_TRIED]):
        if _has(header_of(text, delimiter), field):
            return delimiter, delimiter == usual
    return usual, True
