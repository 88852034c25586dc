"""Messages and bars: a Python program has them as it sets `logging` up, a command shows them as lines."""

import json
import logging
import subprocess
import sys

import pytest

from textae.cli.streams import show_log, write_line
from textae.progress import Progress, shows_bar

pytestmark = pytest.mark.backend_free

PROGRAM = """
import json, logging, sys
from pathlib import Path
from textae.config.schema import TextConfig, TokenizerConfig
from textae.data.preparation import prepare

setting, given = sys.argv[1], json.loads(sys.argv[2])
if setting == "handler":
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
elif setting == "silenced":
    logging.getLogger("textae").setLevel(logging.CRITICAL)
prepare(Path(given["data_dir"]), TextConfig(**given["corpus"]), TokenizerConfig(**given["tokenizer"]))
"""


@pytest.fixture
def printed(tmp_path):
    """A function: what a Python program prints that prepares a corpus with a bad record."""
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one two"}\n{"text": 3}\n' + "".join(f'{{"text": "text {i}"}}\n' for i in range(30))
    )

    def run(setting):
        corpus = {"files": [str(tmp_path / "a.jsonl")], "field": "text", "on_bad_record": "skip"}
        given = {
            "data_dir": str(tmp_path / setting),
            "corpus": corpus,
            "tokenizer": {"kind": "bytes"},
        }
        command = [sys.executable, "-c", PROGRAM, setting, json.dumps(given)]
        made = subprocess.run(command, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return made.stdout.splitlines(), made.stderr.splitlines()

    return run


def test_a_program_without_logging_shows_warnings_alone(printed):
    out, errors = printed("nothing")
    assert out == []
    assert errors[0] == "left out 1 bad record, the first of them:"
    assert not any("prepared" in line or "tokenized" in line for line in errors)


def test_a_program_that_silences_the_package_sees_nothing(printed):
    assert printed("silenced") == ([], [])


def test_a_handler_has_everything(printed):
    out, errors = printed("handler")
    assert errors == []
    assert out[0] == "WARNING textae.data.corpora.preparing left out 1 bad record, the first of them:"
    assert [line for line in out if line.startswith("INFO textae.data.corpora.preparing prepared the corpus")]
    assert [line for line in out if line.startswith("INFO textae.data.preparation tokenized")]


def test_a_command_shows_each_message_once_as_a_line(capsys):
    show_log()
    show_log()
    logging.getLogger("textae.data").info("100 % of \x1b[2J it")
    logging.getLogger("textae.data").debug("details")
    assert capsys.readouterr() == ("", "100 % of \\x1b[2J it\n")


def test_a_line_stands_above_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("reading", 200) as progress:
        progress.advance(100)
        progress._bar.refresh()
        write_line("a line")
    shown = capsys.readouterr().err
    assert "\ra line\n" in shown and shown.count("reading:  50%") >= 2


def test_no_bar_where_messages_are_not_shown(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert shows_bar()
    logging.getLogger("textae").setLevel(logging.WARNING)
    try:
        assert not shows_bar()
        with Progress("reading", 200) as progress:
            progress.advance(100)
        assert capsys.readouterr().err == ""
    finally:
        show_log()
