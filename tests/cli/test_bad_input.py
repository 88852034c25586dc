"""What will not do, in hundreds of ways: each ends with one line, and nothing is left half-written."""

import bz2
import gzip
import json
import lzma
import math
import os
import re
import shutil
import typing
from dataclasses import fields, is_dataclass
from enum import Enum

import numpy as np
import pyarrow
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import textae
from helpers.corpora import open_corpus
from helpers.refusals import one_line, refuses
from textae.config import schema as schemas
from textae.config.command_schemas import COMMANDS
from textae.config.mapping import from_mapping
from textae.config.schema import CORPORA, Config
from textae.data.corpora import documents
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import read_json, write_json

pytestmark = pytest.mark.backend_free  # a run that is refused has no model yet, or one whose shapes are compared

HUGE = 10**400
EXAMPLES = int(os.environ.get("TEXTAE_FUZZ", "60"))  # command lines; TEXTAE_FUZZ=2000 and more for a thorough test


# Configurations: every key of every schema, by its type.


def leaves(schema, prefix=""):
    """Names and types of all settings of a schema and of those below it."""
    hints = typing.get_type_hints(schema)
    for field in fields(schema):
        if is_dataclass(hints[field.name]) and hints[field.name] is not schemas.CorpusConfig:
            yield from leaves(hints[field.name], f"{prefix}{field.name}.")
        elif field.name != "corpus":
            yield f"{prefix}{field.name}", hints[field.name]


def wrong_values(kind):
    """Values that a setting of this type cannot have, whatever it means."""
    options = typing.get_args(kind)
    optional = type(None) in options
    if optional:
        kind = next(option for option in options if option is not type(None))
    wrong = [] if optional else [None]
    origin = typing.get_origin(kind)
    if origin is list:
        wrong += ["x", 3, {"a": 1}, [None], [[1]]]
        wrong += [["a"], [1.5], [-1], [HUGE], [2**40]] if typing.get_args(kind) == (int,) else []
    elif origin is dict:
        wrong += ["x", 3, [1], {"a": [1]}]
    elif isinstance(kind, type) and issubclass(kind, Enum):
        wrong += ["nope", "", [1], {"a": 1}, 1.5, -7]
    elif kind is bool:
        wrong += ["maybe", 2.5, [True], {"a": True}, ""]
    elif kind is int:
        wrong += ["abc", 1.5, [1], {"a": 1}, "", -1, -HUGE, HUGE, "1e3", "٣x"]
    elif kind is float:
        wrong += ["fast", [1.0], {"a": 1.0}, "", -1.0, math.inf, math.nan, -math.inf, HUGE]
    elif kind is str:
        wrong += [["x"], {"a": "x"}, "${oc.env:HOME}", [1]]
    return wrong


CASES = [
    (kind, name, value)
    for kind, schema in CORPORA.items()
    for name, hint in [*leaves(Config), *leaves(schema, "corpus.")]
    if kind == "pydocs" or name.startswith("corpus.")
    for value in wrong_values(hint)
    if name != "corpus.kind" or isinstance(value, list | dict)
]
NEEDED = {"text": {"files": ["a.txt"]}, "tfds": {"name": "x"}, "pydocs": {}}


def test_there_are_hundreds():
    assert len(CASES) > 400
    assert {name for _, name, _ in CASES} >= {name for name, _ in leaves(Config)}


@pytest.mark.parametrize("name", sorted({name for _, name, _ in CASES}))
def test_a_value_that_a_key_cannot_have(name):
    for kind, key, value in CASES:
        if key != name:
            continue
        values = {"corpus": {"kind": kind} | NEEDED[kind]}
        *groups, last = name.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
        with pytest.raises(ValueError) as caught:
            found = from_mapping(values)
            pytest.fail(f"{kind}: {name}={value!r} was taken: {found}")
        one_line(caught)


