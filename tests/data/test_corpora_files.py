"""Files as programs write them: what docs/your-corpus.md says is done with each kind, here with its documents."""

import csv
import gzip
import importlib
import io
import json
import re
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from helpers.corpora import open_corpus
from textae.data.corpora import documents
from textae.data.corpora.checking import BadRecords
from textae.data.corpora.readers import Input, Reading, find, records

pytestmark = pytest.mark.backend_free

CAFE = "id;text\r\n1;Un café crème, s’il vous plaît\r\n2;déjà vu\r\n3;plain\r\n"


def write(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path


def read(path, field=None, label=None, skip=False, **reading):
    """Documents (with labels, if one is named), what was told, and what was left out."""
    told, bad = [], BadRecords(skip)
    inputs = [Input.of(each, Reading(**reading), field) for each in find(path)]
    found = list(records(inputs, field, label, bad=bad, tell=told.append))
    return [text for text, _ in found] if label is None else found, told, bad


def table(rows, **dialect):
    out = io.StringIO(newline="")
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue()


HARD = ['quote "q"', "comma, and\ttab", "line\nend", "", " spaces ", "it's; 5\" | x", "\\n stays, C:\\new"]
ROWS = [["id", "text", "label"], *([str(n), text, "x"] for n, text in enumerate(HARD))]
KEPT = [text for text in HARD if text]


# Tables.


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a", "part-00000"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_tables_of_every_delimiter(tmp_path, name, quoting, delimiter, end):
    content = table(ROWS, delimiter=delimiter, quoting=quoting, lineterminator=end)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        found, _, _ = read(write(tmp_path / name, content, encoding), "text", "label")
        assert found == [(text, "x") for text in KEPT]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_the_line_that_spreadsheets_write_of_their_delimiter(tmp_path, delimiter):
    for first in (f"sep={delimiter}\r\n", f'"sep={delimiter}"\r\n', f"\ufeffsep={delimiter}\n"):
        path = write(tmp_path / "a.csv", first + table(ROWS, delimiter=delimiter))
        assert read(path, "text")[0] == KEPT
    assert ["columns parted by semicolon" in line for line in read(path, "text")[1]] == [True] * (delimiter == ";")


def test_tabs_with_quotes_as_content(tmp_path):
    """As MRPC, STS-B and dumps of reviews: some quotes are opened and closed rows later, some enclose whole texts."""
    texts = [
        f'"He said {n}, he did' if n % 20 == 3 else f'ends with {n}"' if n % 20 == 9 else f"plain {n}"
        for n in range(600)
    ]
    texts[50], texts[51] = '"whole title"', '5" nails ""'
    content = "Quality\t#1 ID\ttext\n" + "".join(f"{n % 2}\t{n}\t{text}\n" for n, text in enumerate(texts))
    found, told, _ = read(write(tmp_path / "mrpc.tsv", content), "text", "Quality")
    assert found == [(text, str(n % 2)) for n, text in enumerate(texts)]
    assert told == [f"{tmp_path}/mrpc.tsv: read with quotes as content"]
    assert read(write(tmp_path / "msr.txt", "\ufeff" + content.replace("\n", "\r\n")), "text")[0] == texts


@pytest.mark.parametrize(
    ("rows", "texts"),
    [
        (['1\t"a, b"', "2\tc"], ["a, b", "c"]),  # spreadsheets enclose what has a comma
        (['1\t"a, b"', "2\tc, d"], ['"a, b"', "c, d"]),
        (['1\t"Title"', "2\tc"], ['"Title"', "c"]),  # nothing within that would have to be enclosed
        (["1\tc", '2\t"He said ""no"""'], ["c", 'He said "no"']),
        (['"1"\t"a"', '"2"\t"b"'], ["a", "b"]),  # as R and pandas with all fields enclosed
        (['1\t"a\tb"', "2\tc"], ["a\tb", "c"]),
        (['1\t"a', 'b"', "2\tc"], ["a\nb", "c"]),
        (['1\t"a', '2\tb"'], ['"a', 'b"']),  # rows by themselves, never merged
        (["1\tc", '2\t"a" b', "3\td"], ["c", '"a" b', "d"]),
    ],
)
def test_what_quotes_mean_between_tabs(tmp_path, rows, texts):
    assert read(write(tmp_path / "a.tsv", "\n".join(["id\ttext", *rows, ""])), "text")[0] == texts


@pytest.mark.parametrize("rows", [['"a', 'b"', "c"], ['"say ""x"""', "c"], ['"Hello" he said', '5" nail']])
def test_a_single_column_with_quotes(tmp_path, rows):
    found = read(write(tmp_path / "a.tsv", "\n".join(["text", *rows, ""])), "text")[0]
    assert found == {'"a': ["a\nb", "c"], '"say ""x"""': ['say "x"', "c"]}.get(rows[0], rows)


def test_a_later_merge_of_rows_is_a_bad_record(tmp_path):
    """Where quotes enclose, and one is not closed, far from what showed that they do."""
    rows = [
        "id\ttext",
        '0\t"a ""b"""',
        *(f"{n}\tplain" for n in range(1, 5000)),
        '5000\t"open',
        '5001\tclosed"',
        "5002\tz",
    ]
    path = write(tmp_path / "a.tsv", "\n".join(rows))
    with pytest.raises(
        ValueError, match=r"a.tsv, line 5002: a quote that is not closed: expected a row, found 2 lines"
    ):
        read(path, "text")
    found, _, bad = read(path, "text", skip=True)
    assert (len(found), bad.count) == (5002, 1)
    assert found[-2:] == ['closed"', "z"]


def test_columns_that_nobody_asked_for(tmp_path):
    kaggle = 'v1,v2,,,\r\nham,Go until,,,\r\nspam,Free entry\r\nham,"a, b",,,\r\n'
    assert read(write(tmp_path / "spam.csv", kaggle), "v2", "v1")[0] == [
        ("Go until", "ham"), ("Free entry", "spam"), ("a, b", "ham"),
    ]  # fmt: skip
    assert read(write(tmp_path / "a.csv", "x,text,x\n1,a,2\n3,b,4\n"), "text")[0] == ["a", "b"]
    assert read(write(tmp_path / "a.csv", ",text\n0,a\n1,b\n"), "text")[0] == ["a", "b"]  # pandas and its index
    assert read(write(tmp_path / "a.csv", "text,n\na,1,\nb,2,,\n"), "text")[0] == ["a", "b"]
    assert read(write(tmp_path / "a.csv", 'id, text\n1, "a, b"\n'), "text")[0] == ["a, b"]
    assert read(write(tmp_path / "a.csv", '"text","n"\n"1","a",5\n"2","b",6\n'), "text", "n")[0] == [
        ("a", "5"),
        ("b", "6"),
    ]
    with pytest.raises(ValueError, match="expected a header of different names, found x more than once"):
        read(write(tmp_path / "a.csv", "x,text,x\n1,a,2\n"), "text", "x")
    with pytest.raises(ValueError, match="line 3: expected 2 columns as in the header, found 3"):
        read(write(tmp_path / "a.csv", "text,n\na,1\nb, c,2\n"), "text")


@pytest.mark.parametrize("text", ['He said \\"hi\\", then', 'both \\"a, b\\" and\nline', "ends in \\\\"])
def test_backslashes_before_quotes(tmp_path, text):
    """As MySQL and Spark write them."""
    path = write(tmp_path / "a.csv", f'id,text\n1,"plain"\n2,"{text}"\n3,"c:\\new, x"\n')
    assert read(path, "text")[0] == ["plain", text.replace('\\"', '"'), "c:\\new, x"]


def test_an_unbalanced_quote_is_told_where_it_stands(tmp_path):
    rows = ["id,text", *(f"{n},plain {n}" for n in range(1, 601))]
    rows[10] = '10,"open'
    path = write(tmp_path / "a.csv", "\n".join(rows) + "\n")
    with pytest.raises(ValueError, match=r"a.csv, line 11: .*quote.*"):
        read(path, "text")
    found, _, bad = read(path, "text", skip=True)
    assert found == [f"plain {n}" for n in range(1, 601) if n != 10]
    assert bad.count == 1
    assert bad.named[0].startswith(f"{path}, line 11: ")
    path = write(tmp_path / "a.csv", "id,text\n1,a\n" + '7,"open\n8,b\n9,c"\n10,d\n')
    with pytest.raises(ValueError, match=r"a.csv, line 3: .*expected a row, found 3 by their numbers"):
        read(path, "text")
    assert read(path, "text", skip=True)[0] == ["a", "b", 'c"', "d"]
    with pytest.raises(ValueError, match=r"a.csv, line 3: expected csv, found unexpected end of data"):
        read(write(tmp_path / "a.csv", 'id,text\n1,a\n2,"open\n3,c\n'), "text")


def test_long_texts_of_many_lines_are_no_merge(tmp_path):
    texts = ["\n".join(f"line {n}, with a comma" for n in range(20)), "\n".join(map(str, range(5000))), "short"]
    path = write(tmp_path / "a.csv", table([["id", "text"], *([n, text] for n, text in enumerate(texts))]))
    assert read(path, "text")[0] == texts


def test_delimiters_that_are_named(tmp_path):
    path = write(tmp_path / "a.dat", "id^text\n1^a, b\n")
    assert read(path, "text", format="csv", delimiter="^")[0] == ["a, b"]
    path = write(tmp_path / "a.tsv", 'id\ttext\n1\t"Title"\n2\tb\n')
    assert read(path, "text")[0] == ['"Title"', "b"]
    assert read(path, "text", format="csv", delimiter="\t")[0] == ["Title", "b"]
    with pytest.raises(ValueError, match=r"expected corpus\.delimiter for csv and tsv, found jsonl"):
        read(write(tmp_path / "a.jsonl", '{"text": "a"}\n'), "text", delimiter=";")


def test_tables_without_rows(tmp_path):
    assert read(write(tmp_path / "a.csv", "id,text\n"), "text")[0] == []
    with pytest.raises(ValueError, match="expected a column text, found a, b"):
        read(write(tmp_path / "a.csv", "a,b\n1,2\n"), "text")


# Encodings.


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,text\r\n1,☃ é\r\n2,b\r\n"),
        ("a.txt", "id\ttext\r\n1\t☃ é\r\n2\tb\r\n"),
        ("a.jsonl", '{"text": "☃ é"}\r\n{"text": "b"}\r\n'),
        ("a.json", '[{"text": "☃ é"},\r\n{"text": "b"}]'),
    ],
)
def test_byte_order_marks_say_the_encoding(tmp_path, name, content, encoding):
    path = write(tmp_path / name, content, encoding)
    for each in (path, write(tmp_path / f"{name}.gz", gzip.compress(path.read_bytes()))):
        found, told, _ = read(each, "text")
        assert found == ["☃ é", "b"]
        assert any("byte order mark" in line for line in told) == (encoding in ("utf-16", "utf-32"))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "“It’s a café” — naïve, £5\nGrüße aus Köln\nplain\n"),
        ("cp1252", "plain\n" * 50 + "Jos\xe9 and Zo\xeb\nnaïve\nca\xf1on\n"),
        ("cp1250", "Zażółć gęślą jaźń\nDzień dobry świecie\n"),
        ("cp1251", "Привет, мир\nКак дела у вас сегодня\n"),
        ("koi8-r", "Привет, мир\nКак дела у вас сегодня\n"),
        ("cp932", "こんにちは世界\n今日は良い天気ですね\n"),
        ("gb18030", "你好，世界\n今天天气很好\n"),
        ("cp949", "안녕하세요 세계\n오늘 날씨가 좋습니다\n"),
    ],
)
def test_other_encodings_are_guessed_and_said(tmp_path, encoding, text):
    path = write(tmp_path / "a.txt", text, encoding)
    found, told, _ = read(path)
    assert found == text.splitlines()
    assert [line.partition(", which")[0] for line in told] == [f"{path}: not UTF-8, read as {encoding}"]
    assert read(path, encoding=encoding)[:2] == (found, [])


