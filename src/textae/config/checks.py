"""Checks of settings: types, bounds, and the error that says what was expected and what was received."""

from __future__ import annotations

import codecs
import glob
import math
import os
from collections.abc import Mapping
from enum import Enum
from functools import cache
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import MISSING

from textae.config.choices import SPLITS, VOCABULARY_BOUNDS
from textae.config.metric_table import DIRECTIONS

# Sizes beyond these would be computed for minutes, or fill the memory, before anything could be said about them.
MOST = 2**31 - 1


MOST_CHANNELS = 1 << 20


MOST_LEVELS = 32


MOST_RESIDUAL_BLOCKS = 64  # residual blocks of both halves: each takes a quarter of a second to build and to trace


MOST_KERNEL_FACTOR = 16  # strides that a kernel covers: upsampling has operations for each


MOST_TAPS = 1 << 11  # of a strided convolution


MOST_WINDOWS = 1 << 9  # taps of all convolutions without a stride, each an operation


MOST_POSITIONS = 1 << 24
MOST_PROCESSES = 1 << 16


MOST_BITS = 16  # of a number that latents are quantised to


MOST_SHARDS = 99_999  # as many digits as the names of parts have


SMALLEST_SAMPLE = 0.001  # millions of characters that a tokenizer is trained on
MOST_FILES = 2_000  # that are named one by one; OmegaConf takes a fifth of a millisecond for each


MOST_NUMBERS = 1 << 25  # of one array for one segment, 128 MB; several of them are held at a time


def require(condition: bool, expected: str, received: object) -> None:
    """Raise a ValueError that says what was expected and what was received, unless the condition holds."""
    if not condition:
        shown = repr(received)
        raise ValueError(f"expected {expected}, received {shown if len(shown) < 200 else shown[:200] + '...'}")


def require_share(name: str, value: float, below_one: bool = True) -> None:
    """Require a share: from 0 to 1, and below 1 with `below_one`."""
    upper = value < 1 if below_one else value <= 1
    require(value >= 0 and upper, f"{name} in [0, 1{')' if below_one else ']'}", value)


def require_at_least(name: str, value: float | None, least: float, most: float = MOST) -> None:
    """Require a number from `least` to `most`; None is accepted."""
    if value is not None:
        require(value >= least and value != math.inf, f"{name} of at least {least}", value)
        require(value <= most, f"{name} of at most {most}", value)


def require_above(name: str, value: float | None, most: float = MOST) -> None:
    """Require a number above 0 and at most `most`; None is accepted."""
    if value is not None:
        require(value > 0 and value != math.inf, f"{name} above 0", value)
        require(value <= most, f"{name} of at most {most}", value)


def absolute_path(path: str) -> str:
    """Return a path or glob that names from every folder what this one names from the current folder.

    "~" is the home folder, and leading ".." are followed, so that the folders that they leave may go.
    """
    home = Path(os.path.expanduser(path))  # noqa: PTH111, Path's own fails where there is no such home
    if home.is_absolute():
        return str(home)
    folder, parts = Path.cwd(), home.parts
    up = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    if not glob.has_magic("".join(parts[:up])):
        folder, parts = folder.joinpath(*parts[:up]).resolve() if up else folder, parts[up:]
    if glob.has_magic("".join(parts)) and not folder.joinpath(*parts).exists():
        folder = Path(glob.escape(str(folder)))
    return str(folder.joinpath(*parts))


def is_encoding(name: str) -> bool:
    """Return whether it is auto, or what Python decodes text with bit by bit."""
    if name == "auto":
        return True
    try:
        codec = codecs.lookup(name)
        return codec._is_text_encoding and codec.incrementaldecoder is not None
    except (LookupError, ValueError):  # of names with NUL
        return False


def require_vocabulary_size(kind: str, size: int) -> None:
    """Require a number of ids that a kind of tokenizer can have."""
    least, most = VOCABULARY_BOUNDS[kind]
    bounds = f"from {least} to {most}" if most > least else f"as {least}"
    require(least <= size <= most, f"tokenizer.vocabulary_size {bounds} with tokenizer.kind={kind}", size)


def shard_numbers(shard: str) -> tuple[range, int]:
    """Return which shards a setting names, and of how many: 2/4 is one of them, all/4 all.

    Raises:
        ValueError: it is neither.
    """
    first, _, last = shard.partition("/")
    number, count = (int(text) if text.isascii() and text.isdigit() else 0 for text in (first, last))
    in_range = 1 <= count <= MOST_SHARDS and (first == "all" or 1 <= number <= count)
    require(in_range, f"shard as I/N or all/N, N from 1 to {MOST_SHARDS} and I from 1 to N", shard)
    return (range(1, count + 1) if first == "all" else range(number, number + 1)), count


def require_split(name: str) -> None:
    """Require the name of a split."""
    require(name in SPLITS, "split as train, validation or test", name)


def require_folder(name: str, value: str) -> None:
    """Require what can be the name of a folder."""
    require(bool(value.strip()) and "\0" not in value, f"{name} as the name of a folder", value)


def require_objective(name: str, value: str) -> None:
    """Require the name of a metric by which runs are compared."""
    require(value in DIRECTIONS, f"{name} as one of {', '.join(DIRECTIONS)}", value)


class Settings:
    """What every schema is: its settings are converted to the types that they are annotated with, or refused.

    That holds when one is made and when a setting is changed, and so in Python as on the command line: an enumeration's
    member may be given by its name, a path as a `Path`, a list as any sequence but a string.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        kind = _annotations(type(self)).get(name, Any)  # of a name that is none, slots say so
        object.__setattr__(self, name, _converted(f"{type(self).__name__}.{name}", value, kind))


@cache
def _annotations(schema: type) -> dict[str, Any]:
    return get_type_hints(schema)


def _converted(name: str, value: Any, kind: Any) -> Any:
    """Return a setting's value as its annotated type; a ValueError says what was expected."""
    arguments = get_args(kind)
    if kind is Any or (value is None and type(None) in arguments) or (isinstance(value, str) and value == MISSING):
        return value
    if type(None) in arguments:
        (kind,) = (argument for argument in arguments if argument is not type(None))
    return _converted_to(name, value, kind)


def _converted_to(name: str, value: Any, kind: Any) -> Any:
    """Return a value, which is not None, as a type that does not take None."""
    if get_origin(kind) is list:
        is_sequence = hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping)
        require(is_sequence, f"{name} as a list", value)
        return [_converted(f"{name}[{i}]", each, get_args(kind)[0]) for i, each in enumerate(value)]
    if get_origin(kind) is dict:
        require(isinstance(value, Mapping), f"{name} as a dict", value)
        return {key: _converted(f"{name}[{key!r}]", each, get_args(kind)[1]) for key, each in value.items()}
    if issubclass(kind, Enum) and not isinstance(value, kind):
        members = kind.__members__
        require(isinstance(value, str) and value in members, f"{name} as one of {', '.join(members)}", value)
        return members[value]
    if kind in (int, float):
        return _number(name, value, kind)
    if kind is str and isinstance(value, PathLike):
        return fspath(value)
    require(isinstance(value, kind), f"{name} as {kind.__name__}", value)
    return value


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    right = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    require(right, f"{name} as {'a whole number' if kind is int else 'a number'}", value)
    converted: int | float = kind(value)  # pyright: ignore[reportArgumentType] NumPy's numbers have no common protocol
    return converted
