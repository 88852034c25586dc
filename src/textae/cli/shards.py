"""`encode` and `score` of files larger than a machine: a shard of the input at a time, each a part of a data set.

A shard is a range of whole portions of the input, so that each line is answered exactly as in one process that reads
all of it. Where portions begin is found once and kept in the data set's folder, in `_index.json`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from textae.cli.commands import PORTION_CHARACTERS
from textae.config.checks import shard_numbers
from textae.data.corpora.readers import find
from textae.data.fingerprints import fingerprint
from textae.data.line_index import IndexedFile, Place, index_file, read_portions
from textae.files import write_text
from textae.inference.parts import FORMAT, PartWriter, check_folder, part_path, remove_begun
from textae.progress import Progress
from textae.runs.run_folder import RunDir
from textae.untrusted_files import parse_json, read_bytes

logger = logging.getLogger(__name__)

_INDEX, _INDEX_FORMAT = "_index.json", 1
_LARGEST_INDEX = 1 << 32  # bytes
Answer = Callable[[list[str]], Sequence[Any]]


@dataclass(frozen=True)
class DataSet:
    """The data set that a command writes parts of.

    Attributes:
        folder: where they are.
        files: of the input, in order.
        numbers: of the parts that are to be written, from 1 on.
        count: how many parts there are in all.
        stamp: what all parts share.
    """

    folder: Path
    files: list[IndexedFile]
    numbers: list[int]
    count: int
    stamp: dict[str, Any]

    def range_of(self, number: int) -> tuple[int, int]:
        """Return the first portion, of those of all files, of a part, and the one behind its last."""
        portions = sum(len(file.portions) for file in self.files)
        return portions * (number - 1) // self.count, portions * number // self.count

    def portions(self, number: int) -> Iterator[tuple[str, int, list[str]]]:
        """Yield the file, the first line's number and the lines of each portion of a part."""
        first, last = self.range_of(number)
        ends = accumulate(len(file.portions) for file in self.files)
        for file, end in zip(self.files, ends, strict=True):
            before = end - len(file.portions)
            for line, texts in read_portions(file, max(first - before, 0), min(last, end) - before):
                yield file.name, line, texts


def data_set(options: Any, command: str, settings: Mapping[str, Any]) -> DataSet:
    """Return the data set of a command with the parts that `shard` names and that are missing.

    Args:
        options: of the command, with `run`, `input`, `output` and `shard`.
        command: its name.
        settings: those that its answers depend on.

    Raises:
        ValueError: the output is no folder for this data set, or the input cannot be read.
        FileNotFoundError: the input is not there.
    """
    numbers, count = shard_numbers(options.shard)
    paths = find(options.input, "input")
    folder = Path(options.output)
    if not folder.parent.is_dir() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"output: expected a folder or the name of a new one with shard, found {folder}")
    folder.mkdir(exist_ok=True)
    files = _indexed(folder, paths)
    stamp = {
        "format": FORMAT,
        "command": command,
        "run": RunDir(options.run).model_digest(),
        "inputs": fingerprint(PORTION_CHARACTERS, [(file.name, file.digest) for file in files]),
        "settings": dict(settings),
        "shards": count,
    }
    check_folder(folder, stamp)
    missing = [number for number in numbers if not part_path(folder, number, count).exists()]
    if there := len(numbers) - len(missing):
        logger.info(f"{there:,} of {len(numbers):,} parts are complete in {folder} and stay as they are")
    return DataSet(folder, files, missing, count, stamp)


def write_parts(found: DataSet, columns: Mapping[str, Any], answer: Answer) -> None:
    """Write the parts that are missing.

    Args:
        found: the data set.
        columns: names and Arrow types of what is found of lines.
        answer: returns those columns, as Arrow arrays, of lines.

    Raises:
        ValueError: another process writes one of them.
    """
    for number in found.numbers:
        path = part_path(found.folder, number, found.count)
        with _locked(path):
            if path.exists():  # by a process that has done so meanwhile
                continue
            remove_begun(path)
            first, last = found.range_of(number)
            rows = 0
            title = f"writing part {number:,} of {found.count:,}"
            stamp = found.stamp | {"shard": number}
            with Progress(title, last - first, " portions") as progress, PartWriter(path, columns, stamp) as out:
                for name, line, texts in found.portions(number):
                    out.write(name, line, answer(texts))
                    rows += len(texts)
                    progress.advance(1)
            logger.info(f"wrote part {number:,} of {found.count:,}, {rows:,} lines: {path}")


def _indexed(folder: Path, paths: list[Path]) -> list[IndexedFile]:
    """Return the index of the files, read from the folder where it is that of these files as they are."""
    path = folder / _INDEX
    if (found := _read_index(path, paths)) is not None:
        return found
    with FileLock(folder / f".{_INDEX}.lock"):  # others wait, and read what the first has found
        if (found := _read_index(path, paths)) is not None:
            return found
        with Progress("counting the lines of the input", sum(each.stat().st_size for each in paths)) as progress:
            found = [index_file(each, PORTION_CHARACTERS, logger.warning, progress.advance) for each in paths]
        write_text(path, _index_text(found), own=True)
    return found


def _index_text(files: list[IndexedFile]) -> str:
    import json

    values = {"format": _INDEX_FORMAT, "characters": PORTION_CHARACTERS, "files": [asdict(file) for file in files]}
    return json.dumps(values, separators=(",", ":")) + "\n"


def _read_index(path: Path, paths: list[Path]) -> list[IndexedFile] | None:
    """Return what an index holds; None where there is none, or one of other files or portions."""
    try:
        values = parse_json(read_bytes(path, _LARGEST_INDEX))
        if (values["format"], values["characters"]) != (_INDEX_FORMAT, PORTION_CHARACTERS):
            return None
        files = [
            IndexedFile(**file | {"portions": [Place(*map(int, place)) for place in file["portions"]]})
            for file in values["files"]
        ]
        current = [file.name for file in files] == list(map(str, paths)) and all(file.is_current() for file in files)
        return files if current else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Hold the lock of a part."""
    lock = FileLock(part.with_name(f".{part.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"output: expected no other process that writes {part}, found one at work") from None
    try:
        yield
        Path(lock.lock_file).unlink(missing_ok=True)  # whoever waits for it finds the part complete
    finally:
        lock.release()
