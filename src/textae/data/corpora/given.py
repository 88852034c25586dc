"""Texts that a Python program gives: written to a Parquet file, so that one path serves them and files."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from textae.files import writing

COLUMN = "text"
_PORTION = 8 << 20  # characters of a row group


def write_given(texts: Iterable[str], folder: Path, name: str = "texts") -> Path:
    """Write texts to a file of `folder` whose name is a digest of them, and return its path.

    Texts are read once, and held a portion at a time. The column is `COLUMN`. A file that is there already stays.

    Args:
        texts: any number of them.
        folder: made where it is missing.
        name: what messages call the texts.

    Raises:
        ValueError: there is no text, or one holds half of a surrogate pair, which is no character.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(8)}.parquet"
    digest, count = hashlib.blake2b(digest_size=16), 0
    schema = pa.schema([(COLUMN, pa.large_string())])
    try:
        with writing(path, own=True) as file, pq.ParquetWriter(file, schema, compression="zstd") as table:
            portion: list[str] = []
            size = 0
            for text in texts:
                content = _encoded(text, f"{name}[{count}]")
                digest.update(len(content).to_bytes(8, "little") + content)
                portion.append(text)
                count, size = count + 1, size + len(text) + 1
                if size >= _PORTION:
                    table.write_table(pa.table({COLUMN: portion}, schema))
                    portion, size = [], 0
            table.write_table(pa.table({COLUMN: portion}, schema))
        if not count:
            raise ValueError(f"expected {name} with at least one text, received none")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path.replace(folder / f"{digest.hexdigest()}.parquet")


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"expected {name} as Unicode text, received half of a surrogate pair at character {error.start:,}"
        ) from None
