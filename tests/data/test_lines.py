"""One rule for lines: what a corpus, a command and a pipe make of the same text."""

import bz2
import gzip
import io
import lzma
import os
import threading

import pytest
import zstandard

import textae.data.lines as line_module
from helpers.corpora import open_corpus
from textae.cli.commands import read_lines
from textae.data.corpora import documents
from textae.data.lines import blocks, lines

COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
LOG = [f"host service[{n}]: the red house number {n * n} runs" for n in range(40)] + ["a lone \r in it", "a\u2028b ☃"]
UNIX = "".join(line + "\n" for line in LOG).encode()
WINDOWS = UNIX.replace(b"\n", b"\r\n")
FORMS = {
    "unix.log": UNIX,
    "windows.log": WINDOWS,
    "unfinished.log": WINDOWS[:-2],
    "marked.log": b"\xef\xbb\xbf" + WINDOWS,
    "powershell.log": "".join(line + "\r\n" for line in LOG).encode("utf-16"),
    **{f"packed.log{suffix}": pack(WINDOWS) for suffix, pack in COMPRESS.items()},
    "twice.log.gz": gzip.compress(UNIX[:500]) + gzip.compress(UNIX[500:]) + bytes(100),
    "misnamed.log": gzip.compress(b"\xef\xbb\xbf" + UNIX),
}

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("name", FORMS)
def test_corpora_and_commands_see_the_same_lines(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    assert list(documents(path)) == LOG
    with path.open("rb") as stream:
        assert list(read_lines(stream, "a")) == LOG
    assert list(read_lines(io.BytesIO(FORMS[name]), "standard input")) == LOG


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\r\n\n", b"\xef\xbb\xbf", b"B", b"BZh", b"a\n\n\nb", b"\x28", b"P*M"]
)
def test_short_and_empty_content(content):
    text = content.removeprefix(b"\xef\xbb\xbf").decode()
    expected = text.replace("\r\n", "\n").split("\n")
    assert list(lines(io.BytesIO(content), "a")) == (expected if expected[-1] else expected[:-1])


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])  # bz2 and xz give nothing before their blocks are whole
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_is_given_as_soon_as_it_has_come(suffix, end):
    """Each one before the next is written; no reader waits for a full buffer."""
    source, sink = os.pipe()
    with open(source, "rb") as stream, open(sink, "wb", buffering=0) as pipe:  # noqa: PTH123
        if suffix == ".gz":
            writer = gzip.GzipFile(fileobj=pipe, mode="wb")
        else:
            writer = pipe if not suffix else zstandard.ZstdCompressor().stream_writer(pipe, closefd=False)
        reader = read_lines(stream, "a")
        for text in ("B", "first", "☃", "", "last"):
            writer.write(text.encode() + end)
            if suffix:
                writer.flush() if suffix == ".gz" else writer.flush(zstandard.FLUSH_BLOCK)
            timer = threading.Timer(20, pipe.close)  # a reader that waits for more would wait for ever
            timer.start()
            assert next(reader) == text
            timer.cancel()
    reader.close()


def test_what_is_compressed_may_be_many_times_as_long():
    content = b"a" * 30_000_000
    for pack in list(COMPRESS.values())[1:]:
        parts = [len(part) for part in blocks(io.BytesIO(pack(content)), "a")]
        assert sum(parts) == len(content)
        assert max(parts) <= 1 << 26


@pytest.mark.parametrize("suffix", list(COMPRESS)[1:])
def test_what_is_compressed_and_broken_is_a_line(suffix):
    whole = COMPRESS[suffix](UNIX * 50)
    for content in (whole[:-3], whole[: len(whole) // 2], whole + b"junk", whole[:30] + b"\xff\0\xff" + whole[33:]):
        with pytest.raises(ValueError, match=rf"a: expected a whole {suffix[1:]} file, found one that is broken"):
            list(read_lines(io.BytesIO(content), "a"))


@pytest.mark.filterwarnings("ignore")
def test_scores_do_not_depend_on_how_lines_are_stored(command, trained, tmp_path, data_dir):
    """As the corpus saw them; and as many lines come out of `reconstruct` as went in."""
    found = {}
    for name in ("unix.log", "windows.log", "packed.log.gz"):
        path = tmp_path / name
        path.write_bytes(FORMS[name])
        found[name] = command("score", f"run={trained[0]}", f"input={path}")
    assert len(set(map(tuple, found.values()))) == 1
    corpus = open_corpus("text", tmp_path / "data", files=tmp_path / "windows.log", validation_share=0.3)
    seen = [text for split in ("train", "validation", "test") for text in corpus.texts(split)]
    assert sorted(line.split("\t", 2)[2] for line in found["unix.log"]) == sorted(seen) == sorted(LOG)
    path = tmp_path / "gaps.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\n\r\ntwo")
    assert len(command("reconstruct", f"run={trained[0]}", f"input={path}")) == 4


def test_neighbours_find_a_text_s_own_copy(command, trained, tmp_path):
    (tmp_path / "documents.txt.gz").write_bytes(FORMS["packed.log.gz"])
    (tmp_path / "texts.txt").write_bytes("\n".join(LOG[:3]).encode())
    overrides = (f"documents={tmp_path}/documents.txt.gz", f"input={tmp_path}/texts.txt", "count=1")
    rows = [line.split("\t", 3) for line in command("neighbours", f"run={trained[0]}", *overrides)]
    assert [(row[1], row[3]) for row in rows] == [("1.0000", text) for text in LOG[:3]]


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_line_without_end_comes_to_one(monkeypatch, packed):
    monkeypatch.setattr(line_module, "LONGEST_LINE_BYTES", 5)
    monkeypatch.setattr(line_module, "_BLOCK", 4)
    monkeypatch.setattr(line_module, "_DECOMPRESSED_BYTES", 4)
    assert list(line_module.lines(io.BytesIO(packed(b"1234\n\nlast")), "f")) == ["1234", "", "last"]
    with pytest.raises(ValueError, match="f: expected lines of at most 5 bytes, found more in line 2"):
        list(line_module.lines(io.BytesIO(packed(b"1\n" + b"123456789" * 9)), "f"))


def test_lines_of_50_megabytes_are_not_without_end():
    assert line_module.LONGEST_LINE_BYTES > 2 * 50_000_000
