"""Portions of files of lines are the same, read from the file's start or from any of them on."""

import gzip
import itertools
import json
import os
from dataclasses import asdict

import pytest

from textae.data import lines
from textae.data.line_index import IndexedFile, Place, index_file, read_portions
from textae.data.preparation import in_portions

pytestmark = pytest.mark.backend_free

TEXT = [
    *(f"line {number}" * (number % 7) for number in range(101)),
    "x" * 700,
    "",
    "日本 \r in it",
    "\ufeffmark",
    "BZh11AY&SY",
]
UTF8 = "\n".join(TEXT).encode()
CONTENTS = {
    "lf": UTF8 + b"\n",
    "no end": UTF8,
    "crlf": "\r\n".join(TEXT).encode() + b"\r\n",
    "mark": b"\xef\xbb\xbf" + UTF8,
    "utf-16": "\n".join(TEXT).encode("utf-16"),
    "gz": gzip.compress(UTF8),
    "one line": b"only",
    "empty lines": b"\n\n\n",
    "nothing": b"",
}


@pytest.fixture(params=[64, 1 << 20], ids="blocks of {}".format, autouse=True)
def small_blocks(request, monkeypatch):
    monkeypatch.setattr(lines, "_BLOCK", request.param)


def indexed(path, characters=100):
    read = []
    found = index_file(path, characters, lambda line: None, read.append)
    assert sum(read) == path.stat().st_size
    return found


@pytest.mark.parametrize("name", CONTENTS)
def test_portions_are_those_of_the_whole_file(name, tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(CONTENTS[name])
    with path.open("rb") as stream:
        expected = list(in_portions(lines.lines(stream, "lines"), 100))
    found = indexed(path)
    assert found.lines == sum(map(len, expected)) and len(found.portions) == len(expected)
    firsts = [1, *itertools.accumulate(map(len, expected), initial=1)][1:-1]
    for first in range(len(expected) + 1):
        for last in {first, min(first + 1, len(expected)), len(expected)}:
            wanted = list(zip(firsts[first:last], expected[first:last], strict=True))
            assert list(read_portions(found, first, last)) == wanted
    values = json.loads(json.dumps(asdict(found)))
    assert IndexedFile(**values | {"portions": [Place(*place) for place in values["portions"]]}) == found


def test_the_middle_of_a_plain_file_is_read_from_there(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    path.write_bytes(CONTENTS["lf"])
    found = indexed(path)
    if lines._BLOCK == 64:
        assert found.portions[-1].byte > path.stat().st_size - 1000
        monkeypatch.setattr("textae.data.line_index.lines", None)  # which would begin at the file's start
    else:
        assert {place.byte for place in found.portions} == {0}
    last = len(found.portions)
    assert next(read_portions(found, last - 1, last))[1][-1] == TEXT[-1]


def test_bytes_that_are_no_text_are_named_by_their_line(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(UTF8 + b"\nnot \xff text\n")
    with pytest.raises(ValueError, match=f"line {len(TEXT) + 1}: expected UTF-8, found byte 0xFF"):
        indexed(path)
    path.write_bytes(UTF8 + b"\nn0t @ text\n")
    found = indexed(path)
    status = path.stat()
    path.write_bytes(UTF8 + b"\nn0t \xff text\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ValueError, match=f"line {len(TEXT) + 1}: expected UTF-8, found byte 0xFF"):
        list(read_portions(found, len(found.portions) - 1, len(found.portions)))


def test_a_file_that_changed_is_refused(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(UTF8)
    found = indexed(path)
    assert found.is_current()
    path.write_bytes(UTF8 + b"more")
    assert not found.is_current()
    with pytest.raises(ValueError, match=r"expected .*lines to stay as it is, found it changed"):
        list(read_portions(found, 0, 1))
    assert indexed(path).digest != found.digest
