"""Write docs/configuration.md, the table of every key, from the schemas in src/textae/config/ and from configs/.

    python scripts/write_configuration.py [--check]

A key's meaning is the comment on its line in the schema; an option's is the first comment of its YAML file.
"""

import argparse
import dataclasses
import inspect
import re
import sys
import typing
from enum import Enum
from pathlib import Path

import yaml
from omegaconf import MISSING

from textae.config import schema as schemas
from textae.config.command_schemas import COMMANDS
from textae.config.mapping import flat
from textae.config.registration import config_dir

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
HEAD = """\
# Configuration

Every key of a run and of the commands, with its default. Set them on the command line, `key=value`; lists as
`model.strides=[2,2]`, nothing as `key=null`. A group's option is chosen by `group=option` and sets the keys that it
names; `python -m textae.train --cfg job [key=value ...]` shows what a command line comes to.

`python scripts/write_configuration.py` writes this page from `src/textae/config/` and `configs/`.
"""
WORDS = {int: "whole number", float: "number", str: "text", bool: "true, false"}
GROUPS = {
    "corpus": schemas.CORPORA,
    "tokenizer": {"": schemas.TokenizerConfig},
    "model": {"": schemas.ModelConfig},
    "model/upsampler": {"": schemas.UpsamplerConfig},
    "training": {"": schemas.TrainingConfig},
}

SECTIONS = {schema for parts in GROUPS.values() for schema in parts.values()}  # groups that a group holds


def meanings(schema: type) -> dict[str, str]:
    """Return each key's comment; a key that a schema inherits has that of the schema it comes from."""
    found: dict[str, str] = {}
    for owner in reversed(schema.__mro__[:-1]):
        for line in inspect.getsource(owner).splitlines():
            if match := re.match(r"    (\w+): .*?  # (.+)$", line):
                found[match[1]] = match[2]
    return found


def values(kind: object) -> str:
    """Return what a key of a type may be."""
    arguments = typing.get_args(kind)
    if type(None) in arguments:
        return f"{values(next(a for a in arguments if a is not type(None)))}, null"
    if typing.get_origin(kind) is list:
        return f"list of {values(arguments[0])}s"
    if typing.get_origin(kind) is dict:
        return "names and texts"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.name}`" for member in kind)
    return WORDS[kind]


def default(field: dataclasses.Field) -> str:
    """Return a key's default as one would write it on the command line."""
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value is MISSING or value == MISSING:
        return "must be given"
    return f"`{written(value)}`"


def written(value: object) -> str:
    """Return a value as it stands on the command line."""
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return value.name if isinstance(value, Enum) else str(value)


def keys(schema: type, prefix: str = "", without: tuple[str, ...] = ()) -> list[str]:
    """Return the table of a schema's keys."""
    rows = rows_of(schema, prefix, without)
    return ["| key | values | default | meaning |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def rows_of(schema: type, prefix: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return a row for each key of a schema, and of the schemas within it that are no groups.

    Raises:
        ValueError: a key has no comment.
    """
    kinds, comments = typing.get_type_hints(schema), meanings(schema)
    rows: list[str] = []
    for field in dataclasses.fields(schema):
        kind = kinds[field.name]
        if field.name in without or kind in SECTIONS:
            continue
        if field.name not in comments:
            raise ValueError(
                f"expected a comment on the line of {schema.__name__}.{field.name} that says what it means"
            )
        if kind is schemas.CorpusConfig:
            what = ["an option of `corpus`, with its keys", "`run`"]
        elif dataclasses.is_dataclass(kind):
            rows += rows_of(kind, f"{prefix}{field.name}.")
            continue
        else:
            what = [values(kind), default(field)]
        cells = [f"`{prefix}{field.name}`", *what, comments[field.name]]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def options(group: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return the table of a group's options and what they set."""
    rows = []
    for path in sorted((config_dir() / group).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        comments = [line[2:] for line in text.splitlines() if line.startswith("# ") and not line.startswith("# @")]
        content = yaml.safe_load(text) or {}
        own = {key: value for key, value in content.items() if key not in ("defaults", "hydra", "name", "???")}
        sets = [f"`{key}={written(value)}`" for key, value in flat(own).items() if value != MISSING]
        if path.stem not in without:
            rows.append(f"| `{path.stem}` | {comments[0] if comments else ''} | {', '.join(sets)} |")
    return ["| option | what it is | what it sets |", "| --- | --- | --- |", *rows, ""]


def page() -> str:
    """Return the whole page."""
    lines = [HEAD, "## A run", "", *keys(schemas.Config, without=("corpus",))]
    for group, parts in GROUPS.items():
        dotted = group.replace("/", ".") + "."
        lines += [f"### {group}", ""]
        if len(parts) == 1:
            lines += [next(iter(parts.values())).__doc__.strip(), ""]
        lines += options(group, without=("run",))
        for name, schema in parts.items():
            if name:
                lines += [f"`{group}={name}`: {schema.__doc__.strip()}", ""]
            lines += keys(schema, dotted, without=("kind",) if name else ())
    lines += ["### experiment", "", "Chosen by `+experiment=option`.", "", *options("experiment")]
    lines += ["## Commands", ""]
    for name, schema in COMMANDS.items():
        lines += [f"### textae.{name}", "", *keys(schema)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the page, or say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is not up to date")
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == made:
        return 0
    print("docs/configuration.md: run python scripts/write_configuration.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
