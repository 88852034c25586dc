"""The keys of the schemas, read from their source files by the standard library alone.

Importing the schemas imports OmegaConf, which takes longer than a shell's completion may. A test compares what is read
here with the schemas themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from textae.config import choices
from textae.config.yaml_files import config_dir

_FILES = ("schema.py", "command_schemas.py")
_MAIN = "Config"  # the schema of textae.train
_CORPUS = "CorpusConfig"  # the schema whose keys depend on the option of the group


class SourceKey(NamedTuple):
    """A key, what it means, and the values that it may have where these are few; `group`: whether it is a group."""

    name: str
    meaning: str
    choices: tuple[str, ...] = ()
    group: bool = False


class SchemaSource:
    """The schemas' classes and tables, as they are written."""

    def __init__(self) -> None:
        self._classes: dict[str, tuple[list[str], list[ast.AnnAssign], list[str]]] = {}
        self._tables: dict[str, dict[str, str]] = {}
        for name in _FILES:
            text = (Path(__file__).parent / name).read_text(encoding="utf-8")
            self._read(ast.parse(text), text.splitlines())

    def _read(self, module: ast.Module, lines: list[str]) -> None:
        for node in module.body:
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
                self._classes[node.name] = bases, fields, lines[node.lineno - 1 : node.end_lineno]
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                pairs = zip(node.value.keys, node.value.values, strict=True)
                table = {
                    str(k.value): v.id for k, v in pairs if isinstance(k, ast.Constant) and isinstance(v, ast.Name)
                }
                self._tables |= {target.id: table for target in node.targets if isinstance(target, ast.Name)}

    def commands(self) -> list[str]:
        """Return the names of the commands that have keys, without `train`."""
        return list(self._tables["COMMANDS"])

    def keys(self, command: str, corpus: str | None) -> list[SourceKey]:
        """Return the keys of a command; none of an unknown one.

        Args:
            command: its name, as in `train`.
            corpus: the option of the group `corpus`, whose keys are among those of the command; None or an unknown
                one: the keys that all have.
        """
        schema = _MAIN if command == "train" else self._tables["COMMANDS"].get(command)
        owner = self._tables["CORPORA"].get(corpus or "", _CORPUS)
        return [] if schema is None else list(self._keys(schema, "", owner))

    def _keys(self, schema: str, prefix: str, corpus: str) -> Iterator[SourceKey]:
        comments = self._comments(schema)
        for name, types in self._fields(schema).items():
            inner = next((found for found in types if found in self._classes), None)
            if inner is None:
                yield SourceKey(prefix + name, comments.get(name, ""), _values(types))
                continue
            if (config_dir() / (prefix + name).replace(".", "/")).is_dir():
                yield SourceKey(prefix + name, comments.get(name, ""), group=True)
            keys = self._keys(corpus if inner == _CORPUS else inner, f"{prefix}{name}.", corpus)
            yield from (key for key in keys if key.name != "corpus.kind")

    def _fields(self, schema: str) -> dict[str, list[str]]:
        """Return the names in the type of each field, with those of the classes that the schema is derived from."""
        bases, own, _ = self._classes[schema]
        found: dict[str, list[str]] = {}
        for base in bases:
            found |= self._fields(base) if base in self._classes else {}
        for field in own:
            if isinstance(field.target, ast.Name):
                found[field.target.id] = [n.id for n in ast.walk(field.annotation) if isinstance(n, ast.Name)]
        return found

    def _comments(self, schema: str) -> dict[str, str]:
        bases, _, lines = self._classes[schema]
        found: dict[str, str] = {}
        for base in bases:
            found |= self._comments(base) if base in self._classes else {}
        return found | comments_of(lines)


def comments_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the comment of each field of a class, from its source: the one on the field's line, or the one above."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in lines:
        if match := re.match(r"    # (.+)$", line):
            above.append(match[1])
            continue
        if match := re.match(r"    (\w+): [^#]*(?:  # (.+))?$", line):
            meaning = " ".join([*above, match[2] or ""]).strip()
            if meaning:
                found[match[1]] = meaning
        above = []
    return found


def _values(types: list[str]) -> tuple[str, ...]:
    """Return the values of a type of few: the names of an enumeration's members, or true and false."""
    if "bool" in types:
        return ("true", "false")
    for name in types:
        members = getattr(getattr(choices, name, None), "__members__", None)
        if members is not None and "list" not in types:
            return tuple(members)
    return ()
