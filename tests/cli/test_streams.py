"""Standard streams that are closed or full, lines that come slowly, and lines without end."""

import io
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from textae.cli.streams import as_they_come, is_live

pytestmark = [pytest.mark.backend_free, pytest.mark.skipif(os.name != "posix", reason="descriptors")]
SECONDS = 60


def coming(*items):
    """Lines of a queue; an exception is raised."""
    lines = queue.Queue()
    for item in items:
        lines.put(item)

    def each():
        while (item := lines.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    return lines, each()


def test_lines_that_are_there_come_together_and_later_ones_when_they_come():
    lines, each = coming("a", "b", "c")
    portions = as_they_come(each, 1000)
    assert next(portions) == ["a", "b", "c"]
    lines.put("d")
    assert next(portions) == ["d"]
    lines.put("e")
    lines.put(None)
    assert list(portions) == [["e"]]


def test_fast_lines_come_in_large_portions():
    portions = list(as_they_come((f"line {i}" for i in range(100_000)), 50_000))
    assert [line for portion in portions for line in portion] == [f"line {i}" for i in range(100_000)]
    assert len(portions) < 60
    assert max(sum(len(line) + 1 for line in portion) for portion in portions) < 50_020


def test_a_trickle_is_not_waited_for():
    def each():
        for i in range(100):
            yield str(i)
            time.sleep(0.02)

    start = time.monotonic()
    assert next(as_they_come(each(), 1 << 20))[0] == "0"
    assert time.monotonic() - start < 1.5


def test_what_is_wrong_comes_after_the_lines_in_front_of_it():
    lines, each = coming("a")
    portions = as_they_come(each, 1000)
    assert next(portions) == ["a"]
    for item in ("b", ValueError("line 3")):
        lines.put(item)
    assert next(portions) == ["b"]
    with pytest.raises(ValueError, match="line 3"):
        next(portions)
    _, each = coming("a", ValueError("line 2"))
    with pytest.raises(ValueError, match="line 2"):  # at once, before anything was answered
        next(as_they_come(each, 1000))


def test_a_thread_ends_with_its_portions():
    before = threading.active_count()
    portions = as_they_come(iter(["a" * 10] * 1000), 20)
    next(portions)
    portions.close()
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_files_are_read_in_even_portions_and_pipes_as_they_come(tmp_path):
    (tmp_path / "a").write_text("a\n")
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "a").open("rb") as file, (tmp_path / "pipe").open("r+b", buffering=0) as pipe:
        assert [is_live(file), is_live(pipe), is_live(io.BytesIO(b"a\n"))] == [False, True, False]


def ended(forks, command, *arguments, closed):
    return forks.run(arguments, command=command, closed=closed)


@pytest.mark.parametrize("closed", [[2], [0, 2], [0, 1, 2]], ids=str)
def test_a_closed_standard_error_stops_nothing(forks, trained, tmp_path, closed):
    (tmp_path / "in").write_text("a\nb\n")
    arguments = [f"run={trained[0]}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"]
    assert ended(forks, "reconstruct", *arguments, closed=closed).code == 0
    assert (tmp_path / "out").read_bytes().count(b"\n") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_training_needs_no_standard_streams(forks, corpus_file, data_dir, tmp_path):
    settings = [
        "corpus=text", f"corpus.files=[{corpus_file}]", "corpus.validation_share=0.1", "corpus.test_share=0.1",
        "tokenizer=bytes", "model.channels=[8,16]", "model.latent_size=8", "model.max_length=32",
        "training.max_steps=2",
        "training.tokens_per_batch=512", "training.num_length_buckets=2", "training.validation_documents=5",
        "training.num_logged_samples=1",
        f"data_dir={data_dir}", f"hydra.run.dir={tmp_path / 'run'}",
    ]  # fmt: skip
    assert ended(forks, "train", *settings, closed=[0, 1, 2]).code == 0
    assert (tmp_path / "run" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("command", "arguments", "closed", "says"),
    [
        ("reconstruct", [], [1], "output: expected standard output to be open, found it closed"),
        ("score", ["output=/dev/stdout"], [1], "output: expected /dev/stdout to be open, found it closed"),
        ("evaluate", [], [1], "output: expected standard output to be open, found it closed"),
        ("reconstruct", [], [0], "input: expected standard input to be open, or input=FILE, found it closed"),
        ("interpolate", [], [0], "input: expected standard input to be open, or input=FILE, found it closed"),
        ("train", ["--help"], [1], "output: expected standard output to be open, found it closed"),
    ],
)
def test_what_needs_a_closed_stream_says_so(forks, trained, command, arguments, closed, says):
    arguments = arguments if command == "train" else [f"run={trained[0]}", *arguments]
    found = ended(forks, command, *arguments, closed=closed)
    assert (found.code, found.errors) == (2, f"textae: {says}\n")


def test_a_table_in_a_file_needs_no_standard_output(forks, trained, tmp_path):
    arguments = [f"runs={trained[0]}", f"csv={tmp_path / 'a.csv'}"]
    found = ended(forks, "report", *arguments, closed=[1])
    assert (found.code, found.errors.count("\n")) == (0, 1) and "more columns with all=true" in found.errors
    assert (tmp_path / "a.csv").read_text().startswith("run,state,")
    assert ended(forks, "report", arguments[0], closed=[1]).code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full")
def test_a_full_standard_error_keeps_the_exit_code():
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "textae.reconstruct", "run=nowhere"]
        assert subprocess.run(command, stderr=full, stdin=subprocess.DEVNULL, timeout=SECONDS).returncode == 2


@pytest.mark.parametrize("command", ["score", "reconstruct", "neighbours"])
def test_each_line_is_answered_when_it_comes(forks, trained, corpus_file, tmp_path, command):
    """From pipe to pipe; after a bad line what was answered stays."""
    for name in ("in", "out"):
        os.mkfifo(tmp_path / name)
    arguments = [f"run={trained[0]}", f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"]
    if command == "neighbours":
        arguments += [f"documents={corpus_file}", "count=1"]
    process = forks.start(arguments, command=command)
    with (tmp_path / "in").open("wb", buffering=0) as lines:
        lines.write(b"the red house\n")
        with (tmp_path / "out").open("rb") as answers:
            first = answers.readline()
            lines.write(b"a river\n")
            second = answers.readline()
            lines.write(b"often\n\xff\n")
            third = answers.read()
    found = forks.wait(process)
    assert found.code == 2
    said = f"{tmp_path / 'in'}, line 4: expected UTF-8, found byte 0xFF at byte 1 of the line"
    assert found.errors == f"textae: {said}\n"
    for number, row in enumerate((first, second, third), 1):
        assert row.count(b"\n") == 1
        if command != "reconstruct":
            assert str(number).encode() in row.split(b"\t")[:2]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="/dev/zero")
def test_input_without_end_is_refused_soon(forks, trained):
    found = forks.run([f"run={trained[0]}", "input=/dev/zero"], command="score")
    assert (found.code, found.output) == (2, b"")
    assert found.errors == "textae: /dev/zero: expected lines of at most 134,217,728 bytes, found more in line 1\n"
