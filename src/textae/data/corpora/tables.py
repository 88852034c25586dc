r"""Tables of text: csv and tsv, as spreadsheets, databases and data sets write them.

Quotes enclose a field, which may then hold delimiters and line ends, and are doubled within it; where that does not fit
and backslashes stand before quotes, those are taken for the escapes that they are. In files with tabs quotes may be
content as well: which of the two it is, their rows show. A row is never a mix of several: one with the wrong number of
columns, or one that goes on over what are rows by themselves, is a bad record with the number of its first line.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain

from textae.data.corpora.checking import BadRecordError, BadRecords, Record, Tell, listed
from textae.data.corpora.sniffing import allow_long_fields, separator
from textae.data.lines import Undecodable

Numbered = Iterator[tuple[int, list[str]]]

_ESCAPE = re.compile(r'(\\\\)|\\"')
_FIRST_CHECK = 64  # lines of a record after which it is looked at, and at each doubling
_MOST_LINES = 1 << 17  # of a record
_INNER_ROWS = {2: 30}  # how many lines that are rows by themselves no record has within, by columns
_USUAL_INNER_ROWS = 10
_WINDOW_LINES = 2000  # that show whether quotes enclose
_WINDOW_CHARACTERS = 1 << 20


def table(
    lines: Iterator[str],
    name: str,
    delimiter: str,
    field: str,
    label: str | None,
    bad: BadRecords,
    tell: Tell,
    encloses: bool | None = True,
) -> Iterator[Record]:
    """Texts and labels of a table whose first row names its columns.

    Args:
        lines: with their "\\r".
        encloses: whether quotes enclose fields; None: the rows show it.

    Raises:
        ValueError: a column that is not there or there twice; a bad record, if `bad` raises it.
    """
    columns = Columns(name, tell)
    first = next(lines, "")
    if separator(first) is None:
        lines, skipped = chain([first], lines), 0
    else:
        skipped = 1
    rows: Numbered
    if encloses is None:
        rows = _tabbed(lines, name, delimiter, columns, bad, tell, skipped)
    else:
        rows = Enclosed(lines, name, delimiter, columns, bad, tell, skipped).rows()
    indices: list[int] = []  # of the columns with the text and the label
    shift = 0
    for _, row in rows:
        if not indices:
            indices = [column(name, row, each) for each in (field, label) if each is not None]
            continue
        if columns.shift != shift:
            indices, shift = [index + 1 for index in indices], columns.shift
        yield row[indices[0]], row[indices[1]] if label is not None else None
    if not indices:
        raise ValueError(f"{name}: expected a header with a column {field}, found an empty file")


def column(name: str, header: list[str], wanted: str) -> int:
    """Position of a named column, which must be there and be the only one of its name."""
    for names in (list(header), [each.strip() for each in header]):
        if names.count(wanted) > 1:
            raise ValueError(f"{name}: expected a header of different names, found {wanted} more than once")
        if wanted in names:
            return names.index(wanted)
    raise ValueError(f"{name}: expected a column {wanted}, found {listed(header)}")


class Columns:
    """How many columns rows have: those that the header names, and others if they are empty."""

    def __init__(self, name: str, tell: Tell):
        self.most = 0
        self.shift = 0  # 1: rows begin with a name that the header says nothing of
        self._least = 0
        self.rows = 0
        self._name, self._tell = name, tell

    def check(self, row: list[str]) -> None:
        """Raise BadRecordError for a row that does not fit the first one, which is the header."""
        if not self.most:
            self.most = len(row)
            self._least = max((place for place, each in enumerate(row, 1) if each.strip()), default=len(row))
            return
        self.rows += 1
        if len(row) == self.most or (len(row) < self.most and len(row) >= self._least):
            return
        if len(row) > self.most:
            if self.rows == 1 and len(row) == self.most + 1 and row[0] == "1" and row[-1]:  # as R writes
                self.most, self._least, self.shift = self.most + 1, self._least + 1, 1
                self._tell(f"{self._name}: rows have a column more than the header, the first, of their numbers")
                return
            if not any(row[self.most :]):
                return
        raise BadRecordError(f"expected {self.most} columns as in the header, found {len(row)}")


class Enclosed:
    """Rows of a table in which quotes enclose fields."""

    def __init__(
        self,
        lines: Iterator[str],
        name: str,
        delimiter: str,
        columns: Columns,
        bad: BadRecords,
        tell: Tell,
        done: int = 0,
    ):
        self._lines, self._name, self._delimiter = lines, name, delimiter
        self._columns, self._bad, self._tell = columns, bad, tell
        self._done = done  # lines before
        self._again: deque[str] = deque()  # lines that are read once more
        self._held: list[str] = []  # those of the record that is read
        self._escaped = False
        self._spaced = False  # a space stands behind each delimiter

    def rows(self) -> Numbered:
        """Rows that fit, with the number of the first line."""
        allow_long_fields()
        reader, trying = self._reader(), None
        while True:
            self._held.clear()
            try:
                row = next(reader)
                if row:
                    self._check(row)
            except StopIteration:
                return
            except (csv.Error, BadRecordError) as error:
                if trying is None and not self._escaped and any('\\"' in line for line in self._held):
                    self._escaped, trying = True, error  # perhaps backslashes escape quotes: once more, as if they did
                    self._again.extendleft(reversed(self._held))
                else:
                    self._refuse(trying or error)
                    self._escaped, trying = self._escaped and trying is None, None
                reader = self._reader()
                continue
            if trying is not None:
                trying = None
                self._tell(f"{self._name}: read with backslashes that escape quotes")
            first = self._done + 1
            self._done += len(self._held)
            if row:
                if not self._columns.rows and len(row) > 1 and all(each[:1] == " " for each in row[1:]):
                    self._spaced = True  # as in the header, from here on
                    reader = self._reader()
                yield first, row

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True, skipinitialspace=self._spaced)

    def _feed(self) -> Iterator[str]:
        again, held, lines = self._again, self._held, self._lines
        while True:
            line = again.popleft() if again else next(lines, None)
            if line is None:
                return
            held.append(line)
            size = len(held)
            if size >= _FIRST_CHECK and not size & (size - 1):
                self._check_span(held[1:-1])
            yield (_ESCAPE.sub(lambda found: found[1] or '""', line) if self._escaped else line) + "\n"

    def _check(self, row: list[str]) -> None:
        held = self._held
        for line in held:
            if type(line) is Undecodable:
                raise BadRecordError(line.reason)
        self._columns.check(row)
        if len(held) > 1:
            columns = self._columns.most
            if self._delimiter == "\t" and columns > 1 and all(line.count("\t") == columns - 1 for line in held):
                raise BadRecordError(
                    f"a quote that is not closed: expected a row, found {len(held)} lines that are rows"
                )
            if _are_numbered([line.split(self._delimiter) for line in held], columns):
                raise BadRecordError(f"a quote that is not closed: expected a row, found {len(held)} by their numbers")
            self._check_span(held[1:-1])

    def _check_span(self, inner: list[str]) -> None:
        """Raise BadRecordError for a record whose inner lines are rows by themselves, or too many."""
        columns = self._columns.most
        if len(inner) > _MOST_LINES:
            raise BadRecordError(f"expected a record of at most {_MOST_LINES:,} lines, found one that goes on")
        if columns < 2 or len(inner) < _INNER_ROWS.get(columns, _USUAL_INNER_ROWS):
            return
        if all(self._is_row(line) for line in inner):
            raise BadRecordError(f"expected a quote that is closed, found {len(inner):,} lines within it that are rows")

    def _is_row(self, line: str) -> bool:
        try:
            row = next(csv.reader([line], delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            return True  # of another opened quote; whole rows are mostly what is between
        return len(row) == self._columns.most

    def _refuse(self, error: Exception) -> None:
        """Count the record as bad, of which the first line alone is done with."""
        first, last = self._done + 1, self._done + len(self._held)
        reason = str(error)
        if isinstance(error, csv.Error):
            kind = "tsv" if self._delimiter == "\t" else "csv"
            reason = f"expected {kind}, found {error}"
        if last > first:
            reason += f", in a record that would go on to line {last}"
        self._bad(f"{self._name}, line {first}", reason)
        self._again.extendleft(reversed(self._held[1:]))
        self._done = first


def _are_numbered(rows: list[list[str]], columns: int) -> bool:
    """Whether lines are rows of a table whose first column counts them."""
    if len(rows) < 3 or columns < 2 or any(len(row) != columns or not row[0].isdecimal() for row in rows):
        return False
    first = int(rows[0][0])
    return all(int(row[0]) == number for number, row in enumerate(rows, first))


def _tabbed(
    lines: Iterator[str], name: str, delimiter: str, columns: Columns, bad: BadRecords, tell: Tell, done: int
) -> Numbered:
    """Rows of a table with tabs: lines, until the first quote; what follows it shows what quotes are there."""
    lines = iter(lines)
    before = done
    for line in lines:
        if '"' in line:
            break
        done += 1
        yield from _row_of(line, done, name, delimiter, columns, bad)
    else:
        return
    window = [line]
    size = 0
    for more in lines:
        window.append(more)
        size += len(more)
        if len(window) >= _WINDOW_LINES or size > _WINDOW_CHARACTERS:
            break
    rest = chain(window, lines)
    if encloses(window, columns.most, done > before + 1):
        tell(f"{name}: read with quotes that enclose fields")
        yield from Enclosed(rest, name, delimiter, columns, bad, tell, done).rows()
        return
    tell(f"{name}: read with quotes as content")
    for number, line in enumerate(rest, done + 1):
        yield from _row_of(line, number, name, delimiter, columns, bad)


def _row_of(
    line: str, number: int, name: str, delimiter: str, columns: Columns, bad: BadRecords
) -> Iterator[tuple[int, list[str]]]:
    """The row that a line is, none if it is empty or bad."""
    if type(line) is Undecodable:
        bad(f"{name}, line {number}", line.reason)
        return
    line = line.removesuffix("\r")
    if not line:
        return
    row = line.split(delimiter)
    try:
        columns.check(row)
    except BadRecordError as error:
        bad(f"{name}, line {number}", error)
        return
    yield number, row


def encloses(window: list[str], columns: int, rows_before: bool = False) -> bool:
    """Whether quotes enclose fields in lines with tabs, as spreadsheets write them, or are content.

    Where each line is a row as it stands, quotes are content unless all of them enclose whole fields for a reason: a
    doubled quote or a comma within, or all fields of a column alike. Otherwise that reading is right which makes more
    lines fit.

    Args:
        window: lines, the first of which has a quote.
        columns: of the header; 0: the first line is the header.
        rows_before: whether there were rows without any quote.
    """
    plain = [line.removesuffix("\r").split("\t") for line in window if line.removesuffix("\r")]
    columns = columns or len(plain[0])
    fitting = sum(len(row) == columns for row in plain)
    if columns > 1 and fitting < len(plain):
        refused = BadRecords(skip=True)
        shape = Columns("", _silent)
        shape.check([""] * columns)
        for _ in Enclosed(iter(window), "", "\t", shape, refused, _silent).rows():
            pass
        return len(plain) - refused.count > fitting
    quoted = [cell for row in plain for cell in row if '"' in cell]
    if columns == 1:
        return _all_enclosed([row[0] for row in plain])
    if not all(map(_is_enclosed, quoted)):
        return False
    if any('""' in cell[1:-1] for cell in quoted):
        return True
    whole = [list(cells) for cells in zip(*plain, strict=True)]
    if not rows_before and all(
        _mostly_enclosed(cells[1:] or cells) for cells in whole if any('"' in cell for cell in cells)
    ):
        return True
    return all("," in cell for cell in quoted) and not any("," in c and '"' not in c for row in plain for c in row)


def _is_enclosed(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _mostly_enclosed(cells: list[str]) -> bool:
    return sum(map(_is_enclosed, cells)) >= 0.9 * len(cells)


def _all_enclosed(lines: list[str]) -> bool:
    """Whether lines of one column are fields, some of them enclosed and perhaps of several lines."""
    held: list[str] = []
    for line in lines:
        held.append(line)
        joined = "\n".join(held)
        if _is_enclosed(joined) or '"' not in joined:
            held = []
        elif not joined.startswith('"'):
            return False
    return not held


def _silent(line: str) -> None:
    """Say nothing."""