CONTRADICTORY = [
    {"model": {"strides": [2, 2]}},
    {"model": {"strides": [2], "channels": [8, 8], "residual_blocks": [1]}},
    {"model": {"strides": [3], "max_length": 256}},
    {"model": {"strides": [2] * 33, "channels": [8] * 34, "residual_blocks": [0] * 34}},
    {"model": {"max_length": 1024}, "training": {"tokens_per_batch": 1000}},
    {"training": {"max_steps": None}},
    {"model": {"channels": [8]}},
    {"model": {"residual_blocks": []}},
    {"model": {"strides": [2**20, 2**20], "channels": [1, 1, 1], "residual_blocks": [0, 0, 0], "max_length": 2**40}},
]


@pytest.mark.parametrize("values", CONTRADICTORY, ids=str)
def test_values_that_contradict_each_other(values):
    with pytest.raises(ValueError, match="expected") as caught:
        from_mapping({"corpus": {"kind": "pydocs"}} | values)
    one_line(caught)


# Corpora.


def compressed(kind, content=b"a\nb\nc\n" * 500):
    return {
        "gz": gzip.compress,
        "xz": lzma.compress,
        "bz2": bz2.compress,
        "zst": zstandard.ZstdCompressor().compress,
    }[kind](content)


def jsonl(*rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def table(columns):
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


GOOD = jsonl(*({"t": f"text {i}", "l": i} for i in range(9)))
BAD_FILES = {
    **{f"cut.txt.{kind}": compressed(kind)[:-7] for kind in ("gz", "xz", "bz2", "zst")},
    **{f"short.txt.{kind}": compressed(kind)[:5] for kind in ("gz", "xz", "bz2", "zst")},
    **{f"other.txt.{kind}": b"this is not compressed at all\n" * 9 for kind in ("gz", "xz", "bz2", "zst")},
    **{f"changed.txt.{kind}": compressed(kind)[:20] + b"\0\xff\0" + compressed(kind)[23:] for kind in ("gz", "xz")},
    **{f"empty.{kind}": b"" for kind in ("txt", "jsonl", "csv", "tsv", "parquet", "txt.gz", "txt.xz")},
    **{f"empty_lines.{kind}": b"\n" * 1_000_000 for kind in ("txt", "jsonl", "csv")},
    "bytes.txt": b"good\n" * 9 + b"\xff\xfe\n",
    "latin.txt": "naïve\n".encode("latin-1") * 9,
    "utf16.txt": "a\nb\nc\n".encode("utf-16")[:-1],
    "wide.txt": "a\nb\nï\n".encode("utf-16-le"),
    "cut_character.txt": b"a\nb\nc \xe2\x98",
    "surrogate.txt": b"a\nb\n\xed\xa0\x80\n",
    "two.txt": b"a\nb\na\n",
    "brackets.jsonl": GOOD + b"[" * 50_000 + b"\n",
    "broken.jsonl": GOOD + b'{"t": "open\n',
    "list.jsonl": GOOD + b"[1]\n",
    "number.jsonl": GOOD + jsonl({"t": 5}),
    "null.jsonl": GOOD + jsonl({"t": None}),
    "missing.jsonl": GOOD + jsonl({"u": "x"}),
    "lone.jsonl": GOOD + b'{"t": "\\ud800"}\n',
    "bytes.jsonl": GOOD + b'{"t": "\xff"}\n',
    "huge.jsonl": GOOD + b'{"t": ' + b"9" * 5000 + b"}\n",
    "columns.csv": b"t,l\na,1\nb\n",
    "missing.csv": b"u,l\na,1\n",
    "twice.csv": b"t,t\na,1\n",
    "quote.csv": b't,l\n"a,1\nb,2\n',
    "bytes.csv": b"t,l\n\xff,1\n",
    "only_header.csv": b"t,l\n",
    "columns.tsv": b"t\tl\na\t1\nb\n",
    "null.parquet": table({"t": ["a", None], "l": [1, 2]}),
    "number.parquet": table({"t": [1, 2]}),
    "lists.parquet": table({"t": [["a"], ["b"]]}),
    "missing.parquet": table({"u": ["a"]}),
    "rows.parquet": table({"t": pyarrow.array([], pyarrow.string())}),
    "cut.parquet": table({"t": ["a", "b", "c"] * 50})[:-30],
    "front.parquet": b"XXXX" + table({"t": ["a", "b", "c"] * 50})[4:-4] + b"XXXX",
    "text.parquet": b"no parquet at all",
    "picture.png": b"\x89PNG",
    "noname": b"a\nb\nc\n",
    "archive.parquet.gz": gzip.compress(b"PAR1"),
}


@pytest.mark.parametrize("name", sorted(BAD_FILES))
def test_a_file_that_is_no_corpus(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD_FILES[name])
    field = None if ".txt" in name else "t"
    with pytest.raises(ValueError, match=r"expected") as caught:
        open_corpus("text", tmp_path / "data", files=[str(path)], field=field)
    one_line(caught)
    assert not [found for found in tmp_path.rglob("*") if found.is_file() and found != path and found.suffix != ".lock"]


BAD_SETTINGS = [
    {"files": []},
    {"files": ["nowhere.txt"]},
    {"files": ["no/*.txt"]},
    {"files": ["."]},
    {"files": [""]},
    {"files": ["\0.txt"]},
    {"files": ["a" * 5000 + ".txt"]},
    {"files": ["good.txt"], "field": "t"},
    {"files": ["good.txt"], "label": "l"},
    {"files": ["good.jsonl"]},
    {"files": ["good.jsonl"], "field": "no"},
    {"files": ["good.jsonl"], "field": "t", "label": "no"},
    {"files": ["good.txt"], "max_characters": 0},
    {"files": ["good.txt"], "max_characters": -1},
    {"files": ["good.txt"], "test_share": 1.0},
    {"files": ["good.txt"], "test_share": math.nan},
    {"files": ["good.txt"], "test_share": 0.6, "validation_share": 0.6},
    {"files": ["good.txt"], "test_files": ["good.txt"]},
    {"files": ["good.txt"], "test_files": ["nowhere.txt"]},
    {"files": ["good.txt"], "test_files": ["good.jsonl"], "validation_files": ["good.jsonl"]},
]


@pytest.mark.parametrize("values", BAD_SETTINGS, ids=lambda v: str(v)[:60])
def test_settings_of_a_corpus_that_cannot_be(tmp_path, monkeypatch, values):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_bytes(b"".join(b"line %d\n" % i for i in range(99)))
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    with pytest.raises((ValueError, FileNotFoundError, OSError)) as caught:
        open_corpus("text", tmp_path / "data", **values)
    assert len(str(caught.value)) < 6000 and "\n" not in str(caught.value)
    assert (
        not (tmp_path / "data").exists() or not [p for p in (tmp_path / "data").rglob("*") if p.suffix != ".lock"][2:]
    )


def test_what_is_unusual_but_good(tmp_path):
    """A byte order mark, other line ends, NUL, equal documents, a million empty lines and one of 50 MB."""
    path = tmp_path / "a.txt"
    long = "fifty million " * 3_571_429
    path.write_bytes(b"\xef\xbb\xbffirst\r\nnul \0 inside\n" + b"\n" * 1_000_000 + b"twice\ntwice\n" + long.encode())
    corpus = open_corpus("text", tmp_path / "data", files=path)
    texts = [text for split in ("train", "validation", "test") for text in corpus.texts(split)]
    assert sorted(texts) == sorted(["first", "nul \0 inside", "twice", "twice", long])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([b"", b't,n\n"', b't\tn\n"a\t', b'{"t": "', b'[{"t": "a"}, ', b"\xff\xfe", b"sep=;\nt;u\n"]),
    content=st.binary(max_size=200),
    name=st.sampled_from(
        ["a.txt", "a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt.gz", "a.parquet", "a.log.1", "table", "a.tsv.xz"]
    ),
)
def test_any_bytes_are_documents_or_a_line(tmp_path, content, name, start):
    path = tmp_path / name
    path.write_bytes(start + content)
    try:
        found = list(documents(path, None if ".txt" in name or ".log" in name else "t"))
    except ValueError as error:
        assert str(path) in one_line(error)
    else:
        assert all(isinstance(text, str) and text for text in found)
        "".join(found).encode()


