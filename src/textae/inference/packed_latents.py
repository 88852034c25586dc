"""Files of latents of few bits: an `.npz` that is written and read a block at a time; no pickle.

`bits` (1,) is how many each number has, `counts` (texts,) the latents of each text, `block_texts` (blocks,) the texts
of each block, `ranges` float32 (blocks, 2, size) the ends of each dimension's range in a block, and `codes` uint8 the
packed levels, each block's beginning with a new byte. See `textae.inference.quantization`.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from textae.config.checks import MOST_BITS
from textae.files import target, writing
from textae.inference.archives import check_inflation, member, read_bytes, read_header, read_numbers, read_row
from textae.inference.quantization import Block, packed, packed_size, quantized, unpacked

_COPIED = 1 << 20  # bytes at a time
_CODES = "codes.npy"


def check_packed(path: Path | str, bits: int) -> Path:
    """Return the path.

    Raises:
        ValueError: its suffix is another than that of latents of few bits.
    """
    if (path := Path(path)).suffix != ".npz":
        raise ValueError(f"output: expected a file for latents of {bits} bits a number to end in .npz, found {path}")
    return path


class PackedWriter:
    """Writes latents of texts in few bits, one portion after another; the file appears when all are written."""

    def __init__(self, path: Path | str, size: int, bits: int) -> None:
        self.path, self.size, self.bits = check_packed(path, bits), size, bits
        self._counts: list[np.ndarray] = []
        self._texts: list[int] = []
        self._ranges: list[np.ndarray] = []
        self._bytes = 0

    def __enter__(self) -> PackedWriter:
        with ExitStack() as stack:
            self._out = stack.enter_context(writing(self.path, seekable=True))
            place = target(self.path)
            beside = None if place.stream else place.path.parent
            self._codes = stack.enter_context(tempfile.TemporaryFile(dir=beside))
            self._stack = stack.pop_all()
        return self

    def write(self, latents: np.ndarray | Sequence[np.ndarray]) -> None:
        """Add the latents of some texts, as `encode` gives them."""
        for block in quantized(latents, self.size, self.bits):
            self._counts.append(block.counts)
            self._texts.append(len(block.counts))
            self._ranges.append(block.ranges)
            self._bytes += self._codes.write(packed(block.codes, self.bits))

    def __exit__(self, *raised: Any) -> None:
        if raised[0] is None:
            with self._stack:
                self._complete()
            return
        self._stack.__exit__(*raised)

    def _complete(self) -> None:
        counts = np.concatenate([np.zeros(0, np.int64), *self._counts])
        ranges = np.stack(self._ranges) if self._ranges else np.zeros((0, 2, self.size), np.float32)
        arrays = {
            "bits": np.array([self.bits], np.uint8),
            "counts": counts.astype(np.min_scalar_type(int(counts.max(initial=0)))),
            "block_texts": np.array(self._texts, np.int64),
            "ranges": ranges,
        }
        with zipfile.ZipFile(self._out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in arrays.items():
                with member(archive, f"{name}.npy") as stream:
                    np.lib.format.write_array(stream, array, allow_pickle=False)
            with member(archive, _CODES) as stream:
                header = {"descr": "|u1", "fortran_order": False, "shape": (self._bytes,)}
                np.lib.format.write_array_header_1_0(stream, header)  # pyright: ignore[reportArgumentType]
                self._codes.seek(0)
                shutil.copyfileobj(self._codes, stream, _COPIED)


def is_packed(archive: zipfile.ZipFile) -> bool:
    """Return whether an archive holds latents of few bits."""
    return _CODES in archive.namelist()


def read_packed(archive: zipfile.ZipFile, path: Path, latent: str, size: int) -> Iterator[list[np.ndarray]]:
    """Yield the latents of consecutive texts, a block at a time.

    Raises:
        ValueError: the content is not latents of few bits of this kind and size.
    """
    bits, counts, texts = (read_row(archive, name, path) for name in ("bits", "counts", "block_texts"))
    if len(bits) != 1 or not 1 <= bits[0] <= MOST_BITS:
        raise ValueError(f"expected bits from 1 to {MOST_BITS}, found {bits[:10].tolist()}")
    if len(counts) and (counts.min() < 1 or (latent == "vector" and counts.max() > 1)):
        raise ValueError(
            "expected one latent a text, found others" if latent == "vector" else "expected texts' latents"
        )
    if (len(texts) and texts.min() < 1) or sum(texts.tolist()) != len(counts):
        raise ValueError(f"expected blocks of {len(counts):,} texts together, found {sum(texts.tolist()):,}")
    width, ends = int(bits[0]), np.cumsum([0, *texts.tolist()])
    with archive.open("ranges.npy") as ranges, archive.open(_CODES) as codes:
        _check_arrays(ranges, codes, len(texts), size, counts, texts, width)
        for first, last in pairwise(ends.tolist()):
            own = counts[first:last].astype(np.int64)
            rows = int(own.sum())
            check_inflation(path, rows * size)
            content = read_bytes(codes, packed_size(rows * size, width))
            block = Block(
                own, _read_ranges(ranges, size), unpacked(content, rows * size, width).reshape(-1, size), width
            )
            yield [array[0] for array in block.latents()] if latent == "vector" else block.latents()


def _check_arrays(
    ranges: IO[bytes], codes: IO[bytes], blocks: int, size: int, counts: np.ndarray, texts: np.ndarray, bits: int
) -> None:
    """Read the headers of two arrays, and raise a ValueError unless they are of the shapes that the others ask for."""
    shape, dtype = read_header(ranges)
    if shape != (blocks, 2, size) or dtype != np.float32:
        raise ValueError(f"expected float32 ranges of shape ({blocks}, 2, {size}), found {dtype} of shape {shape}")
    first = np.concatenate([[0], np.cumsum(texts.astype(np.int64))])[:-1]
    rows = np.add.reduceat(counts.astype(np.float64), first) if len(first) else np.zeros(0)
    expected = sum(packed_size(int(count) * size, bits) for count in rows)
    shape, dtype = read_header(codes)
    if dtype != np.uint8 or len(shape) != 1 or math.prod(shape) != expected:
        raise ValueError(f"expected {expected:,} bytes of codes, found {dtype} of shape {shape}")


def _read_ranges(stream: IO[bytes], size: int) -> np.ndarray:
    ranges = read_numbers(stream, np.dtype(np.float32), 2 * size).reshape(2, size)
    if not np.isfinite(ranges).all() or (ranges[0] > ranges[1]).any():
        raise ValueError("expected ranges of finite numbers that rise, found others")
    return ranges
