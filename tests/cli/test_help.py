"""The help of every command says what each of its keys means."""

import subprocess
import sys

import pytest

from textae.cli.help import help_of
from textae.config.command_schemas import COMMANDS
from textae.config.meanings import GROUPS, keys_of, options_of
from textae.config.schema import Config, CorpusConfig

pytestmark = pytest.mark.backend_free


def words(text):
    """A text with all white space as single spaces, whatever its lines are."""
    return " ".join(text.split())


def test_every_key_of_a_run_is_there_with_its_meaning():
    text = words(help_of("config", 100))
    keys = [key for key in keys_of(Config) if key.kind is not CorpusConfig]
    for group, schemas in GROUPS.items():
        for schema in schemas.values():
            keys += [key for key in keys_of(schema, group.replace("/", ".") + ".") if key.name != "corpus.kind"]
    assert len(keys) > 80
    for key in keys:
        assert f" {key.name}=" in text and words(key.meaning) in text, key
    for group in ("experiment", *GROUPS):
        for option in options_of(group):
            if (group, option.name) != ("corpus", "run"):
                assert option.meaning and f"{option.name} {words(option.meaning)}" in text, option


def test_training_offers_no_corpus_of_a_run():
    lines = help_of("config", 100).splitlines()
    first = lines.index("Options of corpus, corpus=OPTION:") + 1
    options = [line.split()[0] for line in lines[first : lines.index("", first)] if line[2] != " "]
    assert options == ["pydocs", "text", "tfds"]
    assert "corpus=run" not in "\n".join(lines)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_key_of_a_command_is_there_with_its_meaning(command):
    text = words(help_of(command, 80))
    assert text.startswith(f"python -m textae.{command} ")
    for key in keys_of(COMMANDS[command]):
        if key.kind is not CorpusConfig:
            assert f" {key.name}=" in text and words(key.meaning) in text, key
    assert ("corpus.files=" in text) == any(key.kind is CorpusConfig for key in keys_of(COMMANDS[command]))


@pytest.mark.parametrize("width", [60, 80, 140])
def test_lines_are_wrapped_at_the_width(width):
    lines = help_of("config", width).splitlines()
    keys = lines[next(i for i, line in enumerate(lines) if line.startswith("Options of experiment")) :]
    assert width - 10 < max(map(len, keys)) <= width


def test_help_needs_no_backend_and_no_configuration(tmp_path):
    code = """
import runpy, sys
sys.argv[1:] = ["model.nonsense=1", "--help"]
try:
    runpy.run_module("textae.train", run_name="__main__", alter_sys=True)
except SystemExit as stop:
    print(stop.code, *sorted({"keras", "tensorflow", "jax", "tensorflow_datasets"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.endswith("\n0\n")
    assert list(tmp_path.iterdir()) == []