# Run folders.


NEEDED_FILES = (run_folder.CONFIG, run_folder.ENVIRONMENT, run_folder.WEIGHTS, f"{run_folder.TOKENIZER}/tokenizer.json")


@pytest.mark.parametrize("name", NEEDED_FILES)
def test_a_run_without_one_of_its_files(broken, name):
    (broken / name).unlink()
    assert name.split("/")[-1] in refuses(broken)
    (broken / name).mkdir()
    refuses(broken)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", NEEDED_FILES)
def test_a_run_with_a_file_cut_short(broken, name, share):
    content = (broken / name).read_bytes()
    (broken / name).write_bytes(content[: min(int(share * len(content)), len(content) - 5)])
    if name == run_folder.CONFIG and share > 0:  # what is left may be whole settings, and what is missing the defaults
        try:
            textae.load(broken)
        except ValueError as error:
            one_line(error)
        return
    refuses(broken)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 50, b"\xff\xfe\xfd", b"null", b"[]", b'"text"', b"{" * 500, b"- a\n- b\n"]
)
@pytest.mark.parametrize("name", NEEDED_FILES)
def test_a_run_with_something_else_in_a_file(broken, name, content):
    (broken / name).write_bytes(content)
    refuses(broken)


@pytest.mark.parametrize("found", [0, 1, 99, "2", None, [1], 1.5])
def test_a_run_of_another_format(broken, found):
    environment = read_json(broken / run_folder.ENVIRONMENT)
    write_json(broken / run_folder.ENVIRONMENT, environment | {"format": found, "versions": {"textae": "9.9"}})
    message = refuses(broken, rf"expected a run folder of format 2 or 3, found {re.escape(repr(found))}")
    assert "it was written by textae 9.9, use that version for it" in message


