"""Where the tokens of a text lie: segments, latent positions, and the end. Training, inference and export use it.

A text of n ids is n + 1 tokens, of which the end token is the last. A text of more than `max_length` tokens is encoded
in segments of `max_length`, of which the last may be shorter. Each `stride` tokens of a segment are a latent position,
the last of which may be partly padding. So the end token lies in the last latent position of a text's last segment,
and nowhere else.

The functions take NumPy arrays, or tensors of the running backend with `xp=keras.ops`, which has NumPy's names.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def num_positions(lengths: Any, stride: int) -> Any:
    """Return how many latent positions of `stride` tokens hold `lengths` tokens: 0 for 0, 1 for 1 to `stride`."""
    return (lengths + (stride - 1)) // stride


def num_segments(lengths: Any, max_length: int) -> Any:
    """Return in how many segments of `max_length` tokens, or of as many latent positions, so many are encoded."""
    return num_positions(lengths, max_length)


def position_mask(counts: Any, length: Any, xp: Any = np) -> Any:
    """Return bools (rows, length): whether a position is one of the first `counts` (rows,) of its row."""
    return xp.arange(length, dtype="int32")[None, :] < counts[:, None]


def segment_counts(counts: Any, segments: Any, size: Any, xp: Any = np) -> Any:
    """Return (rows * segments,): how many of `counts` (rows,) lie in each of a row's segments of `size`."""
    before = xp.arange(segments, dtype="int32")[None, :] * size
    return xp.reshape(xp.clip(counts[:, None] - before, 0, size), (-1,))


def text_lengths(ends: Any, positions: Any, stride: int, holds_end: Any, xp: Any = np) -> Any:
    """Return (rows,): how many ids of each decoded row are text.

    They are the ids in front of the first end in the last latent position, or all of the row's positions without one.

    Args:
        ends: (rows, length) bools, where the end is the best answer.
        positions: (rows,), each row's own number of latent positions.
        stride: tokens of a latent position.
        holds_end: (rows,) bools, whether a row is the last segment of its text; True: every row.
    """
    tokens = (positions * stride)[:, None]
    place = xp.arange(xp.shape(ends)[1], dtype="int32")[None, :]
    possible = ends & (place >= tokens - stride)
    if holds_end is not True:
        possible = possible & holds_end[:, None]
    return xp.min(xp.where(possible, place, tokens), axis=1)
