"""The fused vocabulary loss: output projection, softmax cross-entropy and accuracy in one pass, rows in blocks.

With a vocabulary of 8k the logits and their softmax are over two thirds of a model's work and nearly all of its
memory. Here a block of rows is projected, compared with its targets, and turned into its gradients before the next
block is touched: the logits never exist as a whole, neither forward nor backward, and nothing is computed twice.
The idea of taking the gradient in the forward pass is Liger Kernel's (arXiv 2410.10989). On a GPU `gpu_loss` does it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
from keras import ops

from textae.losses import gpu_loss
from textae.losses.row_blocks import in_blocks, on_gpu, rows_at_a_time, scan, target_indices

TABLE_ROWS = 8192  # ids whose part of the embedding's gradient is made at a time


class VocabularyLoss(NamedTuple):
    """Sums over the rows with their weights: cross-entropy in nats, right predictions, and the weights."""

    loss: Any
    correct: Any
    weight: Any


def vocabulary_loss(
    hidden: Any,
    embedding: Any,
    targets: Any,
    weights: Any,
    *,
    bias: Any = None,
    label_smoothing: float = 0.0,
    precision: str = "float32",
    block_rows: int | None = None,
    id_weights: Any = None,
) -> VocabularyLoss:
    """Return the summed cross-entropy of `softmax(hidden @ embedding.T + bias)` and what goes with it.

    Differentiable in `hidden`, `embedding` and `bias`; the gradient is that of `loss` alone. A row counts as correct
    when no logit exceeds its target's, so equal logits count as right: use `predict` where that matters.

    Args:
        hidden: (rows, channels), the decoder's output, padding left out or of weight 0.
        embedding: (vocabulary, channels).
        targets: (rows,) ids.
        weights: (rows,) floats; 0 leaves a row out.
        bias: (vocabulary,) or None.
        label_smoothing: share of the target that is spread evenly over the vocabulary.
        precision: "float32" or "bfloat16", the type of the three matrix products; sums and the softmax are float32.
        block_rows: rows of logits that are held at a time; None: as the vocabulary leaves room.
        id_weights: (vocabulary,) floats, how many ids each one stands for in the softmax's denominator, as of
            `textae.losses.candidates`; None: one. The vocabulary's size may then depend on the data.

    Raises:
        ValueError: `precision` is neither, or there are `id_weights` and `label_smoothing`.
    """
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"expected precision 'float32' or 'bfloat16', received {precision!r}")
    if label_smoothing and id_weights is not None:
        raise ValueError(f"expected label_smoothing of 0 with id_weights, received {label_smoothing}")
    targets, weights = ops.cast(targets, "int32"), ops.cast(weights, "float32")
    fused = _fused(targets, weights, id_weights, _Settings(label_smoothing, precision, block_rows))
    own_bias = ops.zeros((1,), "float32") if bias is None else ops.cast(bias, "float32")
    loss, correct = fused(ops.cast(hidden, "float32"), ops.cast(embedding, "float32"), own_bias)
    return VocabularyLoss(loss, correct, ops.sum(weights))


@dataclass(frozen=True)
class _Settings:
    """As the arguments of `vocabulary_loss` say."""

    label_smoothing: float
    precision: str
    block_rows: int | None


def _fused(targets: Any, weights: Any, id_weights: Any, settings: _Settings) -> Any:
    """Return (hidden, embedding, bias) -> (loss, correct), whose gradient is that of the loss."""

    @ops.custom_gradient
    def fused(hidden: Any, embedding: Any, bias: Any) -> Any:
        compute = _on_gpu if on_gpu() else _blockwise
        given = targets, weights, id_weights
        loss, correct, *gradients = compute(hidden, embedding, bias, given, settings)

        def backward(*arguments: Any, upstream: Any = None) -> Any:
            scale = _first(arguments if upstream is None else upstream)
            return tuple(scale * gradient for gradient in gradients)

        return (loss, correct), backward

    return fused


def _first(upstream: Any) -> Any:
    """Return the upstream gradient of the loss: backends hand over a tuple, bare or nested."""
    while isinstance(upstream, (tuple, list)):
        upstream = upstream[0]
    return upstream


def _blockwise(hidden: Any, embedding: Any, bias: Any, given: tuple[Any, Any, Any], settings: _Settings) -> Any:
    """Return loss, correct, and the loss's gradients in hidden, embedding and bias.

    `bias` is (vocabulary,), or (1,) where there is none. `given` are targets, weights and `id_weights`.
    """
    count, has_bias = ops.shape(hidden)[0], bias.shape[0] != 1
    targets, weights, id_weights = given
    rows = settings.block_rows or rows_at_a_time(embedding.shape[0] or TABLE_ROWS)
    blocks, (hidden, targets, weights) = in_blocks((hidden, targets, weights), rows)
    matrix = ops.cast(embedding, settings.precision)
    parts = _parts(embedding.shape[0])

    def one_block(carry: Any, block: Any) -> Any:
        loss, correct, d_embedding, d_bias = carry
        rows, ids, weight = block
        logits = ops.cast(_product(matrix, ops.transpose(ops.cast(rows, settings.precision))), "float32")
        if has_bias:
            logits = logits + bias[:, None]
        token_losses, right, shares, total = _compare(logits, ids, settings.label_smoothing, id_weights)
        loss = loss + ops.sum(weight * token_losses)
        correct = correct + ops.sum(weight * right)

        d_logits = _logit_gradients(shares, ids, total, settings.label_smoothing)
        scale = (weight / total)[:, None]
        if has_bias:
            d_bias = d_bias + ops.matmul(d_logits, scale)[:, 0]
        d_logits = ops.cast(d_logits, settings.precision)
        d_rows = _transpose_product(d_logits, matrix) * scale
        scaled = ops.cast(rows * scale, settings.precision)
        d_embedding = tuple(
            before + ops.cast(_product(d_logits[part], scaled), "float32")
            for part, before in zip(parts, d_embedding, strict=True)
        )
        return (loss, correct, d_embedding, d_bias), d_rows

    start = (
        ops.zeros((), "float32"),
        ops.zeros((), "float32"),
        tuple(ops.zeros_like(embedding[part]) for part in parts),
        ops.zeros_like(bias),
    )
    (loss, correct, d_embedding, d_bias), d_hidden = scan(one_block, start, (hidden, targets, weights), blocks)
    d_embedding = d_embedding[0] if len(parts) == 1 else ops.concatenate(d_embedding, axis=0)
    return loss, correct, d_hidden[:count], d_embedding, d_bias


def _on_gpu(hidden: Any, embedding: Any, bias: Any, given: tuple[Any, Any, Any], settings: _Settings) -> Any:
    """Return what `_blockwise` does."""
    return gpu_loss.loss_and_gradients(
        hidden,
        embedding,
        bias,
        *given,
        label_smoothing=settings.label_smoothing,
        precision=settings.precision,
        block_rows=settings.block_rows,
    )


def _parts(vocabulary: int | None) -> list[slice]:
    """Return which ids' gradients are made at a time; all, where their number depends on the data."""
    if vocabulary is None:
        return [slice(None)]
    return [slice(first, min(first + TABLE_ROWS, vocabulary)) for first in range(0, vocabulary, TABLE_ROWS)]


