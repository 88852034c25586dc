"""The codec as functions of arrays with dynamic shapes, which other programs can run: what export writes.

They give what `textae.inference.codec` gives: long texts in pieces or cut, the end of a text where its last block
holds one. Ids are without the end; what lies beyond a text's own length may be anything going in, and is zero coming
out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.data.special_tokens import END_ID
from textae.losses.objectives import decide, highest
from textae.models.autoencoder import Autoencoder, blocks_of


class Graphs:
    """Encoding and decoding of whole batches.

    Args:
        model: built.
        cuts: whether texts of more than `model.max_length` tokens are cut; otherwise they are split, and a model with
            one vector per text has one for each segment.

    `single` says whether each text has exactly one latent.
    """

    def __init__(self, model: Autoencoder, cuts: bool) -> None:
        self.model, self.vector, self.cuts = model, model.latent == "vector", cuts
        self.single = self.vector and cuts
        self.most = model.max_length // model.stride  # blocks that the model takes at once

    def encode(self, ids: Any, lengths: Any) -> dict[str, Any]:
        """Return `latents` (batch, blocks, size) and `counts` (batch,), each text's own number of blocks.

        With a vector for each segment they are those of segments, and where each text has exactly one vector `latents`
        (batch, size) alone. `ids` are int32 (batch, length), `lengths` (batch,) without the end.
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
        if self.single:
            return {"latents": latents}
        if self.vector:
            blocks, counts = pieces, blocks_of(lengths, longest)
            latents = ops.reshape(latents, (batch, pieces, self.model.latent_size))
        else:
            counts = blocks_of(lengths, stride)
            latents = ops.reshape(latents, (batch, pieces * piece, self.model.latent_size))[:, :blocks]
        real = ops.arange(blocks, dtype="int32")[None, :] < counts[:, None]
        return {"latents": ops.where(real[:, :, None], latents, 0.0), "counts": counts}

    def decode(self, latents: Any, counts: Any = None) -> dict[str, Any]:
        """Return `ids` (batch, length) and `lengths` (batch,), the texts' own, from what `encode` gave."""
        if not self.vector:
            pieces, piece = self._pieces(ops.maximum(ops.shape(latents)[1], 1))
            states = self.model.decode(_in_rows(latents, pieces, piece), _own(counts, pieces, piece), piece)
            return self._texts(states, counts, pieces * piece)
        if self.single:
            return self._vectors(latents, True, True)
        segments = ops.shape(latents)[1]
        place = ops.reshape(ops.arange(segments, dtype="int32")[None, :] - counts[:, None], (-1,))
        found = self._vectors(ops.reshape(latents, (-1, self.model.latent_size)), place < 0, place == -1)
        return _joined(found["ids"], found["lengths"], segments)

    def _vectors(self, latents: Any, real: Any, last: Any) -> dict[str, Any]:
        """Return what vectors (rows, size) stand for; `real` and `last` (rows,): it is there, and ends its text."""
        told = ops.where(real, highest(ops.transpose(self.model.block_logits(latents)))[0] + 1, 0)
        blocks = ops.maximum(ops.max(told), 1)
        return self._texts(self.model.decode(latents, told, blocks), told, blocks, last)

    def _texts(self, states: Any, counts: Any, blocks: Any, ends_here: Any = True) -> dict[str, Any]:
        """Return ids and lengths of rows of `counts` (rows,) blocks, of `blocks` that are computed.

        The end of a text can only stand in its last block; rows that do not end a text, by `ends_here`, have none.
        """
        stride = self.model.stride
        rows, embedding, bias = self.model.output_rows(ops.reshape(states, (-1, states.shape[-1])))
        logits = ops.matmul(embedding, ops.transpose(rows))
        ids, ends = decide(logits if bias is None else logits + bias[:, None])
        ids = ops.reshape(ids, (-1, blocks * stride))
        last = ops.arange(blocks, dtype="int32")[None, :] == counts[:, None] - 1
        last = ops.sum(ops.reshape(ends, (-1, blocks, stride)) * ops.cast(last, "int32")[:, :, None], axis=1)
        first = (counts - 1) * stride + ops.cast(ops.argmax(last, axis=1), "int32")
        lengths = ops.where(ops.logical_and(ops.max(last, axis=1) > 0, ends_here), first, counts * stride)
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


def _joined(ids: Any, lengths: Any, segments: Any) -> dict[str, Any]:
    """Return the ids (texts * segments, length) of each text's segments, of `lengths`, as one row (texts, ...)."""
    width = ops.shape(ids)[1]
    real = ops.arange(width, dtype="int32")[None, :] < lengths[:, None]
    real, ids = (ops.reshape(values, (-1, segments * width)) for values in (real, ids))
    places = ops.arange(segments * width, dtype="int32")[None, :]
    order = ops.argsort(ops.where(real, places, places + segments * width), axis=1)
    return {
        "ids": ops.take_along_axis(ids, order, axis=1),
        "lengths": ops.sum(ops.reshape(lengths, (-1, segments)), axis=1),
    }


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
