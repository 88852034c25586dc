"""The fused vocabulary loss: output projection, softmax cross-entropy and accuracy in one pass, rows in blocks.

With a vocabulary of 8k the logits and their softmax are over two thirds of a model's work and nearly all of its
memory. Here a block of rows is projected, compared with its targets, and turned into its gradients before the next
block is touched: the logits never exist as a whole, neither forward nor backward, and nothing is computed twice.
The idea of taking the gradient in the forward pass is Liger Kernel's (arXiv 2410.10989).

Logits stand with the vocabulary first, (vocabulary, rows): so all three products take their factors as they lie, which
is faster on CPUs (docs/speed.md), and a sum over the vocabulary goes along whole lines of memory.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from textae.data.special_tokens import END_ID, SPECIAL_IDS

BLOCK_ROWS = 512  # rows of logits that exist at a time; docs/speed.md has the measurements
LEAST_ROWS = 256  # of a large vocabulary: with fewer, what the blocks add up to is gone through too often
MOST_LOGITS = 1 << 25  # that exist at a time when texts are decoded, 128 MB
BLOCK_LOGITS = 1 << 22  # logits that exist at a time, where that leaves enough rows
ACCELERATOR_LOGITS = 1 << 26  # the same on a GPU with JAX: it has no use for small products
STEP_ROWS = 32  # rows that get a gradient are a multiple of
PIECE = 8192  # ids whose part of the embedding's gradient is made at a time


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
    gradient_filter: float = 0.0,
) -> VocabularyLoss:
    """Return the summed cross-entropy of `softmax(hidden @ embedding.T + bias)` and what goes with it.

    Differentiable in `hidden`, `embedding` and `bias`; the gradient is that of `loss` alone. A row counts as correct
    when no logit exceeds its target's, so equal logits count as right: use `predict` where that matters.

    Args:
        hidden: (rows, channels), the decoder's output at real positions.
        embedding: (vocabulary, channels).
        targets: (rows,) ids.
        weights: (rows,) floats; 0 leaves a row out.
        bias: (vocabulary,) or None.
        label_smoothing: share of the target that is spread evenly over the vocabulary.
        precision: "float32" or "bfloat16", the type of the three matrix products; sums and the softmax are float32.
        block_rows: rows of logits that are held at a time; None: as the vocabulary leaves room.
        gradient_filter: rows whose error, 1 - p(target), is below this share of their block's mean get no gradient, so
            that at most this share of the errors is left out: once most rows are right, most products of the backward
            pass have nothing to say. On TensorFlow alone, and not under XLA, as shapes depend on the data; not with
            `label_smoothing`, which leaves an error in every row. Cut Cross-Entropy (arXiv 2411.09009) filters tiles of
            logits likewise.

    Raises:
        ValueError: `precision` is neither.
    """
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"expected precision 'float32' or 'bfloat16', received {precision!r}")
    targets = ops.cast(targets, "int32")
    weights = ops.cast(weights, "float32")
    has_bias = bias is not None
    if block_rows is None:
        block_rows = _rows_at_a_time(embedding.shape[0])
    filtered = 0.0 if label_smoothing or keras.backend.backend() != "tensorflow" else gradient_filter

    def sums_and_gradients(hidden, embedding, bias):
        return _blockwise(hidden, embedding, bias, targets, weights, label_smoothing, precision, block_rows, filtered)

    @ops.custom_gradient
    def fused(hidden, embedding, bias):
        loss, correct, d_hidden, d_embedding, d_bias = sums_and_gradients(hidden, embedding, bias)

        def backward(*arguments, upstream=None):
            scale = _first(arguments if upstream is None else upstream)
            return scale * d_hidden, scale * d_embedding, scale * d_bias

        return (loss, correct), backward

    hidden = ops.cast(hidden, "float32")
    embedding = ops.cast(embedding, "float32")
    bias = ops.cast(bias, "float32") if has_bias else ops.zeros((1,), "float32")
    loss, correct = fused(hidden, embedding, bias)
    return VocabularyLoss(loss, correct, ops.sum(weights))


class Predictions(NamedTuple):
    """For each row the best id of the text, whether the end would beat it, and the target's cross-entropy in nats."""

    ids: Any
    ends: Any
    nats: Any


