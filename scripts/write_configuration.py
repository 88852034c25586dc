"""Write docs/configuration.md, the table of every key, from the schemas in src/textae/config/ and from configs/.

    python scripts/write_configuration.py [--check]

`textae.config.meanings` reads what they mean from the comments there.
"""

import argparse
import sys
import typing
from pathlib import Path

from omegaconf import MISSING

from textae.config import schema as schemas
from textae.config.command_schemas import COMMANDS
from textae.config.meanings import GROUPS, Key, keys_of, options_of, written

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
HEAD = """\
# Configuration

Every key of a run and of the commands, with its default. Set them on the command line, `key=value`; lists as
`model.strides=[2,2]`, nothing as `key=null`. A group's option is chosen by `group=option` and sets the keys that it
names; `python -m textae.train --cfg job [key=value ...]` shows what a command line comes to.

`python scripts/write_configuration.py` writes this page from `src/textae/config/` and `configs/`.
"""
WORDS = {int: "whole number", float: "number", str: "text", bool: "true, false"}


def values(kind: object) -> str:
    """Return what a key of a type may be."""
    arguments = typing.get_args(kind)
    if type(None) in arguments:
        return f"{values(next(a for a in arguments if a is not type(None)))}, null"
    if typing.get_origin(kind) is list:
        return f"list of {values(arguments[0])}s"
    if typing.get_origin(kind) is dict:
        return "names and texts"
    return WORDS[kind]


def row(key: Key) -> str:
    """Return a key's row of the table."""
    if key.kind is schemas.CorpusConfig:
        what = ["an option of `corpus`, with its keys", "`run`"]
    else:
        given = key.default is not MISSING and key.default != MISSING
        choices = ", ".join(f"`{name}`" for name in key.choices)
        what = [choices or values(key.kind), f"`{written(key.default)}`" if given else "must be given"]
    cells = [f"`{key.name}`", *what, key.meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def keys(schema: type, prefix: str = "", without: tuple[str, ...] = ()) -> list[str]:
    """Return the table of a schema's keys."""
    rows = [row(key) for key in keys_of(schema, prefix) if key.name.removeprefix(prefix) not in without]
    return ["| key | values | default | meaning |", "| --- | --- | --- | --- |", *rows, ""] if rows else []


def options(group: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return the table of a group's options and what they set."""
    rows = []
    for option in options_of(group):
        sets = ", ".join(f"`{key}={written(value)}`" for key, value in option.sets.items())
        if option.name not in without:
            rows.append(f"| `{option.name}` | {option.meaning} | {sets} |")
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
