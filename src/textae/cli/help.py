"""The help of a command: what it does, the options of its groups, and a line of meaning for each key."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator

import yaml
from omegaconf import MISSING

from textae.config.command_schemas import COMMANDS
from textae.config.meanings import GROUPS, Key, keys_of, options_of, written
from textae.config.schema import CORPORA, Config, CorpusConfig
from textae.config.yaml_files import config_dir

_LEAST_WIDTH = 60
_KEY_WIDTH = 34  # a longer key stands on a line of its own


def help_of(config_name: str, width: int | None = None) -> str:
    """Return the help of a command, wrapped at the terminal's width.

    Args:
        config_name: its file in `configs/`, without the ending; `config` for textae.train.
        width: characters of a line, but for examples, which are not wrapped; None: those of the terminal.
    """
    width = max(width or shutil.get_terminal_size().columns, _LEAST_WIDTH)
    content = yaml.safe_load((config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8"))
    lines = list(_introduction(content["hydra"]["help"]["template"], width))
    if config_name == "config":
        lines += _options("experiment", width, lead="+")
        own = [key for key in keys_of(Config) if key.kind is not CorpusConfig]
        lines += _title("Keys of a run, KEY=VALUE, with their defaults") + _keys(own, width)
        for group in GROUPS:
            lines += _options(group, width, without=("run",)) + _group_keys(group, width)
    else:
        schema = COMMANDS[config_name]
        keys = keys_of(schema)
        lines += _title("Keys, KEY=VALUE, with their defaults")
        lines += _keys([key for key in keys if key.kind is not CorpusConfig], width)
        if any(key.kind is CorpusConfig for key in keys):
            lines += _options("corpus", width) + _group_keys("corpus", width)
    return "\n".join(lines) + "\n"


def _introduction(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text with its paragraphs wrapped; lines that are indented, such as examples, stay."""
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.splitlines()
        if any(line.startswith(" ") for line in lines) or lines[0].startswith("python -m"):
            yield from lines
        else:
            yield from textwrap.wrap(" ".join(lines), width)
        yield ""


def _title(text: str) -> list[str]:
    return [text + ":"]


def _options(group: str, width: int, lead: str = "", without: tuple[str, ...] = ()) -> list[str]:
    """Return the options of a group, a line of meaning each."""
    lines = _title(f"Options of {group}, {lead}{group}=OPTION")
    for option in options_of(group):
        if option.name not in without:
            lines += _row(option.name, option.meaning, width, 22)
    return [*lines, ""]


def _group_keys(group: str, width: int) -> list[str]:
    """Return the keys of a group; those that only some of its kinds have stand apart."""
    prefix, schemas = group.replace("/", ".") + ".", GROUPS[group]
    if len(schemas) == 1:
        return _title(f"Keys of {group}") + _keys(keys_of(schemas[""], prefix), width)
    shared = {field.name for field in dataclasses.fields(CorpusConfig)}
    keys = [key for key in keys_of(CorpusConfig, prefix) if key.name != f"{prefix}kind"]
    lines = _title(f"Keys of every {group}") + _keys(keys, width)
    for kind in CORPORA:
        own = [key for key in keys_of(schemas[kind], prefix) if key.name.removeprefix(prefix) not in shared]
        if own:
            lines += _title(f"Keys of {group}={kind}") + _keys(own, width)
    return lines


def _keys(keys: list[Key], width: int) -> list[str]:
    lines: list[str] = []
    for key in keys:
        default = "..." if key.default is MISSING or key.default == MISSING else written(key.default)
        meaning = key.meaning + (f" ({', '.join(key.choices)})" if key.choices else "")
        lines += _row(f"{key.name}={default}", meaning, width, _KEY_WIDTH)
    return [*lines, ""]


def _row(name: str, meaning: str, width: int, column: int) -> list[str]:
    """Return a name and its meaning in two columns."""
    column = min(column, width // 2)
    wrapped = textwrap.wrap(meaning, width - column, break_on_hyphens=False) or [""]
    first = f"  {name}"
    rest = [" " * column + line for line in wrapped]
    if len(first) > column - 2:
        return [first, *rest]
    return [first.ljust(column) + wrapped[0], *rest[1:]]
