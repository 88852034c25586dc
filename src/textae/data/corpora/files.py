"""The corpus `text`: the user's own files."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from textae.data.corpora.checking import BadRecords
from textae.data.corpora.preparing import Example, Recipe, fingerprint, shares
from textae.data.corpora.readers import Advance, Input, Reading, check_fields, find, records

logger = logging.getLogger(__name__)

Files = str | Path | Sequence[str | Path]

_RULES = 2  # of reading: a number more where files give other documents than before


def recipe(
    *,
    files: Files,
    test_files: Files | None = None,
    validation_files: Files | None = None,
    field: str | None = None,
    label: str | None = None,
    max_characters: int | None = None,
    format: str = "auto",
    encoding: str = "auto",
    delimiter: str | None = None,
    document: str = "record",
    on_bad_record: str = "stop",
    validation_share: float = 0.02,
    test_share: float = 0.02,
) -> Recipe:
    """How to make a corpus from files.

    The test split is taken from `test_files`, or without them from `files` by a hash of the document, as many
    as `test_share` says; validation likewise. A file that another setting names is left out of `files`.
    Documents are kept as often as they occur: equal ones of `files` go to the same split, but one that is in
    `files` and in `test_files` is in both splits. `max_characters` is applied before the split is chosen.
    `format`, `encoding`, `delimiter` and `document` say how files are read where they do not show it themselves, see
    `Reading`; a bad record stops, or is left out with `on_bad_record="skip"`.
    """
    given = {"validation": validation_files, "test": test_files}
    carved = shares(validation=None if validation_files else validation_share, test=None if test_files else test_share)
    paths = _paths(files, given, None if carved else "train")
    reading = Reading(format=format, encoding=encoding, delimiter=delimiter, document=document)
    inputs = {split: [Input.of(path, reading, field) for path in group] for split, group in paths.items()}
    for group in inputs.values():
        for item in group:
            check_fields(item, field, label)
    contents = {
        split: [(item.format, item.compression, item.delimiter, item.encloses, _digest(item)) for item in group]
        for split, group in inputs.items()
    }
    told: set[str] = set()

    def tell(line: str) -> None:
        """Say each line once, though files may be read twice."""
        if line not in told:
            told.add(line)
            logger.warning(line)

    def examples(advance: Advance) -> Iterator[Example]:
        bad = BadRecords(on_bad_record == "skip")
        for split, group in inputs.items():
            for text, value in records(group, field, label, max_characters, advance, bad, tell):
                yield split, text, value
        bad.tell(tell)

    return Recipe(
        kind="text",
        name="text",
        fingerprint=fingerprint(
            "text",
            _RULES,
            sorted(contents.items(), key=str),
            field,
            label,
            max_characters,
            carved,
            encoding,
            on_bad_record,
        ),
        examples=examples,
        total=sum(item.size for group in inputs.values() for item in group),
        shares=carved,
    )


def _paths(files: Files, given: dict[str, Files | None], source: str | None) -> dict[str | None, list[Path]]:
    """The files of each split that has its own, and the others for `source`."""
    paths: dict[str | None, list[Path]] = {}
    taken: dict[Path, str] = {}
    for split, patterns in given.items():
        if patterns:
            paths[split] = find(patterns, f"{split}_files")
            for path in paths[split]:
                if taken.setdefault(path.resolve(), split) != split:
                    raise ValueError(f"test_files: expected files of their own, found {path} in validation_files too")
    rest = find(files)
    paths[source] = [path for path in rest if path.resolve() not in taken]
    if not paths[source]:
        raise ValueError(f"files: expected one that no other setting names, found only {rest[0]}")
    return paths


def _digest(item: Input) -> str:
    with item.path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
