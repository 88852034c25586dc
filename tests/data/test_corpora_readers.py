"""Documents of files: every format and compression, and one line for everything that is wrong with a file."""

import bz2
import csv
import gzip
import json
import lzma
import os

import pyarrow
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from textae.data.corpora import documents
from textae.data.corpora.readers import Input, records

pytestmark = pytest.mark.backend_free

TEXTS = [
    "plain",
    "snow ☃ 𝄞",
    "nul \0 inside",
    "a\u2028b\x0bc\x0cd\x85e",
    " spaces ",
    "quote \" and ' and , and \t",
]
COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def fails(match, *arguments, error=ValueError, **settings):
    with pytest.raises(error, match=match) as caught:
        list(documents(*arguments, **settings))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "tsv"])
def test_every_format_and_compression_gives_the_same_documents(tmp_path, kind, suffix):
    if kind == "txt":
        content = "\n".join(TEXTS) + "\n"
    elif kind == "jsonl":
        content = jsonl({"n": 1, "t": text} for text in TEXTS)
    else:
        with (tmp_path / "rows").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, dialect="excel" if kind == "csv" else "excel-tab")
            rows.writerows([["n", "t"], *(["1", text] for text in TEXTS)])
        content = (tmp_path / "rows").read_bytes().decode()
    path = write(tmp_path / f"a.{kind}{suffix}", COMPRESS[suffix](content.encode()))
    assert list(documents([path], None if kind == "txt" else "t")) == TEXTS
    if kind == "txt":
        assert list(documents([path.rename(path.with_name(f"system.log{suffix}"))])) == TEXTS


@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()])
def test_parquet(tmp_path, kind):
    table = pyarrow.table({"t": pyarrow.array(TEXTS, kind), "n": range(len(TEXTS))})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert list(documents([tmp_path / "a.parquet"], "t")) == TEXTS
    item = Input.of(tmp_path / "a.parquet")
    assert list(records([item], "t", "n")) == [(text, n) for n, text in enumerate(TEXTS)]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1)))
