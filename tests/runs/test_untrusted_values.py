"""Reading what a stranger may have made: plain values, regular files, bounded sizes; nothing a terminal obeys."""

import hashlib
import json
import os
import time
import typing
from dataclasses import asdict, fields
from types import SimpleNamespace

import pytest
import yaml

import textae
from helpers import attacks
from helpers.refusals import one_line, refuses
from textae.cli.commands import failure, line_writer
from textae.cli.streams import write_line
from textae.data.tokenizers import load_tokenizer, train_tokenizer
from textae.reporting import run_table
from textae.runs import arrays as run_arrays
from textae.runs import run_folder
from textae.runs.arrays import read_arrays, write_arrays
from textae.runs.json_files import read_json
from textae.runs.run_folder import RunDir
from textae.training.checkpoint import read_checkpoint
from textae.training.state import VALID_VALUES, TrainingState
from textae.untrusted_files import entries, kind_of, open_file, parse_json, parse_yaml, read_bytes

pytestmark = pytest.mark.backend_free
ESCAPES = "\x1b[2J\x1b]0;title\x07\r\x9b31m\u202e\ud800"

# Values.


def test_settings_are_read_as_they_are_written(trained):
    text = (trained[0] / run_folder.CONFIG).read_text()
    assert parse_yaml(text) == yaml.safe_load(text)
    read = parse_yaml("a: [1, 2.5, true, ~, 'x', 2026-01-01, 0x10, '1']\nb: {c: .5}")
    assert read == {"a": [1, 2.5, True, None, "x", "2026-01-01", 16, "1"], "b": {"c": 0.5}}
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x: !!bool maybe", "expected plain values, found a tag or an anchor in line 1"),
        ("x: !!timestamp x", "found a tag or an anchor"),
        ("x: &a y", "found a tag or an anchor"),
        ("x: *a", "expected plain values, found an alias in line 1"),
        ("a: 1\na: 2", "expected each setting once, found 'a' again in line 2"),
        ("1: x", "expected the name of a setting, found 1 in line 1"),
        ("<<: {a: b}", "expected the name of a setting, found '<<'"),
        ("a: b\n---\nc: d", "expected one document, found several"),
        ("[" * 90 + "]" * 90, "expected at most 8 levels, found more in line 1"),
        ("x: " + "{a: " * 300 + "1" + "}" * 300, "expected at most 8 levels"),
        ("x: [" + "1," * 500_000 + "1]", "expected at most 7,000 values, found more in line 1"),
        ("x: " + "9" * 20_000, "expected values of at most 10,000 characters, found one in line 1"),
        ("x: \x00", "special characters are not allowed"),
        ("a: b: c", "mapping values are not allowed here"),
    ],
)
def test_settings_that_are_not_plain(text, match):
    started = time.process_time()
    with pytest.raises(ValueError, match=match):
        parse_yaml(text)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "-Infinity", "", "{", "9" * 5000])
def test_json_that_is_not_plain(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_a_list_of_a_megabyte_in_settings(broken):
    """Also one that the limit of values lets through ends soon."""
    text = (broken / run_folder.CONFIG).read_text()
    short = text.replace("  strides:\n  - 4\n", "  strides: [" + "1, " * 5_000 + "1]\n")
    assert short != text
    (broken / run_folder.CONFIG).write_text(short)
    started = time.process_time()
    refuses(broken, r"expected at most 64 values for model.strides, received 5,001")
    assert time.process_time() - started < 5


# Files.


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="expected at most 4 bytes, found 5"):
        read_bytes(tmp_path / "file", 4)
    for kind, found in (("link", "link"), ("link to nothing", "link"), ("pipe", "pipe"), ("folder", "folder")):
        attacks._replace(tmp_path / kind, kind, b"")
        assert kind_of(tmp_path / kind) == found
        with pytest.raises(ValueError, match=f"expected a file, found a {found}"):
            open_file(tmp_path / kind, 100)
    with pytest.raises(ValueError, match="expected a file, found a pipe"):
        open_file(tmp_path / "pipe", 100, links=True)
    (tmp_path / "to_file").symlink_to("file")
    assert read_bytes(tmp_path / "to_file", 100, links=True) == b"12345"
    assert kind_of(tmp_path / "nothing") is None
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "nothing", 100)


@pytest.fixture
def nested(tmp_path):
    """1,500 folders within each other; taken apart again, for pytest cannot delete what is deeper than Python calls."""
    start = os.getcwd()  # noqa: PTH109
    os.chdir(tmp_path)
    try:
        for _ in range(1500):
            os.mkdir("d")  # noqa: PTH102, the whole name is longer than the system takes
            os.chdir("d")
        innermost = os.open(".", os.O_RDONLY)
        os.chdir(start)
        yield tmp_path
        os.fchdir(innermost)
        os.close(innermost)
        for _ in range(1500):
            os.chdir("..")
            os.rmdir("d")  # noqa: PTH106
    finally:
        os.chdir(start)


