"""The codec as functions of arrays with dynamic shapes, which other programs can run: what export writes.

They compute what `textae.inference.codec` does, by the rule of `textae.data.positions`. Ids are without the end; what
lies beyond a text's own length may be anything in the input, and is zero in the output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from textae.data.positions import num_positions, num_segments, position_mask, segment_counts, text_lengths
from textae.data.special_tokens import END_ID
from textae.losses.prediction import decide, highest
from textae.models.autoencoder import Autoencoder

PARTS = ("encode", "decode")


class Graphs:
    """Encoding and decoding of whole batches.

    Args:
        model: built.
        truncates: whether texts of more than `model.max_length` tokens are truncated; otherwise they are split, and a
            model with one vector per text has one for each segment.

    `single` says whether each text has exactly one latent.
    """

    def __init__(self, model: Autoencoder, truncates: bool) -> None:
        self.model, self.vector, self.truncates = model, model.latent == "vector", truncates
        self.single = self.vector and truncates
        self.max_positions = num_positions(model.max_length, model.stride)

    def encode(self, ids: Any, lengths: Any) -> dict[str, Any]:
        """Return `latents` (batch, latents, size) and `num_latents` (batch,), each text's own number of latents.

        A latent is that of a latent position or, with a vector for each segment, of a segment. Where each text has
        exactly one vector, the result is `latents` (batch, size) alone.

        Args:
            ids: (batch, length) int32.
            lengths: (batch,) int32, each text's own, without the end.
        """
        stride, longest = self.model.stride, self.model.max_length
        if self.truncates:
            ids, lengths = ids[:, : longest - 1], ops.minimum(lengths, longest - 1)
        tokens = _with_end(ids, lengths)
        batch, lengths = ops.shape(ids)[0], lengths + 1
        positions = num_positions(ops.shape(ids)[1] + 1, stride)
        segments, size = self._segments(positions)
        rows = _in_rows(tokens, segments, size * stride)
        latents = self.model.encoder(rows, segment_counts(lengths, segments, size * stride, ops))[0]
        if self.single:
            return {"latents": latents}
        if self.vector:
            count, counts = segments, num_segments(lengths, longest)
            latents = ops.reshape(latents, (batch, segments, self.model.latent_size))
        else:
            count, counts = positions, num_positions(lengths, stride)
            latents = ops.reshape(latents, (batch, segments * size, self.model.latent_size))[:, :positions]
        mask = position_mask(counts, count, ops)
        return {"latents": ops.where(mask[:, :, None], latents, 0.0), "num_latents": counts}

    def decode(self, latents: Any, num_latents: Any = None) -> dict[str, Any]:
        """Return `ids` (batch, length) and `lengths` (batch,), the texts' own, of what `encode` returned."""
        if self.single:
            return self._decode_vectors(latents, None, True)
        if self.vector:
            segments = ops.shape(latents)[1]
            rank = ops.arange(segments, dtype="int32")[None, :] - num_latents[:, None]
            rank = ops.reshape(rank, (-1,))  # of the last segment -1, of what is none 0 and more
            found = self._decode_vectors(ops.reshape(latents, (-1, self.model.latent_size)), rank < 0, rank == -1)
            return _joined(found["ids"], found["lengths"], segments)
        segments, size = self._segments(ops.maximum(ops.shape(latents)[1], 1))
        counts = segment_counts(num_latents, segments, size, ops)
        states = self.model.decode(_in_rows(latents, segments, size), counts, size)
        return self._texts(states, num_latents, segments * size)

    def _decode_vectors(self, latents: Any, mask: Any, holds_end: Any) -> dict[str, Any]:
        """Return the texts of vectors (rows, size); `mask` (rows,) says which are there, None: all of them.

        A vector that is not the last one of its text is a full segment: only the last one's length is predicted.
        """
        predicted = highest(ops.transpose(self.model.decoder.length_logits(latents)))[0] + 1
        if mask is not None:
            predicted = ops.where(mask, ops.where(holds_end, predicted, self.max_positions), 0)
        positions = ops.maximum(ops.max(predicted), 1)
        return self._texts(self.model.decode(latents, predicted, positions), predicted, positions, holds_end)

    def _texts(self, states: Any, counts: Any, positions: Any, holds_end: Any = True) -> dict[str, Any]:
        """Return ids and lengths of rows of `counts` (rows,) latent positions, of `positions` that are computed."""
        stride = self.model.stride
        rows, embedding, bias = self.model.output_rows(ops.reshape(states, (-1, states.shape[-1])))
        logits = ops.matmul(embedding, ops.transpose(rows))
        found = decide(logits if bias is None else logits + bias[:, None])[:2]
        ids, ends = (ops.reshape(values, (-1, positions * stride)) for values in found)
        lengths = text_lengths(ends > 0, counts, stride, holds_end, ops)
        mask = position_mask(lengths, positions * stride, ops)
        return {"ids": ops.where(mask, ids, 0), "lengths": lengths}

    def _segments(self, positions: Any) -> tuple[Any, Any]:
        """Return the segments of a text of so many latent positions, and the positions of each."""
        return num_segments(positions, self.max_positions), ops.minimum(positions, self.max_positions)


