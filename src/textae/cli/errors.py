"""What Hydra and OmegaConf find wrong with a command line, as one line of what was expected and what was found."""

from __future__ import annotations

import dataclasses
import errno
import re
import sys
from collections.abc import Sequence
from typing import Any

from textae.config.key_names import unknown_key, unknown_option, unknown_value
from textae.config.yaml_files import config_dir, option_files

_TYPES = {  # OmegaConf's words for what a value should have been, and ours
    r"is not a ListConfig": "a list, as in {key}=[{value}]",
    r"is not a (DictConfig|.*Mapping)": "several settings, as in {key}.name=value",
    r"converted to Integer": "a whole number",
    r"converted to Float": "a number",
    r"not a valid bool": "true or false",
    r"not Optional": "a value",
}

GROUP_VALUE = "Config group override must be a string or a list"  # Hydra's ValueError for a number

_PATHS = {  # what the system has against a path; not ENOENT, which is also said of what was deleted meanwhile
    errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip


def cause(error: BaseException) -> str:
    """Return an error's message as one line, with that of its cause where it adds something."""
    lead = _shorten(_of_a_path(error) or str(error))
    reason = error.__cause__
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror  # without its number
    detail = _shorten(str(reason)) if reason is not None else ""
    return lead if detail in lead else f"{lead}: {detail}"


def concerns_a_path(error: BaseException) -> bool:
    """Return whether what failed, or its cause, is that a path cannot be used, which another one may mend."""
    reasons = [error, error.__cause__]
    return any(isinstance(reason, OSError) and reason.errno in _PATHS for reason in reasons)


def _of_a_path(error: BaseException) -> str | None:
    """Return what was expected and found where the system refuses a path; None of other errors."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"expected a path that can be used, found {shortened(error.filename)}: {error.strerror}"
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "expected a path without the character NUL, found one that has it"
    return None


def shortened(path: Any) -> str:
    """Return a path for a message, without the middle of one that is very long."""
    text = str(path)
    return text if len(text) <= 300 else f"{text[:200]}...{text[-90:]}"


def _shorten(message: str) -> str:
    lines = [line.strip() for line in message.splitlines()]
    dropped = r"(full_key|object_type|reference_type|Config search path|provider=|See https)\b"
    return " ".join(line for line in lines if line and not re.match(dropped, line))[:600]


def check_settings(config: Any) -> None:
    """Refuse a config with a mandatory value that is missing, or a key added that nothing reads.

    Raises:
        ValueError: names the first such key.
    """
    from omegaconf import DictConfig, ListConfig, OmegaConf

    from textae.config.mapping import flat, plain

    for key in sorted(OmegaConf.missing_keys(config)):
        *parents, name = key.split(".")
        parent = OmegaConf.select(config, ".".join(parents)) if parents else config
        node = parent._get_node(name, throw_on_missing_value=False)
        example = "[...]" if isinstance(node, ListConfig) else "..."
        raise ValueError(f"expected {key}={example}, found none")

    every = list(flat(plain(config)))

    def unknown(node: DictConfig, prefix: str) -> None:
        schema = OmegaConf.get_type(node)
        if not dataclasses.is_dataclass(schema):
            return
        names = [field.name for field in dataclasses.fields(schema)]
        for name in map(str, node):
            if name not in names:
                raise ValueError(unknown_key(prefix + name, [*(prefix + known for known in names), *every]))
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_none():
                unknown(child, f"{prefix}{name}.")

    unknown(config, "")


def explain(error: BaseException, config_name: str, arguments: Sequence[str] | None = None) -> str:
    """Return what Hydra or OmegaConf found wrong with settings, as one line of expected and found.

    Args:
        error: theirs.
        config_name: of the configuration that was composed.
        arguments: the settings as they were given; None: those of this process's command line.
    """
    from omegaconf.errors import InterpolationResolutionError

    from textae.config import schema

    message = str(error)
    if isinstance(error, InterpolationResolutionError):
        return _explain_reference(error)
    if found := re.search(r"Could not override '([^'@]+)", message):
        return _explain_key(found[1], config_name)
    if found := re.search(r"Could not find '([^']+)/([^'/]+)'", message):
        group, option = found.groups()
        listed = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)*)", message)
        return unknown_option(group, option, _offered(group, listed[1].split() if listed else [], config_name))
    if found := re.search(r"Could not load '([^']+)'", message):
        return f"expected a configuration file {found[1]}, found none"
    if found := re.search(r"Error merging override \+*([^=]+)=(.*)", message):
        key, value = found[1], found[2].strip()
        why = str(error.__cause__ or error)
        if found := re.search(r"expected one of \[(.*?)\]", why):
            return unknown_value(key, value, found[1])
        if found := re.search(r"is not a subclass of (\w+)", why):
            names = ", ".join(getattr(schema, found[1]).__dataclass_fields__)
            return f"{key}: expected {key}.KEY={value}, where KEY is one of {names}, found {key}={value}"
        for pattern, expected in _TYPES.items():
            if re.search(pattern, why):
                return f"{key}: expected {expected.format(key=key, value=value)}, found {value}"
    for argument in sys.argv[1:] if arguments is None else arguments:
        group, _, option = argument.lstrip("+").partition("=")
        if GROUP_VALUE in message and (config_dir() / group).is_dir():
            return unknown_option(group, option, _offered(group, options_of(group).split(", "), config_name))
        if _unparsable(argument):
            return f"expected key=value, with quotes around what is neither list nor plain word, found {argument}"
    return cause(error)


def _offered(group: str, options: list[str], config_name: str) -> list[str]:
    """Return the options of a group that a command takes: training takes no corpus of a run."""
    hidden = ("corpus", "run", "config")
    return [name for name in options if not name.endswith("_schema") and (group, name, config_name) != hidden]


def _explain_reference(error: Any) -> str:
    """Return what is wrong with a value that refers to another one."""
    message, key = str(error).splitlines()[0], error.full_key or "a setting"
    if found := re.search(r"Interpolation key '(.*?)' not found", message):
        return f"{key}: unknown key {found[1]} in ${{...}}"
    if found := re.search(r"Environment variable '(.*?)' not found", message):
        return f"{key}: expected the environment variable {found[1]}, found none"
    if "Recursive interpolation" in message:
        return f"{key}: expected a value, found one that refers to itself"
    return f"{key}: expected a value that ${{...}} gives, found: {cause(error)}"


def _explain_key(key: str, config_name: str) -> str:
    from textae.config.composing import composed
    from textae.config.mapping import flat, plain
    from textae.config.schema import CORPORA

    key = key.lstrip("+~")
    if (config_dir() / key).is_dir():
        return f"expected +{key}=NAME, where NAME is one of {options_of(key)}, found it without +"
    every = plain(composed(config_name))
    owners = [kind for kind, schema in CORPORA.items() if key.removeprefix("corpus.") in schema.__dataclass_fields__]
    if key.startswith("corpus.") and owners:
        return f"expected corpus={' or '.join(owners)} in front of {key}, found neither"
    return unknown_key(key, [*flat(every), *every])


def _unparsable(argument: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if argument.startswith("-"):
        return False
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return True
    return False


def options_of(group: str) -> str:
    """Return the names of a config group's options, for messages and help; "none" if there are none."""
    return ", ".join(path.stem for path in option_files(group)) or "none"
