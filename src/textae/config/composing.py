"""From a configuration file, an experiment and settings to a composed configuration, outside a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig

from textae.config.registration import config_dir, register


def composed(name: str = "config", overrides: Sequence[str] = ()) -> DictConfig:
    """Return the configuration that a command with these words has; one of Hydra's that is at work stays.

    Raises:
        hydra.errors.HydraException, omegaconf.errors.OmegaConfBaseException: a word that cannot be.
    """
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        return compose(name, overrides=list(overrides))


def override(key: str, value: Any) -> str:
    """Return the word of a command that sets a key to a plain value, a path, or lists and mappings of such.

    Raises:
        TypeError: the value, or one in it, is of another type.
    """
    return f"{key}={_written(value, key)}"


def _written(value: Any, key: str) -> str:
    """Return a value as Hydra's grammar of overrides reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | PurePath):
        text = str(value)
        plain = text.isascii() and text.replace("_", "a").replace("-", "a").replace(".", "a").isalnum()
        if plain and text.lower() not in ("null", "true", "false", "inf", "nan") and not _is_number(text):
            return text
        return quoted(text)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_written(each, f'{key}.{name}')}" for name, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return "[" + ",".join(_written(each, f"{key}[{i}]") for i, each in enumerate(value)) + "]"
    if getattr(value, "ndim", None) == 0:  # a number of NumPy
        number: Any = value
        return _written(number.item(), key)
    raise TypeError(
        f"expected {key} as a number, a string, a path, None, or a list or mapping of these, "
        f"received {type(value).__name__}"
    )


def literal(text: str) -> str:
    """Return what OmegaConf reads as this text, not as a reference to another setting."""
    return text.replace("${", "\\${")


def quoted(text: str) -> str:
    """Return what Hydra reads as this text in a setting of the command line."""
    return QuotedString(text=literal(text), quote=Quote.single).with_quotes()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