def test_folders_within_folders_without_end(nested):
    assert 500 < len(list(entries(nested))) <= 1500
    with pytest.raises(ValueError, match="expected at most 100 files below"):
        list(entries(nested, most=100))


# Arrays.


def test_arrays_are_compared_with_the_model_before_they_are_read(broken, monkeypatch):
    arrays, state = read_arrays(broken / run_folder.WEIGHTS)
    monkeypatch.setattr(run_arrays, "safe_open", None)  # nothing gets so far
    for odd in (
        {"a" * 500: arrays["final_normalize/scale"]},
        {"final_normalize/scale": arrays["final_normalize/scale"][1:]},
    ):
        write_arrays(broken / run_folder.WEIGHTS, arrays | odd, state)
        refuses(broken, r"weights\.safetensors")


def test_a_header_of_a_million_empty_arrays(broken):
    entry = ',"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = '{"__metadata__":{"metadata":"{}","crc32":"0"}' + "".join(entry % i for i in range(100_000)) + "}"
    (broken / run_folder.WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header.encode())
    refuses(broken, "expected a header of at most 200,000 objects and lists, found 300,003")
    (broken / run_folder.WEIGHTS).write_bytes((1 << 26).to_bytes(8, "little") + bytes(1 << 26))
    refuses(broken, "expected a header of 2 to 33,554,432 bytes, found one of 67,108,864")


def test_arrays_that_no_memory_holds(broken, monkeypatch):
    monkeypatch.setattr(run_arrays.psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))
    refuses(broken, r"expected arrays that 0\.0 GB of free memory can hold, found 0\.0 GB")


def test_a_library_that_finds_no_memory(broken, monkeypatch):
    """Its error is no Exception."""
    raised = type("PanicException", (BaseException,), {})

    def no_memory(*_, **__):
        raise raised

    monkeypatch.setattr(run_arrays, "safe_open", no_memory)
    refuses(broken, r"weights\.safetensors .* expected arrays that the free memory can hold, found larger ones")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", "5"), ("step", -1), ("step", 1.5), ("step", True), ("step", 10**400), ("seconds", None),
        ("seconds", [1]), ("stopped", 5), ("best_loss", "low"), ("over", 1), ("unlogged", []),
        ("unlogged", {"loss": "x"}), ("history", {}), ("history", [1]), ("history", [{"loss": {}}]),
    ],
)  # fmt: skip
def test_a_checkpoint_s_state_of_other_types(trained, tiny_config, tmp_path, name, value):
    run = RunDir(tmp_path)
    run.write_checkpoint({}, asdict(TrainingState()) | {name: value})
    prepared = SimpleNamespace(tokenizer=load_tokenizer(trained[0] / run_folder.TOKENIZER))
    with pytest.raises(ValueError, match=rf"expected in the checkpoint in .* {name} of type .*, found ") as caught:
        read_checkpoint(tiny_config(), run, prepared)
    one_line(caught)


def test_every_field_of_the_state_has_a_type_that_is_checked():
    assert {each.type for each in fields(TrainingState)} <= set(VALID_VALUES.keys())
    assert typing.get_type_hints(TrainingState)


def test_a_checkpoint_of_more_than_the_model_needs(trained, tiny_config, tmp_path):
    import numpy as np

    run = RunDir(tmp_path)
    run.write_checkpoint({"model/0": np.zeros(400_000, np.float32)}, asdict(TrainingState()))
    prepared = SimpleNamespace(tokenizer=load_tokenizer(trained[0] / run_folder.TOKENIZER))
    with pytest.raises(
        ValueError, match=r"expected in the checkpoint in .* at most 260 arrays of [\d,]+ numbers, found 1"
    ):
        read_checkpoint(tiny_config(), run, prepared)


# Tokenizers.


