"""Untrusted files, which anyone may have made: what is no regular file is not opened, and sizes are looked at first.

YAML and JSON are read as plain values: no tags, no aliases, no numbers that are not finite, nothing deep or endless.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import yaml

MOST_NODES = 7_000  # values of a YAML file
MOST_DEPTH = 8  # of a configuration's mappings and lists within each other
LONGEST_SCALAR = 10_000  # characters of one value
MOST_ENTRIES = 100_000  # files below one folder
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
_TEXT_TAG = "tag:yaml.org,2002:str"
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}


def kind_of(path: Path) -> str | None:
    """Return "file", "folder", "link", "pipe" or "device", a link not followed; None where nothing is."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _KINDS.get(stat.S_IFMT(mode), "device")


def entries(folder: Path, most: int | None = MOST_ENTRIES) -> Iterator[Path]:
    """Yield everything below a folder, links not followed, however deep it is; what cannot be listed has nothing in it.

    Raises:
        ValueError: there is more than `most`.
    """
    count, folders = 0, [folder]
    while folders:
        inner = folders.pop()
        try:
            with os.scandir(inner) as listed:
                found = list(listed)
        except OSError:
            continue
        count += len(found)
        if most is not None and count > most:
            raise ValueError(f"expected at most {most:,} files below {folder}, found more")
        for entry in found:
            yield Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))


def open_file(path: Path, most: int, links: bool = False) -> BinaryIO:
    """Open a regular file of at most `most` bytes; nothing else is waited for, read or, without `links`, followed.

    Raises:
        ValueError: it is something else, or larger.
        OSError: it is not there, or cannot be read.
    """
    if not links and (found := kind_of(path)) not in ("file", None):
        raise ValueError(f"expected a file, found a {found}")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"expected a file, found a {_KINDS.get(stat.S_IFMT(status.st_mode), 'device')}")
        if status.st_size > most:
            raise ValueError(f"expected at most {most:,} bytes, found {status.st_size:,}")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, most: int, links: bool = False) -> bytes:
    """Return a file's content; errors as `open_file`, and a ValueError for one that grew meanwhile."""
    with open_file(path, most, links) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"expected at most {most:,} bytes, found more")
    return content


def one_line(error: BaseException, most: int = 300) -> str:
    """Return the message of an error, such as a library's about a damaged file, as one line of `most` characters."""
    return " ".join(str(error).split())[:most]


def parse_json(content: str | bytes, finite: bool = True) -> Any:
    """Return the plain values of JSON text.

    Raises:
        ValueError: it is no JSON, is nested too deep or, where only finite numbers are expected, names another.
    """
    try:
        return json.loads(content, parse_constant=_no_number if finite else None)
    except RecursionError:
        raise ValueError("expected JSON of a few levels, found it nested too deep") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"expected numbers that are finite, found {name}")


def parse_yaml(text: str) -> Any:
    """Return the plain values of one YAML document: mappings with text for keys, lists, text, numbers, booleans, null.

    The document is read event by event, so that what is too large ends early.

    Raises:
        ValueError: it is no YAML; it has tags, anchors or aliases (an alias could stand for more values than any memory
            holds), a key twice or one that is not text; or it is too deep, too long or has too many values.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            return _document(loader)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _document(loader: yaml.SafeLoader) -> Any:
    """Return the value of the only document of a loader's text, None where there is none."""
    loader.get_event()  # the stream's start
    if loader.check_event(yaml.StreamEndEvent):
        return None
    loader.get_event()  # the document's start
    value = _Composer(loader).value(loader.get_event(), 0)
    loader.get_event()
    if not loader.check_event(yaml.StreamEndEvent):
        raise ValueError("expected one document, found several")
    return value


class _Composer:
    """Makes plain values of a YAML loader's events."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader, self._left = loader, MOST_NODES

    def value(self, event: yaml.Event, depth: int) -> Any:
        """Return the value that begins with an event."""
        line = event.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"expected at most {MOST_NODES:,} values, found more in line {line}")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"expected plain values, found an alias in line {line}")
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise ValueError(f"expected plain values, found a tag or an anchor in line {line}")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, line)
        if depth == MOST_DEPTH:
            raise ValueError(f"expected at most {MOST_DEPTH} levels, found more in line {line}")
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._sequence(depth + 1))
        return self._mapping(depth + 1)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Any:
        if len(event.value) > LONGEST_SCALAR:
            raise ValueError(f"expected values of at most {LONGEST_SCALAR:,} characters, found one in line {line}")
        tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag not in _PLAIN_TAGS:  # a date is text, and so is what joins mappings elsewhere
            tag = _TEXT_TAG
        return self._loader.construct_object(yaml.ScalarNode(tag, event.value))

    def _sequence(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            yield self.value(event, depth)

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            key, line = self.value(event, depth), event.start_mark.line + 1
            if not isinstance(key, str) or key == "<<":
                raise ValueError(f"expected the name of a setting, found {key!r:.100} in line {line}")
            if key in values:
                raise ValueError(f"expected each setting once, found {key!r:.100} again in line {line}")
            values[key] = self.value(self._loader.get_event(), depth)
        return values
