"""The run folder: the one place that knows its file names, and writes each file whole or not at all.

| file | what |
| --- | --- |
| config.yaml | the resolved configuration |
| environment.json | versions, backend, commit, command, format of the folder |
| tokenizer/ | the tokenizer |
| weights.safetensors | the weights that were kept: the best on the validation split |
| last.safetensors | the weights of the last step |
| checkpoint.safetensors | what training continues from; a finished run, where its limits are raised |
| checkpoint.previous.safetensors | the one before, which is used where the newer one is damaged |
| metrics.json | the metrics of the test split; there only when the run finished |
| metrics.csv | the validation split's metrics over the run |
| quality_by_length.csv | the test split's metrics by length of document |
| README.md | the model card: what it was trained on, its metrics, how to load it |
| train/ validation/ test/ | TensorBoard's events |
| loggers.json | with other loggers: the id of the run there |
| wandb/ | with W&B: what is uploaded, or is to be |
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from textae.files import leftovers, temporary_for, write_csv, write_text
from textae.runs.arrays import Shapes, read_arrays, write_arrays
from textae.runs.json_files import LARGEST_TEXT_BYTES, read_json, read_text, write_json
from textae.runs.old_formats import settings_of_format_2, weights_of_format_2, without_removed_keys
from textae.untrusted_files import entries, kind_of, one_line, parse_yaml, read_bytes

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
LOGGERS = "loggers.json"
LOCK = ".lock"
EVENTS = ("train", "validation", "test")
_FILES = (CONFIG, ENVIRONMENT, WEIGHTS, LAST, CHECKPOINT, PREVIOUS, METRICS, HISTORY, BY_LENGTH, CARD, LOGGERS, LOCK)
_FOLDERS = (TOKENIZER, *EVENTS)

LARGEST_HISTORY_BYTES = 1 << 24  # of metrics.csv, a row a validation
LONGEST_HISTORY_ROW = 100_000  # characters
MOST_METRICS = 1000


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
            raise ValueError(f"run: expected a run folder of format 2 or {FORMAT}, found {found!r:.100} in {where}")
        try:
            loaded = parse_yaml(read_text(self / CONFIG))
        except (OSError, ValueError) as error:
            raise ValueError(f"run: {self / CONFIG} is damaged: {one_line(error)}") from error
        if not isinstance(loaded, dict):
            raise ValueError(f"run: expected {self / CONFIG} to hold settings, found {type(loaded).__name__}")
        return without_removed_keys(settings_of_format_2(loaded) if found == 2 else loaded)

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

    def card(self) -> str:
        """Return the model card; nothing where there is none.

        Raises:
            ValueError: it is no text, or too long for one.
        """
        if kind_of(self / CARD) is None:
            return ""
        try:
            return read_text(self / CARD)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self / CARD} is damaged: {one_line(error)}") from error

    def model_digest(self) -> str:
        """Return a hex digest of what the answers of a run depend on: its configuration, tokenizer and kept weights."""
        paths = [self / CONFIG, self / WEIGHTS, *(path for path in entries(self / TOKENIZER) if path.is_file())]
        digests = []
        for path in sorted(paths):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            digests.append((path.name, digest))
        return hashlib.blake2b(repr(digests).encode(), digest_size=16).hexdigest()

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
            raise ValueError(f"{path} is damaged: {one_line(error)}") from error

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
        there = any((self / name).is_file() for name in (CHECKPOINT, PREVIOUS))
        if there and (self / ENVIRONMENT).is_file():
            environment = read_json(self / ENVIRONMENT)
            if (found := environment.get("format")) != FORMAT:
                raise ValueError(
                    f"expected an unfinished run of format {FORMAT}, found one of format {found!r:.100} in "
                    f"{self.folder}{_remedy(environment)}"
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
            self.remove(PREVIOUS)

    def reopen(self) -> None:
        """Make a finished run an unfinished one, which goes on from its checkpoint.

        Raises:
            ValueError: it has no checkpoint.
        """
        if not self.finished:
            return
        if not (self / CHECKPOINT).is_file():
            raise ValueError(
                f"expected {CHECKPOINT} of the finished run in {self.folder}, without which it cannot be made longer, "
                "found none: training.keep_checkpoint=true keeps it; training.initial_run begins a new run with its "
                "weights"
            )
        self.remove(METRICS)

    def remove(self, *names: str) -> None:
        """Delete files of the folder, where they are there."""
        for name in names:
            (self / name).unlink(missing_ok=True)


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
    if not isinstance(wrote, str):
        return ": train it anew, or read it with the version of textae that wrote it"
    return f": it was written by textae {wrote[:20]}, use that version for it, or train it anew"
