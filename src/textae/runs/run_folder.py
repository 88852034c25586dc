"""The run folder: the one place that knows its file names, and writes each file whole or not at all.

| file | what |
| --- | --- |
| config.yaml | the resolved configuration |
| environment.json | versions, backend, commit, command, format of the folder |
| tokenizer/ | the tokenizer |
| weights.safetensors | the weights that were kept: the best on the validation split |
| last.safetensors | the weights of the last step |
| checkpoint.safetensors | what training continues from; gone once the run is finished |
| checkpoint.previous.safetensors | the one before, which is used where the newer one is damaged |
| metrics.json | the figures of the test split; there only when the run finished |
| metrics.csv | the validation split's figures over the run |
| quality_by_length.csv | the test split's figures by length of document |
| README.md | the model card: what it was trained on, its figures, how to load it |
| train/ validation/ test/ | TensorBoard's events |
"""

from __future__ import annotations

import csv
import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from textae.files import leftovers, temporary_for, write_bytes, write_csv, write_text
from textae.runs.old_formats import settings_of_format_2, weights_of_format_2
from textae.untrusted_files import entries, kind_of, open_file, parse_json, parse_yaml, read_bytes

FORMAT = 3  # 2: other names of settings; 1: embeddings went into the encoder without their scale
CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
TOKENIZER = "tokenizer"
WEIGHTS = "weights.safetensors"
LAST = "last.safetensors"
CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
METRICS = "metrics.json"
HISTORY = "metrics.csv"
BY_LENGTH = "quality_by_length.csv"
CARD = "README.md"
LOCK = ".lock"
EVENTS = ("train", "validation", "test")
_FILES = (CONFIG, ENVIRONMENT, WEIGHTS, LAST, CHECKPOINT, PREVIOUS, METRICS, HISTORY, BY_LENGTH, CARD, LOCK)
_FOLDERS = (TOKENIZER, *EVENTS)