@pytest.fixture(scope="module")
def sentencepiece_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer("unigram", [f"the red house {i}" for i in range(99)], 290, nearest=True).save(folder)
    return folder


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: setattr(m.normalizer_spec, "precompiled_charsmap", b"\xff" * 64), "no normalization"),
        (lambda m: setattr(m.denormalizer_spec, "precompiled_charsmap", b"\xff" * 64), "no normalization"),
        (lambda m: setattr(m.normalizer_spec, "add_dummy_prefix", True), "spaces as they are"),
        (lambda m: setattr(m.trainer_spec, "model_type", 4), "its kind"),
        (lambda m: setattr(m.trainer_spec, "byte_fallback", False), "bytes for what no piece covers"),
        (lambda m: setattr(m.trainer_spec, "pad_id", 7), "the ids of pad, end and unknown"),
        (lambda m: setattr(m.pieces[-1], "piece", "x" * 100_000), "pieces of 1 to 64 characters"),
        (lambda m: setattr(m.pieces[-1], "piece", ""), "pieces of 1 to 64 characters"),
        (lambda m: setattr(m.pieces[-1], "score", float("nan")), "finite scores"),
        (lambda m: setattr(m.pieces[5], "type", 1), "a byte's piece for each byte"),
        (lambda m: setattr(m.pieces[-1], "type", 4), "no piece of the user's own"),
    ],
)
def test_a_sentencepiece_model_that_textae_does_not_make(sentencepiece_folder, tmp_path, change, expected):
    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    found = ModelProto.FromString((sentencepiece_folder / "tokenizer.model").read_bytes())
    assert load_tokenizer(sentencepiece_folder).decode([[300 - 20]])
    change(found)
    model = found.SerializeToString()
    description = json.loads((sentencepiece_folder / "tokenizer.json").read_text())
    description["model_sha256"] = hashlib.sha256(model).hexdigest()
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))
    (tmp_path / "tokenizer.model").write_bytes(model)
    with pytest.raises(ValueError, match=f"expected a SentencePiece model of textae, with {expected}, found another"):
        load_tokenizer(tmp_path)


def test_any_bytes_are_no_sentencepiece_model(sentencepiece_folder, tmp_path):
    description = json.loads((sentencepiece_folder / "tokenizer.json").read_text())
    for model in (b"", b"\xff" * 1000, os.urandom(5000)):
        description["model_sha256"] = hashlib.sha256(model).hexdigest()
        (tmp_path / "tokenizer.json").write_text(json.dumps(description))
        (tmp_path / "tokenizer.model").write_bytes(model)
        with pytest.raises(
            ValueError, match=r"tokenizer\.model is not a usable tokenizer: expected a SentencePiece"
        ) as caught:
            load_tokenizer(tmp_path)
        one_line(caught)


# Terminals.


def test_what_is_said_is_one_line_that_no_terminal_obeys(capsys):
    write_line(f"a\n{ESCAPES}b \u2603 日本")
    said = capsys.readouterr().err
    assert said == "a\\n\\x1b[2J\\x1b]0;title\\x07\\r\\x9b31m\\u202e\\ud800b \u2603 日本\n"


def test_answers_on_a_terminal(tmp_path):
    pty, tty = pytest.importorskip("pty"), pytest.importorskip("tty")
    ours, theirs = pty.openpty()
    tty.setraw(theirs)  # line ends stay as they are
    for name in (os.ttyname(theirs), str(tmp_path / "file")):
        with line_writer(name) as write:
            write(["1\ta\x1b[2J\n\r\x9b"])
    assert os.read(ours, 100) == b"1\ta\\x1b[2J \\r\\x9b\n"
    assert (tmp_path / "file").read_bytes() == "1\ta\x1b[2J \r\x9b\n".encode()
    os.close(ours)
    os.close(theirs)


def test_a_traceback_holds_nothing_a_terminal_obeys(monkeypatch, capsys):
    monkeypatch.setenv("TEXTAE_TRACEBACK", "1")
    try:
        raise ValueError(f"of a file: {ESCAPES}")
    except ValueError as error:
        assert failure(error) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said and all(line.isprintable() for line in said.split("\n"))


def test_errors_about_a_run_hold_nothing_a_terminal_obeys(broken):
    text = (broken / run_folder.CONFIG).read_text()
    (broken / run_folder.CONFIG).write_text(text + '"\\e[2J\\n": "\\e[31m"\n')
    with pytest.raises(ValueError, match=r"\\x1b\[2J") as caught:
        textae.load(broken)
    assert str(caught.value).isprintable() and caught.value.__suppress_context__
    (broken / run_folder.CONFIG).write_text(text)
    (broken / run_folder.ENVIRONMENT).write_text('{"format": "\\u001b[2J", "versions": {"textae": "\\u001b[2J"}}')
    assert "\\x1b[2J" in refuses(broken)


@pytest.mark.filterwarnings("ignore:constrained_layout not applied:UserWarning")  # a name fills the picture
def test_a_table_holds_nothing_a_terminal_or_matplotlib_obeys(trained, broken, tmp_path, capsys):
    values = RunDir(broken).config()
    values["name"] = values["corpus"]["label"] = f"${ESCAPES}\n|_{{"
    values["corpus"]["files"] = ["x" * 5000]
    RunDir(broken).create(values, read_json(broken / run_folder.ENVIRONMENT))
    made = tmp_path / "runs"
    made.mkdir()
    broken.rename(made / "\x1b[31m")
    (made / "good").symlink_to(trained[0])
    rows, differing = run_table.collect(str(made / "*"))
    assert {"name", "corpus.label", "corpus.files"} <= set(differing) and len(rows) == 2
    lines = run_table.table(rows, differing, "loss").splitlines()
    assert len(lines) == 4 and all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 1500
    run_table.plot(rows, differing, "loss", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