def test_a_run_of_an_older_version_without_a_newer_setting(broken, trained):
    lines = (broken / run_folder.CONFIG).read_text().splitlines(keepends=True)
    kept = [line for line in lines if "kernel_factor" not in line and "samples:" not in line]
    assert len(kept) == len(lines) - 2
    (broken / run_folder.CONFIG).write_text("".join(kept))
    found, whole = textae.load(broken), textae.load(trained[0])
    assert found.config.model == whole.config.model
    assert (
        found.config.training.num_logged_samples
        == Config.__dataclass_fields__["training"].default_factory().num_logged_samples
    )
    np.testing.assert_array_equal(found.model.get_weights()[0], whole.model.get_weights()[0])


FOREIGN = {
    "another shape": lambda arrays, name: {**arrays, name: np.zeros((3, 5), np.float32)},
    "one less": lambda arrays, name: {k: v for k, v in arrays.items() if k != name},
    "one more": lambda arrays, name: {**arrays, "stranger": np.zeros(3, np.float32)},
    "whole numbers": lambda arrays, name: {**arrays, name: arrays[name].astype(np.int32)},
    "none": lambda arrays, name: {},
}


@pytest.mark.parametrize("how", FOREIGN)
def test_a_run_with_foreign_weights(broken, how):
    arrays, described = read_arrays(broken / run_folder.WEIGHTS)
    write_arrays(
        broken / run_folder.WEIGHTS, FOREIGN[how](arrays, max(arrays, key=lambda n: arrays[n].ndim)), described
    )
    refuses(broken, r"weights\.safetensors")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model: [1]", None),
        ("channels", "[16, 48]"),
        ("latent_size", "17"),
        ("latent", "vector"),
        ("strides", "[2]"),
        ("max_length", "30"),
        ("latent_size", "${oc.env:HOME}"),
        ("_target_", "os.system"),
        ("kind", "unigram"),
    ],
)
def test_a_run_with_another_configuration(broken, key, value):
    text = (broken / run_folder.CONFIG).read_text()
    if value is None:
        text = f"{key}\n"
    elif key == "_target_":
        text = text.replace("model:\n", f"model:\n  _target_: {value}\n")
    elif key == "kind":
        text = text.replace("kind: text", "kind: nothing")
    else:
        text, count = re.subn(rf"(?m)^  {key}:.*\n(  - .*\n)*", f"  {key}: {value}\n", text)
        assert count == 1
    (broken / run_folder.CONFIG).write_text(text)
    refuses(broken)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_run_is_a_line_or_does_no_harm(trained, tmp_path, data):
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained[0], folder)
    path = folder / data.draw(st.sampled_from(NEEDED_FILES[1:]))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        textae.load(folder)
    except ValueError as error:
        one_line(error)