_HEADER = "textae"  # key of the metadata of a file of arrays
Shapes = dict[str, tuple[int, ...]]
LARGEST_TEXT_BYTES = 1 << 20  # of a file of settings or metrics
LARGEST_HISTORY_BYTES = 1 << 24  # of metrics.csv, a row a validation
LONGEST_HISTORY_ROW = 100_000  # characters
LARGEST_HEADER_BYTES = 1 << 25  # of a file of arrays: names, shapes, and with a checkpoint the state of training
MOST_CONTAINERS = 200_000  # objects and lists of such a header
MOST_METRICS = 1000
_DTYPE_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "I16": 2, "U16": 2, "I8": 1}
_DTYPE_BYTES |= {"U8": 1, "BOOL": 1}


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


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

    def is_own(self) -> bool:
        """Return whether the folder is a run's: its configuration is there, beside an environment that textae wrote.

        Raises:
            ValueError: both are there, and the environment is damaged.
        """
        return (self / CONFIG).is_file() and self._has_own_environment()

    def _has_own_environment(self) -> bool:
        if not (self / ENVIRONMENT).is_file():
            return False
        versions = read_json(self / ENVIRONMENT).get("versions")
        return isinstance(versions, dict) and "textae" in versions

    def check_place(self, besides: Path | None = None) -> None:
        """Raise a ValueError if the folder holds anything and is no run's: what is there is the user's.

        `besides` is a folder that may lie in it.
        """
        if not self.folder.is_dir() or self.is_own():
            return
        begun = [LOCK, *([ENVIRONMENT] if self._has_own_environment() else [])]  # a run that was killed as it began
        for path in sorted(self.folder.iterdir()):
            own = path.name in begun or temporary_for(path.name) in (ENVIRONMENT, CONFIG)
            if path.name == LOCK and path.lstat().st_size:
                own = False
            inside = besides is not None and besides.absolute().is_relative_to(path.absolute())
            if not own and not inside:
                raise ValueError(f"expected an empty folder or that of a run, found {path.name!r} in {self.folder}")

    def create(self, config: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Make the folder with its configuration and environment."""
        text = yaml.dump(dict(config), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)
        if len(text.encode()) > LARGEST_TEXT_BYTES:
            raise ValueError(f"expected settings of at most {LARGEST_TEXT_BYTES:,} bytes, received {len(text):,}")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self / ENVIRONMENT, {"format": FORMAT} | dict(environment))
        write_text(self / CONFIG, text, own=True)  # the last one: with it the folder is a run's

    def config(self) -> dict[str, Any]:
        """Return the plain values of the run's configuration.

        Raises:
            ValueError: the folder is not a run's, is of another format, or holds what is no file of its own.
        """
        if not self.folder.is_dir():
            raise ValueError(f"run: expected a run folder, found no folder {self.folder}")
        self.check_files()
        for name in (CONFIG, ENVIRONMENT):
            if not (self / name).is_file():
                raise ValueError(f"run: expected a run folder with {name}, found none in {self.folder}")
        environment = read_json(self / ENVIRONMENT)
        if (found := environment.get("format")) not in (2, FORMAT):
            where = f"{self.folder}{_remedy(environment)}"
            raise ValueError(f"run: expected a run folder of format {FORMAT}, found {found!r:.100} in {where}")
        try:
            loaded = parse_yaml(_read_text(self / CONFIG))
        except (OSError, ValueError) as error:
            raise ValueError(f"run: {self / CONFIG} is damaged: {_one_line(error)}") from error
        if not isinstance(loaded, dict):
            raise ValueError(f"run: expected {self / CONFIG} to hold settings, found {type(loaded).__name__}")
        return settings_of_format_2(loaded) if found == 2 else loaded

    def weights(self, name: str, check: Callable[[Shapes], None]) -> dict[str, np.ndarray]:
        """Return a model's weights from a file of the folder, by today's names; `check` as in `read_arrays`.

        Raises:
            ValueError: the file is missing or damaged, or `check` raises one.
        """
        old = read_json(self / ENVIRONMENT).get("format") == 2
        if not old:
            return read_arrays(self / name, check)[0]
        arrays, _ = read_arrays(self / name, lambda shapes: check(weights_of_format_2(shapes)))
        return weights_of_format_2(arrays)

    def check_files(self) -> None:
        """Raise a ValueError if one of a run's files is a link, a device or the like, or a folder is not its own.

        A link would have others' files read, or written, under a name of the run.
        """
        for name in _FILES:
            _expect_own(self / name, "file")
        for name in _FOLDERS:
            if _expect_own(self / name, "folder"):
                for path in entries(self / name):
                    _expect_own(path, "file", "folder")

    def metrics(self) -> dict[str, float | int | None]:
        """Return what metrics.json holds, numbers by name; nothing where the run is not finished.

        Raises:
            ValueError: it is damaged, or holds something else.
        """
        if kind_of(self / METRICS) is None:
            return {}
        values = read_json(self / METRICS)
        if len(values) > MOST_METRICS:
            raise ValueError(f"{self / METRICS}: expected at most {MOST_METRICS:,} metrics, found {len(values):,}")
        for name, value in values.items():
            if value is not None and not _is_number(value):
                raise ValueError(f"{self / METRICS}: expected {name:.100} to be a finite number, found {value!r:.100}")
        return values

    def last_step(self) -> int | None:
        """Return the step of the last validation, from metrics.csv; None before the first.

        Raises:
            ValueError: the file is damaged.
        """
        path = self / HISTORY
        if kind_of(path) is None:
            return None
        try:
            lines = read_bytes(path, LARGEST_HISTORY_BYTES).decode("utf-8").splitlines()
            rows = [*lines[:1], lines[-1]] if lines else ["", ""]
            if (longest := max(map(len, rows))) > LONGEST_HISTORY_ROW:  # csv's own limit is the whole process's
                raise ValueError(f"expected rows of at most {LONGEST_HISTORY_ROW:,} characters, found {longest:,}")
            names, last = csv.reader(rows) if lines else ([], [])
            if "step" not in names:
                raise ValueError(f"expected a column step, found {', '.join(names)!r:.100}")
            if len(lines) == 1:
                return None
            step = dict(zip(names, last, strict=True))["step"]
            if not (step.isascii() and step.isdigit() and len(step) < 20):
                raise ValueError(f"expected the number of a step in its last row, found {step!r:.100}")
            return int(step)
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(f"{path} is damaged: {_one_line(error)}") from error

    def write_history(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Write metrics.csv, one row a validation."""
        write_csv(self / HISTORY, list(rows), own=True)

    def write_checkpoint(self, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Write a checkpoint; the one before stays until this one is on the disk, and after it as the previous one."""
        write_arrays(self / CHECKPOINT, arrays, state, keep=self / PREVIOUS)

    def read_checkpoint(
        self, check: Callable[[Shapes], None] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any], str | None] | None:
        """Return what `write_checkpoint` wrote last, and what is to be told about it; None if it never did.

        Where the last one is damaged it is the one before. `check` as in `read_arrays`.

        Raises:
            ValueError: all there are are damaged, or the run is of an older format.
        """
        if any((self / name).is_file() for name in (CHECKPOINT, PREVIOUS)):
            environment = read_json(self / ENVIRONMENT)
            if (found := environment.get("format")) != FORMAT:
                raise ValueError(
                    f"expected an unfinished run of format {FORMAT}, found one of format {found!r:.100} in "
                    f"{self.folder}{_remedy(environment)}, or begin anew in another folder"
                )
        damaged: ValueError | None = None
        for name in (CHECKPOINT, PREVIOUS):
            if not (self / name).is_file():
                continue
            try:
                arrays, state = read_arrays(self / name, check)
            except ValueError as error:
                damaged = damaged or error
                continue
            return arrays, state, f"{damaged}; going on from {name}" if damaged else None
        if damaged is not None:
            raise ValueError(f"{damaged}; without {CHECKPOINT} and {PREVIOUS} the run begins anew") from damaged
        return None

    def tidy(self) -> None:
        """Delete what a process that was killed while it wrote has left; only for whoever holds the run's lock."""
        own = (path for path in self.folder.glob(".*.tmp") if temporary_for(path.name) in _FILES)
        for path in [*own, *(left for name in _FOLDERS for left in leftovers(self / name))]:
            path.unlink(missing_ok=True)
        if self.finished:
            self.remove(CHECKPOINT, PREVIOUS)

    def remove(self, *names: str) -> None:
        """Delete files of the folder, where they are there."""
        for name in names:
            (self / name).unlink(missing_ok=True)


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any], keep: Path | None = None
) -> None:
    """Write named arrays and a JSON object that goes with them, with a checksum over both.

    `keep` is where the file that was there before goes.
    """
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    described = json.dumps(dict(metadata), sort_keys=True)
    check = str(_checksum(contiguous, described))
    # One key alone: safetensors writes several in an order that varies, and equal runs would have unequal files.
    header = json.dumps({"crc32": check, "metadata": described}, sort_keys=True)
    write_bytes(path, save(contiguous, {_HEADER: header}), own=True, keep=keep)


