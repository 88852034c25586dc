"""From decoder states to logits, by a table of embeddings."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def _inverse_norm(rows: Any) -> Any:
    """Return one over the length of each row (..., channels), as (..., 1)."""
    return ops.rsqrt(ops.sum(ops.square(rows), axis=-1, keepdims=True) + 1e-12)


def cosine_factors(rows: Any, table: Any, logit_scale: float) -> tuple[Any, Any]:
    """Return rows and a table (..., channels) whose products are the cosines of the given ones, times a scale."""
    return logit_scale * rows * _inverse_norm(rows), table * _inverse_norm(table)


@keras.saving.register_keras_serializable(package="textae")
class TokenLogits(keras.layers.Layer):
    """States (..., channels) -> logits (..., vocabulary), float32: their products with all rows of a table.

    Args:
        table: an embedding layer, whose weights are shared.
        logit_scale: of cosines, in place of products.
    """

    def __init__(
        self,
        table: keras.layers.Embedding,
        logit_scale: float | None = None,
        dtype: Any = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.table, self.logit_scale = table, logit_scale

    def build(self, input_shape: Any) -> None:
        """Make the table, unless it is there."""
        if not self.table.built:
            self.table.build(None)

    def call(self, inputs: Any) -> Any:
        """Return the logits."""
        rows, table = ops.cast(inputs, "float32"), ops.convert_to_tensor(self.table.embeddings, dtype="float32")
        if self.logit_scale is not None:
            rows, table = cosine_factors(rows, table, self.logit_scale)
        return ops.matmul(rows, ops.transpose(table))

    def get_config(self) -> dict[str, Any]:
        """Return every argument of the constructor."""
        table = keras.saving.serialize_keras_object(self.table)
        return {**super().get_config(), "table": table, "logit_scale": self.logit_scale}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TokenLogits:
        """Return the layer of what `get_config` returned."""
        return cls(**config | {"table": keras.saving.deserialize_keras_object(config["table"])})


@keras.saving.register_keras_serializable(package="textae")
class OutputBias(keras.layers.Layer):
    """Logits (..., vocabulary) -> the same, plus a bias for each id.

    Attributes:
        bias: the weight (vocabulary,); one that is set before the layer is built is shared with whoever made it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the weight, unless there is one."""
        if self.bias is None:
            self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Return the logits."""
        return inputs + self.bias
