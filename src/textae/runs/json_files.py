"""JSON files of a run folder: written without NaN, read as untrusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textae.files import write_text
from textae.untrusted_files import one_line, parse_json, read_bytes

LARGEST_TEXT_BYTES = 1 << 20  # of a file of settings or metrics


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object, as `to_json` gives it."""
    write_text(path, to_json(values) + "\n", own=True)


def to_json(values: Mapping[str, Any]) -> str:
    """Return an object as JSON, which has no NaN and no infinity: a number that is not finite becomes null."""
    return json.dumps(_finite(values), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or raise a ValueError that names it."""
    try:
        values = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected {path} to hold an object, found {type(values).__name__}")
    return values


def read_text(path: Path) -> str:
    """Return the text of a file of settings or metrics, which is not larger than those are."""
    return read_bytes(path, LARGEST_TEXT_BYTES).decode("utf-8")
