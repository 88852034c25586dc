"""Documents read from the user's files: text, tables and objects, plain or compressed.

How each file is read is found out in `sniffing`. Every fault of a file is one `ValueError` of one line that says where
it is, what was expected and what found; a bad record may be left out instead. Files are streamed: memory holds a block
of about a megabyte, or one document where that is longer.
"""

import glob
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from textae.data.corpora.checking import BadRecords, Label, Record, Tell
from textae.data.corpora.encodings import guess_encoding
from textae.data.corpora.objects import json_lines, json_values
from textae.data.corpora.parquet_files import parquet
from textae.data.corpora.sniffing import Input, Reading, notes
from textae.data.corpora.specification import Advance
from textae.data.corpora.tables import table
from textae.data.lines import Undecodable, lines, lines_between, texts

logger = logging.getLogger(__name__)

__all__ = ["Input", "Label", "Reading", "Record", "check_fields", "documents", "file_records", "find", "records"]

_BLOCK = 1 << 20


def documents(
    files: str | Path | Sequence[str | Path],
    field: str | None = None,
    max_characters: int | None = None,
    *,
    on_bad_record: str = "stop",
    **reading: Any,
) -> Iterator[str]:
    """Documents of files, folders and globs, in order, without those that are empty.

    A document is a line of a file of lines, see `textae.data.lines`, or the value of `field` in the other formats, cut
    to `max_characters`. `reading` may have `format`, `encoding`, `delimiter` and `document`, see `Reading`.
    Raises ValueError or FileNotFoundError for what cannot be read.
    """
    how = Reading(**reading)
    bad = BadRecords(on_bad_record == "skip")
    inputs = [Input.of(path, how, field) for path in find(files)]
    for text, _ in records(inputs, field, max_characters=max_characters, bad=bad, tell=logger.warning):
        yield text
    bad.tell(logger.warning)


def find(files: str | Path | Sequence[str | Path], setting: str = "files") -> list[Path]:
    """Files that the paths and globs of a setting name: in the order given, a glob's and a folder's sorted, each once.

    A folder stands for all files in it and in the folders below, but for those that are empty and those whose names
    begin with a dot.
    """
    patterns = [files] if isinstance(files, str | Path) else list(files)
    if not patterns:
        raise ValueError(f"{setting}: expected at least one path or glob, found none")
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_file():
            matches = [path]
        elif path.is_dir():
            matches = _below(path)
            if not matches:
                raise ValueError(f"{setting}: expected files in the folder {path}, found none")
        else:
            names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207, takes absolute patterns too
            matches = [Path(name) for name in names if Path(name).is_file()]
        if not matches:
            kind = "a file that matches" if glob.has_magic(str(path)) else "the file"
            raise FileNotFoundError(f"{setting}: expected {kind} {path}, found none")
        for match in matches:
            found.setdefault(match.resolve(), match)
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file() and path.stat().st_size)


def records(
    inputs: Iterable[Input],
    field: str | None = None,
    label: str | None = None,
    max_characters: int | None = None,
    advance: Advance = lambda size: None,
    bad: BadRecords | None = None,
    tell: Tell = lambda line: None,
) -> Iterator[Record]:
    """Pairs of text and label (None without a label field).

    `advance` is told of the bytes read from disk, `tell` in a line of what was found out about how to read a file;
    `bad` does what is to be done with a bad record, by default it raises a ValueError.
    """
    if max_characters is not None and max_characters < 1:
        raise ValueError(f"max_characters: expected None or at least 1, found {max_characters}")
    bad = bad or BadRecords()
    inputs = list(inputs)
    for note in notes(inputs):
        tell(note)
    for source in inputs:
        check_fields(source, field, label)
        yield from file_records(source, field, label, max_characters, None, advance, bad, tell)


def file_records(
    source: Input,
    field: str | None,
    label: str | None,
    max_characters: int | None,
    span: tuple[int, int] | None,
    advance: Advance,
    bad: BadRecords,
    tell: Tell,
) -> Iterator[Record]:
    """Pairs of text and label of one file, as `records`.

    With a `span`, only records that begin in this range of bytes, of a file that has ranges. Then a bad record's place
    is not known, and `bad` must not leave it out.
    """
    if span is None:
        found = _read(source, field, label, advance, bad, tell)
    else:
        found = _read_span(source, span, field, label, advance, bad)
    for text, value in found:
        if text:
            yield text[:max_characters], value
    source.check_unchanged()


def _read_span(
    source: Input, span: tuple[int, int], field: str | None, label: str | None, advance: Advance, bad: BadRecords
) -> Iterator[Record]:
    name = str(source.path)
    with source.path.open("rb") as stream:
        content = lines_between(stream, name, *span, advance)
        if source.format == "jsonl":
            yield from json_lines(content, name, field, label, bad)
        else:
            yield from _each_line(content, name, bad)


def check_fields(source: Input, field: str | None, label: str | None) -> None:
    """Raise ValueError if the fields named do not suit the format of a file."""
    if source.format in ("lines", "file"):
        what = "a file is a document"
        if source.format == "lines":
            what = "a line is a document, or a table or objects with such a field"
        for setting, name in (("field", field), ("label", label)):
            if name is not None:
                raise ValueError(f"{source.path}: expected no {setting} where {what}, found {name}")
    elif field is None and (source.format not in ("json", "jsonl") or label is not None):
        raise ValueError(f"{source.path}: expected field=NAME, which {source.format} needs, found none")


def _read(
    source: Input, field: str | None, label: str | None, advance: Advance, bad: BadRecords, tell: Tell
) -> Iterator[Record]:
    name = str(source.path)
    if source.format == "parquet":
        yield from parquet(source.path, source.size, field or "", label, bad, advance)
        return
    with source.path.open("rb") as stream:
        shared: dict[str, Any] = {"keep_undecodable": True, "advance": advance, "guess": guess_encoding, "tell": tell}
        if source.format == "json":
            parts = texts(stream, name, source.encoding, **{**shared, "keep_undecodable": bad.skip})
            yield from json_values(parts, name, field, label, bad)
            return
        is_table = source.format in ("csv", "tsv")
        content = lines(stream, name, source.encoding, keep_ends=is_table, at_once=_BLOCK, **shared)
        if is_table:
            delimiter = source.delimiter or ","
            yield from table(content, name, delimiter, field or "", label, bad, tell, source.encloses)
        elif source.format == "jsonl":
            yield from json_lines(content, name, field, label, bad)
        elif source.format == "file":
            yield from _whole(content, name, bad)
        else:
            yield from _each_line(content, name, bad)


def _each_line(content: Iterator[str], name: str, bad: BadRecords) -> Iterator[Record]:
    for number, line in enumerate(content, 1):
        if type(line) is Undecodable:
            bad(f"{name}, line {number}", line.reason)
        else:
            yield line, None


def _whole(content: Iterator[str], name: str, bad: BadRecords) -> Iterator[Record]:
    """The lines of a file as one document."""
    found = list(content)
    for number, line in enumerate(found, 1):
        if type(line) is Undecodable:
            bad(f"{name}, line {number}", line.reason)
            return
    yield "\n".join(found), None