def predict(hidden: Any, embedding: Any, targets: Any = None, *, bias: Any = None) -> Predictions:
    """Return what each row of (rows, channels) decodes to, in float32, without holding all logits.

    The padding is never an answer, and the end is answered apart from the text: only the last block of a document
    can hold it, and who decodes knows which that is. `targets` (rows,) are only for `nats`, which are None without.
    """
    embedding, hidden = ops.cast(embedding, "float32"), ops.cast(hidden, "float32")
    rows = ops.shape(hidden)[0]
    arrays = (hidden,) if targets is None else (hidden, ops.cast(targets, "int32"))
    vocabulary = embedding.shape[0]
    rows_at_a_time = _rows_at_a_time(vocabulary)
    if rows_at_a_time == LEAST_ROWS:  # there are no gradients to add up, so fewer will do
        rows_at_a_time = min(LEAST_ROWS, max(MOST_LOGITS // vocabulary, 1))
    blocks, arrays = _in_blocks(arrays, rows_at_a_time)

    def one_block(block):
        logits = ops.matmul(embedding, ops.transpose(block[0]))
        if bias is not None:
            logits = logits + bias[:, None]
        decided = decide(logits)
        if targets is None:
            return decided
        return *decided, ops.logsumexp(logits, axis=0) - ops.take(ops.reshape(logits, (-1,)), _places(block[1]))

    ids, ends, *nats = (ops.reshape(values, (-1,))[:rows] for values in _map_blocks(one_block, arrays, blocks))
    return Predictions(ids, ends > 0, nats[0] if nats else None)


def decide(logits: Any) -> tuple[Any, Any]:
    """Return each row's best id of the text and whether the end would beat it, int32 (rows,).

    `logits` are (vocabulary, rows).
    """
    best, top = highest(logits[SPECIAL_IDS:])
    return SPECIAL_IDS + best, ops.cast(logits[END_ID] > top, "int32")


def highest(values: Any) -> tuple[Any, Any]:
    """Return at which candidate each column of (candidates, columns) is highest, the first of equals, and how high.

    The best run of candidates is found first, then the best of that run: so one maximum is all that is taken of all
    values, where a search for places goes over them several times. By comparisons alone, which ONNX has.
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


def reconstruction_sums(
    model: Any,
    tokens: Any,
    lengths: Any,
    training: bool,
    *,
    kl_weight: float = 0.0,
    free_bits: float = 0.0,
    label_smoothing: float = 0.0,
    precision: str = "float32",
    gather: bool = False,
    gradient_filter: float = 0.0,
    random_tokens: Any = None,
    corruption: Any = None,
) -> dict[str, Any]:
    """Return what a training step minimises (`total`) and reports, as sums over a batch's real tokens.

    Args:
        model: gives `textae.models.autoencoder.Reconstruction`, and the output layer by `output_rows`.
        tokens: (batch, length) ids, padded; lengths: (batch,) real tokens of each.
        kl_weight, free_bits: weight of the KL divergence, and the nats per dimension below which it is free
            (Kingma et al., arXiv 1606.04934), for variational models.
        gather: project real positions only; needs shapes that may depend on the data.
        gradient_filter: as in `vocabulary_loss`, where shapes may depend on the data.
        random_tokens: gives the (ids, lengths) that training goes by in place of these, or None.
        corruption: gives the (ids, lengths) that are encoded in training in place of those, or None.
    """
    if training and random_tokens is not None:
        tokens, lengths = random_tokens(tokens, lengths)
    encoded = corruption(tokens, lengths) if training and corruption is not None else (tokens, lengths)
    out = model(*encoded, wanted=lengths, training=training)
    length = ops.shape(tokens)[1]
    real = ops.arange(length, dtype="int32")[None, :] < lengths[:, None]
    hidden = ops.reshape(out.hidden, (-1, out.hidden.shape[-1]))
    targets = ops.reshape(tokens, (-1,))
    weights = ops.cast(ops.reshape(real, (-1,)), "float32")
    if gather:
        where = ops.nonzero(weights)[0]
        hidden, targets = ops.take(hidden, where, axis=0), ops.take(targets, where, axis=0)
        weights = ops.ones_like(ops.cast(targets, "float32"))
    rows, embedding, bias = model.output_rows(hidden)
    loss = vocabulary_loss(
        rows,
        embedding,
        targets,
        weights,
        bias=bias,
        label_smoothing=label_smoothing,
        precision=precision,
        gradient_filter=gradient_filter if gather else 0.0,
    )
    sums = {"loss": loss.loss, "correct": loss.correct, "tokens": loss.weight, "total": loss.loss}
    counts = (lengths + (model.stride - 1)) // model.stride
    if out.kl is not None:
        own = counts[:, None] > 0
        if len(out.kl.shape) == 3:
            own = (ops.arange(ops.shape(out.kl)[1], dtype="int32")[None, :] < counts[:, None])[:, :, None]
        own = ops.cast(own, "float32")
        sums["kl"] = ops.sum(own * out.kl)
        sums["total"] += kl_weight * ops.sum(own * ops.maximum(out.kl, free_bits))
    if out.blocks is not None:
        wanted = ops.one_hot(ops.maximum(counts, 1) - 1, out.blocks.shape[-1])
        own = ops.cast(counts > 0, "float32")
        nats = ops.sum(own * (ops.logsumexp(out.blocks, axis=1) - ops.sum(wanted * out.blocks, axis=1)))
        sums["blocks_loss"] = nats
        sums["total"] += nats
    sums["documents"] = ops.cast(ops.sum(ops.cast(lengths > 0, "int32")), "float32")
    return sums


def _first(upstream: Any) -> Any:
    """Return the upstream gradient of the loss: backends hand over a tuple, bare or nested."""
    while isinstance(upstream, (tuple, list)):
        upstream = upstream[0]
    return upstream


def _blockwise(hidden, embedding, bias, targets, weights, label_smoothing, precision, block_rows, gradient_filter):
    """Return loss, correct, and the loss's gradients in hidden, embedding and bias."""
    vocabulary = embedding.shape[0]
    has_bias = tuple(bias.shape) == (vocabulary,)
    count = ops.shape(hidden)[0]
    blocks, (hidden, targets, weights) = _in_blocks((hidden, targets, weights), block_rows)
    matrix = ops.cast(embedding, precision)
    pieces = [slice(first, min(first + PIECE, vocabulary)) for first in range(0, vocabulary, PIECE)]

    def one_block(carry, block):
        loss, correct, d_embedding, d_bias = carry
        rows, ids, weight = block
        logits = ops.cast(_product(matrix, ops.transpose(ops.cast(rows, precision))), "float32")
        if has_bias:
            logits = logits + bias[:, None]
        target = ops.take(ops.reshape(logits, (-1,)), _places(ids))
        top = ops.max(logits, axis=0)
        shares = ops.exp(logits - top)  # times `total`
        total = ops.sum(shares, axis=0)
        log_total = ops.log(total)
        nats = log_total + (top - target)  # in this order: near certainty `top` would swallow the logarithm
        if label_smoothing:
            mean = ops.mean(logits, axis=0)
            nats = (1 - label_smoothing) * nats + label_smoothing * (log_total + (top - mean))
        loss = loss + ops.sum(weight * nats)
        correct = correct + ops.sum(weight * ops.cast(target >= top, "float32"))

        if gradient_filter:
            wrong = _wrong_rows(weight * -ops.expm1(-nats), gradient_filter)
            shares, count = _columns(shares, wrong), ops.shape(rows)[0]
            rows, ids, weight, total = (ops.take(array, wrong, axis=0) for array in (rows, ids, weight, total))

        # The difference is taken in float32: of a share near 1 bfloat16 would leave nothing.
        d_logits = _add_at_targets(shares, ids, (label_smoothing - 1) * total)
        if label_smoothing:
            d_logits = d_logits - label_smoothing / vocabulary * total
        scale = (weight / total)[:, None]
        if has_bias:
            d_bias = d_bias + ops.matmul(d_logits, scale)[:, 0]
        d_logits = ops.cast(d_logits, precision)
        d_rows = _transpose_product(d_logits, matrix) * scale
        scaled = ops.cast(rows * scale, precision)
        d_embedding = tuple(
            before + ops.cast(_product(d_logits[piece], scaled), "float32")
            for piece, before in zip(pieces, d_embedding, strict=True)
        )
        if gradient_filter:
            d_rows = ops.scatter(wrong[:, None], d_rows, (count, d_rows.shape[-1]))
        return (loss, correct, d_embedding, d_bias), d_rows

    start = (
        ops.zeros((), "float32"),
        ops.zeros((), "float32"),
        tuple(ops.zeros((piece.stop - piece.start, embedding.shape[1]), "float32") for piece in pieces),
        ops.zeros(bias.shape, "float32"),
    )
    (loss, correct, d_embedding, d_bias), d_hidden = _scan(one_block, start, (hidden, targets, weights), blocks)
    d_embedding = d_embedding[0] if len(pieces) == 1 else ops.concatenate(d_embedding, axis=0)
    return loss, correct, d_hidden[:count], d_embedding, d_bias


def _wrong_rows(errors, share):
    """Return which rows, int32, have an error of more than a share of the mean: a multiple of `STEP_ROWS`, or all.

    Products are prepared for each shape anew, so there should be few.
    """
    import tensorflow as tf

    count, all_rows = tf.math.count_nonzero(errors > share * tf.reduce_mean(errors), dtype=tf.int32), tf.size(errors)
    wanted = (count + (STEP_ROWS - 1)) // STEP_ROWS * STEP_ROWS
    return tf.cond(
        wanted < all_rows, lambda: tf.math.top_k(errors, wanted, sorted=False).indices, lambda: tf.range(all_rows)
    )


def _columns(array, columns):
    """Return these columns of an array, or the array itself where they are all of them in order."""
    import tensorflow as tf

    every = tf.size(columns) == tf.shape(array)[1]
    return tf.cond(every, lambda: array, lambda: tf.gather(array, columns, axis=1))


def _rows_at_a_time(vocabulary):
    """Return how many rows of logits are held at a time: as many as the processor's caches, or a GPU, do best with."""
    if keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":
            return max(ACCELERATOR_LOGITS // vocabulary, LEAST_ROWS)
    return min(max(BLOCK_LOGITS // vocabulary, LEAST_ROWS), BLOCK_ROWS)


def _in_blocks(arrays, block_rows):
    """Return the number of blocks, and the arrays padded with zeros and cut into blocks."""
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


def _scan(body, start, arrays, blocks):
    """Run `body` over the blocks one after another; rows' gradients come back end to end."""
    if keras.backend.backend() == "tensorflow":
        return _scan_tensorflow(body, start, arrays, blocks)
    carry, stacked = ops.scan(body, start, arrays)
    return carry, ops.reshape(stacked, (-1, stacked.shape[-1]))


def _scan_tensorflow(body, start, arrays, blocks):
    """As `_scan`; Keras's own scan keeps every carry, and refuses a number of blocks not known beforehand."""
    import tensorflow as tf

    def step(i, carry, collected):
        carry, rows = body(carry, tuple(array[i] for array in arrays))
        return i + 1, carry, collected.write(i, rows)

    collected = tf.TensorArray("float32", size=blocks, element_shape=arrays[0].shape[1:])
    _, carry, collected = tf.while_loop(
        lambda i, *_: i < blocks, step, (tf.constant(0), start, collected), parallel_iterations=1
    )
    return carry, collected.concat()


def _map_blocks(function, arrays, blocks):
    """Return `function` of each block, stacked."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        kinds = (tf.int32, tf.int32) if len(arrays) == 1 else (tf.int32, tf.int32, tf.float32)
        return tf.map_fn(function, arrays, fn_output_signature=kinds, parallel_iterations=1)
    return ops.map(function, arrays)


def _product(left, right):
    """Return the matrix product, summed and (where the backend can) handed over in float32."""
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        return jnp.matmul(left, right, preferred_element_type="float32")
    return ops.matmul(left, right)


def _transpose_product(left, right):
    """Return `left`'s transpose times `right` in float32, (rows, channels), from two of (vocabulary, ...).

    TensorFlow is fastest where the small result is turned, and not the large `left`; XLA finds a form by itself, and
    does not have every form of bfloat16.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return ops.transpose(ops.cast(tf.matmul(right, left, transpose_a=True), "float32"))
    return _product(ops.transpose(left), right)


def _places(ids):
    """Return where each row's target stands in flattened logits (vocabulary, rows), int32 (rows,)."""
    rows = ops.shape(ids)[0]
    return ids * rows + ops.arange(rows, dtype="int32")


def _add_at_targets(array, ids, values):
    """Return (vocabulary, rows) `array` plus a value at each row's target; in place, where `array` ends here."""
    rows = ops.arange(ops.shape(ids)[0], dtype="int32")
    return ops.scatter_update(array, ops.stack([ids, rows], axis=1), values, reduction="add")
