"""Latents in few bits: each number becomes one of 2^bits levels, evenly spaced in a range of its dimension.

A block is the latents of some consecutive texts, with ranges of its own, so that latents can be packed while texts are
still encoded. `encode bits=N` stores blocks, and `evaluate curve=bits` measures them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from textae.config.checks import MOST_BITS

TEXTS = 4096  # of a block
_FITTED = 4096  # rows by which the ranges of a block are chosen
_SHARES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3)  # of the distance from the mean to the lowest and the highest number
_AT_ONCE = 1 << 19  # numbers that are packed at a time; a multiple of 8


@dataclass(frozen=True)
class Block:
    """The latents of some texts in few bits.

    Attributes:
        counts: latents of each text, (texts,).
        ranges: lower and upper end of each dimension's range, float32 (2, size).
        codes: the number of each latent's level, uint16 (latents, size).
        bits: a code is below 2^bits.
    """

    counts: np.ndarray
    ranges: np.ndarray
    codes: np.ndarray
    bits: int

    @property
    def stored_bits(self) -> int:
        """The bits that the codes and the ranges take."""
        return 8 * packed_size(self.codes.size, self.bits) + 32 * self.ranges.size

    def latents(self) -> list[np.ndarray]:
        """Return each text's latents: the middle of their levels, float32 (latents, size)."""
        return np.split(values_of(self.codes, self.ranges, self.bits), np.cumsum(self.counts)[:-1])


def quantized(latents: np.ndarray | Sequence[np.ndarray], size: int, bits: int) -> Iterator[Block]:
    """Yield the latents of consecutive texts as blocks.

    Args:
        latents: of each text, (size,) or (latents, size), finite.
        size: dimensions of a latent.
        bits: of a number, from 1 to 16.

    Raises:
        ValueError: another number of bits, or latents that are not finite.
    """
    if not 1 <= bits <= MOST_BITS:
        raise ValueError(f"expected bits from 1 to {MOST_BITS}, received {bits}")
    for first in range(0, len(latents), TEXTS):
        texts = [np.reshape(array, (-1, size)) for array in latents[first : first + TEXTS]]
        rows = np.concatenate(texts)
        if not np.isfinite(rows).all():
            raise ValueError(f"expected finite latents, found {rows[~np.isfinite(rows)][0]}")
        ranges = ranges_of(rows, bits)
        yield Block(np.array([len(array) for array in texts], np.int64), ranges, codes_of(rows, ranges, bits), bits)


def codes_of(rows: np.ndarray, ranges: np.ndarray, bits: int) -> np.ndarray:
    """Return the level of each number, uint16 of the shape of `rows`; numbers outside the range have its ends."""
    low, step = _steps(ranges, bits)
    scaled = (rows - low) / np.where(step > 0, step, 1)
    return np.clip(np.floor(scaled), 0, 2**bits - 1).astype(np.uint16)


def values_of(codes: np.ndarray, ranges: np.ndarray, bits: int) -> np.ndarray:
    """Return the middle of each level, float32 of the shape of `codes`."""
    low, step = _steps(ranges, bits)
    return (low + (codes + 0.5) * step).astype(np.float32)


def _steps(ranges: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.asarray(ranges, np.float64)
    return low, (high - low) / 2**bits


def ranges_of(rows: np.ndarray, bits: int) -> np.ndarray:
    """Return each dimension's range, float32 (2, size): the one of a few that leaves the least mean square error.

    Few levels are better spent where most numbers are than on the farthest ones.
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), _FITTED)).astype(int)].astype(np.float64)
    mean, ends = sample.mean(axis=0), np.stack([rows.min(axis=0), rows.max(axis=0)]).astype(np.float64)
    candidates = np.stack([(mean + share * (ends - mean)).astype(np.float32) for share in _SHARES])
    errors = np.stack(
        [((values_of(codes_of(sample, one, bits), one, bits) - sample) ** 2).mean(axis=0) for one in candidates]
    )
    return np.take_along_axis(candidates, errors.argmin(axis=0)[None, None], axis=0)[0]


def packed_size(count: int, bits: int) -> int:
    """Return how many bytes hold so many codes."""
    return (count * bits + 7) // 8


def packed(codes: np.ndarray, bits: int) -> bytes:
    """Return codes as bits, each with its highest bit first, one after another; the last byte is filled with zeros."""
    flat, shifts = codes.reshape(-1), np.arange(bits - 1, -1, -1, dtype=np.uint16)
    parts = (flat[first : first + _AT_ONCE] for first in range(0, len(flat), _AT_ONCE))
    return b"".join(np.packbits(((part[:, None] >> shifts) & 1).astype(np.uint8)).tobytes() for part in parts)


def unpacked(content: bytes, count: int, bits: int) -> np.ndarray:
    """Return the codes that `packed` was given, uint16 (count,).

    Raises:
        ValueError: there are more or fewer bytes than hold so many.
    """
    if len(content) != packed_size(count, bits):
        raise ValueError(f"expected {packed_size(count, bits):,} bytes of codes, found {len(content):,}")
    codes, given = np.zeros(count, np.uint16), np.frombuffer(content, np.uint8)
    for first in range(0, count, _AT_ONCE):
        some = min(_AT_ONCE, count - first)
        start = first * bits // 8
        cells = np.unpackbits(given[start : start + packed_size(some, bits)], count=some * bits).reshape(some, bits)
        for place in range(bits):
            codes[first : first + some] |= cells[:, place].astype(np.uint16) << np.uint16(bits - 1 - place)
    return codes