def test_a_guess_for_tables_and_objects(tmp_path):
    texts = ["Un café crème, s’il vous plaît", "déjà vu", "plain"]
    assert read(write(tmp_path / "a.csv", CAFE, "cp1252"), "text")[0] == texts
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    assert read(write(tmp_path / "a.jsonl", lines, "cp1252"), "text")[0] == texts
    array = json.dumps([{"text": text} for text in texts], ensure_ascii=False)
    assert read(write(tmp_path / "a.json", array, "cp1252"), "text")[0] == texts
    named = "titre;libellé\r\nun;été\r\ndeux;où\r\n"
    assert read(write(tmp_path / "b.csv", named, "cp1252"), "libellé")[0] == ["été", "où"]


@pytest.mark.parametrize("bad", [b"ok \xff\n", b"cut \xe2\x98\n", b"caf\xe9\n", b"\xed\xa0\x80\n"])
def test_a_few_strange_bytes_are_a_fault_and_no_encoding(tmp_path, bad):
    path = write(tmp_path / "a.txt", b"good\n" * 50 + bad + b"good\n" * 50)
    with pytest.raises(ValueError, match=r"a.txt, line 51: expected UTF-8, found byte 0x"):
        read(path)
    path = write(tmp_path / "a.txt", "é\n".encode() + bad * 20)
    with pytest.raises(ValueError, match=r"a.txt, line 2: expected UTF-8, found byte 0x"):
        read(path)


