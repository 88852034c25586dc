"""The corpus `text`: the user's own files."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textae.config.choices import OnBadRecord
from textae.config.schema import TextConfig
from textae.data.corpora.checking import BadRecords, Tell
from textae.data.corpora.readers import Input, Reading, check_fields, file_records, find
from textae.data.corpora.sniffing import notes
from textae.data.corpora.specification import VERSION, Advance, CorpusSpecification, Example, Part
from textae.data.fingerprints import fingerprint

PART_BYTES = 1 << 25  # of a large file, whose parts several processes prepare
_RULES = 2  # of reading: a number more where files give other documents than before


def specification(settings: TextConfig) -> CorpusSpecification:
    """Return how a corpus is made from files.

    The test split is taken from `test_files`, or without them from `files` by a hash of the document, as many
    as `test_share` says; validation likewise. A file that another setting names is left out of `files`.
    Documents are kept as often as they occur: equal ones of `files` go to the same split, but one that is in
    `files` and in `test_files` is in both splits. `max_characters` is applied before the split is chosen.

    Raises:
        ValueError, FileNotFoundError: a file is missing or cannot be read, or is named by two settings.
    """
    field, label, fractions = settings.field, settings.label, settings.split_fractions()
    inputs = _inputs(settings, None if fractions else "train")
    contents = {
        split: [(item.format, item.compression, item.delimiter, item.encloses, _digest(item)) for item in group]
        for split, group in inputs.items()
    }
    read = {"field": field, "label": label, "max_characters": settings.max_characters}
    parts = [part for split, group in inputs.items() for item in group for part in _parts(split, item, read)]
    return CorpusSpecification(
        kind="text",
        name="text",
        fingerprint=fingerprint(
            VERSION,
            "text",
            _RULES,
            sorted(contents.items(), key=str),
            field,
            label,
            settings.max_characters,
            fractions,
            settings.encoding,
            settings.on_bad_record.name,
        ),
        parts=parts,
        split_fractions=fractions,
        skip_bad_records=settings.on_bad_record is OnBadRecord.skip,
        notes=[note for group in inputs.values() for note in notes(group)],
    )


def _parts(split: str | None, item: Input, read: dict[str, Any]) -> list[Part]:
    """Return the parts of a file: ranges of its bytes, if it is a large one that can be read from anywhere."""
    whole = Part(partial(_examples, split, item, read, None), item.size)
    if item.size <= PART_BYTES or not item.has_ranges():
        return [whole]
    return [
        Part(partial(_examples, split, item, read, (start, stop)), stop - start, whole)
        for start in range(0, item.size, PART_BYTES)
        for stop in [min(start + PART_BYTES, item.size)]
    ]


def _examples(
    split: str | None,
    item: Input,
    read: dict[str, Any],
    span: tuple[int, int] | None,
    advance: Advance,
    bad: BadRecords,
    tell: Tell,
) -> Iterator[Example]:
    for text, label in file_records(item, **read, span=span, advance=advance, bad=bad, tell=tell):
        yield split, text, label


def _inputs(settings: TextConfig, source: str | None) -> dict[str | None, list[Input]]:
    """Return the files of each split that has its own and those of `source`, with how each one is read."""
    given = {"validation": settings.validation_files, "test": settings.test_files}
    reading = Reading(
        format=settings.format.name,
        encoding=settings.encoding,
        delimiter=settings.delimiter,
        document=settings.document.name,
    )
    inputs = {
        split: [Input.of(path, reading, settings.field) for path in group]
        for split, group in _paths(settings.files, given, source).items()
    }
    for group in inputs.values():
        for item in group:
            check_fields(item, settings.field, settings.label)
    return inputs


def _paths(files: Sequence[str], given: dict[str, list[str]], source: str | None) -> dict[str | None, list[Path]]:
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
