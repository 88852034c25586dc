"""What every key and every option of a group means, read from the comments of the schemas and of `configs/`.

A key's meaning is the comment on its line of the schema, or the one above it; an option's is the first sentence of
its YAML file's comment. The help of the commands and docs/configuration.md show them.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from enum import Enum
from typing import Any

import yaml
from omegaconf import MISSING

from textae.config.mapping import flat
from textae.config.schema import (
    CORPORA,
    CorpusConfig,
    DistributedConfig,
    ModelConfig,
    TokenizerConfig,
    TrainingConfig,
    UpsamplerConfig,
)
from textae.config.schema_source import comments_of
from textae.config.yaml_files import first_sentence, option_files

# The groups of a run, and the schemas of their keys: one, or one for each kind.
GROUPS: dict[str, dict[str, type]] = {
    "corpus": dict(CORPORA),
    "tokenizer": {"": TokenizerConfig},
    "model": {"": ModelConfig},
    "model/upsampler": {"": UpsamplerConfig},
    "training": {"": TrainingConfig},
    "distributed": {"": DistributedConfig},
}
_SCHEMAS_OF_GROUPS = {schema for schemas in GROUPS.values() for schema in schemas.values()}


@dataclasses.dataclass(frozen=True)
class Key:
    """A key, the type of its value (a schema, where the key is a group), its default and what it means."""

    name: str
    kind: Any
    default: Any
    meaning: str

    @property
    def choices(self) -> list[str]:
        """The names that the value may be; empty where it is not one of several."""
        kinds = [kind for kind in (self.kind, *typing.get_args(self.kind)) if isinstance(kind, type)]
        return [member.name for kind in kinds if issubclass(kind, Enum) for member in kind]


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a group, what it is, and the keys that it sets with their values."""

    name: str
    meaning: str
    sets: dict[str, Any]


def keys_of(schema: type, prefix: str = "") -> list[Key]:
    """Return the keys of a schema and of the schemas within it, but for those that are groups of their own.

    Raises:
        ValueError: a key has no comment.
    """
    kinds, comments, found = typing.get_type_hints(schema), _comments(schema), []
    for field in dataclasses.fields(schema):
        kind = kinds[field.name]
        if kind in _SCHEMAS_OF_GROUPS:
            continue
        if field.name not in comments:
            raise ValueError(f"expected a comment with the meaning of {schema.__name__}.{field.name}, found none")
        if dataclasses.is_dataclass(kind) and kind is not CorpusConfig:
            found += keys_of(typing.cast(type, kind), f"{prefix}{field.name}.")
            continue
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        found.append(Key(prefix + field.name, kind, default, comments[field.name]))
    return found


def options_of(group: str) -> list[Option]:
    """Return the options of a group, sorted by name."""
    found = []
    for path in option_files(group):
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text) or {}
        own = {key: value for key, value in content.items() if key not in ("defaults", "hydra", "name")}
        sets = {key: value for key, value in flat(own).items() if value != MISSING}
        found.append(Option(path.stem, first_sentence(text), sets))
    return found


def written(value: object) -> str:
    """Return a value as it stands on the command line."""
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return value.name if isinstance(value, Enum) else str(value)


@functools.cache
def _comments(schema: type) -> dict[str, str]:
    """Return each key's comment; a key that a schema inherits has that of the schema it comes from."""
    found: dict[str, str] = {}
    for owner in reversed(schema.__mro__[:-1]):
        found |= comments_of(inspect.getsource(owner).splitlines())
    return found
