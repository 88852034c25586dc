"""The codec as functions of arrays with dynamic shapes, which other programs can run: what export writes.

They give what `textae.codec` gives: long texts in pieces or cut, the end of a text where its last block holds one.
Ids are without the end; what lies beyond a text's own length may be anything going in, and is zero coming out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.batches import END_ID
from textae.model import Autoencoder, blocks_of
from textae.objectives import decide, highest


class Graphs:
    """Encoding and decoding of whole batches.

    Args:
        model: built.
        cuts: whether texts of more than `model.max_length` tokens are cut; a model with one vector per text cuts.
    """

    def __init__(self, model: Autoencoder, cuts: bool) -> None:
        self.model, self.vector = model, model.latent == "vector"
        self.cuts = cuts or self.vector
        self.most = model.max_length // model.stride  # blocks that the model takes at once

    def encode(self, ids: Any, lengths: Any) -> dict[str, Any]:
        """Return `latents` (batch, blocks, size) and `counts` (batch,), each text's own number of blocks.

        Of a model with one vector per text: `latents` (batch, size) alone. `ids` are int32 (batch, length), `lengths`
        (batch,) without the end.
        """
        stride, longest = self.model.stride, self.model.max_length
        if self.cuts:
            ids, lengths = ids[:, : longest - 1], ops.minimum(lengths, longest - 1)
        batch, length = ops.shape(ids)[0], ops.shape(ids)[1] + 1
        tokens = ops.concatenate([ids, ops.zeros((batch, 1), "int32")], axis=1)
        positions = ops.arange(length, dtype="int32")[None, :]
        tokens = ops.where(positions < lengths[:, None], tokens, 0)
        tokens = ops.where(positions == lengths[:, None], END_ID, tokens)
        lengths = lengths + 1
        blocks = blocks_of(length, stride)
        pieces, piece = self._pieces(blocks)
        rows = _in_rows(tokens, pieces, piece * stride)
        latents = self.model.encoder(rows, _own(lengths, pieces, piece * stride))[0]
        if self.vector:
            return {"latents": latents}
        latents = ops.reshape(latents, (batch, pieces * piece, self.model.latent_size))[:, :blocks]
        counts = blocks_of(lengths, stride)
        real = ops.arange(blocks, dtype="int32")[None, :] < counts[:, None]
        return {"latents": ops.where(real[:, :, None], latents, 0.0), "counts": counts}

    def decode(self, latents: Any, counts: Any = None) -> dict[str, Any]:
        """Return `ids` (batch, length) and `lengths` (batch,), the texts' own, from what `encode` gave."""
        stride = self.model.stride
        batch = ops.shape(latents)[0]
        if self.vector:
            counts = highest(ops.transpose(self.model.block_logits(latents)))[0] + 1
            blocks = ops.max(counts)
            states = self.model.decode(latents, counts, blocks)
        else:
            pieces, piece = self._pieces(ops.maximum(ops.shape(latents)[1], 1))
            blocks = pieces * piece
            states = self.model.decode(_in_rows(latents, pieces, piece), _own(counts, pieces, piece), piece)
        rows, embedding, bias = self.model.output_rows(ops.reshape(states, (-1, states.shape[-1])))
        logits = ops.matmul(embedding, ops.transpose(rows))
        ids, ends = decide(logits if bias is None else logits + bias[:, None])
        ids = ops.reshape(ids, (batch, blocks * stride))
        # The end of a text can only stand in its last block.
        last = ops.arange(blocks, dtype="int32")[None, :] == counts[:, None] - 1
        last = ops.sum(ops.reshape(ends, (batch, blocks, stride)) * ops.cast(last, "int32")[:, :, None], axis=1)
        first = (counts - 1) * stride + ops.cast(ops.argmax(last, axis=1), "int32")
        lengths = ops.where(ops.max(last, axis=1) > 0, first, counts * stride)
        real = ops.arange(blocks * stride, dtype="int32")[None, :] < lengths[:, None]
        return {"ids": ops.where(real, ids, 0), "lengths": lengths}

    def _pieces(self, blocks: Any) -> tuple[Any, Any]:
        """Return how many pieces a text of so many blocks goes in, and the blocks of each."""
        return (blocks + (self.most - 1)) // self.most, ops.minimum(blocks, self.most)


def _in_rows(values: Any, pieces: Any, piece: Any) -> Any:
    """Return (batch, length, ...) as (batch * pieces, piece, ...), filled up with zeros."""
    shape = ops.shape(values)
    filler = ops.zeros((shape[0], pieces * piece - shape[1], *shape[2:]), values.dtype)
    return ops.reshape(ops.concatenate([values, filler], axis=1), (shape[0] * pieces, piece, *values.shape[2:]))


def _own(lengths: Any, pieces: Any, piece: Any) -> Any:
    """Return each piece's share (batch * pieces,) of lengths (batch,)."""
    before = ops.arange(pieces, dtype="int32")[None, :] * piece
    return ops.reshape(ops.clip(lengths[:, None] - before, 0, piece), (-1,))


class Part(keras.Model):
    """One function of `Graphs` as a Keras model, which can be exported."""

    def __init__(self, model: Autoencoder, function: Callable[..., dict[str, Any]]) -> None:
        super().__init__(dtype=model.dtype_policy)
        self.model, self.function = model, function
        self.built = True  # as the model is; Keras exports nothing else

    def call(self, first: Any, second: Any = None) -> dict[str, Any]:
        """Return what the function does."""
        return self.function(first) if second is None else self.function(first, second)


def encode_bytes(graphs: Graphs, first_byte_id: int) -> Callable[[Any], dict[str, Any]]:
    """Return a function of strings (batch,), on TensorFlow: `encode` of their bytes."""
    import tensorflow as tf

    def encode(texts: Any) -> dict[str, Any]:
        lengths = tf.strings.length(texts)
        longest = tf.reduce_max(tf.concat([lengths, [1]], axis=0))
        return graphs.encode(
            tf.cast(tf.io.decode_raw(texts, tf.uint8, fixed_length=longest), tf.int32) + first_byte_id, lengths
        )

    return encode


def decode_bytes(graphs: Graphs, first_byte_id: int) -> Callable[..., dict[str, Any]]:
    """Return a function of latents, on TensorFlow: `texts` (batch,), the bytes that they stand for."""
    import tensorflow as tf

    pieces = np.array([b""] * first_byte_id + [bytes([byte]) for byte in range(256)], object)

    def decode(*latents: Any) -> dict[str, Any]:
        return {"texts": tf.strings.reduce_join(tf.gather(tf.constant(pieces), graphs.decode(*latents)["ids"]), axis=1)}

    return decode
