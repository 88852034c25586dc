"""Corruption of token ids for denoising: the encoder sees corrupted ids, and the original ones are the targets.

Written with keras.ops alone, for graphs and for shapes that are not known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from keras import ops

from textae.data.special_tokens import END_ID, PAD_ID
from textae.layers import row_random

MASK_ID = PAD_ID  # the encoder sees nothing in its place
_LAST = 1e9  # a sort key beyond every position

Corruption = Callable[[Any, Any], tuple[Any, Any]]  # (ids, lengths) -> (ids, lengths)


def corruption_from(
    settings: Mapping[str, Any], *, first_id: int, vocabulary_size: int, seed: Any
) -> Corruption | None:
    """Return `corrupt` with its settings (the keywords from `drop` to `shuffle`); None where they change nothing."""
    if not any(value for name, value in settings.items() if name != "mask_span"):
        return None
    return partial(corrupt, first_id=first_id, vocabulary_size=vocabulary_size, seed=seed, **settings)


def corrupt(
    tokens: Any,
    lengths: Any,
    *,
    drop: float = 0.0,
    mask: float = 0.0,
    mask_span: int = 1,
    substitute: float = 0.0,
    shuffle: int = 0,
    first_id: int,
    vocabulary_size: int,
    seed: Any,
) -> tuple[Any, Any]:
    """Return corrupted ids, (batch, length), and their lengths, (batch,): of the shapes that come in.

    Each token has one fate: it is dropped, masked, substituted or kept. What is left is then shuffled. Padding is
    never touched, and an end token stays and stays the last one.

    Args:
        tokens: (batch, length) int32 ids, padded; lengths: (batch,) int32 real tokens of each.
        drop: share of tokens that are removed; the others close up.
        mask: share that become `MASK_ID`.
        mask_span: how many consecutive tokens are masked together; such spans may overlap and touch.
        substitute: share that become an id drawn evenly from `first_id` to `vocabulary_size` - 1.
        shuffle: greatest distance in tokens that a token is moved by: positions plus noise from [0, shuffle + 1) are
            sorted (Lample et al., arXiv 1711.00043).
        seed: a `keras.random.SeedGenerator`.
    """
    shape = ops.shape(tokens)
    positions = ops.arange(shape[1], dtype="int32")[None, :]
    real = positions < lengths[:, None]
    movable = ops.logical_and(real, ops.not_equal(tokens, END_ID))
    fate = ops.where(movable, row_random.uniform(shape, seed=seed), 1.0)
    if mask:
        masked = ops.logical_and(fate >= drop, fate < drop + mask)
        if mask_span > 1:  # of the tokens that are neither dropped nor substituted, those in spans
            others = ops.logical_or(masked, fate >= drop + mask + substitute)
            spans = _spans(shape, mask / (1 - drop - substitute), mask_span, seed)
            masked = ops.logical_and(ops.logical_and(others, movable), spans)
        tokens = ops.where(masked, ops.full_like(tokens, MASK_ID), tokens)
    if substitute:
        substituted = ops.logical_and(fate >= drop + mask, fate < drop + mask + substitute)
        drawn = row_random.integers(shape, first_id, vocabulary_size, seed=seed)
        tokens = ops.where(substituted, drawn, tokens)
    if not drop and not shuffle:
        return tokens, lengths
    kept = ops.logical_and(real, fate >= drop)
    sort_keys = ops.cast(ops.cumsum(ops.cast(kept, "int32"), axis=1) - 1, "float32")
    if shuffle:
        noise = row_random.uniform(shape, 0.0, shuffle + 1.0, seed=seed)
        sort_keys = sort_keys + ops.where(movable, noise, shuffle + 1.0)  # nothing is moved behind the end token
    order = ops.argsort(ops.where(kept, sort_keys, _LAST), axis=1)
    lengths = ops.sum(ops.cast(kept, "int32"), axis=1)
    tokens = ops.take_along_axis(tokens, order, axis=1)
    return ops.where(positions < lengths[:, None], tokens, ops.zeros_like(tokens)), lengths


def _spans(shape: Any, share: float, span: int, seed: Any) -> Any:
    """Return bools (batch, length): whether a position lies in one of the spans, which hold this share of positions.

    A span may begin at each position, also in front of the first, so that all are as likely to be in one.
    """
    rows, length = shape
    begins = row_random.uniform((rows, length + span - 1), seed=seed) < 1 - (1 - share) ** (1 / span)
    before = ops.pad(ops.cumsum(ops.cast(begins, "int32"), axis=1), [[0, 0], [1, 0]])
    return before[:, span:] > before[:, :-span]
