"""What decoder states decode to: the best id of each position, and whether the end beats it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from keras import ops

from textae.data.special_tokens import END_ID, SPECIAL_IDS
from textae.losses import row_blocks


class Predictions(NamedTuple):
    """For each row the best id of a text, whether the end would beat it, and the cross-entropy (nats) of the target."""

    ids: Any
    ends: Any
    token_losses: Any


class Surprise(NamedTuple):
    """For each row the target's cross-entropy, and the mean and variance of a cross-entropy under the prediction.

    The mean is the entropy of the prediction (nats): high where many tokens are possible. So a target whose loss lies
    many deviations above it is one that was not to be expected, whatever else was.
    """

    token_losses: Any
    entropies: Any
    variances: Any


def predict(hidden: Any, embedding: Any, targets: Any = None, *, bias: Any = None) -> Predictions:
    """Return what each row decodes to, in float32, without holding all logits.

    The padding is never an answer, and the end is answered apart from the text: only the last latent position of a text
    can hold it, and the caller knows which that is.

    Args:
        hidden: (rows, channels), decoder states.
        embedding: (vocabulary, channels).
        targets: (rows,) ids for `token_losses`, which are None without.
        bias: (vocabulary,) or None.
    """
    embedding, hidden = ops.cast(embedding, "float32"), ops.cast(hidden, "float32")
    rows = ops.shape(hidden)[0]
    arrays = (hidden,) if targets is None else (hidden, ops.cast(targets, "int32"))
    _, arrays = row_blocks.in_blocks(arrays, _rows_at_a_time(embedding.shape[0]))

    def one_block(block: Any) -> Any:
        logits = ops.matmul(embedding, ops.transpose(block[0]))
        if bias is not None:
            logits = logits + bias[:, None]
        ids, ends, top = decide(logits)
        if targets is None:
            return ids, ends
        target = ops.take(ops.reshape(logits, (-1,)), row_blocks.target_indices(block[1]))
        # The maximum is known: `logsumexp` would look for it again, in all logits.
        return ids, ends, ops.log(ops.sum(ops.exp(logits - top), axis=0)) + (top - target)

    kinds = ("int32", "int32") if targets is None else ("int32", "int32", "float32")
    found = row_blocks.map_blocks(one_block, arrays, kinds)
    ids, ends, *losses = (ops.reshape(values, (-1,))[:rows] for values in found)
    return Predictions(ids, ends > 0, losses[0] if losses else None)


def surprise(hidden: Any, embedding: Any, targets: Any, *, bias: Any = None) -> Surprise:
    """Return how each target compares with what was expected in its place; arguments as of `predict`."""
    embedding, hidden = ops.cast(embedding, "float32"), ops.cast(hidden, "float32")
    rows = ops.shape(hidden)[0]
    _, arrays = row_blocks.in_blocks((hidden, ops.cast(targets, "int32")), _rows_at_a_time(embedding.shape[0]))

    def one_block(block: Any) -> Any:
        logits = ops.matmul(embedding, ops.transpose(block[0]))
        if bias is not None:
            logits = logits + bias[:, None]
        losses = ops.logsumexp(logits, axis=0) - logits  # of every id
        shares = ops.exp(-losses)
        entropies = ops.sum(shares * losses, axis=0)
        variances = ops.sum(shares * ops.square(losses - entropies), axis=0)
        own = ops.take(ops.reshape(losses, (-1,)), row_blocks.target_indices(block[1]))
        return own, entropies, variances

    found = row_blocks.map_blocks(one_block, arrays, ("float32",) * 3)
    return Surprise(*(ops.reshape(values, (-1,))[:rows] for values in found))


def _rows_at_a_time(vocabulary: int) -> int:
    rows = row_blocks.rows_at_a_time(vocabulary)
    if rows == row_blocks.LEAST_ROWS:  # there are no gradients to add up, so fewer will do
        return min(rows, max(row_blocks.MOST_LOGITS // vocabulary, 1))
    return rows


def decide(logits: Any) -> tuple[Any, Any, Any]:
    """Return each row's best id of the text, whether the end would beat it, int32 (rows,), and the highest logit.

    `logits` are (vocabulary, rows).
    """
    best, top = highest(logits[SPECIAL_IDS:])
    ends = ops.cast(logits[END_ID] > top, "int32")
    return SPECIAL_IDS + best, ends, ops.maximum(top, ops.max(logits[:SPECIAL_IDS], axis=0))


def highest(values: Any) -> tuple[Any, Any]:
    """Return at which candidate each column of (candidates, columns) is highest, the first of equals, and how high.

    The best run of candidates is found first, then the best of that run: so one maximum is all that is taken of all
    values, where a search for indices goes over them several times. By comparisons alone, which ONNX has.
    """
    candidates, columns = values.shape[0], ops.shape(values)[1]
    size = math.isqrt(candidates)
    runs = candidates // size
    tops = ops.max(ops.reshape(values[: runs * size], (runs, size, columns)), axis=1)
    if candidates % size:
        tops = ops.concatenate([tops, ops.max(values[runs * size :], axis=0, keepdims=True)], axis=0)
    top = ops.max(tops, axis=0)
    first = size * _first_true(tops >= top)
    members = ops.minimum(first + ops.arange(size, dtype="int32")[:, None], candidates - 1)
    found = ops.take(ops.reshape(values, (-1,)), members * columns + ops.arange(columns, dtype="int32"))
    return first + _first_true(found >= top), top


def _first_true(values: Any) -> Any:
    return ops.cast(ops.argmax(ops.cast(values, "int32"), axis=0), "int32")
