"""What a document's text and label may be, and what is done with bad records."""

import math
from collections.abc import Callable, Iterable

from textae.data.lines import Undecodable

Label = int | float | str  # bool is an int
Record = tuple[str, Label | None]
Tell = Callable[[str], None]

_INT64 = range(-(2**63), 2**63)
_MOST_NAMED = 5


class BadRecordError(ValueError):
    """A bad record; the message says why, and not where."""


class BadRecords:
    """What is done with bad records: the first one stops, or they are left out, counted, and the first ones named."""

    def __init__(self, skip: bool = False):
        self.skip = skip
        self.count = 0
        self.named: list[str] = []

    def __call__(self, where: str, reason: object) -> None:
        """Raise a ValueError for a record, or count it."""
        if not self.skip:
            raise ValueError(f"{where}: {reason}; corpus.on_bad_record=skip leaves such records out")
        self.count += 1
        if len(self.named) < _MOST_NAMED:
            self.named.append(f"{where}: {reason}")

    def add(self, other: "BadRecords") -> None:
        """Count and name the records that another one has."""
        self.count += other.count
        self.named = [*self.named, *other.named][:_MOST_NAMED]

    def tell(self, tell: Tell) -> None:
        """Say how many records were left out, and name the first ones."""
        if self.count:
            tell(f"left out {self.count:,} bad record{'s' if self.count > 1 else ''}, the first of them:")
            for line in self.named:
                tell(f"  {line}")


def checked_text(value: object, field: str) -> str:
    """The text of a document; BadRecordError for what is none."""
    if not isinstance(value, str):
        raise BadRecordError(f"expected a string in field {field}, found {described(value)}")
    if type(value) is Undecodable:
        raise BadRecordError(f"{value.reason} in field {field}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            code = f"U+{ord(value[error.start]):04X}"
            raise BadRecordError(f"expected Unicode text in field {field}, found a lone surrogate {code}") from error
    return value


def checked_label(value: object, field: str) -> Label:
    """The label of a document; BadRecordError for what is none."""
    if isinstance(value, str):
        return checked_text(value, field)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int):
        if value not in _INT64:
            raise BadRecordError(f"expected a label of 64 bits in field {field}, found {_short(value)}")
        return value
    raise BadRecordError(f"expected a number, a truth value or a string in field {field}, found {described(value)}")


def described(value: object) -> str:
    """A value of any type, for a message."""
    return "null" if value is None else f"{type(value).__name__} {_short(value)}"


def listed(names: Iterable[str]) -> str:
    """Names, for a message."""
    names = [str(name)[:80] for name in names]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more if names else "no field"


def _short(value: object) -> str:
    try:
        return str(value)[:40]
    except ValueError:  # of more digits than Python writes
        return "a number of thousands of digits"