@pytest.mark.parametrize("encoding", ["latin-1", "cp037", "utf-16-le", "utf-16", "utf-7", "shift_jis"])
def test_encodings_that_are_named(tmp_path, encoding):
    content = "one\r\ntwo ú\r\n" if encoding != "shift_jis" else "one\r\ntwo 日本\r\n"
    raw = content.encode(encoding)
    found, told, _ = read(write(tmp_path / "a.txt", raw), encoding=encoding)
    assert found == content.split("\r\n")[:2]
    assert told == []


# Objects.

PRETTY = json.dumps([{"text": "a\u2028b", "n": 1}, {"text": '"q" [{', "n": 2}], indent=2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", PRETTY),
        ("a.json", json.dumps(json.loads(PRETTY))),
        ("a.json", "\n".join(json.dumps(each) for each in json.loads(PRETTY))),
        ("a.json", "\n".join(json.dumps(each, indent=1) for each in json.loads(PRETTY))),
        ("a.ndjson", "\n\n".join(json.dumps(each) for each in json.loads(PRETTY)) + "\n"),
        ("a.jsonl", PRETTY),
        ("a.jsonl.1", "".join("\x1e" + json.dumps(each) + "\n" for each in json.loads(PRETTY))),
        ("a.log", "\n".join(json.dumps(each) for each in json.loads(PRETTY))),
        ("a", "\n".join(json.dumps(each) for each in json.loads(PRETTY))),
        ("a.json", '{"text": {"0": "a\\u2028b", "1": "\\"q\\" [{"}, "n": {"0": 1, "1": 2}}'),  # pandas' own
        ("a.json", '{"text": ["a\\u2028b", "\\"q\\" [{"], "n": [1, 2]}'),
    ],
)
def test_json_of_every_shape(tmp_path, name, content):
    assert read(write(tmp_path / name, content), "text", "n")[0] == [("a\u2028b", 1), ('"q" [{', 2)]


