"""The vocabulary loss on a GPU, by JAX: large products, and logits that go through memory as seldom as can be.

A GPU multiplies so fast that most of the time goes to memory. So a block has many rows, and its logits lie in memory
once, row by row, in the type of the products. What is stored of a logit is its distance from the target's: bfloat16
does not tell large logits apart, and near certainty the small distances are what counts. The product makes distances by
itself, with columns beside the channels: the target's logit of each row, and the bias of each id.
"""

from __future__ import annotations

from typing import Any

from textae.losses import softmax_kernel
from textae.losses.row_blocks import in_blocks, scan

BLOCK_LOGITS = 1 << 29  # that exist at a time, 1 GB in bfloat16
_TERMS = 3  # of bfloat16, which add up to a float32
_FILLING = 2  # columns, so that a row is longer by a multiple of 16 bytes


def loss_and_gradients(
    hidden: Any,
    embedding: Any,
    bias: Any,
    targets: Any,
    weights: Any,
    id_weights: Any,
    *,
    label_smoothing: float,
    precision: str,
    block_rows: int | None,
) -> tuple[Any, Any, Any, Any, Any]:
    """Return loss, correct, and the loss's gradients in hidden, embedding and bias.

    Args:
        hidden, embedding, targets, weights, id_weights: as of `vocabulary_loss`.
        bias: (vocabulary,), or (1,) where there is none.
        label_smoothing, precision, block_rows: as of `vocabulary_loss`.
    """
    from jax import lax
    from jax import numpy as jnp

    vocabulary, has_bias = embedding.shape[0], bias.shape[0] != 1
    fused = not label_smoothing and id_weights is None and softmax_kernel.available(vocabulary)
    blocks, arrays = in_blocks((hidden, targets, weights), block_rows or max(BLOCK_LOGITS // vocabulary, 1))
    # Behind the barriers XLA cannot leave out the rounding, which all products have to share.
    table = lax.optimization_barrier(embedding.astype(precision))
    biases = jnp.broadcast_to(bias if has_bias else 0.0, (vocabulary,))
    wide_table = jnp.concatenate([table, _ones(table), _terms(biases, precision), _filling(table)], axis=1)

    def one_block(carry: Any, block: Any) -> Any:
        loss, correct, d_embedding, d_bias = carry
        rows, ids, weight = block
        rows = lax.optimization_barrier(rows.astype(precision))
        own = jnp.sum(rows.astype("float32") * table[ids].astype("float32"), axis=1) + biases[ids]
        wide_rows = jnp.concatenate([rows, -_terms(own, precision), _ones(rows), _filling(rows)], axis=1)
        distances = jnp.matmul(wide_rows, wide_table.T, preferred_element_type=precision)
        distances = lax.optimization_barrier(distances)
        if fused:
            token_losses, right, d_logits = softmax_kernel.loss_and_gradients(distances, ids, weight)
        else:
            token_losses, right, d_logits = compare_rows(distances, ids, weight, id_weights, label_smoothing)
        d_logits = lax.optimization_barrier(d_logits.astype(precision))  # or both products would compute it
        if has_bias:
            d_bias = d_bias + jnp.sum(d_logits, axis=0, dtype="float32")
        d_rows = jnp.matmul(d_logits, table, preferred_element_type=precision)
        d_embedding = d_embedding + jnp.matmul(d_logits.T, rows, preferred_element_type="float32")
        return (loss + jnp.sum(weight * token_losses), correct + jnp.sum(weight * right), d_embedding, d_bias), d_rows

    zero = jnp.zeros((), "float32")
    start = zero, zero, jnp.zeros_like(embedding), jnp.zeros_like(bias)
    (loss, correct, d_embedding, d_bias), d_hidden = scan(one_block, start, arrays, blocks)
    return loss, correct, d_hidden[: hidden.shape[0]].astype(hidden.dtype), d_embedding, d_bias


def _ones(rows: Any) -> Any:
    from jax import numpy as jnp

    return jnp.ones((rows.shape[0], _TERMS), rows.dtype)


def _filling(rows: Any) -> Any:
    from jax import numpy as jnp

    return jnp.zeros((rows.shape[0], _FILLING), rows.dtype)


def _terms(values: Any, precision: str) -> Any:
    """Return numbers (count,) as (count, `_TERMS`) that add up to them, each of them exact in every type."""
    from jax import lax
    from jax import numpy as jnp

    found, rest = [], values
    for _ in range(_TERMS):
        found.append(lax.reduce_precision(rest, exponent_bits=8, mantissa_bits=7))  # casts XLA would leave out
        rest = rest - found[-1]
    return jnp.stack(found, axis=1).astype(precision)


def compare_rows(
    distances: Any, ids: Any, weights: Any, id_weights: Any, label_smoothing: float
) -> tuple[Any, Any, Any]:
    """Return rows' losses, whether each is right, and the gradients (rows, vocabulary) of the losses times the weights.

    The gradient at the target is less the sum of the others: a difference would lose it near certainty.

    Args:
        distances: (rows, vocabulary), logits less the target's.
        ids: (rows,) int32, the targets.
        weights: (rows,) float32.
        id_weights: (vocabulary,) float32, how many ids each one stands for, a target for one; None: each for one.
        label_smoothing: share of the target that is spread evenly over the vocabulary.
    """
    from jax import numpy as jnp

    vocabulary = distances.shape[1]
    is_target = jnp.arange(vocabulary, dtype="int32") == ids[:, None]
    distances = jnp.where(is_target, 0.0, distances.astype("float32"))
    top = jnp.max(distances, axis=1)
    shares = jnp.where(is_target, 0.0, jnp.exp(distances - top[:, None]))
    if id_weights is not None:
        shares = shares * id_weights
    others, own = jnp.sum(shares, axis=1), jnp.exp(-top)
    losses = top + jnp.log1p(others + (own - 1.0))
    gradients = jnp.where(is_target, -others[:, None], shares) * (weights / (others + own))[:, None]
    if label_smoothing:
        losses = losses - label_smoothing * jnp.mean(distances, axis=1)
        spread = jnp.where(is_target, label_smoothing, 0.0) - label_smoothing / vocabulary
        gradients = gradients + weights[:, None] * spread
    return losses, (top <= 0.0).astype("float32"), gradients