# Commands, up to the checked configuration: before anything heavy.


@pytest.fixture
def command(tmp_path, forks):
    """A function that runs a command in an empty folder: (exit code, lines of standard error)."""

    def run(name, *arguments):
        ended = forks.run(arguments, command=name, cwd=tmp_path, resolve=True)
        return ended.code, ended.errors.splitlines()

    return run


def told(code, lines, arguments):
    assert code in (0, 2), (arguments, lines)
    if code:
        assert len(lines) == 1, (arguments, lines)
        assert lines[0].startswith("textae: ")
        assert "TEXTAE_TRACEBACK" not in lines[0], (arguments, lines)
        assert len(lines[0]) < 1500


BAD_ARGUMENTS = [
    *((name, argument) for name in ("train", *COMMANDS) for argument in ("typo=1", "+typo=1", "run", "=", "[", "a=[")),
    *((name, "--typo") for name in ("train", "evaluate", "report")),
    *((name, "run=[1]") for name in COMMANDS if name != "report"),
    ("evaluate", "run=x split=dev"),
    ("evaluate", "run=x latent_noise=-1"),
    ("evaluate", "run=x corpus=foo"),
    ("evaluate", "run=x corpus=text"),
    ("reconstruct", "run=x input=[1]"),
    ("encode", "run=x"),
    ("decode", "run=x"),
    ("train", "training=none"),
    ("train", "model.strides={a:1}"),
    ("train", "corpus=text corpus.files=a.txt"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), BAD_ARGUMENTS, ids=[" ".join(case) for case in BAD_ARGUMENTS])
def test_arguments_that_cannot_be(command, tmp_path, name, arguments):
    code, lines = command(name, *arguments.split())
    assert code == 2, lines
    told(code, lines, arguments)
    assert list(tmp_path.iterdir()) == []


KEYS = sorted(
    {name for name, _ in leaves(Config)} | {"corpus", "model", "training", "tokenizer", "x.y", "corpus.files"}
)
PLAIN = [
    "",
    "null",
    "???",
    "1",
    "-1",
    "1e999",
    "nan",
    "true",
    "unigram",
    "sequence",
    "text",
    "default",
    "a b",
    "../..",
    "ü☃",
]
ODD = [
    "[]",
    "[1]",
    "[1,[2]]",
    "{}",
    "{a:1}",
    "'",
    '"',
    "\\",
    "$",
    "${x}",
    "${oc.env:NOWHERE}",
    "${model.channels}",
    "a,b",
]
ODD += ["range(3)", "choice(1,2)", "9" * 400, "a=b", "@", "~", "*", "0x10", "1_000", "'quoted'", "[", "]", "{", "("]
VALUES = st.one_of(st.sampled_from([*PLAIN, *ODD]), st.text(max_size=12), st.integers().map(str), st.floats().map(str))
OVERRIDES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "+", "++", "~", "-"]),
    st.one_of(st.sampled_from(KEYS), st.text(max_size=8)),
    st.sampled_from(["=", "=", "=", "", "@", "=="]),
    VALUES,
)


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("TEXTAE_FUZZ", "60")),
    derandomize="TEXTAE_FUZZ" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(arguments=st.lists(OVERRIDES, min_size=1, max_size=3))
def test_no_command_line_ends_in_a_traceback(command, arguments):
    arguments = [argument.replace("\0", "0").encode("utf-8", "replace").decode() for argument in arguments]
    flags = ("-h", "-c", "-p", "-i", "-m", "-s", "-r", "-cd", "-cp", "-cn", "-e")
    if any(argument.startswith(("--", *flags)) for argument in arguments):
        arguments = [argument.lstrip("-") or "x" for argument in arguments]
    told(*command("train", *arguments), arguments)