def test_a_large_array_is_read_in_parts(tmp_path, monkeypatch):
    rows = [{"text": f"text {n} " + "x" * (n % 97), "n": n} for n in range(2000)]
    path = write(tmp_path / "a.json", json.dumps(rows))
    monkeypatch.setattr("textae.data.lines._BLOCK", 61)
    assert read(path, "text", "n")[0] == [(row["text"], row["n"]) for row in rows]


def test_fields_within_objects_and_lists(tmp_path):
    rows = [
        {"meta": {"body": "a", "x.y": "dotted"}, "tags": ["t1", "t2"], "turns": [{"t": "u"}, {"t": "v"}], "a.b": "flat"}
    ]
    path = write(tmp_path / "a.jsonl", json.dumps(rows[0]) + "\n")
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for each in (path, tmp_path / "a.parquet"):
        assert read(each, "meta.body")[0] == ["a"]
        assert read(each, "tags")[0] == ["t1", "t2"]
        assert read(each, "turns.t")[0] == ["u", "v"]
        assert read(each, "turns.1.t")[0] == ["v"]
        assert read(each, "a.b")[0] == ["flat"]
        assert read(each, "meta.x.y", "meta.body")[0] == [("dotted", "a")]
        assert read(each, "tags", "meta.body")[0] == [("t1", "a"), ("t2", "a")]
        with pytest.raises(ValueError, match=r"expected a (field|column) no.body, found "):
            read(each, "no.body")
    assert read(write(tmp_path / "b.json", json.dumps({"data": rows})), "data.tags")[0] == ["t1", "t2"]
    assert read(write(tmp_path / "c.json", '["a", "b"]'))[0] == ["a", "b"]
    assert read(write(tmp_path / "c.jsonl", '"a"\n"b"\n'))[0] == ["a", "b"]


def test_parquet_by_its_content(tmp_path):
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "data")
    assert read(tmp_path / "data", "text")[0] == ["a"]


