"""Rows in blocks: logits of a few rows exist at a time, whatever the number of rows is.

Logits have the vocabulary first, (vocabulary, rows): so all products take their factors as they lie, which is faster on
CPUs (docs/speed.md), and a sum over the vocabulary goes along whole lines of memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from textae.hardware import on_accelerator

BLOCK_ROWS = 512  # rows of logits that exist at a time; docs/speed.md has the measurements
LEAST_ROWS = 256  # of a large vocabulary: with fewer, what the blocks add up to is gone through too often
MOST_LOGITS = 1 << 25  # that exist at a time when texts are decoded, 128 MB
BLOCK_LOGITS = 1 << 22  # logits that exist at a time, where that leaves enough rows
GPU_LOGITS = 1 << 26  # the same on a GPU with JAX: it has no use for small products


def on_gpu() -> bool:
    """Return whether JAX computes, and on a GPU or the like."""
    return keras.backend.backend() == "jax" and on_accelerator()


def rows_at_a_time(vocabulary: int) -> int:
    """Return how many rows of logits are held at a time: as many as the processor's caches, or a GPU, do best with."""
    if on_gpu():
        return max(GPU_LOGITS // vocabulary, LEAST_ROWS)
    return min(max(BLOCK_LOGITS // vocabulary, LEAST_ROWS), BLOCK_ROWS)


def in_blocks(arrays: tuple[Any, ...], block_rows: int) -> tuple[Any, tuple[Any, ...]]:
    """Return the number of blocks, and the arrays padded with zeros and split into blocks."""
    rows = arrays[0].shape[0]
    if rows is None:
        rows = ops.shape(arrays[0])[0]
        blocks = ops.maximum((rows + block_rows - 1) // block_rows, 1)
    else:
        blocks = max(math.ceil(rows / block_rows), 1)
    each = (rows + blocks - 1) // blocks  # blocks of equal size, so that fewer than `blocks` rows are padding
    padding = blocks * each - rows

    def cut(array):
        rest = array.shape[1:]
        filler = ops.zeros((padding, *rest), array.dtype)
        return ops.reshape(ops.concatenate([array, filler], axis=0), (blocks, each, *rest))

    return blocks, tuple(cut(array) for array in arrays)


def scan(body: Callable[[Any, Any], Any], start: Any, arrays: tuple[Any, ...], blocks: Any) -> tuple[Any, Any]:
    """Run `body` over the blocks one after another; return what it carries, and its rows end to end."""
    if keras.backend.backend() == "tensorflow":
        return _scan_tensorflow(body, start, arrays, blocks)
    carry, stacked = ops.scan(body, start, arrays)
    return carry, ops.reshape(stacked, (-1, stacked.shape[-1]))


def _scan_tensorflow(body, start, arrays, blocks):
    """Do as `scan`; Keras's own scan keeps every carry, and refuses a number of blocks not known beforehand."""
    import tensorflow as tf

    def step(i, carry, collected):
        carry, rows = body(carry, tuple(array[i] for array in arrays))
        return i + 1, carry, collected.write(i, rows)

    collected = tf.TensorArray("float32", size=blocks, element_shape=arrays[0].shape[1:])
    _, carry, collected = tf.while_loop(
        lambda i, *_: i < blocks, step, (tf.constant(0), start, collected), parallel_iterations=1
    )
    return carry, collected.concat()


def map_blocks(function: Callable[[Any], Any], arrays: tuple[Any, ...], kinds: tuple[str, ...]) -> Any:
    """Return `function` of each block, stacked; `kinds` are the types of what it returns."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = tuple(map(tf.as_dtype, kinds))
        return tf.map_fn(function, arrays, fn_output_signature=signature, parallel_iterations=1)
    return ops.map(function, arrays)


def target_indices(ids: Any) -> Any:
    """Return the index of each row's target in flattened logits (vocabulary, rows), int32 (rows,)."""
    rows = ops.shape(ids)[0]
    return ids * rows + ops.arange(rows, dtype="int32")
