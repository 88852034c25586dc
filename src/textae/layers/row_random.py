"""Random numbers of a batch, drawn row by row: on JAX a row's depend on its number in the batch alone.

So one device draws what several draw that share the batch, and rows that are added as padding change nothing. On
TensorFlow, where one device computes, they are those of `keras.random`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from textae.layers.data_parallel import row_numbers


def uniform(shape: Any, low: float = 0.0, high: float = 1.0, *, seed: Any) -> Any:
    """Return float32 of a shape (batch, ...), from `low` to below `high`."""
    if not _by_row():
        return keras.random.uniform(shape, low, high, seed=seed)
    import jax

    return _drawn(lambda key: jax.random.uniform(key, tuple(shape[1:]), "float32", low, high), shape, seed)


def integers(shape: Any, low: int, high: int, *, seed: Any) -> Any:
    """Return int32 of a shape (batch, ...), from `low` to `high` - 1."""
    if not _by_row():
        return keras.random.randint(shape, low, high, dtype="int32", seed=seed)
    import jax

    return _drawn(lambda key: jax.random.randint(key, tuple(shape[1:]), low, high, "int32"), shape, seed)


def normal(shape: Any, *, seed: Any) -> Any:
    """Return float32 of a shape (batch, ...), from N(0, 1)."""
    if not _by_row():
        return keras.random.normal(shape, dtype="float32", seed=seed)
    import jax

    return _drawn(lambda key: jax.random.normal(key, tuple(shape[1:]), "float32"), shape, seed)


def dropout(values: Any, rate: float, *, seed: Any) -> Any:
    """Return values (batch, ...) of which a share is 0, and the others are scaled up so that the mean stays."""
    if not _by_row():
        return keras.random.dropout(values, rate, seed=seed)
    import jax

    kept = _drawn(lambda key: jax.random.bernoulli(key, 1 - rate, values.shape[1:]), values.shape, seed)
    return ops.where(kept, values / (1 - rate), ops.zeros_like(values))


def _by_row() -> bool:
    return keras.backend.backend() == "jax"


def _drawn(draw: Callable[[Any], Any], shape: Any, seed: keras.random.SeedGenerator) -> Any:
    """Return what is drawn with a key for each row."""
    import jax

    key: Any = seed.next()
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, row_numbers(shape[0]))
    return jax.vmap(draw)(keys)