@pytest.mark.parametrize("labels", [[4.5, 0.1, 5], [True, False, True], [1, 2, 3.5], ["x", "y", "z"], [1, 2, 2**62]])
def test_labels_of_every_type(tmp_path, labels):
    rows = [{"body": f"text {n}", "stars": labels[n % 3]} for n in range(60)]
    write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    corpus = open_corpus("text", tmp_path / "data", files=tmp_path / "a.jsonl", field="body", label="stars")
    found = dict(zip(corpus.texts("train"), corpus.labels("train"), strict=True))
    assert len(found) > 40
    assert found.items() <= {row["body"]: row["stars"] for row in rows}.items()
    assert {type(label) for label in found.values()} == {float if 3.5 in labels or 4.5 in labels else type(labels[0])}


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "auth.log.1", "auth.log.2.gz", "syslog", "syslog.1", "messages-20240101", "messages-20240101.gz", "app.log.old",
        "access.log-20240101-1704067200", "access.log.2024-01-01", "access_log", "catalina.out",
        "auth.log.gz.1", "AUTH.LOG",
    ],
)  # fmt: skip
def test_rotated_logs(tmp_path, name):
    content = b"Jan  1 host sshd: a\nJan  2 host sshd: {b}\r\n"
    path = write(tmp_path / name, gzip.compress(content) if ".gz" in name else content)
    assert read(path)[0] == ["Jan  1 host sshd: a", "Jan  2 host sshd: {b}"]


def test_a_format_that_is_named_goes_before_names(tmp_path):
    path = write(tmp_path / "a.doc", "one\ntwo\n")
    assert read(path, format="lines")[0] == ["one", "two"]
    assert read(write(tmp_path / "b.csv", '{"t": "a"}\n'), "t", format="jsonl")[0] == ["a"]
    assert read(write(tmp_path / "c.jsonl", "t,n\na,1\n"), "t", format="csv")[0] == ["a"]
    assert read(write(tmp_path / "d.csv", "t,n\n"), format="lines")[0] == ["t,n"]


def test_compression_by_content(tmp_path):
    path = write(tmp_path / "a.txt", gzip.compress(b"one\ntwo\n"))
    assert read(path)[0] == ["one", "two"]
    with pytest.raises(ValueError, match="expected a whole gz file"):
        read(write(tmp_path / "b.txt.gz", b"one\n"))


def test_a_folder_of_tables(tmp_path):
    for n, name in enumerate(["part-0.csv", "deep/part-1.csv", "_SUCCESS", ".part-0.csv.crc"]):
        write(tmp_path / "d" / name, f"text\nrow {n}\n" if name.endswith("csv") else "")
    assert read(tmp_path / "d", "text")[0] == ["row 1", "row 0"]


def test_a_folder_of_documents(tmp_path):
    for name, content in {
        "b/2.md": "two\r\n\r\nlines\r\n",
        "a/1.txt": "one",
        ".git/x": "no",
        "b/.DS_Store": "\0",
    }.items():
        write(tmp_path / "d" / name, content)
    write(tmp_path / "d/c.py.gz", gzip.compress("# ☃\n".encode("utf-16")))
    assert read(tmp_path / "d", document="file")[0] == ["one", "two\n\nlines", "# ☃"]
    write(tmp_path / "d/bad", b"a\n\xff\n")
    found, _, bad = read(tmp_path / "d", document="file", skip=True)
    assert (found, bad.count) == (["one", "two\n\nlines", "# ☃"], 1)
    assert bad.named[0].startswith(f"{tmp_path}/d/bad, line 2: expected UTF-8, found byte 0xFF")
    with pytest.raises(ValueError, match="d/bad, line 2: expected UTF-8"):
        read(tmp_path / "d", document="file")


# Bad records.