def read_arrays(
    path: Path, check: Callable[[Shapes], None] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what `write_arrays` wrote.

    `check` is given the names and shapes that the file claims to hold, before any memory is taken for them; it raises a
    ValueError for what cannot be.

    Raises:
        ValueError: the file is missing, cut short, of another size than it claims, too large for the memory, or its
            bytes have changed.
    """
    if kind_of(path) is None:
        raise ValueError(f"expected weights in {path}, found no such file")
    try:
        shapes = _claimed(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged or not of textae: {_one_line(error)}") from error
    if check is not None:
        check(shapes)
    try:
        arrays, header = _opened(path)
        if _HEADER in header:  # files of older versions have what it holds as keys of their own
            header = parse_json(header[_HEADER])
        if int(header["crc32"]) != _checksum(arrays, header["metadata"]):
            raise ValueError("its checksum does not fit its content")
        state = parse_json(header["metadata"], finite=False)
        if not isinstance(state, dict):
            raise ValueError(f"expected an object with its arrays, found {type(state).__name__}")
        return arrays, state
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:  # types NumPy lacks
        raise ValueError(f"{path} is damaged or not of textae: {_one_line(error)}") from error


def _opened(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return arrays and metadata of a file whose size was compared with what it claims."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the library's Rust, no Exception: no memory for an array
            raise
        raise ValueError("expected arrays that the free memory can hold, found larger ones") from None


def _claimed(path: Path) -> Shapes:
    """Return the shapes that the header of a file of arrays names, once the file is as large as they need.

    The library reads the whole header first, and takes the memory that it asks for; so sizes are compared here.
    """
    with open_file(path, 1 << 62) as file:
        size = os.fstat(file.fileno()).st_size
        length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
        most = min(LARGEST_HEADER_BYTES, size - 8)
        if not 2 <= length <= most:
            raise ValueError(f"expected a header of 2 to {max(most, 2):,} bytes, found one of {length:,}")
        content = file.read(length)
    if (found := content.count(b"{") + content.count(b"[")) > MOST_CONTAINERS:
        raise ValueError(f"expected a header of at most {MOST_CONTAINERS:,} objects and lists, found {found:,}")
    header = parse_json(content.decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError(f"expected a header that names arrays, found {type(header).__name__}")
    shapes: Shapes = {}
    claimed = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
        if kind not in _DTYPE_BYTES or not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError(f"expected {name:.100} to have a type and a shape, found {entry!r:.100}")
        shapes[name] = tuple(shape)
        claimed += _DTYPE_BYTES[kind] * math.prod(shape)
    if claimed != size - 8 - length:
        raise ValueError(f"expected {claimed:,} bytes of arrays as its header says, found {size - 8 - length:,}")
    if 3 * claimed > (available := psutil.virtual_memory().available):
        raise ValueError(
            f"expected arrays that {available / 1e9:.1f} GB of free memory can hold, found {claimed / 1e9:,.1f} GB"
        )
    return shapes


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
        values = parse_json(_read_text(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {_one_line(error)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected {path} to hold an object, found {type(values).__name__}")
    return values


def _read_text(path: Path) -> str:
    return read_bytes(path, LARGEST_TEXT_BYTES).decode("utf-8")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def _expect_own(path: Path, *kinds: str) -> bool:
    """Return whether there is something at a path; raise a ValueError if it is of none of the kinds."""
    found = kind_of(path)
    if found is not None and found not in kinds:
        raise ValueError(f"run: expected a {' or '.join(kinds)} of the run's own at {path}, found a {found}")
    return found is not None


def _remedy(environment: Mapping[str, Any]) -> str:
    """Return what to do about a run of another format."""
    versions = environment.get("versions")
    wrote = versions.get("textae") if isinstance(versions, dict) else None
    return f": it was written by textae {wrote[:20]}, use that version for it" if isinstance(wrote, str) else ""


def _checksum(arrays: Mapping[str, np.ndarray], described: str) -> int:
    value = zlib.crc32(described.encode())
    for name in sorted(arrays):
        value = zlib.crc32(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode(), value)
        value = zlib.crc32(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8), value)
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
