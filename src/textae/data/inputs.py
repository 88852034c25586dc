"""What the Python interface takes: lists of texts and of latents. What only looks like one is told by name and place.

A string is a sequence of strings, a mapping one of its keys and a table one of its columns' names: each would be
answered, text by text, as if it had been meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np


def check_list(values: Any, name: str, of: str) -> None:
    """Raise a TypeError unless `values` may be a list of things: a sequence or another iterable of one dimension."""
    if isinstance(values, str):
        found = f"one string of {len(values)} characters"
    elif (
        isinstance(values, bytes | bytearray | memoryview | Mapping)
        or not hasattr(values, "__iter__")
        or getattr(values, "ndim", 1) == 0  # an array of one value
        or hasattr(values, "columns")  # a table
    ):
        found = _kind(values)
    else:
        return
    raise TypeError(f"expected {name} as a list of {of}, received {found}")


def one_text(text: Any, name: str) -> str:
    """Return a text.

    Raises:
        TypeError: it is no string.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected {name} as a string, received {_kind(text)}")
    return text


def texts_of(texts: Iterable[str], name: str = "texts") -> list[str]:
    """Return texts as a list.

    Raises:
        TypeError: they are no list of strings, or one of them is none.
    """
    return list(each_text(texts, name))


def each_text(texts: Iterable[str], name: str = "texts") -> Iterator[str]:
    """Return an iterator over texts, each of which is looked at when it comes.

    Raises:
        TypeError: they are no list of strings, at once; one of them is none, at its place.
    """
    check_list(texts, name, "strings")
    return (one_text(text, f"{name}[{index}]") for index, text in enumerate(texts))


def latents_of(latents: Iterable[Any], dimensions: int) -> list[np.ndarray]:
    """Return latents as float32 arrays, of so many dimensions each.

    Raises:
        TypeError: they are no list of arrays of numbers.
        ValueError: they are the latents of one text.
    """
    check_list(latents, "latents", "arrays")
    if getattr(latents, "ndim", None) == dimensions:
        shape = tuple(getattr(latents, "shape", ()))
        raise ValueError(f"expected latents as a list of arrays, received those of one text, of shape {shape}")
    return [_numbers(array, f"latents[{index}]") for index, array in enumerate(latents)]


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:  # lists of unequal lengths
        raise ValueError(f"expected {name} as an array of numbers, received {_kind(values)}: {error}") from None
    if array.dtype.kind in "OSUTMmcb":
        found = _kind(values) if array.ndim == 0 else f"an array of {array.dtype}"
        raise TypeError(f"expected {name} as an array of numbers, received {found}")
    return array.astype(np.float32, copy=False)


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
