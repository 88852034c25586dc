"""The run folder: the one place that knows its file names, and writes each file whole or not at all.

| file | what |
| --- | --- |
| config.yaml | the resolved configuration |
| environment.json | versions, backend, commit, command, format of the folder |
| tokenizer/ | the tokenizer |
| weights.safetensors | the weights that were kept: the best on the validation split |
| last.safetensors | the weights of the last step |
| checkpoint.safetensors | what training continues from; gone once the run is finished |
| metrics.json | the figures of the test split; there only when the run finished |
| metrics.csv | the validation split's figures over the run |
| quality_by_length.csv | the test split's figures by length of document |
| train/ validation/ test/ | TensorBoard's events |
"""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT = 1
CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
TOKENIZER = "tokenizer"
WEIGHTS = "weights.safetensors"
LAST = "last.safetensors"
CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.json"
HISTORY = "metrics.csv"
BY_LENGTH = "quality_by_length.csv"
LOCK = ".lock"


class RunDir:
    """A run's folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @property
    def finished(self) -> bool:
        """Whether training and the final evaluation came to their end."""
        return (self / METRICS).is_file()

    def create(self, config: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Make the folder with its configuration and environment."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self / ENVIRONMENT, {"format": FORMAT} | dict(environment))
        # The configuration comes last: with it the folder is a run's.
        write_text(self / CONFIG, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))

    def config(self) -> dict[str, Any]:
        """Return the plain values of the run's configuration.

        Raises:
            ValueError: the folder is not a run's, or is of another format.
        """
        if not self.folder.is_dir():
            raise ValueError(f"run: expected a run folder, found no folder {self.folder}")
        for name in (CONFIG, ENVIRONMENT):
            if not (self / name).is_file():
                raise ValueError(f"run: expected a run folder with {name}, found none in {self.folder}")
        found = read_json(self / ENVIRONMENT).get("format")
        if found != FORMAT:
            raise ValueError(f"run: expected a run folder of format {FORMAT}, found {found!r} in {self.folder}")
        try:
            loaded = yaml.safe_load((self / CONFIG).read_text(encoding="utf-8"))
        except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
            raise ValueError(f"run: {self / CONFIG} is damaged: {_one_line(error)}") from error
        if not isinstance(loaded, dict):
            raise ValueError(f"run: expected {self / CONFIG} to hold settings, found {type(loaded).__name__}")
        return loaded

    def write_history(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Write metrics.csv, one row a validation."""
        write_csv(self / HISTORY, list(rows))

    def remove(self, name: str) -> None:
        """Delete one of the folder's files, if it is there."""
        (self / name).unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write named arrays and a JSON object that goes with them, with a checksum over both."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    described = json.dumps(dict(metadata), sort_keys=True)
    check = str(_checksum(contiguous, described))
    write_bytes(path, save(contiguous, {"metadata": described, "crc32": check}))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what `write_arrays` wrote.

    Raises:
        ValueError: the file is missing, cut short, or its bytes have changed.
    """
    if not path.is_file():
        raise ValueError(f"expected weights in {path}, found no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        if int(header["crc32"]) != _checksum(arrays, header["metadata"]):
            raise ValueError("its checksum does not fit its content")
        return arrays, json.loads(header["metadata"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged or not of textae: {_one_line(error)}") from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object; a number that is not finite is written as null."""
    clean = {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}
    write_text(path, json.dumps(clean, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or raise a ValueError that names it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {_one_line(error)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected {path} to hold an object, found {type(values).__name__}")
    return values


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with every column that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole: a temporary file, flushed to the disk, then renamed."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _checksum(arrays: Mapping[str, np.ndarray], described: str) -> int:
    value = zlib.crc32(described.encode())
    for name in sorted(arrays):
        value = zlib.crc32(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode(), value)
        value = zlib.crc32(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8), value)
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
