"""From a composed config or plain values to a checked `Config`, and back."""

from __future__ import annotations

import copy
import functools
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from textae.config.checks import MOST_FILES, MOST_LEVELS
from textae.config.schema import CORPORA, Config


def resolve(config: DictConfig | ListConfig) -> Any:
    """Return the checked configuration.

    Raises:
        ValueError: a value, or two values together, that cannot be; says what was expected and received.
    """
    try:
        return OmegaConf.to_object(config)  # runs each __post_init__
    except AttributeError as error:  # slots refuse what +group.name=value adds
        raise ValueError(f"unknown key: {str(error).splitlines()[0]:.300}") from error


def from_mapping(values: dict[str, Any]) -> Config:
    """Build a `Config` from the plain values of a run folder's config file.

    Raises:
        ValueError: an unknown corpus kind, an unknown key, a value of another type; and as `resolve`.
    """
    for name, value in flat(values).items():
        most = MOST_FILES if name.startswith("corpus.") else 2 * MOST_LEVELS
        if isinstance(value, (list, tuple)) and len(value) > most:  # OmegaConf would take minutes over them
            raise ValueError(f"expected at most {most:,} values for {name:.100}, received {len(value):,}")
        if "${" in f"{name}{value!r}":  # OmegaConf would look up what stands there, in the environment or elsewhere
            raise ValueError(f"expected plain values in a run's settings, received {value!r:.100} as {name:.100}")
    corpus = values.get("corpus")
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    if not isinstance(kind, str) or kind not in CORPORA:
        raise ValueError(f"expected corpus.kind to be one of {', '.join(CORPORA)}, received {kind!r:.100}")
    schema = copy.deepcopy(_schema(kind))
    try:
        return resolve(OmegaConf.merge(schema, values))
    except (OmegaConfBaseException, OverflowError) as error:
        raise ValueError(f"expected a run's settings: {str(error).splitlines()[0]:.300}") from error


@functools.cache
def _schema(kind: str) -> DictConfig:
    """Return the schema of a configuration with a corpus of this kind; making it takes ten times as long as a copy."""
    schema = OmegaConf.structured(Config)
    schema.corpus = OmegaConf.structured(CORPORA[kind])
    return schema


def to_mapping(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values, enumerations by name: the inverse of `from_mapping`."""
    return plain(OmegaConf.structured(config), resolve=True)


def plain(node: Any, resolve: bool = False) -> Any:
    """Return what a node of a composed configuration holds as plain values, enumerations by name.

    With `resolve`, references such as ${name} are replaced by what they stand for.
    """
    return OmegaConf.to_container(node, resolve=resolve, enum_to_str=True)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted names."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = value
    return out