def _with_end(ids: Any, lengths: Any) -> Any:
    """Return tokens (batch, length + 1): ids (batch, length) up to each text's length, the end, and padding."""
    batch, length = ops.shape(ids)[0], ops.shape(ids)[1] + 1
    tokens = ops.concatenate([ids, ops.zeros((batch, 1), "int32")], axis=1)
    tokens = ops.where(position_mask(lengths, length, ops), tokens, 0)
    return ops.where(ops.arange(length, dtype="int32")[None, :] == lengths[:, None], END_ID, tokens)


def _in_rows(values: Any, segments: Any, size: Any) -> Any:
    """Return (batch, length, ...) as (batch * segments, size, ...), filled up with zeros."""
    shape = ops.shape(values)
    filler = ops.zeros((shape[0], segments * size - shape[1], *shape[2:]), values.dtype)
    return ops.reshape(ops.concatenate([values, filler], axis=1), (shape[0] * segments, size, *values.shape[2:]))


def _joined(ids: Any, lengths: Any, segments: Any) -> dict[str, Any]:
    """Return the ids (texts * segments, length) of each text's segments, of `lengths`, as one row (texts, ...)."""
    width = ops.shape(ids)[1]
    mask = position_mask(lengths, width, ops)
    mask, ids = (ops.reshape(values, (-1, segments * width)) for values in (mask, ids))
    index = ops.arange(segments * width, dtype="int32")[None, :]
    order = ops.argsort(ops.where(mask, index, index + segments * width), axis=1)
    return {
        "ids": ops.take_along_axis(ids, order, axis=1),
        "lengths": ops.sum(ops.reshape(lengths, (-1, segments)), axis=1),
    }


@keras.saving.register_keras_serializable(package="textae")
class GraphModel(keras.Model):
    """One function of `Graphs` as a Keras model, which can be exported.

    Args:
        model: a built `Autoencoder`.
        part: "encode" or "decode".
        truncates: as for `Graphs`.

    Raises:
        ValueError: another part.
    """

    def __init__(self, model: Autoencoder, part: str, truncates: bool, **kwargs: Any) -> None:
        super().__init__(**{"dtype": model.dtype_policy} | kwargs)
        if part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}; received {part!r}")
        self.model, self.part, self.truncates = model, part, truncates
        self._function = getattr(Graphs(model, truncates), part)
        self.built = True  # as the model is; Keras exports nothing else

    def call(self, first: Any, second: Any = None) -> dict[str, Any]:
        """Return what the function does of its one or two arguments."""
        return self._function(first) if second is None else self._function(first, second)

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        own = {"model": keras.saving.serialize_keras_object(self.model), "part": self.part, "truncates": self.truncates}
        return {"name": self.name, "dtype": keras.dtype_policies.serialize(self.dtype_policy)} | own

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GraphModel:
        """Return the model of what `get_config` returned."""
        return cls(
            keras.saving.deserialize_keras_object(config["model"]), **{k: v for k, v in config.items() if k != "model"}
        )


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

    table = np.array([b""] * first_byte_id + [bytes([byte]) for byte in range(256)], object)

    def decode(*latents: Any) -> dict[str, Any]:
        return {"texts": tf.strings.reduce_join(tf.gather(tf.constant(table), graphs.decode(*latents)["ids"]), axis=1)}

    return decode