def _compare(logits: Any, ids: Any, label_smoothing: float, id_weights: Any) -> tuple[Any, Any, Any, Any]:
    """Return each row's loss, whether it is right, and its softmax as (vocabulary, rows) shares of a total (rows,)."""
    target = ops.take(ops.reshape(logits, (-1,)), target_indices(ids))
    top = ops.max(logits, axis=0)
    shares = ops.exp(logits - top)
    if id_weights is not None:
        shares = shares * id_weights[:, None]
    total = ops.sum(shares, axis=0)
    log_total = ops.log(total)
    token_losses = log_total + (top - target)  # in this order: near certainty `top` would swallow the logarithm
    if label_smoothing:
        mean = ops.mean(logits, axis=0)
        token_losses = (1 - label_smoothing) * token_losses + label_smoothing * (log_total + (top - mean))
    return token_losses, ops.cast(target >= top, "float32"), shares, total


def _logit_gradients(shares: Any, ids: Any, total: Any, label_smoothing: float) -> Any:
    """Return the gradients of rows' losses in their logits, times `total`; in place, where `shares` ends here.

    The difference is taken in float32: of a share near 1 bfloat16 would leave nothing.
    """
    if keras.backend.backend() == "jax":  # XLA makes one pass of this, and of a scatter a loop over rows
        is_target = ops.arange(shares.shape[0], dtype="int32")[:, None] == ids
        d_logits = shares + ops.where(is_target, (label_smoothing - 1) * total, 0.0)
    else:
        rows = ops.arange(ops.shape(ids)[0], dtype="int32")
        at_targets = ops.stack([ids, rows], axis=1)
        d_logits = ops.scatter_update(shares, at_targets, (label_smoothing - 1) * total, reduction="add")
    return d_logits - label_smoothing / shares.shape[0] * total if label_smoothing else d_logits


def _product(left: Any, right: Any) -> Any:
    """Return the matrix product, summed and (where the backend can) handed over in float32."""
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        return jnp.matmul(left, right, preferred_element_type="float32")
    return ops.matmul(left, right)


def _transpose_product(left: Any, right: Any) -> Any:
    """Return `left`'s transpose times `right` in float32, (rows, channels), from two of (vocabulary, ...).

    TensorFlow is fastest where the small result is turned, and not the large `left`; XLA finds a form by itself, and
    does not have every form of bfloat16.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return ops.transpose(ops.cast(tf.matmul(right, left, transpose_a=True), "float32"))
    return _product(ops.transpose(left), right)
