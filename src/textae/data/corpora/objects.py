"""Documents of objects: lines of JSON, JSON arrays, parquet; with fields within objects, and lists of texts."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from textae.data.corpora.checking import (
    BadRecordError,
    BadRecords,
    Record,
    checked_label,
    checked_text,
    described,
    listed,
)
from textae.data.lines import Undecodable

_RECORD_SEPARATOR = "\x1e"  # before each line of JSON text sequences, RFC 7464
_NEAR_THE_END = 12  # characters: an escape that is cut is found to be wrong where it begins


class NoFieldError(ValueError):
    """Objects without a `field` that says where their text is; no matter of a single record."""


def json_lines(
    lines: Iterable[str], name: str, field: str | None, label: str | None, bad: BadRecords
) -> Iterator[Record]:
    """Documents of lines that are JSON each."""
    for number, line in enumerate(lines, 1):
        if not line or line.isspace():
            continue
        try:
            if type(line) is Undecodable:
                raise BadRecordError(line.reason)
            try:
                record = json.loads(line.lstrip(_RECORD_SEPARATOR))
            except (ValueError, RecursionError) as error:
                raise BadRecordError(f"expected a JSON object, found something broken ({error})") from error
            found = documents_of(record, field, label)
        except BadRecordError as error:
            bad(f"{name}, line {number}", error)
            continue
        except NoFieldError as error:
            raise ValueError(f"{name}: expected field=NAME, which jsonl needs, found none ({error})") from None
        yield from found


def json_values(
    parts: Iterator[str], name: str, field: str | None, label: str | None, bad: BadRecords
) -> Iterator[Record]:
    """Documents of the elements of a JSON array, or of objects one after another."""
    number = 0
    try:
        for number, record in enumerate(_elements(parts), 1):
            try:
                found = documents_of(record, field, label)
            except BadRecordError as error:
                bad(f"{name}, record {number}", error)
                continue
            except NoFieldError as error:
                raise ValueError(f"{name}: expected field=NAME, which json needs, found none ({error})") from None
            yield from found
    except (json.JSONDecodeError, RecursionError) as error:
        reason = getattr(error, "msg", error)  # without the place, which is one in what is held
        raise ValueError(f"{name}: expected JSON, found something broken after record {number} ({reason})") from error


def documents_of(record: Any, field: str | None, label: str | None) -> list[Record]:
    """Texts and labels of a record: one, or those of a list.

    Raises:
        BadRecordError: there is no such field, or it is no text.
        NoFieldError: it is an object, and no field was named.
    """
    if isinstance(record, str) and field is None:
        return [(checked_text(record, "-"), None)]
    if not isinstance(record, dict):
        raise BadRecordError(f"expected a JSON object, found a {type(record).__name__}")
    if field is None:
        raise NoFieldError(f"among {listed(record)}")
    text = value_of(record, field)
    value = None if label is None else value_of(record, label)
    if isinstance(text, str):
        return [(checked_text(text, field), None if label is None else checked_label(value, label))]
    if isinstance(text, dict) and _is_column(text):
        keys = list(text)
        text = [text[key] for key in keys]
        value = [value.get(key) for key in keys] if isinstance(value, dict) else value
    if not isinstance(text, list):
        raise BadRecordError(f"expected a string in field {field}, found {described(text)}")
    texts = [checked_text(each, field) for each in _flat(text)]
    if label is None:
        return [(each, None) for each in texts]
    labels = list(_flat(value)) if isinstance(value, list) else [value] * len(texts)
    if len(labels) != len(texts):
        raise BadRecordError(f"expected a label or {len(texts)} in field {label}, as texts, found {len(labels)}")
    return [(each, checked_label(value, label)) for each, value in zip(texts, labels, strict=True)]


def value_of(record: dict[str, Any], name: str) -> Any:
    """What a field holds; a name with dots may lead into objects, lists of objects and their numbered elements."""
    if name in record:
        return record[name]
    try:
        return _within(record, name.split("."))
    except KeyError:
        raise BadRecordError(f"expected a field {name}, found {listed(record)}") from None


def _within(value: Any, parts: list[str]) -> Any:
    if not parts:
        return value
    if isinstance(value, list):
        if parts[0].isdecimal() and int(parts[0]) < len(value):
            return _within(value[int(parts[0])], parts[1:])
        return [_within(each, parts) for each in value]
    if isinstance(value, dict):
        for end in range(len(parts), 0, -1):  # a name may hold dots itself
            key = ".".join(parts[:end])
            if key in value:
                return _within(value[key], parts[end:])
    raise KeyError(parts[0])


def _is_column(value: dict[str, Any]) -> bool:
    """Whether an object is a column by row numbers, as pandas writes tables."""
    return bool(value) and all(key == str(number) for number, key in enumerate(value))


def _flat(values: list[Any]) -> Iterator[Any]:
    stack = [iter(values)]
    while stack:
        for each in stack[-1]:
            if isinstance(each, list):
                stack.append(iter(each))
                break
            yield each
        else:
            stack.pop()


def _elements(parts: Iterator[str]) -> Iterator[Any]:
    """Elements of an array at the top, or values one after another, with no more in memory than one of them.

    Raises:
        json.JSONDecodeError, RecursionError: it is no JSON.
    """
    source = _Source(parts)
    if source.character() == "[":
        source.place += 1
        if source.character() == "]":
            source.place += 1
        else:
            while True:
                yield source.value()
                mark = source.character()
                source.place += 1
                if mark == "]":
                    break
                if mark != ",":
                    raise json.JSONDecodeError("Expecting ',' delimiter", mark, 0)
        if source.character():
            raise json.JSONDecodeError("Extra data", source.character(), 0)
        return
    while source.character():
        yield source.value()


class _Source:
    """Text of which as much is held as the value that stands next takes."""

    def __init__(self, parts: Iterator[str]):
        self.place = 0
        self._parts = parts
        self._text = ""
        self._ended = False
        self._decoder = json.JSONDecoder()

    def _more(self, least: int) -> None:
        held = [self._text[self.place :]]
        size = 0
        while size < least:
            part = next(self._parts, None)
            if part is None:
                self._ended = True
                break
            held.append(part)
            size += len(part)
        self._text, self.place = "".join(held), 0

    def character(self) -> str:
        """The next character that is no white space, which becomes the place; "" at the end."""
        while True:
            while self.place < len(self._text):
                if self._text[self.place] not in " \t\r\n\x1e":
                    return self._text[self.place]
                self.place += 1
            if self._ended:
                return ""
            self._more(1)

    def value(self) -> Any:
        """The value that begins at the place."""
        self.character()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self.place)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_THE_END
                if self._ended or not cut:
                    raise
            else:
                if end < len(self._text) or self._ended:
                    self.place = end
                    return value
            self._more(max(1, len(self._text) - self.place))  # twice as much, so that all is decoded twice at most