BAD = {
    "null": ("jsonl", '{"t": null}'),
    "surrogate": ("jsonl", '{"t": "a\\ud800"}'),
    "number": ("jsonl", '{"t": 5}'),
    "nan": ("jsonl", '{"t": NaN}'),
    "missing": ("jsonl", '{"u": "x"}'),
    "malformed": ("jsonl", '{"t": "x'),
    "array": ("jsonl", "[1]"),
    "deep": ("jsonl", "[" * 100_000),
    "digits": ("jsonl", '{"t": ' + "9" * 5000 + "}"),
    "journal": ("jsonl", '{"t": [27, 91]}'),
    "byte in json": ("jsonl", b'{"t": "\xff"}'),
    "byte": ("txt", b"bad \xff byte"),
    "columns": ("csv", "a,b,c"),
    "too few": ("csv", "a"),
    "byte in csv": ("csv", b"a\xff,1"),
    "quote": ("csv", '"a" b,1'),
    "columns in tsv": ("tsv", "a\tb\tc"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_records_stop_or_are_left_out(tmp_path, kind, capsys):
    suffix, bad = BAD[kind]
    bad = bad.encode() if isinstance(bad, str) else bad
    good = {
        "jsonl": [b'{"t": "good %d"}' % n for n in range(99)],
        "txt": [b"good %d" % n for n in range(99)],
        "csv": [b"good %d,1" % n for n in range(99)],
        "tsv": [b"good %d\t1" % n for n in range(99)],
    }[suffix]
    rows = {"csv": [b"t,n"], "tsv": [b"t\tn"]}.get(suffix, []) + good
    rows[40:40] = rows[60:60] = [bad]
    path = write(tmp_path / f"a.{suffix}", b"\n".join(rows) + b"\n")
    settings = {"files": [path], "field": None if suffix == "txt" else "t"}
    with pytest.raises(ValueError, match=rf"a.{suffix}, line 41: .*expected .* found .*on_bad_record=skip") as caught:
        open_corpus("text", tmp_path / "data", **settings)
    assert "\n" not in str(caught.value)
    corpus = open_corpus("text", tmp_path / "data", **settings, on_bad_record="skip")
    texts = [text for split in ("train", "validation", "test") for text in corpus.texts(split)]
    assert sorted(texts) == sorted(f"good {n}" for n in range(99))
    told = capsys.readouterr().err
    assert "left out 2 bad records, the first of them:" in told
    assert re.findall(rf"a.{suffix}, line (\d+): ", told) == ["41", "61"]


def test_bad_elements_of_an_array_and_of_parquet(tmp_path):
    rows = [{"t": "a", "l": 1.0}, {"t": None, "l": 1.0}, {"t": "c", "l": None}, {"t": "d", "l": 2.0}]
    path = write(tmp_path / "a.json", json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for each, where in ((path, "record"), (tmp_path / "a.parquet", "row")):
        found, _, bad = read(each, "t", "l", skip=True)
        assert found == [("a", 1.0), ("d", 2.0)]
        assert [line.partition(": ")[0] for line in bad.named] == [f"{each}, {where} 2", f"{each}, {where} 3"]
    broken = pyarrow.array([b"a", b"\xff", b"c"]).cast(pyarrow.string(), safe=False)
    parquet.write_table(pyarrow.table({"t": broken}), tmp_path / "b.parquet")
    found, _, bad = read(tmp_path / "b.parquet", "t", skip=True)
    assert (found, bad.count) == (["a", "c"], 1)


def test_only_the_first_bad_records_are_named(tmp_path):
    _, _, bad = read(write(tmp_path / "a.jsonl", "{}\n" * 1000 + '{"t": "x"}\n'), "t", skip=True)
    told = []
    bad.tell(told.append)
    assert told[0] == "left out 1,000 bad records, the first of them:"
    assert len(told) == 6


def test_what_is_no_matter_of_a_record_stops_all_the_same(tmp_path):
    for name, content in {
        "a.csv": "a,b\n1,2\n",
        "a.json": '[{"t": "x"}, {"t"',
        "a.txt.gz": gzip.compress(b"x")[:9],
    }.items():
        with pytest.raises(ValueError, match="expected"):
            read(write(tmp_path / name, content), None if "txt" in name else "t", skip=True)


def test_settings_that_change_documents_change_the_corpus(tmp_path):
    path = write(tmp_path / "a.txt", "".join(f"line {n}\n" for n in range(300)))
    made = [
        open_corpus("text", tmp_path / "data", files=path, **settings).fingerprint
        for settings in ({}, {"encoding": "cp1252"}, {"on_bad_record": "skip"}, {"format": "lines"})
    ]
    assert len(set(made)) == 3
    assert made[0] == made[3]


def test_the_page_names_tests_that_exist():
    page = (Path(__file__).parents[2] / "docs" / "your-corpus.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:tests/(\w+)\.py::)?(test_\w+)`", page)
    assert len(named) > 30
    for module, name in named:
        assert hasattr(importlib.import_module(module or __name__), name), name


def test_documents_says_what_it_takes(tmp_path, capsys):
    path = write(tmp_path / "a.csv", CAFE, "cp1252")
    assert len(list(documents(path, "text"))) == 3
    told = capsys.readouterr().err
    assert "columns parted by semicolon" in told
    assert "read as cp1252" in told