def test_lines_come_back(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    write(path, "".join(line + "\n" for line in lines))
    stripped = [line.removesuffix("\r") for line in lines]
    expected = [line for line in stripped if line]
    if lines and lines[0].startswith("\ufeff"):
        expected = [line for line in [stripped[0][1:], *stripped[1:]] if line]
    assert list(documents(path)) == expected


def test_line_ends_byte_order_mark_and_empty_lines(tmp_path):
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\n\r\n\ntwo\rthree\n \n\xef\xbb\xbffour")
    assert list(documents(path)) == ["one", "two\rthree", " ", "\ufefffour"]


def test_lines_longer_than_a_block(tmp_path):
    lines = ["a" * 3_000_000, "☃" * 700_000, "b"]
    assert list(documents(write(tmp_path / "a.txt", "\n".join(lines)))) == lines


def test_fields_of_fifty_million_characters(tmp_path):
    text = "x" * 50_000_000
    assert list(documents(write(tmp_path / "a.csv", f'n,t\n1,"{text}"\n'), "t")) == [text]


def test_csv_fields_keep_their_line_ends(tmp_path):
    path = write(tmp_path / "a.csv", '\ufefft,n\r\n"a\r\nb\nc",1\r\n\r\nd,2\r\n')
    assert list(documents(path, "t")) == ["a\r\nb\nc", "d"]


def test_members_and_frames_one_after_another(tmp_path):
    for suffix in (".gz", ".xz", ".bz2", ".zst"):
        path = write(tmp_path / f"a.txt{suffix}", COMPRESS[suffix](b"one\n") + COMPRESS[suffix](b"two\n"))
        assert list(documents(path)) == ["one", "two"]


def test_globs_are_sorted_and_a_file_is_read_once(tmp_path, monkeypatch):
    for name in "cab":
        write(tmp_path / f"{name}.txt", name)
    monkeypatch.chdir(tmp_path)
    assert list(documents(["b.txt", "*.txt"])) == ["b", "a", "c"]
    write(tmp_path / "[1].txt", "bracket")
    assert list(documents("[1].txt")) == ["bracket"]


def test_max_characters(tmp_path):
    path = write(tmp_path / "a.txt", "☃☃☃☃\nab")
    assert list(documents(path, max_characters=3)) == ["☃☃☃", "ab"]
    fails("max_characters: expected None or at least 1, found 0", path, max_characters=0)


def test_missing_files(tmp_path):
    fails(r"expected the file .*none.txt, found none", tmp_path / "none.txt", error=FileNotFoundError)
    fails(r"expected a file that matches .*\*.txt, found none", tmp_path / "*.txt", error=FileNotFoundError)
    fails("expected files in the folder .*, found none", tmp_path)
    fails("expected at least one path or glob, found none", [])


@pytest.mark.parametrize("name", ["a.doc", "a.parquet.gz", "a.txt.zip", "a.1.doc.gz"])
def test_unsupported_names(tmp_path, name):
    fails(f"expected a name that ends in .txt, .*found {name}", write(tmp_path / name, "x"))


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
def test_broken_and_cut_short_compressed_files(tmp_path, suffix):
    whole = COMPRESS[suffix](b"".join(b"%d\n" % (n * n) for n in range(100_000)))
    path = write(tmp_path / f"a.txt{suffix}", whole[: len(whole) // 2])
    fails(rf"a.txt{suffix}: expected a whole {suffix[1:]} file, found .*cut short", path)
    fails("expected a whole", write(path, whole[:-3]))
    fails("expected a whole", write(path, b"not compressed at all"))


def test_a_folder_that_cannot_be_read_is_an_error_of_its_own(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = write(tmp_path / "a.txt", "x")
    path.chmod(0)
    fails("denied", path, error=PermissionError)


def test_not_utf8(tmp_path):
    content = b"good\n" * 400_000 + b"ok \xff\n"
    fails("a.txt, line 400001: expected UTF-8, found byte 0xFF at byte 4", write(tmp_path / "a.txt", content))
    fails("line 1: expected UTF-8", write(tmp_path / "b.txt", "w\u00efde".encode("utf-16")[2:]))
    fails("line 2: expected UTF-8", write(tmp_path / "c.txt", b"a\ncut \xe2\x98"))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("{broken", "expected a JSON object, found something broken"),
        ("[1]", "expected a JSON object, found a list"),
        ('{"u": "x"}', "expected a field t, found u"),
        ('{"t": null}', "expected a string in field t, found null"),
        ('{"t": 5}', "expected a string in field t, found int 5"),
        (r'{"t": "a\ud800"}', r"found a lone surrogate U\+D800"),
        ("[" * 100_000, "expected a JSON object, found something broken"),
    ],
)
def test_broken_json_lines(tmp_path, row, found):
    fails(f"a.jsonl, line 3: .*{found}", write(tmp_path / "a.jsonl", f'{{"t": "x"}}\n\n{row}\n'), field="t")


def test_fields_of_the_wrong_format(tmp_path):
    fails("expected field=NAME, which jsonl needs", write(tmp_path / "a.jsonl", "{}"))
    fails("expected no field where a line is a document, .*found t", write(tmp_path / "a.txt", "x"), "t")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a,b\n1,2\n", "expected a column t, found a, b"),
        ("t,t\n1,2\n", "expected a header of different names, found t more than once"),
        ("t,n\n1,2\n1\n", "line 3: expected 2 columns as in the header, found 1"),
        ('t,n\n"open,2\n', "expected csv, found unexpected end of data"),
        ("", "expected a header with a column t, found an empty file"),
    ],
)
def test_broken_csv(tmp_path, content, found):
    fails(found, write(tmp_path / "a.csv", content), "t")


def test_broken_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"t": ["x", None], "n": [1, 2]}), path)
    fails("row 2: expected a string in field t, found null", path, "t")
    fails("expected a column u, found t, n", path, "u")
    fails("expected strings in column n, found int64", path, "n")
    fails("expected a whole parquet file, found a broken one", write(path, path.read_bytes()[:-9]), "t")
    binary = pyarrow.array([b"\xff"]).cast(pyarrow.string(), safe=False)
    parquet.write_table(pyarrow.table({"t": binary}), path)
    fails("row 1: expected UTF-8, found byte 0xFF at byte 1 of the text in field t", path, "t")


@pytest.mark.parametrize("value", ["null", "NaN", "[1]", str(2**63), r'"\ud800"'])
def test_labels_are_finite_numbers_truth_values_or_strings(tmp_path, value):
    item = Input.of(write(tmp_path / "a.jsonl", f'{{"t": "x", "l": {value}}}\n'))
    with pytest.raises(ValueError, match=r"line 1: expected .* in field l, found"):
        list(records([item], "t", "l"))


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = write(tmp_path / "a.txt", "one\ntwo\n")
    reader = documents(path)
    assert next(reader) == "one"
    write(path, "one\ntwo\nthree\n")
    with pytest.raises(ValueError, match=r"found it changed \(8 bytes before, 14 after\)"):
        list(reader)
