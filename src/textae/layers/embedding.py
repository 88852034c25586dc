"""Token ids to embeddings."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="textae")
class TokenEmbedding(keras.layers.Embedding):
    """Ids (batch, length) -> (batch, length, output_dim), with a dense gradient.

    TensorFlow's own gradient of a lookup is a list of rows. Where the table is the output layer's too, the output
    layer's gradient would be made a list of rows as well, both be joined, and the whole added up row by row.

    Args:
        args, kwargs: as for `keras.layers.Embedding`.
        scale: what the table's rows are multiplied by.
    """

    def __init__(self, *args: Any, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scale = scale

    def call(self, inputs: Any) -> Any:
        """Return the ids' rows of the table times the scale, in the compute type."""
        rows = self._rows(inputs)
        return rows if self.scale == 1 else rows * self.scale

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        return {**super().get_config(), "scale": self.scale}

    def _rows(self, inputs: Any) -> Any:
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs)
        table: Any = self.embeddings  # a variable; Keras also says None and the tensors of LoRA
        return ops.cast(rows_of(table.value, inputs), self.compute_dtype)


def rows_of(table: Any, ids: Any) -> Any:
    """Return the ids' rows of a table, with a gradient as dense as the table.

    Args:
        table: (ids, channels).
        ids: int32 of any shape.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.take(table, ids, axis=0)
    import tensorflow as tf

    @tf.custom_gradient
    def lookup(table: Any) -> Any:
        def backward(upstream: Any) -> Any:
            rows = tf.reshape(upstream, (-1, table.shape[1]))
            return tf.math.unsorted_segment_sum(rows, tf.reshape(ids, (-1,)), table.shape[0])

        return tf.gather(table, ids), backward

    return lookup(tf.convert_to_tensor(table))
