"""Files of named arrays with a checksum: weights and checkpoints, in the safetensors format.

A file may be untrusted: names, shapes and sizes are checked before any memory is taken for what it claims to hold.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from textae.files import write_bytes
from textae.untrusted_files import kind_of, one_line, open_file, parse_json

Shapes = dict[str, tuple[int, ...]]

LARGEST_HEADER_BYTES = 1 << 25  # names, shapes, and with a checkpoint the state of training
MOST_CONTAINERS = 200_000  # objects and lists of a header
_HEADER = "textae"  # the key under which a file's checksum and metadata stand
_DTYPE_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "I16": 2, "U16": 2, "I8": 1}
_DTYPE_BYTES |= {"U8": 1, "BOOL": 1}


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
        raise ValueError(f"{path} is damaged or not of textae: {one_line(error)}") from error
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
        raise ValueError(f"{path} is damaged or not of textae: {one_line(error)}") from error


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


def _checksum(arrays: Mapping[str, np.ndarray], described: str) -> int:
    value = zlib.crc32(described.encode())
    for name in sorted(arrays):
        value = zlib.crc32(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode(), value)
        value = zlib.crc32(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data, value)
    return value
