"""What `textae.fit` takes as texts, as settings of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from textae.data.corpora.given import COLUMN, write_given
from textae.data.inputs import check_list, each_text

TFDS = "tfds:"  # in front of the name of a data set
_HINT = "files are given as pathlib.Path objects, a data set of TensorFlow Datasets as 'tfds:NAME'"


def corpus_settings(
    texts: Any,
    folder: Path,
    *,
    test_texts: Any = None,
    validation_texts: Any = None,
    field: str | None = None,
) -> dict[str, Any]:
    """Return the settings of the corpus that texts are, by dotted keys; none for None.

    Texts that are no files are written into `folder`.

    Args:
        texts: as `textae.fit` takes them.
        folder: of the files that are written.
        test_texts: those of the test split, or None for a share of `texts`.
        validation_texts: those of the validation split, likewise.
        field: the column or key that holds the text.

    Raises:
        TypeError: what is no texts.
        ValueError: there is no text, or no column of that name, or a split is given where it cannot be.
    """
    splits = {"test_files": test_texts, "validation_files": validation_texts}
    given = {name: value for name, value in splits.items() if value is not None}
    if texts is None:
        if given:
            raise ValueError(f"expected texts where {_argument(next(iter(given)))} are given, received None")
        return {} if field is None else {"corpus.field": field}
    if isinstance(texts, str) and texts.startswith(TFDS):
        if given:
            raise ValueError(f"expected no {_argument(next(iter(given)))} with {texts!r}, whose splits are its own")
        settings = {"corpus": "tfds", "corpus.name": texts.removeprefix(TFDS)}
        return settings if field is None else settings | {"corpus.field": field}
    as_files = {name: _paths(value) for name, value in ({"files": texts} | given).items()}
    if as_files["files"] is not None:
        if odd := next((name for name, paths in as_files.items() if paths is None), None):
            raise TypeError(f"expected {_argument(odd)} as paths, as texts are, received {type(given[odd]).__name__}")
        settings = {"corpus": "text"} | {f"corpus.{name}": paths for name, paths in as_files.items()}
        return settings if field is None else settings | {"corpus.field": field}
    written: dict[str, str] = {}  # which argument a file is of
    settings: dict[str, Any] = {"corpus": "text", "corpus.field": COLUMN}
    for name, value in ({"files": texts} | given).items():
        argument = _argument(name)
        path = str(write_given(_strings(value, argument, field), folder, argument))
        if (other := written.setdefault(path, argument)) != argument:
            raise ValueError(f"expected {argument} that are not all of {other}, received the same")
        settings[f"corpus.{name}"] = [path]
    return settings


def _argument(name: str) -> str:
    """Return the argument of `textae.fit` that becomes a setting."""
    return name.replace("files", "texts")


def _paths(value: Any) -> list[str] | None:
    """Return paths as strings; None for what is no paths."""
    if isinstance(value, PurePath):
        return [str(value)]
    if isinstance(value, list | tuple) and value and all(isinstance(each, PurePath) for each in value):
        return [str(each) for each in value]
    return None


def _strings(values: Any, name: str, field: str | None) -> Iterator[str]:
    """Return the texts of a list, an iterator, a column, or of a field of a table's rows.

    Raises:
        TypeError: it is none of these; or one of the texts, when it comes, is no string.
        ValueError: the table has no such column, or several and no field is named.
    """
    if isinstance(values, str):
        raise TypeError(
            f"expected {name} as a list of strings, received one string of {len(values)} characters; {_HINT}"
        )
    columns = _columns(values)
    if columns is not None:
        field = _chosen(columns, name, field)
        if not hasattr(values, "features"):  # a data set of Hugging Face is read row by row, whatever its size
            values, field = values[field], None
    else:
        check_list(values, name, "strings")
    return each_text(_each(values, name, field), name)


def _columns(values: Any) -> list[str] | None:
    """Return the names of a table's columns; None for what is no table."""
    columns = getattr(values, "column_names", None)
    if columns is None:
        columns = getattr(values, "columns", None)
    if columns is None or isinstance(values, Mapping) or callable(columns):
        return None
    return [str(column) for column in columns]


def _chosen(columns: list[str], name: str, field: str | None) -> str:
    """Return the column to read: the one that is named, the only one, or that of the name `text`."""
    if field is None:
        field = columns[0] if len(columns) == 1 else COLUMN
    if field not in columns:
        raise ValueError(
            f"expected {name} with a column {field} (field=NAME names another), found {', '.join(columns)}"
        )
    return field


def _each(values: Iterable[Any], name: str, field: str | None) -> Iterator[Any]:
    for index, value in enumerate(values):
        if isinstance(value, Mapping):
            key = COLUMN if field is None else field
            if key not in value:
                found = ", ".join(map(str, value))
                raise ValueError(
                    f"expected {name}[{index}] with a field {key} (field=NAME names another), found {found}"
                )
            value = value[key]
        yield value.as_py() if hasattr(value, "as_py") else value  # of Arrow
